"""From what a user gives to `HiddenMarkovEM` to what its model takes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import column_or_1d

from emlearn._checks import as_numbers
from emlearn.latent import Probabilities, Sequences
from emlearn.latent.labels import UNKNOWN

Array = NDArray[Any]

_SUM_TOLERANCE = 1e-6


def read_lengths(lengths: Any, n_rows: int) -> Sequences:
    """Sequences of the lengths given; None is one sequence of all rows.

    Raises
    ------
    ValueError
        If the lengths are not integers >= 1, or do not add up to the number of rows.
    """
    if lengths is None:
        return Sequences.of_lengths(np.array([n_rows]))
    values = np.asarray(lengths)
    if values.ndim != 1 or values.dtype.kind not in "iuf" or not values.size:
        raise ValueError(
            f"lengths must be a list of the numbers of rows of the sequences, got {lengths!r}."
        )
    wrong = np.flatnonzero(~((values >= 1) & (values == np.floor(values))))
    if wrong.size:
        raise ValueError(
            f"lengths must be integers >= 1, but that of sequence {wrong[0]} is {values[wrong[0]]}."
        )
    total = int(values.sum())
    if total != n_rows:
        raise ValueError(
            f"lengths of the {len(values)} sequences add up to {total}, but X has {n_rows} "
            "rows. Each row has to belong to one sequence."
        )
    return Sequences.of_lengths(values.astype(np.int64))


def read_weight(sample_weight: Any, sequences: Sequences) -> Array | None:
    """Weights of the sequences as a float64 vector, or None where none were given.

    Raises
    ------
    ValueError
        If there is not one weight for each sequence, or a weight is negative, NaN or
        infinite, or all of them are zero.
    """
    if sample_weight is None:
        return None
    weight = as_numbers(sample_weight, "sample_weight")
    if weight.shape != (len(sequences),):
        raise ValueError(
            f"sample_weight has shape {weight.shape}, but there are {len(sequences)} sequences "
            f"(lengths): it needs one weight for each sequence, shape ({len(sequences)},)."
        )
    wrong = np.flatnonzero(~(np.isfinite(weight) & (weight >= 0.0)))
    if wrong.size:
        raise ValueError(
            f"sample_weight of sequence {wrong[0]} is {weight[wrong[0]]}; a weight w means w "
            "copies of the sequence, so it must be finite and >= 0."
        )
    if not weight.any():
        raise ValueError("sample_weight is 0 for all sequences; at least one must be positive.")
    return weight


def read_states(y: Any, n_rows: int, n_states: int | None) -> NDArray[np.intp] | None:
    """States of the rows, -1 where unknown; None if none is known.

    Raises
    ------
    ValueError
        If `y` has another length than X, or entries that are not -1 or a state.
    """
    values = column_or_1d(y, warn=True)
    check_one_for_each_row(values, n_rows)
    numbers = as_numbers(values, "y")
    largest = np.inf if n_states is None else n_states - 1
    valid = (numbers >= UNKNOWN) & (numbers <= largest) & (numbers == np.floor(numbers))
    wrong = np.flatnonzero(~valid)
    if wrong.size:
        states = "0, 1, ..." if n_states is None else f"0 to {n_states - 1} (n_components - 1)"
        raise ValueError(
            f"y is {values[wrong[0]]} in row {wrong[0]}, but must be a state, {states}, or -1 "
            "where the state is not known. Use use_labels=False if y does not hold states."
        )
    labels = numbers.astype(np.intp)
    return labels if (labels != UNKNOWN).any() else None


def check_one_for_each_row(y: Any, n_rows: int) -> None:
    """Refuse a `y` of another length than X, as when lengths are given in its place.

    Raises
    ------
    ValueError
        Tells how to pass lengths, where `y` could be these.
    """
    if y is None or len(y) == n_rows:
        return
    hint = ""
    if np.asarray(y).dtype.kind in "iu" and np.sum(y) == n_rows:
        hint = " If these are the lengths of sequences, pass them by name: lengths=..."
    raise ValueError(
        f"y has {len(y)} entries, but X has {n_rows} rows. It needs the state of each row, -1 "
        f"where it is not known.{hint}"
    )


def read_probabilities(init: Any, alpha: Any, shape: tuple[int, ...], name: str) -> Probabilities:
    """Probabilities to start from, and their Dirichlet prior.

    Raises
    ------
    ValueError
        If the probabilities have another shape, or are negative, or a row does not sum to
        one; or if the pseudo-counts have another shape, or are negative.
    """
    pseudocounts = as_numbers(alpha, f"{name}_alpha")
    if pseudocounts.shape not in ((), shape):
        raise ValueError(
            f"{name}_alpha must be a number or an array of shape {shape}, got shape "
            f"{pseudocounts.shape}."
        )
    if not (np.isfinite(pseudocounts) & (pseudocounts >= 0.0)).all():
        raise ValueError(f"{name}_alpha must be >= 0; 0 is maximum likelihood.")
    pseudocounts = np.broadcast_to(pseudocounts, shape).copy()
    if init is None:
        return Probabilities(None, pseudocounts)
    given = check_probabilities(init, shape, f"{name}_init")
    return Probabilities(given / given.sum(axis=-1)[..., None], pseudocounts)


def check_probabilities(given: Any, shape: tuple[int, ...], name: str) -> Array:
    """Probabilities, of which each row sums to one.

    Raises
    ------
    ValueError
        If the shape differs, one is negative or not finite, or a row does not sum to one.
    """
    array = as_numbers(given, name)
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}.")
    if not (array >= 0.0).all():
        raise ValueError(f"{name} must be >= 0.")
    total = array.sum(axis=-1)
    if not (np.abs(total - 1.0) <= _SUM_TOLERANCE).all():
        raise ValueError(
            f"{name} must sum to 1"
            + (" in each row" if array.ndim == 2 else "")
            + f", got {np.round(total, 6)}."
        )
    return array
