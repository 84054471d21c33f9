"""Residuals of mixed models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from emlearn.display._axes import panels_or_new
from emlearn.display._random_effects import LINE, mixed_model
from emlearn.display._style import PALETTE, component_styles

Array = NDArray[Any]

# So many points are drawn small.
_MANY = 1000
_KINDS = ("fitted", "quantiles", "random_effects")
# Part of the variance of a random effect that its prediction has, at least, if the rows say
# anything about it.
_UNSEEN = 1e-8


class MixedResidualsDisplay:
    """Residuals and random effects, drawn so that departures from the model are seen.

    Residuals are those of the rows around their predictions, random effects included. They
    should not depend on the predictions, and both they and the random effects should be normal:
    on a line in a plot of quantiles. Use `from_estimator` to make one.

    Parameters
    ----------
    fitted : ndarray of shape (n_samples,)
        Predictions.
    residuals : ndarray of shape (n_samples,)
        Residuals.
    standardized_effects : dict of str to ndarray of shape (n_levels,)
        Predicted random effects, divided by their standard deviations, by their names.

    Attributes
    ----------
    axes_ : list of matplotlib Axes
        The panels.
    figure_ : matplotlib Figure
        Their figure.
    points_ : list of matplotlib Line2D
        Points of the panels.
    legend_ : matplotlib Legend or None
        Names of the random effects, if there are several.

    See Also
    --------
    RandomEffectsDisplay : The random effects by level.
    """

    def __init__(self, fitted: Array, residuals: Array, standardized_effects: Mapping[str, Array]):
        self.fitted = fitted
        self.residuals = residuals
        self.standardized_effects = standardized_effects

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        groups: Any = None,
        kind: str | Sequence[str] = _KINDS,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the residuals of a fitted estimator.

        Parameters
        ----------
        estimator : LinearMixedModelEM
            Fitted estimator, a Pipeline that ends with one, or a search over one.
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows; as a rule those of the fit.
        y : array-like of shape (n_samples,), default=None
            Their responses; rows in which it is NaN are left out. None: the left side of the
            formula.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows. If they are precisions, residuals are multiplied by their square
            roots. Rows with the weight 0 are left out.
        groups : array-like of shape (n_samples,), default=None
            Levels of the rows, if such were given to `fit`.
        kind : {"fitted", "quantiles", "random_effects"} or list of these, default=all
            Panels. "fitted": residuals against predictions. "quantiles": residuals against
            quantiles of the normal distribution. "random_effects": the same for the random
            effects, each divided by the standard deviation that its prediction has under the
            model.
        ax : matplotlib Axes or sequence of these, default=None
            Where to draw, one for each panel; None makes a new figure.
        **kwargs : object
            Properties of the points, for `matplotlib.axes.Axes.plot`.

        Returns
        -------
        display : MixedResidualsDisplay
            The plot.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If the estimator is no mixed model, or `ax` is something else.
        ValueError
            If `kind` is unknown, rows are invalid, or the number of axes is wrong.

        References
        ----------
        N. Lange and L. Ryan (1989). "Assessing normality in random effects models". The Annals
        of Statistics 17(2), 624-642.

        Examples
        --------
        >>> from emlearn import LinearMixedModelEM
        >>> from emlearn.datasets import load_sleepstudy
        >>> from emlearn.display import MixedResidualsDisplay
        >>> X, y = load_sleepstudy(return_X_y=True, as_frame=True)
        >>> model = LinearMixedModelEM("Subject", random_slopes=["Days"]).fit(X, y)
        >>> display = MixedResidualsDisplay.from_estimator(model, X, y)
        >>> [ax.get_ylabel() for ax in display.axes_]
        ['residual', 'residual', 'standardized random effect']
        """
        from emlearn.data import read_weight
        from emlearn.mixed._response import read_response

        before, model = mixed_model(estimator, cls.__name__)
        for _, step in before:
            X = step.transform(X)
        fitted = model.predict(X, random_effects="known", groups=groups)
        response = read_response(model._recipe.response(X, y), len(fitted), type(model).__name__)
        precise = model.weights == "precision"
        weight = read_weight(sample_weight, len(response), any_scale=precise)
        residuals = response - fitted
        used = ~np.isnan(response)
        if weight is not None:
            used &= weight > 0.0
            residuals *= np.sqrt(weight) if precise else 1.0
        display = cls(fitted[used], residuals[used], _standardized(model))
        return display.plot(kind=kind, ax=ax, **kwargs)

    def plot(self, *, kind: str | Sequence[str] = _KINDS, ax: Any = None, **kwargs: Any) -> Self:
        """Draw.

        Parameters
        ----------
        kind : {"fitted", "quantiles", "random_effects"} or list of these, default=all
            Panels.
        ax : matplotlib Axes or sequence of these, default=None
            Where to draw, one for each panel; None makes a new figure.
        **kwargs : object
            Properties of the points, for `matplotlib.axes.Axes.plot`.

        Returns
        -------
        self : MixedResidualsDisplay
            With the attributes of the drawing.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If `ax` is something else.
        ValueError
            If `kind` is unknown, or the number of axes is wrong.
        """
        kinds = [kind] if isinstance(kind, str) else list(kind)
        for own in kinds:
            if own not in _KINDS:
                raise ValueError(f"kind must be of {', '.join(map(repr, _KINDS))}; got {own!r}.")
        if not kinds:
            raise ValueError(f"kind is empty: name one or more of {', '.join(map(repr, _KINDS))}.")
        self.axes_ = panels_or_new(ax, len(kinds), 4.2 if len(kinds) > 1 else 4.8, 4.0)
        self.figure_ = self.axes_[0].figure
        self.points_: list[Any] = []
        self.legend_ = None
        draw = {
            "fitted": self._draw_fitted,
            "quantiles": self._draw_quantiles,
            "random_effects": self._draw_random_effects,
        }
        for own, panel in zip(kinds, self.axes_, strict=True):
            draw[own](panel, kwargs)
        return self

    def _draw_fitted(self, ax: Any, options: dict[str, Any]) -> None:
        ax.axhline(0.0, **LINE)
        self.points_ += _points(ax, self.fitted, self.residuals, options)
        ax.set(xlabel="fitted value", ylabel="residual")

    def _draw_quantiles(self, ax: Any, options: dict[str, Any]) -> None:
        center, spread = float(np.mean(self.residuals)), float(np.std(self.residuals))
        ax.axline((0.0, center), slope=spread, **LINE)
        values = np.sort(self.residuals)
        self.points_ += _points(ax, normal_scores(len(values)), values, options)
        ax.set(xlabel="normal quantile", ylabel="residual")

    def _draw_random_effects(self, ax: Any, options: dict[str, Any]) -> None:
        shown = {name: np.sort(own) for name, own in self.standardized_effects.items() if len(own)}
        ax.set(xlabel="normal quantile", ylabel="standardized random effect")
        if not shown:
            message = "All variances of random effects are 0."
            ax.text(0.5, 0.5, message, transform=ax.transAxes, ha="center", color="0.4")
            ax.set(xticks=[], yticks=[])
            return
        ax.axline((0.0, 0.0), slope=1.0, **LINE)
        for style, (name, values) in zip(component_styles(len(shown)), shown.items(), strict=True):
            own = {"label": name, "color": style.color, "marker": style.marker, **options}
            self.points_ += _points(ax, normal_scores(len(values)), values, own)
        if len(shown) > 1:
            self.legend_ = ax.legend(fontsize="small")
        else:
            ax.set_title(next(iter(shown)), fontsize="medium")


