"""VDSD's memories and hallucinator: re-typed arithmetic, pairing, what is learned, bytes, and the three methods over them."""

import pytest
import torch

from vddlib import distillers
from vddlib.core import seeding
from vddlib.core.errors import VddError
from vddlib.distillers import DistilledSet, Memories, static_memory
from vddlib.distillers.matching.objective import Draw
from vddlib.training.networks import Network

SMALL = Network(options={"depth": 1, "widths": (8,), "dropout": 0.0})
STATIC = {"iterations": 2, "batch_real": 2, "network": {"name": "convnet", "options": {"depth": 1, "width": 8}}}
METHODS = {
    "dm": {"batch_real": 3},
    "mtt": {"experts": {"count": 1, "batch_size": 9}, "max_start_epoch": 1, "syn_steps": 2, "batch_syn": 4},
    "frepo": {"batch_real": 2, "pool": 1},
}


def build(name="dm", *, checkpoint_seconds=60, **stored):
    params = {"iterations": 3, "network": SMALL, "lr_pixels": 1.0, "checkpoint_seconds": checkpoint_seconds}
    params |= METHODS[name]
    return distillers.build(f"{name}+vdsd", stored={"static": STATIC, "lr_hallucinator": 1e-2, **stored}, **params)


def memories(videos=4, s=2, d=3, frames=5, size=6):
    g = torch.Generator().manual_seed(0)
    statics = torch.randn(videos, s, 3, size, size, generator=g)
    dynamics = torch.randn(videos, d, 1, frames, size, size, generator=g)
    with seeding.forked("memories", 0):
        return Memories(statics, dynamics, torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.2]))


def test_the_hallucinator_is_the_sum_over_neighbours_in_time_and_space():
    content = memories()
    made = content.pair(torch.tensor([2]), torch.tensor([1]), torch.tensor([0]))[0]
    weight, bias = content.hallucinator.weight.detach(), content.hallucinator.bias.detach()
    x = torch.zeros(4, 5 + 2, 6 + 2, 6 + 2)  # nothing around the clip
    for t in range(5):
        x[:3, t + 1, 1:-1, 1:-1] = content.statics[2, 1].detach()
        x[3, t + 1, 1:-1, 1:-1] = content.dynamics[2, 0, 0, t].detach()
    for c, t, i, j in [(0, 0, 0, 0), (1, 2, 3, 4), (2, 4, 5, 5), (0, 3, 0, 5)]:
        by_hand = (weight[c] * x[:, t : t + 3, i : i + 3, j : j + 3]).sum() + bias[c]
        assert made[c, t, i, j].item() == pytest.approx(by_hand.item(), abs=1e-5)


def test_a_draw_is_one_of_a_videos_own_pairs_each_as_likely():
    content, counts = memories(), torch.zeros(4, 2, 3)
    everything = torch.arange(4)
    pairs = [(s, d) for s in range(2) for d in range(3)]
    full = torch.full((4,), 0)
    possible = torch.stack([content.pair(everything, full + s, full + d) for s, d in pairs], 1)  # [4, 6, ...]
    for seed in range(300):
        drawn = content(everything, torch.Generator().manual_seed(seed))
        found = (drawn[:, None] - possible).flatten(2).abs().amax(2)
        assert (found.min(1).values == 0).all()
        for video, which in enumerate(found.argmin(1).tolist()):
            counts[(video, *pairs[which])] += 1
    assert (counts > 25).all() and (counts < 80).all()  # 50 expected, standard deviation 6.5


def test_draws_follow_the_seed_and_not_the_company():
    content = memories()
    for step in range(4):
        draw = Draw(content, 0, 7)
        whole = draw(torch.arange(4), step)
        assert torch.equal(draw(torch.arange(4), step), whole)
        assert torch.equal(draw(torch.tensor([3, 1]), step), whole[[3, 1]])
    draws = torch.stack([Draw(content, 0, i)(torch.arange(4)) for i in range(8)])
    assert len({tuple(d.flatten().tolist()) for d in draws}) > 1


def test_two_images_and_two_memories_a_video_by_default_images_of_static_dc(tiny):
    train, _ = tiny
    content = build().content(train, 2, 5)
    images = static_memory(distillers.build("static_dc", **STATIC).distill(train, 4, 5))  # [C, 4, 3, H, W]
    assert content.statics.shape == (6, 2, 3, 32, 32) and content.dynamics.shape == (6, 2, 1, 8, 32, 32)
    assert torch.equal(content.statics[3], images[1, 2:]) and content.prepared > 0
    frames = build(images="frames", statics=1).content(train, 2, 5)
    real = distillers.Random().distill(train, 2, 5).draw()[0]
    assert all((real[i] - frames.statics[i, 0][:, None]).abs().amax((0, 2, 3)).min() == 0 for i in range(6))
    with pytest.raises(VddError, match="videos"):
        build(statics=100).content(train, 2, 5)


