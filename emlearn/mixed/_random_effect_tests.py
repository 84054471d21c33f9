"""Tests of the random effects of a mixed model, one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from emlearn.data.summary import Summary, summary_table
from emlearn.mixed._likelihood_ratio import LikelihoodRatioTest, likelihood_ratio_test
from emlearn.mixed._linear_mixed_model import LinearMixedModelEM
from emlearn.mixed._options import INTERCEPT
from emlearn.mixed._reading import Recipe, TermRecipe
from emlearn.mixed._terms import Design


class RandomEffectTests(dict[str, LikelihoodRatioTest]):
    """Tests of random effects by name, with a table."""

    def summary(self) -> Summary:
        """The results as text.

        Returns
        -------
        summary : str
            A table with one row for each random effect that was left out.
        """
        tests = list(self.values())
        columns = {
            "statistic": [test.statistic for test in tests],
            "p-value": [test.pvalue for test in tests],
            "distribution": [test.distribution for test in tests],
        }
        return summary_table(list(self), columns)

    def __str__(self) -> str:
        return str(self.summary())


def random_effect_tests(
    model: LinearMixedModelEM,
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    groups: Any = None,
) -> RandomEffectTests:
    """Test each random effect of a model by leaving it out.

    Parameters
    ----------
    model : LinearMixedModelEM
        Fitted model.
    X : array-like or DataFrame of shape (n_samples, n_features)
        The rows of the fit.
    y : array-like of shape (n_samples,)
        As for `fit`.
    sample_weight : array-like of shape (n_samples,), default=None
        As for `fit`.
    groups : array-like of shape (n_samples,), default=None
        As for `fit`.

    Returns
    -------
    tests : RandomEffectTests
        A dict with a table: a `LikelihoodRatioTest` for each term, such as "Subject", or for each
        of its random effects if it has several, such as "Subject[Days]". An intercept stays as
        long as there are slopes that are correlated with it: such a model would depend on where
        the columns have their 0.

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    TypeError
        If it is not a `LinearMixedModelEM`.
    ValueError
        If the rows are not those of the fit.

    See Also
    --------
    likelihood_ratio_test : The test of two models, with its distribution.

    Notes
    -----
    One model without the effect is fitted for each test.

    Examples
    --------
    >>> from emlearn import LinearMixedModelEM
    >>> from emlearn.datasets import load_penicillin
    >>> from emlearn.mixed import random_effect_tests
    >>> X, y = load_penicillin(return_X_y=True, as_frame=True)
    >>> model = LinearMixedModelEM(["plate", "sample"]).fit(X, y)
    >>> print(random_effect_tests(model, X, y))
            statistic    p-value               distribution
    plate       105.1  5.933e-25  1/2 chi2(0) + 1/2 chi2(1)
    sample      282.4  1.129e-63  1/2 chi2(0) + 1/2 chi2(1)
    """
    if not isinstance(model, LinearMixedModelEM):
        raise TypeError(f"model must be a LinearMixedModelEM, got {type(model).__name__}.")
    check_is_fitted(model, "variance_components_")
    tests = RandomEffectTests()
    for name, term, left_out in _effects_to_test(model):
        reduced = _fit_without(model, term, left_out, (X, y, sample_weight, groups))
        tests[name] = likelihood_ratio_test(reduced, model)
    return tests


def _effects_to_test(
    model: LinearMixedModelEM,
) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """Name, term, and which of its effects is left out, where its variance is free."""
    for recipe in model._recipe.terms:
        entries = model._held[recipe.name]
        q = len(entries)
        for a in range(q):
            alone = recipe.pattern[a].sum() == 1 or not recipe.grouped
            needed = recipe.columns[a] == INTERCEPT and not alone
            if np.isnan(entries[a, a]) and not needed:
                name = recipe.name if q == 1 else f"{recipe.name}[{recipe.columns[a]}]"
                yield name, recipe.name, np.arange(q) == a


@dataclass(frozen=True)
class _Smaller:
    """A recipe whose design has fewer effects.

    Attributes
    ----------
    recipe : Recipe
        The recipe.
    name : str
        Name of a term.
    kept : ndarray of bool of shape (n_columns,)
        Which of its effects remain.
    """

    recipe: Recipe
    name: str
    kept: NDArray[np.bool_]

    @property
    def fit_intercept(self) -> bool:
        return self.recipe.fit_intercept

    @property
    def terms(self) -> tuple[TermRecipe, ...]:
        return tuple(self._reduced(term) for term in self.recipe.terms if self._remains(term))

    def response(self, X: Any, y: Any) -> Any:
        return self.recipe.response(X, y)

    def apply(self, estimator: Any, X: Any, groups: Any = None) -> Design:
        design = self.recipe.apply(estimator, X, groups)
        terms = tuple(
            self._reduced(term, basis=term.basis[:, self.kept]) if term.name == self.name else term
            for term in design.terms
            if self._remains(term)
        )
        return replace(design, terms=terms)

    def _remains(self, term: Any) -> bool:
        return term.name != self.name or bool(self.kept.any())

    def _reduced(self, term: Any, **changes: Any) -> Any:
        if term.name != self.name:
            return term
        columns = tuple(compress(term.columns, self.kept))
        pattern = term.pattern[np.ix_(self.kept, self.kept)]
        return replace(term, columns=columns, pattern=pattern, **changes)


def _fit_without(
    model: LinearMixedModelEM, name: str, left_out: NDArray[np.bool_], rows: tuple[Any, ...]
) -> LinearMixedModelEM:
    """A fit of the same model without some effects of a term."""
    reduced = clone(model)
    for attribute in ("n_features_in_", "feature_names_in_"):
        if hasattr(model, attribute):
            setattr(reduced, attribute, getattr(model, attribute))
    kept = ~left_out
    if model.fixed:
        held = {**model._held, name: model._held[name][np.ix_(kept, kept)]}
        if not kept.any():
            del held[name]
        reduced.fixed = held
    recipe: Any = _Smaller(model._recipe, name, kept)
    reduced._recipe = recipe
    return reduced._fit_data(*reduced._read_data(*rows, reset=False))
