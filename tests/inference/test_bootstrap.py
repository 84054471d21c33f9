"""Bootstrap against closed forms, scipy and mclust."""

import numpy as np
import pytest
from scipy import stats
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from emlearn import GaussianMixtureEM
from emlearn.datasets import load_old_faithful
from emlearn.engine import EMEstimator, LatentVariableModel
from emlearn.inference import bootstrap

FAITHFUL = load_old_faithful().data
# Standard errors of MclustBootstrap of mclust 6.0.0 in R 4.2.2: faithful, "VVV", 2 components,
# 999 nonparametric resamples. The first component has the long eruptions.
MCLUST = {
    "weights": [0.0286164962999014, 0.0286164962999014],
    "means": [
        [0.0323348069875104, 0.461843597765647],
        [0.0293402803180542, 0.607346175896912],
    ],
    "covariances": [
        [[0.0200716212255147, 0.26820898109359], [0.26820898109359, 4.35146539246741]],
        [[0.0144200908952318, 0.168309305104145], [0.168309305104145, 4.3455173784368]],
    ],
}


class Average(LatentVariableModel):
    """The mean of each column; nothing is latent."""

    def prepare(self, X, sample_weight=None):
        return X

    def total_weight(self, data):
        return float(len(data))

    def initialize(self, data, rng):
        return data[0]

    def e_step(self, block, mean):
        return block.mean(axis=0), -float(np.square(block - mean).sum())

    def m_step(self, statistics, mean):
        return statistics


class AverageEM(EMEstimator):
    """An estimator without weights, labels, warm start or seed."""

    def __init__(self, largest=np.inf, tol=1e-9, max_iter=10):
        self.largest = largest
        self.tol = tol
        self.max_iter = max_iter

    def fit(self, X, y=None):
        rows, _ = self._read(X)
        fit = self._run_em(Average(), rows)
        if fit.params.max() > self.largest:
            raise ValueError("the mean is too large")
        self.mean_ = fit.params
        return self._report(fit)


def gaussian(X, **hyperparameters):
    return GaussianMixtureEM(reg_covar=0.0, random_state=0, **hyperparameters).fit(X)


@pytest.fixture(scope="module")
def mixture():
    return gaussian(FAITHFUL, n_components=2)


def test_standard_error_of_a_mean():
    X = np.random.default_rng(0).exponential(size=(80, 1))
    n_resamples = 400
    result = bootstrap(gaussian(X), X, n_resamples=n_resamples, random_state=0)
    exact = X.std() / np.sqrt(len(X))
    found = result.standard_errors["means"][0, 0]
    assert found == pytest.approx(exact, rel=4.0 / np.sqrt(2 * n_resamples))
    assert abs(result.bias["means"][0, 0]) < 4.0 * exact / np.sqrt(n_resamples)


def test_standard_error_of_a_mean_from_the_model():
    X = np.random.default_rng(0).exponential(size=(80, 1))
    result = bootstrap(gaussian(X), X, kind="parametric", n_resamples=400, random_state=0)
    variance = X.var()
    found = result.standard_errors
    assert found["means"][0, 0] == pytest.approx(np.sqrt(variance / 80), rel=0.14)
    # The variance of n - 1 degrees of freedom, although the data are not normal.
    expected = variance * np.sqrt(2 * 79) / 80
    assert found["covariances"][0, 0, 0] == pytest.approx(expected, rel=0.14)


def test_standard_error_of_a_mean_from_dirichlet_weights():
    X = np.random.default_rng(0).exponential(size=(80, 1))
    result = bootstrap(gaussian(X), X, kind="bayesian", n_resamples=400, random_state=0)
    exact = X.std() / np.sqrt(len(X) + 1)
    assert result.standard_errors["means"][0, 0] == pytest.approx(exact, rel=0.14)


def test_standard_errors_of_mclust(mixture):
    result = bootstrap(mixture, FAITHFUL, n_resamples=999, random_state=1)
    order = (-mixture.weights_).argsort()
    for name, expected in MCLUST.items():
        np.testing.assert_allclose(result.standard_errors[name][order], expected, rtol=0.05)


