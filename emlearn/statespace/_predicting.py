"""What fitted state-space estimators tell of sequences: states, predictions, forecasts, draws."""

from __future__ import annotations

from abc import ABC, abstractmethod
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, check_random_state

from emlearn.data import read_lengths, read_weight
from emlearn.engine.errors import DegenerateModelError
from emlearn.engine.threads import blas_limited
from emlearn.statespace._data import Observations, SequenceData
from emlearn.statespace._filtering import filter_block, propagate
from emlearn.statespace._model import Prepared, StateSpaceModel
from emlearn.statespace._reading import read_inputs
from emlearn.statespace._system import System, as_matrix, covariance_root

Array = NDArray[np.float64]
Pair = tuple[Array, Array]


class StatePredicting(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ABC):
    """Mixin of fitted state-space estimators, which transform rows to states.

    A subclass has `_fitted_model`, `_read_sequences` and `_n_parameters`, and `fit` calls
    `_remember_ends`.
    """

    random_state: Any

    @abstractmethod
    def _fitted_model(self) -> tuple[StateSpaceModel[Any], Any]:
        """The model at the published parameters, and these. Raises `NotFittedError`."""

    @abstractmethod
    def _read_sequences(
        self, X: Any, lengths: Any, inputs: Any, sequence_ids: Any, *, reset: bool = False
    ) -> Observations:
        """Rows, lengths and inputs, checked."""

    @abstractmethod
    def _n_parameters(self) -> int:
        """Number of free parameters."""

    def _published(self, values: Array, system: System) -> Array:
        """Observations in the units of the data; by default they are."""
        return values

    @property
    def _n_features_out(self) -> int:
        model, params = self._fitted_model()
        return len(model.system(params).transition)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    # ---- states -----------------------------------------------------------------------------

    def transform(
        self,
        X: Any,
        lengths: ArrayLike | None = None,
        *,
        inputs: ArrayLike | None = None,
        sequence_ids: ArrayLike | None = None,
        return_cov: bool = False,
    ) -> Any:
        """Expected states given all rows of their sequence (smoothed).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows, one sequence after another. NaN means a missing entry.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        inputs : array-like of shape (n_samples, n_inputs), default=None
            Inputs of the rows, if the fit had inputs.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`.
        return_cov : bool, default=False
            Whether to return covariances too.

        Returns
        -------
        states : ndarray of shape (n_samples, n_states)
            Expected states.
        covariances : ndarray of shape (n_samples, n_states, n_states)
            Their covariances. Only if `return_cov`.
        """
        model, params = self._fitted_model()
        data = self._data(model, X, lengths, inputs, sequence_ids)
        means = np.empty((int(data.n_rows), len(model.system(params).transition)))
        every = np.empty((*means.shape, means.shape[1])) if return_cov else None
        with blas_limited():
            prepared = model.precompute(params)
            for block in data.blocks:
                found = _sound(lambda b=block: model.smooth(b, prepared, covariances=return_cov))
                rows = data.rows_of(block)
                means[rows] = found.states.means[: len(rows)]
                if every is not None:
                    every[rows] = found.covariances
        return means if every is None else (means, every)

    def filter(
        self,
        X: Any,
        lengths: ArrayLike | None = None,
        *,
        inputs: ArrayLike | None = None,
        sequence_ids: ArrayLike | None = None,
        return_cov: bool = False,
    ) -> Any:
        """Expected states given the rows of their sequence up to each of them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows, one sequence after another. NaN means a missing entry.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        inputs : array-like of shape (n_samples, n_inputs), default=None
            Inputs of the rows, if the fit had inputs.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`.
        return_cov : bool, default=False
            Whether to return covariances too.

        Returns
        -------
        states : ndarray of shape (n_samples, n_states)
            Expected states.
        covariances : ndarray of shape (n_samples, n_states, n_states)
            Their covariances. Only if `return_cov`. With a diffuse start they are infinite
            until a state is determined.
        """
        model, params = self._fitted_model()
        data = self._data(model, X, lengths, inputs, sequence_ids)
        means = np.empty((int(data.n_rows), len(model.system(params).transition)))
        every = np.empty((*means.shape, means.shape[1])) if return_cov else None
        for block, found in self._filtered(model, params, data, covariances=return_cov):
            rows = data.rows_of(block)
            means[rows] = found.filtered
            if every is not None:
                every[rows] = found.filtered_covariance
        return means if every is None else (means, every)

    # ---- observations -----------------------------------------------------------------------

    def predict(
        self,
        X: Any,
        lengths: ArrayLike | None = None,
        *,
        inputs: ArrayLike | None = None,
        sequence_ids: ArrayLike | None = None,
    ) -> Array:
        """Expected observations one step ahead: each row given the rows before it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows, one sequence after another. NaN means a missing entry.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        inputs : array-like of shape (n_samples, n_inputs), default=None
            Inputs of the rows, if the fit had inputs.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`.

        Returns
        -------
        expected : ndarray of shape (n_samples, n_features)
            Expected observations.
        """
        found: Array = self.predict_ahead(X, lengths, inputs=inputs, sequence_ids=sequence_ids)
        return found

    def predict_ahead(
        self,
        X: Any,
        lengths: ArrayLike | None = None,
        *,
        steps: int = 1,
        inputs: ArrayLike | None = None,
        sequence_ids: ArrayLike | None = None,
        return_std: bool = False,
    ) -> Any:
        """Expected observations given the rows at least `steps` before them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows, one sequence after another. NaN means a missing entry.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        steps : int, default=1
            How far ahead. The first rows of a sequence follow from the first state alone.
        inputs : array-like of shape (n_samples, n_inputs), default=None
            Inputs of the rows, if the fit had inputs.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`.
        return_std : bool, default=False
            Whether to return standard deviations too.

        Returns
        -------
        expected : ndarray of shape (n_samples, n_features)
            Expected observations.
        std : ndarray of shape (n_samples, n_features)
            Their standard deviations. Only if `return_std`.
        """
        _check_count(steps, "steps")
        model, params = self._fitted_model()
        data = self._data(model, X, lengths, inputs, sequence_ids)
        system = model.system(params)
        expected = np.empty((int(data.n_rows), data.n_features))
        deviation = np.empty_like(expected) if return_std else None
        for block, found in self._filtered(model, params, data, covariances=return_std):
            means, covariances = found.predicted.copy(), found.predicted_covariance.copy()
            for _ in range(steps - 1):
                moved = means[:, :-1] @ system.transition.T
                means[:, 1:] = moved + block.inputs[:, :-1] @ system.inputs.T
                if return_std:
                    covariances[1:] = propagate(covariances[:-1], system)
            rows = data.rows_of(block)
            expected[rows] = _observe(system, means, block.regressors)
            if deviation is not None:
                deviation[rows] = _deviations(system, covariances)
        expected = self._published(expected, system)
        return expected if deviation is None else (expected, deviation)

    def forecast(
        self,
        steps: int,
        X: Any = None,
        lengths: ArrayLike | None = None,
        *,
        inputs: ArrayLike | None = None,
        future_inputs: ArrayLike | None = None,
        sequence_ids: ArrayLike | None = None,
        return_std: bool = False,
    ) -> Any:
        """Expected observations after the last row of each sequence.

        Parameters
        ----------
        steps : int
            Number of steps.
        X : array-like of shape (n_samples, n_features), or list of these, default=None
            Rows that come before, one sequence after another. None means those of the fit.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        inputs : array-like of shape (n_samples, n_inputs), default=None
            Inputs of the rows of X, if the fit had inputs.
        future_inputs : array-like of shape (n_sequences * steps, n_inputs), default=None
            Inputs of the steps, one sequence after another, if the fit had inputs.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`.
        return_std : bool, default=False
            Whether to return standard deviations too. They hold for known parameters.

        Returns
        -------
        expected : ndarray of shape (n_sequences * steps, n_features)
            Expected observations, one sequence after another.
        std : ndarray of shape (n_sequences * steps, n_features)
            Their standard deviations. Only if `return_std`.
        """
        _check_count(steps, "steps")
        model, params = self._fitted_model()
        system = model.system(params)
        means, covariances, of = self._ends(model, params, X, lengths, inputs, sequence_ids)
        future = self._future(future_inputs, len(means), steps, system)
        expected = np.empty((len(means), steps, len(system.observation)))
        deviation = np.empty_like(expected)
        for t in range(steps):
            regressors = _regressors(future[:, t], system)
            expected[:, t] = _observe(system, means, regressors)
            if return_std:
                deviation[:, t] = _deviations(system, covariances)[of]
                covariances = propagate(covariances, system)
            means = means @ system.transition.T + future[:, t] @ system.inputs.T
        flat = self._published(expected.reshape(-1, expected.shape[2]), system)
        return (flat, deviation.reshape(flat.shape)) if return_std else flat

    def sample(
        self,
        n_samples: int = 1,
        lengths: ArrayLike | None = None,
        *,
        inputs: ArrayLike | None = None,
        after: Any = None,
        after_lengths: ArrayLike | None = None,
        after_inputs: ArrayLike | None = None,
    ) -> Pair:
        """Draw sequences from the fitted model.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows. Ignored if `lengths` is given.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means one sequence of `n_samples` rows, or one
            for each sequence of `after`.
        inputs : array-like of shape (n_samples, n_inputs), default=None
            Inputs of the rows that are drawn, if the fit had inputs.
        after : array-like of shape (n_rows, n_features), or list of these, default=None
            Rows of sequences that are continued. None starts new sequences.
        after_lengths : array-like of shape (n_sequences,), default=None
            Lengths of these. None means that all rows form one sequence.
        after_inputs : array-like of shape (n_rows, n_inputs), default=None
            Inputs of these, if the fit had inputs.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Rows, one sequence after another.
        states : ndarray of shape (n_samples, n_states)
            Their states.
        """
        model, params = self._fitted_model()
        system = model.system(params)
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        rng = np.random.default_rng(seed)
        if after is None:
            if model.start.columns:
                raise ValueError(
                    "The first state has a flat prior, from which nothing can be drawn. Give rows "
                    "to continue as after."
                )
            mean, covariances = system.initial_mean[None], system.initial_covariance[None]
        else:
            mean, every, of = self._ends(model, params, after, after_lengths, after_inputs, None)
            covariances = every[of]
        if lengths is None:
            _check_count(n_samples, "n_samples")
            lengths = [int(n_samples)] * len(mean)
        sizes = read_lengths(lengths, None)
        if after is not None and len(sizes) != len(mean):
            raise ValueError(
                f"lengths has {len(sizes)} sequences, but after has {len(mean)} to continue."
            )
        future = self._future(inputs, 1, int(sizes.sum()), system)[0]
        noise = covariance_root(system.transition_covariance)
        spread = covariance_root(as_matrix(system.observation_covariance))
        states, begin = np.empty((len(future), len(system.transition))), 0
        for s, size in enumerate(sizes):
            first = min(s, len(mean) - 1)
            root = covariance_root(covariances[first])
            state = mean[first] + root @ rng.normal(size=root.shape[1])
            steps = rng.normal(size=(size, noise.shape[1])) @ noise.T
            for t in range(begin, begin + size):
                states[t] = state
                state = system.transition @ state + system.inputs @ future[t] + steps[t - begin]
            begin += size
        rows = _observe(system, states, _regressors(future, system))
        rows = rows + rng.normal(size=(len(rows), spread.shape[1])) @ spread.T
        return self._published(rows, system), states

    # ---- likelihood -------------------------------------------------------------------------

    def score_samples(
        self,
        X: Any,
        lengths: ArrayLike | None = None,
        *,
        inputs: ArrayLike | None = None,
        sequence_ids: ArrayLike | None = None,
    ) -> Array:
        """Log-likelihood of each sequence.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows, one sequence after another. NaN means a missing entry.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        inputs : array-like of shape (n_samples, n_inputs), default=None
            Inputs of the rows, if the fit had inputs.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`.

        Returns
        -------
        log_likelihood : ndarray of shape (n_sequences,)
            Natural logarithm of the density of each sequence, in the units of X.
        """
        model, params = self._fitted_model()
        data = self._data(model, X, lengths, inputs, sequence_ids)
        found = np.empty(len(data.first))
        with blas_limited():
            prepared = model.precompute(params)
            for block in data.blocks:
                smoothed = _sound(lambda b=block: model.smooth(b, prepared))
                found[block.origin] = smoothed.log_likelihood
        return found

    def score(
        self,
        X: Any,
        y: object = None,
        lengths: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        inputs: ArrayLike | None = None,
        sequence_ids: ArrayLike | None = None,
    ) -> float:
        """Weighted mean log-likelihood per row, comparable between data of any length.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows, one sequence after another. NaN means a missing entry.
        y : Ignored
            Present for compatibility with pipelines.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        sample_weight : array-like of shape (n_sequences,), default=None
            Weights of the sequences. None means 1 each.
        inputs : array-like of shape (n_samples, n_inputs), default=None
            Inputs of the rows, if the fit had inputs.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`.

        Returns
        -------
        log_likelihood : float
            In nats per row.
        """
        total, n_rows = self._total(X, lengths, sample_weight, inputs, sequence_ids)
        return total / n_rows

    def aic(
        self,
        X: Any,
        lengths: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        inputs: ArrayLike | None = None,
        sequence_ids: ArrayLike | None = None,
    ) -> float:
        """Akaike's information criterion; lower is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows, one sequence after another.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        sample_weight : array-like of shape (n_sequences,), default=None
            Weights of the sequences. None means 1 each.
        inputs : array-like of shape (n_samples, n_inputs), default=None
            Inputs of the rows, if the fit had inputs.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`.

        Returns
        -------
        aic : float
            -2 log-likelihood + 2 x number of identified parameters.
        """
        total, _ = self._total(X, lengths, sample_weight, inputs, sequence_ids)
        return -2.0 * total + 2.0 * self._n_parameters()

    def bic(
        self,
        X: Any,
        lengths: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        inputs: ArrayLike | None = None,
        sequence_ids: ArrayLike | None = None,
    ) -> float:
        """Bayesian information criterion; lower is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows, one sequence after another.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        sample_weight : array-like of shape (n_sequences,), default=None
            Weights of the sequences. None means 1 each.
        inputs : array-like of shape (n_samples, n_inputs), default=None
            Inputs of the rows, if the fit had inputs.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`.

        Returns
        -------
        bic : float
            -2 log-likelihood + log(weighted number of rows) x number of identified parameters.
        """
        total, n_rows = self._total(X, lengths, sample_weight, inputs, sequence_ids)
        return -2.0 * total + float(np.log(n_rows)) * self._n_parameters()

    # ---- parts ------------------------------------------------------------------------------

    def _total(
        self, X: Any, lengths: Any, sample_weight: Any, inputs: Any, sequence_ids: Any
    ) -> tuple[float, float]:
        model, params = self._fitted_model()
        observations = self._read_sequences(X, lengths, inputs, sequence_ids)
        weight = read_weight(sample_weight, len(observations.lengths), "sequence")
        data = model.prepare(observations, weight)
        with blas_limited():
            prepared = model.precompute(params)
            parts = [
                float(
                    block.weight @ _sound(lambda b=block: model.smooth(b, prepared)).log_likelihood
                )
                for block in data.blocks
            ]
        return sum(parts), data.n_rows

    def _data(
        self, model: StateSpaceModel[Any], X: Any, lengths: Any, inputs: Any, sequence_ids: Any
    ) -> SequenceData:
        return model.prepare(self._read_sequences(X, lengths, inputs, sequence_ids))

    def _filtered(
        self, model: StateSpaceModel[Any], params: Any, data: SequenceData, *, covariances: bool
    ) -> Any:
        with blas_limited():
            prepared: Prepared = model.precompute(params)
            for block in data.blocks:
                yield (
                    block,
                    _sound(
                        lambda b=block: filter_block(model, b, prepared, covariances=covariances)
                    ),
                )

    def _remember_ends(
        self, model: StateSpaceModel[Any], params: Any, observations: Observations
    ) -> None:
        """Keep what follows the sequences of the fit, for forecasts."""
        data = model.prepare(observations)
        found = [
            (block, filtered)
            for block, filtered in self._filtered(model, params, data, covariances=False)
        ]
        n = len(found[0][1].next_covariance)
        self.next_state_mean_ = np.empty((len(data.first), n))
        self._next_covariance = np.array([filtered.next_covariance for _, filtered in found])
        self._next_of = np.empty(len(data.first), np.intp)
        for i, (block, filtered) in enumerate(found):
            self.next_state_mean_[block.origin] = filtered.next_mean
            self._next_of[block.origin] = i

    @property
    def next_state_covariance_(self) -> Array:
        """Covariances of the states after the sequences of the fit."""
        found: Array = self._next_covariance[self._next_of]
        return found

    def _ends(
        self,
        model: StateSpaceModel[Any],
        params: Any,
        X: Any,
        lengths: Any,
        inputs: Any,
        sequence_ids: Any,
    ) -> tuple[Array, Array, NDArray[np.intp]]:
        """States after sequences: means, distinct covariances, and which belongs to which."""
        if X is None:
            return self.next_state_mean_, self._next_covariance, self._next_of
        data = self._data(model, X, lengths, inputs, sequence_ids)
        means = np.empty((len(data.first), len(model.system(params).transition)))
        of = np.empty(len(data.first), np.intp)
        covariances = []
        for i, (block, found) in enumerate(self._filtered(model, params, data, covariances=False)):
            means[block.origin], of[block.origin] = found.next_mean, i
            covariances.append(found.next_covariance)
        return means, np.array(covariances), of

    @staticmethod
    def _future(inputs: Any, n_sequences: int, steps: int, system: System) -> Array:
        """Inputs of future steps, (n_sequences, steps, n_inputs)."""
        k = system.inputs.shape[1]
        if inputs is None:
            if k:
                raise ValueError(
                    f"The fit had {k} inputs, so inputs of the steps to come are needed: an array "
                    f"of shape ({n_sequences * steps}, {k})."
                )
            return np.empty((n_sequences, steps, 0))
        found = read_inputs(inputs, n_sequences * steps, k)
        return found.reshape(n_sequences, steps, k)


