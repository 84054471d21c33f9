"""Which variances a heritability is made of."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from emlearn.mixed import LinearMixedModelEM, Pedigree


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    animal = np.repeat(np.arange(1, 61), 3)
    parents = np.where(np.arange(1, 61) > 20, rng.integers(1, 10, 60), 0)
    pedigree = Pedigree(np.arange(1, 61), parents, np.where(parents, parents + 10, 0))
    X = pd.DataFrame({"age": rng.normal(size=180), "animal": animal, "herd": animal % 7})
    X["a"], X["b"] = rng.normal(3, 2, size=(2, 180))
    return X, rng.normal(size=180), pedigree


def share(rows, groups, fixed, **parameters):
    X, y, pedigree = rows
    model = LinearMixedModelEM(groups, kinship={"animal": pedigree}, fixed=fixed, **parameters)
    found = model.fit(X, y)
    estimated = found.heritability(X, y)
    assert estimated.names == ("animal",)
    assert_allclose(estimated.estimate, found.heritability_, rtol=1e-12)
    return found.heritability_


def test_all_terms_count(rows):
    fixed = {"animal": 2.0, "herd": 1.0, "residual": 5.0}
    assert_allclose(share(rows, ["animal", "herd"], fixed), 2 / 8)


def test_slopes_count_where_their_columns_are_0(rows):
    fixed = {"animal": [[2.0, 0.5], [0.5, 1.0]], "residual": 6.0}
    assert_allclose(share(rows, ["animal"], fixed, random_slopes={"animal": ["age"]}), 2 / 8)


def test_a_term_of_slopes_alone_adds_nothing(rows):
    groups = {"animal": "animal", "slope": "animal"}
    slopes = {"random_slopes": {"slope": ["age"]}, "random_intercept": {"slope": False}}
    fixed = {"animal": 2.0, "slope": 3.0, "residual": 6.0}
    assert_allclose(share(rows, groups, fixed, **slopes), 2 / 8)


def test_columns_count_with_their_size(rows):
    X = rows[0]
    fixed = {"animal": 2.0, "z": 0.1, "residual": 6.0}
    added = 0.1 * np.mean(X["a"] ** 2 + X["b"] ** 2)
    assert_allclose(share(rows, ["animal"], fixed, Z={"z": ["a", "b"]}), 2 / (8 + added))


def test_slopes_alone_have_none(rows):
    X, y, pedigree = rows
    model = LinearMixedModelEM(
        "animal", random_slopes=["age"], random_intercept=False, kinship=pedigree
    ).fit(X, y)
    assert not hasattr(model, "heritability_")
    with pytest.raises(ValueError, match="no term with a kinship and intercepts"):
        model.heritability(X, y)
