"""The general location model with latent classes, fitted by EM.

A row has the class k with probability pi_k. Given the class, its categories c are independent,
and its numbers are normal:

    c_j | k ~ p_kj        x | c, k ~ N(mu_k + B'd(c), Sigma_k)

where the scores d(c) are dummies or standardized codes, B is shared by all classes, and Sigma_k is
either one for all classes ("tied") or one each ("full"). The model contains mixtures of Gaussians
(no categories), latent class analysis (no numbers) and the general location model of Olkin and
Tate (one class).

The E-step expands a row to the combinations of its missing categories (the method of weights), so
the likelihood is exact. The M-step maximizes in turn, never lowering the objective: first
(mu, B) given Sigma, which is generalized least squares; then Sigma given (mu, B).

The prior is fixed in advance, on standardized columns:

    pi    Dirichlet, `alpha` pseudo-rows for each class
    p_kj  Dirichlet, `alpha` pseudo-rows for each level, with the observed shares of the levels
    mu, B independent normals of mean 0 and precisions `class_precision`, `score_precision`
    Sigma `strength` pseudo-rows with the covariance `target`, and mean at their expectation

    log prior = alpha sum_k log pi_k + alpha sum_kj L_j sum_l m_jl log p_kjl
                - 1/2 sum_r R_r |beta_r|^2
                - strength/2 sum_k (log|Sigma_k| + tr(inv(Sigma_k) target))

References
----------
I. Olkin and R. F. Tate (1961). "Multivariate correlation models with mixed discrete and continuous
variables". Annals of Mathematical Statistics 32, 448-465.
J. G. Ibrahim (1990). "Incomplete data in generalized linear models". JASA 85, 765-769.
J. S. Murray and J. P. Reiter (2016). "Multiple imputation of missing categorical and continuous
values via Bayesian mixture models with local dependence". JASA 111, 1466-1479.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.structures._full import from_triangles, to_triangles
from emlearn.engine import DegenerateModelError, LatentVariableModel
from emlearn.impute.mixed.coefficients import solve_coefficients
from emlearn.impute.mixed.columns import MixedColumns, TableKinds, learn_columns
from emlearn.kernels.general_location import LocationRows, LocationSums, LocationTables, expect

Array = NDArray[np.float64]
Index = NDArray[np.intp]

#: Combinations of missing categories of a row up to which the E-step is exact.
MOST_COMBINATIONS = 4096.0
# Rows of a block: enough that a block outweighs the cost of its thread.
_BLOCK_ROWS = 256
_MOST_BLOCKS = 256


class MixedPrior(NamedTuple):
    """The prior; see the text of the module.

    Attributes
    ----------
    target : ndarray of shape (n_numbers, n_numbers)
        Covariance of the pseudo-rows of Sigma.
    strength : float
        Their number.
    alpha : float, default=0.2
        Pseudo-rows for each level and class.
    class_precision, score_precision : float, default=0.5 and 1
        Precisions of the means of classes and of the coefficients of scores.
    """

    target: Array
    strength: float
    alpha: float = 0.2
    class_precision: float = 0.5
    score_precision: float = 1.0

    def precisions(self, n_classes: int, n_scores: int) -> Array:
        """Precisions of the rows of the coefficients."""
        return np.repeat([self.class_precision, self.score_precision], [n_classes, n_scores])


class MixedParams(NamedTuple):
    """Parameters, for standardized numbers.

    Attributes
    ----------
    weights : ndarray of shape (n_classes,)
        Weights of the classes.
    probabilities : ndarray of shape (n_classes, n_levels)
        Probabilities of the levels within their categories.
    means : ndarray of shape (n_classes, n_numbers)
        Means of the numbers where all scores are 0.
    coefficients : ndarray of shape (n_scores, n_numbers)
        B.
    covariances : ndarray of shape (1 or n_classes, n_numbers, n_numbers)
        Covariances of the numbers, given the class and the categories.
    columns : MixedColumns
        The columns that the parameters are for.
    """

    weights: Array
    probabilities: Array
    means: Array
    coefficients: Array
    covariances: Array
    columns: MixedColumns

    def tables(self) -> LocationTables:
        """The parameters as the kernels take them."""
        with np.errstate(divide="ignore"):
            return LocationTables(
                self.columns.offsets,
                np.log(self.weights),
                np.log(self.probabilities),
                np.ascontiguousarray(self.means),
                np.ascontiguousarray(self.columns.design @ self.coefficients),
                np.ascontiguousarray(self.covariances),
                MOST_COMBINATIONS,
            )

    def moved_to(self, columns: MixedColumns) -> MixedParams:
        """The same distribution for other scaling and levels of the same table, nearly.

        New levels get their observed shares; the design and powers of margins may differ.
        """
        old = self.columns
        pairs = list(zip(old.margins, columns.margins, strict=True))
        scale = np.array([a.scale * a.spread / (b.scale * b.spread) for a, b in pairs])
        shift = np.array([b.forward(a.unlimited.inverse(np.zeros(1)))[0] for a, b in pairs])
        levels = []
        for j, share in enumerate(columns.parts(columns.shares)):
            own = np.tile(share, (len(self.weights), 1))
            known = old.parts(self.probabilities)[j]
            for new, level in enumerate(columns.levels[j]):
                place = np.flatnonzero(old.levels[j] == level)
                if place.size:
                    own[:, new] = known[:, place[0]]
            levels.append(own / own.sum(axis=1, keepdims=True))
        coefficients = self.coefficients * scale
        if len(coefficients) != columns.design.shape[1]:
            coefficients = np.zeros((columns.design.shape[1], len(scale)))
        return MixedParams(
            self.weights,
            np.concatenate(levels, axis=1) if levels else self.probabilities,
            self.means * scale + shift,
            coefficients,
            self.covariances * scale[:, None] * scale,
            columns,
        )


class MixedBlock(NamedTuple):
    """Rows sorted by pattern, with their weights."""

    rows: LocationRows
    weight: Array


class MixedData(NamedTuple):
    """A table prepared for EM.

    Attributes
    ----------
    columns : MixedColumns
        Its columns.
    blocks : tuple of MixedBlock
        Its rows.
    weight : float
        Their total weight.
    """

    columns: MixedColumns
    blocks: tuple[MixedBlock, ...]
    weight: float


@dataclass(frozen=True)
class GeneralLocation(LatentVariableModel[MixedData, MixedParams, LocationSums]):
    """The model; see the text of the module.

    Parameters
    ----------
    n_classes : int
        Number of latent classes.
    covariance : {"tied", "full"}
        Whether the classes share one covariance.
    kinds : TableKinds
        Which columns of the table are categories.
    prior : MixedPrior, default=None
        The prior; None means 0.1 pseudo-rows with uncorrelated standardized numbers.
    power : bool, default=False
        Whether the numbers are transformed by `fit_margin`.
    reference : MixedParams, default=None
        Parameters of one class, with which starts complete the rows; by default the observed
        moments and shares.
    """

    n_classes: int
    covariance: Literal["tied", "full"]
    kinds: TableKinds
    prior: MixedPrior | None = None
    power: bool = False
    reference: MixedParams | None = None

    def prior_of(self, columns: MixedColumns) -> MixedPrior:
        """The prior for these columns."""
        return self.prior or MixedPrior(np.eye(len(columns.numeric)), 0.1)

    def prepare(self, X: Array, sample_weight: Array | None = None) -> MixedData:
        """See `LatentVariableModel`; `X` has numbers and codes, NaN where missing."""
        weight = np.ones(len(X)) if sample_weight is None else sample_weight
        columns = learn_columns(X, self.kinds, weight, power=self.power)
        rows, order = columns.rows(X)
        weight = np.ascontiguousarray(weight[order], np.float64)
        size = max(_BLOCK_ROWS, -(-len(X) // _MOST_BLOCKS))
        blocks = tuple(
            MixedBlock(rows.take(slice(start, start + size)), weight[start : start + size])
            for start in range(0, len(X), size)
        )
        return MixedData(columns, blocks, float(weight.sum()))

    def blocks(self, data: MixedData) -> Sequence[MixedBlock]:
        """Blocks of rows."""
        return data.blocks

    def total_weight(self, data: MixedData) -> float:
        """Weight of the rows."""
        return data.weight

    def initialize(self, data: MixedData, rng: np.random.Generator) -> MixedParams:
        """The first of `candidates`."""
        return next(self.candidates(data, rng, 1))

    def candidates(
        self, data: MixedData, rng: np.random.Generator, n: int
    ) -> Iterator[MixedParams]:
        """Starts of several kinds; see `emlearn.impute.mixed.starts`."""
        from emlearn.impute.mixed.starts import starts

        return starts(self, data, rng, n)

    def with_prior(self, prior: MixedPrior) -> GeneralLocation:
        """The same model with another prior."""
        return replace(self, prior=prior)

    def single(self) -> GeneralLocation:
        """The same model with one class."""
        return replace(self, n_classes=1, covariance="tied", prior=None, reference=None)

    def independent(self, columns: MixedColumns) -> MixedParams:
        """Equal classes of independent columns, with the observed moments and shares."""
        K, q = self.n_classes, len(columns.numeric)
        return MixedParams(
            np.full(K, 1.0 / K),
            np.tile(columns.shares, (K, 1)),
            np.zeros((K, q)),
            np.zeros((columns.design.shape[1], q)),
            np.tile(np.eye(q), (1 if self.covariance == "tied" else K, 1, 1)),
            columns,
        )

    def precompute(self, params: MixedParams) -> LocationTables:
        """The tables of the kernels."""
        return params.tables()

    def e_step(self, block: MixedBlock, params: LocationTables) -> tuple[LocationSums, float]:
        """See `emlearn.kernels.general_location.expect`."""
        try:
            return expect(block.rows, params, block.weight)
        except ArithmeticError as error:
            raise DegenerateModelError(str(error)) from None

    def m_step(self, statistics: LocationSums, params: MixedParams) -> MixedParams:
        """Conditional maximization; see the text of the module."""
        columns = params.columns
        prior, design = self.prior_of(columns), columns.design
        K = len(params.means)
        # Both are triangles.
        pairs, counts = _symmetric(statistics.pairs)
        second, _ = _symmetric(statistics.second)
        weights = statistics.weight + prior.alpha
        moments = _Moments(
            statistics.weight,
            counts @ design,
            design.T @ pairs @ design,
            statistics.first,
            design.T @ statistics.cross,
            second,
        )
        means, coefficients = solve_coefficients(
            moments.weight,
            moments.scores,
            moments.products,
            moments.first,
            moments.cross,
            params.covariances,
            prior.precisions(K, design.shape[1]),
        )
        scatter = moments.scatter(means, coefficients)
        size = statistics.weight
        if self.covariance == "tied":
            scatter, size = scatter.sum(axis=0, keepdims=True), size.sum(keepdims=True)
        covariances = scatter + prior.strength * prior.target
        covariances /= (size + prior.strength)[:, None, None]
        return MixedParams(
            weights / weights.sum(),
            _modes(counts, columns, prior.alpha),
            means,
            coefficients,
            covariances,
            columns,
        )

    def log_prior(self, params: MixedParams) -> float:
        """See the text of the module."""
        prior, columns = self.prior_of(params.columns), params.columns
        pseudo = _pseudo_rows(columns, prior.alpha)
        precision = prior.precisions(len(params.means), len(params.coefficients))
        coefficients = np.concatenate((params.means, params.coefficients))
        value = prior.alpha * np.log(params.weights).sum()
        value += (pseudo * np.log(params.probabilities)).sum()
        value -= 0.5 * precision @ (coefficients**2).sum(axis=1)
        if params.means.shape[1]:
            sign, log_det = np.linalg.slogdet(params.covariances)
            if not (sign > 0.0).all():
                return -np.inf
            target = np.broadcast_to(prior.target, params.covariances.shape)
            trace = np.linalg.solve(params.covariances, target).trace(axis1=1, axis2=2)
            value -= 0.5 * prior.strength * (log_det + trace).sum()
        return float(value)

    def n_parameters(self, params: MixedParams) -> int:
        """Number of free parameters."""
        K, q = params.means.shape
        levels = params.probabilities.shape[1] - len(params.columns.categorical)
        return int(
            K
            - 1
            + K * levels
            + params.means.size
            + params.coefficients.size
            + len(params.covariances) * q * (q + 1) // 2
        )

    def to_vector(self, params: MixedParams) -> Array:
        """Logarithms of probabilities, coefficients, and triangles of the covariances."""
        return np.concatenate(
            (
                np.log(params.weights),
                np.log(params.probabilities).ravel(),
                params.means.ravel(),
                params.coefficients.ravel(),
                to_triangles(params.covariances).ravel() if params.means.size else [],
            )
        )

    def from_vector(self, vector: Array, like: MixedParams) -> MixedParams:
        """Inverse of `to_vector`."""
        if not np.isfinite(vector).all():
            raise DegenerateModelError("the vector is not finite")
        sizes = [part.size for part in like[:4]]
        weights, levels, means, coefficients, rest = np.split(vector, np.cumsum(sizes))
        columns, K = like.columns, len(like.weights)
        parts = columns.parts(levels.reshape(K, -1))
        levels = np.concatenate([_softmax(part) for part in parts], axis=1) if parts else levels
        covariances = from_triangles(rest, like.means.shape[1]) if rest.size else like.covariances
        try:
            np.linalg.cholesky(covariances)
        except np.linalg.LinAlgError:
            raise DegenerateModelError("a covariance matrix is not positive definite") from None
        return MixedParams(
            _softmax(weights),
            levels.reshape(like.probabilities.shape),
            means.reshape(like.means.shape),
            coefficients.reshape(like.coefficients.shape),
            covariances.reshape(like.covariances.shape),
            columns,
        )


class _Moments(NamedTuple):
    """Sums for each class: of weights, scores, their products, numbers, and products."""

    weight: Array
    scores: Array
    products: Array
    first: Array
    cross: Array
    second: Array

    def scatter(self, means: Array, coefficients: Array) -> Array:
        """Scatter of the numbers about their regression on the scores."""
        B = coefficients
        # Half of the terms that are linear in the residuals; their transposes are the rest.
        half = B.T @ (0.5 * self.products @ B - self.cross)
        rest = 0.5 * self.weight[:, None] * means - self.first + self.scores @ B
        half += means[:, :, None] * rest[:, None, :]
        out: Array = self.second + half + half.transpose(0, 2, 1)
        return out


def _symmetric(triangles: Array) -> tuple[Array, Array]:
    """Symmetric matrices from their triangles, 0 elsewhere; and their diagonals."""
    diagonal = np.einsum("kii->ki", triangles)
    full = triangles + triangles.transpose(0, 2, 1)
    np.einsum("kii->ki", full)[:] = diagonal
    return full, diagonal


def _pseudo_rows(columns: MixedColumns, alpha: float) -> Array:
    sizes = np.diff(columns.offsets)
    return np.asarray(alpha * np.repeat(sizes, sizes) * columns.shares)


def _modes(counts: Array, columns: MixedColumns, alpha: float) -> Array:
    parts = columns.parts(counts + _pseudo_rows(columns, alpha))
    if not parts:
        return counts
    return np.concatenate([part / part.sum(axis=1, keepdims=True) for part in parts], axis=1)


def _softmax(values: Array) -> Array:
    ratio = np.exp(values - values.max(axis=-1, keepdims=True))
    out: Array = ratio / ratio.sum(axis=-1, keepdims=True)
    if not (out > 0.0).all():
        raise DegenerateModelError("a probability is 0")
    return out


def rows_of(data: MixedData) -> tuple[LocationRows, Array]:
    """Rows of all blocks, and their weights."""
    numbers, missing, codes = zip(*(block.rows for block in data.blocks), strict=True)
    rows = LocationRows(np.concatenate(numbers), np.concatenate(missing), np.concatenate(codes))
    return rows, np.concatenate([block.weight for block in data.blocks])
