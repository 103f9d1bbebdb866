"""Herding and k-center against their definitions, and what a DistilledSet keeps."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import write_ucf
from vddlib import distillers
from vddlib.core import seeding
from vddlib.core.errors import VddError
from vddlib.datasets.clips import load
from vddlib.datasets.geometry import Geometry, geometry
from vddlib.datasets.video import encode, probe
from vddlib.distillers import DistilledSet, Herding, KCenter, Random
from vddlib.distillers.selection import csta, kcenter
from vddlib.distillers.selection import embedding as selection_embedding
from vddlib.models import MiniC3D

G = torch.Generator()


def points(seed, n=12, d=3):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, d))).float()


@given(st.integers(0, 10_000), st.integers(1, 8))
def test_herding_is_welling_s_rule(seed, ipc):
    """Re-typed: each step minimises the distance of the running mean to the class mean."""
    x = points(seed).double().numpy()
    mean, chosen = x.mean(0), []
    for _ in range(ipc):
        gaps = {i: np.linalg.norm(mean - x[[*chosen, i]].mean(0)) for i in range(len(x)) if i not in chosen}
        chosen.append(min(gaps, key=gaps.get))
    assert Herding().choose(points(seed), ipc, G).tolist() == chosen


@given(st.integers(0, 10_000), st.integers(1, 8))
def test_kcenter_takes_the_farthest_from_all_centres(seed, ipc):
    """Re-typed brute force: the distance to *every* centre counts, also beyond the second."""
    x = points(seed).double().numpy()
    chosen = [min(range(len(x)), key=lambda i: max(np.linalg.norm(x[i] - x[j]) for j in range(len(x))))]
    while len(chosen) < ipc:
        nearest = {i: min(np.linalg.norm(x[i] - x[c]) for c in chosen) for i in range(len(x)) if i not in chosen}
        chosen.append(max(nearest, key=nearest.get))
    assert KCenter().choose(points(seed), ipc, G).tolist() == chosen


@pytest.mark.parametrize("chunk", [1, 5, 12, 99])
def test_a_large_class_is_looked_at_in_parts_with_the_same_result(monkeypatch, chunk):
    x, real, sizes = points(3), torch.cdist, []
    wanted, scores = KCenter().choose(x, 6, G), csta.attention_scores(x)
    for module in (kcenter, csta):
        monkeypatch.setattr(module, "CHUNK", chunk)
    monkeypatch.setattr(torch, "cdist", lambda a, b, **how: sizes.append(len(a)) or real(a, b, **how))
    assert torch.equal(KCenter().choose(x, 6, G), wanted) and max(sizes) == min(chunk, 12)
    torch.testing.assert_close(csta.attention_scores(x), scores)


@given(st.integers(0, 10_000), st.integers(2, 4))
@settings(max_examples=30)
def test_kcenter_is_within_twice_the_best_radius(seed, k):
    """Gonzalez' guarantee, against the best of all sets of k centres."""
    x = points(seed, n=9)
    distances = torch.cdist(x, x)

    def radius(centres):
        return distances[:, list(centres)].min(1).values.max().item()

    best = min(radius(centres) for centres in itertools.combinations(range(len(x)), k))
    assert radius(KCenter().choose(x, k, G).tolist()) <= 2 * best + 1e-5


def test_duplicates_are_not_chosen_twice():
    x = torch.zeros(5, 2)
    for kind in (Herding, KCenter):
        assert sorted(kind().choose(x, 5, G).tolist()) == [0, 1, 2, 3, 4]


def test_random_is_uniform_and_seeded():
    counts = torch.zeros(6)
    for seed in range(600):
        counts[Random().choose(torch.zeros(6, 1), 2, seeding.generator(seed))] += 1
    assert counts.min() > 150 and counts.max() < 250  # expected 200, sd 11.5
    a, b = (Random().choose(torch.zeros(6, 1), 3, seeding.generator(7)) for _ in range(2))
    assert torch.equal(a, b)


