"""Errors say what is wrong, where, and what would be right."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from emlearn import GaussianMixtureEM


def with_value(X, value):
    X = X.copy()
    X[3, 1] = value
    return X


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (lambda X: np.c_[X, np.full(len(X), np.nan)], ValueError, "Column . of X has no observed"),
        (lambda X: with_value(X, np.inf), ValueError, "infinity"),
        (lambda X: with_value(X, -np.inf), ValueError, "infinity"),
        (lambda X: [["a", "b"], ["c", "d"]], ValueError, "could not convert string"),
        (lambda X: X + 1j, ValueError, "Complex data not supported"),
        (lambda X: sparse.csr_matrix(X), TypeError, "dense data is required"),
        (lambda X: X[:0], ValueError, "0 sample.*minimum of 2"),
        (lambda X: X[:1], ValueError, "1 sample.*minimum of 2"),
        (lambda X: X[:, :0], ValueError, "0 feature"),
        (lambda X: X[:, 0], ValueError, "Expected 2D array, got 1D"),
        (lambda X: X[:, :, None], ValueError, "dim 3|3D|<= 2"),
        (lambda X: 3.0, ValueError, "scalar"),
        (lambda X: None, ValueError, "2D array|NoneType|None"),
    ],
)
def test_rows(rows, error, message, groups):
    with pytest.raises(error, match=message):
        GaussianMixtureEM(2).fit(rows(groups))


def test_fewer_rows_than_components(groups):
    with pytest.raises(ValueError, match=r"n_components = 4, n_samples = 3\. Use fewer"):
        GaussianMixtureEM(4).fit(groups[:3])
    weight = np.zeros(len(groups))
    weight[:3] = 1.0
    with pytest.raises(ValueError, match="n_samples = 3 of positive weight"):
        GaussianMixtureEM(4).fit(groups, sample_weight=weight)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.r_[np.ones(99), -1.0], r"row 99 has weight -1\.0.*must be finite and >= 0"),
        (np.zeros(100), "non-zero"),
        (np.full(100, np.nan), "sample_weight contains NaN"),
        (np.full(100, np.inf), "sample_weight contains infinity"),
        (np.ones(99), r"has shape \(99,\), but must have one weight for each row, shape \(100,\)"),
        (np.ones((100, 2)), "1D array or scalar"),
        (["a"] * 100, "could not convert string"),
    ],
)
def test_weights(weight, message, groups):
    with pytest.raises(ValueError, match=message):
        GaussianMixtureEM(2).fit(groups, sample_weight=weight)


@pytest.mark.parametrize(
    ("name", "values", "allowed"),
    [
        ("n_components", [0, -1, 1.5, 2.0, "2", None], r"an int in the range \[1, inf\)"),
        ("covariance_type", ["round", None, ["full"], 1], "a str among .*spherical"),
        ("tol", [-1e-9, "a", None, np.nan, np.inf], r"a float in the range \[0\.0, inf\)"),
        ("reg_covar", [-1e-9, "scale", None, np.nan, np.inf], r"\[0\.0, inf\).*'auto'"),
        ("max_iter", [-1, 1.5, None, "a"], r"an int in the range \[0, inf\)"),
        ("n_init", [0, 1.5, None], r"an int in the range \[1, inf\)"),
        ("init_params", ["zufall", None, 3], "random_from_data|a str among.*callable.*array"),
        ("weights_init", ["a", 0.5], "an array-like or None"),
        ("means_init", ["a", 0.5], "an array-like or None"),
        ("precisions_init", ["a", 0.5], "an array-like or None"),
        ("random_state", ["a", -1, 1.5], "RandomState"),
        ("random_state", [np.random.default_rng(0)], "RandomState"),
        ("warm_start", ["a", 2, None], "bool"),
        ("verbose", ["a", -1, None], "int"),
        ("verbose_interval", [0, 1.5], r"an int in the range \[1, inf\)"),
        ("n_jobs", [0, 1.5, "a"], "an int in the range.*None"),
    ],
)
def test_hyperparameters(name, values, allowed, groups):
    for value in values:
        settings = {"n_components": 2, name: value}
        with pytest.raises(ValueError, match=f"'{name}' parameter of GaussianMixtureEM.*{allowed}"):
            GaussianMixtureEM(**settings).fit(groups)


RAGGED = [[1.0, 2.0], [3.0]]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("weights_init", [0.5, 0.6], r"sum\(weights\) = 1\.1"),
        ("weights_init", [1.0], r"the shape of \(2,\), but got \(1,\)"),
        ("weights_init", [[0.5, 0.5]], r"the shape of \(2,\)"),
        ("weights_init", [np.nan, 1.0], "not finite"),
        ("weights_init", [-0.5, 1.5], r"range \[0, 1\].*min value -0\.5"),
        ("weights_init", [1, "a"], "array of numbers"),
        ("means_init", [0.0, 1.0], r"the shape of \(2, 2\), but got \(2,\)"),
        ("means_init", np.zeros((3, 2)), r"\(3, 2\)"),
        ("means_init", np.zeros((2, 3)), r"\(2, 3\)"),
        ("means_init", np.full((2, 2), np.nan), "not finite"),
        ("means_init", np.full((2, 2), np.inf), "not finite"),
        ("means_init", RAGGED, "array of numbers"),
        ("precisions_init", np.eye(2), r"the shape of \(2, 2, 2\)"),
        ("precisions_init", np.full((2, 2, 2), np.nan), "not finite"),
        ("precisions_init", np.zeros((2, 2, 2)), "positive definite"),
        ("precisions_init", [-np.eye(2)] * 2, "positive definite"),
        ("precisions_init", [np.ones((2, 2))] * 2, "positive definite"),
        ("precisions_init", [[[1.0, 0.5], [0.2, 1.0]]] * 2, "symmetric"),
        ("precisions_init", [[[1e-9, 5e-10], [2e-10, 1e-9]]] * 2, "symmetric"),
    ],
)
def test_start_values(name, value, message, groups):
    with pytest.raises(ValueError, match=f"{name}.*{message}"):
        GaussianMixtureEM(2, **{name: value}).fit(groups)


@pytest.mark.parametrize(
    ("covariance_type", "value", "message"),
    [
        ("tied", np.ones(2), r"the shape of \(2, 2\)"),
        ("tied", -np.eye(2), "positive definite"),
        ("tied", [[1.0, 0.5], [0.2, 1.0]], "symmetric"),
        ("diag", np.ones(2), r"the shape of \(2, 2\)"),
        ("diag", np.zeros((2, 2)), "positive"),
        ("diag", [[1.0, -1.0], [1.0, 1.0]], "positive"),
        ("spherical", np.ones((2, 2)), r"the shape of \(2,\)"),
        ("spherical", [1.0, 0.0], "positive"),
        ("spherical", [-1.0, 1.0], "positive"),
    ],
)
def test_precisions_of_each_structure(covariance_type, value, message, groups):
    mixture = GaussianMixtureEM(2, covariance_type=covariance_type, precisions_init=value)
    with pytest.raises(ValueError, match=f"precisions_init.*{message}"):
        mixture.fit(groups)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.ones((100, 3)), r"\(n_samples, n_components\) = \(100, 2\), got \(100, 3\)"),
        (np.ones((99, 2)), r"got \(99, 2\)"),
        (np.full((100, 2), np.nan), "finite and >= 0"),
        (np.full((100, 2), -1.0), "finite and >= 0"),
        (np.zeros((100, 2)), "not all be 0"),
        (RAGGED, "array of numbers"),
        ([["a", "b"]] * 100, "array of numbers"),
    ],
)
def test_responsibilities(value, message, groups):
    for start in (value, lambda X, n_components, rng: value):
        with pytest.raises(ValueError, match=f"init_params.*{message}"):
            GaussianMixtureEM(2, init_params=start).fit(groups)


def test_a_failed_fit_leaves_no_half_fitted_estimator(groups):
    mixture = GaussianMixtureEM(2, reg_covar=0)
    with pytest.raises(ValueError, match="singular"):
        mixture.fit(np.zeros((10, 2)))
    assert not [name for name in vars(mixture) if name.endswith("_") and name != "n_features_in_"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError, MemoryError])
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_interruptions_and_errors_of_others_pass_through(error, n_jobs, groups):
    """Only a degenerate model makes a start fail. Other errors propagate."""

    def start(X, n_components, rng):
        raise error("stop")

    with pytest.raises(error, match="stop"):
        GaussianMixtureEM(2, init_params=start, n_init=3, n_jobs=n_jobs).fit(groups)
    # A failed fit does not affect the next one.
    GaussianMixtureEM(2, random_state=0).fit(groups)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_interrupted_while_it_runs(n_jobs, groups, monkeypatch):
    def interrupt(*line, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.print", interrupt)
    with pytest.raises(KeyboardInterrupt):
        GaussianMixtureEM(2, verbose=1, n_init=2, n_jobs=n_jobs, random_state=0).fit(groups)


@pytest.mark.filterwarnings("default::sklearn.exceptions.ConvergenceWarning")
def test_a_dying_component_is_reported(covariance_type, groups):
    mixture = GaussianMixtureEM(
        3,
        covariance_type=covariance_type,
        weights_init=[0.6, 0.4, 0.0],
        init_params=np.random.default_rng(0).dirichlet([1.0] * 3, size=len(groups)),
    )
    with pytest.warns(ConvergenceWarning, match=r"Component\(s\) \[2\] lost all rows"):
        mixture.fit(groups)
    assert mixture.weights_[2] == 0.0
    assert mixture.weights_.sum() == pytest.approx(1.0)
    assert np.isfinite(mixture.means_).all()
    assert np.isfinite(mixture.covariances_).all()
    assert (mixture.predict(groups) < 2).all()
    assert (mixture.predict_proba(groups)[:, 2] == 0.0).all()


@pytest.mark.parametrize("means", [np.zeros((2, 2)), np.zeros((3, 3)), np.zeros(3), 0.0])
def test_means_of_another_shape_are_named(means):
    X = np.random.default_rng(0).normal(size=(20, 3))
    mixture = GaussianMixtureEM(2, random_state=0).fit(X)
    mixture.means_ = means
    with pytest.raises(ValueError, match=r"means_ must have shape \(2, 3\), one row for each"):
        mixture.predict(X)
