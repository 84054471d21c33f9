"""The M-step of the items: Newton steps with Fisher information, all items at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from emlearn.irt._prior import ItemPrior
from emlearn.irt._responses import ItemParams, ResponseModel

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# A step that gains less than this for each item, in nats, is the last one: Newton steps double
# the number of digits, so it leaves much less.
_SMALL_GAIN = 1e-3
_MAX_STEPS = 10
_MAX_HALVINGS = 20
# Length of a step in any coordinate. Longer ones come from information that is almost zero.
_LONGEST = 2.0


def maximize(
    responses: ResponseModel,
    prior: ItemPrior,
    params: ItemParams,
    theta: Array,
    counts: Array,
    directions: Array,
    has_slope: Mask,
) -> ItemParams:
    """Parameters that maximize the expected log-likelihood of each item plus its log prior.

    Parameters
    ----------
    responses : ResponseModel
        The response model.
    prior : ItemPrior
        The prior.
    params : ItemParams
        Parameters to start from.
    theta : ndarray of shape (n_nodes, n_dims)
        Nodes.
    counts : ndarray of shape (n_items, n_categories, n_nodes)
        Expected counts.
    directions : ndarray of shape (n_items, n_coordinates, n_coordinates)
        Steps are combinations of the columns; columns of zeros mean coordinates that are fixed.
    has_slope : ndarray of bool, of shape (n_items, n_dims)
        Which items have a slope on which dimension.

    Returns
    -------
    params : ItemParams
        The maximum, to within a small gain.
    """
    n_slopes = params.slopes.shape[1]
    has_intercept = responses.is_category[:, 1:]
    share = slope_share(responses)

    def objective(trial: ItemParams) -> Array:
        cells = counts * responses.log_probabilities(trial, theta)
        expected = cells.sum(axis=(1, 2))
        value = expected + prior.log_density(trial, has_slope, has_intercept, share)
        value[~responses.is_valid(trial)] = -np.inf
        return value.sum(keepdims=True) if responses.has_common_slope else value

    value = objective(params)
    for _ in range(_MAX_STEPS):
        gradient, information = responses.newton(params, theta, counts)
        prior.add_to(gradient, information, params, share)
        if responses.has_common_slope:
            step = _joint_step(gradient, information, directions, n_slopes)
        else:
            step = _step(gradient, information, directions)
        gain = (gradient * step).sum(axis=1)
        params, value = _search(responses, objective, params, value, step)
        if gain.max() < _SMALL_GAIN:
            break
    return params


def slope_share(responses: ResponseModel) -> float:
    """Part of the prior of the slopes that each item counts: all count one that is common."""
    return 1.0 / responses.n_items if responses.has_common_slope else 1.0


def _search(
    responses: ResponseModel,
    objective: Callable[[ItemParams], Array],
    params: ItemParams,
    value: Array,
    step: Array,
) -> tuple[ItemParams, Array]:
    """Halve the steps of items whose objective falls; those that never rise stay."""
    slack = 1e-13 * (1.0 + np.abs(value))
    factor = np.ones((len(value), 1))
    for _ in range(_MAX_HALVINGS):
        trial = responses.moved(params, factor * step)
        found = objective(trial)
        falls = ~(found >= value - slack)
        if not falls.any():
            return trial, found
        factor[falls] *= 0.5
    factor[falls] = 0.0
    trial = responses.moved(params, factor * step)
    return trial, objective(trial)


def _step(gradient: Array, information: Array, directions: Array) -> Array:
    """Newton step of each item within its directions."""
    across = directions.transpose(0, 2, 1)
    right = (across @ gradient[:, :, None])[:, :, 0]
    matrix = across @ information @ directions
    step = (directions @ _solve(matrix, right)[:, :, None])[:, :, 0]
    return _bounded(step)


def _joint_step(gradient: Array, information: Array, directions: Array, n_slopes: int) -> Array:
    """Newton step with the same slopes for all items: the intercepts are eliminated."""
    across = directions.transpose(0, 2, 1)
    g = (across @ gradient[:, :, None])[:, :, 0]
    h = across @ information @ directions
    own = _solve(h[:, n_slopes:, n_slopes:], g[:, n_slopes:])
    cross = h[:, n_slopes:, :n_slopes]
    response = np.stack(
        [_solve(h[:, n_slopes:, n_slopes:], cross[:, :, d]) for d in range(n_slopes)], axis=2
    )
    matrix = (h[:, :n_slopes, :n_slopes] - cross.transpose(0, 2, 1) @ response).sum(axis=0)
    right = (g[:, :n_slopes] - (cross * own[:, :, None]).sum(axis=1)).sum(axis=0)
    slopes = _solve(matrix[None], right[None])[0]
    coordinates = np.empty_like(gradient)
    coordinates[:, :n_slopes] = slopes
    coordinates[:, n_slopes:] = own - response @ slopes
    step: Array = (directions @ coordinates[:, :, None])[:, :, 0]
    longest = np.abs(step).max(initial=0.0)
    return step * min(1.0, _LONGEST / longest) if longest > 0.0 else step


def _solve(matrix: Array, right: Array) -> Array:
    """Solutions of small positive semi-definite systems; 0 in coordinates without information."""
    index = np.arange(matrix.shape[1])
    diagonal = matrix[:, index, index]
    scale = 1.0 / np.sqrt(np.where(diagonal > 1e-200, diagonal, 1.0))
    scaled = matrix * scale[:, :, None] * scale[:, None, :]
    # The ridge keeps nearly singular systems solvable; the line search keeps steps honest.
    scaled[:, index, index] = np.where(diagonal > 1e-200, 1.0 + 1e-9, 1.0)
    solution = np.linalg.solve(scaled, (scale * right)[:, :, None])[:, :, 0]
    found: Array = scale * solution
    return found


def _bounded(step: Array) -> Array:
    longest = np.abs(step).max(axis=1, keepdims=True)
    found: Array = step * (_LONGEST / np.maximum(longest, _LONGEST))
    return found
