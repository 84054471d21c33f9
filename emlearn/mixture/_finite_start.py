"""Where EM starts for a mixture of any family: responsibilities of the components.

Only the contract of a family is used, so that a new family needs no start of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from emlearn.data import check_responsibilities
from emlearn.mixture._finite_data import FiniteData

Array = NDArray[Any]


class FiniteDraw(Protocol):
    """A strategy of initialisation."""

    def __call__(self, data: FiniteData, n_components: int, rng: np.random.Generator) -> Array:
        """Responsibilities (n_components, n_rows), without the weights of the rows."""
        ...


def around(row: int, data: FiniteData, n_components: int) -> Array:
    """Responsibilities of a component that is one row by half, by half the average row.

    The average half keeps the component from excluding what the one row does not show,
    and makes its parameters exist in families where one row is not enough.
    """
    share = np.full(len(data.weight), 0.5 / n_components)
    share[row] += 0.5 / n_components * data.weight.sum() / data.weight[row]
    return share


@dataclass(frozen=True)
class RowsStart:
    """Each component starts around a row; the rows are drawn at random, by weight."""

    def __call__(self, data: FiniteData, n_components: int, rng: np.random.Generator) -> Array:
        """See `FiniteDraw`."""
        first, _, weight = data.distinct
        size = min(n_components, len(first))
        seeds = first[rng.choice(len(first), size, replace=False, p=weight / weight.sum())]
        return np.stack([around(seeds[k % size], data, n_components) for k in range(n_components)])


@dataclass(frozen=True)
class RandomStart:
    """Random responsibilities: all components start near the average row."""

    def __call__(self, data: FiniteData, n_components: int, rng: np.random.Generator) -> Array:
        """See `FiniteDraw`."""
        responsibilities = rng.exponential(size=(n_components, len(data.distinct.first)))
        responsibilities /= responsibilities.sum(axis=0)
        return responsibilities[:, data.distinct.group]


@dataclass(frozen=True)
class GivenStart:
    """Responsibilities (n_samples, n_components) given by the user."""

    responsibilities: Array

    def __call__(self, data: FiniteData, n_components: int, rng: np.random.Generator) -> Array:
        """See `FiniteDraw`."""
        return self.responsibilities[data.origin].T


@dataclass(frozen=True)
class CallableStart:
    """Responsibilities from a function of the user's: ``function(X, n_components, rng)``."""

    function: Callable[[Any, int, np.random.Generator], Any]

    def __call__(self, data: FiniteData, n_components: int, rng: np.random.Generator) -> Array:
        """See `FiniteDraw`."""
        given = self.function(data.X, n_components, rng)
        return check_responsibilities(given, (len(data.weight), n_components)).T


FINITE_STARTS: dict[str, FiniteDraw] = {"rows": RowsStart(), "random": RandomStart()}
