"""Readers of weights and of the lengths of sequences."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.data.arrays import is_foreign
from emlearn.data.values import to_floats

_LEAST = 1e-100
_LARGEST = 1e100
# A prior outweighs the data only because of their weights if these are below the first on average,
# and the prior counts as more than the second as a fraction of their sum.
_LIGHT, _HEAVY_PRIOR = 0.5, 0.01


def read_weight(
    sample_weight: Any, n_rows: int, what: str = "row", *, any_scale: bool = False
) -> NDArray[np.float64] | None:
    """Weights as a float64 vector, or None if none are given.

    Parameters
    ----------
    sample_weight : array-like of shape (n_rows,), number or None
        Weights; a number is the weight of all.
    n_rows : int
        Number of weights that are needed.
    what : str, default="row"
        What the weights belong to, for messages: "row" or "sequence".
    any_scale : bool, default=False
        Whether the sum may be any normal float64 number. Otherwise it must be between 1e-100 and
        1e100, so that squares and products with the data are finite.

    Returns
    -------
    weight : ndarray of shape (n_rows,) or None
        The weights.

    Raises
    ------
    ValueError
        If the number of weights is wrong, a weight is negative, missing, infinite or not a
        real number, all are 0, or their sum is out of range.
    """
    if sample_weight is None:
        return None
    weight = _vector(sample_weight, what)
    if weight.ndim == 0:
        weight = np.full(n_rows, weight)
    if weight.ndim != 1:
        raise ValueError(
            f"Sample weights must be 1D array or scalar, but sample_weight has shape "
            f"{weight.shape}."
        )
    if len(weight) != n_rows:
        raise ValueError(
            f"sample_weight has shape {weight.shape}, but must have one weight for each {what}, "
            f"shape ({n_rows},)."
        )
    _check_each(weight, what)
    with np.errstate(over="ignore"):
        check_sum(float(weight.sum()), what, any_scale=any_scale)
    return weight


def weight_of_rows(sample_weight: Any, n_rows: int, first: int) -> NDArray[np.float64]:
    """Weights of some rows of a table; the sum of all is left to `check_sum`.

    Parameters
    ----------
    sample_weight : array-like of shape (n_rows,)
        Their weights.
    n_rows : int
        Number of rows.
    first : int
        Position of the first of them in the table.

    Returns
    -------
    weight : ndarray of shape (n_rows,)
        The weights.

    Raises
    ------
    ValueError
        If the number of weights is wrong, or a weight is negative, missing, infinite or not a
        real number.
    """
    weight = _vector(sample_weight, "row")
    if weight.shape != (n_rows,):
        raise ValueError(
            f"sample_weight must have one weight for each row, but has shape {weight.shape} for "
            f"the {n_rows} rows from row {first}."
        )
    _check_each(weight, "row", first)
    return weight


def check_sum(total: float, what: str, *, any_scale: bool = False) -> None:
    """Raise ValueError if weights sum to 0, or beyond what arithmetic takes; see `read_weight`."""
    if total == 0.0:
        raise ValueError(
            f"Sample weights must contain at least one non-zero number: all {what}s have weight 0."
        )
    # Below the least normal number, weights lose their digits.
    floats = np.finfo(np.float64)
    least, largest = (floats.tiny, floats.max) if any_scale else (_LEAST, _LARGEST)
    if not least <= total <= largest:
        raise ValueError(
            f"sample_weight sums to {total:.3g}, which is not between {least:.3g} and "
            f"{largest:.3g}. A weight w means w copies of the {what}: divide the weights by their "
            "mean."
        )


def _check_each(weight: NDArray[np.float64], what: str, first: int = 0) -> None:
    wrong = np.flatnonzero(~(np.isfinite(weight) & (weight >= 0.0)))
    if wrong.size:
        raise _invalid(what, first + int(wrong[0]), float(weight[wrong[0]]))


def _invalid(what: str, position: int, value: float) -> ValueError:
    if value < 0.0:
        problem = "Negative values in data passed to `sample_weight`"
    else:
        problem = f"Input sample_weight contains {'NaN' if np.isnan(value) else 'infinity'}"
    return ValueError(
        f"{problem}: {what} {position} has weight {value}. A weight w means w copies of the "
        f"{what}, so it must be finite and >= 0."
    )


def _vector(sample_weight: Any, what: str) -> NDArray[np.float64]:
    if is_foreign(sample_weight):
        raise ValueError(
            f"sample_weight is a {type(sample_weight).__name__}, which numpy cannot read. Convert "
            "it with numpy.asarray first."
        )
    masked = isinstance(sample_weight, np.ma.MaskedArray)
    values = sample_weight.data if masked else np.asarray(sample_weight)

    def at(position: int) -> str:
        return f"sample_weight of {what} {position}"

    flat = to_floats(values.ravel(), "sample_weight", at).astype(np.float64)
    if masked:
        flat[np.ma.getmaskarray(sample_weight).ravel()] = np.nan
    return flat.reshape(values.shape)


def outweighed(n_rows: int, total: float, pseudo_rows: float, prior: str, cure: str) -> str:
    """A message if a prior outweighs the data because their weights are small; else empty.

    Parameters
    ----------
    n_rows : int
        Number of rows of positive weight.
    total : float
        Sum of their weights.
    pseudo_rows : float
        Number of rows of weight 1 that the prior counts as.
    prior : str
        What the message calls this number.
    cure : str
        How to have no prior.

    Returns
    -------
    message : str
        The message.
    """
    if total >= _LIGHT * n_rows or pseudo_rows < _HEAVY_PRIOR * total:
        return ""
    return (
        f"The weights of {n_rows} rows sum to {total:.3g}, and the prior counts as "
        f"{prior}{pseudo_rows:.3g} further rows of weight 1. Weights are numbers of copies: "
        f"multiply them so that they sum to the number of rows, or {cure}."
    )


def read_lengths(lengths: Any, n_rows: int | None) -> NDArray[np.int64]:
    """Lengths of the sequences; None means one sequence of all rows.

    They must sum to `n_rows`, unless that is None because there are no rows yet.

    Raises
    ------
    ValueError
        If the lengths are not integers >= 1, or do not sum to the number of rows.
    """
    if lengths is None:
        return np.array([n_rows], np.int64)
    values = np.asarray(lengths)
    if values.ndim != 1 or values.dtype.kind not in "iuf" or not values.size:
        raise ValueError(
            f"lengths must be a list with the number of rows of each sequence, got {lengths!r}."
        )
    wrong = np.flatnonzero(~((values >= 1) & (values == np.floor(values)) & np.isfinite(values)))
    if wrong.size:
        raise ValueError(
            f"lengths must be integers >= 1, but sequence {wrong[0]} has length {values[wrong[0]]}."
        )
    total = int(values.sum(dtype=np.float64))
    if n_rows is not None and total != n_rows:
        raise ValueError(
            f"The lengths of the {len(values)} sequences add up to {total}, but X has {n_rows} "
            "rows. Each row must belong to one sequence." + (_SPLIT if total > n_rows else "")
        )
    return values.astype(np.int64)


_SPLIT = (
    " If X is one split of a cross-validation, as in GridSearchCV or cross_val_score: lengths "
    "cannot follow the split. Pass an identifier of the sequence of each row instead "
    "(sequence_ids, or sequence_column), and split with emlearn.sequences.SequenceKFold; or pass "
    "X as a list of sequences."
)
