"""How the objective of a run approached its limit."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from emlearn.display._axes import axes_or_new


class ConvergenceDisplay:
    """What the objective still had to gain, by E-steps, on a logarithmic scale.

    Use `from_estimator` to make one. Straight lines are linear convergence, and their
    slope is the rate.

    Parameters
    ----------
    objective : ndarray of shape (n_iterations,)
        Objective at the start and after each iteration.
    e_steps : ndarray of shape (n_iterations,)
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
        cls, estimator: Any, *, limit: float | None = None, name: str | None = None, ax: Any = None
    ) -> Self:
        """Draw the history of a fitted estimator.

        Parameters
        ----------
        estimator : object
            Fitted, with the attribute `history_`.
        limit : float, default=None
            The limit of the objective, from a longer run; None takes the last value.
        name : str, default=None
            Label of the curve.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        display : ConvergenceDisplay
            The plot.

        Examples
        --------
        >>> from emlearn import GaussianMixtureEM
        >>> from emlearn.datasets import load_galaxies
        >>> from emlearn.display import ConvergenceDisplay
        >>> X = load_galaxies().data
        >>> mixture = GaussianMixtureEM(n_components=3, random_state=0).fit(X)
        >>> display = ConvergenceDisplay.from_estimator(mixture)
        >>> display.ax_.get_yscale()
        'log'
        """
        check_is_fitted(estimator)
        history = estimator.history_
        return cls(history["objective"], history["e_steps"], limit).plot(name=name, ax=ax)

    def plot(self, *, name: str | None = None, ax: Any = None) -> Self:
        """Draw.

        Parameters
        ----------
        name : str, default=None
            Label of the curve.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        self : ConvergenceDisplay
            With the attributes of the drawing.
        """
        ax = axes_or_new(ax)
        limit = self.objective[-1] if self.limit is None else self.limit
        remaining = limit - self.objective
        shown = remaining > 0.0
        (self.line_,) = ax.plot(self.e_steps[shown], remaining[shown], marker=".", label=name)
        # Where nothing is left to draw on a logarithmic scale, matplotlib warns of the limits.
        if np.any(shown):
            ax.set_yscale("log")
        ax.set(xlabel="E-steps", ylabel="log-likelihood still to be gained (nats)")
        self.ax_ = ax
        self.figure_ = ax.figure
        return self