def normal_scores(n: int) -> Array:
    """Nearly the expected order statistics of n standard normal numbers (Blom, 1958)."""
    found: Array = norm.ppf((np.arange(1, n + 1) - 0.375) / (n + 0.25))
    return found


def _standardized(model: Any) -> dict[str, Array]:
    """Random effects divided by the standard deviations of their predictions under the model.

    These are the random effects themselves less their errors. Effects that are known to be 0, or
    about which no row says anything, are left out.
    """
    found = {}
    for term in model._recipe.terms:
        effects = model.random_effects_[term.name]
        prior = np.diagonal(model.variance_components_[term.name])
        errors = np.diagonal(effects.variances, axis1=1, axis2=2)
        scale = np.ones(len(errors)) if term.kinship is None else term.kinship.diagonal()
        for j, column in enumerate(effects.columns):
            whole = scale * prior[j]
            spread = whole - errors[:, j]
            known = spread > _UNSEEN * whole
            name = f"{term.name}: {column}"
            found[name] = effects.effects[known, j] / np.sqrt(spread[known])
    return found


def _points(ax: Any, x: Array, y: Array, options: dict[str, Any]) -> list[Any]:
    size = 2.0 if len(x) >= _MANY else 4.0
    style = {"color": PALETTE[0], "marker": "o", "markersize": size, "alpha": 0.7, **options}
    lines: list[Any] = ax.plot(x, y, **{"linestyle": "none", "markeredgewidth": 0.0, **style})
    return lines
