"""Starts for rows that are points: the same for copies and any order, and no two alike."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.cluster.hierarchy import fcluster, linkage

from emlearn.distributions import Gaussian
from emlearn.distributions.gaussian.structures import STRUCTURES
from emlearn.kernels import clusters
from emlearn.latent import LabelModel, MixtureLaw, Observations
from emlearn.latent import candidates as module
from emlearn.latent.candidates import AGAIN, FIRST, MixedStarts, PointTable

SHAPES = ["full", "tied", "diag", "spherical"]


def offered(X, K=3, weight=None, n=14, shape="full", seed=0, certainty=1.0, reg_covar="auto"):
    family = Gaussian(shape, reg_covar=reg_covar)
    model = LabelModel(MixtureLaw(K), family, MixedStarts(certainty))
    weight = None if weight is None else np.asarray(weight, float)
    data = model.prepare(Observations(np.asarray(X, float)), weight)
    return list(model.candidates(data, np.random.default_rng(seed), n)), model, data


def published(starts, model):
    """Weights, means and covariances in the units of the data."""
    found = []
    for start in starts:
        public = model.family.to_public(start.components, start.column_spec)
        found.append((start.law.weights, public["mean"], public["covariance"]))
    return found


def assert_same_starts(one, other, rtol=1e-8):
    __tracebackhide__ = True
    one, other = (published(*found[:2]) for found in (one, other))
    assert len(one) == len(other) > 1
    for a, b in zip(one, other, strict=True):
        for x, y in zip(a, b, strict=True):
            assert_allclose(x, y, rtol=rtol, atol=1e-8 * np.abs(y).max())


def rows(n=120, d=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * np.array([1.0, 5.0, 0.2, 30.0])[:d]
    X[: n // 3, 0] += 4.0
    X[n // 2 :, 1] -= 12.0
    return X


def label_sets(monkeypatch):
    """All sets of labels that starts are made of."""
    seen = []
    start = MixedStarts._start

    def spy(self, model, data, table, labels, rng):
        seen.append((labels, table))
        return start(self, model, data, table, labels, rng)

    monkeypatch.setattr(MixedStarts, "_start", spy)
    return seen


@pytest.mark.parametrize("shape", SHAPES)
def test_a_weight_is_so_many_copies(shape):
    X = rows()
    counts = np.random.default_rng(1).integers(1, 4, size=len(X))
    assert_same_starts(
        offered(X, weight=counts, shape=shape), offered(np.repeat(X, counts, axis=0), shape=shape)
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_order_of_rows(shape):
    X = rows()
    turned = np.random.default_rng(1).permutation(len(X))
    assert_same_starts(offered(X, shape=shape), offered(X[turned], shape=shape))


def test_rows_of_weight_zero():
    X = rows()
    weight = np.r_[np.ones(90), np.zeros(30)]
    assert_same_starts(offered(X, weight=weight), offered(X[:90]))


@pytest.mark.parametrize("shape", SHAPES)
def test_shift_and_common_factor(shape):
    X = rows()
    moved = offered((X + np.array([8.0, -64.0, 2.0])) * 16.0, shape=shape)
    here = offered(X, shape=shape)
    assert len(here[0]) == len(moved[0])
    for a, b in zip(published(*here[:2]), published(*moved[:2]), strict=True):
        assert_allclose(b[0], a[0])
        assert_allclose(b[1] / 16.0 - [8.0, -64.0, 2.0], a[1], atol=1e-8)
        assert_allclose(b[2] / 256.0, a[2], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("certainty", [1.0, 0.9])
def test_a_start_is_one_m_step_from_its_labels(monkeypatch, certainty):
    """Means and covariances of the clusters, by the textbook."""
    seen = label_sets(monkeypatch)
    X = rows()
    starts, model, _ = offered(X, reg_covar=0.0, certainty=certainty)
    for (labels, table), (weights, means, covariances) in zip(
        seen, published(starts, model), strict=True
    ):
        own = X[table.rows]
        share = certainty * (labels == np.arange(3)[:, None]) + (1.0 - certainty) / 3
        for k in range(3):
            assert_allclose(weights[k], share[k].mean())
            mean = share[k] @ own / share[k].sum()
            assert_allclose(means[k], mean)
            centered = own - mean
            assert_allclose(
                covariances[k], (share[k] * centered.T) @ centered / share[k].sum(), rtol=1e-6
            )


def test_labels_are_never_repeated(monkeypatch):
    seen = label_sets(monkeypatch)
    offered(rows(), n=40)
    assert 10 < len({labels.tobytes() for labels, _ in seen}) == len(seen) < 40
    for labels, _ in seen:
        assert labels[0] == 0  # numbered by their first rows
        assert set(labels) == set(range(3))


def test_clusters_far_apart_have_one_start():
    X = np.random.default_rng(0).normal(size=(120, 1)) + np.repeat([0.0, 100.0, 500.0], 40)[:, None]
    starts, model, _ = offered(X)
    assert len(starts) < 6
    assert_allclose(np.sort(published(starts, model)[0][1].ravel()), [0, 100, 500], atol=0.5)


@pytest.mark.parametrize(("n", "n_tried"), [(10, 3), (11, 11)])
def test_if_the_first_three_agree_no_more_is_tried(monkeypatch, n, n_tried):
    """Unless more effort is asked for."""
    tried = []
    labels = MixedStarts._labels

    def spy(self, i, *args):
        tried.append(i)
        return labels(self, i, *args)

    monkeypatch.setattr(MixedStarts, "_labels", spy)
    X = np.random.default_rng(0).normal(size=(120, 2)) + np.repeat([0.0, 90.0, 500.0], 40)[:, None]
    offered(X, n=n)
    assert tried == list(range(n_tried))


def test_kinds_and_metrics():
    asked = []

    def spying(maker):
        def spy(table, columns, *args):
            metrics = {"raw": table.raw, "standardized": table.standardized}
            metric = [key for key, value in metrics.items() if value is columns]
            asked.append((maker.__name__, metric[0] if metric else "whitened"))
            return np.arange(columns.shape[1]) % 3

        return spy

    default = MixedStarts()
    starts = replace(
        default,
        first=tuple((spying(maker), metric) for maker, metric in default.first),
        again=tuple((spying(maker), metric) for maker, metric in default.again),
    )
    _, model, data = offered(rows())
    list(starts.candidates(model, data, np.random.default_rng(0), 30))
    plain = [(maker.__name__, metric) for maker, metric in (*FIRST, *AGAIN, *AGAIN, *AGAIN)]
    assert asked == plain[:30]
    assert len(set(plain[:10])) == 10


def test_clusters_have_the_numbers_of_known_labels():
    """Rows of two of the three classes are known."""
    X = np.repeat([[0.0], [100.0], [50.0]], 40, axis=0) + np.random.default_rng(0).normal(
        size=(120, 1)
    )
    labels = np.full(120, -1)
    labels[:5], labels[40:45] = 2, 0
    model = LabelModel(MixtureLaw(3), Gaussian("full", alpha=0.0), MixedStarts(0.9))
    data = model.prepare(Observations(X, labels))
    starts = list(model.candidates(data, np.random.default_rng(0), 6))
    for _, means, _ in published(starts, model):
        assert_array_equal(np.argsort(means.ravel()), [2, 1, 0])


def test_metrics():
    X = rows(d=4)
    _, _, data = offered(X)
    table = PointTable.of(data, 3, np.random.default_rng(0))
    assert_allclose(table.raw.mean(axis=1), 0.0, atol=1e-12)
    # As they are, up to a factor that all columns have in common.
    ratio = np.ptp(table.raw, axis=1) / np.ptp(X, axis=0)
    assert_allclose(ratio, ratio[0])
    assert_allclose(table.standardized.std(axis=1), 1.0)
    assert_allclose(np.cov(table.whitened, bias=True), np.eye(4), atol=1e-8)


def table_of(X, weight=None):
    _, _, data = offered(X, weight=weight)
    return PointTable.of(data, 3, np.random.default_rng(0))


@pytest.mark.parametrize("factor", [1.0, 1e-3, 1e200])
def test_metrics_of_weighted_rows(factor):
    weight = np.random.default_rng(1).exponential(size=120) + 0.1
    table = table_of(rows(d=4), weight * factor)
    share = weight[table.rows] / weight.sum()
    assert_allclose(table.relative_weight, share * 120)
    assert_allclose(table.raw @ share, 0.0, atol=1e-12)
    assert_allclose(np.square(table.standardized) @ share, 1.0)
    whitened = table.whitened
    assert_allclose((whitened * share) @ whitened.T, np.eye(4), atol=1e-8)


def test_missing_entries_are_at_the_weighted_mean_of_those_seen():
    X, weight = rows(d=3), np.random.default_rng(1).exponential(size=120) + 0.1
    X[np.random.default_rng(2).random(X.shape) < 0.3] = np.nan
    kept = ~np.isnan(X).all(axis=1)
    _, _, data = offered(X[kept], weight=weight[kept])
    table = PointTable.of(data, 3, np.random.default_rng(0))
    own, w = data.X[table.rows], data.row_weight[table.rows]
    seen = ~np.isnan(own)
    mean = np.array([np.average(own[s, j], weights=w[s]) for j, s in enumerate(seen.T)])
    expected = np.where(seen, own - mean, 0.0).T
    unit = np.abs(expected).max() / np.abs(table.raw).max()
    assert_allclose(table.raw * unit, expected, atol=1e-12 * np.abs(expected).max())


def joined_by_brute_force(points, weight, labels, n, shape):
    """Of all pairs, the one is joined with which the sum of the costs is least."""
    d, total = len(points), weight.sum()

    def moments(own):
        w = weight[own]
        centered = points[:, own] - np.average(points[:, own], axis=1, weights=w)[:, None]
        return w.sum(), (centered * w) @ centered.T

    within = sum(moments(labels == c)[1] for c in set(labels)) / total + 1e-6 * np.eye(d)

    def cost(own):
        size, scatter = moments(own)
        entropy = -size * np.log(size / total)
        if shape == "tied":
            return entropy + 0.5 * np.trace(np.linalg.solve(within, scatter))
        covariance = (scatter + (d + 2.0) * within) / (size + d + 2.0)
        if shape == "diag":
            covariance = np.diag(np.diagonal(covariance))
        elif shape == "spherical":
            covariance = np.eye(d) * np.trace(covariance) / d
        return 0.5 * size * np.linalg.slogdet(covariance)[1] + entropy

    def gain(pair):
        a, b = (labels == c for c in pair)
        return cost(a | b) - cost(a) - cost(b)

    while len(set(labels)) > n:
        a, b = min(itertools.combinations(sorted(set(labels)), 2), key=gain)
        labels = np.where(labels == b, a, labels)
    return labels


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("with_kernels", [True, False])
def test_joined_clusters_by_brute_force(monkeypatch, shape, seed, with_kernels):
    if not with_kernels:
        monkeypatch.setattr(clusters, "compiled", None)
    X = rows(seed=seed)
    X[40:] *= 0.4
    table = table_of(X, np.random.default_rng(seed).exponential(size=120) + 0.2)
    micro = table.micro_clusters(table.raw, 12, np.random.default_rng(seed))
    monkeypatch.setattr(PointTable, "micro_clusters", lambda *args: micro)
    found = module.joined_clusters(table, table.raw, 3, shape, None)
    expected = joined_by_brute_force(
        table.standardized, table.relative_weight, micro, 3, shape
    )  # fmt: skip
    assert len(set(found)) == 3
    assert len(set(zip(found, expected, strict=True))) == 3


@pytest.mark.parametrize("metric", ["raw", "standardized", "whitened"])
def test_few_rows_are_joined_by_wards_method(metric):
    table = table_of(rows())
    columns = getattr(table, metric)
    found = module.ward(table, columns, 4, "full", np.random.default_rng(0))
    expected = fcluster(linkage(columns.T, "ward"), 4, "maxclust")
    assert len(set(zip(found, expected, strict=True))) == 4 == len(set(found))


@pytest.mark.parametrize(("n", "n_trials"), [(1, 2), (3, 3), (8, 4), (21, 5)])
def test_each_seed_is_the_best_of_two_and_the_logarithm_of_their_number(monkeypatch, n, n_trials):
    """As in scikit-learn."""
    asked = []

    def spy(columns, weight, draws):
        asked.append(draws.shape)
        return clusters.plus_plus(columns, weight, draws)

    table = table_of(rows())
    monkeypatch.setattr(module, "plus_plus", spy)
    for maker in (module.kmeans, module.seeds):
        maker(table, table.raw, n, "full", np.random.default_rng(0))
    assert asked == [(n, n_trials)] * 2


def test_four_micro_clusters_are_joined_to_one(monkeypatch):
    asked = []
    micro_clusters = PointTable.micro_clusters

    def spy(self, columns, n, rng):
        asked.append(n)
        return micro_clusters(self, columns, n, rng)

    table = table_of(rows())
    monkeypatch.setattr(PointTable, "micro_clusters", spy)
    found = module.joined_clusters(table, table.raw, 5, "full", np.random.default_rng(0))
    assert set(found) == set(range(5))
    assert asked == [20]


def test_no_micro_cluster_is_empty(monkeypatch):
    """A step of k-means may leave a center without points."""

    def step(columns, weight, centers, max_steps):
        return centers, np.arange(columns.shape[1]) % 3 * 2

    table = table_of(rows())
    monkeypatch.setattr(module, "lloyd", step)
    labels = table.micro_clusters(table.raw, 5, np.random.default_rng(0))
    assert_array_equal(labels, np.arange(120) % 3)


@pytest.mark.parametrize(("most", "expected"), [(50, 50), (90, 72), (10, 10)])
def test_the_number_of_rows_grows_with_that_of_parameters_up_to_a_limit(
    monkeypatch, most, expected
):
    monkeypatch.setattr(module, "_ROWS", 10)
    monkeypatch.setattr(module, "_ROWS_PER_PARAMETER", 6)
    monkeypatch.setattr(module, "_MOST_ROWS", most)
    table = table_of(rows())
    assert len(table.rows) == len(set(table.rows)) == expected  # 6 * 3 * (3 + 1)


def test_directions_with_almost_no_variance_are_not_blown_up():
    """Whitened variances are v / max(v, 1e-4 of the largest), of the correlations' v."""
    X = rows(d=3)
    X = np.column_stack((X, X[:, 0] + 1e-4 * np.random.default_rng(3).normal(size=120)))
    table = table_of(X)
    values = np.linalg.eigvalsh(np.corrcoef(X.T))
    expected = values / np.maximum(values, 1e-4 * values[-1])
    assert expected[0] < 0.1
    found = np.linalg.eigvalsh(np.cov(table.whitened, bias=True))
    assert_allclose(found, np.sort(expected), rtol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_missing_entries(shape):
    X = rows()
    X[np.random.default_rng(2).random(X.shape) < 0.2] = np.nan
    X[5] = np.nan
    starts, model, _ = offered(X, shape=shape)
    assert len(starts) > 3
    for values in published(starts, model):
        assert all(np.isfinite(value).all() for value in values)
    assert_same_starts((starts, model), offered(X[::-1], shape=shape))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n_distinct", [1, 2, 3, 4])
def test_fewer_distinct_rows_than_components(shape, n_distinct):
    X = np.tile(rows(n=n_distinct), (6, 1))
    starts, model, _ = offered(X, K=4, shape=shape)
    assert starts
    for weights, means, covariances in published(starts, model):
        assert (weights > 0.0).all()
        assert np.isfinite(means).all()
        assert np.isfinite(covariances).all()
        distances = np.abs(means[:, None] - X[None]).sum(axis=2).min(axis=1)
        if n_distinct < 4:
            # Each component starts at rows, not at nothing.
            assert distances.shape == (4,)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["constant", "copy", "all constant"])
