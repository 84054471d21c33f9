"""HiddenMarkovEM: the hidden Markov model as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning

from emlearn._compat import Interval, StrOptions, validate_params
from emlearn._fitting import FITTING_CONSTRAINTS, EMFitting
from emlearn._warnings import warn_user
from emlearn.data import (
    check_one_for_each_row,
    check_responsibilities,
    read_labels,
    read_lengths,
    read_table,
    read_weight,
)
from emlearn.distributions import Family, Gaussian, find_family
from emlearn.distributions._domain import named_columns
from emlearn.distributions.gaussian.structures import STRUCTURES
from emlearn.engine import SearchPlan, find_plan
from emlearn.engine.threads import blas_limited
from emlearn.hmm._decoding import ChainDecoding
from emlearn.hmm._reading import check_probabilities, read_probabilities
from emlearn.latent import (
    ChainLaw,
    ChainParams,
    LabelModel,
    LabelParams,
    Observations,
    Sequences,
)
from emlearn.latent.law import EMPTY
from emlearn.latent.published import PublishedComponents
from emlearn.latent.starts import STARTS, CallableStart, GivenStart, Initializer

Array = NDArray[Any]


class HiddenMarkovEM(PublishedComponents, ChainDecoding, EMFitting):
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
    tol : float, default=1e-7
        Stop when the objective still to be gained, estimated from the rate of
        convergence, is below this many nats per row.
    max_iter : int, default=1000
        Largest number of iterations of each start.
    n_init : int, default=1
        Number of starts, or of searches, of which the one with the highest objective is
        kept.
    init_params : str, callable or array-like, default="search"
        How to start. "rows": each state around a few consecutive rows drawn at random;
        "random": random responsibilities (all states start near the average row: slow);
        "search": from the best of many short runs from "rows", changed as long as that
        pays (see `search`). An array of shape (n_samples, n_components) gives the
        responsibilities themselves; so does a callable, ``init_params(X, n_components,
        rng)``, rng being a `numpy.random.Generator` and X the rows of the sequences of
        positive weight, longest first. If each state has rows that are known to be its
        own, it starts from these, whatever is chosen here.
    search : {"fast", "default", "thorough"}, int or SearchPlan, default="default"
        How much to search for the global optimum with ``init_params="search"``; see
        `GaussianMixtureEM`.
    accelerate : {"auto", "squarem", "quasi-newton", "anderson"} or None, default="auto"
        How to take longer steps than EM where it is slow; None is plain EM. No choice
        lowers the objective. With a family of your own that has no vector form, "auto" is
        plain EM.
    random_state : int, RandomState instance or None, default=None
        Seed of the starts and of `sample`.
    warm_start : bool, default=False
        Whether `fit` starts where the last fit ended, instead of from new starts.
    verbose : int, default=0
        1 prints the objective, 2 also the last gain and the gain still to come.
    verbose_interval : int, default=10
        Iterations between prints.
    n_jobs : int, default=None
        Starts that run at the same time; see `GaussianMixtureEM`. Groups of sequences are
        worked on in threads in any case, as many as BLAS may use.

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
    converged_ : bool
        Whether the best start converged.
    n_iter_ : int
        Iterations of the best start.
    log_likelihood_ : float
        Total log-likelihood of the sequences (and of the states that were known of them),
        weighted, at the parameters returned.
    lower_bound_ : float
        Objective per row at the parameters returned: the log-likelihood plus the logarithm
        of the priors, up to their constant.
    lower_bounds_ : list of float
        The same after each iteration.
    history_ : dict of str to ndarray
        For the start and each iteration: "objective" (total), "gain", "rate",
        "remaining", "e_steps", "step", "step_norm"; see `emlearn.engine.Iteration`.
    restarts_ : tuple of Restart
        Objective, status, iterations and seed of every start.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if X had names that are strings.

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
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "family": "no_validation",  # find_family does it, in words that name the choices.
        "covariance_type": [StrOptions(set(STRUCTURES))],
        "startprob_init": ["array-like", None],
        "transmat_init": ["array-like", None],
        "startprob_alpha": [Interval(Real, 0.0, None, closed="left"), "array-like"],
        "transmat_alpha": [Interval(Real, 0.0, None, closed="left"), "array-like"],
        "use_labels": ["boolean"],
        "init_params": [StrOptions({"search", *STARTS}), callable, "array-like"],
        **FITTING_CONSTRAINTS,
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
        validate_params(self)
        rows = self._read_rows(X, reset=True)
        sequences = Sequences.of_lengths(read_lengths(lengths, rows.shape[0]))
        weight = read_weight(sample_weight, len(sequences), "sequence")
        labels = self._note_states(y, rows.shape[0])
        n = self.n_components_
        names = getattr(self, "feature_names_in_", None)
        family = self._given_family().at_columns(names, rows.shape[1])
        law = ChainLaw(
            n,
            read_probabilities(self.startprob_init, self.startprob_alpha, (n,), "startprob"),
            read_probabilities(self.transmat_init, self.transmat_alpha, (n, n), "transmat"),
        )
        model = LabelModel(law, family, self._initializer(rows.shape[0]))
        with blas_limited(), named_columns(names):
            data = model.prepare(Observations(rows, labels, sequences), weight)
            start = self._last_params(family, data.column_spec) if self._resumes() else None
            found = self._search(model, data, np.float64, start)
            self._publish_run(found, model.total_weight(data))
            params = found.best.params
            self.log_likelihood_ = float(found.best.objective - model.log_prior(params))
            unvisited = self._unvisited(model, data, params)
        self.family_ = family
        self._fitted_spec = params.column_spec
        self.startprob_, self.transmat_ = params.law
        self.component_params_ = family.to_public(params.components, params.column_spec)
        if unvisited.size:
            warn_user(
                f"State(s) {unvisited.tolist()} were not visited: fewer than n_components="
                f"{n} describe the data. Use fewer.",
                ConvergenceWarning,
            )
        self._report_convergence(found.best)
        return self

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

    def _read_rows(self, X: Any, *, reset: bool) -> Any:
        return read_table(
            self,
            X,
            reset=reset,
            dtype=(np.float64,),
            accept_sparse=self._given_family().accepts_sparse,
            sequences=True,
        )

    def _note_states(self, y: Any, n_rows: int) -> NDArray[np.intp] | None:
        """States of the rows, -1 where they are not known; sets `n_components_`."""
        check_one_for_each_row(y, n_rows, sequences=True)
        known = None
        if self.use_labels and y is not None:
            known = read_labels(y, n_rows, self.n_components)
        n_classes = 0 if known is None else len(known.classes)
        n_components = self.n_components or max(n_classes, 1)
        if n_classes > n_components:
            raise ValueError(
                f"y has {n_classes} classes, which are more than n_components="
                f"{n_components}. Use n_components=None for one state for each class, or "
                "use_labels=False if y does not hold states."
            )
        self.n_components_ = int(n_components)
        if known is None:
            self.__dict__.pop("classes_", None)
            return None
        self.classes_ = known.classes
        return known.codes

    def _given_family(self) -> Family:
        family = find_family(self.family)
        if isinstance(self.family, str) and isinstance(family, Gaussian):
            return replace(family, covariance_type=self.covariance_type)
        return family

    def _initializer(self, n_samples: int) -> Initializer:
        if isinstance(self.init_params, str):
            return STARTS.get(self.init_params, STARTS["rows"])
        if callable(self.init_params):
            return CallableStart(self.init_params, check_responsibilities)
        shape = (n_samples, self.n_components_)
        return GivenStart(check_responsibilities(self.init_params, shape))

    def _last_params(self, family: Family, column_spec: Any) -> LabelParams:
        """Parameters of the fit before, for the rows of this one."""
        components = self._last_components(family, column_spec)
        return LabelParams(self._chain(), components, column_spec)

    def _accelerator(self) -> str | None:
        family = self._given_family()
        if family.has_vector or self.accelerate is None:
            return self.accelerate
        if self.accelerate != "auto":
            raise ValueError(
                f"accelerate={self.accelerate!r} needs a vector form of the parameters, and "
                f"{family!r} has none. Use accelerate='auto' or None."
            )
        return None

    def _plan(self) -> SearchPlan | None:
        is_search = isinstance(self.init_params, str) and self.init_params == "search"
        if self._resumes() or not is_search or self.n_components_ == 1:
            return None
        return find_plan(self.search)

    def _unvisited(self, model: LabelModel, data: Any, params: LabelParams) -> Array:
        """States that no row is expected to be in."""
        precomputed = model.precompute(params)
        visits = np.sum([model.posterior(b, precomputed)[1].visits for b in data.blocks], axis=0)
        return np.flatnonzero(visits <= EMPTY * visits.sum())

    def _advice(self) -> str:
        return (
            "Use fewer components, more starts (n_init), a stronger prior (alpha of the family), "
            "or check y against the zeros of startprob_init and transmat_init."
        )

    def _singularity_advice(self) -> str:
        return "Use a stronger prior (alpha of the family),"

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
        return len(self._chain().startprob)

    def _chain(self) -> ChainParams:
        """The published probabilities, checked."""
        n = max(np.size(self.startprob_), 1)
        return ChainParams(
            check_probabilities(self.startprob_, (n,), "startprob_"),
            check_probabilities(self.transmat_, (n, n), "transmat_"),
        )

    def _n_parameters(self) -> int:
        n = self._n_labels()
        start = read_probabilities(self.startprob_init, 0.0, (n,), "startprob")
        moves = read_probabilities(self.transmat_init, 0.0, (n, n), "transmat")
        return start.n_parameters() + moves.n_parameters() + self._emissions().n_parameters()

    @property
    def means_(self) -> Array:
        """Means of Gaussian states, (n_components, n_features): those of `component_params_`."""
        return self._gaussian_parameter("means_", "mean")

    @means_.setter
    def means_(self, value: ArrayLike) -> None:
        self._gaussian_parameter("means_", "mean")
        self.component_params_ = {**self.component_params_, "mean": np.asarray(value)}

    @property
    def covariances_(self) -> Array:
        """Covariances of Gaussian states: those of `component_params_`."""
        return self._gaussian_parameter("covariances_", "covariance")

    @covariances_.setter
    def covariances_(self, value: ArrayLike) -> None:
        self._gaussian_parameter("covariances_", "covariance")
        self.component_params_ = {**self.component_params_, "covariance": np.asarray(value)}

    def _gaussian_parameter(self, attribute: str, name: str) -> Array:
        if not isinstance(getattr(self, "family_", None), Gaussian):
            raise AttributeError(
                f"{type(self).__name__} has {attribute} only once it is fitted, and if the family "
                "is Gaussian; see component_params_."
            )
        parameter: Array = self.component_params_[name]
        return parameter

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        try:
            family = self._given_family()
        except ValueError:
            return tags
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = family.accepts_sparse
        tags.input_tags.positive_only = family.is_discrete
        tags.input_tags.categorical = family.is_discrete
        return tags
