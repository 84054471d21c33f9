"""LinearGaussianStateSpaceEM: state-space models whose matrices are estimated."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from emlearn._compat import Interval, StrOptions, validate_params
from emlearn.data import column_label, read_weight
from emlearn.data.resampling import check_copies
from emlearn.engine import EMEstimator, Fit, ManyStarts, find_accelerator
from emlearn.engine.acceleration.contract import Accelerator
from emlearn.engine.acceleration.secants import GradientSecants
from emlearn.engine.errors import DegenerateModelError
from emlearn.engine.inference import FittedProblem, Inference, Kind, infer
from emlearn.engine.parameters import Public, read_fixed
from emlearn.engine.threads import blas_limited
from emlearn.statespace._covariances import KINDS
from emlearn.statespace._data import Observations, SequenceData, prepare_sequences
from emlearn.statespace._identification import hold_basis, invariances, n_identified
from emlearn.statespace._linear_gaussian import LinearGaussianModel
from emlearn.statespace._modal import ModalParameters, find_modes, modes_with_errors
from emlearn.statespace._noise import DiagonalNoise, FullNoise
from emlearn.statespace._predicting import StatePredicting
from emlearn.statespace._reading import read_sequences_of
from emlearn.statespace._start_law import UnknownStart
from emlearn.statespace._system import System

Array = NDArray[np.float64]

_FIRST = ("initial_mean", "initial_covariance")
# Parameters up to which their matrix of second derivatives is cheap.
_MOST_PARAMETERS = 600
_PLAN = ManyStarts(n_candidates=8, n_large=8, heats=())


class LinearGaussianStateSpaceEM(StatePredicting, EMEstimator):
    """Linear Gaussian state-space model fitted by expectation-maximization.

    The rows are observations y in order of time, of hidden states x with inputs u that are known:

    ``x[t+1] = A x[t] + B u[t] + w[t]``, with noise w of covariance Q, and
    ``y[t] = C x[t] + D u[t] + v[t]``, with noise v of covariance R.

    Parameters
    ----------
    n_states : int, default=1
        Number of states.
    transition_noise : {"full", "diag", "scalar"}, default="full"
        Covariance Q: any matrix, a diagonal matrix, or one variance for all states.
    observation_noise : {"full", "diag", "scalar"}, default="full"
        Covariance R. With "diag" and more columns than states, the states explain all that the
        columns have in common.
    initialization : {"estimated", "diffuse"}, default="estimated"
        What is known of the first state. "estimated": its mean is estimated, and with several
        sequences its covariance too. For a single sequence the likelihood is largest where that
        covariance is 0, so it is 0. Hold both by `fixed` for a prior of your own. "diffuse": it
        has a flat prior, and the likelihood is the exact diffuse one; something must then hold
        the scale of the states, such as a fixed `observation_matrix`.
    fit_offset : bool, default=False
        Whether observations have an offset. Without it, states that do not decay have to
        describe a mean that is not 0.
    min_noise : float, default=1e-4
        Least variance of the observation noise, as a fraction of the variance of its column: of
        the noise of a linear combination too. Likelihoods are often largest, and can be infinite,
        where noise vanishes, which says little about the data. The default is 1 % of the standard
        deviation of a column; sensors of more precision need less.
    init_params : "auto" or dict of str to array-like, default="auto"
        "auto": a race of starts: subspace identification of several kinds, and random stable
        systems. A dict holds starts of parameters, by the names of `fixed`; NaN and parameters
        that are not in it are taken from subspace identification.
    sequence_column : str or int, default=None
        Column of X that holds the identifiers of sequences and is not modeled, by name or
        position.
    {tol}
    {max_iter}
    {n_init}
    {accelerate}
    {fixed}
    {random_state}
    {warm_start}
    {verbose}
    {verbose_interval}

    Attributes
    ----------
    transition_matrix_ : ndarray of shape (n_states, n_states)
        A.
    observation_matrix_ : ndarray of shape (n_features, n_states)
        C.
    input_matrix_ : ndarray of shape (n_states, n_inputs)
        B.
    feedthrough_matrix_ : ndarray of shape (n_features, n_inputs)
        D.
    observation_offset_ : ndarray of shape (n_features,)
        Offset of the observations; zeros without `fit_offset`.
    transition_covariance_ : ndarray of shape (n_states, n_states)
        Q.
    observation_covariance_ : ndarray of shape (n_features, n_features)
        R.
    initial_mean_ : ndarray of shape (n_states,)
        Mean of the first state. Only if `initialization` is "estimated".
    initial_covariance_ : ndarray of shape (n_states, n_states)
        Covariance of the first state. Only if `initialization` is "estimated".
    next_state_mean_ : ndarray of shape (n_sequences, n_states)
        Expected states after the last rows of the fit, from which `forecast` starts.
    next_state_covariance_ : ndarray of shape (n_sequences, n_states, n_states)
        Their covariances.
    n_inputs_ : int
        Number of inputs.
    {converged_}
    {n_iter_}
    {log_likelihood_}
    {lower_bound_}
    {lower_bounds_}
    {history_}
    {restarts_}
    {n_features_in_}
    {feature_names_in_}

    See Also
    --------
    HiddenMarkovEM : States that are one of a few.

    Notes
    -----
    A change of basis of the states changes nothing: with any invertible T, A, B, C and Q can be
    replaced by T A inv(T), T B, C inv(T) and T Q T'. Also, R and Q cannot always be told apart.
    What does not depend on the basis, such as eigenvalues of A, forecasts and likelihoods, is
    identified; `fixed` identifies more.

    Missing entries are integrated out, entry by entry, which is exact if they are missing at
    random.

    References
    ----------
    R. H. Shumway and D. S. Stoffer (1982). "An approach to time series smoothing and forecasting
    using the EM algorithm". Journal of Time Series Analysis 3(4), 253-264.

    J. Durbin and S. J. Koopman (2012). "Time Series Analysis by State Space Methods", second
    edition. Oxford University Press.

    Examples
    --------
    A level that moves at random, observed with noise:

    >>> import numpy as np
    >>> from emlearn import LinearGaussianStateSpaceEM
    >>> rng = np.random.default_rng(0)
    >>> level = rng.normal(scale=0.5, size=300).cumsum()
    >>> X = (level + rng.normal(size=300)).reshape(-1, 1)
    >>> known = dict(transition_matrix=[[1.0]], observation_matrix=[[1.0]])
    >>> model = LinearGaussianStateSpaceEM(1, fixed=known, initialization="diffuse").fit(X)
    >>> model.forecast(2, return_std=True)[1].round(2)
    array([[1.34],
           [1.46]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_states": [Interval(Integral, 1, None, closed="left")],
        "transition_noise": [StrOptions(set(KINDS))],
        "observation_noise": [StrOptions(set(KINDS))],
        "initialization": [StrOptions({"estimated", "diffuse"})],
        "fit_offset": ["boolean"],
        "min_noise": [Interval(Real, 1e-12, 0.5, closed="both")],
        "init_params": [StrOptions({"auto"}), dict],
        "sequence_column": [str, Integral, None],
    }

    def __init__(
        self,
        n_states: int = 1,
        *,
        transition_noise: str = "full",
        observation_noise: str = "full",
        initialization: str = "estimated",
        fit_offset: bool = False,
        min_noise: float = 1e-4,
        init_params: str | dict[str, Any] = "auto",
        sequence_column: str | int | None = None,
        tol: float | str = "auto",
        max_iter: int = 1000,
        n_init: int = 1,
        accelerate: str | None = "auto",
        fixed: dict[str, Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
    ):
        self.n_states = n_states
        self.transition_noise = transition_noise
        self.observation_noise = observation_noise
        self.initialization = initialization
        self.fit_offset = fit_offset
        self.min_noise = min_noise
        self.init_params = init_params
        self.sequence_column = sequence_column
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.accelerate = accelerate
        self.fixed = fixed
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval

    # ---- fitting ------------------------------------------------------------------------------

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
        """Estimate the matrices with the EM algorithm.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows to fit, one sequence after another. NaN means a missing entry.
        y : Ignored
            Present for compatibility with pipelines.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        sample_weight : array-like of shape (n_sequences,), default=None
            Weights of the sequences, >= 0. A weight w has the same effect as w copies of the
            sequence. None means 1 each.
        inputs : array-like of shape (n_samples, n_inputs), default=None
            Known inputs u of the rows. None means that there are none.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a hyperparameter, the rows, the inputs, the lengths or the weights are invalid; if
            a column is constant or has no observed entry; if there are fewer rows than states;
            or if nothing holds the scale of states with a flat prior.
        """
        validate_params(self)
        observations = self._read_sequences(X, lengths, inputs, sequence_ids, reset=True)
        weight = read_weight(sample_weight, len(observations.lengths), "sequence")
        data = prepare_sequences(observations, weight)
        self._check_data(data)
        model = self._model(data)
        with blas_limited(), np.errstate(over="ignore", invalid="ignore"):
            fit = self._run_em(
                model,
                data,
                start=self._given_start(model, data),
                plan=_PLAN.times(int(self.n_init)),
                advice="Use fewer states, or other rows.",
            )
            self._publish(model, fit)
            self._remember_ends(*self._fitted_model(), observations)
        return self._report(fit)

    def _read_sequences(
        self, X: Any, lengths: Any, inputs: Any, sequence_ids: Any, *, reset: bool = False
    ) -> Observations:
        return read_sequences_of(
            self,
            X,
            lengths,
            inputs,
            sequence_ids,
            reset=reset,
            constant=bool(self.fit_offset),
        )

    def _model(self, data: SequenceData) -> LinearGaussianModel:
        n, start = int(self.n_states), UnknownStart()
        if self.initialization == "diffuse":
            start = UnknownStart(tuple(range(n)), flat=True)
        elif data.n_used == 1 and not any(name in (self.fixed or {}) for name in _FIRST):
            start = UnknownStart(tuple(range(n)), flat=False)
        return LinearGaussianModel(
            FullNoise() if self.observation_noise == "full" else DiagonalNoise(),
            start,
            n,
            KINDS[self.transition_noise],
            KINDS[self.observation_noise],
            self.min_noise * data.variance,
        )

    def _check_data(self, data: SequenceData) -> None:
        if data.n_rows_used <= self.n_states:
            raise ValueError(
                f"n_states={self.n_states} states need more rows than that, but n_samples = "
                f"{data.n_rows_used} have positive weight. Use fewer states."
            )
        for wrong, problem in (
            (~data.seen, "has no observed entry"),
            (data.seen & (data.variance == 0.0), "is constant"),
        ):
            if wrong.any():
                name = column_label(self, int(wrong.argmax()))
                raise ValueError(f"{name} {problem}, so it has no noise to estimate. Leave it out.")

    def _fixed(self, model: Any, params: Any) -> Public:
        """See `EMEstimator`; also checks that something holds the scale of a flat prior."""
        public = model.public(params)
        fixed = read_fixed(self.fixed or {}, model.space(params), public, {n: n for n in public})
        if model.start.columns and model.start.flat:
            generic = model.impose(params, fixed)
            traces = np.trace(invariances(model, generic, fixed), axis1=1, axis2=2)
            if (np.abs(traces) > 1e-6).any():
                raise ValueError(
                    "initialization='diffuse' needs something that holds the scale of the states, "
                    "such as fixed={'observation_matrix': ...}: a flat prior has a scale too, and "
                    "the likelihood has no maximum otherwise."
                )
        return fixed

    def _given_start(self, model: LinearGaussianModel, data: SequenceData) -> System | None:
        """The start that `warm_start` or `init_params` gives; None for a race."""
        if self._resumes() and self._same_shape(data):
            return self._params(model)
        if self.initialization == "diffuse":
            self._fixed(model, model.example(data))
        if isinstance(self.init_params, str):
            return None
        base = next(model.candidates(data, np.random.default_rng(0), 1))
        public = model.public(base)
        try:
            given = read_fixed(self.init_params, model.space(base), public, {n: n for n in public})
            return model.impose(base, given)
        except (DegenerateModelError, ValueError) as error:
            raise ValueError(str(error).replace("fixed", "init_params")) from None

    def _accelerator(self, model: Any) -> Accelerator | None:
        """See `EMEstimator`; "auto" is quasi-Newton by gradients where there are few parameters."""
        n, m = int(self.n_states), self.n_features_in_
        few = (n + m) * (n + self.n_inputs_ + 1) + m * m // 2 <= _MOST_PARAMETERS
        if self.accelerate == "auto":
            return GradientSecants() if few else find_accelerator("auto")
        return super()._accelerator(model)

    def _same_shape(self, data: SequenceData) -> bool:
        shape = (len(self.transition_matrix_), self.n_inputs_, len(self.observation_matrix_))
        return shape == (self.n_states, data.n_inputs, data.n_features)

    def _publish(self, model: LinearGaussianModel, fit: Fit) -> None:
        params, statistics = fit.params, fit.best.statistics
        if model.start.profiled:
            change = statistics.start.deviation / statistics.start.total
            params = params._replace(
                initial_mean=params.initial_mean + change,
                initial_covariance=np.zeros_like(params.initial_covariance),
            )
        public = model.public(params)
        self.transition_matrix_ = params.transition
        self.observation_matrix_ = params.observation
        self.input_matrix_ = params.inputs
        self.feedthrough_matrix_ = params.regression[:, : self.n_inputs_]
        self.observation_offset_ = public.get(
            "observation_offset", np.zeros(len(params.observation))
        )
        self.transition_covariance_ = public["transition_covariance"]
        self.observation_covariance_ = public["observation_covariance"]
        for name in _FIRST:
            self.__dict__.pop(f"{name}_", None)
        if not model.start.flat or not model.start.columns:
            self.initial_mean_ = params.initial_mean
            self.initial_covariance_ = params.initial_covariance
        self._start_law = model.start
        self._identified = n_identified(model, params, fit.fixed)

    def _params(self, model: LinearGaussianModel) -> System:
        """The published attributes as parameters."""
        n = len(self.transition_matrix_)
        offset = [np.reshape(self.observation_offset_, (-1, 1))] if self.fit_offset else []
        return System(
            np.asarray(self.transition_matrix_, np.float64),
            np.asarray(self.observation_matrix_, np.float64),
            np.asarray(self.input_matrix_, np.float64),
            np.hstack([self.feedthrough_matrix_, *offset]),
            model.transition_kind.compress(np.asarray(self.transition_covariance_, np.float64)),
            model.observation_kind.compress(np.asarray(self.observation_covariance_, np.float64)),
            np.asarray(getattr(self, "initial_mean_", np.zeros(n)), np.float64),
            np.asarray(getattr(self, "initial_covariance_", np.eye(n)), np.float64),
        )

    def _fitted_model(self) -> tuple[LinearGaussianModel, System]:
        check_is_fitted(self)
        start = self._start_law if self._start_law.flat else UnknownStart()
        full = self.observation_noise == "full"
        model = LinearGaussianModel(
            FullNoise() if full else DiagonalNoise(),
            start,
            len(self.transition_matrix_),
            KINDS[self.transition_noise],
            KINDS[self.observation_noise],
        )
        return model, self._params(model)

    def _n_parameters(self) -> int:
        check_is_fitted(self)
        return self._identified

    # ---- modes --------------------------------------------------------------------------------

    def modal_parameters(
        self,
        fs: float = 1.0,
        X: Any = None,
        lengths: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        inputs: ArrayLike | None = None,
        sequence_ids: ArrayLike | None = None,
    ) -> ModalParameters:
        """Frequencies, damping ratios and shapes of the modes of a structure that vibrates.

        Parameters
        ----------
        fs : float, default=1.0
            Rows per unit of time.
        X : array-like of shape (n_samples, n_features), or list of these, default=None
            The rows of the fit, for standard errors by the delta method. None: without them.
        lengths : array-like of shape (n_sequences,), default=None
            As for `fit`.
        sample_weight : array-like of shape (n_sequences,), default=None
            As for `fit`.
        inputs : array-like of shape (n_samples, n_inputs), default=None
            As for `fit`.
        sequence_ids : array-like of shape (n_samples,), default=None
            As for `fit`.

        Returns
        -------
        modes : ModalParameters
            The modes, one for each pair of complex eigenvalues of the transition matrix. Real
            eigenvalues are not modes.

        Raises
        ------
        ValueError
            If fs is not positive.
        """
        check_is_fitted(self)
        if not (isinstance(fs, Real) and np.isfinite(fs) and fs > 0.0):
            raise ValueError(f"fs must be a positive number, got {fs!r}.")
        matrices = self.transition_matrix_, self.observation_matrix_
        if X is None:
            return find_modes(*matrices, float(fs))
        found = self.inference(
            X, None, lengths, sample_weight, inputs=inputs, sequence_ids=sequence_ids
        )
        return modes_with_errors(found, *matrices, float(fs))

    # ---- standard errors ----------------------------------------------------------------------

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

        What `fixed` leaves of the basis of the states is held, by entries of the transition and
        the observation matrix that the table calls fixed; the other standard errors are given
        these. Those of what does not depend on the basis, such as `modal_parameters` and all
        that is found by the method `function` of the result, do not depend on this choice.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
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
            log-likelihood. "empirical": the sum of squares of the scores of the sequences, which
            should be many. "sandwich": from both, valid also if the model is wrong.

        Returns
        -------
        inference : Inference
            The parameters with standard errors, covariance, intervals, tests and a table.

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
        model = replace(model, start=self._start_law)
        data = model.prepare(observations, weight)
        fixed = hold_basis(model, params, self._fixed(model, params))
        return FittedProblem(model, data, params, {}, fixed, self._axis_labels())
