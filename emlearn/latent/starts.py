"""Starts of EM for models with latent labels, one small strategy for each.

A strategy chooses responsibilities of some rows, and one M-step turns them into parameters. It
uses only the contract of a family, so a new family needs no start of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans, kmeans_plusplus

from emlearn.data import check_responsibilities
from emlearn.latent.data import LabelData
from emlearn.latent.labels import with_labels

if TYPE_CHECKING:
    from emlearn.latent.model import LabelModel, LabelParams

Array = NDArray[Any]
Index = NDArray[np.intp]

# In sequences a state tends to last, so a state starts from a row and this many rows on each side.
_REACH = 2


class Initializer(Protocol):
    """A strategy for starting parameters.

    If it has an attribute `numbered` that is true, the user numbered the components.
    """

    def __call__(self, model: LabelModel, data: LabelData, rng: np.random.Generator) -> LabelParams:
        """Starting parameters."""
        ...


def start_from(
    model: LabelModel,
    data: LabelData,
    responsibilities: Array,
    rng: np.random.Generator,
    rows: Index | None = None,
    weight: Array | None = None,
) -> LabelParams:
    """Parameters from responsibilities (without weight), with the known labels put in.

    Takes responsibilities of all rows, or of the rows at given positions and with given weights.
    """
    labels = data.labels
    if labels is not None:
        labels = labels if rows is None else labels[rows]
        responsibilities = with_labels(responsibilities, labels)
    weight = data.row_weight if weight is None else weight
    return model.from_responsibilities(data, responsibilities * weight, rng, rows)


def seed_responsibilities(row: int, data: LabelData, n_components: int) -> Array:
    """Responsibilities of a component that starts at one row.

    Half of the responsibility goes to this row and half to all rows. In a sequence, the first
    half covers the few neighboring rows as well. The half for all rows keeps the component
    from excluding values that the few rows do not show. It also makes the parameters exist
    for families that cannot be estimated from a few rows.
    """
    weight = data.row_weight
    first, end = row, row + 1
    if data.sequences is not None:
        edges = data.sequences.edges
        own = int(np.searchsorted(edges, row, side="right")) - 1
        first = max(row - _REACH, int(edges[own]))
        end = min(row + _REACH + 1, int(edges[own + 1]))
    responsibilities = np.full(len(weight), 0.5 / n_components)
    responsibilities[first:end] += 0.5 / n_components * weight.sum() / weight[first:end].sum()
    return responsibilities


@dataclass(frozen=True)
class RowsStart:
    """Each component starts at a row; the rows are drawn at random, by weight."""

    def __call__(self, model: LabelModel, data: LabelData, rng: np.random.Generator) -> LabelParams:
        """See `Initializer`."""
        first, _, weight = data.distinct
        K = model.n_components
        size = min(K, len(first))
        seeds = first[rng.choice(len(first), size, replace=False, p=weight / weight.sum())]
        responsibilities = np.stack(
            [seed_responsibilities(seeds[k % size], data, K) for k in range(K)]
        )
        return start_from(model, data, responsibilities, rng)


@dataclass(frozen=True)
class RandomStart:
    """Random responsibilities: all components start near the average row."""

    def __call__(self, model: LabelModel, data: LabelData, rng: np.random.Generator) -> LabelParams:
        """See `Initializer`."""
        first, group, _ = data.distinct
        responsibilities = rng.exponential(size=(model.n_components, len(first)))
        responsibilities /= responsibilities.sum(axis=0)
        return start_from(model, data, responsibilities[:, group], rng)


@dataclass(frozen=True)
class GivenStart:
    """Responsibilities (n_samples, n_components) from the user."""

    responsibilities: Array

    numbered: ClassVar[bool] = True
    needs_all_rows: ClassVar[bool] = True

    def __call__(self, model: LabelModel, data: LabelData, rng: np.random.Generator) -> LabelParams:
        """See `Initializer`."""
        given = self.responsibilities
        given = given if data.origin is None else given[data.origin]
        return start_from(model, data, given.T, rng)


@dataclass(frozen=True)
class CallableStart:
    """Responsibilities from a user's function: ``function(X, n_components, rng)``."""

    function: Callable[[Any, int, np.random.Generator], Any]
    check: Callable[[Any, tuple[int, int]], Array]

    numbered: ClassVar[bool] = True

    def __call__(self, model: LabelModel, data: LabelData, rng: np.random.Generator) -> LabelParams:
        """See `Initializer`."""
        given = self.function(data.X, model.n_components, rng)
        given = self.check(given, (data.n_rows, model.n_components))
        return start_from(model, data, given.T, rng)


# ---- rows that are points ---------------------------------------------------------------


def sample_points(
    model: LabelModel, data: LabelData, rng: np.random.Generator
) -> tuple[Index, Array, Array]:
    """Distinct rows, weights and points, in an order that does not depend on the units."""
    rows, weight = data.sample(model.n_components, rng)
    points = model.family.points(data.X[rows], data.column_spec)
    order = np.lexsort(points.T)
    return rows[order], weight[order], points[order]


