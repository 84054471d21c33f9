"""Factor analysis of covariance matrices: the M-step of factor structures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import minimize

from emlearn.distributions.gaussian.factor_profile import evaluate, slopes
from emlearn.distributions.gaussian.factor_update import (
    LEAST_NOISE,
    Factors,
    fit_factors,
    improve_factors,
)
from emlearn.distributions.gaussian.structures import (
    STRUCTURES,
    FactorCovariance,
    FullCovariance,
    find_structure,
)
from emlearn.engine import DegenerateModelError
from emlearn.testing import check_covariance_structure


def matrices(factors):
    d = factors.noise.shape[1]
    return factors.loadings @ factors.loadings.transpose(0, 2, 1) + (
        factors.noise[:, :, None] * np.eye(d)
    )


def discrepancy(sigma, covariance):
    log_det = np.linalg.slogdet(sigma)[1]
    return log_det + np.trace(np.linalg.solve(sigma, covariance), axis1=-2, axis2=-1)


def samples(seed, d, n=3, rows=200, k=2, noise=1.0):
    """Sample covariances of rows with k factors."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        X = rng.normal(size=(rows, k)) @ rng.normal(size=(k, d))
        X += np.sqrt(noise) * rng.normal(size=(rows, d))
        found.append(np.cov(X, rowvar=False))
    return np.array(found)


@pytest.mark.parametrize(("n_components", "n_features", "n_factors"), [
    (2, 4, 1), (4, 2, 1), (2, 6, 5), (1, 7, 3),
])  # fmt: skip
def test_structure_keeps_its_contract(n_components, n_features, n_factors):
    # The rows of the kit have no factors, so the noise of some columns is at its least. The
    # likelihood is flat there: a Newton step that gains nothing moves the covariance by 1e-5.
    check_covariance_structure(
        FactorCovariance(n_factors),
        n_components=n_components,
        n_features=n_features,
        random_state=1,
        rtol=1e-4,
    )


def test_the_kit_finds_m_steps_that_get_worse():
    class Worse(FactorCovariance):
        def update(self, weight, shift, second, ridge, before):
            return self.rescale(before, np.full(shift.shape[1], 1.1))

    with pytest.raises(AssertionError, match="update lowers the expected log-likelihood"):
        check_covariance_structure(Worse(1), rtol=1e-4)


@pytest.mark.parametrize(("d", "k"), [(5, 1), (6, 2), (8, 3)])
def test_fit_is_the_maximum_that_a_general_optimizer_finds(d, k):
    S = samples(d, d, n=1, k=k)[0]

    def value(vector):
        L, log_psi = vector[: d * k].reshape(d, k), vector[d * k :]
        return float(discrepancy(L @ L.T + np.diag(np.exp(log_psi)), S))

    rng = np.random.default_rng(0)
    best = min(
        minimize(value, rng.normal(size=d * k + d), options={"gtol": 1e-9}).fun for _ in range(4)
    )
    found = fit_factors(S[None], k)
    assert discrepancy(matrices(found), S[None])[0] <= best + 1e-8
    assert found.noise.min() > 0.1


@given(st.integers(0, 10_000), st.integers(3, 7), st.data())
def test_slopes_are_derivatives(seed, d, data):
    k = data.draw(st.integers(1, d - 1))
    rng = np.random.default_rng(seed)
    S = samples(seed, d, n=1)
    S /= np.sqrt(np.diagonal(S[0])[:, None] * np.diagonal(S[0]))
    x = np.log(rng.uniform(0.2, 0.9, (1, d)))
    point = evaluate(S, x, k)
    if np.abs(point.theta - 1.0).min() < 0.02 or np.diff(-point.theta).min() < 0.02:
        return  # the function is not smooth here
    gradient, hessian = slopes(point, k)
    h = 1e-5 * np.eye(d)
    ends = [[evaluate(S, x + s * e, k) for s in (1.0, -1.0)] for e in h]
    slope = [(up.value[0] - down.value[0]) / 2e-5 for up, down in ends]
    assert_allclose(gradient[0], slope, rtol=1e-5, atol=1e-6)
    curved = [(slopes(u, k)[0][0] - slopes(v, k)[0][0]) / 2e-5 for u, v in ends]
    assert_allclose(hessian[0], curved, rtol=1e-4, atol=1e-4)


