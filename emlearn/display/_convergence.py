"""How the objective of a run approached its limit."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from emlearn.display._axes import axes_or_new
from emlearn.display._steps import model_of
from emlearn.display._style import curve_style


class ConvergenceDisplay:
    """What the objective still had to gain, by E-steps, on a logarithmic scale.

    Use `from_estimator` to make one. Straight lines are linear convergence, and their
    slope is the rate.

    Parameters
    ----------
    objective : ndarray of shape (n_iterations + 1,)
        Objective at the start and after each iteration, in nats.
    e_steps : ndarray of shape (n_iterations + 1,)
        E-steps spent until then.
    limit : float, default=None
        The limit of the objective; None takes the last value and leaves it out.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.
    line_ : matplotlib Line2D
        The curve.
    """

    def __init__(self, objective: NDArray[Any], e_steps: NDArray[Any], limit: float | None = None):
        self.objective = objective
        self.e_steps = e_steps
        self.limit = limit

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        limit: float | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the history of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            Any fitted estimator of this package, a Pipeline that ends with one, or a search
            over one.
        limit : float, default=None
            The limit of the objective, from a longer run; None takes the last value.
        name : str, default=None
            Name of the curve in the legend; None is that of the estimator's class.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : object
            Properties of the line, for `matplotlib.axes.Axes.plot`.

        Returns
        -------
        display : ConvergenceDisplay
            The plot.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If the estimator keeps no history, or `ax` is something else.
        ValueError
            If its fit took no iterations, or the limit is below all of the history.

        Examples
        --------
        >>> from emlearn import GaussianMixtureEM
        >>> from emlearn.datasets import load_old_faithful
        >>> from emlearn.display import ConvergenceDisplay
        >>> X = load_old_faithful().data
        >>> mixture = GaussianMixtureEM(n_components=3, random_state=0).fit(X)
        >>> display = ConvergenceDisplay.from_estimator(mixture)
        >>> display.ax_.get_yscale()
        'log'
        """
        check_is_fitted(estimator)
        _, model = model_of(estimator)
        history = getattr(model, "history_", None)
        if history is None:
            raise TypeError(
                "ConvergenceDisplay draws the history_ of an estimator of this package after "
                f"`fit`; this {type(model).__name__} has none."
            )
        display = cls(history["objective"], history["e_steps"], limit)
        return display.plot(name=name or type(model).__name__, ax=ax, **kwargs)

    def plot(self, *, name: str | None = None, ax: Any = None, **kwargs: Any) -> Self:
        """Draw.

        Parameters
        ----------
        name : str, default=None
            Name of the curve in the legend; None leaves it out.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : object
            Properties of the line, for `matplotlib.axes.Axes.plot`.

        Returns
        -------
        self : ConvergenceDisplay
            With the attributes of the drawing.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If `ax` is something else.
        ValueError
            If there are no iterations, or the limit is below all of them.
        """
        if len(self.objective) == 0:
            raise ValueError("There are no iterations to draw: the fit needed none, or max_iter=0.")
        limit = float(self.objective[-1] if self.limit is None else self.limit)
        remaining = limit - self.objective
        shown = (remaining > 0.0) & np.isfinite(remaining)
        if self.limit is not None and not np.any(shown):
            raise ValueError(
                f"limit={self.limit!r} leaves nothing to be gained: the objective was never "
                f"below {float(np.min(self.objective))!r}."
            )
        ax = axes_or_new(ax)
        style = {"marker": ".", **curve_style(len(ax.lines)), **kwargs}
        (self.line_,) = ax.plot(self.e_steps[shown], remaining[shown], label=name, **style)
        # Where nothing is left to draw on a logarithmic scale, matplotlib warns of the limits.
        if np.any(shown):
            ax.set_yscale("log")
        ax.set(
            xlabel="E-steps (passes over the rows)", ylabel="objective still to be gained (nats)"
        )
        if name is not None:
            ax.legend()
        self.ax_ = ax
        self.figure_ = ax.figure
        return self
