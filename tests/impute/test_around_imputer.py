"""Multiple imputation in a pipeline, with weights, derived columns and other outputs."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from emlearn.impute import MissingDataImputerEM, multiple_imputation
from emlearn.impute.multiple import bootstrap
from emlearn.impute.multiple.bootstrap import _resample

nan = np.nan


def positive(n=80, rate=0.3):
    rng = np.random.default_rng(0)
    X = np.exp(rng.multivariate_normal([1, 2, 3], [[1, 0.5, 0], [0.5, 1, 0.3], [0, 0.3, 1]], n))
    X[rng.random(X.shape) < rate] = nan
    return X


def run(imputer, X, **options):
    options = {"n_imputations": 3, "random_state": 0, "output": "list", **options}
    return multiple_imputation(imputer, X, **options)


def logs():
    return FunctionTransformer(np.log, inverse_func=np.exp)


# ---- pipelines ------------------------------------------------------------------------


def test_steps_before_the_imputer_are_undone_and_what_was_observed_keeps_its_bits():
    X = positive()
    inner = run(MissingDataImputerEM(), np.log(X))
    pipeline = make_pipeline(logs(), MissingDataImputerEM())
    for table, own in zip(run(pipeline, X), inner, strict=True):
        assert_array_equal(table[~np.isnan(X)], X[~np.isnan(X)])
        assert_allclose(table, np.exp(own))
    for table, own in zip(run(pipeline, X, inverse=False), inner, strict=True):
        assert_array_equal(table, own)
    wrong = make_pipeline(
        FunctionTransformer(np.log, inverse_func=np.expm1), MissingDataImputerEM()
    )
    with pytest.raises(ValueError, match="does not bring back"):
        run(wrong, X)


def test_steps_before_are_fitted_once_and_those_after_to_each_imputation():
    X = positive()
    pipeline = make_pipeline(logs(), StandardScaler(), MissingDataImputerEM(), PCA(2))
    scaled = StandardScaler().fit_transform(np.log(X))
    inner = run(MissingDataImputerEM(), scaled)
    for table, own in zip(run(pipeline, X), inner, strict=True):
        assert_allclose(table, PCA(2).fit_transform(own))
    back = run(make_pipeline(logs(), StandardScaler(), MissingDataImputerEM()), X)
    missing = np.isnan(X)
    expected = np.exp(inner[0] * np.nanstd(np.log(X), axis=0) + np.nanmean(np.log(X), axis=0))
    assert_allclose(back[0][missing], expected[missing])
    assert not hasattr(pipeline[1], "mean_")


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_pipelines_of_frames(library):
    frames = pytest.importorskip(library)
    X = positive()
    frame = frames.DataFrame(X, schema=list("abc")) if library == "polars" else None
    frame = frames.DataFrame(X, columns=list("abc")) if frame is None else frame
    log = FunctionTransformer(
        lambda table: np.log(np.asarray(table, float)),
        inverse_func=lambda table: np.exp(np.asarray(table, float)),
        check_inverse=False,
    )
    plain = run(make_pipeline(logs(), MissingDataImputerEM()), X)
    for table, own in zip(
        run(make_pipeline(log, MissingDataImputerEM()), frame), plain, strict=True
    ):
        assert_allclose(np.asarray(table), own)
    if library == "pandas":
        pipeline = make_pipeline(logs(), MissingDataImputerEM()).set_output(transform="pandas")
        table = run(pipeline, frame.set_index(np.arange(80) + 7))[0]
        assert list(table.columns) == list("abc")
        assert list(table.index[:2]) == [7, 8]
        assert_allclose(table.to_numpy(), plain[0])


@pytest.mark.parametrize(
    ("make", "options", "error", "message"),
    [
        (lambda m: make_pipeline(StandardScaler()), {}, TypeError, "one MissingDataImputerEM"),
        (lambda m: make_pipeline(m, m), {}, TypeError, "one MissingDataImputerEM as a step, got 2"),
        (lambda m: make_pipeline(m, LinearRegression()), {}, TypeError, "fit_each"),
        (lambda m: make_pipeline(m, PCA(2)), {"inverse": True}, ValueError, "last step"),
        (
            lambda m: make_pipeline(FunctionTransformer(np.log), m),
            {"inverse": True},
            ValueError,
            "inverse_func",
        ),
        (lambda m: m.set_params(add_indicator=True), {"derived": {0: sum}}, ValueError, "add_ind"),
        (lambda m: m, {"output": "frame"}, ValueError, "output"),
        (lambda m: m, {"method": "mcmc"}, ValueError, "method"),
        (lambda m: m, {"n_burn": 5}, ValueError, "n_burn"),
        (lambda m: m, {"derived": {7: sum}}, ValueError, "7 is no column"),
        (lambda m: m, {"derived": {1: 3.0}}, ValueError, "must be a function"),
        (lambda m: m, {"derived": {1: lambda t: 1.0}}, ValueError, "one number for each"),
    ],
)
def test_refuses(make, options, error, message):
    with pytest.raises(error, match=message):
        run(make(MissingDataImputerEM()), positive(), **options)


# ---- weights --------------------------------------------------------------------------


def test_a_weight_is_a_number_of_copies():
    copies = np.array([0.0, 1.0, 2.0, 5.0])
    rng = np.random.default_rng(0)
    drawn = np.array([_resample(np.zeros((4, 1), bool), copies, rng) for _ in range(4000)])
    assert (drawn.sum(axis=1) == 8).all()
    assert_allclose(drawn.mean(axis=0), copies, atol=0.08)
    # As for a table of 8 rows: multinomial variances, not squares of weights.
    assert_allclose(drawn.var(axis=0), copies * (1 - copies / 8), rtol=0.1)


def test_rows_of_weight_0_do_not_count():
    X = positive()
    wild = np.vstack((X, np.full((5, 3), 1e6)))
    weight = np.r_[np.ones(80), np.zeros(5)]
    for method in ("bootstrap", "da"):
        tables = run(MissingDataImputerEM(), wild, sample_weight=weight, method=method)
        assert all(table[:80].max() < 1e5 for table in tables)


def test_weights_that_sum_to_1_are_no_copies():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match="numbers of copies"):
            run(MissingDataImputerEM(), positive(), sample_weight=np.full(80, 1 / 80))


# ---- derived columns ------------------------------------------------------------------


def bmi(table):
    return table["weight"] / table["height"] ** 2


def people(n=200):
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    height = rng.normal(1.7, 0.1, n)
    frame = pd.DataFrame({"height": height, "weight": 22 * height**2 + rng.normal(0, 8, n)})
    frame["bmi"] = bmi(frame)
    frame["age"] = rng.normal(50, 10, n) + frame["bmi"]
    gone = rng.random((n, 2)) < 0.2
    frame.loc[gone[:, 0], ["weight", "bmi"]] = nan
    frame.loc[gone[:, 1], ["height", "bmi"]] = nan
    return frame


def test_derived_columns_are_consistent_and_not_part_of_the_model():
    frame = people()
    expected = run(MissingDataImputerEM(), frame.drop(columns="bmi"))
    for transform in ("default", "pandas"):
        imputer = MissingDataImputerEM().set_output(transform=transform)
        for table, inner in zip(run(imputer, frame, derived={"bmi": bmi}), expected, strict=True):
            assert hasattr(table, "columns") == (transform == "pandas")
            table = np.asarray(table)
            assert_array_equal(table[:, [0, 1, 3]], inner)
            assert_allclose(table[:, 2], table[:, 1] / table[:, 0] ** 2, rtol=1e-12)
    assert frame["bmi"].isna().any()


def test_derived_columns_of_arrays_and_of_a_pipeline():
    X = positive()
    X = np.column_stack((X, X[:, 0] / X[:, 1]))
    ratio = {3: lambda table: table[:, 0] / table[:, 1]}
    inner = run(make_pipeline(logs(), MissingDataImputerEM()), X[:, :3])
    for table, own in zip(
        run(make_pipeline(logs(), MissingDataImputerEM()), X, derived=ratio), inner, strict=True
    ):
        assert_array_equal(table[:, :3], own)
        assert_allclose(table[:, 3], own[:, 0] / own[:, 1])
    with pytest.raises(ValueError, match="inverse_transform"):
        run(make_pipeline(FunctionTransformer(np.log), MissingDataImputerEM()), X, derived=ratio)


def test_a_derived_column_that_says_more_stays_in_the_model():
    frame = people()
    own = np.arange(200) % 2 == 0
    full = bmi(people().fillna({"height": 1.7, "weight": 70.0}))
    frame.loc[own, "bmi"] = full[own]
    inner = run(MissingDataImputerEM(), frame)
    table = run(MissingDataImputerEM(), frame, derived={"bmi": bmi})[0]
    assert_array_equal(table[:, [0, 1, 3]], inner[0][:, [0, 1, 3]])
    assert_array_equal(table[own, 2], frame["bmi"][own])
    holes = frame["bmi"].isna()
    assert_allclose(table[holes, 2], (table[:, 1] / table[:, 0] ** 2)[holes])


def test_derived_columns_can_follow_from_each_other():
    frame = people()
    frame["prime"] = frame["bmi"] / 25
    functions = {"bmi": bmi, "prime": lambda table: table["bmi"] / 25}
    table = run(MissingDataImputerEM(), frame, derived=functions)[0]
    assert_allclose(table[:, 4], table[:, 1] / table[:, 0] ** 2 / 25)


def test_a_function_in_other_units_is_doubted():
    with pytest.warns(UserWarning, match="Check the function") as caught:
        run(MissingDataImputerEM(), people(), derived={"bmi": lambda t: 1e4 * bmi(t)})
    assert caught[0].filename == __file__
    with pytest.raises(ValueError, match="imputed row"):
        run(
            MissingDataImputerEM(),
            people(),
            derived={"bmi": lambda t: bmi(t) + 0 * np.log(-t["age"])},
        )


# ---- output ---------------------------------------------------------------------------


def test_long_output_is_that_of_mice():
    pytest.importorskip("pandas")
    frame = people()
    frame.index = frame.index + 100
    tables = run(MissingDataImputerEM(), frame)
    long = run(MissingDataImputerEM(), frame, output="long")
    assert list(long.columns) == [".imp", ".id", "height", "weight", "bmi", "age"]
    assert len(long) == 600
    for number, table in enumerate(tables, 1):
        own = long[long[".imp"] == number]
        assert_array_equal(own[".id"], frame.index)
        assert_array_equal(own.iloc[:, 2:], table)
    after = run(make_pipeline(MissingDataImputerEM(), PCA(2)), positive(), output="long")
    assert list(after.columns) == [".imp", ".id", "x0", "x1"]
    pandas = MissingDataImputerEM().set_output(transform="pandas")
    assert_array_equal(run(pandas, frame, output="long"), long)


# ---- resamples that fail --------------------------------------------------------------


def failing(monkeypatch, times):
    """Let the first fits to resamples fail."""
    fit, left = MissingDataImputerEM._fit_table, [times]

    def fails(self, table, weight, pseudo_rows=None):
        if self.warm_start and left[0]:
            left[0] -= 1
            raise ValueError("no maximum")
        return fit(self, table, weight, pseudo_rows)

    monkeypatch.setattr(MissingDataImputerEM, "_fit_table", fails)


def test_failed_resamples_are_redrawn_and_counted(monkeypatch):
    expected = run(MissingDataImputerEM(), positive())
    failing(monkeypatch, 3)
    with pytest.warns(ConvergenceWarning) as caught:
        tables = run(MissingDataImputerEM(), positive())
    assert len(caught) == 1
    assert "In 1 of 3 imputations, 3 times: the fit to a resample failed" in str(caught[0].message)
    assert "no maximum" in str(caught[0].message)
    assert (tables[0] != expected[0]).any()
    assert_array_equal(tables[1], expected[1])


def test_the_number_of_redraws_is_limited(monkeypatch):
    failing(monkeypatch, 1000)
    times = bootstrap._REDRAWS + 1
    with pytest.raises(ValueError, match=f"{times} resamples of the rows in a row failed: no max"):
        run(MissingDataImputerEM(), positive())
