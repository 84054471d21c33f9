"""Gibbs sampling of the parameters of one Gaussian from incomplete rows."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from emlearn.data import input_names
from emlearn.distributions.gaussian.incomplete import ConditionalGaussians
from emlearn.distributions.gaussian.incomplete.conditioning import (
    condition,
    filled_deviation,
    make_component,
)
from emlearn.distributions.gaussian.incomplete.patterns import (
    RowBlock,
    find_patterns,
    row_blocks,
    sorted_rows,
)
from emlearn.distributions.gaussian.prior import CovariancePrior
from emlearn.distributions.gaussian.single import MeanCovariance, OneGaussian
from emlearn.engine import RemainingGain, run_em
from emlearn.impute._imputer import MissingDataImputerEM
from emlearn.impute._prior import PseudoRows

Array = NDArray[np.float64]

# Size of the deviation from the optimum, in coordinates, and steps that show the rate of EM.
_DEVIATION, _STEPS = 1e-4, 25
# Size of the largest change in units of the covariance, which keeps it regular.
_MOST_MOVED = 0.3
# Accuracy of the optimum, in nats.
_TOL = 1e-9


class GaussianGibbs:
    """Draws of the mean and the covariance of one Gaussian given incomplete rows.

    A step draws the missing entries given the parameters, and the parameters given the filled
    rows. The prior is that of the fit: pseudo-rows that are added to the rows, under the prior
    ``|Sigma|**(-(d + 1) / 2)`` without information. So with n filled rows of scatter S and nu
    pseudo-rows of scatter P,

        Sigma ~ inverse Wishart(n - 1 + nu, S + P),   mu | Sigma ~ N(mean of the rows, Sigma / n)

    Parameters
    ----------
    imputer : MissingDataImputerEM
        The imputer, fitted to all rows; one Gaussian.
    table : ndarray of shape (n_samples, n_features)
        The table as the imputer reads it.
    prior : PseudoRows or None
        The prior.

    References
    ----------
    J. L. Schafer (1997). "Analysis of Incomplete Multivariate Data", chapter 5. Chapman & Hall.
    """

    def __init__(self, imputer: MissingDataImputerEM, table: Any, prior: PseudoRows | None):
        self.imputer = imputer
        if hasattr(imputer, "models_"):
            raise ValueError(
                "method='da' is for one Gaussian of numbers, and these columns have categories, or "
                "model asks for classes. Use method='bootstrap'."
            )
        known = imputer._known()
        if imputer.n_components > 1 or not isinstance(known.fitted, ConditionalGaussians):
            raise ValueError(
                "method='da' is for one Gaussian of columns that vary (n_components=1, "
                "n_factors=None). Use method='bootstrap'."
            )
        self.columns = known.varying
        self.scaling = known.fitted.scaling
        rows = np.asarray(imputer._keep(table)[:, self.columns], np.float64)
        rows = rows[~np.isnan(rows).all(axis=1)]
        self.n_rows, n_columns = rows.shape
        self.prior = CovariancePrior() if prior is None else prior.prior(self.scaling)
        scatter = self.prior.scatter
        self._scatter = np.zeros((n_columns, n_columns)) if scatter is None else scatter
        self._df = self.n_rows - 1 + self.prior.strength
        if self._df <= n_columns - 1:
            raise ValueError(
                f"{self.n_rows} rows are too few for the covariance of {n_columns} columns with "
                f"{self.prior.strength:g} pseudo-rows. Set a larger alpha, or use "
                "method='bootstrap'."
            )
        model = OneGaussian(self.prior)
        self._data = model.prepare(rows, None, self.scaling)
        self._model = model
        component = known.fitted.components[0]
        self.start = self._em(MeanCovariance(component.mean, component.covariance), 1000)
        missing = np.isnan(rows)
        complete = self.scaling.to_scaled(rows[~missing.any(axis=1)])
        self._count, self._center = len(complete), complete.sum(axis=0) / max(1, len(complete))
        centered = complete - self._center
        self._complete = centered.T @ centered
        self._blocks: list[RowBlock] = []
        for chunk in sorted_rows(rows, self.scaling, find_patterns(missing).incomplete()):
            self._blocks += row_blocks(chunk, self.scaling)

    @property
    def names(self) -> list[str]:
        """Names of the parameters."""
        names = input_names(self.imputer, None)[self.imputer._kept][self.columns]
        pairs = zip(*np.triu_indices(len(names)), strict=True)
        return [
            *(f"mean[{name}]" for name in names),
            *(f"cov[{names[i]}, {names[j]}]" for i, j in pairs),
        ]

    def step(self, params: MeanCovariance, rng: np.random.Generator) -> MeanCovariance:
        """One draw of the missing entries and of the parameters."""
        mean, covariance = params
        component = make_component(mean, covariance)
        cholesky = np.linalg.cholesky(covariance)
        shift = self._center - mean
        first = self._count * shift
        second = self._complete + self._count * np.outer(shift, shift)
        for block in self._blocks:
            draw = rng.standard_normal(block.rows.shape) @ cholesky.T
            shifted = block._replace(rows=np.where(block.missing, 0.0, block.rows - draw))
            filled = filled_deviation(block, condition(shifted, component).deviation, component)
            filled = filled + draw
            first = first + filled.sum(axis=0)
            second = second + filled.T @ filled
        first = first / self.n_rows
        scatter = second - self.n_rows * np.outer(first, first) + self._scatter
        drawn = _inverse_wishart(self._df, (scatter + scatter.T) / 2.0, rng)
        noise = np.linalg.cholesky(drawn) @ rng.standard_normal(len(mean))
        return MeanCovariance(mean + first + noise / np.sqrt(self.n_rows), drawn)

    def to_vector(self, params: MeanCovariance) -> Array:
        """Means, and variances and covariances, in the units of the data."""
        scale = self.scaling.scale
        covariance = params.covariance * scale[:, None] * scale
        return np.concatenate(
            (self.scaling.to_units(params.mean), covariance[np.triu_indices(len(scale))])
        )

    def impute(self, X: Any, params: MeanCovariance, seed: int) -> Any:
        """Draw the missing entries of a table under given parameters."""
        imputer = copy.deepcopy(self.imputer)
        imputer.set_params(sample_posterior=True, random_state=seed)
        scale = self.scaling.scale
        means, covariances = imputer.means_.copy(), imputer.covariances_.copy()
        means[0, self.columns] = self.scaling.to_units(params.mean)
        covariances[0, self.columns[:, None], self.columns] = (
            params.covariance * scale[:, None] * scale
        )
        imputer.means_, imputer.covariances_ = means, covariances
        return imputer.transform(X)

    def rate(self) -> float:
        """Rate of convergence of EM, the autocorrelation of the slowest parameter in one step.

        It is the largest eigenvalue of the EM map at the optimum, by power iteration.
        """
        base = self._em(self.start, 1)
        # In these coordinates the covariance is I, so that a small change keeps it regular.
        cholesky: Array = np.asarray(np.linalg.cholesky(self.start.covariance), np.float64)
        d = len(cholesky)
        direction = np.random.default_rng(0).standard_normal((d, d + 1))
        direction[:, 1:] += direction[:, 1:].T.copy()
        rate = 0.0
        for _ in range(_STEPS):
            # Sizes are those in the units of the scaling, in which rounding across exact
            # relations does not count.
            moved, size = self._moved(cholesky, direction)
            factor = min(_DEVIATION / size, _MOST_MOVED / float(np.linalg.norm(direction)))
            mean, covariance = self.start
            moved = moved * factor
            start = MeanCovariance(mean + moved[:, 0], covariance + moved[:, 1:])
            gain: list[Array] = [
                new - old for new, old in zip(self._em(start, 1), base, strict=True)
            ]
            across = solve_triangular(cholesky, gain[1], lower=True).T
            gained = np.column_stack((gain[0], across))
            direction = np.asarray(solve_triangular(cholesky, gained, lower=True), np.float64)
            rate = self._moved(cholesky, direction)[1] / (factor * size)
            if rate == 0.0:
                break
        return min(rate, 1.0)

    def _moved(self, cholesky: Array, direction: Array) -> tuple[Array, float]:
        """A change of mean and covariance in the units of the scaling, and its size."""
        mean, covariance = cholesky @ direction[:, 0], cholesky @ direction[:, 1:] @ cholesky.T
        moved = np.column_stack((mean, covariance))
        return moved, float(np.linalg.norm(moved))

    def _em(self, start: MeanCovariance, max_iter: int) -> MeanCovariance:
        run = run_em(
            self._model, self._data, start, convergence=RemainingGain(_TOL), max_iter=max_iter
        )
        return start if run.params is None else run.params


def _inverse_wishart(df: float, scatter: Array, rng: np.random.Generator) -> Array:
    """One draw, by Bartlett's decomposition; neither matrix is inverted."""
    d = len(scatter)
    factor = np.tril(rng.standard_normal((d, d)), -1)
    np.fill_diagonal(factor, np.sqrt(rng.chisquare(df - np.arange(d))))
    cholesky = np.linalg.cholesky(scatter)
    half = solve_triangular(factor, cholesky.T, lower=True)
    return np.asarray(half.T @ half)
