"""Rows of any family as points in few dimensions, to be clustered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emlearn.latent.data import Index, LabelData

if TYPE_CHECKING:
    from emlearn.latent.model import LabelModel

Array = NDArray[Any]

# Number of dimensions of the points, at least, and for each component.
_DIMENSIONS = 30
_DIMENSIONS_PER_COMPONENT = 2
# Steps of subspace iteration.
_STEPS = 2


def dense_points(
    model: LabelModel,
    data: LabelData,
    weight: Array,
    rng: np.random.Generator,
    rows: Index | None = None,
) -> Array:
    """Points of shape (n_rows, n_dimensions): all rows, or those at some positions.

    Points of many dimensions, such as documents, are projected to the directions in which they
    differ most. There the means of K components lie, while most of the noise does not.
    """
    X = data.X if rows is None else data.X[rows]
    points = model.family.points(X, data.column_spec)
    size = max(_DIMENSIONS, _DIMENSIONS_PER_COMPONENT * model.n_components)
    if points.shape[1] > size:
        points = points @ _directions(points, weight / weight.mean(), size, rng)
    found: Array = points.toarray() if hasattr(points, "indptr") else points
    return found


def _directions(points: Any, weight: Array, n: int, rng: np.random.Generator) -> Array:
    """An orthonormal basis of the directions with the largest sums of squares, nearly.

    References
    ----------
    N. Halko, P. G. Martinsson and J. A. Tropp (2011). "Finding structure with randomness".
    SIAM Review 53(2), 217-288.
    """
    basis = rng.standard_normal((points.shape[1], n))
    for _ in range(_STEPS):
        basis, _ = np.linalg.qr(points.T @ (weight[:, None] * (points @ basis)))
    return basis
