"""The contract of what is stored, on a storage with all that one may have: chance, a network, a loss and a time of its own."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from pydantic import Field
from torch import nn

from vddlib import distillers
from vddlib.core import cache, seeding
from vddlib.core.errors import VddError
from vddlib.datasets.clips import to_pixels
from vddlib.datasets.video import encode_bytes, stream_bytes
from vddlib.distillers import DistilledSet, Pixels, Random
from vddlib.distillers.matching.objective import Draw
from vddlib.distillers.stored.contract import Content, Storage, encoded
from vddlib.distillers.stored.sei import without_sei
from vddlib.training.networks import Network

CPU = torch.device("cpu")
LABELS = torch.arange(3).repeat_interleave(2)
SMALL = Network(options={"depth": 1, "widths": (8,), "dropout": 0.0})
METHODS = {
    "dm": {"batch_real": 3},
    "dc": {"batch_real": 2},
    "mtt": {"experts": {"count": 2, "batch_size": 9}, "max_start_epoch": 2, "syn_steps": 3, "batch_syn": 4},
    "frepo": {"batch_real": 2, "pool": 1},
}


class SharedContent(Content):
    """One clip per class, a still of its own for each, and a shared convolution over both, shown at a random brightness."""

    kind: ClassVar[str] = "test_shared"
    random: ClassVar[bool] = True

    def __init__(self, base, stills, mean, std, penalty=0.0):
        super().__init__(mean, std)
        self.base, self.stills = nn.Parameter(base), nn.Parameter(stills)
        self.hallucinator = nn.Conv3d(3, 3, 1)
        self.weight_of_penalty = penalty

    def __len__(self):
        return len(self.stills)

    def forward(self, indices, generator):
        brightness = 0.5 + self.uniform(indices, generator, 1, 1, 1, 1)
        per_class = len(self) // len(self.base)
        return brightness * self.hallucinator(self.base[indices // per_class] + self.stills[indices])

    @classmethod
    def from_state(cls, tensors):
        content = cls(*(tensors[name] for name in ("base", "stills", "mean", "std")))
        content.load_state_dict(tensors)
        return content

    def penalty(self):
        return self.weight_of_penalty * self.base.square().mean() if self.weight_of_penalty else None

    def pixel_values(self):
        return self.stills.numel()

    def files(self):
        return encoded(to_pixels(self.stills, self.mean, self.std))

    def other_tensors(self):
        return [self.base, *self.hallucinator.parameters()]


class SharedStorage(Storage):
    """How a `SharedContent` begins."""

    suffix: ClassVar[str] = "test_shared"

    penalty: float = Field(0.0, ge=0, description="weight of the content's own loss")
    seconds: float = Field(0.0, ge=0, description="what it claims to have spent before")

    def begin(self, train, ipc, indices, seed, device):
        g, size = torch.Generator().manual_seed(seed), train.geometry.size
        base = torch.randn(len(train.classes), 3, train.geometry.frames, size, size, generator=g)
        stills = 0.1 * torch.randn(len(indices), 3, 1, size, size, generator=g)
        content = SharedContent(base, stills, train.mean, train.std, self.penalty)
        content.prepared = self.seconds
        return content


def build(name, **params):
    return distillers.build(
        f"{name}+test_shared", **({"iterations": 3, "network": SMALL, "lr_pixels": 1e-3} | METHODS[name] | params)
    )


def began(train):
    """As `Optimised.content` begins it: what torch draws for the hallucinator follows the seed."""
    with seeding.forked("begin", 0):
        return SharedStorage().begin(train, 2, torch.arange(6), 0, "cpu")


def gradients(distiller, train, content, iteration=0, **setting):
    """What one step leaves in the parts of a content, by name."""
    content.zero_grad(set_to_none=True)
    objective = distiller.objective(train, LABELS, 0, CPU)
    loss = objective.step(Draw(content, setting.get("seed", 0), iteration), iteration)["loss"]
    return loss, {name: p.grad.clone() for name, p in content.named_parameters() if p.grad is not None}


def test_the_method_is_named_by_composition(tiny):
    assert build("dm").method == "dm+test_shared" and build("mtt").method == "mtt+test_shared"
    assert distillers.build("dm").method == "dm" and distillers.build("static_dc").method == "static_dc"
    with pytest.raises(VddError, match="unknown method 'dm\\+vdds'"):
        distillers.build("dm+vdds")
    with pytest.raises(VddError, match="unknown method 'random\\+test_shared'"):
        distillers.build("random+test_shared")
    with pytest.raises(VddError, match="dm: stored: value error, init: input should be 'real' or 'noise'"):
        distillers.build("dm", stored={"init": "real clips"})


@pytest.mark.parametrize("name", METHODS)
def test_gradients_reach_every_part(tiny, name):
    content = began(tiny[0])
    loss, found = gradients(build(name), tiny[0], content)
    assert set(found) == {"base", "stills", "hallucinator.weight", "hallucinator.bias"}
    assert all(g.isfinite().all() and g.norm() > 0 for g in found.values())
    again, same = gradients(build(name), tiny[0], content)
    assert torch.equal(loss, again) and all(torch.equal(found[part], same[part]) for part in found)
    other, _ = gradients(build(name), tiny[0], content, seed=1)
    assert not torch.equal(loss, other)


@pytest.mark.parametrize("at_once", [1, 4])
def test_random_content_does_not_depend_on_chunks(tiny, at_once):
    """Failed when one stream went on from chunk to chunk: the first clip of the second chunk had another brightness."""
    content = began(tiny[0])
    whole, wanted = gradients(build("dm"), tiny[0], content)
    chunked, found = gradients(build("dm", clips_at_once=at_once), tiny[0], content)
    assert whole.item() == pytest.approx(chunked.item(), rel=1e-5)
    assert all(torch.allclose(found[part], wanted[part], rtol=1e-3, atol=1e-7) for part in wanted)
    draw = Draw(content, 0, 5)
    assert torch.equal(draw(torch.tensor([4, 1])), draw(torch.arange(6))[[4, 1]])


def test_distribution_matching_of_random_content_is_the_chain_rule(tiny, close):
    objective, content = build("dm").objective(tiny[0], LABELS, 0, CPU), began(tiny[0])
    loss = objective.step(Draw(content, 0, 4), 4)["loss"]
    clips = Draw(content, 0, 4)(torch.arange(6)).detach().requires_grad_()
    network, (real, labels), naive = objective.fresh(4), objective.real(4), 0
    for label in range(3):
        made = sum(network.embed(clip[None])[0] for clip in clips[label == LABELS]) / 2
        naive = naive + (network.embed(real[labels == label]).mean(0).detach() - made).square().sum()
    (in_clips,) = torch.autograd.grad(naive, clips)
    parts = [content.base, content.stills]
    wanted = torch.autograd.grad(Draw(content, 0, 4)(torch.arange(6)), parts, in_clips)
    assert close(loss, naive) and all(close(part.grad, g) for part, g in zip(parts, wanted, strict=True))


@pytest.mark.parametrize("graph_gb", [0.0, 4.0])
def test_trajectory_matching_redraws_at_every_student_step(tiny, monkeypatch, graph_gb):
    content = began(tiny[0])
    objective = build("mtt", graph_gb=graph_gb).objective(tiny[0], LABELS, 0, CPU)
    seen = []
    real = objective.gradient
    monkeypatch.setattr(
        objective,
        "gradient",
        lambda w, clips, batch, *a, **k: seen.append((batch, clips.detach())) or real(w, clips, batch, *a, **k),
    )
    objective.step(Draw(content, 0, 2), 2)
    forward, backward = seen[:3], seen[:2:-1]
    assert len(backward) == (0 if graph_gb else 3)  # with its graph a step is taken once
    both_ways = zip(forward[: len(backward)], backward, strict=True)
    assert all(torch.equal(a, b) for (_, a), (_, b) in both_ways)  # the same draw
    batches = objective.batches(2)
    for step, (batch, clips) in enumerate(forward):
        assert torch.equal(clips, Draw(content, 0, 2)(batches[step], step)) and torch.equal(batch, batches[step])
    draws = [Draw(content, 0, 2)(torch.arange(6), step) for step in range(3)]
    assert not torch.equal(draws[0], draws[1]) and not torch.equal(draws[1], draws[2])


def test_its_own_loss_moves_it(tiny):
    plain, shrunk = (build("dm", stored={"penalty": weight}, iterations=5) for weight in (0.0, 1e6))
    norms = [one.distill(tiny[0], 2).content.base.norm().item() for one in (plain, shrunk)]
    assert norms[1] < 0.95 * norms[0]
    values = shrunk.history(tiny[0], 2).values
    assert values["penalty"][0] > values["penalty"][-1] > 0 and "penalty" not in plain.history(tiny[0], 2).values


def test_seconds_spent_before_are_counted(tiny):
    seconds = [build("dm", stored={"seconds": s}).distill(tiny[0], 2).card["distill_seconds"] for s in (0, 500)]
    assert seconds[0] < 400 < 500 < seconds[1]


def test_saved_and_loaded_it_is_the_same(tiny, tmp_path, monkeypatch):
    """Names of states hold dots (`hallucinator.weight`), which failed when they travelled as keyword arguments."""
    distiller = build("dm")
    made = distiller.distill(tiny[0], 2)
    assert made.card["method"] == "dm+test_shared" and made.card["params"]["stored"]["kind"] == "SharedStorage"
    assert made.card["moved"] > 0 and "hallucinator.weight" in made.content.state()
    back = DistilledSet.load(made.save(tmp_path / "set"))
    assert back.state() == made.state()
    for epoch in range(3):
        assert torch.equal(back.batch(torch.arange(6), epoch=epoch)[0], made.batch(torch.arange(6), epoch=epoch)[0])
    assert not torch.equal(made.batch(torch.arange(6), epoch=0)[0], made.batch(torch.arange(6), epoch=1)[0])
    monkeypatch.setenv("VDD_CACHE", str(tmp_path / "cache"))
    assert distiller.distill(tiny[0], 2).state() == made.state()
    assert len(list((cache.folder() / "distilled").glob("[!.]*"))) == 1


def test_tensors_that_do_not_fit_are_refused(tiny, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = build("dm").distill(tiny[0], 2).save(tmp_path / "set")
    tensors = load_file(folder / "tensors.safetensors")
    del tensors["content.hallucinator.weight"]
    save_file(tensors, folder / "tensors.safetensors")
    with pytest.raises(VddError, match=r"not a complete distilled set.*hallucinator\.weight"):
        DistilledSet.load(folder)


def test_memories_and_networks_are_counted_at_their_own_width(tiny):
    made = build("dm").distill(tiny[0], 2)
    stills, others = 6 * 3 * 32 * 32, 3 * 3 * 8 * 32 * 32 + 9 + 3
    assert made.bytes_float32 == 4 * (stills + others) and made.bytes_uint8 == stills + 4 * others
    streams = sum(map(stream_bytes, made.content.files()))
    assert len(made.content.files()) == 6 and made.bytes_stream == streams + 4 * others < made.bytes_video
    soft = made.with_targets(torch.eye(3)[LABELS])
    assert [getattr(soft, name) - getattr(made, name) for name in ("bytes_float32", "bytes_uint8", "bytes_stream")] == [
        72
    ] * 3


def test_streams_and_containers_are_counted_apart(tiny):
    blank = np.zeros((8, 32, 32, 3), np.uint8)
    data = encode_bytes(blank, 8, 23)
    assert 0 < stream_bytes(data) < 0.5 * len(data)  # of a blank clip most is container
    made = Random().distill(tiny[0], 1)
    files = [without_sei(encode_bytes(clip, 8, 23)) for clip in made.pixels]
    assert made.bytes_video == sum(map(len, files)) and made.bytes_stream == sum(map(stream_bytes, files))
    full = distillers.Full().distill(tiny[0])
    paths = [tiny[0].path(i) for i in range(len(tiny[0]))]
    assert full.bytes_video == sum(path.stat().st_size for path in paths)
    assert full.bytes_stream == sum(map(stream_bytes, paths)) < full.bytes_video


def test_how_far_it_moved_is_in_grey_levels(tiny):
    from vddlib.distillers.matching.optimising import moved

    mean, std, clips = torch.zeros(3), torch.tensor([0.5, 0.25, 1.0]), torch.zeros(2, 3, 4, 8, 8)
    before, after = Pixels(clips, mean, std), Pixels(clips + 0.1, mean, std)
    assert moved(before, after) == pytest.approx(255 * 0.1 * (0.5 + 0.25 + 1) / 3, rel=1e-5)
    assert moved(before, before) == 0


def test_pictures_on_the_way_do_not_change_the_result(tiny, tmp_path, monkeypatch):
    """How many are taken is not part of the cache's key. Content with running statistics saw them in training mode."""
    made = []
    for folder, snapshots in (("one", 1), ("three", 3)):
        monkeypatch.setenv("VDD_CACHE", str(tmp_path / folder))
        monkeypatch.setattr(SharedContent, "forward", _with_dropout)
        made.append(build("dm", snapshots=snapshots).distill(tiny[0], 2).state())
    assert made[0] == made[1]


