"""Whether the curves of the items fit: S-X2, infit and outfit."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, false_discovery_control

from emlearn._compat import Interval, StrOptions, validate_parameter_constraints
from emlearn.irt._curves import ItemCurves
from emlearn.irt._fitted import Answers, read_fitted
from emlearn.irt._scoring import score_answers
from emlearn.irt._summed import rest_scores

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]
Counts = NDArray[np.intp]


@dataclass(frozen=True)
class ItemFit:
    """Fit of items, as `item_fit` returns it.

    Attributes
    ----------
    statistic : ndarray of shape (n_items,)
        S-X2 of each item.
    df : ndarray of int of shape (n_items,)
        Degrees of freedom; 0 where collapsed cells leave nothing to test.
    p_value : ndarray of shape (n_items,)
        Probability of a larger S-X2 if the model holds; 1 where `df` is 0.
    p_adjusted : ndarray of shape (n_items,)
        P-values adjusted for the number of items (Benjamini and Hochberg): items with values
        below 0.05 have a share of false alarms of at most 0.05 among them.
    rmsea : ndarray of shape (n_items,)
        Misfit for each degree of freedom, which does not grow with the number of persons.
    outfit, infit : ndarray of shape (n_items,)
        Mean squared standardized residual at the scores of the persons, and the same weighted
        by the information. Residuals are at estimated traits, so they are smaller than 1 with
        few items.
    n_persons : float
        Number of persons who answered all items (their total weight), whom S-X2 is about.
    """

    statistic: Floats
    df: Counts
    p_value: Floats
    p_adjusted: Floats
    rmsea: Floats
    outfit: Floats
    infit: Floats
    n_persons: float


def item_fit(
    estimator: Any,
    X: Any,
    *,
    sample_weight: Any = None,
    min_expected: float = 1.0,
    method: str = "wle",
    groups: Any = None,
    covariates: Any = None,
) -> ItemFit:
    """Fit of each item: S-X2 of Orlando and Thissen, infit and outfit.

    Parameters
    ----------
    estimator : ItemResponseEM
        Fitted estimator with one trait.
    X : array-like of shape (n_persons, n_items)
        The answers of the fit. NaN where there is none. S-X2 is about the persons who answered
        all items, because sums of other items cannot be compared.
    sample_weight : array-like of shape (n_persons,), default=None
        How many persons each row stands for.
    min_expected : float, default=1.0
        Cells with a smaller expected number of persons are joined with their neighbors. 1 is
        that of the papers.
    method : {"wle", "eap", "map", "ml"}, default="wle"
        Scores at which the residuals of infit and outfit are taken.
    groups : array-like of shape (n_persons,), default=None
        Groups of the persons, if the estimator was fitted with groups.
    covariates : array-like of shape (n_persons, n_covariates), default=None
        Covariates of the persons, if the estimator was fitted with covariates.

    Returns
    -------
    fit : ItemFit
        Statistics of each item.

    Raises
    ------
    ValueError
        If a parameter is invalid, the estimator has more than one trait, there are fewer than
        three items, or nobody answered all items.

    Notes
    -----
    Persons are grouped by their summed score s. Of those, the model expects in category k of an
    item the share ``E_k(s) = int P_k(theta) f(s - k | theta) phi(theta) / sum of these over k``,
    where f is the distribution of the sum of the other items given the trait (Lord and
    Wingersky 1984) and phi that of the trait. With the number N(s) of persons and their shares
    O_k(s), S-X2 is the sum over s and k of ``N(s) (O_k(s) - E_k(s))^2 / E_k(s)``.

    The degrees of freedom are the number of cells minus the number of groups of scores and that
    of the parameters which only this item has. Groups of scores are joined from both ends to the
    middle until their categories can be divided into two parts with `min_expected` persons
    each, and then neighboring categories within a group until all have as many.

    Without NaN, and for a fit by maximum likelihood, the distribution tends to chi-squared to
    good approximation, not exactly. Strong priors make the test conservative or liberal.

    References
    ----------
    M. Orlando and D. Thissen (2000). "Likelihood-based item-fit indices for dichotomous item
    response theory models". Applied Psychological Measurement 24(1), 50-64.

    T. Kang and T. T. Chen (2008). "Performance of the generalized S-X2 item fit index for
    polytomous IRT models". Journal of Educational Measurement 45(4), 391-406.

    Examples
    --------
    An item that the best persons do not solve:

    >>> import numpy as np
    >>> from emlearn import ItemResponseEM
    >>> from emlearn.irt import item_fit
    >>> rng = np.random.default_rng(0)
    >>> trait, difficulty = rng.normal(size=(1000, 1)), np.linspace(-1, 1, 8)
    >>> X = (rng.logistic(size=(1000, 8)) < trait - difficulty).astype(float)
    >>> X[:, 3] = np.abs(trait[:, 0] - 0.4) < 0.9
    >>> fit = item_fit(ItemResponseEM("2pl").fit(X), X)
    >>> np.flatnonzero(fit.p_adjusted < 0.01).tolist()
    [3]
    """
    validate_parameter_constraints(
        {
            "method": [StrOptions({"eap", "map", "ml", "wle"})],
            "min_expected": [Interval(Real, 0.0, None, closed="neither")],
        },
        {"method": method, "min_expected": min_expected},
        caller_name="item_fit",
    )
    fitted = read_fitted(estimator, "item_fit")
    curves = fitted.curves
    answers = fitted.read(X, groups, covariates, sample_weight)
    if curves.n_items < 3:
        raise ValueError(
            f"S-X2 compares items with the sum of the others and needs three or more items; got "
            f"{curves.n_items}."
        )
    complete = answers.take(np.all(answers.codes >= 0, axis=1) & (answers.weight > 0.0))
    if len(complete.codes) == 0:
        raise ValueError(
            "Nobody answered all items, so there are no summed scores to compare. Give columns "
            "that some persons answered completely to an estimator of these columns."
        )
    n_persons = float(complete.weight.sum())
    observed = _observed(complete.codes, complete.weight, curves)
    expected = _expected_shares(curves, *fitted.density(complete))
    statistic, df = np.zeros(len(observed)), np.zeros(len(observed), dtype=np.intp)
    for item, (table, shares) in enumerate(zip(observed, expected, strict=True)):
        statistic[item], cells = _collapsed(table, shares, min_expected)
        df[item] = max(0, cells - fitted.n_parameters_of_item[item])
    testable = df > 0
    p_value = np.where(testable, chi2.sf(statistic, np.maximum(df, 1)), 1.0)
    excess = np.maximum(statistic - df, 0.0)
    scale = np.maximum(df, 1) * max(n_persons - 1.0, 1.0)
    outfit, infit = _residual_fit(curves, answers, method)
    return ItemFit(
        statistic,
        df,
        p_value,
        np.asarray(false_discovery_control(p_value)),
        np.where(testable, np.sqrt(excess / scale), 0.0),
        outfit,
        infit,
        n_persons,
    )


def _observed(codes: Codes, weight: Floats, curves: ItemCurves) -> Floats:
    """Numbers of persons by item, summed score and category."""
    total = codes.sum(axis=1)
    n_scores = int(curves.top.sum()) + 1
    width = curves.n_categories
    counts = [
        np.bincount(total * width + codes[:, item], weights=weight, minlength=n_scores * width)
        for item in range(codes.shape[1])
    ]
    table = np.array(counts, dtype=np.float64)
    return table.reshape(codes.shape[1], n_scores, width)


def _expected_shares(curves: ItemCurves, grid: Floats, density: Floats) -> Floats:
    """Expected shares of the categories, by item, summed score and category."""
    p = curves.probabilities(grid)
    rest = rest_scores(p, curves.top) * density
    n_items, n_scores, _ = rest.shape
    joint = np.zeros((n_items, n_scores, curves.n_categories))
    for k in range(curves.n_categories):
        with_k = np.einsum("jsq,jq->js", rest[:, : n_scores - k], p[:, k])
        joint[:, k:, k] = with_k
    total = joint.sum(axis=2, keepdims=True)
    return joint / np.where(total > 0.0, total, 1.0)


def _collapsed(observed: Floats, shares: Floats, least: float) -> tuple[float, int]:
    """Statistic of an item after joining small cells, and cells minus groups of scores."""
    number = observed.sum(axis=1)
    # At the lowest and the highest score, all answers are known.
    inner = np.arange(1, len(number) - 1)
    inner = inner[number[inner] > 0.0]
    expected = number[:, None] * shares
    statistic, free = 0.0, 0
    for rows in _groups_of_scores(expected[inner], number[inner], least):
        seen, wanted = observed[inner[rows]].sum(axis=0), expected[inner[rows]].sum(axis=0)
        seen, wanted = _join_categories(seen, wanted, least)
        if len(wanted) > 1:
            statistic += float(np.sum((seen - wanted) ** 2 / wanted))
            free += len(wanted) - 1
    return statistic, free


def _groups_of_scores(expected: Floats, number: Floats, least: float) -> list[slice]:
    """Neighboring rows joined from both ends to the row of most persons."""
    n = len(expected)
    if n == 0:
        return []
    middle = int(np.argmax(number))
    low, start = [], 0
    for stop in range(1, middle + 1):
        if _divides(expected[start:stop].sum(axis=0), least):
            low.append(slice(start, stop))
            start = stop
    high, end = [], n
    for begin in range(n - 1, middle, -1):
        if _divides(expected[begin:end].sum(axis=0), least):
            high.append(slice(begin, end))
            end = begin
    center = slice(start, end)
    if _divides(expected[center].sum(axis=0), least):
        return [*low, center, *high[::-1]]
    # What is left in the middle is too little for a group of its own.
    if low:
        return [*low[:-1], slice(low[-1].start, end), *high[::-1]]
    if high:
        return [slice(start, high[-1].stop), *high[-2::-1]]
    return [center]


def _divides(expected: Floats, least: float) -> bool:
    """Whether ordered categories can be cut into two parts of at least that many persons."""
    below = np.cumsum(expected)[:-1]
    return bool(np.any((below >= least) & (expected.sum() - below >= least)))


def _join_categories(observed: Floats, expected: Floats, least: float) -> tuple[Floats, Floats]:
    """Join the smallest category with its smaller neighbor until none is too small."""
    seen, wanted = list(observed), list(expected)
    while len(wanted) > 1 and min(wanted) < least:
        k = int(np.argmin(wanted))
        beside = [i for i in (k - 1, k + 1) if 0 <= i < len(wanted)]
        into = min(beside, key=lambda i: wanted[i])
        wanted[into] += wanted[k]
        seen[into] += seen[k]
        del wanted[k], seen[k]
    return np.array(seen), np.array(wanted)


def _residual_fit(curves: ItemCurves, answers: Answers, method: str) -> tuple[Floats, Floats]:
    """Outfit and infit of the items over the persons who answered them."""
    answers = answers.take(np.any(answers.codes >= 0, axis=1))
    codes, weight = answers.codes, answers.weight
    theta = score_answers(curves, answers, method, (-6.0, 6.0)).score
    sums = np.zeros((4, curves.n_items))
    for block in curves.blocks(len(codes)):
        given, present = codes[block], codes[block] >= 0
        mean, variance = curves.expected_scores(curves.probabilities(theta[block]))
        variance = np.maximum(variance.T, 1e-12)
        squared = np.where(present, (given - mean.T) ** 2, 0.0)
        sums[0] += weight[block] @ (squared / variance)
        sums[1] += weight[block] @ present
        sums[2] += weight[block] @ squared
        sums[3] += weight[block] @ np.where(present, variance, 0.0)
    return sums[0] / np.maximum(sums[1], 1e-12), sums[2] / np.maximum(sums[3], 1e-12)
