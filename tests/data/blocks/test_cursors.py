"""Blocks of files whose pieces have any size."""

import numpy as np
import pytest

from emlearn.data.blocks.cursors import Cursor, Cursors, stretches_of


class Batch:
    """Numbered rows, sliced as a record batch."""

    def __init__(self, rows):
        self.rows = np.asarray(rows)
        self.num_rows = len(self.rows)

    def slice(self, start, length=None):
        return Batch(self.rows[start:][:length])


def rows_of(batches):
    return np.concatenate([own.rows for own in batches]).tolist()


@pytest.mark.parametrize("edges", [[], [3], [10], [1, 2, 2, 19], [7, 14], [4, 8, 9]])
def test_batches_of_any_size(edges):
    batches = [Batch(own) for own in np.split(np.arange(20), edges)]
    cursor = Cursor(iter(batches), 7)
    found = [rows_of(cursor.take(i)) for i in (1, 0, 2)]
    assert found == [[*range(7, 14)], [*range(7)], [*range(14, 20)]]
    assert not any(cursor.has(i) for i in range(3))


def test_blocks_in_any_order():
    started = []

    def start(stretch):
        started.append(stretch)
        return Cursor((Batch([100 * stretch + i]) for i in range(20)), 2)

    cursors = Cursors(start)
    order = [(stretch, block) for stretch in range(5) for block in range(10)]
    order = np.random.default_rng(0).permutation(order + order).tolist()
    for stretch, block in order:
        first = 100 * stretch + 2 * block
        assert rows_of(cursors.take(stretch, block, 10)) == [first, first + 1]
    assert len(started) > 5


SIZES = [
    ([10], [10]),
    ([14], [14]),
    ([15], [8, 7]),
    ([36], [9, 9, 9, 9]),
    ([0, 3, 0, 4, 0], [7]),
    ([6, 6, 6], [6, 6, 6]),
    ([4, 4, 4, 30, 1, 1], [8, 4, 10, 10, 10, 2]),
    ([0, 0], []),
]


@pytest.mark.parametrize(("lengths", "expected"), SIZES)
def test_sizes_of_blocks(lengths, expected):
    stretches = stretches_of(0, lengths, 10, False)
    assert [n for own in stretches for n in own.lengths] == expected
    for own in stretches:
        assert own.n_rows == sum(lengths[i] for i in own.pieces)
    assert all(n <= 10 for own in stretches_of(0, lengths, 10, True) for n in own.lengths)
