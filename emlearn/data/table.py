"""The reader of tables: any table of numbers becomes an array with NaN for missing entries."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import check_array

from emlearn._compat import validate_data
from emlearn.data.arrays import as_matrix
from emlearn.data.frames import (
    columns_of,
    eager,
    is_pandas,
    is_polars,
    require_distinct_names,
    sparse_block,
    whole_block,
)
from emlearn.data.markers import Markers, read_markers
from emlearn.data.names import label, place_of
from emlearn.data.values import to_floats

Array = NDArray[Any]
Floats = NDArray[np.floating]

_OTHERWISE = (
    "leave out the rows that have any, fill them in with MissingDataImputerEM, or use "
    "FiniteMixtureEM, which takes them"
)


def read_table(
    estimator: Any,
    X: Any,
    *,
    reset: bool,
    dtype: tuple[Any, ...] = (np.float64, np.float32),
    accept_sparse: bool = False,
    allow_nan: bool = True,
    missing_values: Any = np.nan,
    copy: bool = False,
    min_rows: int = 1,
    sequences: bool = False,
) -> Any:
    """Numbers of a table, with NaN for missing entries.

    Reads arrays of any numeric dtype, arrays of objects, masked arrays, nested lists, and
    tables of pandas, polars and pyarrow. NaN, None, pandas.NA, nulls and masked entries are
    missing; text that `float` can read is a number. Sets or checks `n_features_in_` and
    `feature_names_in_` of the estimator.

    Parameters
    ----------
    estimator : estimator
        The estimator that reads the table.
    X : array-like, DataFrame or sparse matrix of shape (n_samples, n_features)
        The table.
    reset : bool
        Whether this is the table of a fit. Otherwise, the number and names of the columns must
        be those of the last fit.
    dtype : tuple of dtype, default=(float64, float32)
        Accepted dtypes. Other dtypes are converted to the first.
    accept_sparse : bool, default=False
        Whether a sparse matrix may be returned, in CSR format without duplicates.
    allow_nan : bool, default=True
        Whether entries may be missing.
    missing_values : number, str, pandas.NA, None or list of these, default=NaN
        What marks a missing entry. If it is a single number, NaN, None and pandas.NA in the
        table are errors; otherwise they are missing, too. Masked entries are always missing.
    copy : bool, default=False
        Whether the result must be a writeable copy in C order. Otherwise it may use the memory
        of X.
    min_rows : int, default=1
        The smallest number of rows.
    sequences : bool, default=False
        Whether the estimator has a parameter `lengths`. If so, messages about a list of
        sequences or a 3-D array mention it.

    Returns
    -------
    table : ndarray or CSR array of shape (n_samples, n_features)
        Aligned, in the byte order of the machine.

    Raises
    ------
    ValueError
        If an entry is text, a time, complex or infinite, or is missing and may not be; the
        message names its column and row. Also if the shape, the number of columns or their
        names are wrong.
    TypeError
        If an entry is an object that is not a number.
    """
    X = eager(X)
    settings: dict[str, Any] = {
        "dtype": list(dtype),
        "accept_sparse": "csr" if accept_sparse else False,
        "ensure_all_finite": False,
        "ensure_min_samples": min_rows,
    }
    markers = read_markers(missing_values)
    known = None if reset else getattr(estimator, "feature_names_in_", None)
    if is_pandas(X) or is_polars(X):
        table, fresh = _read_frame(estimator, X, reset, accept_sparse, markers)
        table = check_array(table, estimator=estimator, input_name="X", **settings)
        known = list(X.columns)
    elif issparse(X):
        if np.dtype(getattr(X, "dtype", float)).kind == "c":
            raise ValueError("Complex data not supported: X has complex numbers.")
        table = validate_data(estimator, X, reset=reset, **settings)
        fresh = False
    else:
        table, fresh = _read_array(X, known, markers, sequences)
        table = validate_data(estimator, table, reset=reset, **settings)
    if issparse(table):
        return _check_sparse(table, known, copy, allow_nan, type(estimator).__name__)
    if copy and not (fresh and table.flags.c_contiguous):
        table = table.copy(order="C")
    check_entries(table, known, allow_nan, type(estimator).__name__)
    return table


# ---- frames ---------------------------------------------------------------------------


def _read_frame(
    estimator: Any, X: Any, reset: bool, accept_sparse: bool, markers: Markers
) -> tuple[Any, bool]:
    """Numbers of a DataFrame, and whether they are a copy."""
    require_distinct_names(X)
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    names = list(X.columns)
    if accept_sparse and markers == Markers():
        sparse = sparse_block(X)
        if sparse is not None:
            return sparse, True
    block = whole_block(X)
    if block is not None:
        return _numeric(block, names, markers)
    columns = [
        column_of_numbers(values, names, j, markers) for j, values in enumerate(columns_of(X))
    ]
    single = bool(columns) and all(values.dtype == np.float32 for values in columns)
    table = np.empty(X.shape, np.float32 if single else np.float64)
    for j, values in enumerate(columns):
        table[:, j] = values
        # In the precision of the column, to which the markers are rounded, too.
        _mark(table[:, j], markers.in_numbers(values, names, j))
    return table, True


# ---- arrays ---------------------------------------------------------------------------


def _read_array(X: Any, names: Any, markers: Markers, sequences: bool) -> tuple[Floats, bool]:
    """Numbers of an array or of nested lists, and whether they are a copy."""
    array = as_matrix(X, sequences)
    if not isinstance(array, np.ma.MaskedArray):
        return _numeric(array, names, markers)
    mask = np.ma.getmaskarray(array)
    table, _ = _numeric(_cleared(array.data, mask), names, markers)
    table = table.copy(order="C")
    _mark(table, mask)
    return table, True


def _numeric(array: Array, names: Any, markers: Markers) -> tuple[Floats, bool]:
    """Numbers of a 2-D array."""
    if array.dtype.kind in "biufc":
        table = to_floats(array, "X", lambda _: "X")
    else:
        table = np.empty(array.shape, np.float64)
        for j, values in enumerate(array.T):
            table[:, j] = column_of_numbers(values, names, j, markers)
    fresh = not np.may_share_memory(table, array)
    marked = markers.in_numbers(table, names)
    if marked is not None and marked.any():
        table, fresh = (table, True) if fresh else (table.copy(order="C"), True)
        _mark(table, marked)
    return table, fresh


def _cleared(data: Array, mask: NDArray[np.bool_]) -> Array:
    """Data with zeros for masked entries, which can be anything."""
    if data.dtype.kind in "mMcV":
        return data
    cleared = data.astype(data.dtype if data.dtype.kind in "biuf" else object)
    cleared[mask] = 0
    return cleared


# ---- what entries may be ------------------------------------------------------------


def column_of_numbers(values: Array, names: Any, column: int, markers: Markers) -> Floats:
    """Numbers of a column, with NaN for texts that are markers."""
    where = f"{label(names, column)} of X"
    return to_floats(markers.cleared(values), where, place_of(names, column))


def _mark(values: Floats, where: NDArray[np.bool_] | None) -> None:
    if where is not None:
        values[where] = np.nan


def check_entries(
    table: Floats, names: Any, allow_nan: bool, owner: str, *, advice: str | None = None
) -> None:
    """Raise ValueError if an entry is infinite, or is missing and may not be.

    The message about a missing entry ends with the advice: what to do about it.
    """
    wrong = _first_not_finite(table, allow_nan)
    if wrong is not None:
        kind, (row, column) = wrong
        place = f"{label(names, column)}, row {row}"
        raise _not_finite(kind, table.dtype, place, owner, advice)


def _check_sparse(table: Any, names: Any, copy: bool, allow_nan: bool, owner: str) -> Any:
    if copy or not table.has_canonical_format:
        table = table.copy()
        table.sum_duplicates()
    wrong = _first_not_finite(table.data, allow_nan)
    if wrong is not None:
        kind, (entry,) = wrong
        row = int(np.searchsorted(table.indptr, entry, side="right")) - 1
        place = f"{label(names, int(table.indices[entry]))}, row {row}"
        raise _not_finite(kind, table.dtype, place, owner)
    return table


def _first_not_finite(values: Floats, allow_nan: bool) -> tuple[str, list[int]] | None:
    """Kind and position of the first invalid entry."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(values.sum(dtype=np.float64)):
            return None
    tests = {"infinity": np.isinf} if allow_nan else {"infinity": np.isinf, "NaN": np.isnan}
    for kind, test in tests.items():
        found = test(values)
        if found.any():
            return kind, np.argwhere(found)[0].tolist()
    return None


def _not_finite(
    kind: str, dtype: Any, place: str, owner: str, advice: str | None = None
) -> ValueError:
    if kind == "infinity":
        return ValueError(
            f"Input X contains infinity or a value too large for {dtype!r}: {place}. Correct it, "
            "or replace it by NaN if it is missing."
        )
    return ValueError(
        f"Input X contains NaN: {place}. {owner} does not take missing values: "
        f"{advice or _OTHERWISE}."
    )
