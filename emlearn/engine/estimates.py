"""Estimates with their covariance: intervals, tests, functions of them, tables."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import chi2, norm, t

from emlearn.data import as_numbers
from emlearn.data.summary import Summary, summary_table

Array = NDArray[np.float64]
Scale = Literal["auto", "natural"]

# Variances of independent constraints are larger than this part of the largest.
_SINGULAR = 1e-12


class WaldTest(NamedTuple):
    """Result of a Wald test.

    Attributes
    ----------
    statistic : float
        Statistic, compared with a chi-square distribution.
    df : int
        Degrees of freedom: number of constraints.
    pvalue : float
        Probability of a larger statistic under the hypothesis.
    """

    statistic: float
    df: int
    pvalue: float


@dataclass(frozen=True, eq=False)
class Estimates:
    """Estimates, their standard errors and their covariance.

    Attributes
    ----------
    names : tuple of str
        Name of each estimate.
    estimate : ndarray of shape (n_estimates,)
        The estimates.
    covariance : ndarray of shape (n_estimates, n_estimates)
        Covariance of the estimates; NaN where there is none.
    lower, upper : ndarray of shape (n_estimates,)
        Bounds of the parameters.
    remarks : tuple of str
        What is special about each estimate: empty, "fixed", "determined" (by the others),
        "at a bound", "not identified".
    notes : tuple of str
        Lines below the table.
    degrees_of_freedom : ndarray of shape (n_estimates,) or None
        Of the t distributions of tests and intervals; None: normal distributions.
    """

    names: tuple[str, ...]
    estimate: Array
    covariance: Array
    lower: Array
    upper: Array
    remarks: tuple[str, ...]
    notes: tuple[str, ...] = ()
    degrees_of_freedom: Array | None = None

    @property
    def standard_error(self) -> Array:
        """Standard errors, (n_estimates,); NaN where there is none."""
        return np.sqrt(np.diagonal(self.covariance))

    def confidence_interval(self, confidence: float = 0.95, scale: Scale = "auto") -> Array:
        """Wald intervals.

        Parameters
        ----------
        confidence : float, default=0.95
            Level.
        scale : {"auto", "natural"}, default="auto"
            Scale on which an estimate plus and minus its standard errors is taken. "auto": the
            logarithm for parameters above a bound, such as variances and rates, and the logit for
            those between two bounds, such as probabilities and correlations; so the interval
            stays within them, and its coverage is better in small samples. "natural": that of
            the parameter itself.

        Returns
        -------
        interval : ndarray of shape (n_estimates, 2)
            Lower and upper ends; NaN where there is no standard error.

        Raises
        ------
        ValueError
            If a parameter is out of range.
        """
        if not (isinstance(confidence, Real) and 0.0 < confidence < 1.0):
            raise ValueError(f"confidence must be between 0 and 1, got {confidence!r}.")
        if scale not in ("auto", "natural"):
            raise ValueError(f"scale must be 'auto' or 'natural', got {scale!r}.")
        quantile = self._quantile(0.5 + confidence / 2.0)
        half = np.reshape(quantile, (-1, 1)) * np.array([[-1.0, 1.0]])
        error = self.standard_error[:, None]
        natural = self.estimate[:, None] + half * error
        if scale == "natural":
            return natural
        at, low, high = self.estimate[:, None], self.lower[:, None], self.upper[:, None]
        above = np.isfinite(low) & np.isinf(high) & (at > low)
        between = np.isfinite(low) & np.isfinite(high) & (at > low) & (at < high)
        with np.errstate(all="ignore"):
            room = np.where(above, at - low, 1.0)
            logarithmic = low + room * np.exp(half * error / room)
            width = np.where(between, high - low, 1.0)
            part = np.where(between, (at - low) / width, 0.5)
            rate = error / (width * part * (1.0 - part))
            logistic = low + width * expit(logit(part) + half * rate)
        return np.where(above, logarithmic, np.where(between, logistic, natural))

    def wald_test(self, constraints: Any = None, value: Any = 0.0) -> WaldTest:
        """Test of a linear hypothesis about one or several estimates.

        Parameters
        ----------
        constraints : str, list of str, or array-like of shape (n_constraints, n_estimates), \
