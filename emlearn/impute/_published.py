"""The published parameters are the model: they can be set, or given without a fit."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.impute import MissingIndicator
from sklearn.utils.validation import check_is_fitted

from emlearn._compat import validate_params
from emlearn.data import as_numbers, check_marker
from emlearn.data.schema import MixedSchema
from emlearn.impute._bounds import read_bounds
from emlearn.impute._known import (
    Known,
    known_factor_mixture,
    known_factors,
    known_gaussian,
    read_weights,
)

Array = NDArray[np.float64]

NOT_FITTED = (
    "This %(name)s instance is not fitted yet: call 'fit', or create one from known parameters "
    "with 'from_parameters'."
)


class PublishedModel(BaseEstimator):
    """A model of Gaussians that consists of its published parameters only."""

    # What the columns of the last fit are, if not only ordinary numbers.
    _schema: MixedSchema | None

    @classmethod
    def from_parameters(
        cls,
        means: Any,
        covariances: Any = None,
        *,
        weights: Any = None,
        loadings: Any = None,
        noise_variances: Any = None,
        feature_names: Any = None,
        **hyperparameters: Any,
    ) -> Self:
        """Create an imputer from known parameters, without a fit.

        Parameters
        ----------
        means : array-like of shape (n_components, n_features) or (n_features,)
            Means of the components.
        covariances : array-like of shape (n_components, n_features, n_features) or \
(n_features, n_features), default=None
            Covariances of the components. A column of variance 0 is constant.
        weights : array-like of shape (n_components,), default=None
            Weights of the components; None means equal weights.
        loadings : array-like of shape (n_features, n_factors) or \
(n_components, n_features, n_factors), default=None
            Loadings of a factor analysis, or of a mixture of these, instead of `covariances`.
        noise_variances : array-like of shape (n_features,) or (n_components, n_features), \
