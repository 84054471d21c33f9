"""Whether the answers of a person are those that the model expects of their trait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from emlearn._compat import StrOptions, validate_parameter_constraints
from emlearn.irt._curves import TINY, ItemCurves, of_answers
from emlearn.irt._fitted import read_fitted
from emlearn.irt._scoring import score_answers

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]


@dataclass(frozen=True)
class PersonFit:
    """Fit of persons, as `person_fit` returns it.

    Attributes
    ----------
    lz : ndarray of shape (n_persons,)
        Standardized log-likelihood of the answers, as if the trait were known. Much below
        zero: answers that the model does not expect.
    lz_star : ndarray of shape (n_persons,)
        The same, corrected for the estimated trait: close to standard normal with many items.
    outfit, infit : ndarray of shape (n_persons,)
        Mean squared standardized residual, and the same weighted by the information: 1 is
        expected, more is erratic and less is too regular.
    score : ndarray of shape (n_persons,)
        The scores that they were computed at.
    """

    lz: Floats
    lz_star: Floats
    outfit: Floats
    infit: Floats
    score: Floats


def person_fit(
    estimator: Any,
    X: Any,
    *,
    method: str = "wle",
    limits: tuple[float, float] = (-6.0, 6.0),
    groups: Any = None,
    covariates: Any = None,
) -> PersonFit:
    """Fit of the answers of each person: l_z, l_z*, infit and outfit.

    Parameters
    ----------
    estimator : ItemResponseEM
        Fitted estimator with one trait.
    X : array-like of shape (n_persons, n_items)
        Answers; NaN where there is none. Each person needs at least one.
    method : {"wle", "ml", "map"}, default="wle"
        How the trait is estimated. The correction of l_z* is that of this method. The default
        is finite for perfect scores and uses no prior.
    limits : tuple of two floats, default=(-6, 6)
        Smallest and largest score, as in `person_scores`.
    groups : array-like of shape (n_persons,), default=None
        Groups of the persons, for "map", as in `person_scores`.
    covariates : array-like of shape (n_persons, n_covariates), default=None
        Covariates of the persons, for "map", as in `person_scores`.

    Returns
    -------
    fit : PersonFit
        Statistics of each person. 0 for `lz` and `lz_star` where they have no variance, as
        those of persons with a single answer, and of `infit` and `outfit` where no answer can
        be told from a certain one.

    Raises
    ------
    ValueError
        If a parameter is invalid, the estimator has more than one trait, or persons answered
        nothing.

    Notes
    -----
    With the log-likelihood l of the answers, ``l_z = (l - E l) / sqrt(V l)``, both moments at the
    estimated trait (Drasgow, Levine and Williams 1985). That the trait is estimated from the same
    answers makes the variance smaller than V l. Snijders (2001), and for more than two categories
    Sinharay (2016), subtract from log P its regression on the score function, and put what the
    method adds to the score function in its estimating equation in the place of the score
    function: 0 for "ml", J / (2 I) for "wle" (see `person_scores`), the slope of the log prior
    for "map". The correction holds where the score is not at a limit.

    References
    ----------
    F. Drasgow, M. V. Levine and E. A. Williams (1985). "Appropriateness measurement with
    polychotomous item response models and standardized indices". British Journal of
    Mathematical and Statistical Psychology 38(1), 67-86.

    T. A. B. Snijders (2001). "Asymptotic null distribution of person fit statistics with
    estimated person parameter". Psychometrika 66(3), 331-342.

    S. Sinharay (2016). "Asymptotically correct standardization of person-fit statistics beyond
    dichotomous items". Psychometrika 81(4), 992-1013.

    B. D. Wright and G. N. Masters (1982). "Rating scale analysis". MESA Press.

    Examples
    --------
    A person who solves the hard items only:

    >>> import numpy as np
    >>> from emlearn import ItemResponseEM
    >>> from emlearn.irt import person_fit
    >>> rng = np.random.default_rng(0)
    >>> trait, difficulty = rng.normal(size=(500, 1)), np.linspace(-2, 2, 10)
    >>> X = (rng.logistic(size=(500, 10)) < trait - difficulty).astype(float)
    >>> model = ItemResponseEM("1pl").fit(X)
    >>> fit = person_fit(model, [[0, 0, 0, 0, 0, 1, 1, 1, 1, 1], [1, 1, 1, 0, 1, 0, 0, 1, 0, 0]])
    >>> (fit.lz_star < -2).tolist()
    [True, False]
    """
    validate_parameter_constraints(
        {"method": [StrOptions({"wle", "ml", "map"})]},
        {"method": method},
        caller_name="person_fit",
    )
    fitted = read_fitted(estimator, "person_fit")
    answers = fitted.read(X, groups, covariates, needs_prior=method == "map")
    scores = score_answers(fitted.curves, answers, method, limits)
    result = np.zeros((4, len(answers.codes)))
    for block in fitted.curves.blocks(len(answers.codes)):
        theta = scores.score[block]
        pull = (answers.mean[block] - theta) / answers.deviation[block] ** 2
        result[:, block] = _statistics(fitted.curves, answers.codes[block], theta, method, pull)
    lz, lz_star, outfit, infit = result
    return PersonFit(lz, lz_star, outfit, infit, scores.score)


def _statistics(
    curves: ItemCurves, codes: Codes, theta: Floats, method: str, pull: Floats
) -> Floats:
    present = (codes >= 0).T
    p, first, second = curves.derivatives(theta)
    log = np.log(np.maximum(p, TINY))
    ratio = first / np.maximum(p, TINY)
    expected = np.sum(xlogy(p, p), axis=1)

    def total(values: Floats) -> Floats:
        result: Floats = np.sum(values, axis=0, where=present)
        return result

    surprise = total(of_answers(log, codes) - expected)
    variance = total(np.sum(p * (log - expected[:, None]) ** 2, axis=1))
    information = np.maximum(total(np.sum(ratio * first, axis=1)), TINY)
    slope = total(np.sum(first * log, axis=1)) / information
    if method == "map":
        offset = pull
    elif method == "wle":
        offset = 0.5 * total(np.sum(ratio * second, axis=1)) / information
    else:
        offset = np.zeros_like(theta)
    corrected = log - slope * ratio
    corrected_mean = np.sum(p * corrected, axis=1)
    spread = total(np.sum(p * (corrected - corrected_mean[:, None]) ** 2, axis=1))
    mean, item_variance = curves.expected_scores(p)
    residual = (np.maximum(codes, 0).T - mean) ** 2
    certain = item_variance < 1e-12
    squared = np.where(certain, 0.0, residual / np.where(certain, 1.0, item_variance))
    n_answers = np.maximum(np.sum(present & ~certain, axis=0), 1)
    return np.stack(
        [
            _standardized(surprise, variance, variance),
            _standardized(surprise + slope * offset, spread, variance),
            total(squared) / n_answers,
            total(residual) / np.maximum(total(item_variance), 1e-12),
        ]
    )


def _standardized(value: Floats, variance: Floats, scale: Floats) -> Floats:
    """Value over its standard deviation; 0 where the variance is nothing but rounding."""
    enough = variance > 1e-10 * np.maximum(scale, 1e-10)
    return np.where(enough, value / np.sqrt(np.where(enough, variance, 1.0)), 0.0)
