"""Comparison vectors of tables: keys, levels, streams, patterns, random pairs, bad input."""

import datetime
import itertools
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from emlearn import RecordLinkageEM
from emlearn.datasets import make_duplicate_records
from emlearn.linkage import (
    DateDifference,
    Exact,
    JaroWinkler,
    NumericDifference,
    RecordComparator,
    compare_records,
    estimate_u,
)
from emlearn.linkage import _blocking as blocking
from emlearn.linkage import _comparator as comparator_module

EXACT = {"name": "exact"}


@pytest.fixture(scope="module")
def people():
    return make_duplicate_records(300, random_state=0)


def pairs_by_hand(records, rules, right=None):
    """Pairs that agree on a key, by comparing all."""
    n = len(next(iter(records.values())))
    other = records if right is None else right
    m = len(next(iter(other.values())))
    found = set()
    for i, j in itertools.product(range(n), range(m)):
        if right is None and i >= j:
            continue
        for rule in rules:
            keys = rule if isinstance(rule, tuple) else (rule,)
            a, b = [records[k][i] for k in keys], [other[k][j] for k in keys]
            if None not in a and None not in b and a == b:
                found.add((i, j))
    return found


@pytest.mark.parametrize("part", [7, 2**18])
def test_pairs_are_those_that_share_a_key(people, part):
    records = people.records
    rules = ["birth_year", "postcode", ("first_name", "last_name")]
    read = blocking.read_rules(records, None, rules, 10**6, 10**8)
    made = list(blocking.pairs_of(read, part))
    assert max(len(i) for i, _ in made) < part + len(people.target)
    i, j = (np.concatenate(own) for own in zip(*made, strict=True))
    assert len(set(zip(i, j, strict=True))) == len(i)
    assert set(zip(i.tolist(), j.tolist(), strict=True)) == pairs_by_hand(records, rules)


def test_two_tables(people):
    records = people.records
    left = {name: own[:150] for name, own in records.items()}
    right = {name: own[150:] for name, own in records.items()}
    rules = ["birth_year", ("city", "last_name")]
    pairs = compare_records(left, right, block=rules, comparisons={"city": "exact"})
    found = set(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))
    assert found == pairs_by_hand(left, rules, right)
    renamed = {"town": right["city"], "birth_year": right["birth_year"]}
    kinds = {"place": Exact(column="city", right_column="town")}
    other = compare_records(left, renamed, block=["birth_year"], comparisons=kinds)
    assert other.names == ("place",)
    a, b = left["city"][other.left], renamed["town"][other.right]
    wanted = [-1 if None in (x, y) else int(x == y) for x, y in zip(a, b, strict=True)]
    assert_array_equal(other.levels[:, 0], wanted)


def test_keys_by_functions():
    table = {"name": ["Ann", "Alf", "Bob", None]}

    def initial(table):
        return [None if name is None else name[0] for name in table["name"]]

    pairs = compare_records(table, block=[initial], comparisons=EXACT)
    assert (pairs.left.tolist(), pairs.right.tolist()) == ([0], [1])
    pairs = compare_records(table, block=[(initial, "name"), initial], comparisons=EXACT)
    assert len(pairs) == 1
    with pytest.raises(ValueError, match=r"must return one key .* <lambda> returns 1 for 4"):
        compare_records(table, block=[lambda _: ["x"]], comparisons=EXACT)


def test_patterns_are_those_of_the_pairs(people, monkeypatch):
    monkeypatch.setattr(comparator_module, "PART", 500)
    comparator = RecordComparator({"city": "exact", "birth_date": "date"}, ["birth_year", "city"])
    pairs = comparator.pairs(people.records)
    patterns = comparator.patterns(people.records, n_random=0)
    levels, counts = np.unique(pairs.levels, axis=0, return_counts=True)
    assert_array_equal(patterns.levels, levels)
    assert_array_equal(patterns.counts, counts)
    assert sum(len(part) for part in comparator.stream(people.records)) == len(pairs)


def test_patterns_of_all_pairs(people):
    """With random pairs enough for all, the patterns are exactly those of all pairs."""
    kinds = {"city": "exact", "birth_date": "date"}
    every = compare_records(people.records, comparisons=kinds)
    levels, counts = np.unique(every.levels, axis=0, return_counts=True)
    comparator = RecordComparator(kinds, ["birth_year"])
    patterns = comparator.patterns(people.records, random_state=0)
    assert_array_equal(patterns.levels, levels)
    assert_allclose(patterns.counts, counts)
    some = comparator.patterns(people.records, n_random=20_000, random_state=0)
    assert_allclose(some.counts.sum(), len(every))
    assert len(comparator.pairs(people.records)) < len(every)


