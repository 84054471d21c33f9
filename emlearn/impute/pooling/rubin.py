"""Rubin's rules: one answer from the analyses of several imputed data sets."""

from __future__ import annotations

import importlib
import numbers
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from emlearn.data import as_numbers
from emlearn.data.summary import Summary, summary_table
from emlearn.impute.pooling.estimates import read_estimates, read_variances
from emlearn.impute.pooling.information import information_interval
from emlearn.impute.pooling.joint_tests import JointTest, wald_test

Array = NDArray[np.float64]

# Columns of the summary, and what they are called there.
_COLUMNS = {
    "estimate": "estimate",
    "standard_error": "std error",
    "df": "df",
    "pvalue": "p-value",
    "low": "low",
    "high": "high",
    "fraction_missing_information": "fmi",
}


@dataclass(frozen=True)
class PooledEstimates:
    """Result of `pool_estimates`; each array has one entry per estimate.

    Attributes
    ----------
    estimate : ndarray of shape (n_estimates,)
        Mean over the imputations.
    standard_error : ndarray of shape (n_estimates,)
        Square root of the total variance.
    df : ndarray of shape (n_estimates,)
        Degrees of freedom of the t distribution of (estimate - truth) / standard_error.
    interval : ndarray of shape (n_estimates, 2)
        Confidence interval.
    pvalue : ndarray of shape (n_estimates,)
        Two-sided p-value of the hypothesis that the quantity is 0.
    fraction_missing_information : ndarray of shape (n_estimates,)
        Fraction of the information about the quantity that is lost with the missing entries.
    within_variance, between_variance : ndarray of shape (n_estimates,)
        Mean of the variances, and variance of the estimates over the imputations.
    n_imputations : int
        Number of imputations.
    confidence : float
        Level of the interval.
    names : tuple of str or None
        Names of the estimates, if they have any.
    df_complete : float or None
        Degrees of freedom without missing entries, if given.
    """

    estimate: Array
    standard_error: Array
    df: Array
    interval: Array
    pvalue: Array
    fraction_missing_information: Array
    within_variance: Array
    between_variance: Array
    n_imputations: int
    confidence: float
    names: tuple[str, ...] | None = None
    df_complete: float | None = None
    _estimates: Array = field(default_factory=lambda: np.empty((0, 0)), repr=False)
    _covariances: Array | None = field(default=None, repr=False)

    @property
    def fraction_missing_information_interval(self) -> Array:
        """Confidence interval of the fraction, of shape (n_estimates, 2).

        It is computed on the logit scale, where the standard error is ``sqrt(2 / n_imputations)``
        (Harel 2007): the fraction needs many more imputations than the estimate.
        """
        return information_interval(
            self.fraction_missing_information, self.n_imputations, self.confidence
        )

    def wald_test(self, constraints: Any = None, value: Any = 0.0) -> JointTest:
        """Test of several parameters at once (D1).

        Parameters
        ----------
        constraints : array-like of shape (n_constraints, n_estimates) or list of str, default=None
            Matrix R of the hypothesis ``R @ parameters = value``, or the names of the estimates
            that have this value. None means all of them.
        value : float or array-like of shape (n_constraints,), default=0.0
            Values under the hypothesis.

        Returns
        -------
        test : JointTest
            F test. The denominator has the degrees of freedom of Reiter (2007) if `df_complete`
            is known, otherwise those of Li, Raghunathan and Rubin (1991).

        Raises
        ------
        ValueError
            If no covariance matrices were given to `pool_estimates`, or the constraints are
            linearly dependent or do not match the estimates.

        References
        ----------
        K. H. Li, T. E. Raghunathan and D. B. Rubin (1991). "Large-sample significance levels from
        multiply imputed data using moment-based statistics and an F reference distribution".
        JASA 86(416), 1065-1073.
        J. P. Reiter (2007). "Small-sample degrees of freedom for multi-component significance
        tests with multiple imputation for missing data". Biometrika 94(2), 502-508.
        """
        if self._covariances is None:
            raise ValueError(
                "A joint test needs the covariances of the estimates: give pool_estimates matrices "
                "of shape (n_imputations, n_estimates, n_estimates) as variances."
            )
        matrix = self._matrix(constraints)
        level = np.broadcast_to(as_numbers(value, "value"), len(matrix))
        return wald_test(self._estimates, self._covariances, matrix, level, self.df_complete)

    def _matrix(self, constraints: Any) -> Array:
        p = self.estimate.size
        if constraints is None:
            return np.eye(p)
        if isinstance(constraints, str):
            constraints = [constraints]
        if all(isinstance(name, str) for name in constraints):
            names = self.names or ()
            unknown = [name for name in constraints if name not in names]
            if unknown:
                raise ValueError(f"No estimate is named {unknown[0]!r}; names are {list(names)}.")
            return np.eye(p)[[names.index(name) for name in constraints]]
        matrix = np.atleast_2d(as_numbers(constraints, "constraints"))
        if matrix.ndim != 2 or matrix.shape[1] != p:
            raise ValueError(
                f"constraints must have {p} columns, one for each estimate; got shape "
                f"{matrix.shape}."
            )
        return matrix

    def to_frame(self) -> Any:
        """The results as a DataFrame of pandas.

        Returns
        -------
        frame : DataFrame
            One row for each estimate; its columns have the names of the attributes, with "low"
            and "high" for the interval.
        """
        pandas = importlib.import_module("pandas")
        columns = {name: self._column(name) for name in _COLUMNS}
        return pandas.DataFrame(columns, index=None if self.names is None else list(self.names))

    def summary(self) -> Summary:
        """The results as text.

        Returns
        -------
        summary : str
            A table with one row for each estimate.
        """
        names = self.names or [str(i) for i in range(self.estimate.size)]
        columns = {title: self._column(name) for name, title in _COLUMNS.items()}
        footer = f"{self.n_imputations} imputations, {100 * self.confidence:g} % intervals"
        return summary_table(names, columns, footer)

    def __str__(self) -> str:
        return str(self.summary())

    def _column(self, name: str) -> Array:
        ends = {"low": self.interval[:, 0], "high": self.interval[:, 1]}
        return ends[name] if name in ends else getattr(self, name)


