"""Conditional means, standard deviations, draws and densities of new rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.incomplete.batched import invert_blocks
from emlearn.distributions.gaussian.incomplete.conditioning import (
    Component,
    Conditioned,
    condition,
    filled_deviation,
    log_densities,
    make_component,
)
from emlearn.distributions.gaussian.incomplete.patterns import (
    RowBlock,
    find_patterns,
    row_blocks,
    sorted_rows,
)
from emlearn.distributions.gaussian.incomplete.truncated import (
    Candidate,
    draw_within,
    equal_shapes,
)
from emlearn.distributions.gaussian.scaling import ColumnScaling
from emlearn.engine import DegenerateModelError
from emlearn.engine.threads import available_threads, blas_limited

Array = NDArray[np.float64]
Floats = NDArray[np.floating]

# Rows taken at a time, so that working memory does not grow with the data.
_SLAB_ENTRIES = 1 << 21


class ConditionalGaussians(NamedTuple):
    """A mixture of Gaussians, conditioned on the observed entries of rows.

    Attributes
    ----------
    scaling : ColumnScaling
        Units of the components.
    weights : ndarray of shape (n_components,)
        Weights of the components.
    components : tuple of Component
        The Gaussians.
    factors : tuple of ndarray, default=()
        Loadings (n_components, n_features, n_factors) and noise (n_components, n_features) of
        which the covariances are made, in the units of the scaling.
    """

    scaling: ColumnScaling
    weights: Array
    components: tuple[Component, ...]
    factors: tuple[Array, ...] = ()

    @classmethod
    def at(
        cls, weights: Array, means: Array, covariances: Array, scaling: ColumnScaling
    ) -> ConditionalGaussians:
        """Conditional distributions at parameters in the units of the scaling.

        Raises
        ------
        DegenerateModelError
            If a covariance is not positive definite.
        """
        means, covariances = map(np.ascontiguousarray, (means, covariances))
        return cls(scaling, weights, tuple(map(make_component, means, covariances)))

    @property
    def log_weights(self) -> Array:
        """Logarithms of the weights; finite."""
        logarithms: Array = np.log(np.maximum(self.weights, np.finfo(np.float64).tiny))
        return logarithms

    @property
    def means(self) -> Array:
        """Means in the units of the data, (n_components, n_features)."""
        return self.scaling.to_units(np.array([part.mean for part in self.components]))

    @property
    def covariances(self) -> Array:
        """Covariances in the units of the data, (n_components, n_features, n_features)."""
        scale = self.scaling.scale
        covariances: Array = np.array([part.covariance for part in self.components])
        return covariances * scale[:, None] * scale

    @property
    def loadings(self) -> Array:
        """Loadings in the units of the data; only if there are `factors`."""
        return self.factors[0] * self.scaling.scale[:, None]

    @property
    def noise(self) -> Array:
        """Variances of the noise in the units of the data; only if there are `factors`."""
        return self.factors[1] * self.scaling.scale**2

    def log_density(self, X: Floats) -> Array:
        """Log-density of the observed entries of each row, in the units of the data."""
        density: Array = np.logaddexp.reduce(self.log_joint(X))
        return density

    def log_joint(self, X: Floats) -> Array:
        """Log-densities plus log-weights of the components, (n_components, n_rows)."""
        out = np.repeat(self.log_weights[:, None], X.shape[0], axis=1)

        def evaluate(block: RowBlock) -> None:
            joint = [log_densities(block, part, condition(block, part)) for part in self.components]
            out[:, block.order] += np.array(joint)

        _for_each_block(evaluate, _blocks(X, self.scaling))
        return out

    def fill_means(self, X: Floats, out: Floats) -> None:
        """Put the conditional means into the missing entries of `out`, a copy of `X`."""

        def fill(block: RowBlock) -> None:
            rows, probabilities = self._condition_all(block)
            mean = np.zeros(block.rows.shape)
            for r, row, part in zip(probabilities, rows, self.components, strict=True):
                value = filled_deviation(block, row.deviation, part)
                value += part.mean
                if len(self.components) > 1:
                    value *= r[:, None]
                    mean += value
                else:
                    mean = value
            self.scaling.restore_missing(mean, block.order, block.missing, out)

        _for_each_block(fill, _blocks(X, self.scaling, incomplete=True))

    def fill_deviations(self, X: Floats, out: Floats) -> None:
        """Put the conditional standard deviations into `out` where `X` is missing."""

        def fill(block: RowBlock) -> None:
            rows, probabilities = self._condition_all(block)
            mean, square = np.zeros(block.rows.shape), np.zeros(block.rows.shape)
            spread = np.zeros(block.rows.shape)
            for r, row, part in zip(probabilities, rows, self.components, strict=True):
                mean += r[:, None] * (row.deviation + part.mean)
                square += r[:, None] * _conditional_variance(block, part)
            for r, row, part in zip(probabilities, rows, self.components, strict=True):
                spread += r[:, None] * (row.deviation + part.mean - mean) ** 2
            spread += square
            units = self.scaling._replace(center=np.zeros_like(self.scaling.center))
            units.restore_missing(np.sqrt(spread), block.order, block.missing, out)

        _for_each_block(fill, _blocks(X, self.scaling, incomplete=True, precision_only=True))

    def fill_draws(self, X: Floats, out: Floats, rng: np.random.Generator) -> None:
        """Put draws from the conditional distribution into the missing entries of `out`.

        A row minus a draw from the whole normal distribution is filled, and the draw added: no
        conditional covariance is factorized, so that nearly singular ones do no harm.
        """
        choleskys = [np.linalg.cholesky(part.covariance) for part in self.components]

        def fill(task: tuple[RowBlock, np.random.Generator]) -> None:
            block, source = task
            label = self._draw_labels(block, source)
            value = np.zeros(block.rows.shape)
            for k, part in enumerate(self.components):
                own = label == k
                draw = source.standard_normal(block.rows.shape) @ choleskys[k].T
                shifted = block._replace(rows=np.where(block.missing, 0.0, block.rows - draw))
                rest = filled_deviation(block, condition(shifted, part).deviation, part)
                value[own] = (rest + draw + part.mean)[own]
            self.scaling.restore_missing(value, block.order, block.missing, out)

        blocks = _blocks(X, self.scaling, incomplete=True)
        _for_each_block(fill, ((block, source) for block in blocks for source in rng.spawn(1)))

    def fill_draws_within(
        self, X: Floats, low: Array, high: Array, out: Floats, rng: np.random.Generator
    ) -> None:
        """Put draws within the bounds of the columns into the missing entries of `out`."""
        low, high = (
            (low - self.scaling.center) / self.scaling.scale,
            (high - self.scaling.center) / self.scaling.scale,
        )
        limited = np.isfinite(low) | np.isfinite(high)

        def fill(task: tuple[RowBlock, np.random.Generator]) -> None:
            block, source = task
            conditioned, probabilities = self._condition_all(block)
            with np.errstate(divide="ignore"):
                log_probabilities = np.log(probabilities)
            means = [
                filled_deviation(block, row.deviation, part) + part.mean
                for row, part in zip(conditioned, self.components, strict=True)
            ]
            value = np.zeros(block.rows.shape)
            for rows, columns, n_bounded in equal_shapes(block.missing, limited):
                here = (rows[:, None], columns)
                value[here] = draw_within(
                    [
                        _candidate(part, r[rows], mean[here], columns)
                        for part, r, mean in zip(
                            self.components, log_probabilities, means, strict=True
                        )
                    ],
                    low[columns],
                    high[columns],
                    n_bounded,
                    source,
                )
            self.scaling.restore_missing(value, block.order, block.missing, out)

        blocks = _blocks(X, self.scaling, incomplete=True)
        _for_each_block(fill, ((block, source) for block in blocks for source in rng.spawn(1)))

    def _condition_all(self, block: RowBlock) -> tuple[list[Conditioned], Array]:
        """Rows under each component, and the probabilities of the components."""
        rows = [condition(block, part, k) for k, part in enumerate(self.components)]
        if len(rows) == 1:
            return rows, np.ones((1, block.order.size))
        joint = np.array(
            [log_densities(block, p, r) for p, r in zip(self.components, rows, strict=True)]
        )
        joint += self.log_weights[:, None]
        # If the distance of a row overflows, it contains no information about its component.
        joint[:, ~np.isfinite(joint).all(axis=0)] = self.log_weights[:, None]
        joint -= np.logaddexp.reduce(joint)
        return rows, np.exp(joint)

    def _draw_labels(self, block: RowBlock, rng: np.random.Generator) -> NDArray[np.intp]:
        if len(self.components) == 1:
            return np.zeros(block.order.size, dtype=np.intp)
        _, probabilities = self._condition_all(block)
        edges = np.cumsum(probabilities, axis=0)
        label: NDArray[np.intp] = (rng.random(block.order.size) * edges[-1] > edges[:-1]).sum(
            axis=0
        )
        return label


def _candidate(
    component: Component, log_weight: Array, mean: Array, columns: NDArray[np.intp]
) -> Candidate:
    precision = component.precision[columns[:, :, None], columns[:, None, :]]
    return Candidate(
        log_weight, mean, precision, _precision_cholesky(component, precision, columns)
    )


def _precision_cholesky(component: Component, precision: Array, columns: NDArray[np.intp]) -> Array:
    """Lower Cholesky factors of blocks of the precision."""
    try:
        return np.asarray(np.linalg.cholesky(precision), dtype=np.float64)
    except np.linalg.LinAlgError:
        # Not by squaring what is nearly singular: K = P P' has the factor that P' = Q L' has.
        whitener = component.whitener[columns]
        upper = np.asarray(np.linalg.qr(whitener.transpose(0, 2, 1), mode="r"))
        sign = np.where(np.einsum("bii->bi", upper) < 0.0, -1.0, 1.0)
        return np.asarray((upper * sign[:, :, None]).transpose(0, 2, 1))


def _conditional_variance(block: RowBlock, component: Component) -> Array:
    variance = np.zeros(block.rows.shape)
    try:
        for run in invert_blocks(component.precision, block.precision):
            diagonal = np.einsum("iib->ib", run.inverses)
            variance.reshape(-1)[run.entries] = diagonal.take(run.pattern, axis=1)
    except DegenerateModelError:
        # Where the precision has lost its digits the covariance still has them.
        for first, last in pairwise(block.edges):
            missing = block.missing[first]
            seen = component.covariance[~missing]
            values, vectors = np.linalg.eigh(seen[:, ~missing])
            regular = values > values[-1:] * np.finfo(float).eps * values.size
            scores = vectors[:, regular].T @ seen[:, missing]
            explained = (scores**2 / values[regular, None]).sum(axis=0)
            rest = np.diagonal(component.covariance)[missing] - explained
            variance[first:last, missing] = np.maximum(rest, 0.0)
    return variance


def _blocks(
    X: Floats, scaling: ColumnScaling, *, incomplete: bool = False, precision_only: bool = False
) -> Iterator[RowBlock]:
    """Blocks of all rows, or of those with something missing."""
    for rows in _slabs(X):
        table = find_patterns(np.isnan(X[rows]))
        table = table.incomplete() if incomplete else table
        for chunk in sorted_rows(X[rows], scaling, table):
            for block in row_blocks(chunk, scaling, precision_only=precision_only):
                yield block._replace(order=block.order + rows.start)


def _slabs(X: Floats) -> Iterator[slice]:
    step = max(1, _SLAB_ENTRIES // max(1, X.shape[1]))
    for start in range(0, X.shape[0], step):
        yield slice(start, min(start + step, X.shape[0]))


def _for_each_block(task: Callable[..., None], blocks: Iterator[object]) -> None:
    """Run a task on each block, in threads; blocks touch different rows of the output."""
    n_threads = available_threads()

    def quiet(block: object) -> None:
        # Threads do not inherit the caller's settings. Squares of absurd values overflow.
        with np.errstate(over="ignore", invalid="ignore"):
            task(block)

    first = list(islice(blocks, 2))
    with blas_limited():
        if n_threads == 1 or len(first) < 2:
            for block in chain(first, blocks):
                quiet(block)
            return
        with ThreadPoolExecutor(n_threads) as pool:
            pending = []
            for block in chain(first, blocks):
                pending.append(pool.submit(quiet, block))
                if len(pending) > 4 * n_threads:
                    pending.pop(0).result()
            for future in pending:
                future.result()
