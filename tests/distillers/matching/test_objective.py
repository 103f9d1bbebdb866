"""What every objective shares: networks whose BatchNorm layers normalise by real clips, whoever passes."""

import pytest
import torch
from torch import nn

from vddlib.distillers.matching.dm import DistributionMatching, DMOptions
from vddlib.distillers.matching.frepo import FeatureRegression, FRePoOptions
from vddlib.distillers.matching.objective import fix_statistics
from vddlib.training.networks import Network

LABELS = torch.arange(3)
BATCH = Network(options={"depth": 2, "widths": (8, 16), "norm": "batch"})


def norms(model):
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm3d)]


@pytest.mark.parametrize("training", [True, False])
def test_fixed_statistics_are_those_of_the_clips_layer_by_layer(tiny, close, training):
    train, _ = tiny
    model = BATCH.build(train.classes, train.geometry, 0).train(training)
    clips = 3 + 2 * train.batch(torch.arange(6))[0]
    before = torch.get_rng_state()
    assert fix_statistics(model, clips) is model
    assert torch.equal(torch.get_rng_state(), before) and model.dropout.training is training
    x, layers = clips, norms(model)
    for module in model.features:
        if module in layers:
            assert close(module.running_mean, x.mean((0, 2, 3, 4)))
            assert close(module.running_var, x.var((0, 2, 3, 4)))
            assert not module.training and module.momentum == 0.1
        x = module(x)
    assert len(layers) == 2 and all(p.requires_grad for p in model.parameters())


def test_a_clip_s_embedding_does_not_depend_on_its_company(tiny, close):
    objective = DistributionMatching(tiny[0], LABELS, BATCH, 0, torch.device("cpu"), DMOptions(batch_real=2))
    model, clips = objective.fresh(0), tiny[0].batch(torch.arange(4))[0]
    alone = torch.cat([model.embed(clip[None]) for clip in clips])
    assert close(model.embed(clips), alone) and not close(model.embed(clips + 1), alone, 0.1)


def test_every_network_is_normalised_by_its_own_real_clips_of_all_classes(tiny, monkeypatch):
    train, seen = tiny[0], []
    objective = DistributionMatching(train, LABELS, BATCH, 0, torch.device("cpu"), DMOptions(batch_real=2))
    monkeypatch.setattr("vddlib.distillers.matching.objective.NORMALISING", 7)
    batch = train.batch
    monkeypatch.setattr(
        train, "batch", lambda some, **how: seen.append(train.labels[some].tolist()) or batch(some, **how)
    )
    first, again, other = (norms(objective.fresh(key))[0].running_mean for key in (0, 0, 1))
    assert seen == [[0] * 3 + [1] * 3 + [2] * 3] * 3
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_a_network_of_frepo_s_pool_knows_real_clips_before_its_first_update(tiny):
    options = FRePoOptions(batch_real=2, pool=1)
    objective = FeatureRegression(tiny[0], LABELS, BATCH, 0, torch.device("cpu"), options)
    layer = norms(objective.pool[0]["model"])[0]
    assert layer.running_mean.abs().max() > 1e-3 and not torch.equal(layer.running_var, torch.ones(8))
