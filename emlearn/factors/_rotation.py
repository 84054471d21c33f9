"""Rotation of factor loadings by gradient projection.

Loadings A are those of uncorrelated factors. Rotated ones are ``A @ M``: with M orthogonal the
factors stay uncorrelated; otherwise their correlation is ``inv(M' M)``, with ones on its
diagonal. Both leave ``A A'``, and so the likelihood, as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emlearn.data import as_numbers

Array = NDArray[np.float64]
Criterion = Callable[[Array], tuple[float, Array]]

#: Names of the rotations.
ROTATIONS = ("varimax", "promax", "oblimin", "quartimin")

# Gradients at which a search from one of the starts and the final search end, the most steps,
# and how many random starts there are besides the given loadings.
_ROUGH, _FINE, _STEPS, _STARTS = 1e-4, 1e-11, 2000, 8
# What rounding may do to a criterion.
_ROUNDING = 4.0 * float(np.finfo(np.float64).eps)
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
        If the loadings are no matrix of numbers, the rotation is unknown or `gamma` is above 0.

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
    if given.ndim != 2 or 0 in given.shape or not np.isfinite(given).all():
        raise ValueError(
            "loadings must be finite numbers of shape (n_features, n_components), got shape "
            f"{given.shape}."
        )
    if rotation not in ROTATIONS:
        raise ValueError(f"rotation={rotation!r} must be one of {', '.join(ROTATIONS)}.")
    if gamma > 0.0:
        raise ValueError(f"gamma={gamma} must be 0 or negative: there is no minimum above 0.")
    matrix = _find(given, rotation, kaiser, gamma)
    return in_order(given, matrix)


def in_order(unrotated: Array, matrix: Array) -> Rotated:
    """Factors by decreasing sum of squares, each with a positive sum of loadings."""
    loadings = unrotated @ matrix
    order = np.argsort(-np.square(loadings).sum(axis=0), kind="stable")
    matrix = matrix[:, order]
    matrix = matrix * signs(unrotated @ matrix)
    inverse = np.linalg.inv(matrix)
    correlation = inverse @ inverse.T
    return Rotated(unrotated @ matrix, matrix, 0.5 * (correlation + correlation.T))


def signs(loadings: Array) -> Array:
    """1 or -1 for each column, so that its sum is positive, or its largest entry if that is 0."""
    total = loadings.sum(axis=0)
    largest = loadings[np.abs(loadings).argmax(axis=0), np.arange(loadings.shape[1])]
    decisive = np.abs(total) > 1e-8 * np.abs(loadings).sum(axis=0)
    return np.where(np.where(decisive, total, largest) < 0.0, -1.0, 1.0)


def _find(loadings: Array, rotation: str, kaiser: bool | None, gamma: float) -> Array:
    d, k = loadings.shape
    if k == 1:
        return np.eye(1)
    orthogonal = rotation in ("varimax", "promax")
    if kaiser if kaiser is not None else orthogonal:
        length = np.sqrt(np.square(loadings).sum(axis=1, keepdims=True))
        scaled = loadings / np.where(length > 0.0, length, 1.0)
    else:
        scaled = loadings
    # Criteria are of fourth degree: a common unit makes the limits below relative.
    size = np.sqrt(np.square(scaled).sum() / d)
    scaled = scaled / size if size > 0.0 else scaled
    if orthogonal:
        turned = _best(scaled, _varimax, _turn_orthogonal, k)
        return _promax(loadings, turned) if rotation == "promax" else turned
    weight = np.eye(d) - gamma / d if gamma else None

    def criterion(candidate: Array) -> tuple[float, Array]:
        squares = np.square(candidate)
        others = squares.sum(axis=1, keepdims=True) - squares
        if weight is not None:
            others = weight @ others
        return 0.25 * float((squares * others).sum()), candidate * others

    return _best(scaled, criterion, _turn_oblique, k)


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
    search: Callable[[Array, Criterion, Array, float], tuple[float, Array]],
    k: int,
) -> Array:
    rng = np.random.default_rng(0)
    found, best = search(loadings, criterion, np.eye(k), _ROUGH)
    for _ in range(_STARTS):
        start = np.linalg.qr(rng.standard_normal((k, k)))[0]
        value, turn = search(loadings, criterion, start, _ROUGH)
        # Equal minima, up to order and signs, differ by what the search leaves.
        if value < found - 1e-6 * max(1.0, abs(found)):
            found, best = value, turn
    turn = search(loadings, criterion, best, _FINE)[1]
    return turn if search is _turn_orthogonal else np.asarray(np.linalg.inv(turn).T, np.float64)


def _turn_orthogonal(
    loadings: Array, criterion: Criterion, start: Array, limit: float
) -> tuple[float, Array]:
    def evaluate(turn: Array) -> tuple[float, Array]:
        value, slope = criterion(loadings @ turn)
        return value, loadings.T @ slope

    def project(turn: Array, gradient: Array) -> Array:
        product = turn.T @ gradient
        tangent: Array = gradient - turn @ (0.5 * (product + product.T))
        return tangent

    def retract(turn: Array) -> Array | None:
        left, _, right = np.linalg.svd(turn)
        nearest: Array = left @ right
        return nearest

    return _descend(evaluate, project, retract, start, limit)


def _turn_oblique(
    loadings: Array, criterion: Criterion, start: Array, limit: float
) -> tuple[float, Array]:
    """Over matrices T with columns of length 1; the loadings are ``A @ inv(T)'``."""

    def evaluate(turn: Array) -> tuple[float, Array]:
        inverse = np.linalg.inv(turn)
        rotated = loadings @ inverse.T
        value, slope = criterion(rotated)
        return value, -(rotated.T @ slope @ inverse).T

    def project(turn: Array, gradient: Array) -> Array:
        tangent: Array = gradient - turn * (turn * gradient).sum(axis=0)
        return tangent

    def retract(turn: Array) -> Array | None:
        unit = turn / np.sqrt(np.square(turn).sum(axis=0))
        # Factors that coincide have no loadings.
        return unit if np.linalg.svd(unit, compute_uv=False)[-1] > 1e-6 else None

    return _descend(evaluate, project, retract, start, limit)


def _descend(
    evaluate: Callable[[Array], tuple[float, Array]],
    project: Callable[[Array, Array], Array],
    retract: Callable[[Array], Array | None],
    turn: Array,
    limit: float,
) -> tuple[float, Array]:
    """Gradient projection with step lengths that are doubled and halved."""
    value, gradient = evaluate(turn)
    tangent = project(turn, gradient)
    length = 1.0
    for _ in range(_STEPS):
        slope = float(np.square(tangent).sum())
        size = max(1.0, abs(value))
        if np.sqrt(slope) <= limit * size:
            break
        length *= 2.0
        for _ in range(30):
            candidate = retract(turn - length * tangent)
            if candidate is not None:
                new_value, gradient = evaluate(candidate)
                new_tangent = project(candidate, gradient)
                if new_value <= value - 0.5 * slope * length:
                    break
                # Where rounding hides what a step gains, the gradient has to shrink.
                hidden = new_value <= value + _ROUNDING * size
                if hidden and np.square(new_tangent).sum() <= 0.9 * slope:
                    break
            length *= 0.5
        else:
            break
        turn, value, tangent = candidate, new_value, new_tangent
    return value, turn
