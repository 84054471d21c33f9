"""Tables that are read block by block: the survey, the sample, positions and errors."""

import os

import numpy as np
import pytest

from emlearn import GaussianMixtureEM
from emlearn.data.blocks import ArrayBlocks
from emlearn.engine import Processes, Threads, use_mapper
from emlearn.engine import block_survey as module
from emlearn.engine.block_survey import read_block_table
from emlearn.engine.block_table import RowPart
from emlearn.engine.blocks import scale_statistics


def Blocks(*given):
    """Blocks of a user's own class, which is pickled with its code, as one of a notebook."""

    class Own:
        def __init__(self):
            self.parts = given
            self.n_rows = sum(len(part) for part in given)
            self.n_features = 2

        def __len__(self):
            return len(self.parts)

        def __getitem__(self, index):
            return self.parts[index]

    return Own()


def parts(*lengths):
    rows = np.arange(2.0 * sum(lengths)).reshape(-1, 2)
    return Blocks(*np.split(rows, np.cumsum(lengths)[:-1]))


def test_the_table_has_positions_weights_and_a_sample():
    weight = np.array([1.0, 0.0, 2.0, 1.0, 3.0, 0.0])
    table = read_block_table(parts(2, 0, 3, 1), np.asarray, weight=weight)
    assert table.shape == (6, 2)
    assert table.lengths.tolist() == [2, 3, 1]
    assert table.total_weight == 7.0
    assert table.n_used == 4
    opened = [ref.open() for ref in table.refs]
    assert np.concatenate([part.positions for part in opened]).tolist() == list(range(6))
    assert np.concatenate([part.weight for part in opened]).tolist() == weight.tolist()
    # Few rows: the sample has all that count.
    assert table.sample_is_all
    assert table.sample.positions.tolist() == [0, 2, 3, 4]
    assert table.sample.X[:, 0].tolist() == [0.0, 4.0, 6.0, 8.0]
    assert table.sample.weight.tolist() == [1.0, 2.0, 1.0, 3.0]


def test_the_sample_is_drawn_evenly(monkeypatch):
    monkeypatch.setattr(module, "_SAMPLE_NUMBERS", 0)
    monkeypatch.setattr(module, "_SAMPLE_ROWS", (500, 500))
    table = read_block_table(parts(*[1000] * 10, 37), np.asarray)
    assert len(table.sample.X) == 500
    assert not table.sample_is_all
    assert (np.diff(table.sample.positions) > 0).all()
    np.testing.assert_array_equal(table.sample.X[:, 0], 2.0 * table.sample.positions)
    counts = np.bincount(table.sample.positions // 1000, minlength=10)[:10]
    # Binomial, mean 50 and standard deviation 6.7.
    assert np.abs(counts - 50).max() < 5 * 6.7


@pytest.mark.parametrize("mapper", [Threads(3), Processes(2)])
def test_the_sample_does_not_depend_on_where_blocks_are_read(mapper, monkeypatch):
    monkeypatch.setattr(module, "_SAMPLE_ROWS", (50, 50))
    source = parts(*[100] * 5)
    first = read_block_table(source, np.asarray).sample
    with use_mapper(mapper):
        second = read_block_table(source, np.asarray).sample
    np.testing.assert_array_equal(first.X, second.X)
    np.testing.assert_array_equal(first.positions, second.positions)


def test_passes():
    table = read_block_table(parts(2, 3), np.asarray)
    np.testing.assert_array_equal(table.total(lambda part: part.X.sum(axis=0)), [20.0, 25.0])
    assert table.each(lambda part: len(part.X)) == [2, 3]
    chosen = table.columns(np.array([1]))
    assert chosen.shape == (5, 1)
    assert chosen.total(lambda part: float(part.X.sum())) == 25.0
    assert chosen.sample.X.shape == (5, 1)


def test_precision_is_that_of_all_blocks():
    rows = np.ones((2, 2), np.float32)
    assert read_block_table(Blocks(rows, rows), np.asarray).dtype == np.float32
    mixed = read_block_table(Blocks(rows, rows.astype(float)), np.asarray)
    assert mixed.dtype == np.float64
    assert mixed.refs[0].open().X.dtype == np.float64


def test_part():
    part = RowPart(np.arange(6.0).reshape(3, 2), np.array([1.0, 0.0, 2.0]), first=5)
    assert part.used.positions.tolist() == [5, 7]
    assert RowPart(part.X).used.X is part.X
    assert part.take([2, 0]).weight.tolist() == [2.0, 1.0]


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1.0, 1.0], "2 entries, but must have one for each of the 4"),
        ([1.0, 1.0, 1.0, -1.0], "row 3 has weight -1.0"),
        ([1.0, np.nan, 1.0, 1.0], "row 1 has weight nan"),
        ([0.0, 0.0, 0.0, 0.0], "all rows have weight 0"),
    ],
)
def test_invalid_weights(weight, message):
    with pytest.raises(ValueError, match=message):
        read_block_table(parts(2, 2), np.asarray, weight=np.array(weight))


