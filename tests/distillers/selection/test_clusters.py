"""The selectors that cluster: made clusters with a known answer, brute force, and formulas typed anew."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.distillers.selection.conftest import SMALL
from vddlib import distillers
from vddlib.core import seeding
from vddlib.core.errors import VddError
from vddlib.distillers import CSTA, DMMMD, TACDT, MAEScore, Prototypes
from vddlib.distillers.selection.clusters import groups, kmeans, nearest_first
from vddlib.distillers.selection.csta import attention_scores
from vddlib.distillers.selection.dm_mmd import bandwidth
from vddlib.distillers.selection.prototypes import blend
from vddlib.distillers.selection.tac_dt import merged, reduced

G = torch.Generator()
NEW = ("mae_score", "csta", "dm_mmd", "tac_dt", "prototypes")


def points(seed, n=12, d=3):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, d))).float()


def islands(seed, count=3, each=5, d=4):
    """``[count * each, d]``, islands far from each other, shuffled; and the island of each point."""
    rng = np.random.default_rng(seed)
    centres = 50 * np.eye(count, d)
    labels = rng.permutation(np.repeat(np.arange(count), each))
    return torch.from_numpy(centres[labels] + rng.normal(size=(len(labels), d))).float(), labels


# --- what they share ------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.integers(1, 12))
@settings(max_examples=30)
def test_kmeans_gives_as_many_clusters_as_asked(seed, count):
    x = points(seed)
    x[6:] = x[:6]  # every point twice: no more than six can be told apart
    found = kmeans(x, count, seeding.generator(seed))
    assert len(found) == count and all(len(members) for members in found)
    assert sorted(torch.cat(found).tolist()) == list(range(12))


def test_kmeans_finds_islands_and_repeats_itself():
    x, labels = islands(0)
    found = kmeans(x, 3, seeding.generator(1))
    assert all(len(set(labels[members])) == 1 for members in found)
    assert [m.tolist() for m in found] == [m.tolist() for m in kmeans(x, 3, seeding.generator(1))]
    with pytest.raises(ValueError, match="6 clusters of 5"):
        kmeans(torch.zeros(5, 1), 6, G)
    assert [m.tolist() for m in groups(torch.tensor([7, 7, 7, 7]), 3)] == [[2, 3], [0], [1]]


def test_nearest_first_is_by_distance_from_the_mean():
    x = torch.tensor([[0.0], [10.0], [4.0], [99.0]])
    assert nearest_first(x, torch.tensor([0, 1, 2])).tolist() == [2, 0, 1]  # mean 4.67
    assert nearest_first(torch.zeros(3, 1), torch.arange(3)).tolist() == [0, 1, 2]


@pytest.mark.parametrize("kind", [CSTA, DMMMD, TACDT])
@given(seed=st.integers(0, 10_000), ipc=st.integers(1, 12), copies=st.booleans())
@settings(max_examples=20)
def test_as_many_as_asked_each_once_whatever_the_embeddings(kind, seed, ipc, copies):
    x = points(seed)
    if copies:
        x[3:] = x[0]
    chosen = kind().choose(x, ipc, seeding.generator(seed)).tolist()
    assert len(chosen) == len(set(chosen)) == ipc and set(chosen) <= set(range(12))
    assert chosen == kind().choose(x, ipc, seeding.generator(seed)).tolist()


@pytest.mark.parametrize("method", ["dm_mmd", "tac_dt", "prototypes"])
def test_clusters_have_one_representative_each(method):
    x, labels = islands(4, count=4, each=6)
    # Scaling gives the last component the weight of the first: of four islands, three components tell them apart.
    kind = distillers.build(method, **({"components": 3} if method == "tac_dt" else {}))
    if method == "prototypes":
        chosen = [nearest_first(x, members)[0] for members in kmeans(x, 4, kind.stream(0, 0))]
    else:
        chosen = kind.choose(x, 4, kind.stream(0, 0))
    assert sorted(labels[[int(i) for i in chosen]]) == [0, 1, 2, 3]


# --- each by itself -------------------------------------------------------------------------------------------------------


def test_mae_score_takes_what_the_classifier_is_surest_of(tiny):
    train, _ = tiny
    method = MAEScore(**SMALL)
    scores, _ = method.embeddings(train, 0)
    (logits,), _ = method.see(train, 0, [train], classify=True)
    expected = (logits.exp() / logits.exp().sum(1, keepdim=True)).max(1).values
    torch.testing.assert_close(scores[:, 0], expected)
    made = method.distill(train, 2, seed=0)
    for label in range(3):
        members = train.of_class(label)
        best = sorted(members.tolist(), key=lambda i: -scores[i, 0])[:2]
        assert made.card["videos"][2 * label : 2 * label + 2] == [train.names[i] for i in best]


@given(st.integers(0, 10_000))
def test_csta_s_attention_typed_anew(seed):
    x = points(seed, n=7, d=5).double().numpy()
    z = (x - x.mean(0)) / x.std(0)
    scores = np.zeros(7)
    for i in range(7):
        others = [j for j in range(7) if j != i]
        weights = np.array([np.exp(z[i] @ z[j] / np.sqrt(5)) for j in others])
        scores[others] += weights / weights.sum() / 7
    np.testing.assert_allclose(attention_scores(points(seed, n=7, d=5)).numpy(), scores, rtol=1e-5)
    assert attention_scores(points(seed)).sum().item() == pytest.approx(1)


@given(st.integers(0, 10_000), st.integers(1, 5))
@settings(max_examples=20)
def test_csta_s_knapsack_has_the_largest_sum_of_scores(seed, ipc):
    """Against all sets of `ipc` clips: with equal weights the fullest knapsack has the highest scores."""
    x = points(seed, n=8)
    scores = attention_scores(x)
    best = max(scores[list(chosen)].sum().item() for chosen in itertools.combinations(range(8), ipc))
    assert scores[CSTA().choose(x, ipc, G)].sum().item() == pytest.approx(best)


def test_csta_prefers_what_is_like_many_others():
    """Ten alike and one stranger: the stranger comes last. A feature that never varies changes nothing."""
    x = torch.cat([torch.tensor([[3.0, 1.0]]) + 0.1 * points(0, 10, 2), torch.tensor([[-30.0, 8.0]])])
    assert CSTA().choose(x, 11, G)[-1] == 10
    assert torch.equal(attention_scores(x), attention_scores(torch.cat([x, torch.ones(11, 0)], 1)))
    assert attention_scores(torch.ones(1, 3)).tolist() == [1.0]


def discrepancy(chosen, real, width):
    """The squared MMD, its definition as a triple of double sums."""

    def k(a, b):
        return np.exp(-((a - b) ** 2).sum() / (2 * width**2))

    def mean(p, q):
        return sum(k(a, b) for a in p for b in q) / (len(p) * len(q))

    return mean(chosen, chosen) - 2 * mean(chosen, real) + mean(real, real)


@given(st.integers(0, 10_000), st.integers(1, 3))
@settings(max_examples=15)
def test_dm_mmd_cannot_be_bettered_by_another_clip_of_a_cluster(seed, ipc):
    candidates, real = points(seed, n=9), points(seed + 1, n=6)
    chosen = DMMMD().matching(candidates, real, ipc, seeding.generator(seed)).tolist()
    x, y = candidates.double().numpy(), real.double().numpy()
    width = bandwidth(real)
    distances = sorted(np.linalg.norm(a - b) for a, b in itertools.combinations(y, 2))
    assert width == pytest.approx(distances[(len(distances) - 1) // 2])  # torch's median is the lower middle
    best = discrepancy(x[chosen], y, width)
    for place, members in enumerate(kmeans(candidates, ipc, seeding.generator(seed))):
        assert chosen[place] in members.tolist()
        for other in members.tolist():
            changed = [other if k == place else one for k, one in enumerate(chosen)]
            assert discrepancy(x[changed], y, width) >= best - 1e-9
    if ipc == 1:
        assert best == pytest.approx(min(discrepancy(x[[i]], y, width) for i in range(9)))


def test_dm_mmd_matches_the_real_clips_and_not_the_pool(tiny, pool):
    """Of a pool whose clips lie around two places, those are taken that lie where the real ones do."""
    train, _ = tiny
    method = DMMMD(**SMALL)
    centre = torch.zeros(4)
    mine = torch.cat([centre + 9, centre + 9.1, centre + 0.1, centre + 9.2]).view(4, 4)
    real = 0.2 * points(0, 6, 4)
    assert method.matching(mine, real, 1, G).tolist() == [2]
    seen = []

    def see(train, seed, pools, classify=False):
        seen.append([p.dataset for p in pools])
        return [torch.randn(len(p), 4, generator=seeding.generator(p.dataset)) for p in pools], 0.0

    object.__setattr__(method, "see", see)
    method.distill(train, 1, candidates=pool)
    method.distill(train, 1)
    assert seen == [["pool", "tiny"], ["tiny"]]


def test_dm_mmd_with_clips_that_are_all_the_same():
    assert bandwidth(torch.ones(4, 2)) == 1.0 and bandwidth(torch.ones(1, 2)) == 1.0
    assert sorted(DMMMD().choose(torch.ones(4, 2), 3, G).tolist()) != [0, 0, 0]


def test_tac_dt_is_its_four_steps():
    """PCA by hand (singular values), unit variance, BIRCH, Ward; the nearest to each cluster's mean."""
    from sklearn.cluster import AgglomerativeClustering, Birch

    x = points(3, n=20, d=6)
    centred = x.double().numpy() - x.double().numpy().mean(0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    by_hand = (u * s)[:, :4]
    by_hand /= by_hand.std(0)
    ours = reduced(x, 4)
    np.testing.assert_allclose(np.abs(ours), np.abs(by_hand), rtol=1e-6, atol=1e-9)  # signs are free
    birch = Birch(threshold=0.5, n_clusters=None).fit(ours)
    labels = AgglomerativeClustering(3).fit_predict(birch.subcluster_centers_)[birch.predict(ours)]
    expected = set()
    for label in range(3):
        members = np.flatnonzero(labels == label)
        gaps = np.linalg.norm(ours[members] - ours[members].mean(0), axis=1)
        expected.add(int(members[gaps.argmin()]))
    assert set(TACDT(components=4).choose(x, 3, G).tolist()) == expected


def test_tac_dt_merges_clips_where_birch_leaves_too_few():
    x = points(5, n=10)
    wide = TACDT(threshold=100.0)  # one subcluster
    assert wide.labels(reduced(x, 3), 4).tolist() == merged(reduced(x, 3), 4).tolist()
    assert len(set(wide.choose(x, 4, G).tolist())) == 4
    assert TACDT().choose(torch.zeros(1, 3), 1, G).tolist() == [0]
    # Of points on a line, the other components are rounding errors, and must not be scaled up.
    line = torch.linspace(0, 1, 8)[:, None] * torch.ones(1, 5)
    assert np.allclose(reduced(line, 5)[:, 1:], 0)


def test_prototypes_are_blends_of_the_nearest(tiny):
    train, _ = tiny
    made = Prototypes(**SMALL, blended=2, share=0.75).distill(train, 2, seed=3)
    assert [names[0] for names in made.card["blended"]] == made.card["videos"]
    for i, names in enumerate(made.card["blended"]):
        frames = train.frames([train.names.index(name) for name in names], epoch=0, seed=3).astype(float)
        expected = frames[0] if len(names) == 1 else 0.75 * frames[0] + 0.25 * frames[1]
        assert len(names) in (1, 2) and np.abs(made.pixels[i] - expected).max() <= 0.5
    alone = Prototypes(**SMALL, blended=1).distill(train, 2, seed=3)
    assert alone.card["videos"] == made.card["videos"]
    for i, name in enumerate(alone.card["videos"]):
        assert np.array_equal(alone.pixels[i], train.clip(train.names.index(name), seed=3))


def test_a_blend_by_hand():
    clips = np.stack([np.full((1, 2, 2, 3), value, np.uint8) for value in (100, 0, 50)])
    assert (blend(clips, 0.5) == 62).all()  # half of 100, a quarter of 0 and of 50: 62.5, rounded to even
    assert (blend(clips, 1.0) == 100).all() and blend(clips[:1], 0.5) is not None


# --- on real clips and pools ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", NEW)
def test_on_both_kinds_of_pool(tiny, pool, method):
    train, _ = tiny
    build = distillers.build(method, **SMALL)
    real, generated, again = (build.distill(train, 2, seed=1, candidates=one) for one in (None, pool, pool))
    own = "prototypes" if method == "prototypes" else f"{method}[real]"
    other = "prototypes[generated]" if method == "prototypes" else method
    assert (real.card["method"], generated.card["method"]) == (own, other)
    assert generated.state() == again.state() != real.state()
    assert real.labels.tolist() == generated.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert set(generated.card["videos"]) <= set(pool.names) and len(set(real.card["videos"])) == 6
    with pytest.raises(VddError, match="ipc 5 is larger than the class Red of pool, which has 4"):
        build.distill(train, 5, candidates=pool)
    with pytest.raises(VddError, match="classes of the pool pool are not those of tiny in the same order"):
        build.distill(train, 1, candidates=pool.only(["Green", "Red", "Blue"]))


def test_the_names_of_the_older_selectors(tiny, pool):
    train, _ = tiny
    for method, params in (("random", {}), ("herding", SMALL), ("kcenter", SMALL)):
        build = distillers.build(method, **params)
        assert build.distill(train, 1).card["method"] == method
        assert build.distill(train, 1, candidates=pool).card["method"] == f"{method}[generated]"
        assert "embedder" not in build.distill(train, 1).card["params"]  # cards of the default are as they were


@pytest.mark.parametrize(
    "method, params, match",
    [
        ("tac_dt", {"threshold": 0}, "tac_dt: threshold"),
        ("tac_dt", {"components": 0}, "tac_dt: components"),
        ("prototypes", {"blended": 0}, "prototypes: blended"),
        ("prototypes", {"share": 1.5}, "prototypes: share"),
        ("csta", {"embedder": "resnet"}, "csta: embedder"),
    ],
)
def test_bad_input(method, params, match):
    with pytest.raises(VddError, match=match):
        distillers.build(method, **params)
