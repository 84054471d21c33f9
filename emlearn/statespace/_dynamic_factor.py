"""DynamicFactorEM: few autoregressive series that explain many."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from emlearn._compat import Interval, validate_params
from emlearn.data import column_label, read_weight
from emlearn.engine import EMEstimator, ManyStarts, find_accelerator
from emlearn.engine.acceleration.contract import Accelerator
from emlearn.engine.acceleration.secants import GradientSecants
from emlearn.engine.threads import blas_limited
from emlearn.statespace._data import Observations, SequenceData, prepare_sequences
from emlearn.statespace._dynamic_factor_model import DynamicFactorModel, Factors
from emlearn.statespace._noise import DiagonalNoise
from emlearn.statespace._predicting import StatePredicting
from emlearn.statespace._reading import read_sequences_of
from emlearn.statespace._start_law import UnknownStart

Array = NDArray[np.float64]

# Parameters up to which their matrix of second derivatives is cheap.
_MOST_PARAMETERS = 600
_PLAN = ManyStarts(n_candidates=3, n_large=3, heats=())


class DynamicFactorEM(StatePredicting, EMEstimator):
    """Dynamic factor model fitted by expectation-maximization.

    Many series y move together because a few factors f, which follow a vector autoregression, move
    them: ``y[t] = offset_ + loadings_ @ f[t] + v[t]`` and
    ``f[t] = A_1 f[t-1] + ... + A_p f[t-p] + w[t]``. The noise v is independent from column to
    column, and w has variance 1.

    Parameters
    ----------
    n_factors : int, default=1
        Number of factors.
    order : int, default=1
        Order p of the autoregression of the factors.
    min_noise : float, default=1e-4
        Least variance of the noise of a column, as a fraction of the variance of the column.
        Likelihoods can be largest where the noise of a column vanishes.
    {tol}
    {max_iter}
    {n_init}
    {accelerate}
    {random_state}
    {verbose}
    {verbose_interval}

    Attributes
    ----------
    loadings_ : ndarray of shape (n_features, n_factors)
        Loadings, in the units of the columns. In standard deviations of the noise, those of
        different factors are orthogonal; the factor that explains most is first, and the sum of
        its loadings is positive.
    transition_coefficients_ : ndarray of shape (order, n_factors, n_factors)
        Coefficients A_1 to A_p.
    offset_ : ndarray of shape (n_features,)
        Offsets.
    noise_variance_ : ndarray of shape (n_features,)
        Variances of the noise of the columns.
    next_state_mean_ : ndarray of shape (n_sequences, order * n_factors)
        Expected factors of the step after the fit, and of the steps before it.
    next_state_covariance_ : ndarray of shape (n_sequences, order * n_factors, order * n_factors)
        Their covariances.
    n_inputs_ : int
        0; a dynamic factor model has no inputs.
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
    LinearGaussianStateSpaceEM : States and noise of any form.
    FactorAnalysisEM : Factors of rows without an order.

    Notes
    -----
    The factors are stationary: those of the first steps have the distribution that the
    autoregression leads to. Difference series that are not. Missing entries are integrated out,
    entry by entry: columns may begin late, end early (the ragged edge of economic data), or be
    observed every third month only.

    References
    ----------
    M. W. Watson and R. F. Engle (1983). "Alternative algorithms for the estimation of dynamic
    factor, MIMIC and varying coefficient regression models". Journal of Econometrics 23(3),
    385-400.

    M. Banbura and M. Modugno (2014). "Maximum likelihood estimation of factor models on datasets
    with arbitrary pattern of missing data". Journal of Applied Econometrics 29(1), 133-160.

    Examples
    --------
    Ten columns that one factor moves:

    >>> import numpy as np
    >>> from emlearn import DynamicFactorEM
    >>> rng = np.random.default_rng(0)
    >>> factor = np.zeros(300)
    >>> for t in range(1, 300):
    ...     factor[t] = 0.8 * factor[t - 1] + rng.normal()
    >>> X = np.outer(factor, np.linspace(0.5, 1.5, 10)) + rng.normal(size=(300, 10))
    >>> X[-3:, :5] = np.nan
    >>> model = DynamicFactorEM(1).fit(X)
    >>> round(float(model.transition_coefficients_[0, 0, 0]), 1)
    0.8
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_factors": [Interval(Integral, 1, None, closed="left")],
        "order": [Interval(Integral, 1, None, closed="left")],
        "min_noise": [Interval(Real, 1e-12, 0.5, closed="both")],
    }

    def __init__(
        self,
        n_factors: int = 1,
        *,
        order: int = 1,
        min_noise: float = 1e-4,
        tol: float | str = "auto",
        max_iter: int = 1000,
        n_init: int = 1,
        accelerate: str | None = "auto",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        verbose_interval: int = 10,
    ):
        self.n_factors = n_factors
        self.order = order
        self.min_noise = min_noise
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.accelerate = accelerate
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
        sequence_ids: ArrayLike | None = None,
    ) -> Self:
        """Estimate loadings, dynamics and noise with the EM algorithm.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows to fit, one sequence after another. NaN means a missing entry.
        y : Ignored
            Present for compatibility with pipelines.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        sample_weight : array-like of shape (n_sequences,), default=None
            Weights of the sequences, >= 0. None means 1 each.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a hyperparameter, the rows, the lengths or the weights are invalid; if there are
            more factors than columns, or too few rows; or if a column is constant or has no
            observed entry.
        """
        validate_params(self)
        observations = self._read_sequences(X, lengths, None, sequence_ids, reset=True)
        weight = read_weight(sample_weight, len(observations.lengths), "sequence")
        data = prepare_sequences(observations, weight)
        self._check_data(data)
        model = self._model(self.min_noise * data.variance)
        with blas_limited(), np.errstate(over="ignore", invalid="ignore"):
            fit = self._run_em(
                model,
                data,
                plan=_PLAN.times(int(self.n_init)),
                advice="Use fewer factors or a lower order, or other rows.",
            )
            public = model.public(fit.params.canonical())
            for name, value in public.items():
                setattr(self, f"{name}_", value)
            self._remember_ends(*self._fitted_model(), observations)
        return self._report(fit)

    def _model(self, floor: Array | None) -> DynamicFactorModel:
        return DynamicFactorModel(
            DiagonalNoise(), UnknownStart(), int(self.n_factors), int(self.order), floor
        )

    def _read_sequences(
        self, X: Any, lengths: Any, inputs: Any, sequence_ids: Any, *, reset: bool = False
    ) -> Observations:
        if inputs is not None:
            raise ValueError("A dynamic factor model has no inputs; got inputs.")
        return read_sequences_of(self, X, lengths, None, sequence_ids, reset=reset, constant=True)

    def _check_data(self, data: SequenceData) -> None:
        k, n = int(self.n_factors), int(self.n_factors) * int(self.order)
        if k > data.n_features:
            raise ValueError(
                f"n_factors={k} is more than n_features={data.n_features}. Use at most as many "
                "factors as columns."
            )
        if data.n_rows_used <= n + 1:
            raise ValueError(
                f"{k} factors of order {self.order} need more rows than that, but n_samples = "
                f"{data.n_rows_used} have positive weight. Use fewer factors or a lower order."
            )
        for wrong, problem in (
            (~data.seen, "has no observed entry"),
            (data.seen & (data.variance == 0.0), "is constant"),
        ):
            if wrong.any():
                name = column_label(self, int(wrong.argmax()))
                raise ValueError(f"{name} {problem}, so it has no noise to estimate. Leave it out.")

    def _accelerator(self, model: Any) -> Accelerator | None:
        """See `EMEstimator`; "auto" is quasi-Newton by gradients where there are few parameters."""
        k = int(self.n_factors)
        few = k * k * int(self.order) + self.n_features_in_ * (k + 2) <= _MOST_PARAMETERS
        if self.accelerate == "auto":
            return GradientSecants() if few else find_accelerator("auto")
        return super()._accelerator(model)

    def _fitted_model(self) -> tuple[DynamicFactorModel, Factors]:
        check_is_fitted(self)
        k = self.loadings_.shape[1]
        dynamics = np.swapaxes(self.transition_coefficients_, 0, 1).reshape(k, -1)
        params = Factors(dynamics, self.loadings_, self.offset_, self.noise_variance_)
        return DynamicFactorModel(DiagonalNoise(), UnknownStart(), k, params.order), params

    def _n_parameters(self) -> int:
        model, params = self._fitted_model()
        return model.n_parameters(params)

    @property
    def _n_features_out(self) -> int:
        return self.loadings_.shape[1]

    # ---- factors --------------------------------------------------------------------------

    def transform(self, X: Any, *arguments: Any, **options: Any) -> Any:
        """Expected factors given all rows of their sequence (smoothed).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows, one sequence after another. NaN means a missing entry.
        *arguments, **options : object
            `lengths`, `sequence_ids` and `return_cov`, as for
            `LinearGaussianStateSpaceEM.transform`.

        Returns
        -------
        factors : ndarray of shape (n_samples, n_factors)
            Expected factors.
        covariances : ndarray of shape (n_samples, n_factors, n_factors)
            Their covariances. Only if `return_cov`.
        """
        return self._first(super().transform(X, *arguments, **options))

    def filter(self, X: Any, *arguments: Any, **options: Any) -> Any:
        """Expected factors given the rows of their sequence up to each of them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows, one sequence after another. NaN means a missing entry.
        *arguments, **options : object
            `lengths`, `sequence_ids` and `return_cov`, as for
            `LinearGaussianStateSpaceEM.filter`.

        Returns
        -------
        factors : ndarray of shape (n_samples, n_factors)
            Expected factors.
        covariances : ndarray of shape (n_samples, n_factors, n_factors)
            Their covariances. Only if `return_cov`. Infinite until a factor is determined.
        """
        return self._first(super().filter(X, *arguments, **options))

    def _first(self, found: Any) -> Any:
        k = self.loadings_.shape[1]
        if isinstance(found, tuple):
            return found[0][:, :k], found[1][:, :k, :k]
        return found[:, :k]