def pool_estimates(
    estimates: Any, variances: Any, *, df_complete: float | None = None, confidence: float = 0.95
) -> PooledEstimates:
    """Pool the estimates from several imputed data sets by Rubin's rules.

    Parameters
    ----------
    estimates : array-like of shape (n_imputations, n_estimates) or (n_imputations,)
        Estimates from each imputed data set. Names are kept: those of the columns of a DataFrame,
        the keys of a dict of lists, or those of a dict or Series for each imputation.
    variances : array-like of the shape of `estimates`, or (n_imputations, n_estimates, n_estimates)
        Their squared standard errors, matched by name if they have names; or their covariance
        matrices (also as a list of DataFrames), which `PooledEstimates.wald_test` needs.
    df_complete : float, default=None
        Degrees of freedom that the analysis would have without missing entries, such as
        n - p of a regression. Then the degrees of freedom are those of Barnard and Rubin, which
        are also valid for small samples. None means infinite, which gives Rubin's.
    confidence : float, default=0.95
        Level of the intervals.

    Returns
    -------
    pooled : PooledEstimates
        Estimates, standard errors, intervals and fractions of missing information.

    Raises
    ------
    ValueError
        If the shapes differ, there are fewer than two imputations, an entry is not finite,
        a variance is negative, or `df_complete` or `confidence` is out of range.

    References
    ----------
    D. B. Rubin (1987). "Multiple Imputation for Nonresponse in Surveys". Wiley.
    J. Barnard and D. B. Rubin (1999). "Small-sample degrees of freedom with multiple
    imputation". Biometrika 86(4), 948-955.

    Examples
    --------
    >>> from emlearn.impute import pool_estimates
    >>> pooled = pool_estimates([1.0, 1.2, 0.9], [0.04, 0.05, 0.04], df_complete=97)
    >>> pooled.estimate.round(3), pooled.standard_error.round(3)
    (array([1.033]), array([0.273]))

    With names and covariance matrices, there are a table and joint tests:

    >>> fits = [{"age": 0.31, "dose": 1.2}, {"age": 0.28, "dose": 1.5}, {"age": 0.3, "dose": 1.1}]
    >>> covariance = [[0.01, 0.02], [0.02, 0.25]]
    >>> pooled = pool_estimates(fits, [covariance] * 3, df_complete=97)
    >>> pooled.summary()
          estimate  std error     df   p-value      low    high      fmi
    age     0.2967     0.1015  88.48  0.004419  0.09489  0.4984  0.05138
    dose     1.267     0.5548  32.71   0.02905   0.1376   2.396   0.2332
    3 imputations, 95 % intervals
    >>> round(pooled.wald_test(["age", "dose"]).pvalue, 4)
    0.0119
    """
    values, names = read_estimates(estimates, "estimates")
    squares, matrices = read_variances(variances, values, names)
    m = values.shape[0]
    if m < 2:
        raise ValueError(f"At least 2 imputations are needed, got {m}.")
    if df_complete is not None and not (_is_real(df_complete) and df_complete > 0.0):
        raise ValueError(f"df_complete must be a positive number or None, got {df_complete!r}.")
    if not (_is_real(confidence) and 0.0 < confidence < 1.0):
        raise ValueError(f"confidence must be between 0 and 1, got {confidence!r}.")
    with np.errstate(over="ignore", invalid="ignore"):
        estimate, within = values.mean(axis=0), squares.mean(axis=0)
        between = values.var(axis=0, ddof=1)
        extra = (1.0 + 1.0 / m) * between
        total = within + extra
    if not (np.isfinite(total).all() and np.isfinite(estimate).all()):
        raise ValueError("estimates or variances are so large that their squares overflow.")
    with np.errstate(divide="ignore", invalid="ignore"):
        fraction = np.where(total > 0.0, extra / total, 0.0)
        df = (m - 1.0) / fraction**2
        if df_complete is not None and np.isfinite(df_complete):
            observed = (df_complete + 1.0) / (df_complete + 3.0) * df_complete * (1.0 - fraction)
            df = 1.0 / (fraction**2 / (m - 1.0) + 1.0 / observed)
        increase = np.where(within > 0.0, extra / within, np.inf)
        lost = (increase + 2.0 / (df + 3.0)) / (increase + 1.0)
        error = np.sqrt(total)
        ratio = np.abs(estimate) / error
    lost = np.where(extra == 0.0, 0.0, np.where(np.isfinite(increase), lost, 1.0))
    with np.errstate(invalid="ignore"):
        pvalue = 2.0 * student.sf(ratio, df)
    pvalue = np.where(np.isnan(pvalue), 1.0, pvalue)
    pvalue = np.where(error > 0.0, pvalue, np.where(estimate == 0.0, 1.0, 0.0))
    with np.errstate(invalid="ignore"):
        half = student.ppf(0.5 + confidence / 2.0, df) * error
    # Without any variance within imputations, no degrees of freedom may be left.
    half = np.where(error == 0.0, 0.0, np.where(np.isnan(half), np.inf, half))
    interval = np.stack((estimate - half, estimate + half), axis=1)
    df_known = None if df_complete is None else float(df_complete)
    return PooledEstimates(
        estimate,
        error,
        df,
        interval,
        pvalue,
        lost,
        within,
        between,
        m,
        confidence,
        names,
        df_known,
        values,
        matrices,
    )


def _is_real(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
