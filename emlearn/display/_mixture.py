"""Rows and the Gaussian components they come from."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from emlearn.display._axes import axes_or_new
from emlearn.display._columns import column_names, find_columns, read_numbers
from emlearn.display._components import components_of, most_probable
from emlearn.display._drawing import columns_beside, draw_curves, draw_ellipses, draw_legend
from emlearn.display._steps import model_of, steps_of, undo
from emlearn.display._style import component_styles

Array = NDArray[Any]

# Standard deviations, relative to that of the rows, that steps leave by rounding.
_ROUNDING = 1e-6


class MixtureDisplay:
    """Rows colored by component, with the Gaussian components that a model has for them.

    Two features are drawn as points, with ellipses that hold given probabilities of each
    component; one feature as a histogram, with the density of each component. Use
    `from_estimator` to make one.

    Parameters
    ----------
    rows : ndarray of shape (n_samples, n_drawn)
        The rows, of one or two features; those with NaN are left out.
    labels : ndarray of shape (n_samples,)
        Component of each row.
    means : ndarray of shape (n_components, n_drawn)
        Means.
    covariances : ndarray of shape (n_components, n_drawn, n_drawn)
        Covariances.
    names : sequence of str
        Names of the features.
    weights : ndarray of shape (n_components,), default=None
        Proportions of the components; None takes those of the rows.
    component_names : sequence of str, default=None
        Names of the components in the legend; None is "component 0", and so on.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.
    points_ : list of matplotlib PathCollection
        The rows of each component; empty for one feature.
    ellipses_ : list of matplotlib Ellipse
        For each component one for each level; empty for one feature.
    curves_ : list of matplotlib Line2D
        For one feature, the density of each component times its weight, and of several
        components their sum; otherwise empty.
    legend_ : matplotlib Legend or None
        The legend; None for one component.
    """

    def __init__(
        self,
        rows: Array,
        labels: Array,
        means: Array,
        covariances: Array,
        names: tuple[str, ...],
        *,
        weights: Array | None = None,
        component_names: list[str] | None = None,
    ):
        self.rows = rows
        self.labels = labels
        self.means = means
        self.covariances = covariances
        self.names = names
        self.weights = weights
        self.component_names = component_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        features: int | str | tuple[int | str, ...] | None = None,
        transformer: Any = None,
        lengths: ArrayLike | None = None,
        levels: float | tuple[float, ...] = (0.5, 0.95),
        ax: Any = None,
    ) -> Self:
        """Draw a fitted model with Gaussian components.

        Parameters
        ----------
        estimator : estimator
            A fitted `GaussianMixtureEM`, `FiniteMixtureEM` or `HiddenMarkovEM` of Gaussian
            rows or columns, or `MissingDataImputerEM`; a Pipeline that ends with one, if
            the steps before are linear (scalers, PCA, imputers, and so on); or a search
            over one of these.
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows to draw, as `fit` takes them: in the units of the plot.
        features : int, str, or tuple of one or two of these, default=None
            Columns of X to draw, by position or name. None draws the first two, or the only
            one.
        transformer : transformer, default=None
            A linear transformer, or a Pipeline of such, that rows went through before the
            estimator was fitted to them. With a Pipeline as estimator it is not needed.
        lengths : array-like of shape (n_sequences,), default=None
            Numbers of rows of the sequences, for a `HiddenMarkovEM`.
        levels : float or tuple of float, default=(0.5, 0.95)
            Probabilities that the ellipses of a component enclose, in two dimensions.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        display : MixtureDisplay
            The plot.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If the estimator has no Gaussian components, or `features` or `ax` are of
            another type.
        ValueError
            If there is no such feature, it is not Gaussian, or a step before the model is
            not linear or leaves the feature out.

        Notes
        -----
        Where steps drop dimensions, as PCA may, ellipses show what is left of the
        components in the features drawn. To draw in the features of the mixture itself,
        pass the last step, and the rows that reach it: ``pipeline[:-1].transform(X)``.

        Examples
        --------
        >>> from sklearn.pipeline import make_pipeline
        >>> from sklearn.preprocessing import StandardScaler
        >>> from emlearn import GaussianMixtureEM
        >>> from emlearn.datasets import load_old_faithful
        >>> from emlearn.display import MixtureDisplay
        >>> X = load_old_faithful().data
        >>> mixture = GaussianMixtureEM(n_components=2, random_state=0)
        >>> pipeline = make_pipeline(StandardScaler(), mixture).fit(X)
        >>> display = MixtureDisplay.from_estimator(pipeline, X)
        >>> len(display.ellipses_)
        4
        """
        check_is_fitted(estimator)
        steps, model = model_of(estimator)
        components = components_of(model)
        if transformer is not None:
            check_is_fitted(transformer)
            steps = [*steps_of([("transformer", transformer)]), *steps]
        marker = np.nan if steps else getattr(model, "missing_values", np.nan)
        numbers = read_numbers(X, marker)
        names = column_names(X, model if not steps else estimator, numbers.shape[1])
        columns = find_columns(features, names)
        table, origin = undo(steps, X, numbers, columns)
        if len(origin.image) != len(components.is_gaussian):
            raise ValueError(
                f"{type(model).__name__} was fitted on {len(components.is_gaussian)} features, "
                f"but {len(origin.image)} reach it here. If rows went through a transformer "
                "before, pass it as transformer, or the Pipeline as estimator."
            )
        labels = most_probable(model, table, lengths)
        chosen = [str(names[j]) for j in columns]
        _require_gaussian(model, chosen, origin.matrix, components.is_gaussian)
        covariances = origin.matrix @ components.covariances @ origin.matrix.T
        if steps:
            _require_visible(chosen, covariances, numbers[:, columns])
        display = cls(
            numbers[:, columns],
            labels,
            origin.points(components.means),
            covariances,
            tuple(chosen),
            weights=getattr(model, "weights_", None),
            component_names=_names_of_components(model, len(covariances)),
        )
        return display.plot(levels=levels, ax=ax)

    def plot(self, *, levels: float | tuple[float, ...] = (0.5, 0.95), ax: Any = None) -> Self:
        """Draw.

        Parameters
        ----------
        levels : float or tuple of float, default=(0.5, 0.95)
            Probabilities that the ellipses of a component enclose, in two dimensions.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        self : MixtureDisplay
            With the attributes of the drawing.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If `ax` is something else.
        ValueError
            If a level is not a probability, or a component of the only feature has no
            variance, and so no density.
        """
        probabilities = np.atleast_1d(np.asarray(levels))
        numeric = probabilities.dtype.kind in "fiu"
        if not numeric or not np.all((probabilities > 0.0) & (probabilities < 1.0)):
            raise ValueError(f"levels must be probabilities between 0 and 1, got {levels!r}.")
        one = self.means.shape[1] == 1
        if one and not np.all(self.covariances > 0.0):
            raise ValueError(
                f"{self.names[0]!r} has no variance in a component, and so no density to draw."
            )
        n_components = len(self.means)
        seen = ~np.isnan(self.rows).any(axis=1)
        rows, labels = self.rows[seen], self.labels[seen]
        weights = self.weights
        if weights is None:
            weights = np.bincount(self.labels, minlength=n_components) / max(len(self.labels), 1)
        titles = self.component_names or [f"component {k}" for k in range(n_components)]
        ax = axes_or_new(ax, columns_beside(n_components))
        styles = component_styles(n_components)
        self.points_: list[Any] = []
        self.ellipses_: list[Any] = []
        self.curves_: list[Any] = []
        title = None
        if one:
            self.curves_ = draw_curves(ax, rows, weights, self.means, self.covariances, styles)
            ax.set(xlabel=self.names[0], ylabel=f"density (per unit of {self.names[0]})")
        else:
            self.points_, self.ellipses_ = draw_ellipses(
                ax, rows, labels, self.means, self.covariances, styles, probabilities
            )
            ax.set(xlabel=self.names[0], ylabel=self.names[1])
            if probabilities.size:
                title = "Ellipses: " + ", ".join(f"{100 * p:.4g}%" for p in probabilities)
        shown = [f"{name} ({w:.0%})" for name, w in zip(titles, weights, strict=True)]
        self.legend_ = draw_legend(ax, shown, styles, title, len(rows), total=one)
        self.ax_ = ax
        self.figure_ = ax.figure
        return self


def _names_of_components(model: Any, n_components: int) -> list[str]:
    kind = "state" if hasattr(model, "transmat_") else "component"
    classes = [str(value) for value in getattr(model, "classes_", ())]
    named = [f"{k}: {name}" for k, name in enumerate(classes)]
    return [*named, *(f"{kind} {k}" for k in range(len(classes), n_components))]


def _require_gaussian(
    model: Any, names: list[str], matrix: Array, is_gaussian: NDArray[np.bool_]
) -> None:
    for name, row in zip(names, matrix, strict=True):
        if np.any(row[~is_gaussian] != 0.0):
            raise ValueError(
                f"{name!r} is not Gaussian in this {type(model).__name__}, and so has no mean "
                "and covariance to draw. Choose others by `features`."
            )


def _require_visible(names: list[str], covariances: Array, rows: Array) -> None:
    spread = np.nanstd(rows, axis=0)
    for j, name in enumerate(names):
        if np.all(np.sqrt(covariances[:, j, j]) <= _ROUNDING * spread[j]):
            raise ValueError(
                f"{name!r} does not reach the mixture: a step before leaves it out, or it is "
                "constant. Choose others by `features`."
            )
