"""Items that work differently in groups of persons with the same trait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.stats import chi2, false_discovery_control
from sklearn.base import clone

from emlearn.data import read_weight
from emlearn.irt._fitted import answers_of, groups_of, own_parameters

Floats = NDArray[np.float64]
Table = NDArray[np.float64]
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
    >>> rng = np.random.default_rng(0)
    >>> group = np.repeat(["a", "b"], 500)
    >>> trait = rng.normal(size=1000) - 0.5 * (group == "b")
    >>> difficulty = np.tile(np.linspace(-1.5, 1.5, 6), (1000, 1))
    >>> difficulty[group == "b", 2] += 1.0
    >>> X = (rng.logistic(size=(1000, 6)) < trait[:, None] - difficulty).astype(float)
    >>> result = differential_functioning(ItemResponseEM("1pl"), X, group)
    >>> np.flatnonzero(result.p_adjusted < 0.01).tolist()
    [2]
    """
    table = answers_of(estimator, X)
    n_persons, n_items = table.shape
    names, which = groups_of(groups, n_persons)
    weight = read_weight(sample_weight, n_persons)
    held = None if anchors is None else _positions(anchors, n_items, "anchors")
    tested = _tested(items, held, n_items)
    for item in tested if held is None else np.setdiff1d(np.arange(n_items), held):
        _require_categories(table[:, item], which, names, int(item))
    base = clone(estimator)

    def fit(split: Indices) -> Any:
        columns = _split(table, which, len(names), split)
        return clone(base).fit(columns, groups=which, sample_weight=weight)

    def without(item: int) -> Indices:
        if held is None:
            return np.array([], dtype=np.intp)
        return np.setdiff1d(np.arange(n_items), [*held, item])

    run = Parallel(n_jobs=n_jobs)
    if held is None:
        null = fit(without(0))
        free = run(delayed(fit)(np.array([item])) for item in tested)
        nulls, places = [null] * len(tested), [_places(n_items, [i], i) for i in tested]
    else:
        others = np.setdiff1d(np.arange(n_items), held)
        nulls = run(delayed(fit)(without(item)) for item in tested)
        free = [fit(others)] * len(tested)
        places = [_places(n_items, others, i) for i in tested]
    gain = [
        2.0 * (full.log_likelihood_ - less.log_likelihood_)
        for full, less in zip(free, nulls, strict=True)
    ]
    statistic = np.maximum(gain, 0.0)
    counts = own_parameters(nulls[0])
    n_split = len(names)
    df = np.array([_df(full, place) for full, place in zip(free, places, strict=True)])
    del counts, n_split
    p_value = chi2.sf(statistic, df)
    return DifferentialFunctioning(
        tested,
        statistic,
        df,
        p_value,
        np.asarray(false_discovery_control(p_value)),
        np.array([m.difficulty_[p] for m, p in zip(free, places, strict=True)]),
        np.array([m.discrimination_[p] for m, p in zip(free, places, strict=True)]),
        names,
    )
