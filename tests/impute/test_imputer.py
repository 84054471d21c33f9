"""The imputer: published values, invariances, hard data, and bad input."""

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from emlearn.distributions.gaussian.single import OneGaussian
from emlearn.impute import MissingDataImputerEM
from emlearn.impute._mixture import mixture_model
from emlearn.impute._prior import pseudo_rows_of_clusters

nan = np.nan


def holes(n, d, rate, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) @ rng.normal(size=(d, d))
    X[rng.random((n, d)) < rate] = nan
    return X


@pytest.mark.parametrize("name", ["apple", "cholesterol"])
def test_published_values(reference, name):
    published = reference(name)
    X = np.array(published["data"], dtype=float)
    imputer = MissingDataImputerEM(alpha=0, tol=1e-14, max_iter=1000).fit(X)
    assert imputer.converged_
    assert_allclose(imputer.mean_, published["mu"], rtol=1e-6)
    assert_allclose(imputer.covariance_, published["sigma"], rtol=1e-6)
    assert_allclose(imputer.log_likelihood_, published["loglik"], rtol=1e-10)
    assert_allclose(imputer.score_samples(X).sum(), published["loglik"], rtol=1e-10)


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_murray(seed):
    """Two optima at correlation +-1/2 with variance 8/3, and a saddle at 0 between."""
    X = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1], [2, nan], [2, nan], [-2, nan],
                  [-2, nan], [nan, 2], [nan, 2], [nan, -2], [nan, -2]])  # fmt: skip
    imputer = MissingDataImputerEM(alpha=0, tol=1e-12, max_iter=5000, n_init=2,
                                   random_state=seed).fit(X)  # fmt: skip
    assert_allclose(imputer.mean_, 0.0, atol=1e-4)
    assert_allclose(np.diag(imputer.covariance_), 8 / 3, rtol=1e-3)
    assert_allclose(abs(imputer.covariance_[0, 1]), 4 / 3, rtol=1e-3)


