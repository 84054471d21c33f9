"""Starts of several kinds for hidden Markov models. A race chooses among them.

States that last, states that alternate, and states that differ in their rows alone need
different starts. If a start has clusters, transitions can be counted from their labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from emlearn.engine import DegenerateModelError
from emlearn.kernels.clusters import greedy_draws, lloyd, plus_plus
from emlearn.latent.chain.law import ChainParams, Probabilities
from emlearn.latent.data import LabelData, group_copies, hash_rows
from emlearn.latent.labels import in_order, renumbered
from emlearn.latent.points import dense_points
from emlearn.latent.starts import RandomStart, RowsStart, nearest, start_from

if TYPE_CHECKING:
    from emlearn.latent.model import LabelModel, LabelParams

Array = NDArray[Any]

# Number of rows from which centers are computed, and steps of k-means.
_ROWS = 5000
_LLOYD_STEPS = 10
# Fraction of a row that starts in its own cluster.
_CERTAINTY = 0.95
# Weight of the mean of the neighboring rows, and number of neighbors on each side.
_NEIGHBOR_WEIGHT, _REACH = 1.5, 2

Kind = Literal["rows", "random", "clusters", "neighbors", "windows"]
Moves = Literal["given", "lasting", "uniform", "dirichlet", "counted"]

#: States and transitions of the starts, the most promising first. They repeat.
KINDS: tuple[tuple[Kind, Moves], ...] = (
    ("neighbors", "counted"),
    ("windows", "counted"),
    ("rows", "dirichlet"),
    ("clusters", "given"),
    ("rows", "lasting"),
    ("random", "dirichlet"),
    ("windows", "counted"),
    ("rows", "uniform"),
    ("clusters", "lasting"),
    ("rows", "dirichlet"),
    ("clusters", "given"),
    ("windows", "counted"),
)


@dataclass(frozen=True)
class ChainStarts:
    """Starts of hidden Markov models, of several kinds."""

    def __call__(self, model: LabelModel, data: LabelData, rng: np.random.Generator) -> LabelParams:
        """A start of one kind; see `Initializer`."""
        return RowsStart()(model, data, rng)

    def candidates(
        self, model: LabelModel, data: LabelData, rng: np.random.Generator, n: int
    ) -> Iterator[LabelParams]:
        """See `LatentVariableModel.candidates`. Random rows replace clusters found before."""
        points = dense_points(model, data, data.row_weight, rng)
        met: set[tuple[bytes, Moves]] = set()
        for i in range(n):
            kind, moves = KINDS[i % len(KINDS)]
            labels = None
            if kind not in ("rows", "random"):
                labels = _cluster(_seen(points, data, kind), data, model.n_components, rng)
                if (labels.tobytes(), moves) in met:
                    labels = None
                else:
                    met.add((labels.tobytes(), moves))
            with suppress(DegenerateModelError):
                if labels is not None:
                    yield _clustered(model, data, labels, moves, rng)
                else:
                    start = RandomStart() if kind == "random" else RowsStart()
                    yield _moving(model, start(model, data, rng), moves, rng)


def _clustered(
    model: LabelModel, data: LabelData, labels: NDArray[np.intp], moves: Moves, rng: Any
) -> LabelParams:
    """A start from clusters of the rows."""
    hot = (labels == np.arange(model.n_components)[:, None]).astype(np.float64)
    even = 1.0 / model.n_components
    params = start_from(model, data, _CERTAINTY * hot + (1.0 - _CERTAINTY) * even, rng)
    if moves != "counted":
        return _moving(model, params, moves, rng)
    counted = model.law.restart(hot * data.row_weight, data)
    return params._replace(law=_as_given(model.law, counted))


def _moving(
    model: LabelModel, params: LabelParams, moves: Moves, rng: np.random.Generator
) -> LabelParams:
    """The same states with other transitions. Without clusters to count, they are random."""
    return params._replace(law=_as_given(model.law, _moves(model.law, params.law, moves, rng)))


def _moves(law: Any, default: ChainParams, moves: Moves, rng: np.random.Generator) -> ChainParams:
    n = law.n_components
    allowed = law.transmat.allowed()
    if moves == "lasting":
        transmat = np.where(allowed, 0.9 * np.eye(n) + 0.1 / n, 0.0)
    elif moves == "uniform":
        transmat = allowed.astype(np.float64)
    elif moves in ("dirichlet", "counted"):
        transmat = np.where(allowed, rng.exponential(size=(n, n)), 0.0)
    else:
        return default
    return ChainParams(default.startprob, transmat / transmat.sum(axis=1, keepdims=True))


def _as_given(law: Any, params: ChainParams) -> ChainParams:
    """Probabilities from the user replace those found, as in every other start."""

    def rule(own: Probabilities, found: Array) -> Array:
        return found if own.given is None else own.given

    startprob = rule(law.startprob, params.startprob)
    found: ChainParams = law.completed(ChainParams(startprob, rule(law.transmat, params.transmat)))
    return found


def _seen(points: Array, data: LabelData, kind: Kind) -> Array:
    """Points of the rows together with those of their neighbors."""
    if kind == "clusters":
        return points
    assert data.sequences is not None
    edges = data.sequences.edges
    own = np.repeat(np.arange(len(edges) - 1), np.diff(edges))
    first, last = edges[own], edges[own + 1] - 1
    here = np.arange(len(points))
    if kind == "windows":
        before, after = np.maximum(here - 1, first), np.minimum(here + 1, last)
        return np.hstack((points, points[before], points[after]))
    offsets = range(-_REACH, _REACH + 1)
    around = [points[np.clip(here + offset, first, last)] for offset in offsets]
    return np.hstack((points, _NEIGHBOR_WEIGHT * np.mean(around, axis=0)))


def _cluster(
    points: Array, data: LabelData, n_clusters: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Clusters of k-means, with centers computed from at most `_ROWS` distinct rows."""
    # Copies are merged, so that weight w and w copies have the same effect.
    first, _, weight = group_copies(hash_rows(points, None), data.row_weight)
    order = np.lexsort(points[first].T[:2])
    if len(order) > _ROWS:
        order = order[np.sort(rng.choice(len(order), _ROWS, replace=False))]
    columns = np.ascontiguousarray(points[first[order]].T)
    weight = weight[order] / weight.max()
    seeds, _ = plus_plus(columns, weight, greedy_draws(n_clusters, rng))
    centers, _ = lloyd(columns, weight, columns[:, seeds].T, _LLOYD_STEPS)
    found: NDArray[np.intp] = nearest(points, np.asarray(centers))
    found = in_order(found)
    if data.labels is not None:
        found = renumbered(found, data.labels, data.row_weight, n_clusters)
    return found