default=None
            Its noise variances.
        feature_names : array-like of str of shape (n_features,), default=None
            Names of the columns.
        **hyperparameters
            Hyperparameters of the imputer; `n_components` and `n_factors` follow from the
            parameters. With `add_indicator`, each column has an indicator.

        Returns
        -------
        imputer : MissingDataImputerEM
            An imputer that can transform and score rows. Attributes that describe a fit, such
            as `converged_`, are not set.

        Raises
        ------
        ValueError
            If a parameter or a hyperparameter is invalid.

        Examples
        --------
        >>> import numpy as np
        >>> from emlearn.impute import MissingDataImputerEM
        >>> imputer = MissingDataImputerEM.from_parameters([0, 10], [[1, 0.5], [0.5, 1]])
        >>> imputer.transform([[2.0, np.nan], [np.nan, np.nan]])
        array([[ 2., 11.],
               [ 0., 10.]])
        """
        factors = loadings is not None or noise_variances is not None
        if factors == (covariances is not None) or (loadings is None) != (noise_variances is None):
            raise ValueError(
                "Give either covariances, or both loadings and noise_variances, with means."
            )
        centers = np.atleast_2d(as_numbers(means, "means"))
        imputer = cls(**{"n_components": len(centers), **hyperparameters})
        K, d = centers.shape
        imputer.means_ = centers.copy()
        given = np.full(K, 1.0 / K) if weights is None else as_numbers(weights, "weights")
        imputer.weights_ = given.copy()
        if factors:
            imputer.loadings_ = as_numbers(loadings, "loadings").copy()
            imputer.noise_variances_ = as_numbers(noise_variances, "noise_variances").copy()
            imputer.n_factors = imputer.loadings_.shape[-1]
        else:
            matrices = as_numbers(covariances, "covariances")
            imputer.covariances_ = matrices[None] if matrices.ndim == 2 else matrices
        imputer._adopt(d, feature_names)
        return imputer

    def _adopt(self, n_features: int, names: Any) -> None:
        """Set what a fit would set besides the parameters, and check the parameters."""
        validate_params(self)
        check_marker(self.missing_values, type(self).__name__)
        if self.n_components != len(self.means_):
            raise ValueError(
                f"n_components={self.n_components}, but means has {len(self.means_)} rows."
            )
        self.n_features_in_ = n_features
        if n_features == 0:
            raise ValueError("means must have at least one column.")
        if names is not None:
            self.feature_names_in_ = np.array(list(names), dtype=object)
            strings = all(isinstance(name, str) for name in self.feature_names_in_)
            if not strings or len(set(names)) != n_features or len(names) != n_features:
                raise ValueError(
                    f"feature_names must be {n_features} different strings; got {list(names)}."
                )
        self._kept = np.arange(n_features)
        self._schema = None
        read_bounds(self.bounds, n_features, getattr(self, "feature_names_in_", None))
        self.indicator_ = None
        if self.add_indicator:
            indicator = MissingIndicator(features="all").set_output(transform="default")
            self.indicator_ = indicator.fit(np.zeros((1, n_features)))
        self._known()

    def __sklearn_is_fitted__(self) -> bool:
        return (hasattr(self, "means_") or hasattr(self, "models_")) and hasattr(self, "_kept")

    def _known(self) -> Known:
        """The model that the published parameters describe at this moment."""
        check_is_fitted(self, msg=NOT_FITTED)
        factors = hasattr(self, "loadings_")
        if factors != hasattr(self, "noise_variances_") or factors == hasattr(self, "_covariances"):
            raise ValueError(
                "A model has either covariances_, or both loadings_ and noise_variances_, but this "
                "imputer has a mixture of these. Create one with "
                "MissingDataImputerEM.from_parameters."
            )
        if factors and np.ndim(self.loadings_) == 3:
            known = known_factor_mixture(
                self.weights_, self.means_, self.loadings_, self.noise_variances_
            )
        elif factors:
            known = known_factors(self.means_, self.loadings_, self.noise_variances_)
            read_weights(self.weights_, 1)
        else:
            known = known_gaussian(self.weights_, self.means_, self._covariances)
        if known.constants.size != self._kept.size:
            raise ValueError(
                f"means_ has {known.constants.size} columns, but the output of this imputer has "
                f"{self._kept.size}. For other columns, create a model with "
                "MissingDataImputerEM.from_parameters."
            )
        return known

    @property
    def covariances_(self) -> Array:
        """Covariances of the components, (n_components, n_features_out, n_features_out)."""
        check_is_fitted(self, msg=NOT_FITTED)
        if not hasattr(self, "loadings_"):
            self._refuse_average("covariances_")
            return self._covariances
        d = np.shape(self.loadings_)[-2]
        loadings = np.reshape(self.loadings_, (-1, d, self.loadings_.shape[-1]))
        noise = np.reshape(self.noise_variances_, (-1, d, 1)) * np.eye(d)
        return _read_only(loadings @ loadings.transpose(0, 2, 1) + noise)

    @covariances_.setter
    def covariances_(self, covariances: Any) -> None:
        if hasattr(self, "loadings_"):
            raise AttributeError(
                "covariances_ of a factor analysis follows from loadings_ and noise_variances_: "
                "set these instead."
            )
        self._covariances = np.array(covariances, dtype=np.float64)

    def _refuse_average(self, name: str) -> None:
        """Raise AttributeError if several models are averaged."""
        if hasattr(self, "models_") and len(self.models_) != 1:
            raise AttributeError(
                f"An average of models has no {name}: see the attributes of each of models_."
            )

    @property
    def mean_(self) -> Array:
        """Mean of the model, of shape (n_features_out,)."""
        check_is_fitted(self, msg=NOT_FITTED)
        if hasattr(self, "models_"):
            raise AttributeError(
                "mean_ and covariance_ are those of numbers only; see models_ for a model of "
                "numbers and categories."
            )
        mean: Array = np.asarray(self.weights_) @ np.asarray(self.means_)
        return _read_only(mean)

    @property
    def covariance_(self) -> Array:
        """Covariance of the model, of shape (n_features_out, n_features_out)."""
        mean = self.mean_
        shift = self.means_ - mean
        between = np.einsum("k,ki,kj->ij", self.weights_, shift, shift)
        overall: Array = np.einsum("k,kij->ij", self.weights_, self.covariances_) + between
        return _read_only(overall)


def _read_only(array: Array) -> Array:
    """An array that is read-only, because it follows from others and cannot be changed."""
    array.setflags(write=False)
    return array
