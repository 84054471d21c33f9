"""Mixtures with entries of their parameters held: optima, starts, counts, published entries."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import logsumexp
from scipy.stats import chi2, multivariate_normal, poisson
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from emlearn import FiniteMixtureEM, GaussianMixtureEM
from emlearn.datasets import load_old_faithful
from emlearn.distributions import Categorical, Gaussian, Mixture, Poisson

NAN = np.nan
FREE = [NAN, NAN]
X = load_old_faithful().data[:150]


def log_likelihood(rows, weights, means, covariances):
    """Of a Gaussian mixture, by scipy; missing entries are integrated out."""
    total = 0.0
    for seen in ([True, True], [True, False], [False, True]):
        own = rows[(~np.isnan(rows) == seen).all(axis=1)][:, seen]
        parts = [matrix[np.ix_(seen, seen)] for matrix in covariances]
        total += fast_log_likelihood(own, weights, means[:, seen], parts)
    return total


def fast_log_likelihood(rows, weights, means, covariances):
    logs = [
        np.log(weight) + multivariate_normal(mean, matrix).logpdf(rows)
        for weight, mean, matrix in zip(weights, means, covariances, strict=True)
    ]
    return logsumexp(logs, axis=0).sum()


class Directly:
    """Maximization of the likelihood over the free entries, without EM."""

    def __init__(self, rows, fixed, fitted, likelihood=fast_log_likelihood):
        self.rows, self.likelihood = rows, likelihood
        self.structure, d = fitted.covariance_type, rows.shape[1]
        self.start = {
            "weights": fitted.weights_,
            "means": fitted.means_,
            "covariances": np.array(fitted.covariances_),
        }
        self.free = {
            name: np.isnan(fixed[name]) if name in fixed else np.ones(value.shape, bool)
            for name, value in self.start.items()
        }
        if self.structure in ("full", "tied"):
            self.free["covariances"] &= np.triu(np.ones((d, d), bool))
        self.d = d

    def parameters(self, vector):
        found = {name: value.copy() for name, value in self.start.items()}
        weights = self.free["weights"]
        at = 0
        for name, free in self.free.items():
            part = vector[at : at + free.sum()]
            at += free.sum()
            if name == "weights":
                if free.any():
                    left = 1.0 - found[name][~free].sum()
                    found[name][weights] = left * np.exp(part - logsumexp(part))
            else:
                found[name][free] = part
        covariances, K = found["covariances"], len(found["weights"])
        if self.structure in ("full", "tied"):
            upper = np.triu(covariances)
            covariances = upper + np.swapaxes(np.triu(covariances, 1), -1, -2)
        if self.structure == "tied":
            covariances = np.repeat(covariances[None], K, axis=0)
        elif self.structure == "diag":
            covariances = covariances[:, :, None] * np.eye(self.d)
        elif self.structure == "spherical":
            covariances = covariances[:, None, None] * np.eye(self.d)
        return found["weights"], found["means"], covariances

    def best(self):
        parts = [
            np.log(value[self.free[name]]) if name == "weights" else value[self.free[name]]
            for name, value in self.start.items()
        ]
        first = np.concatenate(parts)
        size = np.maximum(np.abs(first), 0.1)

        def loss(scaled):
            try:
                return -self.likelihood(self.rows, *self.parameters(first + scaled * size))
            except (ValueError, np.linalg.LinAlgError):
                return 1e10

        start = 0.01 * np.sin(np.arange(len(first)) + 1.0)
        found = minimize(loss, start, method="BFGS", options={"gtol": 1e-5})
        return -found.fun, first + found.x * size, first


ENTRY = np.full((2, 2, 2), NAN)
ENTRY[0, 0, 1] = 0.2
ZERO = np.full((2, 2, 2), NAN)
ZERO[1, 0, 1] = ZERO[1, 1, 0] = 0.0
ONE = np.full((2, 2, 2), NAN)
ONE[0] = [[0.2, 1.0], [1.0, 40.0]]
CASES = {
    "weight": ("full", {"weights": [NAN, 0.3]}),
    "mean entry": ("full", {"means": [[4.2, NAN], FREE]}),
    "two means": ("full", {"means": [[4.2, NAN], [NAN, 53.0]]}),
    "covariance": ("full", {"covariances": ONE}),
    "covariance entry": ("full", {"covariances": ENTRY}),
    "zero": ("full", {"covariances": ZERO, "means": [FREE, [2.1, NAN]]}),
    "all kinds": (
        "full",
        {"weights": [0.6, NAN], "means": [[4.2, NAN], FREE], "covariances": ENTRY},
    ),
    "tied mean": ("tied", {"means": [[4.2, NAN], FREE]}),
    "tied entry": ("tied", {"covariances": [[0.1, NAN], [NAN, NAN]], "means": [FREE, [2.1, NAN]]}),
    "diag": ("diag", {"covariances": [[0.15, NAN], FREE], "means": [[NAN, 81.0], FREE]}),
    "spherical": ("spherical", {"covariances": [NAN, 20.0], "means": [[4.2, NAN], FREE]}),
}


@pytest.mark.parametrize("case", CASES)
def test_maximum_is_that_of_a_general_optimizer(case):
    structure, fixed = CASES[case]
    fixed = {name: np.array(value, float) for name, value in fixed.items()}
    fit = GaussianMixtureEM(
        2, covariance_type=structure, reg_covar=0, tol=1e-12, fixed=fixed, random_state=0
    ).fit(X)
    assert fit.converged_
    direct = Directly(X, fixed, fit)
    value, found, first = direct.best()
    assert fit.log_likelihood_ == pytest.approx(value, abs=2e-6)
    np.testing.assert_allclose(found, first, rtol=2e-2, atol=2e-2)
    for name, held in fixed.items():
        known = ~np.isnan(held)
        assert np.array_equal(np.asarray(getattr(fit, name + "_"))[known], held[known])
    assert fit._n_parameters() == len(first) - (np.isnan(fixed.get("weights", FREE)).any() * 1)


def test_maximum_with_missing_entries():
    rows = X[:60].copy()
    rows[::4, 0] = NAN
    rows[1::5, 1] = NAN
    rows = rows[~np.isnan(rows).all(axis=1)]
    fixed = {"means": np.array([[4.2, NAN], FREE]), "covariances": ZERO}
    fit = GaussianMixtureEM(2, reg_covar=0, tol=1e-12, fixed=fixed, random_state=0).fit(rows)
    value, _, _ = Directly(rows, fixed, fit, log_likelihood).best()
    assert fit.log_likelihood_ == pytest.approx(value, abs=1e-5)


def test_maximum_with_priors():
    # With pseudo-rows, the best means and covariances depend on each other in another way.
    fixed = {"mean": np.array([[4.2, NAN], FREE]), "covariance": ENTRY, "weights": [0.6, NAN]}
    fit = FiniteMixtureEM(
        2, family=Gaussian(alpha=5.0, reg_covar=0.01), fixed=fixed, tol=1e-13, random_state=0
    ).fit(X)
    model, data, params, *_, held, _ = fit._fitted_problem(X, None, None)
    from emlearn.engine import BlockMapper

    space = model.space(params).coordinates(model.public(params), held)

    with BlockMapper(model, data) as e_step:

        def loss(vector):
            moved = model.from_public(space.move(vector), params)
            return -(e_step(moved)[1] + model.log_prior(moved))

        found = minimize(loss, np.full(space.n_free, 0.02), method="BFGS", options={"gtol": 1e-6})
        assert loss(np.zeros(space.n_free)) == pytest.approx(found.fun, abs=1e-6)


def test_nothing_held_is_a_plain_fit():
    plain = GaussianMixtureEM(2, random_state=0).fit(X)
    for fixed in (
        {},
        {"means": np.full((2, 2), NAN)},
        {"weights": FREE, "covariances": ENTRY * NAN},
    ):
        fit = GaussianMixtureEM(2, fixed=fixed, random_state=0).fit(X)
        assert np.array_equal(fit.means_, plain.means_)
        assert np.array_equal(fit.covariances_, plain.covariances_)
        assert fit.lower_bounds_ == plain.lower_bounds_
        assert fit.bic(X) == plain.bic(X)


@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical", "EEV"])
def test_all_held_is_an_evaluation(structure):
    plain = GaussianMixtureEM(2, covariance_type=structure, random_state=0).fit(X)
    fixed = {
        "weights": plain.weights_,
        "means": plain.means_,
        "covariances": plain.covariances_,
    }
    fit = GaussianMixtureEM(2, covariance_type=structure, fixed=fixed, random_state=3).fit(X)
    assert fit.converged_
    assert np.array_equal(fit.means_, plain.means_)
    assert np.array_equal(fit.covariances_, plain.covariances_)
    assert fit.log_likelihood_ == pytest.approx(plain.log_likelihood_, rel=1e-12)
    assert fit._n_parameters() == 0
    assert fit.bic(X) == pytest.approx(-2 * fit.log_likelihood_, rel=1e-12)


@pytest.mark.parametrize("structure", ["full", "tied", "diag", "EEV"])
def test_estimates_of_a_fit_held_give_the_same_fit(structure):
    plain = GaussianMixtureEM(2, covariance_type=structure, tol=1e-12, random_state=0).fit(X)
    for name in ("weights", "means", "covariances"):
        for seed in range(3):
            fit = GaussianMixtureEM(
                2,
                covariance_type=structure,
                tol=1e-12,
                fixed={name: getattr(plain, name + "_")},
                random_state=seed,
            ).fit(X)
            assert fit.log_likelihood_ == pytest.approx(plain.log_likelihood_, abs=1e-6)
            # One matrix for all does not say which component is which.
            pairs = (np.sort(own.means_, axis=0) for own in (fit, plain))
            np.testing.assert_allclose(*pairs, rtol=1e-4)


@st.composite
def masks(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    K, d = 3, 3
    values = rng.normal(size=(K, d))
    roots = rng.normal(size=(K, d, d)) * 0.4
    matrices = roots @ np.swapaxes(roots, 1, 2) + 0.3 * np.eye(d)
    weights = rng.dirichlet(np.full(K, 5.0))
    share = draw(st.floats(0.0, 0.7))
    known = rng.random((K, d, d)) < share
    known |= np.swapaxes(known, 1, 2)
    return {
        "weights": np.where(rng.random(K) < share, weights, NAN),
        "means": np.where(rng.random((K, d)) < share, values, NAN),
        "covariances": np.where(known, matrices, NAN),
    }


ROWS = np.random.default_rng(5).normal(size=(60, 3)) @ np.array(
    [[1.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 1.0]]
)


@given(masks())
@settings(max_examples=25, deadline=None)
def test_any_entries_are_held_and_the_objective_never_falls(fixed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit = GaussianMixtureEM(
            3,
            fixed=fixed,
            init_params="kmeans",
            accelerate=None,
            max_iter=15,
            reg_covar=1e-3,
            random_state=0,
        ).fit(ROWS)
    for name, held in fixed.items():
        known = ~np.isnan(held)
        assert np.array_equal(np.asarray(getattr(fit, name + "_"))[known], held[known])
    # The engine keeps the last parameters where the objective would fall by more than rounding.
    assert fit.restarts_[0].status != "stalled"
    assert fit.weights_.sum() == pytest.approx(1.0, abs=1e-12)
    assert np.isfinite(fit.log_likelihood_)


@pytest.mark.parametrize("accelerate", ["squarem", "quasi-newton", "anderson", "auto"])
def test_accelerated_fits_have_the_same_optimum(accelerate):
    fixed = {"weights": [0.6, NAN], "means": [[4.2, NAN], FREE], "covariances": ENTRY}
    plain = GaussianMixtureEM(2, fixed=fixed, accelerate=None, tol=1e-12, random_state=0).fit(X)
    fast = GaussianMixtureEM(2, fixed=fixed, accelerate=accelerate, tol=1e-12, random_state=0)
    fast.fit(X)
    assert fast.log_likelihood_ == pytest.approx(plain.log_likelihood_, abs=1e-7)
    assert fast.covariances_[0, 0, 1] == 0.2
    assert fast.means_[0, 0] == 4.2
    assert fast.weights_[0] == 0.6


def separated(seed=0, K=5):
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(K, 2)) * 8.0
    labels = rng.integers(K, size=600)
    return means[labels] + rng.normal(size=(600, 2)), means


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("init", ["auto", "kmeans", "search"])
def test_components_take_the_places_of_the_held_means(seed, init):
    rows, means = separated()
    order = np.random.default_rng(seed).permutation(len(means))
    best = GaussianMixtureEM(5, covariance_type="diag", random_state=0).fit(rows)
    held = means[order].copy()
    held[1:3] = NAN
    fit = GaussianMixtureEM(
        5, covariance_type="diag", init_params=init, fixed={"means": held}, random_state=seed
    ).fit(rows)
    # Holding six true means costs at most some nats.
    assert fit.log_likelihood_ > best.log_likelihood_ - 12.0


def test_components_take_the_places_of_held_weights():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(50, 1)), 10.0 + rng.normal(size=(150, 1))])
    for weights, low in (([0.25, NAN], 0), ([NAN, 0.25], 1), ([0.75, 0.25], 1)):
        for seed in range(3):
            fit = GaussianMixtureEM(2, fixed={"weights": weights}, random_state=seed).fit(rows)
            assert fit.means_[low, 0] < 1.0


def test_starts_from_the_user_keep_their_numbers():
    means = np.array([[2.0, 54.0], [4.3, 80.0]])
    for order in ([0, 1], [1, 0]):
        fit = GaussianMixtureEM(
            2, means_init=means[order], fixed={"weights": [0.5, 0.5]}, max_iter=0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert fit.fit(X).means_[:, 0].argmin() == order.index(0)


def test_known_classes_keep_their_components():
    y = np.where(X[:, 0] < 3.0, 1, 0)
    fit = FiniteMixtureEM(use_labels=True, fixed={"means": [[NAN, 80.0], FREE]}).fit(X, y)
    assert fit.means_[0, 1] == 80.0
    assert fit.means_[1, 0] < 3.0


def test_likelihood_ratio_test_has_its_degrees_of_freedom():
    free = GaussianMixtureEM(2, reg_covar=0, tol=1e-12, random_state=0).fit(X)
    zero = np.full((2, 2, 2), NAN)
    zero[:, 0, 1] = zero[:, 1, 0] = 0.0
    held = clone(free).set_params(fixed={"covariances": zero}).fit(X)
    diagonal = clone(free).set_params(covariance_type="diag").fit(X)
    assert held.log_likelihood_ == pytest.approx(diagonal.log_likelihood_, abs=1e-7)
    degrees = free._n_parameters() - held._n_parameters()
    assert degrees == 2
    statistic = 2.0 * (free.log_likelihood_ - held.log_likelihood_)
    assert 0.0 < chi2.sf(statistic, degrees) < 1e-3
    assert held.aic(X) == pytest.approx(diagonal.aic(X))


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_weights_at_the_bounds(weight):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fixed = {"weights": [weight, NAN]}
        if weight == 1.0:
            fixed["means"], fixed["covariances"] = [FREE, [0.0, 0.0]], [[NAN, NAN], [1.0, 1.0]]
        else:
            fixed["means"], fixed["covariances"] = [[0.0, 0.0], FREE], [[1.0, 1.0], [NAN, NAN]]
        fit = GaussianMixtureEM(2, covariance_type="diag", fixed=fixed, random_state=0).fit(X)
    full = int(weight == 0.0)
    assert fit.weights_[full] == 1.0
    np.testing.assert_allclose(fit.means_[full], X.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(fit.covariances_[full], X.var(axis=0), rtol=1e-5)


def test_a_light_held_component_does_not_count_as_starved():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(100, 2)), [[30.0, 30.0]]])
    fixed = {"means": [FREE, [30.0, 30.0]], "covariances": [ENTRY[1], np.eye(2)]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = GaussianMixtureEM(2, fixed=fixed, random_state=0).fit(rows)
    assert fit.weights_[1] == pytest.approx(1 / 101, rel=1e-3)


def test_a_held_covariance_takes_no_rows():
    family = Gaussian()
    spec = family.column_spec(X)
    rows = family.encode(X, spec)
    params = family.pooled(2, spec)
    light = np.stack([np.full(len(X), 1e-3), np.ones(len(X))])
    found = family.sufficient_statistics(rows, light, family.precompute(params, spec))
    assert family.ranking_penalty(found, spec).starved == 1
    held = {"covariance": np.stack([np.eye(2), np.full((2, 2), NAN)])}
    assert family.constrained_penalty(found, held, spec).starved == 0
    assert family.constrained_penalty(found, {"covariance": held["covariance"][::-1]}, spec)[0] == 1
    assert (
        family.constrained_penalty(found, {"covariance": np.stack([np.eye(2)] * 2)}, spec)[0] == 0
    )


@pytest.mark.parametrize("alpha", [0.0, 4.0])
def test_one_m_step_is_enough_where_there_is_a_closed_form(alpha):
    # One component: the covariance about the held mean follows in the same step.
    family = Gaussian(alpha=alpha, reg_covar=0.0)
    spec = family.column_spec(X)
    rows, one = family.encode(X, spec), np.ones((1, len(X)))
    start = family.from_public(
        {"mean": [[2.0, 60.0]], "covariance": [[[9.0, 0.0], [0.0, 9.0]]]}, spec
    )
    held = {"mean": np.array([[2.0, NAN]])}

    def step(params):
        found = family.sufficient_statistics(rows, one, family.precompute(params, spec))
        return family.constrained_m_step(found, params, held, spec)

    once = family.to_public(step(start), spec)
    twice = family.to_public(step(step(start)), spec)
    np.testing.assert_allclose(once["mean"], twice["mean"], rtol=1e-10)
    np.testing.assert_allclose(once["covariance"], twice["covariance"], rtol=1e-10)
    if alpha == 0.0:
        center = X.mean(axis=0)
        within = np.cov(X.T, bias=True)
        slope = within[0, 1] / within[0, 0]
        mean = np.array([2.0, center[1] + slope * (2.0 - center[0])])
        np.testing.assert_allclose(once["mean"][0], mean, rtol=1e-10)
        np.testing.assert_allclose(once["covariance"][0], (X - mean).T @ (X - mean) / len(X))


def test_warm_start():
    fit = GaussianMixtureEM(2, random_state=0, warm_start=True).fit(X)
    number = int(fit.means_[:, 0].argmax())
    held = np.full((2, 2), NAN)
    held[number, 0] = 4.2
    fit.set_params(fixed={"means": held}).fit(X)
    again = GaussianMixtureEM(2, random_state=0, fixed={"means": held}).fit(X)
    assert fit.means_[number, 0] == 4.2
    assert fit.log_likelihood_ == pytest.approx(again.log_likelihood_, abs=1e-4)
    assert fit.fit(X).n_iter_ <= 2


# ---- other families -------------------------------------------------------------------------

COUNTS = np.array([[0], [1], [2], [3], [4], [5], [6], [7], [8], [9]])
DAYS = np.array([162, 267, 271, 185, 111, 61, 27, 8, 3, 1.0])


def test_poisson_rates():
    fit = FiniteMixtureEM(
        2,
        family=Poisson(alpha=0.0),
        fixed={"rate": [[NAN], [2.5]], "weights": [NAN, NAN]},
        tol=1e-13,
        random_state=0,
    ).fit(COUNTS, sample_weight=DAYS)

    def loss(v):
        p = 1.0 / (1.0 + np.exp(-v[0]))
        density = p * poisson(np.exp(v[1])).pmf(COUNTS[:, 0]) + (1 - p) * poisson(2.5).pmf(
            COUNTS[:, 0]
        )
        return -DAYS @ np.log(density)

    found = minimize(loss, [-1.0, 0.0], method="BFGS", options={"gtol": 1e-7})
    assert fit.log_likelihood_ == pytest.approx(-found.fun, abs=1e-7)
    assert fit.component_params_["rate"][1, 0] == 2.5
    assert fit._n_parameters() == 2

    # Standard errors given what is held, from the second derivatives of the likelihood.
    def share_and_rate(v):
        return loss([np.log(v[0] / (1 - v[0])), np.log(v[1])])

    at, h = np.array([fit.weights_[0], fit.component_params_["rate"][0, 0]]), 1e-3
    steps = h * np.eye(2)
    hessian = [
        [
            share_and_rate(at + a + b)
            - share_and_rate(at + a - b)
            - share_and_rate(at - a + b)
            + share_and_rate(at - a - b)
            for a in steps
        ]
        for b in steps
    ]
    errors = np.sqrt(np.diag(np.linalg.inv(np.array(hessian) / (4 * h * h))))
    inference = fit.inference(COUNTS, sample_weight=DAYS)
    np.testing.assert_allclose(inference.standard_errors["weights"], errors[0], rtol=1e-3)
    assert inference.standard_errors["rate"][0, 0] == pytest.approx(errors[1], rel=1e-3)
    assert np.isnan(inference.standard_errors["rate"][1, 0])
    assert inference.remarks[-1] == "fixed"


def test_probabilities_of_items():
    rng = np.random.default_rng(0)
    side = rng.integers(2, size=300)
    rows = np.where(rng.random((300, 4)) < np.where(side, 0.8, 0.2)[:, None], 1, 0)
    rows[:, 0] += (rng.random(300) < 0.3).astype(int) * rows[:, 0]
    fixed = np.full((2, 4, 3), NAN)
    fixed[0, 0, 0] = 0.75
    fixed[1, 2, 1] = 0.9
    fit = FiniteMixtureEM(
        2, family=Categorical(alpha=0.0), fixed={"probability": fixed}, tol=1e-13, random_state=0
    ).fit(rows)
    found = fit.component_params_["probability"]
    assert found[0, 0, 0] == 0.75
    assert found[1, 2, 1] == 0.9
    np.testing.assert_allclose(found[1, 2, 0], 0.1)
    np.testing.assert_allclose(found.sum(axis=2), 1.0)
    assert fit._n_parameters() == 1 + 2 * (2 + 1 + 1 + 1) - 2

    def loss(v):
        q = 1.0 / (1.0 + np.exp(-v))
        first = np.array([[0.75, 0.25 * q[0], 0.25 * (1 - q[0])], [1 - q[1], q[1] * q[2], 0.0]])
        first[1, 2] = 1.0 - first[1].sum()
        rest = np.array([[q[3], q[4], q[5]], [q[6], 0.9, q[7]]])
        weights = np.array([q[8], 1 - q[8]])
        density = 0.0
        for k in range(2):
            own = first[k, rows[:, 0]]
            for j in range(3):
                own = own * np.where(rows[:, j + 1], rest[k, j], 1 - rest[k, j])
            density = density + weights[k] * own
        return -np.log(density).sum()

    p = found
    start = [0.3, 2.0, 0.0, *(np.log(p[0, 1:, 1] / p[0, 1:, 0])), 1.5, 1.5, 0.0]
    best = minimize(loss, np.array(start) * 0.9, method="BFGS", options={"gtol": 1e-6})
    assert fit.log_likelihood_ == pytest.approx(-best.fun, abs=1e-6)


def test_columns_of_different_families():
    rng = np.random.default_rng(1)
    rows = np.column_stack([rng.poisson(3.0, 200), rng.normal(size=200), rng.normal(size=200)])
    rows[:100] += [5, 3, 3]
    fixed = {"rate": [[NAN], [3.0]], "mean": [[NAN, NAN], [0.0, NAN]]}
    fit = FiniteMixtureEM(
        2, family=[("poisson", [0]), ("gaussian", [1, 2])], fixed=fixed, random_state=0
    ).fit(rows)
    assert fit.component_params_["rate"][1, 0] == 3.0
    assert fit.component_params_["mean"][1, 0] == 0.0
    assert fit.component_params_["rate"][0, 0] == pytest.approx(8.0, abs=0.5)
    assert fit._n_parameters() == 1 + 1 + 3 + 6
    assert np.diff(fit.history_["objective"]).min() > -1e-9


@pytest.mark.parametrize("structure", ["full", "tied"])
def test_parts_of_components(structure):
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(200, 1)) + np.repeat([0.0, 4.0, 10.0, 15.0], 50)[:, None]
    y = np.repeat([0, 1], 100)
    fixed = {"weight": [[0.4, NAN], [NAN, NAN]], "mean": [[[0.0], [NAN]], [[NAN], [15.0]]]}
    fit = FiniteMixtureEM(
        use_labels=True,
        family=Mixture(Gaussian(structure)),
        fixed=fixed,
        random_state=0,
    ).fit(rows, y)
    assert fit.component_params_["weight"][0, 0] == 0.4
    assert fit.component_params_["mean"][0, 0, 0] == 0.0
    assert fit.component_params_["mean"][1, 1, 0] == 15.0
    # What is published is what was fitted.
    np.testing.assert_allclose(fit.component_params_["weight"].sum(axis=1), 1.0)
    both = (
        np.log(fit.weights_[y])
        + fit._emissions().map(rows, np.empty((len(rows), 2)), lambda joint: joint.T)[
            np.arange(len(rows)), y
        ]
    )
    assert fit.log_likelihood_ == pytest.approx(both.sum(), rel=1e-9)
    assert np.diff(fit.history_["objective"]).min(initial=0.0) > -1e-9
    shape = fit.component_params_["covariance"].shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        held = clone(fit).set_params(fixed={"covariance": np.ones(shape)}).fit(rows, y)
    assert (held.component_params_["covariance"] == 1.0).all()


def test_parts_take_the_places_of_what_is_held():
    family = Mixture(Gaussian())
    spec = family.column_spec(X)
    means = np.array([[[2.0, 54.0], [4.3, 80.0]], [[1.5, 50.0], [5.0, 90.0]]])
    public = {
        "weight": np.array([[0.3, 0.7], [0.6, 0.4]]),
        "mean": means,
        "covariance": np.broadcast_to(np.eye(2), (2, 2, 2, 2)),
    }
    params = family.from_public(public, spec)
    held = np.full(means.shape, NAN)
    held[0, 0, 0], held[1, 1, 1] = 4.2, 88.0
    found = family.to_public(family.with_fixed(params, {"mean": held}, spec), spec)
    # The parts of the first component change places, those of the second do not.
    np.testing.assert_allclose(found["mean"][0], [[4.2, 80.0], [2.0, 54.0]])
    np.testing.assert_allclose(found["weight"], [[0.7, 0.3], [0.6, 0.4]])
    np.testing.assert_allclose(found["mean"][1], [[1.5, 50.0], [5.0, 88.0]])


def test_the_shared_matrix_can_be_given_once_or_for_each_component():
    one = np.array([[0.2, 0.5], [0.5, 40.0]])
    fits = [
        FiniteMixtureEM(2, family=Gaussian("tied"), fixed={name: value}, random_state=0).fit(X)
        for name, value in (("covariance", one), ("covariances", np.stack([one, one])))
    ]
    assert np.array_equal(fits[0].means_, fits[1].means_)
    assert (fits[0].covariances_ == one).all()


# ---- scikit-learn, errors -------------------------------------------------------------------


def test_scikit_learn():
    fixed = {"means": np.array([[4.2, NAN], FREE])}
    fit = GaussianMixtureEM(2, fixed=fixed, random_state=0)
    copy = clone(fit)
    assert np.array_equal(copy.fixed["means"], fixed["means"], equal_nan=True)
    assert "fixed={'means'" in repr(copy)
    assert "fixed" in copy._repr_html_()
    grid = GridSearchCV(fit, {"fixed": [None, fixed]}, cv=2).fit(X)
    assert len(grid.cv_results_["params"]) == 2
    assert np.array_equal(fixed["means"], [[4.2, NAN], FREE], equal_nan=True)


def bad(fixed, match, **settings):
    with pytest.raises(ValueError, match=match):
        GaussianMixtureEM(2, fixed=fixed, random_state=0, **settings).fit(X)


def test_errors_name_the_parameter():
    bad({"mean": [FREE, FREE]}, "unknown parameter 'mean'; .*weights, means, covariances")
    bad({"means": [1.0, 2.0]}, r"fixed\['means'\] must have shape \(2, 2\)")
    bad({"means": [["a", "b"], FREE]}, r"fixed\['means'\] must hold numbers")
    bad({"means": [[np.inf, NAN], FREE]}, r"fixed\['means'\] has entries that are infinite")
    bad({"weights": [0.5, 0.6]}, r"fixed\['weights'\].*sum to 1.1")
    bad({"weights": [-0.5, NAN]}, r"fixed\['weights'\].*outside")
    asymmetric = np.full((2, 2, 2), NAN)
    asymmetric[0] = [[1.0, 0.1], [0.2, 1.0]]
    bad({"covariances": asymmetric}, "must be symmetric")
    indefinite = np.full((2, 2, 2), NAN)
    indefinite[1] = [[1.0, 2.0], [2.0, 1.0]]
    bad({"covariances": indefinite}, "matrix 1 has entries that no positive definite")
    bad({"covariances": [[-1.0, NAN], FREE]}, "outside of", covariance_type="diag")
    bad({"covariances": ENTRY}, "all entries or none", covariance_type="EEV")
    bad("means", "'fixed' parameter")
    with pytest.raises(ValueError, match="outside of"):
        FiniteMixtureEM(2, family="poisson", fixed={"rate": [[-1.0], [NAN]]}).fit(COUNTS)


def test_entries_that_no_matrix_has_together_are_an_error():
    # The triangle is not complete, so only the attempt shows that nothing goes with it.
    rows = np.random.default_rng(0).normal(size=(50, 4))
    matrix = np.full((4, 4), NAN)
    np.fill_diagonal(matrix, 1.0)
    for i, j, value in ((0, 1, 0.9), (1, 2, 0.9), (2, 3, 0.9), (3, 0, -0.9)):
        matrix[i, j] = matrix[j, i] = value
    with pytest.raises(ValueError, match="positive definite"):
        GaussianMixtureEM(1, fixed={"covariances": matrix[None]}).fit(rows)


def test_same_bits_for_any_number_of_jobs_and_scales():
    fixed = {"means": np.array([[4.2, NAN], FREE]), "covariances": ENTRY}
    one = GaussianMixtureEM(2, fixed=fixed, init_params="kmeans", n_init=3, random_state=0).fit(X)
    two = clone(one).set_params(n_jobs=2).fit(X)
    assert np.array_equal(one.covariances_, two.covariances_)
    scale = np.array([8.0, 0.25])
    scaled = {
        "means": fixed["means"] * scale,
        "covariances": fixed["covariances"] * np.outer(scale, scale),
    }
    other = clone(one).set_params(fixed=scaled).fit(X * scale)
    np.testing.assert_allclose(other.means_, one.means_ * scale, rtol=1e-6)


def test_weights_are_copies():
    fixed = {"means": np.array([[4.2, NAN], FREE]), "weights": [NAN, 0.3]}
    weight = np.random.default_rng(0).integers(1, 4, len(X)).astype(float)
    one = GaussianMixtureEM(2, fixed=fixed, tol=1e-12, random_state=0).fit(X, sample_weight=weight)
    two = clone(one).fit(np.repeat(X, weight.astype(int), axis=0))
    np.testing.assert_allclose(one.means_, two.means_, rtol=1e-6)


def test_factors():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 1)) @ [[1.0, 0.8, 1.2, 0.5]] + rng.normal(size=(200, 4))
    rows[100:] += 5.0
    settings = {"covariance_type": "factor", "n_factors": 1, "random_state": 0, "tol": 1e-10}
    means = np.full((2, 4), NAN)
    means[1, 0] = 5.2
    fit = GaussianMixtureEM(2, fixed={"means": means}, **settings).fit(rows)
    free = GaussianMixtureEM(2, **settings).fit(rows)
    assert fit.means_[1, 0] == 5.2
    assert fit._n_parameters() == free._n_parameters() - 1
    assert np.diff(fit.history_["objective"]).min() > -1e-9
    held = GaussianMixtureEM(2, fixed={"covariances": free.covariances_}, **settings).fit(rows)
    np.testing.assert_allclose(held.covariances_, free.covariances_, rtol=1e-6)
    assert held.log_likelihood_ == pytest.approx(free.log_likelihood_, abs=1e-4)
    assert held._n_parameters() == 1 + 8
