"""The reader of sequences: from any form in which they are given to rows and lengths.

Rows are one sequence after another everywhere. Sequences are given as one table and the numbers
of their rows (`lengths`) or an identifier of each row (`sequence_ids`, or a column of the
table), as a list of tables, or as an array of three dimensions.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import vstack

from emlearn.data.frames import eager, is_pandas, is_polars
from emlearn.data.values import is_absent
from emlearn.data.weights import read_lengths

Array = NDArray[Any]


def read_sequences(
    X: Any,
    lengths: Any = None,
    sequence_ids: Any = None,
    *,
    sequence_column: str | int | None = None,
) -> tuple[Any, NDArray[np.int64]]:
    """Rows of all sequences, one sequence after another, and the lengths of the sequences.

    It comes before the reader of tables, which checks the rows. At most one of `lengths`,
    `sequence_ids`, `sequence_column`, a list and an array of three dimensions says what the
    sequences are. Without any, all rows form one sequence.

    Parameters
    ----------
    X : array-like, DataFrame or sparse matrix of shape (n_samples, n_features), or several
        One table; or a list, a tuple or an array of three dimensions (n_sequences, n_steps,
        n_features). The entries of a list are arrays, nested lists or DataFrames with the same
        columns; arrays of one dimension and Series are sequences of one column. A list of
        lists of numbers is one table, by rows.
    lengths : array-like of shape (n_sequences,), default=None
        Numbers of rows of the sequences.
    sequence_ids : array-like of shape (n_samples,), default=None
        Identifier of the sequence of each row: numbers or strings. Consecutive rows with the
        same identifier form a sequence.
    sequence_column : str or int, default=None
        Column of X with these identifiers. It is left out of the rows.

    Returns
    -------
    rows : object
        One table: `X` itself, or the rows of all sequences. A DataFrame if the sequences are.
    lengths : ndarray of shape (n_sequences,)
        Numbers of rows of the sequences.

    Raises
    ------
    ValueError
        If the sequences are given in two ways, a sequence is empty or has other columns than
        the first, the lengths are wrong (see `read_lengths`), or the identifiers are: of the
        wrong number, missing, or of a sequence that has ended before. The message names the
        sequence, or the identifier and the row.
    """
    parts = as_parts(X)
    given = [
        name
        for name, value in (
            ("lengths", lengths),
            ("sequence_ids", sequence_ids),
            ("sequence_column", sequence_column),
        )
        if value is not None
    ]
    if parts is not None:
        if given:
            raise ValueError(
                f"X is a list of {len(parts)} sequences, or an array of three dimensions, so "
                f"{given[0]} must be None. (Arrays of one dimension in a list are sequences of "
                "one column; numpy.stack makes a table of them if they are rows.)"
            )
        return _joined(parts)
    if len(given) > 1:
        raise ValueError(
            f"Both {given[0]} and {given[1]} say which rows form a sequence. Give one of them."
        )
    X = eager(X)
    if sequence_column is not None:
        X, sequence_ids = _without_column(X, sequence_column)
    n_rows = _n_rows(X)
    if sequence_ids is None:
        return X, read_lengths(lengths, n_rows)
    return X, lengths_of_ids(sequence_ids, n_rows)


def lengths_of_ids(sequence_ids: Any, n_rows: int | None = None) -> NDArray[np.int64]:
    """Lengths of the runs of equal identifiers.

    Parameters
    ----------
    sequence_ids : array-like of shape (n_rows,)
        Identifiers: numbers or strings.
    n_rows : int, default=None
        Number of rows; None is that of the identifiers.

    Raises
    ------
    ValueError
        If their number is wrong, one is missing, or one comes back after another.
    """
    values = _as_ids(sequence_ids)
    if n_rows is not None and len(values) != n_rows:
        raise ValueError(
            f"sequence_ids has {len(values)} entries, but X has {n_rows} rows. It must have an "
            "identifier for each row."
        )
    if not len(values):
        return np.zeros(0, np.int64)
    starts = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
    first: dict[Any, int] = {}
    for start, value in zip(starts.tolist(), values[starts].tolist(), strict=True):
        if value in first:
            raise ValueError(
                f"sequence_ids has {value!r} in row {start} again, after other sequences: its "
                f"first row is {first[value]}. The rows of a sequence must follow one another. "
                "Sort the rows by sequence and time, or give parts of a sequence identifiers of "
                "their own."
            )
        first[value] = start
    return np.diff(np.append(starts, len(values)))


def _as_ids(sequence_ids: Any) -> Array:
    if isinstance(sequence_ids, (list, tuple)):
        # As objects from the start: next to a string, 1 would become a string.
        values: Array = np.empty(len(sequence_ids), object)
        values[:] = sequence_ids
    else:
        values = np.asarray(sequence_ids)
    if values.ndim != 1:
        raise ValueError(
            f"sequence_ids must have one entry for each row, got an array of shape {values.shape}."
        )
    if values.dtype.kind in "biuUS":
        return values
    if values.dtype.kind in "fmM":
        absent = values != values  # NaN and NaT differ from themselves
    else:
        absent = np.array([is_absent(value) or bool(value != value) for value in values], bool)
    if absent.any():
        raise ValueError(
            f"sequence_ids has no identifier in row {int(absent.argmax())}. Each row must belong "
            "to one sequence."
        )
    return values


# ---- lists and arrays of sequences ------------------------------------------------------


def as_parts(X: Any) -> Sequence[Any] | None:
    """The sequences, if X is a list of them or an array of three dimensions; otherwise None."""
    if isinstance(X, np.ndarray) and X.ndim == 3:
        return list(X)
    if isinstance(X, np.ndarray) and X.ndim == 1 and X.dtype == object:
        X = list(X)
    if not isinstance(X, (list, tuple)) or not X:
        return None
    return X if any(_is_sequence(part) for part in X) else None


def _is_sequence(part: Any) -> bool:
    """Whether an entry of a list is a sequence, not a row or a number."""
    if isinstance(part, (list, tuple)):
        return any(isinstance(row, (list, tuple)) or _dimensions(row) > 0 for row in part)
    return _dimensions(part) > 0


def _dimensions(part: Any) -> int:
    """Number of dimensions of anything with a shape; 0 for other things."""
    shape = getattr(part, "shape", None)
    return len(shape) if isinstance(shape, tuple) else 0


def _joined(parts: Sequence[Any]) -> tuple[Any, NDArray[np.int64]]:
    """The rows of all sequences, and their lengths."""
    tables = [_as_table(part, number) for number, part in enumerate(parts)]
    for number, table in enumerate(tables):
        _check_like_first(table, tables[0], number)
    lengths = np.array([table.shape[0] for table in tables], np.int64)
    return _stacked(tables), lengths


def _as_table(part: Any, number: int) -> Any:
    """A sequence as a table of two dimensions that is not empty."""
    if _is_series(part):
        part = part.to_frame()
    try:
        table = eager(part)
        if not (is_pandas(table) or is_polars(table) or _is_sparse(table)):
            table = np.asanyarray(table)
    except ValueError as error:
        raise ValueError(f"Sequence {number} of X is not a table: {error}") from None
    if len(table.shape) == 1 and table.shape[0]:
        table = table.reshape(-1, 1)
    if not table.shape[0]:
        raise ValueError(f"Sequence {number} of X has no rows. Leave it out.")
    if len(table.shape) != 2:
        raise ValueError(
            f"Sequence {number} of X has shape {table.shape}. A sequence is a table of shape "
            "(n_steps, n_features)."
        )
    return table


def _is_sparse(table: Any) -> bool:
    return hasattr(table, "tocsr")


def _is_series(part: Any) -> bool:
    return type(part).__name__ == "Series" and hasattr(part, "to_frame")


def _check_like_first(table: Any, first: Any, number: int) -> None:
    if table.shape[1] != first.shape[1]:
        raise ValueError(
            f"Sequence {number} of X has {table.shape[1]} columns, but sequence 0 has "
            f"{first.shape[1]}. All sequences must have the same columns."
        )
    for is_frame in (is_pandas, is_polars):
        if is_frame(table) != is_frame(first):
            raise ValueError(
                f"Sequence {number} of X is a {type(table).__name__}, but sequence 0 is a "
                f"{type(first).__name__}. Give all sequences in the same form."
            )
        if is_frame(table) and list(table.columns) != list(first.columns):
            raise ValueError(
                f"Sequence {number} of X has the columns {list(table.columns)}, but sequence 0 "
                f"has {list(first.columns)}. All must have the same columns in the same order."
            )


def _stacked(tables: Sequence[Any]) -> Any:
    first = tables[0]
    if is_pandas(first):
        return sys.modules["pandas"].concat(tables, ignore_index=True)
    if is_polars(first):
        return sys.modules["polars"].concat(tables, how="vertical_relaxed")
    if any(_is_sparse(table) for table in tables):
        return vstack(tables, format="csr")
    if any(isinstance(table, np.ma.MaskedArray) for table in tables):
        return np.ma.MaskedArray(
            np.concatenate([np.ma.getdata(table) for table in tables]),
            np.concatenate([np.ma.getmaskarray(table) for table in tables]),
        )
    kinds = {table.dtype.kind for table in tables}
    if kinds & set("OUSmM"):
        # Next to text, numbers would become text.
        tables = [table.astype(object) for table in tables]
    return np.concatenate(tables)


def joined_labels(y: Any, X: Any, lengths: NDArray[np.int64]) -> Any:
    """Labels of all rows, from labels by sequence where X is given by sequence.

    Parameters
    ----------
    y : array-like or None
        Labels: of each row, or a list with those of each sequence.
    X : object
        As for `read_sequences`.
    lengths : ndarray of shape (n_sequences,)
        Numbers of rows of the sequences.

    Returns
    -------
    y : list of length n_rows, or `y` itself
        The labels of all rows.

    Raises
    ------
    ValueError
        If a sequence has another number of labels than rows. The message names it.
    """
    if y is None or as_parts(X) is None or not hasattr(y, "__len__") or len(y) != len(lengths):
        return y
    parts = list(y)
    if not all(hasattr(part, "__len__") and not isinstance(part, (str, bytes)) for part in parts):
        return y
    for number, (part, length) in enumerate(zip(parts, lengths.tolist(), strict=True)):
        if len(part) != length:
            raise ValueError(
                f"y has {len(part)} labels for sequence {number}, but the sequence has {length} "
                "rows."
            )
    return [label for part in parts for label in part]


# ---- one table ----------------------------------------------------------------------------


def _n_rows(X: Any) -> int:
    """Number of rows of anything; the reader of tables says what is wrong with it."""
    shape = getattr(X, "shape", None)
    if isinstance(shape, tuple) and shape:
        return int(shape[0])
    return len(X) if hasattr(X, "__len__") and not isinstance(X, (str, bytes)) else 0


def _without_column(X: Any, column: str | int) -> tuple[Any, Any]:
    """A table without one of its columns, and that column."""
    if is_pandas(X) or is_polars(X):
        names = list(X.columns)
        if isinstance(column, str) and column not in names:
            raise ValueError(
                f"sequence_column={column!r} is not a column of X; its columns are {names}."
            )
        name = column if isinstance(column, str) else names[_place(column, len(names))]
        return (X.drop(columns=name) if is_pandas(X) else X.drop(name)), X[name].to_numpy()
    if isinstance(column, str):
        raise ValueError(
            f"sequence_column={column!r} is a name, but X has no names of columns. Pass a "
            "DataFrame, or the position of the column."
        )
    if _is_sparse(X):
        place = _place(column, X.shape[1])
        kept = np.delete(np.arange(X.shape[1]), place)
        table = X.tocsc()
        return table[:, kept].tocsr(), table[:, [place]].toarray()[:, 0]
    table = X if isinstance(X, np.ndarray) else np.array(X, dtype=object)
    if table.ndim != 2:
        raise ValueError(f"Expected 2D array with a sequence_column, got shape {table.shape}.")
    place = _place(column, table.shape[1])
    return np.delete(table, place, axis=1), np.asarray(table[:, place])


def _place(column: int, n_columns: int) -> int:
    if not -n_columns <= column < n_columns:
        raise ValueError(f"sequence_column={column} is not a column of X, which has {n_columns}.")
    return int(column) % n_columns
