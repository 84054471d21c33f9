"""StructuralTimeSeriesEM: a series as trend, seasons, cycle and noise."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from emlearn._compat import Interval, StrOptions, validate_params
from emlearn.data import read_weight
from emlearn.data.resampling import check_copies
from emlearn.engine import EMEstimator, ManyStarts
from emlearn.engine.acceleration.contract import Accelerator
from emlearn.engine.acceleration.secants import GradientSecants
from emlearn.engine.fixed import n_held
from emlearn.engine.inference import FittedProblem, Inference, Kind, infer
from emlearn.engine.threads import blas_limited
from emlearn.statespace._components import (
    Autoregression,
    Component,
    Cycle,
    DummySeasonal,
    Trend,
    TrigonometricSeasonal,
)
from emlearn.statespace._data import Observations, SequenceData, prepare_sequences
from emlearn.statespace._noise import DiagonalNoise
from emlearn.statespace._predicting import StatePredicting
from emlearn.statespace._reading import read_sequences_of
from emlearn.statespace._start_law import UnknownStart
from emlearn.statespace._structural_model import StructuralModel, Structure

Array = NDArray[np.float64]

# Whether there is a slope, and whether level and slope move.
TRENDS = {
    "local level": (False, True, False),
    "local linear": (True, True, True),
    "smooth": (True, False, True),
    "drift": (True, True, False),
    "deterministic": (True, False, False),
    "constant": (False, False, False),
}
_SEASONS = {"dummy": DummySeasonal, "trigonometric": TrigonometricSeasonal}
_NAMES = (
    "level_variance",
    "slope_variance",
    "seasonal_variance",
    "cycle_variance",
    "cycle_damping",
    "cycle_frequency",
    "autoregressive_variance",
    "autoregressive_coefficients",
    "irregular_variance",
    "regression_coefficients",
)
_PLAN = ManyStarts(n_candidates=8, n_large=8, heats=())


class StructuralTimeSeriesEM(StatePredicting, EMEstimator):
    """Structural time series fitted by expectation-maximization.

    A series of one column is the sum of a trend, seasonal effects, a cycle, an autoregression,
    effects of known inputs and irregular noise. Each component changes with noise of its own,
    whose variance is estimated; a variance of 0 means that it does not change.

    Parameters
    ----------
    trend : {"local level", "local linear", "smooth", "drift", "deterministic", "constant"} or \
