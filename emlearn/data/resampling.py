"""Copies of the rows of a resample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Copies for each row, on average, below which weights can be no copies.
_FEWEST_COPIES = 0.5


def check_copies(weight: Array | None, what: str = "row") -> None:
    """Raise ValueError if weights are too small to be numbers of copies.

    Parameters
    ----------
    weight : ndarray of shape (n_rows,) or None
        Weights; None means 1 each.
    what : str, default="row"
        What they belong to, for the message.
    """
    if weight is None:
        return
    rows, total = int(np.count_nonzero(weight)), float(weight.sum())
    if total < _FEWEST_COPIES * rows:
        raise ValueError(
            f"sample_weight sums to {total:.3g} for {rows} {what}s, but weights are numbers of "
            f"copies: multiply them so that they sum to the number of {what}s."
        )


def resampled_copies(n_rows: int, weight: Array | None, rng: np.random.Generator) -> Array:
    """How often each row is in a resample of the same size, drawn with replacement.

    With weights, as many copies are drawn as there are in all, each row with a chance in
    proportion to its own: the same as for a table in which rows are repeated. If the weights sum
    to no integer, the copies have the fraction of a row that makes up for it.

    Parameters
    ----------
    n_rows : int
        Number of rows.
    weight : ndarray of shape (n_rows,) or None
        Numbers of copies; None means 1 each.
    rng : Generator
        Source of randomness.

    Returns
    -------
    copies : ndarray of shape (n_rows,)
        Numbers of copies in the resample.
    """
    if weight is None:
        return np.bincount(rng.integers(n_rows, size=n_rows), minlength=n_rows).astype(np.float64)
    total = float(weight.sum())
    size = max(1, round(total))
    return np.asarray(rng.multinomial(size, weight / total) * (total / size), np.float64)


def dirichlet_copies(n_rows: int, weight: Array | None, rng: np.random.Generator) -> Array:
    """Random weights of the rows: the Bayesian bootstrap (Rubin 1981).

    The shares of the rows are Dirichlet(1, ..., 1). With weights they are Dirichlet(weight), which
    is the law of the sum of the shares of the copies of each row.
    """
    drawn = rng.standard_gamma(np.ones(n_rows) if weight is None else weight)
    total = float(n_rows) if weight is None else float(weight.sum())
    return np.asarray(drawn * (total / drawn.sum()))