@given(st.integers(0, 10_000), st.integers(2, 8), st.data())
def test_improving_never_gets_worse(seed, d, data):
    k = data.draw(st.integers(1, d - 1))
    rng = np.random.default_rng(seed)
    S = samples(seed, d, rows=int(rng.integers(d + 2, 60)))
    now = Factors(rng.normal(size=(3, d, k)), np.exp(rng.normal(size=(3, d)) * 2.0))
    value = discrepancy(matrices(now), S)
    for _ in range(5):
        now = improve_factors(S, now)
        last, value = value, discrepancy(matrices(now), S)
        assert (value <= last + 1e-9 * np.abs(last)).all()


def test_improving_ends_at_the_fit():
    S, k = samples(0, 7), 2
    now = Factors(np.ones((3, 7, k)), np.ones((3, 7)))
    for _ in range(10):
        now = improve_factors(S, now)
    assert_allclose(matrices(now), matrices(fit_factors(S, k)), rtol=1e-6)


def test_improving_turns_the_factors_as_little_as_possible():
    S = samples(0, 6)
    found = fit_factors(S, 2)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(2, 2)))[0]
    again = improve_factors(S, found._replace(loadings=found.loadings @ turn))
    assert_allclose(again.loadings, found.loadings @ turn, atol=1e-6)


def test_factors_do_not_depend_on_units():
    S, scale = samples(0, 6), np.exp2(np.arange(-3.0, 3.0))
    one, other = fit_factors(S, 2), fit_factors(S * scale[:, None] * scale, 2)
    assert_allclose(other.loadings, one.loadings * scale[:, None], rtol=1e-7, atol=1e-9)
    assert_allclose(other.noise, one.noise * scale**2, rtol=1e-7)


def test_d_minus_one_factors_are_a_full_matrix():
    S = samples(0, 5)
    assert_allclose(matrices(fit_factors(S, 4)), S, rtol=1e-5, atol=1e-6)


def test_noise_has_a_least_value():
    # Rows on a line: the first column is the factor.
    rng = np.random.default_rng(0)
    z = rng.normal(size=(50, 1))
    S = np.cov(np.hstack([z, z + rng.normal(size=(50, 3))]), rowvar=False)[None]
    found = fit_factors(S, 1)
    assert found.noise[0, 0] == pytest.approx(LEAST_NOISE * S[0, 0, 0])
    assert np.isfinite(matrices(found)).all()


def test_what_is_not_finite_is_an_error():
    with pytest.raises(DegenerateModelError, match="not finite"):
        fit_factors(np.full((1, 3, 3), np.nan), 1)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_number_of_parameters(k):
    structure, d = FactorCovariance(k), 9
    assert structure.n_parameters(3, d) == 3 * (d * k + d - k * (k - 1) // 2)
    assert FactorCovariance(d - 1).n_parameters(3, d) == FullCovariance().n_parameters(3, d)
    n = np.array([40.0])
    assert_allclose(FactorCovariance(d - 1).optimism(n, d), FullCovariance().optimism(n, d))


def test_structures_are_found_by_name_and_number():
    assert find_structure("factor", 2) == FactorCovariance(2)
    assert all(find_structure(name) is own for name, own in STRUCTURES.items())
    with pytest.raises(ValueError, match="needs the number of factors: set n_factors"):
        find_structure("factor")
    with pytest.raises(ValueError, match="n_factors=2 says nothing with covariance_type='full'"):
        find_structure("full", 2)
    with pytest.raises(ValueError, match="n_factors must be an int >= 1, got 0"):
        find_structure("factor", 0)
    with pytest.raises(ValueError, match=r"covariance_type must be one of .*'factor'"):
        find_structure("factors", 1)
