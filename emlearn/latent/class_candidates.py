"""Starts of mixtures of items, counts or both, such as latent classes, for a race."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emlearn.kernels.clusters import join, lloyd, moments_of
from emlearn.latent.candidates import Labels, MixedStarts, PointTable
from emlearn.latent.data import LabelData
from emlearn.latent.points import dense_points

if TYPE_CHECKING:
    from emlearn.latent.model import LabelModel

Array = NDArray[Any]

# The rest of a row is spread over all classes, so that no class excludes what it has not seen.
_CERTAINTY = 0.8
# Steps of k-means in some of the starts. They help where there are many dimensions, and lead to
# the same few classes where there are not.
_LLOYD_STEPS = 3
# Micro-clusters for each class that they are joined to.
_MICRO = 8
# Drawings of seeds for each start that is asked for, where some lead to the same classes.
_PATIENCE = 3

# Seeds are drawn without trials: the best of several are rows far out, which lead to the same
# few classes again and again.


def seeded(
    table: PointTable, columns: Array, n: int, shape: str, rng: np.random.Generator
) -> Labels:
    """The nearest of seeds."""
    return table.seeds(columns, rng.random((n, 1)))[1]


def moved(
    table: PointTable, columns: Array, n: int, shape: str, rng: np.random.Generator
) -> Labels:
    """A few steps of k-means from seeds."""
    centers, _ = table.seeds(columns, rng.random((n, 1)))
    return lloyd(columns, table.relative_weight, centers, 1 + _LLOYD_STEPS)[1]


def joined(
    table: PointTable, columns: Array, n: int, shape: str, rng: np.random.Generator
) -> Labels:
    """Micro-clusters joined by Ward's method: no class goes without a seed."""
    micro = table.micro_clusters(columns, _MICRO * n, rng)
    clusters = moments_of(columns, table.relative_weight, micro, 0)
    return join(clusters, n, prior=np.zeros(0))[micro]


#: Kinds of starts, in turn, all of points as they are.
KINDS = ((seeded, "raw"), (moved, "raw"), (joined, "raw"))


def class_table(model: LabelModel, data: LabelData, rng: np.random.Generator) -> PointTable:
    """Distinct rows as points, or a random choice of many."""
    rows, weight = data.sample(model.n_components, rng)
    weight = np.asarray(weight, np.float64)
    points = dense_points(model, data, weight, rng, rows)
    return PointTable(rows, weight, np.ascontiguousarray(points.T))


#: Starts of families whose components are not ellipses.
CLASS_STARTS = MixedStarts(_CERTAINTY, class_table, first=(), again=KINDS, patience=_PATIENCE)
