"""Filtered probabilities: prefix by prefix, with underflow, and in pieces."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from emlearn.latent.chain import sequences as _sequences
from emlearn.latent.chain.filtering import filtered
from emlearn.latent.chain.sequences import Sequences

LENGTHS = np.array([4, 1, 5, 2, 5, 1, 3])


def problem(n_states, scale, zeros, lengths=LENGTHS):
    rng = np.random.default_rng([7, n_states])
    sequences = Sequences.of_lengths(lengths)
    joint = scale * rng.standard_normal((n_states, sequences.n_rows)) - 3.0
    startprob = rng.dirichlet(np.ones(n_states))
    transmat = rng.dirichlet(np.ones(n_states), n_states)
    if zeros:
        transmat = np.triu(transmat) / np.triu(transmat).sum(axis=1, keepdims=True)
        startprob = np.append(startprob[:-1], 0.0) / startprob[:-1].sum()
    return joint, sequences, startprob, transmat


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("scale", [1.0, 30.0, 1000.0])
@pytest.mark.parametrize("n_states", [2, 3, 4])
@pytest.mark.parametrize("pieces", [False, True])
def test_every_prefix(n_states, scale, zeros, pieces, enumerate_paths, monkeypatch):
    if pieces:
        monkeypatch.setattr(_sequences, "_LONG", 1)
        monkeypatch.setattr(_sequences, "_MANY", 1000)
    joint, sequences, startprob, transmat = problem(n_states, scale, zeros)
    assert (len(sequences.cut()[0]) > len(sequences)) == pieces
    found = filtered(joint, sequences, startprob, transmat)
    for first, last in zip(sequences.edges[:-1], sequences.edges[1:], strict=True):
        for now in range(first, last):
            prefix = enumerate_paths(joint[:, first : now + 1], startprob, transmat)
            assert_allclose(found[now], prefix.smoothed[:, -1], rtol=0, atol=1e-12)


def test_a_state_that_vanishes_comes_back():
    """Two regimes that do not meet: one fits the beginning, the other the end, by far."""
    joint = np.zeros((2, 300))
    joint[0, 100:] = -20.0
    joint[1, :100] = -20.0
    found = filtered(joint, Sequences.of_lengths([300]), np.array([0.5, 0.5]), np.eye(2))
    assert_allclose(found[[0, 99]], [[1.0, 0.0]] * 2, atol=1e-8)
    assert_allclose(found[199], [0.5, 0.5], atol=1e-8)
    assert_allclose(found[[205, 299]], [[0.0, 1.0]] * 2, atol=1e-8)


def test_one_long_sequence_in_pieces(monkeypatch):
    joint, sequences, startprob, transmat = problem(3, 2.0, False, np.array([3000, 40, 7]))
    assert len(sequences.cut()[0]) > 40
    found = filtered(joint, sequences, startprob, transmat)
    monkeypatch.setattr(_sequences, "_LONG", 10**9)
    assert_allclose(found, filtered(joint, sequences, startprob, transmat), rtol=1e-10, atol=1e-15)
    assert_allclose(found.sum(axis=1), 1.0, rtol=1e-14)


def test_impossible_sequences():
    joint = np.zeros((2, 5))
    joint[:, 2] = -np.inf
    found = filtered(
        joint, Sequences.of_lengths([4, 1]), np.array([0.5, 0.5]), np.full((2, 2), 0.5)
    )
    assert_array_equal(found, [[0.5, 0.5]] * 2 + [[0.0, 0.0]] * 2 + [[0.5, 0.5]])