None, default="local level"
        "local level": a random walk. "local linear": a level with a slope, both of which move.
        "smooth": only the slope moves. "drift": only the level moves, with a constant slope.
        "deterministic": a straight line. "constant": a mean. None: no trend.
    seasonal : int, default=None
        Number of rows of a season's period, such as 12 for months. None: no seasons.
    seasonal_form : {"dummy", "trigonometric"}, default="dummy"
        "dummy": the sum of the effects over a period is noise. "trigonometric": harmonics that
        turn with noise, all of one variance; seasons then change more smoothly.
    seasonal_moves : bool, default=True
        Whether seasonal effects change.
    cycle : tuple of (float, float), default=None
        Shortest and longest period of a damped cycle, in rows. None: no cycle.
    autoregressive : int, default=0
        Order of a stationary autoregression.
    irregular : bool, default=True
        Whether there is irregular noise. Without it, its variance is 1e-12 of that of the series.
    {tol}
    {max_iter}
    {n_init}
    {accelerate}
    {fixed}
    {random_state}
    {verbose}
    {verbose_interval}

    Attributes
    ----------
    level_variance_ : ndarray of shape (1,)
        Variance of the steps of the level. As the following, only if there is such a parameter.
    slope_variance_ : ndarray of shape (1,)
        Variance of the steps of the slope.
    seasonal_variance_ : ndarray of shape (1,)
        Variance of the steps of the seasonal effects.
    cycle_variance_ : ndarray of shape (1,)
        Variance of the steps of the cycle.
    cycle_damping_ : ndarray of shape (1,)
        What of a cycle is left after a row.
    cycle_frequency_ : ndarray of shape (1,)
        Frequency of the cycle in radians per row; the period is 2 pi divided by it.
    autoregressive_variance_ : ndarray of shape (1,)
        Variance of the steps of the autoregression.
    autoregressive_coefficients_ : ndarray of shape (autoregressive,)
        Its coefficients.
    irregular_variance_ : ndarray of shape (1,)
        Variance of the irregular noise.
    regression_coefficients_ : ndarray of shape (n_inputs,)
        Effects of the inputs.
    next_state_mean_ : ndarray of shape (n_sequences, n_states)
        Expected states after the fit.
    next_state_covariance_ : ndarray of shape (n_sequences, n_states, n_states)
        Their covariances.
    n_inputs_ : int
        Number of inputs.
    {converged_}
    {n_iter_}
    log_likelihood_ : float
        Exact diffuse log-likelihood: what is not stationary has a flat prior.
    {lower_bound_}
    {lower_bounds_}
    {history_}
    {restarts_}
    {n_features_in_}
    {feature_names_in_}

    See Also
    --------
    LinearGaussianStateSpaceEM : State-space models of any form.

    Notes
    -----
    Levels, slopes and seasonal effects start with a flat prior, which is exact also for the first
    rows (de Jong, 1991). Cycles and autoregressions start from their stationary distribution.
    Other packages count constants of the flat prior in other ways: compare likelihoods of models
    with the same trend and seasons only.

    References
    ----------
    A. C. Harvey (1989). "Forecasting, Structural Time Series Models and the Kalman Filter".
    Cambridge University Press.

    J. Durbin and S. J. Koopman (2012). "Time Series Analysis by State Space Methods", second
    edition. Oxford University Press. Chapter 3.

    Examples
    --------
    A level that moves, with seasons of four rows:

    >>> import numpy as np
    >>> from emlearn import StructuralTimeSeriesEM
    >>> rng = np.random.default_rng(0)
    >>> level = 10 + rng.normal(scale=0.3, size=80).cumsum()
    >>> X = (level + np.tile([1, -1, 2, -2], 20) + rng.normal(scale=0.5, size=80)).reshape(-1, 1)
    >>> model = StructuralTimeSeriesEM(seasonal=4).fit(X)
    >>> model.components(X).seasonal[:4].round(0)
    array([ 1., -1.,  2., -2.])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "trend": [StrOptions(set(TRENDS)), None],
        "seasonal": [Interval(Integral, 2, None, closed="left"), None],
        "seasonal_form": [StrOptions(set(_SEASONS))],
        "seasonal_moves": ["boolean"],
        "cycle": [tuple, list, None],
        "autoregressive": [Interval(Integral, 0, None, closed="left")],
        "irregular": ["boolean"],
    }

    def __init__(
        self,
        trend: str | None = "local level",
        *,
        seasonal: int | None = None,
        seasonal_form: str = "dummy",
        seasonal_moves: bool = True,
        cycle: tuple[float, float] | None = None,
        autoregressive: int = 0,
        irregular: bool = True,
        tol: float | str = "auto",
        max_iter: int = 1000,
        n_init: int = 1,
        accelerate: str | None = "auto",
        fixed: dict[str, Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        verbose_interval: int = 10,
    ):
        self.trend = trend
        self.seasonal = seasonal
        self.seasonal_form = seasonal_form
        self.seasonal_moves = seasonal_moves
        self.cycle = cycle
        self.autoregressive = autoregressive
        self.irregular = irregular
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.accelerate = accelerate
        self.fixed = fixed
        self.random_state = random_state
        self.verbose = verbose
        self.verbose_interval = verbose_interval

    def fit(
        self,
        X: Any,
        y: Any = None,
        lengths: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        inputs: ArrayLike | None = None,
        sequence_ids: ArrayLike | None = None,
    ) -> Self:
        """Estimate variances and coefficients with the EM algorithm.

        Parameters
        ----------
        X : array-like of shape (n_samples, 1), or list of these
            The series. NaN means a missing entry.
        y : Ignored
            Present for compatibility with pipelines.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of several series with the same parameters. None means one series.
        sample_weight : array-like of shape (n_sequences,), default=None
            Weights of the series, >= 0. None means 1 each.
        inputs : array-like of shape (n_samples, n_inputs), default=None
            Known inputs, whose effects are estimated. None means that there are none.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the series of each row, instead of `lengths`.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a hyperparameter, the rows, the lengths, the inputs or the weights are invalid; if
            there are several columns, no component, too few observed rows, or no variation.
        """
        validate_params(self)
        observations = self._read_sequences(X, lengths, inputs, sequence_ids, reset=True)
        weight = read_weight(sample_weight, len(observations.lengths), "sequence")
        data = prepare_sequences(observations, weight)
        self._scale = float(data.variance[0])
        self._check_data(data)
        model = self._model()
        with blas_limited(), np.errstate(over="ignore", invalid="ignore"):
            fit = self._run_em(
                model,
                data,
                plan=_PLAN.times(int(self.n_init)),
                advice="Use fewer components, or other rows.",
            )
            for name in _NAMES:
                self.__dict__.pop(f"{name}_", None)
            for name, value in fit.params.values.items():
                setattr(self, f"{name}_", value)
            free = model.space(fit.params).n_free(fit.params.values, {})
            self._free = free - n_held(model, fit.params, fit.fixed)
            self._remember_ends(*self._fitted_model(), observations)
        return self._report(fit)

    def _components(self) -> tuple[Component, ...]:
        found: list[Component] = []
        if self.trend is not None:
            found.append(Trend(*TRENDS[self.trend]))
        if self.seasonal is not None:
            kind = _SEASONS[self.seasonal_form]
            found.append(kind(int(self.seasonal), bool(self.seasonal_moves)))
        if self.cycle is not None:
            shortest, longest = self._cycle_bounds()
            found.append(Cycle(shortest, longest))
        if self.autoregressive:
            found.append(Autoregression(int(self.autoregressive)))
        if not found:
            raise ValueError(
                "There is no component: give a trend, seasonal, cycle or autoregressive."
            )
        return tuple(found)

    def _cycle_bounds(self) -> tuple[float, float]:
        try:
            shortest, longest = (float(bound) for bound in self.cycle or ())
        except (TypeError, ValueError):
            raise ValueError(
                f"cycle must be the shortest and the longest period, got {self.cycle!r}."
            ) from None
        if not 2.0 <= shortest < longest < np.inf:
            raise ValueError(
                "cycle must be two periods, the shortest at least 2 rows and less than the "
                f"longest; got {self.cycle!r}."
            )
        return shortest, longest

    def _model(self) -> StructuralModel:
        components = self._components()
        model = StructuralModel(
            components=components, irregular=bool(self.irregular), scale=self._scale
        )
        columns = [
            state
            for component, place in model.places()
            if not component.stationary
            for state in range(place.start, place.stop)
        ]
        return StructuralModel(
            DiagonalNoise(), UnknownStart(tuple(columns)), components, model.irregular, model.scale
        )

    def _read_sequences(
        self, X: Any, lengths: Any, inputs: Any, sequence_ids: Any, *, reset: bool = False
    ) -> Observations:
        found = read_sequences_of(self, X, lengths, inputs, sequence_ids, reset=reset)
        if found.rows.shape[1] != 1:
            raise ValueError(
                f"A structural time series has one column, but X has {found.rows.shape[1]} (there "
                "is no joint model of several). Fit each column by itself, or use "
                "LinearGaussianStateSpaceEM or DynamicFactorEM."
            )
        return found

    def _check_data(self, data: SequenceData) -> None:
        n_states = sum(component.n_states for component in self._components())
        if not data.seen[0]:
            raise ValueError("The series has no observed entry.")
        n_observed = min(int(block.mask.sum()) for block in data.blocks)
        if n_observed <= n_states:
            raise ValueError(
                f"The components have {n_states} states, so a series needs more observed rows than "
                f"that, but n_samples = {n_observed} of one are observed. Use fewer components."
            )
        if self._scale == 0.0:
            raise ValueError("The series is constant, so there is nothing to estimate.")

    def _accelerator(self, model: Any) -> Accelerator | None:
        """See `EMEstimator`; "auto" is quasi-Newton by gradients."""
        return GradientSecants() if self.accelerate == "auto" else super()._accelerator(model)

    def _fitted_model(self) -> tuple[StructuralModel, Structure]:
        check_is_fitted(self)
        there = [name for name in _NAMES if hasattr(self, f"{name}_")]
        values = {name: np.asarray(getattr(self, f"{name}_"), np.float64) for name in there}
        return self._model(), Structure(values)

    def _n_parameters(self) -> int:
        check_is_fitted(self)
        return self._free

    def components(
        self,
        X: Any,
        lengths: ArrayLike | None = None,
        *,
        inputs: ArrayLike | None = None,
        sequence_ids: ArrayLike | None = None,
    ) -> Bunch:
        """The components of a series given all its rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, 1), or list of these
            The series.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the series. None means one series.
        inputs : array-like of shape (n_samples, n_inputs), default=None
            Inputs, if the fit had inputs.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the series of each row, instead of `lengths`.

        Returns
        -------
        components : Bunch
            ``trend``, ``slope``, ``seasonal``, ``cycle``, ``autoregressive``, ``regression``: those
            that there are, ndarrays of shape (n_samples,). ``std``: a Bunch of their standard
            deviations, for known parameters.
        """
        model, params = self._fitted_model()
        means, covariances = self.transform(
            X, lengths, inputs=inputs, sequence_ids=sequence_ids, return_cov=True
        )
        found, std = Bunch(), Bunch()
        loadings = model.system(params).observation[0]
        for component, place in model.places():
            own = loadings[place]
            found[component.name] = means[:, place] @ own
            variance = np.einsum("i,tij,j->t", own, covariances[:, place, place], own)
            std[component.name] = np.sqrt(np.maximum(variance, 0.0))
            if component.name == "trend" and component.n_states == 2:
                found["slope"] = means[:, 1]
                std["slope"] = np.sqrt(np.maximum(covariances[:, 1, 1], 0.0))
        if "regression_coefficients" in params.values:
            rows = self._read_sequences(X, lengths, inputs, sequence_ids)
            found["regression"] = rows.inputs @ params.values["regression_coefficients"]
            std["regression"] = np.zeros(len(means))
        found["std"] = std
        return found

    def inference(  # type: ignore[override]  # the arguments are those of fit
        self,
        X: Any,
        y: Any = None,
        lengths: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        inputs: ArrayLike | None = None,
        sequence_ids: ArrayLike | None = None,
        information: Kind = "observed",
    ) -> Inference:
        """Standard errors, intervals and tests of the published parameters.

        Parameters
        ----------
        X : array-like of shape (n_samples, 1), or list of these
            The rows of the fit.
        y : Ignored
            Present for compatibility with pipelines.
        lengths : array-like of shape (n_sequences,), default=None
            As for `fit`.
        sample_weight : array-like of shape (n_sequences,), default=None
            As for `fit`.
        inputs : array-like of shape (n_samples, n_inputs), default=None
            As for `fit`.
        sequence_ids : array-like of shape (n_samples,), default=None
            As for `fit`.
        information : {"observed", "empirical", "sandwich"}, default="observed"
            Where standard errors come from. "observed": minus the second derivatives of the
            log-likelihood. The others are sums over series, which should be many.

        Returns
        -------
        inference : Inference
            The parameters with standard errors, covariance, intervals, tests and a table.
            Variances at 0 are at a bound and have none.

        Raises
        ------
        ValueError
            If `information` is unknown, or the rows are invalid.
        """
        problem = self._fitted_problem(X, lengths, sample_weight, inputs, sequence_ids)
        return infer(problem, information)

    def _fitted_problem(self, X: Any, *arguments: Any) -> FittedProblem:
        lengths, sample_weight, inputs, sequence_ids = arguments
        model, params = self._fitted_model()
        observations = self._read_sequences(X, lengths, inputs, sequence_ids)
        weight = read_weight(sample_weight, len(observations.lengths), "sequence")
        check_copies(weight, "sequence")
        data = model.prepare(observations, weight)
        return FittedProblem(model, data, params, {}, self._fixed(model, params))
