"""DawidSkeneEM: raters with errors, as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from emlearn._compat import Interval, StrOptions
from emlearn._warnings import warn_user
from emlearn.data import read_weight
from emlearn.data.labels import UNKNOWN
from emlearn.engine import EMEstimator, RacePlan
from emlearn.engine.criteria import InformationCriteria
from emlearn.engine.estimates import Estimates
from emlearn.engine.fixed import n_held
from emlearn.engine.inference import FittedProblem, Kind
from emlearn.engine.parameters import Public
from emlearn.kernels.softmax import row_log_density
from emlearn.raters._accuracy import ClassConditional, OneCoin
from emlearn.raters._annotations import Annotations, Block, votes_of
from emlearn.raters._confusion import (
    Confusion,
    FullConfusion,
    HomogeneousConfusion,
    PooledConfusion,
)
from emlearn.raters._model import RaterModel, RaterParams, Working
from emlearn.raters._ordinal import OrdinalConfusion
from emlearn.raters._quality import METRICS, read_cost
from emlearn.raters._reading import (
    Ratings,
    as_labels,
    classes_of_items,
    positions_of,
    read_classes,
    read_ratings,
    read_truth,
)

Array = NDArray[Any]

_CONFUSIONS: dict[str, type[Confusion]] = {
    "full": FullConfusion,
    "class_pooled": PooledConfusion,
    "homogeneous": HomogeneousConfusion,
    "class_conditional": ClassConditional,
    "one_coin": OneCoin,
    "ordinal": OrdinalConfusion,
}
# Attributes that only some models have.
_OWN = ("common_confusion", "accuracies", "discrimination", "criteria")
# Matrices of all raters of more entries do not fit in memory.
_MOST_ENTRIES = 2**28
# Items whose posterior is found at once.
_ROWS = 2**17
# More parameters than this have no information matrix in reasonable time.
_MOST_PARAMETERS = 2500
# An item needs as many labels for the errors of raters to be told from its class.
_LABELS_NEEDED = 3


class DawidSkeneEM(InformationCriteria, EMEstimator):
    """True labels of items, and errors of raters, from labels that disagree (Dawid and Skene).

    Each item has an unknown class. Given the class, raters give labels independently, each with
    the probabilities of a confusion matrix. Prevalence, matrices and the classes of the items are
    estimated together, without any item whose class is known.

    Parameters
    ----------
    confusion : {{"full", "class_pooled", "homogeneous", "class_conditional", "one_coin", \
"ordinal"}}, default="full"
        What is known about the confusion matrices. "full": a matrix for each rater.
        "class_pooled": a matrix for each rater, each row of which is pulled to the row that the
        raters have in common. "homogeneous": one matrix for all raters. "class_conditional": for
        each rater and class the probability of the right label; errors are spread evenly.
        "one_coin": one accuracy for each rater. "ordinal": ordered classes, with a discrimination
        and criteria for each rater (signal detection), so that errors decline with distance.
    layout : {{"auto", "long", "wide"}}, default="auto"
        Layout of X. "long": a row for each label, with the columns item, rater and label. "wide": a
        row for each item and a column for each rater. "auto": long if X is a DataFrame whose
        columns are named item (or task), rater (or worker) and label; an error if it has three
        columns of other names, or of none; wide otherwise.
    classes : array-like of shape (n_classes,), default=None
        The classes, in their order, whether or not they occur. None: the labels that occur, sorted,
        or in the order of ordered categories.
    pooling : float, default=10.0
        For "class_pooled": number of labels of each class that the common row counts as.
    prior_strength : float, default=4.0
        Prior of the confusion matrices, as a number of further labels: for each rater and class
        ("one_coin" and "ordinal": for each rater; "homogeneous" and "class_pooled": for each
        class). They keep raters of few labels from probabilities of 0, and the classes from
        changing their names. 0 is maximum likelihood.
    prior_accuracy : float, default=0.7
        Part of these labels that is right. The others are spread evenly over the wrong labels; for
        "ordinal" most of them are next to the class.
    prevalence_alpha : float, default=0.0
        Pseudo-items of each class; the prior of the prevalence is Dirichlet(1 + alpha, ...).
    use_labels : bool, default=False
        Whether the `y` passed to `fit` holds classes of items that are known.
    unseen_raters : {{"error", "average", "ignore"}}, default="error"
        What raters are in `predict` that were not in `fit`: an error, a rater with the mean of the
        confusion matrices, weighted by numbers of labels, or a rater whose labels say nothing.
    {tol}
    {max_iter}
    n_init : int, default=1
        Number of starts. The first is always the vote of the raters. Others are votes in which
        raters have random weights. Starts whose classes have changed their names lose. If classes
        are known, one more start is from the items that have them.
    {accelerate}
    {fixed}
    {random_state}
    {warm_start}
    {verbose}
    {verbose_interval}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes.
    raters_ : ndarray of shape (n_raters,)
        Names of the raters: sorted, or those of the columns.
    items_ : ndarray of shape (n_items,)
        Names of the items: sorted, or those of the rows.
    labels_ : ndarray of shape (n_items,)
        The most probable class of each item.
    label_probabilities_ : ndarray of shape (n_items, n_classes)
        Posterior probability of each class of each item.
    prevalence_ : ndarray of shape (n_classes,)
        Proportions of the classes.
    confusion_matrices_ : ndarray of shape (n_raters, n_classes, n_classes)
        Probability that a rater gives a label (last axis) to an item of a class (middle axis).
    n_labels_ : ndarray of shape (n_raters,)
        Number of labels of each rater.
    common_confusion_ : ndarray of shape (n_classes, n_classes)
        What the raters have in common; only for "class_pooled".
    accuracies_ : ndarray of shape (n_raters,) or (n_raters, n_classes)
        Probabilities of the right label; only for "one_coin" and "class_conditional".
    discrimination_ : ndarray of shape (n_raters,)
        Distance of neighboring classes for each rater; only for "ordinal".
    criteria_ : ndarray of shape (n_raters, n_classes - 1)
        Criteria between labels; only for "ordinal".
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
    FiniteMixtureEM : Latent classes without names, of which this is a special case.
    ItemResponseEM : Persons whose answers are right or wrong by a key that is known.
    emlearn.display.ConfusionMatricesDisplay : Draws the matrices.

    Notes
    -----
    Labels are integers, booleans or text; NaN, None and the like mean that there is none. Several
    labels of an item by one rater are repetitions, each of which counts. Items without a label have
    no effect on the fit.

    Without a prior and without known classes, errors and classes can only be told apart if items
    have three labels or more; a warning says if none has.

    References
    ----------
    A. P. Dawid and A. M. Skene (1979). "Maximum likelihood estimation of observer error-rates using
    the EM algorithm". Applied Statistics 28(1), 20-28.

    R. J. Passonneau and B. Carpenter (2014). "The benefits of a model of annotation". Transactions
    of the Association for Computational Linguistics 2, 311-326.

    L. T. DeCarlo (2002). "A latent class extension of signal detection theory, with applications".
    Multivariate Behavioral Research 37(4), 423-451.

    Examples
    --------
    Five anesthetists judge how fit 45 patients are for an operation; the first one three times:

    >>> from emlearn import DawidSkeneEM
    >>> from emlearn.datasets import load_anesthetists
    >>> ratings = load_anesthetists().data  # patient, anesthetist, grade
    >>> model = DawidSkeneEM(layout="long").fit(ratings)
    >>> model.prevalence_.round(2)
    array([0.4 , 0.46, 0.11, 0.02])
    >>> model.labels_[:6]
    array([1, 3, 2, 2, 2, 2])

    How often are they right?

    >>> quality = model.rater_quality(ratings)
    >>> quality.estimate.round(2)
    array([0.87, 0.68, 0.81, 0.81, 0.78])

    A new patient, whom two of them saw:

    >>> model.predict_proba([["new", 1, 2], ["new", 3, 3]]).round(2)
    array([[0.01, 0.96, 0.02, 0.  ]])
    """

    _is_long: bool

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "confusion": [StrOptions(set(_CONFUSIONS))],
        "layout": [StrOptions({"auto", "long", "wide"})],
        "classes": ["array-like", None],
        "pooling": [Interval(Real, 0.0, None, closed="neither")],
        "prior_strength": [Interval(Real, 0.0, None, closed="left")],
        "prior_accuracy": [Interval(Real, 0.0, 1.0, closed="neither")],
        "prevalence_alpha": [Interval(Real, 0.0, None, closed="left")],
        "use_labels": ["boolean"],
        "unseen_raters": [StrOptions({"error", "average", "ignore"})],
    }

    def __init__(
        self,
        confusion: str = "full",
        *,
        layout: str = "auto",
        classes: ArrayLike | None = None,
        pooling: float = 10.0,
        prior_strength: float = 4.0,
        prior_accuracy: float = 0.7,
        prevalence_alpha: float = 0.0,
        use_labels: bool = False,
        unseen_raters: str = "error",
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
        self.confusion = confusion
        self.layout = layout
        self.classes = classes
        self.pooling = pooling
        self.prior_strength = prior_strength
        self.prior_accuracy = prior_accuracy
        self.prevalence_alpha = prevalence_alpha
        self.use_labels = use_labels
        self.unseen_raters = unseen_raters
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.accelerate = accelerate
        self.fixed = fixed
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval

    # ---- fitting ----------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Estimate prevalence, confusion matrices and the classes of the items.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_labels, 3) or (n_items, n_raters)
            Labels; see `layout`.
        y : array-like of shape (n_rows,), default=None
            Class of the item of each row of X. Ignored unless ``use_labels=True``. A class is
            unknown where `y` is NaN, None or the like, or -1 (unless raters give the label -1).
        sample_weight : array-like of shape (n_rows,), default=None
            Weights of the rows of X, >= 0. A weight w has the same effect as w copies of the row:
            of a label in a long table, of an item in a wide one. None means 1 each.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a hyperparameter, the labels, the classes or the weights are invalid.
        """
        ratings, weight = self._read(X, sample_weight)
        last = self._last_raters()
        self.classes_, truth = self._learn_classes(ratings, y, weight)
        self.raters_, self.items_ = ratings.raters, ratings.items
        _check_size(len(self.raters_), len(self.classes_))
        annotations, item_weight = self._annotations(ratings, weight, truth)
        self.n_labels_ = self._count(annotations, item_weight)
        model = self._make_model(truth is not None)
        data = model.prepare(annotations, item_weight)
        if not data.total_weight:
            raise ValueError("X has no labels of positive weight.")
        n_starts = self.n_init + (truth is not None)
        several = RacePlan(n_candidates=n_starts, n_large=n_starts)
        fit = self._run_em(
            model,
            data,
            start=self._last_params(model, last),
            plan=several if n_starts > 1 else None,
        )
        self._publish(model, fit.params, fit.fixed)
        self.label_probabilities_ = self._posterior(annotations)
        if annotations.known is not None:
            seen = np.flatnonzero(annotations.known != UNKNOWN)
            self.label_probabilities_[seen] = 0.0
            self.label_probabilities_[seen, annotations.known[seen]] = 1.0
        self.labels_ = self.classes_[self.label_probabilities_.argmax(axis=1)]
        if truth is None and annotations.votes.sum(axis=1).max() < _LABELS_NEEDED:
            warn_user(
                f"No item has {_LABELS_NEEDED} labels or more, so that errors of raters cannot be "
                "told from differences between items: the result depends on the prior and on the "
                "start. Give more labels, or the classes of some items (use_labels=True).",
                UserWarning,
            )
        return self._report(fit)

    def fit_predict(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> Array:
        """Fit, and return the most probable class of each item.

        Parameters
        ----------
        X : array-like or DataFrame
            See `fit`.
        y : array-like of shape (n_rows,), default=None
            See `fit`.
        sample_weight : array-like of shape (n_rows,), default=None
            See `fit`.

        Returns
        -------
        labels : ndarray of shape (n_items,)
            `labels_`: classes that are known stay what they are.
        """
        return self.fit(X, y, sample_weight).labels_

    def _read_rows(self, X: Any, *, reset: bool = False) -> Ratings:
        layout = self.layout if reset else "long" if self._is_long else "wide"
        ratings = read_ratings(self, X, layout, reset=reset)
        self._is_long = ratings.is_long
        return ratings

    def _learn_classes(
        self, ratings: Ratings, y: Any, weight: Array | None
    ) -> tuple[Array, Array | None]:
        """The classes, and the known ones of the items as positions; None if none is known."""
        own = ratings.label if weight is None else ratings.label[weight[ratings.row] > 0.0]
        seen = np.bincount(own, minlength=len(ratings.values)) > 0
        values = ratings.values[seen].tolist()
        codes = None
        if self.use_labels and y is not None:
            codes, values = read_truth(y, ratings.shape[0], values)
            if not (codes != UNKNOWN).any():
                codes = None
        if self.classes is not None:
            classes = read_classes(self.classes)
        else:
            order, occur = dict.fromkeys(ratings.values.tolist()), set(values)
            rest = sorted(value for value in values if value not in order)
            in_order = [value for value in order if value in occur]
            # Numbers are in their order wherever they occur.
            both = [*in_order, *rest]
            classes = as_labels(sorted(both) if _sorts(ratings.values) else both)
        if len(classes) < 2:
            only = f"All labels are {values[0]!r}" if values else "X has no labels"
            raise ValueError(
                f"{only}: there is one class, and nothing to estimate. If there are other classes "
                "that nobody gave, name all of them with classes."
            )
        needs_order = _CONFUSIONS[self.confusion].is_ordinal and self.classes is None
        if needs_order and not ratings.is_ordered:
            raise ValueError(
                "confusion='ordinal' needs the order of the classes, and labels are text. Give it "
                "by classes, from the lowest to the highest, or as ordered categories."
            )
        if codes is None:
            return classes, None
        place = {value: i for i, value in enumerate(classes.tolist())}
        wrong = [value for value in values if value not in place and values.index(value) in codes]
        if wrong:
            raise ValueError(f"y has the class {wrong[0]!r}, which is not among classes.")
        moved = np.array([place.get(value, UNKNOWN) for value in values])
        codes = np.where(codes == UNKNOWN, UNKNOWN, moved[codes])
        return classes, classes_of_items(codes, ratings, classes)

    def _annotations(
        self, ratings: Ratings, weight: Array | None, truth: Array | None = None
    ) -> tuple[Annotations, Array | None]:
        """Votes of the items, and their weights."""
        classes, R = positions_of(ratings, self.classes_), len(self.raters_)
        kept = np.arange(len(ratings.row))
        if weight is not None:
            kept = np.flatnonzero(weight[ratings.row] > 0.0)
        rater = ratings.rater[kept] if ratings.is_long is False else self._places(ratings)[kept]
        item, code, row = ratings.item[kept], classes[ratings.label[kept]], ratings.row[kept]
        known = rater >= 0
        if not known.all():
            item, code, row, rater = item[known], code[known], row[known], rater[known]
        K = len(self.classes_)
        own = weight[row] if weight is not None and ratings.is_long else None
        # A place more, for raters who were not in fit.
        votes = votes_of(item, rater * K + code, own, (len(ratings.items), (R + 1) * K))
        if not (rater == R).any():
            votes = votes[:, : R * K]
        return Annotations(votes, truth), None if ratings.is_long else weight

    def _places(self, ratings: Ratings) -> Array:
        """Position of the rater of each label: that after the last for an average one."""
        place = {name: i for i, name in enumerate(self.raters_.tolist())}
        own = ratings.raters.tolist()
        found = np.array([place.get(name, -1) for name in own], np.intp)
        unseen = np.flatnonzero(found < 0)
        if unseen.size and self.unseen_raters == "error":
            raise ValueError(
                f"X has the rater {own[unseen[0]]!r}, who was not in fit. Fit again, or set "
                "unseen_raters to 'average' or 'ignore'."
            )
        if self.unseen_raters == "average":
            found[unseen] = len(place)
        return found[ratings.rater]

    def _count(self, annotations: Annotations, weight: Array | None) -> Array:
        votes = annotations.votes
        total = votes.sum(axis=0) if weight is None else votes.T @ weight
        return np.asarray(total).reshape(len(self.raters_), -1).sum(axis=1)

    def _make_model(self, anchored: bool) -> RaterModel:
        own = {"pooling": self.pooling} if self.confusion == "class_pooled" else {}
        kind = _CONFUSIONS[self.confusion]
        return RaterModel(
            kind(len(self.raters_), len(self.classes_), **own),
            float(self.prior_strength),
            float(self.prior_accuracy),
            float(self.prevalence_alpha),
            anchored,
        )

    def _last_raters(self) -> tuple[Array, Array] | None:
        return (self.classes_, self.raters_) if self._resumes() else None

    def _last_params(
        self, model: RaterModel, last: tuple[Array, Array] | None
    ) -> RaterParams | None:
        if last is None:
            return None
        same = np.array_equal(last[0], self.classes_) and np.array_equal(last[1], self.raters_)
        if not same or self._model.confusion != model.confusion:
            raise ValueError(
                "With warm_start=True the fit continues the last one, which had other classes, "
                "raters or another confusion. Set warm_start=False to start afresh."
            )
        return self._params()

    def _publish(self, model: RaterModel, params: RaterParams, fixed: Public) -> None:
        self._model, self._held = model, fixed
        for name in _OWN:
            self.__dict__.pop(f"{name}_", None)
        for name, values in model.public(params).items():
            if name in fixed:
                # Exactly what was given, which arithmetic rounds.
                values = np.where(np.isnan(fixed[name]), values, fixed[name])
            setattr(self, f"{name}_", values)
        self.confusion_matrices_ = model.confusion.matrices(params.confusion)

    def _params(self) -> RaterParams:
        """The published parameters."""
        names = ("prevalence", *self._model.confusion.space())
        public = {name: getattr(self, f"{name}_") for name in names}
        confusion = self._model.confusion.from_public(public)
        return RaterParams(np.asarray(public["prevalence"], np.float64), confusion)

    # ---- classes of items -------------------------------------------------------------

    def predict(self, X: Any) -> Array:
        """Most probable class of each item.

        Parameters
        ----------
        X : array-like or DataFrame
            Labels, in the layout of the fit.

        Returns
        -------
        labels : ndarray of shape (n_items,)
            Classes. Items of a long table are sorted by their names, as by `numpy.unique`.
        """
        best = self.predict_proba(X).argmax(axis=1)
        found: Array = self.classes_[best]
        return found

    def predict_proba(self, X: Any) -> Array:
        """Posterior probabilities of the classes of each item.

        Parameters
        ----------
        X : array-like or DataFrame
            Labels, in the layout of the fit.

        Returns
        -------
        probabilities : ndarray of shape (n_items, n_classes)
            Each row sums to one; that of an item without labels is the prevalence. Items of a long
            table are sorted by their names, as by `numpy.unique`.
        """
        check_is_fitted(self)
        annotations, _ = self._annotations(self._read_rows(X), None)
        return self._posterior(annotations)

    def _posterior(self, annotations: Annotations) -> Array:
        found = np.empty((annotations.votes.shape[0], len(self.classes_)))

        def reduce(joint: Array) -> Array:
            row_log_density(joint)
            return joint.T

        return self._map(annotations, found, reduce)

    def _map(self, annotations: Annotations, out: Array, reduce: Callable[[Array], Array]) -> Array:
        """Set ``out[items] = reduce(joint log-probabilities)`` for some items at a time."""
        working = self._model.precompute(self._params())
        K = len(self.classes_)
        if annotations.votes.shape[1] > len(working.table):
            mean = np.tensordot(self.n_labels_, self.confusion_matrices_, 1) / self.n_labels_.sum()
            average = np.log(np.maximum(mean.T, np.finfo(np.float64).tiny)).reshape(K, K)
            working = Working(working.log_prevalence, np.vstack([working.table, average]))
        for start in range(0, len(out), _ROWS):
            part = slice(start, start + _ROWS)
            votes = annotations.votes[part]
            block = Block(votes, np.ones(votes.shape[0]), None, part)
            out[part] = reduce(self._model.joint(block, working))
        return out

    # ---- scores -----------------------------------------------------------------------

    def score(self, X: Any, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """Mean log-likelihood of the labels of an item.

        Parameters
        ----------
        X : array-like or DataFrame
            Labels, in the layout of the fit.
        y : object, default=None
            Ignored.
        sample_weight : array-like of shape (n_rows,), default=None
            Weights of the rows, as for `fit`.

        Returns
        -------
        log_likelihood : float
            In nats per item that has a label.
        """
        log_likelihood, total = self._likelihood(X, sample_weight)
        return log_likelihood / total

    def _likelihood(self, X: Any, sample_weight: ArrayLike | None) -> tuple[float, float]:
        check_is_fitted(self)
        ratings = self._read_rows(X)
        weight = read_weight(sample_weight, ratings.shape[0])
        annotations, item_weight = self._annotations(ratings, weight)
        density = self._map(annotations, np.empty(len(ratings.items)), row_log_density)
        counted = (np.diff(annotations.votes.indptr) > 0).astype(np.float64)
        if item_weight is not None:
            counted *= item_weight
        if not counted.any():
            raise ValueError("X has no labels of positive weight.")
        return float(counted @ density), float(counted.sum())

    def _n_parameters(self) -> int:
        model, params = self._model, self._params()
        return model.n_parameters(params) - n_held(model, params, self._fixed(model, params))

    def rater_quality(
        self,
        X: Any,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        *,
        metric: str = "accuracy",
        cost: ArrayLike | None = None,
        information: Kind = "observed",
    ) -> Estimates:
        """How good each rater is, with standard errors.

        Parameters
        ----------
        X : array-like or DataFrame
            The labels of the fit.
        y : array-like of shape (n_rows,), default=None
            As for `fit`.
        sample_weight : array-like of shape (n_rows,), default=None
            As for `fit`.
        metric : {"accuracy", "balanced_accuracy", "informedness", "expected_cost"}, \
default="accuracy"
            "accuracy": probability of the right label of an item drawn at random.
            "balanced_accuracy": mean of that of the classes. "informedness": the same, scaled such
            that 0 is a rater who ignores the items, and 1 one without errors (for two classes,
            Youden's index). "expected_cost": cost of taking a class at random from those that the
            label leaves possible, for an item whose true class is so drawn too, as a part of
            that without the label: 1 is a rater who says nothing, and 0 one whose errors, if any,
            can be undone.
        cost : array-like of shape (n_classes, n_classes), default=None
            For "expected_cost": cost of a label (column) for an item of a class (row). None: 1 for
            each error.
        information : {"observed", "empirical", "sandwich"}, default="observed"
            Where standard errors come from; see `inference`.

        Returns
        -------
        quality : Estimates
            An estimate for each rater, in the order of `raters_`, with standard errors by the delta
            method, intervals and a table.

        Raises
        ------
        ValueError
            If `metric` or `cost` is invalid, or there are too many parameters.

        References
        ----------
        P. G. Ipeirotis, F. Provost and J. Wang (2010). "Quality management on Amazon Mechanical
        Turk". Proceedings of the ACM SIGKDD Workshop on Human Computation, 64-67.
        """
        if metric not in METRICS:
            raise ValueError(f"metric must be one of {', '.join(METRICS)}; got {metric!r}.")
        check_is_fitted(self)
        costs = read_cost(cost, len(self.classes_))
        found = self.inference(X, y, sample_weight, information=information)
        measure, bounds = METRICS[metric]
        confusion = self._model.confusion

        def quality(public: dict[str, Array]) -> dict[str, Array]:
            matrices = confusion.matrices(confusion.from_public(public))
            values = measure(public["prevalence"], matrices, costs)
            names = self.raters_.tolist()
            return {f"{metric}[{name}]": v for name, v in zip(names, values, strict=True)}

        estimates = found.function(quality)
        low, high = bounds(len(self.classes_))
        n = len(estimates.estimate)
        return replace(estimates, lower=np.full(n, low), upper=np.full(n, high))

    def _fitted_problem(self, X: Any, *arguments: Any) -> FittedProblem:
        y, sample_weight = arguments
        check_is_fitted(self)
        model, params = self._model, self._params()
        n_parameters = model.n_parameters(params)
        if n_parameters > _MOST_PARAMETERS:
            raise ValueError(
                f"The model has {n_parameters} parameters, too many for an information matrix (at "
                f"most {_MOST_PARAMETERS}). Use a simpler confusion, such as 'one_coin'."
            )
        ratings = self._read_rows(X)
        weight = read_weight(sample_weight, ratings.shape[0])
        classes, truth = self._learn_classes(ratings, y, weight)
        if not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"X and y have the classes {classes.tolist()}, but in the fit they were "
                f"{self.classes_.tolist()}. Give the labels of the fit."
            )
        annotations, item_weight = self._annotations(ratings, weight, truth)
        return FittedProblem(
            model,
            model.prepare(annotations, item_weight),
            params,
            {name: name for name in model.public(params)},
            self._fixed(model, params),
            {
                "rater": self.raters_.tolist(),
                "class": self.classes_.tolist(),
                "label": self.classes_.tolist(),
                "criterion": self.classes_[1:].tolist(),
            },
        )

    def __sklearn_is_fitted__(self) -> bool:
        """Whether there are parameters."""
        return hasattr(self, "prevalence_")

    def __sklearn_tags__(self) -> Any:
        """Tags: labels are categories of any type, and may be missing."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags


def _check_size(n_raters: int, n_classes: int) -> None:
    """Raise ValueError if the confusion matrices do not fit in memory."""
    if n_raters * n_classes**2 > _MOST_ENTRIES:
        raise ValueError(
            f"{n_raters} raters and {n_classes} classes have confusion matrices of "
            f"{n_raters * n_classes**2:.2g} entries, at most {_MOST_ENTRIES:.2g} are possible. If "
            "labels are numbers, they may be measurements rather than classes; otherwise leave out "
            "raters of few labels."
        )


def _sorts(values: Array) -> bool:
    """Whether the labels are in their natural order, so that others can be put between them."""
    own = values.tolist()
    return own == sorted(own)
