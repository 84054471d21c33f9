"""M-steps of Gaussians with entries of the means and covariances held.

Means. With precision K and the entries c of a mean held, the expected objective is largest where
the residual of the free entries f follows from that of the held ones by regression:

    mu_f = xbar_f + inv(K_ff) K_fc (xbar_c - mu_c).

With a covariance matrix of its own that is estimated too, this is the joint maximum if K is the
inverse of the scatter about xbar: the best covariance about mu is that scatter plus
``N (xbar - mu)(xbar - mu)'``, whose determinant depends on mu by the Mahalanobis distance alone.
Otherwise K is the current precision, and each step is a conditional maximum (ECM).

Covariances. Where entries do not depend on each other, those held are put in. A matrix with single
entries held is linear in the others. Scoring [1]_ solves, for ``Sigma = Sigma_0 + sum_j t_j G_j``,

    sum_j tr(K G_i K G_j) dt_j = tr(K G_i K (S / N - Sigma)),

and a step is halved until the objective is not lower.

References
----------
.. [1] T. W. Anderson (1973). "Asymptotically efficient estimation of covariance matrices with
   linear structure". Annals of Statistics 1(1), 135-141.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.forms import GaussianStatistics
from emlearn.distributions.gaussian.prior import CovariancePrior
from emlearn.distributions.gaussian.scaling import ColumnScaling
from emlearn.distributions.gaussian.spec import GaussianParams
from emlearn.distributions.gaussian.structures import CovarianceStructure
from emlearn.engine.errors import DegenerateModelError
from emlearn.engine.parameters import Symmetric

Array = NDArray[np.float64]

# Steps of scoring in one M-step, in others, and relative gain at which they end. An M-step goes on
# from the covariance before, so a few steps follow the maximum.
_FEW_STEPS = 3
_STEPS = 30
_GAIN = 1e-14
_HALVINGS = 40
# A matrix with given entries that needs so little more is singular.
_ADDED = 1e-9


def scaled_entries(
    structure: CovarianceStructure,
    scaling: ColumnScaling,
    fixed: Mapping[str, Array],
) -> tuple[Array | None, Array | None]:
    """Means and covariances that are held, in scaled coordinates; None where all are free.

    Parameters
    ----------
    structure : CovarianceStructure
        Structure of the covariances.
    scaling : ColumnScaling
        The units.
    fixed : mapping of str to ndarray
        Entries by published name; NaN where free.

    Raises
    ------
    ValueError
        If covariances are not those of factors, where they have to be.
    """
    mean, covariance = fixed.get("mean"), fixed.get("covariance")
    if mean is not None:
        mean = scaling.to_scaled(mean)
    if covariance is not None:
        if structure.part_names:
            # All are held, in the form in which they are published.
            covariance = structure.adopt(covariance)
        covariance = structure.rescale(covariance, 1.0 / scaling.scale)
    return mean, covariance


def estimate_held(
    structure: CovarianceStructure,
    prior: CovariancePrior,
    statistics: GaussianStatistics,
    params: GaussianParams,
    mean: Array | None,
    covariance: Array | None,
) -> tuple[Array, Array]:
    """Means and covariances of an M-step with entries held.

    Parameters
    ----------
    structure : CovarianceStructure
        Structure of the covariances.
    prior : CovariancePrior
        Prior of the covariances.
    statistics : GaussianStatistics
        Statistics about the means of `params`.
    params : GaussianParams
        Parameters at which the statistics were taken; they have the entries.
    mean, covariance : ndarray or None
        Entries that are held, in scaled coordinates and the layout of the structure; NaN where
        free. None if all are.
    """
    shift, free = prior.estimate(structure, statistics, params.covariance)
    if mean is None:
        centers = params.mean + shift
    else:
        centers = _centers(structure, statistics, params, shift, free, mean, covariance)
    about = _about(structure, statistics, centers - params.mean)
    _, free = prior.estimate(structure, about, params.covariance)
    if covariance is None:
        return centers, free
    weight, scatter = prior.with_pseudo_rows(structure, about)
    if not is_linear(structure, params.mean.shape):
        return centers, np.where(np.isnan(covariance), free, covariance)
    if structure.is_shared:
        weight, scatter = weight.sum(keepdims=True), scatter[None]
    shape = (-1, *covariance.shape[-2:])
    found = free.reshape(shape).copy()
    each = zip(
        weight, scatter, params.covariance.reshape(shape), covariance.reshape(shape), strict=True
    )
    for k, (own_weight, own_scatter, before, held) in enumerate(each):
        known = ~np.isnan(held)
        if known.all():
            found[k] = held
        elif known.any():
            found[k] = put_in(before, held)
            if own_weight > 0.0:
                found[k] = scoring(own_scatter / own_weight, found[k], ~known, _FEW_STEPS)
    return centers, found.reshape(covariance.shape)


def is_linear(structure: CovarianceStructure, shape: tuple[int, int]) -> bool:
    """Whether single entries of matrices can be held: "full" and "tied"."""
    return not structure.part_names and isinstance(structure.part(shape), Symmetric)


def _centers(
    structure: CovarianceStructure,
    statistics: GaussianStatistics,
    params: GaussianParams,
    shift: Array,
    free: Array,
    mean: Array,
    covariance: Array | None,
) -> Array:
    """The means; `free` are the covariances if nothing is held."""
    known = ~np.isnan(mean)
    found = np.where(known, mean, params.mean + shift)
    mixed = known.any(axis=1) & ~known.all(axis=1) & (statistics.weight > 0.0)
    if structure.is_diagonal or not mixed.any():
        return found
    root = structure.kernel_cholesky(params.factor, params.mean.shape)
    separate = is_linear(structure, params.mean.shape) and not structure.is_shared
    for k in np.flatnonzero(mixed):
        precision = root[k] @ root[k].T
        if separate and (covariance is None or np.isnan(covariance[k]).all()):
            precision = _inverse(free[k])
        f, c = ~known[k], known[k]
        off = (params.mean[k] + shift[k] - mean[k])[c]
        found[k, f] += np.linalg.solve(precision[np.ix_(f, f)], precision[np.ix_(f, c)] @ off)
    return found


def _inverse(matrix: Array) -> Array:
    try:
        inverse: Array = np.linalg.inv(np.linalg.cholesky(matrix))
    except np.linalg.LinAlgError:
        raise DegenerateModelError("a covariance is singular") from None
    return inverse.T @ inverse


def _about(
    structure: CovarianceStructure, statistics: GaussianStatistics, shift: Array
) -> GaussianStatistics:
    """Statistics about other means, where the first moments are left out."""
    weight, first, second = statistics
    if structure.is_diagonal:
        change = weight[:, None] * np.square(shift) - 2.0 * first * shift
    else:
        cross = first[:, :, None] * shift[:, None, :]
        outer = shift[:, :, None] * shift[:, None, :]
        change = weight[:, None, None] * outer - cross - np.swapaxes(cross, 1, 2)
    return GaussianStatistics(weight, np.zeros_like(first), second + structure.from_kernel(change))


def scoring(target: Array, start: Array, free: NDArray[np.bool_], steps: int = _STEPS) -> Array:
    """The matrix with some entries held that is closest to `target`, by likelihood.

    It maximizes ``-log|Sigma| - tr(inv(Sigma) target)``, from `start`, which it never makes worse.

    Parameters
    ----------
    target : ndarray of shape (n_features, n_features)
        What the matrix would be if all entries were free.
    start : ndarray of shape (n_features, n_features)
        A positive definite matrix with the held entries.
    free : ndarray of bool, of the same shape
        Entries that are free; symmetric.
    steps : int, default=30
        Most steps.
    """

    def value(root: Array) -> float:
        return float(2.0 * np.log(np.diagonal(root)).sum() - np.sum((root @ target) * root))

    def gradient(matrix: Array, precision: Array) -> Array:
        inner: Array = precision @ (target - matrix) @ precision
        return inner

    return _climb(start, free, value, gradient, steps)


def _climb(
    matrix: Array,
    free: NDArray[np.bool_],
    value: Callable[[Array], float],
    gradient: Callable[[Array, Array], Array],
    steps: int = _STEPS,
) -> Array:
    """Steps of scoring uphill, with step halving.

    Parameters
    ----------
    matrix : ndarray of shape (n_features, n_features)
        Where it starts; positive definite.
    free : ndarray of bool, of the same shape
        Entries that move; symmetric.
    value : callable
        Twice the objective, from the inverse of the Cholesky factor.
    gradient : callable
        Twice its derivatives, from the matrix and its inverse.
    steps : int, default=30
        Most steps.
    """
    a, b = np.nonzero(np.triu(free))
    root = _root(matrix)
    if root is None:
        raise DegenerateModelError("a covariance with fixed entries is not positive definite")
    now = value(root)
    half = np.where(a == b, 0.5, 1.0)
    for _ in range(steps if a.size else 0):
        K = root.T @ root
        aa, bb, ab = K[a[:, None], a], K[b[:, None], b], K[a[:, None], b]
        information = aa * bb + ab * ab.T
        try:
            # Entries of the diagonal count once, others twice.
            step = np.linalg.solve(information * half, gradient(matrix, K)[a, b])
        except np.linalg.LinAlgError:
            break
        move = np.zeros_like(matrix)
        move[a, b] = move[b, a] = step
        for halving in range(_HALVINGS):
            trial = matrix + 0.5**halving * move
            new = _root(trial)
            if new is not None and value(new) >= now:
                break
        else:
            break
        matrix, root, before, now = trial, new, now, value(new)
        if now - before <= _GAIN * max(1.0, abs(now)):
            break
    return matrix


def _root(matrix: Array) -> Array | None:
    """Inverse of the Cholesky factor; None if the matrix is not positive definite."""
    try:
        return np.asarray(np.linalg.inv(np.linalg.cholesky(matrix)))
    except np.linalg.LinAlgError:
        return None


def put_in_all(
    structure: CovarianceStructure, covariances: Array, held: Array, shape: tuple[int, int]
) -> Array:
    """Covariances with entries put in, in the layout of the structure; see `put_in`."""
    if not is_linear(structure, shape):
        return np.where(np.isnan(held), covariances, held)
    each = (-1, *held.shape[-2:])
    pairs = zip(covariances.reshape(each), held.reshape(each), strict=True)
    return np.stack([put_in(*pair) for pair in pairs]).reshape(held.shape)


def put_in(matrix: Array, held: Array) -> Array:
    """A positive definite matrix with some entries put in.

    The others stay if the result is positive definite, and are otherwise those of the matrix
    closest by likelihood.

    Raises
    ------
    DegenerateModelError
        If no positive definite matrix has these entries.
    """
    known = ~np.isnan(held)
    imposed = np.where(known, held, matrix)
    if known.all() or not known.any() or _root(imposed) is not None:
        return imposed
    return scoring(matrix, _completed(held, np.diagonal(matrix)), ~known)


def _completed(held: Array, variances: Array) -> Array:
    """Some positive definite matrix with these entries.

    What has to be added to the held variances becomes smaller in stages. In each, the free
    entries off the diagonal move to where the determinant is largest.
    """
    known = ~np.isnan(held)
    matrix = np.where(known, held, 0.0)
    own = np.diagonal(known)
    needed = np.abs(matrix).sum(axis=1) + variances
    # Free variances may be as large as it takes.
    diagonal = np.where(own, np.diagonal(matrix), needed)
    np.fill_diagonal(matrix, diagonal)
    wider = np.diag(np.where(own, diagonal, 0.0))
    free = ~known & ~np.eye(len(held), dtype=bool)
    added = float((needed / diagonal).max())
    while _root(matrix) is None:
        found = _climb(matrix + added * wider, free, _log_det, _largest)
        matrix = np.where(free, found, matrix)
        for factor in (0.0, 0.1, 0.5, 0.9):
            if _root(matrix + factor * added * wider) is not None:
                break
        else:
            factor = 1.0
        added *= factor
        if factor == 1.0 or 0.0 < added < _ADDED:
            raise DegenerateModelError("no positive definite covariance has the fixed entries")
    return matrix


def _log_det(root: Array) -> float:
    return -2.0 * float(np.log(np.diagonal(root)).sum())


def _largest(matrix: Array, precision: Array) -> Array:
    return precision
