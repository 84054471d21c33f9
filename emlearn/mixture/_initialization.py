"""Where EM starts: one small strategy each.

A strategy returns soft labels of some rows, from which the model makes parameters by one
M-step. Strategies look at no more than `_MAX_ROWS` rows (or a hundred a component), so
that a start costs little beside an EM step however long the data are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans, kmeans_plusplus

from emlearn.data import check_responsibilities
from emlearn.mixture._data import MixtureData

Array = NDArray[Any]

_MAX_ROWS = 10_000
_ROWS_PER_COMPONENT = 100


class SoftLabels(NamedTuple):
    """Rows in scaled coordinates, with responsibilities of the components for them.

    Attributes
    ----------
    rows : ndarray of shape (n_rows, n_features)
        The rows, in float64.
    weight : ndarray of shape (n_rows,) or None
        Their weights.
    responsibilities : ndarray of shape (n_components, n_rows)
        Shares of each row; need not add up to one.
    """

    rows: Array
    weight: Array | None
    responsibilities: Array


class Draw(Protocol):
    """A strategy of initialisation."""

    def __call__(
        self, data: MixtureData, n_components: int, rng: np.random.Generator
    ) -> SoftLabels:
        """Soft labels of rows of the data."""
        ...


@dataclass(frozen=True)
class Start:
    """Starting parameters: those given by the user, and a strategy for the others.

    Attributes
    ----------
    draw : Draw
        The strategy.
    weights, means, covariances : ndarray or None
        Given parameters, in the units of the data.
    """

    draw: Draw
    weights: Array | None = None
    means: Array | None = None
    covariances: Array | None = None


def sample_rows(
    data: MixtureData, n_components: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Distinct rows of small data, or of a random choice of large; scaled, with weights.

    They are sorted and copies are merged, so that neither the order of the rows nor
    copies in the place of weights change what is then drawn at random.
    """
    X = data.X
    weight = np.ones(len(X)) if data.weight is None else data.weight
    size = max(_MAX_ROWS, _ROWS_PER_COMPONENT * n_components)
    if len(X) > size:
        chosen = np.sort(rng.choice(len(X), size, replace=False, shuffle=False))
        X, weight = X[chosen], weight[chosen]
    order = np.lexsort(X.T)
    X, weight = X[order], weight[order]
    first = np.append(True, (X[1:] != X[:-1]).any(axis=1))
    rows = data.scaling.to_scaled(X[first])
    return rows, np.add.reduceat(weight, np.flatnonzero(first))


def nearest(rows: Array, centers: Array) -> Array:
    """Index of the center nearest to each row."""
    # The squared norms of the rows are common to all centers.
    distance = np.square(centers).sum(axis=1) - 2.0 * (rows @ centers.T)
    return distance.argmin(axis=1)


def distance_to_nearest(rows: Array, centers: Array) -> Array:
    """Distance of each row to the center nearest to it."""
    squares = np.square(rows).sum(axis=1)[:, None] + np.square(centers).sum(axis=1)
    squares -= 2.0 * (rows @ centers.T)
    distance: Array = np.sqrt(np.maximum(squares.min(axis=1), 0.0))
    return distance


def _one_hot(labels: Array, n_components: int) -> Array:
    hot: Array = (labels == np.arange(n_components)[:, None]).astype(np.float64)
    return hot


def _legacy_seed(rng: np.random.Generator) -> int:
    """Seed for scikit-learn's functions, which take no Generator."""
    return int(rng.integers(2**31 - 1))


@dataclass(frozen=True)
class KMeansStart:
    """Clusters of one run of k-means."""

    def __call__(
        self, data: MixtureData, n_components: int, rng: np.random.Generator
    ) -> SoftLabels:
        """See `Draw`."""
        rows, weight = sample_rows(data, n_components, rng)
        points = rows * data.metric
        if len(points) > n_components:
            kmeans = KMeans(n_components, n_init=1, random_state=_legacy_seed(rng))
            labels = kmeans.fit(points, sample_weight=weight).labels_
        else:
            labels = np.arange(len(points))
        return SoftLabels(rows, weight, _one_hot(labels, n_components))


