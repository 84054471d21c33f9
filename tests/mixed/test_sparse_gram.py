"""Sparse cross-products against dense matrices, compiled and in numpy."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import block_diag
from scipy.sparse import csc_array, csc_matrix

from emlearn.engine.errors import DegenerateModelError
from emlearn.kernels import compiled
from emlearn.mixed import _sparse_cholesky
from emlearn.mixed._gram import Layout
from emlearn.mixed._sparse_cholesky import SparsePattern, fill_reducing_order
from emlearn.mixed._sparse_gram import SparseGram

TREE = [(None, None)] * 3 + [(0, 1), (0, None), (3, 2), (3, 4), (5, 6), (7, 1), (7, 6), (None, 8)]


def pedigree_precision(parents):
    """Inverse of the relationship matrix, by Henderson's rules without inbreeding."""
    precision = np.zeros((len(parents), len(parents)))
    for animal, own in enumerate(parents):
        known = [parent for parent in own if parent is not None]
        row = np.zeros(len(parents))
        row[animal], row[known] = 1.0, -0.5
        precision += np.outer(row, row) / (1.0 - len(known) / 4.0)
    return precision


class Problem:
    """Random rows: terms of (index of levels, number of columns, precision or None)."""

    def __init__(self, terms, seed=0, data=True):
        rng = np.random.default_rng(seed)
        self.layouts, self.precisions, parts = [], [], []
        for index, q, levels in terms:
            precision = None if isinstance(levels, int) else levels
            L = levels if precision is None else len(levels)
            basis = rng.normal(size=(len(index), q)) if q > 1 else np.ones((len(index), 1))
            indicator = np.eye(L)[index]
            parts.append((indicator[:, :, None] * basis[:, None, :]).reshape(len(index), L * q))
            self.layouts.append(Layout(L, q))
            self.precisions.append(precision)
        Z = np.hstack(parts)
        self.G = Z.T @ (rng.random(len(Z))[:, None] * Z) if data else np.zeros([Z.shape[1]] * 2)
        self.factors = [np.tril(rng.normal(size=(q, q))) for _, q in self.layouts]

    def sparse(self):
        return SparseGram(
            csc_array(self.G),
            self.layouts,
            [csc_matrix(P) if P is not None else None for P in self.precisions],
            [np.linalg.slogdet(P)[1] if P is not None else 0.0 for P in self.precisions],
        )

    def dense(self, factors):
        self.P = [
            np.eye(n) if P is None else P
            for (n, _), P in zip(self.layouts, self.precisions, strict=True)
        ]
        T = block_diag(*(np.kron(np.eye(len(P)), T) for P, T in zip(self.P, factors, strict=True)))
        P = block_diag(*map(np.kron, self.P, (np.eye(q) for _, q in self.layouts)))
        return T.T @ self.G @ T + P, np.linalg.slogdet(P)[1]

    def check(self, gram, factors):
        M, log_det = self.dense(factors)
        inverse, found = np.linalg.inv(M), gram.factorize(factors)
        assert_allclose(found.log_det, np.linalg.slogdet(M)[1] - log_det, rtol=1e-10, atol=1e-10)
        for k in (0, 1, 3):
            right = np.random.default_rng(k).normal(size=(len(M), k))
            assert_allclose(found.solve(right), inverse @ right, rtol=1e-8, atol=1e-10)
        start = 0
        for (n, q), P, trace, blocks in zip(
            self.layouts, self.P, found.traces(), found.blocks(), strict=True
        ):
            own = inverse[start : start + n * q, start : start + n * q].reshape(n, q, n, q)
            start += n * q
            expected = np.einsum("kl,kalb->ab", P, own)
            assert_allclose(trace, expected, rtol=1e-9, atol=1e-11)
            assert_allclose(blocks, np.einsum("kakb->kab", own), rtol=1e-9, atol=1e-11)


def crossed(q=1, r=1):
    rng = np.random.default_rng(1)
    return [(rng.integers(15, size=80), q, 15), (rng.integers(9, size=80), r, 9)]


def nested():
    index = np.random.default_rng(2).integers(20, size=90)
    return [(index, 2, 20), (index % 4, 1, 4)]


def pedigree():
    P = pedigree_precision(TREE)
    index = np.arange(11).repeat(2)
    return [(index, 1, P), (index, 1, 11)]


