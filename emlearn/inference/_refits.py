"""Refits of an estimator to resamples, from the estimates of the fit."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from emlearn._warnings import collected_warnings
from emlearn.inference._alignment import align, responsibilities_of
from emlearn.inference._published import named_values
from emlearn.inference._simulation import Simulation, take_items
from emlearn.inference._units import Units

Array = NDArray[np.float64]

# Parts of the work for each worker: more of them balance the load, and cost more copies of X.
_PARTS_OF_WORKER = 8
# What a fit raises if it is impossible. Other errors are faults, and end the bootstrap.
_FAILURES = (ValueError, ArithmeticError)


class Replicate(NamedTuple):
    """The outcome of one refit.

    Attributes
    ----------
    values : dict of str to ndarray or None
        The statistics; None if the refit failed.
    failure : str
        Why it failed.
    converged : bool
        Whether EM converged.
    """

    values: dict[str, Array] | None
    failure: str
    converged: bool


class Task(NamedTuple):
    """One refit: to a resample of this seed or, without the units left out, to these copies."""

    seed: np.random.SeedSequence
    copies: Array | None = None


@dataclass(frozen=True)
class Refits:
    """Everything that a refit needs.

    Attributes
    ----------
    full : estimator
        The fit: a copy that continues from its estimates.
    X, y, lengths : object
        The data.
    units : Units
        What is resampled.
    kind : str
        How.
    statistic : callable or None
        See `bootstrap`.
    estimates : dict of str to ndarray
        The statistics of the fit.
    reference : ndarray of shape (n_rows, n_labels) or None
        Responsibilities of the fit times the weights of the rows, to match labels.
    simulation : object or None
        How rows are drawn from the model: has a method `fit`, as `Simulation`.
    own : object or None
        How the estimator itself fits copies of its units.
    """

    full: Any
    X: Any
    y: Any
    lengths: NDArray[np.int64] | None
    units: Units
    kind: str
    statistic: Callable[[Any], Any] | None
    estimates: dict[str, Array]
    reference: Array | None
    simulation: Any
    own: Any = None

    @classmethod
    def of(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        lengths: NDArray[np.int64] | None,
        units: Units,
        kind: str,
        statistic: Callable[[Any], Any] | None,
        own_resampling: Any = None,
    ) -> Refits:
        """Refits of a fitted estimator."""
        check_is_fitted(estimator)
        full = _continued(estimator)
        own = full._resampling_input(X) if hasattr(full, "_resampling_input") else X
        with collected_warnings():
            estimates = named_values(_seeded(full, 0), statistic)
            reference = responsibilities_of(full, own, lengths)
        for name, value in estimates.items():
            if not np.isfinite(value).all():
                raise ValueError(f"The estimate {name!r} of the fit is not finite: {value}.")
        if reference is not None:
            weight = units.weights(np.ones(units.n) if units.copies is None else units.copies)
            weight = weight if lengths is None else np.repeat(weight, lengths)
            reference = reference * weight[:, None]
        simulation = None
        if kind == "parametric":
            simulation = own_resampling or Simulation.of(full, own, y, lengths, units)
        found = (full, own, y, lengths, units, kind, statistic, estimates, reference, simulation)
        return cls(*found, own_resampling)

    def run(self, task: Task) -> Replicate:
        """Refit to one resample."""
        rng = np.random.default_rng(task.seed)
        with collected_warnings():
            try:
                if task.copies is not None:
                    refit = self._fit_copies(_seeded(self.full, 0), task.copies)
                elif self.simulation is not None:
                    seed = int(rng.integers(2**31 - 1))
                    refit = self.simulation.fit(_seeded(self.full, seed), rng)
                else:
                    drawn = self.units.draw(self.kind, rng)
                    seed = int(rng.integers(2**31 - 1))
                    refit = self._fit_copies(_seeded(self.full, seed), drawn)
                return self._replicate(refit)
            except _FAILURES as error:
                return Replicate(
                    None, f"{error}".splitlines()[0] if f"{error}" else repr(error), True
                )

    def _replicate(self, refit: Any) -> Replicate:
        classes = getattr(self.full, "classes_", None)
        if classes is not None and not np.array_equal(classes, getattr(refit, "classes_", ())):
            return Replicate(None, "a class has no row of known class in the resample", True)
        align(refit, self.full, self.reference, self.X, self.lengths)
        values = named_values(refit, self.statistic)
        for name, value in self.estimates.items():
            own = values.get(name)
            if own is None or own.shape != value.shape:
                found = "missing" if own is None else f"of shape {own.shape}"
                return Replicate(
                    None, f"{name!r} is {found} for a resample; its shape is {value.shape}", True
                )
            if not np.isfinite(own).all():
                return Replicate(None, f"{name!r} is not finite", True)
        values = {name: values[name] for name in self.estimates}
        return Replicate(values, "", bool(getattr(refit, "converged_", True)))

    def _fit_copies(self, refit: Any, copies: Array) -> Any:
        if self.own is not None:
            return self.own.fit_copies(refit, copies)
        weight = self.units.weights(copies)
        settings: dict[str, Any] = {} if self.lengths is None else {"lengths": self.lengths}
        if takes(refit, "sample_weight"):
            return fit_again(refit, self.X, self.y, sample_weight=weight, **settings)
        index = np.repeat(np.arange(len(weight)), weight.astype(np.intp))
        y = None if self.y is None else take_items(self.y, index)
        return fit_again(refit, take_items(self.X, index), y)


def takes(estimator: Any, name: str) -> bool:
    """Whether `fit` has this parameter."""
    return name in inspect.signature(getattr(estimator, "_refit", estimator.fit)).parameters


def fit_again(refit: Any, X: Any, y: Any, **settings: Any) -> Any:
    """Fit a copy of the fitted estimator to a resample."""
    if hasattr(refit, "_refit"):
        refit._refit(X, y, **settings)
        return refit
    refit.fit(X, y, **settings)
    return refit


def _continued(estimator: Any) -> Any:
    """A copy whose fits continue from the estimates, silently."""
    full = copy.deepcopy(estimator)
    wanted = {"warm_start": True, "verbose": 0}
    known = full.get_params(deep=False)
    full.set_params(**{name: value for name, value in wanted.items() if name in known})
    # The convergence test of a refit has nothing to do with that of the fit.
    for name in ("_skl_callbacks", "_last_lines"):
        full.__dict__.pop(name, None)
    if hasattr(full, "_prepare_refits"):
        full._prepare_refits()
    return full


def _seeded(full: Any, seed: int) -> Any:
    own = copy.deepcopy(full)
    if "random_state" in own.get_params(deep=False):
        own.set_params(random_state=seed)
    return own


def run_all(
    refits: Refits, tasks: list[Task], n_jobs: int | None, progress: Callable[[Replicate], None]
) -> list[Replicate]:
    """The replicates of all tasks, in their order; the same for any `n_jobs`."""
    found = []
    for replicate in _replicates(refits, tasks, n_jobs):
        progress(replicate)
        found.append(replicate)
    return found


def _replicates(refits: Refits, tasks: list[Task], n_jobs: int | None) -> Iterator[Replicate]:
    n_workers = effective_n_jobs(n_jobs)
    if n_workers == 1:
        yield from map(refits.run, tasks)
        return
    n_parts = min(len(tasks), _PARTS_OF_WORKER * n_workers)
    edges = np.linspace(0, len(tasks), n_parts + 1).astype(int)
    parts = [tasks[a:b] for a, b in pairwise(edges)]
    work = Parallel(n_jobs=n_jobs, return_as="generator")
    for part in work(delayed(_run_part)(refits, part) for part in parts):
        yield from part


def _run_part(refits: Refits, tasks: list[Task]) -> list[Replicate]:
    return [refits.run(task) for task in tasks]