def test_u_of_random_pairs(people):
    kinds = {"city": "exact", "birth_date": "date"}
    every = compare_records(people.records, comparisons=kinds)
    exact = estimate_u(people.records, comparisons=kinds, pseudo_count=0)
    for j, name in enumerate(kinds):
        column = every.levels[:, j]
        known = column[column >= 0]
        assert_allclose(exact[name], np.bincount(known) / len(known))
    drawn = estimate_u(people.records, comparisons=kinds, n_pairs=30_000, random_state=0)
    again = estimate_u(people.records, comparisons=kinds, n_pairs=30_000, random_state=0)
    for name, own in exact.items():
        assert_allclose(drawn[name], own, atol=0.01)
        assert_array_equal(drawn[name], again[name])
    halves = [
        {k: own[side] for k, own in people.records.items()} for side in (slice(9), slice(9, 20))
    ]
    assert_allclose(estimate_u(*halves, comparisons=kinds)["city"].sum(), 1.0)
    model = RecordLinkageEM(fixed={"u": exact}).fit(every)
    assert_allclose(model.u_[1], exact["birth_date"])


def test_levels_of_text():
    pytest.importorskip("rapidfuzz")
    from rapidfuzz.distance import JaroWinkler as Similarity

    names = ["Martha", "Marhta", "Marta", "Dwayne", "Duane", "martha", None, " "]
    pairs = compare_records({"name": names}, comparisons={"name": "jaro_winkler"})
    for i, j, level in zip(pairs.left, pairs.right, pairs.levels[:, 0], strict=True):
        a, b = names[i], names[j]
        if j > 5:
            assert level == -1
            continue
        close = Similarity.similarity(a, b)
        assert level == (3 if a == b else 2 if close >= 0.92 else 1 if close >= 0.8 else 0)
    # Winkler (1990): the similarity of Martha and Marhta is .961, that of Dwayne and Duane .840.
    assert pairs.levels[0, 0] == 2
    kinds = {"name": JaroWinkler(thresholds=(0.84, 0.962))}
    assert compare_records({"name": names[:2]}, comparisons=kinds).levels[0, 0] == 1


def test_text_that_is_none():
    pytest.importorskip("rapidfuzz")
    with pytest.raises(ValueError, match="compares text, but there is the value 3"):
        compare_records({"name": ["Ann", 3]}, comparisons={"name": "jaro_winkler"})


def test_levels_of_numbers_and_dates():
    table = {
        "x": [1.0, 1.0, 2.5, np.nan, "4"],
        "d": ["2001-02-03", "2001-02-04", None, "", "1999-01-01"],
    }
    pairs = compare_records(table, comparisons={"x": "numeric", "d": "date"})
    assert pairs.level_names[0] == ("different", "<= 1", "equal")
    found = dict(zip(zip(pairs.left, pairs.right, strict=True), pairs.levels.tolist(), strict=True))
    assert found[0, 1] == [2, 2]
    assert found[0, 2] == [0, -1]
    assert found[0, 3] == [-1, -1]
    assert found[0, 4] == [0, 0]
    days = [
        datetime.date(2001, 2, 3),
        datetime.datetime(2001, 2, 3, 18),
        np.datetime64("2001-03-01"),
    ]
    kinds = {"d": DateDifference(limits=(0.5, 20))}
    assert compare_records({"d": days}, comparisons=kinds).levels.ravel().tolist() == [1, 0, 0]


@pytest.mark.parametrize("kind", ["pandas", "polars", "structured", "pandas numpy"])
def test_tables_of_other_libraries(people, kind):
    rules, kinds = ["birth_year"], {"city": "exact", "birth_date": "date", "year": "numeric"}
    records = {**people.records}
    records["year"] = np.array(
        [None if own is None else float(own) for own in records["birth_year"]]
    )
    wanted = compare_records(records, block=rules, comparisons=kinds)
    if kind == "structured":
        table = np.empty(len(people.target), [(name, "O") for name in records])
        for name, own in records.items():
            table[name] = own
    elif kind == "polars":
        polars = pytest.importorskip("polars")
        table = polars.DataFrame({name: own.tolist() for name, own in records.items()})
    else:
        pandas = pytest.importorskip("pandas")
        # Positions count rows, whatever the index, which may have duplicates.
        table = pandas.DataFrame(records, index=np.zeros(len(people.target), int))
        if kind == "pandas":
            table["year"] = table["year"].astype("Float64")
            table["city"] = table["city"].astype("category")
            table["birth_date"] = pandas.to_datetime(table["birth_date"])
            table["birth_year"] = table["birth_year"].astype("string")
    found = compare_records(table, block=rules, comparisons=kinds)
    order = np.lexsort((found.right, found.left))
    other = np.lexsort((wanted.right, wanted.left))
    assert_array_equal(found.left[order], wanted.left[other])
    assert_array_equal(found.right[order], wanted.right[other])
    assert_array_equal(found.levels[order], wanted.levels[other])


