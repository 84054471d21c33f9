"""What the analyses of a fit read from a fitted estimator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from emlearn.data import read_weight
from emlearn.irt._curves import ItemCurves
from emlearn.irt._latent import LatentParams
from emlearn.irt._persons import Persons
from emlearn.irt._reading import encode, read_codes

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]

# The grid of the trait: how far it reaches, and how dense it is, in standard deviations.
_WIDTH = 6.0
_POINTS_PER_DEVIATION = 10
# Step of the derivatives with respect to parameters of items.
_STEP = 1e-5


class Answers(NamedTuple):
    """Answers of persons, and what is known of their traits without these.

    Attributes
    ----------
    codes : ndarray of int of shape (n_persons, n_items)
        Categories answered, counted from 0; -1 where there is no answer.
    mean, deviation : ndarray of shape (n_persons,)
        Means and standard deviations of the traits of such persons in the population.
    weight : ndarray of shape (n_persons,)
        How many persons each row stands for.
    """

    codes: Codes
    mean: Floats
    deviation: Floats
    weight: Floats

    def take(self, persons: NDArray[Any]) -> Answers:
        """Some of the persons."""
        return Answers(*(values[persons] for values in self))


@dataclass(frozen=True)
class FittedItems:
    """Curves of fitted items with one trait, and the distribution of the trait.

    Parameters
    ----------
    estimator : ItemResponseEM
        The estimator, which reads answers.
    curves : ItemCurves
        Curves of its items.
    latent : LatentParams
        Distribution of the trait.
    """

    estimator: Any
    curves: ItemCurves
    latent: LatentParams

    def read(
        self,
        X: Any,
        groups: Any = None,
        covariates: Any = None,
        sample_weight: Any = None,
        *,
        needs_prior: bool = True,
    ) -> Answers:
        """Read answers, and the distribution of the traits of the persons.

        Without `needs_prior`, groups and covariates may be left out.
        """
        given = groups is not None or covariates is not None
        if needs_prior or given:
            persons = self.estimator._persons(X, groups, covariates)
        else:
            names = getattr(self.estimator, "feature_names_in_", None)
            codes = read_codes(self.estimator._read_rows(X), names)
            persons = Persons(encode(codes, self.estimator.categories_, names))
        codes = persons.codes.astype(np.intp)
        group = np.zeros(len(codes), dtype=np.intp) if persons.groups is None else persons.groups
        mean = self.latent.means[group, 0]
        if persons.covariates is not None:
            mean = mean + persons.covariates @ self.latent.coefficients[:, 0]
        deviation = np.sqrt(self.latent.covariances[group, 0, 0])
        weight = read_weight(sample_weight, len(codes))
        counts = np.ones(len(codes)) if weight is None else np.asarray(weight, np.float64)
        return Answers(codes, mean, deviation, counts)

    def density(self, answers: Answers) -> tuple[Floats, Floats]:
        """Points of the trait, and its distribution among the persons on them, of sum 1."""
        traits = np.stack([answers.mean, answers.deviation], axis=1)
        pairs, which = np.unique(traits, axis=0, return_inverse=True)
        shares = np.bincount(np.asarray(which).ravel(), weights=answers.weight)
        mean, deviation = pairs[:, :1], pairs[:, 1:]
        low = float(np.min(mean - _WIDTH * deviation))
        high = float(np.max(mean + _WIDTH * deviation))
        step = float(np.min(deviation)) / _POINTS_PER_DEVIATION
        grid = np.linspace(low, high, int(np.ceil((high - low) / step)) + 1)
        total = np.zeros(grid.size)
        for share, center, scale in zip(shares, mean[:, 0], deviation[:, 0], strict=True):
            height = np.exp(-0.5 * ((grid - center) / scale) ** 2)
            total += share / height.sum() * height
        return grid, total / total.sum()

    def require_one_population(self, caller: str) -> None:
        """Raise an error if persons differ in the distribution of their trait."""
        what = "groups" if len(self.latent.means) > 1 else "covariates"
        if len(self.latent.means) > 1 or self.latent.coefficients.size:
            raise ValueError(
                f"{caller} takes fits of one population, and this one has {what}. Fit the persons "
                "of each group alone, or without covariates."
            )

    @property
    def n_parameters_of_item(self) -> NDArray[np.intp]:
        """Number of parameters that only one item has, for each item."""
        return own_parameters(self.curves)

    def probability_changes(self, theta: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Derivatives of the probabilities with respect to the parameters of each item.

        Central differences in the coordinates [slopes, intercepts, logit of guessing].

        Returns
        -------
        change : ndarray of shape (n_items, n_coordinates, n_categories, n_points)
            Derivatives.
        is_free : ndarray of bool of shape (n_items, n_coordinates)
            Which coordinates are parameters of an item.
        """
        model, params = self.curves.model, self.curves.params
        n_slopes = params.slopes.shape[1]
        size = n_slopes + params.intercepts.shape[1] + int(model.has_guessing)
        changes = []
        for coordinate in range(size):
            step = np.zeros((model.n_items, size))
            step[:, coordinate] = _STEP
            up = model.log_probabilities(model.moved(params, step), theta)
            down = model.log_probabilities(model.moved(params, -step), theta)
            changes.append((np.exp(up) - np.exp(down)) / (2.0 * _STEP))
        is_free = np.ones((model.n_items, size), dtype=bool)
        is_free[:, n_slopes : n_slopes + params.intercepts.shape[1]] = model.is_category[:, 1:]
        return np.stack(changes, axis=1), is_free


def own_parameters(curves: ItemCurves) -> NDArray[np.intp]:
    """Number of parameters that only one item has, for each item."""
    shared = curves.model.has_common_slope
    return np.asarray(curves.top + int(not shared) + int(curves.model.has_guessing))


def read_fitted(estimator: Any, caller: str) -> FittedItems:
    """Read a fitted estimator.

    Raises
    ------
    TypeError
        If it is no item response model.
    ValueError
        If it has more than one trait.
    """
    check_is_fitted(estimator)
    if not hasattr(estimator, "item_probabilities"):
        raise TypeError(f"{caller} takes an ItemResponseEM, not a {type(estimator).__name__}.")
    params = estimator._params()
    n_traits = params.items.slopes.shape[1]
    if n_traits > 1:
        raise ValueError(
            f"{caller} takes models with one trait, and this one has {n_traits}. For scores of "
            "several traits use transform."
        )
    return FittedItems(
        estimator, ItemCurves(estimator._model.responses, params.items), params.latent
    )