@pytest.mark.parametrize("method", ["random", "herding", "kcenter"])
def test_selection_stores_real_clips_of_each_class(tiny, method):
    train, _ = tiny
    params = {} if method == "random" else {"weights": "random", "network": {"options": {"depth": 2, "widths": (4, 4)}}}
    a, b, other = (distillers.build(method, **params).distill(train, 2, seed=s) for s in (0, 0, 1))
    assert a.labels.tolist() == [0, 0, 1, 1, 2, 2] and a.pixels.shape == (6, 8, 32, 32, 3)
    assert a.state() == b.state() != other.state()
    for i, name in enumerate(a.card["videos"]):
        assert np.array_equal(a.pixels[i], train.clip(train.names.index(name), epoch=0, seed=0))
    assert torch.equal(a.batch([0, 5])[0], train.standardise(a.pixels[[0, 5]]))


def test_a_given_network_is_the_one_that_embeds(tiny):
    train, _ = tiny
    model = MiniC3D(3, frames=8, size=32, depth=2, widths=(4, 4))
    chosen = Herding(model=model).distill(train, 1, seed=3)
    with torch.no_grad():
        for label in range(3):
            members = train.of_class(label)
            x = model.eval().embed(train.batch(members, epoch=0, seed=3)[0])
            nearest = members[(x - x.mean(0)).norm(dim=1).argmin()]
            assert chosen.card["videos"][label] == train.names[nearest]


def test_a_trained_network_is_trained_once_per_seed(tiny, monkeypatch):
    from vddlib.training import networks

    fits, real = [], networks.fit

    def fit(*arguments, **options):
        fits.append(options["seed"])
        log = real(*arguments, **options)
        log.seconds = 1000.0
        return log

    monkeypatch.setattr(networks, "fit", fit)
    params = {"network": {"options": {"depth": 2, "widths": (4, 4)}}, "recipe": {"epochs": 1, "batch_size": 8}}
    for method in ("herding", "kcenter"):
        for seed in (0, 1):
            made = distillers.build(method, **params).distill(tiny[0], 1, seed=seed)
            assert made.card["distill_seconds"] > 1000  # the training counts, also when it came out of the cache
    assert fits == [networks.seed_of("embedding", seed) for seed in (0, 1)]


def test_a_network_that_diverged_selects_nothing(tiny):
    model = MiniC3D(3, frames=8, size=32, depth=2, widths=(4, 4))
    for p in model.parameters():
        torch.nn.init.constant_(p, torch.nan)
    with pytest.raises(VddError, match="herding: the embeddings of tiny are not finite"):
        Herding(model=model).distill(tiny[0], 1)
    params = {"network": {"options": {"depth": 2, "widths": (4, 4)}}, "recipe": {"epochs": 9, "lr": 1e6}}
    with pytest.raises(VddError, match="kcenter: its embedding network diverged in epoch"):
        distillers.build("kcenter", **params).distill(tiny[0], 1)


def test_saved_and_loaded_is_the_same(tiny, tmp_path):
    made = Random().distill(tiny[0], 1, seed=0)
    folder = made.save(tmp_path / "set")
    back = DistilledSet.load(folder)
    assert back.state() == made.state() and back.classes == made.classes
    assert torch.equal(back.draw()[0], made.draw()[0])
    assert back.card["params"] == {} and back.card["videos"] == made.card["videos"]
    previews = sorted(folder.glob("*.mp4"))
    assert [p.name for p in previews] == ["0000_Red.mp4", "0001_Green.mp4", "0002_Blue.mp4"]
    assert probe(previews[0]).frames == 8
    assert not list(folder.glob("*.p*kl*")) and not list(folder.glob("*.pt"))


def test_soft_labels_survive_saving_and_cost_bytes(tiny, tmp_path):
    hard = Random().distill(tiny[0], 1, seed=0)
    soft = DistilledSet(hard.content, hard.labels, hard.classes, hard.card, torch.rand(3, 3))
    assert torch.equal(DistilledSet.load(soft.save(tmp_path / "s")).targets, soft.targets)
    pixels = 3 * 8 * 32 * 32 * 3
    assert (hard.bytes_float32, hard.bytes_uint8) == (4 * pixels, pixels)
    assert (soft.bytes_float32, soft.bytes_uint8) == (4 * pixels + 36, pixels + 36)
    assert soft.bytes_video == hard.bytes_video + 36