def test_term_frequencies():
    table = {"name": ["Ann", "Ann", "Bob", "Bob", "Bob", None]}
    pairs = compare_records(table, comparisons=EXACT, term_frequencies=["name"])
    for i, j, own in zip(pairs.left, pairs.right, pairs.frequency[:, 0], strict=True):
        a, b = table["name"][i], table["name"][j]
        assert np.isnan(own) if a != b or a is None else own == {"Ann": 0.4, "Bob": 0.6}[a]
    kept = pairs.take(pairs.levels[:, 0] == 1)
    assert len(kept) == 4
    assert np.isfinite(kept.frequency).all()


def test_two_records_equal_everywhere():
    """They are a pair that agrees exactly in all comparisons, as any other."""
    table = {"name": ["Ann", "Ann", "Bob"], "city": ["Rome", "Rome", "Oslo"]}
    pairs = compare_records(table, comparisons={"name": "exact", "city": "exact"})
    assert pairs.levels.tolist() == [[1, 1], [0, 0], [0, 0]]


def test_frame_of_pairs(people):
    pytest.importorskip("pandas")
    pairs = compare_records(people.records, block=["birth_year"], comparisons={"city": "exact"})
    frame = pairs.to_frame()
    assert list(frame.columns) == ["city"]
    assert frame.index.names == ["left", "right"]
    assert_array_equal(frame.to_numpy(), pairs.X)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"block": ["town"]}, "left has no column 'town'; its columns are name, city"),
        ({"block": "name"}, "block must be a list of rules"),
        ({"block": []}, "empty list"),
        ({"comparisons": {}}, "comparisons must be a dict"),
        ({"comparisons": {"name": "soundex"}}, "comparison of 'name' must be one of exact"),
        ({"comparisons": {"town": "exact"}}, "left has no column 'town'"),
        ({"comparisons": {"name": "numeric"}}, "'name' compares numbers"),
        ({"comparisons": {"name": "date"}}, "'name' compares dates"),
        ({"term_frequencies": ["city"]}, "term_frequencies names the comparison 'city'"),
        (
            {"block": ["city"], "max_pairs_of_key": 2},
            r"3 records have the key 'Rome', which makes 3",
        ),
        ({"max_pairs": 2}, r"Blocking makes 6 pairs \(all pairs: 6\), more than max_pairs=2"),
        ({"block": ["name"]}, r"no pairs: no two of the 4 records agree on a key \(block 'name'\)"),
    ],
)
def test_bad_input(settings, message):
    table = {"name": ["Ann", "Alf", "Bob", "Cas"], "city": ["Rome", "Rome", "Rome", "Oslo"]}
    with pytest.raises(ValueError, match=message):
        compare_records(table, **{"comparisons": EXACT, **settings})


def test_bad_tables():
    with pytest.raises(TypeError, match="left must be a table with named columns"):
        compare_records([["Ann"]], comparisons=EXACT)
    with pytest.raises(ValueError, match="columns of different lengths"):
        compare_records({"name": ["Ann"], "city": ["Rome", "Oslo"]}, comparisons=EXACT)
    with pytest.raises(ValueError, match="no two records"):
        estimate_u({"name": ["Ann"]}, comparisons=EXACT)
    with pytest.raises(ValueError, match="n_pairs must be an integer >= 1"):
        estimate_u({"name": ["Ann", "Bob"]}, comparisons=EXACT, n_pairs=0)
    with pytest.raises(ValueError, match="No random pair can be compared in 'name'"):
        estimate_u({"name": ["Ann", None]}, comparisons=EXACT, pseudo_count=0)
    with pytest.raises(ValueError, match="no pairs"):
        compare_records({"name": ["Ann"]}, comparisons=EXACT)


@pytest.mark.parametrize(
    "make",
    [
        lambda: JaroWinkler(thresholds=(0.9, 0.8)),
        lambda: JaroWinkler(thresholds=(0.0,)),
        lambda: JaroWinkler(thresholds=()),
        lambda: NumericDifference(limits=(-1,)),
        lambda: DateDifference(limits=("a",)),
    ],
)
def test_bad_thresholds(make):
    with pytest.raises(ValueError, match="must be"):
        make()


def test_without_rapidfuzz(monkeypatch):
    monkeypatch.setitem(sys.modules, "rapidfuzz", None)
    monkeypatch.setitem(sys.modules, "rapidfuzz.distance", None)
    with pytest.raises(ImportError, match=r'pip install "scikit-em\[linkage\]"'):
        compare_records({"name": ["Ann", "Bob"]}, comparisons={"name": "jaro_winkler"})
