"""Starts of latent classes, and of mixtures whose rows are items, counts or mixed: what a race
chooses from.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from emlearn.engine import DegenerateModelError
from emlearn.latent.data import LabelData
from emlearn.latent.features import features
from emlearn.latent.starts import start_from

if TYPE_CHECKING:
    from emlearn.latent.model import LabelModel, LabelParams

Array = NDArray[Any]

# Share of a row that goes to its own class at the start; the rest goes to all alike, so that no
# class excludes what it has not seen.
_CERTAINTY = 0.8
# Drawings of seeds for each start that is asked for, where some come to the same classes.
_PATIENCE = 3


@dataclass(frozen=True)
class ClassStarts:
    """Each row starts in the class of the nearest of the seeds of k-means++.

    The seeds are drawn without trials: greedy seeds of items are the rows far out, and come
    to the same few classes again and again.
    """

    def __call__(self, model: LabelModel, data: LabelData, rng: np.random.Generator) -> LabelParams:
        """The first of the starts; see `Initializer`."""
        return next(self.candidates(model, data, rng, 1))

    def candidates(
        self, model: LabelModel, data: LabelData, rng: np.random.Generator, n: int
    ) -> Iterator[LabelParams]:
        """See `LatentVariableModel.candidates`; no two have the same classes."""
        first, group, weight = data.distinct
        points = features(model.family, data.X[first], data.column_spec)
        known = None if data.labels is None else data.labels[first]
        met: set[bytes] = set()
        for _ in range(_PATIENCE * n):
            classes = seed_classes(points, weight, model.n_components, rng, known)
            if classes.tobytes() in met:
                continue
            met.add(classes.tobytes())
            with suppress(DegenerateModelError):
                yield self._start(model, data, classes[group], rng)
            if len(met) == n:
                return

    def _start(
        self, model: LabelModel, data: LabelData, classes: Array, rng: np.random.Generator
    ) -> LabelParams:
        K = model.n_components
        hot = (classes == np.arange(K)[:, None]).astype(np.float64)
        return start_from(model, data, _CERTAINTY * hot + (1.0 - _CERTAINTY) / K, rng)


def seed_classes(
    points: Any, weight: Array, n_classes: int, rng: np.random.Generator, known: Array | None
) -> NDArray[np.intp]:
    """The nearest of seeds, each drawn by the squared distances to those before.

    Seeds of classes with known rows are rows of theirs. The classes are otherwise numbered in
    the order of their first rows, so that the same classes have the same numbers.

    Parameters
    ----------
    points : ndarray or CSR array of shape (n_points, n_dimensions)
        Points.
    weight : ndarray of shape (n_points,)
        Weights.
    n_classes : int
        Number of seeds; where there are fewer different points, the last classes are empty.
    rng : Generator
        Source of randomness.
    known : ndarray of shape (n_points,) or None
        Known classes, negative where unknown.

    References
    ----------
    D. Arthur and S. Vassilvitskii (2007). "k-means++: the advantages of careful seeding".
    Proceedings of the 18th Annual ACM-SIAM Symposium on Discrete Algorithms, 1027-1035.
    """
    norm = np.asarray((points * points).sum(axis=1)).ravel()
    distance, classes = np.full(len(weight), np.inf), np.zeros(len(weight), np.intp)
    fixed = np.unique(known[known >= 0]).tolist() if known is not None else []
    for c in [*fixed, *(k for k in range(n_classes) if k not in fixed)]:
        mass = weight * np.where(np.isfinite(distance), distance, 1.0)
        if c in fixed:
            mass = weight * (known == c)
        if not mass.any():
            break
        total = np.cumsum(mass)
        seed = int(np.searchsorted(total, rng.random() * total[-1], side="right"))
        seed = min(seed, int(np.flatnonzero(mass)[-1]))
        point = points[[seed]]
        inner = points @ (point.toarray() if issparse(point) else point)[0]
        # Rounding leaves a little of the distance of a point to itself.
        square = norm + norm[seed] - 2.0 * inner
        square = np.where(square > 1e-12 * (norm + norm[seed]), square, 0.0)
        classes[square < distance] = c
        distance = np.minimum(distance, square)
    return classes if fixed else _in_order(classes)


def _in_order(labels: NDArray[np.intp]) -> NDArray[np.intp]:
    """The same classes, numbered by their first rows."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse.ravel()]
