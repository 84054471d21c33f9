"""Base of the estimators with a discrete latent label and any family."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from copy import copy
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import NotFittedError

from emlearn._compat import Interval, StrOptions, validate_params
from emlearn._warnings import warn_user
from emlearn.data import outweighed, read_labels
from emlearn.data.labels import UNKNOWN
from emlearn.distributions import Family, Gaussian, find_family
from emlearn.distributions._domain import named_columns
from emlearn.distributions.gaussian.rotation import rotated_to
from emlearn.engine import EMEstimator, RacePlan, SearchPlan, find_plan
from emlearn.engine.fixed import hold, n_held
from emlearn.engine.inference import FittedProblem
from emlearn.engine.parameters import Public
from emlearn.engine.threads import blas_limited
from emlearn.latent.data import Observations
from emlearn.latent.law import Law
from emlearn.latent.model import LabelModel, LabelParams
from emlearn.latent.preparing import prepare
from emlearn.latent.scoring import Emissions
from emlearn.latent.starts import STARTS, Initializer, start_of

Array = NDArray[Any]

#: Constraints on the hyperparameters that these estimators have in common.
LABEL_CONSTRAINTS: dict[str, Any] = {
    "n_components": [Interval(Integral, 1, None, closed="left"), None],
    "family": "no_validation",  # find_family does it, and its error lists the choices
    "use_labels": ["boolean"],
    "init_params": [StrOptions({"auto", "search", *STARTS}), callable, "array-like"],
}

#: What to do about parameters at the edge of what is possible.
STRONGER_PRIOR = (
    "Use a stronger prior: a larger alpha of the family, or reg_covar if it is Gaussian."
)


class LabelEstimator(EMEstimator):
    """An estimator with `component_params_` and the parameters of a law of the label.

    Scores, predictions and samples read only these attributes, so setting them takes effect.
    Apart from them, a fit keeps only how rows are encoded.
    """

    #: What the warning of light weights calls the hyperparameters of priors.
    _priors: ClassVar[str]
    #: The attributes that make up the model.
    _model_attributes: ClassVar[tuple[str, ...]]
    component_params_: dict[str, Any]
    _fitted_spec: Any = None

    def _given_family(self) -> Family:
        """The family that the hyperparameters describe, before it knows the columns of X."""
        return find_family(self.family)

    def _family_of_columns(self) -> Family:
        """The family, with the columns of the rows that were read."""
        names = getattr(self, "feature_names_in_", None)
        return self._given_family().at_columns(names, self.n_features_in_)

    def _encode_target(
        self, y: Any, n_rows: int, n_numbers: int | None = None
    ) -> NDArray[np.intp] | None:
        """Labels of the rows, `UNKNOWN` where they are unknown. None if all are unknown.

        Sets `n_components_`, and `classes_` if some labels are known.

        Parameters
        ----------
        y : array-like of shape (n_rows,) or None
            Labels, ignored unless ``use_labels=True``.
        n_rows : int
            Number of rows.
        n_numbers : int, default=None
            See `emlearn.data.read_labels`.
        """
        known = None
        if self.use_labels and y is not None:
            known = read_labels(y, n_rows, n_numbers)
        n_classes = 0 if known is None else len(known.classes)
        n_components = self.n_components or max(n_classes, 1)
        if n_classes > n_components:
            raise ValueError(
                f"y has {n_classes} classes, more than n_components={n_components}. Use "
                "n_components=None to get one component for each class, or use_labels=False "
                "if y does not hold labels of the components."
            )
        self.n_components_ = int(n_components)
        if known is None:
            self.__dict__.pop("classes_", None)
            return None
        self.classes_ = known.classes
        return known.codes

    def _more_labels(self, y: Any, n_rows: int) -> NDArray[np.intp] | None:
        """Labels of further rows; the classes are those of the first ones.

        Raises
        ------
        ValueError
            If there is a class that the first rows did not have.
        """
        known = None
        if self.use_labels and y is not None:
            known = read_labels(y, n_rows)
        if known is None:
            return None
        classes = getattr(self, "classes_", known.classes[:0])
        new = ~np.isin(known.classes, classes)
        if new.any():
            first = known.classes[new].tolist()[0]
            raise ValueError(
                f"y has the class {first!r}, which the first rows did not have; they had "
                f"{classes.tolist()}. Let the first rows have all classes."
            )
        place = np.searchsorted(classes, known.classes)
        return np.where(known.codes == UNKNOWN, UNKNOWN, place[known.codes])

    def _labels_of_fit(
        self, y: Any, n_rows: int, n_numbers: int | None = None
    ) -> NDArray[np.intp] | None:
        """`_encode_target` of the labels of the fit, without a change of the estimator.

        Raises
        ------
        ValueError
            If the classes are not those of the fit.
        """
        own = copy(self)
        labels = own._encode_target(y, n_rows, n_numbers)
        if labels is not None:
            fitted = getattr(self, "classes_", np.zeros(0))
            if not np.array_equal(own.classes_, fitted):
                raise ValueError(
                    f"y has the classes {own.classes_.tolist()}, but in the fit they were "
                    f"{fitted.tolist()}. Give the labels of the fit."
                )
        return labels

    def _initializer(self, n_samples: int, plan: SearchPlan | RacePlan | None) -> Initializer:
        if not isinstance(self.init_params, str):
            return start_of(self.init_params, (n_samples, self.n_components_))
        if isinstance(plan, RacePlan):
            return self._candidates()
        return STARTS.get(self.init_params, STARTS["rows"])

    def _plan(self, labels: NDArray[np.intp] | None) -> SearchPlan | RacePlan | None:
        """How starts are searched for or raced, or None if there is only one kind of start."""
        if not isinstance(self.init_params, str) or self.init_params not in ("auto", "search"):
            return None
        if self._resumes() or self.n_components_ == 1:
            return None
        # Numbers of states may be known that no row has.
        if labels is not None and np.unique(labels[labels != UNKNOWN]).size == self.n_components_:
            return None
        race = self._race() if self.init_params == "auto" else None
        return find_plan(self.search) if race is None else race.times(self.n_init)

    @abstractmethod
    def _race(self) -> RacePlan | None:
        """How starts are raced, or None if the family has only one kind of start."""

    @abstractmethod
    def _candidates(self) -> Initializer:
        """The starts of a race."""

    @abstractmethod
    def _law_params(self) -> Any:
        """The published parameters of the law, checked."""

    @abstractmethod
    def _n_labels(self) -> int:
        """Number of components or states in the published parameters of the law."""

    def __sklearn_is_fitted__(self) -> bool:
        missing = [name for name in self._model_attributes if not hasattr(self, name)]
        if missing and len(missing) < len(self._model_attributes):
            owner = type(self).__name__
            raise NotFittedError(
                f"This {owner} instance is not fitted yet: {', '.join(missing)} is not set. Call "
                f"'fit', set it too, or use {owner}.from_parameters."
            )
        return not missing

    def _emissions(self) -> Emissions:
        """The family at the published parameters.

        Raises
        ------
        ValueError
            If they are invalid or contradict the other attributes.
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
        """Levels of each categorical column, in the order of their probabilities.

        None for a column without levels, such as counts. Only if the family has levels.
        """
        emissions = self._emissions()
        levels = emissions.family.levels(emissions.column_spec)
        if levels is None:
            raise AttributeError(f"{emissions.family!r} has no levels, so levels_ does not exist.")
        return levels

    @property
    def means_(self) -> Array:
        """Means of Gaussian components or states, (n_components, n_features)."""
        return self._gaussian_parameter("means_", "mean")

    @means_.setter
    def means_(self, value: ArrayLike) -> None:
        self._gaussian_parameter("means_", "mean")
        self.component_params_ = {**self.component_params_, "mean": np.asarray(value)}

    @property
    def covariances_(self) -> Array:
        """Covariances of Gaussian components or states."""
        return self._gaussian_parameter("covariances_", "covariance")

    @covariances_.setter
    def covariances_(self, value: ArrayLike) -> None:
        self._gaussian_parameter("covariances_", "covariance")
        # Nothing else: loadings that they are made of follow from them.
        mean = self.component_params_["mean"]
        self.component_params_ = {"mean": mean, "covariance": np.asarray(value)}

    def _gaussian_parameter(self, attribute: str, name: str) -> Array:
        if not isinstance(getattr(self, "family_", None), Gaussian):
            raise AttributeError(
                f"{type(self).__name__} has {attribute} only if it is fitted and its family "
                "is Gaussian; see component_params_."
            )
        parameter: Array = self.component_params_[name]
        return parameter

    def _parameter_names(self, public: Mapping[str, Any]) -> dict[str, str]:
        """Names of the law and of the family; Gaussians also have those of `GaussianMixtureEM`."""
        names = {name: name for name in public}
        if isinstance(self._given_family(), Gaussian):
            aliases = {"means": "mean", "covariances": "covariance"}
            names |= {alias: name for alias, name in aliases.items() if name in public}
        return names

    def _n_free(self, law: Law) -> int:
        """Number of free parameters of the published model."""
        emissions = self._emissions()
        spec = emissions.column_spec
        model = LabelModel(law, emissions.family, STARTS["rows"])
        params = LabelParams(self._law_params(), emissions.params, spec)
        return model.n_parameters(params) - n_held(model, params, self._fixed(model, params))

    def _resumes(self) -> bool:
        return bool(self.warm_start) and all(hasattr(self, name) for name in self._model_attributes)

    def _last_params(self, family: Family, column_spec: Any) -> LabelParams | None:
        """The published parameters, for the rows of a new fit; None without `warm_start`.

        Raises
        ------
        ValueError
            If the family, the number of components or the number of features has changed.
        """
        if not self._resumes():
            return None
        public = self.component_params_
        last = (getattr(self, "family_", family), self._n_labels())
        now = (self.n_components_, self.n_features_in_)
        if last != (family, self.n_components_) or family.shape_of(public) != now:
            raise ValueError(
                "With warm_start=True the fit continues the last one, which had a different "
                "family, n_components or number of features. Set warm_start=False to start afresh."
            )
        last_spec = family.spec_of(public, self._fitted_spec)
        components = family.from_public(public, column_spec, last_spec)
        return LabelParams(self._law_params(), components, column_spec)

    def _problem_of(
        self, law: Law, law_params: Any, observed: Observations, weight: Array | None
    ) -> FittedProblem:
        """The model at the published parameters, with these rows."""
        self._emissions()  # checks what is published
        family = self.family_
        model = LabelModel(law, family, STARTS["rows"])
        with blas_limited(), named_columns(getattr(self, "feature_names_in_", None)):
            whole, data, spec = prepare(model, observed, weight)
        public = self.component_params_
        components = family.from_public(public, spec, family.spec_of(public, self._fitted_spec))
        params = LabelParams(law_params, components, spec)
        names = {name: name for name in model.public(params)}
        fixed = self._fixed(whole, params)
        return FittedProblem(whole, data, params, names, fixed, self._axis_labels())

    def _publish_components(self, family: Family, params: LabelParams, fixed: Public) -> None:
        self.family_ = family
        spec = self._fitted_spec = params.column_spec
        self.component_params_ = hold(family.to_public(params.components, spec), fixed)

    def _warn_of_weights(
        self, model: LabelModel, params: LabelParams, n_rows: int, total_weight: float
    ) -> None:
        """Warn if the prior outweighs the data because the weights of the rows are small."""
        message = outweighed(
            n_rows,
            total_weight,
            model.pseudo_rows(params),
            "",
            f"set {self._priors} to 0",
        )
        if message:
            warn_user(message, UserWarning)

    # ---- for resamples (see `emlearn.inference.bootstrap`) --------------------------------

    def _published_parameters(self) -> dict[str, Array]:
        """Parameters by name, without underscores."""
        laws = [name for name in self._model_attributes if name != "component_params_"]
        law = {name.rstrip("_"): np.asarray(getattr(self, name)) for name in laws}
        return law | {name: np.asarray(own) for name, own in self.component_params_.items()}

    def _permute_labels(self, order: NDArray[np.intp]) -> None:
        """Renumber the components or states: the new number i is the old number ``order[i]``."""
        for name in self._model_attributes:
            if name != "component_params_":
                # All axes of the law of the label are labels.
                value = np.asarray(getattr(self, name))
                setattr(self, name, value[np.ix_(*(order,) * value.ndim)])
        given = self.component_params_
        self.component_params_ = {name: np.asarray(own)[order] for name, own in given.items()}

    def _rotate_to(self, reference: Self) -> None:
        """Rotate the factors, which the likelihood leaves free, to those of another fit."""
        given, other = self.component_params_, reference.component_params_
        for name, own in given.items():
            if name.partition("_")[0] == "loadings":
                self.component_params_ = {**given, name: rotated_to(own, other[name])}
                given = self.component_params_

    def _prepare_refits(self) -> None:
        """Keep levels that a resample may lose."""
        emissions = self._emissions()
        self.family_ = emissions.family.declared(emissions.column_spec)
        self.set_params(family=self.family_)

    @classmethod
    def _of_known(
        cls,
        attributes: Mapping[str, Any],
        component_params: Mapping[str, Any],
        n_features: int | None,
        **hyperparameters: Any,
    ) -> Self:
        """An estimator with these attributes, without a fit."""
        model = cls(**hyperparameters)
        validate_params(model)
        for name, value in attributes.items():
            setattr(model, name, np.array(value))
        copies: Any = component_params
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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        try:
            family = self._given_family()
        except ValueError:
            return tags
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = family.accepts_sparse
        tags.input_tags.positive_only = family.is_discrete
        tags.input_tags.categorical = family.is_discrete
        return tags
