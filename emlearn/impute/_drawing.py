"""Draws of missing entries, within bounds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emlearn.impute._bounds import Bounds
from emlearn.impute._known import Fitted

Floats = NDArray[np.floating]

# Rows with a draw outside the bounds are drawn again so many times, which is exact and cheap
# where much of the mass is inside; the rest is drawn from the truncated distribution.
_REDRAWS = 10


def fill_draws(
    fitted: Fitted, rows: Floats, out: Floats, bounds: Bounds | None, rng: np.random.Generator
) -> None:
    """Put draws from the conditional distribution, within the bounds, into `out`.

    Parameters
    ----------
    fitted : Fitted
        The model.
    rows, out : ndarray of shape (n_rows, n_features)
        Rows with NaN where an entry is missing, and a copy of them.
    bounds : Bounds or None
        Bounds of the columns.
    rng : numpy.random.Generator
        Source of the draws.
    """
    model, params, scaling = fitted
    model.fill_draws(params, scaling, rows, out, rng)
    if bounds is None:
        return
    missing = np.isnan(rows)
    outside = np.flatnonzero(bounds.violated(out, missing))
    for _ in range(_REDRAWS):
        if outside.size == 0:
            return
        again = rows[outside]
        model.fill_draws(params, scaling, rows[outside], again, rng)
        out[outside] = again
        outside = outside[bounds.violated(again, missing[outside])]
    again = rows[outside]
    model.fill_draws_within(params, scaling, rows[outside], bounds.low, bounds.high, again, rng)
    out[outside] = again
