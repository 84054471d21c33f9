"""Abilities at which a score function is zero, for many persons at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
# A step shorter than this ends the search: far below any standard error.
_SHORT = 1e-10
_STEPS = 80


def root_between(
    slope: Callable[[Floats, Indices], tuple[Floats, Floats]],
    low: Floats,
    high: Floats,
    start: Floats,
) -> Floats:
    """Where functions that fall from low to high cross zero.

    Newton's step with the information as curvature, then secants. A step that leaves the
    bracket, or three that do not halve it, are replaced by its middle.

    Parameters
    ----------
    slope : callable
        ``slope(theta, persons)`` returns the function of some persons and the information.
    low, high : ndarray of shape (n_persons,)
        Brackets.
    start : ndarray of shape (n_persons,)
        First points, within the brackets.

    Returns
    -------
    theta : ndarray of shape (n_persons,)
        The roots; an end of the bracket where the function does not change its sign.
    """
    low, high, theta = low.copy(), high.copy(), start.copy()
    persons = np.arange(theta.size)
    width = high - low
    before, value_before = theta.copy(), np.full(theta.size, np.nan)
    for step in range(_STEPS):
        if persons.size == 0:
            break
        now = theta[persons]
        value, information = slope(now, persons)
        rising = value > 0.0
        low[persons[rising]] = now[rising]
        high[persons[~rising]] = now[~rising]
        curvature = np.maximum(information, 1e-12)
        moved = before[persons] - now
        with np.errstate(divide="ignore", invalid="ignore"):
            secant = (value - value_before[persons]) / moved
        usable = np.isfinite(secant) & (secant > 0.0)
        curvature = np.where(usable, secant, curvature)
        a, b = low[persons], high[persons]
        proposed = now + value / curvature
        slow = (step % 3 == 2) & (b - a > 0.5 * width[persons])
        middle = 0.5 * (a + b)
        proposed = np.where(slow | (proposed <= a) | (proposed >= b), middle, proposed)
        if step % 3 == 2:
            width[persons] = b - a
        before[persons], value_before[persons] = now, value
        theta[persons] = proposed
        done = (np.abs(proposed - now) <= _SHORT) | (value == 0.0)
        theta[persons[value == 0.0]] = now[value == 0.0]
        persons = persons[~done]
    return theta