TERMS = {
    "one term": lambda: [(np.arange(30) % 7, 1, 7)],
    "slopes": lambda: [(np.arange(40) % 9, 2, 9)],
    "crossed": crossed,
    "crossed with slopes": lambda: crossed(2, 3),
    "nested": nested,
    "pedigree": pedigree,
    "pedigree with slopes": lambda: [(np.arange(33) % 11, 2, pedigree_precision(TREE))],
    "one level": lambda: [(np.zeros(5, int), 1, 1)],
    "one level of each": lambda: [(np.zeros(5, int), 2, 1), (np.zeros(5, int), 1, 1)],
    "levels without rows": lambda: [(np.arange(12) % 3, 2, 6), (np.arange(12) % 4, 1, 9)],
}


@pytest.fixture(params=["compiled", "numpy"])
def kernels(request, monkeypatch):
    """With the kernels and without."""
    if request.param == "numpy":
        monkeypatch.setattr(_sparse_cholesky, "compiled", None)
    elif compiled is None:
        pytest.skip("the kernels were not built")


@pytest.fixture(params=[1e-9, 20.0, 1e9], ids=["all sparse", "usual", "all dense"])
def cost(request, monkeypatch):
    """Where the tail begins."""
    monkeypatch.setattr(_sparse_cholesky, "_SPARSE_COST", request.param)


@pytest.mark.usefixtures("kernels", "cost")
@pytest.mark.parametrize("name", TERMS)
def test_all_results_are_those_of_dense_matrices(name):
    problem = Problem(TERMS[name]())
    gram = problem.sparse()
    problem.check(gram, problem.factors)
    # Again with the same pattern; among the factors singular ones.
    problem.check(gram, [2.0 * np.abs(factor) for factor in problem.factors])
    problem.check(gram, [np.tril(np.ones_like(factor), -1) for factor in problem.factors])
    problem.check(gram, [np.zeros_like(factor) for factor in problem.factors])


@pytest.mark.usefixtures("kernels")
@settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.tuples(st.integers(1, 12), st.integers(1, 3), st.booleans()), min_size=1, max_size=3
    ),
    st.integers(1, 30),
    st.integers(0, 2**31),
)
def test_random_terms(terms, n, seed):
    rng = np.random.default_rng(seed)
    found = []
    for L, q, related in terms:
        parents = [tuple(rng.permutation(k)[:2].tolist()) for k in range(L)]
        found.append((rng.integers(L, size=n), q, pedigree_precision(parents) if related else L))
    problem = Problem(found, seed)
    problem.check(problem.sparse(), problem.factors)


@pytest.mark.usefixtures("kernels")
def test_effects_that_are_not_grouped():
    """A single level, all effects of which meet one another."""
    problem = Problem([(np.zeros(20, int), 6, 1), (np.arange(20) % 5, 1, 5)])
    problem.check(problem.sparse(), problem.factors)


@pytest.mark.usefixtures("kernels")
def test_levels_of_one_term_may_meet():
    """Rows of several levels of one term, as of members of groups."""
    problem = Problem([(np.arange(20) % 5, 2, 5)])
    Z = np.random.default_rng(5).normal(size=(20, 10)) * (np.arange(10) % 3 > 0)
    problem.G = Z.T @ Z
    problem.check(problem.sparse(), problem.factors)


def test_products_are_those_of_the_matrix():
    problem = Problem(nested())
    effects = np.random.default_rng(3).normal(size=(44, 2))
    assert_allclose(problem.sparse().multiply(effects), problem.G @ effects, rtol=1e-12)


@pytest.mark.usefixtures("kernels", "cost")
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e200], ids=str)
def test_factors_beyond_all_bounds_are_an_error(value):
    problem = Problem(crossed())
    with pytest.raises(DegenerateModelError, match="not positive definite"):
        problem.sparse().factorize([np.full((1, 1), value), np.ones((1, 1))])


@pytest.mark.usefixtures("kernels", "cost")
@pytest.mark.parametrize("value", [-3.0, 0.0])
def test_a_matrix_that_is_not_positive_definite_is_an_error(value):
    problem = Problem([(np.arange(6) % 3, 1, np.eye(3))], data=False)
    gram = problem.sparse()
    gram._pairs[0].precision[1] = value
    with pytest.raises(DegenerateModelError, match="not positive definite"):
        gram.factorize(problem.factors)