def _with_dropout(self, indices, generator):
    drawn = self.hallucinator(self.base[indices // 2] + self.stills[indices])
    return nn.functional.dropout(drawn, 0.5, self.training)


def test_the_seed_alone_says_how_it_begins(tiny):
    """The hallucinator's weights are drawn by torch; global randomness must not reach them."""
    begun = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        begun.append(build("dm").content(tiny[0], 2, 0).state())
    assert all(torch.equal(begun[0][name], begun[1][name]) for name in begun[0])
    assert not torch.equal(build("dm").content(tiny[0], 2, 1).hallucinator.weight, begun[0]["hallucinator.weight"])
    still = build("dm", iterations=1, lr_pixels=1e-12).distill(tiny[0], 2)
    assert still.card["moved"] < 1e-4


def test_methods_tied_to_a_storage_refuse_others(tiny):
    for name in ("tsgf", "static_dc"):
        with pytest.raises(VddError, match=f"{name}: stored: value error, {name} can only store"):
            distillers.build(f"{name}+test_shared")
    with pytest.raises(VddError, match="unknown method 'dm\\+'"):
        distillers.build("dm+")
    with pytest.raises(VddError, match="dm: stored: value error, typo: extra inputs"):
        distillers.build("dm+test_shared", stored={"typo": 1})
    assert distillers.build("dm+test_shared", stored=SharedStorage(penalty=2.0)).stored.penalty == 2.0


def test_a_card_s_parameters_make_the_method_again(tiny):
    method = build("dm", stored={"penalty": 0.5})
    params = method.distill(tiny[0], 2).card["params"]
    assert distillers.DM(**params).model_dump(mode="json") == method.model_dump(mode="json") == params


class Heavier(SharedStorage):
    """Inherits the suffix, and must not take the place of the storage that has it."""


def test_a_subclass_does_not_replace_its_parent():
    assert Storage.registry["test_shared"] is SharedStorage


def test_keys_tell_storages_and_statistics_apart(tiny):
    train, _ = tiny
    folders = {build("dm", stored={"penalty": p}, iterations=1).folder(train, 1) for p in (0.0, 0.1)}
    other = train.subset(range(len(train)))
    other.mean = other.mean + 0.1
    folders.add(build("dm", iterations=1).folder(other, 1))
    folders.add(distillers.build("dm", **METHODS["dm"], iterations=1, network=SMALL, lr_pixels=1e-3).folder(train, 1))
    assert len(folders) == 4
