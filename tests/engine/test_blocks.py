"""Adding statistics, and the E-step mapped over blocks."""

import operator
import threading
import time
from typing import NamedTuple

import numpy as np
import pytest

from emlearn.engine import BlockMapper, LatentVariableModel, Threads, add_statistics


class Moments(NamedTuple):
    count: float
    first: np.ndarray


class Sums(LatentVariableModel):
    """Sums of ragged blocks in every type that can be added."""

    def prepare(self, X, sample_weight=None):
        return X

    def blocks(self, data):
        return data

    def initialize(self, data, rng):
        return 1.0

    def e_step(self, block, params):
        first = block.sum(axis=0)
        statistics = {
            "array": first,
            "number": float(block.sum()),
            "tuple": (first * params, len(block), (first, 1)),
            "named": Moments(float(len(block)), first),
        }
        return statistics, float(np.exp(block).sum())

    def m_step(self, statistics, params):
        return params


@pytest.fixture(scope="module")
def ragged():
    rng = np.random.default_rng(5)
    return [rng.normal(size=(n, 3)) for n in rng.integers(1, 9, 101)]


def flat(tree):
    if isinstance(tree, dict):
        tree = tuple(tree.values())
    return np.concatenate([flat(t) for t in tree]) if isinstance(tree, tuple) else np.ravel(tree)


@pytest.mark.parametrize(
    ("left", "right", "total"),
    [
        (1, 2.5, 3.5),
        (np.float64(1.0), np.float64(2.0), 3.0),
        ((1, 2.0), (3, 4.0), (4, 6.0)),
        ({"a": 1, "b": (1, 2)}, {"b": (3, 4), "a": 5}, {"a": 6, "b": (4, 6)}),
        (((),), ((),), ((),)),
    ],
)
def test_add_statistics(left, right, total):
    assert add_statistics(left, right) == total


