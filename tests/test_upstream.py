"""The comparison with VDSD's public code, against a stand-in of the same names: whose iterations are counted, and the table."""

import sys

import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmarks import upstream
from benchmarks.matching import SIZES
from vddlib.core.errors import VddError
from vddlib.datasets.clips import load

SCRIPT = """
import os
import torch, wandb
from utils import evaluate_synset, get_dataset, get_network

def main(args):
    channels, size, classes, names, _, _, train, _, _ = get_dataset(args.dataset, args.data_path)
    wandb.init(config=args)
    args = type("", (), {})()
    for key in wandb.config._items:
        setattr(args, key, wandb.config._items[key])
    videos = torch.cat([train[train.labels.index(k)][0][None] for k in range(classes)]).requires_grad_(True)
    labels = torch.arange(classes)
    assert videos.shape[1:] == (args.frames, channels, *size)
    assert evaluate_synset(0, None, videos, labels, None, args)[1:] == (0.0, 0.0, 0.0)
    rate = torch.tensor(args.lr_teacher, requires_grad=True)
    images, rates = torch.optim.SGD([videos], lr=args.lr_img), torch.optim.SGD([rate], lr=args.lr_lr)
    if args.method == "MTT":
        buffer = torch.load(os.path.join(args.buffer_path, "replay_buffer_0.pt"))
        assert len(buffer[0]) == args.max_start_epoch + args.expert_epochs
    for it in range(args.Iteration):
        print("said in between")
        network = get_network(args.model, channels, classes, size)
        (network(videos).square().sum() * rate).backward()
        images.step()
        if args.train_lr:
            rates.step()
"""
UTILS = """
import torch

def get_dataset(*args):
    raise RuntimeError("replaced by the benchmark")

def get_network(model, channel, num_classes, im_size):
    assert model == "ConvNet3D"
    small = torch.nn.AdaptiveAvgPool3d((1, 1, channel))
    return torch.nn.Sequential(small, torch.nn.Flatten(), torch.nn.LazyLinear(num_classes))

def evaluate_synset(it_eval, net, images, labels, testloader, args, mode="hallucinator", test_freq=None):
    net(images)
    optimizer = torch.optim.SGD(net.parameters(), lr=args.lr_net)
    for epoch in range(args.epoch_eval_train + 1):
        torch.nn.functional.cross_entropy(net(images), labels).backward()
        optimizer.step()
"""


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    folder = tmp_path / "checkout"
    folder.mkdir()
    texts = {"distill_baseline.py": SCRIPT, "utils.py": UTILS, "networks.py": "", "reparam_module.py": ""}
    for name, text in texts.items():
        (folder / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(folder))  # taken away again, with what was imported from there
    yield folder
    for name in ("wandb", "distill_baseline", "utils", "networks", "reparam_module"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("method", upstream.METHODS)
@pytest.mark.parametrize("loop", [upstream.ours, upstream.public])
def test_every_iteration_is_one_turn(method, loop, tiny, checkout):
    turns = []

    def turn():
        turns.append(method)
        if len(turns) == 3:
            raise upstream.Done

    size = SIZES["small"].model_copy(update={"real": 2, "syn_steps": 1})
    with pytest.raises(upstream.Done):
        loop(method, size, 1, tiny[0], turn, checkout)
    assert len(turns) == 3


def test_the_table_has_both_in_turns(tiny_root, checkout, tmp_path):
    load(str(tiny_root), SIZES["small"].geometry, workers=1)
    asked = "--size small --method dm --turns 2 --real 2".split()
    command = [str(checkout), *asked, "--dataset", str(tiny_root), "--output", str(tmp_path)]
    result = CliRunner().invoke(upstream.app, command, catch_exceptions=False)
    assert result.exit_code == 0 and "files " in result.output
    (row,) = pd.read_csv(tmp_path / "upstream.csv").to_dict("records")
    assert (row["size"], row["method"], row["turns"]) == ("small", "dm", 2)
    assert row["CPU ms here"] > 0 and row["CPU ms public"] > 0 and row["here / public"] > 0
    assert row["peak MB here"] > 0


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(VddError, match=r"no checkout of VDSD's public code: it has no distill_baseline\.py, utils\.py"):
        upstream.imported(tmp_path)


def test_a_loop_that_ends_is_told(tiny_root, checkout):
    (checkout / "distill_baseline.py").write_text("raise RuntimeError('broken')")
    with pytest.raises(VddError, match="the process of a loop ended"):
        upstream.compare("dm", SIZES["small"], 1, str(tiny_root), 1, checkout, 1, loops=(upstream.public,))
