"""Standard errors of loadings, through an identified form of them and the rotation.

Loadings L and L Q, Q orthogonal, have one likelihood. Of some k columns of the data, far from
dependent, the loadings are made lower triangular by the Q that is unique up to signs; what is
left are separate parameters. The published loadings are a function of these and of the noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr

from emlearn.distributions.gaussian.incomplete import FactorAnalysis, FactorParams
from emlearn.distributions.gaussian.incomplete.factor_rows import (
    CompleteBlock,
    FactorBlock,
    FactorData,
    cut_rows,
)
from emlearn.distributions.gaussian.incomplete.factors import FactorStatistics, infer_block
from emlearn.distributions.gaussian.scaling import ColumnScaling, summarize_columns
from emlearn.engine.estimates import Estimates
from emlearn.engine.inference import FittedProblem, Inference, Kind, infer
from emlearn.engine.parameters import Entries, ParameterSpace
from emlearn.factors._known import Known
from emlearn.factors._rotation import rotation_near

Array = NDArray[np.float64]
Public = dict[str, Array]


class FittedRows(NamedTuple):
    """Rows as the E-step reads them, and one by one."""

    data: FactorData
    rows: Array
    weight: Array


@dataclass(frozen=True)
class IdentifiedFactors(FactorAnalysis):
    """Factor analysis whose published loadings are identified.

    Parameters
    ----------
    n_factors, prior, isotropic, floor : object
        See `FactorAnalysis`.
    pivots : tuple of int, default=()
        Columns of which the loadings are lower triangular.
    scaling : ColumnScaling, default=None
        Units of the rows.
    """

    pivots: tuple[int, ...] = ()
    scaling: ColumnScaling | None = None

    @property
    def _units(self) -> ColumnScaling:
        assert self.scaling is not None
        return self.scaling

    def prepare(  # type: ignore[override]  # the rows are kept as well
        self,
        X: Any,
        sample_weight: NDArray[Any] | None = None,
        scaling: ColumnScaling | None = None,
    ) -> FittedRows:
        """See `LatentVariableModel`."""
        weight = np.ones(len(X)) if sample_weight is None else sample_weight
        data = super().prepare(X, sample_weight, self._units)
        kept = weight > 0.0
        return FittedRows(data, X[kept], weight[kept])

    def blocks(self, data: Any) -> tuple[FactorBlock | CompleteBlock, ...]:
        """See `LatentVariableModel`."""
        blocks: tuple[FactorBlock | CompleteBlock, ...] = data.data.blocks
        return blocks

    def total_weight(self, data: Any) -> float:
        """See `LatentVariableModel`."""
        return float(data.data.weight)

    def public(self, params: FactorParams) -> Public:
        """Mean, identified loadings and noise, by their published names, in units of the data."""
        scale = self._units.scale
        noise = params.noise * scale**2
        return {
            "mean": self._units.to_units(params.mean),
            "components": (identified(params.loadings, self.pivots) * scale[:, None]).T,
            "noise_variance": noise[:1] if self.isotropic else noise,
        }

    def from_public(self, public: Mapping[str, Array], like: FactorParams) -> FactorParams:
        """See `LatentVariableModel`."""
        scale = self._units.scale
        noise = np.broadcast_to(public["noise_variance"], scale.shape)
        return FactorParams(
            self._units.to_scaled(public["mean"]),
            public["components"].T / scale[:, None],
            noise / scale**2,
        )

    def space(self, params: FactorParams) -> ParameterSpace:
        """See `LatentVariableModel`."""
        scale = self._units.scale
        deviation = np.sqrt(np.square(params.loadings).sum(axis=1) + params.noise) * scale
        exists = np.ones(params.loadings.T.shape, bool)
        for place, column in enumerate(self.pivots):
            exists[place + 1 :, column] = False
        floor = None if self.floor is None else self.floor * scale**2
        if floor is not None and self.isotropic:
            floor = floor[:1]
        return ParameterSpace(
            {
                "mean": Entries(("feature",), deviation),
                "components": Entries(("component", "feature"), deviation, exists=exists),
                "noise_variance": Entries(("feature",), lower=0.0, floor=floor),
            }
        )

    def score(self, statistics: FactorStatistics, params: FactorParams) -> Public:
        """See `LatentVariableModel`."""
        loadings, noise = params.loadings, params.noise
        d, k = loadings.shape
        scale = self._units.scale
        outer = statistics.outer.reshape(d, k + 1, k + 1) + statistics.complete
        product = np.einsum("jab,ja->jb", outer[:, :k, :], loadings)
        slope = (statistics.cross - product) / noise[:, None]
        rest = statistics.square - np.einsum(
            "ja,ja->j", loadings, 2.0 * statistics.cross[:, :k] - product[:, :k]
        )
        own = 0.5 * (rest / noise - statistics.weight) / noise / scale**2
        return {
            "mean": slope[:, k] / scale,
            "components": (slope[:, :k] / scale[:, None]).T,
            "noise_variance": own.sum(keepdims=True) if self.isotropic else own,
        }

    def log_likelihoods(self, data: Any, params: FactorParams) -> tuple[Array, Array]:
        """See `LatentVariableModel`."""
        precomputed = self.precompute(params)
        everything = np.arange(len(data.rows))
        parts = [
            infer_block(block, precomputed).log_density
            for block in cut_rows(data.rows, self._units, everything, data.weight)
        ]
        return np.concatenate(parts), data.weight


def identified(loadings: Array, pivots: tuple[int, ...]) -> Array:
    """Loadings turned so that those of the pivots are lower triangular, with positive diagonal."""
    turn, upper = np.linalg.qr(loadings[list(pivots)].T)
    sign = np.where(np.diagonal(upper) < 0.0, -1.0, 1.0)
    found: Array = loadings @ (turn * sign)
    for place, column in enumerate(pivots):
        found[column, place + 1 :] = 0.0
    return found


def factor_problem(
    rows: Array, weight: Array | None, known: Known, estimator: Any
) -> FittedProblem:
    """The identified model at published parameters, with the rows of the fit."""
    isotropic = estimator.noise == "isotropic"
    summary = summarize_columns(rows, weight, by_column=not isotropic)
    variance = summary.variance
    if isotropic:
        variance = np.full(len(variance), variance.mean())
    params = known.in_units(summary.scaling)
    standardized = known.uncorrelated / np.sqrt(known.variance)[:, None]
    k = standardized.shape[1]
    pivots = tuple(int(j) for j in qr(standardized.T, pivoting=True, mode="economic")[2][:k])
    model = IdentifiedFactors(
        k,
        isotropic=isotropic,
        floor=estimator.min_uniqueness * variance,
        pivots=pivots,
        scaling=summary.scaling,
    )
    params = model.from_public(model.public(params), params)
    data = model.prepare(rows, weight)
    return FittedProblem(model, data, params, labels=estimator._axis_labels())


@dataclass(frozen=True)
class _Publisher:
    """Published parameters as a function of identified ones, near those of a fit."""

    rotation: str | None
    unrotated: Array
    matrix: Array
    n_features: int

    def __call__(self, public: Mapping[str, Array]) -> Public:
        loadings = public["components"].T
        noise = np.broadcast_to(public["noise_variance"], (self.n_features,))
        deviation = np.sqrt(np.square(loadings).sum(axis=1) + noise)
        turn = np.linalg.svd(loadings / np.sqrt(noise)[:, None], full_matrices=False)[2].T
        canonical = loadings @ turn / deviation[:, None]
        canonical = canonical * np.where((canonical * self.unrotated).sum(axis=0) < 0.0, -1.0, 1.0)
        matrix = self.matrix
        if self.rotation is not None:
            matrix = rotation_near(canonical, self.rotation, self.matrix)
        found = {
            "mean": np.asarray(public["mean"]),
            "components": (canonical @ matrix * deviation[:, None]).T,
            "noise_variance": np.array(noise),
        }
        if self.rotation not in (None, "varimax"):
            inverse = np.linalg.inv(matrix)
            found["factor_correlation"] = inverse @ inverse.T
        return found


@dataclass(frozen=True, eq=False)
class FactorInference(Inference):
    """Inference about the published parameters of a factor analysis."""

    _publish: Callable[[Mapping[str, Array]], Public] = field(default=dict, repr=False)

    def _evaluate(
        self, function: Callable[[dict[str, Array]], Any], name: str, step: Array
    ) -> tuple[list[str], Array]:
        return super()._evaluate(lambda public: function(self._publish(public)), name, step)


def factor_inference(problem: FittedProblem, kind: Kind, estimator: Any) -> Inference:
    """Standard errors of the published parameters, from those of the identified ones."""
    base = infer(problem, kind)
    loadings = np.asarray(estimator.components_).T
    d = len(loadings)
    deviation = np.sqrt(np.square(problem.params.loadings).sum(axis=1) + problem.params.noise)
    deviation = deviation * problem.model.scaling.scale  # type: ignore[attr-defined]
    matrix = np.asarray(estimator.rotation_matrix_)
    unrotated = loadings / deviation[:, None] @ np.linalg.inv(matrix)
    publish = _Publisher(estimator.rotation, unrotated, matrix, d)
    whole = FactorInference(**{name: getattr(base, name) for name in base.__dataclass_fields__})
    whole = replace(whole, _publish=publish)
    estimates = publish(base.estimates)
    found = whole.function(lambda public: public)
    at_bound = np.resize(_bounded(base), d)
    return _listed(whole, found, estimates, at_bound, estimator)


def _bounded(base: Inference) -> NDArray[np.bool_]:
    """Columns whose noise is at its least value, so that it has no standard error."""
    of = zip(base.names, base.remarks, strict=True)
    return np.array([r == "at a bound" for name, r in of if name.startswith("noise_variance")])


def _listed(
    whole: FactorInference,
    found: Estimates,
    estimates: Public,
    at_bound: NDArray[np.bool_],
    estimator: Any,
) -> Inference:
    """The inference with names, bounds and remarks of the published parameters."""
    columns = estimator._axis_labels().get("feature", range(len(at_bound)))
    k = len(estimates["components"])
    names, shown, lower, upper, remarks, errors = [], [], [], [], [], {}
    error = found.standard_error.copy()
    start = 0
    for name, value in estimates.items():
        own = np.ones(value.shape, bool)
        low, high = -np.inf, np.inf
        labels: list[list[Any]] = [list(columns)]
        if name == "components":
            labels = [list(range(k)), list(columns)]
        elif name == "noise_variance":
            low = 0.0
            own[1:] = estimator.noise != "isotropic"
        elif name == "factor_correlation":
            labels = [list(range(k)), list(range(k))]
            low, high = -1.0, 1.0
            own = np.triu(own, 1)
        here = slice(start, start + value.size)
        bound = at_bound if name == "noise_variance" else np.zeros(value.size, bool)
        if name == "noise_variance":
            error[here][bound] = np.nan
        if name == "factor_correlation":
            error[here][np.eye(k, dtype=bool).ravel()] = np.nan
        errors[name] = error[here].reshape(value.shape)
        for index in np.ndindex(value.shape):
            inside = ", ".join(str(axis[i]) for axis, i in zip(labels, index, strict=True))
            names.append(f"{name}[{inside}]")
        remarks += [
            "at a bound" if b else r for b, r in zip(bound, found.remarks[here], strict=True)
        ]
        shown.append(own.ravel())
        lower.append(np.full(value.size, low))
        upper.append(np.full(value.size, high))
        start += value.size
    chosen = np.flatnonzero(np.concatenate(shown))
    covariance = found.covariance[np.ix_(chosen, chosen)]
    lost = np.isnan(error[chosen])
    covariance[lost] = covariance[:, lost] = np.nan
    return replace(
        whole,
        names=tuple(names[i] for i in chosen),
        estimate=found.estimate[chosen],
        covariance=covariance,
        lower=np.concatenate(lower)[chosen],
        upper=np.concatenate(upper)[chosen],
        remarks=tuple(remarks[i] for i in chosen),
        estimates=estimates,
        standard_errors=errors,
    )