default=None
            Names of the estimates that have this value under the hypothesis; or a matrix R of
            the hypothesis ``R @ estimates = value``. None means all estimates.
        value : float or array-like of shape (n_constraints,), default=0.0
            Values under the hypothesis.

        Returns
        -------
        test : WaldTest
            Chi-square test.

        Raises
        ------
        ValueError
            If a name is unknown, an estimate has no standard error, the constraints are
            linearly dependent, or `value` is not finite or has another shape.
        """
        matrix = self._matrix(constraints)
        given = as_numbers(value, "value")
        if given.shape not in ((), (1,), (len(matrix),)) or not np.isfinite(given).all():
            raise ValueError(
                f"value must be finite, and one number or one for each of the {len(matrix)} "
                f"constraint(s); got {value!r}."
            )
        level = np.broadcast_to(given, len(matrix))
        used = (matrix != 0.0).any(axis=0)
        lacking = used & ~np.isfinite(self.standard_error)
        if lacking.any():
            j = int(np.flatnonzero(lacking)[0])
            raise ValueError(
                f"{self.names[j]} has no standard error ({self.remarks[j]}), so there is no Wald "
                "test of it. Compare the likelihoods of two fits instead."
            )
        own = matrix[:, used]
        difference = own @ self.estimate[used] - level
        variance = own @ self.covariance[np.ix_(used, used)] @ own.T
        deviation = np.sqrt(np.diagonal(variance))
        if not (deviation > 0.0).all():
            raise ValueError("constraints has a row without any parameter in it.")
        values, vectors = np.linalg.eigh(variance / deviation[:, None] / deviation)
        if values[0] <= _SINGULAR * values[-1]:
            raise ValueError("The constraints are linearly dependent: leave some out.")
        projected = vectors.T @ (difference / deviation)
        statistic = float((projected**2 / values).sum())
        return WaldTest(statistic, len(matrix), float(chi2.sf(statistic, len(matrix))))

    def _matrix(self, constraints: Any) -> Array:
        n = len(self.names)
        if constraints is None:
            return np.eye(n)
        if isinstance(constraints, str):
            constraints = [constraints]
        named = isinstance(constraints, Sequence) or getattr(constraints, "ndim", 0) == 1
        if named and len(constraints) and all(isinstance(name, str) for name in constraints):
            unknown = [name for name in constraints if name not in self.names]
            if unknown:
                raise ValueError(
                    f"No estimate is named {unknown[0]!r}; names are {', '.join(self.names)}."
                )
            return np.eye(n)[[self.names.index(name) for name in constraints]]
        matrix = np.atleast_2d(as_numbers(constraints, "constraints"))
        if matrix.ndim != 2 or matrix.shape[1] != n or not len(matrix):
            raise ValueError(
                f"constraints must have {n} columns, one for each estimate; got shape "
                f"{matrix.shape}. Names of estimates do as well."
            )
        if not np.isfinite(matrix).all():
            raise ValueError("constraints must be finite.")
        return matrix

    def to_frame(self, confidence: float = 0.95) -> Any:
        """The results as a DataFrame of pandas.

        Parameters
        ----------
        confidence : float, default=0.95
            Level of the intervals.

        Returns
        -------
        frame : DataFrame
            One row for each estimate, with columns "estimate", "standard_error", "z" (or "t" and
            "df", if there are degrees of freedom), "pvalue", "low", "high" and "remark". z and
            its two-sided p-value are about the hypothesis that the parameter is 0. They are NaN
            where 0 is a bound of it, as of variances and probabilities: a Wald test does not hold
            there.
        """
        pandas = importlib.import_module("pandas")
        return pandas.DataFrame(self._columns(confidence), index=list(self.names))

    def summary(self, confidence: float = 0.95) -> Summary:
        """The results as text.

        Parameters
        ----------
        confidence : float, default=0.95
            Level of the intervals.

        Returns
        -------
        summary : str
            A table with one row for each estimate.
        """
        columns: dict[str, Sequence[Any]] = dict(self._columns(confidence))
        titles = {"standard_error": "std error", "pvalue": "p-value", "remark": ""}
        shown = {
            titles.get(name, name): [
                "" if isinstance(value, float) and np.isnan(value) else value for value in column
            ]
            for name, column in columns.items()
        }
        if not any(self.remarks):
            del shown[""]
        footer = [f"{100 * confidence:g} % intervals", *self.notes]
        return summary_table(self.names, shown, footer)

    def __str__(self) -> str:
        return str(self.summary())

    def _quantile(self, probability: float) -> Any:
        if self.degrees_of_freedom is None:
            return norm.ppf(probability)
        return t.ppf(probability, self.degrees_of_freedom)

    def _columns(self, confidence: float) -> dict[str, Any]:
        interval = self.confidence_interval(confidence)
        error = self.standard_error
        inside = (self.lower < 0.0) & (self.upper > 0.0) & (error > 0.0)
        z = np.divide(self.estimate, error, out=np.full(len(error), np.nan), where=inside)
        df = self.degrees_of_freedom
        tests = {"z": z} if df is None else {"t": z, "df": df}
        beyond = norm.sf(np.abs(z)) if df is None else t.sf(np.abs(z), df)
        return {
            "estimate": self.estimate,
            "standard_error": error,
            **tests,
            "pvalue": 2.0 * beyond,
            "low": interval[:, 0],
            "high": interval[:, 1],
            "remark": list(self.remarks),
        }


def flatten_estimates(value: Any, name: str) -> tuple[list[str], Array]:
    """Names and values of numbers, arrays or dicts of them that a function returned."""
    if isinstance(value, Mapping):
        names: list[str] = []
        parts = []
        for key, own in value.items():
            more, array = flatten_estimates(own, str(key))
            names += more
            parts.append(array)
        return names, np.concatenate(parts) if parts else np.zeros(0)
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"The function must return a number, an array of numbers or a dict of these; {name!r} "
            f"is {value!r}."
        ) from None
    if array.ndim == 0:
        return [name], array.reshape(1)
    labels = [f"{name}[{', '.join(map(str, index))}]" for index in np.ndindex(array.shape)]
    return labels, array.ravel()
