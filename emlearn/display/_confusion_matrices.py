"""Confusion matrices of raters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from emlearn.display._axes import panels_or_new
from emlearn.display._steps import model_of

Array = NDArray[Any]

# More raters than these do not fit beside each other.
_MOST_RATERS = 8
# More classes than these have cells too small for numbers.
_MOST_NUMBERS = 10
# Numbers in cells darker than this are white.
_DARK = 0.5
_WIDTH, _HEIGHT = 2.5, 3.2


class ConfusionMatricesDisplay:
    """Confusion matrices of raters side by side: classes are rows, labels are columns.

    Use `from_estimator` to make one.

    Parameters
    ----------
    matrices : ndarray of shape (n_raters, n_classes, n_classes)
        Probabilities of the labels (last axis) given the class.
    raters : sequence
        Names of the raters.
    classes : sequence
        Names of the classes.

    Attributes
    ----------
    axes_ : list of matplotlib Axes
        The panels.
    figure_ : matplotlib Figure
        Their figure.
    images_ : list of matplotlib AxesImage
        The matrices.
    texts_ : list of matplotlib Text
        Probabilities as numbers, in percent; empty for more than ten classes.

    See Also
    --------
    emlearn.DawidSkeneEM : The estimator of the matrices.
    """

    def __init__(self, matrices: Array, raters: Sequence[Any], classes: Sequence[Any]):
        self.matrices = matrices
        self.raters = raters
        self.classes = classes

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, raters: Any = None, ax: Any = None, **kwargs: Any
    ) -> Self:
        """Draw the matrices of a fitted estimator.

        Parameters
        ----------
        estimator : DawidSkeneEM
            Fitted estimator, a Pipeline that ends with one, or a search over one.
        raters : sequence, default=None
            Names of the raters to draw, as in `raters_`; None draws those of the most labels, at
            most eight, in the order of `raters_`.
        ax : matplotlib Axes or sequence of these, default=None
            Where to draw, one for each rater; None makes a new figure.
        **kwargs : object
            Properties of the images, for `matplotlib.axes.Axes.imshow`.

        Returns
        -------
        display : ConfusionMatricesDisplay
            The plot.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If the estimator has no confusion matrices, or `ax` is something else.
        ValueError
            If there is no such rater, or the number of axes is wrong.

        Examples
        --------
        >>> from emlearn import DawidSkeneEM
        >>> from emlearn.datasets import load_anesthetists
        >>> from emlearn.display import ConfusionMatricesDisplay
        >>> model = DawidSkeneEM(layout="long").fit(load_anesthetists().data)
        >>> display = ConfusionMatricesDisplay.from_estimator(model, raters=[1, 2])
        >>> [ax.get_title() for ax in display.axes_]
        ['1', '2']
        """
        check_is_fitted(estimator)
        _, model = model_of(estimator)
        if not hasattr(model, "confusion_matrices_"):
            raise TypeError(
                f"{cls.__name__} draws a DawidSkeneEM; got {type(model).__name__}, which has no "
                "confusion matrices."
            )
        names = model.raters_.tolist()
        if raters is None:
            chosen = sorted(np.argsort(-model.n_labels_, kind="stable")[:_MOST_RATERS].tolist())
        else:
            wanted = [raters] if isinstance(raters, str) or np.ndim(raters) == 0 else list(raters)
            for name in wanted:
                if name not in names:
                    shown = ", ".join(map(repr, names[:8])) + ", ..." * (len(names) > 8)
                    raise ValueError(f"There is no rater {name!r}; raters are {shown}.")
            if not wanted:
                raise ValueError("raters is empty: name one rater or more, or pass None.")
            chosen = [names.index(name) for name in wanted]
        display = cls(
            model.confusion_matrices_[chosen], [names[r] for r in chosen], model.classes_.tolist()
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, *, ax: Any = None, **kwargs: Any) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes or sequence of these, default=None
            Where to draw, one for each rater; None makes a new figure.
        **kwargs : object
            Properties of the images, for `matplotlib.axes.Axes.imshow`.

        Returns
        -------
        self : ConfusionMatricesDisplay
            With the attributes of the drawing.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If `ax` is something else.
        ValueError
            If the number of axes is wrong.
        """
        self.axes_ = panels_or_new(ax, len(self.raters), _WIDTH, _HEIGHT)
        self.figure_ = self.axes_[0].figure
        self.images_, self.texts_ = [], []
        options = {"cmap": "Blues", "vmin": 0.0, "vmax": 1.0, **kwargs}
        place = np.arange(len(self.classes))
        names = [str(name) for name in self.classes]
        for panel, name, matrix in zip(self.axes_, self.raters, self.matrices, strict=True):
            self.images_.append(panel.imshow(matrix, **options))
            panel.set(title=str(name), xlabel="label")
            if len(names) <= _MOST_NUMBERS:
                panel.set_xticks(place, names)
                panel.set_yticks(place, names)
                self.texts_ += _numbers(panel, matrix)
        self.axes_[0].set_ylabel("class")
        return self


def _numbers(panel: Any, matrix: Array) -> list[Any]:
    """Probabilities in percent, white where cells are dark."""
    return [
        panel.text(
            label,
            own,
            f"{100 * matrix[own, label]:.0f}",
            ha="center",
            va="center",
            fontsize="small",
            color="white" if matrix[own, label] > _DARK else "black",
        )
        for own in range(len(matrix))
        for label in range(len(matrix))
    ]
