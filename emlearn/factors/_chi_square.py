"""Chi-square test of the fit of a factor analysis."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from emlearn.distributions.gaussian.single import OneGaussian
from emlearn.engine import RemainingGain, find_accelerator, search
from emlearn.engine.threads import blas_limited

Array = NDArray[np.float64]

_PER_ROW = 1e-10


class FitTest(NamedTuple):
    """Test of a factor analysis against an unrestricted covariance.

    Attributes
    ----------
    statistic : float
        Likelihood ratio, with Bartlett's correction.
    df : int
        Degrees of freedom.
    pvalue : float
        Probability of a larger statistic if the factor analysis is true.
    criterion : float
        Twice the difference of the mean log-likelihoods of a row.
    """

    statistic: float
    df: int
    pvalue: float
    criterion: float


def compare_with_unrestricted(
    rows: Array,
    weight: Array | None,
    log_likelihood: float,
    n_components: int,
    n_parameters: int,
    isotropic: bool,
) -> FitTest:
    """Likelihood ratio of a fit and an unrestricted Gaussian; see `FactorAnalysisEM`.

    Raises
    ------
    ValueError
        If the covariance is not more general, or its estimate is singular.
    """
    d = rows.shape[1]
    df = d * (d + 3) // 2 - n_parameters
    if df < 1:
        raise ValueError(
            f"A factor analysis of {d} columns with {n_components} factors has as many parameters "
            "as an unrestricted covariance: there is nothing to test. Use fewer factors."
        )
    total = float(len(rows)) if weight is None else float(weight.sum())
    saturated = _unrestricted(rows, weight)
    criterion = max(0.0, 2.0 * (saturated - log_likelihood) / total)
    factor = total
    if not isotropic:
        factor = total - 1.0 - (2.0 * d + 5.0) / 6.0 - 2.0 * n_components / 3.0
    if factor <= 0.0:
        raise ValueError(
            f"{total:g} rows are too few for a test with {d} columns and {n_components} factors."
        )
    statistic = factor * criterion
    return FitTest(statistic, df, float(chi2.sf(statistic, df)), criterion)


def _unrestricted(rows: Array, weight: Array | None) -> float:
    """Largest log-likelihood of a Gaussian with any covariance."""
    model = OneGaussian()
    with blas_limited():
        data = model.prepare(rows, weight)
        found = search(
            model,
            data,
            seeds=[np.random.SeedSequence(0)],
            convergence=RemainingGain(_PER_ROW),
            max_iter=5000,
            accelerator=find_accelerator("auto"),
        )
        best = found.best
        usable = best.status.usable and best.params is not None
        # A singular covariance has no likelihood; rounding makes it nearly so.
        if usable:
            covariance = best.params.covariance
            deviation = np.sqrt(np.diagonal(covariance))
            least = np.linalg.eigvalsh(covariance / np.outer(deviation, deviation))[0]
            usable = bool(least > 1e-11)
    if not usable:
        raise ValueError(
            "The covariance of the rows is singular (too few rows, or columns that depend on each "
            "other): a factor analysis cannot be tested against it."
        )
    return float(best.objective)
