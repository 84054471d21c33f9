"""Clusters of points for the starts of EM, in numpy and in the compiled kernels.

Points are columns (n_features, n_points). A weight w means w copies of a point.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.kernels import compiled

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

_TINY = 1e-300


class Moments(NamedTuple):
    """Clusters of points.

    Attributes
    ----------
    size : ndarray of shape (n_clusters,)
        Sums of the weights.
    mean : ndarray of shape (n_clusters, n_features)
        Means.
    scatter : ndarray of shape (n_clusters, n_moments)
        Scatter about the means: nothing, the trace, the diagonal, or the lower triangle.
    """

    size: Array
    mean: Array
    scatter: Array


def plus_plus(columns: Array, weight: Array, draws: Array) -> tuple[NDArray[np.intp], Labels]:
    """Seeds of k-means++, each the best of some trials.

    Parameters
    ----------
    columns : ndarray of shape (n_features, n_points)
        Points.
    weight : ndarray of shape (n_points,)
        Weights.
    draws : ndarray of shape (n_seeds, n_trials)
        Uniform random numbers.

    Returns
    -------
    chosen : ndarray of shape (n_found,)
        Indices of the seeds; fewer than requested if there are fewer distinct points.
    labels : ndarray of shape (n_points,)
        Nearest seed of each point.

    References
    ----------
    D. Arthur and S. Vassilvitskii (2007). "k-means++: the advantages of careful seeding".
    Proceedings of the 18th Annual ACM-SIAM Symposium on Discrete Algorithms, 1027-1035.
    """
    n, k = columns.shape[1], len(draws)
    chosen, labels, distance = np.zeros(k, np.int64), np.zeros(n, np.int64), np.full(n, np.inf)
    if compiled is not None:
        found = compiled.seed_clusters(columns, weight, draws, chosen, labels, distance)
        return chosen[:found], labels
    for c in range(k):
        mass = weight if c == 0 else weight * distance
        if not mass.any():
            return chosen[:c], labels
        trials = [_point_at(mass, fraction) for fraction in draws[c]]
        squares = [
            np.minimum(distance, np.square(columns - columns[:, [i]]).sum(axis=0))
            for i in (trials[:1] if c == 0 else trials)
        ]
        best = int(np.argmin([weight @ own for own in squares]))
        chosen[c] = trials[best]
        labels[squares[best] < distance] = c
        distance = squares[best]
    return chosen, labels


def _point_at(mass: Array, fraction: float) -> int:
    """The first point up to which the cumulated mass exceeds this fraction of the total."""
    positive = np.flatnonzero(mass > 0.0)
    total = np.cumsum(mass[positive])
    found = int(np.searchsorted(total, fraction * total[-1], side="right"))
    return int(positive[min(found, positive.size - 1)])


def greedy_draws(n_seeds: int, rng: np.random.Generator) -> Array:
    """Random numbers for `plus_plus` with scikit-learn's number of trials for each seed."""
    return rng.random((n_seeds, 2 + int(np.log(n_seeds))))


def lloyd(columns: Array, weight: Array, centers: Array, max_steps: int) -> tuple[Array, Labels]:
    """Steps of k-means from given centers, until no label changes.

    Parameters
    ----------
    columns : ndarray of shape (n_features, n_points)
        Points.
    weight : ndarray of shape (n_points,)
        Weights.
    centers : ndarray of shape (n_centers, n_features)
        Where to start.
    max_steps : int
        Largest number of steps.

    Returns
    -------
    centers : ndarray of shape (n_centers, n_features)
        A center without points keeps its place.
    labels : ndarray of shape (n_points,)
        Center that each point was nearest to before the last move.
    """
    centers = np.array(centers, np.float64, order="C")
    labels = np.full(columns.shape[1], -1, np.int64)
    if compiled is not None:
        compiled.lloyd(columns, weight, max_steps, centers, labels)
        return centers, labels
    for _ in range(max_steps):
        squares = np.stack([np.square(columns - c[:, None]).sum(axis=0) for c in centers])
        nearest = squares.argmin(axis=0)
        if np.array_equal(nearest, labels):
            break
        labels = nearest
        total = np.bincount(labels, weight, len(centers))
        filled = total > 0.0
        for j, column in enumerate(columns):
            sums = np.bincount(labels, weight * column, len(centers))
            centers[filled, j] = sums[filled] / total[filled]
    return centers, labels


def moments_of(columns: Array, weight: Array, labels: Labels, n_moments: int) -> Moments:
    """Sizes, means and scatters of clusters.

    Parameters
    ----------
    columns : ndarray of shape (n_features, n_points)
        Points.
    weight : ndarray of shape (n_points,)
        Weights.
    labels : ndarray of shape (n_points,)
        Numbers of the clusters; each has a point.
    n_moments : int
        Number of moments of the scatter; see `Moments`.
    """
    d, m = len(columns), int(labels.max()) + 1
    found = Moments(np.zeros(m), np.zeros((m, d)), np.zeros((m, n_moments)))
    if compiled is not None:
        compiled.cluster_moments(columns, weight, labels, *found)
        return found
    size, mean, scatter = found
    size += np.bincount(labels, weight, m)
    rows, columns_of = np.tril_indices(d)
    for c in range(m):
        own = labels == c
        own_weight = weight[own]
        mean[c] = columns[:, own] @ own_weight / size[c]
        centered = columns[:, own] - mean[c][:, None]
        matrix = (centered * own_weight) @ centered.T
        if n_moments == d:
            scatter[c] = np.diagonal(matrix)
        elif n_moments == 1:
            scatter[c] = np.trace(matrix)
        elif n_moments:
            scatter[c] = matrix[rows, columns_of]
    return found


