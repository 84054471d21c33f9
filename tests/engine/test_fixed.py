"""Models with entries of their parameters held: the mechanism, for any model."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, minimize_scalar

from emlearn.distributions.gaussian.constrained import put_in, scoring
from emlearn.engine import (
    DegenerateModelError,
    EMEstimator,
    FixedParameters,
    GainBelow,
    LatentVariableModel,
    run_em,
)
from emlearn.engine.parameters import (
    Curved,
    Entries,
    InParts,
    ParameterSpace,
    Repeated,
    Simplex,
    Symmetric,
    read_fixed,
)

NAN = np.nan
THROWS = np.array([5.0, 9.0, 8.0, 4.0, 7.0, 1.0])


class Coins(LatentVariableModel):
    """Number of heads in ten throws of one of two coins, with probability 1/2 each."""

    def prepare(self, X, sample_weight=None):
        return np.asarray(X, float).ravel()

    def total_weight(self, data):
        return float(len(data))

    def initialize(self, data, rng):
        return {"heads": rng.uniform(0.3, 0.7, 2)}

    def e_step(self, block, params):
        p = params["heads"][:, None]
        joint = p**block * (1 - p) ** (10 - block) / 2
        r = joint / joint.sum(axis=0)
        return (r.sum(axis=1), r @ block), float(np.log(joint.sum(axis=0)).sum())

    def m_step(self, statistics, params):
        return {"heads": statistics[1] / (10 * statistics[0])}

    def to_vector(self, params):
        return np.log(params["heads"] / (1 - params["heads"]))

    def from_vector(self, vector, like):
        return {"heads": 1 / (1 + np.exp(-vector))}

    def space(self, params):
        return ParameterSpace({"heads": Entries(("coin",), lower=0.0, upper=1.0)})


class CoinsEM(EMEstimator):
    def __init__(self, fixed=None, accelerate="auto", tol=1e-10):
        self.fixed = fixed
        self.accelerate = accelerate
        self.tol = tol

    def fit(self, X, y=None):
        rows, _ = self._read(X)
        fit = self._run_em(Coins(), Coins().prepare(rows))
        self.heads_ = fit.params["heads"]
        self.n_free_ = fit.model.n_parameters(fit.params)
        return self._report(fit)


def test_an_estimator_of_ones_own_takes_fixed():
    def loss(p):
        own = np.array([0.5, p])[:, None]
        return -np.log((own**THROWS * (1 - own) ** (10 - THROWS) / 2).sum(axis=0)).sum()

    best = minimize_scalar(loss, bounds=(0.1, 0.9), method="bounded", options={"xatol": 1e-9})
    for accelerate in ("auto", "squarem", "quasi-newton", "anderson", None):
        fit = CoinsEM({"heads": [0.5, NAN]}, accelerate).fit(THROWS[:, None])
        assert fit.heads_[0] == 0.5
        assert fit.heads_[1] == pytest.approx(best.x, abs=1e-4)
        assert fit.log_likelihood_ == pytest.approx(-best.fun, abs=1e-7)
        assert fit.n_free_ == 1
    plain, none = CoinsEM().fit(THROWS[:, None]), CoinsEM({}).fit(THROWS[:, None])
    assert np.array_equal(plain.heads_, none.heads_)
    assert none.n_free_ == 2
    both = CoinsEM({"heads": [0.5, 0.75]}).fit(THROWS[:, None])
    assert both.heads_.tolist() == [0.5, 0.75]
    assert both.n_free_ == 0
    assert both.converged_


def test_errors_of_an_estimator_of_ones_own():
    with pytest.raises(ValueError, match="unknown parameter 'tails'; the parameters are heads"):
        CoinsEM({"tails": [0.5, NAN]}).fit(THROWS[:, None])
    with pytest.raises(ValueError, match=r"outside of \[0, 1\]"):
        CoinsEM({"heads": [1.5, NAN]}).fit(THROWS[:, None])
    with pytest.raises(ValueError, match="'fixed' parameter"):
        CoinsEM([0.5, NAN]).fit(THROWS[:, None])


def test_a_start_has_the_entries_before_its_first_e_step():
    model = FixedParameters(Coins(), {"heads": np.array([NAN, 0.9])})
    data, rng = model.prepare(THROWS), np.random.default_rng(0)
    assert model.initialize(data, rng)["heads"][1] == 0.9
    assert [own["heads"][1] for own in model.candidates(data, rng, 3)] == [0.9] * 3
    assert model.example(data)["heads"][1] == 0.9
    assert model.perturb(data, model.initialize(data, rng), rng) is None
    run = run_em(
        model, data, model.initialize(data, rng), convergence=GainBelow(1e-10), max_iter=500
    )
    objective = run.history.as_arrays()["objective"]
    assert np.diff(objective).min() >= -1e-12


class Refusing(Coins):
    """Refuses entries at a start of which the first coin is below one half."""

    def with_fixed(self, data, params, fixed, rng):
        if params["heads"][0] < 0.5:
            raise DegenerateModelError("no")
        return super().with_fixed(data, params, fixed, rng)

    def perturb(self, data, params, rng):
        return {"heads": rng.uniform(0.3, 0.7, 2)}


def test_starts_that_do_not_go_with_the_entries_are_left_out():
    model = FixedParameters(Refusing(), {"heads": np.array([NAN, 0.9])})
    rng = np.random.default_rng(0)
    found = list(model.candidates(THROWS, rng, 40))
    assert 5 < len(found) < 35
    assert all(own["heads"][0] >= 0.5 for own in found)
    moves = [model.perturb(THROWS, found[0], rng) for _ in range(20)]
    assert any(own is None for own in moves)
    assert all(own["heads"][1] == 0.9 for own in moves if own is not None)


def test_entries_held_twice():
    inner = FixedParameters(Coins(), {"heads": np.array([NAN, 0.9])})
    params = {"heads": np.array([0.2, 0.3])}
    assert inner.impose(params, {"heads": np.array([0.4, 0.5])})["heads"].tolist() == [0.4, 0.9]
    statistics = (np.array([3.0, 3.0]), np.array([20.0, 10.0]))
    found = inner.constrained_m_step(statistics, params, {"heads": np.array([0.4, NAN])})
    assert found["heads"].tolist() == [0.4, 0.9]


def parts(rng):
    matrices = np.repeat(np.eye(3)[None], 2, axis=0)
    simplex = rng.dirichlet(np.ones(4), (2, 3))
    exists = rng.random((2, 3)) < 0.7
    levels = np.arange(4) < np.array([4, 2, 3])[:, None]
    return [
        (Entries(("component", "feature")), rng.normal(size=(2, 3))),
        (Entries(("component", "feature"), exists=exists), rng.normal(size=(2, 3))),
        (Simplex(("component", "feature", "level")), simplex),
        (Simplex(("component", "feature", "level"), np.broadcast_to(levels, (2, 3, 4))), simplex),
        (Symmetric(("component", "feature", "feature")), matrices),
        (InParts(Simplex(("component", "level")), (2, 3)), simplex),
        (Repeated(Symmetric(("feature", "feature"))), matrices),
        (Curved(np.ravel, lambda v: v.reshape(2, 3), 6), rng.normal(size=(2, 3))),
    ]


@given(st.integers(0, 10_000), st.floats(0.0, 1.0))
@settings(max_examples=30, deadline=None)
def test_number_of_free_coordinates_is_that_of_directions(seed, share):
    rng = np.random.default_rng(seed)
    for part, at in parts(rng):
        fixed = rng.random(at.shape) < share
        if isinstance(part, Symmetric | Repeated):
            fixed |= np.swapaxes(fixed, -1, -2)
        if isinstance(part, Curved):
            fixed[...] = fixed.all()
        assert part.count_free(at, fixed) == part.directions(at, fixed).shape[1]


def test_reading():
    space = ParameterSpace({"mean": Entries(("component",)), "matrix": Symmetric()})
    public = {"mean": np.zeros(2), "matrix": np.eye(2)}
    names = {"mean": "mean", "means": "mean", "matrix": "matrix"}
    assert read_fixed({"mean": [NAN, NAN]}, space, public, names) == {}
    found = read_fixed({"matrix": [[NAN, 0.1], [NAN, NAN]]}, space, public, names)
    assert found["matrix"][1, 0] == 0.1
    twice = [[[1.0, NAN], [NAN, NAN]]] * 3
    assert read_fixed({"matrix": twice}, space, public, names)["matrix"].shape == (2, 2)
    with pytest.raises(ValueError, match="'mean' twice"):
        read_fixed({"mean": [0.0, NAN], "means": [0.0, NAN]}, space, public, names)
    different = [[[1.0, NAN], [NAN, NAN]], [[2.0, NAN], [NAN, NAN]]]
    with pytest.raises(ValueError, match=r"must have shape \(2, 2\)"):
        read_fixed({"matrix": different}, space, public, names)
    masked = np.ma.array([1.0, 2.0], mask=[False, True])
    np.testing.assert_array_equal(
        read_fixed({"mean": masked}, space, public, names)["mean"], [1, NAN]
    )
    with pytest.raises(ValueError, match="must hold numbers"):
        read_fixed({"mean": [1j, 0.0]}, space, public, names)
    with pytest.raises(ValueError, match="must hold the values themselves"):
        read_fixed({"mean": [True, False]}, space, public, names)
    with pytest.raises(ValueError, match=r"must have shape \(2,\), that of the estimates"):
        read_fixed({"mean": [[1.0, NAN], [1.0, NAN]]}, space, public, names)


# ---- matrices with entries held ---------------------------------------------------------------


def closest_directly(target, held):
    """By a general optimizer, over the free entries of the upper triangle."""
    d = len(target)
    upper = np.triu_indices(d)
    free = np.isnan(held)[upper]

    def matrix(vector):
        found = np.where(np.isnan(held), 0.0, held)
        part = np.zeros((d, d))
        part[upper[0][free], upper[1][free]] = vector
        return found + part + np.triu(part, 1).T

    def loss(vector):
        try:
            root = np.linalg.inv(np.linalg.cholesky(matrix(vector)))
        except np.linalg.LinAlgError:
            return 1e6
        return -2.0 * np.log(np.diagonal(root)).sum() + np.sum((root @ target) * root)

    start = put_in(target, held)
    found = minimize(loss, start[upper][free], method="BFGS", options={"gtol": 1e-8})
    return matrix(found.x), found.fun, loss(scoring(target, start, np.isnan(held))[upper][free])


@pytest.mark.parametrize("seed", range(6))
def test_scoring_finds_the_closest_matrix(seed):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(4, 12))
    target = root @ root.T / 12
    held = np.full((4, 4), NAN)
    for i, j in rng.integers(4, size=(3, 2)):
        held[i, j] = held[j, i] = 0.1 if i != j else 0.7
    direct, best, own = closest_directly(target, held)
    assert own == pytest.approx(best, abs=1e-6)
    found = scoring(target, put_in(target, held), np.isnan(held))
    np.testing.assert_allclose(found, direct, atol=2e-3)
    assert np.array_equal(found[~np.isnan(held)], held[~np.isnan(held)])


def test_a_matrix_is_completed_where_putting_entries_in_is_not_enough():
    held = np.full((3, 3), NAN)
    np.fill_diagonal(held, 1.0)
    held[0, 1] = held[1, 0] = held[1, 2] = held[2, 1] = 0.95
    found = put_in(np.eye(3), held)
    assert np.linalg.eigvalsh(found)[0] > 0.0
    assert np.array_equal(found[~np.isnan(held)], held[~np.isnan(held)])
    cycle = np.full((4, 4), NAN)
    np.fill_diagonal(cycle, 1.0)
    for i, j, value in ((0, 1, 0.9), (1, 2, 0.9), (2, 3, 0.9), (3, 0, -0.9)):
        cycle[i, j] = cycle[j, i] = value
    with pytest.raises(DegenerateModelError, match="no positive definite"):
        put_in(np.eye(4), cycle)
