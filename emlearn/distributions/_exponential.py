"""Independent columns, each from an exponential family of one parameter.

The density of an entry x of column j in component k is

    exp(eta_kj t(x) - a(eta_kj) + h(x)),

and its parameter is the mean m of t(x); eta and a are functions of m. The maximum likelihood
estimate of m is the mean of t(x). A conjugate prior adds pseudo-rows with a given mean, and the
estimate is then the mean of rows and pseudo-rows together. A missing entry is left out of all
sums, because its density integrates to one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emlearn.distributions._contract import Array, Family
from emlearn.distributions._passes import RowPasses
from emlearn.distributions._published import read_parameter, require_entries
from emlearn.engine import DegenerateModelError
from emlearn.engine.parameters import Entries, Part

_TINY = float(np.finfo(np.float64).tiny)


def log_of(probability: Array) -> Array:
    """Logarithms; that of 0 is -708, so that no sum or product of them is NaN."""
    logarithm: Array = np.log(np.maximum(probability, _TINY))
    return logarithm


class ItemRows(NamedTuple):
    """Encoded rows.

    Attributes
    ----------
    statistic : ndarray of shape (n_rows, n_features)
        t(x); 0 where missing.
    observed : ndarray of shape (n_rows, n_features) or None
        1 where there is an entry, 0 where it is missing; None if no entry is missing.
    base : ndarray of shape (n_rows,)
        Sum of h(x) over the columns.
    """

    statistic: Array
    observed: Array | None
    base: Array


class ItemSpec(NamedTuple):
    """What is known about the columns.

    Attributes
    ----------
    mean : ndarray of shape (n_features,)
        Mean of t(x) over the rows.
    """

    mean: Array


class ItemParams(NamedTuple):
    """Parameters.

    Attributes
    ----------
    mean : ndarray of shape (n_components, n_features)
        Mean of t(x).
    """

    mean: Array


class ItemPrecomputed(NamedTuple):
    """eta and a(eta), each of shape (n_components, n_features)."""

    natural: Array
    normalizer: Array


class ItemStatistics(NamedTuple):
    """Sums over the rows where a column is observed, each (n_components, n_features)."""

    weight: Array
    total: Array


@dataclass(frozen=True)
class ExponentialFamily(Family):
    """Base class of families with independent columns and one parameter for each column.

    A subclass defines `name`, `check`, `natural` and `draw`, and `base`, `statistic`,
    `parameter` with `mean_of`, or `to_real` with `from_real` where the defaults do not fit.

    Parameters
    ----------
    alpha : float, default=0.01
        Strength of the prior: number of pseudo-rows in each component, each with the mean
        of the column. The default is close to maximum likelihood, but keeps a component
        from ruling out values that it has not seen. 0 is maximum likelihood.
    """

    alpha: float = 0.01

    #: Name of the published parameter.
    name: ClassVar[str]

    #: Bounds of the published parameter.
    lower: ClassVar[float] = -np.inf
    upper: ClassVar[float] = np.inf

    # ---- what a subclass defines  -----------------------------------------------------

    @abstractmethod
    def check(self, X: Array) -> None:
        """Raise DomainError for entries outside the domain; see `require`. NaN is missing."""

    @abstractmethod
    def natural(self, mean: Array) -> tuple[Array, Array]:
        """The functions eta and a(eta) of the mean of t(x); finite even at the bounds."""

    @abstractmethod
    def draw(self, mean: Array, rng: np.random.Generator) -> Array:
        """Draw one entry for each mean of t(x)."""

    def statistic(self, X: Array) -> Array:
        """Statistic t(x) of each entry; by default x itself."""
        return X

    def base(self, X: Array) -> Array:
        """Base measure h(x) of each entry; by default 0."""
        return np.zeros_like(X)

    def parameter(self, mean: Array) -> Array:
        """The published parameter as a function of the mean of t(x); by default that mean."""
        return mean

    def mean_of(self, parameter: Array) -> Array:
        """The mean of t(x) as a function of the published parameter: the inverse of `parameter`."""
        return parameter

    def variance(self, mean: Array) -> Array:
        """The variance of t(x) as a function of its mean; by default from differences of eta."""
        step = 1e-5 * np.maximum(np.abs(mean), 1e-3)
        with np.errstate(all="ignore"):
            slope = (self.natural(mean + step)[0] - self.natural(mean - step)[0]) / (2.0 * step)
        return np.where(slope > 0.0, 1.0 / np.where(slope > 0.0, slope, 1.0), 0.0)

    def prior(self, column_spec: ItemSpec) -> tuple[float, Array]:
        """Number of pseudo-rows of the prior, and their mean of t(x)."""
        return self.alpha, column_spec.mean

    def to_real(self, mean: Array) -> Array:
        """Means on an unbounded scale; by default their logarithms."""
        return log_of(mean)

    def from_real(self, real: Array) -> Array:
        """Inverse of `to_real`."""
        mean: Array = np.exp(real)
        return mean

    # ---- the contract -----------------------------------------------------------------

    def spec_of_passes(self, passes: RowPasses) -> ItemSpec:
        """See `Family`."""
        count, total = passes.total(self._sums)
        return ItemSpec((total / np.maximum(count, _TINY))[0])

    def _sums(self, X: Array, weight: Array | None) -> Any:
        one = np.ones((1, len(X))) if weight is None else weight[None]
        return self.sufficient_statistics(self.encode(X, None), one, None)

    def encode(self, X: Array, column_spec: ItemSpec | None) -> ItemRows:
        """See `Family`."""
        X = np.asarray(X, np.float64)
        self.check(X)
        missing = np.isnan(X)
        if not missing.any():
            return ItemRows(self.statistic(X), None, self.base(X).sum(axis=1))
        # Any value in the domain will do: it is not used.
        filled = np.where(missing, self.placeholder(), X)
        observed = (~missing).astype(np.float64)
        base = (self.base(filled) * observed).sum(axis=1)
        return ItemRows(self.statistic(filled) * observed, observed, base)

    def placeholder(self) -> float:
        """Any value in the domain; by default 1."""
        return 1.0

    def take(self, rows: ItemRows, index: slice | Array) -> ItemRows:
        """See `Family`."""
        observed = None if rows.observed is None else rows.observed[index]
        return ItemRows(rows.statistic[index], observed, rows.base[index])

    def pooled(self, n_components: int, column_spec: ItemSpec) -> ItemParams:
        """See `Family`."""
        return ItemParams(np.repeat(column_spec.mean[None], n_components, axis=0))

    def precompute(self, params: ItemParams, column_spec: ItemSpec) -> ItemPrecomputed:
        """See `Family`."""
        return ItemPrecomputed(*self.natural(params.mean))

    def log_density(self, rows: ItemRows, precomputed: ItemPrecomputed, out: Array) -> None:
        """See `Family`."""
        out += precomputed.natural @ rows.statistic.T
        if rows.observed is None:
            out -= precomputed.normalizer.sum(axis=1)[:, None]
        else:
            out -= precomputed.normalizer @ rows.observed.T
        out += rows.base

    def sufficient_statistics(
        self, rows: ItemRows, responsibilities: Array, precomputed: Any
    ) -> ItemStatistics:
        """See `Family`."""
        total = responsibilities @ rows.statistic
        if rows.observed is None:
            weight = np.repeat(responsibilities.sum(axis=1)[:, None], total.shape[1], axis=1)
        else:
            weight = responsibilities @ rows.observed
        return ItemStatistics(weight, total)

    def m_step(
        self, statistics: ItemStatistics, params: ItemParams, column_spec: ItemSpec
    ) -> ItemParams:
        """See `Family`."""
        rows, mean = self.prior(column_spec)
        weight = statistics.weight + rows
        known = weight > 0.0
        found = (statistics.total + rows * mean) / np.where(known, weight, 1.0)
        return ItemParams(np.where(known, found, params.mean))

    def log_prior(self, params: ItemParams, column_spec: ItemSpec) -> float:
        """See `Family`."""
        rows, mean = self.prior(column_spec)
        natural, normalizer = self.natural(params.mean)
        return rows * float((natural * mean - normalizer).sum())

    def pseudo_rows(self, column_spec: ItemSpec) -> float:
        """See `Family`."""
        return self.prior(column_spec)[0]

    def n_parameters(self, params: ItemParams, column_spec: ItemSpec) -> int:
        """See `Family`."""
        return params.mean.size

    def moments(self, params: ItemParams, column_spec: ItemSpec) -> tuple[Array, Array] | None:
        """See `Family`: those of t(x) if that is x itself."""
        if type(self).statistic is not ExponentialFamily.statistic:
            return None
        return params.mean, self.variance(params.mean)

    def to_public(self, params: ItemParams, column_spec: ItemSpec) -> dict[str, Array]:
        """See `Family`."""
        return {self.name: self.parameter(params.mean)}

    @property
    def public_names(self) -> tuple[str, ...]:
        """See `Family`."""
        return (self.name,)

    def space(self, params: ItemParams, column_spec: ItemSpec) -> dict[str, Part]:
        """See `Family`: entries within the bounds."""
        axes = ("component", "feature")
        return {self.name: Entries(axes, lower=self.lower, upper=self.upper)}

    def score(
        self, statistics: ItemStatistics, params: ItemParams, column_spec: ItemSpec
    ) -> dict[str, Array]:
        """See `Family`. Entries are separate, so all are differentiated numerically at once."""
        rows, mean = self.prior(column_spec)
        weight, total = statistics.weight + rows, statistics.total + rows * mean
        at = self.parameter(params.mean)
        room = np.minimum(at - self.lower, self.upper - at)
        size = np.where(np.isfinite(room), room, np.maximum(np.abs(at), 1e-3))
        step = 1e-3 * np.where(size > 0.0, size, 1.0)

        def objective(parameter: Array) -> Array:
            natural, normalizer = self.natural(self.mean_of(parameter))
            return natural * total - normalizer * weight

        near = objective(at + step) - objective(at - step)
        wide = objective(at + 2.0 * step) - objective(at - 2.0 * step)
        return {self.name: (8.0 * near - wide) / (12.0 * step)}

    def from_public(
        self, public: Mapping[str, ArrayLike], column_spec: ItemSpec, fitted: Any = None
    ) -> ItemParams:
        """See `Family`."""
        return ItemParams(self._means(public, len(column_spec.mean)))

    def spec_of(self, public: Mapping[str, ArrayLike], fitted: ItemSpec | None = None) -> ItemSpec:
        """See `Family`: without a fit, the mean over components of equal weight."""
        return ItemSpec(self._means(public).mean(axis=0)) if fitted is None else fitted

    def _means(
        self, public: Mapping[str, ArrayLike], n_features: int | str = "n_features"
    ) -> Array:
        """Means of t(x) from published parameters, checked."""
        given = read_parameter(public, self.name, ("n_components", n_features))
        with np.errstate(all="ignore"):
            mean = np.asarray(self.mean_of(given), np.float64)
            again, back = self.from_real(self.to_real(mean)), self.parameter(mean)
        valid = np.isfinite(mean) & np.isclose(again, mean, rtol=1e-8, atol=_TINY * 8.0)
        require_entries(valid, given, self.name, "which is outside its domain")
        if not np.allclose(back, given, rtol=1e-6, atol=_TINY * 8.0):
            raise TypeError(
                f"{type(self).__name__}.mean_of is not the inverse of parameter. Define both, or "
                "neither."
            )
        return mean

    def sample(
        self, params: ItemParams, column_spec: ItemSpec, labels: Array, rng: np.random.Generator
    ) -> Array:
        """See `Family`."""
        return np.asarray(self.draw(params.mean[labels], rng), np.float64)

    def to_vector(self, params: ItemParams, column_spec: ItemSpec) -> NDArray[np.float64]:
        """See `Family`."""
        return self.to_real(params.mean).ravel()

    def from_vector(
        self, vector: NDArray[np.float64], like: ItemParams, column_spec: ItemSpec
    ) -> ItemParams:
        """See `Family`."""
        with np.errstate(over="ignore"):
            mean = self.from_real(vector.reshape(like.mean.shape))
        if not np.isfinite(mean).all():
            raise DegenerateModelError(f"a {self.name} is beyond the range of float64")
        return ItemParams(mean)
