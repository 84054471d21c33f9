"""Pixels as rows of a table, for estimators that know no images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emlearn.image._reading import read_image

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class PixelTable:
    """The pixels of an image as rows; what `pixel_table` returns.

    Attributes
    ----------
    rows : ndarray of shape (n_rows, n_channels)
        Different intensities or colors, or all pixels.
    sample_weight : ndarray of shape (n_rows,)
        Number of pixels of each row.
    index : ndarray of shape (n_pixels,)
        Row of each pixel of the mask, in C order.
    mask : ndarray of bool
        Pixels that are in the table, in the shape of the image without channels.
    """

    rows: Array
    sample_weight: NDArray[np.int64]
    index: NDArray[np.intp]
    mask: NDArray[np.bool_]

    def to_image(self, values: ArrayLike, fill: Any = -1) -> Array:
        """Put a value of each row into its pixels.

        Parameters
        ----------
        values : array-like of shape (n_rows,) or (n_rows, n_values)
            Labels, probabilities or colors of the rows.
        fill : object, default=-1
            Value of the pixels outside of the mask. Where the type of `values` cannot hold it, the
            image has a larger type that can.

        Returns
        -------
        image : ndarray
            The values, in the shape of the image; with a last axis of n_values if there is one.

        Raises
        ------
        ValueError
            If there is not a value for each row.
        """
        array = np.asarray(values)
        if array.ndim == 0 or len(array) != len(self.rows):
            raise ValueError(
                f"values has shape {array.shape}; it must have one entry for each of the "
                f"{len(self.rows)} rows."
            )
        shape = (*self.mask.shape, *array.shape[1:])
        if self.mask.all():
            image = np.empty(shape, array.dtype)
        else:
            dtype = np.result_type(array.dtype, np.min_scalar_type(fill))
            image = np.full(shape, fill, dtype)
        image[self.mask] = array[self.index]
        return image


def pixel_table(
    image: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    channel_axis: int | None = None,
    unique: bool = True,
) -> PixelTable:
    """The pixels of an image as rows for a mixture, a pipeline or any other estimator.

    Equal pixels are one row with a weight: a mixture that is fitted to the different colors, with
    their numbers of pixels as `sample_weight`, is that of all pixels.

    Parameters
    ----------
    image : array-like
        Image of two or three axes in space and, with `channel_axis`, one of channels.
    mask : array-like of bool, default=None
        Pixels that belong to the image, in its shape without channels. None means all.
    channel_axis : int, default=None
        Axis of the channels; None means that there is one channel.
    unique : bool, default=True
        Whether equal pixels are one row.

    Returns
    -------
    table : PixelTable
        The rows, their weights, and the way back to an image.

    Raises
    ------
    ValueError
        If the image or the mask is invalid, as for `ImageSegmenterEM`.

    See Also
    --------
    ImageSegmenterEM : Takes neighbors into account.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn import GaussianMixtureEM
    >>> from emlearn.image import pixel_table
    >>> image = np.array([[1, 2, 2, 9], [1, 8, 9, 9]], dtype=np.uint8)
    >>> table = pixel_table(image)
    >>> table.rows.ravel(), table.sample_weight
    (array([1., 2., 8., 9.]), array([2, 2, 1, 3]))
    >>> mixture = GaussianMixtureEM(2, random_state=0)
    >>> mixture = mixture.fit(table.rows, sample_weight=table.sample_weight)
    >>> bright = mixture.means_.ravel().argmax()
    >>> table.to_image(mixture.predict(table.rows) == bright, fill=False).astype(int)
    array([[0, 0, 0, 1],
           [0, 1, 1, 1]])
    """
    box = read_image(image, mask, channel_axis=channel_axis)
    rows = box.inside.astype(np.float64)
    inside = box.put(np.ones(box.values.shape[:3], bool), False)
    if not unique:
        return PixelTable(rows, np.ones(len(rows), np.int64), np.arange(len(rows)), inside)
    colors, index, count = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    return PixelTable(colors, count, index.ravel(), inside)
