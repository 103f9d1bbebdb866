"""Architectures: published sizes, shapes at several geometries, one seed one network."""

import copy
from itertools import pairwise

import pytest
import torch

from vddlib.core.errors import VddError
from vddlib.models import MODELS, MiniC3D, build, count_parameters, layer_shapes


def test_minic3d_has_the_published_size():
    model = build("minic3d", 50, frames=16, size=112)
    by_hand = sum(i * o * 3 * 7 * 7 + o for i, o in ((3, 64), (64, 128), (128, 128))) + 128 * 50 + 50
    assert count_parameters(model) == by_hand == 3_647_666
    assert not [m for m in model.modules() if "Norm" in type(m).__name__]
    assert [m for m in build("minic3d_bn", 50, frames=16, size=112).modules() if isinstance(m, torch.nn.BatchNorm3d)]


def test_minic3d_shapes_are_those_of_the_figure():
    rows = layer_shapes(MiniC3D(50), torch.zeros(1, 3, 16, 112, 112))
    shapes = [shape for _, kind, shape, _ in rows if kind in ("Conv3d", "MaxPool3d", "AvgPool3d")]
    assert shapes == [(64, 16, 56, 56), (64, 16, 28, 28), (128, 16, 14, 14), (128, 8, 7, 7), (128, 8, 4, 4),
                      (128, 4, 2, 2), (128, 3, 1, 1), (50, 3, 1, 1)]  # fmt: skip


@pytest.mark.parametrize("options", [{"norm": "none"}, {"norm": "batch"}], ids=str)
@pytest.mark.parametrize("name", ["minic3d", "c3d"])
def test_pools_before_relus_give_the_bits_of_the_published_order(name, options):
    """Logits, gradients, and gradients of gradients (MTT's), where ReLU comes first as in the papers' figures."""
    sizes = {"width": 0.05, "hidden": 16} if name == "c3d" else {"widths": (6, 8), "depth": 2}
    model = build(name, 4, frames=8, size=32, dropout=0.0, **sizes, **options)
    published = copy.deepcopy(model)
    layers = list(published.features)
    for at, (layer, after) in enumerate(pairwise(layers)):
        if isinstance(layer, torch.nn.MaxPool3d) and isinstance(after, torch.nn.ReLU):
            layers[at], layers[at + 1] = torch.nn.ReLU(), layer
    published.features = torch.nn.Sequential(*layers)
    assert [type(layer) for layer in layers] != [type(layer) for layer in model.features]
    clips, found = torch.randn(3, 3, 8, 32, 32, generator=torch.Generator().manual_seed(0)), []
    for one in (model, published):
        mine = clips.clone().requires_grad_()
        logits = one(mine)
        first = torch.autograd.grad(logits.logsumexp(1).sum(), list(one.parameters()), create_graph=True)
        second = torch.autograd.grad(sum(gradient.square().sum() for gradient in first), mine)
        found.append([logits, *first, *second])
    assert found[0][-1].abs().max() > 0
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found[0][:-1], found[1][:-1], strict=True))
    if options["norm"] == "none":
        assert torch.equal(found[0][-1], found[1][-1])
    else:  # what reaches a BatchNorm's output twice is added in another order
        torch.testing.assert_close(found[0][-1], found[1][-1], rtol=1e-5, atol=1e-6 * float(found[1][-1].abs().max()))


def test_minic3d_answers_with_the_maximum_over_time():
    model = MiniC3D(5, frames=16, size=64).eval()
    clips = torch.randn(2, 3, 16, 64, 64)
    with torch.no_grad():
        over_time = model.classifier(model.pool(model.features(clips)))
        assert over_time.shape == (2, 5, 3, 1, 1)
        assert torch.allclose(model(clips), over_time[..., 0, 0].max(2).values)
        assert torch.equal(model.embed(clips), model.features(clips).flatten(1))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("frames", "size"), [(8, 64), (16, 64)])
