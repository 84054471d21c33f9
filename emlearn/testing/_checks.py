"""The properties of a model, one function for each."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial, reduce
from itertools import pairwise
from numbers import Real
from typing import Any, TypeVar

import numpy as np
from joblib import wrap_non_picklable_objects
from numpy.typing import NDArray

from emlearn.engine import DegenerateModelError, Status, add_statistics, run_em
from emlearn.testing._case import ModelCase, evaluate
from emlearn.testing._public_checks import PUBLIC_CHECKS
from emlearn.testing._trees import difference, not_addable, scaled

T = TypeVar("T")


def check_statistics_can_be_added(case: ModelCase) -> None:
    """Statistics are arrays, numbers, or tuples and dicts of these."""
    blocks = case.model.blocks(case.data)
    if not blocks:
        case.fail("there are no blocks", "blocks, which must return at least one")
    found = case.model.e_step(blocks[0], case.model.precompute(case.start))
    if not isinstance(found, tuple) or len(found) != 2:
        case.fail(
            f"e_step returned {type(found).__name__}, not the pair (statistics, log_likelihood)",
            "the return statement of e_step",
        )
    statistics, log_likelihood = found
    if not isinstance(log_likelihood, Real) and np.ndim(log_likelihood) != 0:
        case.fail(
            f"the log-likelihood of a block is {type(log_likelihood).__name__}, not a number",
            "the return statement of e_step",
        )
    for path, leaf in not_addable(statistics):
        case.fail(
            f"statistics{path} is {type(leaf).__name__}, which the engine cannot add",
            "the statistics of e_step: use arrays, numbers, or tuples, named tuples and dicts "
            "of these",
        )
    doubled = add_statistics(statistics, statistics)
    where = difference(doubled, scaled(statistics, 2.0), case.rtol)
    if where:
        case.fail(
            f"statistics + statistics is not twice the statistics: {where}",
            "the types of the statistics of e_step",
        )


def check_em_runs(case: ModelCase) -> None:
    """EM takes its first steps with a finite objective."""
    _ = case.path


def check_pickling(case: ModelCase) -> None:
    """The model and its parameters survive pickling, as parallel starts require."""
    point = case.path[-1]
    try:
        # As joblib sends them to its processes, so that the class need not be importable there.
        packed = wrap_non_picklable_objects((case.model, point.params), keep_wrapper=False)
        model, params = pickle.loads(pickle.dumps(packed))
    except Exception as error:  # of the code under test
        case.fail(
            f"the model or its parameters cannot be pickled: {error!r}",
            "their attributes: open files, locks and generators cannot be pickled",
        )
    where = difference(params, point.params)
    if where:
        case.fail(f"pickling changed the parameters: {where}", "the type of the parameters")
    data = model.prepare(case.X, case.sample_weight)
    where = difference(evaluate(model, data, params), point)
    if where:
        case.fail(
            f"a pickled copy of the model gives different results: {where}",
            "state of the model outside of its attributes",
        )


def check_nothing_is_changed(case: ModelCase) -> None:
    """No method changes the model or its arguments."""
    model = case.model

    def watch(method: str, call: Callable[[], T], **arguments: Any) -> T:
        watched = {"the model": model, **arguments}
        before = {}
        for name, value in watched.items():
            # An object that cannot be copied cannot be pickled, which check_pickling reports.
            with suppress(Exception):
                twin = copy.deepcopy(value)
                if not difference(twin, value):
                    before[name] = twin
        result = call()
        for name, old in before.items():
            where = difference(watched[name], old)
            if where:
                case.fail(
                    f"{method} changed {name}: {where}",
                    f"assignments and in-place operations in {method}; work on copies",
                )
        return result

    X, weight = case.X, case.sample_weight
    data = watch("prepare", lambda: model.prepare(X, weight), X=X, sample_weight=weight)
    watch("initialize", lambda: model.initialize(data, case.rng()))
    params = model.initialize(data, case.rng())
    precomputed = watch("precompute", lambda: model.precompute(params), params=params)
    for block in model.blocks(data):
        e_step = partial(model.e_step, block, precomputed)
        first = copy.deepcopy(watch("e_step", e_step, params=params))
        where = difference(e_step(), first)
        if where:
            case.fail(
                f"a second E-step on the same block gives a different result: {where}",
                "in-place operations of e_step on the block or on the result of precompute",
            )
    statistics = case.evaluate(data, params).statistics
    image = watch(
        "m_step",
        lambda: model.m_step(statistics, params),
        statistics=statistics,
        params=params,
    )
    watch("log_prior", lambda: model.log_prior(params), params=params)
    vector = watch("to_vector", lambda: _vector(case, params), params=params)
    if vector is not None:
        with suppress(DegenerateModelError, NotImplementedError):
            watch(
                "from_vector", lambda: model.from_vector(vector, image), vector=vector, like=image
            )


def check_same_seed_same_bits(case: ModelCase) -> None:
    """EM from the same seed takes the same path, bit for bit."""
    data = case.model.prepare(case.X, case.sample_weight)
    again = case.run(data, case.model.initialize(data, case.rng()))
    for step, (point, other) in enumerate(zip(case.path, again, strict=True)):
        where = difference(other, point)
        if where:
            case.fail(
                f"two runs from the same seed differ after {step} EM steps: {where}",
                "initialize, which must draw only from its rng, and at caches, global state "
                "and the order of sets",
            )


def check_blocks_add_up(case: ModelCase) -> None:
    """Statistics are sums over the blocks, with the same bits for any number of threads."""
    model = case.model
    for point in case.ends:
        precomputed = model.precompute(point.params)
        parts = [
            copy.deepcopy(model.e_step(block, precomputed)) for block in model.blocks(case.data)
        ]
        total = reduce(add_statistics, parts)
        where = difference(total, (point.statistics, point.log_likelihood), case.rtol)
        if where:
            case.fail(
                f"the sum over the blocks differs from the statistics of the engine: {where}",
                "scratch arrays that e_step returns and overwrites at the next block",
            )
        where = difference(evaluate(case.model, case.data, point.params, n_threads=2), point)
        if where:
            case.fail(
                f"an E-step in two threads differs from one in a single thread: {where}",
                "arrays that several blocks use and e_step writes to",
            )


def check_objective_never_decreases(case: ModelCase) -> None:
    """The log-likelihood plus log prior never decreases, except by rounding."""
    rounding = case.convergence.rounding
    weight = case.model.total_weight(case.data)
    objectives = [point.objective for point in case.path]
    for step, (before, after) in enumerate(pairwise(objectives), 1):
        if before - after > rounding(before, weight):
            case.fail(
                f"the objective fell by {before - after:.3g} in EM step {step}, from {before!r} "
                f"to {after!r}; rounding explains at most {rounding(before, weight):.1g}",
                "m_step, which must maximize the expected complete-data log-likelihood plus the "
                "log prior, at the log-likelihood of e_step, and at log_prior, which must be "
                "the prior that m_step uses",
            )


def check_weight_is_copies(case: ModelCase) -> None:
    """An observation of weight w has the same effect as w copies."""
    counts = case.rng().integers(1, 4, case.n_rows)
    index = np.arange(case.n_rows)
    repeated = np.repeat(index, counts)
    _require_same(
        case,
        case.rows(index, case.weight * counts),
        case.rows(repeated, case.weight[repeated]),
        "weights of 1 to 3 have a different effect from that many copies",
        "prepare and e_step, where every sum over rows must use sample_weight",
    )
    if case.sample_weight is None:
        _require_same(
            case,
            case.data,
            case.rows(index, case.weight),
            "weights of 1 have a different effect from no weights",
            "prepare, and how it handles sample_weight=None",
        )


def check_twice_the_data(case: ModelCase) -> None:
    """Twice the data give twice the statistics, which are sums and not means."""
    index = np.arange(case.n_rows)
    twice = np.concatenate([index, index])
    once, data = case.rows(index, case.weight), case.rows(twice, case.weight[twice])
    for point in case.ends:
        single, double = case.evaluate(once, point.params), case.evaluate(data, point.params)
        expected = scaled((single.statistics, single.log_likelihood), 2.0)
        where = difference((double.statistics, double.log_likelihood), expected, case.rtol)
        if where:
            case.fail(
                f"the statistics of two copies of all rows are not twice those of one: {where}",
                "e_step, whose statistics and log-likelihood must be sums over rows, so that "
                "blocks add up: neither means nor sums with a constant",
            )


def check_zero_weight_is_absent(case: ModelCase) -> None:
    """An observation of weight zero has no effect."""
    keep = case.rng().random(case.n_rows) < 0.8
    index = np.arange(case.n_rows)
    _require_same(
        case,
        case.rows(index, case.weight * keep),
        case.rows(index[keep], case.weight[keep]),
        "rows of weight 0 have an effect",
        "prepare and e_step, where they use rows without their weights, as in a plain mean, "
        "a minimum or a count",
    )


def check_order_does_not_matter(case: ModelCase) -> None:
    """The order of the observations has no effect beyond rounding."""
    index = np.arange(case.n_rows)
    for order in (index[::-1], case.rng().permutation(case.n_rows)):
        _require_same(
            case,
            case.rows(index, case.weight),
            case.rows(order, case.weight[order]),
            "the order of the rows has an effect",
            "code that takes rows by position, or sorts them without their weights",
        )


def check_score(case: ModelCase) -> None:
    """The log-likelihood of the E-step is the score at the same parameters."""
    if case.score is None:
        return
    for point in case.ends:
        expected = case.score(case.model, point.params, case.X, case.sample_weight)
        where = difference(point.log_likelihood, expected, case.rtol)
        if where:
            case.fail(
                f"the log-likelihood of e_step is not the score: {where}",
                "constants that are left out, and at whether e_step returns the log-likelihood "
                "at its parameters rather than a bound",
            )


def check_vector_round_trip(case: ModelCase) -> None:
    """`from_vector` undoes `to_vector`."""
    start, end = case.ends
    for point, like in ((start, start), (end, end), (end, start)):
        vector = _vector(case, point.params)
        if vector is None:
            return
        if not isinstance(vector, np.ndarray) or vector.ndim != 1 or vector.dtype != np.float64:
            case.fail("to_vector did not return a float64 array of one dimension", "to_vector")
        if not np.isfinite(vector).all():
            case.fail(
                f"to_vector returned values that are not finite: {vector}",
                "to_vector at parameters on the boundary, or choose other data",
            )
        try:
            back = case.model.from_vector(vector.copy(), like.params)
        except (DegenerateModelError, NotImplementedError) as error:
            case.fail(f"from_vector refused what to_vector returned: {error!r}", "from_vector")
        where = difference(back, point.params, case.rtol)
        if where:
            case.fail(
                f"from_vector does not undo to_vector: {where}",
                "to_vector and from_vector, which must be inverses of each other, and at `like`, "
                "from which from_vector may take only shapes and constants",
            )


def check_wild_vectors(case: ModelCase) -> None:
    """A vector far from valid parameters at worst raises DegenerateModelError."""
    params = case.path[-1].params
    vector = _vector(case, params)
    if vector is None:
        return
    rng = case.rng()
    for scale in (1.0, 10.0, 1e3, 1e8):
        for _ in range(5):
            wild = vector + scale * rng.standard_normal(len(vector))
            try:
                _objective(case, wild, params)
            except Exception as error:  # of the code under test
                case.fail(
                    f"parameters from a vector that is off by {scale:g} caused {error!r}",
                    "from_vector, precompute and e_step: they should raise "
                    "DegenerateModelError, which makes the engine reject the vector",
                )


def check_limit_is_stationary(case: ModelCase) -> None:
    """Where EM converges, no small step increases the objective."""
    vector = _vector(case, case.path[-1].params)
    if vector is None:
        return
    convergence = case.convergence
    limit = run_em(
        case.model,
        case.data,
        case.path[-1].params,
        convergence=convergence,
        max_iter=case.max_iter,
    )
    if limit.status in (Status.FAILED, Status.STALLED):
        case.fail(f"EM {limit.status.value}: {limit.message}", "m_step and log_prior")
    remaining = limit.history[-1].remaining
    if not np.isfinite(remaining):
        if not limit.converged:
            case.fail(
                f"EM has not converged after {case.max_iter} more steps",
                "m_step, or raise max_iter, or choose data on which EM is faster",
            )
        remaining = 0.0
    weight = case.model.total_weight(case.data)
    allowed = convergence.rounding(limit.objective, weight) + 10.0 * remaining + case.rtol * weight
    vector = case.model.to_vector(limit.params)
    size = np.abs(vector) + (0.1 * np.abs(vector).mean() or 1.0)
    rng = case.rng()
    for _ in range(8):
        direction = size * rng.standard_normal(len(vector))
        for step in (-1e-2, 1e-2, -1e-3, 1e-3, -1e-4, 1e-4):
            rise = _objective(case, vector + step * direction, limit.params) - limit.objective
            if rise > allowed:
                case.fail(
                    f"where EM converges, a small step increases the objective, "
                    f"{limit.objective!r}, by {rise:.3g}; {allowed:.1g} is allowed",
                    "m_step, which must maximize the same objective that e_step and log_prior "
                    "report; as EM may also have found a saddle point, try another random_state",
                )


CHECKS: tuple[Callable[[ModelCase], None], ...] = (
    check_statistics_can_be_added,
    check_em_runs,
    check_nothing_is_changed,
    check_pickling,
    check_same_seed_same_bits,
    check_blocks_add_up,
    check_objective_never_decreases,
    check_twice_the_data,
    check_weight_is_copies,
    check_zero_weight_is_absent,
    check_order_does_not_matter,
    check_score,
    check_vector_round_trip,
    check_wild_vectors,
    check_limit_is_stationary,
    *PUBLIC_CHECKS,
)


def _require_same(case: ModelCase, left: Any, right: Any, found: str, look_at: str) -> None:
    """Both data sets have the same objective, statistics and M-step at the same parameters."""
    total_weight = case.model.total_weight
    where = difference(total_weight(left), total_weight(right), case.rtol)
    if where:
        case.fail(f"{found}, on total_weight: {where}", look_at)
    for point in case.ends:
        a, b = case.evaluate(left, point.params), case.evaluate(right, point.params)
        where = difference(a, b, case.rtol)
        if where:
            case.fail(f"{found}: {where}", look_at)
        image_a = case.model.m_step(a.statistics, point.params)
        image_b = case.model.m_step(b.statistics, point.params)
        where = difference(image_a, image_b, case.rtol)
        if where:
            case.fail(f"{found}, after the M-step: {where}", look_at)


def _vector(case: ModelCase, params: Any) -> NDArray[np.float64] | None:
    """Vector form of parameters; None if the model has none."""
    try:
        return case.model.to_vector(params)
    except NotImplementedError:
        return None


def _objective(case: ModelCase, vector: NDArray[np.float64], like: Any) -> float:
    """Objective at a vector, as acceleration sees it; -inf if the vector is refused."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            objective = case.evaluate(case.data, case.model.from_vector(vector, like)).objective
        except DegenerateModelError:
            return -np.inf
    return objective if np.isfinite(objective) else -np.inf
