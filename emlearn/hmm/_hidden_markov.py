"""HiddenMarkovEM: the hidden Markov model as a scikit-learn estimator."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning

from emlearn._compat import Interval, StrOptions, validate_params
from emlearn._fitting import FITTING_CONSTRAINTS, EMFitting
from emlearn.data import (
    check_one_for_each_row,
    check_responsibilities,
    read_labels,
    read_lengths,
    read_table,
    read_weight,
)
from emlearn.distributions import FAMILIES, Family, Gaussian, find_family
from emlearn.distributions.gaussian.structures import STRUCTURES
from emlearn.engine import SearchPlan, find_plan
from emlearn.engine.threads import blas_limited
from emlearn.hmm._data import Observations
from emlearn.hmm._decoding import ChainDecoding
from emlearn.hmm._model import HiddenMarkovModel, HiddenMarkovParams, make_model
from emlearn.hmm._reading import read_distribution
from emlearn.hmm._sequences import Sequences
from emlearn.hmm._start import SEARCH_START, STARTS, CallableStart, Draw, GivenStart

Array = NDArray[Any]


class HiddenMarkovEM(EMFitting, ChainDecoding):
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
    startprob_prior : float or array-like, default=1.0
        Concentrations of the Dirichlet prior of the first state, at least 1; fixed zeros
        have none. 1 is maximum likelihood.
    transmat_prior : float or array-like, default=1.0
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

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "family": [StrOptions(set(FAMILIES)), Family, list, tuple],
        "covariance_type": [StrOptions(set(STRUCTURES))],
        "startprob_init": ["array-like", None],
        "transmat_init": ["array-like", None],
        "startprob_prior": [Interval(Real, 1.0, None, closed="left"), "array-like"],
        "transmat_prior": [Interval(Real, 1.0, None, closed="left"), "array-like"],
        "use_labels": ["boolean"],
        "init_params": [StrOptions({"search", *STARTS}), callable, "array-like"],
        **FITTING_CONSTRAINTS,
    }

    def __init__(
        self,
        n_components: int | None = None,
        *,
        family: str | Family | list[tuple[Any, Any]] = "gaussian",
        covariance_type: str = "full",
        startprob_init: ArrayLike | None = None,
        transmat_init: ArrayLike | None = None,
        startprob_prior: float | ArrayLike = 1.0,
        transmat_prior: float | ArrayLike = 1.0,
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
        self.startprob_prior = startprob_prior
        self.transmat_prior = transmat_prior
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
        rows = self._validate_rows(X, reset=True)
        sequences = Sequences.of_lengths(read_lengths(lengths, rows.shape[0]))
        weight = read_weight(sample_weight, len(sequences), "sequence")
        labels = self._read_states(y, rows.shape[0])
        with blas_limited():
            model = self._make_model(rows.shape[0])
            data = model.prepare(Observations(rows, sequences, labels), weight)
            found = self._search(model, data, np.float64)
            best = found.best
            self._publish(best.params)
            self._publish_run(found, model.total_weight(data))
            self.log_likelihood_ = float(best.objective - model.log_prior(best.params))
            self._n_free = model.n_parameters(best.params)
            idle = model.idle_states(data, best.params)
        if idle.size:
            warnings.warn(
                f"State(s) {idle.tolist()} were not visited: fewer than n_components="
                f"{self.n_components_} describe the data. Use fewer.",
                ConvergenceWarning,
                stacklevel=2,
            )
        self._report_convergence(best)
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

    def _validate_rows(self, X: Any, *, reset: bool) -> Any:
        return read_table(
            self,
            X,
            reset=reset,
            dtype=(np.float64,),
            accept_sparse=self._given_family().accepts_sparse,
            sequences=True,
        )

    def _read_states(self, y: Any, n_rows: int) -> NDArray[np.intp] | None:
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

    def _fitted_family(self) -> Family:
        """The family for the columns of X."""
        names = getattr(self, "feature_names_in_", None)
        return self._given_family().at_columns(names, self.n_features_in_)

    def _make_model(self, n_rows: int) -> HiddenMarkovModel:
        family = self._fitted_family()
        if not family.has_vector and self.accelerate not in (None, "auto"):
            raise ValueError(
                f"accelerate={self.accelerate!r} needs the vector form of the parameters, which "
                f"{family!r} has not. Use accelerate='auto' or None."
            )
        n = self.n_components_
        return make_model(
            n,
            family,
            self._draw(n_rows),
            read_distribution(self.startprob_init, self.startprob_prior, (n,), "startprob"),
            read_distribution(self.transmat_init, self.transmat_prior, (n, n), "transmat"),
            self._last_params(family) if self._resumes() else None,
        )

    def _accelerator(self) -> str | None:
        return self.accelerate if self._given_family().has_vector else None

    def _draw(self, n_samples: int) -> Draw:
        if isinstance(self.init_params, str):
            return STARTS.get(self.init_params, SEARCH_START)
        if callable(self.init_params):
            return CallableStart(self.init_params)
        shape = (n_samples, self.n_components_)
        return GivenStart(check_responsibilities(self.init_params, shape))

    def _last_params(self, family: Family) -> HiddenMarkovParams:
        last = (self.family_, len(self.startprob_), self._n_features)
        if last != (family, self.n_components_, self.n_features_in_):
            raise ValueError(
                "With warm_start=True the fit goes on from the last one, which had another "
                "family, n_components or number of features. Set warm_start=False to start anew."
            )
        return self._params

    def _plan(self) -> SearchPlan | None:
        is_search = isinstance(self.init_params, str) and self.init_params == "search"
        if self._resumes() or not is_search or self.n_components_ == 1:
            return None
        return find_plan(self.search)

    def _publish(self, params: HiddenMarkovParams) -> None:
        self.family_ = self._fitted_family()
        self._params = params
        self._n_features = self.n_features_in_
        self.startprob_ = params.startprob
        self.transmat_ = params.transmat
        self.component_params_ = self.family_.to_public(params.components, params.column_spec)
        for name in ("means_", "covariances_"):
            self.__dict__.pop(name, None)
        if isinstance(self.family_, Gaussian):
            self.means_ = self.component_params_["mean"]
            self.covariances_ = self.component_params_["covariance"]

    def _n_parameters(self) -> int:
        return self._n_free

    def _advice(self) -> str:
        return (
            "Use fewer components, more starts (n_init), a stronger prior (alpha of the family), "
            "or check y against the zeros of startprob_init and transmat_init."
        )

    def _singularity_advice(self) -> str:
        return "Use a stronger prior (alpha of the family),"

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
