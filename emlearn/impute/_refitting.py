"""Fits of the imputer to resamples, as `emlearn.inference.bootstrap` asks for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.data import read_weight
from emlearn.distributions.gaussian.incomplete import ConditionalGaussians
from emlearn.distributions.gaussian.rotation import rotated_to
from emlearn.engine.threads import blas_limited
from emlearn.impute._base import ImputerFitting
from emlearn.impute._filling import Filling
from emlearn.impute._known import conditioning

Array = NDArray[np.float64]
Floats = NDArray[np.floating]


class Refitting(Filling, ImputerFitting):
    """Refits from the estimates, with the prior of the fit."""

    def _resampling_input(self, X: Any) -> Floats:
        """The table as numbers and codes, which is read only once."""
        return self._read_rows(X)

    def _refit(self, table: Floats, y: Any = None, sample_weight: Any = None) -> None:
        """Fit to such a table; the prior stays that of the last fit, also if it was chosen."""
        weight = read_weight(sample_weight, table.shape[0])
        self._fit_table(table, weight, getattr(self, "_pseudo_rows", None))

    def _draw_rows(self, n_rows: int, seed: int) -> Floats:
        """Rows drawn from the model, as numbers and codes; NaN in columns that it has not."""
        self.sample_posterior, self.random_state, self.bounds = True, seed, None
        rows = np.full((n_rows, self.n_features_in_), np.nan)
        mixed = hasattr(self, "_mixed")
        drawn = self._complete_mixed(rows) if mixed else self._complete_numbers(rows.copy())
        rows[:, self._kept] = drawn
        return rows

    def _published_parameters(self) -> dict[str, Array]:
        """Parameters by name, without underscores."""
        if hasattr(self, "models_"):
            raise ValueError(
                "The models of a table with categories start afresh in each resample, so their "
                "classes cannot be matched. Give a statistic of the fitted imputer, such as "
                "statistic=lambda imputer: imputer.transform(X).mean(axis=0)."
            )
        if hasattr(self, "loadings_"):
            return {
                "mean": self.mean_,
                "loadings": np.asarray(self.loadings_),
                "noise_variances": np.asarray(self.noise_variances_),
            }
        if len(self.weights_) == 1:
            return {"mean": self.mean_, "covariance": self.covariance_}
        return {
            "weights": np.asarray(self.weights_),
            "means": np.asarray(self.means_),
            "covariances": np.asarray(self.covariances_),
        }

    def _responsibilities(self, table: Floats) -> Array | None:
        """Responsibilities of the components for each row; None for a single one."""
        if hasattr(self, "models_") or len(self.weights_) == 1:
            return None
        known = self._known()
        if not isinstance(known.fitted, ConditionalGaussians):
            return None
        with conditioning(), blas_limited():
            joint = known.fitted.log_joint(self._keep(table)[:, known.varying])
            joint -= np.logaddexp.reduce(joint)
            responsibilities: Array = np.exp(joint).T
        return responsibilities

    def _permute_labels(self, order: NDArray[np.intp]) -> None:
        """Renumber the components: the new number i is the old number ``order[i]``."""
        self.weights_, self.means_ = self.weights_[order], self.means_[order]
        for name in ("_covariances", "loadings_", "noise_variances_"):
            if hasattr(self, name):
                setattr(self, name, getattr(self, name)[order])

    def _rotate_to(self, reference: Refitting) -> None:
        """Rotate the factors, which likelihood leaves free, to those of another fit."""
        if hasattr(self, "loadings_") and self.loadings_.shape == reference.loadings_.shape:
            self.loadings_ = rotated_to(self.loadings_, reference.loadings_)
