"""The published parameters are the model: set, changed, given without a fit, or refused."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from emlearn.distributions.gaussian.incomplete import filling
from emlearn.engine import DegenerateModelError
from emlearn.impute import MissingDataImputerEM

nan = np.nan


def holes(n=120, d=3, rate=0.3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 5.0
    X[rng.random((n, d)) < rate] = nan
    return X


OPTIONS = [{}, {"n_components": 2}, {"n_factors": 1}, {"n_components": 2, "n_factors": 1}]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.filterwarnings("ignore:EM did not converge", r"ignore:.*\(s\) .* rows\)")
def test_parameters_make_the_same_imputer(options):
    X = holes()
    fitted = MissingDataImputerEM(random_state=0, max_iter=50, **options).fit(X)
    given = {"covariances": fitted.covariances_}
    if "n_factors" in options:
        given = {"loadings": fitted.loadings_, "noise_variances": fitted.noise_variances_}
    made = MissingDataImputerEM.from_parameters(
        fitted.means_, **given, weights=fitted.weights_, random_state=0
    )
    assert made.n_components == fitted.n_components
    assert made.n_factors == fitted.n_factors
    for imputer in (made, pickle.loads(pickle.dumps(made))):
        assert_array_equal(imputer.transform(X), fitted.transform(X))
        assert_array_equal(imputer.score_samples(X), fitted.score_samples(X))
        assert_array_equal(imputer.conditional_std(X), fitted.conditional_std(X))
        draws = [m.set_params(sample_posterior=True).transform(X) for m in (imputer, fitted)]
        assert_array_equal(*draws)
        imputer.set_params(sample_posterior=False)
        fitted.set_params(sample_posterior=False)
    assert_allclose(made.score_samples(X).sum(), fitted.log_likelihood_, rtol=1e-10)
    assert_array_equal(made.get_feature_names_out(), ["x0", "x1", "x2"])
    # A warm start starts there.
    made.set_params(warm_start=True, max_iter=1000).fit(X)
    assert made.n_iter_ <= MissingDataImputerEM(random_state=0, **options).fit(X).n_iter_


def test_what_is_set_is_used():
    X = np.array([[1.0, nan], [nan, 2.0], [nan, nan]])
    imputer = MissingDataImputerEM().fit(holes(d=2))
    imputer.means_ = np.array([[10.0, 20.0]])
    imputer.covariances_ = np.array([[[2.0, 1.0], [1.0, 4.0]]])
    assert_allclose(imputer.transform(X), [[1, 20 - 9 / 2], [10 - 18 / 4, 2], [10, 20]])
    assert_allclose(imputer.conditional_std(X), [[0, 3.5**0.5], [1.75**0.5, 0], [2**0.5, 2]])
    exact = multivariate_normal([10, 20], [[2, 1], [1, 4]])
    assert_allclose(imputer.score_samples([[3.0, 4.0]]), exact.logpdf([3, 4]))
    assert_allclose(imputer.mean_, [10, 20])
    assert_allclose(imputer.covariance_, [[2, 1], [1, 4]])
    imputer.means_[0, 1] += 1.0
    imputer.covariances_[0] *= 2.0
    assert_allclose(imputer.transform(X)[0], [1, 21 - 9 / 2])
    assert_allclose(imputer.conditional_std(X)[2], [2, 8**0.5])
    # Two components instead of one.
    imputer.weights_, imputer.means_ = [0.25, 0.75], [[0.0, 0.0], [4.0, 8.0]]
    imputer.covariances_ = np.array([np.eye(2)] * 2)
    assert_allclose(imputer.transform(X)[2], [3, 6])
    factors = MissingDataImputerEM(n_factors=1).fit(holes(d=2))
    factors.means_[:] = 0.0
    factors.loadings_[:] = 1.0
    factors.noise_variances_ = [1.0, 1.0]
    assert_allclose(factors.transform(X)[0], [1.0, 0.5])
    assert_allclose(factors.covariance_, [[2, 1], [1, 2]])


def set_to(name, value):
    return lambda imputer: setattr(imputer, name, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_to("weights_", [0.5, 0.5]), r"weights_ must have shape \(1,\), got \(2,\)"),
        (set_to("weights_", [0.9]), "sum to 1"),
        (set_to("weights_", ["a"]), "'weights_' must be an array of numbers"),
        (set_to("means_", [0.0, 0.0]), "means_ must have 2 dimensions"),
        (set_to("means_", [[0.0, nan]]), "means_ must be finite"),
        (set_to("means_", [[0.0, 0.0, 0.0]]), r"covariances_ must have shape"),
        (set_to("covariances_", np.eye(2)), "covariances_ must have 3 dimensions"),
        (set_to("covariances_", [[[1.0, 0.5], [0.2, 1.0]]]), "symmetric"),
        (set_to("covariances_", [[[1.0, 2.0], [2.0, 1.0]]]), "positive definite"),
        (set_to("covariances_", [[[1.0, 0.0], [0.0, -1.0]]]), "variance of column 1"),
        (set_to("covariances_", [[[1.0, 0.5], [0.5, 0.0]]]), "covariances other than 0"),
        (set_to("loadings_", [[1.0], [1.0]]), "noise_variances_"),
    ],
)
def test_what_is_no_model_is_refused(change, message):
    imputer = MissingDataImputerEM().fit(holes(d=2))
    change(imputer)
    for method in (imputer.transform, imputer.score_samples, imputer.conditional_std):
        with pytest.raises(ValueError, match=message):
            method([[1.0, nan]])


def test_what_follows_from_others_cannot_be_set():
    imputer = MissingDataImputerEM().fit(holes(d=2))
    for name in ("mean_", "covariance_"):
        with pytest.raises(AttributeError):
            setattr(imputer, name, 0.0)
        with pytest.raises(ValueError, match="read-only"):
            getattr(imputer, name)[...] = 0.0
    factors = MissingDataImputerEM(n_factors=1).fit(holes(d=2))
    with pytest.raises(AttributeError, match="loadings_"):
        factors.covariances_ = np.eye(2)[None]
    with pytest.raises(ValueError, match="read-only"):
        factors.covariances_[0] = 0.0
    factors.noise_variances_[0] = 0.0
    with pytest.raises(ValueError, match="noise_variances_: the value of column 0"):
        factors.transform([[1.0, nan]])
    factors.fit(holes(d=2)).set_params(n_factors=None).fit(holes(d=2))
    assert not hasattr(factors, "loadings_")
    factors.covariances_ = np.eye(2)[None]
    imputer.means_, imputer.covariances_ = np.zeros((1, 3)), np.eye(3)[None]
    with pytest.raises(ValueError, match="has 3 columns, but the output"):
        imputer.transform([[1.0, nan]])


def test_constant_columns_and_names():
    pd = pytest.importorskip("pandas")
    imputer = MissingDataImputerEM.from_parameters(
        [1.0, 7.0, 2.0], np.diag([1.0, 0.0, 4.0]), feature_names=["a", "b", "c"],
        add_indicator=True, bounds={"a": (0, 1.5)},
    )  # fmt: skip
    scaling = pd.DataFrame({"a": [nan, 1.0], "b": [nan, 3.0], "c": [1.0, nan]})
    assert_allclose(imputer.transform(scaling), [[1, 7, 1, 1, 1, 0], [1, 3, 2, 0, 0, 1]])
    assert_array_equal(imputer.inverse_transform(imputer.transform(scaling)), scaling)
    names = ["a", "b", "c", *(f"missingindicator_{c}" for c in "abc")]
    assert_array_equal(imputer.get_feature_names_out(), names)
    with pytest.raises(ValueError, match="feature names"):
        imputer.transform(scaling[["b", "a", "c"]])
    assert_array_equal(MissingDataImputerEM.from_parameters([3.0], [[0.0]]).transform([[nan]]), 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"means": [0.0]}, "[Ee]ither covariances"),
        ({"means": [0.0], "covariances": [[1.0]], "loadings": [[1.0]]}, "[Ee]ither covariances"),
        ({"means": [0.0], "loadings": [[1.0]]}, "[Ee]ither covariances"),
        ({"means": "x", "covariances": [[1.0]]}, "means"),
        ({"means": [0.0], "covariances": [[1.0]], "alpha": -1}, "alpha"),
        (
            {"means": [0.0], "covariances": [[1.0]], "n_components": 2},
            "n_components=2, but means has",
        ),
        ({"means": [0.0], "covariances": [[1.0]], "feature_names": ["a", "b"]}, "feature_names"),
        ({"means": [0.0], "covariances": [[1.0]], "feature_names": [3]}, "different strings"),
        ({"means": [0, 0], "covariances": np.eye(2), "feature_names": "aa"}, "different strings"),
        ({"means": [], "covariances": np.empty((0, 0))}, "at least one column"),
        ({"means": [0.0], "covariances": [[1.0]], "bounds": {3: (0, 1)}}, "no column 3"),
        ({"means": [0.0], "covariances": [[1.0]], "weights": [2.0]}, "sum to 1"),
        ({"means": [[0.0], [1.0]], "loadings": [[1.0]], "noise_variances": [1.0]}, "are required"),
    ],
)
def test_from_parameters_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        MissingDataImputerEM.from_parameters(**arguments)


@pytest.mark.parametrize(
    "use",
    [
        lambda m: m.transform([[1.0]]), lambda m: m.score([[1.0]]), lambda m: m.mean_,
        lambda m: m.score_samples([[1.0]]), lambda m: m.conditional_std([[1.0]]),
        lambda m: m.get_feature_names_out(), lambda m: m.inverse_transform([[1.0]]),
        lambda m: m.covariances_, lambda m: m.covariance_,
    ],
)  # fmt: skip
def test_not_fitted(use):
    with pytest.raises(NotFittedError, match="from_parameters"):
        use(MissingDataImputerEM())
    unfitted = clone(MissingDataImputerEM())
    unfitted.means_, unfitted.weights_ = np.zeros((1, 1)), np.ones(1)
    unfitted.covariances_ = np.ones((1, 1, 1))
    with pytest.raises(NotFittedError, match="from_parameters"):
        unfitted.transform([[nan]])


def test_a_failed_fit_changes_no_parameter():
    imputer = MissingDataImputerEM(alpha=0).fit(holes(d=2))
    before = imputer.means_.copy()
    with pytest.raises(ValueError, match="cannot be fitted"):
        imputer.fit([[1.0, 2.0], [2.0, 4.0]])
    assert_array_equal(imputer.means_, before)


def test_lower_bound_is_for_each_unit_of_weight():
    X = holes()
    X[0] = nan
    weight = np.random.default_rng(0).integers(0, 3, len(X)).astype(float)
    imputer = MissingDataImputerEM(alpha=0).fit(X, sample_weight=weight)
    assert_allclose(imputer.lower_bound_, imputer.score(X, sample_weight=weight), rtol=1e-10)
    assert imputer.lower_bounds_[-1] == imputer.lower_bound_
    assert len(imputer.lower_bounds_) == imputer.n_iter_
    assert imputer.alpha_ == 0.0


def test_a_warm_start_needs_the_same_columns():
    X = holes(d=3)
    imputer = MissingDataImputerEM(warm_start=True).fit(X)
    X[:, 0] = 1.0
    cold = MissingDataImputerEM().fit(X[:, [0, 1, 2]])
    assert_allclose(imputer.fit(X).means_, cold.means_, rtol=1e-6)
    assert len(imputer.restarts_) == 1
    shifted = np.column_stack((X[:, 1:], holes(d=1, seed=1)))
    imputer.fit(np.column_stack((X[:, 1:], np.ones(len(X)))))
    imputer.fit(np.column_stack((np.ones(len(X)), X[:, 1:])))
    assert len(imputer.restarts_) == 1
    assert len(imputer.fit(shifted).restarts_) == 1


def test_rows_of_weight_zero_do_not_count():
    X = holes()
    X[3] = 1e155
    weight = np.ones(len(X))
    weight[3] = 0.0
    weighted = MissingDataImputerEM(add_indicator=True).fit(X, sample_weight=weight)
    without = MissingDataImputerEM(add_indicator=True).fit(np.delete(X, 3, axis=0))
    assert_array_equal(weighted.means_, without.means_)
    assert_array_equal(weighted.covariances_, without.covariances_)
    only = np.array([[1.0, 2.0], [2.0, 3.5], [4.0, nan]])
    imputer = MissingDataImputerEM(add_indicator=True).fit(only, sample_weight=[1, 1, 0])
    assert imputer.transform(only).shape == (3, 2)


@pytest.mark.parametrize("scale", [1e-160, 1e160])
def test_spreads_without_a_square_are_refused(scale):
    X = holes(d=2)
    X[:, 1] *= scale
    with pytest.raises(ValueError, match="column 1 spread by about"):
        MissingDataImputerEM().fit(X)


def test_a_model_too_near_to_singular_is_refused_in_words(monkeypatch):
    imputer = MissingDataImputerEM().fit(holes(d=2))

    def fail(*arguments):
        raise DegenerateModelError("a covariance matrix is singular to working precision")

    monkeypatch.setattr(filling, "condition", fail)
    for method in (imputer.transform, imputer.score_samples):
        with pytest.raises(ValueError, match="larger alpha"):
            method([[1.0, nan]])
