"""Scores of persons with standard errors: EAP, MAP, ML and WLE."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn._compat import StrOptions, validate_parameter_constraints
from emlearn.irt._curves import (
    TINY,
    ItemCurves,
    log_likelihood_on_grid,
    of_answers,
)
from emlearn.irt._fitted import Answers, read_fitted
from emlearn.irt._root import root_between

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]

# Step of the grid on which the highest maximum is found, and its nodes that a block holds.
_STEP = 0.2
_PRIOR_WIDTH = 8.0
_NODES_OF_BLOCK = 1 << 21
# Less information than this is none.
_FLAT = 1e-12


@dataclass(frozen=True)
class PersonScores:
    """Scores of persons, as `person_scores` returns them.

    Attributes
    ----------
    score : ndarray of shape (n_persons,)
        Estimated trait of each person.
    standard_error : ndarray of shape (n_persons,)
        Standard errors; posterior standard deviations for "eap". Those of "ml" and "wle" are at
        most the distance of the limits.
    at_limit : ndarray of bool of shape (n_persons,)
        Whether a score is one of the limits, because the likelihood grows up to it and beyond.
        Its standard error is that of a person whose trait is the limit.
    n_answered : ndarray of int of shape (n_persons,)
        Number of items that each person answered.
    method : str
        How the scores were estimated.
    """

    score: Floats
    standard_error: Floats
    at_limit: NDArray[np.bool_]
    n_answered: NDArray[np.intp]
    method: str


def person_scores(
    estimator: Any,
    X: Any,
    *,
    method: str = "eap",
    limits: tuple[float, float] = (-6.0, 6.0),
    groups: Any = None,
    covariates: Any = None,
) -> PersonScores:
    """Scores of persons, who need not be those of the fit, with standard errors.

    Parameters
    ----------
    estimator : ItemResponseEM
        Fitted estimator with one trait.
    X : array-like of shape (n_persons, n_items)
        Answers. NaN means that an item was not presented or not answered.
    method : {"eap", "map", "ml", "wle"}, default="eap"
        "eap" is the mean of the posterior and "map" its mode: they use the distribution of
        the trait, and a person who answered nothing gets its mean. "ml" is the maximum of the
        likelihood, which for perfect and zero scores is at a limit. "wle" is the weighted
        likelihood estimate of Warm (1989), which removes the first-order bias of "ml" and is
        finite for perfect scores. The default has the smallest mean squared error among
        persons of the population; for single persons compared across populations, "wle" has
        the smaller bias.
    limits : tuple of two floats, default=(-6, 6)
        Smallest and largest score of "ml" and "wle".
    groups : array-like of shape (n_persons,), default=None
        Group of each person. Required for "eap" and "map" if the estimator was fitted with
        groups.
    covariates : array-like of shape (n_persons, n_covariates), default=None
        Covariates. Required for "eap" and "map" if the estimator was fitted with covariates.

    Returns
    -------
    scores : PersonScores
        Scores, standard errors, and what was at a limit. All numbers are finite.

    Raises
    ------
    ValueError
        If a parameter is invalid, if the estimator has more than one trait, or if persons who
        answered nothing are scored without a prior. The message names their rows.

    Notes
    -----
    Let l' be the derivative of the log-likelihood of the answers, I the sum over items and
    categories of P'^2 / P (the information) and J that of P' P'' / P. Then "ml" solves
    ``l' = 0``, "map" ``l' = (theta - mean) / variance`` with those of the prior, and "wle"
    ``l' + J / (2 I) = 0``. Where there are several solutions, as there can be with guessing, the
    one with the highest objective is returned; that of "wle" is l plus the integral of
    J / (2 I). Standard errors are ``1 / sqrt(I)``, for "map" ``1 / sqrt(I + 1 / variance)``.

    References
    ----------
    R. D. Bock and R. J. Mislevy (1982). "Adaptive EAP estimation of ability in a
    microcomputer environment". Applied Psychological Measurement 6(4), 431-444.

    T. A. Warm (1989). "Weighted likelihood estimation of ability in item response theory".
    Psychometrika 54(3), 427-450.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn import ItemResponseEM
    >>> from emlearn.irt import person_scores
    >>> rng = np.random.default_rng(0)
    >>> trait, difficulty = rng.normal(size=(500, 1)), np.linspace(-1.5, 1.5, 8)
    >>> X = (rng.logistic(size=(500, 8)) < trait - difficulty).astype(float)
    >>> model = ItemResponseEM("1pl").fit(X)
    >>> perfect = person_scores(model, np.ones((1, 8)), method="wle")
    >>> bool(perfect.at_limit[0]), bool(perfect.score[0] < 6)
    (False, True)
    """
    validate_parameter_constraints(
        {"method": [StrOptions({"eap", "map", "ml", "wle"})]},
        {"method": method},
        caller_name="person_scores",
    )
    fitted = read_fitted(estimator, "person_scores")
    needs_prior = method in ("eap", "map")
    answers = fitted.read(X, groups, covariates, needs_prior=needs_prior)
    return score_answers(fitted.curves, answers, method, limits)


def score_answers(curves: ItemCurves, answers: Answers, method: str, limits: Any) -> PersonScores:
    """Scores of persons whose answers are read already; see `person_scores`."""
    lower, upper = _read_limits(limits)
    codes = answers.codes
    answered = np.sum(codes >= 0, axis=1)
    if method in ("ml", "wle"):
        _require_answers(answered, method)
        return _score_bounded(curves, codes, method, lower, upper)
    if method == "eap":
        score, error = posterior_moments(curves, codes, answers.mean, answers.deviation)
    else:
        score, error = _modes(curves, codes, answers.mean, answers.deviation)
    return PersonScores(score, error, np.zeros(len(score), dtype=bool), answered, method)


def _read_limits(limits: Any) -> tuple[float, float]:
    try:
        lower, upper = (float(limit) for limit in limits)
    except (TypeError, ValueError):
        raise ValueError(
            f"limits must be two numbers, the smallest and the largest score; got {limits!r}."
        ) from None
    if not (np.isfinite(lower) and np.isfinite(upper) and lower < upper):
        raise ValueError(f"limits must be finite, and the first below the second; got {limits!r}.")
    return lower, upper


def _require_answers(answered: NDArray[np.intp], method: str) -> None:
    empty = np.flatnonzero(answered == 0)
    if empty.size:
        rows = ", ".join(map(str, empty[:5])) + (", ..." if empty.size > 5 else "")
        raise ValueError(
            f"method={method!r} needs at least one answer of each person; rows {rows} have none. "
            "Leave them out, or use method='eap' or 'map', which give them the mean of the prior."
        )


# ---- the score function -----------------------------------------------------------------


def score_parts(curves: ItemCurves, codes: Codes, theta: Floats) -> tuple[Floats, Floats, Floats]:
    """Derivative of the log-likelihood, information, and Warm's J of each person."""
    result = np.zeros((3, theta.size))
    for block in curves.blocks(theta.size):
        given = codes[block]
        p, first, second = curves.derivatives(theta[block])
        ratio = first / np.maximum(p, TINY)
        present = (given >= 0).T
        for row, values in enumerate(
            (
                of_answers(ratio, given),
                np.einsum("jki,jki->ji", ratio, first),
                np.einsum("jki,jki->ji", ratio, second),
            )
        ):
            result[row, block] = np.sum(values, axis=0, where=present)
    return result[0], result[1], result[2]