def join(
    clusters: Moments, n_left: int, *, prior: Array, extra: float = 0.0, entropy: float = 0.0
) -> Labels:
    """Join two clusters at a time, always the pair whose joining costs least.

    A cluster of n rows of N costs ``n/2 log det((scatter + prior) / (n + extra)) - entropy n
    log(n / N)``, the Gaussian classification likelihood. Without moments, the first term is half
    the sum of squares about the mean, as in Ward's method.

    Parameters
    ----------
    clusters : Moments
        Clusters, none of them empty.
    n_left : int
        Number of clusters at the end.
    prior : ndarray of shape (n_moments,)
        Scatter of pseudo-rows that each cluster has.
    extra : float, default=0
        Number of pseudo-rows.
    entropy : float, default=0
        1 if large clusters are more likely than small ones, 0 if not.

    Returns
    -------
    labels : ndarray of shape (n_clusters,)
        The final cluster of each cluster.

    References
    ----------
    C. Fraley (1998). "Algorithms for model-based Gaussian hierarchical clustering". SIAM
    Journal on Scientific Computing 20(1), 270-281.
    """
    size, mean, scatter = clusters
    labels = np.arange(len(size))
    if compiled is not None:
        columns = np.ascontiguousarray(scatter.T)
        compiled.join_clusters(size, mean, columns, prior, extra, entropy, n_left, labels)
        return labels
    model = _Costs(prior, extra, entropy, float(size.sum()), mean.shape[1])
    size, mean, scatter = size.copy(), mean.copy(), scatter.copy()
    own = model.of(size, scatter)
    cost = np.stack([model.joining(size, mean, scatter, own, a) for a in range(len(size))])
    while len(size) > n_left:
        np.fill_diagonal(cost, np.inf)
        a, b = sorted(int(i) for i in np.unravel_index(np.argmin(cost), cost.shape))
        last = len(size) - 1
        labels = np.where(labels == b, a, np.where(labels == last, b, labels))
        difference = mean[b] - mean[a]
        total = size[a] + size[b]
        scatter[a] += scatter[b] + model.between(difference[None], size[[a]] * size[b] / total)[0]
        mean[a] += size[b] / total * difference
        size[a] = total
        for part in (size, mean, scatter, own, cost, cost.T):
            part[b] = part[last]
        size, mean, scatter, own = size[:last], mean[:last], scatter[:last], own[:last]
        cost = cost[:last, :last].copy()
        own[a] = model.of(size[[a]], scatter[[a]])[0]
        cost[a] = cost[:, a] = model.joining(size, mean, scatter, own, a)
    return labels


class _Costs(NamedTuple):
    """Costs of clusters; see `join`."""

    prior: Array
    extra: float
    entropy: float
    total: float
    d: int

    def between(self, difference: Array, factor: Array) -> Array:
        """Scatter of pairs of means, in as many numbers as there are moments."""
        n_moments = len(self.prior)
        scaled = difference * np.sqrt(factor)[:, None]
        if n_moments == self.d:
            return np.square(scaled)
        if n_moments == 1:
            return np.square(scaled).sum(axis=1, keepdims=True)
        rows, columns = np.tril_indices(self.d)
        return (scaled[:, rows] * scaled[:, columns])[:, :n_moments]

    def of(self, size: Array, scatter: Array) -> Array:
        """Costs of clusters."""
        log_fraction = np.log(size / self.total)
        n_moments = len(self.prior)
        if n_moments == 0:
            return -self.entropy * size * log_fraction
        scatter = scatter + self.prior
        if n_moments == self.d:
            log_volume = np.log(np.maximum(scatter, _TINY)).sum(axis=1)
        elif n_moments == 1:
            log_volume = self.d * np.log(np.maximum(scatter[:, 0], _TINY) / self.d)
        else:
            matrix = np.zeros((len(size), self.d, self.d))
            rows, columns = np.tril_indices(self.d)
            matrix[:, rows, columns] = matrix[:, columns, rows] = scatter
            log_volume = np.linalg.slogdet(matrix)[1]
        likelihood = 0.5 * (log_volume - self.d * np.log(size + self.extra))
        return size * (likelihood - self.entropy * log_fraction)

    def joining(self, size: Array, mean: Array, scatter: Array, own: Array, a: int) -> Array:
        """Increase of the cost if one cluster is joined with each of the others."""
        total = size + size[a]
        factor = size * size[a] / total
        difference = mean - mean[a]
        cost = self.of(total, scatter + scatter[a] + self.between(difference, factor))
        if not len(self.prior):
            cost = cost + 0.5 * factor * np.square(difference).sum(axis=1)
        return cost - own - own[a]
