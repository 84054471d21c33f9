"""Ellipses of a Gaussian mixture."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2
from sklearn.utils.validation import check_is_fitted

from emlearn.display._axes import axes_or_new
from emlearn.distributions.gaussian.structures import STRUCTURES

Array = NDArray[Any]


class MixtureDisplay:
    """Rows of two features, colored by component, with ellipses of the components.

    Use `from_estimator` to make one.

    Parameters
    ----------
    rows : ndarray of shape (n_samples, 2)
        The rows.
    labels : ndarray of shape (n_samples,)
        Component of each row.
    means : ndarray of shape (n_components, 2)
        Means.
    covariances : ndarray of shape (n_components, 2, 2)
        Covariances.
    names : tuple of str
        Names of the two features.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.
    ellipses_ : list of matplotlib Ellipse
        For each component one for each level.
    """

    def __init__(
        self, rows: Array, labels: Array, means: Array, covariances: Array, names: tuple[str, str]
    ):
        self.rows = rows
        self.labels = labels
        self.means = means
        self.covariances = covariances
        self.names = names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        features: tuple[int, int] = (0, 1),
        transformer: Any = None,
        levels: tuple[float, ...] = (0.5, 0.95),
        ax: Any = None,
    ) -> Self:
        """Draw a fitted `GaussianMixtureEM`.

        Parameters
        ----------
        estimator : GaussianMixtureEM
            Fitted on at least two features.
        X : array-like of shape (n_samples, n_features)
            Rows to draw, in the units of the plot.
        features : tuple of two int, default=(0, 1)
            The features to draw.
        transformer : StandardScaler, default=None
            The scaler that stood before the mixture when it was fitted; the ellipses are
            then drawn in the units before it.
        levels : tuple of float, default=(0.5, 0.95)
            Probabilities that the ellipses of a component enclose.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        display : MixtureDisplay
            The plot.

        Raises
        ------
        ValueError
            If the mixture was fitted on one feature.

        Examples
        --------
        >>> from emlearn import GaussianMixtureEM
        >>> from emlearn.datasets import load_old_faithful
        >>> from emlearn.display import MixtureDisplay
        >>> X = load_old_faithful().data
        >>> mixture = GaussianMixtureEM(n_components=2, random_state=0).fit(X)
        >>> display = MixtureDisplay.from_estimator(mixture, X)
        >>> len(display.ellipses_)
        4
        """
        check_is_fitted(estimator)
        n_components, n_features = estimator.means_.shape
        if n_features < 2:
            raise ValueError("The mixture has one feature; ellipses need two.")
        structure = STRUCTURES[estimator.covariance_type]
        pair = np.asarray(features)
        covariances = np.stack(
            [
                structure.matrix(estimator.covariances_, k, n_features)[np.ix_(pair, pair)]
                for k in range(n_components)
            ]
        )
        means = estimator.means_[:, pair]
        inside = X
        if transformer is not None:
            inside = transformer.transform(X)
            scale = transformer.scale_[pair]
            means = transformer.inverse_transform(estimator.means_)[:, pair]
            covariances = covariances * scale[:, None] * scale
        names = getattr(X, "columns", [f"feature {j}" for j in range(n_features)])
        display = cls(
            np.asarray(X)[:, pair],
            estimator.predict(inside),
            means,
            covariances,
            (str(names[pair[0]]), str(names[pair[1]])),
        )
        return display.plot(levels=levels, ax=ax)

    def plot(self, *, levels: tuple[float, ...] = (0.5, 0.95), ax: Any = None) -> Self:
        """Draw.

        Parameters
        ----------
        levels : tuple of float, default=(0.5, 0.95)
            Probabilities that the ellipses of a component enclose.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        self : MixtureDisplay
            With the attributes of the drawing.
        """
        ax = axes_or_new(ax)
        from matplotlib.patches import Ellipse

        self.ellipses_ = []
        for k, (mean, covariance) in enumerate(zip(self.means, self.covariances, strict=True)):
            color = f"C{k % 10}"
            own = self.labels == k
            ax.scatter(*self.rows[own].T, s=12, alpha=0.6, color=color, linewidths=0)
            variances, axes = np.linalg.eigh(covariance)
            angle = float(np.degrees(np.arctan2(axes[1, 1], axes[0, 1])))
            for level in levels:
                height, width = 2.0 * np.sqrt(variances * chi2.ppf(level, df=2))
                ellipse = Ellipse(
                    tuple(mean), width, height, angle=angle, fill=False, color=color, linewidth=1.5
                )
                self.ellipses_.append(ax.add_patch(ellipse))
            ax.plot(*mean, marker="+", markersize=10, color="black")
        ax.set(xlabel=self.names[0], ylabel=self.names[1])
        ax.autoscale_view()
        self.ax_ = ax
        self.figure_ = ax.figure
        return self