def _observe(system: System, states: Array, regressors: Array) -> Array:
    observed: Array = states @ system.observation.T + regressors @ system.regression.T
    return observed


def _regressors(inputs: Array, system: System) -> Array:
    """Inputs of the states as those of the observations."""
    extra = system.regression.shape[1] - inputs.shape[-1]
    return np.concatenate((inputs, np.ones((*inputs.shape[:-1], extra))), axis=-1)


def _deviations(system: System, covariances: Array) -> Array:
    """Standard deviations of observations, from the covariances of their states."""
    C, R = system.observation, system.observation_covariance
    unknown = ~np.isfinite(covariances)
    known = np.where(unknown, 0.0, covariances)
    variance = np.einsum("in,tnp,ip->ti", C, known, C, optimize=True)
    variance += R if R.ndim == 1 else np.diagonal(R)
    if unknown.any():
        touched = (C != 0.0).astype(float)
        reached = np.einsum("in,tnp,ip->ti", touched, unknown.astype(float), touched)
        variance = np.where(reached > 0.0, np.inf, variance)
    deviation: Array = np.sqrt(np.maximum(variance, 0.0))
    return deviation


def _check_count(value: Any, name: str) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"Invalid value for {name!r}: {value!r}. It must be an int >= 1.")


def _sound(call: Any) -> Any:
    """Result of a call; a degenerate model becomes a ValueError."""
    try:
        return call()
    except DegenerateModelError as error:
        raise ValueError(f"The sequences do not go with the model: {error}.") from None
