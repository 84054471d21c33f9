"""Priors of the parameters of items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emlearn.irt._responses import ItemParams

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ItemPrior:
    """Prior of the parameters of each item; items are independent.

    Parameters
    ----------
    slopes : tuple of (mean, sd), default=None
        Normal distribution of the logarithm of each slope. Slopes are then positive. None means
        no prior.
    intercepts : tuple of (mean, sd), default=None
        Normal distribution of each intercept. None means no prior.
    guessing : tuple of (alpha, beta), default=None
        Beta distribution of each lower asymptote, with alpha, beta >= 1. It counts as
        ``alpha + beta - 2`` observations. None means no prior.

    Raises
    ------
    ValueError
        If a pair is not two finite numbers, a standard deviation is not positive, or alpha or
        beta is below 1.

    Examples
    --------
    >>> from emlearn.irt import ItemPrior, ItemResponseEM
    >>> careful = ItemResponseEM("3pl", prior=ItemPrior(slopes=(0.0, 0.5), guessing=(5, 17)))
    """

    slopes: tuple[float, float] | None = None
    intercepts: tuple[float, float] | None = None
    guessing: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("slopes", "intercepts", "guessing"):
            pair = getattr(self, name)
            if pair is None:
                continue
            values = np.asarray(pair)
            if (
                values.shape != (2,)
                or values.dtype.kind not in "iuf"
                or not np.isfinite(values).all()
            ):
                raise ValueError(
                    f"{name} of ItemPrior must be two finite numbers or None: {pair!r}."
                )
            if name == "guessing" and values.min() < 1.0:
                raise ValueError(
                    f"guessing of ItemPrior must be (alpha, beta), both at least 1: {pair!r}."
                )
            if name != "guessing" and values[1] <= 0.0:
                raise ValueError(
                    f"{name} of ItemPrior must be (mean, sd), with sd above 0: {pair!r}."
                )
            # Frozen, hashable and equal to itself, whatever the pair was.
            object.__setattr__(self, name, (float(values[0]), float(values[1])))

    def log_density(
        self,
        params: ItemParams,
        slopes: NDArray[np.bool_],
        intercepts: NDArray[np.bool_],
        slope_share: float = 1.0,
    ) -> Array:
        """Log-density of each item, up to a constant, -inf outside the domain.

        Parameters
        ----------
        params : ItemParams
            Parameters.
        slopes, intercepts : ndarray of bool
            Which of them an item has.
        slope_share : float, default=1.0
            Part of the prior of the slopes that each item counts, if they have one in common.

        Returns
        -------
        log_density : ndarray of shape (n_items,)
            Log-densities.
        """
        total = np.zeros(len(params.slopes))
        if self.slopes is not None:
            mean, sd = self.slopes
            log = np.log(np.where(slopes & (params.slopes > 0.0), params.slopes, 1.0))
            terms = -log - 0.5 * ((log - mean) / sd) ** 2
            terms = np.where(params.slopes > 0.0, terms, -np.inf)
            total += slope_share * np.where(slopes, terms, 0.0).sum(axis=1)
        if self.intercepts is not None:
            mean, sd = self.intercepts
            terms = -0.5 * ((params.intercepts - mean) / sd) ** 2
            total += np.where(intercepts, terms, 0.0).sum(axis=1)
        if self.guessing is not None:
            alpha, beta = self.guessing
            g = params.guessing
            total += (alpha - 1.0) * np.log(g) + (beta - 1.0) * np.log1p(-g)
        return total

    def add_to(
        self, gradient: Array, information: Array, params: ItemParams, slope_share: float = 1.0
    ) -> None:
        """Add the derivatives to those of `ResponseModel.newton`, in place.

        The information is positive; of the slopes, it is that of their logarithms.
        """
        n_slopes, n_intercepts = params.slopes.shape[1], params.intercepts.shape[1]
        index = np.arange(n_slopes)
        if self.slopes is not None:
            mean, sd = self.slopes
            a = np.maximum(params.slopes, 1e-10)
            gradient[:, index] -= slope_share * (1.0 + (np.log(a) - mean) / sd**2) / a
            information[:, index, index] += slope_share / (sd * a) ** 2
        index = n_slopes + np.arange(n_intercepts)
        if self.intercepts is not None:
            mean, sd = self.intercepts
            gradient[:, index] -= (params.intercepts - mean) / sd**2
            information[:, index, index] += 1.0 / sd**2
        if self.guessing is not None:
            alpha, beta = self.guessing
            g = params.guessing
            gradient[:, -1] += (alpha - 1.0) * (1.0 - g) - (beta - 1.0) * g
            information[:, -1, -1] += (alpha + beta - 2.0) * g * (1.0 - g)
