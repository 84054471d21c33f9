"""Inference: standard errors of published parameters from the information of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from emlearn._warnings import warn_user
from emlearn.engine.blocks import BlockMapper, Threads
from emlearn.engine.estimates import Estimates, flatten_estimates
from emlearn.engine.information import (
    Information,
    empirical_information,
    flat_along,
    observed_information,
)
from emlearn.engine.model import LatentVariableModel
from emlearn.engine.parameters import Coordinates
from emlearn.engine.threads import available_threads, blas_limited

Array = NDArray[np.float64]
Kind = Literal["observed", "empirical", "sandwich"]
KINDS: tuple[Kind, ...] = ("observed", "empirical", "sandwich")

# An eigenvalue of the scaled information below this part of the largest is 0.
_FLAT = 1e-9
# Below this part it may be 0 at the maximum itself.
_SUSPECT = 1e-3
# A diagonal entry below this part of the largest is a rounding error.
_ROUNDING = 1e-12
# Part of a flat direction that an estimate may have without being concerned.
_CONCERNED = 1e-4
# Distance from the maximum, in standard errors, that is told.
_FAR = 0.25
# Part of the largest entry by which what is held may differ after arithmetic.
_SAME = 1e-6
# Step of numerical derivatives of functions, in standard errors.
_STEP = 1e-3


class FittedProblem(NamedTuple):
    """A model at published parameters, with the rows that it was fitted to.

    Attributes
    ----------
    model, data : object
        The model and its data.
    params : object
        The published parameters, as the model has them.
    names : mapping of str to str, default={}
        Names for the user, by those of `model.public`, where these are different.
    fixed : mapping of str to ndarray, default={}
        Entries that were held; NaN where free.
    labels : mapping of str to sequence of str, default={}
        Labels along an axis, such as "feature".
    """

    model: LatentVariableModel[Any, Any, Any]
    data: Any
    params: Any
    names: Mapping[str, str] = {}
    fixed: Mapping[str, Array] = {}
    labels: Mapping[str, Sequence[str]] = {}


@dataclass(frozen=True, eq=False)
class Inference(Estimates):
    """Published parameters with their standard errors; made by `inference` of an estimator.

    `estimates` and `standard_errors` have the shapes of the published parameters. The arrays
    without s, and the tables, list each parameter once: of a symmetric matrix, the upper
    triangle.

    Attributes
    ----------
    names : tuple of str
        Name of each estimate.
    estimate : ndarray of shape (n_estimates,)
        The estimates.
    covariance : ndarray of shape (n_estimates, n_estimates)
        Covariance of the estimates; NaN where there is none.
    lower, upper : ndarray of shape (n_estimates,)
        Bounds of the parameters.
    remarks : tuple of str
        What is special about each estimate: empty, "fixed", "determined" (by the others),
        "at a bound", "not identified".
    notes : tuple of str
        Lines below the table.
    estimates : dict of str to ndarray
        The published parameters by name.
    standard_errors : dict of str to ndarray
        Their standard errors; NaN where there is none.
    information : {"observed", "empirical", "sandwich"}
        What the standard errors come from.
    n_e_steps : int
        E-steps, or passes over the rows, that it took.
    distance : float
        How far the maximum is from the estimates, in standard errors, along the direction of
        the Newton step.
    """

    estimates: dict[str, Array] = field(default_factory=dict)
    standard_errors: dict[str, Array] = field(default_factory=dict)
    information: Kind = "observed"
    n_e_steps: int = 0
    distance: float = 0.0
    _coordinates: Coordinates | None = field(default=None, repr=False)
    _free: Array = field(default_factory=lambda: np.zeros((0, 0)), repr=False)
    _flat: Array = field(default_factory=lambda: np.zeros((0, 0)), repr=False)
    _public_names: Mapping[str, str] = field(default_factory=dict, repr=False)

    def function(
        self, function: Callable[[dict[str, Array]], Any], name: str = "value"
    ) -> Estimates:
        """A function of the parameters, with standard errors by the delta method.

        Parameters
        ----------
        function : callable
            Called with a dict of the published parameters, as in `estimates`; returns a number,
            an array, or a dict of these. It must be differentiable.
        name : str, default="value"
            Name of the result, if it is not a dict.

        Returns
        -------
        estimates : Estimates
            The value, with its covariance, intervals, tests and table.

        Raises
        ------
        ValueError
            If `function` is none, or the result is no numbers, not finite, or changes its shape.
        """
        if not callable(function):
            raise ValueError(
                f"function must be callable with a dict of the parameters, got {function!r}."
            )
        coordinates = self._coordinates
        assert coordinates is not None
        names, middle = self._evaluate(function, name, np.zeros(coordinates.n_free))
        if not np.isfinite(middle).all():
            raise ValueError(f"The function is not finite at the estimates: {middle}.")
        size = np.sqrt(np.maximum(np.diagonal(self._free), 0.0))
        jacobian = np.zeros((len(middle), coordinates.n_free))
        for j in range(coordinates.n_free):
            step = np.zeros(coordinates.n_free)
            # Directions without an error have the length of a moderate change.
            step[j] = _STEP * (min(size[j], 1.0) if size[j] > 0.0 else 1.0)
            above = self._evaluate(function, name, step)[1]
            below = self._evaluate(function, name, -step)[1]
            if above.shape != middle.shape or not np.isfinite(above - below).all():
                raise ValueError(
                    "The function changes its shape, or is not finite, near the estimates."
                )
            jacobian[:, j] = (above - below) / (2.0 * step[j])
        covariance = jacobian @ self._free @ jacobian.T
        unknown = concerned(jacobian, self._flat)
        covariance[unknown] = covariance[:, unknown] = np.nan
        none = np.full(len(middle), np.inf)
        remarks = tuple("not identified" if flat else "" for flat in unknown)
        return Estimates(tuple(names), middle, covariance, -none, none, remarks)

    def along_errors(self) -> Iterator[tuple[dict[str, Array], dict[str, Array], float]]:
        """Parameters on both sides of the estimates along independent errors.

        By the delta method, a function f of the parameters has the variance
        ``sum ((f(above) - f(below)) / (2 step))**2``. Unlike `function`, this needs no matrix, so
        that f can have any number of values.

        Yields
        ------
        above, below : dict of str to ndarray
            The published parameters at a step in each direction of the errors.
        step : float
            Length of the step, in standard errors.
        """
        coordinates = self._coordinates
        assert coordinates is not None
        size = np.sqrt(np.maximum(np.diagonal(self._free), 0.0))
        scale = np.where(size > 0.0, size, 1.0)
        values, vectors = np.linalg.eigh(self._free / scale[:, None] / scale)
        for value, vector in zip(values, vectors.T, strict=True):
            if value > _FLAT * values[-1]:
                error = scale * vector * np.sqrt(value)
                step = _STEP / max(np.abs(error).max(), 1.0)
                above, below = (coordinates.move(side * step * error) for side in (1.0, -1.0))
                yield self._named(above), self._named(below), step

    def _named(self, public: Mapping[str, Array]) -> dict[str, Array]:
        return {self._public_names.get(own, own): value for own, value in public.items()}

    def _evaluate(
        self, function: Callable[[dict[str, Array]], Any], name: str, step: Array
    ) -> tuple[list[str], Array]:
        assert self._coordinates is not None
        return flatten_estimates(function(self._named(self._coordinates.move(step))), name)


def infer(problem: FittedProblem, kind: Kind = "observed") -> Inference:
    """Standard errors of published parameters.

    Parameters
    ----------
    problem : FittedProblem
        Model, data and parameters.
    kind : {"observed", "empirical", "sandwich"}, default="observed"
        Minus the second derivatives of the objective; the sum of squares of the scores of the
        rows; or the covariance that is valid if the model is wrong, inv(A) B inv(A), with A the
        first and B the second of these.

    Returns
    -------
    inference : Inference
        Estimates and standard errors.

    Raises
    ------
    ValueError
        If `kind` is unknown, there are fewer rows than parameters for "empirical" and
        "sandwich", or the estimates are not those of a fit with `fixed`.
    """
    if kind not in KINDS:
        raise ValueError(f"information must be one of {', '.join(KINDS)}; got {kind!r}.")
    with blas_limited():
        coordinates = _coordinates(problem)
        found, covariance, flat, notes = _covariance(problem, coordinates, kind)
    distance = 0.0
    if coordinates.n_free:
        square = float(found.score @ covariance @ found.score)
        distance = float(np.sqrt(max(square, 0.0)))
    if distance > _FAR:
        warn_user(
            f"The estimates are {distance:.2g} standard errors from the maximum, where standard "
            "errors are defined. Fit with a smaller tol, such as tol=1e-9, and give the rows, "
            "weights and labels of the fit.",
            ConvergenceWarning,
        )
    return _tabulate(problem, coordinates, covariance, flat, found, distance, kind, notes)


def _coordinates(problem: FittedProblem) -> Coordinates:
    """Free coordinates, without what is at a boundary."""
    model, data, params = problem.model, problem.data, problem.params
    public = model.public(params)
    for own, held in problem.fixed.items():
        off = np.abs(public[own] - held) > _SAME * np.abs(public[own]).max()
        if off.any():
            index = tuple(np.argwhere(off)[0])
            raise ValueError(
                f"fixed[{problem.names.get(own, own)!r}] holds {held[index]:g}, but the estimate "
                f"is {public[own][index]:g}: fixed has changed after fit. Fit again."
            )
    gradient = None
    if model.has_score:
        with BlockMapper(model, data, Threads(available_threads())) as e_step:
            gradient = model.score(e_step(params)[0], params)
    return model.space(params).coordinates(
        public,
        problem.fixed,
        one_row=1.0 / max(model.total_weight(data), 1.0),
        gradient=gradient,
    )


def _covariance(
    problem: FittedProblem, coordinates: Coordinates, kind: Kind
) -> tuple[Information, Array, Array, list[str]]:
    """Information, covariance of the free coordinates, flat directions, and what to tell."""
    arguments = (problem.model, problem.data, problem.params, coordinates)
    n_rows, n_free = _n_rows(problem), coordinates.n_free
    if kind != "observed" and n_rows < n_free:
        raise ValueError(
            f"information={kind!r} sums over independent rows (or sequences), and there are fewer "
            f"of them ({n_rows:g}) than free parameters ({n_free}). Use information='observed'."
        )
    # So many scores would span all directions if these were identified.
    many = n_rows >= 2.0 * n_free
    if kind == "empirical":
        found = empirical_information(*arguments)
        covariance, flat, negative = invert(found.matrix)
        return found, covariance, flat, _told(problem, coordinates, flat, negative)
    found = observed_information(*arguments, n_threads=available_threads())
    rows, ignored = None, None
    suspect = many and _is_suspect(found.matrix)
    if kind == "sandwich" or suspect:
        rows = empirical_information(*arguments)
        found = found._replace(n_e_steps=found.n_e_steps + rows.n_e_steps)
    if rows is not None and many:
        ignored = invert(rows.matrix)[1]
        if ignored.size:
            # Axes of their curvature, so that those with and without it are apart.
            ignored = ignored @ np.linalg.eigh(ignored.T @ found.matrix @ ignored)[1]
            ignored = ignored[:, flat_along(*arguments, ignored)]
    covariance, flat, negative = invert(found.matrix, ignored)
    notes = _told(problem, coordinates, flat, negative)
    if kind == "sandwich" and rows is not None:
        covariance = covariance @ rows.matrix @ covariance
    return found, covariance, flat, notes


def _is_suspect(information: Array) -> bool:
    """Whether some direction may have no information.

    Where it has none, the curvature at a point that is only nearly the maximum is not exactly 0.
    """
    size = np.sqrt(np.abs(np.diagonal(information)))
    if not size.size or not size.all():
        return bool(size.size)
    values = np.linalg.eigvalsh(information / size[:, None] / size)
    return bool(values[0] < _SUSPECT * values[-1])


def _n_rows(problem: FittedProblem) -> float:
    """Number of independent rows, or sequences; NaN if the model has no likelihoods of rows."""
    try:
        return float(problem.model.log_likelihoods(problem.data, problem.params)[1].sum())
    except NotImplementedError:
        return float("nan")


def invert(information: Array, ignored: Array | None = None) -> tuple[Array, Array, bool]:
    """Pseudo-inverse of an information, and the directions about which there is none.

    Parameters
    ----------
    information : ndarray of shape (n, n)
        The information.
    ignored : ndarray of shape (n, n_ignored), default=None
        Directions known to have none, whatever the matrix says.

    Returns
    -------
    covariance : ndarray of shape (n, n)
        The pseudo-inverse.
    flat : ndarray of shape (n, n_flat)
        Directions without information.
    negative : bool
        Whether the objective even rises in some of them.
    """
    n = len(information)
    if not n:
        return information, np.zeros((0, 0)), False
    square = np.abs(np.diagonal(information))
    largest = float(square.max()) or 1.0
    size = np.sqrt(np.where(square > _ROUNDING * largest, square, largest))
    scaled = information / size[:, None] / size
    basis, without = np.eye(n), np.zeros((n, 0))
    if ignored is not None and ignored.size:
        full = np.linalg.qr(ignored * size[:, None], mode="complete")[0]
        without, basis = full[:, : ignored.shape[1]], full[:, ignored.shape[1] :]
    values, vectors = np.linalg.eigh(basis.T @ scaled @ basis)
    vectors = basis @ vectors
    limit = _FLAT * max(float(values.max(initial=0.0)), 0.0)
    known = values > limit
    rest = vectors[:, known] / size[:, None]
    covariance = (rest / values[known]) @ rest.T
    flat = np.concatenate([without, vectors[:, ~known]], axis=1) / size[:, None]
    return covariance, flat, bool((values < -1e3 * limit).any())


def concerned(jacobian: Array, flat: Array) -> NDArray[np.bool_]:
    """Which functions change along flat directions."""
    if not flat.size:
        return np.zeros(len(jacobian), bool)
    unit = flat / np.linalg.norm(flat, axis=0)
    size = np.linalg.norm(jacobian, axis=1)
    return np.asarray(np.linalg.norm(jacobian @ unit, axis=1) > _CONCERNED * size)


def _told(
    problem: FittedProblem, coordinates: Coordinates, flat: Array, negative: bool
) -> list[str]:
    """Warn of directions without information, and return the note of the table."""
    if not flat.size:
        return []
    jacobian = coordinates.jacobian()
    size = np.linalg.norm(jacobian, axis=1)
    part = np.linalg.norm(jacobian @ (flat / np.linalg.norm(flat, axis=0)), axis=1)
    part = np.divide(part, size, out=np.zeros(len(size)), where=size > 0.0)
    labels = _labels(problem, coordinates)
    strongest = np.argsort(-part, kind="stable")[:4]
    named = ", ".join(labels[i] for i in sorted(strongest) if part[i] > _CONCERNED)
    message = (
        f"These rows say nothing about {flat.shape[1]} direction(s), along which {named} and "
        "others change: they are not identified and have no standard errors. Use fewer "
        "components, fix some parameters, or add a prior."
    )
    if negative:
        message = (
            f"The estimates are no maximum: the objective rises along directions in which {named} "
            "change. They have no standard errors. Fit with a smaller tol or more starts, and give "
            "the rows, weights and labels of the fit."
        )
    warn_user(message, ConvergenceWarning)
    return [f"not identified: {flat.shape[1]} direction(s) along which {named} change"]


def _labels(problem: FittedProblem, coordinates: Coordinates) -> list[str]:
    """Names of all entries, in the order of the parts."""
    found = []
    for own, part in coordinates.parts.items():
        shape, name = coordinates.at[own].shape, problem.names.get(own, own)
        axes = [problem.labels.get(axis) for axis in part.axes] + [None] * len(shape)
        for index in np.ndindex(shape):
            inside = [
                str(i) if labels is None else str(labels[i])
                for i, labels in zip(index, axes, strict=False)
            ]
            found.append(f"{name}[{', '.join(inside)}]" if inside else name)
    return found


def _tabulate(
    problem: FittedProblem,
    coordinates: Coordinates,
    free: Array,
    flat: Array,
    found: Information,
    distance: float,
    kind: Kind,
    notes: list[str],
) -> Inference:
    """Covariance of all entries by the delta method, and the list of those that are shown."""
    jacobian = coordinates.jacobian()
    variance = np.einsum("ij,jk,ik->i", jacobian, free, jacobian, optimize=True)
    moves = (jacobian != 0.0).any(axis=1)
    unknown = concerned(jacobian, flat)
    error = np.sqrt(np.where(moves & ~unknown, np.maximum(variance, 0.0), np.nan))
    estimates, errors = {}, {}
    shown, remarks, lower, upper = [], [], [], []
    start = 0
    for own, part in coordinates.parts.items():
        at = coordinates.at[own]
        stop = start + at.size
        estimates[problem.names.get(own, own)] = at
        errors[problem.names.get(own, own)] = error[start:stop].reshape(at.shape)
        shown.append(np.asarray(part.shown(at)).ravel())
        held, bound = coordinates.held[own].ravel(), coordinates.boundary[own].ravel()
        for i in range(at.size):
            remark = "fixed" if held[i] else "at a bound" if bound[i] else ""
            if not remark and not moves[start + i]:
                remark = "determined"
            remarks.append("not identified" if unknown[start + i] else remark)
        low, high = part.bounds(at)
        lower.append(np.ravel(low))
        upper.append(np.ravel(high))
        start = stop
    chosen = np.flatnonzero(np.concatenate(shown))
    covariance = jacobian[chosen] @ free @ jacobian[chosen].T
    lost = np.isnan(error[chosen])
    covariance[lost] = covariance[:, lost] = np.nan
    labels = _labels(problem, coordinates)
    return Inference(
        tuple(labels[i] for i in chosen),
        np.concatenate([at.ravel() for at in coordinates.at.values()])[chosen],
        covariance,
        np.concatenate(lower)[chosen],
        np.concatenate(upper)[chosen],
        tuple(remarks[i] for i in chosen),
        (f"{kind} information, {found.n_e_steps} E-steps", *notes),
        estimates=estimates,
        standard_errors=errors,
        information=kind,
        n_e_steps=found.n_e_steps,
        distance=distance,
        _coordinates=coordinates,
        _free=free,
        _flat=flat,
        _public_names=problem.names,
    )
