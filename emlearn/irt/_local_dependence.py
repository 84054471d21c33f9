"""Pairs of items that depend on each other given the trait: Q3 and the X2 of pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, false_discovery_control

from emlearn._compat import StrOptions, validate_parameter_constraints
from emlearn.irt._fitted import read_fitted
from emlearn.irt._scoring import score_answers

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]


@dataclass(frozen=True)
class LocalDependence:
    """Dependence of pairs of items, as `local_dependence` returns it.

    Attributes
    ----------
    q3 : ndarray of shape (n_items, n_items)
        Correlations of the residuals of two items; 1 on the diagonal, 0 where fewer than three
        persons answered both.
    statistic : ndarray of shape (n_items, n_items)
        Chi-squared statistic of each table of two items against the model; 0 on the diagonal.
    df : ndarray of int of shape (n_items, n_items)
        Degrees of freedom of `statistic`.
    p_value : ndarray of shape (n_items, n_items)
        P-values of `statistic`; 1 on the diagonal.
    p_adjusted : ndarray of shape (n_items, n_items)
        P-values adjusted for the number of pairs (Benjamini and Hochberg).
    cramers_v : ndarray of shape (n_items, n_items)
        Size of the dependence, from -1 to 1: Cramer's V of `statistic`, positive where the two
        items are more correlated than the model implies.
    """

    q3: Floats
    statistic: Floats
    df: NDArray[np.intp]
    p_value: Floats
    p_adjusted: Floats
    cramers_v: Floats


def local_dependence(
    estimator: Any,
    X: Any,
    *,
    sample_weight: Any = None,
    method: str = "eap",
    groups: Any = None,
    covariates: Any = None,
) -> LocalDependence:
    """Dependence of pairs of items given the trait: Q3 and X2.

    Parameters
    ----------
    estimator : ItemResponseEM
        Fitted estimator with one trait.
    X : array-like of shape (n_persons, n_items)
        The answers of the fit; NaN where there is none. A pair is compared in the persons who
        answered both items.
    sample_weight : array-like of shape (n_persons,), default=None
        How many persons each row stands for.
    method : {"eap", "map", "ml", "wle"}, default="eap"
        Scores at which the residuals of Q3 are taken.
    groups : array-like of shape (n_persons,), default=None
        Groups of the persons, if the estimator was fitted with groups.
    covariates : array-like of shape (n_persons, n_covariates), default=None
        Covariates of the persons, if the estimator was fitted with covariates.

    Returns
    -------
    dependence : LocalDependence
        Matrices of items by items.

    Raises
    ------
    ValueError
        If a parameter is invalid, or the estimator has more than one trait.

    Notes
    -----
    Q3 (Yen 1984) is the correlation of the residuals ``x - E(x | theta)`` at the scores theta. If
    the model holds, its mean is about ``-1 / (J - 1)`` for J items, because each item is part of
    the score; compare it with the mean of all pairs. The other statistic (Chen and Thissen 1997)
    compares the table of two items with the one that the model implies. It is referred to
    chi-squared with the degrees of freedom of a test of independence, which is approximate and
    tends to be conservative. Pairs of items that share a text or a trick stand out.

    References
    ----------
    W. M. Yen (1984). "Effects of local item dependence on the fit and equating performance of
    the three-parameter logistic model". Applied Psychological Measurement 8(2), 125-145.

    W.-H. Chen and D. Thissen (1997). "Local dependence indexes for item pairs using item
    response theory". Journal of Educational and Behavioral Statistics 22(3), 265-289.

    Examples
    --------
    Two items with one answer:

    >>> import numpy as np
    >>> from emlearn import ItemResponseEM
    >>> from emlearn.irt import local_dependence
    >>> rng = np.random.default_rng(0)
    >>> trait, difficulty = rng.normal(size=(1000, 1)), np.linspace(-1, 1, 8)
    >>> X = (rng.logistic(size=(1000, 8)) < trait - difficulty).astype(float)
    >>> X[:300, 1] = X[:300, 0]
    >>> found = local_dependence(ItemResponseEM("1pl").fit(X), X)
    >>> np.argwhere(np.triu(found.p_adjusted < 0.01)).tolist()
    [[0, 1]]
    """
    validate_parameter_constraints(
        {"method": [StrOptions({"eap", "map", "ml", "wle"})]},
        {"method": method},
        caller_name="local_dependence",
    )
    fitted = read_fitted(estimator, "local_dependence")
    curves = fitted.curves
    answers = fitted.read(X, groups, covariates, sample_weight)
    answers = answers.take(np.any(answers.codes >= 0, axis=1))
    codes = answers.codes
    theta = score_answers(curves, answers, method, (-6.0, 6.0)).score
    residual = np.empty(codes.shape)
    for block in curves.blocks(len(codes)):
        mean, _ = curves.expected_scores(curves.probabilities(theta[block]))
        residual[block] = codes[block] - mean.T
    grid, density = fitted.density(answers)
    return _pairs(codes, answers.weight, residual, curves.probabilities(grid), density, curves.top)


def _pairs(
    codes: Codes,
    weight: Floats,
    residual: Floats,
    probabilities: Floats,
    density: Floats,
    top: NDArray[np.intp],
) -> LocalDependence:
    n_items, width, _ = probabilities.shape
    present = codes >= 0
    q3 = _pairwise_correlations(residual, present, weight)
    # All tables of two items at once: one row for each category of each item.
    answered = np.stack([(codes == k) for k in range(width)], axis=2).reshape(len(codes), -1)
    answered = answered.astype(np.float64)
    tables = (answered * weight[:, None]).T @ answered
    flat = probabilities.reshape(n_items * width, -1)
    implied = (flat * density) @ flat.T
    tables = tables.reshape(n_items, width, n_items, width).swapaxes(1, 2)
    implied = implied.reshape(n_items, width, n_items, width).swapaxes(1, 2)
    number = tables.sum(axis=(2, 3))
    expected = implied * number[:, :, None, None]
    possible = expected > 1e-10
    cells = (tables - expected) ** 2 / np.where(possible, expected, 1.0)
    statistic = _symmetric(np.sum(np.where(possible, cells, 0.0), axis=(2, 3)))
    df = np.multiply.outer(top, top)
    smaller = np.minimum.outer(top, top)
    score = np.arange(width, dtype=np.float64)
    sign = np.where(_correlation(tables, score) < _correlation(implied, score), -1.0, 1.0)
    size = np.sqrt(statistic / np.maximum(number * smaller, 1.0))
    diagonal = np.diag_indices(n_items)
    statistic[diagonal], size[diagonal], df[diagonal] = 0.0, 0.0, 0
    p_value = np.where(df > 0, chi2.sf(statistic, np.maximum(df, 1)), 1.0)
    above = np.triu_indices(n_items, 1)
    adjusted = np.ones_like(p_value)
    if len(above[0]):
        adjusted[above] = false_discovery_control(p_value[above])
    adjusted = np.minimum(adjusted, adjusted.T)
    return LocalDependence(q3, statistic, df, p_value, adjusted, sign * size)


def _pairwise_correlations(residual: Floats, present: NDArray[np.bool_], weight: Floats) -> Floats:
    """Correlations of columns over the rows that have both."""
    there = present.astype(np.float64)
    value = np.where(present, residual, 0.0)
    heavy = weight[:, None]
    total = (heavy * there).T @ there
    n_both = there.T @ there
    safe = np.maximum(total, 1e-300)
    # Means and squares of the first item of a pair among the persons who have the second.
    mean = (heavy * value).T @ there / safe
    square = (heavy * value**2).T @ there / safe
    product = (heavy * value).T @ value / safe
    variance = np.maximum(square - mean**2, 0.0)
    scale = np.sqrt(variance * variance.T)
    enough = (scale > 1e-12) & (n_both > 2.0)
    result = np.where(enough, (product - mean * mean.T) / np.where(enough, scale, 1.0), 0.0)
    np.fill_diagonal(result, 1.0)
    return np.clip(_symmetric(result), -1.0, 1.0)


def _symmetric(matrix: Floats) -> Floats:
    """Without the rounding by which the two halves differ."""
    result: Floats = 0.5 * (matrix + matrix.T)
    return result


def _correlation(tables: Floats, score: Floats) -> Floats:
    """Correlations of the scores in tables of two items."""
    share = tables / np.maximum(tables.sum(axis=(2, 3), keepdims=True), 1e-300)
    first, second = share.sum(axis=3), share.sum(axis=2)
    covariance = np.einsum("ijkl,k,l->ij", share, score, score) - (first @ score) * (second @ score)
    left = first @ score**2 - (first @ score) ** 2
    right = second @ score**2 - (second @ score) ** 2
    result: Floats = covariance / np.sqrt(np.maximum(left * right, 1e-300))
    return result
