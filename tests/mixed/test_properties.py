"""What holds for any data: invariances, and optima found in other ways."""

import runpy
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern

from emlearn import LinearMixedModelEM

direct = runpy.run_path(str(Path(__file__).with_name("direct.py")))["direct"]

MODELS = {
    "intercepts": {"groups": "g"},
    "slopes": {"groups": "g", "random_slopes": ["x"]},
    "independent": {"groups": "g", "random_slopes": ["x"], "covariance": "diag"},
    "crossed": {"groups": ["g", "h"]},
    "nested": {"groups": ["g", ("g", "h")]},
    "columns": {"groups": "g", "Z": {"z": ["a", "b", "c"]}},
    "none": {},
}
models = st.sampled_from(sorted(MODELS))
methods = st.sampled_from(["reml", "ml"])
seeds = st.integers(0, 10_000)
few = settings(max_examples=12)


def rows(seed, n=60, size=1.0):
    """X and y with effects of all terms."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"g": rng.integers(0, 8, n), "h": rng.integers(0, 5, n)})
    for name in "xabc":
        X[name] = rng.normal(size=n)
    y = 1.0 + 2.0 * X["x"] + rng.normal(size=n)
    y += size * rng.normal(size=8)[X["g"]] + size * rng.normal(size=8)[X["g"]] * X["x"]
    y += size * rng.normal(size=5)[X["h"]] + X[["a", "b", "c"]] @ (size * rng.normal(size=3))
    return X, y.to_numpy()


def make(name, method="reml", **options):
    used = {"g", "h"} & set(str(MODELS[name].get("groups", "")))
    fixed = [] if name == "columns" else ["a"]
    options = {"fixed_columns": ["x", *fixed], "method": method, **MODELS[name], **options}
    assert used or name == "none"
    return LinearMixedModelEM(**options)


def components(model):
    return [np.asarray(value) for value in model.variance_components_.values()]


def design(model, X):
    """Columns of the fixed effects, and terms."""
    found = model._recipe.apply(model, X)
    ones = np.ones((len(X), int(model.fit_intercept)))
    return np.hstack([ones, found.fixed]), found.terms


def dense(model, X, y, weight=None, public=None):
    """See `direct.py`, at the published variances."""
    columns, terms = design(model, X)
    public = model.variance_components_ if public is None else public
    return direct(
        columns,
        terms,
        y,
        [public[term.name] for term in terms],
        public["residual"],
        weight=weight,
        precision=model.weights == "precision",
        restricted=model.method == "reml",
    )


@few
@given(seed=seeds, name=models, method=methods, size=st.sampled_from([0.0, 0.3, 2.0]))
def test_published_attributes_are_those_of_the_dense_formulas(seed, name, method, size):
    X, y = rows(seed, size=size)
    model = make(name, method).fit(X, y)
    found = dense(model, X, y)
    assert_allclose(model.log_likelihood_, found.log_likelihood, rtol=1e-10)
    assert_allclose([model.intercept_, *model.coef_], found.coefficients, rtol=1e-7, atol=1e-9)
    assert_allclose(model.fixed_effects_.covariance, found.covariance, rtol=1e-7, atol=1e-10)
    terms = model.random_effects_.values()
    for own, effects, errors in zip(terms, found.effects, found.errors, strict=True):
        assert_allclose(own.effects.ravel(), effects, rtol=1e-6, atol=1e-8)
        q = own.effects.shape[1]
        for i, block in enumerate(own.variances):
            at = slice(i * q, (i + 1) * q)
            assert_allclose(block, errors[at, at], rtol=1e-6, atol=1e-8)


@few
@given(seed=seeds, name=models, method=methods, size=st.sampled_from([0.0, 0.3, 2.0]))
def test_objective_never_decreases_and_ends_at_an_optimum(seed, name, method, size):
    X, y = rows(seed, size=size)
    model = make(name, method).fit(X, y)
    objective = np.array(model.history_["objective"])
    assert (np.diff(objective) >= -1e-10 * np.abs(objective[:-1])).all()
    assert model.converged_
    assert_stationary(model, X, y)


def assert_stationary(model, X, y, size=1e-3):
    """No scaling of a covariance, by itself, raises the likelihood by the dense formula."""
    best = dense(model, X, y).log_likelihood
    for name, value in model.variance_components_.items():
        for factor in (1.0 - size, 1.0 + size):
            public = {**model.variance_components_, name: factor * value}
            assert dense(model, X, y, public=public).log_likelihood <= best + 1e-8


@few
@given(seed=seeds, name=models, method=methods)
def test_a_weight_is_so_many_copies(seed, name, method):
    X, y = rows(seed)
    weight = np.random.default_rng(seed).integers(0, 4, len(y))
    weighted = make(name, method).fit(X, y, sample_weight=weight)
    index = np.repeat(np.arange(len(y)), weight)
    copied = make(name, method).fit(X.iloc[index], y[index])
    assert_allclose(weighted.log_likelihood_, copied.log_likelihood_, rtol=1e-9)
    assert_allclose(weighted.bic_, copied.bic_, rtol=1e-9)
    assert_same_predictions(weighted, copied, X)


def assert_same_predictions(a, b, X, other=None, scale=1.0, shift=0.0):
    left, right = (
        a.predict(X, return_std=True),
        b.predict(X if other is None else other, return_std=True),
    )
    assert_allclose(left[0], right[0] * scale + shift, rtol=1e-5, atol=1e-5 * scale)
    assert_allclose(left[1], right[1] * scale, rtol=1e-5)


@few
@given(seed=seeds, name=models, factor=st.sampled_from([1e-10, 0.1, 7.0, 1e10]))
def test_precisions_in_other_units_change_the_residual_variance_only(seed, name, factor):
    X, y = rows(seed)
    weight = np.random.default_rng(seed).uniform(0.5, 3.0, len(y))
    a = make(name, weights="precision").fit(X, y, sample_weight=weight)
    b = make(name, weights="precision").fit(X, y, sample_weight=factor * weight)
    assert_allclose(b.log_likelihood_, a.log_likelihood_, rtol=1e-9)
    assert_allclose(b.coef_, a.coef_, rtol=1e-5, atol=1e-7)
    *terms, residual = components(a)
    *others, other = components(b)
    assert_allclose(other, factor * residual, rtol=1e-4)
    for left, right in zip(terms, others, strict=True):
        assert_allclose(left, right, rtol=1e-3, atol=1e-4)


@few
@given(seed=seeds, name=models, method=methods)
def test_rows_have_no_order(seed, name, method):
    X, y = rows(seed)
    order = np.random.default_rng(seed).permutation(len(y))
    a = make(name, method).fit(X, y)
    b = make(name, method).fit(X.iloc[order], y[order])
    assert_allclose(a.log_likelihood_, b.log_likelihood_, rtol=1e-10)
    assert_same_predictions(a, b, X)


@few
@given(seed=seeds, name=models, method=methods)
def test_levels_have_any_names(seed, name, method):
    X, y = rows(seed)
    renamed = X.assign(g=[f"level {7 - g}" for g in X["g"]], h=-X["h"])
    a, b = make(name, method).fit(X, y), make(name, method).fit(renamed, y)
    assert_allclose(a.log_likelihood_, b.log_likelihood_, rtol=1e-10)
    assert_same_predictions(a, b, X, renamed)


@few
@given(
    seed=seeds,
    name=models,
    scale=st.sampled_from([1e-8, 1e-3, 1e8]),
    shift=st.sampled_from([0.0, 1e3, 1e6]),
)
def test_units_of_the_response(seed, name, scale, shift):
    X, y = rows(seed)
    a, b = make(name).fit(X, y), make(name).fit(X, scale * (y + shift))
    assert_same_predictions(b, a, X, scale=scale, shift=scale * shift)
    df = len(y) - 1 - len(a.coef_)
    assert_allclose(b.log_likelihood_ + df * np.log(scale), a.log_likelihood_, rtol=1e-7)


@few
@given(
    seed=seeds,
    name=st.sampled_from(["intercepts", "crossed", "nested", "none"]),
    scale=st.sampled_from([1e-8, 1e-3, 1e8]),
    shift=st.sampled_from([0.0, 1e3, 1e6]),
)
def test_units_of_columns_with_fixed_effects(seed, name, scale, shift):
    X, y = rows(seed)
    other = X.assign(x=scale * (X["x"] + shift))
    a, b = make(name).fit(X, y), make(name).fit(other, y)
    assert_same_predictions(b, a, other, X)
    assert_allclose(b.coef_[0] * scale, a.coef_[0], rtol=1e-6)
    # The determinant of X'X changes with the units of a column.
    assert_allclose(b.log_likelihood_ + np.log(scale), a.log_likelihood_, rtol=1e-8)


@few
@given(
    seed=seeds,
    scale=st.sampled_from([1e-8, 1.0, 1e8]),
    shift=st.sampled_from([0.0, 1e3, 1e6]),
    method=methods,
)
def test_units_of_columns_with_random_slopes(seed, scale, shift, method):
    """If the intercepts and slopes are correlated, also where the zero of a column is."""
    X, y = rows(seed)
    other = X.assign(x=scale * (X["x"] + shift))
    a, b = make("slopes", method).fit(X, y), make("slopes", method).fit(other, y)
    assert_allclose(b.coef_[0] * scale, a.coef_[0], rtol=1e-5)
    assert_same_predictions(b, a, other, X)


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("name", ["intercepts", "slopes", "crossed"])
def test_direct_maximization(name, method):
    """The dense likelihood, maximized by a general method."""
    X, y = rows(5)
    model = make(name, method).fit(X, y)
    public = {k: np.atleast_2d(v) for k, v in model.variance_components_.items()}
    shapes = {k: np.tril_indices(len(v)) for k, v in public.items()}

    def unpack(vector):
        found, start = {}, 0
        for key, at in shapes.items():
            root = np.zeros_like(public[key])
            root[at] = vector[start : start + len(at[0])]
            found[key], start = root @ root.T, start + len(at[0])
        return {**found, "residual": float(found["residual"][0, 0])}

    def loss(vector):
        return -dense(model, X, y, public=unpack(vector)).log_likelihood

    begin = np.concatenate([np.eye(len(v))[shapes[k]] for k, v in public.items()])
    best = minimize(loss, begin, method="BFGS", options={"gtol": 1e-7})
    assert_allclose(model.log_likelihood_, -best.fun, rtol=1e-9)
    for key, value in unpack(best.x).items():
        assert_allclose(model.variance_components_[key], value, rtol=1e-3, atol=1e-4)


@few
@given(seed=seeds, name=models, method=methods)
def test_plain_em_and_newton_steps_reach_one_optimum(seed, name, method):
    X, y = rows(seed, n=150, size=2.0)
    newton = make(name, method).fit(X, y)
    with warnings.catch_warnings():
        # Toward a boundary, EM steps crawl.
        warnings.simplefilter("ignore", ConvergenceWarning)
        squarem = make(name, method, accelerate="squarem", max_iter=2000).fit(X, y)
    assert newton.converged_
    assert_allclose(squarem.log_likelihood_, newton.log_likelihood_, rtol=1e-6)
    assert newton.log_likelihood_ >= squarem.log_likelihood_ - 1e-6


@pytest.mark.parametrize("name", ["intercepts", "slopes", "crossed", "columns"])
def test_plain_em(name):
    X, y = rows(3, n=150, size=2.0)
    newton = make(name).fit(X, y)
    em = make(name, accelerate=None, max_iter=20_000).fit(X, y)
    assert em.converged_
    assert_allclose(em.log_likelihood_, newton.log_likelihood_, rtol=1e-8)
    for left, right in zip(components(em), components(newton), strict=True):
        assert_allclose(left, right, rtol=2e-3, atol=2e-3)


@few
@given(seed=seeds)
def test_held_at_the_estimates(seed):
    """Variances held at estimates give the same fit."""
    X, y = rows(seed, n=150, size=2.0)
    free = make("slopes").fit(X, y)
    held = make("slopes", fixed=free.variance_components_).fit(X, y)
    assert_allclose(held.log_likelihood_, free.log_likelihood_, rtol=1e-10)
    assert_same_predictions(held, free, X)
    if free.boundary_:
        return  # EM steps, which is all there is with entries held, crawl toward a boundary
    half = make("slopes", fixed={"residual": free.variance_components_["residual"]}).fit(X, y)
    assert_allclose(half.log_likelihood_, free.log_likelihood_, rtol=1e-7)


class TestKernels:
    """One kernel without fixed effects is the regression by a Gaussian process."""

    noise = 0.3

    @pytest.fixture
    def points(self):
        rng = np.random.default_rng(1)
        points = np.sort(rng.uniform(0.0, 10.0, 50))
        return points, np.sin(points) + 0.5 * rng.normal(size=50), rng.random(50) < 0.7

    def process(self, kernel, points, y, seen):
        process = GaussianProcessRegressor(kernel, alpha=self.noise, optimizer=None)
        return process.fit(points[seen, None], y[seen])

    def fit(self, kernel, points, y, seen, **options):
        options = {"method": "ml", "fixed": {"x0": 1.0, "residual": self.noise}, **options}
        kinship = kernel(points[:, None])
        model = LinearMixedModelEM(0, kinship=kinship, fit_intercept=False, **options)
        return model.fit(np.flatnonzero(seen)[:, None], y[seen])

    @pytest.mark.parametrize("method", ["ml", "reml"])
    def test_predictions(self, points, method):
        points, y, seen = points
        kernel = ConstantKernel(1.7) * RBF(1.2)
        model = self.fit(kernel, points, y, seen, method=method)
        process = self.process(kernel, points, y, seen)
        mean, std = model.predict(np.arange(50)[:, None], return_std=True)
        expected, error = process.predict(points[:, None], return_std=True)
        assert_allclose(mean, expected, rtol=1e-8, atol=1e-8)
        assert_allclose(np.square(std), np.square(error) + self.noise, rtol=1e-8)
        assert_allclose(
            np.square(model.random_effects_["x0"].standard_errors[:, 0]),
            np.square(error),
            rtol=1e-7,
            atol=1e-8,
        )
        assert_allclose(model.log_likelihood_, process.log_marginal_likelihood_value_, rtol=1e-10)

    def test_kernels_are_compared_by_likelihood(self, points):
        points, y, seen = points
        kernels = [RBF(0.3), RBF(1.2), RBF(5.0), Matern(1.0, nu=1.5)]
        found = [self.fit(kernel, points, y, seen).log_likelihood_ for kernel in kernels]
        expected = [
            self.process(kernel, points, y, seen).log_marginal_likelihood_value_
            for kernel in kernels
        ]
        assert_allclose(found, expected, rtol=1e-9)

    def test_variances_by_likelihood(self, points):
        """The variance of the kernel, with that of the noise held, beside its search."""
        points, y, seen = points
        kernel = ConstantKernel(1.0, (1e-3, 1e3)) * RBF(1.2, "fixed")
        process = GaussianProcessRegressor(kernel, alpha=self.noise).fit(
            points[seen, None], y[seen]
        )
        model = self.fit(RBF(1.2), points, y, seen, fixed={"residual": self.noise})
        assert_allclose(
            model.variance_components_["x0"], process.kernel_.k1.constant_value, rtol=1e-3
        )
        assert_allclose(model.log_likelihood_, process.log_marginal_likelihood_value_, rtol=1e-7)


def test_errors_of_predictions_by_brute_force():
    """With known and unknown levels, and slopes: by the covariance of the responses."""
    rng = np.random.default_rng(3)
    group, x = np.repeat(np.arange(7), [1, 2, 3, 4, 5, 6, 7]), rng.normal(size=28)
    y = x + rng.normal(size=7)[group] + rng.normal(size=7)[group] * x + rng.normal(size=28)
    X = pd.DataFrame({"x": x, "g": group})
    model = LinearMixedModelEM("g", random_slopes=["x"]).fit(X, y)
    new = pd.DataFrame({"x": [0.5, -2.0, 3.0], "g": [0, 6, 99]})
    mean, std = model.predict(new, return_std=True)
    S, s = model.variance_components_["g"], model.variance_components_["residual"]

    def covariance(a, b):
        left, right = (np.column_stack([np.ones(len(t)), t["x"]]) for t in (a, b))
        return (left @ S @ right.T) * np.equal.outer(a["g"].to_numpy(), b["g"].to_numpy())

    V, F = covariance(X, X) + s * np.eye(28), np.column_stack([np.ones(28), x])
    P, beta = np.linalg.inv(V), np.array([model.intercept_, *model.coef_])
    C, at = covariance(new, X), np.column_stack([np.ones(3), new["x"]])
    assert_allclose(mean, at @ beta + C @ P @ (y - F @ beta), rtol=1e-9)
    left = at - C @ P @ F
    variance = covariance(new, new) - C @ P @ C.T + left @ np.linalg.inv(F.T @ P @ F) @ left.T
    assert_allclose(std**2, np.diagonal(variance) + s, rtol=1e-9)
