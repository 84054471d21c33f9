"""The published parameters of a Gaussian mixture, which are the model."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from emlearn._compat import validate_params
from emlearn.data import as_numbers
from emlearn.distributions import Gaussian
from emlearn.distributions.gaussian.rotation import rotated_to
from emlearn.distributions.gaussian.spec import beyond_range
from emlearn.distributions.gaussian.structures import CovarianceStructure, find_structure
from emlearn.engine.fixed import hold, n_held
from emlearn.engine.parameters import Public
from emlearn.latent import Emissions, LabelModel, LabelParams, MixtureLaw, MixtureParams
from emlearn.latent.starts import STARTS
from emlearn.mixture._matrices import Matrices, complete_matrices, frozen
from emlearn.mixture._scoring import read_weights

Array = NDArray[Any]

# Names of attributes by those of the parts of a structure, where these are different.
_PART_NAMES = {"noise_variance": "noise_variances"}


class PublishedGaussians(BaseEstimator):
    """`weights_`, `means_` and the covariances, of which one form determines the others."""

    weights_: Array
    means_: Array

    @property
    def _structure(self) -> CovarianceStructure:
        return find_structure(self.covariance_type, self.n_factors)

    def _family(self, reg_covar: float | str) -> Gaussian:
        return Gaussian(self.covariance_type, reg_covar=reg_covar, n_factors=self.n_factors)

    @classmethod
    def from_parameters(
        cls,
        weights: ArrayLike,
        means: ArrayLike,
        covariances: ArrayLike,
        *,
        covariance_type: str = "full",
        **hyperparameters: Any,
    ) -> Self:
        """A mixture with known parameters, which can predict, score and sample without a fit.

        Parameters
        ----------
        weights : array-like of shape (n_components,)
            Mixing proportions.
        means : array-like of shape (n_components, n_features)
            Means.
        covariances : array-like
            Covariances, in the shape of `covariances_`.
        covariance_type : str, default="full"
            Structure of the covariances. "factor" needs ``n_factors=...`` too, and covariances
            that have so many factors.
        **hyperparameters : object
            Other hyperparameters of the estimator.

        Returns
        -------
        mixture : GaussianMixtureEM
            The mixture.

        Raises
        ------
        ValueError
            If a parameter has the wrong shape or is invalid. The message names it.

        Examples
        --------
        >>> from emlearn import GaussianMixtureEM
        >>> mixture = GaussianMixtureEM.from_parameters(
        ...     [0.5, 0.5], [[0.0], [9.0]], [[[1.0]], [[4.0]]]
        ... )
        >>> mixture.predict([[1.0], [8.0]])
        array([0, 1])
        """
        means = as_numbers(means, "means").copy()
        mixture = cls(len(np.atleast_1d(means)), covariance_type=covariance_type, **hyperparameters)
        validate_params(mixture)
        mixture.weights_ = as_numbers(weights, "weights").copy()
        mixture.means_ = means
        if means.ndim != 2:
            raise ValueError(
                f"means must have shape (n_components, n_features), got {means.shape}."
            )
        mixture.n_features_in_ = means.shape[1]
        mixture.covariances_ = covariances
        if read_weights(mixture).shape != (len(means),):
            raise ValueError(
                f"weights must have shape ({len(means)},), one for each mean, got "
                f"{mixture.weights_.shape}."
            )
        mixture._emissions()
        return mixture

    @property
    def covariances_(self) -> Array:
        """Covariances, in the layout of `covariance_type`. Setting them sets the precisions."""
        return self._matrices("covariances_")[0]

    @covariances_.setter
    def covariances_(self, value: ArrayLike) -> None:
        self._set_matrices("covariances_", value)

    @property
    def precisions_(self) -> Array:
        """Inverses of the covariances. Setting them sets the covariances."""
        return self._matrices("precisions_")[1]

    @precisions_.setter
    def precisions_(self, value: ArrayLike) -> None:
        self._set_matrices("precisions_", value)

    @property
    def precisions_cholesky_(self) -> Array:
        """Upper triangular factors of the precisions. Setting them sets the covariances."""
        return self._matrices("precisions_cholesky_")[2]

    @precisions_cholesky_.setter
    def precisions_cholesky_(self, value: ArrayLike) -> None:
        self._set_matrices("precisions_cholesky_", value)

    @property
    def loadings_(self) -> Array:
        """Loadings (n_components, n_features, n_factors) of ``covariance_type="factor"``."""
        return self._part("loadings_", 0)

    @property
    def noise_variances_(self) -> Array:
        """Variances of the noise (n_components, n_features) of ``covariance_type="factor"``."""
        return self._part("noise_variances_", 1)

    def _part(self, name: str, position: int) -> Array:
        parts = self._matrices(name).parts
        if not parts:
            raise AttributeError(
                f'{type(self).__name__} has {name} only with covariance_type="factor".'
            )
        return parts[position]

    def _matrices(self, name: str) -> Matrices:
        if "_matrices_" not in self.__dict__:
            raise AttributeError(
                f"{type(self).__name__} object has no attribute {name!r} before it is fitted."
            )
        # Frozen anew: a copy or a pickle of the arrays can be written to.
        return frozen(self.__dict__["_matrices_"])

    def _set_matrices(self, name: str, value: ArrayLike) -> None:
        if not hasattr(self, "means_"):
            raise AttributeError(f"Set means_ before {name}: it determines the number of features.")
        self._matrices_ = complete_matrices(name, value, self._structure, np.shape(self.means_))

    def _publish(self, family: Gaussian, params: LabelParams, fixed: Public) -> None:
        spec, components = params.column_spec, params.components
        with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
            cholesky = family.precisions_cholesky(components, spec)
            precisions = self._structure.precision(cholesky)
            own = self._structure.rescale(components.covariance, spec.scaling.scale)
            covariances = self._structure.publish(own)
        # Where a variance underflows to 0, its inverse overflows.
        if not (np.isfinite(covariances).all() and np.isfinite(precisions).all()):
            scale = spec.scaling.scale
            raise beyond_range(np.arange(len(scale)), scale, np.float64)
        self.weights_ = params.law.weights
        self.means_ = hold({"mean": spec.scaling.to_units(components.mean)}, fixed)["mean"]
        parts = tuple(self._structure.parts(own).values())
        self._matrices_ = frozen(Matrices(covariances, precisions, cholesky, parts))

    def _public(self) -> dict[str, Array]:
        matrices = self._matrices("covariances_")
        return {
            "mean": self.means_,
            "covariance": matrices.covariances,
            "precision_cholesky": matrices.precisions_cholesky,
            **dict(zip(self._structure.part_names, matrices.parts, strict=True)),
        }

    def _emissions(self) -> Emissions:
        family = self._family(0.0)
        K, shape = len(read_weights(self)), np.shape(self.means_)
        need = (K, getattr(self, "n_features_in_", shape[-1] if shape else 1))
        if shape != need:
            raise ValueError(
                f"means_ must have shape {need}, one row for each weight, got {shape}."
            )
        return Emissions.at(family, self._public(), None, K)

    def _published_parameters(self) -> dict[str, Array]:
        """Parameters by name, for resamples (see `emlearn.inference.bootstrap`)."""
        matrices = self._matrices("covariances_")
        found = {
            "weights": np.asarray(self.weights_),
            "means": np.asarray(self.means_),
            "covariances": matrices.covariances,
        }
        names = [_PART_NAMES.get(name, name) for name in self._structure.part_names]
        return {**found, **dict(zip(names, matrices.parts, strict=True))}

    def _permute_labels(self, order: NDArray[np.intp]) -> None:
        """Renumber the components: the new number i is the old number ``order[i]``."""
        matrices = self.__dict__["_matrices_"]
        self.weights_ = np.asarray(self.weights_)[order]
        self.means_ = np.asarray(self.means_)[order]
        if not self._structure.is_shared:
            self._matrices_ = frozen(matrices.taken(order))

    def _rotate_to(self, reference: Self) -> None:
        """Rotate the factors, which the likelihood leaves free, to those of another fit."""
        matrices = self.__dict__["_matrices_"]
        names = self._structure.part_names
        if "loadings" in names:
            at, parts = names.index("loadings"), list(matrices.parts)
            parts[at] = rotated_to(parts[at], reference.__dict__["_matrices_"].parts[at])
            self._matrices_ = frozen(matrices._replace(parts=tuple(parts)))

    def _n_parameters(self) -> int:
        emissions = self._emissions()
        K = emissions.n_components
        law, spec = MixtureLaw(K), emissions.column_spec
        model = LabelModel(law, emissions.family, STARTS["rows"])
        params = LabelParams(MixtureParams(read_weights(self)), emissions.params, spec)
        return model.n_parameters(params) - n_held(model, params, self._fixed(model, params))

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "weights_") and hasattr(self, "means_") and hasattr(self, "_matrices_")
