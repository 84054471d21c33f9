"""Imputations from fits to resamples of the rows."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from emlearn.data.resampling import check_copies, resampled_copies
from emlearn.impute._imputer import MissingDataImputerEM
from emlearn.impute._notice import Notice
from emlearn.impute._prior import PseudoRows, next_to_none

Array = NDArray[np.float64]
Draw = tuple[Any, list[Notice]]

# How often a resample that lacks all values of a column is drawn again.
_RESAMPLES = 100
# How often a resample is drawn again if the fit to it fails.
_REDRAWS = 20
# With a smaller eigenvalue of the correlations, a fit has no meaningful optimum.
_SINGULAR = 1e-10

_SINGULAR_NOTICE = Notice(
    "singular",
    ConvergenceWarning,
    "the resample has no maximum of the likelihood, or one at a nearly singular covariance: its "
    "draws follow relations between columns that a few rows happen to obey. Use alpha='auto', or "
    "set a larger alpha.",
)


class Bootstrap(NamedTuple):
    """Fits the model to resamples, and draws the missing entries from each fit.

    Attributes
    ----------
    full : MissingDataImputerEM
        The imputer, fitted to all rows.
    X : array-like or DataFrame
        The table.
    table : ndarray of shape (n_samples, n_features)
        The table as the imputer reads it.
    weight : ndarray of shape (n_samples,) or None
        Numbers of copies of the rows.
    n_jobs : int or None
        Number of imputations made at the same time.
    """

    full: MissingDataImputerEM
    X: Any
    table: Any
    weight: Array | None
    n_jobs: int | None

    def draws(self, seeds: list[np.random.SeedSequence]) -> Iterator[Draw]:
        """Imputations, and the warnings of their fits."""
        prior = prior_of_draws(self.full)
        step = 2 * effective_n_jobs(self.n_jobs)
        if step == 2:
            for seed in seeds:
                yield self._draw(prior, seed)
            return
        for start in range(0, len(seeds), step):
            yield from Parallel(n_jobs=self.n_jobs, prefer="threads")(
                delayed(self._draw)(prior, seed) for seed in seeds[start : start + step]
            )

    def _draw(self, prior: PseudoRows | None, seed: np.random.SeedSequence) -> Draw:
        """One imputation; resamples whose fits fail are replaced."""
        rng = np.random.default_rng(seed)
        missing = np.isnan(self.table)
        failures: list[Notice] = []
        while True:
            resample = _resample(missing, self.weight, rng)
            draw_seed = int(rng.integers(2**31 - 1))
            try:
                imputed, notices = self._fit_and_draw(prior, resample, draw_seed)
            except ValueError as error:
                if len(failures) == _REDRAWS:
                    raise ValueError(
                        f"The fits to {_REDRAWS + 1} resamples of the rows in a row failed: {error}"
                    ) from error
                failures.append(Notice("failed", ConvergenceWarning, _failed(error)))
            else:
                return imputed, notices + failures

    def _fit_and_draw(self, prior: PseudoRows | None, resample: Array, draw_seed: int) -> Draw:
        if self.full.alpha != 0:
            return self._complete(prior, resample, draw_seed)[:2]
        try:
            imputed, notices, singular = self._complete(None, resample, draw_seed)
        except ValueError:
            # Without a prior, most fits to resamples may fail; these need one.
            weakest = next_to_none(self.table)
            imputed, notices, singular = *self._complete(weakest, resample, draw_seed)[:2], True
        if singular:
            notices = [n for n in notices if n.category is not ConvergenceWarning]
            notices.append(_SINGULAR_NOTICE)
        return imputed, notices

    def _complete(
        self, prior: PseudoRows | None, resample: Array, draw_seed: int
    ) -> tuple[Any, list[Notice], bool]:
        imputer = copy.deepcopy(self.full)
        # EM is fast from the optimum of all rows, and a mixture stays at the same optimum.
        imputer.set_params(warm_start=True, sample_posterior=True, random_state=draw_seed)
        imputer._draw_candidate(draw_seed)
        notices = imputer._fit_table(self.table, resample, prior)
        return imputer.transform(self.X), notices, _nearly_singular(imputer)


def prior_of_draws(full: MissingDataImputerEM) -> PseudoRows | None:
    """The prior of all draws: that of the fit or, if it was chosen for prediction, a weaker one."""
    prior: PseudoRows | None = full._pseudo_rows
    if prior is not None and isinstance(full.alpha, str):
        return prior.for_draws()
    return prior


def _failed(error: ValueError) -> str:
    return f"the fit to a resample failed, and the rows were resampled again ({error})"


def _nearly_singular(imputer: MissingDataImputerEM) -> bool:
    """Whether some correlations of columns that vary are singular, or nearly so."""
    if hasattr(imputer, "models_"):
        return False
    for covariance in imputer.covariances_:
        varying = np.diagonal(covariance) > 0.0
        matrix = covariance[np.ix_(varying, varying)]
        scale = np.sqrt(np.diagonal(matrix))
        correlation = matrix / scale[:, None] / scale
        if scale.size and np.linalg.eigvalsh(correlation)[0] < _SINGULAR:
            return True
    return False


def _resample(missing: NDArray[np.bool_], copies: Array | None, rng: np.random.Generator) -> Array:
    """How often each row is drawn; each column keeps at least one observed value."""
    n_rows = missing.shape[0]
    rows = np.ones(n_rows, bool) if copies is None else copies > 0.0
    empty = missing[rows].all(axis=0)
    check_copies(copies)
    for _ in range(_RESAMPLES):
        weight = resampled_copies(n_rows, copies, rng)
        if (empty | ((weight > 0.0) @ ~missing > 0)).all():
            return weight
    raise ValueError(
        "A column has so few observed values that resamples of the rows lose all of them; "
        "leave it out, or collect more rows."
    )
