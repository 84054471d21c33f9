"""Covariances of few factors and independent noise, for each component."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.factor_update import (
    LEAST_NOISE,
    Factors,
    fit_factors,
    improve_factors,
)
from emlearn.distributions.gaussian.rotation import canonical
from emlearn.distributions.gaussian.structures._base import (
    Array,
    CovarianceFactor,
    expected_optimism,
    finite,
)
from emlearn.distributions.gaussian.structures._full import FullCovariance
from emlearn.engine.errors import DegenerateModelError
from emlearn.engine.parameters import Curved, Part

# How far given covariances may be from those of factors, relative to the variances.
_ROUNDED = 1e-4


@dataclass(frozen=True)
class FactorCovariance(FullCovariance):
    """Sigma_k = L_k L_k' + diag(psi_k), with L_k of shape (n_features, n_factors).

    A mixture of such components is a mixture of factor analyzers [1]_: within a component
    the columns are related only by few factors. The covariances are held as (n_components,
    n_features, n_factors + 1): the loadings L, and in the last column the noise psi.

    The M-step is not in closed form. `estimate` runs Newton's method for the noise from four
    starts, with the best loadings for each noise (see
    `emlearn.distributions.gaussian.factor_update`). Within EM, `update` runs it from the
    covariances before: it never lowers the expected objective, and takes one or two steps once
    EM is close to its end. The noise is at least 1e-6 of the variance of a column, since at
    the maximum of the likelihood it often is 0 (a Heywood case).

    Loadings can be turned, ``L R`` with R orthogonal, without a change of the covariance: there
    are d k + d - k (k - 1) / 2 free parameters, and not more than those of a full matrix.

    Parameters
    ----------
    n_factors : int, default=1
        Number of factors of each component, less than the number of features.

    References
    ----------
    .. [1] Z. Ghahramani and G. E. Hinton (1996). "The EM algorithm for mixtures of factor
       analyzers". Technical report CRG-TR-96-1, University of Toronto.
    """

    n_factors: int = 1

    name = "factor"
    part_names = ("loadings", "noise_variance")
    only_improves = True

    def check(self, n_features: int) -> None:
        """Raise ValueError unless there are fewer factors than features."""
        if self.n_factors >= n_features:
            raise ValueError(
                f"n_factors={self.n_factors} must be less than the number of columns, "
                f"n_features = {n_features}. Use fewer factors, or full covariances."
            )

    def n_parameters(self, n_components: int, n_features: int) -> int:
        return n_components * self._of_each(n_features)

    def _of_each(self, n_features: int) -> int:
        d, k = n_features, self.n_factors
        return min(d * k + d - k * (k - 1) // 2, d * (d + 1) // 2)

    def optimism(self, weight: Array, n_features: int) -> Array:
        # A column has a regression on the factors; with d - 1 factors this is a full matrix.
        number = n_features + self._of_each(n_features)
        return expected_optimism(number * weight, weight - self.n_factors - 3.0)

    # ---- the M-step -------------------------------------------------------------------

    def estimate(self, weight: Array, shift: Array, second: Array, ridge: Array) -> Array:
        return _join(fit_factors(super().estimate(weight, shift, second, ridge), self.n_factors))

    def update(
        self, weight: Array, shift: Array, second: Array, ridge: Array, before: Array
    ) -> Array:
        factors, scatter = _split(before), super().estimate(weight, shift, second, ridge)
        if not factors.loadings.any():
            # Pooled parameters, which know of no relations.
            return _join(fit_factors(scatter, self.n_factors, roughly=True))
        return _join(improve_factors(scatter, factors))

    def estimate_nonempty(
        self,
        nonempty: Array,
        weight: Array,
        shift: Array,
        second: Array,
        ridge: Array,
        before: Array,
    ) -> Array:
        covariances = before.copy()
        own = weight[nonempty], shift[nonempty], second[nonempty]
        covariances[nonempty] = self.update(*own, ridge, before[nonempty])
        return covariances

    def with_average(self, covariances: Array, k: int, weights: Array) -> Array:
        changed = covariances.copy()
        average = np.tensordot(weights, self.publish(covariances), axes=1)
        changed[k] = _join(fit_factors(average[None], self.n_factors))[0]
        return changed

    # ---- the array --------------------------------------------------------------------

    def factor(self, covariances: Array, n_features: int, floor: float) -> CovarianceFactor:
        return super().factor(self.publish(covariances), n_features, floor)

    def matrix(self, covariances: Array, k: int, n_features: int) -> Array:
        matrix: Array = self.publish(covariances[k : k + 1])[0]
        return matrix

    def rescale(self, covariances: Array, scale: Array) -> Array:
        rescaled = covariances * scale[:, None]
        rescaled[..., -1] *= scale
        return rescaled

    def to_vector(self, covariances: Array) -> Array:
        """Loadings, and standard deviations of the noise, which stay finite if it vanishes."""
        loadings, noise = _split(covariances)
        return np.concatenate([loadings.ravel(), np.sqrt(noise).ravel()])

    def from_vector(self, vector: Array, like: Array) -> Array:
        shape = (like.shape[0], like.shape[1], self.n_factors)
        loadings, noise = np.split(finite(vector), [like.shape[0] * like.shape[1] * self.n_factors])
        loadings = loadings.reshape(shape)
        with np.errstate(over="ignore", under="ignore"):
            noise = np.square(noise.reshape(shape[:2]))
            variance = finite(np.square(loadings).sum(axis=2) + noise)
        covariances = _join(Factors(loadings, np.maximum(noise, LEAST_NOISE * variance)))
        self.factor(covariances, like.shape[1], 0.0)
        return covariances

    def part(self, shape: tuple[int, int]) -> Part:
        like = np.zeros(self.shape(*shape))
        known: dict[bytes, Array] = {}

        def encode(published: Array) -> Array:
            # The same covariances are asked for again and again, and it takes an iteration.
            key = published.tobytes()
            if key not in known:
                known.clear()
                known[key] = self.to_vector(self.adopt(published))
            return known[key]

        return Curved(
            encode,
            lambda vector: self.publish(self.from_vector(vector, like)),
            self.n_parameters(*shape),
            ("component", "feature", "feature"),
            symmetric=True,
        )

    # ---- what is published ------------------------------------------------------------

    def publish(self, covariances: Array) -> Array:
        loadings, noise = _split(covariances)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            matrices: Array = loadings @ loadings.transpose(0, 2, 1)
        n_components, n_features = noise.shape
        matrices.reshape(n_components, -1)[:, :: n_features + 1] += noise
        # A product of matrices need not be symmetric to the last bit.
        return 0.5 * (matrices + matrices.transpose(0, 2, 1))

    def adopt(self, published: Array) -> Array:
        self.check(published.shape[-1])
        try:
            covariances = _join(fit_factors(published, self.n_factors))
        except DegenerateModelError as error:
            raise ValueError(f"covariance: {error}.") from None
        _require_close(covariances, published, self)
        return covariances

    def factor_published(self, published: Array, n_features: int) -> CovarianceFactor:
        return super().factor(published, n_features, 0.0)

    def rescale_published(self, published: Array, scale: Array) -> Array:
        return published * scale[:, None] * scale

    def published_matrix(self, published: Array, k: int, n_features: int) -> Array:
        matrix: Array = published[k]
        return matrix

    def parts(self, covariances: Array) -> dict[str, Array]:
        loadings, noise = _split(covariances)
        return {"loadings": canonical(loadings, noise), "noise_variance": noise.copy()}

    def from_parts(self, parts: Mapping[str, Any], shape: tuple[int, int]) -> Array:
        need = {"loadings": (*shape, self.n_factors), "noise_variance": shape}
        arrays = {}
        for name, expected in need.items():
            if name not in parts:
                raise ValueError(f"{name} is missing: give both loadings and noise_variance.")
            arrays[name] = np.asarray(parts[name], np.float64)
            if arrays[name].shape != expected:
                raise ValueError(
                    f"{name} must have shape {expected} with n_factors={self.n_factors}, got "
                    f"{arrays[name].shape}."
                )
            if not np.isfinite(arrays[name]).all():
                raise ValueError(f"{name} must be finite.")
        if not (arrays["noise_variance"] > 0.0).all():
            raise ValueError("noise_variance must be positive.")
        covariances = _join(Factors(arrays["loadings"], arrays["noise_variance"]))
        if "covariance" in parts:
            given = np.asarray(parts["covariance"], np.float64)
            _require_close(covariances, given, self)
        return covariances


def _require_close(covariances: Array, given: Array, structure: FactorCovariance) -> None:
    """Raise ValueError if covariances are not those that are given, up to rounding."""
    size = np.sqrt(np.abs(np.diagonal(given, axis1=-2, axis2=-1)))
    gap = np.abs(structure.publish(covariances) - given)
    wrong = (gap > _ROUNDED * size[:, :, None] * size[:, None, :]).any(axis=(1, 2))
    if wrong.any():
        raise ValueError(
            f"covariance of component {int(np.flatnonzero(wrong)[0])} is not that of loadings L "
            f"and noise psi, L L' + diag(psi), with n_factors={structure.n_factors}."
        )


def _split(covariances: Array) -> Factors:
    return Factors(covariances[..., :-1], covariances[..., -1])


def _join(factors: Factors) -> Array:
    joined: NDArray[np.float64] = np.concatenate([factors.loadings, factors.noise[..., None]], -1)
    return joined
