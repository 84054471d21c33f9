"""Fitting, and what fitting publishes: the part of the imputer that runs EM."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import MissingIndicator
from sklearn.utils import check_random_state

from emlearn._compat import validate_params
from emlearn._warnings import warn_user
from emlearn.data import check_marker, column_label, read_table, read_weight
from emlearn.distributions.gaussian.incomplete import ConditionalFactors
from emlearn.distributions.gaussian.scaling import (
    ColumnScaling,
    ColumnSummary,
    summarize_columns,
)
from emlearn.engine import History, Iteration, Status
from emlearn.engine.threads import blas_limited
from emlearn.impute._bounds import read_bounds
from emlearn.impute._fitting import Conditional, Outcome, Settings, fit_model
from emlearn.impute._published import PublishedModel

Array = NDArray[np.float64]
Floats = NDArray[np.floating]

# Standard deviations whose squares, and products of these, are ordinary numbers.
_SMALLEST_SCALE, _LARGEST_SCALE = 2.0**-505, 2.0**505


class Notice(NamedTuple):
    """A warning that a fit has to give."""

    kind: str
    category: type[Warning]
    message: str


class FittedByEM(PublishedModel):
    """Fits an incomplete-data model to the columns that vary and publishes it."""

    def _read_and_fit(self, X: Any, sample_weight: Any) -> Floats:
        """Read the table, fit, and give the warnings of the fit."""
        table, weight = self._read(X, sample_weight)
        for notice in self._fit_table(table, weight):
            warn_user(notice.message, notice.category)
        return table

    def _read(self, X: Any, sample_weight: Any) -> tuple[Floats, Array | None]:
        """Check the hyperparameters and read the data."""
        validate_params(self)
        check_marker(self.missing_values, type(self).__name__)
        if self.n_factors is not None and self.n_components > 1:
            raise ValueError(
                f"n_factors={self.n_factors} needs n_components=1, got "
                f"n_components={self.n_components}: mixtures have full covariances."
            )
        table = self._read_table(X, reset=True)
        weight = read_weight(sample_weight, table.shape[0])
        names = getattr(self, "feature_names_in_", None)
        read_bounds(self.bounds, table.shape[1], names)
        return table, weight

    def _read_table(self, X: Any, *, reset: bool) -> Floats:
        table: Floats = read_table(
            self, X, reset=reset, missing_values=self.missing_values, copy=True
        )
        return table

    def _fit_table(self, table: Floats, weight: Array | None) -> list[Notice]:
        """Fit to a table and publish; what there is to warn of is returned."""
        if weight is not None and not weight.all():
            # No copy of such a row is there, so that nothing of it may matter.
            table, weight = table[weight > 0.0], weight[weight > 0.0]
        total = float(table.shape[0] if weight is None else weight.sum())
        entropy = int(check_random_state(self.random_state).randint(2**31 - 1))
        with blas_limited():
            columns = summarize_columns(table, weight)
            empty = columns.weight == 0.0
            varying = np.flatnonzero(~columns.constant)
            self._refuse_unsquarable(columns, varying)
            outcome = None
            if varying.size:
                scaling = ColumnScaling(*(part[varying] for part in columns.scaling))
                X = table if varying.size == table.shape[1] else table[:, varying]
                start = self._warm_start(varying) if self.warm_start else None
                outcome = fit_model(X, weight, scaling, self._settings(), entropy, start)
                self._require_success(outcome)
        self._kept = np.arange(empty.size) if self.keep_empty_features else np.flatnonzero(~empty)
        self._publish_indicator(table)
        fitted = None if outcome is None else outcome.fitted
        self._publish_parameters(columns.scaling.center, varying, fitted)
        self._publish_run(outcome, total)
        notices = self._notices_of_columns(empty)
        return notices if outcome is None else notices + self._notices(outcome, varying)

    def _refuse_unsquarable(self, columns: ColumnSummary, varying: NDArray[np.intp]) -> None:
        scale = columns.scaling.scale[varying]
        outside = np.flatnonzero((scale < _SMALLEST_SCALE) | (scale > _LARGEST_SCALE))
        if outside.size:
            column = int(varying[outside[0]])
            raise ValueError(
                f"The values of {column_label(self, column)} spread by about "
                f"{scale[outside[0]]:.0e}, whose square is no number of double precision: "
                "measure it in other units."
            )

    def _settings(self) -> Settings:
        return Settings(
            self.n_components,
            self.n_factors,
            self.alpha,
            self.tol,
            self.max_iter,
            self.n_init,
            self.n_jobs,
            self.accelerate,
            _print_iteration if self.verbose else None,
        )

    def _warm_start(self, varying: NDArray[np.intp]) -> Conditional | None:
        """Published parameters, if they are of the kind and the columns now asked for."""
        if not hasattr(self, "means_"):
            return None
        known = self._known()
        same_columns = np.array_equal(self._kept[known.varying], varying)
        if hasattr(self, "loadings_"):
            same_kind = self.loadings_.shape[1] == self.n_factors
        else:
            same_kind = self.n_factors is None and len(self.weights_) == self.n_components
        return known.fitted if same_kind and same_columns else None

    # ---- publishing ---------------------------------------------------------------------

    def _require_success(self, outcome: Outcome) -> None:
        best = outcome.best
        if best.params is None or not best.status.usable:
            raise ValueError(
                f"The model cannot be fitted: {best.message}. There are too few rows for the "
                "number of columns, or columns depend on each other exactly; keep alpha='auto', "
                "or set a larger alpha, fewer components, or n_factors."
            )

    def _publish_indicator(self, table: Floats) -> None:
        self.indicator_ = None
        if self.add_indicator:
            # Its output is a part of ours, which set_output makes a scaling of.
            indicator = MissingIndicator(error_on_new=False).set_output(transform="default")
            self.indicator_ = indicator.fit(table)

    def _publish_parameters(
        self, center: Array, varying: NDArray[np.intp], fitted: Conditional | None
    ) -> None:
        """Parameters in the units of the data, for the columns of the output."""
        kept = self._kept
        place = np.searchsorted(kept, varying)
        for name in ("_covariances", "loadings_", "noise_variances_"):
            if name in vars(self):
                delattr(self, name)
        weights, means = np.ones(1), np.empty((1, 0))
        if fitted is not None:
            weights, means = fitted.weights, fitted.means
        self.weights_ = np.array(weights)
        self.means_ = np.repeat(center[kept][None], weights.size, axis=0)
        self.means_[:, place] = means
        if self.n_factors is not None:
            self.loadings_ = np.zeros((kept.size, self.n_factors))
            self.noise_variances_ = np.zeros(kept.size)
            if isinstance(fitted, ConditionalFactors):
                self.loadings_[place] = fitted.loadings
                self.noise_variances_[place] = fitted.noise
        else:
            self._covariances = np.zeros((weights.size, kept.size, kept.size))
            if fitted is not None:
                self._covariances[:, place[:, None], place] = fitted.covariances

    def _publish_run(self, outcome: Outcome | None, total_weight: float) -> None:
        self.restarts_: tuple[Any, ...] = ()
        self.alpha_ = self.log_likelihood_ = self.lower_bound_ = 0.0
        self.n_iter_, self.converged_, self.history_ = 0, True, History().as_arrays()
        if outcome is not None:
            best = outcome.best
            self.restarts_ = outcome.restarts
            self.alpha_ = outcome.alpha
            self.n_iter_, self.history_ = best.n_iter, best.history.as_arrays()
            self.converged_ = best.converged
            self.lower_bound_ = best.objective / total_weight
            self.log_likelihood_ = best.objective - outcome.log_prior
        objectives = self.history_["objective"] / total_weight
        self.lower_bounds_ = [float(value) for value in objectives[1:]]

    # ---- warnings -----------------------------------------------------------------------

    def _notices_of_columns(self, empty: NDArray[np.bool_]) -> list[Notice]:
        if not empty.any() or self.keep_empty_features:
            return []
        labels = [column_label(self, int(i)) for i in np.flatnonzero(empty)]
        message = (
            f"Skipping features without any observed values: {', '.join(labels)}. They are "
            "not in the output; set keep_empty_features=True to keep them, filled with 0."
        )
        return [Notice("empty columns", UserWarning, message)]

    def _notices(self, outcome: Outcome, varying: NDArray[np.intp]) -> list[Notice]:
        notices: list[Notice] = []
        best = outcome.best
        if best.status is Status.MAX_ITER:
            remaining = best.history[-1].remaining if len(best.history) else np.inf
            left = ""
            if np.isfinite(remaining):
                left = f"; an estimated {remaining:.2g} nats are still to be gained"
            message = (
                f"EM did not converge in max_iter={self.max_iter} iterations{left}. Set a "
                "larger max_iter, or a larger tol if that accuracy is not needed."
            )
            notices.append(Notice("max_iter", ConvergenceWarning, message))
        elif best.status is Status.STALLED:
            message = (
                f"EM stopped at the limit of the arithmetic: {best.message}. Columns "
                "depend on each other almost exactly; a larger alpha helps."
            )
            notices.append(Notice("stalled", ConvergenceWarning, message))
        if outcome.never_together.size:
            first = [
                " and ".join(column_label(self, int(varying[i])) for i in pair)
                for pair in outcome.never_together[:5]
            ]
            more = len(outcome.never_together) - len(first)
            message = (
                "Columns that no row has both of: "
                + "; ".join(first)
                + (f"; and {more} more pairs" if more > 0 else "")
                + ". Their partial correlation cannot be estimated from these data; it follows "
                "from the prior, or with alpha=0 from the start."
            )
            notices.append(Notice("never together", UserWarning, message))
        return notices


def _print_iteration(n_iter: int, iteration: Iteration) -> None:
    print(
        f"iteration {n_iter}: objective {iteration.objective:.6f}, "
        f"gain {iteration.gain:.3g}, remaining {iteration.remaining:.3g}"
    )
