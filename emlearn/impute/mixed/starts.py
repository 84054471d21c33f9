"""Starts of the general location model: clusters of rows that a model of one class completes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emlearn.engine import DegenerateModelError
from emlearn.impute.mixed.columns import MixedColumns
from emlearn.kernels.clusters import greedy_draws, lloyd, plus_plus
from emlearn.kernels.general_location import LocationConditionals, LocationSums, condition

if TYPE_CHECKING:
    from emlearn.impute.mixed.model import GeneralLocation, MixedData, MixedParams

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

_LLOYD_STEPS = 15
# Rows of large data that are clustered.
_ROWS = 10_000


def starts(
    model: GeneralLocation, data: MixedData, rng: np.random.Generator, n: int
) -> Iterator[MixedParams]:
    """At most `n` starts, all different in kind or by chance.

    The rows are clustered by all columns, by their categories only, by what the categories do
    not explain of the numbers, or at random.
    """
    columns = data.columns
    if model.n_classes == 1:
        yield model.reference or model.independent(columns)
        return
    rows = _Completed.of(model, data, rng)
    kinds = [rows.everything, rows.categories, rows.numbers]
    tables = [kind for kind in kinds if len(kind)]
    for i in range(n):
        place = i % (len(tables) + 1)
        if place < len(tables):
            labels = rows.cluster(tables[place], model.n_classes, rng)
        else:
            labels = rng.integers(model.n_classes, size=len(rows.weight))
        with suppress(DegenerateModelError):
            yield rows.start(model, labels)


class _Completed:
    """Rows completed by a model of one class."""

    def __init__(self, params: MixedParams, filled: LocationConditionals, weight: Array) -> None:
        self.params = params
        self.filled = filled
        self.weight = weight

    @classmethod
    def of(cls, model: GeneralLocation, data: MixedData, rng: np.random.Generator) -> _Completed:
        from emlearn.impute.mixed.model import rows_of

        rows, weight = rows_of(data)
        if len(weight) > _ROWS:
            chosen = np.sort(rng.choice(len(weight), _ROWS, replace=False))
            rows = rows.take(chosen)
            weight = weight[chosen] * (data.weight / weight[chosen].sum())
        params = model.reference or model.single().independent(data.columns)
        return cls(params, condition(rows, params.tables()), weight)

    @property
    def columns(self) -> MixedColumns:
        """Columns of the table."""
        return self.params.columns

    @property
    def categories(self) -> Array:
        """Dummies of the categories, (n_levels, n_rows); each category has the variance 1."""
        share, levels = self.columns.shares, self.filled.levels - self.columns.shares
        spread = [1.0 - part @ part for part in self.columns.parts(share)]
        scale = np.sqrt(np.repeat(spread, np.diff(self.columns.offsets)))
        return np.ascontiguousarray((levels / scale).T) if scale.size else np.empty((0, 0))

    @property
    def numbers(self) -> Array:
        """What the categories do not explain of the numbers, (n_numbers, n_rows)."""
        effects = self.columns.design @ self.params.coefficients
        rest = self.filled.mean - self.filled.levels @ effects
        deviation = np.sqrt(np.diagonal(self.params.covariances[0]))
        return np.ascontiguousarray((rest / deviation).T)

    @property
    def everything(self) -> Array:
        """Dummies and numbers."""
        parts = [part for part in (self.categories, self.filled.mean.T) if len(part)]
        return np.ascontiguousarray(np.concatenate(parts))

    def cluster(self, table: Array, n_classes: int, rng: np.random.Generator) -> Labels:
        """Labels of k-means++ and some steps of k-means."""
        chosen, _ = plus_plus(table, self.weight, greedy_draws(n_classes, rng))
        _, labels = lloyd(table, self.weight, table[:, chosen].T.copy(), _LLOYD_STEPS)
        return labels

    def start(self, model: GeneralLocation, labels: NDArray[np.int64]) -> MixedParams:
        """Parameters of clusters: an M-step from their completed rows."""
        K = model.n_classes
        X, E = self.filled.mean, self.filled.levels
        q, T = X.shape[1], E.shape[1]
        sums = LocationSums(
            np.asarray(np.bincount(labels, self.weight, K), np.float64),
            np.empty((K, q)),
            np.empty((K, q, q)),
            np.empty((K, T, T)),
            np.empty((K, T, q)),
        )
        same = np.repeat(np.arange(len(self.columns.categorical)), np.diff(self.columns.offsets))
        apart = same[:, None] != same
        for k in range(K):
            own = np.where(labels == k, self.weight, 0.0)[:, None]
            weighted = own * E
            sums.first[k] = (own * X).sum(axis=0)
            sums.second[k] = np.tril(X.T @ (own * X) + np.diag((own * self.filled.variance).sum(0)))
            sums.pairs[k] = np.triu((weighted.T @ E) * apart + np.diag(weighted.sum(axis=0)))
            sums.cross[k] = weighted.T @ X
        n_covariances = 1 if model.covariance == "tied" else K
        like = self.params._replace(
            weights=np.full(K, 1.0 / K),
            means=np.repeat(self.params.means, K, axis=0),
            covariances=np.repeat(self.params.covariances, n_covariances, axis=0),
        )
        return model.m_step(sums, like)
