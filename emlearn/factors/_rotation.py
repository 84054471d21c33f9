"""Rotation of factor loadings by gradient projection.

Loadings A are those of uncorrelated factors. Rotated ones are ``A @ M``: with M orthogonal the
factors stay uncorrelated; otherwise their correlation is ``inv(M' M)``, with ones on its
diagonal. Both leave ``A A'``, and so the likelihood, as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emlearn.data import as_numbers
from emlearn.distributions.gaussian.rotation import signs
from emlearn.distributions.gaussian.scaling import power_of_two

Array = NDArray[np.float64]
Criterion = Callable[[Array], tuple[float, Array]]

#: Names of the rotations.
ROTATIONS = ("varimax", "promax", "oblimin", "quartimin")

# Gradient at which a search ends, the most steps, and how many random starts there are besides
# the given loadings.
_GRADIENT, _STEPS, _STARTS = 1e-3, 300, 8
# Newton's method at the end: most steps, and step of differences of gradients.
_NEWTON, _DIFFERENCE = 8, 1e-5
_POWER = 4


class Rotated(NamedTuple):
    """Rotated loadings.

    Attributes
    ----------
    loadings : ndarray of shape (n_features, n_components)
        The loadings, ``unrotated @ rotation_matrix``; factors by decreasing sum of squares, each
        with a positive sum.
    rotation_matrix : ndarray of shape (n_components, n_components)
        The matrix.
    factor_correlation : ndarray of shape (n_components, n_components)
        Correlation of the factors.
    """

    loadings: Array
    rotation_matrix: Array
    factor_correlation: Array


def rotate(
    loadings: ArrayLike,
    rotation: str = "varimax",
    *,
    kaiser: bool | None = None,
    gamma: float = 0.0,
) -> Rotated:
    """Rotate factor loadings to simple structure.

    Parameters
    ----------
    loadings : array-like of shape (n_features, n_components)
        Loadings of uncorrelated factors.
    rotation : {"varimax", "promax", "oblimin", "quartimin"}, default="varimax"
        Criterion. "varimax": orthogonal; the variances of the squared loadings of each factor
        are largest. "promax": oblique; a regression of the fourth powers of the varimax
        loadings on these. "oblimin": oblique; squared loadings of different factors have the
        smallest covariances. "quartimin" is "oblimin" with ``gamma=0``.
    kaiser : bool, default=None
        Whether rows are scaled to length 1 for the search (Kaiser), so that each column of the
        data counts the same. None: yes for "varimax" and "promax", no for the others, as in R.
    gamma : float, default=0.0
        Of "oblimin": 0 or negative; the lower, the less the factors are correlated.

    Returns
    -------
    rotated : Rotated
        Loadings, rotation matrix and correlation of the factors.

    Raises
    ------
    ValueError
        If the loadings are no matrix of finite numbers, the rotation is unknown, `kaiser` is no
        bool, or `gamma` is above 0 or given for another rotation than "oblimin".

    Notes
    -----
    Criteria can have several local minima. The search starts from the given loadings and from
    eight turns at random (always the same), and keeps the best.

    References
    ----------
    C. A. Bernaards and R. I. Jennrich (2005). "Gradient projection algorithms and software for
    arbitrary rotation criteria in factor analysis". Educational and Psychological Measurement
    65(5), 676-696.

    H. F. Kaiser (1958). "The varimax criterion for analytic rotation in factor analysis".
    Psychometrika 23(3), 187-200.

    A. E. Hendrickson and P. O. White (1964). "Promax: a quick method for rotation to oblique
    simple structure". British Journal of Statistical Psychology 17(1), 65-70.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.factors import rotate
    >>> loadings = [[0.6, 0.6], [0.5, 0.5], [0.5, -0.5], [0.6, -0.6]]
    >>> rotate(loadings).loadings.round(3) + 0.0
    array([[0.849, 0.   ],
           [0.707, 0.   ],
           [0.   , 0.707],
           [0.   , 0.849]])
    """
    given = as_numbers(loadings, "loadings")
    if given.ndim != 2 or 0 in given.shape:
        raise ValueError(
            f"loadings must have shape (n_features, n_components), got shape {given.shape}."
        )
    if not np.isfinite(given).all():
        raise ValueError("loadings has entries that are NaN or infinite.")
    if rotation not in ROTATIONS:
        raise ValueError(f"rotation={rotation!r} must be one of {', '.join(ROTATIONS)}.")
    if kaiser is not None and not isinstance(kaiser, bool | np.bool_):
        raise ValueError(f"kaiser must be True, False or None, got {kaiser!r}.")
    if not isinstance(gamma, Real) or not -np.inf < gamma <= 0.0:
        raise ValueError(
            f"gamma={gamma!r} must be a number, 0 or negative: there is no minimum above 0."
        )
    if gamma and rotation != "oblimin":
        raise ValueError(f'gamma={gamma!r} says nothing with {rotation!r}. Use "oblimin".')
    # Loadings of any size: their squares and fourth powers neither overflow nor vanish.
    size = float(power_of_two(np.abs(given).max())) if given.any() else 1.0
    unit = given / size
    found = in_order(unit, _find(unit, rotation, kaiser, float(gamma)))
    return found._replace(loadings=found.loadings * size)


def in_order(unrotated: Array, matrix: Array) -> Rotated:
    """Factors by decreasing sum of squares, each with a positive sum of loadings."""
    loadings = unrotated @ matrix
    order = np.argsort(-np.square(loadings).sum(axis=0), kind="stable")
    matrix = matrix[:, order]
    matrix = matrix * signs(unrotated @ matrix)
    inverse = np.linalg.inv(matrix)
    correlation = inverse @ inverse.T
    return Rotated(unrotated @ matrix, matrix, 0.5 * (correlation + correlation.T))


def rotation_near(loadings: Array, rotation: str, near: Array) -> Array:
    """The rotation matrix of nearly the same loadings: the local minimum next to another one."""
    return _find(loadings, rotation, None, 0.0, near)


def _find(
    loadings: Array, rotation: str, kaiser: bool | None, gamma: float, near: Array | None = None
) -> Array:
    d, k = loadings.shape
    if k == 1:
        return np.eye(1)
    orthogonal = rotation in ("varimax", "promax")
    if kaiser if kaiser is not None else orthogonal:
        length = np.sqrt(np.square(loadings).sum(axis=1, keepdims=True))
        scaled = loadings / np.where(length > 0.0, length, 1.0)
    else:
        scaled = loadings
    # Criteria are of fourth degree: a common unit makes the limits of the search relative.
    size = np.sqrt(np.square(scaled).sum() / d)
    scaled = scaled / size if size > 0.0 else scaled
    start = None
    if near is not None:
        left, _, right = np.linalg.svd(near)
        start = left @ right if orthogonal else np.asarray(np.linalg.inv(near).T, np.float64)
    if orthogonal:
        turned = _best(scaled, _varimax, _Orthogonal, k, start)
        return _promax(loadings, turned) if rotation == "promax" else turned
    weight = np.eye(d) - gamma / d if gamma else None

    def criterion(candidate: Array) -> tuple[float, Array]:
        squares = np.square(candidate)
        others = squares.sum(axis=1, keepdims=True) - squares
        if weight is not None:
            others = weight @ others
        return 0.25 * float((squares * others).sum()), candidate * others

    turn = _best(scaled, criterion, _Oblique, k, start)
    return np.asarray(np.linalg.inv(turn).T, np.float64)


def _varimax(loadings: Array) -> tuple[float, Array]:
    squares = np.square(loadings)
    deviation = squares - squares.mean(axis=0)
    return -0.25 * float(np.square(deviation).sum()), -loadings * deviation


def _promax(loadings: Array, turned: Array) -> Array:
    """Regression of powers of the varimax loadings on these, scaled to variances of 1."""
    varimax = loadings @ turned
    target = varimax * np.abs(varimax) ** (_POWER - 1)
    coefficients = np.linalg.lstsq(varimax, target, rcond=None)[0]
    try:
        variances = np.diagonal(np.linalg.inv(coefficients.T @ coefficients))
    except np.linalg.LinAlgError:
        return turned
    if not (np.isfinite(variances).all() and (variances > 0.0).all()):
        return turned
    matrix: Array = turned @ (coefficients * np.sqrt(variances))
    return matrix


def _best(
    loadings: Array,
    criterion: Criterion,
    on: type[_Turns],
    k: int,
    start: Array | None,
) -> Array:
    """The best of the minima from several starts, or that next to a given one."""
    turns = on(loadings, criterion)
    if start is None:
        rng = np.random.default_rng(0)
        found, start = turns.descend(np.eye(k))
        for _ in range(_STARTS):
            random = np.linalg.qr(rng.standard_normal((k, k)))[0]
            value, turn = turns.descend(np.asarray(random, np.float64))
            # Equal minima, up to order and signs, differ by what the search leaves.
            if value < found - 1e-6 * max(1.0, abs(found)):
                found, start = value, turn
    else:
        start = turns.descend(start)[1]
    return turns.polish(start)


class _Turns:
    """A set of matrices T, and a criterion of the loadings that T makes."""

    def __init__(self, loadings: Array, criterion: Criterion):
        self.loadings, self.criterion = loadings, criterion

    def evaluate(self, turn: Array) -> tuple[float, Array]:
        """Criterion, and its derivatives within the set."""
        raise NotImplementedError

    def retract(self, turn: Array) -> Array | None:
        """The closest matrix of the set; None if there is no sensible one."""
        raise NotImplementedError

    def basis(self, turn: Array) -> Array:
        """Orthonormal directions within the set, (n_directions, k, k)."""
        raise NotImplementedError

    def descend(self, turn: Array) -> tuple[float, Array]:
        """Gradient projection with step lengths that are doubled and halved."""
        value, tangent = self.evaluate(turn)
        length = 1.0
        for _ in range(_STEPS):
            slope = float(np.square(tangent).sum())
            if np.sqrt(slope) <= _GRADIENT * max(1.0, abs(value)):
                break
            length *= 2.0
            for _ in range(30):
                candidate = self.retract(turn - length * tangent)
                if candidate is not None:
                    new_value, new_tangent = self.evaluate(candidate)
                    if new_value <= value - 0.5 * slope * length:
                        break
                length *= 0.5
            else:
                break
            turn, value, tangent = candidate, new_value, new_tangent
        return value, turn

    def polish(self, turn: Array) -> Array:
        """Newton's method for a gradient of 0, as long as the gradient shrinks."""
        value, tangent = self.evaluate(turn)
        for _ in range(_NEWTON):
            directions = self.basis(turn)
            hessian = np.empty((len(directions), len(directions)))
            for j, direction in enumerate(directions):
                sides = [self.retract(turn + h * direction) for h in (_DIFFERENCE, -_DIFFERENCE)]
                if sides[0] is None or sides[1] is None:
                    return turn
                change = self.evaluate(sides[0])[1] - self.evaluate(sides[1])[1]
                hessian[:, j] = np.tensordot(directions, change, 2) / (2.0 * _DIFFERENCE)
            gradient = np.tensordot(directions, tangent, 2)
            # Directions without curvature are none along which loadings change.
            step = np.linalg.lstsq(0.5 * (hessian + hessian.T), gradient, rcond=1e-8)[0]
            candidate = self.retract(turn - np.tensordot(step, directions, 1))
            if candidate is None:
                return turn
            new_value, new_tangent = self.evaluate(candidate)
            higher = new_value > value + 1e-12 * max(1.0, abs(value))
            if higher or not np.square(new_tangent).sum() < 0.25 * np.square(tangent).sum():
                return turn
            turn, value, tangent = candidate, new_value, new_tangent
        return turn


