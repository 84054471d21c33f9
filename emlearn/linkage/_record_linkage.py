"""RecordLinkageEM: the Fellegi-Sunter model of record linkage as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from emlearn._compat import Interval, validate_params
from emlearn.data import read_weight
from emlearn.distributions._domain import named_columns
from emlearn.engine import EMEstimator, Fit, RacePlan
from emlearn.engine.fixed import n_held
from emlearn.engine.inference import FittedProblem, Inference, Kind
from emlearn.engine.threads import blas_limited
from emlearn.latent import LabelModel, Observations
from emlearn.latent.data import LabelData
from emlearn.latent.model import LabelParams
from emlearn.linkage._checks import (
    Doubts,
    agreement,
    exchanged,
    margins,
    require_no_ties,
    warn_of_weights,
)
from emlearn.linkage._fixed import held_comparisons, read_held
from emlearn.linkage._model import (
    CLASSES,
    MATCH,
    NON_MATCH,
    LinkageModel,
    MatchLaw,
    MatchStart,
    read_pseudo_pairs,
)
from emlearn.linkage._scoring import LinkageScoring, counts_of
from emlearn.linkage._structure import Structure, read_interactions
from emlearn.linkage._tables import LOG_2, WeightTables
from emlearn.linkage._vectors import (
    Patterns,
    comparison_names,
    merge,
    read_levels,
    read_n_levels,
)

Array = NDArray[np.float64]

# Numbers of EM steps of the starts, before the best one is chosen.
_FIRST_STEPS, _RACED_STEPS = 10, 100
_ADVICE = "Check the levels, or hold u or the prevalence with fixed=."


class RecordLinkageEM(EMEstimator, LinkageScoring):
    """Probabilistic record linkage: the Fellegi-Sunter model, fitted by EM.

    Each pair of records is a match or not. Comparisons of their fields have levels, from
    disagreement (0) to exact agreement. The model learns without known matches how often each
    level occurs among matches (m) and among non-matches (u), and how many pairs are matches.

    Parameters
    ----------
    n_levels : int or sequence of int, default=None
        Number of levels of all comparisons, or of each. None takes them from `RecordPairs`, or
        from the highest level that occurs (2 at least).
    interactions : list of (str or int, str or int), default=None
        Pairs of comparisons, by name or position, that depend on each other within a class: a
        log-linear model with these two-way interactions (see Notes). None means that all
        comparisons are independent given the class.
    ordered : bool, default=False
        Whether match weights may not fall from a level to the next one. m and u are then the best
        among those in this order. Not with `interactions`.
    alpha : float, default=0.01
        Pseudo-pairs of each level of each comparison in each class: the priors of m and u are
        Dirichlet(1 + alpha, ...). It keeps a class from ruling out levels that it has not seen. 0
        is maximum likelihood. With interactions it is for each cell of a table, and is positive.
    prevalence_alpha : float or (float, float), default=0.0
        Pseudo-pairs that are matches, and those that are not: the prior of the prevalence is
        Beta(1 + a, 1 + b). A number stands for both.
    threshold : float, default=0.5
        Probability from which on `predict` takes a pair for a match.
    {tol}
    {max_iter}
    n_init : int, default=4
        Number of starts, at most 8. All let matches agree more often than non-matches, and differ
        in the prevalence. The one that leads to the highest objective is kept.
    {accelerate}
    fixed : dict, default=None
        What is known: ``"prevalence"``, a number; ``"u"`` and ``"m"``, dicts of comparisons to
        arrays with the probability of each level (NaN where free), or lists with an array or
        None for each comparison. ``{"u": estimate_u(...)}`` holds u of random pairs.
    {random_state}
    {warm_start}
    {verbose}
    {verbose_interval}

    Attributes
    ----------
    m_ : list of ndarray of shape (n_levels,)
        For each comparison, probabilities of its levels among matches. With interactions, they
        are margins of `interaction_tables_`.
    u_ : list of ndarray of shape (n_levels,)
        The same among non-matches.
    prevalence_ : float
        Part of the pairs that are matches.
    match_weights_ : list of ndarray of shape (n_levels,)
        log2(m / u) of each level of each comparison. 0 for a level that no pair of the fit has.
    interaction_tables_ : dict of tuple of str to ndarray of shape (2, ...)
        For comparisons joined by interactions, the joint probabilities of their levels among
        non-matches (first) and matches. Empty without interactions.
    levels_seen_ : list of ndarray of shape (n_levels,), dtype bool
        Which levels occur in the pairs of the fit, or are held in both classes.
    n_levels_ : tuple of int
        Number of levels of each comparison.
    n_pairs_ : float
        Number of pairs: the sum of the weights.
    n_patterns_ : int
        Number of distinct comparison vectors.
    classes_ : ndarray of shape (2,)
        0 (non-match) and 1 (match).
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
    emlearn.linkage.compare_records : Makes comparison vectors of tables.
    emlearn.linkage.estimate_u : Levels of random pairs.
    emlearn.display.MatchWeightDisplay : The weights of one pair, or of all levels.

    Notes
    -----
    Copies of a comparison vector are merged, so an iteration costs only as much as for the
    distinct ones, whatever the number of pairs. A comparison vector without any comparison says
    nothing; its pair has the prevalence as its probability.

    The likelihood does not know which class is that of the matches. Matches are the class that
    agrees more: starts are such, and a fit that ends otherwise is continued with the classes
    exchanged. If some comparison still agrees exactly less often among matches, a warning names
    it. ``ordered=True`` excludes it.

    With interactions (j, k), ``log P(levels | class) = const + sum_j a_j + sum_(j,k) b_jk``, with
    parameters of their own in each class. The M-step is iterative proportional fitting.

    References
    ----------
    I. P. Fellegi and A. B. Sunter (1969). "A theory for record linkage". Journal of the American
    Statistical Association 64(328), 1183-1210.

    W. E. Winkler (1988). "Using the EM algorithm for weight computation in the Fellegi-Sunter
    model of record linkage". Proceedings of the Section on Survey Research Methods, American
    Statistical Association, 667-671.

    T. Enamorado, B. Fifield and K. Imai (2019). "Using a probabilistic model to assist merging of
    large-scale administrative records". American Political Science Review 113(2), 353-371.

    Examples
    --------
    >>> from emlearn import RecordLinkageEM
    >>> from emlearn.datasets import make_duplicate_records
    >>> from emlearn.linkage import compare_records
    >>> people = make_duplicate_records(500, random_state=0)
    >>> kinds = {"first_name": "exact", "last_name": "exact", "birth_date": "date"}
    >>> pairs = compare_records(people.records, comparisons=kinds)
    >>> linkage = RecordLinkageEM().fit(pairs)
    >>> [weights.round(1).tolist() for weights in linkage.match_weights_]
    [[-2.7, 5.4], [-3.2, 8.3], [-3.7, -0.1, -2.3, 14.0]]
    >>> found = linkage.predict(pairs) == 1
    >>> true = people.target[pairs.left] == people.target[pairs.right]
    >>> int(found.sum()), int(true.sum()), int((found & true).sum())
    (140, 150, 139)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_levels": "no_validation",  # read_n_levels does it, and names the comparison
        "interactions": [list, tuple, None],
        "ordered": ["boolean"],
        "alpha": [Interval(Real, 0.0, None, closed="left")],
        "prevalence_alpha": [Interval(Real, 0.0, None, closed="left"), tuple, list],
        "threshold": [Interval(Real, 0.0, 1.0, closed="both")],
    }

    def __init__(
        self,
        *,
        n_levels: int | Sequence[int] | None = None,
        interactions: list[tuple[Any, Any]] | None = None,
        ordered: bool = False,
        alpha: float = 0.01,
        prevalence_alpha: float | tuple[float, float] = 0.0,
        threshold: float = 0.5,
        tol: float | str = "auto",
        max_iter: int = 1000,
        n_init: int = 4,
        accelerate: str | None = "auto",
        fixed: dict[str, Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
    ):
        self.n_levels = n_levels
        self.interactions = interactions
        self.ordered = ordered
        self.alpha = alpha
        self.prevalence_alpha = prevalence_alpha
        self.threshold = threshold
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.accelerate = accelerate
        self.fixed = fixed
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval

    # ---- fitting ------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Estimate m, u and the prevalence.

        Parameters
        ----------
        X : array-like of shape (n_pairs, n_comparisons), or RecordPairs
            Level of each comparison of each pair: integers from 0 (disagree) to the number of
            levels - 1 (agree exactly). NaN means not comparable.
        y : object, default=None
            Ignored.
        sample_weight : array-like of shape (n_pairs,), default=None
            Number of pairs with each comparison vector. None means 1 each, or the counts of
            `RecordPairs`.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a hyperparameter, a level (its row and column are named) or a weight is invalid.
        """
        validate_params(self)
        levels = read_levels(self, X, reset=True)
        weight = read_weight(counts_of(X, sample_weight), len(levels))
        patterns = merge(levels, weight)
        structure = self._structure(X, patterns)
        last = self._last_params(structure)
        self.n_levels_ = structure.n_levels
        model, data = self._problem(structure, patterns)
        plan = RacePlan(self.n_init, _FIRST_STEPS, _RACED_STEPS, n_large=self.n_init, heats=())
        start = None if last is None else last._replace(column_spec=data.column_spec)
        with blas_limited(), named_columns(getattr(self, "feature_names_in_", None)):
            fit = self._run_em(model, data, start=start, plan=plan, advice=_ADVICE)
            if agreement(structure, fit.params) < 0.0 and not set(self.fixed or ()) & {"m", "u"}:
                other = exchanged(structure, fit.params)
                again = self._run_em(model, data, start=other, advice=_ADVICE)
                # The exchange may not be an equally good fit: a prior or what is held can say so.
                fit = again if agreement(structure, again.params) >= 0.0 else fit
        self._publish(structure, patterns, fit)
        warn_of_weights(model, fit.params, weight)
        held = held_comparisons(structure, fit.fixed.get("probability"))
        names = comparison_names(self)
        doubts = Doubts(names, self.m_, self.u_, self.levels_seen_, held)
        doubts.warn(agreement(structure, fit.params))
        return self._report(fit)

    def _structure(self, X: Any, patterns: Patterns) -> Structure:
        """Levels and interactions, checked against each other and the priors."""
        n_levels = read_n_levels(self.n_levels, self, X, patterns)
        pairs = read_interactions(self.interactions, comparison_names(self), n_levels)
        if pairs and self.ordered:
            raise ValueError("ordered=True is not possible with interactions. Use one of them.")
        if pairs and self.alpha == 0.0:
            raise ValueError("interactions need alpha > 0, which keeps all cells possible.")
        return Structure(n_levels, pairs)

    def _problem(self, structure: Structure, patterns: Patterns) -> tuple[LabelModel, LabelData]:
        """The model, and the patterns as it reads them."""
        law = MatchLaw(2, pseudo=read_pseudo_pairs(self.prevalence_alpha))
        held = self._held(structure).get("weights")
        start = MatchStart(structure.n_levels, None if held is None else float(held[MATCH]))
        model = LinkageModel(law, structure.family(float(self.alpha), self.ordered), start)
        return model, model.prepare(Observations(patterns.X), patterns.weight)

    def _held(self, structure: Structure) -> dict[str, Array]:
        if not self.fixed:
            return {}
        names = comparison_names(self)
        return read_held(self.fixed, names, structure, ordered=self.ordered)

    def _fixed(self, model: Any, params: Any) -> dict[str, Array]:
        """See `EMEstimator`: m and u are the two rows of the model's probabilities."""
        pairs = read_interactions(self.interactions, comparison_names(self), self.n_levels_)
        return self._held(Structure(self.n_levels_, pairs))

    def _last_params(self, structure: Structure) -> LabelParams | None:
        """The published parameters with `warm_start`."""
        if not self._resumes() or not hasattr(self, "prevalence_"):
            return None
        tables = self._published(structure)
        if self.n_levels_ != structure.n_levels or tables is None:
            raise ValueError(
                "With warm_start=True the fit continues the last one, which had other levels or "
                "interactions. Set warm_start=False to start afresh."
            )
        return structure.params(self.prevalence_, tables, None)

    # ---- the published model ------------------------------------------------------------

    def _publish(self, structure: Structure, patterns: Patterns, fit: Fit) -> None:
        names, tables = comparison_names(self), structure.tables(fit.params.components)
        self.classes_ = np.arange(2)
        self.prevalence_ = float(fit.params.law.weights[MATCH])
        held = fit.fixed.get("weights")
        if held is not None:
            self.prevalence_ = float(held[MATCH])
        own = margins(tables)
        every = range(len(structure.n_levels))
        self.m_ = [own[j][MATCH].copy() for j in every]
        self.u_ = [own[j][NON_MATCH].copy() for j in every]
        self.interaction_tables_ = {
            tuple(names[j] for j in group): tables[group].copy() for group in structure.groups
        }
        self.levels_seen_ = self._seen(structure, patterns, fit)
        self.n_pairs_ = float(patterns.weight.sum())
        self.n_patterns_ = len(patterns.weight)

    def _seen(self, structure: Structure, patterns: Patterns, fit: Fit) -> list[NDArray[np.bool_]]:
        seen = [
            np.isin(np.arange(n), own)
            for n, own in zip(structure.n_levels, patterns.levels.T, strict=True)
        ]
        held = fit.fixed.get("probability")
        if held is not None:
            for k, j in enumerate(structure.free):
                seen[j] |= ~np.isnan(held[:, k, : structure.n_levels[j]]).any(axis=0)
        return seen

    def _published(self, structure: Structure) -> dict[tuple[int, ...], Array] | None:
        """Probabilities by comparison or group; None if they are those of another structure."""
        names = comparison_names(self)
        tables: dict[tuple[int, ...], Array] = {}
        for j in structure.free:
            tables[(j,)] = np.stack([self.u_[j], self.m_[j]])
        for group in structure.groups:
            own = self.interaction_tables_.get(tuple(names[j] for j in group))
            if own is None:
                return None
            tables[group] = own
        return tables

    def _fitted_structure(self) -> Structure:
        pairs = read_interactions(self.interactions, comparison_names(self), self.n_levels_)
        return Structure(self.n_levels_, pairs)

    def _tables(self) -> WeightTables:
        tables = self._published(self._fitted_structure())
        if tables is None:
            raise ValueError("interactions has changed after fit. Fit again.")
        return WeightTables.of(self.prevalence_, tables, self.levels_seen_)

    def _tables_at(self, public: Mapping[str, Array]) -> WeightTables:
        """Tables at published parameters of the model, such as those near the estimates."""
        structure = self._fitted_structure()
        family = structure.family(float(self.alpha), self.ordered)
        components = {name: own for name, own in public.items() if name != "weights"}
        spec = family.column_spec(np.full((1, len(self.n_levels_)), np.nan))
        params = family.from_public(components, spec)
        tables = structure.tables(params)
        return WeightTables.of(float(public["weights"][MATCH]), tables, self.levels_seen_)

    @property
    def match_weights_(self) -> list[Array]:
        """Match weights log2(m / u) of each level of each comparison."""
        check_is_fitted(self)
        found = []
        for m, u, seen in zip(self.m_, self.u_, self.levels_seen_, strict=True):
            ratio = np.log(np.maximum(m, 1e-300)) - np.log(np.maximum(u, 1e-300))
            found.append(np.where(seen, ratio / LOG_2, 0.0))
        return found

    def _n_parameters(self) -> int:
        structure = self._fitted_structure()
        model, params = self._model_at(structure, None)
        return model.n_parameters(params) - n_held(model, params, self._held(structure))

    def _model_at(
        self, structure: Structure, patterns: Patterns | None
    ) -> tuple[LabelModel, LabelParams]:
        nothing = np.full((1, len(structure.n_levels)), -1, np.int8)
        model, data = self._problem(structure, patterns or Patterns(nothing, np.ones(1)))
        tables = self._published(structure)
        assert tables is not None
        return model, structure.params(self.prevalence_, tables, data.column_spec)

    # ---- standard errors ----------------------------------------------------------------

    def inference(
        self, X: Any, y: Any = None, sample_weight: Any = None, *, information: Kind = "observed"
    ) -> Inference:
        """Standard errors, intervals and tests of the prevalence, m and u.

        Parameters are named ``weights[match]`` (the prevalence) and ``probability[match, first,
        2]`` (m of level 2 of the comparison "first"; u is that of "non-match"). With
        interactions, there are coefficients of the log-linear models. What is held is taken as
        known.

        Parameters
        ----------
        X : array-like of shape (n_pairs, n_comparisons), or RecordPairs
            The pairs of the fit.
        y : object, default=None
            Ignored.
        sample_weight : array-like of shape (n_pairs,), default=None
            As for `fit`.
        information : {"observed", "empirical", "sandwich"}, default="observed"
            See `emlearn.GaussianMixtureEM.inference`.

        Returns
        -------
        inference : Inference
            The parameters with standard errors, covariance, intervals, tests and a table.

        Raises
        ------
        ValueError
            If `information` is unknown, the pairs are invalid, or ``ordered=True`` holds
            neighboring levels at the same match weight, where there are no standard errors.
        """
        return super().inference(X, y, sample_weight, information=information)

    def _fitted_problem(self, X: Any, *arguments: Any) -> FittedProblem:
        sample_weight = arguments[1]
        levels = self._levels(X)
        patterns = merge(levels, read_weight(counts_of(X, sample_weight), len(levels)))
        structure = self._fitted_structure()
        model, data = self._problem(structure, patterns)
        tables = self._published(structure)
        if tables is None:
            raise ValueError("interactions has changed after fit. Fit again.")
        if self.ordered:
            require_no_ties(structure, tables, comparison_names(self))
        params = structure.params(self.prevalence_, tables, data.column_spec)
        names = {name: name for name in model.public(params)}
        return FittedProblem(model, data, params, names, self._held(structure), self._axis_labels())

    def _axis_labels(self) -> dict[str, Any]:
        names = comparison_names(self)
        free = [names[j] for j in self._fitted_structure().free]
        return {"component": CLASSES, "feature": free}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.positive_only = True
        tags.input_tags.categorical = True
        return tags
