"""Little's test of missing completely at random."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from emlearn.distributions.gaussian.incomplete import find_patterns
from emlearn.impute._imputer import MissingDataImputerEM

# Maximum likelihood close enough for six digits of the statistic.
_TOL = 1e-12
_MAX_ITER = 10_000


class LittleTestResult(NamedTuple):
    """Result of `little_mcar_test`.

    Attributes
    ----------
    statistic : float
        Little's d-squared.
    df : int
        Degrees of freedom.
    pvalue : float
        Probability of a larger statistic if entries are missing completely at random;
        1 where there is nothing to test.
    n_patterns : int
        Number of patterns with something observed.
    """

    statistic: float
    df: int
    pvalue: float
    n_patterns: int


def little_mcar_test(X: Any, *, prior: Any = None) -> LittleTestResult:
    """Test whether entries are missing completely at random.

    Compares the mean of each pattern of missing entries with the maximum-likelihood mean:
    the statistic is the sum over patterns of n_p (m_p - mu_o)' inv(Sigma_oo) (m_p - mu_o),
    which under the null hypothesis tends to a chi-squared distribution with as many degrees
    of freedom as the patterns have observed columns in all, less the number of columns.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n_samples, n_features)
        Data; NaN, None and pandas.NA are missing. Rows with nothing observed, and columns
        that are constant or empty, are left out.
    prior : "auto", float or None, default=None
        Prior of `MissingDataImputerEM`. None is the test as published; with few rows for
        the number of columns a prior is needed for a covariance that is not singular.

    Returns
    -------
    result : LittleTestResult
        Statistic, degrees of freedom, p-value and number of patterns.

    Raises
    ------
    ValueError
        If the data are no numeric table, or their maximum-likelihood covariance is singular.

    References
    ----------
    R. J. A. Little (1988). "A test of missing completely at random for multivariate data
    with missing values". Journal of the American Statistical Association 83(404),
    1198-1202.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.impute import little_mcar_test
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2))
    >>> X[X[:, 0] > 0.5, 1] = np.nan
    >>> little_mcar_test(X).pvalue < 0.001
    True
    """
    imputer = MissingDataImputerEM(prior=prior, tol=_TOL, max_iter=_MAX_ITER)
    table = imputer._read_and_fit(X, None)[:, imputer._varying].astype(np.float64)
    if imputer._fitted is None:
        return LittleTestResult(0.0, 0, 1.0, int(table.shape[0] > 0))
    _, params, frame = imputer._fitted
    rows = frame.standardize(table)
    missing = np.isnan(table)
    statistic, n_observed, n_patterns = 0.0, 0, 0
    patterns = find_patterns(missing)
    for i, mask in enumerate(patterns.mask):
        observed = np.flatnonzero(~mask)
        if observed.size == 0:
            continue
        members = patterns.order[patterns.edges[i] : patterns.edges[i + 1]]
        gap: NDArray[np.float64] = rows[members].mean(axis=0)[observed] - params.means[0, observed]
        within = params.covariances[0][np.ix_(observed, observed)]
        statistic += members.size * float(gap @ np.linalg.solve(within, gap))
        n_observed += observed.size
        n_patterns += 1
    df = n_observed - table.shape[1]
    pvalue = float(chi2.sf(statistic, df)) if df > 0 else 1.0
    return LittleTestResult(statistic, df, pvalue, n_patterns)
