"""What the tests of the optimising distillers share."""

import pytest
import torch

from vddlib.datasets.clips import load
from vddlib.datasets.geometry import geometry
from vddlib.distillers.matching.objective import Draw
from vddlib.distillers.stored.pixels import Pixels, initial


@pytest.fixture(scope="session")
def tiny(tiny_root, tiny_store):
    """The made dataset's train and test clips, as everywhere, but the same objects for all tests here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VDD_CACHE", str(tiny_store))
        return load(str(tiny_root), geometry(8, 32, 2), workers=1)


@pytest.fixture
def pixels(tiny) -> Pixels:
    """Two clips per class of `tiny` to learn, class after class: four real ones moved a little, so that none is at rest."""
    train, _ = tiny
    clips = initial(train, 2, 0, "real")
    noise = torch.randn(clips.shape, generator=torch.Generator().manual_seed(0))
    return Pixels(clips + 0.3 * noise, train.mean, train.std)


@pytest.fixture
def step():
    """`step(objective, content, iteration)`: (what the step reports, the gradient it leaves in the clips)."""

    def run(objective, content, iteration=3):
        content.zero_grad(set_to_none=True)
        values = objective.step(Draw(content, 0, iteration), iteration)
        return values, content.clips.grad

    return run


@pytest.fixture
def close():
    """Whether two tensors (or numbers) agree to `share` of the second's largest value."""

    def agree(a, b, share=1e-4):
        a, b = (torch.as_tensor(x).detach().double() for x in (a, b))
        return a.shape == b.shape and bool((a - b).abs().max() <= share * b.abs().max()) and bool(b.abs().max() > 0)

    return agree
