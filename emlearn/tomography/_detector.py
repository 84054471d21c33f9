"""The Gaussian blur of a detector, which may grow with the distance from it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Standard deviations at which a Gaussian is cut off.
_CUT = 4.0


class DetectorBlur:
    """Blur of what a detector sees of layers at several distances.

    Parameters
    ----------
    deviations : ndarray of shape (n_layers,)
        Standard deviation of each layer's blur, in bins.
    """

    def __init__(self, deviations: Array) -> None:
        reach = int(np.ceil(_CUT * deviations.max()))
        offsets = np.arange(-reach, reach + 1)[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.where(offsets == 0, 0.0, offsets / deviations)
        weights = np.where(np.abs(z) <= _CUT, np.exp(-0.5 * np.square(z)), 0.0)
        self._weights = weights / weights.sum(axis=0)

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return self._weights.shape[1]

    @property
    def numbers_of_a_bin(self) -> int:
        """Numbers that are in memory for each bin during a blur."""
        return sum(self._weights.shape)

    def forward(self, seen: Array) -> Array:
        """Blur the layers and add them up.

        Parameters
        ----------
        seen : ndarray of shape (n_angles, n_layers, n_bins, n_images)
            What the detector would see of each layer without blur.

        Returns
        -------
        rays : ndarray of shape (n_angles, n_bins, n_images)
            What it sees.
        """
        if self._weights.shape == (1, 1):
            return seen[:, 0]
        n_angles, n_layers, n_bins, n_images = seen.shape
        spread = self._weights @ seen.reshape(n_angles, n_layers, -1)
        spread = spread.reshape(n_angles, -1, n_bins, n_images)
        rays = np.zeros((n_angles, n_bins, n_images))
        for number, (source, target) in self._shifts(n_bins):
            rays[:, target] += spread[:, number, source]
        return rays

    def back(self, rays: Array) -> Array:
        """The transpose of `forward`."""
        if self._weights.shape == (1, 1):
            return rays[:, None]
        n_angles, n_bins, n_images = rays.shape
        spread = np.zeros((n_angles, len(self._weights), n_bins, n_images))
        for number, (source, target) in self._shifts(n_bins):
            spread[:, number, source] = rays[:, target]
        seen = self._weights.T @ spread.reshape(n_angles, len(self._weights), -1)
        return seen.reshape(n_angles, -1, n_bins, n_images)

    def _shifts(self, n_bins: int) -> list[tuple[int, tuple[slice, slice]]]:
        """Numbers of the offsets that stay on the detector, with the bins from and to."""
        reach = len(self._weights) // 2
        return [
            (
                offset + reach,
                (slice(max(-offset, 0), n_bins - max(offset, 0)),
                 slice(max(offset, 0), n_bins - max(-offset, 0))),
            )
            for offset in range(-reach, reach + 1)
            if abs(offset) < n_bins
        ]  # fmt: skip
