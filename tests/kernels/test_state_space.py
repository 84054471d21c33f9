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


def random_problem(seed, n_steps=None, n=None):
    """A problem of any sizes, and whether there are inputs, noises and gaps."""
    rng = np.random.default_rng((seed, 1))
    n = n or int(rng.choice([1, 2, 3, 4, 5, 6, 8, 9, 13]))
    m, n_noises = int(rng.integers(0, 6)) + 9 * int(rng.random() < 0.1), int(rng.integers(0, n + 2))
    n_steps = n_steps or int(rng.choice([1, 2, 3, 30, 300]))
    n_sequences = int(rng.choice([1, 2, 5, 40]))
    A = rng.normal(size=(n, n))
    A *= rng.choice([0.0, 0.3, 0.9, 1.0]) / np.abs(np.linalg.eigvals(A)).max()
    patterns = [np.arange(m), rng.permutation(m)[: m // 2], np.arange(0)]
    pattern = np.repeat(rng.integers(0, 3, n_steps), int(rng.choice([1, 100])))[:n_steps]
    bounds = np.cumsum([0, *map(len, patterns)])
    recursion = Recursion(
        A,
        rng.normal(size=(n, n_noises)) * rng.choice([0.0, 1.0]),
        rng.normal(size=(m, n)),
        np.concatenate(patterns),
        bounds,
        pattern,
        rng.normal(size=(n, n)) * rng.choice([0.0, 1.0, 3.0]),
    )
    n_observations = int(np.diff(bounds)[pattern].sum())
    inputs = rng.normal(size=(n_sequences, n_steps, n)) if rng.random() < 0.5 else None
    observations = rng.normal(size=(n_sequences, n_observations))
    return recursion, observations, inputs, rng.normal(size=(n_sequences, n))


def assert_same(found, expected, tolerance=1e-10):
    for name, one, other in zip(found._fields, found, expected, strict=True):
        if other is None:
            assert one is None
            continue
        assert np.shape(one) == np.shape(other)
        if name == "last_root":
            one, other = one @ one.T, other @ other.T
        scale = max(1.0, np.abs(other).max(initial=0.0))
        np.testing.assert_allclose(one, other, rtol=0.0, atol=tolerance * scale, err_msg=name)


def without_kernels(function, *arguments, **keywords):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state_space, "compiled", None)
        return getattr(state_space, function)(*arguments, **keywords)


@pytest.mark.parametrize("covariances", [False, True])
@pytest.mark.parametrize("function", ["filter_states", "smooth_states"])
@pytest.mark.parametrize("seed", range(30))
def test_compiled_and_numpy_agree(chosen, seed, function, covariances):
    problem = random_problem(seed)
    found = getattr(chosen, function)(*problem, covariances=covariances)
    again = getattr(chosen, function)(*problem, covariances=covariances)
    assert_same(found, without_kernels(function, *problem, covariances=covariances))
    assert_same(found, again, 0.0)


def test_segments_that_are_found_again(kernels, monkeypatch):
    """More runs of steps than the backward pass keeps at a time."""
    own = problem(0, n=40, n_steps=200)
    monkeypatch.setattr(state_space, "compiled", kernels)
    found = state_space.smooth_states(*own, covariances=True)
    assert_same(found, without_kernels("smooth_states", *own, covariances=True))


def test_arrays_of_other_strides_are_taken(chosen):
    recursion, y, inputs, initial = random_problem(5, n=3)
    turned = Recursion(*(np.asfortranarray(array) for array in recursion))
    found = chosen.smooth_states(turned, np.asfortranarray(y), inputs, initial[::-1])
    assert_same(found, chosen.smooth_states(recursion, y, inputs, initial[::-1].copy()))


@pytest.mark.parametrize("tolerance", [1e-13, -1.0])
def test_a_covariance_without_full_rank_stays_so(chosen, monkeypatch, tolerance):
    """Two states are the same, and a third one is known."""
    monkeypatch.setattr(chosen, "TOLERANCE", tolerance)
    noise = np.array([[1.0], [1.0], [0.0]])
    recursion = Recursion(
        np.diag([0.9, 0.9, 0.5]),
        noise,
        np.array([[1.0, 1.0, 1.0]]),
        np.zeros(1, int),
        np.array([0, 1]),
        np.zeros(200, int),
        noise @ np.ones((1, 3)),
    )
    y = np.random.default_rng(0).normal(size=(1, 200))
    found = chosen.smooth_states(recursion, y, None, np.array([[0.0, 0.0, 1.0]]), covariances=True)
    np.testing.assert_allclose(found.means[0, :, 0], found.means[0, :, 1], atol=1e-12)
    np.testing.assert_allclose(found.means[0, :, 2], 0.5 ** np.arange(200.0), atol=1e-12)
    np.testing.assert_allclose(found.covariances[:, 0, 0], found.covariances[:, 0, 1], atol=1e-12)
    np.testing.assert_allclose(found.covariances[:, 2], 0.0, atol=1e-12)


def test_states_beyond_all_numbers_are_not_finite(kernels, monkeypatch):
    monkeypatch.setattr(state_space, "compiled", kernels)
    recursion, y, inputs, initial = random_problem(6, n_steps=300, n=4)
    recursion = recursion._replace(
        transition=1e6 * np.eye(4), initial_root=np.eye(4), pattern=np.full(300, 2)
    )
    found = state_space.smooth_states(recursion, y[:, :0], inputs, initial, covariances=True)
    assert not np.isfinite(found.last).all()
    assert not np.isfinite(found.means).all()


def test_digits_are_kept_where_observations_say_much(chosen):
    """Of a first state that is all but unknown."""
    recursion = Recursion(
        np.eye(1), np.eye(1), np.eye(1), np.zeros(1, int), np.array([0, 1]), np.zeros(50, int),
        np.full((1, 1), 1e7),
    )  # fmt: skip
    found = chosen.smooth_states(recursion, np.ones((1, 50)), None, np.zeros((1, 1)))
    # The variance solves 1 / v = 1 + (the same of the second state, a step on).
    rest = 0.5 * (np.sqrt(5.0) - 1.0)
    np.testing.assert_allclose(found.first, 1.0 / (1.0 + rest), rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("index", [0, -1], "patterns that do not fit the rows"),
        ("index", [0, 2], "patterns that do not fit the rows"),
        ("bounds", [0, 2, 1], "patterns that do not fit the rows"),
        ("bounds", [-1, 1, 2], "patterns that do not fit the rows"),
        ("bounds", [0, 1, 3], "patterns that do not fit the rows"),
        ("pattern", [0, 2, 0], "other observations than the patterns say"),
        ("pattern", [0, -1, 0], "other observations than the patterns say"),
        ("pattern", [0, 0, 0, 0], "other observations than the patterns say"),
        ("pattern", [0, 0], "other observations than the patterns say"),
    ],
)
def test_what_does_not_fit_is_refused(kernels, monkeypatch, name, wrong, message):
    monkeypatch.setattr(state_space, "compiled", kernels)
    recursion = Recursion(
        np.eye(2), np.eye(2), np.eye(2), np.arange(2), np.arange(3), np.zeros(3, int), np.eye(2)
    )
    arguments = np.zeros((1, 3)), None, np.zeros((1, 2))
    state_space.smooth_states(recursion, *arguments)
    for function in (state_space.smooth_states, state_space.filter_states):
        with pytest.raises(ValueError, match=message):
            function(recursion._replace(**{name: np.array(wrong)}), *arguments)