@given(
    st.integers(2, 30), st.integers(1, 5), st.floats(0.0, 0.7), st.integers(0, 10**6),
    st.sampled_from([{}, {"n_components": 2}, {"n_factors": 1}, {"alpha": 3.0}]),
)  # fmt: skip
def test_objective_never_falls_and_imputations_are_finite(n, d, rate, seed, options):
    X = holes(n, d, rate, seed)
    imputer = MissingDataImputerEM(random_state=0, max_iter=60, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        if n < 2 * options.get("n_components", 1) or np.isnan(X).all(axis=1).any():
            return
        out = imputer.fit_transform(X)
    objective = imputer.history_["objective"]
    assert (np.diff(objective) >= 0.0).all()
    assert np.isfinite(out).all()
    kept = ~np.isnan(X).all(axis=0)
    seen = ~np.isnan(X[:, kept])
    assert_array_equal(out[seen], X[:, kept][seen])
    assert (imputer.conditional_std(X)[~seen] >= 0.0).all()
    assert_allclose(imputer.score_samples(X).sum(), imputer.log_likelihood_, rtol=1e-9, atol=1e-7)


OPTIONS = [
    {},
    {"alpha": 0},
    {"n_components": 2, "max_iter": 200},
    {"n_factors": 2},
    {"n_components": 2, "n_factors": 1, "max_iter": 200},
]


def fit(X, options, **data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return MissingDataImputerEM(random_state=0, tol=1e-10, **{"max_iter": 3000, **options}).fit(
            X, **data
        )


# The k-means start of a mixture is not the same for weights and copies.
@pytest.mark.parametrize("options", OPTIONS)
def test_weight_means_copies(options):
    X = holes(60, 4, 0.3)
    weight = np.random.default_rng(0).integers(0, 4, 60)
    weighted, repeated = (
        fit(X, options, sample_weight=weight),
        fit(np.repeat(X, weight, 0), options),
    )
    assert_allclose(weighted.log_likelihood_, repeated.log_likelihood_, rtol=1e-7)
    assert_allclose(weighted.transform(X), repeated.transform(X), rtol=1e-3, atol=1e-3)
    assert_allclose(weighted.alpha_, repeated.alpha_)


@pytest.mark.parametrize("options", [{}, {"alpha": 0}, {"n_factors": 2}])
def test_rows_columns_shift_and_scale(options):
    X = holes(80, 4, 0.3)
    base = fit(X, options)
    out = base.transform(X)
    rows, columns = np.random.default_rng(1).permutation(80), [2, 0, 3, 1]
    moved = fit(X[rows], options)
    assert_allclose(moved.transform(X), out, rtol=1e-5, atol=1e-5)
    assert_allclose(fit(X[:, columns], options).transform(X[:, columns]), out[:, columns],
                    rtol=1e-3, atol=1e-3)  # fmt: skip
    scale, shift = np.array([1e-3, 7.0, 100.0, 1.0]), np.array([5.0, -100.0, 0.0, 1e4])
    other = fit(X * scale + shift, options)
    assert_allclose((other.transform(X * scale + shift) - shift) / scale, out, rtol=1e-3, atol=1e-3)
    assert_allclose(other.covariance_ / np.outer(scale, scale), base.covariance_, rtol=2e-3,
                    atol=2e-3)  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS)
def test_same_bits_for_any_n_jobs(options):
    X = holes(300, 5, 0.3)
    runs = [
        MissingDataImputerEM(n_init=3, n_jobs=n_jobs, random_state=3, tol=1e-3, **options)
        .fit(X)
        .transform(X)
        for n_jobs in (1, 2)
    ]
    assert_array_equal(*runs)


def test_pickle_warm_start_and_verbose(capsys):
    X = holes(200, 4, 0.3)
    imputer = MissingDataImputerEM(warm_start=True, verbose=2, verbose_interval=1).fit(X)
    assert "run 1 of 1, iteration 1: objective" in capsys.readouterr().out
    assert_array_equal(pickle.loads(pickle.dumps(imputer)).transform(X), imputer.transform(X))
    first = imputer.n_iter_
    assert imputer.fit(X).n_iter_ < first
    imputer.set_params(n_factors=2).fit(X)
    assert imputer.loadings_.shape == (4, 2)
    assert imputer.fit(X).n_iter_ < 20


def test_mixture_is_nonlinear():
    rng = np.random.default_rng(0)
    x = np.concatenate((rng.normal(-3, 0.5, 200), rng.normal(3, 0.5, 200)))
    full = np.column_stack((x, np.abs(x) + 0.1 * rng.normal(size=400)))
    X = full.copy()
    X[rng.random(400) < 0.3, 1] = nan
    missing = np.isnan(X)
    errors = [
        np.abs(MissingDataImputerEM(k, random_state=0).fit_transform(X) - full)[missing].mean()
        for k in (1, 2)
    ]
    assert errors[1] < 0.5 * errors[0]


def test_wide_data_with_factors():
    rng = np.random.default_rng(0)
    full = rng.normal(size=(60, 3)) @ rng.normal(size=(3, 500)) + 0.1 * rng.normal(size=(60, 500))
    X = full.copy()
    missing = rng.random(X.shape) < 0.2
    X[missing] = nan
    imputer = MissingDataImputerEM(n_factors=3, tol=1e-4, max_iter=2000)
    out = imputer.fit_transform(X)
    assert np.sqrt(np.mean((out - full)[missing] ** 2)) < 0.15
    assert imputer.covariance_.shape == (500, 500)


def test_fewer_rows_than_columns():
    X = holes(10, 20, 0.2)
    out = MissingDataImputerEM().fit_transform(X)
    assert np.isfinite(out).all()
    with pytest.raises(ValueError, match=r"cannot be fitted.*alpha='auto'"):
        MissingDataImputerEM(alpha=0).fit(X[:, :19])


def test_rows_and_columns_without_information():
    X = np.array(
        [[1.0, 5.0, nan], [2.0, 5.0, nan], [3.0, nan, nan], [nan, nan, nan], [4.0, 5, nan]]
    )
    with pytest.warns(UserWarning, match="column 2"):
        imputer = MissingDataImputerEM().fit(X)
    out = imputer.transform(X)
    assert_allclose(out[:, 1], 5.0)
    assert_allclose(out[3, 0], 2.5)
    assert_array_equal(imputer.conditional_std(X)[:, 1], 0.0)
    assert imputer.score_samples(X)[3] == 0.0
    constant = MissingDataImputerEM().fit([[1.0, 2.0], [1.0, nan]])
    assert_array_equal(constant.transform([[nan, nan]]), [[1.0, 2.0]])
    assert constant.score([[1.0, 2.0]]) == 0.0
    one_row = MissingDataImputerEM().fit([[1.0, 2.0]])
    assert_array_equal(one_row.transform([[nan, 3.0]]), [[1.0, 3.0]])


def test_pairs_never_observed_together_are_named():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    X[:20, 0] = nan
    X[20:, 1] = nan
    with pytest.warns(UserWarning, match="column 0 and column 1"):
        imputer = MissingDataImputerEM().fit(X)
    assert np.isfinite(imputer.covariance_).all()


@pytest.mark.parametrize("scale", [1e-150, 1e-8, 1e8, 1e150])
def test_extreme_scales(scale):
    X = holes(100, 3, 0.2)
    out = MissingDataImputerEM().fit_transform(X)
    Y = X.copy()
    Y[:, 0] *= scale
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        imputer = MissingDataImputerEM()
        scaled = imputer.fit_transform(Y)
        assert np.isfinite(imputer.covariance_).all()
        assert np.isfinite(imputer.score(Y))
    assert_allclose(scaled[:, 0] / scale, out[:, 0], rtol=1e-3, atol=1e-4)


def test_large_offset():
    X = holes(200, 3, 0.2)
    out = MissingDataImputerEM().fit_transform(X)
    assert_allclose(MissingDataImputerEM().fit_transform(X + 1e8) - 1e8, out, atol=1e-4)


def test_collinear_columns():
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    full = np.column_stack((x, 2 * x, rng.normal(size=200)))
    X = full.copy()
    X[:30, 1] = nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = MissingDataImputerEM().fit_transform(X)
    assert_allclose(out, full, atol=0.1)


def test_bounds():
    rng = np.random.default_rng(0)
    X = np.abs(rng.normal(size=(200, 2)))
    X[:60, 0] = nan
    pd = pytest.importorskip("pandas")
    scaling = pd.DataFrame(X, columns=["a", "b"])
    options = {"sample_posterior": True, "random_state": 0}
    free = MissingDataImputerEM(**options).fit_transform(X)
    assert free.min() < 0.0
    for bounds, table in [((0, None), X), ({"a": (0, None)}, scaling), ({0: (0.0, 9.0)}, X),
                          (([0, 0], [9, 9]), X)]:  # fmt: skip
        out = MissingDataImputerEM(bounds=bounds, **options).fit_transform(table)
        assert np.asarray(out).min() >= 0.0
    assert (out[:60, 0] == 0.0).mean() < 0.05
    for bad, message in [
        ({"c": (0, 1)}, "no column 'c'"), ({5: (0, 1)}, "no column 5"), ((1, 0), "must be below"),
        ((0, 1, 2), "pair"), (([0, 0, 0], 1), "one lower bound for each"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            MissingDataImputerEM(bounds=bad).fit(X)


def test_convergence_warning():
    with pytest.warns(ConvergenceWarning, match="Increase max_iter"):
        MissingDataImputerEM(max_iter=2).fit(holes(100, 5, 0.5))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([[1.0, np.inf], [2.0, 3.0]], r"infinity.*column 1, row 0"),
        (np.array([["a", 1.0], [2.0, 3.0]], dtype=object), "Text in column 0 of X"),
        (np.empty((0, 2)), "0 sample"),
        (np.ones(3), "2D array"),
    ],
)
def test_bad_tables(X, message):
    with pytest.raises(ValueError, match=message):
        MissingDataImputerEM(model="gaussian").fit(X)


def test_bad_tables_name_the_column():
    pd = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match="Text in column 'city' of X, row 0"):
        MissingDataImputerEM(categorical_features=None).fit(
            pd.DataFrame({"n": [1.0, 2.0], "city": ["Paris", "Rome"]})
        )
    with pytest.raises(ValueError, match="column 'n'"):
        MissingDataImputerEM().fit(pd.DataFrame({"n": [1.0, np.inf], "m": [1.0, 2.0]}))
    with pytest.raises(ValueError, match=r"contains NaN in column 0, row 1.*missing_values=-1"):
        MissingDataImputerEM(missing_values=-1).fit([[1.0], [nan]])


