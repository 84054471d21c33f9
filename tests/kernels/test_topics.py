"""The kernel of topics beside scipy, and what it does with arguments that no model gives."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from emlearn.kernels import topics as module
from emlearn.kernels.topics import Words, pad_topics, topic_step


def arguments(rng, n_topics, longest):
    lengths = rng.integers(0, longest, 9)
    columns = rng.integers(11, size=lengths.sum()).astype(np.int32)
    words = Words(np.concatenate([[0], np.cumsum(lengths)]), columns, rng.random(columns.size) + 1)
    return words, rng.random((9, n_topics)), rng.random((11, n_topics))


def both(monkeypatch, *given):
    with monkeypatch.context() as patch:
        patch.setattr(module, "compiled", None)
        patch.setattr(module, "_MOST", 64)
        own = None if given[4] is None else given[4].copy()
        expected = *topic_step(*given[:4], own), own
    return (*topic_step(*given), given[4]), expected


@pytest.mark.parametrize("n_topics", [8, 16, 24, 32, 40, 56, 136])
@pytest.mark.parametrize("longest", [3, 300])
def test_kernel_and_scipy_agree(monkeypatch, kernels, n_topics, longest):
    rng = np.random.default_rng(n_topics)
    words, documents, topics = arguments(rng, n_topics, longest)
    monkeypatch.setattr(module, "compiled", kernels)
    for weight in (None, rng.random(9)):
        for sums in (None, rng.random(topics.shape)):
            found, expected = both(monkeypatch, words, documents, topics, weight, sums)
            for a, b in zip(found, expected, strict=True):
                assert (a is None) == (b is None)
                if a is not None:
                    assert_allclose(a, b, rtol=1e-12)


def test_a_word_without_a_topic_is_impossible(monkeypatch, kernels):
    rng = np.random.default_rng(0)
    words, documents, topics = arguments(rng, 8, 30)
    topics[words.words[3]] = 0.0
    monkeypatch.setattr(module, "compiled", kernels)
    (sums, values, _), expected = both(monkeypatch, words, documents, topics, None, None)
    assert_allclose(sums, expected[0])
    assert_array_equal(values == -np.inf, expected[1] == -np.inf)
    row = np.searchsorted(words.starts, 3, side="right") - 1
    assert values[row] == -np.inf
    assert np.isfinite(values).any()


def test_padding_adds_zeros():
    padded = pad_topics(np.ones((2, 9)))
    assert padded.shape == (2, 16)
    assert padded.sum() == 18.0
    assert pad_topics(np.ones((2, 8))).shape == (2, 8)


@pytest.mark.parametrize(
    ("position", "value", "message"),
    [
        (0, np.array([0, 2, 1]), "starts that rise"),
        (0, np.array([0, 1, 5]), "starts that rise"),
        (0, np.array([1, 1, 2]), "starts that rise"),
        (1, np.array([0, 3], np.int32), "words with topics"),
        (1, np.array([0, -1], np.int32), "words with topics"),
    ],
)
def test_numbers_that_address_memory_are_checked(kernels, position, value, message):
    given = [
        np.array([0, 1, 2]), np.array([0, 2], np.int32), np.ones(2), np.ones((2, 8)),
        np.ones((3, 8)), None, np.empty((2, 8)), np.empty(2), None,
    ]  # fmt: skip
    kernels.topic_step(*given)
    given[position] = value
    with pytest.raises(ValueError, match=message):
        kernels.topic_step(*given)


def test_the_number_of_topics_is_a_multiple_of_eight(kernels):
    odd = np.ones((1, 7))
    with pytest.raises(ValueError, match="multiple of 8"):
        kernels.topic_step(
            np.array([0, 1]), np.zeros(1, np.int32), np.ones(1), odd, odd, None, odd.copy(),
            np.empty(1), None,
        )  # fmt: skip
