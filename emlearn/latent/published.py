"""Estimators whose model is what they publish: the parameters of the components, and the law."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from emlearn.distributions import Family
from emlearn.latent.scoring import Emissions

Array = NDArray[Any]


class PublishedComponents(BaseEstimator):
    """An estimator with `component_params_` and parameters of the law of the label.

    Scores, predictions and samples read these attributes alone, so that a change of them counts.
    What is kept of a fit beside them is how rows are encoded.
    """

    #: The attributes that are the model.
    _model_attributes: ClassVar[tuple[str, ...]]
    _fitted_spec: Any = None

    @abstractmethod
    def _given_family(self) -> Family:
        """The family as the hyperparameters say, not yet at the columns of X."""

    @abstractmethod
    def _n_labels(self) -> int:
        """Number of components or states that the parameters of the law describe."""

    def __sklearn_is_fitted__(self) -> bool:
        missing = [name for name in self._model_attributes if not hasattr(self, name)]
        if missing and len(missing) < len(self._model_attributes):
            owner = type(self).__name__
            raise NotFittedError(
                f"This {owner} instance is not fitted yet: of its parameters "
                f"{', '.join(missing)} is not set. Call 'fit', set it too, or use "
                f"{owner}.from_parameters."
            )
        return not missing

    def _emissions(self) -> Emissions:
        """The family at the published parameters.

        Raises
        ------
        ValueError
            If they are invalid, or do not agree with the other attributes.
        """
        public = self.component_params_
        if not isinstance(public, Mapping):
            raise ValueError(
                f"component_params_ must be a dict of parameters by name, got {public!r}."
            )
        family = getattr(self, "family_", None)
        n_features = getattr(self, "n_features_in_", None)
        names = getattr(self, "feature_names_in_", None)
        n_labels = self._n_labels()
        try:
            if family is None:
                family = self._given_family()
                if n_features is None:
                    n_features = family.shape_of(public)[1]
                family = family.at_columns(None, n_features)
            unknown = sorted(map(str, set(public) - set(family.public_names)))
            if unknown:
                raise ValueError(
                    f"{family!r} has no parameter {unknown[0]!r}; its parameters are "
                    f"{', '.join(family.public_names)}."
                )
            found = Emissions.at(family, public, self._fitted_spec, n_labels, n_features, names)
        except ValueError as error:
            raise ValueError(f"component_params_: {error}") from None
        return found

    @property
    def levels_(self) -> list[Array | None]:
        """Levels of each column of items: level l is that of entry l of its probabilities.

        None for a column that has none, as of counts or numbers. Only if the family has levels.
        """
        emissions = self._emissions()
        levels = emissions.family.levels(emissions.column_spec)
        if levels is None:
            raise AttributeError(f"{emissions.family!r} has no levels, so there is no levels_.")
        return levels

    def _resumes(self) -> bool:
        return bool(self.warm_start) and all(hasattr(self, name) for name in self._model_attributes)

    def _last_components(self, family: Family, column_spec: Any) -> Any:
        """The published parameters of the components, for the rows of a new fit.

        Raises
        ------
        ValueError
            If the new fit has another family, or other numbers of components or features.
        """
        public = self.component_params_
        last = (getattr(self, "family_", family), self._n_labels())
        now = (self.n_components_, self.n_features_in_)
        if last != (family, self.n_components_) or family.shape_of(public) != now:
            raise ValueError(
                "With warm_start=True the fit goes on from the last one, which had another "
                "family, n_components or number of features. Set warm_start=False to start anew."
            )
        return family.from_public(public, column_spec, family.spec_of(public, self._fitted_spec))

    @classmethod
    def _of_known(
        cls,
        attributes: Mapping[str, Any],
        component_params: Mapping[str, Any],
        n_features: int | None,
        **hyperparameters: Any,
    ) -> Self:
        """An estimator with these attributes, and no fit."""
        model = cls(**hyperparameters)
        for name, value in attributes.items():
            setattr(model, name, np.array(value))
        model.component_params_ = component_params
        if isinstance(component_params, Mapping):
            copies = {name: np.array(value) for name, value in component_params.items()}
            model.component_params_ = copies
        if n_features is not None:
            model.n_features_in_ = n_features
        model.n_components_ = model._n_labels()
        model.set_params(n_components=model.n_components_)
        emissions = model._emissions()
        model.n_features_in_, model.family_ = emissions.n_features, emissions.family
        return model
