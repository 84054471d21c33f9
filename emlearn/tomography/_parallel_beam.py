"""ParallelBeam: projections of images along parallel rays."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emlearn.kernels.projections import Projection
from emlearn.tomography._attenuation import transmission
from emlearn.tomography._detector import DetectorBlur
from emlearn.tomography._systems import System
from emlearn.tomography._view_projector import ViewProjector
from emlearn.tomography._views import View, find_views

Array = NDArray[np.float64]

# A bin narrower than this part of a pixel is a slip of units.
_NARROWEST = 1e-3


class ParallelBeam(System):
    """Projections of a two-dimensional image along parallel rays.

    The entry of a bin and a pixel is the area of the pixel, a square, that lies in the strip
    above the bin, divided by the width of the bin: the mean length of the bin's rays inside the
    pixel. With pixels and bins of width 1 the bins of each angle add up to the sum of the image.
    No matrix is kept: `forward` and `back` compute the areas anew, in compiled loops and several
    threads.

    Parameters
    ----------
    image_shape : tuple of two int
        Numbers of rows and columns of the image.
    angles : int or array-like of shape (n_angles,)
        Angles in radians, or their number: they then divide half a turn evenly. With attenuation
        or a blur that grows with distance, opposite views differ, and a full turn is usual:
        ``np.linspace(0, 2 * np.pi, n_angles, endpoint=False)``.
    n_bins : int, default=None
        Number of bins of the detector, which is centered. None: as many as see the whole image
        at every angle.
    pixel_size : float, default=1.0
        Width of a pixel.
    bin_width : float, default=None
        Width of a bin. None: that of a pixel.
    attenuation : array-like of shape (n_rows, n_columns), default=None
        Coefficient of attenuation of each pixel per unit of length. A pixel's photons arrive with
        probability ``exp(-integral)``, the integral being that from its center to the detector.
    blur : float, default=0.0
        Standard deviation of the detector's Gaussian blur, in the units of `pixel_size`.
    blur_slope : float, default=0.0
        How much the standard deviation grows per unit of distance from the detector.
    detector_distance : float, default=None
        Distance of the detector from the center of the image, for `blur_slope`. None: half the
        diagonal, where the detector just clears the image.

    Attributes
    ----------
    n_rays, n_pixels : int
        Shape of the system matrix. Rays are in the order of the angles, bin after bin.
    image_shape : tuple of two int
        Shape of the image.
    n_views : int
        Number of angles.
    angles : ndarray of shape (n_angles,)
        Angles.
    n_bins : int
        Number of bins.

    Raises
    ------
    ValueError
        If an argument has a wrong shape or sign, or is not finite.

    See Also
    --------
    PoissonReconstructionEM : Reconstructs images from projections.
    shepp_logan : An image to try it with.

    Notes
    -----
    The center of the image is the origin; x points to the last column and y to the first row.
    The bins of an angle follow x cos(angle) + y sin(angle). The detector is on the side where
    y cos(angle) - x sin(angle) is largest: at angle 0 it is above the first row, and its bins
    see the columns.

    The shadow of a pixel on the detector is a trapezoid, so that areas have a closed form. Angles
    that mirror each other at an axis or a diagonal of the image are computed together, without
    attenuation and `blur_slope`; angles that divide half a turn evenly take a quarter of the
    time.

    The map of attenuation is integrated along rays by linear interpolation between pixels
    [1]_. What arrives of each pixel at each angle is kept, in single precision: this is all that
    is kept, ``4 n_angles n_pixels`` bytes, and nothing without attenuation.

    The blur is a discrete Gaussian, cut off at 4 standard deviations, of the bins of each angle.
    Counts that it carries beyond the detector are lost. If it depends on the distance, the image
    is divided into layers parallel to the detector, one pixel deep, each with its own blur.

    References
    ----------
    .. [1] P. M. Joseph (1982). "An improved algorithm for reprojecting rays through pixel
       images". IEEE Transactions on Medical Imaging 1(3), 192-196.

    .. [2] B. De Man and S. Basu (2004). "Distance-driven projection and backprojection in three
       dimensions". Physics in Medicine and Biology 49(11), 2463-2475.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.tomography import ParallelBeam
    >>> projector = ParallelBeam((2, 3), angles=[0, np.pi / 2], n_bins=3)
    >>> image = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    >>> projector.forward(image.reshape(1, -1)).reshape(2, 3)
    array([[ 5. ,  7. ,  9. ],
           [ 7.5, 10.5,  3. ]])

    Seen from the side, the two rows fall on three bins: the middle one sees half of each.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        angles: int | ArrayLike,
        n_bins: int | None = None,
        *,
        pixel_size: float = 1.0,
        bin_width: float | None = None,
        attenuation: ArrayLike | None = None,
        blur: float = 0.0,
        blur_slope: float = 0.0,
        detector_distance: float | None = None,
    ) -> None:
        self._shape = _read_shape(image_shape)
        self.angles = _read_angles(angles)
        self.pixel_size = _read_number("pixel_size", pixel_size, positive=True)
        if bin_width is None:
            bin_width = self.pixel_size
        self.bin_width = _read_number("bin_width", bin_width, positive=True)
        if self.bin_width < _NARROWEST * self.pixel_size:
            raise ValueError(
                f"bin_width={bin_width} is less than a thousandth of pixel_size={pixel_size}; "
                "give both in the same unit."
            )
        diagonal = self.pixel_size * float(np.hypot(*self._shape))
        if n_bins is None:
            n_bins = int(np.ceil(diagonal / self.bin_width))
        self.n_bins = _read_count("n_bins", n_bins)
        if detector_distance is None:
            detector_distance = 0.5 * diagonal
        distance = _read_number("detector_distance", detector_distance, positive=True)
        deviation = np.array([_read_number("blur", blur)])
        slope = _read_number("blur_slope", blur_slope)
        n_layers = int(np.ceil(diagonal / self.pixel_size)) if slope > 0.0 else 1
        if n_layers > 1:
            behind = self.pixel_size * (0.5 * n_layers - 0.5 - np.arange(n_layers))
            deviation = deviation + slope * np.maximum(distance + behind, 0.0)
        self._blur = DetectorBlur(deviation / self.bin_width)
        lengths = None
        if attenuation is not None:
            lengths = self.pixel_size * _read_attenuation(attenuation, self._shape)
        self._options: dict[str, Any] = {
            "pixel_size": pixel_size,
            "bin_width": bin_width,
            "attenuation": attenuation,
            "blur": blur,
            "blur_slope": blur_slope,
            "detector_distance": detector_distance,
        }
        super().__init__(
            len(self.angles) * self.n_bins,
            self._shape[0] * self._shape[1],
            self._shape,
            n_views=len(self.angles),
        )
        views = find_views(
            self.angles,
            square=self._shape[0] == self._shape[1],
            shared=lengths is None and n_layers == 1,
        )
        self._projectors = [self._projector(view, lengths) for view in views]

    def forward(self, images: Array) -> Array:
        """Projections of images.

        Parameters
        ----------
        images : ndarray of shape (n_images, n_pixels)
            Images, one a row.

        Returns
        -------
        rays : ndarray of shape (n_images, n_rays)
            Their projections; the bins of an angle are neighbors.
        """
        pixels = np.reshape(images, (-1, *self._shape))
        rays = np.empty((len(pixels), len(self.angles), self.n_bins))
        for projector in self._projectors:
            projector.forward(pixels, rays)
        return rays.reshape(len(pixels), -1)

    def back(self, rays: Array) -> Array:
        """Back projections: products with the exact transpose of the system matrix.

        Parameters
        ----------
        rays : ndarray of shape (n_images, n_rays)
            A number for each ray.

        Returns
        -------
        images : ndarray of shape (n_images, n_pixels)
            Images, one a row.
        """
        seen = np.reshape(rays, (-1, len(self.angles), self.n_bins))
        pixels = np.zeros((len(seen), *self._shape))
        for projector in self._projectors:
            projector.back(seen, pixels)
        return pixels.reshape(len(seen), -1)

    def subset(self, rays: NDArray[np.intp]) -> System:
        """The system of some of the rays; fast where these are all bins of some angles.

        Parameters
        ----------
        rays : ndarray of shape (n_chosen,) of int
            Numbers of the rays, in their new order.

        Returns
        -------
        system : System
            System with these rays.
        """
        rays = np.asarray(rays)
        chosen = rays[:: self.n_bins] // self.n_bins
        whole = np.arange(self.n_rays).reshape(-1, self.n_bins)[chosen].ravel()
        if not len(rays) or not np.array_equal(whole, rays):
            return super().subset(rays)
        return ParallelBeam(self._shape, self.angles[chosen], self.n_bins, **self._options)

    def _projector(self, view: View, lengths: Array | None) -> ViewProjector:
        shape = view.mirrored_shape(self._shape)
        size, depth = self.pixel_size / self.bin_width, float(self._blur.n_layers)
        projection = Projection(
            geometry=view.geometry(shape, size, self.n_bins, depth),
            factors=None if lengths is None else transmission(lengths, view),
            scale=self.pixel_size * size,
            n_slabs=self._blur.n_layers,
            n_bins=self.n_bins,
        )
        return ViewProjector(view, projection, shape, self._blur)


