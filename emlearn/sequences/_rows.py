"""From rows of all sequences back to one table for each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from emlearn.data.frames import is_pandas, is_polars
from emlearn.data.weights import read_lengths


def split_rows(rows: Any, lengths: ArrayLike) -> list[Any]:
    """Rows of all sequences, as a list with one part for each sequence.

    Estimators take sequences in several forms, and return rows of all of them, one sequence
    after another.

    Parameters
    ----------
    rows : array-like, DataFrame or sparse matrix of shape (n_samples, ...)
        What a method returned for each row, such as states or probabilities.
    lengths : array-like of shape (n_sequences,)
        Numbers of rows of the sequences.

    Returns
    -------
    parts : list of the same kind, of length n_sequences
        The rows of each sequence; of arrays they are views.

    Raises
    ------
    ValueError
        If the lengths are invalid, or do not add up to the number of rows.

    Examples
    --------
    >>> from emlearn.sequences import split_rows
    >>> [part.tolist() for part in split_rows([0, 0, 1, 0, 1], lengths=[3, 2])]
    [[0, 0, 1], [0, 1]]
    """
    is_table = is_pandas(rows) or is_polars(rows) or hasattr(rows, "tocsr")
    table = rows if is_table else np.asanyarray(rows)
    sizes = read_lengths(lengths, table.shape[0])
    stops = np.cumsum(sizes).tolist()
    table = table.iloc if is_pandas(table) else table.tocsr() if hasattr(table, "tocsr") else table
    return [table[start:stop] for start, stop in zip([0, *stops[:-1]], stops, strict=True)]
