"""Curves of items: expected scores, probabilities of categories, and information."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from emlearn.display._axes import axes_or_new
from emlearn.display._columns import column_names
from emlearn.display._steps import model_of
from emlearn.display._style import component_styles

Array = NDArray[Any]

# So many curves can still be told apart by a legend; more are drawn in gray, without one.
_MOST_NAMED = 12
_GRAY = {"color": "0.6", "linewidth": 0.8}


class ItemCurvesDisplay:
    """Characteristic curves of items, along the trait.

    Of one item with more than two categories, the probabilities of the categories are drawn;
    otherwise the expected score of each item, which for items of two categories is the
    probability of the second. Use `from_estimator` to make one.

    Parameters
    ----------
    theta : ndarray of shape (n_points,)
        Values of the trait.
    curves : ndarray of shape (n_points, n_curves)
        The curves.
    names : sequence of str
        Names of the curves.
    ylabel : str
        What the curves are.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.
    lines_ : list of matplotlib Line2D
        The curves.
    legend_ : matplotlib Legend or None
        Their names; None for more than twelve curves.

    See Also
    --------
    ItemInformationDisplay : Where on the trait the items inform.
    """

    def __init__(self, theta: Array, curves: Array, names: Any, ylabel: str):
        self.theta = theta
        self.curves = curves
        self.names = names
        self.ylabel = ylabel

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        items: Any = None,
        theta: Any = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the curves of a fitted estimator.

        Parameters
        ----------
        estimator : ItemResponseEM
            Fitted estimator with one trait, or a search over one.
        items : int, str, or sequence of these, default=None
            Items to draw, by name or position; None draws all.
        theta : array-like of shape (n_points,), default=None
            Values of the trait; None takes 201 from -4 to 4.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : object
            Properties of the lines, for `matplotlib.axes.Axes.plot`.

        Returns
        -------
        display : ItemCurvesDisplay
            The plot.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If an item is neither a name nor a position, or `ax` is something else.
        ValueError
            If there is no such item, or the estimator has more than one trait.

        Examples
        --------
        >>> import numpy as np
        >>> from emlearn import ItemResponseEM
        >>> from emlearn.display import ItemCurvesDisplay
        >>> rng = np.random.default_rng(0)
        >>> trait, difficulty = rng.normal(size=(500, 1)), np.linspace(-2, 2, 5)
        >>> X = (rng.logistic(size=(500, 5)) < trait - difficulty).astype(float)
        >>> display = ItemCurvesDisplay.from_estimator(ItemResponseEM("1pl").fit(X))
        >>> len(display.lines_)
        5
        """
        points, fitted, names = _read(estimator, theta, "ItemCurvesDisplay")
        chosen = find_items(items, names)
        p = fitted.curves.probabilities(points)
        if len(chosen) == 1 and fitted.curves.top[chosen[0]] > 1:
            (item,) = chosen
            titles = [f"category {k}" for k in range(fitted.curves.top[item] + 1)]
            curves, ylabel = p[item, : len(titles)].T, f"probability ({names[item]})"
        else:
            curves = fitted.curves.expected_scores(p)[0][chosen].T
            titles = [str(names[item]) for item in chosen]
            binary = fitted.curves.n_categories == 2
            ylabel = "probability" if binary else "expected score"
        return cls(points, curves, titles, ylabel).plot(ax=ax, **kwargs)

    def plot(self, *, ax: Any = None, **kwargs: Any) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : object
            Properties of the lines, for `matplotlib.axes.Axes.plot`.

        Returns
        -------
        self : ItemCurvesDisplay
            With the attributes of the drawing.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If `ax` is something else.
        """
        ax = axes_or_new(ax)
        self.lines_ = _draw(ax, self.theta, self.curves, self.names, kwargs)
        ax.set(xlabel="trait", ylabel=self.ylabel)
        few = len(self.names) <= _MOST_NAMED
        self.legend_ = ax.legend(fontsize="small") if few else None
        self.ax_, self.figure_ = ax, ax.figure
        return self


class ItemInformationDisplay:
    """Information of items and of the test about the trait, and the standard error.

    Use `from_estimator` to make one.

    Parameters
    ----------
    theta : ndarray of shape (n_points,)
        Values of the trait.
    information : ndarray of shape (n_points, n_items)
        Information of the items.
    names : sequence of str
        Names of the items.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the information was drawn.
    error_ax_ : matplotlib Axes or None
        Axes of the standard error, at the right; None if it was not asked for.
    figure_ : matplotlib Figure
        The figure of `ax_`.
    lines_ : list of matplotlib Line2D
        Information of the items.
    total_line_ : matplotlib Line2D
        Their sum.
    error_line_ : matplotlib Line2D or None
        The standard error of a maximum-likelihood score: one over the square root of the sum.
    legend_ : matplotlib Legend
        The names.

    See Also
    --------
    ItemCurvesDisplay : The curves of the answers themselves.
    """

    def __init__(self, theta: Array, information: Array, names: Any):
        self.theta = theta
        self.information = information
        self.names = names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        items: Any = None,
        theta: Any = None,
        standard_error: bool = True,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the information of a fitted estimator.

        Parameters
        ----------
        estimator : ItemResponseEM
            Fitted estimator with one trait, or a search over one.
        items : int, str, or sequence of these, default=None
            Items of the test, by name or position; None takes all.
        theta : array-like of shape (n_points,), default=None
            Values of the trait; None takes 201 from -4 to 4.
        standard_error : bool, default=True
            Whether to draw the standard error, on axes at the right.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : object
            Properties of the lines of the items, for `matplotlib.axes.Axes.plot`.

        Returns
        -------
        display : ItemInformationDisplay
            The plot.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If an item is neither a name nor a position, or `ax` is something else.
        ValueError
            If there is no such item, or the estimator has more than one trait.

        Examples
        --------
        >>> import numpy as np
        >>> from emlearn import ItemResponseEM
        >>> from emlearn.display import ItemInformationDisplay
        >>> rng = np.random.default_rng(0)
        >>> trait, difficulty = rng.normal(size=(500, 1)), np.linspace(-2, 2, 5)
        >>> X = (rng.logistic(size=(500, 5)) < trait - difficulty).astype(float)
        >>> display = ItemInformationDisplay.from_estimator(ItemResponseEM("1pl").fit(X))
        >>> display.error_ax_.get_ylabel()
        'standard error'
        """
        points, fitted, names = _read(estimator, theta, "ItemInformationDisplay")
        chosen = find_items(items, names)
        information = fitted.curves.information(points)[chosen].T
        display = cls(points, information, [str(names[item]) for item in chosen])
        return display.plot(standard_error=standard_error, ax=ax, **kwargs)

    def plot(self, *, standard_error: bool = True, ax: Any = None, **kwargs: Any) -> Self:
        """Draw.

        Parameters
        ----------
        standard_error : bool, default=True
            Whether to draw the standard error, on axes at the right.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : object
            Properties of the lines of the items, for `matplotlib.axes.Axes.plot`.

        Returns
        -------
        self : ItemInformationDisplay
            With the attributes of the drawing.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If `ax` is something else.
        """
        ax = axes_or_new(ax)
        self.lines_ = _draw(ax, self.theta, self.information, self.names, kwargs)
        total = self.information.sum(axis=1)
        style = {"color": "black", "linewidth": 2.0}
        (self.total_line_,) = ax.plot(self.theta, total, label="all items", **style)
        ax.set(xlabel="trait", ylabel="information")
        ax.set_ylim(bottom=0.0)
        self.error_ax_, self.error_line_ = None, None
        shown = [self.total_line_]
        if len(self.names) <= _MOST_NAMED:
            shown = [*self.lines_, *shown]
        if standard_error:
            self.error_ax_ = ax.twinx()
            informed = total > 1e-12
            error = np.full(total.shape, np.nan)
            error[informed] = 1.0 / np.sqrt(total[informed])
            (self.error_line_,) = self.error_ax_.plot(
                self.theta, error, ":", color="black", label="standard error"
            )
            self.error_ax_.set_ylabel("standard error")
            self.error_ax_.set_ylim(bottom=0.0)
            shown.append(self.error_line_)
        # The axes at the right are drawn last, and over a legend of the others.
        above = ax if self.error_ax_ is None else self.error_ax_
        self.legend_ = above.legend(handles=shown, fontsize="small")
        self.ax_, self.figure_ = ax, ax.figure
        return self


