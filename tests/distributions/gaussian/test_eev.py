"""EEV: common volume and shape, own orientation."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.datasets import load_iris

from emlearn import FiniteMixtureEM, GaussianMixtureEM, HiddenMarkovEM
from emlearn.datasets import load_old_faithful
from emlearn.distributions import Gaussian
from emlearn.distributions.gaussian.structures import STRUCTURES
from emlearn.engine import DegenerateModelError
from emlearn.testing import check_family

EEV = STRUCTURES["EEV"]
DATA = {"faithful": load_old_faithful().data, "iris": load_iris().data}


def spread(covariances):
    """Largest relative difference of the eigenvalues of components."""
    values = np.linalg.eigvalsh(covariances)
    return np.ptp(values, axis=0).max() / values.max()


def overlapping(seed=0, n_features=3, n_components=3, n_rows=400):
    """Ellipsoids of one shape that lie across each other."""
    rng = np.random.default_rng(seed)
    deviation = np.exp(rng.normal(0.0, 0.7, n_features))
    rows = [
        (rng.normal(size=(n_rows // n_components, n_features)) * deviation)
        @ np.linalg.qr(rng.normal(size=(n_features, n_features)))[0].T
        + 1.5 * rng.normal(size=n_features)
        for _ in range(n_components)
    ]
    return np.concatenate(rows)


def log_joint(X, weights, means, covariances):
    return np.stack(
        [
            np.log(w) + multivariate_normal(m, c).logpdf(X)
            for w, m, c in zip(weights, means, covariances, strict=True)
        ]
    )


def planar(log_values, angles):
    """Covariances in the plane from logarithms of eigenvalues and angles."""
    cos, sin = np.cos(angles), np.sin(angles)
    turns = np.moveaxis(np.array([[cos, -sin], [sin, cos]]), 2, 0)
    return (turns * np.exp(log_values)) @ turns.transpose(0, 2, 1)


def test_m_step_is_the_numerical_maximum():
    rng = np.random.default_rng(0)
    n, weight, ridge = 3, np.array([2.0, 5.0, 3.0]), np.array([0.1, 0.3])
    roots = rng.normal(size=(n, 2, 2))
    second = roots @ roots.transpose(0, 2, 1)
    with_ridge = second + weight[:, None, None] * np.diag(ridge)

    def loss(matrices):
        log_det = np.linalg.slogdet(matrices)[1]
        trace = np.trace(np.linalg.solve(matrices, with_ridge), axis1=1, axis2=2)
        return weight @ log_det + trace.sum()

    found = EEV.estimate(weight, np.zeros((n, 2)), second, ridge)
    best = min(
        minimize(lambda x: loss(planar(x[:2], x[2:])), rng.normal(size=2 + n), tol=1e-12).fun
        for _ in range(10)
    )
    assert loss(found) == pytest.approx(best, abs=1e-8)
    assert spread(found) < 1e-14


# Computed with mclust 6.0.0, modelNames="EEV", emControl(tol=c(1e-13, 1e-13)).
@pytest.mark.parametrize(
    ("name", "n_components", "log_likelihood", "n_parameters"),
    [
        ("faithful", 2, -1139.3315986554, 9),
        ("faithful", 3, -1126.1632664617, 13),
        ("iris", 2, -259.6669085226, 25),
    ],
)
def test_values_of_mclust(name, n_components, log_likelihood, n_parameters):
    X = DATA[name]
    mixture = GaussianMixtureEM(
        n_components,
        covariance_type="EEV",
        reg_covar=0,
        n_init=10,
        tol=1e-11,
        random_state=0,
    ).fit(X)
    assert mixture.log_likelihood_ == pytest.approx(log_likelihood, abs=1e-6)
    bic = n_parameters * np.log(len(X)) - 2.0 * log_likelihood
    assert mixture.bic(X) == pytest.approx(bic, abs=1e-5)


@pytest.mark.parametrize("accelerate", [None, "auto", "squarem", "quasi-newton", "anderson"])
@pytest.mark.parametrize("seed", range(4))
def test_accelerated_fits_stay_in_the_structure(accelerate, seed):
    X = overlapping(seed, n_features=2 + seed)
    mixture = GaussianMixtureEM(
        3,
        covariance_type="EEV",
        init_params="random_from_data",
        accelerate=accelerate,
        max_iter=5000,
        random_state=seed,
    ).fit(X)
    assert mixture.converged_
    assert (np.diff(mixture.lower_bounds_) >= 0.0).all()
    assert spread(mixture.covariances_) < 1e-12
    joint = log_joint(X, mixture.weights_, mixture.means_, mixture.covariances_)
    assert_allclose(mixture.score_samples(X), logsumexp(joint, axis=0), atol=1e-9)
    assert_allclose(mixture.predict_proba(X).T, np.exp(joint - logsumexp(joint, axis=0)), atol=1e-9)


@pytest.mark.filterwarnings("ignore:.*converge")
@pytest.mark.parametrize("reg_covar", [0.0, 0.3])
def test_objective_never_decreases(reg_covar):
    mixture = GaussianMixtureEM(
        4,
        covariance_type="EEV",
        reg_covar=reg_covar,
        accelerate=None,
        max_iter=300,
        tol=0.0,
        random_state=0,
    )
    mixture.fit(DATA["iris"])
    assert (np.diff(mixture.lower_bounds_) > -1e-12).all()


def test_precisions_init():
    X = overlapping(2)
    fitted = GaussianMixtureEM(3, covariance_type="EEV", random_state=0).fit(X)
    given = GaussianMixtureEM(
        3,
        covariance_type="EEV",
        weights_init=fitted.weights_,
        means_init=fitted.means_,
        precisions_init=fitted.precisions_,
    ).fit(X)
    assert given.lower_bounds_[0] == pytest.approx(fitted.lower_bound_, abs=1e-6)
    wrong = fitted.precisions_ * np.array([1.0, 1.0, 2.0])[:, None, None]
    with pytest.raises(ValueError, match="precisions_init must have the same eigenvalues"):
        GaussianMixtureEM(3, covariance_type="EEV", precisions_init=wrong).fit(X)


def test_component_without_rows():
    X = overlapping(3)
    means = X[:3]
    mixture = GaussianMixtureEM(
        3,
        covariance_type="EEV",
        weights_init=[0.5, 0.5, 0.0],
        means_init=means,
        precisions_init=np.tile(np.eye(3), (3, 1, 1)),
        accelerate=None,
    )
    with pytest.warns(UserWarning, match="lost all"):
        mixture.fit(X)
    assert mixture.weights_[2] == 0.0
    assert spread(mixture.covariances_) < 1e-12
    two = GaussianMixtureEM(
        2,
        covariance_type="EEV",
        means_init=mixture.means_[:2],
        weights_init=mixture.weights_[:2],
        precisions_init=mixture.precisions_[:2],
    ).fit(X)
    assert mixture.lower_bound_ == pytest.approx(two.lower_bound_, abs=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 5.0])
def test_family(alpha):
    check_family(Gaussian("EEV", alpha=alpha), overlapping(4, 2, 2, 200))
    X = overlapping(4)
    X[::7, 1] = np.nan
    mixture = FiniteMixtureEM(
        3, family=Gaussian("EEV", alpha=alpha), random_state=0, max_iter=3000
    ).fit(X)
    assert spread(mixture.component_params_["covariance"]) < 1e-12
    chain = HiddenMarkovEM(3, family=Gaussian("EEV", alpha=alpha), random_state=0, max_iter=3000)
    assert spread(chain.fit(X).component_params_["covariance"]) < 1e-12


def test_draws_have_the_covariances():
    mixture = GaussianMixtureEM(3, covariance_type="EEV", random_state=0).fit(overlapping(5))
    rows, labels = mixture.sample(60000)
    for k, covariance in enumerate(mixture.covariances_):
        own = np.cov(rows[labels == k].T)
        assert_allclose(own, covariance, atol=0.05 * np.abs(covariance).max())


def test_warm_start_in_single_precision():
    X = overlapping(6).astype(np.float32)
    mixture = GaussianMixtureEM(3, covariance_type="EEV", warm_start=True, random_state=0).fit(X)
    before = mixture.lower_bound_
    mixture.fit(X)
    assert mixture.converged_
    assert mixture.lower_bound_ >= before - 1e-5


def test_vectors_beyond_the_range_of_floats():
    covariances = np.tile(np.diag([1.0, 2.0]), (2, 1, 1))
    vector = EEV.to_vector(covariances)
    for step in (1e4, -1e4):
        with pytest.raises(DegenerateModelError):
            EEV.from_vector(vector + step * np.array([1, 0, 1, 1, 0, 1]), covariances)


def test_vectors_of_covariances_that_are_nearly_singular():
    """Columns of very different scales: a factor, but eigenvalues lost to rounding."""
    rng = np.random.default_rng(0)
    scale = 10.0 ** rng.uniform(-12.0, 0.0, (300, 3))
    roots = scale[:, :, None] * rng.normal(size=(300, 3, 3))
    covariances = (roots @ roots.transpose(0, 2, 1))[:, None]
    lost = [np.linalg.eigvalsh(each).min() <= 0.0 for each in covariances]
    assert any(lost)
    for each in covariances:
        assert np.isfinite(EEV.to_vector(each)).all()
