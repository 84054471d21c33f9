"""Readers of what a reconstruction is given."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.data import as_numbers
from emlearn.tomography._priors import PRIORS, Prior
from emlearn.tomography._systems import System

Array = NDArray[np.float64]


def require_counts(counts: Array, name: str = "X") -> None:
    """Check that counts are not negative.

    Raises
    ------
    ValueError
        If some are; the first is named.
    """
    if (counts < 0.0).any():
        row, ray = np.argwhere(counts < 0.0)[0]
        raise ValueError(
            f"Negative values in data passed to {name}: {counts[row, ray]:g} in row {row}, ray "
            f"{ray}. Counts are >= 0; give a background that was subtracted as background= instead."
        )


def read_background(background: Any, shape: tuple[int, int]) -> Array:
    """Expected background for each row and ray.

    Parameters
    ----------
    background : float, array-like of shape (n_rays,) or (n_samples, n_rays), or None
        What was given; None is 0.
    shape : tuple of int
        Number of rows, number of rays.

    Returns
    -------
    background : ndarray of shape (n_samples, n_rays)
        Read-only.

    Raises
    ------
    ValueError
        If the shape is another, or a value is negative or not finite.
    """
    found = _nonnegative(0.0 if background is None else background, "background")
    try:
        return np.broadcast_to(found, shape)
    except ValueError:
        raise ValueError(
            f"background has shape {found.shape}, but must be a number, or have shape "
            f"(n_rays,) = {shape[1:]} or (n_samples, n_rays) = {shape}."
        ) from None


def read_image(image: Any, system: System, name: str) -> Array | None:
    """A flat image from one that is given flat or in its shape; None stays None.

    Raises
    ------
    ValueError
        If its size is wrong, or a pixel is negative or not finite.
    """
    if image is None:
        return None
    found = _nonnegative(image, name)
    if found.shape not in ((system.n_pixels,), system.image_shape):
        shape = f" or image_shape = {system.image_shape}" if system.image_shape else ""
        raise ValueError(
            f"{name} has shape {found.shape}, but must have (n_pixels,) = "
            f"({system.n_pixels},){shape}."
        )
    return found.ravel()


def _nonnegative(given: Any, name: str) -> Array:
    found: Array = as_numbers(given, name)
    for wrong, what in ((~np.isfinite(found), "finite"), (found < 0.0, ">= 0")):
        if wrong.any():
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            where = f" at {place if len(place) > 1 else place[0]}" if place else ""
            raise ValueError(f"{name} must be {what}, got {found[wrong][0]:g}{where}.")
    return found


def read_prior(prior: Any, prior_weight: float, image_shape: Any) -> Prior | None:
    """The prior; None if its weight is 0.

    Raises
    ------
    ValueError
        If there is a weight without a prior, or a prior without the shape of the image.
    """
    if prior is None:
        if prior_weight > 0.0:
            raise ValueError(
                f"prior_weight={prior_weight} has no prior; choose one of {sorted(PRIORS)}."
            )
        return None
    found: Prior = PRIORS[prior] if isinstance(prior, str) else prior
    if image_shape is None:
        raise ValueError(
            f"prior={prior!r} compares neighboring pixels, so image_shape must be given."
        )
    return found if prior_weight > 0.0 else None


def read_schedule(n_subsets: Any, system: System) -> list[int]:
    """Numbers of subsets of the iterations, the last of which goes on.

    Raises
    ------
    ValueError
        If a number is not an integer from 1 to the number of views.
    """
    schedule = [n_subsets] if isinstance(n_subsets, Integral) else list(n_subsets)
    for n in schedule or [None]:
        if not isinstance(n, Integral) or not 1 <= int(n) <= system.n_views:
            raise ValueError(
                "n_subsets must be an integer, or a sequence of them, from 1 to the number of "
                f"views, {system.n_views}, got {n_subsets!r}."
            )
    return [int(n) for n in schedule]


def require_seen(counts: Array, background: Array, system: System, image: Array | None) -> None:
    """Check that rays with counts see a pixel that is not 0, or have background.

    Raises
    ------
    ValueError
        If some do not; the first is named.
    """
    start = np.ones(system.n_pixels) if image is None else image
    blind = (system.forward(start[None])[0] <= 0.0) & (background <= 0.0) & (counts > 0.0)
    if blind.any():
        row, ray = np.argwhere(blind)[0]
        place = "" if image is None else " wherever image_init is positive"
        raise ValueError(
            f"Row {row} of X has counts in ray {ray}, which sees nothing: row {ray} of "
            f"system_matrix is 0{place} and there is no background. Give a background, or set "
            "these counts to 0."
        )


def require_sensitivity(sensitivity: Array) -> None:
    """Check that a system that is only a function has no negative or endless columns.

    Raises
    ------
    ValueError
        If a sum of a column is negative, beyond rounding errors, or not finite.
    """
    wrong = ~np.isfinite(sensitivity)
    if not wrong.any():
        wrong = sensitivity < -1e-9 * np.abs(sensitivity).max()
    if wrong.any():
        pixel = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"system_matrix has negative entries, or some that are not finite: column {pixel} "
            f"sums to {sensitivity[pixel]:g}. Entries are expected counts of a unit of a pixel."
        )