@pytest.mark.parametrize("method", ["percentile", "basic", "bca"])
def test_intervals_are_those_of_scipy(method):
    X = np.random.default_rng(3).exponential(size=40)
    result = bootstrap(AverageEM().fit(X[:, None]), X[:, None], n_resamples=400, random_state=0)
    replicates = result.replicates["mean"][:, 0]
    given = stats.bootstrap(
        (X,),
        np.mean,
        n_resamples=0,
        bootstrap_result=type("Given", (), {"bootstrap_distribution": replicates})(),
        confidence_level=0.9,
        method=method,
    )
    low, high = given.confidence_interval
    found = result.confidence_interval(0.9, method)["mean"][0]
    np.testing.assert_allclose(found, [low, high], rtol=1e-10)


def test_normal_interval():
    X = np.random.default_rng(3).exponential(size=(40, 1))
    result = bootstrap(AverageEM().fit(X), X, n_resamples=200, random_state=0)
    low, high = result.confidence_interval(method="normal")["mean"][0]
    middle = result.estimates["mean"][0] - result.bias["mean"][0]
    half = 1.959963984540054 * result.standard_errors["mean"][0]
    np.testing.assert_allclose([low, high], [middle - half, middle + half])


def test_acceleration_of_many_rows_is_that_of_parts():
    X = np.random.default_rng(0).exponential(size=(3000, 1))
    result = bootstrap(AverageEM().fit(X), X, n_resamples=20, random_state=0)
    assert result._refits.units.left_out(np.random.default_rng(0))[0].sum() == 2985
    # The acceleration of a mean is its skewness / 6 / sqrt(n).
    exact = stats.skew(X[:, 0]) / 6 / np.sqrt(len(X))
    assert result.acceleration["mean"][0] == pytest.approx(exact, abs=0.03)


def test_bca_of_copies_is_that_of_weights():
    X = np.random.default_rng(0).exponential(size=(12, 1))
    weight = np.arange(12) % 3 + 1.0
    copies = X.repeat(weight.astype(int), axis=0)
    weighted = gaussian(X).fit(X, sample_weight=weight)
    one = bootstrap(weighted, X, sample_weight=weight, n_resamples=20, random_state=0)
    other = bootstrap(gaussian(copies), copies, n_resamples=20, random_state=0)
    for name in ("means", "covariances"):
        np.testing.assert_allclose(one.acceleration[name], other.acceleration[name], rtol=1e-6)


@pytest.mark.parametrize("kind", ["nonparametric", "bayesian", "parametric"])
def test_weights_are_copies(kind):
    X = np.random.default_rng(0).exponential(size=(20, 1))
    weight = np.full(20, 4.0)
    fit = gaussian(X).fit(X, sample_weight=weight)
    settings = {"kind": kind, "n_resamples": 200, "random_state": 0}
    one = bootstrap(fit, X, sample_weight=weight, **settings)
    copies = X.repeat(4, axis=0)
    other = bootstrap(gaussian(copies), copies, **settings)
    for name in ("means", "covariances"):
        found, expected = one.standard_errors[name], other.standard_errors[name]
        np.testing.assert_allclose(found, expected, rtol=0.2)


@pytest.mark.parametrize("kind", ["nonparametric", "parametric"])
def test_same_bits_for_any_number_of_jobs(mixture, kind):
    settings = {"kind": kind, "n_resamples": 12, "random_state": 0}
    one = bootstrap(mixture, FAITHFUL, **settings)
    two = bootstrap(mixture, FAITHFUL, n_jobs=2, **settings)
    for name, values in one.replicates.items():
        np.testing.assert_array_equal(two.replicates[name], values)


def test_first_resamples_do_not_depend_on_their_number(mixture):
    few = bootstrap(mixture, FAITHFUL, n_resamples=3, random_state=0)
    more = bootstrap(mixture, FAITHFUL, n_resamples=6, random_state=0)
    np.testing.assert_array_equal(more.replicates["means"][:3], few.replicates["means"])


def test_estimator_does_not_change(mixture):
    before = mixture.means_.copy(), mixture.get_params(), set(vars(mixture))
    bootstrap(mixture, FAITHFUL, n_resamples=2, random_state=0)
    np.testing.assert_array_equal(mixture.means_, before[0])
    assert (mixture.get_params(), set(vars(mixture))) == before[1:]


