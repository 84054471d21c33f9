"""A fit does not depend on copies instead of weights, the order of rows, or the units."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning

from emlearn import GaussianMixtureEM
from emlearn.latent.starts import POINT_STARTS as NAMED

STARTS = sorted(NAMED)
CRITERIA = ["score", "aic", "bic", "icl"]


def parameters(mixture):
    return mixture.weights_, mixture.means_, mixture.covariances_


def assert_same_fit(a, b, rtol=1e-6, atol=1e-8):
    __tracebackhide__ = True
    for x, y in zip(parameters(a), parameters(b), strict=True):
        assert_allclose(x, y, rtol=rtol, atol=atol)
    assert_allclose(a.log_likelihood_, b.log_likelihood_, rtol=1e-9)
    assert_allclose(a.lower_bound_, b.lower_bound_, rtol=1e-9)


@pytest.mark.parametrize("init_params", STARTS)
def test_weights_are_copies(covariance_type, init_params, blobs):
    counts = np.random.default_rng(1).integers(0, 4, size=len(blobs))
    copies = np.repeat(blobs, counts, axis=0)
    mixture = GaussianMixtureEM(
        3, covariance_type=covariance_type, init_params=init_params, random_state=0, tol=1e-8,
        max_iter=5000,
    )  # fmt: skip
    weighted = mixture.fit(blobs, sample_weight=counts)
    scores = [getattr(weighted, name)(blobs, sample_weight=counts) for name in CRITERIA]
    assert_allclose(scores, [getattr(weighted, name)(copies) for name in CRITERIA])
    before = parameters(weighted), weighted.log_likelihood_, weighted.n_iter_
    repeated = mixture.fit(copies)
    assert repeated.n_iter_ == before[2]
    assert_allclose(repeated.log_likelihood_, before[1], rtol=1e-10)
    for x, y in zip(before[0], parameters(repeated), strict=True):
        assert_allclose(x, y, rtol=1e-6)


def test_rows_of_weight_zero_are_absent(covariance_type, blobs):
    weight = np.ones(len(blobs))
    weight[::5] = 0.0
    rubbish = blobs.copy()
    rubbish[::5] = 1e200
    settings = {"covariance_type": covariance_type, "init_params": "kmeans", "random_state": 0}
    absent = GaussianMixtureEM(3, **settings).fit(blobs[weight > 0])
    present = GaussianMixtureEM(3, **settings).fit(rubbish, sample_weight=weight)
    for x, y in zip(parameters(absent), parameters(present), strict=True):
        assert_allclose(x, y, rtol=1e-10)
    assert_allclose(absent.history_["objective"], present.history_["objective"], rtol=1e-12)


def test_responsibilities_of_rows_of_weight_zero_are_ignored(groups):
    labels = (np.arange(len(groups)) < 60).astype(int)
    resp = np.eye(2)[labels]
    weight = np.ones(len(groups))
    weight[:30] = 0.0
    shapes = []

    def start(X, n_components, rng):
        shapes.append(X.shape)
        return resp[30:]

    a = GaussianMixtureEM(2, init_params=resp).fit(groups, sample_weight=weight)
    b = GaussianMixtureEM(2, init_params=start).fit(groups, sample_weight=weight)
    c = GaussianMixtureEM(2, init_params=resp[30:]).fit(groups[30:])
    assert shapes == [(70, 2)]
    assert_same_fit(a, b)
    assert_same_fit(a, c)


def test_common_factor_of_the_weights_changes_the_scale_only(covariance_type, blobs):
    w = np.random.default_rng(5).random(len(blobs))
    settings = {
        "covariance_type": covariance_type, "init_params": "kmeans", "random_state": 0, "tol": 1e-10
    }  # fmt: skip
    a = GaussianMixtureEM(3, **settings).fit(blobs, sample_weight=w)
    for factor in (1e-200, 1e-6, 3.0, 1e200):
        b = GaussianMixtureEM(3, **settings).fit(blobs, sample_weight=factor * w)
        for x, y in zip(parameters(a), parameters(b), strict=True):
            assert_allclose(x, y, rtol=1e-6)
        assert_allclose(a.lower_bound_, b.lower_bound_, rtol=1e-9)
        assert_allclose(a.log_likelihood_ * factor, b.log_likelihood_, rtol=1e-9)
    unit = GaussianMixtureEM(3, **settings).fit(blobs, sample_weight=np.ones(len(blobs)))
    none = GaussianMixtureEM(3, **settings).fit(blobs)
    assert_same_fit(unit, none)


@pytest.mark.parametrize("init_params", STARTS)
def test_order_of_rows(covariance_type, init_params, blobs):
    order = np.random.default_rng(2).permutation(len(blobs))
    weight = np.random.default_rng(3).random(len(blobs)) + 0.5
    mixture = GaussianMixtureEM(
        3, covariance_type=covariance_type, init_params=init_params, random_state=0, tol=1e-8,
        max_iter=5000,
    )  # fmt: skip
    a = parameters(mixture.fit(blobs, sample_weight=weight))
    labels = mixture.predict(blobs)
    b = parameters(mixture.fit(blobs[order], sample_weight=weight[order]))
    for x, y in zip(a, b, strict=True):
        assert_allclose(x, y, rtol=1e-5)
    assert (mixture.predict(blobs[order]) == labels[order]).all()


def test_order_of_columns(covariance_type, blobs):
    X = np.column_stack([blobs, blobs[:, :1] ** 2])
    order = [2, 0, 1]
    start = np.random.default_rng(0).dirichlet([0.5] * 3, size=len(X))
    mixture = GaussianMixtureEM(3, covariance_type=covariance_type, init_params=start)
    weights, means, covariances = parameters(mixture.fit(X))
    mixture.fit(X[:, order])
    assert_allclose(mixture.weights_, weights, rtol=1e-6)
    assert_allclose(mixture.means_, means[:, order], rtol=1e-6)
    if covariance_type == "diag":
        assert_allclose(mixture.covariances_, covariances[:, order], rtol=1e-5)
    elif covariance_type != "spherical":
        expected = covariances[..., order, :][..., :, order]
        assert_allclose(mixture.covariances_, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("init_params", STARTS)
@pytest.mark.parametrize("reg_covar", ["auto", 0.0])
def test_units_of_the_columns(covariance_type, init_params, reg_covar, blobs):
    """Another origin and other units give the same fit in these units."""
    scale = np.array([1e3, 1e-5]) if covariance_type != "spherical" else np.full(2, 1e-4)
    shift = np.array([7e3, -2e-5])
    mixture = GaussianMixtureEM(
        3, covariance_type=covariance_type, init_params=init_params, reg_covar=reg_covar,
        random_state=0, tol=1e-10, max_iter=10_000,
    )  # fmt: skip
    weights, means, covariances = parameters(mixture.fit(blobs))
    resp, total = mixture.predict_proba(blobs), mixture.log_likelihood_
    Y = blobs * scale + shift
    mixture.fit(Y)
    assert_allclose(mixture.weights_, weights, rtol=1e-3)
    assert_allclose((mixture.means_ - shift) / scale, means, rtol=1e-3)
    outer = {
        "full": np.outer(scale, scale), "tied": np.outer(scale, scale),
        "diag": scale**2, "spherical": scale[0] ** 2,
    }[covariance_type]  # fmt: skip
    assert_allclose(mixture.covariances_, covariances * outer, rtol=1e-3, atol=1e-3 * np.min(outer))
    assert_allclose(mixture.predict_proba(Y), resp, atol=1e-3)
    jacobian = len(blobs) * np.log(scale).sum()
    assert_allclose(mixture.log_likelihood_, total - jacobian, rtol=1e-8)


def test_an_absolute_ridge_has_units(covariance_type, blobs):
    mixture = GaussianMixtureEM(
        3, covariance_type=covariance_type, init_params="kmeans", random_state=0, tol=1e-9
    )
    scale = 1e-3
    a = mixture.set_params(reg_covar=0.5).fit(blobs).covariances_
    b = mixture.set_params(reg_covar=0.5 * scale**2).fit(blobs * scale).covariances_
    assert_allclose(b, a * scale**2, rtol=1e-3)


shapes = st.tuples(st.integers(4, 40), st.integers(1, 5))
numbers = st.one_of(st.floats(-5.0, 5.0), st.sampled_from([0.0, 1.0, -1.0]), st.floats(-1e6, 1e6))


@settings(max_examples=80)
@given(
    X=arrays(np.float64, shapes, elements=numbers),
    covariance_type=st.sampled_from(["full", "tied", "diag", "spherical"]),
    n_components=st.integers(1, 4),
    reg_covar=st.sampled_from(["auto", 1e-6, 1e-2, 3.0, 0.0]),
    init_params=st.sampled_from([*STARTS, GaussianMixtureEM().init_params]),
    seed=st.integers(0, 1000),
    weighted=st.booleans(),
    dtype=st.sampled_from([np.float64, np.float32]),
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_objective_never_falls(
    X, covariance_type, n_components, reg_covar, init_params, seed, weighted, dtype
):
    """On any finite data: monotone, finite and consistent, or a ValueError with advice."""
    rng = np.random.default_rng(seed)
    weight = rng.integers(0, 3, size=len(X)).astype(float) if weighted else None
    assume(weight is None or np.count_nonzero(weight) >= n_components)
    mixture = GaussianMixtureEM(
        n_components,
        covariance_type=covariance_type,
        reg_covar=reg_covar,
        init_params=init_params,
        random_state=seed,
        max_iter=60,
    )
    X = X.astype(dtype)
    refused = ""
    try:
        mixture.fit(X, sample_weight=weight)
    except ValueError as error:
        refused = str(error)
    if refused:
        assert "reg_covar" in refused or "beyond the range" in refused
        return
    objective = mixture.history_["objective"]
    assert np.isfinite(objective).all()
    assert (np.diff(objective) >= 0.0).all()
    if dtype == np.float64 and reg_covar == "auto":
        # Otherwise a nearly singular covariance may hide the exact maximum.
        assert mixture.restarts_[0].status in ("converged", "max_iter")
    for value in parameters(mixture):
        assert np.isfinite(value).all()
        assert value.dtype == np.float64
    for value in (mixture.predict_proba(X), mixture.score_samples(X)):
        assert np.isfinite(value).all()
        assert value.dtype == dtype
    assert mixture.weights_.sum() == pytest.approx(1.0, abs=1e-6)
    total = len(X) if weight is None else weight.sum()
    if dtype == np.float64:
        # The ridge only lowers the objective.
        slack = 1e-7 * (abs(mixture.log_likelihood_) + total)
        assert mixture.lower_bound_ * total <= mixture.log_likelihood_ + slack
        if reg_covar == 0.0:
            assert mixture.lower_bound_ * total >= mixture.log_likelihood_ - slack
    assert mixture.score(X, sample_weight=weight) * total == pytest.approx(
        mixture.log_likelihood_, rel=1e-9, abs=1e-9
    )


def test_convergence_warning_is_that_of_scikit_learn(blobs):
    with pytest.warns(ConvergenceWarning, match="did not converge"):
        GaussianMixtureEM(3, max_iter=1, random_state=0).fit(blobs)