@dataclass(frozen=True)
class KMeansPlusPlusStart:
    """Rows nearest to the centers of k-means++, without the iterations of k-means."""

    def __call__(
        self, data: MixtureData, n_components: int, rng: np.random.Generator
    ) -> SoftLabels:
        """See `Draw`."""
        rows, weight = sample_rows(data, n_components, rng)
        points = rows * data.metric
        centers, _ = kmeans_plusplus(
            points,
            min(n_components, len(points)),
            sample_weight=weight,
            random_state=_legacy_seed(rng),
        )
        return SoftLabels(rows, weight, _one_hot(nearest(points, centers), n_components))


@dataclass(frozen=True)
class RandomRowsStart:
    """Rows nearest to centers that are rows drawn at random, by weight."""

    def __call__(
        self, data: MixtureData, n_components: int, rng: np.random.Generator
    ) -> SoftLabels:
        """See `Draw`."""
        rows, weight = sample_rows(data, n_components, rng)
        points = rows * data.metric
        share = weight / weight.sum()
        size = min(n_components, len(rows))
        chosen = rng.choice(len(rows), size, replace=False, p=share)
        labels = nearest(points, points[chosen])
        return SoftLabels(rows, weight, _one_hot(labels, n_components))


@dataclass(frozen=True)
class RandomStart:
    """Random responsibilities: all components start near the center of the data."""

    def __call__(
        self, data: MixtureData, n_components: int, rng: np.random.Generator
    ) -> SoftLabels:
        """See `Draw`."""
        rows, weight = sample_rows(data, n_components, rng)
        responsibilities = rng.random((n_components, len(rows)))
        responsibilities /= responsibilities.sum(axis=0)
        return SoftLabels(rows, weight, responsibilities)


@dataclass(frozen=True)
class NearestMeansStart:
    """Rows nearest to means given by the user, in the units of the data."""

    means: Array

    def __call__(
        self, data: MixtureData, n_components: int, rng: np.random.Generator
    ) -> SoftLabels:
        """See `Draw`."""
        rows, weight = sample_rows(data, n_components, rng)
        centers = data.scaling.to_scaled(self.means) * data.metric
        labels = nearest(rows * data.metric, centers)
        return SoftLabels(rows, weight, _one_hot(labels, n_components))


@dataclass(frozen=True)
class GivenResponsibilities:
    """Responsibilities (n_samples, n_components) given by the user."""

    responsibilities: Array

    def __call__(
        self, data: MixtureData, n_components: int, rng: np.random.Generator
    ) -> SoftLabels:
        """See `Draw`."""
        given = self.responsibilities if data.kept is None else self.responsibilities[data.kept]
        return SoftLabels(data.scaling.to_scaled(data.X), data.weight, given.T)


@dataclass(frozen=True)
class CallableStart:
    """Responsibilities from a function of the user's: ``function(X, n_components, rng)``."""

    function: Callable[[Array, int, np.random.Generator], Any]

    def __call__(
        self, data: MixtureData, n_components: int, rng: np.random.Generator
    ) -> SoftLabels:
        """See `Draw`."""
        given = self.function(data.X, n_components, rng)
        given = check_responsibilities(given, (len(data.X), n_components))
        return SoftLabels(data.scaling.to_scaled(data.X), data.weight, given.T)


STARTS: dict[str, Draw] = {
    "kmeans": KMeansStart(),
    "k-means++": KMeansPlusPlusStart(),
    "random": RandomStart(),
    "random_from_data": RandomRowsStart(),
}


#: Of what a search makes its short runs: quick to draw, and different each time.
SEARCH_START: Draw = KMeansPlusPlusStart()