def test_statistics(mixture):
    def gap(fitted):
        return {"gap": fitted.means_[1] - fitted.means_[0], "largest": fitted.weights_.max()}

    result = bootstrap(mixture, FAITHFUL, n_resamples=30, random_state=0, statistic=gap)
    plain = bootstrap(mixture, FAITHFUL, n_resamples=30, random_state=0)
    means = plain.replicates["means"]
    np.testing.assert_array_equal(result.replicates["gap"], means[:, 1] - means[:, 0])
    assert result.replicates["largest"].shape == (30,)
    assert result.names == ("gap[0]", "gap[1]", "largest")
    number = bootstrap(
        mixture, FAITHFUL, n_resamples=3, random_state=0, statistic=lambda m: m.weights_.max()
    )
    assert number.names == ("statistic",)
    assert number.confidence_interval(method="bca")["statistic"].shape == (2,)


def test_failed_resamples_are_counted():
    X = np.random.default_rng(0).normal(size=(40, 1))
    limit = X.mean() + 0.5 * X.std() / np.sqrt(40)
    fitted = AverageEM(largest=limit).fit(X)
    with pytest.warns(ConvergenceWarning, match="resamples failed because: the mean is too large"):
        result = bootstrap(fitted, X, n_resamples=100, random_state=0)
    assert 15 < result.n_failed < 50
    assert len(result.replicates["mean"]) == 100 - result.n_failed
    assert result.failures == {"the mean is too large": result.n_failed}
    assert result.replicates["mean"].max() <= limit
    assert f"{result.n_failed} failed" in str(result)


def test_all_resamples_fail():
    X = np.arange(4.0)[:, None]
    fitted = AverageEM().fit(X)
    fitted.largest = -1.0
    with pytest.raises(ValueError, match="The refits to 5 of 5 resamples failed"):
        bootstrap(fitted, X, n_resamples=5, random_state=0)


def test_statistics_that_are_not_finite_are_failures(mixture):
    def logarithm(fitted):
        with np.errstate(invalid="ignore"):
            return np.log(mixture.weights_[0] + 0.001 - fitted.weights_[0])

    with pytest.warns(ConvergenceWarning, match="not finite"):
        result = bootstrap(mixture, FAITHFUL, n_resamples=30, random_state=0, statistic=logarithm)
    assert 0 < result.n_failed < 30


def test_refits_that_do_not_converge_are_counted(mixture):
    short = gaussian(FAITHFUL, n_components=2).set_params(max_iter=1, tol=0.0)
    with pytest.warns(ConvergenceWarning, match="4 of 4 resamples did not converge"):
        result = bootstrap(short, FAITHFUL, n_resamples=4, random_state=0)
    assert (result.n_unconverged, result.n_failed) == (4, 0)


def test_rows_must_be_a_table():
    with pytest.raises(ValueError, match="X must be the rows of the fit, got NoneType"):
        bootstrap(GaussianMixtureEM().fit(load_old_faithful().data), None)


def test_groups_are_resampled_as_a_whole():
    rng = np.random.default_rng(0)
    effect = rng.normal(size=30)
    X = np.repeat(effect, 4)[:, None] + 1e-3 * rng.normal(size=(120, 1))
    groups = np.repeat(np.arange(30), 4)
    settings = {"n_resamples": 250, "random_state": 0}
    own = bootstrap(gaussian(X), X, groups=groups, **settings).standard_errors["means"][0, 0]
    assert own == pytest.approx(effect.std() / np.sqrt(30), rel=0.15)
    rows = bootstrap(gaussian(X), X, **settings).standard_errors["means"][0, 0]
    assert rows == pytest.approx(0.5 * own, rel=0.2)


def test_weights_within_groups_are_copies():
    X = np.random.default_rng(0).normal(size=(20, 1))
    groups, weight = np.repeat(np.arange(5), 4), 1.0 + np.arange(20) % 3
    n_copies = weight.astype(int)
    settings = {"n_resamples": 4, "random_state": 0}
    fit = gaussian(X).fit(X, sample_weight=weight)
    one = bootstrap(fit, X, groups=groups, sample_weight=weight, **settings)
    copies = X.repeat(n_copies, axis=0)
    other = bootstrap(gaussian(copies), copies, groups=groups.repeat(n_copies), **settings)
    np.testing.assert_allclose(one.replicates["means"], other.replicates["means"])


