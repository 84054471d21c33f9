"""The Dirichlet-multinomial family beside scipy's densities and direct maximization."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.special import gammaln

from emlearn import FiniteMixtureEM
from emlearn.distributions import DirichletMultinomial, Multinomial
from emlearn.distributions._rising import Steps, log_rising


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def documents(rng, n=150, concentration=(2.0, 0.7, 1.1, 0.2), length=9):
    probability = rng.dirichlet(concentration, n)
    return rng.multinomial(rng.poisson(length, n), probability)


def log_density(X, a):
    # Not of empty rows, which scipy 1.11 refuses.
    found, some = np.zeros(len(X)), X.sum(axis=1) > 0
    found[some] = stats.dirichlet_multinomial.logpmf(X[some], a, X[some].sum(axis=1))
    return found


def test_densities_are_those_of_scipy(rng):
    X = documents(rng)
    mixture = FiniteMixtureEM(2, family="dirichlet_multinomial", random_state=0).fit(X)
    new = np.vstack([X[:5], [[40, 0, 3, 1], [0, 0, 0, 0], [0, 1, 0, 0], [90, 90, 90, 90]]])
    density = [log_density(new, a) for a in mixture.component_params_["concentration"]]
    expected = np.logaddexp(*(np.log(mixture.weights_)[:, None] + density))
    assert_allclose(mixture.score_samples(new), expected, rtol=1e-11, atol=1e-13)
    assert_allclose(mixture.score_samples(csr_array(new)), expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("alpha", [0.0, 0.01, 2.0])
@pytest.mark.parametrize("length", [3, 60])
def test_one_component_is_the_maximum_of_scipy(rng, alpha, length):
    X, weight = documents(rng, length=length), rng.integers(1, 4, 150)

    def loss(logarithm):
        a = np.exp(logarithm)
        total = a.sum()
        prior = np.log(a).sum() - 3.0 * np.log(total) - 2.0 * np.log1p(total)
        return -(weight @ log_density(X, a)) - alpha * prior

    best = minimize(loss, np.zeros(4), method="BFGS", options={"gtol": 1e-6})
    family = DirichletMultinomial(alpha)
    mixture = FiniteMixtureEM(1, family=family, tol=1e-12).fit(X, sample_weight=weight)
    assert mixture.lower_bound_ * weight.sum() == pytest.approx(-best.fun, abs=1e-6)
    assert_allclose(mixture.component_params_["concentration"][0], np.exp(best.x), rtol=1e-3)


def test_a_mixture_is_where_scipy_finds_nothing_better(rng):
    X = np.vstack([documents(rng), documents(rng, concentration=(0.2, 3.0, 0.4, 1.0), length=20)])
    family = DirichletMultinomial(0.0)
    mixture = FiniteMixtureEM(2, family=family, tol=1e-12, random_state=0).fit(X)

    def loss(v):
        weight = 1.0 / (1.0 + np.exp(-v[0]))
        density = [log_density(X, np.exp(part)) for part in (v[1:5], v[5:])]
        return -np.logaddexp(np.log(weight) + density[0], np.log1p(-weight) + density[1]).sum()

    w = mixture.weights_[0]
    at = np.concatenate(
        [[np.log(w / (1 - w))], np.log(mixture.component_params_["concentration"]).ravel()]
    )
    assert loss(at) == pytest.approx(-mixture.log_likelihood_, rel=1e-10)
    best = minimize(loss, at, method="BFGS", options={"gtol": 1e-7})
    assert best.fun == pytest.approx(loss(at), abs=1e-6)


def test_missing_counts_leave_the_density_of_the_others(rng):
    X = documents(rng).astype(float)
    X[0, 1] = X[1, :3] = X[2, 0] = np.nan
    X[3] = np.nan
    mixture = FiniteMixtureEM(1, family="dirichlet_multinomial").fit(X)
    (a,) = mixture.component_params_["concentration"]
    found = mixture.score_samples(X)
    for row, value in zip(X[:4], found, strict=False):
        seen = ~np.isnan(row)
        expected = log_density(row[None, seen].astype(int), a[seen])[0] if seen.sum() > 1 else 0.0
        assert value == pytest.approx(expected, abs=1e-10)


def test_missing_counts_are_the_maximum_of_scipy(rng):
    X = documents(rng).astype(float)
    X[rng.random(X.shape) < 0.2] = np.nan
    family = DirichletMultinomial(0.0)
    mixture = FiniteMixtureEM(1, family=family, tol=1e-12).fit(X)

    def loss(logarithm):
        total = 0.0
        for row in X:
            seen = ~np.isnan(row)
            if seen.any():
                a = np.exp(logarithm[seen])
                total -= log_density(row[None, seen].astype(int), a)[0]
        return total

    best = minimize(loss, np.zeros(4), method="BFGS", options={"gtol": 1e-5})
    assert mixture.log_likelihood_ == pytest.approx(-best.fun, abs=1e-5)


def test_without_bursts_it_is_multinomial(rng):
    X = rng.multinomial(30, [0.1, 0.2, 0.3, 0.4], 200)
    for alpha in (0.0, 0.01):
        bursts = FiniteMixtureEM(1, family=DirichletMultinomial(alpha)).fit(X)
        plain = FiniteMixtureEM(1, family=Multinomial(alpha)).fit(X)
        a = bursts.component_params_["concentration"]
        assert a.sum() > 100.0
        assert_allclose(a / a.sum(), plain.component_params_["probability"], atol=2e-3)
        assert bursts.log_likelihood_ > plain.log_likelihood_ - 0.1


def test_labels_keep_their_components(rng):
    X = np.vstack([documents(rng, concentration=(5, 1, 0.2, 0.2)), documents(rng)])
    y = np.repeat(["a", "b"], 150)
    known = np.where(rng.random(300) < 0.1, y, None)
    mixture = FiniteMixtureEM(family="dirichlet_multinomial", use_labels=True).fit(X, known)
    assert_array_equal(mixture.classes_, ["a", "b"])
    assert (mixture.predict(X) == y).mean() > 0.7


def test_bursts_are_predicted_better_than_by_multinomials(rng):
    X = documents(rng, n=600, concentration=np.full(12, 0.2), length=20)
    scores = [
        FiniteMixtureEM(1, family=family).fit(X[:300]).score(X[300:])
        for family in ("dirichlet_multinomial", "multinomial")
    ]
    assert scores[0] > scores[1] + 10.0


def test_draws_have_the_moments(rng):
    X, family = documents(rng, n=400).astype(float), DirichletMultinomial()
    spec = family.column_spec(X)
    params = family.from_public({"concentration": [[2.0, 0.7, 1.1, 0.2]]}, spec)
    drawn = family.sample(params, spec, np.zeros(100_000, int), rng)
    (mean,), (variance,) = family.moments(params, spec)
    assert_allclose(drawn.mean(axis=0), mean, rtol=0.02)
    assert_allclose(drawn.var(axis=0), variance, rtol=0.04)
    public = {"concentration": [[1.0, 2.0]]}
    free = family.spec_of(public)
    assert family.moments(family.from_public(public, free), free) is None
    with pytest.raises(ValueError, match="cannot be drawn from parameters alone"):
        family.sample(family.from_public(public, free), free, np.zeros(1, int), rng)


def test_entries_that_are_held(rng):
    X = documents(rng)
    held = np.full((1, 4), np.nan)
    held[0, 2] = 3.0
    mixture = FiniteMixtureEM(
        1, family=DirichletMultinomial(0.0), fixed={"concentration": held}, tol=1e-12
    ).fit(X)
    (a,) = mixture.component_params_["concentration"]
    assert a[2] == 3.0
    best = minimize(
        lambda v: -log_density(X, np.insert(np.exp(v), 2, 3.0)).sum(), np.zeros(3), method="BFGS"
    )
    assert mixture.log_likelihood_ == pytest.approx(-best.fun, abs=1e-5)


def test_standard_errors_are_those_of_second_differences(rng):
    X = documents(rng, n=400)
    mixture = FiniteMixtureEM(1, family=DirichletMultinomial(0.0), tol=1e-12).fit(X)
    (a,) = mixture.component_params_["concentration"]
    step = 1e-3 * a
    hessian = np.empty((4, 4))
    for i in range(4):
        for j in range(4):
            e, f = step[i] * np.eye(4)[i], step[j] * np.eye(4)[j]
            parts = [
                log_density(X, a + s * e + t * f).sum() * s * t for s in (1, -1) for t in (1, -1)
            ]
            hessian[i, j] = sum(parts) / (4.0 * step[i] * step[j])
    expected = np.sqrt(np.diag(np.linalg.inv(-hessian)))
    inference = mixture.inference(X)
    assert_allclose(inference.standard_error[-4:], expected, rtol=1e-3)


# ---- rising factorials ------------------------------------------------------------------


@pytest.mark.parametrize("a", [1e-100, 1e-3, 1.0, 50.0, 1e7])
def test_rising_factorials(a):
    count = np.array([0.0, 1.0, 2.0, 7.0, 8.0, 9.0, 400.0])
    expected = [np.log(a + np.arange(c)).sum() for c in count]
    assert_allclose(log_rising(a, count), expected, rtol=1e-10)
    steps = Steps.of(np.zeros(7, np.intp), count, 1)
    terms = steps.logarithms(np.array([[a]]))
    assert_allclose((steps.of_counts @ terms)[:, 0], expected, rtol=1e-10)


def test_derivatives_of_sums(rng):
    number = np.array([0, 0, 2, 2, 2, 3])
    count = np.array([1.0, 12.0, 2.0, 8.0, 30.0, 3.0])
    steps = Steps.of(number, count, 4)
    a, weight = rng.random((4, 2)) + 0.3, rng.random((6, 2))
    counted = steps.of_counts.T @ weight

    def value(a):
        terms = gammaln(a[number] + count[:, None]) - gammaln(a[number])
        return np.stack(
            [np.bincount(number, w * t, 4) for w, t in zip(weight.T, terms.T, strict=True)]
        ).T

    first, second = steps.derivatives(a, counted)
    h = 1e-4
    assert_allclose(first, (value(a + h) - value(a - h)) / (2 * h), rtol=1e-6)
    assert_allclose(
        second, (value(a + h) - 2 * value(a) + value(a - h)) / h**2, rtol=1e-4, atol=1e-6
    )
    assert_array_equal(first[1], 0.0)