@pytest.mark.usefixtures("kernels")
def test_the_inverse_is_found_once_and_only_for_what_needs_it(monkeypatch):
    calls = []
    real = _sparse_cholesky.SparseCholesky.selected_inverse

    def count(self):
        calls.append(self)
        return real(self)

    monkeypatch.setattr(_sparse_cholesky.SparseCholesky, "selected_inverse", count)
    problem = Problem(pedigree())
    found = problem.sparse().factorize(problem.factors)
    found.solve(np.ones((22, 1)))
    assert calls == []
    found.traces()
    found.blocks()
    assert len(calls) == 1


def test_a_tree_is_eliminated_from_its_leaves():
    """Then nothing is filled in: each column of the factor has an entry for its parent alone."""
    rng = np.random.default_rng(6)
    names, size = rng.permutation(200), np.arange(200)
    children, parents = names[1:], names[(rng.random(199) * size[1:]).astype(int)]
    order = fill_reducing_order(200, children, parents)
    assert_array_equal(np.sort(order), size)
    pattern = SparsePattern(order, np.append(size, children), np.append(size, parents))
    assert pattern.n_sparse > 150
    assert_array_equal(np.diff(pattern.factor_starts), 1)


@pytest.mark.usefixtures("kernels", "cost")
def test_any_order_of_elimination_gives_the_same():
    rng = np.random.default_rng(7)
    matrix = 20.0 * np.eye(40)
    for i, j in rng.integers(40, size=(50, 2)):
        matrix[i, j] = matrix[j, i] = matrix[i, j] + 1.0
    rows, columns = np.nonzero(np.triu(matrix))
    pattern = SparsePattern(rng.permutation(40), rows, columns)
    found = pattern.factorize(matrix[rows, columns])
    inverse = np.linalg.inv(matrix)
    assert_allclose(found.log_det, np.linalg.slogdet(matrix)[1], rtol=1e-12)
    assert_allclose(found.solve(np.eye(40)), inverse, rtol=1e-10, atol=1e-14)
    # In either triangle.
    for i, j in ((rows, columns), (columns, rows)):
        entries = found.selected_inverse()[pattern.locate(i, j)]
        assert_allclose(entries, inverse[rows, columns], rtol=1e-10, atol=1e-14)


@pytest.mark.usefixtures("kernels")
def test_the_tail_is_where_the_factor_is_dense():
    """50 rows by themselves and a block of 40."""
    size, block = 90, np.arange(50, 90)
    rows, columns = (block[i] for i in np.triu_indices(40, 1))
    diagonal = np.arange(size)
    pattern = SparsePattern(
        np.arange(size), np.concatenate([diagonal, rows]), np.concatenate([diagonal, columns])
    )
    assert 50 <= pattern.n_sparse < 55
    assert pattern.factor_starts[50] == 0


@pytest.mark.usefixtures("kernels")
def test_pairs_beyond_32_bits_are_found():
    """More than 2^31 pairs of rows, of which one off the diagonal is not 0."""
    size = np.arange(50_000)
    rows, columns = np.append(size, 49_000), np.append(size, 49_001)
    pattern = SparsePattern(size, rows, columns)
    found = pattern.factorize(np.append(np.full(size.size, 2.0), 1.0))
    entries = found.selected_inverse()[pattern.locate(rows, columns)]
    expected = np.full(rows.size, 0.5)
    expected[[49_000, 49_001, -1]] = 2.0 / 3.0, 2.0 / 3.0, -1.0 / 3.0
    assert_allclose(entries, expected, rtol=1e-14)


@pytest.mark.parametrize("loaded", ["compiled", "numpy"])
@pytest.mark.usefixtures("kernels")
def test_a_factor_is_copied_and_pickled(loaded, monkeypatch):
    """Also by one who has no kernels, or has them."""
    matrix = csc_array(np.diag(np.arange(2.0, 8.0)) + 1.0)
    pattern = SparsePattern(np.arange(6), *np.nonzero(np.triu(np.ones((6, 6)))))
    factor = pattern.factorize(matrix.toarray()[np.triu_indices(6)])
    text = pickle.dumps(factor)
    monkeypatch.setattr(_sparse_cholesky, "compiled", compiled if loaded == "compiled" else None)
    right = np.arange(12.0).reshape(6, 2)
    expected = np.linalg.solve(matrix.toarray(), right)
    for same in (pickle.loads(text), copy.deepcopy(factor)):
        assert_allclose(same.solve(right), expected, rtol=1e-12)
