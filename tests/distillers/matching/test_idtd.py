"""IDTD's objective against its formulas: diversity in both forms, the three losses, chunks, resumed runs."""

import itertools

import pytest
import torch

from vddlib import distillers
from vddlib.distillers.matching.idtd import diversity_loss, pair_distances, pair_spread
from vddlib.distillers.matching.objective import Draw
from vddlib.training.networks import Network

CPU = torch.device("cpu")
LABELS = torch.arange(3).repeat_interleave(2)
SMALL = Network(options={"depth": 1, "widths": (8,), "dropout": 0.0})


def build(**params):
    stored = params.pop("stored", {"selectors": 3})
    return distillers.build("idtd", iterations=3, batch_real=3, network=SMALL, stored=stored, **params)


def test_diversity_sums_over_pairs():
    features, spread = torch.randn(2, 4, 5), torch.tensor([9.0, 11.0])
    for n in range(2):
        pairs = {
            (k, q): (features[n, k] - features[n, q]).square().sum() for k, q in itertools.combinations(range(4), 2)
        }
        printed = sum(pairs[k, q] for k in range(2) for q in range(k + 1, 4))  # k to K - 2, counted from 1
        apart = sum(max(torch.tensor(0.0), spread[n] - d) for d in pairs.values())
        assert torch.allclose(pair_distances(features)[n], torch.stack(list(pairs.values())), rtol=1e-5)
        assert diversity_loss(features, spread, "printed")[n].item() == pytest.approx(printed.item(), rel=1e-5)
        assert diversity_loss(features, spread)[n].item() == pytest.approx(apart.item(), rel=1e-5, abs=1e-5)


def test_the_spread_is_the_mean_over_pairs():
    features = torch.randn(5, 7)
    by_hand = torch.stack([(a - b).square().sum() for a, b in itertools.combinations(features, 2)]).mean()
    assert pair_spread(features).item() == pytest.approx(by_hand.item(), rel=1e-5) and pair_spread(features[:1]) == 0


@pytest.mark.parametrize("form", ["apart", "printed"])
def test_optimised_alone_it_pushes_segments_apart_and_as_printed_it_pulls_them_together(tiny, form):
    method = build(alpha_1=1.0, diversity=form, match_segments=0, alpha_2=0, stored={"selectors": 4})
    content, objective = method.content(tiny[0], 2, 0), method.objective(tiny[0], LABELS, 0, CPU)
    network = objective.fresh(0).requires_grad_(False)
    everything, updates = torch.arange(6), torch.optim.Adam(content.parameters(), 0.02)

    def distances():
        flat = content.segments(everything).flatten(0, 1).repeat_interleave(4, 2)  # two frames each, shown for four
        return pair_distances(network.embed(flat).unflatten(0, (6, 4)))

    _, spread = objective.real_statistics(network, 0)
    before = distances().mean().item()
    for iteration in range(15):
        updates.zero_grad()
        objective.step(Draw(content, 0, iteration), 0)
        updates.step()
    after = distances().mean().item()
    assert after < 0.8 * before if form == "printed" else after > min(1.2 * before, 0.8 * spread.mean().item())


def test_the_three_losses_and_their_gradient_are_those_of_section_3_4(tiny, close):
    method = build(alpha_1=0.3, alpha_2=0.7, match_segments=1.1)
    content, objective = method.content(tiny[0], 2, 0), method.objective(tiny[0], LABELS, 0, CPU)
    values = objective.step(Draw(content, 0, 4), 4)
    got = {name: p.grad.clone() for name, p in content.named_parameters()}
    content.zero_grad()
    network, (real, real_labels) = objective.fresh(4), objective.real(4)
    phi = {label: network.embed(real[real_labels == label]).detach() for label in range(3)}
    segments, videos = content.segments(torch.arange(6)), Draw(content, 0, 4)(torch.arange(6))
    stretched = torch.nn.functional.interpolate(
        segments.flatten(0, 1), size=(8, 32, 32), mode="trilinear", align_corners=True
    )
    of_segments, of_videos = network.embed(stretched).unflatten(0, (6, 3)), network.embed(videos)
    matched_segments = matched_videos = diversity = 0
    for label in range(3):
        mine = label == LABELS
        matched_segments += (of_segments[mine].flatten(0, 1).mean(0) - phi[label].mean(0)).square().sum()
        matched_videos += (of_videos[mine].mean(0) - phi[label].mean(0)).square().sum()
        rho = torch.stack([(a - b).square().sum() for a, b in itertools.combinations(phi[label], 2)]).mean()
        for clip in of_segments[mine]:
            diversity += sum((rho - (a - b).square().sum()).clamp(min=0) for a, b in itertools.combinations(clip, 2))
    assert close(values["segments"], matched_segments) and close(values["videos"], matched_videos)
    assert close(values["diversity"], diversity)
    loss = 1.1 * matched_segments + 0.3 * diversity + 0.7 * matched_videos
    loss.backward()
    assert close(values["loss"], loss)
    assert all(close(got[name], p.grad, 1e-3) for name, p in content.named_parameters())


@pytest.mark.parametrize("at_once", [1, 9])
def test_chunks_of_classes_give_the_same(tiny, close, at_once):
    found = []
    for clips_at_once in (512, at_once):
        method = build(clips_at_once=clips_at_once)
        content = method.content(tiny[0], 2, 0)
        loss = method.objective(tiny[0], LABELS, 0, CPU).step(Draw(content, 0, 1), 1)["loss"]
        found.append((loss, content.pool.grad, content.fusor.grad))
    assert all(close(a, b, 1e-3) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("parts", ["both", "selectors", "fusor"])
def test_what_is_used_is_learned_and_resumed_gives_the_same_bits(tiny, tmp_path, monkeypatch, parts):
    def one(**more):
        return build(stored={"selectors": 3, "parts": parts}, lr_pixels=1.0, **more)

    before, whole = one().content(tiny[0], 1, 0).state(), one().distill(tiny[0], 1)
    changed = {name for name, value in whole.content.state().items() if not torch.equal(value, before[name])}
    used = {"both": {"selectors", "shifts", "fusor", "fusor_bias"}, "selectors": {"selectors", "shifts"}}
    assert changed == {"pool"} | used.get(parts, {"fusor", "fusor_bias"})
    monkeypatch.setenv("VDD_CACHE", str(tmp_path))
    step = distillers.IDTD.fitted_to.step

    def stop(self, draw, iteration):
        if iteration == 2:
            raise KeyboardInterrupt
        return step(self, draw, iteration)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(distillers.IDTD.fitted_to, "step", stop)
        one(checkpoint_seconds=0).distill(tiny[0], 1)
    assert one(checkpoint_seconds=0).distill(tiny[0], 1).state() == whole.state()
