"""HiddenMarkovEM: hidden Markov models as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from emlearn._compat import Interval, StrOptions, validate_params
from emlearn.data import check_one_for_each_row, check_proportions, read_table, read_weight
from emlearn.data.sequences import joined_labels
from emlearn.data.symbols import Symbols
from emlearn.distributions import Family, Gaussian
from emlearn.distributions._domain import named_columns
from emlearn.distributions.gaussian.structures import STRUCTURES
from emlearn.engine import ManyStarts, SearchPlan
from emlearn.engine.threads import blas_limited
from emlearn.hmm._decoding import ChainDecoding
from emlearn.hmm._durations import ChainDurations
from emlearn.hmm._forecasting import last_states
from emlearn.hmm._inferring import ChainInference
from emlearn.hmm._reading import chain_law, read_symbols
from emlearn.hmm._sampling import ChainSampling
from emlearn.hmm._scoring import ChainScoring
from emlearn.latent import (
    ChainLaw,
    ChainParams,
    KnownLabels,
    LabelModel,
    LabelParams,
    Observations,
    Sequences,
)
from emlearn.latent.chain_candidates import ChainStarts
from emlearn.latent.estimator import LABEL_CONSTRAINTS, STRONGER_PRIOR
from emlearn.latent.starts import Initializer

Array = NDArray[Any]


class HiddenMarkovEM(ChainInference, ChainDecoding, ChainScoring, ChainSampling, ChainDurations):
    """Hidden Markov model fitted by expectation-maximization (Baum-Welch).

    The rows are observations in order of time. Each row belongs to a hidden state. The states
    form a Markov chain, and the rows of a state follow a distribution of any family.

    Parameters
    ----------
    n_components : int, default=None
        Number of states. None means the number of classes in `y` with ``use_labels=True``,
        and one otherwise.
    family : str, Family or list of (family, columns), default="gaussian"
        Distribution of the rows of a state, as in `FiniteMixtureEM`: "gaussian",
        "categorical", "bernoulli", "poisson", ..., a family from `emlearn.distributions`, a
        family of your own, or a list of families with the columns that each describes. With
        `emlearn.distributions.Mixture`, each state has a mixture of any family.
    covariance_type : {"full", "tied", "diag", "spherical", "EEV", "factor"}, default="full"
        Structure of the covariances if `family` is "gaussian": a matrix for each state, one
        matrix for all, a diagonal matrix for each, a single variance for each, or "EEV" or
        "factor" as in `GaussianMixtureEM`. Otherwise unused.
    n_factors : int, default=None
        Number of factors of each state with ``covariance_type="factor"``, less than the number
        of columns. None with the other types.
    startprob_init : array-like of shape (n_components,), default=None
        Starting probabilities of the first state. Zeros stay zeros, also with
        ``warm_start=True``. None means that all are equal.
    transmat_init : array-like of shape (n_components, n_components), default=None
        Starting probabilities of the next state (column) given the last one (row). Zeros
        stay zeros, also with ``warm_start=True``: a triangular matrix gives a left-right
        model. None favors staying in a state and treats all moves alike.
    startprob_alpha : float or array-like of shape (n_components,), default=0.0
        Pseudo-counts of the first state. The prior is Dirichlet(1 + startprob_alpha), without
        the fixed zeros. 0 is maximum likelihood.
    transmat_alpha : float or array-like of shape (n_components, n_components), default=0.0
        Pseudo-counts of the transitions from each state, in the same way.
    stationary_start : bool, default=False
        Whether the first state of a sequence has the stationary distribution of the
        transitions, as in a process that began long before it was observed. The start
        probabilities are then no parameters: `startprob_init`, `startprob_alpha` and entries of
        "startprob" in `fixed` are refused. The default leaves them free, as in hmmlearn and
        depmixS4; one sequence says little of them.
    sequence_column : str or int, default=None
        Column of X with an identifier of the sequence of each row, instead of `lengths`. It is
        left out of the rows, and of `n_features_in_`. Identifiers follow the splits of
        `GridSearchCV`; see `emlearn.sequences.SequenceKFold`. None means that there is none.
    use_labels : bool, default=False
        Whether the `y` passed to `fit` holds known states. The default is False, because a
        Pipeline passes its target to every step.
    {tol}
    {max_iter}
    {n_init}
    init_params : str, callable or array-like, default="auto"
        How to start. "auto": a race of starts of several kinds (see `emlearn.engine.race`):
        rows, clusters of rows and of rows with their neighbors, with transitions that last,
        that are equal or random, or that are counted from the clusters. "rows": each state
        starts at a few consecutive rows drawn at random. "random": random responsibilities;
        all states start close to the average row, so EM is slow. "search": the best of many
        short runs from "rows", modified as long as this improves it (see `search`). An
        array of shape (n_samples, n_components): the responsibilities. A callable:
        ``init_params(X, n_components, rng)`` returns the responsibilities. `rng` is a
        `numpy.random.Generator`, and `X` holds the rows of the sequences of positive
        weight, longest first. If every state has rows known to belong to it, each starts
        from these rows, whatever is chosen here.
    {search}
    {accelerate}
    {fixed}
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
        Probabilities of the next state (column) given the last one (row).
    component_params_ : dict of str to ndarray
        Parameters of the states by name, such as "probability", "rate", "mean" or
        "covariance", in the units of the data. The first axis is the state.
    levels_ : list of ndarray or None, of length n_features
        Levels of each categorical column, codes or symbols:
        ``component_params_["probability"][k, j, l]`` is the probability of
        ``levels_[j][l]`` in state k. None for a column without levels. Only if the family
        has levels.
    means_ : ndarray of shape (n_components, n_features)
        Means. Only if the family is Gaussian.
    covariances_ : ndarray
        Covariances: (n_components, n_features, n_features) if "full", "tied" or "EEV",
        (n_components, n_features) if "diag", (n_components,) if "spherical". Only if the
        family is Gaussian.
    family_ : Family
        The fitted family.
    n_components_ : int
        Number of states.
    classes_ : ndarray of shape (n_classes,)
        Sorted labels of the states: state c has the label ``classes_[c]``. Only if some
        labels were known.
    last_state_proba_ : ndarray of shape (n_sequences, n_components)
        Probabilities of the state of the last row of each sequence of the fit, from which
        `forecast` goes on.
    {converged_}
    {n_iter_}
    log_likelihood_ : float
        Total weighted log-likelihood of the sequences, and of their known states, at the
        fitted parameters.
    {lower_bound_}
    {lower_bounds_}
    {history_}
    {restarts_}
    {n_features_in_}
    {feature_names_in_}

    See Also
    --------
    FiniteMixtureEM : The same families, for independent rows.
    emlearn.distributions : The families with their priors and parameters.

    Notes
    -----
    NaN means a missing entry. Missing entries are integrated out, which is exact if they are
    missing at random. A row with only missing entries is a time step without an observation.

    Columns of a categorical family may hold words or other symbols: text, objects or a dtype of
    categories. `sample` returns them again. Text that reads as numbers is codes.

    Without a prior, a state that is never left keeps its row of `transmat_`, and a state that
    is never visited keeps its distribution. A warning names the states that are not visited.

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
    After a short eruption of Old Faithful, the next one is usually long:

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
        "covariance_type": [StrOptions({*STRUCTURES, "factor"})],
        "n_factors": [Interval(Integral, 1, None, closed="left"), None],
        "startprob_init": ["array-like", None],
        "transmat_init": ["array-like", None],
        "startprob_alpha": [Interval(Real, 0.0, None, closed="left"), "array-like"],
        "transmat_alpha": [Interval(Real, 0.0, None, closed="left"), "array-like"],
        "stationary_start": ["boolean"],
        "sequence_column": [str, Integral, None],
    }

    _priors = "alpha of the family, startprob_alpha and transmat_alpha"
    _model_attributes: ClassVar[tuple[str, ...]] = (
        "startprob_",
        "transmat_",
        "component_params_",
    )
    _symbols: Symbols

    def __init__(
        self,
        n_components: int | None = None,
        *,
        family: str | Family | list[tuple[Any, Any]] = "gaussian",
        covariance_type: str = "full",
        n_factors: int | None = None,
        startprob_init: ArrayLike | None = None,
        transmat_init: ArrayLike | None = None,
        startprob_alpha: float | ArrayLike = 0.0,
        transmat_alpha: float | ArrayLike = 0.0,
        stationary_start: bool = False,
        sequence_column: str | int | None = None,
        use_labels: bool = False,
        tol: float | str = "auto",
        max_iter: int = 1000,
        n_init: int = 1,
        init_params: str | Callable[..., ArrayLike] | ArrayLike = "auto",
        search: str | int | SearchPlan = "default",
        accelerate: str | None = "auto",
        fixed: dict[str, Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        n_jobs: int | None = None,
    ):
        self.n_components = n_components
        self.family = family
        self.covariance_type = covariance_type
        self.n_factors = n_factors
        self.startprob_init = startprob_init
        self.transmat_init = transmat_init
        self.startprob_alpha = startprob_alpha
        self.transmat_alpha = transmat_alpha
        self.stationary_start = stationary_start
        self.sequence_column = sequence_column
        self.use_labels = use_labels
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.search = search
        self.accelerate = accelerate
        self.fixed = fixed
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
        *,
        sequence_ids: ArrayLike | None = None,
    ) -> Self:
        """Estimate the parameters with the EM algorithm.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows to fit, one sequence after another; or a list of sequences, or an array of three
            dimensions (n_sequences, n_steps, n_features). In a list, arrays of one dimension are
            sequences of one column. NaN means a missing entry.
        y : array-like of shape (n_samples,), default=None
            States of the rows: integers, booleans or strings; a list of these by sequence if X
            is one. Ignored unless ``use_labels=True``. A state is unknown where `y` is -1, NaN,
            None, pandas.NA or an empty category. If all labels are integers between 0 and
            n_components - 1, they are the indices of the states. Other labels are sorted: state
            c has the c-th label. None means that no state is known.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        sample_weight : array-like of shape (n_sequences,), default=None
            Weights of the sequences, >= 0. A weight w has the same effect as w copies of the
            sequence. None means 1 each.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`: numbers or strings.
            Consecutive rows with the same identifier form a sequence.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a hyperparameter, the rows, the lengths, the identifiers, the states or the
            weights are invalid, or if every start fails.
        """
        validate_params(self)
        rows, sequences = self._read_sequences(X, lengths, sequence_ids, reset=True)
        n_rows = sequences.n_rows
        weight = read_weight(sample_weight, len(sequences), "sequence")
        y = joined_labels(y, X, sequences.lengths)
        check_one_for_each_row(y, n_rows, sequences=True)
        labels = self._encode_target(y, n_rows, self.n_components)
        family = self._family_of_columns()
        plan = self._plan(labels)
        initializer = self._initializer(n_rows, plan)
        model = LabelModel(self._law(self.n_components_), family, initializer)
        with blas_limited(), named_columns(getattr(self, "feature_names_in_", None)):
            data = model.prepare(Observations(rows, labels, sequences), weight)
            fit = self._run_em(
                model,
                data,
                start=self._last_params(family, data.column_spec),
                plan=plan,
                advice="Use fewer components or more starts (n_init), or check y against the zeros "
                f"of startprob_init and transmat_init. {STRONGER_PRIOR}",
            )
        self.startprob_, self.transmat_ = fit.params.law
        self._publish_components(family, fit.params, fit.fixed)
        self._keep_last_states(rows, labels, sequences)
        row_weight = None if weight is None else weight.repeat(sequences.lengths)
        if row_weight is not None:
            n_used, total = int(np.count_nonzero(row_weight)), float(row_weight.sum())
            self._warn_of_weights(model, fit.params, n_used, total)
        return self._report(fit, STRONGER_PRIOR)

    def _keep_last_states(self, rows: Any, labels: Any, sequences: Sequences) -> None:
        joint = self._emissions().log_density(rows)
        known = KnownLabels.find(labels)
        if known is not None:
            known.impose(joint)
        self.last_state_proba_ = last_states(joint, sequences, self._law_params())

    def _law(self, n: int) -> ChainLaw:
        return chain_law(self, n)

    def _last_params(self, family: Family, column_spec: Any) -> LabelParams | None:
        """With `warm_start`, the published parameters, with the zeros of the hyperparameters."""
        last = super()._last_params(family, column_spec)
        if last is None:
            return None
        return last._replace(law=self._law(self.n_components_).restrict(last.law))

    def _race(self) -> ManyStarts:
        return ManyStarts(n_candidates=12, n_large=12, first_steps=5, steps=80, heats=())

    def _candidates(self) -> Initializer:
        return ChainStarts()

    def _read_rows(self, X: Any, *, reset: bool = False) -> Any:
        family = self._given_family()
        X, self._symbols = read_symbols(self, X, family, reset=reset)
        return read_table(
            self,
            X,
            reset=reset,
            dtype=(np.float64,),
            accept_sparse=family.accepts_sparse,
            sequences=True,
        )

    def _given_family(self) -> Family:
        family = super()._given_family()
        if isinstance(self.family, str) and isinstance(family, Gaussian):
            return replace(family, covariance_type=self.covariance_type, n_factors=self.n_factors)
        return family

    def fit_predict(
        self,
        X: ArrayLike,
        y: Any = None,
        lengths: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        sequence_ids: ArrayLike | None = None,
    ) -> Array:
        """Fit, and return the most probable states of each sequence.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or list of these
            Rows to fit, in any form that `fit` takes.
        y : array-like of shape (n_samples,), default=None
            See `fit`. The path that is returned need not agree with these states.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences. None means that all rows form one sequence.
        sample_weight : array-like of shape (n_sequences,), default=None
            See `fit`.
        sequence_ids : array-like of shape (n_samples,), default=None
            Identifier of the sequence of each row, instead of `lengths`.

        Returns
        -------
        states : ndarray of shape (n_samples,)
            The same as ``fit(X, y, lengths).predict(X, lengths)``.
        """
        self.fit(X, y, lengths, sample_weight, sequence_ids=sequence_ids)
        return self.predict(X, lengths, sequence_ids=sequence_ids)

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
        """A model with known parameters, which can predict, score and sample without a fit.

        Parameters
        ----------
        startprob : array-like of shape (n_components,)
            Probabilities of the first state.
        transmat : array-like of shape (n_components, n_components)
            Probabilities of the next state (column) given the last one (row).
        component_params : dict of str to array-like
            Parameters of the states, like `component_params_` of a fitted model.
        family : str, Family or list of (family, columns), default="gaussian"
            Distribution of the rows of a state.
        n_features : int, default=None
            Number of features. None takes it from the parameters.
        **hyperparameters : object
            Other hyperparameters of the estimator.

        Returns
        -------
        model : HiddenMarkovEM
            The model.

        Raises
        ------
        ValueError
            If a parameter is missing or invalid. The message names it.

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

    @property
    def levels_(self) -> list[Array | None]:
        """Levels of each categorical column, in the order of their probabilities.

        Codes, or the symbols of a column of symbols. None for a column without levels, such as
        counts. Only if the family has levels.
        """
        symbols = getattr(self, "_symbols", {})
        return [
            own if own is None or j not in symbols else symbols[j][own.astype(np.intp)]
            for j, own in enumerate(super().levels_)
        ]

    def _permute_labels(self, order: NDArray[np.intp]) -> None:
        super()._permute_labels(order)
        if hasattr(self, "last_state_proba_"):
            self.last_state_proba_ = self.last_state_proba_[:, order]

    def _n_labels(self) -> int:
        return len(self._law_params().startprob)

    def _law_params(self) -> ChainParams:
        """The published probabilities, checked."""
        n = max(np.size(self.startprob_), 1)
        return ChainParams(
            check_proportions(self.startprob_, "startprob_", (n,)),
            check_proportions(self.transmat_, "transmat_", (n, n)),
        )

    def _n_parameters(self) -> int:
        return self._n_free(self._law(self._n_labels()))
