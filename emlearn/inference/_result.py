"""The result of a bootstrap."""

from __future__ import annotations

import importlib
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from emlearn._warnings import warn_user
from emlearn.data.summary import Summary, summary_table
from emlearn.inference._intervals import (
    METHODS,
    acceleration_of,
    basic_interval,
    bca_interval,
    check_level,
    normal_interval,
    percentile_interval,
)
from emlearn.inference._published import flat_names
from emlearn.inference._refits import Refits, Replicate, Task, run_all

Array = NDArray[np.float64]

_KINDS = {"nonparametric": "nonparametric", "parametric": "parametric", "bayesian": "Bayesian"}


@dataclass(frozen=True)
class BootstrapResult:
    """Result of `bootstrap`.

    Attributes
    ----------
    estimates : dict of str to ndarray
        The estimates of the fit, by name: the published parameters, or the statistic.
    replicates : dict of str to ndarray of shape (n_resamples - n_failed, ...)
        Their values in the refits, with labels matched to those of the fit.
    kind : str
        "nonparametric", "parametric" or "bayesian".
    n_resamples : int
        Number of resamples that were drawn.
    n_failed : int
        Number of them whose refit failed. They have no replicate.
    n_unconverged : int
        Number of the other refits that did not converge. Their replicates are kept.
    failures : dict of str to int
        Why refits failed, and how often.
    """

    estimates: dict[str, Array]
    replicates: dict[str, Array]
    kind: str
    n_resamples: int
    n_failed: int
    n_unconverged: int
    failures: dict[str, int]
    _refits: Refits | None = field(default=None, repr=False, compare=False)
    _seed: np.random.SeedSequence | None = field(default=None, repr=False, compare=False)
    _n_jobs: int | None = field(default=None, repr=False, compare=False)

    @property
    def standard_errors(self) -> dict[str, Array]:
        """Standard deviations of the replicates (denominator n - 1), by name."""
        return {name: own.std(axis=0, ddof=1) for name, own in self.replicates.items()}

    @property
    def bias(self) -> dict[str, Array]:
        """Mean of the replicates minus the estimate, by name."""
        each = self.estimates.items()
        return {name: self.replicates[name].mean(axis=0) - value for name, value in each}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the distinct entries, such as ``"means[0, 1]"``: the rows of `summary`.

        Entries below the diagonal of symmetric matrices are left out.
        """
        return tuple(name for _, names in self._places.values() for name in names)

    @property
    def covariance(self) -> Array:
        """Covariance matrix of the replicates of the entries in `names`."""
        return np.atleast_2d(np.cov(self._flat(self.replicates, batch=1), rowvar=False))

    def confidence_interval(
        self, level: float = 0.95, method: str = "percentile"
    ) -> dict[str, Array]:
        """Confidence intervals of each entry.

        Parameters
        ----------
        level : float, default=0.95
            Confidence level.
        method : {"percentile", "bca", "basic", "normal"}, default="percentile"
            "percentile": quantiles of the replicates. "bca" (bias-corrected and accelerated):
            quantiles whose levels are corrected for bias and skewness, which makes the coverage
            second-order accurate (Efron 1987). It refits the model without each row (sequence,
            group) in turn; if there are more than 200, without each of 200 random parts. These
            refits are made once, when they are first asked for. "basic": twice the estimate minus
            these quantiles. "normal": the estimate minus its bias, and quantiles of the normal
            distribution. The last two can leave the range of the parameter.

        Returns
        -------
        intervals : dict of str to ndarray of shape (..., 2)
            Lower and upper ends, by name. They include entries that repeat others.

        Raises
        ------
        ValueError
            If `level` or `method` is invalid, or there are too few rows to leave some out.

        References
        ----------
        B. Efron (1987). "Better bootstrap confidence intervals". Journal of the American
        Statistical Association 82(397), 171-185.
        """
        level = check_level(level)
        if method not in METHODS:
            raise ValueError(f"method must be one of {list(METHODS)}, got {method!r}.")
        intervals = {}
        for name, value in self.estimates.items():
            estimate = value.reshape(-1)
            own = self.replicates[name].reshape(-1, estimate.size)
            if method == "percentile":
                ends = percentile_interval(own, level)
            elif method == "basic":
                ends = basic_interval(estimate, own, level)
            elif method == "normal":
                ends = normal_interval(estimate, own, level)
            else:
                acceleration = self.acceleration[name].reshape(-1)
                ends = bca_interval(estimate, own, acceleration, level)
            intervals[name] = ends.reshape(*value.shape, 2)
        return intervals

    @cached_property
    def acceleration(self) -> dict[str, Array]:
        """Acceleration of the BCa intervals by name, from refits without parts of the data."""
        if self._refits is None or self._seed is None:
            raise ValueError("This result has no data to leave out, as BCa intervals need.")
        units = self._refits.units
        if units.n_copies < 2:
            raise ValueError(
                f"BCa intervals need refits without each {units.what} in turn, but there is only "
                f"one {units.what}. Use method='percentile'."
            )
        rng = np.random.default_rng(self._seed)
        tasks = [Task(self._seed, copies) for copies in units.left_out(rng)]
        found = run_all(self._refits, tasks, self._n_jobs, lambda replicate: None)
        values = [own.values for own in found if own.values is not None]
        if len(values) < len(found):
            reason = next(own.failure for own in found if own.values is None)
            message = (
                f"{len(found) - len(values)} of the {len(found)} refits without a part of the "
                f"data, which BCa intervals need, failed: {reason}."
            )
            if len(values) < 2:
                raise ValueError(message)
            warn_user(message + " The acceleration is that of the others.", ConvergenceWarning)
        return {
            name: acceleration_of(
                np.array([own[name] for own in values]).reshape(len(values), -1)
            ).reshape(value.shape)
            for name, value in self.estimates.items()
        }

    def to_frame(self, level: float = 0.95, method: str = "percentile") -> Any:
        """The results as a DataFrame of pandas.

        Parameters
        ----------
        level : float, default=0.95
            Level of the intervals.
        method : str, default="percentile"
            See `confidence_interval`.

        Returns
        -------
        frame : DataFrame
            One row for each entry of `names`, with the columns "estimate", "bias",
            "standard_error", "low" and "high".
        """
        pandas = importlib.import_module("pandas")
        return pandas.DataFrame(self._columns(level, method), index=list(self.names))

    def summary(self, level: float = 0.95, method: str = "percentile") -> Summary:
        """The results as text.

        Parameters
        ----------
        level : float, default=0.95
            Level of the intervals.
        method : str, default="percentile"
            See `confidence_interval`.

        Returns
        -------
        summary : str
            A table with one row for each entry of `names`, and what became of the resamples.
        """
        columns = self._columns(level, method)
        titles = {"standard_error": "std error"}
        kind = {"bca": "BCa"}.get(method, method)
        footer = [
            f"{self.n_resamples} {_KINDS[self.kind]} resamples: {self.n_failed} failed, "
            f"{self.n_unconverged} not converged",
            f"{100 * level:g} % intervals ({kind})",
        ]
        return summary_table(
            self.names, {titles.get(name, name): own for name, own in columns.items()}, footer
        )

    def __str__(self) -> str:
        return str(self.summary())

    @cached_property
    def _places(self) -> dict[str, tuple[NDArray[np.intp], list[str]]]:
        return flat_names(self.estimates, self.replicates)

    def _flat(self, values: dict[str, Array], batch: int = 0, trailing: int = 0) -> Array:
        """The entries of `names`, along one axis."""
        parts = []
        for name, (places, _) in self._places.items():
            value = values[name]
            lead = value.shape[:batch]
            tail = value.shape[value.ndim - trailing :]
            parts.append(value.reshape(*lead, -1, *tail).take(places, axis=batch))
        return np.concatenate(parts, axis=batch)

    def _columns(self, level: float, method: str) -> dict[str, Array]:
        ends = self._flat(self.confidence_interval(level, method), trailing=1)
        return {
            "estimate": self._flat(self.estimates),
            "bias": self._flat(self.bias),
            "standard_error": self._flat(self.standard_errors),
            "low": ends[:, 0],
            "high": ends[:, 1],
        }


def collect(
    found: list[Replicate],
    refits: Refits,
    seed: np.random.SeedSequence,
    n_jobs: int | None,
) -> BootstrapResult:
    """The result of these replicates; warns if refits failed or did not converge.

    Raises
    ------
    ValueError
        If fewer than two succeeded.
    """
    good = [own for own in found if own.values is not None]
    failures = Counter(own.failure for own in found if own.values is None)
    n_failed, n_unconverged = len(found) - len(good), sum(not own.converged for own in good)
    if n_failed:
        reason, times = failures.most_common(1)[0]
        message = (
            f"The refits to {n_failed} of {len(found)} resamples failed"
            f"{'' if len(failures) == 1 else f', {times} of them'} because: {reason}"
        )
        if len(good) < 2:
            raise ValueError(message)
        warn_user(
            f"{message} They are left out, which may make standard errors too small. Use a "
            "stronger prior, or fewer components.",
            ConvergenceWarning,
        )
    if n_unconverged:
        warn_user(
            f"The refits to {n_unconverged} of {len(found)} resamples did not converge. Their "
            "replicates are kept; increase max_iter.",
            ConvergenceWarning,
        )
    replicates = {
        name: np.array([own.values[name] for own in good if own.values is not None])
        for name in refits.estimates
    }
    return BootstrapResult(
        refits.estimates,
        replicates,
        refits.kind,
        len(found),
        n_failed,
        n_unconverged,
        dict(failures),
        refits,
        seed,
        n_jobs,
    )
