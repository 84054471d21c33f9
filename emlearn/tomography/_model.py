"""The Poisson model of emission tomography, as the engine reads it.

Counts are ``y_i ~ Poisson(m_i)``, ``m = A v + b``. The latent variables are the counts `n_ij` of
ray i that come from pixel j, Poisson with mean ``a_ij v_j``. Given the counts of a ray they are
multinomial, so the expected number from pixel j is ``e_j = v_j sum_i a_ij y_i / m_i``. The M-step
maximizes ``e_j log v_j - s_j v_j`` with the sensitivity ``s_j = sum_i a_ij``: ``v_j = e_j / s_j``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, kl_div, xlogy

from emlearn.engine import DegenerateModelError, LatentVariableModel
from emlearn.tomography._priors import Prior
from emlearn.tomography._systems import System

Array = NDArray[np.float64]


class Part(NamedTuple):
    """Some rays of a system: which, their system, and the sums of its columns.

    `listed` means that the rays are events of a list, so that the sensitivity is not theirs but a
    part of that of all possible rays.
    """

    rays: slice | NDArray[np.intp]
    system: System
    sensitivity: Array
    listed: bool = False


class Projections(NamedTuple):
    """The observations of a model: parts of a system, counts of all rays, and background."""

    parts: Sequence[Part]
    counts: Array
    background: Array


class Emissions(NamedTuple):
    """The statistics: expected counts from each pixel, and the sums of the columns."""

    expected: Array
    sensitivity: Array


class Block(NamedTuple):
    """Counts of some rays; `constant` is the log-likelihood at means equal to the counts."""

    system: System
    counts: Array
    background: Array
    weight: Array | None
    sensitivity: Array
    constant: float
    listed: bool


class Counts(NamedTuple):
    """Blocks of counts."""

    blocks: tuple[Block, ...]
    total_weight: float


def parts_of(system: System) -> list[Part]:
    """The parts of a system on which threads work, with their sensitivities."""
    return [Part(rays, part, part.sensitivity()) for rays, part in system.parts()]


@dataclass(frozen=True)
class PoissonReconstruction(LatentVariableModel[Counts, Array, Emissions]):
    """Poisson counts of the projections of an image.

    An observation is a ray; the parameters are the pixels.

    Parameters
    ----------
    prior : Prior, default=None
        Prior of the image; None is maximum likelihood.
    prior_weight : float, default=0.0
        Weight of the penalty.
    image_shape : tuple of int, default=None
        Shape of the image, which a prior needs.
    late : bool, default=False
        Whether the M-step takes the derivatives of the penalty one step late. It can then lower
        the objective.
    start : ndarray of shape (n_pixels,), default=None
        Image to start from; None is a constant that fits the number of counts.
    """

    prior: Prior | None = None
    prior_weight: float = 0.0
    image_shape: tuple[int, ...] | None = None
    late: bool = False
    start: Array | None = None

    def prepare(self, X: Projections, sample_weight: Array | None = None) -> Counts:
        """See `LatentVariableModel.prepare`; the observations are the rays."""
        blocks = []
        for rays, system, sensitivity, listed in X.parts:
            y, b = X.counts[rays], X.background[rays]
            weight = None if sample_weight is None else sample_weight[rays]
            constant = xlogy(y, y) - y - gammaln(y + 1.0)
            if weight is not None and not listed:
                sensitivity = system.back(weight[None])[0]
            blocks.append(Block(system, y, b, weight, sensitivity, _sum(constant, weight), listed))
        total = len(X.counts) if sample_weight is None else sample_weight.sum()
        return Counts(tuple(blocks), float(total))

    def blocks(self, data: Counts) -> Sequence[Block]:
        """See `LatentVariableModel.blocks`."""
        return data.blocks

    def total_weight(self, data: Counts) -> float:
        """See `LatentVariableModel.total_weight`."""
        return data.total_weight

    def initialize(self, data: Counts, rng: np.random.Generator | None = None) -> Array:
        """A constant image; pixels without sensitivity are 0 unless there is a prior."""
        if self.start is not None:
            return self.start
        sensitivity = sum(block.sensitivity for block in data.blocks)
        counts = sum(_sum(block.counts, block.weight) for block in data.blocks)
        # Of a list of events, the background is known only where they are.
        background = sum(
            _sum(block.background, block.weight) for block in data.blocks if not block.listed
        )
        total = float(np.sum(sensitivity))
        # At least some of the counts must come from the image, or it stays at 0.
        level = max(counts - background, 0.1 * counts) / total if total > 0.0 else 0.0
        seen = np.ones_like(sensitivity) if self.prior else np.greater(sensitivity, 0.0)
        return (level or 1.0) * seen.astype(np.float64)

    def e_step(self, block: Block, params: Array) -> tuple[Emissions, float]:
        """See `LatentVariableModel.e_step`."""
        mean = block.system.forward(params[None])[0]
        mean += block.background
        impossible = (mean <= 0.0) & (block.counts > 0.0)
        if block.weight is not None:
            impossible &= block.weight > 0.0
        if impossible.any():
            raise DegenerateModelError("a ray with counts has an expected count of 0")
        log_likelihood = block.constant - _sum(kl_div(block.counts, mean), block.weight)
        if block.listed:
            # Of the list, only the events were counted in the line above, not all rays.
            log_likelihood += _sum(mean - block.background, block.weight)
            log_likelihood -= float(block.sensitivity @ params)
        ratio = np.divide(block.counts, mean, out=np.zeros_like(mean), where=mean > 0.0)
        if block.weight is not None:
            ratio *= block.weight
        expected = block.system.back(ratio[None])[0]
        expected *= params
        return Emissions(expected, block.sensitivity), float(log_likelihood)

    def m_step(self, statistics: Emissions, params: Array) -> Array:
        """See `LatentVariableModel.m_step`; pixels that nothing determines stay as they are."""
        expected, sensitivity = statistics
        if self.prior is None:
            return np.divide(expected, sensitivity, out=params.copy(), where=sensitivity > 0.0)
        step = self.prior.one_step_late if self.late else self.prior.maximize
        shape = self.image_shape or params.shape
        arrays = [array.reshape(shape) for array in (expected, sensitivity, params)]
        return step(arrays[0], arrays[1], arrays[2], self.prior_weight).ravel()

    def log_prior(self, params: Array) -> float:
        """See `LatentVariableModel.log_prior`."""
        if self.prior is None:
            return 0.0
        shape = self.image_shape or params.shape
        return -self.prior_weight * self.prior.value(params.reshape(shape))

    def to_vector(self, params: Array) -> Array:
        """See `LatentVariableModel.to_vector`: square roots, as the variance of counts asks for."""
        return np.sqrt(params)

    def from_vector(self, vector: Array, like: Array) -> Array:
        """See `LatentVariableModel.from_vector`."""
        return np.square(vector)

    def public(self, params: Array) -> dict[str, NDArray[Any]]:
        """See `LatentVariableModel.public`."""
        return {"image": params}

    def from_public(self, public: Any, like: Array) -> Array:
        """See `LatentVariableModel.from_public`."""
        return np.asarray(public["image"], dtype=np.float64)


def _sum(values: Array, weight: Array | None) -> float:
    return float(values.sum() if weight is None else values @ weight)
