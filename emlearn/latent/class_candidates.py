"""Starts of latent classes and of mixtures of items, counts or both: what a race chooses from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emlearn.engine import DegenerateModelError
from emlearn.kernels.clusters import Moments, join
from emlearn.latent.data import LabelData
from emlearn.latent.features import dense, features
from emlearn.latent.labels import in_order, renumbered
from emlearn.latent.starts import start_from

if TYPE_CHECKING:
    from emlearn.latent.model import LabelModel, LabelParams

Array = NDArray[Any]
Labels = NDArray[np.intp]

# Share of a row that goes to its own class at the start; the rest goes to all alike, so that no
# class excludes what it has not seen.
_CERTAINTY = 0.8
# Steps of k-means in some of the starts. They help where there are many dimensions, and lead to
# the same few classes where there are not.
_LLOYD_STEPS = 3
# Small clusters for each class that they are joined to.
_MICRO = 4
# Drawings of seeds for each start that is asked for, where some come to the same classes.
_PATIENCE = 3
_ROUNDING = 1e-12


@dataclass(frozen=True)
class ClassStarts:
    """Each row starts in the class of the nearest of some seeds: as they are, moved, or joined.

    The seeds are drawn without trials: the best of several are rows far out, which come to the
    same few classes again and again.
    """

    def __call__(self, model: LabelModel, data: LabelData, rng: np.random.Generator) -> LabelParams:
        """The first of the starts; see `Initializer`."""
        return next(self.candidates(model, data, rng, 1))

    def candidates(
        self, model: LabelModel, data: LabelData, rng: np.random.Generator, n: int
    ) -> Iterator[LabelParams]:
        """See `LatentVariableModel.candidates`; no two have the same classes."""
        first, group, weight = data.distinct
        K = model.n_components
        points = features(model.family, data.X[first], data.column_spec)
        met: set[bytes] = set()
        for i in range(_PATIENCE * n):
            classes = in_order(KINDS[i % len(KINDS)](points, weight, K, rng))
            if classes.tobytes() in met:
                continue
            met.add(classes.tobytes())
            classes = classes[group]
            if data.labels is not None:
                classes = renumbered(classes, data.labels, data.row_weight, K)
            hot = (classes == np.arange(K)[:, None]).astype(np.float64)
            with suppress(DegenerateModelError):
                yield start_from(model, data, _CERTAINTY * hot + (1.0 - _CERTAINTY) / K, rng)
            if len(met) == n:
                return


def draw_seeds(points: Any, weight: Array, n: int, rng: np.random.Generator) -> Array:
    """Points that are drawn one after the other, by the squares of the distances to the nearest.

    Parameters
    ----------
    points : ndarray or CSR array of shape (n_points, n_dimensions)
        Points.
    weight : ndarray of shape (n_points,)
        Their weights.
    n : int
        Number of seeds; there are fewer where fewer points differ.
    rng : Generator
        Source of randomness.

    Returns
    -------
    seeds : ndarray of shape (n_seeds, n_dimensions)
        The seeds.

    References
    ----------
    D. Arthur and S. Vassilvitskii (2007). "k-means++: the advantages of careful seeding".
    Proceedings of the 18th Annual ACM-SIAM Symposium on Discrete Algorithms, 1027-1035.
    """
    norm = _norm(points)
    mass, distance = weight, np.full(len(weight), np.inf)
    seeds: list[Array] = []
    while len(seeds) < n and mass.any():
        total = np.cumsum(mass)
        chosen = int(np.searchsorted(total, rng.random() * total[-1], side="right"))
        chosen = min(chosen, int(np.flatnonzero(mass)[-1]))
        seeds.append(dense(points[[chosen]])[0])
        square = norm + norm[chosen] - 2.0 * (points @ seeds[-1])
        # Rounding leaves a little of the distance of a point to its copies.
        square[square <= _ROUNDING * (norm + norm[chosen])] = 0.0
        distance = np.minimum(distance, square)
        mass = weight * distance
    return np.array(seeds)


def assign(points: Any, weight: Array, centers: Array, n_steps: int) -> Labels:
    """Nearest of the centers, after they moved to the means of their points some times."""
    labels = _nearest(points, centers)
    for _ in range(n_steps):
        labels = _nearest(points, _means(points, weight, in_order(labels))[1])
    return labels


def _means(points: Any, weight: Array, labels: Labels) -> tuple[Array, Array]:
    """Sizes and means of clusters, none of them empty."""
    shares = (labels == np.arange(labels.max() + 1)[:, None]) * weight
    size = shares.sum(axis=1)
    return size, (shares @ points) / size[:, None]


def _nearest(points: Any, centers: Array) -> Labels:
    labels: Labels = (np.square(centers).sum(axis=1) - 2.0 * (points @ centers.T)).argmin(axis=1)
    return labels


def _norm(points: Any) -> Array:
    return np.asarray((points * points).sum(axis=1)).ravel()


def seeded(points: Any, weight: Array, n: int, rng: np.random.Generator) -> Labels:
    """The nearest of seeds."""
    return assign(points, weight, draw_seeds(points, weight, n, rng), 0)


def moved(points: Any, weight: Array, n: int, rng: np.random.Generator) -> Labels:
    """A few steps of k-means from seeds."""
    return assign(points, weight, draw_seeds(points, weight, n, rng), _LLOYD_STEPS)


def joined(points: Any, weight: Array, n: int, rng: np.random.Generator) -> Labels:
    """Small clusters around many seeds, joined by Ward's method: no class goes without a seed."""
    labels = in_order(assign(points, weight, draw_seeds(points, weight, _MICRO * n, rng), 1))
    size, mean = _means(points, weight, labels)
    clusters = Moments(size, np.ascontiguousarray(mean), np.zeros((len(size), 0)))
    found: Labels = join(clusters, n, prior=np.zeros(0))[labels]
    return found


#: Kinds of starts, in turn.
KINDS = (seeded, moved, joined)
