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
)
from emlearn.distributions.gaussian.incomplete.relations import LinearRelations
from emlearn.distributions.gaussian.incomplete.strength import common_rows
from emlearn.distributions.gaussian.incomplete.table import pair_weights, prepare_table
from emlearn.distributions.gaussian.prior import CovariancePrior
from emlearn.distributions.gaussian.scaling import ColumnScaling
from emlearn.distributions.gaussian.single import MeanCovariance, OneGaussian
from emlearn.distributions.gaussian.structures import find_structure
from emlearn.engine import EMResult
from emlearn.engine.block_table import BlockTable
from emlearn.engine.blockwise import BlockwiseModel, read_blockwise
from emlearn.engine.stepwise import Stream
from emlearn.impute._mixture import mixture_model
from emlearn.impute._prior import PriorChoice, PseudoRows, choose_prior, pseudo_rows_of_clusters
from emlearn.latent import LabelParams, MixtureParams, Observations
from emlearn.latent.preparing import prepare
from emlearn.latent.starts import STARTS

Array = NDArray[np.float64]
Floats = NDArray[np.floating]
Conditional = ConditionalGaussians | ConditionalFactors

_FULL = find_structure("full", None)
# Pseudo-rows of a factor analysis, whose few parameters need no more to stay regular, and of each
# component of a mixture: overall correlations say nothing about those within components.
_ONE_ROW = 1.0


# From a model, its data and parameters to start from (or None) to the best run of EM.
Run = Callable[[Any, Any, Any], EMResult]