def test_full_is_the_train_split_redrawn_every_epoch(tiny):
    train, _ = tiny
    full = distillers.build("full").distill(train)
    assert len(full) == len(train) and full.card["ipc"] is None
    assert not torch.equal(full.batch([0, 1, 2], epoch=0)[0], full.batch([0, 1, 2], epoch=1)[0])
    assert full.bytes_uint8 == 18 * 8 * 32 * 32 * 3
    assert full.bytes_video == sum(train.path(i).stat().st_size for i in range(18))


def test_bad_input(tiny, tmp_path):
    train, _ = tiny
    with pytest.raises(VddError, match="ipc 7 is larger than the class Red of tiny, which has 6"):
        Random().distill(train, 7)
    with pytest.raises(VddError, match="at least 1"):
        Random().distill(train, 0)
    with pytest.raises(VddError, match="unknown method 'hreding': did you mean 'herding'"):
        distillers.build("hreding")
    with pytest.raises(VddError, match=r"herding: wieghts: extra inputs.*weights"):
        distillers.build("herding", wieghts="random")
    with pytest.raises(VddError, match="herding: weights"):
        distillers.build("herding", weights="pretrained")
    with pytest.raises(VddError, match="not a complete distilled set"):
        DistilledSet.load(tmp_path)


@pytest.mark.parametrize("method", ["random", "herding"])
def test_candidates_come_from_the_pool_under_the_statistics_of_real_clips(tiny, pool, method, monkeypatch):
    train, _ = tiny
    pool.mean, pool.std = torch.tensor([0.9, 0.1, 0.5]), torch.tensor([0.7, 0.2, 0.4])
    seen, embed = [], selection_embedding.embed
    monkeypatch.setattr(selection_embedding, "embed", lambda m, clips, **k: seen.append(clips) or embed(m, clips, **k))
    params = {} if method == "random" else {"weights": "random", "network": {"options": {"depth": 2, "widths": (4, 4)}}}
    made = distillers.build(method, **params).distill(train, 2, seed=0, candidates=pool)
    assert made.card["pool"] == "pool" and made.card["dataset"] == train.dataset and len(made) == 6
    for i, name in enumerate(made.card["videos"]):
        frames = pool.clip(pool.names.index(name), epoch=0, seed=0)
        assert np.array_equal(made.pixels[i], frames)
        assert torch.equal(made.draw()[0][i], train.standardise(frames[None])[0])
    assert all(torch.equal(clips.mean, train.mean) and torch.equal(clips.std, train.std) for clips in seen)
    assert len(seen) == (method == "herding")
    with pytest.raises(VddError, match="ipc 5 is larger than the class Red of pool, which has 4"):
        Random().distill(train, 5, candidates=pool)


def test_a_pool_that_does_not_fit_is_refused(tiny, pool):
    train, _ = tiny
    with pytest.raises(VddError, match="classes of the pool pool are not those of tiny in the same order"):
        Random().distill(train, 1, candidates=pool.only(["Green", "Red", "Blue"]))
    with pytest.raises(VddError, match=r"clips of the pool are .+stride=3"):
        other = pool._copy()
        other.geometry = geometry(8, 32, 3)
        Random().distill(train, 1, candidates=other)


def test_videos_that_are_clips_already_fit_whatever_their_stride(tiny, tmp_path):
    """Generated ones: as long and as large as a clip of `train`, at stride 1. Longer ones would be cut at another stride."""
    train, _ = tiny
    for name, length in (("whole", 8), ("longer", 9)):
        root = write_ucf(tmp_path / name, train=2, test=1)
        for path in (root / "UCF-101").rglob("*.mp4"):
            encode(path, np.random.default_rng(0).integers(0, 256, (length, 32, 32, 3), dtype=np.uint8))
        pool = load(str(root), Geometry(frames=8, size=32, stride=1, resize=(32, 32)), workers=1)[0]
        if name == "longer":
            with pytest.raises(VddError, match="clips of the pool are"):
                Random().distill(train, 1, candidates=pool)
        else:
            assert Random().distill(train, 1, candidates=pool).pixels.shape == (3, 8, 32, 32, 3)
