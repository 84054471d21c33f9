"""Properties of the optional methods about published parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.engine import DegenerateModelError, LatentVariableModel
from emlearn.engine.parameters import Coordinates, Curved, ParameterSpace, Public
from emlearn.testing._case import ModelCase, Point
from emlearn.testing._trees import difference

Array = NDArray[np.float64]

# Directions in which gradients are compared, and their tolerance relative to the curvature.
_DIRECTIONS = 6
_STEP = 1e-4
_TOLERANCE = 1e-5
# Parts of the entries that are held in turn.
_SHARES = (0.3, 0.7, 1.0)


def _defines(case: ModelCase, *names: str) -> bool:
    """Whether the model has one of these methods itself."""
    own = type(case.model)
    return any(getattr(own, name) is not getattr(LatentVariableModel, name) for name in names)


def check_public_round_trip(case: ModelCase) -> None:
    """`from_public` undoes `public`."""
    start, end = case.ends
    for point, like in ((start, start), (end, end), (end, start)):
        public = case.model.public(point.params)
        for name, value in public.items():
            if not isinstance(value, np.ndarray) or value.dtype != np.float64:
                case.fail(f"public()[{name!r}] is not a float64 array", "public")
        try:
            back = case.model.from_public(public, like.params)
        except (DegenerateModelError, ValueError) as error:
            case.fail(f"from_public refused what public returned: {error!r}", "from_public")
        where = difference(case.model.public(back), public, case.rtol)
        where = where or difference(
            case.evaluate(case.data, back).objective, point.objective, case.rtol
        )
        if where:
            case.fail(
                f"from_public does not undo public: {where}",
                "public and from_public, and at `like`, from which from_public may take only "
                "shapes and constants",
            )


def check_space_describes_public(case: ModelCase) -> None:
    """`space` has a part for each published array, which is within its bounds."""
    if not _defines(case, "public", "space"):
        return
    for point in case.ends:
        public, space = case.model.public(point.params), case.model.space(point.params)
        if set(space.parts) != set(public):
            odd = sorted(set(space.parts) ^ set(public))
            case.fail(f"{', '.join(odd)} is in only one of public and space", "public and space")
        for name, part in space.parts.items():
            value = public[name]
            if part.axes and len(part.axes) != value.ndim:
                case.fail(
                    f"{name} has {value.ndim} axes, and its part has the axes {part.axes}", "space"
                )
            value = value[~np.isnan(value)]  # NaN where there is no parameter
            margin = case.rtol * max(1.0, float(np.abs(value).max(initial=0.0)))
            if value.size and not (
                part.lower - margin <= value.min() and value.max() <= part.upper + margin
            ):
                case.fail(
                    f"{name} ranges from {value.min():g} to {value.max():g}, outside of "
                    f"[{part.lower:g}, {part.upper:g}]",
                    "the bounds in space",
                )
        around = space.coordinates(public)
        if space.n_free(public, {}) != around.n_free:
            case.fail("count_free is not the number of directions of a part", "space")
        where = difference(around.move(np.zeros(around.n_free)), public, case.rtol)
        if where:
            case.fail(f"a step of length 0 moves the parameters: {where}", "the parts of space")


def check_gradient(case: ModelCase) -> None:
    """`score` is the gradient of the objective, along random directions."""
    if not case.model.has_score:
        return
    model, rng = case.model, case.rng()
    for point in case.ends:
        public = model.public(point.params)
        around = model.space(point.params).coordinates(public, one_row=1e-8)
        if not around.n_free:
            continue
        gradient = around.pull(model.score(point.statistics, point.params), np.zeros(around.n_free))
        for _ in range(_DIRECTIONS):
            direction = rng.standard_normal(around.n_free) / np.sqrt(around.n_free)
            found = _slope(case, point, around, direction)
            if found is None:
                continue
            slope, curvature = found
            off = abs(slope - float(gradient @ direction))
            scale = abs(curvature) + abs(slope) + case.model.total_weight(case.data) * 1e-2
            if off > _TOLERANCE * max(scale, case.rtol * abs(point.objective) / _STEP):
                case.fail(
                    f"the slope of the objective in a random direction is {slope:.8g}, but the "
                    f"score gives {gradient @ direction:.8g}",
                    "score, which must be the gradient of the expected complete-data objective, "
                    "log prior included, with respect to public",
                )


def _slope(
    case: ModelCase, point: Point, around: Coordinates, direction: Array
) -> tuple[float, float] | None:
    """First and second derivative of the objective; None where a step leaves the parameters."""

    def value(step: float) -> float:
        params = case.model.from_public(around.move(step * direction), point.params)
        return case.evaluate(case.data, params).objective

    try:
        above, below, far_above, far_below = (value(s * _STEP) for s in (1.0, -1.0, 2.0, -2.0))
    except (DegenerateModelError, ValueError):
        return None
    slope = (8.0 * (above - below) - (far_above - far_below)) / (12.0 * _STEP)
    return slope, (above + below - 2.0 * point.objective) / _STEP**2


def check_log_likelihoods(case: ModelCase) -> None:
    """The log-likelihoods of the observations add up to that of the E-step."""
    for point in case.ends:
        try:
            values, weight = case.model.log_likelihoods(case.data, point.params)
        except NotImplementedError:
            return
        where = difference(float(values @ weight), point.log_likelihood, case.rtol)
        if where:
            case.fail(
                f"the weighted log-likelihoods of the rows do not add up to e_step's: {where}",
                "log_likelihoods and its weights",
            )


def check_constrained_m_step(case: ModelCase) -> None:
    """A constrained M-step keeps the entries held and does not lower the objective."""
    if not _defines(case, "space", "constrained_m_step"):
        return
    model, rng = case.model, case.rng()
    for point in case.ends:
        public, space = model.public(point.params), model.space(point.params)
        free = model.constrained_m_step(point.statistics, point.params, {})
        where = difference(free, model.m_step(point.statistics, point.params), case.rtol)
        if where:
            case.fail(f"without entries it is not the M-step: {where}", "constrained_m_step")
        for share in _SHARES:
            fixed = _some_entries(space, public, share, rng)
            _check_step(case, point, fixed)


def _check_step(case: ModelCase, point: Point, fixed: Public) -> None:
    model, held = case.model, sorted(fixed)
    try:
        found = model.constrained_m_step(point.statistics, point.params, fixed)
    except ValueError:  # these entries can only be held with others
        return
    except DegenerateModelError as error:
        case.fail(f"with entries of {held} held it raised {error!r}", "constrained_m_step")
    after = model.public(found)
    for name, value in fixed.items():
        known = ~np.isnan(value)
        where = difference(after[name][known], value[known], case.rtol)
        if where:
            case.fail(f"entries of {name} that are held change: {where}", "constrained_m_step")
    now = case.evaluate(case.data, found).objective
    rounding = case.convergence.rounding(point.objective, model.total_weight(case.data))
    if point.objective - now > rounding + case.rtol * abs(point.objective):
        case.fail(
            f"with entries of {held} held, the objective fell by {point.objective - now:.3g}",
            "constrained_m_step, which must not lower the expected objective where the best free "
            "entries depend on those held",
        )


def _some_entries(
    space: ParameterSpace, public: Public, share: float, rng: np.random.Generator
) -> Public:
    """Random entries of the parameters, held where they are."""
    found: Public = {}
    for name, part in space.parts.items():
        value = np.asarray(public[name])
        known = rng.random(value.shape) < share
        inner: Any = part
        while hasattr(inner, "part"):
            inner = inner.part
        if isinstance(inner, Curved):
            known[...] = share == 1.0
        # Random entries of the only copy of an array, and both sides of a diagonal.
        choices: list[Callable[[Any], Any]] = [
            lambda known: known,
            lambda known: known & np.swapaxes(known, -1, -2),
            lambda known: np.broadcast_to(known.all(axis=0), known.shape),
            lambda known: np.full(known.shape, known.all()),
        ]
        for choose in choices:
            try:
                fixed = part.check(np.where(choose(known), value, np.nan), name)
            except ValueError:
                continue
            if not np.isnan(fixed).all():
                found[name] = fixed
            break
    return found


#: In the order in which they are checked.
PUBLIC_CHECKS = (
    check_public_round_trip,
    check_space_describes_public,
    check_gradient,
    check_log_likelihoods,
    check_constrained_m_step,
)
