"""Fits models of numbers and categories: the part of the imputer for mixed tables."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from emlearn.data import column_label
from emlearn.distributions.gaussian.scaling import ColumnSummary, summarize_columns
from emlearn.engine import EMEstimator, EMResult, RemainingGain
from emlearn.engine.threads import blas_limited
from emlearn.impute._notice import Notice
from emlearn.impute._prior import PseudoRows
from emlearn.impute._published import PublishedModel
from emlearn.impute.mixed.candidates import (
    PLAN,
    PLAN_OF_AVERAGE,
    TOL_OF_AVERAGE,
    Candidate,
    FittedCandidate,
    averaged_candidates,
    fit_candidates,
    single_candidate,
)
from emlearn.impute.mixed.columns import TableKinds
from emlearn.impute.mixed.filling import AveragedModel
from emlearn.impute.mixed.model import MOST_COMBINATIONS, GeneralLocation, MixedData, MixedParams
from emlearn.impute.mixed.published import candidate_table, published

Array = NDArray[np.float64]
Floats = NDArray[np.floating]
Index = NDArray[np.intp]

# Standard deviations whose squares, and products of these, are ordinary numbers.
_SMALLEST_SCALE, _LARGEST_SCALE = 2.0**-505, 2.0**505

# Rows for each class that a model of an average needs at least.
_ROWS_OF_CLASS = 5


# Attributes that a single model publishes.
_PUBLISHED = ("weights_", "means_", "_covariances", "probabilities_", "coefficients_")


def _same(one: Any, other: Any) -> bool:
    """Whether two parameters are equal; a copy, as joblib makes, is no change."""
    if one is other:
        return True
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if one is None or other is None:
        return False
    return np.array_equal(one, other)


class MixedKnown(NamedTuple):
    """The fitted models, as `transform` uses them.

    Attributes
    ----------
    average : AveragedModel or None
        The models of the columns that vary; None if there are none.
    varying : ndarray of shape (n_varying,)
        These columns, among those of the output.
    constants : ndarray of shape (n_features_out,)
        What is put into the other columns.
    """

    average: AveragedModel | None
    varying: Index
    constants: Array


class MixedFitting(PublishedModel, EMEstimator):
    """Fits the general location model, or the average of several, and publishes them."""

    # The prior of one Gaussian, for fits to resamples.
    _pseudo_rows: PseudoRows | None
    # Chooses one of the models of an average, for imputations that are one draw each.
    _seed_of_candidate: int | None = None

    def _kinds(self) -> TableKinds:
        """Which columns of the table are codes of categories."""
        schema = self._schema
        if schema is None:
            none = np.zeros(self.n_features_in_, bool)
            return TableKinds(none, none)
        return TableKinds(schema.categorical & ~schema.ordered, schema.ordered)

    def _is_mixed(self) -> bool:
        """Whether the table is fitted by models of numbers and categories."""
        if self.model == "gaussian" or self.n_factors is not None:
            return False
        return bool(self.model != "auto" or self._kinds().categorical.any())

    def _averages(self) -> bool:
        """Whether a mixed table is fitted by several models."""
        return self.model == "average" or (self.model == "auto" and self.n_components == 1)

    def _convergence(self, dtype: Any) -> Any:
        if self.tol == "auto" and self._is_mixed() and self._averages():
            return RemainingGain(TOL_OF_AVERAGE)
        return super()._convergence(dtype)

    def _candidates(self, n_rows: int) -> list[Candidate]:
        if not self._averages():
            if n_rows < self.n_components:
                raise ValueError(
                    f"n_components={self.n_components}, but there are only {n_rows} rows. Use "
                    "fewer components."
                )
            return single_candidate(self.n_components, self.margins)
        found = averaged_candidates(self.margins)
        chosen = [c for c in found if c.n_classes <= max(1, n_rows // _ROWS_OF_CLASS)]
        if self._kinds().categorical.all():
            chosen = [c for c in chosen if c.margins == chosen[0].margins]
        if self._seed_of_candidate is not None:
            own = np.random.default_rng(self._seed_of_candidate).integers(len(chosen))
            chosen = [chosen[int(own)]]
        return chosen

    def _draw_candidate(self, seed: int) -> None:
        """Fit only one of the models of an average from now on, chosen at random."""
        self._seed_of_candidate = seed

    def _fit_mixed(self, rows: Floats, weight: Array | None) -> list[Notice]:
        """Fit to a table, publish the result, and return the warnings to issue."""
        table: Array = np.ascontiguousarray(rows, np.float64)
        weight = np.ones(len(table)) if weight is None else weight
        kinds = self._kinds()
        with blas_limited():
            columns = summarize_columns(table, weight)
            empty = columns.weight == 0.0
            keep = ~empty | (self.keep_empty_features & ~kinds.categorical)
            self._kept = np.flatnonzero(keep)
            varying = np.flatnonzero(~columns.constant & ~empty)
            self._refuse_unsquarable(columns, varying)
            self._publish_indicator(table)
            starts = self._mixed_starts(varying) if self.warm_start else {}
            fits: list[FittedCandidate] = []
            if varying.size:
                part = np.ascontiguousarray(table[:, varying])
                seen = ~np.isnan(part).all(axis=1)
                fits = fit_candidates(
                    part[seen],
                    weight[seen],
                    kinds.take(varying),
                    self._candidates(int(seen.sum())),
                    self._run_mixed,
                    strength=None if isinstance(self.alpha, str) else float(self.alpha),
                    starts=starts,
                )
            self._publish_mixed(fits, varying, columns.scaling.center)
            total = float(weight.sum())
            density = self._mixed_density(table[:, self._kept])
            self.log_likelihood_ = float(weight @ density)
        if not fits:
            self._publish_nothing()
        notices = self._notices_of_columns(~keep)
        notices += self._mixed_notices(fits)
        notices += self._notices_of_combinations(table, varying)
        return notices + self._notices_of_weight(len(table), total)

    def _refuse_unsquarable(self, columns: ColumnSummary, varying: Index) -> None:
        scale = columns.scaling.scale[varying]
        outside = np.flatnonzero((scale < _SMALLEST_SCALE) | (scale > _LARGEST_SCALE))
        if outside.size:
            column = int(varying[outside[0]])
            raise ValueError(
                f"The values of {column_label(self, column)} spread by about "
                f"{scale[outside[0]]:.0e}, whose square is out of range for double "
                "precision: measure it in other units."
            )

    def _run_mixed(self, model: GeneralLocation, data: MixedData, start: Any) -> EMResult:
        advice = "Use fewer components, or set a larger alpha."
        plan = None
        if start is None:
            plan = (PLAN_OF_AVERAGE if self._averages() else PLAN).times(self.n_init)
        return self._run_em(model, data, start=start, plan=plan, advice=advice).best

    def _mixed_starts(self, varying: Index) -> dict[Candidate, MixedParams]:
        """Parameters of an earlier fit to the same columns."""
        known = getattr(self, "_mixed", None)
        if known is None or known.average is None:
            return {}
        if not np.array_equal(self._previous_columns, varying):
            return {}
        kinds = self._kinds().categorical[varying]
        if not np.array_equal(np.flatnonzero(kinds), known.average.columns.categorical):
            return {}
        return dict(zip(self._fitted_candidates, known.average.models, strict=True))

    # ---- publishing ---------------------------------------------------------------------

    def _publish_mixed(self, fits: list[FittedCandidate], varying: Index, center: Array) -> None:
        for name in ("_covariances", "loadings_", "noise_variances_", "weights_", "means_"):
            self.__dict__.pop(name, None)
        for name in ("probabilities_", "coefficients_", "_pseudo_rows", "_determined"):
            self.__dict__.pop(name, None)
        kept = self._kept
        average = AveragedModel(tuple(fit.params for fit in fits)) if fits else None
        constants = np.where(np.isnan(center), 0.0, center)[kept]
        self._mixed = MixedKnown(average, np.searchsorted(kept, varying), constants)
        self._previous_columns = varying
        self._fitted_candidates = [fit.candidate for fit in fits]
        self._pseudo_rows = None
        keys = self._column_keys()[varying]
        levels = [self._levels_of(int(i)) for i in varying]
        self.models_ = tuple(published(fit, keys, levels) for fit in fits)
        self.candidates_ = candidate_table(fits)
        strengths = [fit.model.prior_of(fit.params.columns).strength for fit in fits]
        self.alpha_ = float(max(strengths, default=0.0))
        if len(fits) == 1:
            only = self.models_[0]
            self.weights_, self.means_ = only.weights, only.means
            self.probabilities_, self.coefficients_ = only.probabilities, only.coefficients
            self._covariances = only.covariances
        if fits:
            best = max(fits, key=lambda fit: fit.log_likelihood)
            self._publish_result(best.result, fits)

    def _publish_result(self, best: EMResult, fits: list[FittedCandidate]) -> None:
        self.converged_ = all(fit.result.converged for fit in fits)
        self.n_iter_ = max(fit.result.n_iter for fit in fits)
        total = fits[0].total_weight
        self.history_ = best.history.as_arrays()
        objectives = self.history_["objective"] / total
        self.lower_bounds_ = [float(value) for value in objectives[1:]]
        self.lower_bound_ = float(objectives[-1])

    def _column_keys(self) -> NDArray[np.object_]:
        """What dicts call the columns: names, or numbers without names."""
        names = getattr(self, "feature_names_in_", None)
        numbers = np.arange(self.n_features_in_).astype(object)
        return numbers if names is None else np.asarray(names, object)

    def _counts_of(self, column: int) -> tuple[int, ...]:
        return () if self._schema is None else self._schema.columns[column].counts

    def _levels_of(self, column: int) -> tuple[Any, ...] | None:
        return None if self._schema is None else self._schema.columns[column].levels

    # ---- conditional distributions ------------------------------------------------------

    def _known_mixed(self) -> MixedKnown:
        """The models; an error if published parameters were set."""
        only = self.models_[0] if len(self.models_) == 1 else None
        for name in _PUBLISHED:
            published = None if only is None else getattr(only, name.strip("_"))
            if not _same(vars(self).get(name), published):
                label = name.lstrip("_").rstrip("_") + "_"
                raise ValueError(
                    f"{label} of a model of numbers and categories cannot be set. Fit again."
                )
        return self._mixed

    def _mixed_density(self, rows: Array) -> Array:
        """Log-density of the columns of the output."""
        known = self._mixed
        if known.average is None:
            return np.zeros(len(rows))
        part = np.ascontiguousarray(rows[:, known.varying], np.float64)
        density = known.average.log_density(part)
        density[np.isnan(part).all(axis=1)] = 0.0
        return density

    # ---- warnings -----------------------------------------------------------------------

    def _mixed_notices(self, fits: list[FittedCandidate]) -> list[Notice]:
        """One warning of all models that did not converge; it tells about the first of them."""
        found = [self._unconverged(fit.result, "Increase alpha.") for fit in fits]
        messages = [message for message in found if message]
        if not messages:
            return []
        which = (
            f" This concerns {len(messages)} of the {len(fits)} models of the average: see "
            "candidates_."
        )
        message = messages[0] + (which if len(fits) > 1 else "")
        return [Notice("convergence", ConvergenceWarning, message)]

    def _notices_of_combinations(self, table: Array, varying: Index) -> list[Notice]:
        """A warning if rows have too many combinations of missing categories."""
        known = self._mixed
        if known.average is None:
            return []
        columns = known.average.columns
        part = table[:, varying]
        absent = np.isnan(part[:, columns.categorical])
        coupled = ~np.isnan(part[:, columns.numeric]).all(axis=1)
        size = absent @ np.log(np.diff(columns.offsets).astype(float))
        beyond = coupled & (size > np.log(MOST_COMBINATIONS) + 1e-9)
        if not beyond.any():
            return []
        often = columns.categorical[absent[beyond].any(axis=0)]
        labels = ", ".join(column_label(self, int(varying[i])) for i in often)
        message = (
            f"{int(beyond.sum())} rows lack so many categories that more than "
            f"{MOST_COMBINATIONS:.0f} combinations are possible ({labels}). For these rows the "
            "missing categories are taken to be independent given the class (mean field): "
            "log_likelihood_ is a lower bound, and their draws come from a short Gibbs chain. "
            "Leave out columns, or group rare levels."
        )
        return [Notice("combinations", UserWarning, message)]