def test_every_model_gives_logits_and_an_embedding(name, frames, size):
    options = {"width": 0.1, "hidden": 32} if name == "c3d" else {}
    model = build(name, 7, frames=frames, size=size, seed=1, **options).eval()
    clips = torch.randn(2, 3, frames, size, size)
    with torch.no_grad():
        assert model(clips).shape == (2, 7)
        assert model.embed(clips).shape == (2, model.embedding_size)
        assert torch.allclose(model(clips)[:1], model(clips[:1]), atol=1e-4)  # a neighbour changes nothing


def test_c3d_is_tran_s():
    model = build("c3d", 101, frames=16, size=112)
    convs = [m for m in model.modules() if isinstance(m, torch.nn.Conv3d)]
    assert [c.out_channels for c in convs] == [64, 128, 256, 256, 512, 512, 512, 512]
    assert [m.out_features for m in model.modules() if isinstance(m, torch.nn.Linear)] == [4096, 4096, 101]


def test_convnet_has_the_published_size():
    model = build("convnet", 10, frames=1, size=32)
    convolutions = sum(i * 128 * 9 + 128 for i in (3, 128, 128))
    assert model.embedding_size == 128 * 4 * 4
    assert count_parameters(model) == convolutions + 3 * 2 * 128 + 2048 * 10 + 10 == 320_010


def test_convnet_is_three_blocks_frame_by_frame():
    """Re-typed: convolution, instance norm with scale and shift, ReLU, average of 2x2; logits averaged over frames."""
    model = build("convnet", 5, frames=4, size=16, width=6, depth=2).eval()
    weights = {name: torch.randn_like(w) for name, w in model.state_dict().items()}
    model.load_state_dict(weights)
    clips, logits = torch.randn(2, 3, 4, 16, 16), 0
    for t in range(4):
        x = clips[:, :, t]
        for conv, norm in ((0, 1), (4, 5)):
            x = torch.conv2d(x, weights[f"features.{conv}.weight"], weights[f"features.{conv}.bias"], padding=1)
            x = (x - x.mean((2, 3), keepdim=True)) / (x.var((2, 3), keepdim=True, unbiased=False) + 1e-5).sqrt()
            scale, shift = weights[f"features.{norm}.weight"], weights[f"features.{norm}.bias"]
            x = (x * scale[:, None, None] + shift[:, None, None]).clamp(min=0)
            x = x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).mean((3, 5))
        logits = logits + (x.flatten(1) @ weights["classifier.weight"].T + weights["classifier.bias"]) / 4
    with torch.no_grad():
        assert torch.allclose(model(clips), logits, rtol=1e-3, atol=1e-3)
        assert torch.allclose(model(clips[:, :, [2, 0, 3, 1]]), logits, rtol=1e-3, atol=1e-3)  # no order in time
        still = clips[:, :, :1]
        assert torch.allclose(model(still.repeat(1, 1, 4, 1, 1)), model(still), atol=1e-4)


def test_one_seed_one_network():
    def weights(seed):
        return build("minic3d", 4, frames=8, size=32, depth=2, widths=(4, 4), seed=seed).state_dict()

    before = torch.random.get_rng_state()
    a, b, c = weights(0), weights(0), weights(1)
    assert all(torch.equal(a[k], b[k]) for k in a) and not torch.equal(a["features.0.weight"], c["features.0.weight"])
    assert torch.equal(before, torch.random.get_rng_state())  # nothing seeds globally


def test_bad_input():
    with pytest.raises(VddError, match="unknown model 'minic3': did you mean 'minic3d'"):
        build("minic3", 3, frames=8, size=64)
    with pytest.raises(VddError, match="model 'c3d' has no option 'deph'"):
        build("c3d", 3, frames=8, size=64, deph=2)
    for wrong, text in (
        ({"depth": 4}, "depth 4 does not fit"),
        ({"norm": "layer"}, "norm is"),
        ({"depth": "2"}, "'str'"),
    ):
        with pytest.raises(VddError, match=f"model 'minic3d' on 8x64x64: .*{text}"):
            build("minic3d", 3, frames=8, size=64, **wrong)
    with pytest.raises(VddError, match=r"minic3d.*8x16x16.*fewer blocks"):
        build("minic3d", 3, frames=8, size=16)
    with pytest.raises(VddError, match=r"convnet.*1x8x8: 4 blocks leave nothing of a frame of side 8"):
        build("convnet", 3, frames=1, size=8, depth=4)
