"""Relationships by genotypes, against the formulas."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from emlearn.mixed import Genotypes

SHAPES = {"narrow": (30, 12), "wide": (20, 90)}


def simulated(shape, seed=0, missing=0.0):
    rng = np.random.default_rng(seed)
    table = rng.binomial(2, rng.uniform(0.2, 0.8, shape[1]), shape).astype(float)
    table[:, 3] = 1
    table[rng.random(shape) < missing] = np.nan
    return table


def vanraden(table):
    """Method 1 of VanRaden (2008), without missing genotypes."""
    frequencies = table.mean(axis=0) / 2
    polymorphic = np.ptp(table, axis=0) > 0
    centered = (table - 2 * frequencies)[:, polymorphic]
    frequencies = frequencies[polymorphic]
    return centered @ centered.T / (2 * np.sum(frequencies * (1 - frequencies)))


@pytest.fixture(params=[1, 1 << 23], ids=["marker_by_marker", "one_block"])
def block(request, monkeypatch):
    monkeypatch.setattr("emlearn.mixed._genotypes._BLOCK", request.param)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("missing", [0.0, 0.1], ids=["complete", "missing"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_relationships(shape, missing):
    table = simulated(shape, missing=missing)
    filled = SimpleImputer().fit_transform(table)
    genotypes = Genotypes(table)
    assert_array_equal(genotypes.polymorphic, np.ptp(filled, axis=0) > 0)
    assert_allclose(genotypes.relationship(), vanraden(filled), atol=1e-13)
    assert_allclose(genotypes.diagonal(), np.diag(vanraden(filled)), rtol=1e-12)
    standard = StandardScaler().fit_transform(filled[:, genotypes.polymorphic])
    expected = standard @ standard.T / standard.shape[1]
    for values in (table, 3 * table - 1):
        scaled = Genotypes(values, scaling="standardized")
        assert_allclose(scaled.relationship(), expected, atol=1e-13)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("scaling", ["vanraden", "standardized"])
def test_marker_effects_are_those_of_ridge_regression(shape, scaling):
    table = simulated(shape)
    genotypes = Genotypes(table, scaling=scaling)
    y = np.random.default_rng(1).normal(size=shape[0])
    centered = y - y.mean()
    covariance = genotypes.relationship()
    effects = covariance @ np.linalg.solve(covariance + 0.7 * np.eye(len(y)), centered)
    found = genotypes.marker_effects(effects)
    assert found.shape == (shape[1],)
    assert found[3] == 0
    assert_allclose((table - table.mean(axis=0)) @ found, effects, atol=1e-10)
    if scaling == "vanraden":
        frequencies = table[:, genotypes.polymorphic].mean(axis=0) / 2
        penalty = 0.7 * 2 * np.sum(frequencies * (1 - frequencies))
        assert_allclose(found, Ridge(penalty, tol=1e-14).fit(table, y).coef_, atol=1e-10)
    both = genotypes.marker_effects(np.column_stack((effects, -2 * effects)))
    assert_allclose(both, np.column_stack((found, -2 * found)), atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_copies_of_markers_share_an_effect(shape):
    table = simulated(shape)
    table[:, 1] = table[:, 0]
    genotypes = Genotypes(table)
    found = genotypes.marker_effects(genotypes.relationship()[0])
    assert_allclose(found[0], found[1], rtol=1e-9)
    assert found[0] != 0


def test_copies_of_individuals():
    table = simulated((20, 90))
    table[1] = table[0]
    genotypes = Genotypes(table)
    assert_allclose(genotypes.relationship(), vanraden(table), atol=1e-13)
    effects = genotypes.relationship() @ np.arange(20.0)
    found = genotypes.marker_effects(effects)
    assert_allclose((table - table.mean(axis=0)) @ found, effects, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("dtype", ["int8", "float32", "uint16", "object"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_types(dtype, order):
    table = simulated((20, 90))
    typed = table.astype(dtype, order=order)
    genotypes = Genotypes(typed)
    assert dtype == "object" or np.shares_memory(genotypes._table, typed)
    assert_allclose(genotypes.relationship(), vanraden(table), atol=1e-13)


@pytest.mark.parametrize("exact", [1 << 24, 100], ids=["float32", "too many for float32"])
def test_common_alleles_lose_no_digits(exact, monkeypatch):
    monkeypatch.setattr("emlearn.mixed._genotypes._EXACT", exact)
    table = np.full((30, 400), 2, np.int8)
    table[np.arange(30), np.arange(30)] = 1
    table[3, 5] = 0
    assert_allclose(Genotypes(table).relationship(), vanraden(table), rtol=1e-13, atol=1e-15)


def test_relationships_cannot_be_changed():
    genotypes = Genotypes(simulated((20, 90)))
    with pytest.raises(ValueError, match="read-only"):
        genotypes.relationship()[0, 0] = 1.0


def test_masked_arrays_and_lists():
    table = simulated((20, 12))
    masked = np.ma.masked_equal(table.astype(np.int8), 2)
    with_nan = np.where(table == 2, np.nan, table)
    lists = [[None if value != value else value for value in row] for row in with_nan.tolist()]
    expected = Genotypes(with_nan).relationship()
    for values in (masked, lists):
        assert_allclose(Genotypes(values).relationship(), expected, rtol=1e-12, atol=1e-15)


def test_pandas():
    pd = pytest.importorskip("pandas")
    table = simulated((20, 12), missing=0.1)
    names = [f"animal {i}" for i in range(20)]
    frame = pd.DataFrame(table, names).add_prefix("snp")
    expected = Genotypes(table).relationship()
    with_column = frame.reset_index(names="id")
    for genotypes in (
        Genotypes(frame),
        Genotypes(frame.astype("Int8")),
        Genotypes(with_column, individuals="id"),
        Genotypes(table, individuals=names),
        Genotypes(table, individuals=frame.index),
    ):
        assert genotypes.levels.tolist() == names
        assert_allclose(genotypes.relationship(), expected, rtol=1e-12, atol=1e-15)
    assert Genotypes(table).levels.tolist() == list(range(20))


def test_polars():
    pl = pytest.importorskip("polars")
    table = simulated((20, 12))
    frame = pl.DataFrame(table).with_columns(id=pl.Series(range(100, 120)))
    genotypes = Genotypes(frame, individuals="id")
    assert genotypes.levels.tolist() == list(range(100, 120))
    assert_allclose(genotypes.relationship(), vanraden(table), atol=1e-13)


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        ([[0, 1], [3, 1]], {}, "Column 0 of the genotypes has values from 0 to 3.*standardized"),
        ([[0, -9], [1, 2]], {}, "Column 1 of the genotypes has values from -9 to 2.* NaN"),
        ([[0, np.inf], [1, 2]], {}, "Column 1 of the genotypes is infinite in row 0"),
        ([[1, 2], [1, 2]], {}, "All markers are constant"),
        ([[np.nan, np.nan], [1, 2]], {}, "All markers are constant"),
        (
            [["A", "T"], ["T", "A"]],
            {},
            "Text in column 0 of the genotypes, row 0.* count the copies",
        ),
        ([[-1, 0], [1, 1]], {}, "Column 0 .* from -1 to 1.* add 1 to the codes -1, 0, 1"),
        ([[0, 1], [1, 1]], {"individuals": ["a"]}, "has 1 identifiers, but the table has 2 rows"),
        ([[0, 1], [1, 1]], {"individuals": ["a", "a"]}, "Two individuals are named 'a'"),
        ([[0, 1], [1, 1]], {"scaling": "yang"}, "'vanraden' or 'standardized', not 'yang'"),
        (np.empty((0, 3)), {}, "is empty"),
        ([0, 1, 2], {}, "Expected 2D array"),
    ],
)
def test_tables_that_are_refused(table, options, message):
    with pytest.raises(ValueError, match=message):
        Genotypes(table, **options)


def test_names_in_messages():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"snp1": [0, 5], "snp2": [1, 2]}, ["a", "b"])
    with pytest.raises(ValueError, match="Column 'snp1' of the genotypes has values from 0 to 5"):
        Genotypes(frame)
    with pytest.raises(ValueError, match="'id' is not a column"):
        Genotypes(frame, individuals="id")


@pytest.mark.parametrize(
    ("effects", "message"),
    [([1.0], "needs 20 rows"), ([np.nan] * 20, "NaN or infinity"), (1.0, "needs 20 rows")],
)
def test_effects_that_are_refused(effects, message):
    with pytest.raises(ValueError, match=message):
        Genotypes(simulated((20, 12))).marker_effects(effects)
