"""From hyperparameters to a fitted model of the columns that vary."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.incomplete import (
    ColumnScaling,
    CovariancePrior,
    FactorParams,
    GaussianParams,
    IncompleteFactors,
    IncompleteGaussian,
    automatic_strength,
)
from emlearn.engine import EMResult, RemainingGain, find_accelerator, run_em, search
from emlearn.engine.loop import Callback
from emlearn.engine.threads import available_threads
from emlearn.impute._known import Fitted

Array = NDArray[np.float64]
Floats = NDArray[np.floating]
Model = IncompleteGaussian | IncompleteFactors

# Pseudo-rows of factor analysis, whose few parameters need no more to stay regular, and of
# each component of a mixture, where overall correlations say nothing about those within.
_ONE_ROW = 1.0


class Settings(NamedTuple):
    """Hyperparameters that say which model is fitted and how."""

    n_components: int
    n_factors: int | None
    alpha: Any
    tol: float
    max_iter: int
    n_init: int
    n_jobs: int | None
    accelerate: str | None
    callback: Callback | None


class Outcome(NamedTuple):
    """What a fit found.

    Attributes
    ----------
    fitted : Fitted
        The model; its parameters are None if every run failed.
    best : EMResult
        The run it comes from.
    restarts : tuple
        Records of all runs.
    alpha : float
        Pseudo-rows of the prior.
    never_together : ndarray of shape (n_pairs, 2)
        Pairs of columns that no row has both of.
    """

    fitted: Fitted
    best: EMResult
    restarts: tuple[Any, ...]
    alpha: float
    never_together: NDArray[np.intp]


def fit_model(
    X: Floats,
    sample_weight: Array | None,
    scaling: ColumnScaling,
    settings: Settings,
    entropy: int,
    start: Fitted | None,
) -> Outcome:
    """Fit the model that the settings ask for, from `start` if there is one."""
    model, data, never = _prepare(X, sample_weight, scaling, settings)
    convergence = RemainingGain(settings.tol)
    accelerator = find_accelerator(settings.accelerate)
    if start is not None:
        best = run_em(
            model,
            data,
            _translate(start, scaling),
            convergence=convergence,
            max_iter=settings.max_iter,
            accelerator=accelerator,
            callback=settings.callback,
            n_threads=available_threads(),
        )
        restarts: tuple[Any, ...] = ()
    else:
        found = search(
            model,
            data,
            seeds=_seeds(settings, entropy),
            convergence=convergence,
            max_iter=settings.max_iter,
            accelerator=accelerator,
            callback=settings.callback,
            n_jobs=settings.n_jobs,
        )
        best, restarts = found.best, found.restarts
    alpha = 0.0 if model.prior is None else model.prior.strength
    return Outcome(Fitted(model, best.params, scaling), best, restarts, alpha, never)


def _prepare(
    X: Floats, sample_weight: Array | None, scaling: ColumnScaling, settings: Settings
) -> tuple[Model, Any, NDArray[np.intp]]:
    if settings.n_factors is not None:
        factors = IncompleteFactors(settings.n_factors)
        prepared = factors.prepare(X, sample_weight, scaling)
        strength = _strength(settings.alpha, _ONE_ROW)
        if strength > 0.0:
            square = np.sum([b.weight @ (b.rows * b.rows) for b in prepared.blocks], axis=0)
            seen = np.sum([b.weight @ b.seen for b in prepared.blocks], axis=0)
            factors = replace(factors, prior=CovariancePrior(strength, square / seen))
        return factors, prepared, np.empty((0, 2), dtype=np.intp)
    model = IncompleteGaussian(settings.n_components)
    data = model.prepare(X, sample_weight, scaling)
    available = data.available
    single = settings.n_components == 1
    strength = _strength(settings.alpha, automatic_strength(available) if single else _ONE_ROW)
    if strength > 0.0:
        share = settings.n_components ** (-2.0 / X.shape[1])
        model = replace(model, prior=CovariancePrior(strength, available.variance * share))
    never = np.argwhere(np.triu(available.pair_weight == 0.0, 1))
    return model, data, never


def _strength(alpha: Any, automatic: float) -> float:
    return automatic if isinstance(alpha, str) else float(alpha)


def _seeds(settings: Settings, entropy: int) -> list[np.random.SeedSequence]:
    seeds = np.random.SeedSequence(entropy).spawn(settings.n_init)
    if settings.n_components == 1:
        # One Gaussian has one optimum as a rule, and a user who gave no seed expects to
        # find the same one twice; only further starts are random.
        seeds[0] = np.random.SeedSequence(0)
    return seeds


def _translate(start: Fitted, scaling: ColumnScaling) -> Any:
    """Parameters of an earlier fit in the units of this one."""
    factor = start.scaling.scale / scaling.scale
    shift = (start.scaling.center - scaling.center) / scaling.scale
    params = start.params
    if isinstance(params, FactorParams):
        return FactorParams(
            params.mean * factor + shift,
            params.loadings * factor[:, None],
            params.noise * factor**2,
        )
    return GaussianParams(
        params.weights,
        params.means * factor + shift,
        params.covariances * factor[:, None] * factor,
    )
