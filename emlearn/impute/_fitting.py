"""From hyperparameters to a fitted model of the columns that vary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.incomplete import (
    ConditionalFactors,
    ConditionalGaussians,
    FactorAnalysis,
    FactorParams,
    automatic_strength,
)
from emlearn.distributions.gaussian.incomplete.available import AvailableMoments
from emlearn.distributions.gaussian.prior import CovariancePrior
from emlearn.distributions.gaussian.scaling import ColumnScaling
from emlearn.distributions.gaussian.single import MeanCovariance, OneGaussian
from emlearn.engine import EMResult
from emlearn.impute._mixture import mixture_model
from emlearn.latent import LabelParams, MixtureParams, Observations

Array = NDArray[np.float64]
Floats = NDArray[np.floating]
Conditional = ConditionalGaussians | ConditionalFactors

# Pseudo-rows of factor analysis, whose few parameters need no more to stay regular, and of
# each component of a mixture, where overall correlations say nothing about those within.
_ONE_ROW = 1.0


# From a model, its data and parameters to start from (or None) to the best run of EM.
Run = Callable[[Any, Any, Any], EMResult]


class Settings(NamedTuple):
    """Hyperparameters that say which model is fitted."""

    n_components: int
    n_factors: int | None
    alpha: Any


class Outcome(NamedTuple):
    """What a fit found.

    Attributes
    ----------
    fitted : ConditionalGaussians, ConditionalFactors or None
        The model; None if every run failed.
    best : EMResult
        The run it comes from.
    alpha : float
        Pseudo-rows of the prior.
    log_prior : float
        Log-density of the prior.
    never_together : ndarray of shape (n_pairs, 2)
        Pairs of columns that no row has both of.
    """

    fitted: Conditional | None
    best: EMResult
    alpha: float
    log_prior: float
    never_together: NDArray[np.intp]


class Problem(NamedTuple):
    """A model, its data, and the way from and to parameters in the units of the data.

    Attributes
    ----------
    model, data : object
        The model, and what it made of the rows.
    alpha : float
        Pseudo-rows of the prior.
    never_together : ndarray of shape (n_pairs, 2)
        Pairs of columns that no row has both of.
    enter : callable
        Parameters of the model from the result of an earlier fit.
    leave : callable
        The result from parameters of the model.
    """

    model: Any
    data: Any
    alpha: float
    never_together: NDArray[np.intp]
    enter: Callable[[Any], Any]
    leave: Callable[[Any], Conditional]


def fit_model(
    X: Floats,
    sample_weight: Array | None,
    scaling: ColumnScaling,
    settings: Settings,
    run: Run,
    start: Conditional | None = None,
) -> Outcome:
    """Fit the model that the settings ask for, from `start` if there is one."""
    kind = _one_gaussian if settings.n_components == 1 else _mixture
    kind = kind if settings.n_factors is None else _factor_analysis
    model, data, alpha, never, enter, leave = kind(X, sample_weight, scaling, settings)
    best = run(model, data, None if start is None else enter(start))
    if best.params is None or not best.status.usable:
        return Outcome(None, best, alpha, 0.0, never)
    log_prior = model.log_prior(best.params)
    return Outcome(leave(best.params), best, alpha, log_prior, never)


def _one_gaussian(
    X: Floats, sample_weight: Array | None, scaling: ColumnScaling, settings: Settings
) -> Problem:
    model = OneGaussian()
    data = model.prepare(X, sample_weight, scaling)
    available = data.available
    strength = _strength(settings.alpha, automatic_strength(available))
    if strength > 0.0:
        model = OneGaussian(CovariancePrior(strength, available.variance))

    def enter(start: Any) -> MeanCovariance:
        covariance = start.covariances[0] / scaling.scale[:, None] / scaling.scale
        return MeanCovariance(scaling.to_scaled(start.means[0]), covariance)

    def leave(params: MeanCovariance) -> Conditional:
        mean, covariance = params
        return ConditionalGaussians.at(np.ones(1), mean[None], covariance[None], scaling)

    return Problem(model, data, strength, _never_together(available), enter, leave)


def _mixture(
    X: Floats, sample_weight: Array | None, scaling: ColumnScaling, settings: Settings
) -> Problem:
    observed = ~np.isnan(X).all(axis=1)
    if not observed.all():
        X, sample_weight = X[observed], None if sample_weight is None else sample_weight[observed]
    available = OneGaussian().prepare(X, sample_weight, scaling).available
    strength = _strength(settings.alpha, _ONE_ROW)
    model = mixture_model(settings.n_components, strength, available)
    data = model.prepare(Observations(np.asarray(X, np.float64)), sample_weight)
    spec = data.column_spec

    def enter(start: Any) -> LabelParams:
        public = {"mean": start.means, "covariance": start.covariances}
        components = model.family.from_public(public, spec)
        return LabelParams(MixtureParams(start.weights), components, spec)

    def leave(params: LabelParams) -> Conditional:
        mean, covariance, _ = params.components
        return ConditionalGaussians.at(params.law.weights, mean, covariance, spec.scaling)

    return Problem(model, data, strength, _never_together(available), enter, leave)


def _factor_analysis(
    X: Floats, sample_weight: Array | None, scaling: ColumnScaling, settings: Settings
) -> Problem:
    model = FactorAnalysis(settings.n_factors or 0)
    data = model.prepare(X, sample_weight, scaling)
    strength = _strength(settings.alpha, _ONE_ROW)
    if strength > 0.0:
        square = np.sum([b.weight @ (b.rows * b.rows) for b in data.blocks], axis=0)
        seen = np.sum([b.weight @ b.seen for b in data.blocks], axis=0)
        model = replace(model, prior=CovariancePrior(strength, square / seen))

    def enter(start: Any) -> FactorParams:
        scale = scaling.scale
        loadings, noise = start.loadings / scale[:, None], start.noise / scale / scale
        return FactorParams(scaling.to_scaled(start.means[0]), loadings, noise)

    def leave(params: FactorParams) -> Conditional:
        return ConditionalFactors.at(params, scaling)

    return Problem(model, data, strength, np.empty((0, 2), np.intp), enter, leave)


def _never_together(available: AvailableMoments) -> NDArray[np.intp]:
    return np.argwhere(np.triu(available.pair_weight == 0.0, 1))


def _strength(alpha: Any, automatic: float) -> float:
    return automatic if isinstance(alpha, str) else float(alpha)
