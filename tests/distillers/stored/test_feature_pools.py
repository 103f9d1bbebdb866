"""IDTD's pools, selectors and fusors: re-typed arithmetic, draws, where they begin, bytes, and what is refused."""

import pytest
import torch

from vddlib import distillers
from vddlib.core.errors import VddError
from vddlib.distillers import DistilledSet, FeaturePools
from vddlib.distillers.matching.objective import Draw
from vddlib.training.networks import Network

SMALL = Network(options={"depth": 1, "widths": (8,), "dropout": 0.0})


def began(tiny, ipc=2, seed=3, **options):
    train = tiny[0]
    return FeaturePools(**options).begin(train, ipc, torch.arange(3 * ipc), seed, "cpu")


def build(**stored):
    return distillers.build("idtd", iterations=2, batch_real=3, network=SMALL, stored=stored)


def test_segments_are_weighed_features(tiny):
    content = began(tiny, selectors=3)
    made = content.segments(torch.tensor([4, 1]))
    assert made.shape == (2, 3, 3, 2, 32, 32)
    for place, video in enumerate((4, 1)):
        for k in range(3):
            by_hand = sum(content.selectors[video, k, r] * content.pool[video, r] for r in range(4))
            assert torch.allclose(made[place, k], by_hand + content.shifts[video, k], atol=1e-5)


def test_the_fusor_sums_over_colours_and_neighbouring_frames_and_is_averaged_to_the_length(tiny):
    content = began(tiny)
    segments = content.segments(torch.tensor([5]))
    made, joined = content.fused(segments, torch.tensor([5]))[0], torch.cat(list(segments[0]), 1)  # [3, 16, H, W]
    assert made.shape == (3, 8, 32, 32)
    padded = torch.cat([torch.zeros(3, 1, 32, 32), joined, torch.zeros(3, 1, 32, 32)], 1)
    for colour, frame, i, j in [(0, 0, 0, 0), (1, 3, 5, 7), (2, 7, 31, 31)]:
        twice = [
            (content.fusor[5, colour] * padded[:, t : t + 3, i, j]).sum() + content.fusor_bias[5, colour]
            for t in (2 * frame, 2 * frame + 1)  # 16 frames averaged to 8
        ]
        assert made[colour, frame, i, j].item() == pytest.approx(sum(twice).item() / 2, abs=1e-5)


def test_without_a_fusor_segments_are_stitched(tiny):
    content = began(tiny, parts="selectors")
    joined = torch.cat(list(content.segments(torch.tensor([0]))[0]), 1)
    assert torch.equal(content.videos(torch.tensor([0]))[0], joined[:, 1::2])


def test_a_draw_is_a_random_interval_of_the_video(tiny):
    content = began(tiny)
    everything, whole = torch.arange(6), began(tiny, crop=False)
    assert torch.allclose(whole(everything, torch.Generator()), whole.videos(everything), atol=1e-6)
    draw = Draw(content, 0, 4)
    assert torch.equal(draw(everything), draw(everything)) and not torch.equal(draw(everything), draw(everything, 1))
    assert torch.equal(draw(torch.tensor([4, 0])), draw(everything)[[4, 0]])
    low, high = content.videos(everything).amin(2, keepdim=True), content.videos(everything).amax(2, keepdim=True)
    assert (draw(everything) >= low - 1e-5).all() and (draw(everything) <= high + 1e-5).all()


def test_shorter_videos_are_drawn_as_long_as_real_clips(tiny):
    content = began(tiny, length=4)
    assert content.videos(torch.arange(6)).shape[2] == 4 and content.pool.shape[3] == 1
    assert content(torch.arange(6), torch.Generator()).shape == (6, 3, 8, 32, 32)
    assert content.pixels(torch.Generator()).shape == (6, 4, 32, 32, 3)


def test_from_real_clips_segments_are_real_clips_shortened(tiny):
    content = began(tiny, ipc=1, init="real", crop=False)
    real = distillers.Random().distill(tiny[0], 4, 3).draw()[0].unflatten(0, (3, 4))
    assert torch.equal(content.pool[1, 2], real[1, 2][:, [2, 6]])
    segments = content.segments(torch.arange(3))
    assert (
        segments[1, 4] - content.pool[1, 2]
    ).abs().mean() < 0.3  # the fifth of eight selectors takes the third of four
    fused = content.fused(segments, torch.arange(3))
    pairs = segments.transpose(1, 2).flatten(2, 3).unflatten(2, (8, 2)).mean(3)
    assert torch.allclose(fused, pairs, atol=1e-5)  # the fusor keeps what it is given


