"""Information about the parameters: second derivatives of the objective, and scores of rows.

The score of the observed data is the gradient of the expected complete-data objective at the
parameters (Fisher's identity), which a model computes from the statistics of one E-step. The
observed information is minus its derivative (Oakes 1999: the derivative at a fixed posterior
plus that through the posterior). Both terms together are one central difference of scores, so p
coordinates take 2 p E-steps. A model without a score takes about 2 p^2 for differences of the
objective.

All derivatives are with respect to the free coordinates of a `ParameterSpace`. The rest is
linear algebra: covariances of all published entries follow by the delta method.

References
----------
D. Oakes (1999). "Direct calculation of the information matrix via the EM algorithm".
Journal of the Royal Statistical Society B 61(2), 479-482.

T. A. Louis (1982). "Finding the observed information matrix when using the EM algorithm".
Journal of the Royal Statistical Society B 44(2), 226-233.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.engine.blocks import BlockMapper, Threads
from emlearn.engine.errors import DegenerateModelError
from emlearn.engine.model import LatentVariableModel
from emlearn.engine.parameters import Coordinates

Array = NDArray[np.float64]
Model = LatentVariableModel[Any, Any, Any]

# Step of central differences of scores and of log-likelihoods of rows, in units of the
# directions, which are lengths of moderate change of a single row.
_STEP = 1e-4
# Step of differences of the objective, in standard errors.
_ERRORS = 0.03
# Step of second differences of log-likelihoods of rows, in units of the directions.
_WIDE = 1e-3
# Part of them that their error may be, and what rounding makes of 0.
_INEXACT, _NOTHING = 1e-3, 1e-6
# How often a step that leaves the parameters is made shorter.
_TRIES = 12


class Information(NamedTuple):
    """Information about the free coordinates.

    Attributes
    ----------
    score : ndarray of shape (n_free,)
        Gradient of the objective.
    matrix : ndarray of shape (n_free, n_free)
        Information: minus the second derivatives, or the sum of squares of scores.
    n_e_steps : int
        E-steps, or passes over the rows, that it took.
    """

    score: Array
    matrix: Array
    n_e_steps: int


class _Objective:
    """Objective and score of a model as functions of coordinates; counts E-steps."""

    def __init__(self, model: Model, e_step: BlockMapper, params: Any, around: Coordinates):
        self._model, self._e_step, self._params, self._around = model, e_step, params, around
        self.n_e_steps = 0

    def params(self, vector: Array) -> Any:
        """Parameters at coordinates."""
        return self._model.from_public(self._around.move(vector), self._params)

    def value(self, vector: Array) -> float:
        """Log-likelihood plus log prior."""
        params = self.params(vector)
        self.n_e_steps += 1
        return self._e_step(params)[1] + self._model.log_prior(params)

    def score(self, vector: Array) -> Array:
        """Gradient of the objective."""
        params = self.params(vector)
        self.n_e_steps += 1
        statistics, _ = self._e_step(params)
        return self._around.pull(self._model.score(statistics, params), vector)


def observed_information(
    model: Model, data: Any, params: Any, around: Coordinates, *, n_threads: int = 1
) -> Information:
    """Minus the second derivatives of the objective.

    Parameters
    ----------
    model : LatentVariableModel
        The model.
    data : object
        What `model.prepare` returned.
    params : object
        Parameters whose published form is the point of `around`.
    around : Coordinates
        The free coordinates.
    n_threads : int, default=1
        Threads of the E-step; the result does not depend on it.

    Returns
    -------
    information : Information
        The score, the information, and its cost.
    """
    with BlockMapper(model, data, Threads(n_threads)) as e_step:
        objective = _Objective(model, e_step, params, around)
        find = _by_scores if model.has_score else _by_values
        score, matrix = find(objective, around.n_free)
    return Information(score, 0.5 * (matrix + matrix.T), objective.n_e_steps)


def empirical_information(model: Model, data: Any, params: Any, around: Coordinates) -> Information:
    """Sum of the squares of the scores of the observations.

    An observation of weight w counts as w observations. The prior has a part in the score only.

    Parameters
    ----------
    model : LatentVariableModel
        The model; it defines `log_likelihoods`.
    data : object
        What `model.prepare` returned.
    params : object
        Parameters whose published form is the point of `around`.
    around : Coordinates
        The free coordinates.

    Returns
    -------
    information : Information
        The score of the objective, the information, and its cost.
    """
    scores, weight = row_scores(model, data, params, around)
    weighted = scores * weight[:, None]

    def log_prior(vector: Array) -> Array:
        return np.asarray(model.log_prior(model.from_public(around.move(vector), params)))

    n = around.n_free
    prior = [float(_central(log_prior, _unit(j, n), _STEP)) for j in range(n)]
    return Information(weighted.sum(axis=0) + prior, scores.T @ weighted, 2 * n)


def row_scores(model: Model, data: Any, params: Any, around: Coordinates) -> tuple[Array, Array]:
    """Gradients of the log-likelihoods of the observations, (n_rows, n_free), and weights."""
    _, weight = model.log_likelihoods(data, params)
    scores = np.empty((len(weight), around.n_free))

    def values(vector: Array) -> Array:
        return model.log_likelihoods(data, model.from_public(around.move(vector), params))[0]

    for j in range(around.n_free):
        scores[:, j] = _central(values, _unit(j, around.n_free), _STEP)
    return scores, weight


def flat_along(
    model: Model, data: Any, params: Any, around: Coordinates, directions: Array
) -> NDArray[np.bool_]:
    """Whether the likelihood of each row stays the same along directions without scores.

    Along a curve of equal likelihoods, the second derivative of each row along the direction is
    its score along another direction, that in which the curve bends. It is not if scores vanish
    for another reason: of a Gaussian, those of the mean and the variance of a binary column
    depend on each other, but its likelihood has a maximum.

    Parameters
    ----------
    model, data, params, around : object
        As for `empirical_information`.
    directions : ndarray of shape (n_free, n_directions)
        Directions along which the scores of all rows vanish.

    Returns
    -------
    flat : ndarray of shape (n_directions,)
        Whether nothing changes.
    """
    scores, weight = row_scores(model, data, params, around)
    root = np.sqrt(weight)
    weighted = scores * root[:, None]

    def values(vector: Array) -> Array:
        return model.log_likelihoods(data, model.from_public(around.move(vector), params))[0]

    middle = values(np.zeros(around.n_free))
    flat = np.empty(directions.shape[1], bool)
    for j, direction in enumerate(directions.T):
        unit = direction / np.linalg.norm(direction)
        step, above, below = _both_sides(values, unit, _WIDE)
        second = root * (above + below - 2.0 * middle) / step**2
        bend = np.linalg.lstsq(weighted, second, rcond=1e-6)[0]
        left = np.linalg.norm(second - weighted @ bend)
        nothing = _NOTHING * np.linalg.norm(root)
        flat[j] = left <= max(_INEXACT * np.linalg.norm(second), nothing)
    return flat


def _by_scores(objective: _Objective, n: int) -> tuple[Array, Array]:
    """Score, and its negative derivative by central differences."""
    matrix = np.empty((n, n))
    for j in range(n):
        matrix[:, j] = -_central(objective.score, _unit(j, n), _STEP)
    return objective.score(np.zeros(n)), matrix


def _by_values(objective: _Objective, n: int) -> tuple[Array, Array]:
    """Score and information from differences of the objective alone.

    The steps are a few hundredths of the conditional standard errors, where rounding and higher
    derivatives both are small; one round finds these errors.
    """
    score, matrix = np.empty(n), np.empty((n, n))
    steps = np.empty(n)
    middle = objective.value(np.zeros(n))
    above, below = np.empty(n), np.empty(n)
    for j in range(n):
        step = 1e-2
        for _ in range(3):
            step, above[j], below[j] = _both_sides(objective.value, _unit(j, n), step)
            curvature = (2.0 * middle - above[j] - below[j]) / step**2
            wanted = _ERRORS / np.sqrt(curvature) if curvature > 0.0 else 4.0 * step
            if 0.5 * step < wanted < 2.0 * step:
                break
            step = wanted
        step, above[j], below[j] = _both_sides(objective.value, _unit(j, n), step)
        _, far_above, far_below = _both_sides(objective.value, _unit(j, n), 0.5 * step)
        near = (2.0 * middle - far_above - far_below) / (0.5 * step) ** 2
        wide = (2.0 * middle - above[j] - below[j]) / step**2
        # Richardson's extrapolation: the error is of the fourth order.
        matrix[j, j] = (4.0 * near - wide) / 3.0
        score[j] = (8.0 * (far_above - far_below) - (above[j] - below[j])) / (6.0 * step)
        steps[j] = step
    for i in range(n):
        for j in range(i):
            matrix[i, j] = matrix[j, i] = -_mixed(objective.value, i, j, steps)
    return score, matrix


def _mixed(value: Callable[[Array], float], i: int, j: int, steps: Array) -> float:
    """Mixed second derivative, with an error of the fourth order."""
    found = []
    for factor in (1.0, 0.5):
        a, b = _unit(i, len(steps)) * steps[i] * factor, _unit(j, len(steps)) * steps[j] * factor
        cross = value(a + b) - value(a - b) - value(b - a) + value(-a - b)
        found.append(cross / (4.0 * factor**2 * steps[i] * steps[j]))
    return (4.0 * found[1] - found[0]) / 3.0


def _both_sides(
    value: Callable[[Array], Any], direction: Array, step: float
) -> tuple[float, Any, Any]:
    """Values on both sides of the point, at a shorter step if there are none at this one."""
    for _ in range(_TRIES):
        try:
            return step, value(step * direction), value(-step * direction)
        except (DegenerateModelError, ValueError, np.linalg.LinAlgError) as error:
            step, reason = 0.1 * step, error
    raise DegenerateModelError(
        f"the parameters are at the edge of what is possible ({reason})"
    ) from reason


def _central(value: Callable[[Array], Array], direction: Array, step: float) -> Array:
    step, above, below = _both_sides(value, direction, step)
    return np.asarray((above - below) / (2.0 * step))


def _unit(j: int, n: int) -> Array:
    found = np.zeros(n)
    found[j] = 1.0
    return found