def test_bad_hyperparameters():
    X = holes(20, 2, 0.1)
    with pytest.raises(ValueError, match="n_factors=2 must be less than the number of columns"):
        MissingDataImputerEM(n_components=2, n_factors=2).fit(X)
    with pytest.raises(ValueError, match="missing_values"):
        MissingDataImputerEM(missing_values={}).fit(X)
    with pytest.raises(ValueError, match="'alpha'"):
        MissingDataImputerEM(alpha=-1.0).fit(X)
    with pytest.raises(ValueError, match="row 1 has weight"):
        MissingDataImputerEM().fit(X, sample_weight=[1.0, -1.0] * 10)


@pytest.mark.parametrize("n_components", [2, 3])
def test_mixtures_race_their_starts(n_components):
    """Skewed columns have several optima, and single starts miss the best by up to 200 nats."""
    rng = np.random.default_rng(0)
    X = np.exp(np.r_[rng.normal(0.0, 1.0, (60, 3)), rng.normal(4.0, 1.0, (60, 3))])
    X[rng.random(X.shape) < 0.15] = np.nan
    found = []
    for seed in range(4):
        imputer = MissingDataImputerEM(n_components, random_state=seed).fit(X)
        assert imputer.converged_
        assert any(run.status == "outrun" for run in imputer.restarts_)
        found.append(imputer.log_likelihood_)
    order = rng.permutation(120)
    moved = MissingDataImputerEM(n_components, random_state=0).fit(X[order])
    assert moved.log_likelihood_ == pytest.approx(found[0], rel=1e-6)
    # The best of 28 starts and their perturbations.
    assert min(found) > {2: -1502.6, 3: -1411.0}[n_components]


