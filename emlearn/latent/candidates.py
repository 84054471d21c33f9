"""Starts of several kinds and metrics, for rows that are points. A race chooses among them.

No kind of start and no metric finds the best optimum on all data. This module labels up to some
thousand rows; one M-step turns the labels into parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from emlearn.engine import DegenerateModelError
from emlearn.kernels.clusters import Moments, greedy_draws, join, lloyd, moments_of, plus_plus
from emlearn.latent.data import LabelData
from emlearn.latent.labels import in_order, renumbered
from emlearn.latent.starts import start_from

if TYPE_CHECKING:
    from emlearn.latent.model import LabelModel, LabelParams

Array = NDArray[Any]
Labels = NDArray[np.int64]

# Number of rows that are labelled: enough for the clusters and their covariances.
_ROWS = 2000
_ROWS_PER_PARAMETER = 10
_MOST_ROWS = 10_000
# Micro-clusters for each cluster that they are joined to.
_MICRO = 4
# Rows up to which Ward's method joins rows, and micro-clusters that it joins beyond.
_WARD_ROWS = 500
_WARD_MICRO = 10
_LLOYD_STEPS = 15
# Number of first starts, of several methods and metrics, that have to agree.
_AGREEING = 3
# Smallest eigenvalue for whitening, relative to the largest, and smallest fraction of the variance
# of a column that lies within clusters.
_FLOOR = 1e-4
_WITHIN = 1e-6


@dataclass(frozen=True, eq=False)
class PointTable:
    """Rows to be clustered.

    Attributes
    ----------
    rows : ndarray of shape (n_points,)
        Their positions in the data, all different.
    weight : ndarray of shape (n_points,)
        Their weights.
    raw : ndarray of shape (n_features, n_points)
        Centered columns in the units of the data; 0 where an entry is missing.
    """

    rows: NDArray[np.intp]
    weight: Array
    raw: Array

    @classmethod
    def of(cls, data: LabelData, n_components: int, rng: np.random.Generator) -> PointTable:
        """Distinct rows, or a random choice of many, in an order that units do not change."""
        rows, weight = data.sample(n_components, rng)
        size = max(_ROWS, _ROWS_PER_PARAMETER * n_components * (data.X.shape[1] + 1))
        size = min(size, _MOST_ROWS)
        if len(rows) > size:
            chosen = np.sort(rng.choice(len(rows), size, replace=False, shuffle=False))
            rows, weight = rows[chosen], weight[chosen]
        X = np.asarray(data.X[rows], np.float64)
        order = np.lexsort(X.T[:2])
        rows, weight, X = rows[order], np.ascontiguousarray(weight[order], np.float64), X[order]
        return cls(rows, weight, _centered(X, weight / weight.max()))

    @cached_property
    def relative_weight(self) -> Array:
        """Weights whose mean is 1, so that a common factor makes no difference."""
        largest = self.weight.max()
        return self.weight / largest / (self.weight / largest).mean()

    @cached_property
    def standardized(self) -> Array:
        """Columns of variance 1."""
        deviation = np.sqrt(np.square(self.raw) @ self.relative_weight / self.relative_weight.sum())
        return self.raw / np.where(deviation > 0.0, deviation, 1.0)[:, None]

    @cached_property
    def whitened(self) -> Array:
        """Uncorrelated columns. Directions with almost no variance keep a small one."""
        columns = self.standardized
        covariance = (columns * self.relative_weight) @ columns.T / self.relative_weight.sum()
        values, vectors = np.linalg.eigh(covariance)
        deviation = np.sqrt(np.maximum(values, max(_FLOOR * float(values[-1]), _WITHIN)))
        return np.ascontiguousarray((vectors / deviation).T @ columns)

    def seeds(self, columns: Array, draws: Array) -> tuple[Array, Labels]:
        """Seeds of k-means++ and nearest seeds."""
        chosen, labels = plus_plus(columns, self.relative_weight, draws)
        return columns[:, chosen].T, labels

    def micro_clusters(self, columns: Array, n: int, rng: np.random.Generator) -> Labels:
        """Labels of many small clusters, none empty: seeds and one step of k-means."""
        centers, _ = self.seeds(columns, rng.random((n, 1)))
        _, labels = lloyd(columns, self.relative_weight, centers, 2)
        return np.unique(labels, return_inverse=True)[1].astype(np.int64).ravel()


def _centered(X: Array, weight: Array) -> Array:
    """Centered columns, in one common unit that keeps sums and squares in range."""
    seen = ~np.isnan(X)
    filled = np.where(seen, X, 0.0)
    scale = np.exp2(np.frexp(np.abs(filled).max(axis=0))[1] - 1)
    filled = filled / scale
    middle = weight @ filled / np.maximum(weight @ seen, np.finfo(np.float64).tiny)
    columns = np.where(seen, filled - middle, 0.0)
    # The unit is that of the column with the largest deviations; constants have none.
    spread = scale * np.abs(columns).max(axis=0, initial=0.0)
    unit = scale[np.argmax(spread)]
    with np.errstate(over="ignore"):
        return np.ascontiguousarray((columns * (scale / unit)).T)


#: Labels of a table: called as ``maker(table, columns, n_clusters, shape, rng)``.
LabelMaker = Callable[[PointTable, Array, int, str, np.random.Generator], Labels]
#: Kinds of starts, each in one of the metrics "raw", "standardized" and "whitened".
Kinds = tuple[tuple[LabelMaker, str], ...]


def joined_clusters(
    table: PointTable, columns: Array, n: int, shape: str, rng: np.random.Generator
) -> Labels:
    """Micro-clusters joined by Gaussian classification likelihood.

    Each micro-cluster gets d + 2 pseudo-rows with the scatter that all have in common.
    """
    micro = table.micro_clusters(columns, _MICRO * n, rng)
    points = table.standardized
    d = len(points)
    if shape == "tied":
        clusters = moments_of(points, table.relative_weight, micro, d * (d + 1) // 2)
        cholesky = np.linalg.cholesky(_square(_within(clusters, "full"), d))
        mean = np.linalg.solve(cholesky, clusters.mean.T).T
        clusters = Moments(clusters.size, np.ascontiguousarray(mean), clusters.scatter[:, :0])
        return join(clusters, n, prior=np.zeros(0), entropy=1.0)[micro]
    n_moments = {"full": d * (d + 1) // 2, "diag": d, "spherical": 1}[shape]
    clusters = moments_of(points, table.relative_weight, micro, n_moments)
    extra = d + 2.0
    prior = extra * _within(clusters, shape)
    return join(clusters, n, prior=prior, extra=extra, entropy=1.0)[micro]


def _within(clusters: Moments, shape: str) -> Array:
    """Covariance within clusters, in as many numbers as there are moments."""
    d = clusters.mean.shape[1]
    within = clusters.scatter.sum(axis=0) / clusters.size.sum()
    if shape == "full":
        return within + _WITHIN * np.eye(d)[np.tril_indices(d)]
    return within + _WITHIN * (d if shape == "spherical" else 1.0)


def _square(triangle: Array, d: int) -> Array:
    matrix = np.zeros((d, d))
    rows, columns = np.tril_indices(d)
    matrix[rows, columns] = matrix[columns, rows] = triangle
    return matrix


def kmeans(
    table: PointTable, columns: Array, n: int, shape: str, rng: np.random.Generator
) -> Labels:
    """Clusters of a few steps of k-means."""
    centers, _ = table.seeds(columns, greedy_draws(n, rng))
    return lloyd(columns, table.relative_weight, centers, _LLOYD_STEPS)[1]


def seeds(
    table: PointTable, columns: Array, n: int, shape: str, rng: np.random.Generator
) -> Labels:
    """Clusters of the seeds of k-means++."""
    return table.seeds(columns, greedy_draws(n, rng))[1]


def ward(table: PointTable, columns: Array, n: int, shape: str, rng: np.random.Generator) -> Labels:
    """Ward's method, on the rows themselves if there are few."""
    if columns.shape[1] <= _WARD_ROWS:
        micro = np.arange(columns.shape[1])
    else:
        micro = table.micro_clusters(columns, _WARD_MICRO * n, rng)
    clusters = moments_of(columns, table.relative_weight, micro, 0)
    return join(clusters, n, prior=np.zeros(0))[micro]


