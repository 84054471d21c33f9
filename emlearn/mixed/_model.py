"""The linear mixed model on the engine.

    y = X b + sum_j Z_j u_j + e,   u_j ~ N(0, K_j kron S_j),   e ~ N(0, s inv(W)).

The parameters are the covariances S_j and the variance s. Fixed effects are profiled out (ML) or
integrated out (REML): in both cases they are those of generalized least squares. The latent
variables are the random effects and, with REML, the fixed effects under a flat prior, so that
the objective is the likelihood of all contrasts of y that have the mean 0.

One iteration is an ECME step. The variance s is set to its maximum while the factors
T_j = (S_j / s)^(1/2), symmetric, are kept, which is ``(y - X b)' inv(V) (y - X b) s / df``; then

    S_j = E[sum over levels of u u'] / n_levels,   s = E[e' W e] / n,

with expectations given y, from the inverse of the mixed-model equations. EM is slow where a
variance is small, and sublinear where it goes to 0. So the engine also takes Newton steps with
the average information, in the entries of T_j and log s. In these, singular covariances are
ordinary points: the likelihood is even in the eigenvalues of T_j. (Those of a triangular factor
are not: where its first pivot is 0, the others are not unique.)

References
----------
N. M. Laird and J. H. Ware (1982). "Random-effects models for longitudinal data". Biometrics
38(4), 963-974.

C. Liu and D. B. Rubin (1994). "The ECME algorithm: a simple extension of EM and ECM with faster
monotone convergence". Biometrika 81(4), 633-648.

D. L. Johnson and R. Thompson (1995). "Restricted maximum likelihood estimation of variance
components for univariate animal models using sparse matrix techniques and average information".
Journal of Dairy Science 78(2), 449-456.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.engine.errors import DegenerateModelError
from emlearn.engine.model import LatentVariableModel
from emlearn.engine.parameters import Entries, ParameterSpace
from emlearn.mixed._covariance import (
    RandomCovariance,
    bounded,
    invertible,
    is_singular,
    square_root,
)
from emlearn.mixed._data import MixedData
from emlearn.mixed._equations import Equations
from emlearn.mixed._gram import Array
from emlearn.mixed._params import RESIDUAL, SMALLEST, MixedParams, MixedStatistics
from emlearn.mixed._soundness import free_entries, unsound

# Largest entry of a factor and range of the residual variance.
_LARGEST = 1e8


@dataclass(frozen=True, eq=False)
class MixedModel(LatentVariableModel[MixedData, MixedParams, MixedStatistics]):
    """A linear mixed model.

    Parameters
    ----------
    names : tuple of str
        Names of the terms.
    patterns : tuple of ndarray of bool of shape (q, q)
        Which effects of a level may be correlated.
    restricted : bool, default=True
        REML, or ML.
    least : float, default=0
        Smallest eigenvalue of the factors of published covariances. If it is positive, the score
        at singular covariances has all its directions, and the likelihood hardly changes.
    """

    names: tuple[str, ...]
    patterns: tuple[NDArray[np.bool_], ...]
    restricted: bool = True
    least: float = 0.0

    # ---- data and start ---------------------------------------------------------------------

    def prepare(self, X: Any, sample_weight: Any = None) -> MixedData:
        """The data as `mixed_data` made them."""
        data: MixedData = X
        return data

    def total_weight(self, data: MixedData) -> float:
        """Number of observations."""
        return data.n_observations

    def initialize(self, data: MixedData, rng: np.random.Generator) -> MixedParams:
        """Random effects as large as the noise; they share the residual variance.

        If there are no residuals, these are the estimates: no random effects, and noise that is
        as small as rounding errors.
        """
        factors = tuple(np.eye(len(pattern)) for pattern in self.patterns)
        transforms = [np.ones((0, 0))] * len(self.patterns)
        for j, design in zip(data.order, data.designs, strict=True):
            transforms[j] = design.transform
        share = 1.0 / (1.0 + sum(len(pattern) for pattern in self.patterns))
        if data.is_exact:
            factors, share = tuple(0.0 * factor for factor in factors), 1.0
        return MixedParams(factors, share, tuple(transforms), data.basis.scale)

    # ---- EM ---------------------------------------------------------------------------------

    def equations(self, data: MixedData, params: MixedParams) -> Equations:
        """The mixed-model equations at these parameters."""
        return Equations(data, [params.factors[j] for j in data.order])

    def e_step(self, block: MixedData, params: MixedParams) -> tuple[MixedStatistics, float]:
        """Expected squares of the effects, and the log-likelihood (REML or ML)."""
        data, equations = block, self.equations(block, params)
        products = equations.squares
        covariances = equations.covariances(self.restricted)
        place = {j: at for at, j in enumerate(data.order)}
        directions = [(place[j], own) for j, own in enumerate(self._directions)]
        statistics = MixedStatistics(
            tuple(products[place[j]] for j in range(len(self.names))),
            tuple(covariances[place[j]] for j in range(len(self.names))),
            equations.sum_of_squares,
            tuple(data.designs[place[j]].layout.n_levels for j in range(len(self.names))),
            data.n_observations,
            self._degrees_of_freedom(data),
            data.gram.size + (data.n_fixed if self.restricted else 0),
            equations.average_information(directions) / params.residual,
        )
        return statistics, self.log_likelihood_of(equations, params)

    def log_likelihood_of(self, equations: Equations, params: MixedParams) -> float:
        """Log-likelihood (REML or ML) at the parameters of the equations."""
        data, residual = equations.data, params.residual
        variance = 2.0 * np.pi * residual * data.basis.scale**2
        total = self._degrees_of_freedom(data) * np.log(variance)
        total += equations.factorization.log_det - data.log_weights
        total += equations.sum_of_squares / residual
        if self.restricted:
            total += equations.log_det_fixed + data.basis.log_det
        return -0.5 * float(total)

    def _degrees_of_freedom(self, data: MixedData) -> float:
        return data.n_observations - (data.n_fixed if self.restricted else 0)

    def m_step(self, statistics: MixedStatistics, params: MixedParams) -> MixedParams:
        """See the module: s for given factors first, then all at once."""
        if statistics.sum_of_squares == 0.0:
            return params
        best = statistics.sum_of_squares / statistics.degrees_of_freedom
        return self._maximize(statistics, params._replace(residual=best))

    def constrained_m_step(
        self, statistics: MixedStatistics, params: MixedParams, fixed: Mapping[str, Array]
    ) -> MixedParams:
        """All variances at once, those that are held put in: terms do not depend on each other."""
        if all(np.isnan(held).all() for held in fixed.values()):
            return self.m_step(statistics, params)
        public = self.public(self._maximize(statistics, params))
        start, space = self.public(params), self.space(params)
        for name, held in fixed.items():
            if name == RESIDUAL:
                public[name] = held
            else:
                part = space.parts[name]
                assert isinstance(part, RandomCovariance)
                public[name] = part.maximum(public[name], start[name], held)
        return self.from_public(public, params)

    def _maximize(self, statistics: MixedStatistics, params: MixedParams) -> MixedParams:
        s = params.residual
        errors = statistics.sum_of_squares
        latent = float(statistics.n_latent)
        factors = []
        for product, covariance in zip(statistics.products, statistics.covariances, strict=True):
            errors -= float(np.trace(product))
            latent -= float(np.trace(covariance))
        residual = (errors + s * latent) / statistics.n_observations
        if not residual > 0.0:
            raise DegenerateModelError("no residual variance is left")
        for j, factor in enumerate(params.factors):
            expected = statistics.products[j] + s * statistics.covariances[j]
            second = factor @ (expected / (statistics.n_levels[j] * residual)) @ factor
            second = np.where(self.patterns[j], second, 0.0)
            factors.append(bounded(square_root(second), SMALLEST))
        return params._replace(factors=tuple(factors), residual=residual)

    # ---- Newton steps, and the vector form ------------------------------------------------------

    @cached_property
    def _entries(self) -> list[tuple[int, int, int]]:
        """Term, row and column of the free entries of the factors."""
        return free_entries(self.patterns)

    @cached_property
    def _directions(self) -> list[Array]:
        """For each term the symmetric directions of these entries, (n_entries, q, q)."""
        found = [np.zeros((0, len(pattern), len(pattern))) for pattern in self.patterns]
        for j, a, c in self._entries:
            found[j] = np.concatenate([found[j], _unit(len(self.patterns[j]), a, c)[None]])
        return found

    def to_vector(self, params: MixedParams) -> Array:
        """Entries of the factors, and the logarithm of the residual variance."""
        entries = [params.factors[j][a, c] for j, a, c in self._entries]
        return np.array([*entries, np.log(params.residual)])

    def from_vector(self, vector: Array, like: MixedParams) -> MixedParams:
        """Inverse of `to_vector`; the signs of eigenvalues of a factor have no meaning."""
        factors = [np.zeros_like(factor) for factor in like.factors]
        for (j, a, c), value in zip(self._entries, vector, strict=False):
            factors[j][a, c] = factors[j][c, a] = value
        if not abs(vector[-1]) < np.log(_LARGEST) or np.abs(vector[:-1]).max(initial=0) > _LARGEST:
            raise DegenerateModelError("variances beyond the range of the data")
        return like._replace(
            factors=tuple(bounded(factor, SMALLEST) for factor in factors),
            residual=float(np.exp(vector[-1])),
        )

    def curvature(
        self, statistics: MixedStatistics, params: MixedParams
    ) -> tuple[Array, Array] | None:
        """Gradient of the log-likelihood and information, in the coordinates of `to_vector`.

        With H the gradient with respect to S = T T, a change D of T changes the likelihood by
        ``tr(H (D T + T D)) + tr(H D D)``. The second derivatives are those through S (average
        information) and 2 tr(H D D), where H is negative: so steps to a variance of 0 are right.
        """
        if statistics.sum_of_squares == 0.0:
            return None
        information = statistics.information.copy()
        gradient = np.zeros(len(information))
        start = 0
        for j, directions in enumerate(self._directions):
            derivative = self.derivative(statistics, params, j)
            concave = _positive_part(-derivative)
            own = slice(start, start + len(directions))
            toward = params.factors[j] @ directions
            gradient[own] = 2.0 * (derivative * toward).sum(axis=(1, 2))
            second = np.tensordot(concave @ directions, directions, ([1, 2], [1, 2]))
            information[own, own] += 2.0 * second
            start = own.stop
        s, df = params.residual, statistics.degrees_of_freedom
        gradient[-1] = 0.5 * (statistics.sum_of_squares / s - df)
        return gradient, information

    def derivative(self, statistics: MixedStatistics, params: MixedParams, j: int) -> Array:
        """Gradient of the log-likelihood with respect to ``T T`` of a term.

        Parameters
        ----------
        statistics : MixedStatistics
            Statistics at the parameters.
        params : MixedParams
            The parameters.
        j : int
            Number of the term.
        """
        factor = invertible(params.factors[j], SMALLEST)
        second = statistics.products[j] / params.residual + statistics.covariances[j]
        excess = second - statistics.n_levels[j] * np.eye(len(factor))
        found = 0.5 * np.linalg.solve(factor, np.linalg.solve(factor, excess).T)
        return np.where(self.patterns[j], 0.5 * (found + found.T), 0.0)

    # ---- boundaries -----------------------------------------------------------------------------

    def simplest(self, data: MixedData, params: MixedParams, cost: float) -> MixedParams:
        """Parameters with variances of exactly 0 where a run came close, if that costs little.

        Parameters
        ----------
        data : MixedData
            The data.
        params : MixedParams
            End of a run.
        cost : float
            What is little, in nats.
        """
        factors = [
            _without_smallest(factor, transform)
            for factor, transform in zip(params.factors, params.transforms, strict=True)
        ]
        if all(a is b for a, b in zip(factors, params.factors, strict=True)):
            return params
        simpler = params._replace(factors=tuple(factors))
        before, after = (
            self.log_likelihood_of(self.equations(data, own), own) for own in (params, simpler)
        )
        return simpler if before - after <= cost else params

    def boundary(self, params: MixedParams) -> tuple[str, ...]:
        """Names of the terms whose covariance is singular."""
        found = self.public(params)
        return tuple(name for name in self.names if is_singular(found[name]))

    def unsound(self, statistics: MixedStatistics, params: MixedParams) -> list[str]:
        """Residuals that are rounding errors, and variances that are not identified."""
        return unsound(self.names, self.patterns, statistics, params)

    def constrained_unsound(
        self, statistics: MixedStatistics, params: MixedParams, fixed: Mapping[str, Array]
    ) -> list[str]:
        """Nothing: what is held often identifies the rest."""
        return []

    # ---- published parameters -------------------------------------------------------------------

    def public(self, params: MixedParams) -> dict[str, Array]:
        """Covariances of the terms by name, and the residual variance."""
        found = {}
        unit = params.unit * np.sqrt(params.residual)
        for j, (name, factor) in enumerate(zip(self.names, params.factors, strict=True)):
            own = unit * (params.transforms[j] @ factor)
            found[name] = own @ own.T
        found[RESIDUAL] = np.asarray(params.residual * params.unit**2)
        return found

    def from_public(self, public: Mapping[str, Array], like: MixedParams) -> MixedParams:
        """Inverse of `public`."""
        residual = float(public[RESIDUAL]) / like.unit**2
        if not residual > 0.0:
            raise DegenerateModelError("the residual variance is not positive")
        factors = []
        unit = like.unit * np.sqrt(residual)
        for name, transform in zip(self.names, like.transforms, strict=True):
            covariance = np.asarray(public[name]) / unit**2
            half = np.linalg.solve(transform, covariance)
            root = square_root(np.asarray(np.linalg.solve(transform, half.T), float))
            factors.append(invertible(root, self.least) if self.least else root)
        return like._replace(factors=tuple(factors), residual=residual)

    def space(self, params: MixedParams) -> ParameterSpace:
        """Covariances with their patterns, and a variance."""
        parts: dict[str, Any] = {
            name: RandomCovariance((effects_axis(name),) * 2, pattern=pattern)
            for name, pattern in zip(self.names, self.patterns, strict=True)
        }
        parts[RESIDUAL] = Entries(lower=0.0)
        return ParameterSpace(parts)

    def score(self, statistics: MixedStatistics, params: MixedParams) -> dict[str, Array]:
        """See `LatentVariableModel`."""
        s, unit = params.residual, params.unit
        found: dict[str, Array] = {}
        toward = 0.5 * (statistics.sum_of_squares / s - statistics.degrees_of_freedom)
        for j, (name, transform) in enumerate(zip(self.names, params.transforms, strict=True)):
            derivative = self.derivative(statistics, params, j)
            half = np.linalg.solve(transform.T, derivative)
            found[name] = np.linalg.solve(transform.T, half.T) / (unit**2 * s)
            # With the covariances held, T T falls as s grows.
            relative = params.factors[j] @ params.factors[j]
            toward -= float((derivative * relative).sum())
        found[RESIDUAL] = np.asarray(toward / (s * unit**2))
        return found

    def n_parameters(self, params: MixedParams) -> int:
        """Number of variances and covariances."""
        return len(self._entries) + 1


def effects_axis(name: str) -> str:
    """What the axes of the covariance of a term count."""
    return f"effect of {name}"


def _unit(q: int, a: int, c: int) -> Array:
    """Symmetric direction of one entry."""
    direction = np.zeros((q, q))
    direction[a, c] = direction[c, a] = 1.0
    return direction


def _without_smallest(factor: Array, transform: Array) -> Array:
    """The factor without eigenvalues, and effects, that are as small as a step may lead to."""
    values, vectors = np.linalg.eigh(factor)
    small = values <= 2.0 * SMALLEST
    if not small.any():
        return factor
    found: Array = (vectors * np.where(small, 0.0, values)) @ vectors.T
    effects = transform @ found
    size, unit = np.linalg.norm(effects, axis=1), np.linalg.norm(transform, axis=1)
    gone = size <= 10.0 * SMALLEST * unit
    if gone.any():
        effects[gone] = 0.0
        half = np.linalg.solve(transform, effects)
        found = square_root(half @ half.T)
    return found


def _positive_part(matrix: Array) -> Array:
    values, vectors = np.linalg.eigh(matrix)
    found: Array = (vectors * np.maximum(values, 0.0)) @ vectors.T
    return found