def test_more_components_than_distinct_rows():
    X = np.repeat(np.random.default_rng(0).normal(size=(3, 2)), 5, axis=0)
    with pytest.warns(ConvergenceWarning, match=r"2\.5, 2\.5 rows\): too few rows"):
        imputer = MissingDataImputerEM(4, random_state=0).fit(X)
    # Two components share the copies of one row.
    assert np.sort(imputer.weights_) == pytest.approx([1 / 6, 1 / 6, 1 / 3, 1 / 3])
    start = MissingDataImputerEM(2, warm_start=True, random_state=0).fit(X)
    start.weights_ = np.array([1.0, 0.0])
    with pytest.warns(ConvergenceWarning, match=r"\[1\] lost all rows.*n_components=2"):
        start.fit(X)
    # What to do does not include a prior that there is already.
    with pytest.raises(ValueError, match=r"n_components=4, but only 3 rows .* Use fewer"):
        MissingDataImputerEM(4).fit(np.r_[X[::5], [[np.nan, np.nan]]])
    with pytest.raises(ValueError, match="Use alpha='auto'"):
        MissingDataImputerEM(alpha=0).fit(X[::5, [0, 0]])


@pytest.mark.parametrize("n_components", [2, 5])
def test_the_prior_of_a_mixture_expects_clusters(n_components):
    """Pseudo-rows as wide as so many cells of equal volume, not as the whole columns."""
    X = np.random.default_rng(0).normal(size=(500, 3)) * [1.0, 10.0, 100.0]
    X[np.random.default_rng(1).random(X.shape) < 0.2] = np.nan
    X = X[~np.isnan(X).all(axis=1)]
    data = OneGaussian().prepare(X)
    shape = pseudo_rows_of_clusters(X, data, 1.0, n_components, "auto")
    spec = mixture_model(n_components, 1.0, shape).family.column_spec(X)
    variances = spec.prior.target * spec.scaling.scale**2
    assert_allclose(variances, np.nanvar(X, axis=0) * n_components ** (-2.0 / 3.0), rtol=1e-9)
    assert spec.prior.strength == 1.0
