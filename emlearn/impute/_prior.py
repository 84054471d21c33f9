"""The prior of one Gaussian: the shape of its pseudo-rows and their number."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.incomplete.conditioning import make_component
from emlearn.distributions.gaussian.incomplete.relations import (
    LinearRelations,
    find_relations,
    surely_independent,
)
from emlearn.distributions.gaussian.incomplete.strength import (
    candidate_strengths,
    common_rows,
    imputation_strength,
    leave_one_out,
)
from emlearn.distributions.gaussian.prior import CovariancePrior
from emlearn.distributions.gaussian.scaling import ColumnScaling, summarize_columns
from emlearn.distributions.gaussian.single import CompressedData, MeanCovariance, OneGaussian
from emlearn.engine import DegenerateModelError, RemainingGain, find_accelerator, run_em

Array = NDArray[np.float64]
Floats = NDArray[np.floating]

# Accuracy (nats per row) and iterations that are enough for the fits behind the choice.
_TOL = 1e-2
_MAX_ITER = 20
# Strength of the fit behind the choice.
_ONE_ROW = 1.0
# Strength if maximum likelihood is requested and has no solution.
_NEXT_TO_NONE = 1e-8
# Fraction of the smallest eigenvalue that pseudo-rows may add without a relevant effect: the
# regressions of one column on others change by no more than this.
_NO_MATTER = 0.05
# Variance across a relation, in variances of the columns. With less, rounding would end fits
# before they converge. It is the same for any strength, so the density across a relation does not
# influence the choice of the strength.
_ACROSS = 1e-9


class PriorChoice(NamedTuple):
    """A prior, and where a fit with it starts.

    Attributes
    ----------
    prior : CovariancePrior
        The prior, in the units of the data as prepared.
    start : MeanCovariance or None
        Parameters close to the optimum; None if the model's own start is as good.
    relations : LinearRelations, default=None
        The exact relations that the prior obeys.
    """

    prior: CovariancePrior
    start: MeanCovariance | None
    relations: LinearRelations | None = None


class PseudoRows(NamedTuple):
    """A prior in the units of the data, for fits to other rows of the same table.

    Attributes
    ----------
    columns : ndarray of shape (n_columns,)
        Columns of the table that the prior is for.
    strength : float
        Number of pseudo-rows.
    target, constant : ndarray of shape (n_columns, n_columns)
        Their covariance, and a matrix added to their scatter (or None); see `CovariancePrior`.
    pairs : float
        Rows that pairs of columns have in common.
    """

    columns: NDArray[np.intp]
    strength: float
    target: Array
    constant: Array | None
    pairs: float

    @classmethod
    def of(
        cls,
        prior: CovariancePrior,
        scaling: ColumnScaling,
        columns: NDArray[np.intp],
        pairs: float,
    ) -> Self:
        """From a prior in the units of a scaling."""
        unit = np.outer(scaling.scale, scaling.scale)
        target, constant = prior.target, prior.constant
        assert target is not None
        target = np.diag(target) if target.ndim == 1 else target
        constant = None if constant is None else constant * unit
        return cls(columns, prior.strength, target * unit, constant, pairs)

    def for_draws(self) -> Self:
        """Fewer pseudo-rows, for draws that have to reflect the uncertainty."""
        strength = imputation_strength(self.strength, len(self.columns), self.pairs)
        return self._replace(strength=strength)

    def within(self, columns: NDArray[np.intp]) -> Self:
        """The prior of some of the columns."""
        place = np.searchsorted(self.columns, columns)
        here = np.ix_(place, place)
        constant = None if self.constant is None else self.constant[here]
        return self._replace(columns=columns, target=self.target[here], constant=constant)

    def prior(self, scaling: ColumnScaling) -> CovariancePrior:
        """The prior in the units of a scaling."""
        unit = np.outer(scaling.scale, scaling.scale)
        constant = None if self.constant is None else self.constant / unit
        return CovariancePrior(self.strength, self.target / unit, constant=constant)


def next_to_none(table: Floats) -> PseudoRows:
    """A prior so weak that it only makes sure that the covariance exists."""
    columns = summarize_columns(table)
    varying = np.flatnonzero(~columns.constant)
    scaling = ColumnScaling(*(part[varying] for part in columns.scaling))
    prior = CovariancePrior(_NEXT_TO_NONE, columns.variance[varying])
    return PseudoRows.of(prior, scaling, varying, np.inf)


class Shape(NamedTuple):
    """The shape of pseudo-rows.

    Attributes
    ----------
    target : ndarray of shape (n_features,) or (n_features, n_features)
        Their variances, or a covariance that obeys relations.
    constant : ndarray of shape (n_features, n_features), default=None
        Scatter that is added to keep such a covariance from being singular.
    relations : LinearRelations, default=None
        The relations.
    variance : ndarray of shape (n_features,), default=None
        Variances of pseudo-rows that would not obey the relations.
    """

    target: Array
    constant: Array | None = None
    relations: LinearRelations | None = None
    variance: Array | None = None

    def prior(self, strength: float) -> CovariancePrior:
        """The prior with `strength` pseudo-rows."""
        return CovariancePrior(strength, self.target, constant=self.constant)

    def common(self, strength: float) -> CovariancePrior:
        """The prior of several components, which have the same variance across relations.

        It is that of a ridge and of the pseudo-rows. If it depended on the rows of a component,
        as with pseudo-rows alone, one large component would be rewarded.
        """
        if self.variance is None:
            return self.prior(strength)
        across: Array = _ACROSS * self.variance
        return CovariancePrior(strength, self.target + np.diag(across), across)

    def scatter(self, strength: float) -> Array:
        """Scatter of `strength` pseudo-rows, as a matrix."""
        scatter = self.prior(strength).scatter
        assert scatter is not None
        return np.diag(scatter) if scatter.ndim == 1 else scatter

    def obeying(self, relations: LinearRelations | None, weight: float) -> Shape:
        """Pseudo-rows that obey relations, except for a small variance across them.

        Parameters
        ----------
        relations : LinearRelations or None
            The relations; None changes nothing.
        weight : float
            Sum of the weights of the rows.
        """
        if relations is None:
            return self
        constant = np.diag(weight * _ACROSS * self.target)
        return Shape(relations.project(np.diag(self.target)), constant, relations, self.target)

    def attract(self, mean: Array, covariance: Array, weight: float) -> tuple[Array, Array]:
        """Parameters moved to where the relations hold, up to the variance across them."""
        if self.relations is None:
            return mean, covariance
        moved = self.relations.move(mean, covariance)
        return moved, self.relations.project(covariance) + self.scatter(0.0) / weight


def choose_prior(
    X: Floats,
    sample_weight: Array | None,
    data: CompressedData,
    alpha: Any,
    accelerate: str | None,
) -> PriorChoice:
    """The prior for a value of `alpha`.

    Pseudo-rows have the observed variances, and are uncorrelated except for exact relations that
    all rows obey. With "auto", their number maximizes the likelihood of each row given the others,
    at estimates that follow from one fit with one pseudo-row. It is one if there are so many rows
    that it does not matter.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Rows, NaN where an entry is missing.
    sample_weight : ndarray of shape (n_samples,), default=None
        Their weights, above 0.
    data : CompressedData
        The same rows, prepared by `OneGaussian.prepare`.
    alpha : "auto" or float
        Number of pseudo-rows.
    accelerate : str or None
        See `MissingDataImputerEM`.
    """
    if alpha == 0:
        return PriorChoice(CovariancePrior(), None)
    shape = Shape(data.available.variance)
    pairs = common_rows(data.available.pair_weight)
    looked = _look(X, data, accelerate, every=isinstance(alpha, str))
    shape = shape.obeying(looked.relations, data.weight)
    first = looked.first
    if first is not None:
        first = MeanCovariance(*shape.attract(*first, data.weight))
    if not isinstance(alpha, str):
        return PriorChoice(shape.prior(float(alpha)), first, shape.relations)
    assert first is not None
    if shape.relations is not None:
        first = _quick(data, accelerate)(shape.prior(_ONE_ROW), first)
    elif candidate_strengths(X.shape[1])[-1] < _NO_MATTER * _smallest(first) * pairs:
        return PriorChoice(shape.prior(_ONE_ROW), first)
    strength, start = _best_strength(X, sample_weight, data, shape, first)
    return PriorChoice(shape.prior(strength), start, shape.relations)


def pseudo_rows_of_clusters(
    X: Floats, data: CompressedData, strength: float, n_clusters: int, accelerate: str | None
) -> Shape:
    """Shape of the pseudo-rows of K components; exact relations hold in each component.

    Their variances are those of the columns times ``K**(-2 / n_features)``, as if the components
    divided the space into K cells of equal volume.

    Parameters
    ----------
    X, data, accelerate : object
        See `choose_prior`.
    strength : float
        Number of pseudo-rows; without any, relations are not looked for.
    n_clusters : int
        K.
    """
    shape = Shape(data.available.variance * n_clusters ** (-2.0 / X.shape[1]))
    if strength == 0.0:
        return shape
    relations = _look(X, data, accelerate, every=False).relations
    return shape.obeying(relations, data.weight / n_clusters)


class _Look(NamedTuple):
    """Result of a first look at the rows: relations, and the fit with one pseudo-row."""

    relations: LinearRelations | None
    first: MeanCovariance | None


def _look(X: Floats, data: CompressedData, accelerate: str | None, *, every: bool) -> _Look:
    """Look for exact relations, if there can be any.

    The fit with one pseudo-row is made if relations are looked for, or with `every`.
    """
    independent = surely_independent(X, data.scaling)
    if independent and not every:
        return _Look(None, None)
    fit = _quick(data, accelerate)
    first = fit(CovariancePrior(_ONE_ROW, data.available.variance), None)
    if independent:
        return _Look(None, first)
    pairs = common_rows(data.available.pair_weight)
    return _Look(find_relations(X, data.scaling, first.covariance, pairs), first)


def _quick(data: CompressedData, accelerate: str | None) -> Any:
    """A function that fits with a prior to low accuracy, from a given or the default start."""
    accelerator = find_accelerator(accelerate)

    def fit(prior: CovariancePrior, start: MeanCovariance | None) -> MeanCovariance:
        model = OneGaussian(prior)
        if start is None:
            start = model.initialize(data, np.random.default_rng(0))
        run = run_em(
            model,
            data,
            start,
            convergence=RemainingGain(_TOL),
            max_iter=_MAX_ITER,
            accelerator=accelerator,
        )
        return start if run.params is None else run.params

    return fit


def _smallest(params: MeanCovariance) -> float:
    """Smallest eigenvalue of the correlations."""
    deviation = np.sqrt(np.diagonal(params.covariance))
    return float(np.linalg.eigvalsh(params.covariance / np.outer(deviation, deviation))[0])


def _best_strength(
    X: Floats,
    sample_weight: Array | None,
    data: CompressedData,
    shape: Shape,
    fitted: MeanCovariance,
) -> tuple[float, MeanCovariance]:
    """Strength of the highest leave-one-out likelihood, and the estimate with it.

    The expected scatter changes little with the strength, so one fit is enough for all.
    """
    weight = data.weight
    scatter = (weight + _ONE_ROW) * fitted.covariance - shape.scatter(_ONE_ROW)
    candidates = []
    for strength in candidate_strengths(len(scatter)):
        covariance = (scatter + shape.scatter(strength)) / (weight + strength)
        try:
            component = make_component(fitted.mean, np.ascontiguousarray(covariance))
        except DegenerateModelError:
            continue
        candidates.append((strength, component))
    if not candidates:
        return _ONE_ROW, fitted
    value = leave_one_out(X, sample_weight, data.scaling, data.available.pair_weight, candidates)
    strength, best = candidates[int(np.nanargmax(value))]
    return strength, MeanCovariance(best.mean, best.covariance)
