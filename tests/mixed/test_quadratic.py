"""Quadratic forms of the inverse of the mixed-model equations, against dense inverses."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.sparse import csr_array, identity

from emlearn.mixed import LinearMixedModelEM, Pedigree
from emlearn.mixed._block_gram import BlockGram
from emlearn.mixed._gram import Layout
from emlearn.mixed._sparse_gram import SparseGram

LAYOUTS = [Layout(30, 2), Layout(12, 1)]


@pytest.fixture
def crossed():
    """Factorization, its dense inverse, and the design of its rows."""
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 30, 50), rng.integers(0, 12, 50)
    design = np.zeros((50, 72))
    design[np.arange(50), 2 * first], design[np.arange(50), 2 * first + 1] = 1, rng.normal(size=50)
    design[np.arange(50), 60 + second] = 1
    gram = SparseGram(csr_array(design.T @ design), LAYOUTS, [None, identity(12)], [0.0, 0.0])
    factors = [np.array([[0.5, 0.1], [0.1, 0.7]]), np.array([[1.5]])]
    left = np.kron(np.eye(30), factors[0])
    whole = np.block([[left, np.zeros((60, 12))], [np.zeros((12, 60)), 1.5 * np.eye(12)]])
    inverse = np.linalg.inv(whole.T @ design.T @ design @ whole + np.eye(72))
    return gram.factorize(factors), inverse, design


def of_rows(rows, inverse):
    return np.einsum("ij,jk,ik->i", rows, inverse, rows)


def test_rows_of_the_equations_need_no_solution(crossed, monkeypatch):
    found, inverse, design = crossed
    monkeypatch.setattr(type(found), "solve", None)
    assert_allclose(found.quadratic(csr_array(design)), of_rows(design, inverse), rtol=1e-12)


def test_other_pairs_of_levels(crossed):
    found, inverse, _ = crossed
    rows = np.zeros((360, 72))
    rows[np.arange(360), np.arange(360) // 12 * 2] = -0.3
    rows[np.arange(360), 60 + np.arange(360) % 12] = 2.0
    assert np.isnan(found.entries(np.arange(360) // 12 * 2, 60 + np.arange(360) % 12)).any()
    assert_allclose(found.quadratic(csr_array(rows)), of_rows(rows, inverse), rtol=1e-12)


@pytest.mark.parametrize("n_effects", [0, 1, 5, 72])
def test_rows_of_any_length(crossed, n_effects):
    found, inverse, _ = crossed
    rows = np.random.default_rng(1).normal(size=(4, 72)) * (np.arange(72) < n_effects)
    expected = of_rows(rows, inverse)
    assert_allclose(found.quadratic(csr_array(rows)), expected, rtol=1e-12, atol=1e-15)


def test_blocks(monkeypatch):
    rng = np.random.default_rng(2)
    blocks = rng.normal(size=(6, 2, 2))
    blocks = blocks @ blocks.transpose(0, 2, 1)
    factor = np.array([[0.5, 0.1], [0.1, 0.7]])
    found = BlockGram(blocks, [Layout(6, 2)], None, None).factorize([factor])
    inverse = np.zeros((12, 12))
    for i, block in enumerate(blocks):
        own = slice(2 * i, 2 * i + 2)
        inverse[own, own] = np.linalg.inv(factor @ block @ factor + np.eye(2))
    rows = rng.normal(size=(5, 12))
    monkeypatch.setattr(type(found), "solve", None)
    assert_allclose(found.quadratic(csr_array(rows)), of_rows(rows, inverse), rtol=1e-12)


def test_errors_of_many_animals_are_linear_in_their_number(monkeypatch):
    """One solution of the equations for each animal would make them quadratic."""
    rng = np.random.default_rng(3)
    animal = np.arange(1, 301)
    sire = np.where(animal > 60, rng.integers(1, 20, 300), 0)
    dam = np.where(animal > 60, rng.integers(20, 61, 300), 0)
    X = pd.DataFrame({"animal": animal, "x": rng.normal(size=300)})
    model = LinearMixedModelEM("animal", kinship=Pedigree(animal, sire, dam))
    model.fit(X, rng.normal(size=300))
    monkeypatch.setattr(type(model._uncertainty.factorization), "solve", None)
    _, std = model.predict(X, return_std=True)
    assert std.shape == (300,)
