"""TSGF: eq. 5, the mask on the gradient, batches and shards, relabelling, protocol D."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from vddlib import evaluation
from vddlib.core import cache
from vddlib.core.errors import VddError
from vddlib.distillers import Random, build
from vddlib.distillers.distilled import DistilledSet
from vddlib.distillers.labels import relabel
from vddlib.distillers.matching.tsgf import TSGF, Recovery, statistics_loss
from vddlib.training import saliency
from vddlib.training.fit import Recipe
from vddlib.training.networks import Network

TEACHER = Network(name="minic3d_bn", options={"depth": 2, "widths": (8, 8)})
STUDENT = Network(options={"depth": 2, "widths": (8, 8)})
FEW = {"network": TEACHER, "teacher_recipe": Recipe(epochs=2, batch_size=8), "device": "cpu", "iterations": 3}


def objective_of(options: Recovery, train, ipc=1):
    labels = options.indices(train, ipc) // ipc
    return options.objective(train, labels, 0, torch.device("cpu")), options.content(train, ipc, 0)


def test_statistics_loss_is_equation_5():
    layer = torch.nn.BatchNorm3d(4)
    layer.running_mean.normal_()
    layer.running_var.uniform_(0.5, 2)
    x = torch.randn(3, 4, 5, 6, 7)
    channels = x.transpose(0, 1).reshape(4, -1)
    mean = channels.sum(1) / channels.shape[1]
    variance = ((channels - mean[:, None]) ** 2).sum(1) / channels.shape[1]
    expected = ((mean - layer.running_mean) ** 2).sum().sqrt() + ((variance - layer.running_var) ** 2).sum().sqrt()
    assert statistics_loss(x, layer).item() == pytest.approx(expected.item(), rel=1e-5)


def test_statistics_loss_is_zero_where_the_batch_has_the_running_statistics():
    layer, x = torch.nn.BatchNorm3d(4), torch.randn(3, 4, 5, 6, 7)
    layer.running_mean.copy_(x.mean((0, 2, 3, 4)))
    layer.running_var.copy_(x.var((0, 2, 3, 4), unbiased=False))
    assert statistics_loss(x, layer) == 0


@pytest.mark.parametrize("first", [1.0, 10.0])
def test_the_loss_is_equation_4_over_all_layers(tiny, first):
    options = Recovery(**FEW, crop=1.0, first_bn=first, r_bn=0.7, mask="none")
    train = tiny[0].subset(range(len(tiny[0])))  # a copy: the flips of all tests' clips stay as they are
    train.mirrors = False
    objective, content = objective_of(options, train)
    values = objective.step(lambda i: content(i, None), 0)
    x, terms = content.clips.detach(), []
    teacher = options.teacher(train).model.eval()
    for layer in teacher.features:
        if isinstance(layer, torch.nn.BatchNorm3d):
            mean, variance = x.mean((0, 2, 3, 4)), x.var((0, 2, 3, 4), unbiased=False)
            terms.append((mean - layer.running_mean).norm() + (variance - layer.running_var).norm())
        x = layer(x)
    ce = F.cross_entropy(teacher(content.clips.detach()), torch.arange(3))
    assert len(terms) == 2
    weighted = first * terms[0] + terms[1]
    assert values["bn_statistics"].item() == pytest.approx(weighted.item(), rel=1e-4)
    assert values["loss"].item() == pytest.approx((ce + 0.7 * weighted).item(), rel=1e-4)
    assert all(p.grad is None for p in objective.teacher.parameters())


def test_the_gradient_is_multiplied_by_the_mask_frame_by_frame(tiny):
    gradients = {}
    for kind in ("none", "magnitude", "signed"):
        objective, content = objective_of(Recovery(**FEW, mask=kind, epsilon=0.4), tiny[0])
        objective.step(lambda i, content=content: content(i, None), 0)
        gradients[kind] = content.clips.grad
    scores = saliency.saliency(content.clips.detach(), "linear", 3)
    epsilon = saliency.threshold(scores, 0.4)
    for kind in ("magnitude", "signed"):
        mask = saliency.mask(scores, epsilon, signed=kind == "signed")
        assert torch.allclose(gradients[kind], gradients["none"] * mask[:, None, :, None, None], atol=1e-8)
    assert (gradients["magnitude"].movedim(2, 1)[saliency.key_frames(scores, epsilon)] == 0).all()


def test_key_frames_keep_their_pixels_in_the_first_update(tiny):
    options = Recovery(**{**FEW, "iterations": 1}, epsilon=0.3)
    before = options.content(tiny[0], 1, 0)
    after = options.distill(tiny[0], 1, 0).content.clips.detach()
    scores = saliency.saliency(before.clips.detach(), "linear", 3)
    keys = saliency.key_frames(scores, saliency.threshold(scores, 0.3))
    moved = (after - before.clips.detach()).abs().amax((1, 3, 4))
    assert keys.any() and (moved[keys] < 1e-5).all() and (moved[~keys] > 1e-3).any()


def test_a_mask_on_the_update_scales_what_adam_makes_of_the_gradient(tiny):
    few = {**FEW, "iterations": 1, "lr_pixels": 1e-3, "epsilon": 0.4}
    before = Recovery(**few).content(tiny[0], 1, 0).clips.detach()
    moved = {
        on: Recovery(**few, **options).distill(tiny[0], 1, 0).content.clips.detach() - before
        for on, options in {
            "nothing": {"mask": "none"}, "gradient": {"mask_on": "gradient"}, "update": {"mask_on": "update"}
        }.items()
    }  # fmt: skip
    scores = saliency.saliency(before, "linear", 3)
    mask = saliency.mask(scores, saliency.threshold(scores, 0.4))[:, None, :, None, None]
    assert torch.allclose(moved["update"], mask * moved["nothing"], atol=2e-6)
    between = ((mask > 0) & (mask < 0.9)).expand_as(before)
    larger = moved["gradient"][between].abs().mean() / moved["update"][between].abs().mean()
    assert larger > 2  # Adam divides by the gradient's size: of the mask it leaves little but which frames are 0


def test_key_frames_keep_their_pixels_in_every_update_with_the_mask_on_it(tiny):
    options = Recovery(**{**FEW, "iterations": 6}, epsilon=0.3, mask_on="update", lr_pixels=0.5)
    objective, content = objective_of(options, tiny[0])
    updates, held, keys = options.updates(content, objective), 0, set()
    for iteration in range(6):
        updates.zero_grad()
        objective.step(lambda i: content(i, None), iteration)
        before, key = content.clips.detach().clone(), objective.factor[:, 0, :, 0, 0] == 0
        updates.step()
        moved = (content.clips.detach() - before).abs().amax((1, 3, 4))
        assert (moved[key] == 0).all() and (moved[~key] > 0).any()
        held += int(key.sum())
        keys.add(tuple(key.flatten().tolist()))
    assert held and len(keys) > 1, "which frames are key frames changes on the way"


def test_values_stay_between_black_and_white(tiny):
    made = TSGF(**FEW, lr_pixels=5.0).distill(tiny[0], 1, 0)
    pixels = made.content.clips.detach().movedim(1, -1) * tiny[0].std + tiny[0].mean
    assert pixels.min() >= -1e-5 and pixels.max() <= 1 + 1e-5


@pytest.mark.parametrize("classes_at_once", [2, 3])
def test_batches_cover_every_clip_once(tiny, classes_at_once):
    made = TSGF(**FEW, classes_at_once=classes_at_once)
    indices = torch.cat([made.batch(part).indices(tiny[0], 2) for part in range(made.parts(tiny[0], 2))])
    assert sorted(indices.tolist()) == list(range(6))


@pytest.mark.parametrize(("classes", "sizes"), [(101, [51, 50]), (100, [100]), (174, [87, 87])])
def test_batches_are_of_one_size(classes, sizes):
    train = SimpleNamespace(classes=[str(n) for n in range(classes)])
    method = TSGF(classes_at_once=100)
    assert [len(method.batch(part).indices(train, 1)) for part in range(method.parts(train, 1))] == sizes


def test_a_teacher_that_diverged_teaches_nothing(tiny):
    method = TSGF(**{**FEW, "teacher_recipe": Recipe(epochs=2, batch_size=2, lr=1e30)})
    with pytest.raises(VddError, match="the teacher diverged in epoch 1"):
        method.distill(tiny[0], 1, 0)


def test_shards_joined_are_the_unsharded_set(tiny, tmp_path, monkeypatch):
    method = TSGF(**FEW, classes_at_once=2)
    whole = method.distill(tiny[0], 2, 0)
    monkeypatch.setenv("VDD_CACHE", str(tmp_path))
    for which in (1, 0):
        assert len(method.recover(tiny[0], 2, 0, shard=(which, 2))) == 2
    monkeypatch.setattr(Recovery, "_optimise", lambda *a, **k: pytest.fail("a shard's work was done again"))
    joined = method.distill(tiny[0], 2, 0)
    assert torch.equal(joined.content.clips, whole.content.clips) and torch.equal(joined.targets, whole.targets)
    with pytest.raises(VddError, match="shard 2 of 2"):
        method.recover(tiny[0], 2, 0, shard=(2, 2))


@pytest.mark.parametrize("mask_on", ["gradient", "update"])
def test_interrupted_and_resumed_gives_the_same_bits(tiny, tmp_path, monkeypatch, mask_on):
    from vddlib.distillers.matching.tsgf import StatisticsMatching

    method = TSGF(**FEW, mask_on=mask_on, checkpoint_seconds=0)
    whole = method.distill(tiny[0], 1, 0)
    monkeypatch.setenv("VDD_CACHE", str(tmp_path))
    step = StatisticsMatching.step

    def stop(self, draw, iteration):
        if iteration == 2:
            raise KeyboardInterrupt
        return step(self, draw, iteration)

    monkeypatch.setattr(StatisticsMatching, "step", stop)
    with pytest.raises(KeyboardInterrupt):
        method.distill(tiny[0], 1, 0)
    steps = []
    monkeypatch.setattr(
        StatisticsMatching,
        "step",
        lambda self, draw, iteration: (steps.append(iteration), step(self, draw, iteration))[1],
    )
    assert list(tmp_path.glob("distilled/.*.partial/checkpoint.pt"))
    resumed = method.distill(tiny[0], 1, 0)
    assert steps == [2], "it went on from the checkpoint"
    assert torch.equal(resumed.content.clips, whole.content.clips)
    assert cache.folder() == tmp_path


def test_soft_labels_are_the_teachers(tiny, tmp_path):
    method = TSGF(**FEW, temperature=7.0)
    made = method.distill(tiny[0], 1, 0)
    logits = method.teacher(tiny[0]).model.eval()(made.draw()[0])
    assert torch.allclose(made.targets, (logits / 7).softmax(1), atol=1e-6)
    assert made.card["temperature"] == 7 and made.card["teacher"] == "minic3d_bn"
    again = DistilledSet.load(made.save(tmp_path / "set"))
    assert torch.equal(again.targets, made.targets) and again.card["temperature"] == 7


def test_protocol_d_takes_tsgf_and_any_relabelled_set(tiny):
    train, test = tiny
    method = TSGF(**FEW)
    quick = evaluation.protocol("D", epochs=2, batch_size=8)
    random = Random().distill(train, 1, 0)
    soft = relabel(random, method.teacher(train), 20.0)
    taught = method.teacher(train).log.seconds
    assert soft.card["distill_seconds"] == pytest.approx(random.card["distill_seconds"] + taught)
    assert method.distill(train, 1, 0).card["distill_seconds"] > taught > 0  # the teacher counts
    for one in (method.distill(train, 1, 0), soft):
        row = evaluation.evaluate(one, test, quick, seeds=[0], network=STUDENT, device="cpu").rows[0]
        assert row["teacher"] == "minic3d_bn" and row["protocol"] == "D"
    with pytest.raises(VddError, match="stores hard ones"):
        evaluation.evaluate(random, test, quick, seeds=[0], network=STUDENT, device="cpu")
    with pytest.raises(VddError, match="temperature 5"):
        warm = relabel(random, method.teacher(train), 5.0)
        evaluation.evaluate(warm, test, quick, seeds=[0], network=STUDENT, device="cpu")


def test_labels_of_every_view_and_other_augmentations(tiny):
    train, test = tiny
    method = TSGF(**FEW)
    made, teacher = method.distill(train, 1, 0), method.teacher(train)
    each = evaluation.protocol("D+", epochs=2, batch_size=8)
    report = evaluation.evaluate(made, test, each, seeds=[0], network=STUDENT, teacher=teacher, device="cpu")
    assert report.rows[0]["teacher"] == "minic3d_bn"
    for names in ((), ("image_mix",), (("tsgf_videomix", {"epsilon": 0.2}),)):
        changed = evaluation.protocol("D", epochs=2, batch_size=8, augmentation=names)
        assert evaluation.evaluate(made, test, changed, seeds=[0], network=STUDENT, device="cpu").rows


def test_a_teacher_without_batchnorm_is_refused(tiny):
    with pytest.raises(VddError, match="no BatchNorm"):
        TSGF(**{**FEW, "network": STUDENT}).distill(tiny[0], 1, 0)


def test_it_is_known_by_name():
    assert type(build("tsgf", iterations=3)) is TSGF
