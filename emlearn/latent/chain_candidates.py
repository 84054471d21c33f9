"""Starts of several kinds for hidden Markov models: what a race chooses from.

States that last, states that alternate, and states that rows alone tell apart need different
starts. Transitions are counted from the labels of clusters where there are labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from emlearn.engine import DegenerateModelError
from emlearn.kernels.clusters import lloyd, plus_plus
from emlearn.latent.chain.law import ChainLaw, ChainParams, Probabilities
from emlearn.latent.data import LabelData
from emlearn.latent.starts import RandomStart, RowsStart, nearest, start_from

if TYPE_CHECKING:
    from emlearn.latent.model import LabelModel, LabelParams

Array = NDArray[Any]

# Rows that centers are computed from, and steps of k-means.
_ROWS = 5000
_LLOYD_STEPS = 10
# Fraction of a row that starts in its own cluster.
_CERTAINTY = 0.8
# Weight of the mean of the rows around a row, and how many there are on each side.
_NEIGHBOR_WEIGHT, _REACH = 1.5, 2
_MOST_LEVELS = 100

Kind = Literal["rows", "random", "clusters", "neighbors", "windows"]
Moves = Literal["given", "lasting", "uniform", "dirichlet", "counted"]

#: Emissions and transitions of the starts, the most promising first, again and again.
KINDS: tuple[tuple[Kind, Moves], ...] = (
    ("neighbors", "counted"),
    ("windows", "counted"),
    ("rows", "dirichlet"),
    ("clusters", "counted"),
    ("rows", "given"),
    ("random", "dirichlet"),
    ("windows", "counted"),
    ("rows", "uniform"),
    ("rows", "lasting"),
    ("clusters", "given"),
    ("rows", "dirichlet"),
    ("neighbors", "lasting"),
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
        """See `LatentVariableModel.candidates`."""
        features = None if issparse(data.X) else _features(model, data)
        for i in range(n):
            kind, moves = KINDS[i % len(KINDS)]
            if features is None and kind not in ("rows", "random"):
                continue
            with suppress(DegenerateModelError):
                yield _start(model, data, features, kind, moves, rng)


def _start(
    model: LabelModel,
    data: LabelData,
    features: Array | None,
    kind: Kind,
    moves: Moves,
    rng: np.random.Generator,
) -> LabelParams:
    law = model.law
    assert isinstance(law, ChainLaw)
    if kind == "rows" or features is None:
        params = RowsStart()(model, data, rng)
    elif kind == "random":
        params = RandomStart()(model, data, rng)
    else:
        labels = _cluster(_seen(features, data, kind), data, model.n_components, rng)
        hot = (labels == np.arange(model.n_components)[:, None]).astype(np.float64)
        hot = _CERTAINTY * hot + (1.0 - _CERTAINTY) / model.n_components
        params = start_from(model, data, hot, rng)
        if moves == "counted":
            counted = law.restart(hot * data.row_weight, data)
            return params._replace(law=_as_given(law, counted))
    return params._replace(law=_as_given(law, _moves(law, params.law, moves, rng)))


def _moves(
    law: ChainLaw, default: ChainParams, moves: Moves, rng: np.random.Generator
) -> ChainParams:
    n = law.n_components
    allowed = law.transmat.allowed()
    if moves == "lasting":
        transmat = np.where(allowed, 0.9 * np.eye(n) + 0.1 / n, 0.0)
    elif moves == "uniform":
        transmat = allowed.astype(np.float64)
    elif moves == "dirichlet":
        transmat = np.where(allowed, rng.exponential(size=(n, n)), 0.0)
    else:
        return default
    return ChainParams(default.startprob, transmat / transmat.sum(axis=1, keepdims=True))


def _as_given(law: ChainLaw, params: ChainParams) -> ChainParams:
    """Probabilities that the user gave rule, as in every other start."""

    def rule(own: Probabilities, found: Array) -> Array:
        return found if own.given is None else own.given

    return ChainParams(rule(law.startprob, params.startprob), rule(law.transmat, params.transmat))


def _features(model: LabelModel, data: LabelData) -> Array:
    """Rows as points (n_rows, n_columns): items one-hot, counts by their square roots."""
    X = np.asarray(data.X, np.float64)
    levels = model.family.levels(data.column_spec) or [None] * X.shape[1]
    columns: list[Array] = []
    for j, own in enumerate(levels):
        column = X[:, j]
        if own is not None and len(own) <= _MOST_LEVELS:
            columns.extend((column == level).astype(np.float64) for level in own)
            continue
        column = np.sqrt(np.maximum(column, 0.0)) if model.family.is_discrete else column
        seen = ~np.isnan(column)
        filled = np.where(seen, column, 0.0)
        scale = np.abs(filled).max(initial=0.0) or 1.0
        filled = filled / scale
        middle = filled.sum() / max(int(seen.sum()), 1)
        filled = np.where(seen, filled - middle, 0.0)
        deviation = np.sqrt(np.square(filled).mean())
        columns.append(filled / deviation if deviation > 0.0 else filled)
    return np.column_stack(columns)


def _seen(features: Array, data: LabelData, kind: Kind) -> Array:
    """Features of the rows, with those of the rows around them."""
    if kind == "clusters":
        return features
    assert data.sequences is not None
    edges = data.sequences.edges
    own = np.repeat(np.arange(len(edges) - 1), np.diff(edges))
    first, last = edges[own], edges[own + 1] - 1
    here = np.arange(len(features))
    if kind == "windows":
        before, after = np.maximum(here - 1, first), np.minimum(here + 1, last)
        return np.hstack((features, features[before], features[after]))
    offsets = range(-_REACH, _REACH + 1)
    around = [features[np.clip(here + offset, first, last)] for offset in offsets]
    return np.hstack((features, _NEIGHBOR_WEIGHT * np.mean(around, axis=0)))


def _cluster(
    points: Array, data: LabelData, n_clusters: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Clusters of k-means, whose centers are those of some of the rows."""
    weight = data.row_weight / data.row_weight.max()
    chosen = np.arange(len(points))
    if len(points) > _ROWS:
        chosen = np.sort(rng.choice(len(points), _ROWS, replace=False))
    columns = np.ascontiguousarray(points[chosen].T)
    weight = np.ascontiguousarray(weight[chosen], np.float64)
    draws = rng.random((n_clusters, 2 + int(np.log(n_clusters))))
    seeds, labels = plus_plus(columns, weight, draws)
    centers, _ = lloyd(columns, weight, columns[:, seeds].T, labels * 0 - 1, _LLOYD_STEPS)
    found: NDArray[np.intp] = nearest(points, np.asarray(centers))
    return found