def test_shorter_videos_are_drawn_as_long_as_real_clips(tiny):
    content = build(images="frames", length=3).content(tiny[0], 1, 0)
    assert content.dynamics.shape == (3, 2, 1, 3, 32, 32) and len(content.pixels(torch.Generator())[0]) == 8
    clips = content(torch.arange(3), torch.Generator())
    # Frame 1 of 8 lies two sevenths of the way from the first to the second of three.
    assert torch.allclose(clips[:, :, 1], clips[:, :, 0] + (clips[:, :, 2] - clips[:, :, 0]) / 2, atol=1e-4)


def test_stills_are_shown_as_they_are_at_first(tiny):
    content = build(begin_as="stills", images="frames").content(tiny[0], 1, 0)
    with torch.no_grad():
        content.dynamics.zero_()
        made = content.pair(torch.arange(3), torch.ones(3).long(), torch.zeros(3).long())
    assert torch.allclose(made, content.statics[:, 1].unsqueeze(2).expand_as(made), atol=1e-6)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("lr_static", [0.0, 0.5])
def test_each_method_moves_what_it_learns(tiny, name, lr_static):
    distiller, train = build(name, images="frames", lr_static=lr_static), tiny[0]
    before, made = distiller.content(train, 1, 0).state(), distiller.distill(train, 1)
    assert made.card["method"] == f"{name}+vdsd" and made.content.random
    changed = {part for part, value in made.content.state().items() if not torch.equal(value, before[part])}
    assert changed == {"dynamics", "hallucinator.weight", "hallucinator.bias"} | ({"statics"} if lr_static else set())


@pytest.mark.parametrize("name", METHODS)
def test_interrupted_and_resumed_it_gives_the_same_bits(tiny, tmp_path, monkeypatch, name):
    whole = build(name, images="frames").distill(tiny[0], 1).state()
    monkeypatch.setenv("VDD_CACHE", str(tmp_path))
    kind = type(build(name)).fitted_to
    step = kind.step

    def stop(self, draw, iteration):
        if iteration == 2:
            raise KeyboardInterrupt
        return step(self, draw, iteration)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(kind, "step", stop)
        build(name, images="frames", checkpoint_seconds=0).distill(tiny[0], 1)
    assert build(name, images="frames", checkpoint_seconds=0).distill(tiny[0], 1).state() == whole


def test_saved_and_loaded_it_draws_the_same_videos(tiny, tmp_path):
    made = build(images="frames").distill(tiny[0], 1)
    back = DistilledSet.load(made.save(tmp_path / "set"))
    assert back.content.kind == "vdsd" and back.state() == made.state()
    for epoch in range(3):
        assert torch.equal(back.batch(torch.arange(3), epoch=epoch)[0], made.batch(torch.arange(3), epoch=epoch)[0])


def test_bytes_count_both_memories_and_the_hallucinator(tiny):
    made = build(images="frames").distill(tiny[0], 1)
    images, others = 3 * 2 * 3 * 32 * 32, 3 * 2 * 8 * 32 * 32 + 3 * 4 * 27 + 3
    assert made.bytes_float32 == 4 * (images + others) and made.bytes_uint8 == images + 4 * others
    assert len(made.content.files()) == 6 and made.bytes_stream > 4 * others


@pytest.mark.parametrize(
    "change",
    [
        {"statics": torch.zeros(3, 2, 3, 32, 16)},
        {"dynamics": torch.zeros(2, 2, 1, 8, 32, 32)},
        {"hallucinator.weight": torch.zeros(3, 4, 1, 1, 1)},
        {"hallucinator.bias": torch.full((3,), torch.nan)},
        {"frames": torch.tensor(0)},
    ],
)
def test_damaged_memories_are_refused(tiny, change, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = build(images="frames").distill(tiny[0], 1).save(tmp_path / "set", previews=False)
    tensors = load_file(folder / "tensors.safetensors") | {f"content.{name}": value for name, value in change.items()}
    save_file(tensors, folder / "tensors.safetensors")
    with pytest.raises(VddError, match="not a complete distilled set"):
        DistilledSet.load(folder)