def find_items(items: Any, names: list[Any]) -> list[int]:
    """Positions of the items to draw.

    Parameters
    ----------
    items : int, str, sequence of these, or None
        What the user asks for; None is all.
    names : list of str
        Names of all items.

    Raises
    ------
    TypeError
        If an item is neither a name nor a position.
    ValueError
        If there is no such item, or none is asked for.
    """
    if items is None:
        return list(range(len(names)))
    chosen = [items] if isinstance(items, str) or np.ndim(items) == 0 else list(items)
    if not chosen:
        raise ValueError("items is empty: name one item or more, or pass None for all.")
    return [_position(item, names) for item in chosen]


def _position(item: Any, names: list[Any]) -> int:
    if isinstance(item, str):
        if item not in names:
            raise ValueError(f"There is no item {item!r}; items are {', '.join(map(str, names))}.")
        return names.index(item)
    if not isinstance(item, (int, np.integer)) or isinstance(item, bool):
        raise TypeError(f"items must be names (str) or positions (int); got {item!r}.")
    if not -len(names) <= item < len(names):
        raise ValueError(f"There are {len(names)} items, and none at position {item}.")
    return int(item) % len(names)


def _read(estimator: Any, theta: Any, caller: str) -> tuple[Array, Any, list[Any]]:
    from emlearn.irt._fitted import read_fitted
    from emlearn.irt._information import read_points

    check_is_fitted(estimator)
    _, model = model_of(estimator)
    fitted = read_fitted(model, caller)
    points = np.linspace(-4.0, 4.0, 201) if theta is None else read_points(theta)
    names = column_names(None, model, fitted.curves.n_items)
    if not hasattr(model, "feature_names_in_"):
        names = [f"item {item}" for item in range(len(names))]
    return points, fitted, names


def _draw(ax: Any, theta: Array, curves: Array, names: Any, options: dict[str, Any]) -> list[Any]:
    lines = []
    few = len(names) <= _MOST_NAMED
    styles = component_styles(len(names)) if few else []
    for k, name in enumerate(names):
        style: dict[str, Any] = dict(_GRAY)
        if few:
            style = {"color": styles[k].color, "linestyle": styles[k].linestyle}
        lines += ax.plot(theta, curves[:, k], **{"label": str(name), **style, **options})
    return lines
