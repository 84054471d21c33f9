"""FactorAnalysisEM: factor analysis and probabilistic principal components."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.exceptions import ConvergenceWarning

from emlearn._compat import Interval, StrOptions
from emlearn._warnings import warn_user
from emlearn.data import as_numbers, column_label, read_table, read_weight
from emlearn.data.resampling import check_copies
from emlearn.distributions import Gaussian
from emlearn.distributions.gaussian.incomplete import FactorAnalysis, FactorParams
from emlearn.distributions.gaussian.incomplete.factor_moments import (
    FEW_COLUMNS,
    MomentFactorAnalysis,
)
from emlearn.distributions.gaussian.incomplete.table import prepare_table
from emlearn.distributions.gaussian.rotation import canonical
from emlearn.distributions.gaussian.scaling import (
    ColumnSummary,
    summarize_columns,
    summarize_rows,
)
from emlearn.engine import EMEstimator
from emlearn.engine.block_table import BlockTable, RowPart
from emlearn.engine.inference import FittedProblem, Inference, Kind
from emlearn.engine.threads import blas_limited
from emlearn.factors._inference import factor_inference, factor_problem
from emlearn.factors._known import read_known
from emlearn.factors._rotation import ROTATIONS, Rotated, rotate
from emlearn.factors._scoring import FactorScoring
from emlearn.latent.passes import TablePasses

Array = NDArray[np.float64]

# Names that a warning lists.
_NAMED = 5


class FactorAnalysisEM(EMEstimator, FactorScoring):
    """Factor analysis by maximum likelihood, also of rows with missing entries.

    A row is ``mean_ + factors @ components_ + noise``: a few factors explain how the columns
    vary together, and each column has noise of its own. With noise of one variance for all
    columns this is probabilistic principal component analysis.

    Parameters
    ----------
    n_components : int, default=1
        Number of factors.
    rotation : {"varimax", "promax", "oblimin", "quartimin"} or None, default=None
        How to rotate the factors after the fit; see `emlearn.factors.rotate`. The rotation is
        of the loadings of standardized columns, so that it does not depend on their units. None:
        the factors are uncorrelated given a row, the one that explains most first.
    noise : {"diag", "isotropic"}, default="diag"
        "diag": each column has its own variance of the noise (factor analysis); a change of
        units changes nothing. "isotropic": one variance for all columns (probabilistic principal
        components), which should then have the same units.
    scores : {"regression", "bartlett"}, default="regression"
        What `transform` returns; see there. Regression scores are closest to the factors on
        average, but are drawn to 0; Bartlett's are unbiased.
    min_uniqueness : float, default=1e-6
        Least variance of the noise, as a fraction of the variance of its column. Likelihoods can
        be largest where the noise of a column vanishes (a Heywood case), which is not what the
        model means. Columns at the least variance are warned of. R's factanal has 0.005.
    {tol}
    {max_iter}
    {accelerate}
    {random_state}
    {warm_start}
    {verbose}
    {verbose_interval}

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Loadings, in the units of the columns: how they change with one standard deviation of a
        factor. The standardized loadings of each factor have a positive sum. Rotated factors are
        in order of their sum of squares.
    noise_variance_ : ndarray of shape (n_features,)
        Variances of the noise. With ``noise="isotropic"`` all are the same.
    mean_ : ndarray of shape (n_features,)
        Mean.
    factor_correlation_ : ndarray of shape (n_components, n_components)
        Correlation of the factors; the identity unless the rotation is oblique.
    rotation_matrix_ : ndarray of shape (n_components, n_components)
        What the rotation did: ``components_.T`` is the unrotated loadings times it.
    uniquenesses_ : ndarray of shape (n_features,)
        Noise as a fraction of the variance of each column. 1 minus these are the communalities.
    {converged_}
    {n_iter_}
    {log_likelihood_}
    {lower_bound_}
    {lower_bounds_}
    {history_}
    {restarts_}
    {n_features_in_}
    {feature_names_in_}

    See Also
    --------
    emlearn.factors.rotate : Rotations of loadings.
    emlearn.factors.select_n_factors : How many factors, by several criteria.
    MissingDataImputerEM : Fills missing entries, with `n_factors` also by factor analysis.

    Notes
    -----
    Missing entries are integrated out, which is exact if they are missing at random. The fit is
    deterministic. It starts at the solution for the covariance of the rows; if no entry is missing
    and there are at most 512 columns, that is the maximum, by Newton's method on the profile
    likelihood of the noise. EM then needs few steps: with missing entries and at most 128
    columns, its M-step is the factor analysis of the expected covariance; otherwise it is
    parameter-expanded EM with the factors as latent variables, and no square matrix of all
    columns is made.

    References
    ----------
    D. B. Rubin and D. T. Thayer (1982). "EM algorithms for ML factor analysis".
    Psychometrika 47(1), 69-76.

    C. Liu, D. B. Rubin and Y. N. Wu (1998). "Parameter expansion to accelerate EM: the PX-EM
    algorithm". Biometrika 85(4), 755-770.

    M. E. Tipping and C. M. Bishop (1999). "Probabilistic principal component analysis".
    Journal of the Royal Statistical Society B 61(3), 611-622.

    Examples
    --------
    Scores of children in nine tests, three each of space, language and speed:

    >>> from emlearn import FactorAnalysisEM
    >>> from emlearn.datasets import load_holzinger_swineford
    >>> X = load_holzinger_swineford().data
    >>> analysis = FactorAnalysisEM(3, rotation="oblimin").fit(X)
    >>> analysis.components_.round(1) + 0.0
    array([[ 0.2,  0.1, -0.1,  1. ,  1.1,  0.9,  0. ,  0. ,  0. ],
           [ 0.7,  0.6,  0.8,  0. , -0.1,  0.1, -0.2,  0.1,  0.4],
           [ 0. , -0.1,  0. ,  0. ,  0. ,  0. ,  0.8,  0.7,  0.5]])
    >>> analysis.factor_correlation_.round(1)
    array([[1. , 0.3, 0.2],
           [0.3, 1. , 0.3],
           [0.2, 0.3, 1. ]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "rotation": [StrOptions(set(ROTATIONS)), None],
        "noise": [StrOptions({"diag", "isotropic"})],
        "scores": [StrOptions({"regression", "bartlett"})],
        "min_uniqueness": [Interval(Real, 1e-9, 0.5, closed="both")],
    }

    def __init__(
        self,
        n_components: int = 1,
        *,
        rotation: str | None = None,
        noise: str = "diag",
        scores: str = "regression",
        min_uniqueness: float = 1e-6,
        tol: float | str = "auto",
        max_iter: int = 1000,
        accelerate: str | None = "auto",
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
    ):
        self.n_components = n_components
        self.rotation = rotation
        self.noise = noise
        self.scores = scores
        self.min_uniqueness = min_uniqueness
        self.tol = tol
        self.max_iter = max_iter
        self.accelerate = accelerate
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval

    # ---- fitting ----------------------------------------------------------------------

    def fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Estimate mean, loadings and noise.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to fit. NaN means a missing entry. Also rows that are read block by block, or are
            on a cluster: see `emlearn.data.blocks`.
        y : Ignored
            Present for compatibility with pipelines.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, >= 0. A weight w has the same effect as w copies of the row.
            None means 1 each.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a hyperparameter, the rows or the weights are invalid; if there are more factors
            than columns, or not more rows than factors; if a column is constant or has no
            observed entry, or its variance is beyond float64. The message names the column.
        """
        rows, weight = self._read(X, sample_weight, by_block=True)
        by_column = self.noise == "diag"
        is_table = isinstance(rows, BlockTable)
        if is_table:
            summary = summarize_rows(TablePasses(rows, Gaussian(), 1.0), by_column=by_column)
        else:
            summary = summarize_columns(rows, weight, by_column=by_column)
        self._check_rows(rows, weight, summary)
        with blas_limited():
            model: Any = self._model(rows, weight, summary)
            floor = model.floor
            if is_table:
                model, data = prepare_table(model, rows, summary.scaling)
            else:
                data = model.prepare(rows, weight, summary.scaling)
            last = self._last_params(rows.shape[1], summary)
            if last is None:
                start = model.initialize(data, np.random.default_rng(0))
            else:
                start = model.continue_from(data, last)
            fit = self._run_em(model, data, start=start, advice="Use fewer factors.")
            self._publish(fit.params, summary)
        self._warn_of_heywood(fit.params, floor)
        return self._report(fit)

    def _read_rows(self, X: ArrayLike, *, reset: bool = False) -> Array:
        rows: Array = read_table(
            self, X, reset=reset, dtype=(np.float64,), min_rows=2 if reset else 1
        )
        return rows

    def _check_rows(
        self, rows: Array | BlockTable, weight: Array | None, summary: ColumnSummary
    ) -> None:
        d, k = rows.shape[1], int(self.n_components)
        if k > d:
            raise ValueError(
                f"n_components={k} is more than n_features={d}. Use at most as many factors as "
                "columns."
            )
        if isinstance(rows, BlockTable):
            n_used = int(rows.total(_n_observed))
        else:
            n_used = _n_observed(RowPart(rows, weight))
        if n_used <= k:
            raise ValueError(
                f"n_components={k} factors need more rows than that, but there are n_samples = "
                f"{n_used} with observed entries and positive weight. Use fewer factors."
            )
        leave_out = "Leave it out (for example with sklearn.feature_selection.VarianceThreshold)."
        beyond = np.abs(np.log2(summary.scaling.scale)) >= np.finfo(np.float64).maxexp / 2
        for wrong, problem in (
            (summary.weight == 0.0, f"has no observed entry. {leave_out}"),
            (summary.constant, f"is constant, so there is nothing to explain. {leave_out}"),
            (
                beyond,
                "must be in other units: its variance, or the inverse, is beyond the range of "
                "float64. Use StandardScaler, for example.",
            ),
        ):
            if wrong.any():
                name = column_label(self, int(wrong.argmax()))
                raise ValueError(f"{name[:1].upper()}{name[1:]} of X {problem}")

    def _model(
        self, rows: Array | BlockTable, weight: Array | None, summary: ColumnSummary
    ) -> FactorAnalysis | MomentFactorAnalysis:
        k, isotropic = int(self.n_components), self.noise == "isotropic"
        variance = summary.variance
        if isotropic:
            variance = np.full(len(variance), variance.mean())
        floor = self.min_uniqueness * variance
        if isinstance(rows, BlockTable):
            kind = MomentFactorAnalysis if rows.n_features <= FEW_COLUMNS else FactorAnalysis
            return kind(k, isotropic=isotropic, floor=floor)
        missing = np.isnan(rows)
        if weight is not None:
            missing = missing[weight > 0.0]
        missing = missing[~missing.all(axis=1)]
        if rows.shape[1] <= FEW_COLUMNS and missing.any():
            return MomentFactorAnalysis(k, isotropic=isotropic, floor=floor)
        return FactorAnalysis(k, isotropic=isotropic, floor=floor)

    def _last_params(self, n_features: int, summary: ColumnSummary) -> FactorParams | None:
        """Published parameters of the last fit, to continue from; None to begin anew."""
        if not self._resumes() or np.shape(self.components_) != (self.n_components, n_features):
            return None
        params = read_known(self).in_units(summary.scaling)
        least = self.min_uniqueness * summary.variance
        if self.noise == "isotropic":
            least = np.full(n_features, self.min_uniqueness * summary.variance.mean())
            params = params._replace(noise=np.full(n_features, params.noise.mean()))
        return params._replace(noise=np.maximum(params.noise, least))

    def _publish(self, params: FactorParams, summary: ColumnSummary) -> None:
        mean, loadings, noise = params
        scale = summary.scaling.scale
        deviation = np.sqrt(np.square(loadings).sum(axis=1) + noise)
        unrotated = canonical(loadings, noise) / deviation[:, None]
        identity = np.eye(unrotated.shape[1])
        found = Rotated(unrotated, identity, identity.copy())
        if self.rotation is not None:
            found = rotate(unrotated, self.rotation)
        self.mean_ = summary.scaling.to_units(mean)
        self.components_ = np.ascontiguousarray((found.loadings * (deviation * scale)[:, None]).T)
        self.noise_variance_ = noise * scale**2
        self.factor_correlation_ = found.factor_correlation
        self.rotation_matrix_ = found.rotation_matrix
        self.uniquenesses_ = noise / deviation**2

    def inference(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        information: Kind = "observed",
    ) -> Inference:
        """Standard errors, intervals and tests of the published parameters.

        Loadings are identified only up to a rotation. So the information is that of loadings of
        which as many are held at 0 as a rotation can make 0; the standard errors of the published
        ones follow by the delta method, through the rotation.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The rows of the fit.
        y : Ignored
            Present for compatibility.
        sample_weight : array-like of shape (n_samples,), default=None
            As for `fit`.
        information : {"observed", "empirical", "sandwich"}, default="observed"
            Where standard errors come from; see `emlearn.inference.Inference`.

        Returns
        -------
        inference : Inference
            The parameters "mean", "components", "noise_variance" and, if the rotation is oblique,
            "factor_correlation", with standard errors, covariance, intervals, tests and a table.

        Raises
        ------
        ValueError
            If `information` is unknown, or the rows are invalid.

        References
        ----------
        R. I. Jennrich (1973). "Standard errors for obliquely rotated factor loadings".
        Psychometrika 38(4), 593-604.
        """
        problem = self._fitted_problem(X, y, sample_weight)
        return factor_inference(problem, information, self)

    def _fitted_problem(self, X: Any, *arguments: Any) -> FittedProblem:
        _, sample_weight = arguments
        known = self._known()
        rows = self._read_rows(X)
        weight = read_weight(sample_weight, len(rows))
        check_copies(weight)
        with blas_limited():
            return factor_problem(rows, weight, known, self)

    def _rotate_to(self, full: Any) -> None:
        """Put the factors in the order, and give them the signs, of those of another fit."""
        unit = [
            np.asarray(own.components_) / np.sqrt(read_known(own).variance) for own in (full, self)
        ]
        if unit[0].shape != unit[1].shape:
            return
        product = unit[0] @ unit[1].T
        order = linear_sum_assignment(np.abs(product), maximize=True)[1]
        sign = np.where(product[np.arange(len(order)), order] < 0.0, -1.0, 1.0)
        self.components_ = self.components_[order] * sign[:, None]
        self.factor_correlation_ = self.factor_correlation_[np.ix_(order, order)] * np.outer(
            sign, sign
        )
        self.rotation_matrix_ = self.rotation_matrix_[:, order] * sign

    def _published_parameters(self) -> dict[str, Array]:
        """What the bootstrap finds standard errors of."""
        found = {
            "mean": self.mean_,
            "components": self.components_,
            "noise_variance": self.noise_variance_,
        }
        if self.rotation not in (None, "varimax"):
            found["factor_correlation"] = self.factor_correlation_
        return found

    def _warn_of_heywood(self, params: FactorParams, floor: Array | None) -> None:
        if floor is None:
            return
        at_floor = np.flatnonzero(params.noise <= floor * (1.0 + 1e-6))
        if not at_floor.size:
            return
        names = [column_label(self, int(j)) for j in at_floor[:_NAMED]]
        if self.noise == "isotropic":
            names = ["the columns"]
        more = "" if at_floor.size <= _NAMED or len(names) == 1 else f" and {at_floor.size} in all"
        warn_user(
            f"Heywood case: the factors explain all of {', '.join(names)}{more}. The noise is held "
            f"at min_uniqueness={self.min_uniqueness:g} of the variance. Use fewer factors, more "
            "rows, or a larger min_uniqueness, or leave out columns that others determine.",
            ConvergenceWarning,
        )

    # ---- the published model ----------------------------------------------------------

    @classmethod
    def from_parameters(
        cls,
        mean: ArrayLike,
        components: ArrayLike,
        noise_variance: ArrayLike,
        factor_correlation: ArrayLike | None = None,
        **hyperparameters: Any,
    ) -> Self:
        """A factor analysis with known parameters, which can transform and sample without a fit.

        Parameters
        ----------
        mean : array-like of shape (n_features,)
            Mean.
        components : array-like of shape (n_components, n_features)
            Loadings.
        noise_variance : array-like of shape (n_features,)
            Variances of the noise.
        factor_correlation : array-like of shape (n_components, n_components), default=None
            Correlation of the factors. None means that they are uncorrelated.
        **hyperparameters : object
            Other hyperparameters of the estimator.

        Returns
        -------
        analysis : FactorAnalysisEM
            The factor analysis.

        Raises
        ------
        ValueError
            If a parameter is invalid. The message names it.

        Examples
        --------
        >>> from emlearn import FactorAnalysisEM
        >>> known = FactorAnalysisEM.from_parameters([0, 0], [[1, 2]], [0.5, 1.0])
        >>> known.get_covariance()
        array([[1.5, 2. ],
               [2. , 5. ]])
        """
        loadings = as_numbers(components, "components_")
        k = len(loadings) if loadings.ndim == 2 else 1
        analysis = cls(k, **hyperparameters)
        analysis.components_ = loadings
        analysis.mean_ = as_numbers(mean, "mean_")
        analysis.noise_variance_ = as_numbers(noise_variance, "noise_variance_")
        correlation = np.eye(k) if factor_correlation is None else factor_correlation
        analysis.factor_correlation_ = as_numbers(correlation, "factor_correlation_")
        analysis.rotation_matrix_ = np.eye(k)
        known = read_known(analysis)
        analysis.uniquenesses_ = known.noise / known.variance
        analysis.n_features_in_ = loadings.shape[1]
        return analysis

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _n_observed(part: RowPart) -> int:
    """Number of rows of positive weight with an observed entry."""
    return int((~np.isnan(part.used.X).all(axis=1)).sum())
