"""Little's test of missing completely at random."""

from __future__ import annotations

import numbers
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2
from sklearn.exceptions import ConvergenceWarning

from emlearn._compat import Interval, StrOptions, validate_parameter_constraints
from emlearn._warnings import warn_user
from emlearn.data import column_label
from emlearn.distributions.gaussian.incomplete import PatternTable, find_patterns
from emlearn.distributions.gaussian.scaling import ColumnScaling, summarize_columns
from emlearn.engine import EMResult, RemainingGain, Status, Threads, find_accelerator, run_em
from emlearn.engine.threads import available_threads, blas_limited
from emlearn.impute._fitting import Outcome, Settings, fit_model
from emlearn.impute._imputer import MissingDataImputerEM

Array = NDArray[np.float64]
Floats = NDArray[np.floating]

# Close enough to maximum likelihood for six digits of the statistic.
_TOL = 1e-12
_MAX_ITER = 10_000
# With a smaller eigenvalue of the correlations, distances have no correct digits.
_SINGULAR = 1e-10
# Pseudo-rows with which even a singular fit converges, and an eigenvalue that then shows a
# dependence.
_WEAK = 1e-6
# Degrees of freedom within patterns, relative to those of the statistic, with fewer of which the
# p-value means nothing, or little.
_TOO_FEW = 0.1
_FEW = 1.0


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
        1 if there is nothing to test.
    n_patterns : int
        Number of patterns with observed entries, among the columns that vary.
    """

    statistic: float
    df: int
    pvalue: float
    n_patterns: int


def little_mcar_test(
    X: Any, *, alpha: Any = 0, sample_weight: Any = None, missing_values: Any = np.nan
) -> LittleTestResult:
    """Test whether entries are missing completely at random.

    The test compares the mean of each pattern of missing entries with the maximum-likelihood
    mean. The statistic is the sum over patterns of n_p (m_p - mu_o)' inv(Sigma_oo) (m_p - mu_o).
    Under the null hypothesis its distribution tends to a chi-squared distribution. The degrees
    of freedom are the numbers of observed columns, summed over the patterns, minus the number
    of columns.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n_samples, n_features)
        Data. Rows without any observed entry, and columns that are constant or empty, are left
        out.
    alpha : "auto" or float, default=0
        Prior of `MissingDataImputerEM`. 0 is the published test. With few rows for the number
        of columns, a prior is needed to keep the covariance from becoming singular.
    sample_weight : array-like of shape (n_samples,), default=None
        How often each row was observed: weight w means w copies, each an independent row. Weights
        of other kinds, such as those of a survey, give no valid p-value.
    missing_values : number, NaN or pandas.NA, default=NaN
        What marks a missing entry, as in `MissingDataImputerEM`.

    Returns
    -------
    result : LittleTestResult
        Statistic, degrees of freedom, p-value and number of patterns.

    Raises
    ------
    ValueError
        If the data are not a numeric table, or their maximum-likelihood covariance is singular (for
        example because columns depend on each other exactly).

    Warns
    -----
    UserWarning
        If patterns have few rows, or nearly every row has its own pattern. See the notes.

    Notes
    -----
    The covariance is estimated from the same rows, whose squared distances always sum to the
    number of observed entries. So only the rows within patterns let the statistic vary. Let f
    be the sum over patterns of (n_p - 1) times the number of observed columns. The variance of
    the statistic is about f / (f + df) of that of a chi-squared distribution. If f < df, the
    test rejects too seldom, and a warning says so. If f < df / 10, it says that the p-value means
    nothing. Fewer columns have fewer patterns.

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
    validate_parameter_constraints(_CONSTRAINTS, {"alpha": alpha}, caller_name="little_mcar_test")
    reader = MissingDataImputerEM(model="gaussian", alpha=alpha, missing_values=missing_values)
    table, weight = reader._read(X, sample_weight)
    if weight is not None:
        table, weight = table[weight > 0.0], weight[weight > 0.0]
    columns = summarize_columns(table, weight)
    varying = np.flatnonzero(~columns.constant)
    if varying.size == 0:
        return LittleTestResult(0.0, 0, 1.0, 0)
    table = np.ascontiguousarray(table[:, varying], dtype=np.float64)
    patterns = find_patterns(np.isnan(table)).observed()
    n_observed = (~patterns.mask).sum(axis=1)
    df = int(n_observed.sum()) - varying.size
    if df <= 0:
        return LittleTestResult(0.0, 0, 1.0, n_observed.size)
    sizes = _sizes(patterns, weight)
    _check_rows(sizes, n_observed, df)
    scaling = ColumnScaling(*(part[varying] for part in columns.scaling))
    labels = [column_label(reader, int(i)) for i in varying]
    settings = Settings(1, None, alpha)
    with blas_limited():
        outcome = fit_model(table, weight, scaling, settings, _run)
        if alpha == 0.0 and not _usable(outcome):
            # Rounding decides whether a singular fit converges; a weak prior shows the reason.
            weak = fit_model(table, weight, scaling, settings._replace(alpha=_WEAK), _run)
            if _usable(weak):
                _refuse_dependent(weak, labels, _WEAK)
    _check_fit(outcome, labels, maximum_likelihood=outcome.alpha == 0.0)
    statistic = _statistic(scaling.standardize(table), weight, patterns, outcome)
    return LittleTestResult(statistic, df, float(chi2.sf(statistic, df)), n_observed.size)


