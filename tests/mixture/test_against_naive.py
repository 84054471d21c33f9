"""Steps, objectives and optima against independent formulas and optimizers."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize

from emlearn import GaussianMixtureEM
from emlearn import kernels as compiled
from emlearn.distributions import Gaussian
from emlearn.distributions.gaussian import steps
from emlearn.distributions.gaussian.forms import CenteredForm, CompiledForm, MomentForm
from emlearn.distributions.gaussian.structures import STRUCTURES as BY_NAME
from emlearn.latent import LabelModel, MixtureLaw, Observations
from emlearn.latent.starts import GivenStart

RIDGES = [0.0, 0.3]
WEIGHTED = [False, True]


@pytest.fixture(params=sorted(BY_NAME))
def covariance_type(request):
    return request.param


def problem(naive, covariance_type, ridge, weighted, n=40, d=3, K=3):
    """Data with weights, and parameters that are one M-step from random responsibilities."""
    rng = np.random.default_rng([n, d, K])
    X = rng.normal(size=(n, d)) * [1.0, 10.0, 0.1][:d] + [100.0, -3.0, 0.0][:d]
    X[: n // 2] += np.array([3.0, -20.0, 0.4])[:d]
    weight = rng.gamma(2.0, size=n) if weighted else np.ones(n)
    resp = rng.dirichlet(np.full(K, 0.4), size=n)
    params = naive.m_step(X, resp * weight[:, None], covariance_type, ridge)
    return X, weight, resp, params


@pytest.mark.parametrize("ridge", RIDGES)
@pytest.mark.parametrize("weighted", WEIGHTED)
def test_one_step(naive, covariance_type, ridge, weighted):
    X, weight, resp, (pi, mu, sigma) = problem(naive, covariance_type, ridge, weighted)
    mixture = GaussianMixtureEM(
        3, covariance_type=covariance_type, reg_covar=ridge, init_params=resp, max_iter=0
    )
    mixture.fit(X, sample_weight=weight if weighted else None)
    assert_allclose(mixture.weights_, pi)
    assert_allclose(mixture.means_, mu)
    assert_allclose(mixture.covariances_, sigma, atol=1e-12)

    matrices = naive.matrices(sigma, covariance_type, 3, X.shape[1])
    before = naive.objective(X, weight, pi, mu, matrices, ridge)
    after = naive.em_step(X, weight, covariance_type, pi, mu, matrices, ridge)
    with pytest.warns(match="did not converge"):
        mixture.set_params(max_iter=1).fit(X, sample_weight=weight)
    assert_allclose(mixture.history_["objective"][0], before)
    assert_allclose(mixture.weights_, after[0])
    assert_allclose(mixture.means_, after[1])
    assert_allclose(mixture.covariances_, after[2], atol=1e-12)
    matrices = naive.matrices(after[2], covariance_type, 3, X.shape[1])
    assert_allclose(
        mixture.lower_bound_ * weight.sum(),
        naive.objective(X, weight, *after[:2], matrices, ridge),
    )
    assert_allclose(
        mixture.log_likelihood_, naive.objective(X, weight, *after[:2], matrices), rtol=1e-12
    )


@pytest.mark.parametrize("weighted", WEIGHTED)
@pytest.mark.parametrize("ridge", RIDGES)
def test_the_kernels_agree(naive, covariance_type, ridge, weighted, monkeypatch):
    """All forms give the same statistics and log-likelihood; they differ only in speed."""
    X, weight, resp, _ = problem(naive, covariance_type, ridge, weighted)
    structure = BY_NAME[covariance_type]
    family = Gaussian(covariance_type, reg_covar=ridge)
    model = LabelModel(MixtureLaw(3), family, GivenStart(resp))
    data = model.prepare(Observations(X), weight if weighted else None)
    params = model.initialize(data, np.random.default_rng(0))
    forms = [MomentForm(structure), CenteredForm(structure)]
    if compiled.compiled is not None:
        forms.append(CompiledForm(structure))
    outcome = []
    for form in forms:
        monkeypatch.setattr(steps, "choose_form", lambda *_, form=form: form)
        (block,) = data.blocks
        statistics, value = model.e_step(block, model.precompute(params))
        new = model.m_step(statistics, params)
        outcome.append((value, new.law.weights, new.components.mean, new.components.covariance))
    for other in outcome[1:]:
        for a, b in zip(outcome[0], other, strict=True):
            assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def unpack(vector, covariance_type, K, d):
    """Weights, means and covariance matrices from unconstrained numbers."""
    logits, means, rest = np.split(vector, [K - 1, K - 1 + K * d])
    weights = np.exp(np.append(logits, 0.0))
    means = means.reshape(K, d)
    if covariance_type == "diag":
        matrices = np.array([np.diag(np.exp(v)) for v in rest.reshape(K, d)])
    elif covariance_type == "spherical":
        matrices = np.array([np.exp(v) * np.eye(d) for v in rest])
    elif covariance_type == "EEV":
        # In the plane: logarithms of two eigenvalues, and an angle for each component.
        turns = np.array([[[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]] for a in rest[2:]])
        matrices = (turns * np.exp(rest[:2])) @ turns.transpose(0, 2, 1)
    else:
        shapes = rest.reshape(K if covariance_type == "full" else 1, d * (d + 1) // 2)
        matrices = []
        for shape in shapes:
            lower = np.zeros((d, d))
            lower[np.tril_indices(d)] = shape
            lower[np.diag_indices(d)] = np.exp(np.diag(lower))
            matrices.append(lower @ lower.T)
        matrices = np.array(matrices * (K // len(matrices)))
    return weights / weights.sum(), means, matrices


def pack(weights, means, covariances, covariance_type):
    parts = [np.log(weights[:-1] / weights[-1]), means.ravel()]
    if covariance_type in ("diag", "spherical"):
        parts.append(np.log(covariances).ravel())
    elif covariance_type == "EEV":
        values, vectors = np.linalg.eigh(covariances)
        parts += [np.log(values[0]), np.arctan2(vectors[:, 1, 0], vectors[:, 0, 0])]
    else:
        for matrix in np.atleast_3d(covariances.T).T:
            lower = np.linalg.cholesky(matrix)
            lower[np.diag_indices(len(lower))] = np.log(np.diag(lower))
            parts.append(lower[np.tril_indices(len(lower))])
    return np.concatenate(parts)


@pytest.mark.parametrize(("ridge", "weighted"), [(0.0, True), (0.05, False), (0.05, True)])
def test_direct_maximisation(naive, covariance_type, ridge, weighted):
    """A quasi-Newton method cannot improve on the end of EM, and reaches it on its own."""
    rng = np.random.default_rng(11)
    X = np.concatenate([rng.normal(size=(14, 2)), rng.normal(size=(11, 2)) * [1.0, 0.5] + [3, 1]])
    weight = rng.integers(1, 4, size=len(X)).astype(float) if weighted else np.ones(len(X))
    K, d = 2, 2
    mixture = GaussianMixtureEM(
        K, covariance_type=covariance_type, reg_covar=ridge, tol=1e-11, init_params="kmeans"
    )
    mixture.fit(X, sample_weight=weight)

    def loss(vector):
        params = unpack(vector, covariance_type, K, d)
        return -naive.objective(X, weight, *params, ridge) / weight.sum()

    published = pack(mixture.weights_, mixture.means_, mixture.covariances_, covariance_type)
    assert_allclose(-loss(published), mixture.lower_bound_, rtol=1e-10)
    # Central differences: a gradient of zero, up to their own error.
    step = 1e-5
    gradient = [(loss(published + e) - loss(published - e)) / (2 * step) for e in
                step * np.eye(len(published))]  # fmt: skip
    assert_allclose(gradient, 0.0, atol=1e-5)
    away = published + 0.15 * rng.normal(size=len(published))
    found = minimize(loss, away, method="BFGS", options={"gtol": 1e-7})
    assert_allclose(-found.fun, mixture.lower_bound_, atol=1e-8)
    weights, means, matrices = unpack(found.x, covariance_type, K, d)
    assert_allclose(weights, mixture.weights_, atol=1e-3)
    assert_allclose(means, mixture.means_, atol=1e-3)
    expected = naive.matrices(mixture.covariances_, covariance_type, K, d)
    assert_allclose(matrices, expected, atol=3e-3)


def test_one_component_has_a_closed_form(covariance_type, blobs, naive):
    mixture = GaussianMixtureEM(covariance_type=covariance_type, reg_covar=0).fit(blobs)
    expected = naive.m_step(blobs, np.ones((len(blobs), 1)), covariance_type)
    for got, wanted in zip(
        (mixture.weights_, mixture.means_, mixture.covariances_), expected, strict=True
    ):
        assert_allclose(got, wanted, rtol=1e-10)
    assert mixture.n_iter_ == 1


@pytest.mark.parametrize("n_features", [1, 2, 5, 24])
@pytest.mark.filterwarnings(r"ignore:.*\(s\) .* rows\)")
def test_densities(naive, covariance_type, n_features):
    """predict_proba, score_samples, score, predict and transform, at many dimensions."""
    rng = np.random.default_rng(n_features)
    K = 3
    X = rng.normal(size=(120, n_features)) + 4.0 * rng.integers(0, 2, size=(120, 1))
    mixture = GaussianMixtureEM(K, covariance_type=covariance_type, init_params="kmeans", tol=1e-3)
    mixture.fit(X)
    new = rng.normal(size=(31, n_features)) * 3.0
    matrices = naive.matrices(mixture.covariances_, covariance_type, K, n_features)
    joint = naive.log_joint(new, mixture.weights_, mixture.means_, matrices)
    density = np.logaddexp.reduce(joint, axis=1)
    resp = np.exp(joint - density[:, None])
    assert_allclose(mixture.score_samples(new), density, rtol=1e-9)
    assert_allclose(mixture.score(new), density.mean(), rtol=1e-9)
    weight = rng.random(len(new))
    assert_allclose(mixture.score(new, sample_weight=weight), np.average(density, weights=weight))
    assert_allclose(mixture.predict_proba(new), resp, atol=1e-7)
    assert_allclose(mixture.transform(new), mixture.predict_proba(new), rtol=0)
    assert_allclose(mixture.predict(new), joint.argmax(axis=1))
    identity = mixture.precisions_cholesky_
    for k, matrix in enumerate(matrices):
        precision = naive.matrices(mixture.precisions_, covariance_type, K, n_features)[k]
        assert_allclose(precision @ matrix, np.eye(n_features), atol=1e-6)
        if covariance_type in ("full", "tied"):
            root = identity[k] if covariance_type == "full" else identity
            assert_allclose(root @ root.T, precision, rtol=1e-9, atol=1e-9)
            assert_allclose(root, np.triu(root))


def test_criteria(covariance_type, blobs):
    mixture = GaussianMixtureEM(3, covariance_type=covariance_type, random_state=0).fit(blobs)
    weight = np.random.default_rng(0).random(len(blobs))
    p = 2 + 6 + {"full": 9, "tied": 3, "diag": 6, "spherical": 3, "EEV": 5}[covariance_type]
    for w in (np.ones(len(blobs)), weight):
        log_likelihood = w @ mixture.score_samples(blobs)
        assert_allclose(mixture.aic(blobs, sample_weight=w), -2 * log_likelihood + 2 * p)
        bic = -2 * log_likelihood + np.log(w.sum()) * p
        assert_allclose(mixture.bic(blobs, sample_weight=w), bic)
        certainty = w @ np.log(mixture.predict_proba(blobs).max(axis=1))
        assert_allclose(mixture.icl(blobs, sample_weight=w), bic - 2 * certainty)
    assert_allclose(mixture.aic(blobs), mixture.aic(blobs, sample_weight=np.ones(len(blobs))))


@pytest.mark.filterwarnings(r"ignore:.*\(s\) .* rows\)")
def test_all_structures_of_one_column_are_the_same(reference):
    """With one feature full, diag and spherical are one model."""
    X = np.array(reference("galaxies")["data"])[:, None]
    start = np.digitize(X[:, 0], [15.0, 30.0])
    fits = {
        name: GaussianMixtureEM(
            3, covariance_type=name, reg_covar=0.1, init_params=np.eye(3)[start]
        ).fit(X)
        for name in ("full", "diag", "spherical")
    }
    for a, b in itertools.pairwise(fits.values()):
        assert_allclose(a.lower_bound_, b.lower_bound_, rtol=1e-10)
        assert_allclose(np.ravel(a.covariances_), np.ravel(b.covariances_), rtol=1e-8)
