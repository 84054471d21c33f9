"""Nested patterns, for which maximum likelihood needs no iterations.

Suppose that the columns can be ordered so that a row that lacks one column lacks all later
ones, as when people drop out of a study. Then the likelihood is a product of regressions of
later columns on earlier ones, each from the rows that have both (Anderson 1957), and the
estimates have a closed form.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions.gaussian.incomplete.patterns import RowBlock
from emlearn.distributions.gaussian.prior import CovariancePrior

Array = NDArray[np.float64]


def monotone_estimate(
    blocks: Sequence[RowBlock], prior: CovariancePrior
) -> tuple[Array, Array] | None:
    """Mean and covariance of maximum likelihood or posterior mode, if patterns are nested.

    Parameters
    ----------
    blocks : sequence of RowBlock
        The rows, with their weights in them, by number of missing entries.
    prior : CovariancePrior
        Its pseudo-rows are complete, and so belong to each regression.

    Returns
    -------
    mean, covariance : ndarray of shape (n_features,), (n_features, n_features)
        Estimates in the units of the scaling. None instead of both if patterns are not
        nested, or rows are too few.

    References
    ----------
    T. W. Anderson (1957). "Maximum likelihood estimates for a multivariate normal
    distribution when some observations are missing". Journal of the American Statistical
    Association 52(278), 200-203.
    """
    masks = [block.missing[block.edges[:-1]] for block in blocks]
    patterns = np.concatenate(masks)
    if not (patterns[1:] | ~patterns[:-1]).all():
        return None
    order = np.argsort(patterns.sum(axis=0), kind="stable")
    d = order.size
    levels: dict[int, Array] = {}
    for block, mask in zip(blocks, masks, strict=True):
        rows = np.column_stack((block.sqrt_weight, block.rows[:, order]))
        for (start, stop), seen in zip(pairwise(block.edges), d - mask.sum(axis=1), strict=True):
            product = rows[start:stop].T @ rows[start:stop]
            levels[int(seen)] = levels.get(int(seen), 0.0) + product
    strength, scatter = prior.strength, prior.scatter
    pseudo = np.zeros((d + 1, d + 1))
    if scatter is not None:
        matrix = np.diag(scatter) if scatter.ndim == 1 else scatter
        pseudo[1:, 1:] = matrix[np.ix_(order, order)]
    # Rows with most columns belong to every regression, those with fewest only to the first.
    tables = list(accumulate([levels[seen] for seen in sorted(levels, reverse=True)]))
    mean, covariance = np.zeros(d), np.zeros((d, d))
    known = 0
    for seen, table in zip(sorted(levels), reversed(tables), strict=True):
        before, new = slice(0, known + 1), slice(known + 1, seen + 1)
        table = table + pseudo
        try:
            slopes = np.linalg.solve(table[before, before], table[before, new])
        except np.linalg.LinAlgError:
            return None
        rest = table[new, new] - table[new, before] @ slopes
        old, now = slice(0, known), slice(known, seen)
        mean[now] = slopes[0] + mean[old] @ slopes[1:]
        covariance[old, now] = covariance[old, old] @ slopes[1:]
        covariance[now, old] = covariance[old, now].T
        covariance[now, now] = rest / (table[0, 0] + strength) + slopes[1:].T @ covariance[old, now]
        known = seen
    back = np.argsort(order)
    covariance = 0.5 * (covariance + covariance.T)[np.ix_(back, back)]
    try:
        np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        return None
    return mean[back], covariance