def test_wrong_number_of_rows():
    blocks = parts(2, 2)
    blocks.n_rows = 5
    with pytest.raises(ValueError, match="n_rows=5, but its blocks have 4 rows"):
        read_block_table(blocks, np.asarray)


def test_errors_name_the_block():
    rows = np.ones((4, 2))
    rows[3, 1] = np.inf
    with pytest.raises(ValueError, match=r"column 1, row 1.*block 1, whose row 0 is row 2"):
        GaussianMixtureEM().fit(Blocks(rows[:2], rows[2:]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda blocks: setattr(blocks, "n_features", 3), "n_features=3, but its rows have 2"),
        (lambda blocks: setattr(blocks, "parts", (np.ones((2, 2)), np.ones((2, 3)))), "3 features"),
        (lambda blocks: setattr(blocks, "parts", (np.empty((0, 2)),) * 2), "no rows"),
    ],
)
def test_blocks_that_contradict_themselves(change, message):
    blocks = parts(2, 2)
    change(blocks)
    with pytest.raises(ValueError, match=message):
        GaussianMixtureEM().fit(blocks)


def test_estimators_without_blocks_say_so():
    from emlearn import HiddenMarkovEM

    with pytest.raises(ValueError, match="does not read rows block by block"):
        HiddenMarkovEM(2).fit(parts(2, 2))


def test_a_mapper_of_the_users_choice():
    used = []

    class Counting(Threads):
        def summing(self, function, items, prepare=None):
            used.append(len(items))
            return super().summing(function, items, prepare)

    rows = np.random.default_rng(0).normal(size=(300, 2))
    with use_mapper(Counting(2)):
        found = GaussianMixtureEM(2, random_state=0).fit(rows)
    assert used
    assert found.log_likelihood_ == GaussianMixtureEM(2, random_state=0).fit(rows).log_likelihood_


def test_a_mapper_with_nothing_but_over():
    class Plain:
        def over(self, function, items):
            return Threads(1).over(function, items)

    rows = np.random.default_rng(0).normal(size=(300, 2))
    with use_mapper(Plain()):
        found = GaussianMixtureEM(2, random_state=0).fit(rows)
    assert found.log_likelihood_ == GaussianMixtureEM(2, random_state=0).fit(rows).log_likelihood_


def test_processes_have_the_same_bits():
    rows = ArrayBlocks(np.random.default_rng(0).normal(size=(600, 2)), block_rows=200)
    with use_mapper(Processes(2)):
        found = GaussianMixtureEM(2, random_state=0).fit(rows)
    assert found.log_likelihood_ == GaussianMixtureEM(2, random_state=0).fit(rows).log_likelihood_


def test_processes_that_die(tmp_path):
    def _dies_once(item, marker):
        try:
            marker.touch(exist_ok=False)
        except FileExistsError:
            return item
        os._exit(1)

    def _dies(item, marker):
        os._exit(1)

    with Processes(2).summing(_dies_once, [1.0, 2.0, 3.0]) as total:
        assert total(tmp_path / "marker") == 6.0
    with (
        Processes(2).summing(_dies, [1.0, 2.0]) as total,
        pytest.raises(RuntimeError, match="Use fewer processes"),
    ):
        total(None)


def test_scale_statistics():
    found = scale_statistics({"a": (np.ones(2), 2.0), "b": RowPart(1.0, 2.0, 3.0, 4.0)}, 0.5)
    assert found["a"][0].tolist() == [0.5, 0.5]
    assert found["a"][1] == 1.0
    assert found["b"] == RowPart(0.5, 1.0, 1.5, 2.0)
