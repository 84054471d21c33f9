"""Relationships by pedigrees, against the tabular method."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import issparse

from emlearn.mixed import Pedigree

# Mrode, R. A. (2014). Linear Models for the Prediction of Animal Breeding Values, 3rd ed. CABI.
# Table 2.1, whose matrix of relationships is printed there, and the pedigree of example 3.1.
CHAPTER_2 = [(1, 0, 0), (2, 0, 0), (3, 1, 2), (4, 1, 0), (5, 4, 3), (6, 5, 2)]
CHAPTER_2_RELATIONSHIPS = [
    [1.0, 0.0, 0.5, 0.5, 0.5, 0.25],
    [0.0, 1.0, 0.5, 0.0, 0.25, 0.625],
    [0.5, 0.5, 1.0, 0.25, 0.625, 0.5625],
    [0.5, 0.0, 0.25, 1.0, 0.625, 0.3125],
    [0.5, 0.25, 0.625, 0.625, 1.125, 0.6875],
    [0.25, 0.625, 0.5625, 0.3125, 0.6875, 1.125],
]
EXAMPLE_3_1 = [(4, 1, 0), (5, 3, 2), (6, 1, 2), (7, 4, 5), (8, 3, 6)]


def columns(rows):
    return [list(column) for column in zip(*rows, strict=True)]


def tabular(rows):
    """Relationships of 1, 2 ... by the rules of the textbook; parents come first."""
    n = len(rows)
    found = np.zeros((n + 1, n + 1))
    for animal, sire, dam in rows:
        found[animal, :animal] = (found[sire, :animal] + found[dam, :animal]) / 2
        found[:animal, animal] = found[animal, :animal]
        found[animal, animal] = 1 + found[sire, dam] / 2
        found[0] = found[:, 0] = 0
    return found[1:, 1:]


@st.composite
def pedigrees(draw):
    n = draw(st.integers(1, 25))
    recent = st.integers(1, 6)
    parent = st.one_of(st.just(0), recent)
    rows = []
    for animal in range(1, n + 1):
        sire, dam = (max(0, animal - back) if back else 0 for back in (draw(parent), draw(parent)))
        rows.append((animal, sire, dam))
    return rows, draw(st.permutations(range(n)))


def test_published_relationships():
    pedigree = Pedigree(*columns(CHAPTER_2))
    assert_allclose(pedigree.relationship(), CHAPTER_2_RELATIONSHIPS, rtol=1e-15)
    assert_array_equal(pedigree.inbreeding, [0, 0, 0, 0, 0.125, 0.125])
    assert_array_equal(pedigree.diagonal(), np.diag(CHAPTER_2_RELATIONSHIPS))


def test_parents_without_a_row_are_founders():
    pedigree = Pedigree(*columns(EXAMPLE_3_1))
    assert pedigree.levels.tolist() == [4, 5, 6, 7, 8, 1, 3, 2]
    full = tabular([(1, 0, 0), (2, 0, 0), (3, 0, 0), *EXAMPLE_3_1])
    places = pedigree.levels - 1
    assert_allclose(pedigree.relationship(), full[np.ix_(places, places)], rtol=1e-15)
    assert_allclose(pedigree.precision() @ pedigree.relationship(), np.eye(8), atol=1e-14)
    assert pedigree.positions(np.array([1, 9, 4])).tolist() == [5, -1, 0]


@settings(max_examples=150, deadline=None)
@given(pedigrees())
def test_any_pedigree_in_any_order(drawn):
    rows, order = drawn
    expected = tabular(rows)[np.ix_(order, order)]
    pedigree = Pedigree(*columns([rows[i] for i in order]))
    assert_allclose(pedigree.relationship(), expected, rtol=1e-13, atol=1e-15)
    assert_allclose(pedigree.inbreeding, np.diag(expected) - 1, rtol=1e-13, atol=1e-15)
    assert pedigree.has_precision
    precision = pedigree.precision()
    assert issparse(precision)
    assert precision.format == "csc"
    size = abs(precision).max()
    assert_allclose(precision @ expected / size, np.eye(len(rows)) / size, atol=1e-13)
    sign, log_det = np.linalg.slogdet(expected)
    assert sign == 1
    assert_allclose(pedigree.log_det_precision(), -log_det, rtol=1e-9, atol=1e-9)


def test_blocks_of_sires(monkeypatch):
    rng = np.random.default_rng(0)
    rows = [(i, 0, 0) for i in range(1, 41)]
    for animal in range(41, 321):
        first = animal - 40 - (animal - 41) % 40
        rows.append((animal, *(first + rng.integers(0, 40, 2)).tolist()))
    monkeypatch.setattr("emlearn.mixed._gene_flow._BLOCK", 1)
    assert_allclose(Pedigree(*columns(rows)).inbreeding, np.diag(tabular(rows)) - 1, rtol=1e-13)


def test_selfing():
    lines = [(1, 0, 0), *((i, i - 1, i - 1) for i in range(2, 61))]
    few = Pedigree(*columns(lines[:6]))
    assert_array_equal(few.inbreeding, 1 - 0.5 ** np.arange(6))
    assert_allclose(few.precision() @ few.relationship(), np.eye(6), atol=1e-12)
    many = Pedigree(*columns(lines))
    assert not many.has_precision
    assert_allclose(many.relationship(), tabular(lines), rtol=1e-15)
    for method in (many.precision, many.log_det_precision):
        with pytest.raises(ValueError, match=r"The parents of 5\d are completely inbred"):
            method()


@pytest.mark.parametrize(
    "missing", [None, np.nan, "", "0", 0, " ", " 0 ", ".", "*", "NA", "nan"], ids=repr
)
def test_unknown_parents(missing):
    pedigree = Pedigree(["b", "a", "c"], [missing, missing, "a"], [missing, missing, "b"])
    assert pedigree.levels.tolist() == ["b", "a", "c"]
    assert_array_equal(pedigree.relationship()[2], [0.5, 0.5, 1])


def test_other_codes_of_unknown_parents():
    pedigree = Pedigree([0, 1, 2], [-9, -9, 0], [-9, -9, 1], unknown=[-9])
    assert_array_equal(pedigree.relationship()[2], [0.5, 0.5, 1])
    with pytest.raises(TypeError, match=r"such as \['NA'\]"):
        Pedigree(["a"], ["NA"], ["NA"], unknown="NA")


def test_pandas():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(CHAPTER_2, columns=["id", "sire", "dam"]).iloc[::-1]
    as_floats = frame.replace({"sire": {0: np.nan}})
    nullable = as_floats.astype("Int64")
    for table in (frame, as_floats, nullable, frame.astype(str)):
        pedigree = Pedigree.from_frame(table, animal="id")
        assert pedigree.levels.tolist() == table["id"].tolist()
        assert_allclose(pedigree.relationship()[::-1, ::-1], CHAPTER_2_RELATIONSHIPS, rtol=1e-15)
    founder = Pedigree.from_frame(as_floats.query("id == 3"), "id").levels
    assert founder.dtype.kind == "i"
    assert founder.tolist() == [3, 1, 2]
    categories = frame.astype(str).astype("category")
    assert_array_equal(Pedigree.from_frame(categories, "id").inbreeding, pedigree.inbreeding)
    with pytest.raises(ValueError, match=r"no column 'animal' in frame.* animal="):
        Pedigree.from_frame(frame)
    with pytest.raises(TypeError, match="not list"):
        Pedigree.from_frame(CHAPTER_2)


def test_polars():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame(CHAPTER_2, schema=["animal", "father", "mother"], orient="row")
    frame = frame.with_columns(pl.col("father").replace(0, None))
    pedigree = Pedigree.from_frame(frame, sire="father", dam="mother")
    assert_allclose(pedigree.relationship(), CHAPTER_2_RELATIONSHIPS, rtol=1e-15)


def test_repeated_rows():
    rows = [*CHAPTER_2, CHAPTER_2[4]]
    assert Pedigree(*columns(rows)).levels.tolist() == [1, 2, 3, 4, 5, 6]
    with pytest.raises(ValueError, match=r"5 is listed twice .*: \(4, 3\) and \(4, 2\)"):
        Pedigree(*columns([*CHAPTER_2, (5, 4, 2)]))


@pytest.mark.parametrize(
    ("animal", "sire", "dam", "error", "message"),
    [
        (["a"], ["a"], [None], ValueError, "'a' is its own parent"),
        (
            ["d", "a", "b", "c"],
            ["a", "b", None, None],
            [None, None, "c", "a"],
            ValueError,
            "'a' is its own ancestor: the pedigree has the loop 'a' <- 'b' <- 'c' <- 'a'",
        ),
        (["a", None], ["b", "b"], ["c", "c"], ValueError, "animal in row 1 is None"),
        ([1, 0], [0, 0], [0, 0], ValueError, "animal in row 1 is 0, which stands for"),
        (["1", "2"], [0, 1], [0, 0], ValueError, "animal in row 0 is '1' and sire in row 1 is 1"),
        ([b"a"], [None], [None], TypeError, "Identifiers are text or numbers"),
        (
            ["a", "b"],
            ["", "a "],
            ["", ""],
            ValueError,
            "sire in row 1 is 'a ', .* from 'a' only by",
        ),
        ([1, 2], [0], [0, 0], ValueError, "'sire': 1"),
        ([], [], [], ValueError, "empty"),
        ("animal", "sire", "dam", TypeError, "animal must be a column of identifiers"),
        ([1, 2], [[0], [1]], [0, 0], TypeError, "sire must be a column of identifiers"),
    ],
    ids=[
        "parent",
        "loop",
        "missing",
        "zero",
        "mixed",
        "bytes",
        "padded",
        "lengths",
        "empty",
        "names",
        "2d",
    ],
)
def test_pedigrees_that_are_refused(animal, sire, dam, error, message):
    with pytest.raises(error, match=message):
        Pedigree(animal, sire, dam)


def test_a_long_loop_is_abridged():
    animals = list(range(1, 101))
    with pytest.raises(ValueError, match=r"1 <- 2 <- 3 .* <- \.\.\. <- .* <- 100 <- 1,"):
        Pedigree(animals, [*animals[1:], 1], [0] * 100)
