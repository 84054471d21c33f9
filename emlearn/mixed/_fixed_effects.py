"""Errors of fixed effects, and their degrees of freedom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from emlearn.engine.estimates import Estimates
from emlearn.engine.inference import FittedProblem, infer
from emlearn.engine.threads import blas_limited
from emlearn.mixed._data import MixedData
from emlearn.mixed._equations import Equations
from emlearn.mixed._gram import Array
from emlearn.mixed._model import MixedModel, MixedParams

# Change of the factors, relative to their size, for numerical derivatives.
_STEP = 1e-4
# Information, relative to the largest, that is rounding error.
_FLAT = 1e-8


def coefficient_covariance(data: MixedData, equations: Equations, residual: float) -> Array:
    """``inv(X' inv(V) X)`` for the columns that are kept, in the units of the data."""
    if not data.n_fixed:
        return np.zeros((0, 0))
    root = solve_triangular(equations.cholesky, np.eye(data.n_fixed), lower=True)
    root = data.basis.from_basis(root.T) * (data.basis.scale * np.sqrt(residual))
    found: Array = root @ root.T
    return found


def tabulate(
    names: tuple[str, ...], values: Array, kept: NDArray[np.intp], covariance: Array
) -> Estimates:
    """The fixed effects as estimates; those of dependent columns have no standard errors."""
    n = len(names)
    whole = np.full((n, n), np.nan)
    whole[np.ix_(kept, kept)] = covariance
    none = np.full(n, np.inf)
    identified = set(kept.tolist())
    remarks = tuple("" if i in identified else "not identified" for i in range(n))
    return Estimates(names, values, whole, -none, none, remarks)


def satterthwaite(
    problem: FittedProblem, effects: Estimates, boundary: tuple[str, ...] = ()
) -> Estimates:
    """Fixed effects with degrees of freedom.

    The variance C of an estimate is a function of the variance components. If it varies with
    variance D as these do, ``df C / E[C]`` has nearly a chi-square distribution with
    ``df = 2 C^2 / D`` degrees of freedom.

    Parameters
    ----------
    problem : FittedProblem
        Model, data and parameters.
    effects : Estimates
        The fixed effects.
    boundary : tuple of str
        Terms whose covariance is singular.
    """
    data, kept = problem.data, problem.data.basis.kept

    def variances(params: MixedParams) -> Array:
        equations = Equations(data, [params.factors[j] for j in data.order])
        return np.diagonal(coefficient_covariance(data, equations, params.residual)).copy()

    uncertain = np.zeros(len(kept))
    with blas_limited():
        # What is held is in the coordinates of the covariances.
        along = _along_factors if boundary and not problem.fixed else _along_covariances
        for above, below, step in along(problem):
            uncertain += np.square((variances(above) - variances(below)) / (2.0 * step))
    df = np.full(len(effects.names), np.nan)
    own = np.square(effects.standard_error[kept])
    df[kept] = np.divide(
        2.0 * own**2, uncertain, out=np.full(len(kept), np.inf), where=uncertain > 0.0
    )
    return replace(effects, degrees_of_freedom=df)


# ---- parameters on both sides of the estimates, along independent errors ---------------


def _along_covariances(problem: FittedProblem) -> Iterator[tuple[MixedParams, MixedParams, float]]:
    """Along the errors of the covariances, which there are not at a boundary."""
    for above, below, step in infer(problem).along_errors():
        sides = (problem.model.from_public(side, problem.params) for side in (above, below))
        yield next(sides), next(sides), step


def _along_factors(problem: FittedProblem) -> Iterator[tuple[MixedParams, MixedParams, float]]:
    """Along the errors of the factors of the covariances.

    A covariance of less than full rank has errors, too, though only of the same rank at first.
    Without them, what levels vary by would be taken as known.
    """
    model, params = problem.model, problem.params
    assert isinstance(model, MixedModel)
    center = model.to_vector(params)
    _, changes = model.changes(params)

    def gradient(step: Array) -> Array:
        at = model.from_vector(center + step, params)
        found = model.curvature(model.e_step(problem.data, at)[0], at)
        return np.zeros(len(changes)) if found is None else changes @ found[0]

    slopes = [(gradient(-_STEP * c) - gradient(_STEP * c)) / (2.0 * _STEP) for c in changes]
    information = 0.5 * (np.array(slopes) + np.array(slopes).T)
    scale = np.sqrt(np.maximum(np.abs(np.diagonal(information)), np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(information / scale[:, None] / scale)
    for value, vector in zip(values, vectors.T, strict=True):
        if value > _FLAT * values[-1]:
            error = (vector / scale / np.sqrt(value)) @ changes
            step = _STEP / max(np.abs(error).max(), 1.0)
            above, below = (model.from_vector(center + s * step * error, params) for s in (1, -1))
            yield above, below, step
