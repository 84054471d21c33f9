"""Fills the missing entries of a table from the published model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from emlearn._compat import output_is_frame
from emlearn.data.mixed import MixedTable
from emlearn.data.schema import MixedSchema
from emlearn.data.tables import with_columns
from emlearn.engine.threads import blas_limited
from emlearn.impute._bounds import Bounds, read_bounds
from emlearn.impute._determined import DeterminedEntries
from emlearn.impute._drawing import fill_draws
from emlearn.impute._fitting import Conditional
from emlearn.impute._known import Known, conditioning
from emlearn.impute._mixed import MixedFitting, MixedKnown
from emlearn.impute._published import NOT_FITTED

Array = NDArray[np.float64]
Floats = NDArray[np.floating]


def has_other_types(schema: MixedSchema) -> bool:
    """Whether a table has columns of categories or times, so that no array of numbers holds it."""
    return not all(own.is_number for own in schema.columns)


class Filling(MixedFitting):
    """Means, draws and deviations in the places of missing entries."""

    def _complete(self, found: MixedTable, X: Any) -> Any:
        """The table X, as read, with its missing entries filled."""
        table, schema = found.table, found.schema
        indicators = None
        if self.indicator_ is not None:
            marked = table if found.unseen is None else np.where(found.unseen, 0.0, table)
            indicators = self.indicator_.transform(marked)
        missing = self._keep(found.missing)
        mixed = hasattr(self, "_mixed")
        out = self._complete_mixed(table) if mixed else self._complete_numbers(table)
        if schema is None:
            out = out.astype(table.dtype, copy=False)
            return out if indicators is None else np.hstack((out, indicators.astype(out.dtype)))
        if not (output_is_frame(self) or has_other_types(schema)):
            out = schema.numbers(np.asarray(out, np.float64), self._kept)
            return out if indicators is None else np.hstack((out, indicators.astype(out.dtype)))
        values = np.asarray(out, np.float64)
        completed = schema.decode(values, X, missing & ~np.isnan(out), self._kept)
        if indicators is None:
            return completed
        names = self.get_feature_names_out()[self._kept.size :]
        return with_columns(completed, names, indicators)

    def _bounds_of_output(self) -> Bounds | None:
        names = getattr(self, "feature_names_in_", None)
        bounds = read_bounds(self.bounds, self.n_features_in_, names)
        return None if bounds is None else bounds.take(self._kept)

    def _complete_mixed(self, table: Floats) -> Array:
        known, bounds = self._known_mixed(), self._bounds_of_output()
        out = np.array(self._keep(table), np.float64)
        missing = np.isnan(out)
        for column in np.setdiff1d(np.arange(out.shape[1]), known.varying):
            out[missing[:, column], column] = known.constants[column]
        if known.average is None:
            return out
        part = np.ascontiguousarray(out[:, known.varying])
        target = part.copy()
        limits = None if bounds is None else self._limits_of_numbers(bounds, known)
        with blas_limited():
            if self.sample_posterior:
                rng = np.random.default_rng(self._seed_of_draws())
                known.average.draw(part, target, limits, rng)
            else:
                known.average.complete(part, target)
        out[:, known.varying] = target
        if bounds is not None:
            bounds.clip(out, missing & ~self._kinds().categorical[self._kept])
        return out

    def _put_mixed(self, what: str, rows: Array, out: Array) -> None:
        """Put "deviations" or "entropies" into the columns that vary."""
        known = self._known_mixed()
        if known.average is None:
            return
        part = np.ascontiguousarray(rows[:, known.varying], np.float64)
        target = np.zeros(part.shape)
        with blas_limited():
            getattr(known.average, what)(part, target)
        out[:, known.varying] = target

    def _category_probabilities(self, table: Floats) -> Iterator[tuple[Any, Array]]:
        """Columns of categories by key, and the probabilities of all their levels."""
        found: dict[int, tuple[NDArray[np.intp], Array]] = {}
        if hasattr(self, "_mixed") and (known := self._known_mixed()).average is not None:
            part = np.ascontiguousarray(self._keep(table)[:, known.varying], np.float64)
            columns = known.average.columns
            positions = self._kept[known.varying][columns.categorical]
            with blas_limited():
                probabilities = known.average.probabilities(part)
            parts = zip(positions.tolist(), columns.levels, probabilities, strict=True)
            found = {j: (levels, part) for j, levels, part in parts}
        keys = self._column_keys()
        for j in np.flatnonzero(self._kinds().categorical).tolist():
            codes = table[:, j]
            out = np.zeros((len(table), len(self.category_levels_[keys[j]])))
            if j in found:
                out[:, found[j][0]] = found[j][1]
            else:
                # One level has all rows, unless the column is empty.
                counts = self._counts_of(j)
                out[:, int(np.argmax(counts))] = float(max(counts) > 0)
            seen = np.flatnonzero(~np.isnan(codes))
            out[seen] = 0.0
            out[seen, codes[seen].astype(np.intp)] = 1.0
            yield keys[j], out

    @property
    def category_levels_(self) -> dict[Any, tuple[Any, ...]]:
        """Levels of each column of categories."""
        check_is_fitted(self, msg=NOT_FITTED)
        keys = self._column_keys()
        categories = np.flatnonzero(self._kinds().categorical)
        return {keys[j]: self._levels_of(int(j)) or () for j in categories}

    def _limits_of_numbers(self, bounds: Bounds, known: MixedKnown) -> Bounds:
        """Bounds of the columns that vary; codes have none."""
        codes = self._kinds().categorical[self._kept][known.varying]
        limits = bounds.take(known.varying)
        return Bounds(np.where(codes, -np.inf, limits.low), np.where(codes, np.inf, limits.high))

    def _seed_of_draws(self) -> int:
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _complete_numbers(self, table: Floats) -> Floats:
        known, bounds = self._known(), self._bounds_of_output()
        rows = self._keep(table)
        missing, determined = np.isnan(rows), self._determined_entries()
        if self.sample_posterior:
            out = rows.copy()
            self._fill_draws(known, rows, out, bounds)
        else:
            # In place: the table is ours, and each block is read before it is written.
            out = rows
            self._fill(known, rows, out, "fill_means")
        if determined is not None:
            determined.fill(out, missing)
        if bounds is not None:
            bounds.clip(out, missing)
        return out

    def _determined_entries(self) -> DeterminedEntries | None:
        """Exact relations of the fit, unless other parameters were set since."""
        found: DeterminedEntries | None = getattr(self, "_determined", None)
        if found is None or found.columns[-1] >= self._kept.size:
            return None
        return found if found.agree_with(self.means_, self.covariances_) else None

    def _fill(self, known: Known, rows: Floats, out: Floats, what: str) -> None:
        """Fill the varying columns of `out` from the model, and the others with constants."""

        def fill(fitted: Conditional, part: Floats, target: Floats) -> None:
            getattr(fitted, what)(part, target)

        spread = what == "fill_deviations"
        self._fill_by(known, rows, out, fill, np.zeros_like(known.constants) if spread else None)

    def _fill_draws(self, known: Known, rows: Floats, out: Floats, bounds: Bounds | None) -> None:
        rng = np.random.default_rng(self._seed_of_draws())
        limits = None if bounds is None else bounds.take(known.varying)

        def fill(fitted: Conditional, part: Floats, target: Floats) -> None:
            fill_draws(fitted, part, target, limits, rng)

        self._fill_by(known, rows, out, fill)

    def _fill_by(
        self,
        known: Known,
        rows: Floats,
        out: Floats,
        fill: Callable[[Conditional, Floats, Floats], None],
        constants: Array | None = None,
    ) -> None:
        varying = known.varying
        values = known.constants if constants is None else constants
        for column in np.setdiff1d(np.arange(rows.shape[1]), varying):
            out[np.isnan(rows[:, column]), column] = values[column]
        if known.fitted is not None:
            with conditioning():
                if varying.size == rows.shape[1]:
                    fill(known.fitted, rows, out)
                else:
                    part = out[:, varying]
                    fill(known.fitted, rows[:, varying], part)
                    out[:, varying] = part
        overflown = ~np.isfinite(out)
        if overflown.any():
            # Next to values close to the largest float, the overall values have to serve.
            overall = self.mean_ if constants is None else np.sqrt(np.diagonal(self.covariance_))
            np.copyto(out, overall.astype(out.dtype), where=overflown)

    def _keep(self, columns: Any) -> Any:
        """Drop the columns that the output lacks."""
        kept = self._kept
        return columns if kept.size == columns.shape[1] else columns[:, kept]
