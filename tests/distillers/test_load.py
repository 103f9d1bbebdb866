"""`DistilledSet.load` raises VddError only, whatever lies in the folder."""

import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from vddlib.core.errors import BrokenVideo, VddError
from vddlib.datasets.geometry import geometry
from vddlib.datasets.video import encode_bytes
from vddlib.distillers import DistilledSet, EncodedClips, Mosaics, Pixels, Stills, StoredClips

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)  # shrinking damaged videos takes minutes
MEAN, STD = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.2])


def contents():
    g = torch.Generator().manual_seed(0)
    frames = torch.randint(0, 255, (4, 3, 16, 16, 3), generator=g, dtype=torch.uint8)
    videos = [
        encode_bytes(torch.randint(0, 255, (6, 16, 16, 3), generator=g, dtype=torch.uint8).numpy()) for _ in range(4)
    ]
    return {
        "stored": StoredClips(frames, MEAN, STD),
        "pixels": Pixels(torch.randn(4, 3, 3, 16, 16, generator=g), MEAN, STD),
        "stills": Stills(torch.randn(4, 3, 1, 16, 16, generator=g), MEAN, STD, 3),
        "encoded": EncodedClips(videos, 6, 16, 24, MEAN, STD),
        "mosaics": Mosaics(videos, [6] * 4, (16, 16), 2, geometry(3, 8, 1), MEAN, STD),
    }


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A good set of every kind."""
    labels, places = torch.tensor([0, 0, 1, 1]), {}
    for kind, content in contents().items():
        place = tmp_path_factory.mktemp(kind)
        card = {"method": "random", "ipc": 2, "seed": 0, "params": {}, "distill_seconds": 1.0}
        soft = torch.full((4, 2), 0.5) if kind == "pixels" else None
        places[kind] = DistilledSet(content, labels, ("a", "b"), card, soft).save(place, previews=False)
        assert DistilledSet.load(place).content.kind == kind
    return places


def loads_or_is_refused(folder) -> bool:
    """Whether a set could be loaded; a set that can be is whole: it draws, it says its size. One line otherwise.

    Of stored videos only the headers are read at once: where a frame is damaged, drawing is what says so.
    """
    try:
        found = DistilledSet.load(folder)
    except VddError as error:
        assert "\n" not in str(error) and str(folder) in str(error) and len(str(error)) < 700
        return False
    assert found.bytes_uint8 > 0
    try:
        assert found.draw()[0].isfinite().all()
    except BrokenVideo as error:
        assert found.content.stores_files and "\n" not in str(error) and len(str(error)) < 700
        return False
    return True


def copied(folders, kind, tmp_path_factory):
    place = tmp_path_factory.mktemp("broken") / "set"
    shutil.copytree(folders[kind], place)
    return place


@pytest.mark.parametrize("kind", ["stored", "pixels", "stills", "encoded", "mosaics"])
def test_every_missing_and_every_extra_tensor_is_refused(folders, kind, tmp_path_factory):
    place = copied(folders, kind, tmp_path_factory)
    tensors = load_file(place / "tensors.safetensors")
    for name in tensors:
        save_file({n: t for n, t in tensors.items() if n != name}, place / "tensors.safetensors")
        assert not loads_or_is_refused(place), name
    for extra in ("content.more", "content.sub.weight"):
        save_file(tensors | {extra: torch.zeros(2)}, place / "tensors.safetensors")
        assert not loads_or_is_refused(place), extra


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": torch.tensor([0, 0, 1, 2])}, "labels range from 0 to 2, but there are 2 classes"),
        ({"labels": torch.tensor([0, -1, 1, 1])}, "labels range from -1 to 1"),
        ({"labels": torch.tensor([0.0, 0, 1, 1])}, "labels must be int64"),
        ({"labels": torch.zeros(0, dtype=torch.int64)}, "labels must be int64"),
        ({"targets": torch.ones(4, 3)}, r"soft targets must be finite \[4, 2\]"),
        ({"targets": torch.full((4, 2), torch.nan)}, "soft targets must be finite"),
        (
            {"content.frames": torch.zeros(4, 3, 16, 16, 3)},
            r"'frames' must be torch.uint8 \[N, T, H, W, 3\], but is torch.float32",
        ),
        ({"content.frames": torch.zeros(4, 3, 16, 3, dtype=torch.uint8)}, "'frames' must be torch.uint8"),
        ({"content.mean": torch.zeros(4)}, "mean must be three finite numbers"),
        ({"content.std": torch.tensor([0.1, 0.0, 0.1])}, "std must be positive"),
    ],
)
def test_tensors_are_checked_as_they_are_loaded(folders, change, said, tmp_path_factory):
    place = copied(folders, "stored", tmp_path_factory)
    save_file(load_file(place / "tensors.safetensors") | change, place / "tensors.safetensors")
    with pytest.raises(VddError, match=f"not a complete distilled set.*{said}"):
        DistilledSet.load(place)


@settings(max_examples=150, phases=PHASES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["stored", "pixels", "stills", "encoded", "mosaics"]), st.data())
def test_whatever_a_card_says(folders, kind, data):
    folder = folders[kind]
    good = (folder / "card.json").read_text()
    card = json.loads(good)
    for name in data.draw(st.lists(st.sampled_from(sorted(card)), min_size=1, max_size=2)):
        card[name] = data.draw(JSON)
    try:
        (folder / "card.json").write_text(json.dumps(card))
        loads_or_is_refused(folder)
    finally:
        (folder / "card.json").write_text(good)


@settings(max_examples=80, phases=PHASES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["encoded", "mosaics"]), st.sampled_from(["card.json", "tensors.safetensors"]), st.data())
def test_whatever_bytes_lie_there(folders, kind, name, data):
    path = folders[kind] / name
    good = path.read_bytes()
    cut = data.draw(st.integers(0, len(good) - 1))
    junk = data.draw(st.binary(max_size=20))
    try:
        path.write_bytes(good[:cut] + junk + (good[cut + len(junk) :] if data.draw(st.booleans()) else b""))
        loads_or_is_refused(folders[kind])
    finally:
        path.write_bytes(good)


@settings(max_examples=120, phases=PHASES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["encoded", "mosaics"]), st.data())
def test_whatever_numbers_a_set_says(folders, kind, data):
    path = folders[kind] / "tensors.safetensors"
    good = path.read_bytes()
    tensors = load_file(path)
    names = [name for name, value in tensors.items() if value.dtype == torch.int64 and name != "labels"]
    for name in data.draw(st.lists(st.sampled_from(sorted(names)), min_size=1, max_size=2)):
        some = data.draw(st.integers(-3, 20) | st.sampled_from([2048, 2049, 8192, 2**40, -(2**63)]))
        tensors[name] = torch.full_like(tensors[name], some)
    try:
        save_file(tensors, path)
        loads_or_is_refused(folders[kind])
    finally:
        path.write_bytes(good)


@pytest.mark.parametrize("said", [{"lengths": [7, 6, 6, 6]}, {"width": 18}, {"height": 14}])
def test_a_stored_video_is_as_long_and_as_large_as_its_set_says(folders, said, tmp_path_factory):
    place = copied(folders, "mosaics", tmp_path_factory)
    tensors = load_file(place / "tensors.safetensors")
    save_file(tensors | {f"content.{n}": torch.tensor(v) for n, v in said.items()}, place / "tensors.safetensors")
    with pytest.raises(BrokenVideo, match=r"stored video 0 is \[6, 16, 16, 3\], not"):
        DistilledSet.load(place).draw()


def test_odd_sides_are_drawn_without_the_padding_of_their_files():
    frames = np.full((6, 15, 15, 3), 200, np.uint8)
    content = Mosaics([encode_bytes(frames)], [6], (15, 15), 1, geometry(3, 8, 1), MEAN, STD)
    assert content.decoded(0, 6, 15, 15).shape == (6, 15, 15, 3)
    assert EncodedClips([encode_bytes(frames)], 6, 15, 15, MEAN, STD)(torch.tensor([0]), None).shape == (
        1,
        3,
        6,
        15,
        15,
    )


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "3", "null", "", "{}", '{"kind": []}', "\xff"])
def test_cards_that_are_no_cards(folders, text, tmp_path_factory):
    place = copied(folders, "stored", tmp_path_factory)
    (place / "card.json").write_text(text, encoding="latin-1")
    assert not loads_or_is_refused(place)


def test_folders_that_are_none(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "absent", tmp_path, tmp_path / "file"):
        assert not loads_or_is_refused(place)
