"""Fits against the R package ltm on published data."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emlearn import ItemResponseEM
from emlearn.datasets import load_lsat6, load_science


@pytest.fixture(scope="module")
def published(reference):
    return reference("item_response")


def fit(model, X, **settings):
    return ItemResponseEM(model, tol=1e-10, random_state=0, **settings).fit(X)


def test_lsat6_2pl(published):
    # ltm has 21 Gauss-Hermite nodes, so it agrees to about five digits.
    X, values = load_lsat6().data, published["2pl_lsat6"]
    test = fit("2pl", X)
    assert_allclose(test.log_likelihood_, values["logLik"], atol=5e-6)
    assert_allclose(test.difficulty_, list(values["difficulty"].values()), rtol=1e-4)
    assert_allclose(test.discrimination_, list(values["discrimination"].values()), rtol=1e-4)
    found = test.inference(X).standard_errors
    expected = values["se"]
    for name, key in (("difficulty", "Dffclt"), ("discrimination", "Dscrmn")):
        errors = [expected[f"{key}.Item {j}"] for j in range(1, 6)]
        assert_allclose(found[name], errors, rtol=1e-3)


def test_lsat6_1pl(published):
    X, values = load_lsat6().data, published["rasch_lsat6"]
    test = fit("1pl", X)
    assert_allclose(test.log_likelihood_, values["logLik"], atol=5e-6)
    assert_allclose(test.discrimination_, values["coef"]["disc"], rtol=1e-4)
    assert_allclose(test.difficulty_, [values["coef"][f"Item {j}"] for j in range(1, 6)], rtol=1e-4)
    found = test.inference(X).standard_errors
    assert_allclose(found["discrimination"], values["se"]["Dscrmn"], rtol=1e-3)
    errors = [values["se"][f"Dffclt.Item {j}"] for j in range(1, 6)]
    assert_allclose(found["difficulty"], errors, rtol=1e-3)


def test_science_graded(published):
    values = published["grm_science"]
    test = fit("grm", load_science().data[:, [0, 2, 3, 6]])
    assert_allclose(test.log_likelihood_, values["logLik"], atol=5e-5)
    # Extremity parameters of the items in turn, then discriminations.
    expected = np.ravel(values["coef"])
    assert_allclose(test.thresholds_.T.ravel(), expected[:12], atol=1e-3)
    assert_allclose(test.discrimination_, expected[12:], atol=1e-3)


@pytest.mark.parametrize("model", ["grm", "gpcm"])
def test_binary_items_are_those_of_the_two_parameter_model(model):
    X = load_lsat6().data
    two, other = fit("2pl", X), fit(model, X)
    assert_allclose(other.log_likelihood_, two.log_likelihood_, atol=1e-6)
    assert_allclose(other.thresholds_[:, 0], two.difficulty_, rtol=1e-3)
