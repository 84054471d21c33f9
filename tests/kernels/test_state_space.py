"""The recursions of linear Gaussian states against the joint Gaussian of all states."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from emlearn.kernels import state_space
from emlearn.kernels.state_space import Recursion


@pytest.fixture(params=["base", "v3", "v4", "numpy"])
def chosen(request, modules, monkeypatch):
    """The functions with one module of kernels after another, and without any."""
    found = {module.__name__.rpartition("_")[2]: module for module in modules}
    found["numpy"] = None
    if request.param not in found:
        pytest.skip("this processor has not the instructions")
    monkeypatch.setattr(state_space, "compiled", found[request.param])
    return state_space


def joint(recursion, inputs, initial):
    """Mean and covariance of all states of one sequence, one after another."""
    A, n = recursion.transition, recursion.transition.shape[0]
    n_steps = len(recursion.pattern)
    noise = recursion.noise_root @ recursion.noise_root.T
    mean = [initial]
    covariance = np.zeros((n_steps, n_steps, n, n))
    covariance[0, 0] = recursion.initial_root @ recursion.initial_root.T
    for t in range(1, n_steps):
        mean.append(A @ mean[-1] + (0.0 if inputs is None else inputs[t - 1]))
        for s in range(t):
            covariance[t, s] = A @ covariance[t - 1, s]
            covariance[s, t] = covariance[t, s].T
        covariance[t, t] = A @ covariance[t - 1, t - 1] @ A.T + noise
    return np.ravel(mean), covariance.transpose(0, 2, 1, 3).reshape(n_steps * n, -1)


def condition(recursion, observations, inputs, initial, last):
    """Mean and covariance of all states given the observations of the steps up to `last`."""
    n = recursion.transition.shape[0]
    mean, covariance = joint(recursion, inputs, initial)
    rows = []
    for t, p in enumerate(recursion.pattern[: last + 1]):
        for i in recursion.index[recursion.bounds[p] : recursion.bounds[p + 1]]:
            row = np.zeros(len(mean))
            row[t * n : (t + 1) * n] = recursion.rows[i]
            rows.append(row)
    rows = np.array(rows).reshape(-1, len(mean))
    y = observations[: len(rows)]
    variance = rows @ covariance @ rows.T + np.eye(len(rows))
    gain = np.linalg.solve(variance, rows @ covariance).T if len(rows) else np.zeros((len(mean), 0))
    log_density = multivariate_normal(rows @ mean, variance).logpdf(y) if len(rows) else 0.0
    return mean + gain @ (y - rows @ mean), covariance - gain @ rows @ covariance, log_density


def problem(seed, n=3, m=2, n_steps=7, n_sequences=2, *, gaps=True, known_start=False):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(n, n))
    A *= 0.9 / np.abs(np.linalg.eigvals(A)).max()
    patterns = [np.arange(m), np.arange(1), np.arange(0), np.arange(1, m)]
    index = np.concatenate(patterns)
    bounds = np.cumsum([0, *map(len, patterns)])
    pattern = rng.integers(0, 4, n_steps) if gaps else np.zeros(n_steps, int)
    recursion = Recursion(
        A,
        rng.normal(size=(n, n - 1)),
        rng.normal(size=(m, n)),
        index.astype(np.intp),
        bounds.astype(np.intp),
        pattern.astype(np.intp),
        np.zeros((n, n)) if known_start else rng.normal(size=(n, n)),
    )
    n_observations = int(np.diff(bounds)[pattern].sum())
    return (
        recursion,
        rng.normal(size=(n_sequences, n_observations)),
        rng.normal(size=(n_sequences, n_steps, n)),
        rng.normal(size=(n_sequences, n)),
    )


@pytest.mark.parametrize("known_start", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_smoothing_is_that_of_the_joint_gaussian(chosen, seed, known_start):
    recursion, y, inputs, initial = problem(seed, known_start=known_start)
    n, n_steps = 3, len(recursion.pattern)
    found = chosen.smooth_states(recursion, y, inputs, initial, covariances=True)
    Q = recursion.noise_root @ recursion.noise_root.T
    for g in range(2):
        mean, covariance, log_density = condition(
            recursion, y[g], inputs[g], initial[g], n_steps - 1
        )
        V = covariance.reshape(n_steps, n, n_steps, n).transpose(0, 2, 1, 3)
        np.testing.assert_allclose(found.means[g].ravel(), mean, atol=1e-11)
        np.testing.assert_allclose(found.covariances, V[range(n_steps), range(n_steps)], atol=1e-11)
        quadratic = found.innovations[g] @ found.innovations[g]
        constant = len(y[g]) * np.log(2.0 * np.pi)
        np.testing.assert_allclose(
            -0.5 * (quadratic + found.log_determinant + constant), log_density, atol=1e-10
        )
    A = recursion.transition
    steps = range(n_steps - 1)
    noise = sum(
        V[t + 1, t + 1] + A @ V[t, t] @ A.T - A @ V[t, t + 1] - V[t + 1, t] @ A.T for t in steps
    )
    cross = sum(V[t + 1, t] - A @ V[t, t] for t in steps)
    np.testing.assert_allclose((n_steps - 1) * Q - Q @ found.information @ Q, noise, atol=1e-10)
    np.testing.assert_allclose(-Q @ found.cross, cross, atol=1e-10)
    np.testing.assert_allclose(found.first, V[0, 0], atol=1e-11)
    np.testing.assert_allclose(found.last, V[-1, -1], atol=1e-11)
    for p in range(4):
        own = sum((V[t, t] for t in range(n_steps) if recursion.pattern[t] == p), np.zeros((n, n)))
        np.testing.assert_allclose(found.of_pattern[p], own, atol=1e-10)


@pytest.mark.parametrize("seed", range(4))
def test_filtering_is_that_of_the_joint_gaussian(chosen, seed):
    recursion, y, inputs, initial = problem(seed)
    n, counts = 3, np.diff(recursion.bounds)[recursion.pattern]
    found = chosen.filter_states(recursion, y, inputs, initial, covariances=True)
    for t in range(len(recursion.pattern)):
        own = slice(t * n, (t + 1) * n)
        for g in range(2):
            mean, covariance, _ = condition(recursion, y[g], inputs[g], initial[g], t)
            np.testing.assert_allclose(found.filtered[g, t], mean[own], atol=1e-11)
            np.testing.assert_allclose(
                found.filtered_covariance[t], covariance[own, own], atol=1e-11
            )
            mean, covariance, _ = condition(recursion, y[g], inputs[g], initial[g], t - 1)
            np.testing.assert_allclose(found.predicted[g, t], mean[own], atol=1e-11)
            np.testing.assert_allclose(
                found.predicted_covariance[t], covariance[own, own], atol=1e-11
            )
    np.testing.assert_allclose(
        found.last_root @ found.last_root.T, found.filtered_covariance[-1], atol=1e-11
    )
    assert counts.sum() == y.shape[1]


@pytest.mark.parametrize("rate", [0.9, 0.999])
def test_steady_covariances_are_those_of_all_steps(chosen, monkeypatch, rate):
    recursion, y, inputs, initial = problem(0, n_steps=400, n_sequences=3, gaps=False)
    A = recursion.transition * rate / 0.9
    pattern = recursion.pattern.copy()
    pattern[250:253] = 1
    y = y[:, : 400 * 2 - 3]
    recursion = recursion._replace(transition=A, pattern=pattern)
    found = chosen.smooth_states(recursion, y, inputs, initial, covariances=True)
    monkeypatch.setattr(chosen, "TOLERANCE", -1.0)
    without = chosen.smooth_states(recursion, y, inputs, initial, covariances=True)
    for name, one, other in zip(found._fields, found, without, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9, err_msg=name)
