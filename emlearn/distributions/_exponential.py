"""Independent columns, each from an exponential family of one parameter.

The density of an entry x of column j in component k is

    exp(eta_kj t(x) - a(eta_kj) + h(x)),

and the family is written by the mean m of t(x), of which eta and a are functions. The
maximum of the likelihood is then the mean of t(x), and with a conjugate prior, which is
so many pseudo-rows of a given mean, it is the mean of rows and pseudo-rows. An entry that
is missing is left out of all sums: its density integrates to one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emlearn.distributions._contract import Array, Family
from emlearn.distributions._published import read_parameter, require_entries
from emlearn.engine import DegenerateModelError

_TINY = float(np.finfo(np.float64).tiny)


def log_of(probability: Array) -> Array:
    """Logarithms, that of 0 being -708: no sum or product of these is NaN."""
    logarithm: Array = np.log(np.maximum(probability, _TINY))
    return logarithm


class ItemRows(NamedTuple):
    """Encoded rows.

    Attributes
    ----------
    statistic : ndarray of shape (n_rows, n_features)
        t(x); 0 where missing.
    observed : ndarray of shape (n_rows, n_features) or None
        1 where there is an entry, 0 where it is missing; None if none is.
    base : ndarray of shape (n_rows,)
        Sum of h(x) over the columns.
    """

    statistic: Array
    observed: Array | None
    base: Array


class ItemSpec(NamedTuple):
    """What is known of the columns.

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
    """Sums over the rows where a column is observed: (n_components, n_features) each."""

    weight: Array
    total: Array


@dataclass(frozen=True)
class ExponentialFamily(Family):
    """Base of families of independent columns with one parameter each.

    A subclass supplies `name`, `check`, `natural`, `base` and `draw`.

    Parameters
    ----------
    alpha : float, default=0.01
        Strength of the prior in pseudo-rows of each component, each with the mean of the
        column. The default is next to maximum likelihood, and keeps a component from
        excluding what it has not seen; 0 is maximum likelihood.
    """

    alpha: float = 0.01

    #: Name of the parameter for the user.
    name: ClassVar[str]

    # ---- what a subclass supplies -----------------------------------------------------

    @abstractmethod
    def check(self, X: Array) -> None:
        """Raise ValueError for entries outside the domain; see `require`. NaN is missing."""

    @abstractmethod
    def natural(self, mean: Array) -> tuple[Array, Array]:
        """The functions eta and a(eta) at means of t(x); finite even at their bounds."""

    @abstractmethod
    def draw(self, mean: Array, rng: np.random.Generator) -> Array:
        """One entry for each mean."""

    def statistic(self, X: Array) -> Array:
        """t(x) of each entry; default: x itself."""
        return X

    def base(self, X: Array) -> Array:
        """h(x) of each entry; default: 0."""
        return np.zeros_like(X)

    def parameter(self, mean: Array) -> Array:
        """The parameter that the user knows, from the mean of t(x); default: that mean."""
        return mean

    def mean_of(self, parameter: Array) -> Array:
        """The mean of t(x), from the parameter that the user knows: undoes `parameter`."""
        return parameter

    def prior(self, column_spec: ItemSpec) -> tuple[float, Array]:
        """Number of pseudo-rows, and their mean of t(x)."""
        return self.alpha, column_spec.mean

    def to_real(self, mean: Array) -> Array:
        """Means on a scale without bounds; default: the logarithm."""
        return log_of(mean)

    def from_real(self, real: Array) -> Array:
        """Inverse of `to_real`."""
        mean: Array = np.exp(real)
        return mean

    # ---- the contract -----------------------------------------------------------------

    def column_spec(self, X: Array, weight: Array | None = None) -> ItemSpec:
        """See `Family`."""
        rows = self.encode(X, None)
        one = np.ones((1, len(X))) if weight is None else weight[None]
        count, total = self.sufficient_statistics(rows, one, None)
        return ItemSpec((total / np.maximum(count, _TINY))[0])

    def encode(self, X: Array, column_spec: ItemSpec | None) -> ItemRows:
        """See `Family`."""
        X = np.asarray(X, np.float64)
        self.check(X)
        missing = np.isnan(X)
        if not missing.any():
            return ItemRows(self.statistic(X), None, self.base(X).sum(axis=1))
        # Any value that is in the domain will do where it is not used.
        filled = np.where(missing, self.placeholder(), X)
        observed = (~missing).astype(np.float64)
        base = (self.base(filled) * observed).sum(axis=1)
        return ItemRows(self.statistic(filled) * observed, observed, base)

    def placeholder(self) -> float:
        """A value in the domain; default: 1."""
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

    def n_parameters(self, params: ItemParams, column_spec: ItemSpec) -> int:
        """See `Family`."""
        return params.mean.size

    def to_public(self, params: ItemParams, column_spec: ItemSpec) -> dict[str, Array]:
        """See `Family`."""
        return {self.name: self.parameter(params.mean)}

    @property
    def public_names(self) -> tuple[str, ...]:
        """See `Family`."""
        return (self.name,)

    def from_public(
        self, public: Mapping[str, ArrayLike], column_spec: ItemSpec, fitted: Any = None
    ) -> ItemParams:
        """See `Family`."""
        return ItemParams(self._means(public, len(column_spec.mean)))

    def spec_of(self, public: Mapping[str, ArrayLike], fitted: ItemSpec | None = None) -> ItemSpec:
        """See `Family`: without a fit, the means are those of equal weights."""
        return ItemSpec(self._means(public).mean(axis=0)) if fitted is None else fitted

    def _means(
        self, public: Mapping[str, ArrayLike], n_features: int | str = "n_features"
    ) -> Array:
        """Means of t(x) from published parameters; raises where these are not valid."""
        given = read_parameter(public, self.name, ("n_components", n_features))
        with np.errstate(all="ignore"):
            mean = np.asarray(self.mean_of(given), np.float64)
            again, back = self.from_real(self.to_real(mean)), self.parameter(mean)
        valid = np.isfinite(mean) & np.isclose(again, mean, rtol=1e-8, atol=_TINY * 8.0)
        require_entries(valid, given, self.name, "which is outside its domain")
        if not np.allclose(back, given, rtol=1e-6, atol=_TINY * 8.0):
            raise TypeError(
                f"{type(self).__name__}.mean_of does not undo parameter; define both or none."
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
