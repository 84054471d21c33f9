"""Mixed tables as users bring them: every dtype, degenerate tables, and what surrounds the fit."""

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from emlearn.impute import MissingDataImputerEM

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
