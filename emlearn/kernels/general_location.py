"""The general location model with latent classes, given rows with missing entries.

In class k the categories of a row are independent, and its numbers are normal with mean mu_k plus
the sum of the effects of its levels. With W'W = inv(Sigma_oo) for the observed numbers o,
a = W (x_o - mu_o - effects of observed levels) and v_l = W effect_l, a combination of missing
levels has the log-density

    constant - |a|^2 / 2 + sum_j h[s_j] - sum_{i<j} v[s_i] . v[s_j]
    h[l] = log p_l + a . v_l - |v_l|^2 / 2

so that all combinations of a row cost a few additions each, and the results are exact. If no
number is observed, nothing couples the levels and they are independent. If there are more than
`most` combinations, the independent probabilities with the highest lower bound of the density
(mean field) take their place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from emlearn.kernels import compiled

Array = NDArray[np.float64]
Index = NDArray[np.intp]

_LOG_2PI = float(np.log(2.0 * np.pi))
_MEAN_FIELD_SWEEPS = 200
_MEAN_FIELD_TOL = 1e-9
_GIBBS_SWEEPS = 30


class LocationRows(NamedTuple):
    """Rows, sorted by pattern of missing entries.

    Attributes
    ----------
    numbers : ndarray of shape (n_rows, n_numbers)
        Numbers; 0 where missing.
    missing : ndarray of shape (n_rows, n_numbers), dtype bool
        Which numbers are missing.
    codes : ndarray of shape (n_rows, n_categories), dtype int32
        The level within its category; -1 where missing.
    """

    numbers: Array
    missing: NDArray[np.bool_]
    codes: NDArray[np.int32]

    def take(self, rows: Any) -> LocationRows:
        """Some of the rows: positions or a slice."""
        return LocationRows(self.numbers[rows], self.missing[rows], self.codes[rows])


class LocationTables(NamedTuple):
    """Parameters as the kernels take them; the levels of all categories are numbered through.

    Attributes
    ----------
    offsets : ndarray of shape (n_categories + 1,), dtype int64
        First level of each category, and the number of levels.
    log_weights : ndarray of shape (n_classes,)
        Logarithms of the weights of the classes.
    log_probabilities : ndarray of shape (n_classes, n_levels)
        Logarithms of the probabilities of the levels.
    means : ndarray of shape (n_classes, n_numbers)
        Means of the numbers, without effects.
    effects : ndarray of shape (n_levels, n_numbers)
        Effects of the levels.
    covariances : ndarray of shape (1 or n_classes, n_numbers, n_numbers)
        Covariances of the numbers.
    most : float
        Number of combinations of missing levels up to which they are enumerated.
    """

    offsets: NDArray[np.int64]
    log_weights: Array
    log_probabilities: Array
    means: Array
    effects: Array
    covariances: Array
    most: float


class LocationSums(NamedTuple):
    """Expected sufficient statistics of rows; additive.

    Attributes
    ----------
    weight : ndarray of shape (n_classes,)
        Weights of the classes.
    first : ndarray of shape (n_classes, n_numbers)
        Sums of the numbers.
    second : ndarray of shape (n_classes, n_numbers, n_numbers)
        Sums of their products; lower triangles.
    pairs : ndarray of shape (n_classes, n_levels, n_levels)
        Weights of pairs of levels; upper triangles. On the diagonal, those of single levels.
    cross : ndarray of shape (n_classes, n_levels, n_numbers)
        Sums of the numbers of the rows with each level.
    """

    weight: Array
    first: Array
    second: Array
    pairs: Array
    cross: Array


class LocationConditionals(NamedTuple):
    """Distributions of the missing entries of each row given the observed ones.

    Attributes
    ----------
    density : ndarray of shape (n_rows,)
        Log-density of the observed entries.
    shares : ndarray of shape (n_rows, n_classes)
        Probabilities of the classes.
    levels : ndarray of shape (n_rows, n_levels)
        Probabilities of the levels.
    mean, variance : ndarray of shape (n_rows, n_numbers)
        Means and variances of the numbers.
    """

    density: Array
    shares: Array
    levels: Array
    mean: Array
    variance: Array


def expect(rows: LocationRows, tables: LocationTables, weight: Array) -> tuple[LocationSums, float]:
    """Expected sufficient statistics and the log-likelihood.

    Parameters
    ----------
    rows : LocationRows
        The rows.
    tables : LocationTables
        The parameters.
    weight : ndarray of shape (n_rows,)
        Weights of the rows.

    Raises
    ------
    ArithmeticError
        If a covariance is not positive definite.
    """
    K, q = tables.means.shape
    T = tables.effects.shape[0]
    shapes = (K,), (K, q), (K, q, q), (K, T, T), (K, T, q)
    if compiled is not None:
        sums = LocationSums(*map(np.empty, shapes))
        value = compiled.general_location_expect(*rows, *tables, weight, *sums)
        return sums, float(value)
    sums = LocationSums(*map(np.zeros, shapes))
    total = 0.0
    for group in groups(rows, tables):
        total += float(weight[group.rows] @ group.density)
        _add(sums, group, weight[group.rows])
    return sums, total


def condition(rows: LocationRows, tables: LocationTables) -> LocationConditionals:
    """Distributions of the missing entries given the observed ones; see `expect`."""
    n, q = rows.numbers.shape
    (K, _), T = tables.means.shape, tables.effects.shape[0]
    shapes = (n,), (n, K), (n, T), (n, q), (n, q)
    out = LocationConditionals(*map(np.zeros, shapes))
    if compiled is not None:
        compiled.general_location_condition(*rows, *tables, *out)
        return out
    out.mean[:] = rows.numbers
    for group in groups(rows, tables):
        _put(out, group)
    return out


def draw(
    rows: LocationRows, tables: LocationTables, rng: np.random.Generator
) -> tuple[Array, NDArray[np.int32]]:
    """Rows whose missing entries are drawn given the observed ones; see `expect`.

    Returns
    -------
    numbers, codes : ndarray
        Like those of `rows`.
    """
    numbers, codes = rows.numbers.copy(), rows.codes.copy()
    uniform = rng.random((len(numbers), codes.shape[1] + 1))
    normal = rng.standard_normal(numbers.shape)
    if compiled is not None:
        compiled.general_location_draw(*rows, *tables, uniform, normal, numbers, codes)
        return numbers, codes
    for group in groups(rows, tables):
        _draw(numbers, codes, group, uniform, normal, rng)
    return numbers, codes


# ---- the same in numpy ----------------------------------------------------------------------


class _Normal(NamedTuple):
    """A covariance for one pattern of missing numbers, and effects of missing levels."""

    whitener: Array
    gain: Array
    conditional: Array
    constant: float
    whitened: Array
    shift: Array


class Group(NamedTuple):
    """Rows of one pattern, conditioned on what is observed.

    The combinations are those of the missing levels; None if the levels are independent.
    """

    rows: Index
    missing: Index
    known: Index
    unknown: list[int]
    level: Index
    category: Index
    combinations: Index | None
    normals: list[_Normal]
    field: Array
    fill: Array
    weights: Array
    marginal: Array
    density: Array

    @property
    def share(self) -> Array:
        """Probabilities of the classes, (n_classes, n_rows)."""
        return self.weights if self.weights.ndim == 2 else self.weights.sum(axis=2)

    def normal(self, k: int) -> _Normal:
        """The covariance of class k."""
        return self.normals[0 if len(self.normals) == 1 else k]


def groups(rows: LocationRows, tables: LocationTables) -> Iterator[Group]:
    """Rows of equal pattern, conditioned on their observed entries; see `expect`."""
    if not len(rows.numbers):
        return
    mask = np.concatenate((rows.missing, rows.codes < 0), axis=1)
    change = np.flatnonzero((mask[1:] != mask[:-1]).any(axis=1)) + 1
    for own in np.split(np.arange(len(mask)), change):
        yield _condition(rows, tables, own)


def _condition(rows: LocationRows, tables: LocationTables, own: Index) -> Group:
    offsets = tables.offsets
    missing = np.flatnonzero(rows.missing[own[0]])
    observed = np.flatnonzero(~rows.missing[own[0]])
    unknown = [int(j) for j in np.flatnonzero(rows.codes[own[0]] < 0)]
    seen = np.flatnonzero(rows.codes[own[0]] >= 0)
    known = offsets[seen] + rows.codes[own][:, seen]
    sizes = [int(offsets[j + 1] - offsets[j]) for j in unknown]
    parts = [np.arange(offsets[j], offsets[j + 1]) for j in unknown]
    level = np.concatenate([np.empty(0, np.int64), *parts])
    category = np.repeat(np.arange(len(unknown)), sizes)
    combinations = _combinations(sizes, tables.most) if sizes else None
    normals = [_normal(c, tables.effects[level], observed, missing) for c in tables.covariances]
    effect = tables.effects[known].sum(axis=1)
    K, n = len(tables.means), len(own)
    field = np.empty((K, n, len(level)))
    fill = np.repeat(rows.numbers[own][None], K, axis=0)
    marginal = np.zeros((K, n, len(level)))
    weights = []
    for k in range(K):
        normal = normals[0 if len(normals) == 1 else k]
        mean = tables.means[k] + effect
        deviation = rows.numbers[own][:, observed] - mean[:, observed]
        white = deviation @ normal.whitener.T
        base = tables.log_weights[k] + normal.constant - 0.5 * (white * white).sum(axis=1)
        base += tables.log_probabilities[k][known].sum(axis=1)
        fill[k][:, missing] = mean[:, missing] + deviation @ normal.gain.T
        square = (normal.whitened**2).sum(axis=1)
        field[k] = tables.log_probabilities[k][level] + white @ normal.whitened.T - 0.5 * square
        gram = normal.whitened @ normal.whitened.T
        gram[category[:, None] == category] = 0.0
        if not unknown:
            weights.append(base)
        elif combinations is None:
            marginal[k], bound = _mean_field(field[k], gram, category, observed.size > 0)
            weights.append(base + bound)
        else:
            pairs = gram[combinations[:, :, None], combinations[:, None, :]].sum(axis=(1, 2))
            weights.append(base[:, None] + field[k][:, combinations].sum(axis=2) - 0.5 * pairs)
    log_joint = np.array(weights)
    axes = (0,) if log_joint.ndim == 2 else (0, 2)
    largest = log_joint.max(axis=axes, keepdims=True)
    probability = np.exp(log_joint - largest)
    total = probability.sum(axis=axes, keepdims=True)
    probability /= total
    density = (largest + np.log(total)).reshape(n)
    if combinations is not None and unknown:
        marginal = probability @ (combinations[:, :, None] == np.arange(len(level))).sum(axis=1)
    elif unknown:
        marginal *= probability[:, :, None]
    return Group(
        own,
        missing,
        known,
        unknown,
        level,
        category,
        combinations,
        normals,
        field,
        fill,
        probability,
        marginal,
        density,
    )


def _combinations(sizes: list[int], most: float) -> Index | None:
    """All combinations, as places among the missing levels; the last category runs first."""
    if np.prod(sizes, dtype=float) > most:
        return None
    starts = np.cumsum([0, *sizes[:-1]])
    grid = np.indices(sizes).reshape(len(sizes), -1).T
    return np.asarray(grid + starts[: len(sizes)], dtype=np.intp)


def _normal(covariance: Array, effects: Array, observed: Index, missing: Index) -> _Normal:
    try:
        cholesky = np.linalg.cholesky(covariance[np.ix_(observed, observed)])
    except np.linalg.LinAlgError:
        cholesky = np.full((1, 1), np.nan)
    if not np.isfinite(cholesky).all():
        raise ArithmeticError("a covariance is not positive definite")
    if observed.size:
        whitener = solve_triangular(cholesky, np.eye(observed.size), lower=True)
    else:
        whitener = np.empty((0, 0))
    half = whitener @ covariance[np.ix_(observed, missing)]
    gain = half.T @ whitener
    conditional = covariance[np.ix_(missing, missing)] - half.T @ half
    # Before numpy 2 the last bit of logarithms of a strided view depends on addresses.
    log_det = 2.0 * float(np.log(np.diagonal(cholesky).copy()).sum())
    whitened = effects[:, observed] @ whitener.T
    shift = effects[:, missing] - effects[:, observed] @ gain.T
    constant = -0.5 * (log_det + observed.size * _LOG_2PI)
    return _Normal(whitener, gain, conditional, constant, whitened, shift)


def _softmax_by(field: Array, category: Index) -> tuple[Array, Array]:
    """Probabilities within each category, and the sum of the logarithms of their totals."""
    out, total = np.empty_like(field), np.zeros(len(field))
    for j in range(int(category[-1]) + 1):
        part = field[:, category == j]
        largest = part.max(axis=1, keepdims=True)
        ratio = np.exp(part - largest)
        sums = ratio.sum(axis=1, keepdims=True)
        out[:, category == j] = ratio / sums
        total += (largest + np.log(sums))[:, 0]
    return out, total


def _mean_field(field: Array, gram: Array, category: Index, coupled: bool) -> tuple[Array, Array]:
    """Independent probabilities of levels, and the lower bound of the log-density."""
    marginal, bound = _softmax_by(field, category)
    if not coupled:
        return marginal, bound
    for _ in range(_MEAN_FIELD_SWEEPS):
        before = marginal.copy()
        for j in range(int(category[-1]) + 1):
            own = category == j
            part = field[:, own] - marginal @ gram[:, own]
            marginal[:, own], _ = _softmax_by(part, np.zeros(part.shape[1], np.intp))
        if np.abs(marginal - before).max() <= _MEAN_FIELD_TOL:
            break
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = np.where(marginal > 0.0, marginal * (field - np.log(marginal)), 0.0)
    return marginal, entropy.sum(axis=1) - 0.5 * ((marginal @ gram) * marginal).sum(axis=1)


def _level_moments(group: Group, k: int, weight: Array) -> Array:
    """Sums over the rows of the products of indicators of missing levels."""
    weighted = group.marginal[k] * weight[:, None]
    if group.combinations is not None:
        total = weight @ group.weights[k]
        indicator = (group.combinations[:, :, None] == np.arange(len(group.level))).sum(axis=1)
        moments: Array = indicator.T @ (total[:, None] * indicator)
        return moments
    share = np.where(group.share[k] > 0.0, group.share[k], 1.0)[:, None]
    moments = weighted.T @ (group.marginal[k] / share)
    same = group.category[:, None] == group.category
    return np.where(same, np.diag(weighted.sum(axis=0)), moments)


def _row_means(group: Group, k: int) -> Array:
    """Means of the numbers in class k."""
    share = np.where(group.share[k] > 0.0, group.share[k], 1.0)[:, None]
    mean = group.fill[k].copy()
    mean[:, group.missing] += (group.marginal[k] / share) @ group.normal(k).shift
    return mean


def _add(sums: LocationSums, group: Group, weight: Array) -> None:
    T, m = sums.pairs.shape[1], group.missing
    known = np.zeros((len(group.rows), T))
    np.put_along_axis(known, group.known, 1.0, axis=1)
    for k in range(len(sums.weight)):
        share = group.share[k] * weight
        normal, mean = group.normal(k), _row_means(group, k)
        marginal = group.marginal[k] * weight[:, None]
        indicator = known.copy()
        safe = np.where(group.share[k] > 0.0, group.share[k], 1.0)[:, None]
        indicator[:, group.level] = group.marginal[k] / safe
        weighted = indicator * share[:, None]
        sums.weight[k] += share.sum()
        sums.first[k] += share @ mean
        second = mean.T @ (share[:, None] * mean)
        second[np.ix_(m, m)] += share.sum() * normal.conditional
        cross = weighted.T @ mean
        pairs = weighted.T @ indicator
        if group.unknown:
            moments = _level_moments(group, k, weight)
            pairs[np.ix_(group.level, group.level)] = moments
            covariance = moments - marginal.T @ (group.marginal[k] / safe)
            second[np.ix_(m, m)] += normal.shift.T @ covariance @ normal.shift
            cross[np.ix_(group.level, m)] += covariance @ normal.shift
        sums.second[k] += np.tril(second)
        sums.pairs[k] += np.triu(pairs)
        sums.cross[k] += cross


def _put(out: LocationConditionals, group: Group) -> None:
    rows, m = group.rows, group.missing
    out.density[rows] = group.density
    out.shares[rows] = group.share.T
    levels = np.zeros((len(rows), out.levels.shape[1]))
    np.put_along_axis(levels, group.known, 1.0, axis=1)
    levels[:, group.level] = group.marginal.sum(axis=0)
    out.levels[rows] = levels
    mean, square = np.zeros((len(rows), m.size)), np.zeros((len(rows), m.size))
    for k, share in enumerate(group.share):
        normal, own = group.normal(k), _row_means(group, k)[:, m]
        mean += share[:, None] * own
        square += share[:, None] * (np.diagonal(normal.conditional) + own**2)
        if group.unknown:
            for i in range(len(rows)):
                one = group._replace(
                    weights=group.weights[:, i : i + 1], marginal=group.marginal[:, i : i + 1]
                )
                moments = _level_moments(one, k, np.ones(1))
                marginal = group.marginal[k, i]
                covariance = moments - np.outer(marginal, marginal) / max(share[i], 1e-300)
                square[i] += ((normal.shift.T @ covariance) * normal.shift.T).sum(axis=1)
    out.mean[np.ix_(rows, m)] = mean
    out.variance[np.ix_(rows, m)] = np.maximum(square - mean**2, 0.0)


def _draw(
    numbers: Array,
    codes: NDArray[np.int32],
    group: Group,
    uniform: Array,
    normal: Array,
    rng: np.random.Generator,
) -> None:
    starts = np.searchsorted(group.category, np.arange(len(group.unknown)))
    roots = [_root(part.conditional) for part in group.normals]
    for i, row in enumerate(group.rows):
        weights = group.weights[:, i]
        place = _choose(weights.ravel(), uniform[row, 0])
        if group.combinations is not None:
            k, combination = divmod(place, len(group.combinations))
            digits = group.combinations[combination]
        else:
            k, digits = place, _draw_levels(group, place, i, uniform[row, 1:], rng)
        part = group.normal(k)
        numbers[row] = group.fill[k, i]
        root = roots[0 if len(roots) == 1 else k]
        spread = root @ normal[row, : group.missing.size]
        numbers[row, group.missing] += spread + part.shift[digits].sum(axis=0)
        codes[row, group.unknown] = digits - starts


def _draw_levels(group: Group, k: int, i: int, uniform: Array, rng: np.random.Generator) -> Index:
    members = [np.flatnonzero(group.category == j) for j in range(len(group.unknown))]
    digits = np.array(
        [own[_choose(group.marginal[k, i, own], uniform[j])] for j, own in enumerate(members)],
        dtype=np.intp,
    )
    whitened = group.normal(k).whitened
    for _ in range(_GIBBS_SWEEPS if whitened.shape[1] else 0):
        for j, own in enumerate(members):
            others = np.delete(digits, j)
            part = group.field[k, i, own] - whitened[own] @ whitened[others].sum(axis=0)
            digits[j] = own[_choose(np.exp(part - part.max()), rng.random())]
    return digits


def _choose(weights: Array, uniform: float) -> int:
    sums = np.cumsum(weights)
    return min(int(np.searchsorted(sums, uniform * sums[-1], side="right")), len(sums) - 1)


def _root(covariance: Array) -> Array:
    """Lower triangular root; a direction without spread has none."""
    values, vectors = np.linalg.eigh(covariance) if covariance.size else (np.empty(0), covariance)
    half: Any = vectors * np.sqrt(np.maximum(values, 0.0))
    return np.asarray(half)
