"""A factor analysis as it is published: components, noise, mean and correlation of factors."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.data import as_numbers
from emlearn.distributions.gaussian.incomplete import ConditionalFactors, FactorParams
from emlearn.distributions.gaussian.scaling import ColumnScaling, power_of_two

Array = NDArray[np.float64]


class Known(NamedTuple):
    """Checked parameters of a factor analysis, in the units of the data.

    Attributes
    ----------
    mean : ndarray of shape (n_features,)
        Mean.
    loadings : ndarray of shape (n_features, n_components)
        Loadings of the published factors.
    noise : ndarray of shape (n_features,)
        Variances of the noise.
    root : ndarray of shape (n_components, n_components)
        Lower triangular R with R R' the correlation of the factors: these are R times
        uncorrelated ones.
    """

    mean: Array
    loadings: Array
    noise: Array
    root: Array

    @property
    def uncorrelated(self) -> Array:
        """Loadings of uncorrelated factors."""
        return self.loadings @ self.root

    @property
    def covariance(self) -> Array:
        """Covariance of the columns."""
        common = self.uncorrelated
        return common @ common.T + np.diag(self.noise)

    @property
    def variance(self) -> Array:
        """Variances of the columns."""
        variance: Array = np.square(self.uncorrelated).sum(axis=1) + self.noise
        return variance

    def conditional(self) -> ConditionalFactors:
        """The distribution with uncorrelated factors, to be conditioned on rows."""
        scaling = ColumnScaling(self.mean, power_of_two(np.sqrt(self.variance)))
        return ConditionalFactors.at(self.in_units(scaling), scaling)

    def in_units(self, scaling: ColumnScaling) -> FactorParams:
        """The same with uncorrelated factors, in the units of a scaling."""
        scale = scaling.scale
        return FactorParams(
            scaling.to_scaled(self.mean),
            self.uncorrelated / scale[:, None],
            self.noise / scale / scale,
        )


def read_known(estimator: Any) -> Known:
    """The published attributes, which a user may have set.

    Raises
    ------
    ValueError
        If an attribute is no array of finite numbers, shapes do not fit, a variance is not
        positive or the correlation is no correlation matrix. It is named.
    """
    components = as_numbers(estimator.components_, "components_")
    if components.ndim != 2 or 0 in components.shape:
        raise ValueError(
            "components_ must have the shape (n_components, n_features), but has shape "
            f"{components.shape}."
        )
    k, d = components.shape
    mean = as_numbers(estimator.mean_, "mean_")
    noise = as_numbers(estimator.noise_variance_, "noise_variance_")
    correlation = as_numbers(estimator.factor_correlation_, "factor_correlation_")
    shapes = {
        "mean_": (mean, (d,)),
        "noise_variance_": (noise, (d,)),
        "factor_correlation_": (correlation, (k, k)),
        "components_": (components, (k, d)),
    }
    for name, (array, shape) in shapes.items():
        if array.shape != shape:
            raise ValueError(
                f"{name} must have shape {shape}, as components_ has {components.shape}, but has "
                f"shape {array.shape}."
            )
        if not np.isfinite(array).all():
            raise ValueError(f"{name} has entries that are NaN or infinite.")
    if not (noise > 0.0).all():
        raise ValueError(
            f"noise_variance_ must be positive, but column {int((noise <= 0.0).argmax())} has "
            f"{noise[(noise <= 0.0).argmax()]}."
        )
    unit = np.abs(np.diagonal(correlation) - 1.0).max() <= 1e-6
    if not (unit and np.allclose(correlation, correlation.T, atol=1e-8)):
        raise ValueError("factor_correlation_ must be symmetric with ones on its diagonal.")
    try:
        root = np.asarray(np.linalg.cholesky(correlation), np.float64)
    except np.linalg.LinAlgError:
        raise ValueError("factor_correlation_ must be positive definite.") from None
    return Known(mean, components.T, noise, root)
