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
from emlearn.engine.errors import DegenerateModelError
from emlearn.engine.threads import blas_limited
from emlearn.mixed._data import MixedData
from emlearn.mixed._linear_mixed_model import LinearMixedModelEM
from emlearn.mixed._model import MixedModel
from emlearn.mixed._params import RESIDUAL, MixedParams

Array = NDArray[np.float64]

# Standard deviations below this part of their unit are 0, correlations this close to 1 are 1.
_ZERO = 1e-4
# Smallest unit of a factor, as a part of the noise.
_SMALLEST_UNIT = 0.2
# Smallest singular value of a factor.
_SMALLEST = 1e-5
# How far from the estimates a search begins, and the smallest pivot of interest, in units; one
# after another until one succeeds. A search may end at a pivot of 0, where the likelihood has no
# slope, although the end is a little above.
_ATTEMPTS = ((0.3, 0.0), (0.05, 0.01), (1.0, 0.1))
# Range of the search, in units; of the residual, of its logarithm.
_RANGE, _LOG_RANGE = 1e4, 10.0
# How exactly an end is to be found, in nats.
_TOLERANCE = 1e-4
# Below all likelihoods, in nats.
_FAR = 1e10


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
    design, data = model._read_fitted(X, y, sample_weight, groups)
    names, estimates, ends = [], [], []
    absent: set[tuple[str, int]] = set()  # effects whose variance may be 0
    with blas_limited():
        for target in _targets(model):
            search = _Search(model._model(design), data, model._params, target)
            names.append(target.label)
            estimates.append(search.published(search.objective(search.start)[0]))
            # Of an effect that is 0, any correlation has the same likelihood.
            free = any((target.term, own) in absent for own in target.effects)
            ends.append((-1.0, 1.0) if free else search.interval(confidence))
            if len(target.effects) == 1 and ends[-1][0] == 0.0:
                absent.add((target.term, *target.effects))
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


class _Factor(NamedTuple):
    """How a part of the vector becomes the factor of a term; see `_Search`."""

    order: NDArray[np.intp]
    turn: Array
    triangle: Array
    unit: Array
    entries: tuple[NDArray[np.intp], ...]
    place: slice

    def matrix(self, vector: Array) -> Array:
        """L."""
        found = np.zeros((len(self.order), len(self.order)))
        found[self.entries] = vector[self.place]
        return self.unit[:, None] * found

    def root(self, factor: Array) -> Array:
        """T, from L; not singular, as derivatives ask for."""
        left, values, _ = np.linalg.svd(self.turn @ factor)
        values = np.maximum(values, _SMALLEST)
        found = np.empty_like(factor)
        found[np.ix_(self.order, self.order)] = (left * values) @ left.T
        return found


