"""A distilled set as a folder of videos: what is written comes back, and anybody's folder becomes a set."""

import json

import numpy as np
import pytest
import torch

from tests.conftest import moving_square
from vddlib.core.errors import VddError
from vddlib.datasets.video import encode
from vddlib.distillers import Random, build
from vddlib.distillers.videofolder import METADATA, geometry_of, read_set, write_videofolder

COLOURS = ("Red", "Green", "Blue")  # the classes of `tiny`


def folder_of(root, frames=8, width=32, height=32, ipc=2):
    """Videos by class, as somebody might send them."""
    for label, name in enumerate(COLOURS):
        (root / name).mkdir(parents=True)
        for number in range(ipc):
            encode(root / name / f"clip{number}.mp4", moving_square(label, number, frames, width, height), 8, 5)
    return root


def test_what_is_written_comes_back(tiny, tmp_path):
    train, _ = tiny
    made = Random().distill(train, 2, seed=3)
    back = read_set(write_videofolder(made, tmp_path / "out", quality=0), train)
    assert back.labels.tolist() == made.labels.tolist() and back.classes == made.classes
    # H.264 halves the resolution of colour: brightness is what it keeps.
    grey, again = (clips.astype(float).mean(-1) for clips in (made.pixels, back.pixels))
    assert np.abs(grey - again).mean() < 2
    kept = ("method", "ipc", "seed", "dataset_sha256", "geometry", "videos")
    assert all(back.card[name] == made.card[name] for name in kept)
    assert geometry_of(tmp_path / "out") == train.geometry
    lines = [json.loads(line) for line in (tmp_path / "out" / METADATA).read_text().splitlines()]
    assert [line["label"] for line in lines] == [name for name in COLOURS for _ in range(2)]
    with pytest.raises(VddError, match="not empty"):
        write_videofolder(made, tmp_path / "out")


def test_soft_labels_keep_their_classes_in_another_order(tiny, tmp_path):
    train, _ = tiny
    made = Random().distill(train, 1, seed=0)
    soft = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]])
    folder = write_videofolder(made.with_targets(soft, temperature=4.0), tmp_path / "out")
    other = train.only(["Blue", "Red", "Green"])
    back = read_set(folder, other)
    assert back.card["temperature"] == 4.0 and back.labels.tolist() == [0, 1, 2]
    torch.testing.assert_close(back.targets, soft[[2, 0, 1]][:, [2, 0, 1]])


def test_files_that_a_method_stores_are_copied(tiny, tmp_path):
    train, _ = tiny
    made = build("random_encoded", quality=30, budget=100_000).distill(train, 1, seed=0)
    folder = write_videofolder(made, tmp_path / "out")
    copied = [path.read_bytes() for path in sorted((folder / "videos").rglob("*.mp4"), key=lambda path: path.name)]
    assert copied == made.content.files()
    assert read_set(folder, train).sizes.stream == made.sizes.stream


def test_a_folder_of_videos_by_class_is_a_set(tiny, tmp_path):
    train, _ = tiny
    made = read_set(folder_of(tmp_path / "theirs"), train)
    assert len(made) == 6 and made.card["ipc"] == 2 and made.card["method"] == "unknown"
    clips, targets = made.draw()
    assert clips.shape == (6, 3, 8, 32, 32) and targets.tolist() == [0, 0, 1, 1, 2, 2]
    assert made.bytes_video == sum(path.stat().st_size for path in tmp_path.rglob("*.mp4"))


def test_longer_and_larger_videos_are_drawn_from_as_a_dataset_is(tiny, tmp_path):
    train, _ = tiny
    made = read_set(folder_of(tmp_path / "theirs", frames=30, width=64, height=48), train)
    one, other = made.batch([0], epoch=0)[0], made.batch([0], epoch=1)[0]
    assert one.shape == (1, 3, 8, 32, 32) and not torch.equal(one, other)  # another start


def test_a_saved_set_is_read_as_it_is_and_must_fit(tiny, tmp_path):
    train, _ = tiny
    made = Random().distill(train, 1, seed=0)
    made.save(tmp_path / "saved", previews=False)
    torch.testing.assert_close(read_set(tmp_path / "saved", train).draw()[0], made.draw()[0])
    longer = train.subset(range(len(train)))
    longer.geometry = train.geometry.model_copy(update={"frames": 4})
    with pytest.raises(VddError, match=r"8 frames of 32x32, and .* is cut to 4 frames"):
        read_set(tmp_path / "saved", longer)


def rewritten(folder, change):
    """The metadata with every line changed."""
    lines = [json.loads(line) for line in (folder / METADATA).read_text().splitlines()]
    (folder / METADATA).write_text("\n".join(json.dumps(change(line)) for line in lines))


@pytest.mark.parametrize(
    "change, why",
    [
        (lambda line: line | {"label": "Grey"}, "'Grey' is no class"),
        (lambda line: line | {"label": 3}, "row 1: needs file_name and label"),
        (lambda line: line | {"file_name": "../../secret.mp4"}, "no video ../../secret.mp4 in the folder"),
        (lambda line: line | {"soft_label": [1, 2]}, "not 3 numbers"),
        (lambda line: line | {"soft_label": "high"}, "not 3 numbers"),
        (lambda line: line | ({"soft_label": [0, 0, 1]} if line["label"] == "Red" else {}), "1 of 3 videos"),
        (lambda line: line | {"label": "Red"}, "the class 'Green' of .* has no video"),
    ],
)
def test_metadata_that_cannot_be_right_is_refused(tiny, tmp_path, change, why):
    train, _ = tiny
    folder = write_videofolder(Random().distill(train, 1, seed=0), tmp_path / "out")
    rewritten(folder, change)
    with pytest.raises(VddError, match=why):
        read_set(folder, train)


def test_folders_that_hold_no_set_are_refused(tiny, tmp_path):
    train, _ = tiny
    with pytest.raises(VddError, match="no such folder"):
        read_set(tmp_path / "nowhere", train)
    (tmp_path / "empty").mkdir()
    with pytest.raises(VddError, match="nor a folder of videos"):
        read_set(tmp_path / "empty", train)
    short = folder_of(tmp_path / "short", frames=4)
    with pytest.raises(VddError, match="4 frames, and a clip has 8"):
        read_set(short, train)
    mixed = folder_of(tmp_path / "mixed")
    encode(mixed / "Red" / "large.mp4", moving_square(0, 9, 8), 8)
    with pytest.raises(VddError, match="videos of 2 sizes"):
        read_set(mixed, train)
    broken = folder_of(tmp_path / "broken")
    (broken / "Red" / "clip0.mp4").write_bytes(b"no video at all")
    with pytest.raises(VddError, match=r"clip0.mp4: not a readable video"):
        read_set(broken, train)
    soft = write_videofolder(Random().distill(train, 1, seed=0), tmp_path / "soft")
    rewritten(soft, lambda line: line | {"soft_label": [1, 0, 0]})
    (soft / "card.json").unlink()
    with pytest.raises(VddError, match=r"soft labels need card\.json"):
        read_set(soft, train)
    odd = write_videofolder(Random().distill(train, 1, seed=0), tmp_path / "odd")
    card = json.loads((odd / "card.json").read_text())
    (odd / "card.json").write_text(json.dumps(card | {"peak_memory_mb": "lots"}))
    with pytest.raises(VddError, match="peak_memory_mb is 'lots', not a number"):
        read_set(odd, train)
    (soft / METADATA).write_text("{not json")
    with pytest.raises(VddError, match="cannot be read"):
        read_set(soft, train)
