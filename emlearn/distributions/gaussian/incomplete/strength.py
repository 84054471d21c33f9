"""How many pseudo-rows incomplete rows ask for."""

from __future__ import annotations

import numpy as np

from emlearn.distributions.gaussian.incomplete.available import AvailableMoments

_WEAKEST = 0.01
_STRONGEST_SHRINKAGE = 0.99


def automatic_strength(available: AvailableMoments) -> float:
    """Number of pseudo-rows estimated from the data.

    The fraction of the prior, strength / (n + strength), is the shrinkage of correlations
    towards 0 that minimises the expected squared error, estimated from pairs of columns:
    sum of var(r) / sum of r^2 with var(r) = (1 - r^2)^2 / (n_pair - 1). It tends to a
    fixed number of rows as n grows. It is kept between a hundredth of a row, so that no
    covariance is ever singular, and d + 1 rows, which is as much as a regular covariance
    needs: nearly uncorrelated columns would otherwise ask for any number of rows.

    References
    ----------
    J. Schaefer and K. Strimmer (2005). "A shrinkage approach to large-scale covariance
    matrix estimation and implications for functional genomics". Statistical Applications
    in Genetics and Molecular Biology 4(1), 32.
    """
    d = available.variance.size
    pairs = np.triu_indices(d, 1)
    r = available.correlation[pairs]
    n = available.pair_weight[pairs]
    known = n > 1.0
    if not known.any():
        return 1.0 if r.size else _WEAKEST
    r, n = r[known], n[known]
    error = float(((1.0 - r**2) ** 2 / (n - 1.0)).sum())
    signal = float((r**2).sum())
    shrinkage = min(error / signal if signal > 0.0 else 1.0, _STRONGEST_SHRINKAGE)
    # What is shrunk is a correlation known from as many rows as its pair has.
    return min(max(_WEAKEST, shrinkage / (1.0 - shrinkage) * float(n.mean())), d + 1.0)
