"""What is given is not changed; how it is given does not matter."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from emlearn import GaussianMixtureEM

PARAMETERS = ["weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"]


def test_nothing_given_is_changed(covariance_type, blobs, naive):
    resp = np.random.default_rng(0).dirichlet([1.0] * 3, size=len(blobs))
    weight = np.random.default_rng(1).random(len(blobs))
    weight[:4] = 0.0
    weights, means, covariances = naive.m_step(blobs, resp, covariance_type)
    precisions = (
        np.linalg.inv(covariances) if covariance_type in ("full", "tied") else 1 / covariances
    )
    arrays = [blobs, weight, resp, weights, means, precisions]
    copies = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    mixture = GaussianMixtureEM(
        3, covariance_type=covariance_type, init_params=resp, weights_init=weights,
        means_init=means, precisions_init=precisions,
    )  # fmt: skip
    mixture.fit(blobs, sample_weight=weight)
    for method in (mixture.predict, mixture.predict_proba, mixture.score_samples, mixture.bic):
        method(blobs)
    mixture.score(blobs, sample_weight=weight)
    for array, copy in zip(arrays, copies, strict=True):
        assert_array_equal(array, copy)
    # The attributes belong to the estimator alone.
    for name in PARAMETERS:
        value = getattr(mixture, name)
        assert not any(np.shares_memory(value, array) for array in arrays)
        value.flags.writeable = True
        assert value.dtype == np.float64


def test_layouts_and_types_of_rows(covariance_type, blobs, tmp_path, same_bits):
    np.save(tmp_path / "rows.npy", blobs)
    mixture = GaussianMixtureEM(
        3, covariance_type=covariance_type, init_params="kmeans", random_state=0
    )
    plain = clone(mixture).fit(blobs)
    wide = np.empty((len(blobs), 4))
    wide[:, ::2] = blobs
    for X in (
        np.asfortranarray(blobs),
        wide[:, ::2],
        blobs[::-1][::-1],
        blobs.tolist(),
        np.load(tmp_path / "rows.npy", mmap_mode="r"),
        blobs.astype(">f8"),
        blobs.astype(object),
    ):
        other = clone(mixture).fit(X)
        for name in PARAMETERS:
            assert_allclose(getattr(other, name), getattr(plain, name), rtol=1e-7, atol=1e-9)
        assert_allclose(other.score_samples(X), plain.score_samples(blobs), rtol=1e-9)
    whole = np.rint(blobs).astype(int)
    same_bits(clone(mixture).fit(whole), clone(mixture).fit(whole.astype(float)))
    assert clone(mixture).fit(whole).means_.dtype == np.float64


def test_single_precision(covariance_type, groups):
    mixture = GaussianMixtureEM(
        2, covariance_type=covariance_type, init_params="kmeans", random_state=0
    )
    blobs = groups * 50.0 + 1000.0
    X = blobs.astype(np.float32)
    exact = clone(mixture).fit(X.astype(np.float64))
    single = clone(mixture).fit(X)
    for name in PARAMETERS:
        assert getattr(single, name).dtype == np.float64
    assert single.predict_proba(X).dtype == np.float32
    assert single.score_samples(X).dtype == np.float32
    assert isinstance(single.score(X), float)
    assert single.log_likelihood_ == pytest.approx(exact.log_likelihood_, abs=2e-3)
    assert_allclose(single.weights_, exact.weights_, atol=1e-4)
    assert_allclose(single.means_, exact.means_, rtol=1e-5)
    assert_allclose(single.covariances_, exact.covariances_, rtol=1e-3, atol=0.1)
    assert_allclose(single.score_samples(X), exact.score_samples(blobs), atol=2e-3)
    # Rows of the other precision.
    assert single.predict_proba(blobs).dtype == np.float64
    assert exact.predict_proba(X).dtype == np.float32
    assert_allclose(exact.predict_proba(X), exact.predict_proba(blobs), atol=1e-4)


def test_single_precision_sums_many_rows():
    """Statistics of blocks are added in double precision."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200_000, 2)).astype(np.float32) + np.float32(100.0)
    mixture = GaussianMixtureEM(reg_covar=0).fit(X)
    exact = X.astype(np.float64)
    assert_allclose(mixture.means_[0], exact.mean(axis=0), rtol=2e-7)
    assert_allclose(mixture.covariances_[0], np.cov(exact.T, bias=True), atol=5e-6)
    assert mixture.score(X) == pytest.approx(GaussianMixtureEM(reg_covar=0).fit(exact).score(X))
