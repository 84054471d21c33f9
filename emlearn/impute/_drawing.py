"""Draws of missing entries, within bounds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emlearn.impute._bounds import Bounds
from emlearn.impute._fitting import Conditional

Floats = NDArray[np.floating]

# How often a row with a draw outside the bounds is drawn again. This is exact, and cheap if much
# of the mass is inside; the remaining rows are drawn from the truncated distribution.
_REDRAWS = 10


def fill_draws(
    fitted: Conditional, rows: Floats, out: Floats, bounds: Bounds | None, rng: np.random.Generator
) -> None:
    """Put draws from the conditional distribution, within the bounds, into `out`.

    Parameters
    ----------
    fitted : ConditionalGaussians or ConditionalFactors
        The model.
    rows, out : ndarray of shape (n_rows, n_features)
        Rows with NaN where an entry is missing, and a copy of them.
    bounds : Bounds or None
        Bounds of the columns.
    rng : numpy.random.Generator
        Source of the draws.
    """
    fitted.fill_draws(rows, out, rng)
    if bounds is None:
        return
    missing = np.isnan(rows)
    outside = np.flatnonzero(bounds.violated(out, missing))
    for _ in range(_REDRAWS):
        if outside.size == 0:
            return
        again = rows[outside]
        fitted.fill_draws(rows[outside], again, rng)
        out[outside] = again
        outside = outside[bounds.violated(again, missing[outside])]
    again = rows[outside]
    fitted.fill_draws_within(rows[outside], bounds.low, bounds.high, again, rng)
    out[outside] = again
