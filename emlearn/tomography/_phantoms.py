"""Images of known bodies, to try reconstructions with."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Ellipses of the head, in units of half the image: activity that is added, attenuation that is
# added, half axes, center, and angle in degrees.
_HEAD = (
    (1.00, 0.28, 0.690, 0.920, 0.00, 0.0000, 0.0),
    (-0.80, -0.13, 0.6624, 0.874, 0.00, -0.0184, 0.0),
    (-0.20, -0.01, 0.110, 0.310, 0.22, 0.0000, -18.0),
    (-0.20, -0.01, 0.160, 0.410, -0.22, 0.0000, 18.0),
    (0.10, 0.00, 0.210, 0.250, 0.00, 0.3500, 0.0),
    (0.10, 0.00, 0.046, 0.046, 0.00, 0.1000, 0.0),
    (0.10, 0.00, 0.046, 0.046, 0.00, -0.1000, 0.0),
    (0.10, 0.00, 0.046, 0.023, -0.08, -0.6050, 0.0),
    (0.10, 0.00, 0.023, 0.023, 0.00, -0.6060, 0.0),
    (0.10, 0.00, 0.023, 0.046, 0.06, -0.6050, 0.0),
)
# Width of the image in centimeters, for the coefficients of attenuation.
_WIDTH = 22.0
# Points of each pixel's side at which ellipses are looked at.
_FINE = 4


def shepp_logan(size: int = 128, kind: str = "activity") -> Array:
    """The head of Shepp and Logan, ten ellipses, with higher contrast.

    Parameters
    ----------
    size : int, default=128
        Numbers of rows and of columns.
    kind : {"activity", "attenuation"}, default="activity"
        "activity": where photons come from, 0 outside of the head and 1 at most. "attenuation":
        coefficients of a head 20 cm long in an image 22 cm wide, per pixel, about those at
        140 keV: 0.15 per cm inside, and 0.28 in the skull.

    Returns
    -------
    image : ndarray of shape (size, size)
        Means over the pixels, at 4 x 4 points each.

    Raises
    ------
    ValueError
        If `size` is not a positive integer, or `kind` is neither of the two.

    See Also
    --------
    ParallelBeam : Projects the image.

    References
    ----------
    L. A. Shepp and B. F. Logan (1974). "The Fourier reconstruction of a head section". IEEE
    Transactions on Nuclear Science 21(3), 21-43.

    P. A. Toft (1996). "The Radon transform: theory and implementation". PhD thesis, Technical
    University of Denmark. The contrast of the activity is from there.

    Examples
    --------
    >>> from emlearn.tomography import shepp_logan
    >>> image = shepp_logan(64)
    >>> image.shape
    (64, 64)
    >>> image[32, ::8].round(2)
    array([0. , 0. , 0.2, 0. , 0.2, 0. , 0.2, 0. ])
    """
    if not isinstance(size, Integral) or isinstance(size, bool) or size < 1:
        raise ValueError(f"size must be a positive integer; got {size!r}.")
    if kind not in ("activity", "attenuation"):
        raise ValueError(f'kind must be "activity" or "attenuation"; got {kind!r}.')
    n = int(size)
    place = (2.0 * np.arange(n * _FINE) + 1.0) / (n * _FINE) - 1.0
    x, y = place, -place[:, None]
    image = np.zeros((n, n))
    for activity, attenuation, width, height, x0, y0, degrees in _HEAD:
        angle = np.deg2rad(degrees)
        along = ((x - x0) * np.cos(angle) + (y - y0) * np.sin(angle)) / width
        across = ((y - y0) * np.cos(angle) - (x - x0) * np.sin(angle)) / height
        inside = np.square(along) + np.square(across) <= 1.0
        share = inside.reshape(n, _FINE, n, _FINE).mean(axis=(1, 3))
        image += (activity if kind == "activity" else attenuation) * share
    # Sums of tenths leave rounding errors where there is nothing.
    image = np.maximum(image.round(12), 0.0)
    return image if kind == "activity" else image * (_WIDTH / n)
