"""Counts that vary more than Poisson counts, and those with extra zeros.

The parameters of a column are the mean m and dispersion f of negative binomial counts (see
`_count_tables`), and the probability p of an extra zero; f or p may be 0 for good. The statistics
are the expected numbers of rows with each count, N_x, with sums W and X of 1 and of x.

The M-step repeats three steps, none of which lowers the objective:

1. Of the zeros, N_0 p / (p + (1 - p) f_0) are expected to be extra ones, where f_0 is the
   probability of a zero of the counts. W' = W minus these, and m = X / W'.
2. The dispersion f is the root of the derivative of the log-likelihood with this m. It has at
   most one (Levin and Reeds 1977), and none if the variance is less than the mean; then f = 0.
3. p maximizes the likelihood of the zeros: N_0 / W = p + (1 - p) f_0, at least 0.

Without extra zeros, one pass is the exact maximum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from emlearn.distributions._contract import Array
from emlearn.distributions._count_tables import (
    HIGHEST_DISPERSION,
    CountRows,
    CountTable,
    dispersion_root,
    log_density,
    log_normalizer,
    log_rise,
    slope_of_normalizer,
    slope_of_rise,
)
from emlearn.distributions._domain import require_counts, require_drawable
from emlearn.distributions._exponential import log_of
from emlearn.distributions._linear import LinearFamily, LinearParams, LinearSpec, held
from emlearn.distributions._passes import RowPasses, Tally

_LARGEST_COUNT = 1e15
_CYCLES = 5
# Pairs of a column and a count that tables of streams may grow to.
_MOST_PAIRS = 1 << 17


class CountValues(NamedTuple):
    """Parameters, each of shape (n_components, n_columns)."""

    extra: Array
    mean: Array
    dispersion: Array


class CountPrecomputed(NamedTuple):
    """Log-densities of the pairs of the table, (n_components, n_pairs)."""

    coefficients: Array
    values: CountValues
    table: CountTable


class CountSums(NamedTuple):
    """Statistics: of pairs, and sums over columns, with the counts that are not in the table.

    `slope` is the derivative of the rising factorials of these by the dispersion.
    """

    pairs: Array
    zeros: Array
    weight: Array
    total: Array
    slope: Array


class CountFamily(LinearFamily):
    """Base class of families of counts with tables of the counts that there are."""

    is_discrete: ClassVar[bool] = True

    @property
    def has_extra(self) -> bool:
        """Whether there are extra zeros."""
        return "inflation" in self.bounds

    @property
    def has_dispersion(self) -> bool:
        """Whether counts may vary more than Poisson counts."""
        return "dispersion" in self.bounds

    def _read_values(self, values: Array) -> CountValues:
        found = dict(zip(self.bounds, values.swapaxes(0, 1), strict=True))
        mean = found["mean"] if "mean" in found else found["rate"]
        zero = np.zeros_like(mean)
        return CountValues(found.get("inflation", zero), mean, found.get("dispersion", zero))

    def _stack(self, values: CountValues) -> Array:
        parts = [values.extra] * self.has_extra + [values.mean]
        return np.stack(parts + [values.dispersion] * self.has_dispersion, axis=1)

    # ---- rows -------------------------------------------------------------------------

    def features(self, X: Array) -> tuple[Array, ...]:
        """See `LinearFamily`: there are none but the table."""
        require_counts(X, "counts, which are integers >= 0 (or NaN where missing)")
        return ()

    def _checked(self, X: Array) -> Array:
        X = np.asarray(X, np.float64)
        self.features(X)
        return X

    def spec_of_passes(self, passes: RowPasses) -> LinearSpec:
        """See `Family`."""
        tallies = passes.total(self._tallies)
        table = CountTable.of_levels([own.values for own in tallies])
        # 0 is a level of each column, even if the column does not have it.
        pairs = np.concatenate(
            [np.r_[np.zeros(int(0.0 not in own.values)), own.weight] for own in tallies]
        )
        count = table.total(pairs[None])[0][table.column]
        average = pairs / np.where(count > 0.0, count, 1.0)
        n_columns = passes.shape[1]
        return LinearSpec(np.r_[average, np.zeros(3 * n_columns)], n_columns, table)

    def _tallies(self, X: Array, weight: Array | None) -> tuple[Tally, ...]:
        X = self._checked(X)
        weight = np.ones(len(X)) if weight is None else weight
        seen = ~np.isnan(X)
        return tuple(
            Tally.of(own[is_seen], weight[is_seen])
            for own, is_seen in zip(X.T, seen.T, strict=True)
        )

    def average_of(self, values: Array) -> LinearSpec:
        """See `LinearFamily`: the table is empty, and so there are no pseudo-rows."""
        n_columns = values.shape[2]
        return LinearSpec(
            np.zeros(4 * n_columns), n_columns, CountTable.of(np.empty((0, n_columns)))
        )

    def encode(self, X: Array, column_spec: LinearSpec | None) -> Any:
        """See `Family`."""
        X = self._checked(X)
        table = CountTable.of(X) if column_spec is None else column_spec.table
        return CountRows.of(X, table)

    def take(self, rows: CountRows, index: Any) -> CountRows:
        """See `Family`."""
        return rows.take(index)

    # ---- the distribution ---------------------------------------------------------------

    def _log_density(self, x: Array, values: CountValues) -> Array:
        plain = log_density(x, values.mean, values.dispersion)
        if not self.has_extra:
            return plain
        plain = plain + log_of(1.0 - values.extra)
        return np.where(x > 0.0, plain, np.logaddexp(log_of(values.extra), plain))

    def coefficients(self, values: Array, column_spec: LinearSpec) -> Array:
        """See `LinearFamily`: 0 for counts that are not in the table."""
        table = column_spec.table
        own = CountValues(*(part[:, table.column] for part in self._read_values(values)))
        found = self._log_density(table.level, own) - table.constant
        return np.hstack([found, np.zeros((len(values), 3 * column_spec.n_columns))])

    def precompute(self, params: LinearParams, column_spec: LinearSpec) -> CountPrecomputed:
        """See `Family`."""
        found = self.coefficients(params.values, column_spec)[:, : len(column_spec.table.level)]
        return CountPrecomputed(found, self._read_values(params.values), column_spec.table)

    def log_density(self, rows: CountRows, precomputed: CountPrecomputed, out: Array) -> None:
        """See `Family`."""
        rows = rows.in_table(precomputed.table)
        out += np.asarray(rows.pairs @ np.ascontiguousarray(precomputed.coefficients.T)).T
        if rows.is_new is not None:
            row, column = np.nonzero(rows.is_new)
            x = rows.X[row, column]
            own = CountValues(*(part[:, column] for part in precomputed.values))
            found = self._log_density(x, own) - CountTable.of(x[None]).constant[1::2]
            for k, values in enumerate(found):
                out[k] += np.bincount(row, values, out.shape[1])

    def sufficient_statistics(
        self, rows: CountRows, responsibilities: Array, precomputed: CountPrecomputed
    ) -> Array:
        """See `Family`: numbers of rows of each pair; sums for counts not in the table."""
        rows = rows.in_table(precomputed.table)
        pairs = np.asarray(rows.pairs.T @ np.ascontiguousarray(responsibilities.T)).T
        n_components, n_columns = len(responsibilities), rows.X.shape[1]
        others = np.zeros((n_components, 3, n_columns))
        if rows.is_new is not None:
            row, column = np.nonzero(rows.is_new)
            x, own = rows.X[row, column], responsibilities[:, row]
            slope = slope_of_rise(x, precomputed.values.dispersion[:, column])
            for i, part in enumerate((own, own * x, own * slope)):
                for k in range(n_components):
                    others[k, i] = np.bincount(column, part[k], n_columns)
        return np.hstack([pairs, others.reshape(n_components, -1)])

    # ---- rows that come later -----------------------------------------------------------

    def widened(self, column_spec: LinearSpec, X: Array) -> LinearSpec:
        """See `Family`: new counts enter the table while there is room."""
        table = column_spec.table.widened(self._checked(X))
        if table is column_spec.table or len(table.level) > _MOST_PAIRS:
            return column_spec
        average = _rearranged(column_spec.average[None], column_spec.table, table)[0]
        return LinearSpec(average, column_spec.n_columns, table)

    def rearranged(self, statistics: Array, column_spec: LinearSpec, wider: LinearSpec) -> Array:
        """See `Family`."""
        return _rearranged(statistics, column_spec.table, wider.table)

    def recentered(self, statistics: Array, params: LinearParams, moved: LinearParams) -> Array:
        """See `Family`: the dispersion times the slope is what the bound counts."""
        old, new = (self._read_values(own.values).dispersion for own in (params, moved))
        factor = np.where(new > 0.0, old / np.where(new > 0.0, new, 1.0), 1.0)
        found = statistics.copy()
        found[:, -factor.shape[1] :] *= factor
        return found

    def _sums(self, sums: Array, spec: LinearSpec) -> CountSums:
        table, n = spec.table, len(spec.table.level)
        pairs = sums[:, :n]
        others = sums[:, n:].reshape(len(sums), 3, spec.n_columns)
        weight = table.total(pairs) + others[:, 0]
        total = table.total(pairs * table.level) + others[:, 1]
        return CountSums(pairs, pairs[:, table.first], weight, total, others[:, 2])

    # ---- M-step -------------------------------------------------------------------------

    def maximum(
        self, sums: Array, values: Array, fixed: Mapping[str, Array], column_spec: LinearSpec
    ) -> Array:
        """See `LinearFamily`."""
        own = self._sums(sums, column_spec)
        at = self._read_values(values)
        start = at.dispersion
        for _ in range(_CYCLES if self.has_extra else 1):
            at = self._cycle(own, at, start, fixed, column_spec.table)
        known = own.weight > 0.0
        return np.where(known[:, None], self._stack(at), values)

    def _cycle(
        self,
        sums: CountSums,
        at: CountValues,
        start: Array,
        fixed: Mapping[str, Array],
        table: CountTable,
    ) -> CountValues:
        extra, _, dispersion = at
        weight = sums.weight - sums.zeros * (1.0 - self._share(at))
        some = np.maximum(weight, np.finfo(np.float64).tiny)
        mean = np.minimum(sums.total / some, _LARGEST_COUNT)
        mean = held(fixed, "mean", held(fixed, "rate", mean))
        if self.has_dispersion:
            found = self._dispersion(sums, weight, mean, dispersion, start, table)
            dispersion = held(fixed, "dispersion", found)
        if self.has_extra:
            zero = np.exp(-log_normalizer(mean, dispersion)[0])
            room = 1.0 - zero
            fraction = sums.zeros / np.where(sums.weight > 0.0, sums.weight, 1.0)
            best = (fraction - zero) / np.where(room > 0.0, room, 1.0)
            extra = np.where(room > 0.0, np.clip(best, 0.0, 1.0), extra)
            extra = held(fixed, "inflation", extra)
        return CountValues(extra, mean, dispersion)

    def _share(self, at: CountValues) -> Array:
        """Probability that a zero is not an extra one."""
        if not self.has_extra:
            return np.ones_like(at.mean)
        plain = (1.0 - at.extra) * np.exp(-log_normalizer(at.mean, at.dispersion)[0])
        both = plain + at.extra
        return np.where(both > 0.0, plain / np.where(both > 0.0, both, 1.0), 0.0)

    def _dispersion(
        self,
        sums: CountSums,
        weight: Array,
        mean: Array,
        old: Array,
        start: Array,
        table: CountTable,
    ) -> Array:
        def slope(f: Array) -> Array:
            rise = table.total(sums.pairs * slope_of_rise(table.level, f[:, table.column]))
            others = sums.slope * np.where(f == start, 1.0, start / np.maximum(f, 1e-290))
            return rise + others + slope_of_normalizer(weight, sums.total, mean, f)

        def objective(f: Array) -> Array:
            rise = table.total(sums.pairs * log_rise(table.level, f[:, table.column]))
            by_row, by_count = log_normalizer(mean, f)
            # New counts: a bound of their rising factorials that touches them at `start`.
            others = sums.slope * start * np.log(np.maximum(f, 1e-290))
            return rise + others - weight * by_row - sums.total * by_count

        above = (slope(np.zeros_like(mean)) > 0.0) | (start * sums.slope > 0.0)
        first = np.where(old > 0.0, old, 1.0)
        found = np.where(above, dispersion_root(slope, first, above, 1e-8), 0.0)
        # With a given mean there may be several maxima.
        before = objective(old)
        worse = objective(found) < before - 1e-12 * np.abs(before)
        return np.where(worse, old, found)

    def gradient(self, sums: Array, values: Array, column_spec: LinearSpec) -> Array:
        """See `LinearFamily`."""
        own, at, table = self._sums(sums, column_spec), self._read_values(values), column_spec.table
        extra, mean, f = at
        weight = own.weight - own.zeros * (1.0 - self._share(at))
        some = np.where(mean > 0.0, mean, 1.0)
        by_mean = np.where(mean > 0.0, own.total / some, 0.0)
        by_mean -= (own.total * f + weight) / (1.0 + mean * f)
        rise = table.total(own.pairs * slope_of_rise(table.level, f[:, table.column]))
        by_dispersion = rise + own.slope + slope_of_normalizer(weight, own.total, mean, f)
        zero = np.exp(-log_normalizer(mean, f)[0])
        both, rest = np.maximum(extra + (1.0 - extra) * zero, 1e-290), own.weight - own.zeros
        by_extra = own.zeros * (1.0 - zero) / both - rest / np.maximum(1.0 - extra, 1e-16)
        return self._stack(CountValues(by_extra, by_mean, by_dispersion))

    # ---- for the user -------------------------------------------------------------------

    def moments(self, params: LinearParams, column_spec: LinearSpec) -> tuple[Array, Array]:
        """See `Family`."""
        extra, mean, f = self._read_values(params.values)
        variance = mean + f * np.square(mean) + extra * np.square(mean)
        return (1.0 - extra) * mean, (1.0 - extra) * variance

    def sample(
        self,
        params: LinearParams,
        column_spec: LinearSpec,
        labels: Array,
        rng: np.random.Generator,
    ) -> Array:
        """See `Family`."""
        own = CountValues(*(part[labels] for part in self._read_values(params.values)))
        r = 1.0 / np.maximum(own.dispersion, 1e-15)
        spread = rng.standard_gamma(r) / r
        rate = own.mean * np.where(own.dispersion > 1e-15, spread, 1.0)
        require_drawable(rate, "the largest mean")
        drawn = rng.poisson(rate).astype(np.float64)
        return np.where(rng.random(drawn.shape) < own.extra, 0.0, drawn)


def _rearranged(of_pairs: Array, table: CountTable, wider: CountTable) -> Array:
    """Values of pairs, with sums behind them, in the layout of a wider table."""
    n_old, n_new = len(table.level), len(wider.level)
    found = np.zeros((len(of_pairs), of_pairs.shape[1] + n_new - n_old))
    found[:, table.places_in(wider)] = of_pairs[:, :n_old]
    found[:, n_new:] = of_pairs[:, n_old:]
    return found


@dataclass(frozen=True)
class NegativeBinomial(CountFamily):
    """Independent counts that vary more than Poisson counts.

    Published: ``"mean"`` and ``"dispersion"``, each of shape (n_components, n_features). The
    variance is mean + dispersion * mean ** 2; 1 / dispersion is also called the size. A dispersion
    of 0 is `Poisson`; it is the estimate where counts vary less than that.

    Parameters
    ----------
    alpha : float, default=0.01
        Number of pseudo-rows in each component, which are distributed as the rows of the column.
        The default is close to maximum likelihood, but a component keeps a mean above 0. 0 is
        maximum likelihood, with dispersions of at most 1e8.

    Notes
    -----
    The statistics are expected numbers of rows with each count that a column has, so that the
    M-step is exact: the mean is that of the rows, and the dispersion the root of its score. Counts
    that the fit has not seen are taken by a bound that touches their log-density.

    References
    ----------
    B. Levin and J. Reeds (1977). "Compound multinomial likelihood functions are unimodal: proof
    of a conjecture of I. J. Good". Annals of Statistics 5(1), 79-87.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn import FiniteMixtureEM
    >>> from emlearn.distributions import NegativeBinomial
    >>> rng = np.random.default_rng(0)
    >>> visits = rng.negative_binomial(2, [[0.6]] * 300 + [[0.1]] * 300, (600, 1))
    >>> mixture = FiniteMixtureEM(2, family=NegativeBinomial(), random_state=0).fit(visits)
    >>> mixture.n_features_in_
    1
    """

    alpha: float = 0.01

    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        "mean": (0.0, 1e300),
        "dispersion": (0.0, HIGHEST_DISPERSION),
    }
