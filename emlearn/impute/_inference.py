"""Standard errors of the imputer's parameters, and of what it imputes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from emlearn.data import column_label, read_weight
from emlearn.data.resampling import check_copies
from emlearn.distributions.gaussian.incomplete import ConditionalGaussians
from emlearn.distributions.gaussian.scaling import ColumnScaling, summarize_columns
from emlearn.distributions.gaussian.single import OneGaussian
from emlearn.engine.estimates import Estimates
from emlearn.engine.inference import FittedProblem, Inference, Kind, infer
from emlearn.engine.threads import blas_limited
from emlearn.impute._fitting import Settings, problem_of
from emlearn.impute._known import (
    conditioning,
    known_factor_mixture,
    known_factors,
    known_gaussian,
)
from emlearn.impute._published import NOT_FITTED
from emlearn.impute._refitting import Refitting

Array = NDArray[np.float64]
Floats = NDArray[np.floating]

# Names of the attributes by those of the model of several Gaussians.
_OF_MIXTURES = {"weights": "weights", "mean": "means", "covariance": "covariances"}


@dataclass(frozen=True, eq=False)
class MomentInference(Inference):
    """Standard errors of the parameters of a Gaussian, or of a mixture of them.

    It is made by `MissingDataImputerEM.inference`. The parameters are those of the columns that
    vary: ``mean`` and ``covariance`` of one Gaussian, and ``weights``, ``means`` and
    ``covariances`` of a mixture. See `emlearn.inference.Inference` for the other attributes and
    methods.

    Attributes
    ----------
    names : tuple of str
        Name of each estimate; of a symmetric matrix, those of the upper triangle.
    estimate : ndarray of shape (n_estimates,)
        The estimates.
    covariance : ndarray of shape (n_estimates, n_estimates)
        Covariance of the estimates.
    estimates, standard_errors : dict of ndarray
        The parameters by name, and their standard errors.
    """

    _columns_of_table: tuple[str, ...] = field(default=(), repr=False)

    def moments(self) -> Estimates:
        """Mean, covariance and correlations of the whole model, with standard errors.

        Returns
        -------
        estimates : Estimates
            Means, variances, covariances and correlations, named after the columns. Intervals of
            variances are on the logarithmic scale, those of correlations on Fisher's z scale.
        """
        labels = list(self._columns_of_table)
        found = self.function(lambda public: _moments(public, labels))
        variances = {f"covariance[{label}, {label}]" for label in labels}
        lower, upper = found.lower.copy(), found.upper.copy()
        for i, name in enumerate(found.names):
            if name in variances:
                lower[i] = 0.0
            elif name.startswith("correlation["):
                lower[i], upper[i] = -1.0, 1.0
        return replace(found, lower=lower, upper=upper)


def _moments(public: Mapping[str, Array], labels: list[str]) -> dict[str, Any]:
    mean, covariance = overall(public)
    deviation = np.sqrt(np.diagonal(covariance))
    found: dict[str, Any] = {f"mean[{a}]": mean[i] for i, a in enumerate(labels)}
    for i, a in enumerate(labels):
        for j, b in enumerate(labels[i:], i):
            found[f"covariance[{a}, {b}]"] = covariance[i, j]
    for i, a in enumerate(labels):
        for j, b in enumerate(labels[i + 1 :], i + 1):
            found[f"correlation[{a}, {b}]"] = covariance[i, j] / deviation[i] / deviation[j]
    return found


def overall(public: Mapping[str, Array]) -> tuple[Array, Array]:
    """Mean and covariance of a Gaussian or of a mixture of them."""
    if "means" not in public:
        return public["mean"], public["covariance"]
    weights, means = public["weights"], public["means"]
    mean = weights @ means
    shift = means - mean
    within = np.einsum("k,kij->ij", weights, public["covariances"])
    return mean, within + np.einsum("k,ki,kj->ij", weights, shift, shift)


class ImputerInference(Refitting):
    """Standard errors of the parameters and of the imputed values."""

    def inference(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        information: Kind = "observed",
    ) -> MomentInference:
        """Standard errors, intervals and tests of the parameters, with rows incomplete.

        The information is that of the observed entries: what is missing has no part in it.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            The rows of the fit.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            As for `fit`.
        information : {"observed", "empirical", "sandwich"}, default="observed"
            Where standard errors come from. "observed": minus the second derivatives of the
            log-likelihood of the observed entries plus the log prior, which is right if entries
            are missing at random. "empirical": the sum of squares of the scores of the rows
            (without the prior). "sandwich": from both, valid also if columns are not normal, as
            long as entries are missing completely at random (Yuan and Bentler 2000).

        Returns
        -------
        inference : MomentInference
            For one Gaussian, ``mean`` and ``covariance`` of the columns that vary; for a mixture,
            ``weights``, ``means`` and ``covariances``. Its method `moments` has the mean,
            covariance and correlations of the whole model.

        Raises
        ------
        ValueError
            If `information` is unknown or the rows are invalid; or for a factor analysis or a
            table with categories, whose standard errors `emlearn.inference.bootstrap` gives.

        References
        ----------
        M. G. Kenward and G. Molenberghs (1998). "Likelihood based frequentist inference when
        data are missing at random". Statistical Science 13(3), 236-247.
        K.-H. Yuan and P. M. Bentler (2000). "Three likelihood-based methods for mean and
        covariance structure analysis with nonnormal missing data". Sociological Methodology 30,
        165-200.

        Examples
        --------
        >>> import numpy as np
        >>> from emlearn import MissingDataImputerEM
        >>> from emlearn.datasets import load_old_faithful
        >>> X = load_old_faithful().data.copy()
        >>> X[::3, 1] = np.nan
        >>> inference = MissingDataImputerEM(alpha=0).fit(X).inference(X)
        >>> inference.standard_errors["mean"].round(3)
        array([0.069, 0.861])
        >>> inference.moments().names[-1]
        'correlation[0, 1]'
        """
        problem = self._fitted_problem(X, y, sample_weight)
        found = infer(problem, information)
        parts = {own.name: getattr(found, own.name) for own in fields(found)}
        return MomentInference(**parts, _columns_of_table=tuple(problem.labels["feature"]))

    def _fitted_problem(self, X: Any, *arguments: Any) -> FittedProblem:
        _, sample_weight = arguments
        check_is_fitted(self, msg=NOT_FITTED)
        if hasattr(self, "models_") or hasattr(self, "loadings_"):
            kind = "a table with categories" if hasattr(self, "models_") else "a factor analysis"
            raise ValueError(
                f"inference of the imputer is for Gaussians and mixtures of them, not for {kind}. "
                "Use emlearn.inference.bootstrap."
            )
        table = self._read_rows(X)
        weight = read_weight(sample_weight, table.shape[0])
        check_copies(weight)
        if weight is not None and not weight.all():
            table, weight = table[weight > 0.0], weight[weight > 0.0]
        known = self._known()
        columns = self._kept[known.varying]
        if not isinstance(known.fitted, ConditionalGaussians):
            raise ValueError("All columns are constant, so no parameter has a standard error.")
        rows = np.ascontiguousarray(table[:, columns])
        found = summarize_columns(rows, weight)
        if found.constant.any():
            label = column_label(self, int(columns[found.constant.argmax()]))
            raise ValueError(f"{label} is constant in X, but not in the fit: give the rows of it.")
        names = [self._label(int(column)) for column in columns]
        with blas_limited():
            prior = getattr(self, "_pseudo_rows", None)
            alpha = self.alpha if prior is None else prior.within(columns)
            settings = Settings(len(self.weights_), None, alpha)
            problem = problem_of(rows, weight, ColumnScaling(*found.scaling), settings)
        model, public = problem.model, {}
        if isinstance(model, OneGaussian):
            model = replace(model, units=problem.data.scaling)
        else:
            public = _OF_MIXTURES
        params = problem.enter(known.fitted)
        return FittedProblem(model, problem.data, params, public, labels={"feature": names})

    def _label(self, column: int) -> str:
        names = getattr(self, "feature_names_in_", None)
        return str(column) if names is None else str(names[column])

    # ---- uncertainty of imputed values ------------------------------------------------------

    def _spread_of_means(self, rows: Floats, inference: Any) -> Array:
        """Variances of the conditional means because the parameters are estimates."""
        self._check_inference(inference)
        spread = np.zeros(rows.shape)
        if hasattr(inference, "replicates"):
            middle = self._means_at(rows, inference.estimates)
            total, n = np.zeros(rows.shape), 0
            for public in _each_replicate(inference):
                shift = self._means_at(rows, public) - middle
                total += shift
                spread += shift**2
                n += 1
            return np.asarray(np.maximum(spread - total**2 / n, 0.0) / (n - 1.0))
        for above, below, step in inference.along_errors():
            difference = self._means_at(rows, above) - self._means_at(rows, below)
            spread += (difference / (2.0 * step)) ** 2
        return spread

    def _check_inference(self, inference: Any) -> None:
        """Require parameters of this imputer."""
        found = getattr(inference, "estimates", {})
        mean = np.atleast_2d(found.get("means", found.get("mean", np.zeros(0))))
        known = self._known()
        widths = {known.varying.size, known.constants.size}
        other = "covariance" not in found and not {"covariances", "loadings"} & found.keys()
        if other or mean.shape[1] not in widths or len(mean) != len(self.weights_):
            raise ValueError(
                "inference must be the result of the method inference of this imputer, or of "
                "emlearn.inference.bootstrap without a statistic."
            )

    def _means_at(self, rows: Floats, public: Mapping[str, Array]) -> Array:
        """Rows with conditional means under other parameters; observed entries are 0."""
        known = self._known()
        means = np.repeat(known.constants[None], len(self.weights_), axis=0)
        varying = known.varying
        d = rows.shape[1]
        own = np.atleast_2d(public["means" if "means" in public else "mean"])
        place = np.arange(d) if own.shape[1] == d else varying
        means[:, place] = own
        if "loadings" in public:
            loadings, noise = public["loadings"], public["noise_variances"]
            if np.ndim(loadings) == 3:
                weights = public.get("weights", np.ones(1))
                other = known_factor_mixture(weights, means, loadings, noise)
            else:
                other = known_factors(means, loadings, noise)
        else:
            given = public["covariances" if "covariances" in public else "covariance"]
            covariances = np.zeros((len(means), d, d))
            covariances[:, place[:, None], place] = given
            weights = public.get("weights", np.ones(1))
            other = known_gaussian(weights, means, covariances)
        out = np.array(rows, np.float64)
        with conditioning():
            self._fill(other, rows, out, "fill_means")
        return np.asarray(np.where(np.isnan(rows), out, 0.0))


def _each_replicate(result: Any) -> Iterator[dict[str, Array]]:
    for b in range(len(next(iter(result.replicates.values())))):
        yield {name: values[b] for name, values in result.replicates.items()}
