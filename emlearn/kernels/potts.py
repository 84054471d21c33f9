"""Mean field of a Potts model on a grid of pixels or voxels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.kernels import compiled
from emlearn.kernels.softmax import row_log_density

Array = NDArray[Any]
Mask = NDArray[np.bool_]


def neighbor_sums(values: Array, coupling: Array) -> Array:
    """Sums of the values of the neighbors of each voxel, times the coupling of their axis.

    Parameters
    ----------
    values : ndarray of shape (n_classes, n_planes, n_lines, length)
        Values; there are none beyond the edges.
    coupling : ndarray of shape (3,)
        Factor of the neighbors along each axis.

    Returns
    -------
    sums : ndarray of the same shape
        The sums.
    """
    sums = np.zeros_like(values)
    for axis, factor in enumerate(coupling, 1):
        before = tuple(slice(-1) if i == axis else slice(None) for i in range(4))
        after = tuple(slice(1, None) if i == axis else slice(None) for i in range(4))
        sums[after] += values.dtype.type(factor) * values[before]
        sums[before] += values.dtype.type(factor) * values[after]
    return sums


def sweep(joint: Array, q: Array, mask: Mask | None, coupling: Array) -> float:
    """Update the mean field once, one color of a checkerboard after the other.

    Neighbors have different colors, so the update of all voxels of a color is exact given the
    others, and none lowers ``sum q (joint - log q) + sum over edges of coupling q'q``.

    Parameters
    ----------
    joint : ndarray of shape (n_classes, n_planes, n_lines, length)
        Log-prior plus log-density of each class; -inf for classes that are excluded.
    q : ndarray of the same shape and dtype
        Probabilities of the classes, 0 outside of the mask. Overwritten by the new ones.
    mask : ndarray of shape (n_planes, n_lines, length) or None
        Voxels of the image; None means all.
    coupling : ndarray of shape (3,)
        Coupling of neighbors along each axis.

    Returns
    -------
    value : float
        What the update makes as high as it can, at the new probabilities.
    """
    if compiled is not None:
        return float(compiled.potts_sweep(joint, q, mask, coupling))
    even = np.indices(q.shape[1:], sparse=True)
    color = sum(even) % 2
    value = 0.0
    for own in (0, 1):
        here = color == own if mask is None else (color == own) & mask
        sums = neighbor_sums(q, coupling)[:, here]
        new = joint[:, here] + sums
        value += float(row_log_density(new).sum())
        if own == 0:
            value -= float(np.vdot(new, sums))
        q[:, here] = new
    return value