def test_estimator_without_weights_gets_the_rows():
    X = np.random.default_rng(0).exponential(size=(50, 2))
    result = bootstrap(AverageEM().fit(X), X, n_resamples=500, random_state=0)
    exact = X.std(axis=0) / np.sqrt(50)
    np.testing.assert_allclose(result.standard_errors["mean"], exact, rtol=0.13)
    with pytest.raises(ValueError, match="takes no sample_weight"):
        bootstrap(AverageEM().fit(X), X, kind="bayesian")
    with pytest.raises(ValueError, match="method sample"):
        bootstrap(AverageEM().fit(X), X, kind="parametric")


def test_covariance_and_frame(mixture):
    pandas = pytest.importorskip("pandas")
    result = bootstrap(mixture, FAITHFUL, n_resamples=50, random_state=0)
    flat = np.column_stack(
        [result.replicates["weights"], result.replicates["means"].reshape(50, 4)]
    )
    np.testing.assert_allclose(result.covariance[:6, :6], np.cov(flat, rowvar=False))
    frame = result.to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.index) == list(result.names)
    # Of a symmetric matrix one triangle is shown.
    assert "covariances[0, 0, 1]" in frame.index
    assert "covariances[0, 1, 0]" not in frame.index
    errors = np.sqrt(np.diagonal(result.covariance))
    np.testing.assert_allclose(frame["standard_error"], errors)
    row = frame.loc["means[1, 0]"]
    expected = result.confidence_interval()["means"][1, 0]
    np.testing.assert_array_equal([row["low"], row["high"]], expected)
    assert repr(result.summary()).startswith("           ")
    assert str(result).endswith("95 % intervals (percentile)")


def test_bad_arguments(mixture):
    for settings, message in [
        ({"kind": "jackknife"}, "kind must be one of"),
        ({"n_resamples": 1}, "n_resamples must be an integer >= 2"),
        ({"statistic": 3}, "statistic must be a function"),
        ({"statistic": lambda m: "text"}, "statistic must return"),
        ({"statistic": lambda m: {}}, "without entries"),
        ({"statistic": lambda m: np.nan}, "of the fit is not finite"),
        ({"lengths": [272]}, "models of sequences"),
        ({"groups": [0, 1]}, "one label for each row"),
        ({"groups": np.zeros(272)}, "there is only one"),
        ({"groups": np.r_[np.nan, np.zeros(271)]}, "some are missing"),
        ({"groups": ["a", None] * 136}, "some are missing"),
        ({"groups": np.array(["a", 1] * 136, object)}, "all numbers or all strings"),
        ({"sample_weight": np.full(272, 0.1)}, "numbers of copies"),
        ({"groups": np.arange(272), "kind": "parametric"}, "groups are not part of the model"),
        ({"sample_weight": np.full(272, 1.5), "kind": "parametric"}, "must hold integers"),
    ]:
        with pytest.raises(ValueError, match=message):
            bootstrap(mixture, FAITHFUL, **settings)
    with pytest.raises(NotFittedError):
        bootstrap(GaussianMixtureEM(2), FAITHFUL)
    result = bootstrap(mixture, FAITHFUL, n_resamples=2, random_state=0)
    for settings, message in [({"level": 95}, "level must be"), ({"method": "t"}, "method must")]:
        with pytest.raises(ValueError, match=message):
            result.confidence_interval(**settings)


def test_progress(mixture, capsys):
    bootstrap(mixture, FAITHFUL, n_resamples=20, random_state=0, verbose=1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert lines[-1] == "bootstrap: 20 of 20 resamples, 0 failed"


def test_interrupt_ends_it(mixture):
    calls = []

    def interrupted(fitted):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return fitted.weights_

    with pytest.raises(KeyboardInterrupt):
        bootstrap(mixture, FAITHFUL, statistic=interrupted, random_state=0)
    assert len(calls) == 3


def test_bca_of_replicates_on_one_side_is_finite():
    X = np.random.default_rng(0).normal(size=(20, 1))
    result = bootstrap(
        gaussian(X),
        X,
        n_resamples=50,
        random_state=0,
        statistic=lambda m: abs(m.means_[0, 0] - X.mean()),
    )
    ends = result.confidence_interval(method="bca")["statistic"]
    assert np.isfinite(ends).all()
