"""From the image of a user to the voxels of a box."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# More channels than an image of colors has; fewer voxels than an axis in space has.
_COLORS = (3, 4)
_MANY = 16
# Numbers of which float32 has no rounding.
_SMALL = (np.bool_, np.int8, np.uint8, np.int16, np.uint16, np.float16, np.float32)


class Box(NamedTuple):
    """The part of an image that contains the mask.

    Attributes
    ----------
    values : ndarray of shape (n_planes, n_lines, length, n_channels)
        Intensities in float32 or float64; 0 outside of the mask.
    mask : ndarray of shape (n_planes, n_lines, length) or None
        Voxels inside; None means all.
    shape : tuple of int
        Shape of the whole image, without channels.
    at : tuple of slice
        Where in the image the box is.
    """

    values: Array
    mask: NDArray[np.bool_] | None
    shape: tuple[int, ...]
    at: tuple[slice, ...]

    @property
    def inside(self) -> Array:
        """Intensities (n_inside, n_channels) inside of the mask."""
        rows = self.values.reshape(-1, self.values.shape[-1])
        return rows if self.mask is None else rows[self.mask.ravel()]

    def put(self, values: Array, fill: Any, channels: int | None = None) -> Array:
        """An image with these values of the box (n_planes, n_lines, length, ...), else `fill`.

        Parameters
        ----------
        values : ndarray
            Values of the voxels of the box.
        fill : object
            Value outside of the mask.
        channels : int, default=None
            Number of values of each voxel; None means one, without an axis.
        """
        more = () if channels is None else (channels,)
        out = np.full((*self.shape, *more), fill, values.dtype)
        part = out[self.at]
        values = values.reshape(part.shape)
        if self.mask is None:
            part[...] = values
        else:
            own = self.mask.reshape(part.shape[: len(self.shape)])
            part[own] = values[own]
        return out


def read_image(image: Any, mask: Any = None, *, channel_axis: int | None = None) -> Box:
    """Read an image.

    Parameters
    ----------
    image : array-like
        Two or three axes in space, and one of channels if `channel_axis` says which.
    mask : array-like of bool, default=None
        Voxels that belong to the image. Masked entries of a masked array do not.
    channel_axis : int, default=None
        Axis of the channels; None means that there is one channel.

    Returns
    -------
    box : Box
        The voxels.

    Raises
    ------
    ValueError
        If there is nothing to read; the message says what is wrong.
    """
    hidden: Any = np.ma.getmaskarray(image) if isinstance(image, np.ma.MaskedArray) else None
    values = with_channels(image, channel_axis)
    shape = values.shape[:-1]
    inside = None if mask is None else read_mask(mask, shape)
    if hidden is not None and hidden.any():
        if channel_axis is not None:
            hidden = hidden.any(axis=channel_axis)
        seen: NDArray[np.bool_] = ~hidden
        inside = seen if inside is None else inside & seen
    if inside is not None and not inside.any():
        raise ValueError(
            "mask is empty: no pixel of the image belongs to it. True marks the pixels to segment."
        )
    if inside is not None and inside.all():
        inside = None
    at = tuple(slice(0, n) for n in shape) if inside is None else _bounds(inside)
    dtype = np.float32 if values.dtype.type in _SMALL else np.float64
    box = np.array(values[at], dtype, order="C")
    box = box.reshape(*(1,) * (3 - len(shape)), *box.shape)
    if inside is not None:
        inside = np.ascontiguousarray(inside[at]).reshape(box.shape[:3])
        box[~inside] = 0.0
    bad = int((~np.isfinite(box).all(axis=-1)).sum())
    if bad:
        raise ValueError(
            f"The image has {bad} pixels that are NaN or infinite. Leave them out: "
            "mask=np.isfinite(image)."
        )
    return Box(box, inside, shape, at)


def with_channels(image: Any, channel_axis: int | None) -> Array:
    """The array of an image, with the channels last."""
    array = _as_array(image, "The image")
    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"The image has dtype {array.dtype}; an image is an array of integers or floats."
        )
    if channel_axis is None:
        array = array[..., None]
    else:
        if not -array.ndim <= channel_axis < array.ndim:
            raise ValueError(
                f"channel_axis={channel_axis} is not an axis of an image of {array.ndim} axes."
            )
        array = np.moveaxis(array, channel_axis, -1)
    if array.ndim not in (3, 4):
        raise ValueError(
            f"The image has shape {np.shape(image)}, which is {array.ndim - 1} axes in space "
            f"with channel_axis={channel_axis}. An image has two or three, and the axis of colors "
            "or channels is named by channel_axis (-1 for the last)."
        )
    if array.size == 0:
        raise ValueError(f"The image has shape {np.shape(image)}, so it has no pixels.")
    return array


def _as_array(values: Any, name: str) -> Array:
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} cannot be read as an array: {error}") from None


def looks_like_colors(shape: tuple[int, ...]) -> bool:
    """Whether the last axis of an image without channels seems to be that of colors."""
    return len(shape) == 3 and shape[-1] in _COLORS and min(shape[:2]) >= _MANY


def read_mask(mask: Any, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """A mask of an image of this shape."""
    array = _as_array(mask, "mask")
    if array.dtype.kind not in "biu" and not (
        array.dtype.kind == "f" and np.isin(array, (0.0, 1.0)).all()
    ):
        raise ValueError(
            f"mask has dtype {array.dtype}; it is an array of bool, True for the pixels to segment."
        )
    if array.shape != shape:
        raise ValueError(
            f"mask has shape {array.shape}, but the image has shape {shape} (without channels)."
        )
    found: NDArray[np.bool_] = array != 0
    return found


def _bounds(inside: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The smallest box that contains the mask."""
    found = []
    for axis in range(inside.ndim):
        others = tuple(i for i in range(inside.ndim) if i != axis)
        at = np.flatnonzero(inside.any(axis=others))
        found.append(slice(int(at[0]), int(at[-1]) + 1))
    return tuple(found)


def read_atlas(atlas: Any, n_classes: int, box: Box) -> Array:
    """Prior probabilities (n_classes, n_voxels) of the voxels of a box; they sum to 1."""
    array = _as_array(atlas, "atlas")
    expected = (*box.shape, n_classes)
    if array.dtype.kind not in "biuf" or array.shape != expected:
        raise ValueError(
            f"atlas has shape {array.shape} and dtype {array.dtype}; it must hold a prior "
            f"probability of each class for each pixel, in the shape {expected}."
        )
    part = array[box.at].reshape(-1, n_classes).T.astype(box.values.dtype)
    total = part.sum(axis=0)
    inside = slice(None) if box.mask is None else box.mask.ravel()
    with np.errstate(invalid="ignore"):
        bad = ~((part[:, inside] >= 0.0).all(axis=0) & (total[inside] > 0.0))
    bad |= ~np.isfinite(total[inside])
    if bad.any():
        raise ValueError(
            f"atlas has {int(bad.sum())} pixels inside of the mask whose probabilities are "
            "negative, NaN or all 0. Leave them out by mask, or give them probabilities."
        )
    return part / np.where(total > 0.0, total, 1.0)
