"""HiddenMarkovEM: the hidden Markov model as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning

from emlearn._compat import Interval, StrOptions
from emlearn._warnings import warn_user
from emlearn.data import (
    check_one_for_each_row,
    read_lengths,
    read_table,
    read_weight,
)
from emlearn.distributions import Family, Gaussian
from emlearn.distributions._domain import named_columns
from emlearn.distributions.gaussian.structures import STRUCTURES
from emlearn.engine import Fit, SearchPlan
from emlearn.engine.threads import blas_limited
from emlearn.hmm._decoding import ChainDecoding
from emlearn.hmm._reading import check_probabilities, read_probabilities
from emlearn.latent import (
    ChainLaw,
    ChainParams,
    LabelModel,
    Observations,
    Sequences,
)
from emlearn.latent.estimator import LABEL_CONSTRAINTS, LabelEstimator
from emlearn.latent.law import EMPTY

Array = NDArray[Any]


class HiddenMarkovEM(LabelEstimator, ChainDecoding):
    """Hidden Markov model fitted by expectation-maximization (Baum-Welch).

    Rows follow each other in time. Each belongs to a hidden state; the states form a
    Markov chain, and the rows of a state follow one distribution of any family.

    Parameters
    ----------
    n_components : int, default=None
        Number of states. None means as many as there are classes in `y` with
        ``use_labels=True``, and otherwise one.
    family : str, Family or list of (family, columns), default="gaussian"
        Distribution of the rows of a state, as in `FiniteMixtureEM`: "gaussian",
        "categorical", "bernoulli", "poisson", ..., a family from `emlearn.distributions` or of
        your own, or a list of families with the columns that each describes.
        `emlearn.distributions.Mixture` makes a mixture of any family the distribution of
        each state.
    covariance_type : {"full", "tied", "diag", "spherical"}, default="full"
        Structure of the covariances if `family` is "gaussian": a matrix each, one matrix
        for all, a diagonal matrix each, or one variance each. Otherwise unused.
    startprob_init : array-like of shape (n_components,), default=None
        Probabilities of the first state to start from. Zeros stay zeros. None means all
        are equal.
    transmat_init : array-like of shape (n_components, n_components), default=None
        Probabilities of the next state (column) given the last (row), to start from.
        Zeros stay zeros: a triangular matrix is a left-right model. None means that states
        last, with no other preference.
    startprob_alpha : float or array-like of shape (n_components,), default=0.0
        Pseudo-counts of the first state: its prior is Dirichlet(1 + startprob_alpha). Fixed
        zeros have none. 0 is maximum likelihood.
    transmat_alpha : float or array-like of shape (n_components, n_components), default=0.0
        The same for the transitions from each state.
    use_labels : bool, default=False
        Whether `y`, if given to `fit`, holds states of the rows. By default it is ignored,
        since a Pipeline passes its target to every step.
    {tol}
    {max_iter}
    {n_init}
    init_params : str, callable or array-like, default="search"
        How to start. "rows": each state around a few consecutive rows drawn at random;
        "random": random responsibilities (all states start near the average row: slow);
        "search": from the best of many short runs from "rows", changed as long as that
        pays (see `search`). An array of shape (n_samples, n_components) gives the
        responsibilities themselves; so does a callable, ``init_params(X, n_components,
        rng)``, rng being a `numpy.random.Generator` and X the rows of the sequences of
        positive weight, longest first. If each state has rows that are known to be its
        own, it starts from these, whatever is chosen here.
    {search}
    {accelerate}
    {random_state}
    {warm_start}
    {verbose}
    {verbose_interval}
    {n_jobs}

    Attributes
    ----------
    startprob_ : ndarray of shape (n_components,)
        Probabilities of the first state.
    transmat_ : ndarray of shape (n_components, n_components)
        Probabilities of the next state (column) given the last (row).
    component_params_ : dict of str to ndarray
        Parameters of the states by name, in the units of the data; the first axis is the
        state. For example "probability", "rate", "mean", "covariance".
    levels_ : list of ndarray or None, of length n_features
        Codes of the levels of each column of items, in the order of their probabilities:
        ``component_params_["probability"][k, j, l]`` is that of the code ``levels_[j][l]``
        in state k. None for a column without levels. Only if the family has levels.
    means_ : ndarray of shape (n_components, n_features)
        Means. Only if the family is Gaussian.
    covariances_ : ndarray
        Covariances: (n_components, n_features, n_features) if "full" or "tied",
        (n_components, n_features) if "diag", (n_components,) if "spherical". Only if the
        family is Gaussian.
    family_ : Family
        The family fitted.
    n_components_ : int
        Number of states.
    classes_ : ndarray of shape (n_classes,)
        Labels of the states, sorted; state c is that of label c. Only if some were known.
    {converged_}
    {n_iter_}
    log_likelihood_ : float
        Total log-likelihood of the sequences (and of the states that were known of them),
        weighted, at the parameters returned.
    {lower_bound_}
    {lower_bounds_}
    {history_}
    {restarts_}
    {n_features_in_}
    {feature_names_in_}

    See Also
    --------
    FiniteMixtureEM : The same families, for rows that are independent of each other.
    emlearn.distributions : The families, their priors and their parameters.

    Notes
    -----
    NaN is a missing entry, which is integrated out: exact if entries are missing at
    random. A row of which all is missing is a step in time about which nothing is known.

    A state from which no transition was seen keeps its row of `transmat_`, and a state
    that was never visited its distribution, unless a prior says otherwise; a warning
    reports states that were not visited.

    References
    ----------
    L. E. Baum, T. Petrie, G. Soules and N. Weiss (1970). "A maximization technique
    occurring in the statistical analysis of probabilistic functions of Markov chains".
    Annals of Mathematical Statistics 41(1), 164-171.

    L. R. Rabiner (1989). "A tutorial on hidden Markov models and selected applications in
    speech recognition". Proceedings of the IEEE 77(2), 257-286.

    W. Zucchini, I. L. MacDonald and R. Langrock (2016). "Hidden Markov Models for Time
    Series", second edition. Chapman & Hall/CRC.

    Examples
    --------
    Eruptions of Old Faithful follow each other, and after a short one a long one is due:

    >>> from emlearn import HiddenMarkovEM
    >>> from emlearn.datasets import load_old_faithful
    >>> X = load_old_faithful().data
    >>> model = HiddenMarkovEM(2, random_state=0).fit(X)
    >>> short = model.means_[:, 0].argmin()
    >>> round(float(model.transmat_[short, short]), 2)
    0.06
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **LABEL_CONSTRAINTS,
        "covariance_type": [StrOptions(set(STRUCTURES))],
        "startprob_init": ["array-like", None],
        "transmat_init": ["array-like", None],
        "startprob_alpha": [Interval(Real, 0.0, None, closed="left"), "array-like"],
        "transmat_alpha": [Interval(Real, 0.0, None, closed="left"), "array-like"],
    }

    _model_attributes: ClassVar[tuple[str, ...]] = (
        "startprob_",
        "transmat_",
        "component_params_",
    )

    def __init__(
        self,
        n_components: int | None = None,
        *,
        family: str | Family | list[tuple[Any, Any]] = "gaussian",
        covariance_type: str = "full",
        startprob_init: ArrayLike | None = None,
        transmat_init: ArrayLike | None = None,
        startprob_alpha: float | ArrayLike = 0.0,
        transmat_alpha: float | ArrayLike = 0.0,
        use_labels: bool = False,
        tol: float = 1e-7,
        max_iter: int = 1000,
        n_init: int = 1,
        init_params: str | Callable[..., ArrayLike] | ArrayLike = "search",
        search: str | int | SearchPlan = "default",
        accelerate: str | None = "auto",
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        n_jobs: int | None = None,
    ):
        self.n_components = n_components
        self.family = family
        self.covariance_type = covariance_type
        self.startprob_init = startprob_init
        self.transmat_init = transmat_init
        self.startprob_alpha = startprob_alpha
        self.transmat_alpha = transmat_alpha
        self.use_labels = use_labels
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.search = search
        self.accelerate = accelerate
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.n_jobs = n_jobs

    def fit(
        self,
        X: ArrayLike,
        y: Any = None,
        lengths: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Estimate the parameters with the EM algorithm.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to fit, one sequence after another; NaN is a missing entry.
        y : array-like of shape (n_samples,), default=None
            States of the rows with ``use_labels=True``, otherwise ignored: integers,
            booleans or strings. A state is not known where `y` is -1, NaN, None, pandas.NA
            or an empty category. Integers that all lie between 0 and n_components - 1 are
            the numbers of the states. Other labels are classes, of which, sorted, class c
            is state c. None means that no state is known.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences; None means that all rows are one.
        sample_weight : array-like of shape (n_sequences,), default=None
            Weights of the sequences, >= 0; weight w has the effect of w copies of the
            sequence. None means 1 each.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a hyperparameter, the rows, the lengths, the states or the weights are
            invalid, or if every start failed.
        """
        rows, _ = self._read(X)
        n_rows = rows.shape[0]
        sequences = Sequences.of_lengths(read_lengths(lengths, n_rows))
        weight = read_weight(sample_weight, len(sequences), "sequence")
        check_one_for_each_row(y, n_rows, sequences=True)
        labels = self._encode_target(y, n_rows, self.n_components)
        family = self._family_of_columns()
        model = LabelModel(self._law(self.n_components_), family, self._initializer(n_rows))
        with blas_limited(), named_columns(getattr(self, "feature_names_in_", None)):
            data = model.prepare(Observations(rows, labels, sequences), weight)
            fit = self._run_em(
                model,
                data,
                start=self._last_params(family, data.column_spec),
                plan=self._plan(),
                advice="Use fewer components, more starts (n_init), a stronger prior (alpha of "
                "the family), or check y against the zeros of startprob_init and transmat_init.",
            )
            unvisited = self._unvisited(model, fit)
        self.startprob_, self.transmat_ = fit.params.law
        self._publish_components(family, fit.params)
        if unvisited.size:
            warn_user(
                f"State(s) {unvisited.tolist()} were not visited: fewer than n_components="
                f"{self.n_components_} describe the data. Use fewer.",
                ConvergenceWarning,
            )
        return self._report(fit, "Use a stronger prior (alpha of the family).")

    def _law(self, n: int) -> ChainLaw:
        return ChainLaw(
            n,
            read_probabilities(self.startprob_init, self.startprob_alpha, (n,), "startprob"),
            read_probabilities(self.transmat_init, self.transmat_alpha, (n, n), "transmat"),
        )

    def _read_rows(self, X: Any, *, reset: bool = False) -> Any:
        return read_table(
            self,
            X,
            reset=reset,
            dtype=(np.float64,),
            accept_sparse=self._given_family().accepts_sparse,
            sequences=True,
        )

    def _given_family(self) -> Family:
        family = super()._given_family()
        if isinstance(self.family, str) and isinstance(family, Gaussian):
            return replace(family, covariance_type=self.covariance_type)
        return family

    def _unvisited(self, model: LabelModel, fit: Fit) -> Array:
        """States that no row is expected to be in."""
        precomputed = model.precompute(fit.params)
        visits = np.sum(
            [model.posterior(block, precomputed)[1].visits for block in fit.data.blocks], axis=0
        )
        return np.flatnonzero(visits <= EMPTY * visits.sum())

    def fit_predict(
        self,
        X: ArrayLike,
        y: Any = None,
        lengths: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Array:
        """Fit, and return the most probable states of each sequence.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to fit, one sequence after another.
        y : array-like of shape (n_samples,), default=None
            See `fit`. States that are known there are not taken for granted here.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences; None means that all rows are one.
        sample_weight : array-like of shape (n_sequences,), default=None
            See `fit`.

        Returns
        -------
        states : ndarray of shape (n_samples,)
            The same as ``fit(X, y, lengths).predict(X, lengths)``.
        """
        return self.fit(X, y, lengths, sample_weight).predict(X, lengths)

    # ---- the published model ----------------------------------------------------------

    @classmethod
    def from_parameters(
        cls,
        startprob: ArrayLike,
        transmat: ArrayLike,
        component_params: dict[str, ArrayLike],
        *,
        family: str | Family | list[tuple[Any, Any]] = "gaussian",
        n_features: int | None = None,
        **hyperparameters: Any,
    ) -> Self:
        """A model of known parameters, ready to decode, score and sample without a fit.

        Parameters
        ----------
        startprob : array-like of shape (n_components,)
            Probabilities of the first state.
        transmat : array-like of shape (n_components, n_components)
            Probabilities of the next state (column) given the last (row).
        component_params : dict of str to array-like
            Parameters of the states, as `component_params_` of a fitted model.
        family : str, Family or list of (family, columns), default="gaussian"
            Distribution of the rows of a state.
        n_features : int, default=None
            Number of features; None takes it from the parameters.
        **hyperparameters : object
            Other hyperparameters of the estimator.

        Returns
        -------
        model : HiddenMarkovEM
            The model.

        Raises
        ------
        ValueError
            If a parameter is missing or invalid; names it.

        Examples
        --------
        >>> from emlearn import HiddenMarkovEM
        >>> model = HiddenMarkovEM.from_parameters(
        ...     [0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], {"rate": [[1.0], [9.0]]}, family="poisson"
        ... )
        >>> model.predict([[0], [1], [12], [8]])
        array([0, 0, 1, 1])
        """
        return cls._of_known(
            {"startprob_": startprob, "transmat_": transmat},
            component_params,
            n_features,
            family=family,
            **hyperparameters,
        )

    def _n_labels(self) -> int:
        return len(self._law_params().startprob)

    def _law_params(self) -> ChainParams:
        """The published probabilities, checked."""
        n = max(np.size(self.startprob_), 1)
        return ChainParams(
            check_probabilities(self.startprob_, (n,), "startprob_"),
            check_probabilities(self.transmat_, (n, n), "transmat_"),
        )

    def _n_parameters(self) -> int:
        return self._law(self._n_labels()).n_parameters() + self._emissions().n_parameters()
