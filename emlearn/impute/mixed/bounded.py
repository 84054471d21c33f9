"""Draws of missing entries of mixed rows whose numbers have bounds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.incomplete.truncated import Candidate, draw_within
from emlearn.impute._bounds import Bounds
from emlearn.impute.mixed.model import MixedParams
from emlearn.kernels.general_location import LocationRows, LocationTables, draw, groups

Array = NDArray[np.float64]

# Sweeps between the categories and the numbers; without missing categories one is exact.
_SWEEPS = 20
_LARGEST = np.finfo(np.float64).max


def draw_bounded(
    rows: LocationRows, model: MixedParams, bounds: Bounds, rng: np.random.Generator
) -> tuple[Array, NDArray[np.int32]]:
    """Completed rows whose missing numbers are within bounds.

    Gibbs sampling alternates between the missing numbers given the categories, the class summed
    out, and the missing categories given the numbers.

    Parameters
    ----------
    rows : LocationRows
        Rows, sorted by pattern.
    model : MixedParams
        The model.
    bounds : Bounds
        Bounds of all columns of the table.
    rng : Generator
        Source of the draws.
    """
    tables, columns = model.tables(), model.columns
    limits = [
        [margin.forward(np.array([side[column]]))[0] for side in bounds]
        for column, margin in zip(columns.numeric, columns.margins, strict=True)
    ]
    low, high = np.array(limits).reshape(-1, 2).T
    numbers, codes = draw(rows, tables, rng)
    unknown = (rows.codes < 0).any()
    for _ in range(_SWEEPS if unknown else 1):
        given = LocationRows(rows.numbers, rows.missing, codes)
        numbers = _numbers(given, tables, low, high, rng)
        if unknown:
            complete = LocationRows(numbers, np.zeros_like(rows.missing), rows.codes)
            _, codes = draw(complete, tables, rng)
    return numbers, codes


def _numbers(
    rows: LocationRows, tables: LocationTables, low: Array, high: Array, rng: np.random.Generator
) -> Array:
    """Missing numbers within bounds, given the categories."""
    numbers = rows.numbers.copy()
    for group in groups(rows, tables):
        missing = group.missing
        if not missing.size:
            continue
        limited = np.isfinite(low[missing]) | np.isfinite(high[missing])
        last = missing[np.argsort(limited, kind="stable")]
        place = np.searchsorted(missing, last)
        candidates = []
        for k in range(len(tables.means)):
            precision = np.linalg.inv(group.normal(k).conditional[np.ix_(place, place)])
            shape = (len(group.rows), last.size, last.size)
            with np.errstate(divide="ignore"):
                log_share = np.log(group.share[k])
            candidates.append(
                Candidate(
                    log_share,
                    group.fill[k][:, last],
                    np.broadcast_to(precision, shape),
                    np.broadcast_to(np.linalg.cholesky(precision), shape),
                )
            )
        sides = [np.broadcast_to(side[last], (len(group.rows), last.size)) for side in (low, high)]
        drawn = draw_within(candidates, sides[0], sides[1], int(limited.sum()), rng)
        numbers[np.ix_(group.rows, last)] = np.clip(drawn, -_LARGEST, _LARGEST)
    return numbers