def _run(model: Any, data: Any, start: Any) -> EMResult:
    return run_em(
        model,
        data,
        model.initialize(data, np.random.default_rng(0)),
        convergence=RemainingGain(_TOL),
        max_iter=_MAX_ITER,
        accelerator=find_accelerator("auto"),
        mapper=Threads(available_threads()),
    )


_CONSTRAINTS = {"alpha": [StrOptions({"auto"}), Interval(numbers.Real, 0, None, closed="left")]}


def _sizes(patterns: PatternTable, weight: Array | None) -> Array:
    """Number of rows of each pattern."""
    if weight is None:
        return np.diff(patterns.edges).astype(np.float64)
    return np.add.reduceat(weight[patterns.order], patterns.edges[:-1])


def _statistic(
    rows: Array, weight: Array | None, patterns: PatternTable, outcome: Outcome
) -> float:
    assert outcome.fitted is not None
    mean, covariance = outcome.best.params
    statistic = 0.0
    for i, mask in enumerate(patterns.mask):
        observed = np.flatnonzero(~mask)
        members = patterns.order[patterns.edges[i] : patterns.edges[i + 1]]
        copies = np.ones(members.size) if weight is None else weight[members]
        gap = copies @ rows[np.ix_(members, observed)] / copies.sum() - mean[observed]
        within = covariance[np.ix_(observed, observed)]
        statistic += float(copies.sum() * (gap @ np.linalg.solve(within, gap)))
    return statistic


def _check_rows(sizes: Array, n_observed: NDArray[Any], df: int) -> None:
    """Warn if patterns have few rows, or so few that the statistic means nothing."""
    within = float((np.maximum(sizes - 1.0, 0.0) * n_observed).sum())
    found = f"{sizes.sum():.6g} rows have {sizes.size} patterns of missing entries"
    if within < _TOO_FEW * df:
        warn_user(
            f"Little's test says nothing here: it needs patterns with several rows, but {found}. "
            "Whatever the data, the statistic is close to the number of observed entries, "
            f"{sizes @ n_observed:.6g}. Test fewer columns at a time.",
            UserWarning,
        )
    elif within < _FEW * df:
        warn_user(
            f"{found}, with few rows each: Little's test has little power here and its p-value "
            "is too large. Test fewer columns at a time.",
            UserWarning,
        )


def _usable(outcome: Outcome) -> bool:
    return outcome.best.params is not None and outcome.best.status.usable


def _refuse_dependent(outcome: Outcome, labels: list[str], smallest: float) -> None:
    """Raise if an eigenvalue of the correlations is below a limit; names the columns involved."""
    covariance = outcome.best.params.covariance
    deviation = np.sqrt(np.diagonal(covariance))
    values, vectors = np.linalg.eigh(covariance / deviation[:, None] / deviation)
    if values[0] >= smallest:
        return
    size = np.abs(vectors[:, 0])
    involved = [labels[i] for i in np.flatnonzero(size > 0.1 * size.max())]
    raise ValueError(
        "Little's test needs a maximum-likelihood covariance that is not singular, but "
        f"columns depend on each other exactly: {', '.join(involved)}. Leave one of them "
        "out, or set alpha='auto'."
    )


def _check_fit(outcome: Outcome, labels: list[str], *, maximum_likelihood: bool) -> None:
    """Raise if the covariance is singular to working precision."""
    best = outcome.best
    if not _usable(outcome):
        raise ValueError(
            f"Little's test needs the maximum-likelihood covariance, but {best.message}: there "
            "are too few rows for the number of columns, or columns depend on each other "
            "exactly. Leave columns out, or set alpha='auto'."
        )
    if maximum_likelihood:
        _refuse_dependent(outcome, labels, _SINGULAR)
    if best.status is Status.MAX_ITER:
        warn_user(
            "The fit did not converge, because very many entries are missing; the statistic of "
            "Little's test may be inaccurate.",
            ConvergenceWarning,
        )