def test_columns_that_say_nothing_change_no_labels(shape, kind, monkeypatch):
    """Constant columns give the same labels; a copied one works."""
    seen = label_sets(monkeypatch)
    X = rows()
    extra = {"constant": np.full((120, 2), 7.0), "copy": X[:, :1], "all constant": None}[kind]
    wide = np.full((120, 2), 3.0) if extra is None else np.hstack([X, extra])
    starts, model, _ = offered(wide, shape=shape)
    assert starts
    assert all(np.isfinite(v).all() for start in published(starts, model) for v in start)
    if kind == "all constant":
        assert len(starts) == 1
    if kind == "constant":
        with_it = {labels.tobytes() for labels, _ in seen}
        seen.clear()
        offered(X, shape=shape)
        without = {labels.tobytes() for labels, _ in seen}
        assert len(with_it & without) >= 0.6 * len(without)


def test_one_component_has_one_start():
    X = rows()
    starts, model, _ = offered(X, K=1)
    assert len(starts) == 1
    assert_allclose(published(starts, model)[0][1][0], X.mean(axis=0))


def test_more_components_than_rows_of_a_sample():
    X = rows(n=9, d=2)
    starts, _, _ = offered(X, K=9)
    assert starts


def test_known_labels_are_put_in():
    X = rows()
    labels = np.full(len(X), -1)
    labels[:20], labels[20:40] = 0, 1
    model = LabelModel(MixtureLaw(2), Gaussian("full", reg_covar=0.0), MixedStarts())
    data = model.prepare(Observations(X, labels))
    for start in model.candidates(data, np.random.default_rng(0), 5):
        assert np.isfinite(start.components.mean).all()