#: Kinds and metrics, the most promising first: the first ten, and those that follow repeatedly.
FIRST: Kinds = (
    (joined_clusters, "raw"),
    (ward, "raw"),
    (joined_clusters, "standardized"),
    (kmeans, "raw"),
    (joined_clusters, "whitened"),
    (ward, "standardized"),
    (kmeans, "whitened"),
    (ward, "whitened"),
    (kmeans, "standardized"),
    (seeds, "raw"),
)
AGAIN: Kinds = (
    (joined_clusters, "raw"),
    (seeds, "standardized"),
    (joined_clusters, "standardized"),
    (kmeans, "raw"),
    (joined_clusters, "whitened"),
    (seeds, "raw"),
    (kmeans, "standardized"),
    (seeds, "whitened"),
)


#: Rows to be clustered: called as ``maker(model, data, rng)``.
TableMaker = Callable[["LabelModel", LabelData, np.random.Generator], PointTable]


def _table_of_columns(model: LabelModel, data: LabelData, rng: np.random.Generator) -> PointTable:
    return PointTable.of(data, model.n_components, rng)


@dataclass(frozen=True)
class MixedStarts:
    """Starts of several kinds, from clusters of rows.

    Parameters
    ----------
    certainty : float, default=1.0
        Fraction of a row that belongs to its cluster. The rest is spread over all clusters.
    table : callable
        Called as ``table(model, data, rng)``. Returns the rows to be clustered.
    first, again : tuple of (callable, str)
        Kinds and metrics of the first starts, and of those that follow repeatedly.
    patience : int, default=1
        Number of trials for each start that is asked for, as some have the same clusters.
    """

    certainty: float = 1.0
    table: TableMaker = _table_of_columns
    first: Kinds = FIRST
    again: Kinds = AGAIN
    patience: int = 1

    def __call__(self, model: LabelModel, data: LabelData, rng: np.random.Generator) -> LabelParams:
        """The first of the starts; see `Initializer`."""
        table = self.table(model, data, rng)
        return self._start(model, data, table, self._labels(0, model, data, table, rng), rng)

    def candidates(
        self, model: LabelModel, data: LabelData, rng: np.random.Generator, n: int
    ) -> Iterator[LabelParams]:
        """See `LatentVariableModel.candidates`; no two have the same labels.

        If the first ones agree in every label, the clusters are clear: there is one start, unless
        more than the usual number is asked for.
        """
        n = n if model.n_components > 1 else 1
        table = self.table(model, data, rng)
        met: set[bytes] = set()
        for i in range(self.patience * n):
            if i == _AGREEING and len(met) == 1 and n <= len(self.first):
                return
            labels = self._labels(i, model, data, table, rng)
            if labels.tobytes() in met:
                continue
            met.add(labels.tobytes())
            with suppress(DegenerateModelError):
                yield self._start(model, data, table, labels, rng)
            if len(met) == n:
                return

    def _labels(
        self, i: int, model: LabelModel, data: LabelData, table: PointTable, rng: Any
    ) -> NDArray[np.intp]:
        later = i - len(self.first)
        maker, metric = self.first[i] if later < 0 else self.again[later % len(self.again)]
        shape = model.family.cluster_shape or "full"
        K = model.n_components
        labels = in_order(maker(table, getattr(table, metric), K, shape, rng))
        if data.labels is None:
            return labels
        return renumbered(labels, data.labels[table.rows], table.weight, K)

    def _start(
        self,
        model: LabelModel,
        data: LabelData,
        table: PointTable,
        labels: NDArray[np.intp],
        rng: np.random.Generator,
    ) -> LabelParams:
        K = model.n_components
        hot = (labels == np.arange(K)[:, None]).astype(np.float64)
        # A component without rows starts at a row drawn at random.
        empty = np.flatnonzero(~hot.any(axis=1))
        hot[empty, rng.integers(len(labels), size=empty.size)] = 1.0
        if self.certainty < 1.0:
            hot = self.certainty * hot + (1.0 - self.certainty) / K
        return start_from(model, data, hot, rng, table.rows, table.weight)
