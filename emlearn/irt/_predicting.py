"""Estimates of the trait, and scores, of a fitted test."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from emlearn._warnings import warn_user
from emlearn.data import read_weight
from emlearn.engine.threads import blas_limited
from emlearn.irt._model import IRTParams, ItemResponseModel
from emlearn.irt._persons import Block, Persons, cut
from emlearn.irt._reading import (
    encode,
    index_groups,
    read_codes,
    read_covariates,
    read_groups,
)

Array = NDArray[np.float64]


class TraitEstimates(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Traits of persons, likelihoods and probabilities at the published parameters."""

    _model: ItemResponseModel
    groups_: NDArray[Any] | None
    covariate_means_: Array
    coefficients_: Array
    categories_: list[NDArray[np.int64]]
    random_state: Any
    _read_rows: Callable[..., Any]

    @abstractmethod
    def _params(self) -> IRTParams:
        """The published parameters."""

    def transform(
        self,
        X: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        covariates: ArrayLike | None = None,
        return_std: bool = False,
    ) -> Any:
        """Expected trait of each person, given the responses (EAP).

        Parameters
        ----------
        X : array-like of shape (n_persons, n_items)
            Responses; NaN where an item was not presented. The persons need not be those of the
            fit. One without any response gets the mean of the population.
        groups : array-like of shape (n_persons,), default=None
            Group of each person. Required if the fit had groups.
        covariates : array-like of shape (n_persons, n_covariates), default=None
            Covariates. Required if the fit had covariates.
        return_std : bool, default=False
            Whether to return posterior standard deviations, too.

        Returns
        -------
        trait : ndarray of shape (n_persons, n_dims)
            Posterior means.
        deviation : ndarray of shape (n_persons, n_dims)
            Posterior standard deviations. Only with ``return_std=True``.
        """
        params = self._params()
        nodes = self._model.grid.nodes
        persons = self._persons(X, groups, covariates)
        means = np.empty((len(persons.codes), nodes.shape[1]))
        deviations = np.empty_like(means)
        for block, working in self._blocks(persons, params):
            posterior = self._model.posterior_of(block, working)
            mean = posterior.T @ nodes
            means[block.positions] = mean
            if return_std:
                # About the mean: the difference of two large moments has no digits.
                for dim, line in enumerate(nodes.T):
                    squares = (line[:, None] - mean[:, dim]) ** 2
                    variance = np.einsum("qn,qn->n", posterior, squares)
                    deviations[block.positions, dim] = np.sqrt(variance)
        return (means, deviations) if return_std else means

    def fit_transform(
        self,
        X: ArrayLike,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        *,
        groups: ArrayLike | None = None,
        covariates: ArrayLike | None = None,
    ) -> Any:
        """Fit, and return the expected trait of each person.

        Parameters
        ----------
        X : array-like of shape (n_persons, n_items)
            Responses.
        y : object, default=None
            Ignored.
        sample_weight : array-like of shape (n_persons,), default=None
            See `fit`.
        groups : array-like of shape (n_persons,), default=None
            See `fit`.
        covariates : array-like of shape (n_persons, n_covariates), default=None
            See `fit`.

        Returns
        -------
        trait : ndarray of shape (n_persons, n_dims)
            The same as ``fit(X, ...).transform(X, ...)``.
        """
        fitted: Any = self
        fitted.fit(X, y, sample_weight, groups=groups, covariates=covariates)
        return self.transform(X, groups=groups, covariates=covariates)

    def score_samples(
        self,
        X: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        covariates: ArrayLike | None = None,
    ) -> Array:
        """Log-likelihood of each person, integrated over the trait.

        Parameters
        ----------
        X : array-like of shape (n_persons, n_items)
            Responses.
        groups : array-like of shape (n_persons,), default=None
            See `transform`.
        covariates : array-like of shape (n_persons, n_covariates), default=None
            See `transform`.

        Returns
        -------
        log_likelihood : ndarray of shape (n_persons,)
            Natural logarithm of the probability of the responses.
        """
        params = self._params()
        persons = self._persons(X, groups, covariates)
        found = np.empty(len(persons.codes))
        for block, working in self._blocks(persons, params):
            found[block.positions] = self._model.log_likelihoods_of(block, working)
        return found

    def score(
        self,
        X: ArrayLike,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        *,
        groups: ArrayLike | None = None,
        covariates: ArrayLike | None = None,
    ) -> float:
        """Mean log-likelihood of a person.

        Parameters
        ----------
        X : array-like of shape (n_persons, n_items)
            Responses.
        y : object, default=None
            Ignored.
        sample_weight : array-like of shape (n_persons,), default=None
            Weights of the persons.
        groups : array-like of shape (n_persons,), default=None
            See `transform`.
        covariates : array-like of shape (n_persons, n_covariates), default=None
            See `transform`.

        Returns
        -------
        score : float
            Weighted mean of `score_samples`.
        """
        values = self.score_samples(X, groups=groups, covariates=covariates)
        weight = read_weight(sample_weight, len(values))
        return float(np.average(values, weights=weight))

    def item_probabilities(self, theta: ArrayLike) -> Array:
        """Probability of each response to each item, for given traits.

        Parameters
        ----------
        theta : array-like of shape (n_points,) or (n_points, n_dims)
            Traits.

        Returns
        -------
        probabilities : ndarray of shape (n_points, n_items, n_categories)
            Probabilities; 0 for categories that an item does not have.

        Raises
        ------
        ValueError
            If `theta` has another number of dimensions or is not finite.
        """
        params = self._params()
        points = np.asarray(theta, dtype=np.float64)
        points = points.reshape(-1, 1) if points.ndim < 2 else points
        n_dims = params.items.slopes.shape[1]
        if points.ndim != 2 or points.shape[1] != n_dims:
            raise ValueError(
                f"theta must have {n_dims} columns, one for each dimension of the trait, but has "
                f"shape {points.shape}."
            )
        if not np.isfinite(points).all():
            raise ValueError("theta must be finite.")
        found = np.exp(self._model.responses.log_probabilities(params.items, points))
        return np.ascontiguousarray(found.transpose(2, 0, 1))

    def sample(self, n_samples: int = 1) -> tuple[Array, Array]:
        """Draw persons from the population: the reference group, or mean covariates.

        Parameters
        ----------
        n_samples : int, default=1
            Number of persons.

        Returns
        -------
        X : ndarray of shape (n_samples, n_items)
            Responses.
        trait : ndarray of shape (n_samples, n_dims)
            Traits that the responses were drawn for.
        """
        latent = self._params().latent
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(
                f"Invalid value for 'n_samples': {n_samples!r}. It must be an int >= 1."
            )
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        rng = np.random.default_rng(seed)
        factor = np.linalg.cholesky(latent.covariances[0])
        normal = rng.standard_normal((int(n_samples), len(factor)))
        trait: Array = latent.means[0] + normal @ factor.T
        above = self.item_probabilities(trait).cumsum(axis=2)[:, :, :-1]
        uniform = rng.random((int(n_samples), above.shape[1], 1))
        responses = (uniform > above).sum(axis=2)
        columns = [
            seen[np.minimum(drawn, len(seen) - 1)]
            for seen, drawn in zip(self.categories_, responses.T, strict=True)
        ]
        return np.stack(columns, axis=1).astype(np.float64), trait

    # ---- what they are made of ----------------------------------------------------------

    @property
    def _n_features_out(self) -> int:
        return self._model.law.n_dims

    def _persons(self, X: Any, groups: Any, covariates: Any) -> Persons:
        """Persons that may be new, with groups and centered covariates."""
        check_is_fitted(self)
        names = getattr(self, "feature_names_in_", None)
        codes = read_codes(self._read_rows(X), names)
        codes = encode(codes, self.categories_, names)
        for given, needed, name in (
            (groups, self.groups_ is not None, "groups"),
            (covariates, self.covariate_means_.size > 0, "covariates"),
        ):
            if needed and given is None:
                raise ValueError(f"The model was fitted with {name}: pass {name}= here, too.")
            if given is not None and not needed:
                raise ValueError(f"The model was fitted without {name}: leave {name}= out.")
        index, values = None, None
        if groups is not None and self.groups_ is not None:
            index = index_groups(read_groups(groups, len(codes)), self.groups_)
        if covariates is not None:
            values = read_covariates(covariates, len(codes))
            if values.shape[1] != len(self.covariate_means_):
                raise ValueError(
                    f"covariates has {values.shape[1]} columns, but the fit had "
                    f"{len(self.covariate_means_)}."
                )
            values = values - self.covariate_means_
            self._warn_beyond_nodes(values)
        return Persons(codes, index, values)

    def _warn_beyond_nodes(self, centered: Array) -> None:
        """Warn if covariates are so far from those of the fit that the nodes do not reach there."""
        reach = float(self._model.grid.nodes.max())
        expected = np.abs(centered @ self.coefficients_)
        beyond = np.flatnonzero((expected + 3.0 > reach).any(axis=1))
        if beyond.size:
            row = int(beyond[0])
            warn_user(
                f"The covariates of row {row} are far from those of the fit: they put the trait at "
                f"{expected[row].max():.3g} standard deviations, and the nodes reach to {reach:g}. "
                f"Its trait is cut off there; {beyond.size} rows are as far.",
                UserWarning,
            )

    def _blocks(self, persons: Persons, params: IRTParams) -> Iterator[tuple[Block, Any]]:
        """Blocks of persons, each with what the E-step needs."""
        model = self._model
        with blas_limited():
            working = model.precompute(params)
            weight = np.ones(len(persons.codes))
            n_nodes = len(model.grid.nodes)
            for block in cut(persons, weight, model.responses.n_categories, n_nodes):
                yield block, working
