"""Forward-backward and Viterbi against enumeration of all paths, also with underflow."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from emlearn.latent.chain import recursions as _recursions
from emlearn.latent.chain.log_space import forward_backward_log
from emlearn.latent.chain.recursions import forward_backward, viterbi
from emlearn.latent.chain.sequences import Sequences

LENGTHS = np.array([4, 1, 5, 2, 5, 1, 3])


def problem(n_states, scale=1.0, zeros=False, lengths=LENGTHS, seed=0):
    rng = np.random.default_rng([seed, n_states])
    sequences = Sequences.of_lengths(lengths)
    joint = scale * rng.standard_normal((n_states, sequences.n_rows)) - 3.0
    startprob = rng.dirichlet(np.ones(n_states))
    transmat = rng.dirichlet(np.ones(n_states), n_states)
    if zeros and n_states > 1:
        transmat = np.triu(transmat) / np.triu(transmat).sum(axis=1, keepdims=True)
        startprob = np.append(startprob[:-1], 0.0) / startprob[:-1].sum()
        joint[rng.random(joint.shape) < 0.1] = -np.inf
        joint[n_states - 1, np.isneginf(joint).all(axis=0)] = 0.0
    return joint, sequences, startprob, transmat


@pytest.fixture
def check(recursions, enumerate_paths):
    """Function that checks everything about a problem, with both kinds of recursions."""

    def check(joint, sequences, startprob, transmat):
        _check(enumerate_paths, joint, sequences, startprob, transmat)

    return check


def _check(enumerate_paths, joint, sequences, startprob, transmat, rtol=1e-11):
    weight = np.linspace(0.5, 2.0, len(sequences))
    smoothed = joint.copy()
    found = forward_backward(smoothed, sequences, startprob, transmat, weight)
    start = transition = 0.0
    for s, w in enumerate(weight):
        rows = slice(sequences.edges[s], sequences.edges[s + 1])
        expected = enumerate_paths(joint[:, rows], startprob, transmat)
        assert_allclose(found.log_likelihood[s], expected.log_likelihood, rtol=rtol)
        if np.isneginf(expected.log_likelihood):
            assert_array_equal(smoothed[:, rows], 0.0)
            continue
        assert_allclose(smoothed[:, rows], w * expected.smoothed, rtol=0, atol=rtol)
        start = start + w * expected.start
        transition = transition + w * expected.transition
    assert_allclose(found.start, start, rtol=0, atol=rtol)
    assert_allclose(found.transition, transition, rtol=0, atol=10 * rtol)
    possible = np.isfinite(found.log_likelihood)
    path, score = viterbi(joint, sequences, startprob, transmat)
    with np.errstate(divide="ignore"):
        log_start, log_move = np.log(startprob), np.log(transmat)
    for s in np.flatnonzero(possible):
        rows = np.arange(sequences.edges[s], sequences.edges[s + 1])
        expected = enumerate_paths(joint[:, rows], startprob, transmat)
        along = log_start[path[rows[0]]] + joint[path[rows], rows].sum()
        along += log_move[path[rows[:-1]], path[rows[1:]]].sum()
        assert_allclose([score[s], along], expected.best_score, rtol=rtol)


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("scale", [1.0, 30.0, 1000.0])
@pytest.mark.parametrize("n_states", [1, 2, 3, 4, 5, 9])
def test_against_enumeration(n_states, scale, zeros, check):
    lengths = LENGTHS if n_states < 6 else np.array([3, 1, 4])
    check(*problem(n_states, scale, zeros, lengths))


def test_densities_beyond_the_range_of_exp(check):
    joint, *rest = problem(3)
    check(joint + 5000.0, *rest)
    check(joint - 5000.0, *rest)


def test_scaling_loses_what_logarithms_keep(check):
    """Two states without transitions between them: the first leads for long, the second wins."""
    joint = np.zeros((2, 12))
    joint[1, :4] = -300.0
    joint[0, 4:] = -300.0
    args = Sequences.of_lengths(np.array([12])), np.array([0.5, 0.5]), np.eye(2)
    check(joint, *args)
    smoothed = joint.copy()
    forward_backward(smoothed, *args)
    assert_allclose(smoothed[1], 1.0)


def test_state_that_cannot_be_reached_explains_everything(check):
    joint = np.zeros((2, 12))
    joint[0] = -400.0
    check(joint, Sequences.of_lengths(np.array([12])), np.array([1.0, 0.0]), np.eye(2))


def test_tiny_probabilities(check):
    joint, sequences, _, _ = problem(2, 300.0)
    transmat = np.array([[1.0, 1e-310], [1e-200, 1.0]])
    check(joint, sequences, np.array([1.0, 1e-320]), transmat)


def test_impossible_sequences(check):
    joint, sequences, _, transmat = problem(2)
    joint[:, 6] = -np.inf
    check(joint, sequences, np.array([0.3, 0.7]), transmat)
    # A left-right model cannot go back.
    known = np.full((2, 4), -np.inf)
    known[[1, 1, 0, 0], np.arange(4)] = 0.0
    sequences = Sequences.of_lengths(np.array([2, 2]))
    check(known, sequences, np.array([0.5, 0.5]), np.array([[0.5, 0.5], [0.0, 1.0]]))
    check(known[:, 1:].copy(), Sequences.of_lengths(np.array([3])), np.array([0.5, 0.5]), np.eye(2))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_invalid_densities_are_told(bad, recursions):
    joint, sequences, startprob, transmat = problem(3)
    joint[1, 7] = bad
    found = forward_backward(joint, sequences, startprob, transmat)
    assert_array_equal(np.isnan(found.log_likelihood), np.arange(len(sequences)) == 2)
    assert np.isfinite(found.transition).all()


@pytest.mark.parametrize("lengths", [[5000], [1200, 1200, 700, 3], [150] * 3])
@pytest.mark.parametrize("scale", [1.0, 500.0])
def test_long_sequences_agree_with_logarithms(lengths, scale, recursions):
    """Against the recursions in log space, which take one step in time after another."""
    joint, sequences, startprob, transmat = problem(3, scale, lengths=np.array(lengths))
    weight = np.linspace(0.5, 2.0, len(sequences))
    expected = np.ascontiguousarray(joint.T)
    value, pairs = forward_backward_log(expected, sequences, startprob, transmat, weight)
    smoothed = joint.copy()
    found = forward_backward(smoothed, sequences, startprob, transmat, weight)
    assert_allclose(found.log_likelihood, value, rtol=1e-12)
    assert_allclose(smoothed, expected.T, rtol=0, atol=1e-8)
    assert_allclose(found.transition, pairs.sum(axis=0), rtol=1e-8)
    assert_allclose(found.start, expected[sequences.first].sum(axis=0), rtol=1e-8)


@pytest.mark.skipif(_recursions.compiled is None, reason="there are no compiled kernels")
@pytest.mark.parametrize("lengths", [[3000], [40] * 30, [700, 5, 1, 1, 2, 300]])
def test_compiled_and_numpy_find_the_same_paths(lengths, monkeypatch):
    joint, sequences, startprob, transmat = problem(4, lengths=np.array(lengths))
    compiled = viterbi(joint, sequences, startprob, transmat)
    monkeypatch.setattr(_recursions, "compiled", None)
    in_numpy = viterbi(joint, sequences, startprob, transmat)
    assert_array_equal(compiled[0], in_numpy[0])
    assert_allclose(compiled[1], in_numpy[1], rtol=1e-12)


def test_ties_go_to_the_lower_states(recursions):
    joint = np.zeros((3, 8))
    even = np.full(3, 1.0 / 3.0)
    for lengths in ([8], [3, 5]):
        sequences = Sequences.of_lengths(np.array(lengths))
        path, _ = viterbi(joint, sequences, even, np.tile(even, (3, 1)))
        assert_array_equal(path, 0)


def test_sequences_do_not_influence_each_other(recursions):
    joint, sequences, startprob, transmat = problem(3, 50.0)
    together = joint.copy()
    found = forward_backward(together, sequences, startprob, transmat)
    for s in range(len(sequences)):
        rows = slice(sequences.edges[s], sequences.edges[s + 1])
        alone = np.ascontiguousarray(joint[:, rows])
        own = Sequences.of_lengths(sequences.lengths[s : s + 1])
        single = forward_backward(alone, own, startprob, transmat)
        assert_allclose(alone, together[:, rows], rtol=0, atol=1e-14)
        assert_allclose(single.log_likelihood, found.log_likelihood[s], rtol=1e-14)
