"""Factor scores, densities and draws of a fitted factor analysis."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from emlearn.data import read_table, read_weight
from emlearn.data.blocks.finding import find_blocks
from emlearn.data.blocks.reading import by_block
from emlearn.distributions.gaussian.incomplete.factor_rows import cut_rows
from emlearn.distributions.gaussian.incomplete.factors import FactorPosterior, infer_block
from emlearn.engine.block_table import BlockTable, RowPart
from emlearn.engine.criteria import InformationCriteria
from emlearn.engine.threads import blas_limited
from emlearn.factors._chi_square import FitTest, compare_with_unrestricted
from emlearn.factors._known import Known, read_known

Array = NDArray[np.float64]


@by_block("transform", "score_samples")
class FactorScoring(
    InformationCriteria, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Scores, densities and draws from the published attributes."""

    n_features_in_: int
    components_: Array
    noise: str
    scores: str
    random_state: Any

    @abstractmethod
    def _read_rows(self, X: Any, *, reset: bool = False) -> Any:
        """The rows as an array."""

    def _known(self) -> Known:
        check_is_fitted(self)
        return read_known(self)

    @property
    def _n_features_out(self) -> int:
        return len(self.components_)

    def _visit(self, rows: Array, known: Known) -> Iterator[tuple[slice, FactorPosterior]]:
        """Posteriors of the uncorrelated factors, block by block."""
        conditional = known.conditional()
        done = 0
        everything, ones = np.arange(len(rows)), np.ones(len(rows))
        with blas_limited():
            for block in cut_rows(rows, conditional.scaling, everything, ones):
                part = slice(done, done + len(block.rows))
                done = part.stop
                yield part, infer_block(block, conditional.precomputed)

    def transform(self, X: ArrayLike, *, return_std: bool = False) -> Any:
        """Factor scores of each row, from its observed entries.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows. NaN means a missing entry.
        return_std : bool, default=False
            Whether to return standard deviations as well.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_components)
            With ``scores="regression"``: the means of the factors given the row. With
            "bartlett": the values at which the row is most probable, without regard to the
            distribution of the factors.
        std : ndarray of shape (n_samples, n_components)
            Only with ``return_std=True``. "regression": standard deviations of the factors
            given the row. "bartlett": standard errors of the scores.

        Raises
        ------
        ValueError
            With "bartlett": if the observed entries of a row do not determine the factors. The
            message names the row.
        """
        known = self._known()
        rows = self._read_rows(X)
        k = known.root.shape[0]
        scores, deviations = np.empty((len(rows), k)), np.empty((len(rows), k))
        if self.scores not in _SCORES:
            raise ValueError(f"scores={self.scores!r} must be one of {', '.join(_SCORES)}.")
        find = _SCORES[self.scores]
        for part, posterior in self._visit(rows, known):
            mean, covariance = find(posterior, part.start)
            scores[part] = mean @ known.root.T
            if return_std:
                turned = known.root @ covariance @ known.root.T
                variance = np.diagonal(turned, axis1=1, axis2=2)
                deviations[part] = np.sqrt(np.maximum(variance, 0.0))
        return (scores, deviations) if return_std else scores

    def inverse_transform(self, X: ArrayLike) -> Array:
        """Rows that factors with these scores have on average.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Scores.

        Returns
        -------
        rows : ndarray of shape (n_samples, n_features)
            ``X @ components_ + mean_``.

        Raises
        ------
        ValueError
            If there is not one score for each factor, or a score is missing.
        """
        known = self._known()
        scores = read_table(_Reader(), X, reset=True, dtype=(np.float64,))
        if scores.shape[1] != len(known.root):
            raise ValueError(
                f"X has {scores.shape[1]} columns, but there are {len(known.root)} factors: "
                "inverse_transform takes scores, as transform returns them."
            )
        incomplete = np.isnan(scores).any(axis=1)
        if incomplete.any():
            raise ValueError(
                f"Row {int(incomplete.argmax())} of X has scores that are NaN. Leave it out."
            )
        rows: Array = scores @ known.loadings.T + known.mean
        return rows

    def get_covariance(self) -> Array:
        """Covariance of the columns under the model.

        Returns
        -------
        covariance : ndarray of shape (n_features, n_features)
            ``components_.T @ factor_correlation_ @ components_ + diag(noise_variance_)``.
        """
        return self._known().covariance

    def get_precision(self) -> Array:
        """Inverse of the covariance, by Woodbury's identity.

        Returns
        -------
        precision : ndarray of shape (n_features, n_features)
            The inverse of `get_covariance`.
        """
        known = self._known()
        scaled = known.uncorrelated / known.noise[:, None]
        information = np.eye(scaled.shape[1]) + known.uncorrelated.T @ scaled
        precision = -scaled @ np.linalg.solve(information, scaled.T)
        precision[np.diag_indices_from(precision)] += 1.0 / known.noise
        return 0.5 * (precision + precision.T)

    def score_samples(self, X: ArrayLike) -> Array:
        """Log-density of the observed entries of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows. NaN means a missing entry.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            In nats, per unit of volume in the units of X; 0 for a row without entries.
        """
        known = self._known()
        return self._densities(self._read_rows(X), known)

    def _densities(self, rows: Array, known: Known) -> Array:
        found = np.empty(len(rows))
        for part, posterior in self._visit(rows, known):
            found[part] = posterior.log_density
        return found

    def score(
        self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Weighted mean log-density of the rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows. NaN means a missing entry.
        y : Ignored
            Present for compatibility with pipelines.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows. None means 1 each.

        Returns
        -------
        log_likelihood : float
            In nats per unit of weight.
        """
        log_likelihood, total = self._likelihood(X, sample_weight)
        return log_likelihood / total

    def chi_square_test(self, X: ArrayLike, sample_weight: ArrayLike | None = None) -> FitTest:
        """Test of the model against an unrestricted covariance.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The rows of the fit. Where entries are missing, the unrestricted Gaussian is fitted
            by EM.
        sample_weight : array-like of shape (n_samples,), default=None
            Their weights. None means 1 each.

        Returns
        -------
        test : FitTest
            Statistic, degrees of freedom, p value and criterion. The statistic is the criterion
            times ``n - 1 - (2 d + 5) / 6 - 2 k / 3`` (Bartlett 1950), or times n with
            ``noise="isotropic"``.

        Raises
        ------
        ValueError
            If the model has as many parameters as a covariance, or the covariance of the rows
            is singular.

        References
        ----------
        M. S. Bartlett (1950). "Tests of significance in factor analysis". British Journal of
        Statistical Psychology 3(2), 77-85.
        """
        rows, weight, log_likelihood = self._evaluate(X, sample_weight)
        return compare_with_unrestricted(
            rows,
            weight,
            log_likelihood,
            len(self.components_),
            self._n_parameters(),
            self.noise == "isotropic",
        )

    def sample(self, n_samples: int = 1) -> Array:
        """Draw rows from the fitted model.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Rows.

        Raises
        ------
        ValueError
            If `n_samples` is no integer above 0.
        """
        known = self._known()
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(
                f"Invalid value for 'n_samples': {n_samples!r}. It must be an int >= 1."
            )
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        rng = np.random.default_rng(seed)
        d, k = known.loadings.shape
        factors = rng.standard_normal((int(n_samples), k))
        own = rng.standard_normal((int(n_samples), d)) * np.sqrt(known.noise)
        rows: Array = factors @ known.uncorrelated.T + own + known.mean
        return rows

    def _n_parameters(self) -> int:
        k, d = self.components_.shape
        return d + d * k - k * (k - 1) // 2 + (1 if self.noise == "isotropic" else d)

    def _evaluate(
        self, X: ArrayLike, sample_weight: ArrayLike | None
    ) -> tuple[Array, Array | None, float]:
        """Rows, weights and log-likelihood."""
        known = self._known()
        rows = self._read_rows(X)
        weight = read_weight(sample_weight, len(rows))
        density = self._densities(rows, known)
        return rows, weight, float(density.sum() if weight is None else weight @ density)

    def _likelihood(self, X: ArrayLike, sample_weight: ArrayLike | None) -> tuple[float, float]:
        blocks = find_blocks(X)
        if blocks is not None:
            scorer = partial(self._score_of_part, self._known())
            table: BlockTable = self._read_table(blocks, sample_weight)
            return float(table.total(scorer)), table.total_weight
        rows, weight, log_likelihood = self._evaluate(X, sample_weight)
        return log_likelihood, float(len(rows)) if weight is None else float(weight.sum())

    def _score_of_part(self, known: Known, part: RowPart) -> float:
        """Weighted sum of the log-densities of some rows."""
        density = self._densities(part.X, known)
        return float(density.sum() if part.weight is None else part.weight @ density)


class _Reader(BaseEstimator):
    """Reads a table whose columns are not those of the fit."""


def _regression(posterior: FactorPosterior, first: int) -> tuple[Array, Array]:
    return posterior.mean, posterior.covariance


def _bartlett(posterior: FactorPosterior, first: int) -> tuple[Array, Array]:
    """Estimates without the distribution of the factors: its information is taken out."""
    k = posterior.mean.shape[1]
    precision = np.asarray(np.linalg.inv(posterior.covariance), np.float64)
    information = precision - np.eye(k)
    values = np.linalg.eigvalsh(information)
    undetermined = values[:, 0] <= 1e-8 * np.maximum(values[:, -1], 1.0)
    if undetermined.any():
        raise ValueError(
            f"The observed entries of row {first + int(undetermined.argmax())} do not determine "
            f'its {k} factors. Use scores="regression", or leave out rows with few entries.'
        )
    covariance = np.asarray(np.linalg.inv(information), np.float64)
    right = np.einsum("nij,nj->ni", precision, posterior.mean)
    return np.einsum("nij,nj->ni", covariance, right), covariance


_SCORES = {"regression": _regression, "bartlett": _bartlett}
