"""The model of topics: its contract, and a brute-force loop over all words."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.sparse import csr_array

from emlearn.engine import RemainingGain, run_em
from emlearn.testing import check_latent_variable_model
from emlearn.text._plsa_model import Stacked, TopicCounts, TopicModel, Topics


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def corpus(rng, n=12, v=9, k=3, length=30):
    documents, topics = rng.dirichlet(np.full(k, 0.3), n), rng.dirichlet(np.full(v, 0.3), k)
    return rng.poisson(length * documents @ topics).astype(float)


def brute_force(X, theta, phi, beta, alpha, eta, weight):
    """One EM step and the objective, by loops over documents, words and topics."""
    n, v = X.shape
    k = len(phi)
    of_documents, of_words = np.full((n, k), alpha), np.full((k, v), eta)
    objective = alpha * (weight[:, None] * np.log(theta)).sum() if alpha else 0.0
    objective += eta * np.log(phi).sum() if eta else 0.0
    for d in range(n):
        for w in range(v):
            if X[d, w]:
                joint = np.array([(theta[d, z] * phi[z, w]) ** beta for z in range(k)])
                objective += weight[d] * X[d, w] * np.log(joint.sum()) / beta
                q = joint / joint.sum()
                of_documents[d] += X[d, w] * q
                of_words[:, w] += weight[d] * X[d, w] * q
    theta = of_documents / of_documents.sum(axis=1, keepdims=True)
    return theta, of_words / of_words.sum(axis=1, keepdims=True), objective


SETTINGS = [(1.0, 0.0, 0.0), (0.7, 0.0, 0.0), (1.0, 0.3, 0.05), (0.8, 0.2, 0.1)]


@pytest.mark.parametrize(("beta", "alpha", "eta"), SETTINGS)
def test_steps_are_those_of_loops(rng, beta, alpha, eta):
    X, weight = corpus(rng), rng.random(12) + 0.5
    model = TopicModel(3, beta, alpha, eta)
    data = model.prepare(csr_array(X), weight)
    params = model.initialize(data, rng)
    theta, phi = params.documents, params.words.T
    for _ in range(4):
        statistics, value = model.e_step(data.blocks[0], model.precompute(params))
        objective = value + model.log_prior(params)
        params = model.m_step(statistics, params)
        theta, phi, expected = brute_force(X, theta, phi, beta, alpha, eta, weight)
        assert_allclose(objective, expected)
        assert_allclose(params.documents, theta, atol=1e-14)
        assert_allclose(params.words.T, phi, atol=1e-14)


class OfEntries(TopicModel):
    """The same with (document, word, count) as observations, which can be repeated."""

    def prepare(self, X, sample_weight=None):
        weight = np.ones(len(X)) if sample_weight is None else sample_weight
        rows, columns = X[:, :2].astype(int).T
        matrix = csr_array((X[:, 2] * weight, (rows, columns)), shape=(60, 9))
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        return super().prepare(matrix)

    def e_step(self, block, params):
        statistics, value = super().e_step(block, params)
        documents = np.zeros_like(params.documents)
        documents[block.documents] = statistics.documents.rows()
        value -= self._document_log_prior(params.plain[block.documents], None)
        return TopicCounts(documents, statistics.words), value

    def log_prior(self, params):
        return super().log_prior(params) + self._document_log_prior(params.documents, None)

    def m_step(self, statistics, params):
        stacked = Stacked((statistics.documents,))
        return super().m_step(TopicCounts(stacked, statistics.words), params)

    def score(self, statistics, params):
        stacked = Stacked((statistics.documents,))
        return super().score(TopicCounts(stacked, statistics.words), params)


@pytest.mark.parametrize(("beta", "alpha", "eta"), SETTINGS)
def test_contract(rng, beta, alpha, eta, monkeypatch):
    monkeypatch.setattr("emlearn.text._plsa_model._WORTH", 500.0)
    monkeypatch.setattr("emlearn.text._plsa_model._ENTRIES_PER_WORD", 8)
    X = corpus(rng, n=60)
    rows, columns = np.nonzero(X)
    entries = np.column_stack([rows, columns, X[rows, columns]])
    model = OfEntries(3, beta, alpha, eta)
    assert len(model.prepare(entries).blocks) > 1
    check_latent_variable_model(
        model, entries, sample_weight=np.ones(len(entries)), rtol=1e-7, max_iter=20_000
    )


def fitted(model, X, weight, start):
    data = model.prepare(csr_array(X), weight)
    return run_em(model, data, start, convergence=RemainingGain(1e-13), max_iter=40)


def test_weights_of_documents_are_copies(rng):
    X, weight = corpus(rng), rng.integers(1, 4, 12)
    model = TopicModel(3, 0.9, 0.2, 0.01)
    index = np.repeat(np.arange(12), weight)
    words = rng.dirichlet(np.ones(9), 3).T
    once = fitted(model, X, weight.astype(float), Topics(np.full((12, 3), 1 / 3), words))
    more = fitted(model, X[index], None, Topics(np.full((len(index), 3), 1 / 3), words))
    assert_allclose(once.objective, more.objective)
    assert_allclose(once.params.words, more.params.words, atol=1e-10)
    assert_allclose(once.params.documents[index], more.params.documents, atol=1e-10)


def test_order_of_documents_and_of_words_does_not_matter(rng):
    X, model = corpus(rng), TopicModel(3)
    words = rng.dirichlet(np.ones(9), 3).T
    rows, columns = rng.permutation(12), rng.permutation(9)
    one = fitted(model, X, None, Topics(np.full((12, 3), 1 / 3), words))
    other = fitted(
        model, X[rows][:, columns], None, Topics(np.full((12, 3), 1 / 3), words[columns])
    )
    assert_allclose(one.objective, other.objective)
    assert_allclose(one.params.words[columns], other.params.words, atol=1e-10)
    assert_allclose(one.params.documents[rows], other.params.documents, atol=1e-10)
