"""Fitting, and what fitting publishes: the part of the imputer that runs EM."""

from __future__ import annotations

from copy import copy
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import MissingIndicator

from emlearn._warnings import warn_user
from emlearn.data import check_marker, column_label, outweighed
from emlearn.data.blocks import RowBlocks
from emlearn.data.mixed import MixedTable, read_mixed
from emlearn.distributions import Gaussian
from emlearn.distributions.gaussian.rotation import canonical
from emlearn.distributions.gaussian.scaling import (
    ColumnScaling,
    ColumnSummary,
    summarize_columns,
    summarize_rows,
)
from emlearn.engine import EMResult, History, RacePlan, Status
from emlearn.engine.block_table import BlockTable, RowPart
from emlearn.engine.stepwise import Stream
from emlearn.engine.threads import blas_limited
from emlearn.impute._bounds import read_bounds
from emlearn.impute._determined import DeterminedEntries
from emlearn.impute._fitting import Conditional, Outcome, Settings, fit_model, stream_of
from emlearn.impute._mixed import MixedFitting
from emlearn.impute._notice import Notice
from emlearn.impute._prior import PseudoRows
from emlearn.latent.passes import TablePasses

Array = NDArray[np.float64]
Floats = NDArray[np.floating]


class ImputerFitting(MixedFitting):
    """Fits a model of incomplete rows to the columns that vary, and publishes it."""

    _stream: Stream | None
    _stream_columns: NDArray[np.intp]
    _waiting: RowPart | None

    def _fit(self, X: Any, sample_weight: Any) -> Floats:
        """Read the table, fit, and give the warnings of the fit."""
        table, weight = self._read(X, sample_weight, by_block=True)
        self._waiting = None
        for notice in self._fit_table(table, weight):
            warn_user(notice.message, notice.category)
        return table

    def _read(
        self,
        X: Any,
        sample_weight: Any = None,
        *,
        any_scale: bool = False,
        by_block: bool = False,
    ) -> tuple[Any, Any]:
        """Check the hyperparameters, and read the data."""
        found = super()._read(X, sample_weight, any_scale=any_scale, by_block=by_block)
        self._check_bounds()
        return found

    def _read_table(
        self,
        blocks: RowBlocks,
        sample_weight: Any = None,
        *,
        reset: bool = False,
        any_scale: bool = False,
    ) -> BlockTable:
        """Blocks of numbers; see `EMEstimator`."""
        if not reset:
            return super()._read_table(blocks, sample_weight, any_scale=any_scale)
        selected = not (_is_by_dtype(self.categorical_features) and self.ordinal_features is None)
        if self.model in ("classes", "average") or selected:
            raise ValueError(
                "A table with categories has to be in memory. Fit to some of the rows, or set "
                "model='auto', categorical_features='from_dtype' and ordinal_features=None to "
                "read blocks of numbers. `transform` takes blocks of any fitted table."
            )
        own = copy(self)
        own.categorical_features = None
        table = super(ImputerFitting, own)._read_table(
            blocks, sample_weight, reset=reset, any_scale=any_scale
        )
        self._take_columns_of(own)
        return table

    def _take_columns_of(self, other: ImputerFitting) -> None:
        """Take over what another estimator learned about the columns."""
        for name in ("n_features_in_", "feature_names_in_", "_schema"):
            self.__dict__.pop(name, None)
            if hasattr(other, name):
                setattr(self, name, getattr(other, name))

    def _read_rows(self, X: Any, *, reset: bool = False) -> Floats:
        found = self._encode(X, reset=reset)
        if reset:
            self._schema = found.schema
        table: Floats = found.table
        return table

    def _encode(self, X: Any, *, reset: bool = False) -> MixedTable:
        """Numbers, and codes of categories where the model takes them."""
        if reset:
            self._check_combinations()
        check_marker(self.missing_values, type(self).__name__)
        numbers_only = self.model == "gaussian" or self.n_factors is not None
        return read_mixed(
            self,
            X,
            reset=reset,
            schema=None if reset else self._schema,
            categorical_features=None if numbers_only else self.categorical_features,
            ordinal_features=None if numbers_only else self.ordinal_features,
            missing_values=self.missing_values,
            unseen=self.unseen,
        )

    def _check_combinations(self) -> None:
        """Refuse hyperparameters that contradict each other."""
        if self.model in ("classes", "average") and self.n_factors is not None:
            raise ValueError(f"model={self.model!r} has no factors: set n_factors=None.")
        if self.model == "average" and self.n_components > 1:
            raise ValueError(
                f"model='average' has models of 1 to 4 classes, so n_components="
                f"{self.n_components} says nothing. Set model='classes' for one model."
            )

    def _check_bounds(self) -> None:
        names = getattr(self, "feature_names_in_", None)
        bounds = read_bounds(self.bounds, self.n_features_in_, names)
        if bounds is None or self._schema is None:
            return
        for i, column in enumerate(self._schema.columns):
            low, high = bounds.low[i], bounds.high[i]
            if not (np.isfinite(low) or np.isfinite(high)):
                continue
            levels = column.levels or ()
            if column.inferred and all(low <= level <= high for level in levels):
                continue
            if column.levels is not None or column.clock is not None:
                held = "times" if column.clock is not None else "categories"
                advice = " Set categorical_features=None to take it as numbers."
                raise ValueError(
                    f"bounds: {column.label} holds {held}, which have no bounds."
                    + (advice if column.inferred else "")
                )

    def _fit_table(
        self, table: Any, weight: Array | None, pseudo_rows: PseudoRows | None = None
    ) -> list[Notice]:
        """Fit to an array or a `BlockTable`, publish the result, return the warnings to issue.

        The prior is that of `alpha`, unless `pseudo_rows` gives one.
        """
        if weight is not None and not weight.all():
            # A row of weight 0 stands for no rows, so nothing in it may matter.
            table, weight = table[weight > 0.0], weight[weight > 0.0]
        if self._is_mixed():
            return self._fit_mixed(table, weight)
        for name in ("models_", "candidates_", "_mixed", "probabilities_", "coefficients_"):
            self.__dict__.pop(name, None)
        if isinstance(table, BlockTable):
            total, n_rows = table.total_weight, table.n_used
        else:
            n_rows = table.shape[0]
            total = float(n_rows if weight is None else weight.sum())
        with blas_limited():
            columns = _summary(table, weight)
            empty = columns.weight == 0.0
            varying = np.flatnonzero(~columns.constant)
            self._refuse_unsquarable(columns, varying)
            outcome = None
            if varying.size:
                scaling = ColumnScaling(*(part[varying] for part in columns.scaling))
                X = _columns(table, varying)
                start = self._warm_start(varying) if self.warm_start else None
                known = None if pseudo_rows is None else pseudo_rows.within(varying)
                settings = Settings(
                    self.n_components,
                    self.n_factors,
                    self.alpha if known is None else known,
                    self.n_init,
                    self.accelerate,
                )
                run = partial(self._run, total)
                outcome = fit_model(X, weight, scaling, settings, run, start)
                if outcome.related and outcome.best.status is Status.STALLED:
                    # With an exact relation, the arithmetic reaches its limit first.
                    self.converged_ = True
        self._stream, self._stream_columns = None, varying
        if outcome is not None and outcome.fitted is not None and outcome.problem is not None:
            self._stream = stream_of(outcome.problem, outcome.best, scaling)
        self._publish_pseudo_rows(outcome, varying)
        self._kept = np.arange(empty.size) if self.keep_empty_features else np.flatnonzero(~empty)
        if pseudo_rows is None:
            relations = None if outcome is None else outcome.relations
            place = np.searchsorted(self._kept, varying)
            self._determined = relations and DeterminedEntries(relations, scaling, place)
        self._publish_indicator(table)
        fitted = None if outcome is None else outcome.fitted
        self._publish_parameters(columns.scaling.center, varying, fitted)
        self._publish_alpha(outcome)
        notices = self._notices_of_columns(empty)
        notices += self._notices_of_weight(n_rows, total)
        return notices if outcome is None else notices + self._notices(outcome, varying)

    def _run(self, total_weight: float, model: Any, data: Any, start: Any) -> EMResult:
        advice = "Use fewer components, or set a larger alpha."
        if self.alpha == 0:
            advice = (
                "There are too few rows for the number of columns, or columns depend on each "
                "other exactly. Use alpha='auto', or set a larger alpha, fewer components, or "
                "n_factors."
            )
        # Of these models, only mixtures usually have several optima.
        races = self.n_components > 1 and start is None
        plan = RacePlan().times(self.n_init) if races else None
        return self._run_em(
            model, data, start=start, plan=plan, total_weight=total_weight, advice=advice
        ).best

    def _seeds(self, n_starts: int) -> list[np.random.SeedSequence]:
        seeds = super()._seeds(n_starts)
        if self.n_components == 1 and not self._is_mixed():
            # One Gaussian usually has one optimum, and a user without a seed expects to find the
            # same one twice; only further starts are random.
            seeds[0] = np.random.SeedSequence(0)
        return seeds

    def _warm_start(self, varying: NDArray[np.intp]) -> Conditional | None:
        """Published parameters, if they fit the requested kind of model and the columns."""
        if not hasattr(self, "means_") or hasattr(self, "_mixed"):
            return None
        known = self._known()
        same_columns = np.array_equal(self._kept[known.varying], varying)
        if hasattr(self, "loadings_"):
            same_kind = self.loadings_.shape[-1] == self.n_factors
        else:
            same_kind = self.n_factors is None
        same_kind = same_kind and len(self.weights_) == self.n_components
        return known.fitted if same_kind and same_columns else None

    # ---- publishing ---------------------------------------------------------------------

    def _publish_indicator(self, table: Floats | BlockTable) -> None:
        self.indicator_ = None
        if self.add_indicator:
            if isinstance(table, BlockTable):
                # A row that lacks what any row lacks.
                lacking = table.total(_n_missing) > 0
                table = np.where(lacking, np.nan, 0.0)[None]
            # Its output is a part of ours, which set_output converts as a whole.
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
            first = () if self.n_components == 1 else (weights.size,)
            self.loadings_ = np.zeros((*first, kept.size, self.n_factors))
            self.noise_variances_ = np.zeros((*first, kept.size))
            if fitted is not None:
                self.loadings_[..., place, :] = canonical(fitted.loadings, fitted.noise)
                self.noise_variances_[..., place] = fitted.noise
        else:
            self._covariances = np.zeros((weights.size, kept.size, kept.size))
            if fitted is not None:
                self._covariances[:, place[:, None], place] = fitted.covariances

    def _publish_alpha(self, outcome: Outcome | None) -> None:
        if outcome is not None:
            self.alpha_ = outcome.alpha
            return
        self._publish_nothing()

    def _publish_nothing(self) -> None:
        """All columns are constant, so there is nothing to fit."""
        self.alpha_ = self.log_likelihood_ = self.lower_bound_ = 0.0
        self.n_iter_, self.converged_, self.history_ = 0, True, History().as_arrays()
        self.restarts_: tuple[Any, ...] = ()
        self.lower_bounds_: list[float] = []

    def _publish_pseudo_rows(self, outcome: Outcome | None, varying: NDArray[np.intp]) -> None:
        """Keep the prior of one Gaussian, for fits to resamples."""
        known = None if outcome is None else outcome.pseudo_rows
        self._pseudo_rows = None if known is None else known._replace(columns=varying)

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

    def _notices_of_weight(self, n_rows: int, total: float) -> list[Notice]:
        """A warning if pseudo-rows, which have weight 1, matter only because weights are small."""
        message = outweighed(n_rows, total, self.alpha_, "alpha_=", "set alpha=0")
        return [Notice("light", UserWarning, message)] if message else []

    def _notices(self, outcome: Outcome, varying: NDArray[np.intp]) -> list[Notice]:
        notices: list[Notice] = []
        advice = "Columns depend on each other almost exactly: increase alpha."
        unconverged = self._unconverged(outcome.best, advice)
        if unconverged and not self.converged_:
            notices.append(Notice("convergence", ConvergenceWarning, unconverged))
        notices += [Notice("unsound", ConvergenceWarning, message) for message in outcome.unsound]
        if outcome.never_together.size:
            first = [
                " and ".join(column_label(self, int(varying[i])) for i in pair)
                for pair in outcome.never_together[:5]
            ]
            more = len(outcome.never_together) - len(first)
            message = (
                "Columns that are never observed together: "
                + "; ".join(first)
                + (f"; and {more} more pairs" if more > 0 else "")
                + ". Their partial correlation cannot be estimated from these data; it depends on "
                "the prior or, with alpha=0, on the start."
            )
            notices.append(Notice("never together", UserWarning, message))
        return notices


def _is_by_dtype(categorical_features: Any) -> bool:
    by_dtype = isinstance(categorical_features, str) and categorical_features == "from_dtype"
    return categorical_features is None or by_dtype


def _summary(table: Floats | BlockTable, weight: Array | None) -> ColumnSummary:
    if isinstance(table, BlockTable):
        return summarize_rows(TablePasses(table, Gaussian(), 1.0))
    return summarize_columns(table, weight)


def _columns(table: Any, chosen: NDArray[np.intp]) -> Any:
    if isinstance(table, BlockTable):
        return table.columns(chosen)
    return table if chosen.size == table.shape[1] else table[:, chosen]


def _n_missing(part: RowPart) -> NDArray[np.intp]:
    """Number of missing entries of each column."""
    missing: NDArray[np.intp] = np.isnan(part.used.X).sum(axis=0)
    return missing