class Settings(NamedTuple):
    """Hyperparameters that determine which model is fitted, and where the fit starts.

    `alpha` can be `PseudoRows`: a known prior.
    """

    n_components: int
    n_factors: int | None
    alpha: Any
    n_init: int = 1
    accelerate: str | None = "auto"


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
        Pairs of columns that are not observed together in any row.
    pseudo_rows : PseudoRows or None
        The prior of one Gaussian, unless it has none.
    related : bool
        Whether the prior obeys exact relations of the columns.
    unsound : list of str
        What is not sound about the parameters.
    relations : LinearRelations or None
        These relations, if they were looked for.
    problem : Problem, default=None
        What was fitted.
    """

    fitted: Conditional | None
    best: EMResult
    alpha: float
    log_prior: float
    never_together: NDArray[np.intp]
    pseudo_rows: PseudoRows | None
    related: bool
    unsound: list[str]
    relations: LinearRelations | None
    problem: Problem | None = None


class Problem(NamedTuple):
    """A model, its data, and conversions from and to parameters in the units of the data.

    Attributes
    ----------
    model, data : object
        The model, and the rows as it prepared them.
    alpha : float
        Pseudo-rows of the prior.
    never_together : ndarray of shape (n_pairs, 2)
        Pairs of columns that are not observed together in any row.
    enter : callable
        Parameters of the model from the result of an earlier fit.
    leave : callable
        The result from parameters of the model.
    start : object, default=None
        Where a single run starts; None leaves it to the model.
    pseudo_rows : PseudoRows, default=None
        The prior of one Gaussian, unless it has none.
    related : bool, default=False
        Whether the prior obeys exact relations of the columns.
    relations : LinearRelations, default=None
        These relations, if they were looked for.
    """

    model: Any
    data: Any
    alpha: float
    never_together: NDArray[np.intp]
    enter: Callable[[Any], Any]
    leave: Callable[[Any], Conditional]
    start: Any = None
    pseudo_rows: PseudoRows | None = None
    related: bool = False
    relations: LinearRelations | None = None


def fit_model(
    X: Floats | BlockTable,
    sample_weight: Array | None,
    scaling: ColumnScaling,
    settings: Settings,
    run: Run,
    start: Conditional | None = None,
) -> Outcome:
    """Fit the model that the settings ask for, from `start` if there is one."""
    problem = problem_of(X, sample_weight, scaling, settings)
    if start is not None:
        begin = problem.enter(start)
    else:
        begin = problem.start if settings.n_init == 1 else None
    best = run(problem.model, problem.data, begin)
    fitted, log_prior, unsound = None, 0.0, []
    if best.params is not None and best.status.usable:
        fitted = problem.leave(best.params)
        log_prior = problem.model.log_prior(best.params)
        unsound = problem.model.unsound(best.statistics, best.params)
    return Outcome(
        fitted,
        best,
        problem.alpha,
        log_prior,
        problem.never_together,
        problem.pseudo_rows,
        problem.related,
        unsound,
        problem.relations,
        problem,
    )


def problem_of(
    X: Floats | BlockTable, sample_weight: Array | None, scaling: ColumnScaling, settings: Settings
) -> Problem:
    """The model that the settings ask for, and its data."""
    single = _one_gaussian if settings.n_factors is None else _factor_analysis
    kind = single if settings.n_components == 1 else _mixture
    return kind(X, sample_weight, scaling, settings)


def _one_gaussian(
    X: Floats | BlockTable, sample_weight: Array | None, scaling: ColumnScaling, settings: Settings
) -> Problem:
    large = X if isinstance(X, BlockTable) else None
    if large is not None:
        # The prior is chosen on the sample.
        X, sample_weight = large.sample[:2]
    assert isinstance(X, np.ndarray)
    data: Any = OneGaussian().prepare(X, sample_weight, scaling)
    alpha = settings.alpha
    if isinstance(alpha, PseudoRows):
        choice = PriorChoice(alpha.prior(scaling), None)
    else:
        choice = choose_prior(X, sample_weight, data, alpha, settings.accelerate)
    prior, begin, relations = choice
    pair_weight = data.available.pair_weight
    model: Any = OneGaussian(prior)
    if large is not None:
        prior = _for_all_rows(prior, large.total_weight / data.weight)
        model, data = prepare_table(OneGaussian(prior), large, scaling)
        pair_weight = pair_weights(large)
    pseudo_rows = None
    if prior.strength > 0.0:
        columns, pairs = np.arange(scaling.center.size), common_rows(pair_weight)
        pseudo_rows = PseudoRows.of(prior, scaling, columns, pairs)

    def enter(start: Any) -> MeanCovariance:
        covariance = start.covariances[0] / scaling.scale[:, None] / scaling.scale
        return MeanCovariance(scaling.to_scaled(start.means[0]), covariance)

    def leave(params: MeanCovariance) -> Conditional:
        return fitted_at(params, scaling)

    return Problem(
        model,
        data,
        prior.strength,
        _never_together(pair_weight),
        enter,
        leave,
        begin,
        pseudo_rows,
        prior.constant is not None,
        relations,
    )


def _mixture(
    X: Floats | BlockTable, sample_weight: Array | None, scaling: ColumnScaling, settings: Settings
) -> Problem:
    large = X if isinstance(X, BlockTable) else None
    if large is not None:
        X, sample_weight = large.sample[:2]
    assert isinstance(X, np.ndarray)
    observed = ~np.isnan(X).all(axis=1)
    if not observed.all():
        X, sample_weight = X[observed], None if sample_weight is None else sample_weight[observed]
    K = settings.n_components
    if len(X) < K:
        raise ValueError(
            f"n_components={K}, but only {len(X)} rows have observed entries in columns that "
            "vary. Use fewer components."
        )
    one = OneGaussian().prepare(X, sample_weight, scaling)
    available = one.available
    strength = _strength(settings.alpha, _ONE_ROW)
    # Noise of its own keeps each column from obeying an exact relation.
    looks = strength if settings.n_factors is None else 0.0
    shape = pseudo_rows_of_clusters(X, one, looks, K, settings.accelerate)
    model = mixture_model(K, strength, shape, settings.n_factors)
    structure = find_structure(
        "full" if settings.n_factors is None else "factor", settings.n_factors
    )
    pair_weight = available.pair_weight
    if large is None:
        rows = Observations(np.asarray(X, np.float64))
    else:
        rows, pair_weight = Observations(large), pair_weights(large)
    whole, data, spec = prepare(model, rows, sample_weight)

    def enter(start: Any) -> LabelParams:
        public = {"mean": start.means, "covariance": start.covariances}
        if start.factors:
            public |= {"loadings": start.loadings, "noise_variance": start.noise}
        components = model.family.from_public(public, spec)
        return LabelParams(MixtureParams(start.weights), components, spec)

    def leave(params: LabelParams) -> Conditional:
        found, own = fitted_at(params, spec, structure), params.components.covariance
        return found._replace(factors=tuple(structure.parts(own).values()))

    related, relations = shape.relations is not None, shape.relations
    never = _never_together(pair_weight)
    if settings.n_factors is not None:
        never = never[:0]
    return Problem(whole, data, strength, never, enter, leave, related=related, relations=relations)


def fitted_at(params: Any, learned: Any, structure: Any = _FULL) -> ConditionalGaussians:
    """The model at parameters of one Gaussian, or of a mixture.

    Parameters
    ----------
    params : MeanCovariance or LabelParams
        The parameters.
    learned : ColumnScaling or GaussianSpec
        Their units.
    structure : CovarianceStructure, default=full
        Structure of the covariances of a mixture.
    """
    if isinstance(params, MeanCovariance):
        mean, covariance = params
        return ConditionalGaussians.at(np.ones(1), mean[None], covariance[None], learned)
    mean, own, _ = params.components
    weights = params.law.weights
    return ConditionalGaussians.at(weights, mean, structure.publish(own), learned.scaling)


def stream_of(problem: Problem, best: EMResult, scaling: ColumnScaling) -> Stream | None:
    """The stream that goes on after a fit; None for factors, which have none."""
    model, data = problem.model, problem.data
    weight = float(model.total_weight(data))
    if isinstance(model, BlockwiseModel):
        model = model.model
    if isinstance(model, OneGaussian):
        return Stream.after(model, scaling, best.params, best.statistics, weight)
    if isinstance(best.params, LabelParams) and model.family.n_factors is None:
        model = replace(model, initializer=STARTS["rows"])
        spec = best.params.column_spec
        return Stream.after(model, spec, best.params, best.statistics, weight)
    return None


def _factor_analysis(
    X: Floats | BlockTable, sample_weight: Array | None, scaling: ColumnScaling, settings: Settings
) -> Problem:
    model: Any = FactorAnalysis(settings.n_factors or 0)
    large = X if isinstance(X, BlockTable) else None
    if large is not None:
        # The variances of pseudo-rows are those of the sample.
        X, sample_weight = large.sample[:2]
    data: Any = model.prepare(X, sample_weight, scaling)
    strength = _strength(settings.alpha, _ONE_ROW)
    if strength > 0.0:
        seen, square = data.moments()
        model = replace(model, prior=CovariancePrior(strength, square / seen))
    if large is not None:
        model, data = read_blockwise(model, large, learned=scaling)

    def enter(start: Any) -> FactorParams:
        scale = scaling.scale
        loadings, noise = start.loadings / scale[:, None], start.noise / scale / scale
        return FactorParams(scaling.to_scaled(start.means[0]), loadings, noise)

    def leave(params: FactorParams) -> Conditional:
        return ConditionalFactors.at(params, scaling)

    return Problem(model, data, strength, np.empty((0, 2), np.intp), enter, leave)


def _for_all_rows(prior: CovariancePrior, factor: float) -> CovariancePrior:
    """A prior chosen on a sample: the variance across relations is one for each row."""
    constant = prior.constant
    return prior if constant is None else prior._replace(constant=constant * factor)


def _never_together(pair_weight: Array) -> NDArray[np.intp]:
    return np.argwhere(np.triu(pair_weight == 0.0, 1))


def _strength(alpha: Any, automatic: float) -> float:
    if isinstance(alpha, PseudoRows):
        return alpha.strength
    return automatic if isinstance(alpha, str) else float(alpha)
