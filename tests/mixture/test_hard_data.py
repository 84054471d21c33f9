"""Hard data: the right answer, or a ValueError that says what to do."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emlearn import GaussianMixtureEM
from emlearn.latent.starts import POINT_STARTS as NAMED

#: By name, and whatever is the default.
STARTS = {*NAMED, GaussianMixtureEM().init_params}

ADVICE = "reg_covar"

# Components of few rows are the subject here.
pytestmark = pytest.mark.filterwarnings(r"ignore:.*\(s\) .* rows\)")

#: One start, so that the components come in the same order whatever the rounding.
START = {"init_params": "kmeans", "random_state": 0}


def standard_deviations(mixture):
    c = mixture.covariances_
    if mixture.covariance_type == "full":
        return np.sqrt(np.diagonal(c, axis1=1, axis2=2))
    if mixture.covariance_type == "tied":
        return np.sqrt(np.tile(np.diag(c), (mixture.n_components, 1)))
    if mixture.covariance_type == "diag":
        return np.sqrt(c)
    return np.sqrt(np.tile(c[:, None], (1, mixture.means_.shape[1])))


def check_finite(mixture, X):
    __tracebackhide__ = True
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        assert np.isfinite(getattr(mixture, name)).all()
    assert np.isfinite(mixture.log_likelihood_)
    assert np.isfinite(mixture.predict_proba(X)).all()
    assert np.isfinite(mixture.score_samples(X)).all()
    assert np.isfinite(mixture.sample(5)[0]).all()


# ---- constant, equal, few rows ---------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, 7.0, -1e12, 0.1])
def test_a_constant_column(covariance_type, value, groups):
    """The column carries no information about the groups."""
    X = np.column_stack([groups, np.full(len(groups), value)])
    settings = {"covariance_type": covariance_type, **START}
    mixture = GaussianMixtureEM(2, **settings).fit(X)
    check_finite(mixture, X)
    assert_allclose(mixture.means_[:, 2], value, rtol=1e-12)
    without = GaussianMixtureEM(2, **settings).fit(groups)
    if covariance_type != "spherical":
        assert_allclose(mixture.weights_, without.weights_, atol=1e-6)
        assert_allclose(mixture.covariances_[..., -1].max(), 1e-6)
        assert_allclose(standard_deviations(mixture)[:, :2], standard_deviations(without))
        with pytest.raises(ValueError, match=f"singular.*{ADVICE}"):
            GaussianMixtureEM(2, reg_covar=0, **settings).fit(X)


@pytest.mark.parametrize("value", [0.0, 3.3, 1e8])
@pytest.mark.parametrize("n_components", [1, 2])
def test_all_rows_equal(covariance_type, value, n_components):
    X = np.full((10, 2), value)
    mixture = GaussianMixtureEM(n_components, covariance_type=covariance_type, **START)
    mixture.fit(X)
    check_finite(mixture, X)
    assert_allclose(mixture.means_, value)
    assert_allclose(standard_deviations(mixture), 1e-3)
    with pytest.raises(ValueError, match=f"singular.*{ADVICE}"):
        mixture.set_params(reg_covar=0).fit(X)


@pytest.mark.parametrize("init_params", sorted(STARTS))
@pytest.mark.parametrize("reg_covar", ["auto", 1e-6])
def test_fewer_distinct_rows_than_components(covariance_type, init_params, reg_covar):
    X = np.repeat([[0.0, 1.0], [5.0, 2.0]], 10, axis=0)
    mixture = GaussianMixtureEM(
        4, covariance_type=covariance_type, init_params=init_params, reg_covar=reg_covar,
        random_state=0, n_init=3,
    )  # fmt: skip
    mixture.fit(X)
    check_finite(mixture, X)
    if init_params != "random":
        # Each of the two rows has its own components.
        labels = mixture.predict(X)
        assert not set(labels[:10]) & set(labels[10:])
        at_first = np.abs(mixture.means_[:, 0]) < 1e-3
        assert mixture.weights_[at_first].sum() == pytest.approx(0.5)
    with pytest.raises(ValueError, match=ADVICE):
        mixture.set_params(reg_covar=0).fit(X)


def test_as_many_rows_as_components(covariance_type):
    X = np.random.default_rng(0).normal(size=(4, 2))
    mixture = GaussianMixtureEM(4, covariance_type=covariance_type, **START).fit(X)
    check_finite(mixture, X)
    assert sorted(mixture.predict(X)) == [0, 1, 2, 3]


@pytest.mark.parametrize("n_components", [1, 2])
def test_fewer_rows_than_columns(covariance_type, n_components):
    X = np.random.default_rng(0).normal(size=(6, 10))
    mixture = GaussianMixtureEM(n_components, covariance_type=covariance_type, **START)
    check_finite(mixture.fit(X), X)
    if covariance_type in ("full", "tied"):
        with pytest.raises(ValueError, match=f"singular.*{ADVICE}"):
            mixture.set_params(reg_covar=0).fit(X)


def test_two_rows():
    X = np.array([[0.0], [2.0]])
    mixture = GaussianMixtureEM(reg_covar=0).fit(X)
    assert_allclose(mixture.means_, [[1.0]])
    assert_allclose(mixture.covariances_, [[[1.0]]])


def test_columns_that_depend_on_each_other(covariance_type, groups):
    """Rank 2 in three columns: only the ridge gives the third direction a variance."""
    X = np.column_stack([groups, groups.sum(axis=1)])
    mixture = GaussianMixtureEM(2, covariance_type=covariance_type, **START).fit(X)
    check_finite(mixture, X)
    assert mixture.converged_
    assert sorted(np.bincount(mixture.predict(X))) == [40, 60]
    if covariance_type in ("full", "tied"):
        with pytest.raises(ValueError, match=f"singular.*{ADVICE}"):
            mixture.set_params(reg_covar=0).fit(X)


# ---- outliers and singular starts ------------------------------------------------------


def test_a_singleton_outlier(covariance_type, groups):
    X = np.r_[groups, [[1e3, -1e3]]]
    mixture = GaussianMixtureEM(3, covariance_type=covariance_type, **START, reg_covar=1e-6)
    mixture.fit(X)
    check_finite(mixture, X)
    labels = mixture.predict(X)
    assert np.count_nonzero(labels == labels[-1]) == 1
    assert sorted(np.bincount(labels)) == [1, 40, 60]
    if covariance_type != "tied":
        with pytest.raises(ValueError, match=f"covariance of component . is singular.*{ADVICE}"):
            mixture.set_params(reg_covar=0).fit(X)


def test_some_starts_fail_and_the_others_go_on(groups):
    X = np.r_[groups, groups[:1], [[2.0, 3.0], [2.1, 3.2]]]
    mixture = GaussianMixtureEM(
        4, reg_covar=0, init_params="random_from_data", n_init=30, random_state=0, max_iter=2000
    ).fit(X)
    status = [run.status for run in mixture.restarts_]
    assert "failed" in status
    assert "converged" in status
    for run in mixture.restarts_:
        assert ("singular" in run.message) == (run.status == "failed")
        assert run.n_e_steps >= run.n_iter
    best = max(run.objective for run in mixture.restarts_ if run.status == "converged")
    assert mixture.lower_bound_ * len(X) == pytest.approx(best)
    check_finite(mixture, X)


def test_all_starts_fail():
    X = np.repeat(np.eye(3), 5, axis=0)
    with pytest.raises(ValueError, match=r"each of the 4 starts.*component \d is singular.*n_init"):
        GaussianMixtureEM(3, reg_covar=0, n_init=4, **START).fit(X)


# ---- offsets and units -----------------------------------------------------------------


@pytest.mark.parametrize("offset", [1e8, -1e8, 1e12])
@pytest.mark.parametrize("reg_covar", ["auto", 0.0])
def test_large_offsets(covariance_type, offset, reg_covar, groups):
    """No digits are lost beyond those that the rows have lost."""
    far = groups + offset
    near = far - offset
    mixture = GaussianMixtureEM(2, covariance_type=covariance_type, reg_covar=reg_covar, **START)
    mixture.fit(near)
    weights, means, covariances = mixture.weights_, mixture.means_, mixture.covariances_
    density, resp = mixture.score_samples(near), mixture.predict_proba(near)
    mixture.fit(far)
    resolution = 4.0 * np.spacing(abs(offset))
    assert_allclose(mixture.weights_, weights, atol=1e-12)
    assert_allclose(mixture.covariances_, covariances, rtol=1e-9, atol=1e-12)
    assert_allclose(mixture.means_ - offset, means, atol=resolution)
    # Means are published to the precision of float64.
    assert_allclose(mixture.score_samples(far), density, atol=100.0 * resolution)
    assert_allclose(mixture.predict_proba(far), resp, atol=100.0 * resolution)


def test_offsets_in_single_precision(covariance_type, groups):
    far = (groups * 8.0 + 1e5).astype(np.float32)
    near = (far.astype(np.float64) - 1e5).astype(np.float32)
    mixture = GaussianMixtureEM(2, covariance_type=covariance_type, **START)
    covariances = mixture.fit(near).covariances_
    mixture.fit(far)
    assert_allclose(mixture.covariances_, covariances, rtol=1e-3, atol=1e-2)
    assert sorted(np.bincount(mixture.predict(far))) == [40, 60]


@pytest.mark.parametrize("scale", [1e-150, 1e-100, 1e-20, 1e20, 1e100, 1e150])
@pytest.mark.parametrize("reg_covar", ["auto", 0.0])
def test_extreme_units_of_a_column(covariance_type, scale, reg_covar, groups):
    scales = np.array([scale, 1.0]) if covariance_type != "spherical" else np.full(2, scale)
    mixture = GaussianMixtureEM(2, covariance_type=covariance_type, reg_covar=reg_covar, **START)
    mixture.fit(groups)
    weights, means, widths = mixture.weights_, mixture.means_, standard_deviations(mixture)
    density, resp = mixture.score_samples(groups), mixture.predict_proba(groups)
    X = groups * scales
    mixture.fit(X)
    check_finite(mixture, X)
    jacobian = np.log(scales).sum()
    assert_allclose(mixture.weights_, weights, rtol=1e-9)
    assert_allclose(mixture.means_, means * scales, rtol=1e-9)
    assert_allclose(standard_deviations(mixture), widths * scales, rtol=1e-9)
    assert_allclose(mixture.score_samples(X), density - jacobian, rtol=1e-9, atol=1e-9)
    assert_allclose(mixture.predict_proba(X), resp, atol=1e-9)
    assert_allclose(mixture.score(X), density.mean() - jacobian, rtol=1e-9)


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [(np.float64, s) for s in (1e-310, 1e-300, 1e-160, 1e160, 1e300)]
    + [(np.float32, s) for s in (1e-44, 1e-30, 1e30, 1e36)],
)
@pytest.mark.parametrize("reg_covar", ["auto", 0.0])
def test_units_whose_squares_cannot_be_represented(
    covariance_type, dtype, scale, reg_covar, groups
):
    X = (groups * scale).astype(dtype)
    mixture = GaussianMixtureEM(2, covariance_type=covariance_type, reg_covar=reg_covar)
    message = f"beyond the range of {np.dtype(dtype).name}.*StandardScaler"
    with pytest.raises(ValueError, match=message):
        mixture.fit(X)
    assert not hasattr(mixture, "means_")


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_largest_numbers(covariance_type, dtype):
    largest = np.finfo(dtype).max
    X = np.array([[largest], [-largest], [0.0], [largest / 2]], dtype)
    with pytest.raises(ValueError, match="beyond the range"):
        GaussianMixtureEM(covariance_type=covariance_type).fit(X)


def test_a_ridge_beyond_the_range(groups):
    with pytest.raises(ValueError, match=r"reg_covar=1e\+200 is too large for float64"):
        GaussianMixtureEM(2, reg_covar=1e200).fit(groups * 1e-100)


def test_columns_of_very_different_widths(groups):
    """A narrow column has its effect beside a wide one."""
    X = np.column_stack([groups[:, 0] * 1e-9, np.random.default_rng(0).normal(size=100) * 1e9])
    for covariance_type in ("full", "tied", "diag"):
        mixture = GaussianMixtureEM(
            2, covariance_type=covariance_type, means_init=[[0.0, 0.0], [8e-9, 0.0]]
        ).fit(X)
        assert sorted(np.bincount(mixture.predict(X))) == [40, 60]


def test_a_narrow_component_far_from_the_centre():
    """The exact form is used where the fast one would lose digits."""
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(500, 2))
    narrow = 1e-6 * rng.normal(size=(500, 2)) + [30.0, -20.0]
    X = np.r_[wide, narrow]
    mixture = GaussianMixtureEM(2, reg_covar=0, means_init=[[0, 0], [30, -20]]).fit(X)
    assert_allclose(mixture.covariances_[1], np.cov(narrow.T, bias=True), rtol=1e-6, atol=1e-18)
    assert_allclose(mixture.means_[1], narrow.mean(axis=0), rtol=1e-14)
    assert_allclose(mixture.weights_, 0.5)


@pytest.mark.parametrize("weight", [1e-300, 1e-12, 1e12])
def test_one_row_of_extreme_weight(covariance_type, weight, groups):
    w = np.ones(len(groups))
    w[0] = weight
    mixture = GaussianMixtureEM(2, covariance_type=covariance_type, **START)
    mixture.fit(groups, sample_weight=w)
    check_finite(mixture, groups)
    if weight < 1.0:
        w[0] = 0.0
        absent = mixture.means_
        assert_allclose(mixture.fit(groups, sample_weight=w).means_, absent, rtol=1e-6)


def test_many_components_and_columns():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 40))
    mixture = GaussianMixtureEM(30, covariance_type="diag", **START, tol=1e-3).fit(X)
    check_finite(mixture, X)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "EEV"])
@pytest.mark.filterwarnings("ignore:.*converge")
def test_draws_where_columns_nearly_depend_in_single_precision(covariance_type):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(300, 2))
        X = np.hstack([X, X @ rng.normal(size=(2, 2)) + 2e-4 * rng.normal(size=(300, 2))])
        mixture = GaussianMixtureEM(
            2, covariance_type=covariance_type, reg_covar=0, random_state=seed
        )
        try:
            mixture.fit(X.astype(np.float32))
        except ValueError:
            continue
        rows, _ = mixture.sample(100)
        assert np.isfinite(rows).all()


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical", "EEV"])
def test_constants_whose_sum_is_beyond_range(covariance_type):
    X = np.c_[np.random.default_rng(0).normal(size=(60, 2)), np.full(60, -1e308)]
    if covariance_type in ("spherical", "EEV"):
        X = X[:, 1:]
    mixture = GaussianMixtureEM(2, covariance_type=covariance_type, random_state=0).fit(X)
    assert np.isfinite(mixture.score(X))


@pytest.mark.filterwarnings("ignore:Component:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("init_params", sorted(STARTS))
def test_few_distinct_rows_warn_of_components_only(init_params):
    """No warning of another class, such as k-means, comes through."""
    X = np.repeat([[0.0, 0.0], [1.0, 1.0]], 20, axis=0)
    mixture = GaussianMixtureEM(5, init_params=init_params, random_state=0).fit(X)
    assert np.isfinite(mixture.score(X))
    assert len(set(mixture.predict(X))) == 2 or init_params == "random"


def test_weights_below_the_least_normal_number():
    X = np.random.default_rng(0).normal(size=(50, 2))
    with pytest.raises(ValueError, match="sample_weight sums to 5e-319"):
        GaussianMixtureEM(2, random_state=0).fit(X, sample_weight=np.full(50, 1e-320))
