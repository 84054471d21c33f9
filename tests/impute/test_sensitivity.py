"""Delta adjustment, and the shifts at which conclusions change."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from emlearn.impute import (
    MissingDataImputerEM,
    delta_adjustment,
    multiple_imputation,
    pool_estimates,
    tipping_points,
)

nan = np.nan


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.multivariate_normal([0.5, 0.5], [[1, 0.8], [0.8, 1]], size=100)
    X[:30, 1] = nan
    return X, list(multiple_imputation(MissingDataImputerEM(), X, n_imputations=8, random_state=0))


def mean(table):
    values = np.asarray(table)[:, 1]
    return values.mean(), values.var(ddof=1) / len(values)


def test_only_missing_entries_move(data):
    X, tables = data
    before = [table.copy() for table in tables]
    treated = np.arange(100) % 2
    spread = np.nanstd(X[:, 1], ddof=1)
    for delta, unit, shift in (
        (-1.5, "data", -1.5),
        (0.3, "sd", 0.3 * spread),
        (2.0 * treated, "data", (2.0 * treated)[:30]),
        (lambda values: values + 1.0, "sd", 1.0),
    ):
        for old, new in zip(
            tables, delta_adjustment(tables, X, {1: delta}, unit=unit), strict=True
        ):
            assert_allclose(new[:30, 1], old[:30, 1] + shift)
            assert_array_equal(new[30:], old[30:])
            assert_array_equal(new[:, 0], old[:, 0])
    assert_array_equal(tables, before)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_by_name(data, library):
    module = pytest.importorskip(library)
    X, _ = data
    frame = module.DataFrame(dict(zip("ab", X.T, strict=True)))
    imputer = MissingDataImputerEM().set_output(transform=library)
    tables = list(multiple_imputation(imputer, frame, n_imputations=2, random_state=0))
    shifted = list(delta_adjustment(tables, frame, {"b": 2.0}))
    assert type(shifted[0]) is type(tables[0])
    for old, new in zip(tables, shifted, strict=True):
        assert_allclose(new["b"][:30], old["b"][:30].to_numpy() + 2.0)
        assert_array_equal(new["b"][30:], old["b"][30:])
        assert list(new.columns) == ["a", "b"]


def test_tipping_point_of_a_mean(data):
    """Shifting 30 of 100 entries by delta moves the mean by .3 delta."""
    X, tables = data
    result = tipping_points(iter(tables), X, mean, np.linspace(-3, 3, 25), "x1", df_complete=99)
    assert_array_equal(result.deltas, np.linspace(-3, 3, 25))
    none = pool_estimates(*zip(*map(mean, tables), strict=True), df_complete=99)
    values = np.array([p.estimate[0] for p in result.pooled])
    assert_allclose(values, none.estimate[0] + 0.3 * result.deltas, rtol=1e-12)
    (below, above), = result.tipping  # fmt: skip
    assert above is None
    i = int(np.flatnonzero(result.deltas == below)[0])
    assert (result.conclusions[i, 0], result.conclusions[i + 1, 0]) == (0, 1)
    assert result.pooled[i].interval[0, 0] <= 0.0 < result.pooled[i + 1].interval[0, 0]
    moved = [mean(t) for t in delta_adjustment(tables, X, {1: below})]
    again = pool_estimates(*zip(*moved, strict=True), df_complete=99)
    assert_allclose(result.pooled[i].interval, again.interval)


def test_groups_units_and_several_estimates(data):
    X, tables = data

    def both(table):
        halves = table[::2, 1], table[1::2, 1]
        return [h.mean() for h in halves], [h.var(ddof=1) / 50 for h in halves]

    odd = np.arange(100) % 2
    result = tipping_points(tables, X, both, [-9.0, -8.0], {1: odd}, unit="sd")
    assert_array_equal(result.deltas, [-9.0, -8.0, 0.0])
    assert result.tipping == ((None, None), (-8.0, None))
    assert len(str(result).splitlines()) == 7
    pytest.importorskip("pandas")
    assert result.to_frame().shape == (6, 6)


def test_dropped_columns_keep_their_numbers():
    X = np.array([[nan, 1.0, 2.0], [nan, 2.0, nan], [nan, 3.0, 7.0], [nan, 4.0, 8.5]])
    with pytest.warns(UserWarning, match="Skipping features"):
        table = MissingDataImputerEM().fit_transform(X)
    (shifted,) = delta_adjustment([table], X, {2: 1.0})
    assert_allclose(shifted - table, [[0, 0], [0, 1], [0, 0], [0, 0]])
    with pytest.raises(ValueError, match="Leave columns without any observed value out"):
        list(delta_adjustment([table], X, {0: 1.0}))


def test_refused(data):
    X, tables = data
    with pytest.raises(ValueError, match="There is no column 'z'"):
        delta_adjustment(tables, X, {"z": 1.0})
    with pytest.raises(ValueError, match="'unit' parameter"):
        delta_adjustment(tables, X, {1: 1.0}, unit="percent")
    with pytest.raises(ValueError, match="one number for each row"):
        delta_adjustment(tables, X, {1: [1.0, 2.0]})
    with pytest.raises(ValueError, match="has 100 rows, but X has 99"):
        list(delta_adjustment(tables, X[:99], {1: 1.0}))
    with pytest.raises(ValueError, match="deltas contains NaN"):
        tipping_points(tables, X, mean, [nan], 1)
