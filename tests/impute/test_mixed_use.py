"""Mixed tables as users bring them: every dtype, degenerate tables, and what surrounds the fit."""

import numpy as np
import pytest
from scipy.stats import chi2_contingency, ttest_ind
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from emlearn.impute import (
    MissingDataImputerEM,
    compare_patterns,
    delta_adjustment,
    multiple_imputation,
)

pd = pytest.importorskip("pandas")

N = 60


@pytest.fixture
def frame():
    """Numbers, text and booleans that depend on each other, each column with holes."""
    rng = np.random.default_rng(0)
    z = rng.integers(0, 3, N)
    X = pd.DataFrame(
        {
            "x": rng.normal(z, 1.0),
            "y": rng.normal(2.0 * z, 1.0),
            "c": np.array(["a", "b", "c"], object)[z],
            "d": np.array(["u", "v"], object)[(rng.random(N) < 0.2 + 0.3 * z).astype(int)],
            "b": rng.random(N) < 0.5,
        }
    ).astype({"b": "boolean"})
    return X.mask(rng.random(X.shape) < 0.15)


@pytest.mark.parametrize("columns", [["c"], ["c", "d", "b"]])
@pytest.mark.parametrize("settings", [{}, {"sample_posterior": True}, {"accelerate": None}])
def test_categories_only(frame, columns, settings):
    X = frame[columns]
    imputer = MissingDataImputerEM(random_state=0, **settings)
    out = imputer.fit_transform(X)
    assert out.notna().all().all()
    assert (out.dtypes == X.dtypes).all()
    assert (out == X)[X.notna()].sum().sum() == X.notna().sum().sum()
    if len(columns) == 1:
        # The most probable level; probabilities are the shares but for the prior.
        shares = X["c"].value_counts(normalize=True)
        proba = imputer.category_proba(X)["c"][X["c"].isna()].iloc[0]
        np.testing.assert_allclose(proba, shares[proba.index], atol=0.01)


@pytest.mark.parametrize("arrow", ["timestamp[ns]", "zoned", "date32[day]", "duration[ms]"])
def test_times_of_arrow(frame, arrow):
    pa = pytest.importorskip("pyarrow")
    days = np.arange(N)
    if arrow == "duration[ms]":
        times, dtype = pd.Series(pd.to_timedelta(days, unit="D")), pa.duration("ms")
    else:
        zone = "Europe/Berlin" if arrow == "zoned" else None
        times = pd.Series(pd.Timestamp("2020-01-01", tz=zone) + pd.to_timedelta(days, unit="D"))
        dtype = {"timestamp[ns]": pa.timestamp("ns"), "date32[day]": pa.date32()}.get(
            arrow, pa.timestamp("us", "Europe/Berlin")
        )
    times = times.astype(pd.ArrowDtype(dtype))
    times[5:8] = None
    out = MissingDataImputerEM(random_state=0).fit_transform(frame.assign(t=times))["t"]
    assert out.dtype == times.dtype
    assert out.notna().all()
    assert (out == times)[times.notna()].all()


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_scales_out_of_range(frame, scale):
    with pytest.raises(ValueError, match="column 'x' spread by about"):
        MissingDataImputerEM().fit(frame.assign(x=frame["x"] * scale))


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"model": "classes", "n_factors": 1}, "n_factors=None"),
        ({"model": "average", "n_components": 2}, "model='classes' for one model"),
    ],
)
def test_settings_that_contradict(frame, settings, match):
    with pytest.raises(ValueError, match=match):
        MissingDataImputerEM(**settings).fit(frame)


def test_one_warning_of_an_average(frame):
    with pytest.warns(ConvergenceWarning) as record:
        imputer = MissingDataImputerEM(random_state=0, max_iter=2).fit(frame)
    assert len(record) == 1
    failed = int((~imputer.candidates_["converged"]).sum())
    assert failed > 1
    assert f"{failed} of the 8 models of the average" in str(record[0].message)
    assert record[0].filename == __file__


def test_inverse_transform_of_categories(frame):
    imputer = MissingDataImputerEM(add_indicator=True, random_state=0)
    out = imputer.fit_transform(frame)
    with pytest.raises(ValueError, match="tables of numbers only"):
        imputer.inverse_transform(out)


