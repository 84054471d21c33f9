"""Readers of sequences of observations with inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.data import read_sequences, read_table
from emlearn.data.sequences import as_parts
from emlearn.statespace._data import Observations

Array = NDArray[np.float64]


def read_sequences_of(
    estimator: Any,
    X: Any,
    lengths: Any,
    inputs: Any,
    sequence_ids: Any,
    *,
    reset: bool,
    constant: bool = False,
) -> Observations:
    """Rows, lengths and inputs of sequences, checked.

    Parameters
    ----------
    estimator : estimator
        The estimator; a fit (`reset`) sets its numbers of columns and of inputs.
    X, lengths, inputs, sequence_ids : object
        What the user gave.
    reset : bool
        Whether this is a fit.
    constant : bool, default=False
        Whether observations have an offset.
    """
    table, sizes = read_sequences(
        X, lengths, sequence_ids, sequence_column=getattr(estimator, "sequence_column", None)
    )
    rows = read_table(estimator, table, reset=reset, dtype=(np.float64,), sequences=True)
    if as_parts(inputs) is not None:
        inputs, own = read_sequences(inputs)
        if not np.array_equal(own, sizes):
            raise ValueError(
                f"The sequences of inputs have {list(own)} rows, but those of X {list(sizes)}."
            )
    if reset:
        found = read_inputs(inputs, len(rows))
        estimator.n_inputs_ = found.shape[1]
    else:
        found = read_inputs(inputs, len(rows), estimator.n_inputs_)
    return Observations(rows, sizes.astype(np.intp), found, constant)


def read_inputs(inputs: Any, n_rows: int, n_inputs: int | None = None) -> Array:
    """Inputs as a float64 array, (n_rows, n_inputs); a vector is one input.

    Raises
    ------
    ValueError
        If the shape is wrong, or an entry is missing or not a number.
    """
    if inputs is None:
        if n_inputs:
            raise ValueError(
                f"The fit had {n_inputs} inputs, but inputs is None. Give an array of shape "
                f"({n_rows}, {n_inputs})."
            )
        return np.empty((n_rows, 0))
    try:
        found = np.array(inputs, np.float64)
    except (TypeError, ValueError):
        raise ValueError("inputs must be an array of numbers.") from None
    if found.ndim == 1:
        found = found[:, None]
    if found.ndim != 2 or len(found) != n_rows:
        raise ValueError(
            f"inputs must have one row for each row of X, that is {n_rows}; its shape is "
            f"{np.shape(inputs)}."
        )
    if n_inputs is not None and found.shape[1] != n_inputs:
        raise ValueError(f"inputs has {found.shape[1]} columns, but the fit had {n_inputs} inputs.")
    wrong = np.argwhere(~np.isfinite(found))
    if wrong.size:
        row, column = wrong[0]
        raise ValueError(
            f"inputs must be finite, but row {row}, column {column} is {found[row, column]}. Only "
            "observations may be missing."
        )
    return found
