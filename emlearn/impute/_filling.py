"""Fills the missing entries of a table from the published model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from emlearn.impute._bounds import Bounds, read_bounds
from emlearn.impute._determined import DeterminedEntries
from emlearn.impute._drawing import fill_draws
from emlearn.impute._fitting import Conditional
from emlearn.impute._known import Known, conditioning
from emlearn.impute._published import PublishedModel

Array = NDArray[np.float64]
Floats = NDArray[np.floating]


class Filling(PublishedModel):
    """Means, draws and deviations in the places of missing entries."""

    def _complete(self, table: Floats) -> Floats:
        known = self._known()
        indicators = None if self.indicator_ is None else self.indicator_.transform(table)
        bounds = read_bounds(self.bounds, table.shape[1], getattr(self, "feature_names_in_", None))
        rows = self._keep(table)
        missing, determined = np.isnan(rows), self._determined_entries()
        if bounds is not None:
            bounds = bounds.take(self._kept)
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
        if indicators is not None:
            out = np.hstack((out, indicators.astype(out.dtype)))
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
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        rng = np.random.default_rng(seed)
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

    def _keep(self, columns: Floats) -> Floats:
        """Drop the columns that the output lacks."""
        kept = self._kept
        return columns if kept.size == columns.shape[1] else columns[:, kept]