@dataclass(frozen=True)
class RandomPointsStart:
    """Random responsibilities of rows that are points, independent of the units."""

    def __call__(self, model: LabelModel, data: LabelData, rng: np.random.Generator) -> LabelParams:
        """See `Initializer`."""
        rows, weight, _ = sample_points(model, data, rng)
        responsibilities = rng.exponential(size=(model.n_components, len(rows)))
        responsibilities /= responsibilities.sum(axis=0)
        if data.labels is not None:
            responsibilities = with_labels(responsibilities, data.labels[rows])
        return model.from_responsibilities(data, responsibilities * weight, rng, rows)


@dataclass(frozen=True)
class NearestStart:
    """Each row is assigned to its nearest center.

    Parameters
    ----------
    centers : callable
        Called as ``centers(points, weight, n_components, rng)``. Returns the centers.
    """

    centers: Callable[[Array, Array, int, np.random.Generator], Array]

    def __call__(self, model: LabelModel, data: LabelData, rng: np.random.Generator) -> LabelParams:
        """See `Initializer`."""
        rows, weight, points = sample_points(model, data, rng)
        K = model.n_components
        size = min(K, len(points))
        labels = nearest(points, self.centers(points, weight, size, rng))
        responsibilities = (labels == np.arange(K)[:, None]).astype(np.float64)
        empty = np.flatnonzero(~responsibilities.any(axis=1))
        # A component without rows starts at a row drawn at random.
        responsibilities[empty, rng.integers(len(points), size=empty.size)] = 1.0
        return start_from(model, data, responsibilities, rng, rows, weight)


def nearest(points: Array, centers: Array) -> Array:
    """Index of the center nearest to each point."""
    # The squared norms of the points do not depend on the center.
    distance = np.square(centers).sum(axis=1) - 2.0 * (points @ centers.T)
    return distance.argmin(axis=1)


def _legacy_seed(rng: np.random.Generator) -> int:
    """Seed for scikit-learn's functions, which take no Generator."""
    return int(rng.integers(2**31 - 1))


def kmeans_centers(points: Array, weight: Array, n: int, rng: np.random.Generator) -> Array:
    """Centers of one run of k-means; the distinct points where there are not more than `n`."""
    first = _first_distinct(points, n + 1)
    if len(first) <= n:
        return points[np.resize(first, n)]
    kmeans = KMeans(n, n_init=1, random_state=_legacy_seed(rng))
    centers: Array = kmeans.fit(points, sample_weight=weight).cluster_centers_
    return centers


def _first_distinct(points: Array, most: int) -> Index:
    """Positions of the first points that differ from those before, `most` of them or all."""
    seen: dict[bytes, int] = {}
    for i, point in enumerate(points):
        seen.setdefault(point.tobytes(), i)
        if len(seen) == most:
            break
    return np.fromiter(seen.values(), np.intp, len(seen))


def kmeans_seeds(points: Array, weight: Array, n: int, rng: np.random.Generator) -> Array:
    """Seeds of k-means++, without the iterations of k-means."""
    centers: Array = kmeans_plusplus(
        points, n, sample_weight=weight, random_state=_legacy_seed(rng)
    )[0]
    return centers


def random_rows(points: Array, weight: Array, n: int, rng: np.random.Generator) -> Array:
    """Rows drawn at random, by weight."""
    return points[rng.choice(len(points), n, replace=False, p=weight / weight.sum())]


@dataclass(frozen=True)
class NearestToMeans:
    """Each row is assigned to the nearest of the given means, in the units of the data.

    A mean that is nearest to no row, or equal to another, shares the rows closest to it with
    their own components. Otherwise its component would start without rows and stay so.
    """

    means: Array

    numbered: ClassVar[bool] = True

    def __call__(self, model: LabelModel, data: LabelData, rng: np.random.Generator) -> LabelParams:
        """See `Initializer`."""
        centers = model.family.points(self.means, data.column_spec)
        rows, weight, points = sample_points(model, data, rng)
        K, d = centers.shape
        labels = nearest(points, centers)
        responsibilities = (labels == np.arange(K)[:, None]).astype(np.float64)
        n_shared = min(max(d + 2, len(points) // (2 * K)), len(points))
        for k in np.flatnonzero(~responsibilities.any(axis=1)):
            distance = np.square(points - centers[k]).sum(axis=1)
            closest = np.argsort(distance, kind="stable")[:n_shared]
            responsibilities[:, closest] *= 0.5
            responsibilities[k, closest] = 0.5
        return start_from(model, data, responsibilities, rng, rows, weight)


def start_of(init_params: Any, shape: tuple[int, int]) -> Initializer:
    """The start from responsibilities (n_samples, n_components), or from a user's function."""
    if callable(init_params):
        return CallableStart(init_params, check_responsibilities)
    return GivenStart(check_responsibilities(init_params, shape))


#: Starts for any family.
STARTS: dict[str, Initializer] = {"rows": RowsStart(), "random": RandomStart()}
#: Starts for families whose rows are points.
POINT_STARTS: dict[str, Initializer] = {
    "kmeans": NearestStart(kmeans_centers),
    "k-means++": NearestStart(kmeans_seeds),
    "random": RandomPointsStart(),
    "random_from_data": NearestStart(random_rows),
}
