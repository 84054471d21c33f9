"""Match weights of record linkage: of one pair, and of all levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from emlearn.display._axes import axes_or_new
from emlearn.display._style import PALETTE

Array = NDArray[np.float64]

_FOR, _AGAINST, _TOTAL = PALETTE[0], PALETTE[1], "0.4"

# Room for the numbers beside the bars, as a part of their range.
_ROOM = 0.12


class MatchWeightDisplay:
    """Match weights as bars: what the weight of a pair is made of, or the weights of all levels.

    Use `from_pair` or `from_estimator` to make one. A weight of 1 doubles the odds that two
    records are a match, and -1 halves them.

    Parameters
    ----------
    names : sequence of str
        Name of each bar, from the top.
    weights : ndarray of shape (n_bars,)
        Match weights.
    total : bool, default=False
        Whether bars start where the last one ended, and a last one shows the sum: a waterfall.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.
    bars_ : matplotlib BarContainer
        The bars.
    """

    def __init__(self, names: Sequence[str], weights: ArrayLike, total: bool = False):
        self.names = list(names)
        self.weights = np.asarray(weights, np.float64)
        self.total = total

    @classmethod
    def from_pair(
        cls, estimator: Any, X: Any, *, frequency: Any = None, ax: Any = None, **kwargs: Any
    ) -> Self:
        """Draw what the match weight of one pair is made of.

        Parameters
        ----------
        estimator : RecordLinkageEM
            A fitted estimator.
        X : array-like of shape (n_comparisons,) or (1, n_comparisons), or RecordPairs
            The comparison vector of one pair.
        frequency : array-like of shape (n_comparisons,) or (1, n_comparisons), default=None
            See `emlearn.RecordLinkageEM.decision_function`.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : object
            Properties of the bars, for `matplotlib.axes.Axes.barh`.

        Returns
        -------
        display : MatchWeightDisplay
            The plot.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If it is no `RecordLinkageEM`, or `ax` is something else.
        ValueError
            If there is not exactly one pair, or its levels are invalid.

        Examples
        --------
        >>> from emlearn import RecordLinkageEM
        >>> from emlearn.display import MatchWeightDisplay
        >>> X, counts = [[0, 0], [0, 1], [1, 0], [1, 1]], [900, 60, 50, 90]
        >>> linkage = RecordLinkageEM(fixed={"prevalence": 0.08}).fit(X, sample_weight=counts)
        >>> display = MatchWeightDisplay.from_pair(linkage, [1, 0])
        >>> display.names
        ['prevalence', '0', '1']
        """
        _require(estimator)
        if not hasattr(X, "level_names"):
            X = X.to_frame().T if hasattr(X, "to_frame") and not hasattr(X, "columns") else X
            X = np.atleast_2d(np.asarray(X)) if not hasattr(X, "columns") else X
        if frequency is not None:
            frequency = np.atleast_2d(np.asarray(frequency, np.float64))
        if len(X) != 1:
            raise ValueError(f"The weights of one pair can be drawn; X has {len(X)}.")
        names, terms = estimator.weight_terms(X, frequency)
        return cls(names, terms[0], total=True).plot(ax=ax, **kwargs)

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None, **kwargs: Any) -> Self:
        """Draw the match weights of all levels of all comparisons.

        Parameters
        ----------
        estimator : RecordLinkageEM
            A fitted estimator.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : object
            Properties of the bars, for `matplotlib.axes.Axes.barh`.

        Returns
        -------
        display : MatchWeightDisplay
            The plot.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If it is no `RecordLinkageEM`, or `ax` is something else.
        """
        _require(estimator)
        known = getattr(estimator, "feature_names_in_", None)
        each = range(estimator.n_features_in_)
        labels = [str(j) if known is None else str(known[j]) for j in each]
        names = [
            f"{label}: {level}"
            for label, own in zip(labels, estimator.match_weights_, strict=True)
            for level in range(len(own) - 1, -1, -1)
        ]
        weights = np.concatenate([own[::-1] for own in estimator.match_weights_])
        return cls(names, weights).plot(ax=ax, **kwargs)

    def plot(self, *, ax: Any = None, **kwargs: Any) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        **kwargs : object
            Properties of the bars, for `matplotlib.axes.Axes.barh`.

        Returns
        -------
        self : MatchWeightDisplay
            With the attributes of the drawing.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If `ax` is something else.
        """
        weights, names = self.weights, list(self.names)
        start = np.zeros(len(weights))
        colors = [_FOR if own >= 0.0 else _AGAINST for own in weights]
        if self.total:
            end = np.cumsum(weights)
            start = np.append(np.concatenate([[0.0], end[:-1]]), 0.0)
            weights = np.append(weights, end[-1])
            names.append("match weight")
            colors.append(_TOTAL)
        new = ax is None
        ax = axes_or_new(ax)
        if new:
            ax.figure.set_size_inches(6.4, max(2.0, 0.8 + 0.32 * len(names)))
        place = np.arange(len(names))
        self.bars_ = ax.barh(place, weights, left=start, **{"color": colors, **kwargs})
        if self.total:
            for i in place[:-2]:
                edge = start[i + 1]
                ax.plot([edge, edge], [i, i + 1], color="0.6", linewidth=0.8, zorder=0)
        self._label(ax, place, weights, start)
        ax.axvline(0.0, color="0.2", linewidth=0.8)
        ax.set_yticks(place, names)
        ax.invert_yaxis()
        label = "match weight (log2 of the ratio of chances)"
        ax.set_xlabel("match weight (log2 of the odds of a match)" if self.total else label)
        if new:
            ax.figure.set_layout_engine("constrained")
        self.ax_ = ax
        self.figure_ = ax.figure
        return self

    @staticmethod
    def _label(ax: Any, place: NDArray[np.intp], weights: Array, start: Array) -> None:
        """Write each weight beside its bar, on the side away from its start."""
        for i, own, begin in zip(place, weights, start, strict=True):
            ax.annotate(
                f"{own:+.1f}",
                (begin + own, i),
                xytext=(3 if own >= 0.0 else -3, 0),
                textcoords="offset points",
                va="center",
                ha="left" if own >= 0.0 else "right",
                fontsize=8,
            )
        ends = np.concatenate([start, start + weights])
        low, high = min(float(ends.min()), 0.0), max(float(ends.max()), 0.0)
        room = _ROOM * (high - low or 1.0)
        ax.set_xlim(low - room, high + room)


def _require(estimator: Any) -> None:
    check_is_fitted(estimator)
    if not hasattr(estimator, "weight_terms"):
        raise TypeError(
            f"MatchWeightDisplay draws a RecordLinkageEM, not a {type(estimator).__name__}."
        )