# ---- with a prior -----------------------------------------------------------------------


def posterior_moments(
    curves: ItemCurves, codes: Codes, mean: Floats, deviation: Floats
) -> tuple[Floats, Floats]:
    """Means and standard deviations of the posterior of each person.

    Sums on an equally spaced grid, whose step is at most half of any posterior standard
    deviation, are exact to many digits.
    """
    grid = _prior_grid(curves, mean, deviation)
    table = curves.table(grid)
    score, error = np.empty(len(mean)), np.empty(len(mean))
    size = max(1, _NODES_OF_BLOCK // grid.size)
    for start in range(0, len(mean), size):
        block = slice(start, start + size)
        log = log_likelihood_on_grid(codes[block], table)
        log -= 0.5 * ((grid - mean[block, None]) / deviation[block, None]) ** 2
        weight = np.exp(log - log.max(axis=1, keepdims=True))
        weight /= weight.sum(axis=1, keepdims=True)
        score[block] = weight @ grid
        spread = (grid - score[block, None]) ** 2
        error[block] = np.sqrt(np.sum(weight * spread, axis=1))
    return score, error


def _prior_grid(curves: ItemCurves, mean: Floats, deviation: Floats) -> Floats:
    low = float(np.min(mean - _PRIOR_WIDTH * deviation))
    high = float(np.max(mean + _PRIOR_WIDTH * deviation))
    coarse = np.linspace(low, high, 201)
    information = np.max(np.sum(curves.information(coarse), axis=0))
    narrowest = 1.0 / np.sqrt(information + 1.0 / float(np.min(deviation)) ** 2)
    n_points = int(np.clip(np.ceil((high - low) / (0.5 * narrowest)), 60, 2000)) + 1
    return np.linspace(low, high, n_points)


def _modes(
    curves: ItemCurves, codes: Codes, mean: Floats, deviation: Floats
) -> tuple[Floats, Floats]:
    grid = _search_grid(
        float(np.min(mean - _PRIOR_WIDTH * deviation)),
        float(np.max(mean + _PRIOR_WIDTH * deviation)),
    )
    precision = 1.0 / deviation**2

    def slope(theta: Floats, persons: NDArray[np.intp]) -> tuple[Floats, Floats]:
        score, information, _ = score_parts(curves, codes[persons], theta)
        pull = precision[persons] * (mean[persons] - theta)
        return score + pull, information + precision[persons]

    def log_prior(block: slice) -> Floats:
        result: Floats = -0.5 * precision[block, None] * (grid - mean[block, None]) ** 2
        return result

    score, _ = _highest(curves, codes, grid, slope, log_prior)
    information = score_parts(curves, codes, score)[1]
    return score, 1.0 / np.sqrt(information + precision)


# ---- without a prior --------------------------------------------------------------------


def _score_bounded(
    curves: ItemCurves, codes: Codes, method: str, lower: float, upper: float
) -> PersonScores:
    grid = _search_grid(lower, upper)

    def slope(theta: Floats, persons: NDArray[np.intp]) -> tuple[Floats, Floats]:
        score, information, bias = score_parts(curves, codes[persons], theta)
        if method == "ml":
            return score, information
        return score + 0.5 * bias / np.maximum(information, TINY), information

    log_weight = _warm_weights(curves, codes, grid) if method == "wle" else None
    score, at_limit = _highest(curves, codes, grid, slope, log_weight)
    information = score_parts(curves, codes, score)[1]
    _require_information(curves, codes, grid, information)
    # Far from the items, curves are flat and say only that the score may be anywhere.
    error = 1.0 / np.sqrt(np.maximum(information, (upper - lower) ** -2.0))
    answered = np.sum(codes >= 0, axis=1)
    return PersonScores(score, error, at_limit, answered, method)


def _require_information(
    curves: ItemCurves, codes: Codes, grid: Floats, information: Floats
) -> None:
    """Raise an error if the items of a person say nothing about any trait."""
    low = np.flatnonzero(information < _FLAT)
    if low.size == 0:
        return
    of_items = (codes[low] >= 0).astype(np.float64)
    flat = low[np.max(of_items @ curves.information(grid), axis=1) < _FLAT]
    if flat.size:
        rows = ", ".join(map(str, flat[:5])) + (", ..." if flat.size > 5 else "")
        raise ValueError(
            f"The items that rows {rows} answered say nothing about the trait within the limits: "
            "their discrimination is zero, or they are too easy or too hard. Use method='eap' or "
            "'map', or wider limits."
        )


def _warm_weights(curves: ItemCurves, codes: Codes, grid: Floats) -> Callable[[slice], Floats]:
    """The integral of J / (2 I) from the first point of the grid, for each set of items."""
    patterns, which = np.unique(codes >= 0, axis=0, return_inverse=True)
    which = np.asarray(which).ravel()
    p, first, second = curves.derivatives(grid)
    ratio = first / np.maximum(p, TINY)
    of_items = patterns.astype(np.float64)
    information = of_items @ np.sum(ratio * first, axis=1)
    bias = of_items @ np.sum(ratio * second, axis=1)
    height = 0.5 * bias / np.maximum(information, TINY)
    steps = 0.5 * np.diff(grid) * (height[:, 1:] + height[:, :-1])
    total = np.concatenate([np.zeros((len(patterns), 1)), np.cumsum(steps, axis=1)], axis=1)

    def log_weight(block: slice) -> Floats:
        result: Floats = total[which[block]]
        return result

    return log_weight


def _search_grid(lower: float, upper: float) -> Floats:
    return np.linspace(lower, upper, int(np.ceil((upper - lower) / _STEP)) + 1)


def _highest(
    curves: ItemCurves,
    codes: Codes,
    grid: Floats,
    slope: Callable[[Floats, NDArray[np.intp]], tuple[Floats, Floats]],
    log_weight: Callable[[slice], Floats] | None,
) -> tuple[Floats, NDArray[np.bool_]]:
    """The highest maximum of each person: found on the grid, then solved for."""
    n = codes.shape[0]
    table = curves.table(grid)
    best = np.empty(n, dtype=np.intp)
    size = max(1, _NODES_OF_BLOCK // grid.size)
    for start in range(0, n, size):
        block = slice(start, min(start + size, n))
        objective = log_likelihood_on_grid(codes[block], table)
        if log_weight is not None:
            objective += log_weight(block)
        best[block] = np.argmax(objective, axis=1)
    persons = np.arange(n)
    start_at = grid[best]
    rising = slope(start_at, persons)[0] > 0.0
    at_limit = ((best == 0) & ~rising) | ((best == grid.size - 1) & rising)
    low = np.where(rising, start_at, grid[np.maximum(best - 1, 0)])
    high = np.where(rising, grid[np.minimum(best + 1, grid.size - 1)], start_at)
    inside = np.flatnonzero(~at_limit)
    theta = start_at.copy()

    def of_inside(points: Floats, which: NDArray[np.intp]) -> tuple[Floats, Floats]:
        return slope(points, inside[which])

    theta[inside] = root_between(of_inside, low[inside], high[inside], start_at[inside])
    return theta, at_limit
