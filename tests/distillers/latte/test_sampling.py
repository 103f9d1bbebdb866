"""Noise and the way back: the schedule's arithmetic, guidance, and samples that depend on their own streams alone."""

import pytest
import torch

from vddlib.core import seeding
from vddlib.distillers.latte.sampling import guided, sample, schedule, wanted
from vddlib.distillers.latte.transformer import LatteTransformer

SHAPE = (3, 2, 4, 4)


def network(seed=0):
    with seeding.forked("sampling", seed):
        model = LatteTransformer(2, 2, 3, 4, depth=2, width=16, heads=2, patch=2)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def streams(*numbers):
    return [seeding.generator("sample", number) for number in numbers]


def test_the_schedule_is_ho_s():
    """x_t = sqrt(prod (1 - beta)) x_0 + sqrt(1 - prod (1 - beta)) e, betas linear from 1e-4 to 0.02."""
    kept, x, noise = 1.0, torch.randn(SHAPE), torch.randn(SHAPE)
    for t in range(501):
        kept *= 1 - (1e-4 + (0.02 - 1e-4) * t / 999)
    noisy = schedule().add_noise(x, noise, torch.tensor([500]))
    torch.testing.assert_close(noisy, kept**0.5 * x + (1 - kept) ** 0.5 * noise, rtol=1e-4, atol=1e-4)
    assert schedule().alphas_cumprod[-1] < 1e-4  # nothing is left of a clip at the last step


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
@pytest.mark.parametrize("steps", [1, 7, 50])
@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_who_knows_the_clip_finds_it_again(sampler, steps, prediction):
    """A network that tells the true noise (clip, velocity): sampling ends at the clip, whatever it began with."""
    clip = torch.randn(SHAPE, generator=torch.Generator().manual_seed(3))

    class Knows(torch.nn.Module):
        classes = 2

        def forward(self, x, times, labels):
            kept = schedule().alphas_cumprod[times].view(-1, 1, 1, 1, 1)
            noise = (x - kept.sqrt() * clip) / (1 - kept).sqrt()
            return wanted(schedule(), prediction, clip.expand_as(x), noise, times)

    options = {"steps": steps, "sampler": sampler, "prediction": prediction}
    found = sample(Knows(), torch.tensor([0, 1]), SHAPE, streams(0, 1), **options)
    torch.testing.assert_close(
        found, clip.expand(2, *SHAPE), rtol=1e-3, atol=0.05
    )  # 7 does not divide 1000: a hundredth is left


def test_guidance_one_is_the_conditional_network_and_more_goes_on_from_no_class():
    model, x, labels = network(), torch.randn(2, *SHAPE), torch.tensor([0, 1])
    times = torch.tensor([9, 9])
    given, free = model(x, times, labels), model(x, times, torch.tensor([2, 2]))
    assert torch.equal(guided(model, x, 9, labels, 1.0), given)
    torch.testing.assert_close(guided(model, x, 9, labels, 3.0), 3 * given - 2 * free, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(guided(model, x, 9, labels, 0.0), free)


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_a_video_does_not_depend_on_its_neighbours(sampler):
    options = {"steps": 5, "guidance": 2.0, "sampler": sampler}
    both = sample(network(), torch.tensor([1, 0]), SHAPE, streams(7, 8), **options)
    alone = sample(network(), torch.tensor([0]), SHAPE, streams(8), **options)
    torch.testing.assert_close(both[1:], alone, rtol=1e-3, atol=1e-3)
    again = sample(network(), torch.tensor([1, 0]), SHAPE, streams(7, 8), **options)
    assert torch.equal(both, again)
    other = sample(network(), torch.tensor([1, 0]), SHAPE, streams(7, 9), **options)
    assert (both[1] - other[1]).abs().max() > 0.1
