"""The likelihood-ratio test of two mixed models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from emlearn._warnings import warn_user
from emlearn.mixed._linear_mixed_model import LinearMixedModelEM
from emlearn.mixed._options import RESIDUAL

# A variance or covariance: its term and two of the term's effects.
Component = tuple[str, str, str]

# A difference of log-likelihoods that rounding explains, as a part of them.
_ROUNDING = 1e-10
# Nats by which the smaller model may have the higher likelihood before that is said.
_LOWER = 1e-3


@dataclass(frozen=True)
class LikelihoodRatioTest:
    """Result of a likelihood-ratio test.

    Attributes
    ----------
    statistic : float
        Twice the difference of the log-likelihoods.
    pvalue : float
        Probability of a statistic that is as large, if the reduced model holds.
    df : tuple of int
        Degrees of freedom of the chi-square distributions whose mixture the statistic is
        compared with; 0 is the distribution that is always 0.
    weights : tuple of float
        Their weights.
    conservative : bool
        Whether the p-value is an upper bound, because several variances are 0 in the reduced
        model.
    """

    statistic: float
    pvalue: float
    df: tuple[int, ...]
    weights: tuple[float, ...]
    conservative: bool = False

    @property
    def distribution(self) -> str:
        """What the statistic is compared with, such as "1/2 chi2(0) + 1/2 chi2(1)"."""
        if len(self.df) == 1:
            return f"chi2({self.df[0]})" + " (conservative)" * self.conservative
        return " + ".join(f"1/2 chi2({k})" for k in self.df)

    def __str__(self) -> str:
        return (
            f"Likelihood-ratio test: statistic {self.statistic:.4g}, p-value {self.pvalue:.4g}, "
            f"by {self.distribution}"
        )


def likelihood_ratio_test(
    reduced: LinearMixedModelEM, full: LinearMixedModelEM
) -> LikelihoodRatioTest:
    """Test whether a model needs the effects that a smaller one does not have.

    Parameters
    ----------
    reduced : LinearMixedModelEM
        Fitted model without them.
    full : LinearMixedModelEM
        Fitted model with them, fitted to the same rows with the same `method`.

    Returns
    -------
    test : LikelihoodRatioTest
        Statistic, p-value and reference distribution.

    Raises
    ------
    NotFittedError
        If a model is not fitted.
    TypeError
        If one is not a `LinearMixedModelEM`.
    ValueError
        If the models are not nested, have the same parameters, or were fitted to other rows,
        weights or by another method; or if they have different fixed effects and were fitted by
        REML, whose likelihoods do not compare these.

    Warns
    -----
    ConvergenceWarning
        If the reduced model has the higher likelihood, so that the fit of the full one is not at
        its maximum.

    See Also
    --------
    random_effect_tests : Tests of all random effects of a model, one by one.

    Notes
    -----
    Terms are the same if they have the same name; variances that are held at 0 by `fixed` count
    as left out. If k parameters more are free in the full model, and none is a variance that is
    0 in the reduced one, the statistic has nearly a chi-square distribution with k degrees of
    freedom. A variance of 0 is at the boundary of its range: if there is one, such as that of a
    random slope, the distribution is a mixture of those with k - 1 and k degrees of freedom in
    equal parts, where covariances of the slope count in k. If there are several, the weights
    depend on the design, and chi-square with k degrees of freedom is an upper bound of the
    p-value. So is the mixture if there are few levels.

    The mixture holds if the other covariances of the reduced model are not singular themselves.

    References
    ----------
    S. G. Self and K.-Y. Liang (1987). "Asymptotic properties of maximum likelihood estimators and
    likelihood ratio tests under nonstandard conditions". Journal of the American Statistical
    Association 82(398), 605-610.

    D. O. Stram and J. W. Lee (1994). "Variance components testing in the longitudinal mixed
    effects model". Biometrics 50(4), 1171-1177.

    J. C. Pinheiro and D. M. Bates (2000). Mixed-Effects Models in S and S-PLUS. Springer.
    Section 2.4.

    Examples
    --------
    Do subjects differ in how sleep deprivation slows them?

    >>> from emlearn import LinearMixedModelEM
    >>> from emlearn.datasets import load_sleepstudy
    >>> from emlearn.mixed import likelihood_ratio_test
    >>> X, y = load_sleepstudy(return_X_y=True, as_frame=True)
    >>> intercepts = LinearMixedModelEM("Subject").fit(X, y)
    >>> slopes = LinearMixedModelEM("Subject", random_slopes=["Days"]).fit(X, y)
    >>> test = likelihood_ratio_test(intercepts, slopes)
    >>> round(test.statistic, 2), test.distribution
    (42.84, '1/2 chi2(1) + 1/2 chi2(2)')
    """
    for name, model in (("reduced", reduced), ("full", full)):
        if not isinstance(model, LinearMixedModelEM):
            raise TypeError(f"{name} must be a LinearMixedModelEM, got {type(model).__name__}.")
        check_is_fitted(model, "variance_components_")
    _check_same_rows(reduced, full)
    _check_same_terms(reduced, full)
    n_fixed = _more_fixed_effects(reduced, full)
    n_components, n_boundaries = _more_components(reduced, full)
    df = n_fixed + n_components
    if df == 0:
        raise ValueError(
            "reduced and full have the same parameters: there is nothing to test. Leave a column, "
            "a term or a random slope out of reduced."
        )
    gain = full.log_likelihood_ - reduced.log_likelihood_
    if gain < -_LOWER:
        warn_user(
            f"reduced has a log-likelihood that is {-gain:.4g} nats above that of full, which is "
            "not at its maximum: fit full with a larger max_iter or a smaller tol.",
            ConvergenceWarning,
        )
    if gain < _ROUNDING * abs(full.log_likelihood_):
        gain = 0.0
    return _test(2.0 * gain, df, n_boundaries)


def _components(model: LinearMixedModelEM) -> dict[Component, float]:
    """Variances and covariances that are not held at 0: NaN where free."""
    found: dict[Component, float] = {(RESIDUAL, "", ""): float(model._held[RESIDUAL])}
    for recipe in model._recipe.terms:
        entries = model._held[recipe.name]
        columns = recipe.columns if recipe.grouped else ("effect",)
        for a, b in zip(*np.tril_indices(len(entries)), strict=True):
            first, second = sorted((columns[a], columns[b]))
            found[recipe.name, first, second] = float(entries[a, b])
    return {key: value for key, value in found.items() if value != 0.0}


def _more_components(reduced: LinearMixedModelEM, full: LinearMixedModelEM) -> tuple[int, int]:
    """Parameters that are free in the full model only, and how many are variances of 0."""
    small, large = _components(reduced), _components(full)
    n_components = n_boundaries = 0
    # Variances first, as those of most use in a message.
    for key in sorted(small.keys() | large.keys(), key=lambda key: (key[1] != key[2], key)):
        own, other = small.get(key, 0.0), large.get(key, 0.0)
        if np.isnan(other):
            if not np.isnan(own):
                n_components += 1
                n_boundaries += own == 0.0 and key[1] == key[2]
        elif own != other:
            raise ValueError(
                f"reduced is not nested in full: {_named(key)} is "
                f"{'free' if np.isnan(own) else own} in reduced, but "
                f"{'left out' if other == 0.0 else other} in full. The model with more effects "
                "is the second argument, and terms must have the same names."
            )
    return n_components, n_boundaries


def _named(key: Component) -> str:
    term, first, second = key
    if term == RESIDUAL:
        return "the residual variance"
    if first == second:
        return f"the variance of {first!r} in {term!r}"
    return f"the covariance of {first!r} and {second!r} in {term!r}"


def _more_fixed_effects(reduced: LinearMixedModelEM, full: LinearMixedModelEM) -> int:
    """Number of fixed effects that only the full model has."""
    small, large = _fixed_effects(reduced), _fixed_effects(full)
    if small - large:
        raise ValueError(
            f"reduced is not nested in full, which lacks its fixed effects "
            f"{', '.join(sorted(small - large))}. The model with more effects is the second "
            "argument."
        )
    same_span = np.isclose(reduced._log_det_fixed, full._log_det_fixed, rtol=1e-8, atol=1e-8)
    if full.method == "reml" and not (small == large and same_span):
        what = ", ".join(sorted(large - small)) or "values of their columns"
        raise ValueError(
            f"The models have different fixed effects ({what}), and likelihoods of REML are not "
            'comparable then. Fit both with method="ml".'
        )
    return len(large) - len(small)


def _fixed_effects(model: LinearMixedModelEM) -> set[str]:
    effects = model.fixed_effects_
    return {name for name, remark in zip(effects.names, effects.remarks, strict=True) if not remark}


def _check_same_rows(reduced: LinearMixedModelEM, full: LinearMixedModelEM) -> None:
    if reduced.method != full.method:
        raise ValueError(
            f"reduced was fitted with method={reduced.method!r} and full with "
            f"method={full.method!r}: fit both with the same."
        )
    small, large = reduced._fingerprint, full._fingerprint
    if small[0] != large[0]:
        raise ValueError(
            f"reduced was fitted to {small[0]:g} observations and full to {large[0]:g}: fit both "
            "to the same rows."
        )
    if not np.isclose(small[1], large[1], rtol=1e-8, atol=1e-8):
        raise ValueError(
            "reduced and full were fitted with different sample_weight (or weights): their "
            "likelihoods are not comparable."
        )
    if not np.isclose(small[2], large[2], rtol=1e-8, atol=0.0):
        raise ValueError(
            "reduced and full were fitted to different responses (or with different "
            "sample_weight): their likelihoods are not comparable."
        )


def _check_same_terms(reduced: LinearMixedModelEM, full: LinearMixedModelEM) -> None:
    """Whether terms with the same name are about the same levels."""
    large = {recipe.name: recipe for recipe in full._recipe.terms}
    for own in reduced._recipe.terms:
        other = large.get(own.name, own)
        same = np.array_equal(own.levels, other.levels) and own.grouped == other.grouped
        same &= (own.kinship is None) == (other.kinship is None)
        if not same or not (own.grouped or own.columns == other.columns):
            raise ValueError(
                f"reduced is not nested in full: the term {own.name!r} has other levels, columns "
                "or another kinship in full."
            )


def _test(statistic: float, df: int, n_boundaries: int) -> LikelihoodRatioTest:
    mixture = (df - 1, df) if n_boundaries == 1 else (df,)
    weights = (1.0 / len(mixture),) * len(mixture)
    tails = [chi2.sf(statistic, k) if k else float(statistic <= 0.0) for k in mixture]
    pvalue = float(np.dot(weights, tails))
    return LikelihoodRatioTest(statistic, pvalue, mixture, weights, n_boundaries > 1)
