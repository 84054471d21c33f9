"""Independent labels: the contract, enumeration of all labels, published values."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from scipy.special import logsumexp
from scipy.stats import poisson

from emlearn.distributions import (
    Bernoulli,
    Categorical,
    Gaussian,
    Mixture,
    Multinomial,
    Poisson,
    Product,
)
from emlearn.kernels import softmax as _softmax
from emlearn.latent import LabelModel, LabelParams, MixtureLaw, MixtureParams, Observations
from emlearn.latent.data import Distinct, group_copies, hash_rows, worth_merging
from emlearn.latent.starts import RandomStart, RowsStart
from emlearn.testing import check_latent_variable_model

N = 240


def model_of(family, n_components=2, start=RowsStart(), **law):  # noqa: B008
    return LabelModel(MixtureLaw(n_components, **law), family, start)


def two_groups(kind, holes=0.0):
    rng = np.random.default_rng(0)
    side = rng.integers(2, size=N)[:, None]
    X = {
        "counts": rng.poisson(np.where(side, 1.0, 4.0) * [1, 2, 0.5]),
        "binary": rng.random((N, 5)) < np.where(side, 0.2, 0.8),
        "codes": np.minimum(rng.poisson(np.where(side, 0.5, 3.0) * np.ones(4)), 3),
        "words": np.where(
            side, rng.multinomial(20, [0.1, 0.2, 0.3, 0.4], N), rng.multinomial(9, [0.25] * 4, N)
        ),
        "real": rng.normal(size=(N, 3)) + 4.0 * side,
    }[kind].astype(float)
    X[rng.random(X.shape) < holes] = np.nan
    return X, side[:, 0]


MODELS = {
    "poisson": (Poisson(), "counts", 0.15),
    "bernoulli": (Bernoulli(), "binary", 0.15),
    "categorical": (Categorical(), "codes", 0.15),
    "multinomial": (Multinomial(), "words", 0.15),
    "full": (Gaussian("full"), "real", 0.15),
    "tied": (Gaussian("tied"), "real", 0.0),
    "diag": (Gaussian("diag"), "real", 0.15),
    "spherical": (Gaussian("spherical"), "real", 0.0),
    "mixture": (Mixture(Poisson()), "counts", 0.0),
    "product": (Product(((Poisson(), (0,)), (Gaussian("diag"), (1, 2)))), "counts", 0.15),
}


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_contract(name, labelled, small_blocks):
    small_blocks(50)
    family, kind, holes = MODELS[name]
    X, side = two_groups(kind, holes)
    rng = np.random.default_rng(1)
    labels = np.where(rng.random(N) < 0.2, side, -1) if labelled else None
    model = model_of(family, alpha=0.3, unlabelled_weight=0.5 if labelled else 1.0)
    assert len(model.prepare(Observations(X, labels)).blocks) > 1
    check_latent_variable_model(
        model,
        Observations(X, labels),
        sample_weight=rng.uniform(0.5, 2.0, N),
        take=Observations.take,
        random_state=1,
        max_iter=20_000,
    )


@pytest.mark.parametrize("holes", [0.0, 0.1])
def test_contract_of_sparse_rows(holes, small_blocks):
    small_blocks(50)
    X, _ = two_groups("words", holes)
    model = model_of(Multinomial(), start=RandomStart())
    check_latent_variable_model(model, Observations(csr_array(X)), take=Observations.take,
                                sample_weight=np.ones(N))  # fmt: skip


def test_objective_by_enumeration():
    """Rows, labels, weights and priors in a few lines of textbook formulas."""
    X, side = two_groups("counts")
    rng = np.random.default_rng(2)
    weight = rng.uniform(0.0, 2.0, N)
    labels = np.where(rng.random(N) < 0.3, side, -1)
    model = model_of(Poisson(alpha=0.0), unlabelled_weight=0.25)
    data = model.prepare(Observations(X, labels), weight)
    params = model.initialize(data, rng)
    rate = params.components.mean
    joint = poisson.logpmf(X[:, None], rate).sum(axis=2) + np.log(params.law.weights)
    density = np.where(
        labels < 0, 0.25 * logsumexp(joint, axis=1), joint[np.arange(N), np.maximum(labels, 0)]
    )
    found = sum(model.e_step(block, model.precompute(params))[1] for block in model.blocks(data))
    assert found == pytest.approx(weight @ density)
    posterior = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    posterior[labels >= 0] = np.eye(2)[labels[labels >= 0]]
    mass = (posterior.T * weight * np.where(labels < 0, 0.25, 1.0)).T
    statistics, _ = model.e_step(model.blocks(data)[0], model.precompute(params))
    new = model.m_step(statistics, params)
    assert_allclose(new.law.weights, mass.sum(axis=0) / mass.sum())
    assert_allclose(new.components.mean, mass.T @ X / mass.sum(axis=0)[:, None])


def test_london_deaths(reference):
    """Hasselblad's mixture: the optimum, and the number of EM steps to reach it."""
    table = reference("discrete")["london_deaths"]
    X = np.array(table["deaths"], float)[:, None]
    days = np.array(table["days"], float)
    model = model_of(Poisson(alpha=0.0))
    data = model.prepare(Observations(X), days)
    for case in table["plain_em_maps"]:
        weights = np.array(case["start"]["weights"])
        components = model.initialize(data, np.random.default_rng(0)).components
        components = components._replace(mean=np.array(case["start"]["rates"], float)[:, None])
        params, n_maps, change = (
            LabelParams(MixtureParams(weights), components, data.column_spec),
            0,
            np.inf,
        )
        while change >= case["tol_on_step_norm"]:
            statistics, _ = model.e_step(data.blocks[0], model.precompute(params))
            new = model.m_step(statistics, params)
            change = np.linalg.norm(
                np.append(
                    new.components.mean - params.components.mean,
                    (new.law.weights - params.law.weights)[0],
                )
            )
            params, n_maps = new, n_maps + 1
        assert abs(n_maps - case["maps"]) <= 1
        assert_allclose(params.law.weights, table["weights"], atol=1e-4)
        assert_allclose(params.components.mean[:, 0], table["rates"], atol=1e-4)