def test_advice_for_identifiers(frame):
    """Declaring a column helps only up to the largest number of levels."""
    X = frame.assign(id=[f"p{i}" for i in range(N)])
    with pytest.raises(ValueError, match="identifiers") as caught:
        MissingDataImputerEM().fit(X)
    assert "categorical_features" not in str(caught.value)
    X["id"] = [f"p{i // 3}" for i in range(N)]
    with pytest.raises(ValueError, match="list it in categorical_features"):
        MissingDataImputerEM().fit(X)


def test_data_augmentation_of_categories(frame):
    with pytest.raises(ValueError, match="Use method='bootstrap'"):
        multiple_imputation(MissingDataImputerEM(), frame, method="da", random_state=0)


def test_missingness_and_categories(frame):
    """Categories by Pearson's chi-squared test, few integers by their values, not their codes."""
    frame["n"] = pd.array(2 ** (np.arange(N) % 4), "Int64")
    found = compare_patterns(frame).to_frame().set_index(["missing", "compared"])
    lacks = frame["x"].isna()
    shares = found.loc[("x", "c")]
    expected = chi2_contingency(pd.crosstab(lacks, frame["c"]), correction=False)
    assert (shares["test"], shares["df"]) == ("chi2", expected.dof)
    np.testing.assert_allclose(shares["statistic"], expected.statistic)
    np.testing.assert_allclose(shares["pvalue"], expected.pvalue)
    assert np.isnan(shares["mean_missing"])
    for column in ("n", "b"):
        values = frame[column].astype("Float64")
        expected = ttest_ind(values[lacks].dropna(), values[~lacks].dropna(), equal_var=False)
        means = found.loc[("x", column)]
        np.testing.assert_allclose(means["mean_missing"], values[lacks].mean())
        np.testing.assert_allclose(means["pvalue"], expected.pvalue)


def test_shifts_of_integers_and_categories(frame):
    frame["n"] = pd.array(2 ** (np.arange(N) % 4), "Int64")
    frame.loc[:5, "n"] = pd.NA
    out = MissingDataImputerEM(random_state=0).fit_transform(frame)
    (shifted,) = delta_adjustment([out], frame, {"n": 1.0}, unit="sd")
    np.testing.assert_allclose((shifted["n"] - out["n"])[:6], frame["n"].std())
    for column in ("c", "b"):
        with pytest.raises(ValueError, match=f"'{column}' holds categories"):
            delta_adjustment([out], frame, {column: 1.0})


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("logs", [False, True])
def test_derived_columns_leave_other_dtypes(frame, library, logs):
    """Each column of an imputation keeps its dtype beside a derived column and behind a step."""
    frame["n"] = pd.array(np.arange(N) % 20, "Int64")
    frame["o"] = pd.Categorical(frame["c"], ["c", "a", "b"], ordered=True)
    frame.loc[:5, ["n", "o"]] = pd.NA
    X = frame.assign(double=2.0 * frame["x"])
    if library == "polars":
        pl = pytest.importorskip("polars")
        lists = {name: [None if v is pd.NA or v != v else v for v in X[name]] for name in X}
        X = pl.DataFrame(lists, schema_overrides={"o": pl.Enum(["c", "a", "b"])})
    imputer = MissingDataImputerEM(random_state=0)
    same = FunctionTransformer(lambda X: X, lambda X: X, check_inverse=False)
    (out,) = multiple_imputation(
        make_pipeline(same, imputer) if logs else imputer,
        X,
        n_imputations=1,
        derived={"double": lambda X: 2.0 * X["x"]},
    )
    assert list(out.dtypes) == list(X.dtypes)
    np.testing.assert_allclose(out["double"], 2.0 * out["x"])


def test_columns_named_by_integers(frame):
    X = frame[["x", "y", "c"]].set_axis([10, 0, 20], axis=1)
    X[30] = 2.0 * X[10]
    (out,) = multiple_imputation(
        MissingDataImputerEM(random_state=0),
        X,
        n_imputations=1,
        derived={30: lambda X: 2.0 * X[10]},
    )
    np.testing.assert_allclose(out[30], 2.0 * out[10])
    (lower,) = delta_adjustment([out], X, {0: -1.0})
    np.testing.assert_allclose(lower[0] - out[0], np.where(X[0].isna(), -1.0, 0.0))
    assert lower[10].equals(out[10])