def _read_shape(image_shape: Sequence[int]) -> tuple[int, int]:
    sizes = np.atleast_1d(np.asarray(image_shape))
    if sizes.shape != (2,) or sizes.dtype.kind not in "iu" or sizes.min() < 1:
        raise ValueError(
            f"image_shape must be two positive integers, rows and columns; got {image_shape!r}."
        )
    return int(sizes[0]), int(sizes[1])


def _read_angles(angles: int | ArrayLike) -> Array:
    if isinstance(angles, Integral):
        n_angles = _read_count("angles", angles)
        return np.pi / n_angles * np.arange(n_angles)
    read = np.array(angles, dtype=np.float64)
    if read.ndim != 1 or not read.size:
        raise ValueError(
            "angles must be a number of angles, or a list of at least one angle in radians; got "
            f"an array of shape {read.shape}."
        )
    if not np.isfinite(read).all():
        wrong = int(np.flatnonzero(~np.isfinite(read))[0])
        raise ValueError(f"angles must be finite; angle {wrong} is {read[wrong]}.")
    return read


def _read_count(name: str, value: object) -> int:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a positive integer; got {value!r}.")
    return int(value)


def _read_number(name: str, value: object, *, positive: bool = False) -> float:
    wanted = "positive" if positive else "at least 0"
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number; got {value!r}.")
    number = float(value)
    if not np.isfinite(number) or number < 0.0 or (positive and number == 0.0):
        raise ValueError(f"{name} must be finite and {wanted}; got {value!r}.")
    return number


def _read_attenuation(attenuation: ArrayLike, shape: tuple[int, int]) -> Array:
    read = np.asarray(attenuation, dtype=np.float64)
    if read.shape != shape:
        raise ValueError(
            f"attenuation has shape {read.shape}, but the image has {shape}; it needs a "
            "coefficient for each pixel."
        )
    wrong = ~np.isfinite(read) | (read < 0.0)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(
            "attenuation must be finite and at least 0; at row "
            f"{row}, column {column} it is {read[row, column]}."
        )
    return read
