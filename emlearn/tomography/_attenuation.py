"""What of the photons of each pixel arrives at a detector behind an attenuating body."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from emlearn.tomography._views import View

Array = NDArray[np.float64]


def transmission(lengths: Array, view: View) -> NDArray[np.float32]:
    """Probabilities that photons of the pixels arrive, at each angle of a view.

    Parameters
    ----------
    lengths : ndarray of shape (n_rows, n_columns)
        Attenuation along the side of each pixel.
    view : View
        Angles, with one mirror.

    Returns
    -------
    factors : ndarray of shape (n_angles, n_lines, n_pixels)
        Probabilities, of the mirrored image.
    """
    mirror = view.mirrors[0]
    mirrored = mirror.apply(lengths)
    factors = np.empty((len(view.angles), *mirrored.shape), np.float32)
    for own, cosine, sine in zip(factors, view.cosines, view.sines, strict=True):
        total = _integrals(mirrored, sine / cosine, from_the_last=mirror.turns_depth)
        own[...] = np.exp(-total / cosine)
    return factors


def _integrals(lengths: NDArray[np.floating], tangent: float, from_the_last: bool) -> Array:
    """Sums from the center of each pixel to the end of its ray, in lines crossed."""
    n_lines, n_pixels = lengths.shape
    whole, part = np.divmod(tangent * np.arange(n_lines), 1.0)
    shift = whole.astype(np.intp)[:, None]
    most = int(shift[-1, 0]) + 1
    # Ray r crosses line l at pixel r - most + l tangent, between two pixels.
    padded = np.pad(lengths, ((0, 0), (most, most + 1)))
    line, part = np.arange(n_lines)[:, None], part[:, None]
    at = np.arange(n_pixels + most) + shift
    crossed = (1.0 - part) * padded[line, at] + part * padded[line, at + 1]
    if from_the_last:
        crossed = crossed[::-1]
    total = np.cumsum(crossed, axis=0) - 0.5 * crossed
    if from_the_last:
        total = total[::-1]
    ray = np.arange(n_pixels) + most - shift
    return (1.0 - part) * total[line, ray] + part * total[line, ray - 1]
