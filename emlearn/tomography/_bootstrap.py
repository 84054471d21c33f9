"""The Poisson bootstrap of images."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from emlearn.tomography._rows import Plan

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ImageBootstrap:
    """Means and standard errors of the pixels over resamples of the counts.

    Attributes
    ----------
    mean : ndarray of shape (n_samples, n_pixels)
        Mean of the images of the resamples.
    standard_errors : ndarray of shape (n_samples, n_pixels)
        Their standard deviation.
    n_resamples : int
        Number of resamples.
    """

    mean: Array
    standard_errors: Array
    n_resamples: int


def resample(
    plan: Plan,
    counts: Array,
    background: Array,
    *,
    n_resamples: int,
    random_state: int | np.random.RandomState | None,
    n_jobs: int | None,
) -> ImageBootstrap:
    """Reconstruct resamples of counts.

    Parameters
    ----------
    plan : Plan
        How.
    counts, background : ndarray of shape (n_samples, n_rays)
        Counts and expected background.
    n_resamples : int
        Number of resamples.
    random_state : int, RandomState instance or None
        Seed.
    n_jobs : int or None
        Number of rows at the same time.

    Returns
    -------
    result : ImageBootstrap
        Means and standard errors.

    Raises
    ------
    ValueError
        If `n_resamples` is not an integer >= 2.
    """
    if not isinstance(n_resamples, Integral) or int(n_resamples) < 2:
        raise ValueError(f"n_resamples must be an integer >= 2, got {n_resamples!r}.")
    random = check_random_state(random_state)
    mean = squares = np.zeros(())
    for n in range(1, int(n_resamples) + 1):
        drawn = random.poisson(counts).astype(np.float64)
        images = np.array(
            [run.result.params for run in plan.run_all(drawn, background, n_jobs=n_jobs)]
        )
        # Welford's update, which does not cancel.
        change = images - mean
        mean = mean + change / n
        squares = squares + change * (images - mean)
    return ImageBootstrap(mean, np.sqrt(squares / (int(n_resamples) - 1)), int(n_resamples))