def test_add_statistics_keeps_types_and_operands():
    left, right = Moments(1.0, np.arange(3.0)), Moments(2.0, np.ones(3))
    total = add_statistics(left, right)
    assert type(total) is Moments
    assert total.count == 3.0
    np.testing.assert_array_equal(total.first, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(left.first, [0.0, 1.0, 2.0])
    np.testing.assert_array_equal(right.first, [1.0, 1.0, 1.0])


def test_add_statistics_in_place():
    left = (np.arange(3.0), 1.0, {"a": np.ones(2)})
    total = add_statistics(left, (np.ones(3), 2.0, {"a": np.ones(2)}), operator.iadd)
    assert total[0] is left[0]
    assert total[1] == 3.0
    np.testing.assert_array_equal(left[0], [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(left[2]["a"], [2.0, 2.0])


@pytest.mark.parametrize(("left", "right"), [((1, 2), (1, 2, 3)), ({"a": 1}, {"b": 1})])
def test_add_statistics_of_another_structure(left, right):
    with pytest.raises((ValueError, KeyError)):
        add_statistics(left, right)


@pytest.mark.parametrize("n_blocks", [1, 2, 3, 4, 31, 32, 33, 65, 101])
def test_sum_over_blocks(ragged, n_blocks):
    rows = np.concatenate(ragged[:n_blocks])
    with BlockMapper(Sums(), ragged[:n_blocks]) as expect:
        statistics, value = expect(1.0)
    whole, whole_value = Sums().e_step(rows, 1.0)
    assert value == pytest.approx(whole_value)
    whole["tuple"] = (*whole["tuple"][:2], (whole["tuple"][2][0], n_blocks))
    np.testing.assert_allclose(flat(statistics), flat(whole), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n_threads", [2, 3, 40])
def test_same_bits_for_any_number_of_threads(ragged, n_threads):
    found = []
    for n in (1, n_threads, n_threads):
        with BlockMapper(Sums(), ragged, Threads(n)) as expect:
            found.append(expect(1.5))
    for statistics, value in found[1:]:
        assert value == found[0][1]
        np.testing.assert_array_equal(flat(statistics), flat(found[0][0]))


def test_blocks_are_not_changed(ragged):
    before = [block.copy() for block in ragged]
    parts = [Sums().e_step(block, 1.0)[0]["array"] for block in ragged]
    kept = [part.copy() for part in parts]

    class Remembering(Sums):
        def e_step(self, block, params):
            # Parts that the model keeps: the engine must not add to them in place.
            return (parts[next(i for i, b in enumerate(ragged) if b is block)],), 0.0

    with BlockMapper(Remembering(), ragged) as expect:
        expect(1.0)
    for block, old in zip(ragged, before, strict=True):
        np.testing.assert_array_equal(block, old)
    for part, old in zip(parts, kept, strict=True):
        np.testing.assert_array_equal(part, old)


def test_threads_work_at_the_same_time(ragged):
    meeting = threading.Barrier(2, timeout=20)

    class Meeting(Sums):
        def e_step(self, block, params):
            meeting.wait()
            return 0.0, 0.0

    with BlockMapper(Meeting(), ragged[:2], Threads(2)) as expect:
        assert expect(1.0) == (0.0, 0.0)


def test_precompute_is_asked_once_for_each_e_step(ragged):
    asked = []

    class Precomputing(Sums):
        def precompute(self, params):
            asked.append(params)
            return 2.0 * params

        def e_step(self, block, params):
            return params, 0.0

    with BlockMapper(Precomputing(), ragged[:10], Threads(2)) as expect:
        assert expect(1.0)[0] == 20.0
    assert asked == [1.0]


def test_an_error_in_a_thread_ends_the_others(ragged):
    done = []

    class Failing(Sums):
        def e_step(self, block, params):
            if block is ragged[0]:
                raise ZeroDivisionError
            time.sleep(0.005)
            done.append(1)
            return 0.0, 0.0

    threads = threading.active_count()
    with pytest.raises(ZeroDivisionError), BlockMapper(Failing(), ragged, Threads(2)) as expect:
        expect(1.0)
    assert threading.active_count() == threads
    assert len(done) < len(ragged) - 1


@pytest.mark.parametrize("n_blocks", [1, 31, 32, 33, 101, 1023, 1024, 1025, 1057, 3000])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_the_sum_is_a_tree_of_32_neighbors_at_a_time(n_blocks, n_threads):
    """The same bits as numbers added in that order; other orders round differently."""
    values = np.random.default_rng(0).normal(size=n_blocks)

    class Value(Sums):
        def e_step(self, block, params):
            return values[block], float(values[block])

    total = values.tolist()
    while len(total) > 1:
        total = [sum(total[i : i + 32]) for i in range(0, len(total), 32)]
    with BlockMapper(Value(), list(range(n_blocks)), Threads(n_threads)) as expect:
        assert expect(1.0) == (total[0], total[0])


def test_a_single_block_needs_no_thread(ragged):
    used = []

    class Where(Sums):
        def e_step(self, block, params):
            used.append(threading.current_thread())
            return 0.0, 0.0

    with BlockMapper(Where(), ragged[:1], Threads(4)) as expect:
        expect(1.0)
    assert used == [threading.current_thread()]


@pytest.mark.parametrize("n_threads", [1, 2])
def test_items_are_fetched_while_others_are_worked_on(n_threads):
    fetched = [threading.Event() for _ in range(6)]

    class Item:
        def __init__(self, number):
            self.number = number

        def fetch(self):
            fetched[self.number].set()
            return self.number

    def work(number, shared):
        # Ends only if the next item is fetched in the meantime.
        return number < 5 and fetched[number + 1].wait(timeout=20)

    items = [Item(number) for number in range(6)]
    with Threads(n_threads).over(work, items) as each:
        assert each(None) == [True] * 5 + [False]


def test_few_items_are_in_memory_at_a_time():
    """What is fetched is worked on and forgotten before much more is fetched."""
    ahead, fetched, done = [], [], []

    class Item:
        def fetch(self):
            fetched.append(1)
            ahead.append(len(fetched) - len(done))
            return self

    def work(item, shared):
        time.sleep(0.001)
        done.append(1)
        return 1.0

    with Threads(2).summing(work, [Item() for _ in range(60)]) as total:
        assert total(None) == 60.0
    assert max(ahead) <= 10


def test_an_error_while_reading_ends_the_pass():
    class Item:
        def fetch(self):
            raise OSError("the disk is gone")

    n_threads = threading.active_count()
    with (
        Threads(2).summing(lambda item, _: 1.0, [Item(), Item(), Item()]) as total,
        pytest.raises(OSError, match="the disk is gone"),
    ):
        total(None)
    assert threading.active_count() == n_threads
