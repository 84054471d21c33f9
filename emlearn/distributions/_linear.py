"""Independent columns whose log-densities are linear in features of the rows.

The log-density of a row is the product of its features t(x) with coefficients c(theta_k) of the
component. Missing entries have no features, so they are left out of all sums. The statistics are
the sums of the features, S_k, and the M-step maximizes c(theta) S_k.

The prior of a component counts as alpha pseudo-rows with the average features of the rows: its
log density is alpha c(theta) A, where A are the averages, and the M-step maximizes
c(theta) (S_k + alpha A). The prior changes with the units of the data as they do.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emlearn.distributions._contract import Array, Family
from emlearn.distributions._exponential import log_of
from emlearn.distributions._passes import RowPasses
from emlearn.distributions._published import read_parameter, require_entries
from emlearn.engine import DegenerateModelError
from emlearn.engine.parameters import Entries, Part


class LinearSpec(NamedTuple):
    """What is known about the columns.

    Attributes
    ----------
    average : ndarray of shape (n_features_of_rows,)
        Sums of the features over the rows, divided by the number of rows that have the entry.
    n_columns : int
        Number of columns.
    table : object
        What the features need; None if nothing.
    """

    average: Array
    n_columns: int
    table: Any = None


class LinearParams(NamedTuple):
    """Parameters.

    Attributes
    ----------
    values : ndarray of shape (n_components, n_parameters, n_columns)
        In the order of `public_names`.
    """

    values: Array


def held(fixed: Mapping[str, Array], name: str, found: Array) -> Array:
    """Values with the fixed ones put in."""
    if name not in fixed:
        return found
    return np.where(np.isnan(fixed[name]), found, fixed[name])


class LinearFamily(Family):
    """Base class of families whose log-densities are linear in features of the rows."""

    #: Number of pseudo-rows in each component; 0 is maximum likelihood.
    alpha: float

    #: Smallest and largest value of each parameter, by its name.
    bounds: ClassVar[Mapping[str, tuple[float, float]]]

    #: Values of the parameters, at which the search for those of the average row starts.
    first: ClassVar[tuple[float, ...]] = (1.0, 1.0)
    #: Number of steps of this search: 1 if `maximum` finds the maximum.
    pooled_steps: ClassVar[int] = 1

    # ---- what a subclass defines --------------------------------------------------------

    @abstractmethod
    def features(self, X: Array) -> tuple[Array, ...]:
        """Features of each entry, each of the shape of X; see `encode`. NaN is missing."""

    @abstractmethod
    def coefficients(self, values: Array, column_spec: LinearSpec) -> Array:
        """Coefficients of the features, (n_components, n_features_of_rows)."""

    @abstractmethod
    def maximum(
        self, sums: Array, values: Array, fixed: Mapping[str, Array], column_spec: LinearSpec
    ) -> Array:
        """Parameters that maximize coefficients times sums, or are better than `values`."""

    @abstractmethod
    def gradient(self, sums: Array, values: Array, column_spec: LinearSpec) -> Array:
        """Derivatives of coefficients times sums, of the shape of `values`."""

    @abstractmethod
    def average_of(self, values: Array) -> LinearSpec:
        """The column spec of rows from components of equal weight."""

    # ---- rows -------------------------------------------------------------------------

    def spec_of_passes(self, passes: RowPasses) -> LinearSpec:
        """See `Family`."""
        sums, n_columns = passes.total(self._feature_sums), passes.shape[1]
        count = np.tile(sums[:n_columns], len(sums) // max(n_columns, 1))
        return LinearSpec(sums / np.where(count > 0.0, count, 1.0), n_columns)

    def _feature_sums(self, X: Array, weight: Array | None) -> Array:
        rows = self.encode(X, None)
        sums: Array = np.ones(len(rows)) @ rows if weight is None else weight @ rows
        return sums

    def encode(self, X: Array, column_spec: LinearSpec | None) -> Array:
        """Whether there is an entry, 1 or 0, and its features; all columns of each in turn."""
        X = np.asarray(X, np.float64)
        found = self.features(X)
        missing = np.isnan(X)
        parts = [np.where(missing, 0.0, own) for own in (np.ones_like(X), *found)]
        return np.hstack(parts)

    def take(self, rows: Any, index: slice | Array) -> Any:
        """See `Family`."""
        return rows[index]

    # ---- the distribution ---------------------------------------------------------------

    def pooled(self, n_components: int, column_spec: LinearSpec) -> LinearParams:
        """See `Family`."""
        found = np.ones((1, len(self.public_names), column_spec.n_columns))
        found *= np.array(self.first)[:, None]
        for _ in range(self.pooled_steps):
            found = self.maximum(column_spec.average[None], found, {}, column_spec)
        return LinearParams(np.repeat(found, n_components, axis=0))

    def precompute(self, params: LinearParams, column_spec: LinearSpec) -> Any:
        """See `Family`."""
        return self.coefficients(params.values, column_spec)

    def log_density(self, rows: Any, precomputed: Any, out: Array) -> None:
        """See `Family`."""
        out += precomputed @ rows.T

    def sufficient_statistics(self, rows: Any, responsibilities: Array, precomputed: Any) -> Array:
        """See `Family`: sums of the features, (n_components, n_features_of_rows)."""
        sums: Array = responsibilities @ rows
        return sums

    def prior_features(self, column_spec: LinearSpec) -> Array:
        """Features of a pseudo-row of the prior; by default the average."""
        return column_spec.average

    def _with_prior(self, statistics: Array, column_spec: LinearSpec) -> Array:
        return statistics + self.alpha * self.prior_features(column_spec)

    def m_step(
        self, statistics: Array, params: LinearParams, column_spec: LinearSpec
    ) -> LinearParams:
        """See `Family`."""
        return self.constrained_m_step(statistics, params, {}, column_spec)

    def constrained_m_step(
        self,
        statistics: Array,
        params: LinearParams,
        fixed: Mapping[str, Array],
        column_spec: LinearSpec,
    ) -> LinearParams:
        """See `Family`: parameters of a column depend on those that are held."""
        sums = self._with_prior(statistics, column_spec)
        return LinearParams(self.maximum(sums, params.values, fixed, column_spec))

    def log_prior(self, params: LinearParams, column_spec: LinearSpec) -> float:
        """See `Family`."""
        coefficients = self.coefficients(params.values, column_spec)
        return self.alpha * float((coefficients @ self.prior_features(column_spec)).sum())

    def pseudo_rows(self, column_spec: LinearSpec) -> float:
        """See `Family`."""
        return self.alpha

    def score(
        self, statistics: Array, params: LinearParams, column_spec: LinearSpec
    ) -> dict[str, Array]:
        """See `Family`."""
        sums = self._with_prior(statistics, column_spec)
        slope = self.gradient(sums, params.values, column_spec)
        return dict(zip(self.public_names, slope.swapaxes(0, 1), strict=True))

    # ---- for the user -------------------------------------------------------------------

    @property
    def public_names(self) -> tuple[str, ...]:
        """See `Family`."""
        return tuple(self.bounds)

    def space(self, params: LinearParams, column_spec: LinearSpec) -> dict[str, Part]:
        """See `Family`: entries within bounds."""
        axes = ("component", "feature")
        return {
            # A bound of positive numbers that only keeps them in range is not a boundary.
            name: Entries(
                axes, lower=0.0 if low > -np.inf else low, upper=1.0 if high == 1.0 else np.inf
            )
            for name, (low, high) in self.bounds.items()
        }

    def n_parameters(self, params: LinearParams, column_spec: LinearSpec) -> int:
        """See `Family`."""
        return params.values.size

    def to_public(self, params: LinearParams, column_spec: LinearSpec) -> dict[str, Array]:
        """See `Family`."""
        return {
            name: np.ascontiguousarray(params.values[:, i])
            for i, name in enumerate(self.public_names)
        }

    def _read(self, public: Mapping[str, ArrayLike], n_columns: int | str) -> Array:
        read: list[Array] = []
        for name, (low, high) in self.bounds.items():
            own = read_parameter(public, name, ("n_components", n_columns))
            inside = (own >= low) & (own <= high)
            require_entries(inside, own, name, f"which is not between {low:g} and {high:g}")
            read.append(own)
            n_columns = own.shape[1]
        for name, own in zip(self.public_names[1:], read[1:], strict=True):
            if own.shape != read[0].shape:
                read_parameter({name: own}, name, read[0].shape)
        return np.stack(read, axis=1)

    def from_public(
        self, public: Mapping[str, ArrayLike], column_spec: LinearSpec, fitted: Any = None
    ) -> LinearParams:
        """See `Family`."""
        return LinearParams(self._read(public, column_spec.n_columns))

    def spec_of(
        self, public: Mapping[str, ArrayLike], fitted: LinearSpec | None = None
    ) -> LinearSpec:
        """See `Family`: without a fit, for rows from components of equal weight."""
        return self.average_of(self._read(public, "n_features")) if fitted is None else fitted

    # ---- for accelerators ---------------------------------------------------------------

    def to_vector(self, params: LinearParams, column_spec: LinearSpec) -> NDArray[np.float64]:
        """Logarithms of positive parameters, and log-odds of probabilities."""
        parts = []
        for i, (_, high) in enumerate(self.bounds.values()):
            own = params.values[:, i]
            parts.append(log_of(own) - log_of(1.0 - own) if high == 1.0 else log_of(own))
        return np.stack(parts, axis=1).ravel()

    def from_vector(
        self, vector: NDArray[np.float64], like: LinearParams, column_spec: LinearSpec
    ) -> LinearParams:
        """See `Family`."""
        real = vector.reshape(like.values.shape)
        values = np.empty_like(like.values)
        with np.errstate(over="ignore", under="ignore"):
            for i, (name, (low, high)) in enumerate(self.bounds.items()):
                own = np.exp(real[:, i])
                own = own / (1.0 + own) if high == 1.0 else own
                # A bound may be missed by rounding alone.
                if not ((own >= low * (1.0 - 1e-9)) & (own <= high * (1.0 + 1e-9))).all():
                    raise DegenerateModelError(f"a {name} is out of range")
                values[:, i] = np.clip(own, low, high)
        return LinearParams(values)
