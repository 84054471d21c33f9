"""Errors of fixed effects, and their degrees of freedom."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from emlearn.engine.estimates import Estimates
from emlearn.engine.inference import FittedProblem, Inference
from emlearn.engine.threads import blas_limited
from emlearn.mixed._data import MixedData
from emlearn.mixed._equations import Equations
from emlearn.mixed._gram import Array


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


def satterthwaite(problem: FittedProblem, inference: Inference, effects: Estimates) -> Estimates:
    """Fixed effects with degrees of freedom.

    The variance C of an estimate is a function of the variance components. If it varies with
    variance D as these do, ``df C / E[C]`` has nearly a chi-square distribution with
    ``df = 2 C^2 / D`` degrees of freedom.
    """
    model, data, params = problem.model, problem.data, problem.params

    def variances(public: dict[str, Array]) -> Array:
        changed = model.from_public(public, params)
        equations = Equations(data, [changed.factors[j] for j in data.order])
        return np.diagonal(coefficient_covariance(data, equations, changed.residual)).copy()

    kept = data.basis.kept
    uncertain = np.zeros(len(kept))
    with blas_limited():
        for above, below, step in inference.along_errors():
            uncertain += np.square((variances(above) - variances(below)) / (2.0 * step))
    df = np.full(len(effects.names), np.nan)
    own = np.square(effects.standard_error[kept])
    df[kept] = np.divide(
        2.0 * own**2, uncertain, out=np.full(len(kept), np.inf), where=uncertain > 0.0
    )
    return replace(effects, degrees_of_freedom=df)
