"""Coupling of neighbors: weights of the axes, pairs of neighbors, and beta from labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.image._model import ImageData, PottsParams
from emlearn.kernels.potts import neighbor_sums

Array = NDArray[Any]

# Largest beta that is estimated: labels are then constant over any neighborhood.
_LARGEST_BETA = 5.0
_NEWTON_STEPS = 30


def axis_weights(spacing: Any, n_axes: int) -> Array:
    """Weights of neighbors along three axes; of an image of two, the first is 0.

    The face between neighbors has an area proportional to 1 / spacing in voxels of one volume, so
    with these weights the prior measures the area of boundaries. The closest neighbors have
    weight 1.

    References
    ----------
    Y. Boykov and V. Kolmogorov (2003). "Computing geodesics and minimal surfaces via graph
    cuts". Proceedings of the 9th IEEE International Conference on Computer Vision, 26-33.
    """
    weights = np.zeros(3)
    if spacing is None:
        weights[3 - n_axes :] = 1.0
        return weights
    try:
        sizes = np.asarray(spacing, np.float64)
    except (TypeError, ValueError):
        sizes = np.empty(0)
    if sizes.shape != (n_axes,) or not (np.isfinite(sizes) & (sizes > 0.0)).all():
        raise ValueError(
            f"spacing={spacing!r} must have a positive number for each of the {n_axes} axes of "
            "the image in space."
        )
    weights[3 - n_axes :] = sizes.min() / sizes
    return weights


def count_edges(mask: NDArray[np.bool_] | None, shape: tuple[int, int, int]) -> Array:
    """Pairs of neighbors inside of the mask, along each axis."""
    if mask is None:
        n = float(np.prod(shape))
        return np.array([n / size * (size - 1) for size in shape])
    pairs = (mask[1:] & mask[:-1], mask[:, 1:] & mask[:, :-1], mask[..., 1:] & mask[..., :-1])
    return np.array([float(np.count_nonzero(pair)) for pair in pairs])


def pseudo_likelihood_beta(params: PottsParams, data: ImageData, sites: NDArray[np.intp]) -> float:
    """Beta that maximizes the expected pseudo-likelihood of the labels under the mean field.

    Parameters
    ----------
    params : PottsParams
        Parameters with the mean field.
    data : ImageData
        The image.
    sites : ndarray of shape (n_sites,)
        The voxels that count, by their positions in a flat image.

    Returns
    -------
    beta : float
        Between 0 and 5.

    References
    ----------
    J. Besag (1975). "Statistical analysis of non-lattice data". The Statistician 24(3),
    179-195.
    """
    q = params.q
    own, around = (
        values.reshape(len(q), -1)[:, sites].astype(np.float64)
        for values in (q, neighbor_sums(q, data.axis_weights))
    )
    with np.errstate(divide="ignore"):
        prior = np.log(params.weights)[:, None]
    if data.log_atlas is not None:
        prior = data.log_atlas[:, sites].astype(np.float64)
    observed = float(np.vdot(own, around))
    beta, low, high = 0.0, 0.0, _LARGEST_BETA
    for _ in range(_NEWTON_STEPS):
        p = prior + beta * around
        p = np.exp(p - p.max(axis=0))
        p /= p.sum(axis=0)
        mean = (p * around).sum(axis=0)
        slope = observed - float(mean.sum())
        bend = float((p * np.square(around)).sum() - np.square(mean).sum())
        low, high = (beta, high) if slope > 0.0 else (low, beta)
        if low == high:
            break
        new = beta + slope / bend if bend > 0.0 else high
        # The function is concave: what leaves the bracket is too far.
        new = new if low < new < high else 0.5 * (low + high)
        if abs(new - beta) < 1e-6:
            break
        beta = new
    return beta
