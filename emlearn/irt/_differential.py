"""Items that work differently in groups of persons with the same trait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.stats import chi2, false_discovery_control
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from emlearn._warnings import collected_warnings, warn_user
from emlearn.data import read_table, read_weight
from emlearn.data.names import at_start, column_label
from emlearn.irt._fitted import read_fitted
from emlearn.irt._reading import read_groups

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class DifferentialFunctioning:
    """Differences between groups, as `differential_functioning` returns them.

    Attributes
    ----------
    items : ndarray of int of shape (n_tested,)
        Positions of the items that were tested.
    statistic : ndarray of shape (n_tested,)
        Twice the gain in log-likelihood if the item has parameters of its own in each group.
    df : ndarray of int of shape (n_tested,)
        Number of these parameters, less those for one group.
    p_value : ndarray of shape (n_tested,)
        Probability of a larger statistic if the item is the same in all groups.
    p_adjusted : ndarray of shape (n_tested,)
        P-values adjusted for the number of items (Benjamini and Hochberg): of the items with
        values below 0.05, at most a share of 0.05 is expected to be the same in all groups.
    difficulty : ndarray of shape (n_tested, n_groups)
        Difficulty in each group, on the scale of the first group.
    discrimination : ndarray of shape (n_tested, n_groups)
        Discrimination in each group, on the scale of the first group.
    groups : ndarray of shape (n_groups,)
        The groups.
    """

    items: Indices
    statistic: Floats
    df: Indices
    p_value: Floats
    p_adjusted: Floats
    difficulty: Floats
    discrimination: Floats
    groups: NDArray[Any]


def differential_functioning(
    estimator: Any,
    X: Any,
    groups: Any,
    *,
    items: Any = None,
    anchors: Any = None,
    sample_weight: Any = None,
    n_jobs: int | None = None,
) -> DifferentialFunctioning:
    """Likelihood-ratio test of differential item functioning (DIF), item by item.

    Parameters
    ----------
    estimator : ItemResponseEM
        Estimator with one trait, fitted or not: clones of it are fitted.
    X : array-like of shape (n_persons, n_items)
        Answers; NaN where there is none.
    groups : array-like of shape (n_persons,)
        Group of each person; two groups or more. The first in sorted order is the reference,
        in which the trait has mean 0 and variance 1.
    items : array-like of int, default=None
        Positions of the items to test; None tests all that are no anchors.
    anchors : array-like of int, default=None
        Positions of items that are known to be the same in all groups: the others then differ
        freely between groups while one is tested. None takes all other items as anchors, which
        is the usual first look; if many items differ, in one direction, it blames items that
        do not.
    sample_weight : array-like of shape (n_persons,), default=None
        How many persons each row stands for.
    n_jobs : int, default=None
        Number of items tested at the same time. None means 1.

    Returns
    -------
    result : DifferentialFunctioning
        Tests and the parameters of the items in each group.

    Raises
    ------
    ValueError
        If there are fewer than two groups, an item or anchor does not exist, no anchor remains,
        or a group gave no answer of some category of an item that is tested.

    Notes
    -----
    Groups differ in the mean and variance of the trait, which is not DIF. The null model has
    the same items for all groups. The alternative replaces an item by one for each group, which
    the other groups were not presented. Both are fitted by EM, and twice the difference of their
    log-likelihoods tends to chi-squared. The test is one of maximum likelihood: with priors of
    the items it is approximate, and negative differences count as 0.

    References
    ----------
    D. Thissen, L. Steinberg and H. Wainer (1993). "Detection of differential item functioning
    using the parameters of item response models". In P. W. Holland and H. Wainer (eds.),
    Differential Item Functioning, 67-113. Erlbaum.

    Y. Benjamini and Y. Hochberg (1995). "Controlling the false discovery rate: a practical and
    powerful approach to multiple testing". Journal of the Royal Statistical Society B 57(1),
    289-300.

    Examples
    --------
    The groups differ in ability, and the third item is harder for the second group:

    >>> import numpy as np
    >>> from emlearn import ItemResponseEM
    >>> from emlearn.irt import differential_functioning
    >>> rng = np.random.default_rng(1)
    >>> group = np.repeat(["a", "b"], 500)
    >>> trait = rng.normal(size=1000) - 0.5 * (group == "b")
    >>> difficulty = np.tile(np.linspace(-1.5, 1.5, 8), (1000, 1))
    >>> difficulty[group == "b", 2] += 1.0
    >>> X = (rng.logistic(size=(1000, 8)) < trait[:, None] - difficulty).astype(float)
    >>> result = differential_functioning(ItemResponseEM("1pl"), X, group)
    >>> np.flatnonzero(result.p_adjusted < 0.01).tolist()
    [2]
    """
    base = clone(estimator)
    table = np.asarray(read_table(base, X, reset=True, allow_nan=True), dtype=np.float64)
    n_persons, n_items = table.shape
    groups_, which = np.unique(read_groups(groups, n_persons), return_inverse=True)
    which = np.asarray(which).ravel()
    if len(groups_) < 2:
        raise ValueError(
            f"groups has only {groups_.tolist()}; differences need two groups or more."
        )
    weight = read_weight(sample_weight, n_persons)
    held = None if anchors is None else _positions(anchors, n_items, "anchors")
    tested = _tested(items, held, n_items)
    split = tested if held is None else np.setdiff1d(np.arange(n_items), held)
    for item in split:
        name = column_label(base, int(item))
        _require_categories(table[:, item], which, groups_, name)

    def fit(own: Indices) -> Any:
        """Fit with items that have parameters of their own in each group."""
        columns = _split(table, which, len(groups_), own)
        if not own.size:
            return clone(base).fit(columns, groups=which, sample_weight=weight)
        # Their messages name columns that the user does not have.
        with collected_warnings():
            return clone(base).fit(columns, groups=which, sample_weight=weight)

    run = Parallel(n_jobs=n_jobs, prefer="threads")
    if held is None:
        null = fit(np.array([], dtype=np.intp))
        nulls = [null] * len(tested)
        owned = [np.array([item]) for item in tested]
        full = run(delayed(fit)(own) for own in owned)
    else:
        full = [fit(split)] * len(tested)
        owned = [split] * len(tested)
        nulls = run(delayed(fit)(np.setdiff1d(split, [item])) for item in tested)
    unfinished = [
        column_label(base, int(item))
        for item, *pair in zip(tested, full, nulls, strict=True)
        if not all(model.converged_ for model in pair)
    ]
    if unfinished:
        warn_user(
            f"EM did not converge in fits for the tests of {', '.join(unfinished)}, so their "
            "statistics are not exact. Increase max_iter, or increase tol if that accuracy is "
            "not needed.",
            ConvergenceWarning,
        )
    gain = [
        2.0 * (alternative.log_likelihood_ - null.log_likelihood_)
        for alternative, null in zip(full, nulls, strict=True)
    ]
    places = [
        _places(n_items, len(groups_), own, int(item))
        for own, item in zip(owned, tested, strict=True)
    ]
    per_group = read_fitted(full[0], "differential_functioning").n_parameters_of_item
    df = (len(groups_) - 1) * per_group[tested]
    statistic = np.maximum(gain, 0.0)
    p_value = np.asarray(chi2.sf(statistic, df))
    return DifferentialFunctioning(
        tested,
        statistic,
        df,
        p_value,
        np.asarray(false_discovery_control(p_value)),
        np.array([m.difficulty_[place] for m, place in zip(full, places, strict=True)]),
        np.array([m.discrimination_[place] for m, place in zip(full, places, strict=True)]),
        groups_,
    )


def _split(table: Floats, which: Indices, n_groups: int, own: Indices) -> Floats:
    """The table with a column for each group of each item of `own`.

    The column of the first group takes the place of the item; those of the others follow at
    the end, item by item. Persons of other groups were not presented a column.
    """
    columns = table.copy()
    columns[np.ix_(which != 0, own)] = np.nan
    added = [
        np.where(which == group, table[:, item], np.nan)
        for item in own
        for group in range(1, n_groups)
    ]
    return np.column_stack([columns, *added]) if added else columns


def _places(n_items: int, n_groups: int, own: Indices, item: int) -> Indices:
    """Positions of the columns of an item, one for each group."""
    rank = int(np.flatnonzero(own == item)[0])
    start = n_items + rank * (n_groups - 1)
    return np.concatenate([[item], np.arange(start, start + n_groups - 1)])


def _tested(items: Any, held: Indices | None, n_items: int) -> Indices:
    chosen = np.arange(n_items) if items is None else _positions(items, n_items, "items")
    if held is None:
        if n_items < 2:
            raise ValueError("Differences of an item need another item as anchor; X has one.")
        return chosen
    if items is None:
        chosen = np.setdiff1d(chosen, held)
    both = np.intersect1d(chosen, held)
    if both.size:
        raise ValueError(f"Item {both[0]} is among items and among anchors; it can only be one.")
    if chosen.size == 0:
        raise ValueError("All items are anchors, and none is left to test.")
    return chosen


def _positions(values: Any, n_items: int, name: str) -> Indices:
    found = np.asarray(values)
    if found.ndim != 1 or found.size == 0 or found.dtype.kind not in "iu":
        raise ValueError(f"{name} must be a list of positions of items; got {values!r}.")
    if found.min() < 0 or found.max() >= n_items:
        raise ValueError(f"{name} must be between 0 and {n_items - 1}; got {found.tolist()}.")
    return np.unique(found).astype(np.intp)


def _require_categories(answers: Floats, which: Indices, groups: NDArray[Any], name: str) -> None:
    """Raise an error if a group did not give an answer that another gave."""
    seen = np.unique(answers[~np.isnan(answers)])
    for group, group_name in enumerate(groups.tolist()):
        own = answers[which == group]
        missing = np.setdiff1d(seen, own)
        if missing.size:
            raise ValueError(
                f"{at_start(name)}: group {group_name!r} never gave the answer {missing[0]:g}, so "
                "the item cannot be fitted in this group alone. Join the category with its "
                "neighbor, or leave the item out of items."
            )
