"""The models that are fitted to a mixed table: one, or several whose distributions are averaged."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.scaling import ColumnScaling
from emlearn.distributions.gaussian.single import OneGaussian
from emlearn.engine import EMResult, ManyStarts
from emlearn.impute._prior import choose_prior
from emlearn.impute.mixed.columns import TableKinds
from emlearn.impute.mixed.model import GeneralLocation, MixedData, MixedParams, MixedPrior

Array = NDArray[np.float64]

Margins = Literal["raw", "power"]

#: How starts of one model are raced.
PLAN = ManyStarts(n_candidates=4, first_steps=3, steps=12, n_reserves=1)
#: The same for each model of an average, and the accuracy of its fit in nats a row. An average
#: forgives what a race misses: over many tables, more effort imputes no better.
PLAN_OF_AVERAGE = ManyStarts(n_candidates=2, first_steps=3, steps=8, n_reserves=0)
TOL_OF_AVERAGE = 1e-4


class Candidate(NamedTuple):
    """What to fit: the number of classes, their covariances, and the margins of the numbers."""

    n_classes: int
    covariance: Literal["tied", "full"]
    margins: Margins


class FittedCandidate(NamedTuple):
    """A fitted model.

    Attributes
    ----------
    candidate : Candidate
        What was fitted.
    model : GeneralLocation
        The model.
    result : EMResult
        The best run of EM; `result.params` are the parameters.
    log_likelihood : float
        Log-likelihood of the rows, in the units of the table.
    total_weight : float
        Weight of the rows.
    """

    candidate: Candidate
    model: GeneralLocation
    result: EMResult
    log_likelihood: float
    total_weight: float

    @property
    def bic(self) -> float:
        """Bayesian information criterion; smaller is better."""
        n_parameters = self.model.n_parameters(self.params)
        return -2.0 * self.log_likelihood + n_parameters * float(np.log(self.total_weight))

    @property
    def params(self) -> MixedParams:
        """The parameters."""
        params: MixedParams = self.result.params
        return params


def averaged_candidates(margins: str) -> list[Candidate]:
    """The models whose average imputes best over many tables; see the guide."""
    kinds: list[Margins] = ["raw", "power"] if margins == "auto" else [_margins(margins)]
    return [_candidate(n, kind) for kind in kinds for n in (1, 3, 6, 12)]


def single_candidate(n_classes: int, margins: str) -> list[Candidate]:
    """One model; raw margins unless asked for."""
    return [_candidate(n_classes, _margins(margins))]


def _candidate(n_classes: int, margins: Margins) -> Candidate:
    return Candidate(n_classes, "tied" if n_classes == 1 else "full", margins)


def _margins(margins: str) -> Margins:
    return "power" if margins == "power" else "raw"


# Pseudo-rows of a single column of numbers.
_WEAKEST = 0.1

# Fits a model to prepared data; the starts are raced according to the plan.
Run = Callable[[GeneralLocation, MixedData, Any], EMResult]


def fit_candidates(
    table: Array,
    weight: Array,
    kinds: TableKinds,
    candidates: list[Candidate],
    run: Run,
    *,
    strength: float | None = None,
    starts: dict[Candidate, MixedParams] | None = None,
) -> list[FittedCandidate]:
    """Fit models to a table.

    The one-class model of each kind of margins is fitted first. Starts of the others complete
    the rows with it, and its covariance is the target of the priors of full covariances. The
    strength of the prior of common covariances is that with which one Gaussian predicts each row
    best from the others.

    Parameters
    ----------
    table : ndarray of shape (n_rows, n_columns)
        Numbers and codes, NaN where missing.
    weight : ndarray of shape (n_rows,)
        Weights of the rows.
    kinds : TableKinds
        Which columns are codes.
    candidates : list of Candidate
        What to fit.
    run : callable
        See `Run`.
    strength : float, default=None
        Pseudo-rows of covariances; None leaves them to the candidates.
    starts : dict, default=None
        Parameters to start from, instead of a race.
    """
    starts = starts or {}
    fitted: dict[Candidate, FittedCandidate] = {}
    for margins in dict.fromkeys(candidate.margins for candidate in candidates):
        one = Candidate(1, "tied", margins)
        base = GeneralLocation(1, "tied", kinds, power=margins == "power")
        data = base.prepare(table, weight)
        jacobian = float(weight @ data.columns.log_jacobian(table))
        fit = partial(_fit, run, data, jacobian)
        q = len(data.columns.numeric)
        own = strength
        if own is None:
            own = _predictive_strength(data.columns.numbers(table), weight)
        base = base.with_prior(MixedPrior(np.eye(q), own))
        fitted[one] = fit(one, base, starts.get(one) or base.independent(data.columns))
        reference = fitted[one].params
        for candidate in candidates:
            if candidate.margins == margins and candidate != one:
                model = _model(candidate, base, reference, strength)
                fitted[candidate] = fit(candidate, model, starts.get(candidate))
    return [fitted[candidate] for candidate in candidates]


def _predictive_strength(numbers: Array, weight: Array) -> float:
    """Pseudo-rows with which one Gaussian of the numbers predicts best; see `choose_prior`."""
    seen = ~np.isnan(numbers).all(axis=1)
    numbers, weight = numbers[seen], weight[seen]
    if numbers.shape[1] < 2 or len(numbers) < 2:
        return _WEAKEST
    scaling = ColumnScaling(np.zeros(numbers.shape[1]), np.ones(numbers.shape[1]))
    data = OneGaussian().prepare(numbers, weight, scaling)
    return choose_prior(numbers, weight, data, "auto", "auto").prior.strength


def _model(
    candidate: Candidate, base: GeneralLocation, reference: MixedParams, strength: float | None
) -> GeneralLocation:
    """The model of several classes, given that of one."""
    q = reference.means.shape[1]
    assert base.prior is not None
    prior = base.prior
    if candidate.covariance == "full":
        prior = MixedPrior(reference.covariances[0], q + 2.0 if strength is None else strength)
    return GeneralLocation(
        candidate.n_classes, candidate.covariance, base.kinds, prior, base.power, reference
    )


def _fit(
    run: Run,
    data: MixedData,
    jacobian: float,
    candidate: Candidate,
    model: GeneralLocation,
    start: MixedParams | None,
) -> FittedCandidate:
    if start is not None and start.columns is not data.columns:
        start = start.moved_to(data.columns)
    result = run(model, data, start)
    log_likelihood = result.objective - model.log_prior(result.params) + jacobian
    return FittedCandidate(candidate, model, result, log_likelihood, data.weight)
