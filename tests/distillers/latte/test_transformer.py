"""Latte's network: what each attention sees, its parts re-typed, an untrained one's output, and published weights."""

import argparse
import math

import pytest
import torch
import torch.nn.functional as F

from vddlib.core import seeding
from vddlib.core.errors import VddError
from vddlib.distillers.latte.published import load_published
from vddlib.distillers.latte.transformer import SIZES, Block, LatteTransformer, sinusoids, sinusoids_2d

SMALL = {"depth": 4, "width": 32, "heads": 2, "patch": 2}


def network(seed=0, classes=3, channels=4, frames=5, side=6, **changed):
    """A small one whose blocks do something: as adaLN-Zero begins, none would."""
    with seeding.forked("network", seed):
        model = LatteTransformer(classes, channels, frames, side, **{**SMALL, **changed})
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def clips(n=2, frames=5, channels=4, side=6, seed=0):
    return torch.randn(n, frames, channels, side, side, generator=torch.Generator().manual_seed(seed))


def test_an_untrained_network_predicts_zero():
    with seeding.forked("untrained", 0):
        model = LatteTransformer(3, 4, 5, 6, **SMALL)
    assert (model(clips(), torch.tensor([0, 999]), torch.tensor([0, 3])) == 0).all()


@pytest.mark.parametrize("within", [True, False])
def test_attention_sees_only_its_own_axis(within):
    with seeding.forked("block", 0):
        block = Block(16, 2)
        torch.nn.init.normal_(block.modulation.weight, std=0.3)
    x, condition = torch.randn(1, 4, 6, 16), torch.randn(1, 16)  # 4 frames of 6 tokens
    run = block.within_frames if within else block.along_time
    changed = x.clone()
    changed[0, 1, 2] = torch.randn(16)  # one token: frame 1, place 2
    differs = (run(x, condition) - run(changed, condition)).abs().amax(-1)[0] > 1e-6
    expected = torch.zeros(4, 6, dtype=torch.bool)
    if within:
        expected[1] = True
    else:
        expected[:, 2] = True
    assert (differs == expected).all()


def test_spatial_and_temporal_blocks_take_turns():
    """After one block nothing has passed between frames; after two it has."""
    for depth, passes in ((2, True), (4, True)):
        model = network(depth=depth)
        x, other = clips(), clips()
        other[:, 0] += 1
        args = torch.tensor([5, 5]), torch.tensor([0, 1])
        moved = (model(x, *args) - model(other, *args))[:, 1:].abs().max() > 1e-6
        assert moved == passes
    model.blocks = model.blocks[:1]
    moved = (model(x, *args) - model(other, *args))[:, 1:].abs().max()
    assert moved < 1e-6


def test_a_block_is_its_formula():
    """adaLN-Zero: x + g1 * attention(scale1, shift1), then x + g2 * mlp(scale2, shift2), re-typed head by head."""
    with seeding.forked("formula", 0):
        block = Block(8, 2)
        torch.nn.init.normal_(block.modulation.weight, std=0.3)
    x, condition = torch.randn(1, 1, 3, 8), torch.randn(1, 8)
    s1, c1, g1, s2, c2, g2 = F.linear(F.silu(condition[0]), block.modulation.weight, block.modulation.bias).split(8)
    h = F.layer_norm(x[0, 0], (8,), eps=1e-6) * (1 + c1) + s1
    q, k, v = block.qkv(h).split(8, dim=1)
    heads = []
    for part in (slice(0, 4), slice(4, 8)):
        weights = (q[:, part] @ k[:, part].T / math.sqrt(4)).softmax(1)
        heads.append(weights @ v[:, part])
    y = x[0, 0] + g1 * block.projection(torch.cat(heads, 1))
    y = y + g2 * block.mlp(F.layer_norm(y, (8,), eps=1e-6) * (1 + c2) + s2)
    torch.testing.assert_close(block(x, condition)[0, 0], y)


def test_patches_come_back_where_they_were():
    """A head that copies its tokens, and tokens that are the patches themselves: the latents again."""
    model = network(channels=2, side=4, width=8, heads=2)
    x = clips(1, 5, 2, 4)
    tokens = x.unfold(3, 2, 2).unfold(4, 2, 2)  # [1, T, C, i, j, p, q]
    tokens = tokens.permute(0, 1, 3, 4, 5, 6, 2).reshape(1, 5, 4, 8)
    torch.testing.assert_close(model._unpatched(tokens), x)