# ---- the optimism of a fit ----------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 2, 5, 13])
def test_optimism_by_its_formulas(d):
    n = np.array([d + 2.5, d + 10.0, 100.0, 1e7])
    formulas = {
        "full": n * d * (d + 3) / (2 * (n - d - 2)),
        "diag": np.where(n > 3, 2 * d * n / np.where(n > 3, n - 3, 1), np.inf),
        "spherical": d * (d + 1) * n / (d * (n - 1) - 2),
        "tied": np.zeros(4),
        "EEV": np.zeros(4),
    }
    assert formulas.keys() == STRUCTURES.keys()
    for name, expected in formulas.items():
        found = STRUCTURES[name].optimism(n, d)
        if name == "spherical":
            expected = np.where(d * (n - 1) > 2, expected, np.inf)
        assert_allclose(found, expected)


@pytest.mark.parametrize(("name", "last"), [("full", 6.0), ("diag", 3.0), ("spherical", 1.5)])
def test_optimism_is_infinite_where_rows_are_too_few(name, last):
    """At the last number of rows, in 4 columns, it has a pole."""
    few = np.array([0.0, 0.1, 1.0, last / 2.0, last])
    assert np.isposinf(STRUCTURES[name].optimism(few, 4)).all()
    just = STRUCTURES[name].optimism(np.array([last + 1e-6]), 4)
    assert 1e5 < just[0] < np.inf


