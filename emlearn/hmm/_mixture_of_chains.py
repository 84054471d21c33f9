"""MixtureOfHiddenMarkovEM: clusters of sequences, each a hidden Markov model."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from emlearn._compat import Interval, StrOptions, validate_params
from emlearn.data import read_sequences, read_weight
from emlearn.distributions import Family
from emlearn.distributions.gaussian.structures import STRUCTURES
from emlearn.hmm._hidden_markov import HiddenMarkovEM

Array = NDArray[Any]

# Iterations of the fits that a start is made of, and of a start before the best is chosen.
_FIRST, _SHORT = 15, 30
# What a cluster that a sequence does not belong to gets of it in a start.
_ELSEWHERE = 0.02


class MixtureOfHiddenMarkovEM(ClusterMixin, BaseEstimator):
    """Mixture of hidden Markov models: clusters of sequences, fitted by expectation-maximization.

    Each sequence belongs to a cluster, and each cluster has a hidden Markov model of its own. This
    is one hidden Markov model, whose transition matrix has a block for each cluster: a sequence
    never leaves the block that it starts in.

    Parameters
    ----------
    n_clusters : int, default=2
        Number of clusters of sequences.
    n_components : int, default=2
        Number of states of each cluster.
    family : str, Family or list of (family, columns), default="gaussian"
        Distribution of the rows of a state, as in `HiddenMarkovEM`.
    covariance_type : {"full", "tied", "diag", "spherical", "EEV"}, default="full"
        Structure of the covariances if `family` is "gaussian".
    tol : float or "auto", default="auto"
        When to stop, as in `HiddenMarkovEM`.
    max_iter : int, default=1000
        Largest number of iterations.
    n_init : int, default=3
        Number of random partitions of the sequences that are tried as starts, besides those that
        clustering the sequences gives. Each start is a hidden Markov model for each part; the best
        after a few iterations is finished.
    accelerate : {"auto", "squarem", "quasi-newton", "anderson"} or None, default="auto"
        How to take longer steps than EM, as in `HiddenMarkovEM`.
    random_state : int, RandomState instance or None, default=None
        Source of all randomness.

    Attributes
    ----------
    weights_ : ndarray of shape (n_clusters,)
        Probabilities of the clusters, in decreasing order.
    startprob_ : ndarray of shape (n_clusters, n_components)
        Probabilities of the first state in each cluster.
    transmat_ : ndarray of shape (n_clusters, n_components, n_components)
        Probabilities of the next state (column) given the last one (row) in each cluster.
    component_params_ : dict of str to ndarray
        Parameters of the states by name; the first axes are cluster and state.
    model_ : HiddenMarkovEM
        The hidden Markov model of all states: those of the first cluster, then of the second, ...
    converged_ : bool
        Whether EM converged.
    n_iter_ : int
        Number of iterations after the start was chosen.
    log_likelihood_ : float
        Log-likelihood of the sequences of the fit.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, if they have names.

    See Also
    --------
    HiddenMarkovEM : One chain for all sequences.

    References
    ----------
    P. Smyth (1997). "Clustering sequences with hidden Markov models". Advances in Neural
    Information Processing Systems 9, 648-654.

    Examples
    --------
    Sequences that alternate, and others that stay:

    >>> import numpy as np
    >>> from emlearn import MixtureOfHiddenMarkovEM
    >>> rng = np.random.default_rng(0)
    >>> rows = [np.tile([0.0, 3.0], 10), np.repeat([0.0, 3.0], 10)]
    >>> X = [rows[s % 2] + rng.normal(scale=0.5, size=20) for s in range(12)]
    >>> labels = MixtureOfHiddenMarkovEM(2, 2, random_state=0).fit(X).predict(X)
    >>> bool((labels == labels[0]).tolist() == [True, False] * 6)
    True
    """

    _doc_link_module = HiddenMarkovEM._doc_link_module
    _doc_link_template = HiddenMarkovEM._doc_link_template
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_clusters": [Interval(Integral, 1, None, closed="left")],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "family": "no_validation",
        "covariance_type": [StrOptions(set(STRUCTURES))],
        "tol": [StrOptions({"auto"}), Interval(Real, 0.0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "n_init": [Interval(Integral, 0, None, closed="left")],
        "accelerate": [str, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_clusters: int = 2,
        n_components: int = 2,
        *,
        family: str | Family | list[tuple[Any, Any]] = "gaussian",
        covariance_type: str = "full",
        tol: float | str = "auto",
        max_iter: int = 1000,
        n_init: int = 3,
        accelerate: str | None = "auto",
        random_state: int | np.random.RandomState | None = None,
    ):
        self.n_clusters = n_clusters
        self.n_components = n_components
        self.family = family
        self.covariance_type = covariance_type
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.accelerate = accelerate
        self.random_state = random_state

    def fit(
        self,
        X: Any,
        y: Any = None,
        lengths: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        sequence_ids: ArrayLike | None = None,
    ) -> Self:
        """Estimate the clusters with the EM algorithm.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows to fit, one sequence after another. NaN means a missing entry.
        y : Ignored
            Present for compatibility with pipelines.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences.
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
            If a hyperparameter, the rows, the lengths or the weights are invalid, or there are
            fewer sequences than clusters.
        """
        validate_params(self)
        table, sizes = read_sequences(X, lengths, sequence_ids)
        weight = read_weight(sample_weight, len(sizes), "sequence")
        used = len(sizes) if weight is None else np.count_nonzero(weight)
        if used < self.n_clusters:
            raise ValueError(
                f"n_clusters={self.n_clusters} is more than the number of sequences with positive "
                f"weight, {used}. Give more sequences (lengths, sequence_ids or a list of arrays), "
                "or use fewer clusters."
            )
        rng = check_random_state(self.random_state)
        best: HiddenMarkovEM | None = None
        failure: Exception | None = None
        for responsibilities in self._starts(table, sizes, weight, rng):
            trial = self._chain(responsibilities, _SHORT)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ConvergenceWarning)
                    trial.fit(table, lengths=sizes, sample_weight=weight)
            except ValueError as error:
                failure = error
                continue
            if best is None or trial.log_likelihood_ > best.log_likelihood_:
                best = trial
        if best is None:
            raise ValueError(f"Every start failed, the last one as: {failure}")
        best.set_params(warm_start=True, max_iter=self.max_iter)
        best.fit(table, lengths=sizes, sample_weight=weight)
        self._publish(best)
        return self

    # ---- starts -----------------------------------------------------------------------------

    def _chain(self, responsibilities: Array | str, max_iter: int) -> HiddenMarkovEM:
        blocks = np.kron(
            np.eye(self.n_clusters), np.full((self.n_components,) * 2, 1.0 / self.n_components)
        )
        return HiddenMarkovEM(
            self.n_clusters * self.n_components,
            family=self.family,
            covariance_type=self.covariance_type,
            transmat_init=blocks,
            init_params=responsibilities,
            tol=self.tol,
            max_iter=max_iter,
            accelerate=self.accelerate,
            random_state=0,
        )

    def _starts(self, table: Any, sizes: Array, weight: Array | None, rng: Any) -> Iterator[Array]:
        """Responsibilities of all states for the rows."""
        for partition in self._partitions(table, sizes, weight, rng):
            found = self._states_of(partition, table, sizes, weight, rng)
            if found is not None:
                yield found

    def _partitions(
        self, table: Any, sizes: Array, weight: Array | None, rng: Any
    ) -> Iterator[NDArray[np.intp]]:
        """Partitions of the sequences, by how they use the states of one pooled chain."""
        if self.n_clusters == 1:
            yield np.zeros(len(sizes), np.intp)
            return
        for n_states in {self.n_components, self.n_clusters * self.n_components}:
            pooled = self._single(n_states, rng)
            if self._quietly(pooled, table, sizes, weight):
                features = _use_of_states(pooled.predict_proba(table, sizes), sizes)
                means = KMeans(self.n_clusters, n_init=10, random_state=rng.randint(2**31 - 1))
                yield means.fit(features, sample_weight=weight).labels_.astype(np.intp)
        for _ in range(self.n_init):
            partition = rng.permutation(np.arange(len(sizes)) % self.n_clusters)
            yield partition.astype(np.intp)

    def _single(self, n_states: int, rng: Any) -> HiddenMarkovEM:
        return HiddenMarkovEM(
            n_states,
            family=self.family,
            covariance_type=self.covariance_type,
            max_iter=_FIRST,
            random_state=rng.randint(2**31 - 1),
        )

    @staticmethod
    def _quietly(model: HiddenMarkovEM, table: Any, sizes: Array, weight: Array | None) -> bool:
        """Fit a model that is only part of a start; False if it fails."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.fit(table, lengths=sizes, sample_weight=weight)
        except ValueError:
            return False
        return True

    def _states_of(
        self,
        partition: NDArray[np.intp],
        table: Any,
        sizes: Array,
        weight: Array | None,
        rng: Any,
    ) -> Array | None:
        """Responsibilities from a chain for each part of the sequences; None if one fails."""
        n_rows, K = int(sizes.sum()), int(self.n_components)
        found = np.zeros((n_rows, self.n_clusters * K))
        of_row = np.repeat(partition, sizes)
        for cluster in range(self.n_clusters):
            inside = (partition == cluster).astype(float)
            own = inside if weight is None else inside * weight
            single = self._single(K, rng)
            if not own.any() or not self._quietly(single, table, sizes, own):
                return None
            share = np.where(of_row == cluster, 1.0, _ELSEWHERE)[:, None]
            place = slice(cluster * K, (cluster + 1) * K)
            found[:, place] = share * single.predict_proba(table, sizes)
        return np.asarray(found / found.sum(axis=1, keepdims=True), np.float64)

    # ---- results ----------------------------------------------------------------------------

    def _publish(self, chain: HiddenMarkovEM) -> None:
        C, K = int(self.n_clusters), int(self.n_components)
        weights = chain.startprob_.reshape(C, K).sum(axis=1)
        order = np.argsort(-weights, kind="stable")
        states = (order[:, None] * K + np.arange(K)).ravel()
        chain.startprob_ = chain.startprob_[states]
        chain.transmat_ = chain.transmat_[np.ix_(states, states)]
        chain.component_params_ = {
            name: value[states] if len(value) == C * K else value
            for name, value in chain.component_params_.items()
        }
        chain.last_state_proba_ = chain.last_state_proba_[:, states]
        self.model_ = chain
        self.weights_ = weights[order]
        start = chain.startprob_.reshape(C, K)
        total = np.where(self.weights_ > 0.0, self.weights_, 1.0)[:, None]
        self.startprob_ = np.where(total > 0.0, start / total, 1.0 / K)
        blocks = chain.transmat_.reshape(C, K, C, K)
        self.transmat_ = np.array([blocks[c, :, c] for c in range(C)])
        self.component_params_ = {
            name: np.reshape(value, (C, K, *value.shape[1:])) if len(value) == C * K else value
            for name, value in chain.component_params_.items()
        }
        self.converged_ = chain.converged_
        self.n_iter_ = chain.n_iter_
        self.log_likelihood_ = chain.log_likelihood_
        self.n_features_in_ = chain.n_features_in_
        self.__dict__.pop("feature_names_in_", None)
        if hasattr(chain, "feature_names_in_"):
            self.feature_names_in_ = chain.feature_names_in_

    def predict_proba(
        self, X: Any, lengths: ArrayLike | None = None, *, sequence_ids: ArrayLike | None = None
    ) -> Array:
        """Posterior probability of each cluster for each sequence.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows, one sequence after another.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`.

        Returns
        -------
        probabilities : ndarray of shape (n_sequences, n_clusters)
            Each row sums to one.
        """
        check_is_fitted(self)
        table, sizes = read_sequences(X, lengths, sequence_ids)
        states = self.model_.predict_proba(table, sizes)
        first = np.cumsum(sizes) - sizes
        found = states[first].reshape(len(sizes), len(self.weights_), -1).sum(axis=2)
        return np.asarray(found / found.sum(axis=1, keepdims=True), np.float64)

    def predict(
        self, X: Any, lengths: ArrayLike | None = None, *, sequence_ids: ArrayLike | None = None
    ) -> NDArray[np.intp]:
        """Most probable cluster of each sequence.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows, one sequence after another.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`.

        Returns
        -------
        clusters : ndarray of shape (n_sequences,)
            Indices of the clusters.
        """
        return self.predict_proba(X, lengths, sequence_ids=sequence_ids).argmax(axis=1)

    def predict_states(
        self, X: Any, lengths: ArrayLike | None = None, *, sequence_ids: ArrayLike | None = None
    ) -> NDArray[np.intp]:
        """Most probable path of states of each sequence, in its most probable cluster's chain.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows, one sequence after another.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`.

        Returns
        -------
        states : ndarray of shape (n_samples,)
            Indices of the states within the cluster of the path.
        """
        check_is_fitted(self)
        path = self.model_.predict(X, lengths, sequence_ids=sequence_ids)
        return np.asarray(path % self.startprob_.shape[1], np.intp)

    def score_samples(
        self, X: Any, lengths: ArrayLike | None = None, *, sequence_ids: ArrayLike | None = None
    ) -> Array:
        """Log-likelihood of each sequence.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows, one sequence after another.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`.

        Returns
        -------
        log_likelihood : ndarray of shape (n_sequences,)
            Natural logarithm of the density of each sequence.
        """
        check_is_fitted(self)
        found: Array = self.model_.score_samples(X, lengths, sequence_ids=sequence_ids)
        return found

    def score(
        self,
        X: Any,
        y: object = None,
        lengths: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        sequence_ids: ArrayLike | None = None,
    ) -> float:
        """Weighted mean log-likelihood per row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows, one sequence after another.
        y : Ignored
            Present for compatibility with pipelines.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        sample_weight : array-like of shape (n_sequences,), default=None
            Weights of the sequences. None means 1 each.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`.

        Returns
        -------
        log_likelihood : float
            In nats per row.
        """
        check_is_fitted(self)
        return self.model_.score(X, None, lengths, sample_weight, sequence_ids=sequence_ids)

    def bic(
        self, X: Any, lengths: ArrayLike | None = None, *, sequence_ids: ArrayLike | None = None
    ) -> float:
        """Bayesian information criterion; lower is better.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows, one sequence after another.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`.

        Returns
        -------
        bic : float
            -2 log-likelihood + log(number of rows) x number of parameters.
        """
        check_is_fitted(self)
        return self.model_.bic(X, lengths, sequence_ids=sequence_ids)


def _use_of_states(probability: Array, sizes: Array) -> Array:
    """How often sequences are in each state, and how often they make each transition."""
    features, begin = [], 0
    for size in sizes:
        own = probability[begin : begin + size]
        begin += size
        moves = own[:-1].T @ own[1:] / max(size - 1, 1)
        features.append(np.concatenate((own.mean(axis=0), moves.ravel())))
    return np.array(features)