def test_sinusoids_tell_positions_apart():
    found = sinusoids(8, torch.tensor([0, 3]))
    expected = [[f(p * 10000 ** (-i / 4)) for f in (math.cos, math.sin) for i in range(4)] for p in (0, 3)]
    torch.testing.assert_close(found, torch.tensor(expected))
    places = sinusoids_2d(16, 5)
    assert len(torch.unique(places, dim=0)) == 25


@pytest.mark.parametrize("changed", [{"patch": 4}, {"depth": 3}, {"heads": 3}])
def test_shapes_that_do_not_fit_are_refused(changed):
    with pytest.raises(VddError, match="latte"):
        LatteTransformer(3, 4, 5, 6, **{**SMALL, **changed})


def test_published_sizes():
    """674 M parameters of XL/2 for UCF101's 101 classes at 256 x 256 (Latte, table 2)."""
    depth, width, heads = SIZES["XL/2"]
    with torch.device("meta"):
        model = LatteTransformer(101, 4, 16, 32, depth=depth, width=width, heads=heads, patch=2)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(674e6, rel=0.01)


def published(classes=3, channels=4, frames=5, side=6, sigma=True):
    """A checkpoint with the names and shapes of the published ones."""
    width, patch, out = SMALL["width"], SMALL["patch"], channels * (2 if sigma else 1)
    draw = torch.Generator().manual_seed(1)
    shapes = {
        "pos_embed": (1, (side // patch) ** 2, width), "temp_embed": (1, frames, width),
        "x_embedder.proj.weight": (width, channels, patch, patch), "x_embedder.proj.bias": (width,),
        "t_embedder.mlp.0.weight": (width, 256), "t_embedder.mlp.0.bias": (width,),
        "t_embedder.mlp.2.weight": (width, width), "t_embedder.mlp.2.bias": (width,),
        "y_embedder.embedding_table.weight": (classes + 1, width),
        "final_layer.linear.weight": (patch * patch * out, width), "final_layer.linear.bias": (patch * patch * out,),
        "final_layer.adaLN_modulation.1.weight": (2 * width, width), "final_layer.adaLN_modulation.1.bias": (2 * width,),
    }  # fmt: skip
    for i in range(SMALL["depth"]):
        layers = {
            "attn.qkv": (3, 1),
            "attn.proj": (1, 1),
            "mlp.fc1": (4, 1),
            "mlp.fc2": (1, 4),
            "adaLN_modulation.1": (6, 1),
        }
        for name, (rows, columns) in layers.items():
            shapes[f"blocks.{i}.{name}.weight"] = (rows * width, columns * width)
            shapes[f"blocks.{i}.{name}.bias"] = (rows * width,)
    return {name: 0.1 * torch.randn(shape, generator=draw) for name, shape in shapes.items()}


def test_published_weights_fill_the_network(tmp_path, monkeypatch):
    monkeypatch.setenv("VDD_WEIGHTS", str(tmp_path))
    state = published()
    torch.save({"ema": state, "model": {}, "args": argparse.Namespace(size=1)}, tmp_path / "ucf101.pt")
    model = network()
    load_published(model, "ucf101.pt")
    ours = model.state_dict()
    torch.testing.assert_close(ours["blocks.2.qkv.weight"], state["blocks.2.attn.qkv.weight"])
    torch.testing.assert_close(ours["moments"], state["temp_embed"])
    # Of [p, q, (noise, variance)] values per token, those of the noise.
    kept = state["final_layer.linear.weight"].view(2, 2, 8, 32)[:, :, :4].reshape(16, 32)
    torch.testing.assert_close(ours["head.linear.weight"], kept)
    assert model(clips(), torch.tensor([0, 999]), torch.tensor([0, 3])).isfinite().all()


def test_another_dataset_keeps_its_own_classes_and_shorter_clips_their_moments(tmp_path, monkeypatch):
    monkeypatch.setenv("VDD_WEIGHTS", str(tmp_path))
    torch.save(published(classes=7, frames=9), tmp_path / "other.pt")
    model = network()
    before = model.label.weight.clone()
    load_published(model, "other.pt")
    assert (model.label.weight == before).all()
    torch.testing.assert_close(model.moments, published(classes=7, frames=9)["temp_embed"][:, :5])


def test_weights_that_do_not_fit_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("VDD_WEIGHTS", str(tmp_path))
    with pytest.raises(VddError, match="no such weights"):
        load_published(network(), "absent.pt")
    torch.save(published(), tmp_path / "wide.pt")
    with pytest.raises(VddError, match="no such network"):
        load_published(network(width=16), "wide.pt")
    (tmp_path / "broken.pt").write_bytes(b"no weights")
    with pytest.raises(VddError, match="cannot be read"):
        load_published(network(), "broken.pt")
