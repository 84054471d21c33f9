"""Whether the model fits as a whole: M2 and what is computed from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import chi2, ncx2

from emlearn._compat import StrOptions, validate_parameter_constraints
from emlearn.data.names import label
from emlearn.irt._fitted import FittedItems, read_fitted
from emlearn.irt._moments import (
    Functions,
    category_functions,
    derivatives_of_item,
    implied_moments,
    observed_moments,
    quadratic_form,
    score_functions,
)

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]

# The covariance of the moments of more items does not fit into memory.
_MOST_MOMENTS = 20_000


@dataclass(frozen=True)
class ModelFit:
    """Fit of a model, as `model_fit` returns it.

    Attributes
    ----------
    statistic : float
        M2, or C2.
    df : int
        Degrees of freedom: moments minus parameters.
    p_value : float
        Probability of a larger statistic if the model holds.
    rmsea : float
        Root mean square error of approximation: misfit for each degree of freedom. At most
        0.05 is called close fit (Maydeu-Olivares and Joe 2014).
    rmsea_interval : tuple of float
        Its interval of 90 percent.
    srmsr : float
        Root mean square difference between the observed correlations of the items and those of
        the model. At most 0.05 is called close fit.
    cfi, tli : float
        Comparative fit index and Tucker-Lewis index: how much better than independent items the
        model is, 1 if it is perfect. They are 1 where independent items fit, too.
    n_persons : float
        Number of persons (their total weight).
    """

    statistic: float
    df: int
    p_value: float
    rmsea: float
    rmsea_interval: tuple[float, float]
    srmsr: float
    cfi: float
    tli: float
    n_persons: float


def model_fit(
    estimator: Any, X: Any, *, sample_weight: Any = None, statistic: str = "C2"
) -> ModelFit:
    """Fit of the model to the means and products of the answers: M2, RMSEA, SRMSR.

    Parameters
    ----------
    estimator : ItemResponseEM
        Fitted estimator with one trait, and without groups and covariates.
    X : array-like of shape (n_persons, n_items)
        The answers of the fit, without NaN.
    sample_weight : array-like of shape (n_persons,), default=None
        How many persons each row stands for.
    statistic : {"C2", "M2"}, default="C2"
        What is compared. Both compare the means of the products of the scores of two items; "C2"
        also compares the shares of all categories (Cai and Monroe 2014), "M2" the mean scores
        (M2* of Cai and Hansen 2013). For items of two categories, both are M2 of
        Maydeu-Olivares and Joe (2005). The default has more degrees of freedom: short scales
        of items with many categories have none for "M2".

    Returns
    -------
    fit : ModelFit
        The test and the indices.

    Raises
    ------
    ValueError
        If the estimator has several traits, groups or covariates, if answers are missing, or if
        there are no degrees of freedom or too many items. The message says what to do.

    Notes
    -----
    With the difference e between observed moments and those of the model, their covariance Xi
    for one person, and the derivatives D of the moments with respect to the parameters, the
    statistic ``N e' (inv(Xi) - inv(Xi) D inv(D' inv(Xi) D) D' inv(Xi)) e`` of N persons
    tends to chi-squared with as many degrees of freedom as there are more moments than
    parameters. Unlike a test of all patterns of answers it does not need many persons for each
    pattern. It holds for maximum likelihood; with a prior of the items that is not weak, it is
    approximate. Work grows with the fourth power of the number of items.

    References
    ----------
    A. Maydeu-Olivares and H. Joe (2005). "Limited- and full-information estimation and
    goodness-of-fit testing in 2^n contingency tables". Journal of the American Statistical
    Association 100(471), 1009-1020.

    A. Maydeu-Olivares and H. Joe (2006). "Limited information goodness-of-fit testing in
    multidimensional contingency tables". Psychometrika 71(4), 713-732.

    L. Cai and M. Hansen (2013). "Limited-information goodness-of-fit testing of hierarchical
    item factor models". British Journal of Mathematical and Statistical Psychology 66(2),
    245-276.

    L. Cai and S. Monroe (2014). "A new statistic for evaluating item response theory models for
    ordinal data". CRESST Report 839, University of California.

    A. Maydeu-Olivares and H. Joe (2014). "Assessing approximate fit in categorical data
    analysis". Multivariate Behavioral Research 49(4), 305-328.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn import ItemResponseEM
    >>> from emlearn.irt import model_fit
    >>> rng = np.random.default_rng(0)
    >>> trait, difficulty = rng.normal(size=(1000, 1)), np.linspace(-1, 1, 8)
    >>> X = (rng.logistic(size=(1000, 8)) < trait - difficulty).astype(float)
    >>> fit = model_fit(ItemResponseEM("2pl").fit(X), X)
    >>> fit.df, fit.p_value > 0.05
    (20, True)
    """
    validate_parameter_constraints(
        {"statistic": [StrOptions({"C2", "M2"})]}, {"statistic": statistic}, caller_name="model_fit"
    )
    fitted = read_fitted(estimator, "model_fit")
    fitted.require_one_population("model_fit")
    answers = fitted.read(X, sample_weight=sample_weight)
    codes, weight = answers.codes, answers.weight
    _require_complete(codes)
    curves = fitted.curves
    _require_categories(codes, curves.is_category, getattr(estimator, "feature_names_in_", None))
    functions = (
        category_functions(curves.is_category)
        if statistic == "C2"
        else score_functions(curves.n_items, curves.n_categories)
    )
    n_moments = len(functions.item) + curves.n_items * (curves.n_items - 1) // 2
    if n_moments > _MOST_MOMENTS:
        raise ValueError(
            f"{curves.n_items} items have {n_moments} moments, and their covariance does not fit "
            "into memory. Fit and test parts of the items."
        )
    n = float(weight.sum())
    observed = observed_moments(codes, weight, functions)
    grid, density = fitted.density(answers)
    p = curves.probabilities(grid)
    implied = implied_moments(p, density, functions)
    delta = _derivatives(fitted, grid, density, functions)
    value, df = _test(n, observed - implied.mean, implied.covariance, delta)
    null_value, null_df = _independence(codes, weight, observed, functions, curves.is_category)
    cfi, tli = _comparison(value, df, null_value, null_df)
    difference = _correlations(codes, weight) - implied.correlation
    above = np.triu_indices(curves.n_items, 1)
    return ModelFit(
        value,
        df,
        float(chi2.sf(value, df)),
        float(np.sqrt(max(value - df, 0.0) / (df * (n - 1.0)))),
        _rmsea_interval(value, df, n),
        float(np.sqrt(np.mean(difference[above] ** 2))),
        cfi,
        tli,
        n,
    )


def _require_complete(codes: Codes) -> None:
    incomplete = np.flatnonzero(np.any(codes < 0, axis=1))
    if incomplete.size:
        raise ValueError(
            f"M2 needs answers of all persons to all items; {incomplete.size} of {len(codes)} rows "
            f"have missing answers, the first is row {incomplete[0]}. Fit and test the complete "
            "rows, or use item_fit, which leaves incomplete rows out of S-X2."
        )


def _require_categories(codes: Codes, is_category: NDArray[np.bool_], names: Any) -> None:
    for item, exists in enumerate(is_category):
        missing = np.setdiff1d(np.flatnonzero(exists), codes[:, item])
        if missing.size:
            raise ValueError(
                f"Nobody gave the answer of category {missing[0]} to {label(names, item)}, so its "
                "share has no variance. Leave the item out of the fit, or join the category with "
                "its neighbor."
            )


def _derivatives(
    fitted: FittedItems, grid: Floats, density: Floats, functions: Functions
) -> Floats:
    """Derivatives of the moments with respect to all parameters of the items."""
    p = fitted.curves.probabilities(grid)
    score, _ = fitted.curves.expected_scores(p)
    change, is_free = fitted.probability_changes(grid)
    columns: list[Floats] = []
    common = np.zeros((len(functions.item) + len(score) * (len(score) - 1) // 2, 1))
    for item in range(fitted.curves.n_items):
        found = derivatives_of_item(item, change[item], score, density, functions)
        if fitted.curves.model.has_common_slope:
            common = common + found[:, :1]
            columns.append(found[:, 1:][:, is_free[item, 1:]])
        else:
            columns.append(found[:, is_free[item]])
    if fitted.curves.model.has_common_slope:
        columns.append(common)
    return np.concatenate(columns, axis=1)


def _test(n: float, residual: Floats, covariance: Floats, delta: Floats) -> tuple[float, int]:
    n_moments = len(residual)
    if n_moments <= delta.shape[1]:
        raise ValueError(
            f"{n_moments} moments cannot test a model of {delta.shape[1]} parameters. Use more "
            "items, statistic='C2', or a model with fewer parameters."
        )
    try:
        value, rank = quadratic_form(residual, covariance, delta)
    except np.linalg.LinAlgError:
        raise ValueError(
            "The moments are linearly dependent, because a category or a pair of answers has "
            "almost no probability. Join rare categories, or use statistic='M2'."
        ) from None
    return n * value, n_moments - rank


def _independence(
    codes: Codes,
    weight: Floats,
    observed: Floats,
    functions: Functions,
    is_category: NDArray[np.bool_],
) -> tuple[float, int]:
    """The same test of independent items with the observed shares."""
    n_items, width = is_category.shape
    shares = np.stack(
        [np.bincount(codes[:, item], weights=weight, minlength=width) for item in range(n_items)]
    )
    p = (shares / weight.sum())[:, :, None]
    implied = implied_moments(p, np.ones(1), functions)
    score = np.arange(width, dtype=np.float64) @ p
    # One more of a category is one less of the lowest.
    change = np.eye(width)[1:, :, None] - np.eye(width)[:1, :, None]
    delta = np.concatenate(
        [
            derivatives_of_item(item, change[is_category[item, 1:]], score, np.ones(1), functions)
            for item in range(n_items)
        ],
        axis=1,
    )
    value, rank = quadratic_form(observed - implied.mean, implied.covariance, delta)
    return float(weight.sum()) * value, len(observed) - rank


def _comparison(value: float, df: int, null_value: float, null_df: int) -> tuple[float, float]:
    excess, null_excess = max(value - df, 0.0), max(null_value - null_df, 0.0)
    cfi = 1.0 - excess / max(null_excess, excess) if max(null_excess, excess) > 0.0 else 1.0
    if null_df <= 0 or null_excess == 0.0:
        return cfi, 1.0
    ratio = null_value / null_df
    return cfi, (ratio - value / df) / (ratio - 1.0)


def _rmsea_interval(value: float, df: int, n: float) -> tuple[float, float]:
    limits = []
    for level in (0.95, 0.05):
        noncentrality = 0.0
        if chi2.cdf(value, df) > level:
            top = value + 10.0 * np.sqrt(2.0 * value) + 50.0
            noncentrality = brentq(
                lambda nc, level=level: ncx2.cdf(value, df, nc) - level, 1e-9, top
            )
        limits.append(float(np.sqrt(noncentrality / (df * (n - 1.0)))))
    return limits[0], limits[1]


def _correlations(codes: Codes, weight: Floats) -> Floats:
    share = weight / weight.sum()
    centered = codes - share @ codes
    spread = centered.T @ (share[:, None] * centered)
    deviation = np.sqrt(np.maximum(np.diag(spread), 1e-300))
    result: Floats = spread / np.outer(deviation, deviation)
    return result
