"""The same bits for any parallelism, and after copying."""

import pickle
from copy import deepcopy

import numpy as np
import pytest
from joblib import parallel_config
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from emlearn import GaussianMixtureEM


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_same_bits_for_any_parallelism(covariance_type, dtype, same_bits):
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(9000, 3)) + 3.0 * rng.integers(0, 3, size=(9000, 1))).astype(dtype)
    mixture = GaussianMixtureEM(
        3, covariance_type=covariance_type, init_params="kmeans", n_init=3, random_state=0, tol=1e-3
    )
    alone = clone(mixture).fit(X)
    same_bits(alone, clone(mixture).set_params(n_jobs=2).fit(X))
    same_bits(alone, clone(mixture).set_params(n_jobs=-1).fit(X))
    for limit in (1, 2):
        with threadpool_limits(limit):
            other = clone(mixture).fit(X)
            same_bits(alone, other)
            assert_array_equal(alone.predict_proba(X), other.predict_proba(X))
            assert_array_equal(alone.score_samples(X), other.score_samples(X))


def test_same_bits_for_any_parallelism_by_default(blobs, same_bits):
    mixture = GaussianMixtureEM(3, n_init=3, random_state=0)
    same_bits(clone(mixture).fit(blobs), clone(mixture).set_params(n_jobs=2).fit(blobs))


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_same_bits_in_any_backend(backend, blobs, same_bits):
    mixture = GaussianMixtureEM(3, n_init=4, init_params="kmeans", random_state=0)
    alone = clone(mixture).fit(blobs)
    with parallel_config(backend=backend, n_jobs=2):
        same_bits(alone, clone(mixture).fit(blobs))
        same_bits(alone, clone(mixture).set_params(n_jobs=2).fit(blobs))


def test_seeds(blobs):
    mixture = GaussianMixtureEM(3, init_params="random_from_data", max_iter=2, tol=0)
    with pytest.warns(ConvergenceWarning):
        first = [mixture.set_params(random_state=s).fit(blobs).lower_bound_ for s in range(3)]
    with pytest.warns(ConvergenceWarning):
        again = [mixture.set_params(random_state=s).fit(blobs).lower_bound_ for s in range(3)]
    assert first == again
    assert len(set(first)) == 3
    state = np.random.RandomState(0)
    mixture.set_params(random_state=state)
    with pytest.warns(ConvergenceWarning):
        assert mixture.fit(blobs).lower_bound_ != mixture.fit(blobs).lower_bound_


def test_more_starts_are_never_worse(blobs):
    mixture = GaussianMixtureEM(4, init_params="random_from_data", random_state=0, tol=1e-3)
    few = mixture.set_params(n_init=2).fit(blobs)
    bound, first = few.lower_bound_, few.restarts_
    many = mixture.set_params(n_init=6).fit(blobs)
    assert len(many.restarts_) == 6
    # The first starts are the same ones.
    assert many.restarts_[:2] == first
    assert many.lower_bound_ >= bound


def test_pickle_and_clone(covariance_type, blobs, same_bits):
    mixture = GaussianMixtureEM(
        3, covariance_type=covariance_type, random_state=0, init_params=np.eye(3)[[0, 1, 2] * 50]
    )
    unfitted = pickle.loads(pickle.dumps(mixture))
    mixture.fit(blobs)
    copy = pickle.loads(pickle.dumps(mixture))
    same_bits(mixture, copy)
    assert_array_equal(mixture.predict_proba(blobs), copy.predict_proba(blobs))
    same_bits(mixture, clone(mixture).fit(blobs))
    same_bits(mixture, unfitted.fit(blobs))
    assert not hasattr(clone(mixture), "means_")
    assert "GaussianMixtureEM" in repr(mixture)
    # Small, because no data are kept.
    assert len(pickle.dumps(mixture)) < 20_000


@pytest.mark.parametrize("again", [deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize("name", ["covariances_", "precisions_", "precisions_cholesky_"])
def test_copies_of_matrices_cannot_be_changed_in_place_either(name, again):
    """A change of one form would not reach the others."""
    X = np.random.default_rng(0).normal(size=(50, 2))
    mixture = again(GaussianMixtureEM(1).fit(X))
    with pytest.raises(ValueError, match="read-only"):
        getattr(mixture, name)[...] = 2.0