def test_free_segments_begin_as_real_videos(tiny):
    content = began(tiny, ipc=1, parts="fusor", selectors=5)
    assert content.pool.shape == (3, 5, 3, 1, 32, 32) and torch.equal(content.segments(torch.arange(3)), content.pool)
    assert not content.selectors.requires_grad and content.fusor.requires_grad
    assert began(tiny, ipc=5, parts="fusor").pool.shape[1] == 8  # 40 a class, of fewer videos: some are taken twice


@pytest.mark.parametrize("options", [{}, {"parts": "selectors"}, {"parts": "fusor"}, {"length": 6, "entries": 3}])
def test_bytes_of_pools_are_at_most_those_of_the_videos_as_float32(tiny, options):
    content = began(tiny, **options)
    assert content.pool.numel() <= content.videos(torch.arange(6)).numel() == content.bytes_of_videos()
    used = content.pool.numel() + 6 * (0 if options.get("parts") == "fusor" else content.selectors[0].numel() + 8)
    used += 6 * (0 if options.get("parts") == "selectors" else 30)
    sizes = content.sizes()
    assert sizes.float32 == sizes.uint8 == sizes.stream == 4 * used and sizes.container == 0


def test_saved_and_loaded_it_draws_the_same_videos(tiny, tmp_path):
    made = build(least=0.2).distill(tiny[0], 1)
    back = DistilledSet.load(made.save(tmp_path / "set"))
    assert back.content.kind == "idtd" and back.state() == made.state() and made.card["method"] == "idtd"
    for epoch in range(3):
        assert torch.equal(back.batch(torch.arange(3), epoch=epoch)[0], made.batch(torch.arange(3), epoch=epoch)[0])
    assert len(list((tmp_path / "set").glob("*.mp4"))) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"pool": torch.zeros(3, 4, 3, 2, 32, 16)},
        {"selectors": torch.zeros(3, 8, 5)},
        {"fusor": torch.zeros(3, 3, 3, 2)},
        {"fusor_bias": torch.full((3, 3), torch.nan)},
        {"length": torch.tensor(0)},
        {"frames": torch.tensor(2**40)},
        {"least": torch.tensor(1.5, dtype=torch.float64)},
        {"selects": torch.tensor(0)},
    ],
)
def test_damaged_pools_are_refused(tiny, change, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = build().distill(tiny[0], 1).save(tmp_path / "set", previews=False)
    tensors = load_file(folder / "tensors.safetensors") | {f"content.{name}": value for name, value in change.items()}
    save_file(tensors, folder / "tensors.safetensors")
    with pytest.raises(VddError, match="not a complete distilled set"):
        DistilledSet.load(folder)


def test_what_cannot_begin_is_refused(tiny):
    with pytest.raises(VddError, match="must be odd"):
        began(tiny, kernel=2)
    assert began(tiny, entries=9).pool.shape[1] == 8  # one per frame, and no more values than the video
    with pytest.raises(VddError, match="can only store featurepools, not freepixels"):
        distillers.build("idtd", stored=distillers.FreePixels())


@pytest.mark.parametrize("name", ["dm", "mtt"])
def test_other_objectives_fit_it_too(tiny, name):
    options = {
        "dm": {"batch_real": 3},
        "mtt": {"experts": {"count": 1, "batch_size": 9}, "max_start_epoch": 1, "syn_steps": 2},
    }
    method = distillers.build(f"{name}+idtd", iterations=2, network=SMALL, lr_pixels=1.0, **options[name])
    before, made = method.content(tiny[0], 1, 0).state(), method.distill(tiny[0], 1)
    changed = {part for part, value in made.content.state().items() if not torch.equal(value, before[part])}
    assert made.card["method"] == f"{name}+idtd" and changed == {"pool", "selectors", "shifts", "fusor", "fusor_bias"}