class _Orthogonal(_Turns):
    """Orthogonal matrices; the loadings are ``A @ T``."""

    def evaluate(self, turn: Array) -> tuple[float, Array]:
        value, slope = self.criterion(self.loadings @ turn)
        gradient = self.loadings.T @ slope
        product = turn.T @ gradient
        return value, gradient - turn @ (0.5 * (product + product.T))

    def retract(self, turn: Array) -> Array | None:
        left, _, right = np.linalg.svd(turn)
        return np.asarray(left @ right, np.float64)

    def basis(self, turn: Array) -> Array:
        k = len(turn)
        found = np.zeros((k * (k - 1) // 2, k, k))
        for place, (a, b) in enumerate(zip(*np.triu_indices(k, 1), strict=True)):
            found[place, a, b], found[place, b, a] = np.sqrt(0.5), -np.sqrt(0.5)
        return np.asarray(turn @ found, np.float64)


class _Oblique(_Turns):
    """Matrices with columns of length 1; the loadings are ``A @ inv(T)'``."""

    def evaluate(self, turn: Array) -> tuple[float, Array]:
        inverse = np.linalg.inv(turn)
        rotated = self.loadings @ inverse.T
        value, slope = self.criterion(rotated)
        gradient = -(rotated.T @ slope @ inverse).T
        return value, gradient - turn * (turn * gradient).sum(axis=0)

    def retract(self, turn: Array) -> Array | None:
        unit = turn / np.sqrt(np.square(turn).sum(axis=0))
        # Factors that coincide have no loadings.
        return unit if np.linalg.svd(unit, compute_uv=False)[-1] > 1e-6 else None

    def basis(self, turn: Array) -> Array:
        k = len(turn)
        found = np.zeros((k * (k - 1), k, k))
        for j in range(k):
            across = np.linalg.svd(turn[:, j : j + 1])[0][:, 1:]
            found[j * (k - 1) : (j + 1) * (k - 1), :, j] = across.T
        return found
