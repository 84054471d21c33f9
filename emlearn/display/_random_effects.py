"""Random effects of mixed models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.utils.validation import check_is_fitted

from emlearn.display._axes import panels_or_new
from emlearn.display._steps import model_of
from emlearn.display._style import PALETTE

Array = NDArray[Any]

# More levels than these are drawn without their names.
_MOST_NAMED = 60
# Height of a named level, of what is around the levels, and of the lowest and highest panel, in
# inches.
_LEVEL, _AROUND, _LOWEST, _HIGHEST = 0.16, 1.1, 4.0, 10.0
#: Lines of what the model expects.
LINE = {"color": "0.6", "linewidth": 0.8, "zorder": 1.0}


class RandomEffectsDisplay:
    """Predicted random effects with intervals, sorted: a caterpillar plot.

    There is one panel for each column of each term. Levels are in the order of the first column
    in all panels of a term; more than 60 have no names, and are sorted in each panel. Use
    `from_estimator` to make one.

    Parameters
    ----------
    random_effects : dict of str to RandomEffects
        The predictions by term.
    confidence : float, default=0.95
        Level of the intervals.

    Attributes
    ----------
    axes_ : list of matplotlib Axes
        The panels.
    figure_ : matplotlib Figure
        Their figure.
    intervals_ : list of matplotlib ErrorbarContainer
        Effects and intervals of each panel.

    See Also
    --------
    MixedResidualsDisplay : Whether residuals and random effects are normal.
    """

    def __init__(self, random_effects: Mapping[str, Any], confidence: float = 0.95):
        self.random_effects = random_effects
        self.confidence = confidence

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        terms: str | Sequence[str] | None = None,
        confidence: float = 0.95,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the random effects of a fitted estimator.

        Parameters
        ----------
        estimator : LinearMixedModelEM
            Fitted estimator, a Pipeline that ends with one, or a search over one.
        terms : str or list of str, default=None
            Names of the terms to draw; None draws all.
        confidence : float, default=0.95
            Level of the intervals: the predicted effect plus and minus its standard errors.
        ax : matplotlib Axes or sequence of these, default=None
            Where to draw, one for each panel; None makes a new figure.
        **kwargs : object
            Properties of points and intervals, for `matplotlib.axes.Axes.errorbar`.

        Returns
        -------
        display : RandomEffectsDisplay
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
            If there is no such term, or none at all, or `confidence` or the number of axes is
            wrong.

        Examples
        --------
        >>> from emlearn import LinearMixedModelEM
        >>> from emlearn.datasets import load_sleepstudy
        >>> from emlearn.display import RandomEffectsDisplay
        >>> X, y = load_sleepstudy(return_X_y=True, as_frame=True)
        >>> model = LinearMixedModelEM("Subject", random_slopes=["Days"]).fit(X, y)
        >>> display = RandomEffectsDisplay.from_estimator(model)
        >>> [ax.get_title() for ax in display.axes_]
        ['Subject: intercept', 'Subject: Days']
        """
        _, model = mixed_model(estimator, cls.__name__)
        found = model.random_effects_
        chosen = [terms] if isinstance(terms, str) else list(found if terms is None else terms)
        for name in chosen:
            if name not in found:
                raise ValueError(
                    f"There is no term {name!r}; terms are {', '.join(found) or 'none'}."
                )
        return cls({name: found[name] for name in chosen}, confidence).plot(ax=ax, **kwargs)

    def plot(self, *, ax: Any = None, **kwargs: Any) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes or sequence of these, default=None
            Where to draw, one for each panel; None makes a new figure.
        **kwargs : object
            Properties of points and intervals, for `matplotlib.axes.Axes.errorbar`.

        Returns
        -------
        self : RandomEffectsDisplay
            With the attributes of the drawing.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If `ax` is something else.
        ValueError
            If there are no terms, or `confidence` or the number of axes is wrong.
        """
        if not (isinstance(self.confidence, Real) and 0.0 < self.confidence < 1.0):
            raise ValueError(f"confidence must be between 0 and 1, got {self.confidence!r}.")
        if not self.random_effects:
            raise ValueError("There are no random effects to draw.")
        quantile = float(norm.ppf(0.5 + self.confidence / 2.0))
        n_panels = sum(len(effects.columns) for effects in self.random_effects.values())
        named = [len(effects.levels) for effects in self.random_effects.values()]
        most = max((n for n in named if n <= _MOST_NAMED), default=0)
        height = float(np.clip(_AROUND + _LEVEL * most, _LOWEST, _HIGHEST))
        self.axes_ = panels_or_new(ax, n_panels, 3.4 if n_panels > 1 else 4.8, height)
        self.figure_ = self.axes_[0].figure
        panels = iter(self.axes_)
        self.intervals_ = [
            interval
            for name, effects in self.random_effects.items()
            for interval in _draw_term(panels, name, effects, quantile, kwargs)
        ]
        return self


def mixed_model(estimator: Any, caller: str) -> tuple[Any, Any]:
    """The steps before a mixed model, and the model.

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    TypeError
        If it is no mixed model.
    """
    from emlearn.mixed import LinearMixedModelEM

    before, model = model_of(estimator)
    if not isinstance(model, LinearMixedModelEM):
        raise TypeError(f"{caller} takes a LinearMixedModelEM; got {type(model).__name__}.")
    check_is_fitted(model, "variance_components_")
    return before, model


def _draw_term(
    panels: Any, name: str, effects: Any, quantile: float, options: dict[str, Any]
) -> list[Any]:
    """The next panels, one for each column."""
    n_levels = len(effects.levels)
    few = n_levels <= _MOST_NAMED
    place = np.arange(n_levels)
    style = {"fmt": ".", "color": PALETTE[0], "markersize": 6.0, "elinewidth": 1.2}
    if not few:
        style |= {"markersize": 2.0, "elinewidth": 0.5, "ecolor": "0.8"}
    found = []
    for j, column in enumerate(effects.columns):
        ax = next(panels)
        order = np.argsort(effects.effects[:, 0 if few else j], kind="stable")
        half = quantile * effects.standard_errors[order, j]
        ax.axvline(0.0, **(LINE if few else {**LINE, "color": "0.3", "zorder": 2.5}))
        found.append(
            ax.errorbar(effects.effects[order, j], place, xerr=half, **{**style, **options})
        )
        zero = not effects.standard_errors[:, j].any()
        ax.set_title(f"{name}: {column}" + " (variance 0)" * zero, fontsize="medium")
        ax.set(xlabel="random effect", ylim=(-0.7, n_levels - 0.3))
        ax.set_yticks(place if few and j == 0 else [])
        if few and j == 0:
            ax.set_yticklabels([str(level) for level in effects.levels[order]], fontsize="small")
        elif j == 0:
            ax.set_ylabel(f"{n_levels} levels")
    return found