def test_limit_is_that_of_the_reference(reference):
    table = reference("discrete")["london_deaths"]
    X = np.array(table["deaths"], float)[:, None]
    model = model_of(Poisson(alpha=0.0))
    data = model.prepare(Observations(X), np.array(table["days"], float))
    params = model.initialize(data, np.random.default_rng(0))
    # The likelihood is flat, so its digits agree long before those of the parameters.
    for _ in range(6000):
        statistics, log_likelihood = model.e_step(data.blocks[0], model.precompute(params))
        params = model.m_step(statistics, params)
    order = np.argsort(params.components.mean[:, 0])
    assert log_likelihood == pytest.approx(table["log_likelihood"], abs=1e-8)
    assert_allclose(params.law.weights[order], table["weights"], atol=1e-6)
    assert_allclose(params.components.mean[order, 0], table["rates"], atol=1e-6)


# ---- copies ----------------------------------------------------------------------------


def test_copies_are_merged_and_nothing_changes():
    X, side = two_groups("codes", 0.05)
    X = X[:, :2]
    labels = np.where(np.arange(N) < 40, side, -1)
    model = model_of(Categorical())
    data = model.prepare(Observations(X, labels))
    assert len(data.weight) < N / 2
    assert data.weight.sum() == N
    assert_array_equal(X[data.origin], data.X)
    assert_array_equal(labels[data.origin], data.labels)
    rows = np.column_stack([X, labels])
    distinct, counts = np.unique(np.nan_to_num(rows, nan=9.0), axis=0, return_counts=True)
    order = np.lexsort(np.nan_to_num(np.column_stack([data.X, data.labels]), nan=9.0).T[::-1])
    assert_array_equal(data.weight[order], counts)
    assert len(data.weight) == len(distinct)


