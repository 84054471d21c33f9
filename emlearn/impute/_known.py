"""The model that published parameters describe, ready to condition rows on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.data import as_numbers, check_proportions
from emlearn.distributions.gaussian.incomplete import (
    ConditionalFactors,
    ConditionalGaussians,
    FactorParams,
)
from emlearn.distributions.gaussian.scaling import ColumnScaling, power_of_two
from emlearn.engine import DegenerateModelError
from emlearn.engine.threads import blas_limited

Array = NDArray[np.float64]

# Largest asymmetry of a covariance due to rounding, relative to the standard deviations.
_ASYMMETRY = 1e-8


@contextmanager
def conditioning() -> Iterator[None]:
    """Context in which extreme values overflow silently and a singular model is an error."""
    try:
        with blas_limited(), np.errstate(over="ignore", invalid="ignore"):
            yield
    except DegenerateModelError as error:
        raise ValueError(
            f"The model cannot be conditioned on these rows: {error}. Columns depend on each "
            "other almost exactly; fit with a larger alpha."
        ) from None


class Known(NamedTuple):
    """Parameters as `transform` uses them.

    Attributes
    ----------
    constants : ndarray of shape (n_features_out,)
        Mean of each column, with which constant columns are imputed.
    varying : ndarray of shape (n_varying,)
        Columns that are not constant.
    fitted : ConditionalGaussians, ConditionalFactors or None
        Model of these columns; None if there are none.
    """

    constants: Array
    varying: NDArray[np.intp]
    fitted: ConditionalGaussians | ConditionalFactors | None


def known_gaussian(weights: Any, means: Any, covariances: Any) -> Known:
    """A mixture of Gaussians with given parameters.

    Raises
    ------
    ValueError
        If a shape is wrong, an entry is not finite, the weights are not probabilities, or a
        covariance is not symmetric and positive definite in the columns that vary.
    """
    means = _finite(means, "means_", 2)
    K, d = means.shape
    weights = read_weights(weights, K)
    covariances = _finite(covariances, "covariances_", 3)
    if covariances.shape != (K, d, d):
        raise ValueError(
            f"covariances_ must have shape (n_components, n_features_out, n_features_out) = "
            f"{(K, d, d)} to match means_; got {covariances.shape}."
        )
    variances = np.einsum("kii->ki", covariances)
    constant = (variances == 0.0).all(axis=0) & (means == means[0]).all(axis=0)
    varying = np.flatnonzero(~constant)
    bad = np.argwhere(~(variances > 0.0) & ~constant)
    if bad.size:
        raise ValueError(
            f"covariances_: the variance of column {bad[0, 1]} in component {bad[0, 0]} is "
            f"{variances[tuple(bad[0])]:g}; it must be positive. For a constant column it must be "
            "0 in all components, with equal means."
        )
    if constant.any() and covariances[:, constant].any():
        raise ValueError("covariances_: a column with variance 0 has covariances other than 0.")
    center = weights @ means
    if varying.size == 0:
        return Known(center, varying, None)
    means, covariances = means[:, varying], covariances[:, varying[:, None], varying]
    deviations = np.sqrt(variances[:, varying])
    gap = np.abs(covariances - covariances.transpose(0, 2, 1))
    if (gap > _ASYMMETRY * deviations[:, :, None] * deviations[:, None, :]).any():
        raise ValueError("covariances_ must be symmetric.")
    middle = center[varying]
    spread = np.sqrt(weights @ deviations**2 + weights @ (means - middle) ** 2)
    scaling = ColumnScaling(middle, power_of_two(spread))
    covariances = np.ascontiguousarray(covariances / scaling.scale[:, None] / scaling.scale)
    try:
        fitted = ConditionalGaussians.at(weights, scaling.to_scaled(means), covariances, scaling)
    except DegenerateModelError:
        raise ValueError(
            "covariances_ must be positive definite in the columns that are not constant."
        ) from None
    return Known(center, varying, fitted)


def known_factors(means: Any, loadings: Any, noise_variances: Any) -> Known:
    """A factor analysis with given parameters.

    Raises
    ------
    ValueError
        If a shape is wrong, an entry is not finite, or a noise variance is not positive
        where the loadings are not 0.
    """
    means = _finite(means, "means_", 2)
    loadings = _finite(loadings, "loadings_", 2)
    noise = _finite(noise_variances, "noise_variances_", 1)
    d = means.shape[1]
    if means.shape[0] != 1 or loadings.shape[0] != d or noise.shape != (d,):
        raise ValueError(
            f"means_ of shape (1, n_features_out), loadings_ (n_features_out, n_factors) and "
            f"noise_variances_ (n_features_out,) are required; got {means.shape}, "
            f"{loadings.shape} and {noise.shape}."
        )
    constant = (noise == 0.0) & (loadings == 0.0).all(axis=1)
    bad = np.flatnonzero(~(noise > 0.0) & ~constant)
    if bad.size:
        raise ValueError(
            f"noise_variances_: the value of column {bad[0]} is {noise[bad[0]]:g}; it must be "
            "positive or, for a constant column, 0 with loadings of 0."
        )
    varying = np.flatnonzero(~constant)
    center = means[0]
    if varying.size == 0:
        return Known(center, varying, None)
    spread = np.sqrt(noise[varying] + (loadings[varying] ** 2).sum(axis=1))
    scaling = ColumnScaling(center[varying], power_of_two(spread))
    params = FactorParams(
        np.zeros(varying.size),
        np.ascontiguousarray(loadings[varying] / scaling.scale[:, None]),
        noise[varying] / scaling.scale / scaling.scale,
    )
    return Known(center, varying, ConditionalFactors.at(params, scaling))


def known_factor_mixture(weights: Any, means: Any, loadings: Any, noise_variances: Any) -> Known:
    """A mixture of factor analyses with given parameters.

    Raises
    ------
    ValueError
        If a shape is wrong, an entry is not finite, the weights are not probabilities, or a
        noise variance is not positive in the columns that vary.
    """
    means = _finite(means, "means_", 2)
    loadings = _finite(loadings, "loadings_", 3)
    noise = _finite(noise_variances, "noise_variances_", 2)
    K, d = means.shape
    if loadings.shape[:2] != (K, d) or noise.shape != (K, d):
        raise ValueError(
            f"means_ of shape (n_components, n_features_out), loadings_ (n_components, "
            f"n_features_out, n_factors) and noise_variances_ (n_components, n_features_out) are "
            f"required; got {means.shape}, {loadings.shape} and {noise.shape}."
        )
    constant = (noise == 0.0).all(axis=0) & (loadings == 0.0).all(axis=(0, 2))
    bad = np.argwhere(~(noise > 0.0) & ~constant)
    if bad.size:
        raise ValueError(
            f"noise_variances_: the value of column {bad[0, 1]} in component {bad[0, 0]} is "
            f"{noise[tuple(bad[0])]:g}; it must be positive or, for a constant column, 0 with "
            "loadings of 0 in all components."
        )
    covariances = loadings @ loadings.transpose(0, 2, 1) + noise[:, :, None] * np.eye(d)
    known = known_gaussian(weights, means, covariances)
    if known.fitted is None:
        return known
    assert isinstance(known.fitted, ConditionalGaussians)
    scale, varying = known.fitted.scaling.scale, known.varying
    factors = loadings[:, varying] / scale[:, None], noise[:, varying] / scale / scale
    return known._replace(fitted=known.fitted._replace(factors=factors))


def read_weights(weights: Any, n_components: int) -> Array:
    """Weights of the components, checked and normalized."""
    array = check_proportions(weights, "weights_", (n_components,))
    return array / array.sum()


def _finite(value: Any, name: str, ndim: int) -> Array:
    array = as_numbers(value, name)
    if array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimensions; got shape {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite.")
    return array
