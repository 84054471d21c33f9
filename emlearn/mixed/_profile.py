"""Profile-likelihood intervals of variance components."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import chi2
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from emlearn._warnings import warn_user
from emlearn.data.summary import Summary, summary_table
from emlearn.engine.inference import FittedProblem
from emlearn.engine.threads import blas_limited
from emlearn.mixed._covariance import square_root
from emlearn.mixed._linear_mixed_model import LinearMixedModelEM
from emlearn.mixed._options import RESIDUAL

Array = NDArray[np.float64]

# Standard deviations below this part of their unit are 0, correlations this close to 1 are 1.
_ZERO = 1e-4
# Smallest unit of a random effect, as a part of the noise.
_SMALLEST_UNIT = 0.2
# Range of the search, in units; of the residual, of its logarithm.
_RANGE, _LOG_RANGE = 1e4, 10.0
# How exactly an end is to be found, in nats.
_TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class ProfileIntervals:
    """Intervals of standard deviations and correlations by the profile likelihood.

    Attributes
    ----------
    names : tuple of str
        "Subject[Days]" is the standard deviation of a random effect, "Subject[intercept, Days]"
        the correlation of two, "residual" the standard deviation of the residuals.
    estimate : ndarray of shape (n_estimates,)
        The estimates.
    interval : ndarray of shape (n_estimates, 2)
        Lower and upper ends; NaN for one that is not found. Squares of the ends for a standard
        deviation are those for the variance.
    confidence : float
        Level.
    """

    names: tuple[str, ...]
    estimate: Array
    interval: Array
    confidence: float

    def to_frame(self) -> Any:
        """The results as a DataFrame of pandas.

        Returns
        -------
        frame : DataFrame
            One row for each name, with columns "estimate", "low" and "high".
        """
        pandas = importlib.import_module("pandas")
        return pandas.DataFrame(self._columns(), index=list(self.names))

    def summary(self) -> Summary:
        """The results as text.

        Returns
        -------
        summary : str
            A table with one row for each name.
        """
        footer = f"{100 * self.confidence:g} % profile-likelihood intervals"
        return summary_table(self.names, self._columns(), footer)

    def __str__(self) -> str:
        return str(self.summary())

    def _columns(self) -> dict[str, Any]:
        low, high = self.interval.T
        return {"estimate": self.estimate, "low": low, "high": high}


def profile_intervals(
    model: LinearMixedModelEM,
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    groups: Any = None,
    *,
    confidence: float = 0.95,
) -> ProfileIntervals:
    """Intervals of standard deviations and correlations by the profile likelihood.

    An interval has all values that a likelihood-ratio test does not reject: those at which the
    likelihood, maximized over all other parameters, is not too far below its maximum. It need
    not be symmetric around the estimate, and may begin at 0; so it is better than an interval
    from standard errors if there are few levels.

    Parameters
    ----------
    model : LinearMixedModelEM
        Fitted model.
    X : array-like or DataFrame of shape (n_samples, n_features)
        The rows of the fit.
    y : array-like of shape (n_samples,)
        As for `fit`.
    sample_weight : array-like of shape (n_samples,), default=None
        As for `fit`.
    groups : array-like of shape (n_samples,), default=None
        As for `fit`.
    confidence : float, default=0.95
        Level.

    Returns
    -------
    intervals : ProfileIntervals
        Estimates, ends and a table.

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    TypeError
        If it is not a `LinearMixedModelEM`.
    ValueError
        If `confidence` is not between 0 and 1, variances are held by `fixed`, or the rows are
        not those of the fit.

    Warns
    -----
    ConvergenceWarning
        If an end is not found.

    See Also
    --------
    LinearMixedModelEM.inference : Intervals of variances and covariances from standard errors.

    Notes
    -----
    The likelihood is that of the fit: restricted with ``method="reml"``. The profile of lme4 is
    always that of maximum likelihood. An end is the smallest or largest value under the
    constraint that the likelihood is not below its limit [1]_: one search with derivatives,
    instead of many fits. A correlation with an effect whose variance is 0 has no interval.

    References
    ----------
    .. [1] M. C. Neale and M. B. Miller (1997). "The use of likelihood-based confidence intervals
       in genetic models". Behavior Genetics 27(2), 113-120.

    D. M. Bates, M. Mächler, B. Bolker and S. Walker (2015). "Fitting linear mixed-effects models
    using lme4". Journal of Statistical Software 67(1). Section 5.1.

    Examples
    --------
    >>> from emlearn import LinearMixedModelEM
    >>> from emlearn.datasets import load_dyestuff
    >>> from emlearn.mixed import profile_intervals
    >>> X, y = load_dyestuff(return_X_y=True, as_frame=True)
    >>> model = LinearMixedModelEM("Batch", method="ml").fit(X, y)
    >>> print(profile_intervals(model, X, y))
                      estimate    low   high
    Batch[intercept]     37.26   12.2  84.06
    residual             49.51  38.23  67.66
    95 % profile-likelihood intervals
    """
    if not isinstance(model, LinearMixedModelEM):
        raise TypeError(f"model must be a LinearMixedModelEM, got {type(model).__name__}.")
    check_is_fitted(model, "variance_components_")
    if not (isinstance(confidence, Real) and 0.0 < confidence < 1.0):
        raise ValueError(f"confidence must be between 0 and 1, got {confidence!r}.")
    if model.fixed:
        raise ValueError(
            "profile_intervals needs all variances free, but the model holds some by `fixed`."
        )
    problem = model._fitted_problem(X, y, sample_weight, groups)
    names, estimates, ends = [], [], []
    with blas_limited():
        for target in _targets(model):
            search = _Search(problem, target)
            names.append(target.label)
            estimates.append(search.published(search.objective(search.start)[0]))
            ends.append(search.interval(confidence))
    return ProfileIntervals(tuple(names), np.array(estimates), np.array(ends), float(confidence))


class _Target(NamedTuple):
    """A standard deviation (one effect of a term, or none for the residual) or a correlation."""

    label: str
    term: str
    effects: tuple[int, ...] = ()


def _targets(model: LinearMixedModelEM) -> Iterator[_Target]:
    for recipe in model._recipe.terms:
        name = recipe.name
        if not recipe.grouped:
            yield _Target(name, name, (0,))
            continue
        for a, column in enumerate(recipe.columns):
            yield _Target(f"{name}[{column}]", name, (a,))
        variances = np.diagonal(model.variance_components_[name])
        for a, b in np.argwhere(np.triu(recipe.pattern, 1)).tolist():
            if variances[a] > 0.0 and variances[b] > 0.0:
                yield _Target(f"{name}[{recipe.columns[a]}, {recipe.columns[b]}]", name, (a, b))
    yield _Target(RESIDUAL, RESIDUAL)


class _Search:
    """The search for the ends of an interval, in Cholesky factors of the covariances.

    The effects of interest come first in their term: a standard deviation is then the first
    entry of a factor, and a correlation depends on two. Entries are in units of the standard
    deviations of the fit. The last entry is the logarithm of the residual variance.
    """

    def __init__(self, problem: FittedProblem, target: _Target):
        self.target = target
        self.model, self.data, self.params = problem.model, problem.data, problem.params
        public = self.model.public(self.params)
        noise = self.model.public(self.model.initialize(self.data, np.random.default_rng(0)))
        self.residual = float(public[RESIDUAL])
        self.terms, self.slices, starts = {}, {}, []
        size = 0
        for name, pattern in zip(self.model.names, self.model.patterns, strict=True):
            first = target.effects if name == target.term else ()
            order = np.r_[first, np.delete(np.arange(len(pattern)), first)].astype(int)
            least = _SMALLEST_UNIT**2 * np.diagonal(noise[name])
            unit = np.sqrt(np.maximum(np.diagonal(public[name]), least))[order]
            entries = np.nonzero(np.tril(pattern[np.ix_(order, order)]))
            self.terms[name] = (order, unit, entries)
            self.slices[name] = slice(size, size + len(entries[0]))
            size += len(entries[0])
            starts.append(_cholesky(public[name][np.ix_(order, order)] / np.outer(unit, unit)))
            starts[-1] = starts[-1][entries]
        self.start = np.concatenate([*starts, np.zeros(1)])
        first_entry = self.slices[target.term].start if target.effects else size
        # Of a correlation, the two entries of the second row of the factor.
        self.at = [first_entry] if len(target.effects) < 2 else [first_entry + 1, first_entry + 2]

    # ---- what is maximized --------------------------------------------------------------------

    def objective(self, vector: Array) -> tuple[float, Array]:
        """Standard deviation in its unit, logarithm, or correlation; and its gradient."""
        gradient = np.zeros(len(vector))
        value = vector[self.at]
        if len(value) == 1:
            gradient[self.at] = 1.0
            return float(value[0]), gradient
        length = max(float(np.hypot(*value)), 1e-10)
        gradient[self.at] = np.array([value[1], -value[0]]) * value[1] / length**3
        return float(value[0]) / length, gradient

    def published(self, value: float) -> float:
        """The standard deviation or correlation."""
        if not self.target.effects:
            return float(np.sqrt(self.residual * np.exp(value)))
        if len(self.target.effects) == 2:
            return float(np.sign(value)) if abs(value) > 1.0 - _ZERO else value
        return float(self.terms[self.target.term][1][0]) * value if value > _ZERO else 0.0

    # ---- the constraint -----------------------------------------------------------------------

    def likelihood(self, vector: Array) -> tuple[float, Array]:
        """Log-likelihood and its gradient."""
        factors = {}
        public: dict[str, Any] = {RESIDUAL: self.residual * np.exp(vector[-1])}
        for name, (order, unit, entries) in self.terms.items():
            factor = np.zeros((len(order), len(order)))
            factor[entries] = vector[self.slices[name]]
            own = np.empty_like(factor)
            own[order] = unit[:, None] * factor
            factors[name], public[name] = factor, own @ own.T
        params = self.model.from_public(public, self.params)
        statistics, value = self.model.e_step(self.data, params)
        score = self.model.score(statistics, params)
        gradient = np.zeros(len(vector))
        gradient[-1] = float(score[RESIDUAL]) * public[RESIDUAL]
        for name, (order, unit, entries) in self.terms.items():
            toward = score[name][np.ix_(order, order)] * np.outer(unit, unit)
            gradient[self.slices[name]] = 2.0 * (toward @ factors[name])[entries]
        return value, gradient

    def bounds(self) -> list[tuple[float, float]]:
        """Pivots are not negative."""
        found = []
        for _, _, entries in self.terms.values():
            found += [(0.0 if i == j else -_RANGE, _RANGE) for i, j in zip(*entries, strict=True)]
        return [*found, (-_LOG_RANGE, _LOG_RANGE)]

    # ---- the search ---------------------------------------------------------------------------

    def interval(self, confidence: float) -> tuple[float, float]:
        """Both ends; NaN for one that is not found, with a warning."""
        limit = self.likelihood(self.start)[0] - 0.5 * float(chi2.ppf(confidence, 1))
        low, high = self._end(-1.0, limit), self._end(1.0, limit)
        if np.isnan(low) or np.isnan(high):
            warn_user(
                f"An end of the interval of {self.target.label} is not found: the likelihood may "
                "be too flat there. It is NaN.",
                ConvergenceWarning,
            )
        return low, high

    def _end(self, sign: float, limit: float) -> float:
        bounds = self.bounds()
        begin = self.start.copy()
        # Where a variance is 0, the likelihood is level.
        begin[self.at[0]] += 0.3 * sign
        # The value and its gradient are asked for one after the other.
        likelihood = lru_cache(maxsize=1)(lambda key: self.likelihood(np.frombuffer(key)))
        constraint: Any = {
            "type": "ineq",
            "fun": lambda vector: likelihood(vector.tobytes())[0] - limit,
            "jac": lambda vector: likelihood(vector.tobytes())[1],
        }
        search: Any = minimize
        found = search(
            lambda vector: -sign * self.objective(vector)[0],
            np.clip(begin, *np.transpose(bounds)),
            jac=lambda vector: -sign * self.objective(vector)[1],
            method="SLSQP",
            bounds=bounds,
            constraints=constraint,
            options={"ftol": 1e-10, "maxiter": 200},
        )
        value = self.published(self.objective(found.x)[0])
        left = self.likelihood(found.x)[0] - limit
        at_bound = bool(self.target.effects) and value in (-1.0, 0.0, 1.0)
        reached = abs(left) <= _TOLERANCE or (at_bound and left >= -_TOLERANCE)
        return value if reached else float("nan")


def _cholesky(matrix: Array) -> Array:
    """Lower triangular factor of a matrix that may be singular."""
    triangle = np.linalg.qr(square_root(matrix))[1]
    found: Array = triangle.T * np.where(np.diagonal(triangle) < 0.0, -1.0, 1.0)
    return found