class _Search:
    """The search for the ends of an interval, in factors L of the covariances.

    A model has the covariance ``M T T M'`` for a transform M, up to units. The effects of
    interest come first in their term. With ``M' = Q R``, the factor ``T T = Q L L' Q'`` leads to
    the Cholesky factor ``R' L``: a standard deviation depends on the first entry of L only, and a
    correlation on three. Rows of L are in units of their lengths at the fit. The last entry is
    the logarithm of the residual variance.
    """

    def __init__(self, model: MixedModel, data: MixedData, params: MixedParams, target: _Target):
        self.model, self.data, self.params, self.target = model, data, params, target
        self.factors: list[_Factor] = []
        start, size = [], 0
        for j, pattern in enumerate(self.model.patterns):
            first = target.effects if self.model.names[j] == target.term else ()
            order = np.r_[first, np.delete(np.arange(len(pattern)), first)].astype(int)
            turn, triangle = np.linalg.qr(self.params.transforms[j][np.ix_(order, order)].T)
            signs = np.where(np.diagonal(triangle) < 0.0, -1.0, 1.0)
            turn, triangle = turn * signs, triangle * signs[:, None]
            factor = _cholesky(turn.T @ self.params.factors[j][np.ix_(order, order)])
            unit = np.maximum(np.linalg.norm(factor, axis=1), _SMALLEST_UNIT)
            entries = np.nonzero(np.tril(pattern[np.ix_(order, order)]))
            place = slice(size, size + len(entries[0]))
            size = place.stop
            self.factors.append(_Factor(order, turn, triangle, unit, entries, place))
            start.append((factor / unit[:, None])[entries])
            if first:
                self.own = self.factors[-1]
        self.start = np.concatenate([*start, np.zeros(1)])
        self.deviation = float(np.sqrt(self.params.residual)) * self.params.unit

    # ---- what is maximized --------------------------------------------------------------------

    def objective(self, vector: Array) -> tuple[float, Array]:
        """Standard deviation in its unit, logarithm, or correlation; and its gradient."""
        gradient = np.zeros(len(vector))
        if not self.target.effects:
            gradient[-1] = 1.0
            return float(vector[-1]), gradient
        own, at = self.own, self.own.place.start
        if len(self.target.effects) == 1:
            gradient[at] = 1.0
            return float(vector[at]), gradient
        # Second row of the Cholesky factor.
        turned = np.zeros((2, 3))
        turned[0, 0] = own.triangle[0, 1] * own.unit[0]
        turned[[0, 1], [1, 2]] = own.triangle[1, 1] * own.unit[1]
        row = turned @ vector[at : at + 3]
        length = max(float(np.hypot(*row)), 1e-10)
        gradient[at : at + 3] = (np.array([row[1], -row[0]]) * row[1] / length**3) @ turned
        return float(row[0]) / length, gradient

    def published(self, value: float) -> float:
        """The standard deviation or correlation."""
        if not self.target.effects:
            return self.deviation * float(np.exp(0.5 * value))
        if len(self.target.effects) == 2:
            return float(np.sign(value)) if abs(value) > 1.0 - _ZERO else value
        unit = self.deviation * self.own.triangle[0, 0] * self.own.unit[0]
        return float(unit) * value if value > _ZERO else 0.0

    # ---- the constraint -----------------------------------------------------------------------

    def likelihood(self, vector: Array) -> tuple[float, Array]:
        """Log-likelihood and its gradient; far below all others where there is none."""
        ratio = float(np.exp(vector[-1]))
        factors = [factor.matrix(vector) for factor in self.factors]
        roots = [
            factor.root(own / np.sqrt(ratio))
            for factor, own in zip(self.factors, factors, strict=True)
        ]
        residual = self.params.residual * ratio
        params = self.params._replace(factors=tuple(roots), residual=residual)
        gradient = np.zeros(len(vector))
        try:
            statistics, value = self.model.e_step(self.data, params)
        except DegenerateModelError:
            return -_FAR, gradient
        toward = 0.5 * (statistics.sum_of_squares / residual - statistics.degrees_of_freedom)
        for j, (factor, own) in enumerate(zip(self.factors, factors, strict=True)):
            derivative = self.model.derivative(statistics, params, j)
            # With the covariances held, T falls as the residual variance grows.
            toward -= float((derivative * (roots[j] @ roots[j])).sum())
            turned = factor.turn.T @ derivative[np.ix_(factor.order, factor.order)] @ factor.turn
            slope = 2.0 * factor.unit[:, None] * (turned @ own) / ratio
            gradient[factor.place] = slope[factor.entries]
        gradient[-1] = toward
        return float(value), gradient

    def bounds(self) -> list[tuple[float, float]]:
        """Pivots are not negative."""
        found = []
        for factor in self.factors:
            for i, j in zip(*factor.entries, strict=True):
                found.append((0.0 if i == j else -_RANGE, _RANGE))
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
        for distance, lowest in _ATTEMPTS:
            found = self._search(sign, limit, distance, lowest)
            value = self.published(self.objective(found)[0])
            left = self.likelihood(found)[0] - limit
            extreme = (0.0 if sign < 0.0 else np.inf, sign)[len(self.target.effects) - 1]
            at_bound = bool(self.target.effects) and value == extreme
            if abs(left) <= _TOLERANCE or (at_bound and left >= -_TOLERANCE):
                return value
        return float("nan")

    def _search(self, sign: float, limit: float, distance: float, lowest: float) -> Array:
        """The search from beside the estimates."""
        bounds = self.bounds()
        begin = self.start.copy()
        if self.target.effects:
            at = self.own.place.start + len(self.target.effects) - 1
            begin[at] += sign * distance
            if len(self.target.effects) == 2:
                begin[at + 1] = max(begin[at + 1], distance)
            else:
                bounds[at] = (lowest, _RANGE)
        # The value and its gradient are asked for one after the other.
        likelihood = lru_cache(maxsize=1)(lambda key: self.likelihood(np.frombuffer(key)))
        constraint: Any = {
            "type": "ineq",
            "fun": lambda vector: likelihood(vector.tobytes())[0] - limit,
            "jac": lambda vector: likelihood(vector.tobytes())[1],
        }
        search: Any = minimize
        found: Array = search(
            lambda vector: -sign * self.objective(vector)[0],
            np.clip(begin, *np.transpose(bounds)),
            jac=lambda vector: -sign * self.objective(vector)[1],
            method="SLSQP",
            bounds=bounds,
            constraints=constraint,
            options={"ftol": 1e-10, "maxiter": 200},
        ).x
        return found


def _cholesky(factor: Array) -> Array:
    """Lower triangular L with ``L @ L.T`` that of the factor, which may be singular."""
    triangle = np.linalg.qr(factor.T)[1]
    found: Array = triangle.T * np.where(np.diagonal(triangle) < 0.0, -1.0, 1.0)
    return found
