"""The properties of a covariance structure, one function for each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.engine import DegenerateModelError
from emlearn.testing._structure_case import Moments, StructureCase, expected_log_likelihood

Array = NDArray[Any]


def check_layout(case: StructureCase) -> None:
    """Covariances have the right shape and are symmetric and positive definite."""
    structure, shape = case.structure, case.structure.shape(*case.size)
    for covariances in case.points:
        published = structure.publish(covariances)
        if published.shape != shape or covariances.dtype != np.float64:
            case.fail(
                f"estimate returned {covariances.dtype} that is published with shape "
                f"{published.shape}, not float64 of shape {shape}",
                "shape, publish and estimate",
            )
        matrices = case.matrices(covariances)
        if not np.isfinite(matrices).all():
            case.fail("covariances are not finite", "estimate and matrix")
        case.require_same(
            matrices, matrices.transpose(0, 2, 1), "matrix, transposed,", "estimate and matrix"
        )
        if not (np.linalg.eigvalsh(matrices) > 0.0).all():
            case.fail("covariances are not positive definite", "estimate and matrix")
        off_diagonal = matrices * (1.0 - np.eye(case.n_features))
        if structure.is_diagonal and off_diagonal.any():
            case.fail("is_diagonal is true, but features are correlated", "is_diagonal")
        if structure.is_shared and (matrices != matrices[0]).any():
            case.fail("is_shared is true, but components differ", "is_shared")


def check_scatter(case: StructureCase) -> None:
    """`scatter`, `from_kernel` and `unpack` give the same sums."""
    structure, rng = case.structure, case.rng()
    (n, d), n_rows = case.size, 4 * case.n_features
    rows, resp = rng.normal(size=(d, n_rows)), rng.uniform(0.1, 1.0, (n, n_rows))
    once = structure.new_scatter(n, d)
    if once.any():
        case.fail("new_scatter is not zero", "new_scatter")
    for k in range(n):
        first = structure.scatter(rows.copy(), np.sqrt(resp[k]), k, once)
        case.require_same(first, rows @ resp[k], "what scatter returns", "scatter")
    twice = once.copy()
    for k in range(n):
        structure.scatter(rows.copy(), np.sqrt(resp[k]), k, twice)
    case.require_same(twice, 2.0 * once, "scatter, called again,", "scatter: it must add to `out`")
    dense = (rows * resp[:, None]) @ rows.T
    sums = np.diagonal(dense, axis1=1, axis2=2).copy() if structure.is_diagonal else dense
    case.require_same(structure.from_kernel(sums), once, "from_kernel", "from_kernel and scatter")
    n_moments = structure.n_moments(d)
    if n_moments:
        moments = np.empty((n_moments, n_rows))
        structure.moments(rows, moments)
        unpacked = structure.unpack(resp @ moments.T, d)
        case.require_same(unpacked, once, "unpack", "moments and unpack")


def check_factor(case: StructureCase) -> None:
    """Factors and precisions are those of the full matrices."""
    structure, (n, d) = case.structure, case.size
    for covariances in case.points:
        matrices = case.matrices(covariances)
        precisions = np.linalg.inv(matrices)
        factor = case.factor(covariances)
        published = structure.precision(factor.precision_cholesky)
        rebuilt = structure.factor_from_cholesky(factor.precision_cholesky, case.size)
        log_det = np.linalg.slogdet(matrices)[1]
        diagonal = np.diagonal(precisions, axis1=1, axis2=2)
        for made, source in ((factor, "factor"), (rebuilt, "factor_from_cholesky")):
            found = np.broadcast_to(made.log_det, n)
            case.require_same(found, log_det, "log_det", source)
            found = np.broadcast_to(made.precision_diagonal, (n, d))
            case.require_same(found, diagonal, "precision_diagonal", source)
        cholesky = structure.kernel_cholesky(factor, case.size)
        if structure.is_diagonal:
            cholesky = np.einsum("ki,ij->kij", cholesky, np.eye(d))
        case.require_same(
            cholesky @ cholesky.transpose(0, 2, 1),
            precisions,
            "P P' of kernel_cholesky",
            "kernel_cholesky",
        )
        if np.tril(cholesky, -1).any():
            case.fail("the factors are not upper triangular", "factor and kernel_cholesky")
        found = case.published_matrices(published)
        case.require_same(found, precisions, "precision", "precision")
        back = structure.covariance_from_precision(published, d)
        expected = structure.publish(covariances)
        case.require_same(back, expected, "the inverse", "covariance_from_precision")
        for k in range(n):
            own = structure.covariance_cholesky(factor.precision_cholesky, k, d)
            case.require_same(
                own @ own.T, matrices[k], "R R' of covariance_cholesky", "covariance_cholesky"
            )
        width = structure.conditional_deviation(factor.precision_cholesky, case.size)
        exact = 1.0 / np.sqrt(diagonal)
        if width.shape != (n, d) or not ((width > 0.5 * exact) & (width < 2 * d * exact)).all():
            case.fail("conditional deviations are off by a factor", "conditional_deviation")
    for wrong in (0.0, -1.0, np.nan):
        with suppress(DegenerateModelError):
            case.factor(wrong * case.points[0])
            case.fail(f"covariances multiplied by {wrong} have a factor", "factor")


def check_quadratic_forms(case: StructureCase) -> None:
    """`squared_distance` and the moment form are Mahalanobis distances.

    The moment form may omit terms that all components have in common.
    """
    structure, rng, (n, d) = case.structure, case.rng(), case.size
    rows, means = rng.normal(size=(d, 9)), rng.normal(size=(n, d))
    for covariances in case.points:
        factor, matrices = case.factor(covariances), case.matrices(covariances)
        centered = rows - means[:, :, None]
        expected = (centered * np.linalg.solve(matrices, centered)).sum(axis=1)
        found = np.array(
            [structure.squared_distance(z.copy(), factor, k) for k, z in enumerate(centered)]
        )
        case.require_same(found, expected, "squared_distance", "squared_distance")
        linear, quadratic = structure.natural(factor, means)
        moments = np.empty((structure.n_moments(d), rows.shape[1]))
        structure.moments(rows, moments)
        joint = linear @ rows + quadratic @ moments - 0.5 * (linear * means).sum(axis=1)[:, None]
        wanted = -0.5 * expected
        if not structure.n_moments(d):
            joint, wanted = joint - joint[0], wanted - wanted[0]
        case.require_same(joint, wanted, "the moment form", "natural and moments")


def check_rescale(case: StructureCase) -> None:
    """Covariances follow a change of the units that the structure allows."""
    structure, (n, d) = case.structure, case.size
    scale = np.full(d, 4.0)
    if structure.scales_by_column:
        scale = np.exp2(case.rng().integers(-3, 4, d))
    for moments, covariances in zip(case.problems, case.points, strict=True):
        rescaled = structure.rescale(covariances, scale)
        expected = case.matrices(covariances) * scale[:, None] * scale
        case.require_same(case.matrices(rescaled), expected, "rescale", "rescale")
        case.require_in_set(
            rescaled, "rescaled covariances", "rescale, or set scales_by_column to False"
        )
        cholesky = structure.rescale_cholesky(case.factor(covariances).precision_cholesky, scale)
        precisions = case.published_matrices(structure.precision(cholesky))
        case.require_same(
            precisions @ expected,
            np.broadcast_to(np.eye(d), (n, d, d)),
            "the precision of rescale_cholesky, times the covariance,",
            "rescale_cholesky",
        )
        size = scale[:, None] * scale
        other = structure.new_scatter(n, d)
        for k in range(n):
            rows = np.linalg.cholesky(moments.scatter[k] * size)
            structure.scatter(rows, np.ones(d), k, other)
        zero = np.zeros((n, d))
        found = structure.estimate(moments.weight, zero, other, zero[0])
        case.require_same(
            case.matrices(found),
            case.matrices(rescaled),
            "the M-step in other units",
            "scales_by_column and estimate",
        )


def check_published_form(case: StructureCase) -> None:
    """What is published determines the covariances."""
    structure = case.structure
    for covariances in case.points:
        matrices, published = case.matrices(covariances), structure.publish(covariances)
        found = case.published_matrices(published)
        case.require_same(found, matrices, "published_matrix", "publish and published_matrix")
        back = case.matrices(structure.adopt(published))
        case.require_same(back, matrices, "adopt of publish", "publish and adopt")
        parts = structure.parts(covariances)
        if tuple(parts) != tuple(structure.part_names):
            case.fail(f"parts are {sorted(parts)}, not {structure.part_names}", "part_names")
        if parts:
            # Parts may be turned, as loadings can be: the matrices are the same.
            again = case.matrices(structure.from_parts(parts, case.size))
            case.require_same(again, matrices, "from_parts of parts", "parts and from_parts")


def check_m_step_stays(case: StructureCase) -> None:
    """The M-step from rows with covariances in the set returns the same covariances."""
    for covariances in case.points:
        case.require_in_set(covariances, "covariances that estimate returned", "estimate")
    for k in range(case.n_components):
        weights = 0.3 * case.rng().dirichlet(np.ones(case.n_components))
        changed = case.structure.with_average(case.points[0], k, weights)
        case.factor(changed)
        case.require_in_set(changed, "covariances that with_average returned", "with_average")


def check_m_step_maximizes(case: StructureCase) -> None:
    """No other covariances have a higher expected log-likelihood than those of the M-step."""
    structure = case.structure
    for moments, covariances in zip(case.problems, case.points, strict=True):
        for factor in (0.25, 0.9, 0.99, 0.999, 1.001, 1.01, 1.1, 4.0):
            scale = np.full(case.n_features, np.sqrt(factor))
            scaled = structure.rescale(covariances, scale)
            _require_worse(case, scaled, f"{factor} times the fit", covariances, moments)
            for other in case.points:
                scaled = structure.rescale(other, scale)
                what = f"{factor} times a fit to other rows"
                _require_worse(case, scaled, what, covariances, moments)


def check_no_step_improves(case: StructureCase) -> None:
    """No step in the vector form increases the expected log-likelihood after the M-step."""
    structure, rng = case.structure, case.rng()
    for moments, covariances in zip(case.problems, case.points, strict=True):
        vector = structure.to_vector(covariances)
        directions = _size(vector) * rng.standard_normal((10, len(vector)))
        others = [structure.to_vector(other) - vector for other in case.points]
        for step in (1e-1, 1e-2, 1e-3, 1e-4):
            for direction in (*directions, *others):
                for signed in (-step, step):
                    with suppress(DegenerateModelError):
                        moved = structure.from_vector(vector + signed * direction, covariances)
                        what = f"a step of {signed:g} in the vector form"
                        _require_worse(case, moved, what, covariances, moments)


def _require_worse(
    case: StructureCase, other: Array, what: str, best: Array, moments: Moments
) -> None:
    values = (
        expected_log_likelihood(case.matrices(covariances), moments.weight, moments.scatter)
        for covariances in (other, best)
    )
    value, highest = values
    allowed = case.rtol * max(abs(highest), float(moments.weight.sum()))
    if value - highest > allowed:
        case.fail(
            f"the expected log-likelihood of {what} is higher by {value - highest:.3g} than "
            f"that of the M-step, {highest!r}; {allowed:.1g} is allowed",
            "estimate, which must maximize -sum (N log|Sigma| + tr(inv(Sigma) W)) / 2 over "
            "the components, where W is the sum of squares and products about the means plus "
            "N times the ridge on the diagonal",
        )


def check_update(case: StructureCase) -> None:
    """Within EM, no M-step lowers the expected log-likelihood of the covariances before."""
    structure = case.structure
    for moments, best in zip(case.problems, case.points, strict=True):
        for before in case.points:
            found = structure.update(*moments[:4], before)
            if structure.only_improves:
                _require_better(case, found, before, moments, "update")
            else:
                case.require_same(found, best, "update", "update and only_improves")


def _require_better(
    case: StructureCase, found: Array, before: Array, moments: Moments, what: str
) -> None:
    """Fail if covariances have a lower expected log-likelihood than those before."""
    last, value = (
        expected_log_likelihood(case.matrices(covariances), moments.weight, moments.scatter)
        for covariances in (before, found)
    )
    allowed = 1e-10 * max(abs(last), float(moments.weight.sum()))
    if not value >= last - allowed:
        case.fail(
            f"{what} lowers the expected log-likelihood by {last - value:.3g}; {allowed:.1g} is "
            "allowed",
            what,
        )


def _size(vector: Array) -> float:
    return float(np.sqrt(np.mean(np.square(vector))))


def check_empty_components(case: StructureCase) -> None:
    """Components without rows do not affect the others, and keep a covariance."""
    structure = case.structure
    moments, before = case.problems[0], case.points[1]
    nonempty = np.ones(case.n_components, dtype=bool)
    found = structure.estimate_nonempty(nonempty, *moments[:4], before)
    if structure.only_improves:
        _require_better(case, found, before, moments, "estimate_nonempty")
    else:
        case.require_same(
            found,
            case.points[0],
            "estimate_nonempty of components that all have rows",
            "estimate_nonempty",
        )
    if case.n_components == 1:
        return
    nonempty[case.n_components // 2] = False
    own = case.moments(case.rng(), nonempty)
    weight, shift = np.zeros(case.n_components), np.zeros(case.size)
    weight[nonempty], shift[nonempty] = own.weight, own.shift
    second = structure.new_scatter(*case.size)
    for position, k in enumerate(np.flatnonzero(nonempty).tolist()):
        # About the origin of the moments, without the ridge.
        dense = own.scatter[position] - own.weight[position] * np.diag(own.ridge)
        dense += own.weight[position] * np.outer(own.shift[position], own.shift[position])
        structure.scatter(np.linalg.cholesky(dense), np.ones(case.n_features), k, second)
    found = structure.estimate_nonempty(nonempty, weight, shift, second, own.ridge, before)
    matrices = case.matrices(found)
    some = structure.update(*own[:4], before[nonempty]) if structure.only_improves else None
    some = structure.estimate(*own[:4]) if some is None else some
    expected = case.matrices(some, int(nonempty.sum()))
    case.require_same(
        matrices[nonempty],
        expected,
        "estimate_nonempty of components with rows",
        "estimate_nonempty",
    )
    if not np.isfinite(matrices).all():
        case.fail("the covariance of a component without rows is not finite", "estimate_nonempty")
    case.factor(found)
    case.require_in_set(found, "covariances that estimate_nonempty returned", "estimate_nonempty")


def check_vector_round_trip(case: StructureCase) -> None:
    """`from_vector` undoes `to_vector`, with as many directions as free parameters."""
    structure, n_parameters = case.structure, case.structure.n_parameters(*case.size)
    for covariances, like in zip(case.points, case.points[::-1], strict=True):
        vector = structure.to_vector(covariances)
        if vector.ndim != 1 or vector.dtype != np.float64 or not np.isfinite(vector).all():
            case.fail("to_vector did not return a finite float64 array (n,)", "to_vector")
        back = structure.from_vector(vector.copy(), like)
        case.require_same(
            back,
            covariances,
            "from_vector of to_vector",
            "to_vector and from_vector, and at `like`, of which only the shape may be used",
        )
        step = 1e-4 * _size(vector)
        slopes = []
        for offset in step * np.eye(len(vector)):
            ends = (structure.from_vector(vector + s * offset, like) for s in (1.0, -1.0))
            up, down = (case.matrices(end).ravel() for end in ends)
            slopes.append((up - down) / (2.0 * step))
        singular = np.linalg.svd(np.array(slopes), compute_uv=False)
        rank = int((singular > 1e-5 * singular[0]).sum())
        if rank != n_parameters:
            case.fail(
                f"covariances move in {rank} independent directions as the {len(vector)} "
                f"coordinates change, but n_parameters is {n_parameters}",
                "n_parameters and from_vector",
            )


def check_wild_vectors(case: StructureCase) -> None:
    """Any vector gives covariances in the set or raises DegenerateModelError."""
    structure, rng = case.structure, case.rng()
    vectors = [structure.to_vector(covariances) for covariances in case.points]
    size = _size(vectors[0])
    for t in (-20.0, -3.0, -0.5, -0.1, 0.1, 0.5, 0.9, 1.1, 1.5, 3.0, 20.0):
        for a, b in ((0, 1), (1, 2), (2, 0)):
            line = vectors[a] + t * (vectors[b] - vectors[a])
            _require_valid(case, line, f"the point {t:g} of the way from one fit to another")
    for step in (1e-3, 0.1, 1.0, 10.0, 1e3, 1e8, 1e300):
        for _ in range(5):
            wild = vectors[0] + step * size * rng.standard_normal(len(vectors[0]))
            _require_valid(case, wild, f"a step of {step:g} times the vector's size")
    for value in (np.nan, np.inf):
        broken = vectors[0].copy()
        broken[-1] = value
        _require_valid(case, broken, f"a coordinate of {value}")


def _require_valid(case: StructureCase, vector: Array, what: str) -> None:
    try:
        covariances = case.structure.from_vector(vector, case.points[0])
    except DegenerateModelError:
        return
    except Exception as error:
        case.fail(
            f"{what} raised {error!r}", "from_vector, which may only raise DegenerateModelError"
        )
    try:
        case.factor(covariances)
    except DegenerateModelError as error:
        case.fail(f"{what} gave covariances without a factor: {error}", "from_vector")
    case.require_in_set(covariances, f"covariances of {what}", "from_vector")


def check_nothing_is_changed(case: StructureCase) -> None:
    """No method changes its arguments, and the same arguments give the same bits."""
    structure, moments, covariances = case.structure, case.problems[0], case.points[0]
    nonempty, d = np.arange(case.n_components) < 2, case.n_features
    scale, cholesky = np.full(d, 2.0), case.factor(covariances).precision_cholesky
    published, weights = structure.precision(cholesky), np.full(case.n_components, 0.2)
    vector = structure.to_vector(covariances)
    calls: tuple[tuple[str, tuple[Any, ...]], ...] = (
        ("estimate", moments[:4]),
        ("update", (*moments[:4], covariances)),
        ("estimate_nonempty", (nonempty, *moments[:4], covariances)),
        ("publish", (covariances,)),
        ("adopt", (structure.publish(covariances),)),
        ("with_average", (covariances, 0, weights)),
        ("factor", (covariances, d, 0.0)),
        ("to_vector", (covariances,)),
        ("from_vector", (vector, covariances)),
        ("rescale", (covariances, scale)),
        ("rescale_cholesky", (cholesky, scale)),
        ("precision", (cholesky,)),
        ("factor_from_cholesky", (cholesky, case.size)),
        ("covariance_from_precision", (published, d)),
        ("covariance_cholesky", (cholesky, 0, d)),
    )
    for name, arguments in calls:
        before = [np.array(argument) for argument in arguments]
        first = _leaves(getattr(structure, name)(*arguments))
        pairs = zip(before, arguments, strict=True)
        if not all(np.array_equal(old, now) for old, now in pairs):
            case.fail(f"{name} changed its arguments", f"in-place operations of {name}")
        again = _leaves(getattr(structure, name)(*arguments))
        if not all(np.array_equal(a, b) for a, b in zip(first, again, strict=True)):
            case.fail(f"{name} gives a different result when called again", name)


def _leaves(value: Any) -> tuple[Array, ...]:
    parts = value if isinstance(value, tuple) else (value,)
    return tuple(np.array(part) for part in parts)


STRUCTURE_CHECKS: tuple[Callable[[StructureCase], None], ...] = (
    check_scatter,
    check_layout,
    check_factor,
    check_quadratic_forms,
    check_m_step_maximizes,
    check_m_step_stays,
    check_empty_components,
    check_update,
    check_rescale,
    check_published_form,
    check_vector_round_trip,
    check_wild_vectors,
    check_no_step_improves,
    check_nothing_is_changed,
)