@pytest.mark.parametrize("name", ["full", "diag", "spherical"])
@pytest.mark.parametrize(("n", "d"), [(12, 3), (40, 5), (9, 1)])
def test_optimism_is_what_new_rows_lose(name, n, d):
    """Log-likelihood of rows less that of new ones, at their own mean and covariance."""
    rng = np.random.default_rng(0)
    n_draws = 20_000
    X = rng.normal(size=(n_draws, n, d))
    mean = X.mean(axis=1)
    centered = X - mean[:, None]
    covariance = np.einsum("rni,rnj->rij", centered, centered) / n
    if name == "diag":
        covariance = covariance * np.eye(d)
    elif name == "spherical":
        trace = np.trace(covariance, axis1=1, axis2=2) / d
        covariance = trace[:, None, None] * np.eye(d)
    inverse = np.linalg.inv(covariance)
    # Expectation over a new row of N(0, I), known; determinants cancel.
    new = np.trace(inverse, axis1=1, axis2=2) + np.einsum("ri,rij,rj->r", mean, inverse, mean)
    own = np.einsum("rni,rij,rnj->r", centered, inverse, centered) / n
    loss = 0.5 * n * (new - own)
    error = loss.std() / np.sqrt(n_draws)
    found = STRUCTURES[name].optimism(np.array([float(n)]), d)[0]
    assert abs(loss.mean() - found) < 4.0 * error
    assert error < 0.05 * found


def test_starved_components_and_optimism_of_the_others():
    starts, model, _ = offered(rows(n=20, d=3), K=2)
    start = starts[0]
    spec = start.column_spec

    class Statistics:
        weight = np.array([5.0, 15.0])

    found = model.family.ranking_penalty(Statistics, spec)
    assert found.starved == 1
    assert found.optimism == pytest.approx(15 * 3 * 6 / (2 * (15 - 5)))


def test_penalty_where_weights_sum_to_one():
    """The same components are starved; the optimism is in units of the objective."""
    starts, model, _ = offered(rows(n=20, d=3), K=2)
    spec = starts[0].column_spec

    class Statistics:
        weight = np.array([5.0, 15.0]) / 20.0

    light = model.family.ranking_penalty(Statistics, spec._replace(rows_per_weight=20.0))
    assert light.starved == 1
    assert light.optimism == pytest.approx(15 * 3 * 6 / (2 * (15 - 5)) / 20.0)
    weighted = model.family.column_spec(rows(n=20, d=3), np.full(20, 1.0 / 20.0))
    assert weighted.rows_per_weight == pytest.approx(20.0)
    assert model.family.column_spec(rows(n=20, d=3), np.full(20, 2.0)).rows_per_weight == 1.0
