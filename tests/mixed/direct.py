"""Mixed models from their definition: dense matrices of all rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Direct(NamedTuple):
    """All results at given variances."""

    log_likelihood: float
    coefficients: Any
    covariance: Any
    effects: list[Any]
    errors: list[Any]
    conditional_errors: list[Any]


def design_of(term: Any) -> tuple[Any, Any]:
    """Design of all effects of a term, level after level, and covariance of the levels."""
    n, q = term.basis.shape
    if not term.grouped:
        return term.basis, np.eye(q)
    n_levels = len(term.levels)
    design = np.zeros((n, n_levels * q))
    for row, level in enumerate(term.index):
        design[row, level * q : (level + 1) * q] = term.basis[row]
    if term.kinship is None:
        return design, np.eye(n_levels)
    root = term.kinship.square_root()
    return design, root @ root.T


def direct(X, terms, y, covariances, residual, *, weight=None, precision=False, restricted=True):
    """Likelihood, fixed effects and predictions from their formulas.

    Copies are counted by repeating rows, so that weights of this kind must be whole numbers.
    """
    X, y = np.asarray(X, float), np.asarray(y, float)
    designs = [design_of(term) for term in terms]
    variances = np.ones(len(y))
    if weight is not None and precision:
        variances = 1.0 / weight
    elif weight is not None:
        rows = np.repeat(np.arange(len(y)), weight.astype(int))
        X, y, variances = X[rows], y[rows], variances[rows]
        designs = [(design[rows], kinship) for design, kinship in designs]
    blocks = [
        np.kron(kinship, covariance)
        for (_, kinship), covariance in zip(designs, covariances, strict=True)
    ]
    V = residual * np.diag(variances)
    for (design, _), block in zip(designs, blocks, strict=True):
        V = V + design @ block @ design.T
    inverse = np.linalg.inv(V)
    information = X.T @ inverse @ X
    covariance = np.linalg.inv(information)
    coefficients = covariance @ X.T @ inverse @ y
    r = y - X @ coefficients
    n, p = X.shape
    value = np.linalg.slogdet(V)[1] + r @ inverse @ r
    value += (n - p if restricted else n) * np.log(2 * np.pi)
    if restricted:
        value += np.linalg.slogdet(information)[1]
    P = inverse - inverse @ X @ covariance @ X.T @ inverse
    effects, errors, conditional = [], [], []
    for (design, _), block in zip(designs, blocks, strict=True):
        effects.append(block @ design.T @ inverse @ r)
        errors.append(block - block @ design.T @ P @ design @ block)
        conditional.append(block - block @ design.T @ inverse @ design @ block)
    return Direct(-0.5 * value, coefficients, covariance, effects, errors, conditional)