def find_distinct(X, weight, labels):
    return group_copies(hash_rows(X, labels), weight)


def test_distinct_rows():
    X, _ = two_groups("real")
    distinct = find_distinct(X, np.ones(N), None)
    assert len(distinct.first) == N
    assert not worth_merging(X, None, distinct)
    zeros = np.array([[0.0], [-0.0], [0.0]])
    assert len(find_distinct(zeros, np.ones(3), None).first) == 1
    assert len(find_distinct(zeros, np.ones(3), np.array([0, -1, 0])).first) == 2
    columns = np.array([[1.0, 2.0], [2.0, 1.0]] * 3)
    for layout in (np.asarray, csr_array):
        first, group, weight = find_distinct(layout(columns), np.arange(6.0), None)
        assert_array_equal(columns[first][group], columns)
        assert_allclose(weight[group[:2]], [6.0, 9.0])
    # Different rows with equal hashes are not merged.
    alike = Distinct(np.array([0]), np.zeros(4, np.intp), np.array([4.0]))
    assert not worth_merging(np.array([[1.0], [1.0], [2.0], [1.0]]), None, alike)
    assert not worth_merging(np.ones((4, 1)), np.array([0, 0, 1, 0]), alike)
    assert worth_merging(np.full((4, 1), np.nan), None, alike)


@pytest.mark.parametrize("draw", [RowsStart(), RandomStart()])
def test_starts_do_not_depend_on_order_or_copies(draw):
    X, _ = two_groups("real")
    counts = np.random.default_rng(1).integers(1, 3, N)
    order = np.random.default_rng(2).permutation(counts.sum())
    model = model_of(Gaussian(), 3, draw)
    starts = [
        model.initialize(model.prepare(Observations(rows), weight), np.random.default_rng(0))
        for rows, weight in ((X, counts.astype(float)), (np.repeat(X, counts, axis=0)[order], None))
    ]
    assert_allclose(starts[0].components.mean, starts[1].components.mean, atol=1e-12)


# ---- softmax ---------------------------------------------------------------------------


def test_responsibilities_with_and_without_the_kernel(monkeypatch):
    rng = np.random.default_rng(0)
    joint = rng.normal(0.0, 300.0, (5, 203))
    joint[2, rng.random(203) < 0.4] = -np.inf
    weight = rng.uniform(0.0, 3.0, 203)
    expected = np.exp(joint - logsumexp(joint, axis=0)) * weight
    total = weight @ logsumexp(joint, axis=0)
    for kernels in (_softmax.compiled, None):
        monkeypatch.setattr(_softmax, "compiled", kernels)
        found = joint.copy()
        assert _softmax.to_responsibilities(found, weight) == pytest.approx(total)
        assert_allclose(found, expected, rtol=1e-10, atol=1e-300)


@pytest.mark.parametrize("seed", range(6))
def test_perturbing_leaves_known_labels_where_they_are(seed):
    """The new start of the components agrees with the known labels."""
    X, side = two_groups("counts")
    labels = np.where((side == 0) & (np.arange(N) % 2 == 0), 0, -1)
    model = model_of(Poisson(alpha=0.0), 3)
    data = model.prepare(Observations(X, labels), np.linspace(0.5, 2.0, N))
    params = model.initialize(data, np.random.default_rng(seed))
    seen = []

    class Spy(MixtureLaw):
        def restart(self, responsibilities, data):
            seen.append(responsibilities)
            return super().restart(responsibilities, data)

    changed = LabelModel(Spy(3), model.family, model.initializer).perturb(
        data, params, np.random.default_rng(seed)
    )
    (share,) = seen
    assert_allclose(share[0, data.labels == 0], data.weight[data.labels == 0])
    assert_allclose(share.sum(axis=0), data.weight)
    assert_allclose(changed.components.mean, share @ data.X / share.sum(axis=1)[:, None])
