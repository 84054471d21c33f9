"""Draws of missing entries of mixed rows whose numbers have bounds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.incomplete.truncated import Candidate, draw_within
from emlearn.impute._bounds import Bounds
from emlearn.impute.mixed.model import MixedParams
from emlearn.kernels.general_location import LocationRows, LocationTables, draw, groups

Array = NDArray[np.float64]

# Classes times combinations of missing categories up to which these are summed out, and sweeps
# between the categories and the numbers if there are more.
_MOST_COMPONENTS = 64
_SWEEPS = 20
_LARGEST = np.finfo(np.float64).max


def draw_bounded(
    rows: LocationRows, model: MixedParams, bounds: Bounds, rng: np.random.Generator
) -> tuple[Array, NDArray[np.int32]]:
    """Completed rows whose missing numbers are within bounds.

    The missing numbers are drawn first, the class and the missing categories summed out, and then
    the missing categories given the numbers. With many combinations of these, Gibbs sampling
    alternates between the numbers given the categories and the categories given the numbers.

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
    few = tables._replace(most=float(max(1, _MOST_COMPONENTS // len(tables.means))))
    size = np.where(rows.codes < 0, np.diff(tables.offsets), 1).prod(axis=1, dtype=float)
    summed = size <= few.most
    numbers, codes = draw(rows, tables, rng)
    for _ in range(1 if summed.all() else _SWEEPS):
        given = np.where(summed[:, None], rows.codes, codes)
        numbers = _numbers(LocationRows(rows.numbers, rows.missing, given), few, low, high, rng)
        if (rows.codes < 0).any():
            complete = LocationRows(numbers, np.zeros_like(rows.missing), rows.codes)
            _, codes = draw(complete, tables, rng)
    return numbers, codes


def _numbers(
    rows: LocationRows, tables: LocationTables, low: Array, high: Array, rng: np.random.Generator
) -> Array:
    """Missing numbers within bounds; classes and few missing categories are summed out."""
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
            normal = group.normal(k)
            precision = np.linalg.inv(normal.conditional[np.ix_(place, place)])
            shape = (len(group.rows), last.size, last.size)
            matrices = (
                np.broadcast_to(precision, shape),
                np.broadcast_to(np.linalg.cholesky(precision), shape),
            )
            weights, shifts = group.share[k][:, None], np.zeros((1, missing.size))
            if group.combinations is not None:
                weights = group.weights[k]
                shifts = normal.shift[group.combinations].sum(axis=1)
            with np.errstate(divide="ignore"):
                log_weights = np.log(weights)
            candidates += [
                Candidate(log_weight, group.fill[k][:, last] + shift[place], *matrices)
                for log_weight, shift in zip(log_weights.T, shifts, strict=True)
            ]
        sides = [np.broadcast_to(side[last], (len(group.rows), last.size)) for side in (low, high)]
        drawn = draw_within(candidates, sides[0], sides[1], int(limited.sum()), rng)
        numbers[np.ix_(group.rows, last)] = np.clip(drawn, -_LARGEST, _LARGEST)
    return numbers
