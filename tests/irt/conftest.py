"""Responses drawn from models, and marginal likelihoods written without the package."""

import numpy as np
import pytest


def _naive_probabilities(model, slopes, intercepts, guessing, theta):
    """Probabilities (points, categories) of one item, straight from the definitions."""
    line = theta @ np.atleast_1d(slopes)
    if model in ("1pl", "2pl", "3pl"):
        solved = guessing + (1.0 - guessing) / (1.0 + np.exp(-(line + intercepts[0])))
        return np.stack([1.0 - solved, solved], axis=1)
    if model == "grm":
        above = [np.ones(len(line))]
        above += [1.0 / (1.0 + np.exp(-(line + c))) for c in intercepts]
        above += [np.zeros(len(line))]
        return np.stack([above[k] - above[k + 1] for k in range(len(intercepts) + 1)], axis=1)
    exponents = [np.zeros(len(line))]
    for c in intercepts:
        exponents.append(exponents[-1] + line + c)
    exponents = np.exp(np.stack(exponents, axis=1))
    return exponents / exponents.sum(axis=1, keepdims=True)


@pytest.fixture(scope="session")
def naive_probabilities():
    """Function of (model, slopes, intercepts, guessing, theta) -> (points, categories)."""
    return _naive_probabilities


@pytest.fixture(scope="session")
def naive_likelihood():
    """Function of responses and items -> log-likelihood of each person, by Gauss-Hermite nodes.

    `items` is a list of (slopes, intercepts, guessing), `mean` a vector or one for each person,
    `covariance` a matrix.
    """

    def likelihood(model, X, items, mean=0.0, covariance=None, n_nodes=40):
        n_dims = len(np.atleast_1d(items[0][0]))
        line, weight = np.polynomial.hermite_e.hermegauss(n_nodes)
        weight = weight / weight.sum()
        nodes = np.stack(np.meshgrid(*[line] * n_dims, indexing="ij"), axis=-1).reshape(-1, n_dims)
        weights = np.prod(
            np.stack(np.meshgrid(*[weight] * n_dims, indexing="ij"), axis=-1), axis=-1
        ).ravel()
        factor = np.eye(n_dims) if covariance is None else np.linalg.cholesky(covariance)
        given = np.asarray(mean, float)
        given = given[:, None] if given.ndim == 1 and n_dims == 1 else given
        means = np.broadcast_to(given, (len(X), n_dims))
        found = np.empty(len(X))
        for value in np.unique(means, axis=0):
            rows = (means == value).all(axis=1)
            theta = nodes @ factor.T + value
            product = np.ones((rows.sum(), len(theta)))
            for j, (a, c, g) in enumerate(items):
                table = _naive_probabilities(model, a, c, g, theta)
                x = X[rows, j]
                seen = ~np.isnan(x)
                product[seen] *= table[:, x[seen].astype(int)].T
            found[rows] = np.log(product @ weights)
        return found

    return likelihood


@pytest.fixture(scope="session")
def draw():
    """Function that draws responses: X of (n, items) as floats, NaN where absent."""

    def simulate(model, n, n_categories, seed=0, theta=None, loads=None, absent=0.0, guess=0.2):
        rng = np.random.default_rng(seed)
        n_items = len(n_categories)
        loads = np.ones((n_items, 1)) if loads is None else np.asarray(loads)
        slopes = rng.uniform(0.8, 2.0, loads.shape) * loads
        if model == "1pl":
            slopes = np.full_like(slopes, 1.2) * loads
        theta = rng.standard_normal((n, loads.shape[1])) if theta is None else theta
        X = np.empty((n, n_items))
        for j, k in enumerate(n_categories):
            c = np.sort(rng.uniform(-1.5, 1.5, k - 1))[::-1]
            table = _naive_probabilities(
                model, slopes[j], c, guess if model == "3pl" else 0.0, theta
            )
            X[:, j] = (rng.random((n, 1)) > table.cumsum(axis=1)[:, :-1]).sum(axis=1)
        X[rng.random(X.shape) < absent] = np.nan
        return X

    return simulate
