"""Convolution: the blur of an image as a system."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import prod

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft
from scipy.ndimage import correlate1d

from emlearn.data import as_numbers
from emlearn.engine.threads import available_threads
from emlearn.tomography._systems import System

Array = NDArray[np.float64]

# A blur that is a product of one-dimensional ones with fewer weights than this, all together, is
# faster without Fourier transforms.
_FEW_WEIGHTS = 32

# A pixel of less sensitivity can be so bright, as all that the window shows of it is so little,
# that the rounding errors of its Fourier transform drown the rest of the image.
_LEAST_SENSITIVITY = 1e-6


class Convolution(System):
    """The blur of an image by a point spread function that is the same everywhere.

    The camera sees a window. What lies outside of it, but near enough for its light to be blurred
    into it, belongs to the image, which is larger than the window by the size of the point spread
    function minus 1.

    Parameters
    ----------
    psf : array-like
        Point spread function, not negative. It is divided by its sum.
    window_shape : tuple of int
        Shape of the window, with as many dimensions as `psf`.
    extend : bool, default=True
        Whether the image is larger than the window. If not, all light comes from the window.

    Attributes
    ----------
    n_rays, n_pixels : int
        Numbers of pixels of the window and of the image.
    image_shape : tuple of int
        Shape of the image.
    window_shape : tuple of int
        Shape of the window.
    psf : ndarray
        Point spread function with sum 1.

    Raises
    ------
    ValueError
        If `psf` is negative, not finite, 0, or has another number of dimensions than the window.

    See Also
    --------
    RichardsonLucyEM : Deconvolution with this system.

    Notes
    -----
    The center of a point spread function with an even number of entries is the first of the two
    in the middle. The sensitivity of a pixel is the part of its light that falls into the window.

    The convolution is by Fourier transforms, padded so that nothing wraps around, or, if the point
    spread function is the product of short one-dimensional ones, one dimension after another.
    By Fourier transforms, pixels of which the window sees less than a millionth count as not seen.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.tomography import Convolution
    >>> system = Convolution([0.25, 0.5, 0.25], (4,))
    >>> system.image_shape
    (6,)
    >>> system.sensitivity()
    array([0.25, 0.75, 1.  , 1.  , 0.75, 0.25])
    """

    def __init__(self, psf: ArrayLike, window_shape: Sequence[int], *, extend: bool = True) -> None:
        self.psf = read_psf(psf)
        self.window_shape = tuple(int(n) for n in window_shape)
        if len(self.window_shape) != self.psf.ndim or min(self.window_shape) < 1:
            raise ValueError(
                f"The images have shape {self.window_shape}, but psf has shape {self.psf.shape}; "
                "it needs as many dimensions, and images need pixels."
            )
        sizes = zip(self.window_shape, self.psf.shape, strict=True)
        self._extended = tuple(n + k - 1 for n, k in sizes)
        self._window = tuple(
            slice(k - 1 - (k - 1) // 2, n + k - 1 - (k - 1) // 2)
            for n, k in zip(self.window_shape, self.psf.shape, strict=True)
        )
        self.extend = bool(extend)
        image_shape = self._extended if self.extend else self.window_shape
        super().__init__(prod(self.window_shape), prod(image_shape), image_shape)
        self._axes = tuple(range(1, 1 + self.psf.ndim))
        self._factors = _factors(self.psf)
        self._unseen = np.zeros(0, dtype=np.intp)
        if self._factors is None:
            self._padded = [fft.next_fast_len(n, real=True) for n in self._extended]
            self._response = fft.rfftn(self.psf, self._padded)
            self._conjugate = self._response.conj()
            self._unseen = np.flatnonzero(self.sensitivity() < _LEAST_SENSITIVITY)

    def forward(self, images: Array) -> Array:
        """What the window shows of images.

        Parameters
        ----------
        images : ndarray of shape (n_images, n_pixels)
            Images, one a row.

        Returns
        -------
        windows : ndarray of shape (n_images, n_rays)
            Blurred images, without what lies outside of the window.
        """
        assert self.image_shape is not None
        pixels = np.reshape(images, (-1, *self.image_shape))
        flat = pixels.reshape(len(pixels), -1)
        if flat[:, self._unseen].any():
            flat = flat.copy()
            flat[:, self._unseen] = 0.0
            pixels = flat.reshape(pixels.shape)
        if not self.extend:
            larger = np.zeros((len(pixels), *self._extended))
            larger[(slice(None), *self._window)] = pixels
            pixels = larger
        if self._factors is None:
            ends = [slice(k - 1, k - 1 + n) for k, n in self._sizes()]
            seen = self._filter(pixels, self._response)[(slice(None), *ends)]
        else:
            seen = pixels
            for axis, factor, (k, n) in zip(self._axes, self._factors, self._sizes(), strict=True):
                seen = correlate1d(seen, factor[::-1], axis=axis, mode="constant")
                seen = seen.take(range(k // 2, k // 2 + n), axis=axis)
        return np.reshape(seen, (len(pixels), -1))

    def back(self, rays: Array) -> Array:
        """Products with the exact transpose of the system matrix.

        Parameters
        ----------
        rays : ndarray of shape (n_images, n_rays)
            A number for each pixel of the window.

        Returns
        -------
        images : ndarray of shape (n_images, n_pixels)
            Images, one a row.
        """
        seen = np.reshape(rays, (-1, *self.window_shape))
        margins = [(k - 1, 0 if self._factors is None else k - 1) for k, _ in self._sizes()]
        pixels = np.pad(seen, [(0, 0), *margins])
        if self._factors is None:
            pixels = self._filter(pixels, self._conjugate)
            pixels = pixels[(slice(None), *(slice(n) for n in self._extended))]
        else:
            for axis, factor, (k, n) in zip(self._axes, self._factors, self._sizes(), strict=True):
                pixels = correlate1d(pixels, factor, axis=axis, mode="constant")
                pixels = pixels.take(range(k // 2, k // 2 + n + k - 1), axis=axis)
        images = np.reshape(pixels if self.extend else self.window(pixels), (len(seen), -1))
        images[:, self._unseen] = 0.0
        return images

    def window(self, images: Array) -> Array:
        """The part of images inside the window.

        Parameters
        ----------
        images : ndarray of shape (n_images, ...)
            Images that are larger than the window.

        Returns
        -------
        images : ndarray of shape (n_images, ...)
            Their pixels in the window.
        """
        return images[(slice(None), *self._window)]

    def _sizes(self) -> list[tuple[int, int]]:
        return list(zip(self.psf.shape, self.window_shape, strict=True))

    def _filter(self, images: Array, response: NDArray[np.complex128]) -> Array:
        workers = available_threads()
        spectrum = fft.rfftn(images, self._padded, axes=self._axes, workers=workers)
        spectrum *= response
        filtered = fft.irfftn(spectrum, self._padded, axes=self._axes, workers=workers)
        # Rounding errors are not light that is missing.
        return np.maximum(filtered, 0.0, out=filtered)


def read_psf(psf: ArrayLike) -> Array:
    """A point spread function with sum 1.

    Parameters
    ----------
    psf : array-like
        As given.
    """
    read = as_numbers(psf, "psf")
    if not read.ndim or not read.size:
        raise ValueError(f"psf must be an array of numbers; its shape is {read.shape}.")
    for wrong, what in ((~np.isfinite(read), "NaN or infinite"), (read < 0.0, "negative")):
        if wrong.any():
            where = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise ValueError(
                f"psf must have entries that are finite and at least 0, but the one at {where} is "
                f"{what}; a part of a point's light cannot be."
            )
    total = read.sum()
    if not 0.0 < total < np.inf:
        raise ValueError(f"psf must have a positive, finite sum; it is {total}.")
    return read / total


def _factors(psf: Array) -> list[Array] | None:
    """The factors of a short point spread function that is a product; else None."""
    if sum(psf.shape) > _FEW_WEIGHTS:
        return None
    axes = range(psf.ndim)
    factors = [psf.sum(axis=tuple(a for a in axes if a != axis)) for axis in axes]
    product = reduce(np.multiply.outer, factors)
    return factors if np.allclose(product, psf, rtol=1e-12, atol=1e-15) else None
