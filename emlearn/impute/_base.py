"""Fitting, and what fitting publishes: the part of the imputer that runs EM."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import MissingIndicator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from emlearn._compat import validate_params
from emlearn.data import check_marker, column_label, read_table, read_weight
from emlearn.distributions.gaussian.incomplete import (
    ColumnSummary,
    FactorParams,
    Frame,
    IncompleteFactors,
    summarize_columns,
)
from emlearn.engine import History, Iteration, Status
from emlearn.engine.threads import blas_limited
from emlearn.impute._bounds import read_bounds
from emlearn.impute._fitting import Fitted, Outcome, Settings, fit_model

Array = NDArray[np.float64]
Floats = NDArray[np.floating]


class FittedByEM(BaseEstimator):
    """Fits an incomplete-data model to the columns that vary and publishes it."""

    def _read_and_fit(self, X: Any, sample_weight: Any) -> Floats:
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
        start = self._warm_parameters() if self.warm_start else None
        with blas_limited():
            columns = summarize_columns(table, weight)
            self._note_columns(columns)
            self._fit_indicator(table)
            self._fit_varying(table, weight, columns, start)
        return table

    def _read_table(self, X: Any, *, reset: bool) -> Floats:
        table: Floats = read_table(
            self, X, reset=reset, missing_values=self.missing_values, copy=True
        )
        return table

    def _note_columns(self, columns: ColumnSummary) -> None:
        """Which columns vary, which are constant, which are empty."""
        self._empty = columns.weight == 0.0
        self._varying = np.flatnonzero(~columns.constant)
        self._constants = columns.frame.centre
        if self._empty.any() and not self.keep_empty_features:
            labels = [column_label(self, int(i)) for i in np.flatnonzero(self._empty)]
            warnings.warn(
                f"Skipping features without any observed values: {', '.join(labels)}. They are "
                "not in the output; set keep_empty_features=True to keep them, filled with 0.",
                UserWarning,
                stacklevel=4,
            )

    def _fit_indicator(self, table: Floats) -> None:
        self.indicator_ = None
        if self.add_indicator:
            # Its output is a part of ours, which set_output makes a frame of.
            indicator = MissingIndicator(error_on_new=False).set_output(transform="default")
            self.indicator_ = indicator.fit(table)

    def _fit_varying(
        self, table: Floats, weight: Array | None, columns: ColumnSummary, start: Fitted | None
    ) -> None:
        varying = self._varying
        entropy = int(check_random_state(self.random_state).randint(2**31 - 1))
        self._fitted: Fitted | None = None
        if varying.size == 0:
            self.n_iter_, self.converged_, self.history_ = 0, True, History().as_arrays()
            self.log_likelihood_ = self.objective_ = self.prior_strength_ = 0.0
            self.restarts_: tuple[Any, ...] = ()
        else:
            frame = Frame(*(part[varying] for part in columns.frame))
            X = table if varying.size == table.shape[1] else table[:, varying]
            if start is not None and start.frame.scale.size != varying.size:
                start = None
            outcome = fit_model(X, weight, frame, self._settings(), entropy, start)
            self._publish(outcome)
        self._publish_moments()

    def _settings(self) -> Settings:
        return Settings(
            self.n_components,
            self.n_factors,
            self.prior,
            self.tol,
            self.max_iter,
            self.n_init,
            self.n_jobs,
            self.accelerate,
            _print_iteration if self.verbose else None,
        )

    def _warm_parameters(self) -> Fitted | None:
        """Parameters of the fit before, if they are of the kind now asked for."""
        fitted: Fitted | None = getattr(self, "_fitted", None)
        if fitted is None:
            return None
        if isinstance(fitted.model, IncompleteFactors):
            same = fitted.model.n_factors == self.n_factors
        else:
            same = self.n_factors is None and fitted.model.n_components == self.n_components
        return fitted if same else None

    def _publish(self, outcome: Outcome) -> None:
        best = outcome.best
        if best.params is None or not best.status.usable:
            raise ValueError(
                f"The model cannot be fitted: {best.message}. There are too few rows for the "
                "number of columns, or columns depend on each other exactly; keep prior='auto', "
                "or set a larger prior, fewer components, or n_factors."
            )
        self._fitted = outcome.fitted
        self.restarts_ = outcome.restarts
        self.prior_strength_ = outcome.strength
        self.n_iter_, self.history_ = best.n_iter, best.history.as_arrays()
        self.converged_ = best.converged
        self.objective_ = best.objective
        self.log_likelihood_ = best.objective - outcome.fitted.model.log_prior(best.params)
        self._warn(outcome)

    def _warn(self, outcome: Outcome) -> None:
        if outcome.best.status is Status.MAX_ITER:
            warnings.warn(
                f"EM did not converge in max_iter={self.max_iter} iterations; an estimated "
                f"{outcome.best.history[-1].remaining:.2g} nats are still to be gained. Set a "
                f"larger max_iter, or a larger tol if that is little to you.",
                ConvergenceWarning,
                stacklevel=6,
            )
        elif outcome.best.status is Status.STALLED:
            warnings.warn(
                f"EM stopped at the limit of the arithmetic: {outcome.best.message}. Columns "
                "depend on each other almost exactly; a larger prior helps.",
                ConvergenceWarning,
                stacklevel=6,
            )
        if outcome.never_together.size:
            first = [
                " and ".join(column_label(self, int(self._varying[i])) for i in pair)
                for pair in outcome.never_together[:5]
            ]
            more = len(outcome.never_together) - len(first)
            warnings.warn(
                "Columns that no row has both of: "
                + "; ".join(first)
                + (f"; and {more} more pairs" if more > 0 else "")
                + ". Their partial correlation cannot be learnt from these data; it follows "
                "from the prior, or without one from the start.",
                UserWarning,
                stacklevel=6,
            )

    def _publish_moments(self) -> None:
        """Means over the columns of the output; covariances are computed when asked for."""
        kept = self._kept_columns()
        centre = self._constants[kept]
        if self._fitted is None:
            self.weights_ = np.ones(1)
            self.means_ = centre[None].copy()
        else:
            place = np.searchsorted(kept, self._varying)
            weights, means = self._fitted.mixture()
            self.weights_ = weights
            self.means_ = np.repeat(centre[None], weights.size, axis=0)
            self.means_[:, place] = means
            if isinstance(self._fitted.params, FactorParams):
                scale = self._fitted.frame.scale
                loadings = self._fitted.params.loadings
                self.loadings_ = np.zeros((kept.size, loadings.shape[1]))
                self.loadings_[place] = loadings * scale[:, None]
                self.noise_variances_ = np.zeros(kept.size)
                self.noise_variances_[place] = self._fitted.params.noise * scale * scale
        self.mean_ = self.weights_ @ self.means_

    def _kept_columns(self) -> NDArray[np.intp]:
        """Columns of the input that the output has."""
        n_columns = self._empty.size
        return np.arange(n_columns) if self.keep_empty_features else np.flatnonzero(~self._empty)

    @property
    def covariances_(self) -> Array:
        """Covariances of the components, (n_components, n_features_out, n_features_out)."""
        check_is_fitted(self, "means_")
        kept = self._kept_columns()
        covariances = np.zeros((self.weights_.size, kept.size, kept.size))
        if self._fitted is not None:
            place = np.searchsorted(kept, self._varying)
            covariances[:, place[:, None], place] = self._fitted.covariances()
        return covariances

    @property
    def covariance_(self) -> Array:
        """Covariance of the model, of shape (n_features_out, n_features_out)."""
        covariances = self.covariances_
        shift = self.means_ - self.mean_
        between = np.einsum("k,ki,kj->ij", self.weights_, shift, shift)
        overall: Array = np.einsum("k,kij->ij", self.weights_, covariances) + between
        return overall


def _print_iteration(n_iter: int, iteration: Iteration) -> None:
    print(
        f"iteration {n_iter}: objective {iteration.objective:.6f}, "
        f"gain {iteration.gain:.3g}, remaining {iteration.remaining:.3g}"
    )
