"""Covariance structures: estimates, factors and their layouts."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emlearn.distributions import Gaussian
from emlearn.distributions.gaussian.structures import STRUCTURES
from emlearn.engine import DegenerateModelError

K, D = 3, 4
NAMES = sorted(STRUCTURES)


@pytest.fixture(params=NAMES)
def structure(request):
    return STRUCTURES[request.param]


@pytest.fixture
def problem(structure):
    """Responsibilities, their weights and scatters, and covariances."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(D, 50))
    resp = rng.dirichlet([0.5] * K, size=50).T
    weight = resp.sum(axis=1)
    means = resp @ x.T / weight[:, None]
    second = structure.new_scatter(K, D)
    for k in range(K):
        first = structure.scatter(x - means[k][:, None], np.sqrt(resp[k]), k, second)
        assert_allclose(first, 0.0, atol=1e-12)
    covariances = structure.estimate(weight, np.zeros((K, D)), second, np.full(D, 0.1))
    return x, resp, weight, means, covariances


def matrices(structure, covariances):
    return np.array([structure.matrix(covariances, k, D) for k in range(K)])


def test_names_and_shapes(structure, problem):
    *_, covariances = problem
    assert STRUCTURES[structure.name] is structure
    assert covariances.shape == structure.shape(K, D)
    free = {"full": K * 10, "tied": 10, "diag": K * D, "spherical": K, "EEV": 1 + 3 + K * 6}
    assert structure.n_parameters(K, D) == free[structure.name]


def test_estimate(structure, problem, request):
    x, resp, weight, means, covariances = problem
    scatters = [(resp[k] * (x - means[k][:, None])) @ (x - means[k][:, None]).T for k in range(K)]
    ridge = 0.1 * np.eye(D)
    values, vectors = np.linalg.eigh([s + w * ridge for s, w in zip(scatters, weight, strict=True)])
    common = np.diag(values.sum(axis=0) / weight.sum())
    for k, matrix in enumerate(matrices(structure, covariances)):
        own = scatters[k] / weight[k] + ridge
        expected = {
            "full": own,
            "tied": sum(scatters) / weight.sum() + ridge,
            "diag": np.diag(np.diag(own)),
            "spherical": np.trace(own) / D * np.eye(D),
            "EEV": vectors[k] @ common @ vectors[k].T,
        }[structure.name]
        assert_allclose(matrix, expected, atol=1e-12)


def test_estimate_from_another_origin(structure, problem):
    x, resp, weight, means, covariances = problem
    second = structure.new_scatter(K, D)
    for k in range(K):
        structure.scatter(x.copy(), np.sqrt(resp[k]), k, second)
    assert_allclose(structure.estimate(weight, means, second, np.full(D, 0.1)), covariances)


def test_components_that_are_not_alive_keep_theirs(structure, problem):
    x, resp, weight, means, covariances = problem
    nonempty = np.array([True, False, True])
    weight = np.where(nonempty, weight, 0.0)
    second = structure.new_scatter(K, D)
    for k in np.flatnonzero(nonempty):
        structure.scatter(x - means[k][:, None], np.sqrt(resp[k]), k, second)
    before = 7.0 * covariances
    got = structure.estimate_nonempty(
        nonempty, weight, np.zeros((K, D)), second, np.full(D, 0.1), before
    )
    assert np.isfinite(got).all()
    if structure.name == "EEV":
        # The orientation only: volume and shape are those of all.
        values, vectors = np.linalg.eigh(got)
        assert_allclose(values, np.tile(values[0], (K, 1)))
        assert_allclose(np.abs(vectors[1]), np.abs(np.linalg.eigh(before[1])[1]))
    elif structure.name != "tied":
        assert_allclose(got[1], before[1])
        assert_allclose(got[[0, 2]], covariances[[0, 2]])


def test_factor(structure, problem):
    *_, covariances = problem
    factor = structure.factor(covariances, D, 1e-8)
    full = matrices(structure, covariances)
    assert_allclose(np.broadcast_to(factor.log_det, K), np.linalg.slogdet(full)[1])
    precisions = np.linalg.inv(full)
    diagonals = np.broadcast_to(factor.precision_diagonal, (K, D))
    assert_allclose(diagonals, np.diagonal(precisions, axis1=1, axis2=2))
    published = structure.precision(factor.precision_cholesky)
    assert_allclose(matrices(structure, published), precisions, atol=1e-12)
    again = structure.factor_from_cholesky(factor.precision_cholesky, (K, D))
    assert_allclose(again.log_det, factor.log_det)
    assert_allclose(again.precision_diagonal, factor.precision_diagonal)
    assert_allclose(structure.covariance_from_precision(published, D), covariances)


def test_distance_is_that_of_mahalanobis(structure, problem):
    x, _, _, means, covariances = problem
    factor = structure.factor(covariances, D, 1e-8)
    for k, matrix in enumerate(matrices(structure, covariances)):
        z = x - means[k][:, None]
        expected = np.einsum("in,ij,jn->n", z, np.linalg.inv(matrix), z)
        assert_allclose(structure.squared_distance(z.copy(), factor, k), expected)


def test_moment_form_is_the_quadratic_form(structure, problem):
    x, resp, _, means, covariances = problem
    factor = structure.factor(covariances, D, 1e-8)
    linear, quadratic = structure.natural(factor, means)
    moments = np.empty((structure.n_moments(D), x.shape[1]))
    structure.moments(x, moments)
    for k, matrix in enumerate(matrices(structure, covariances)):
        precision = np.linalg.inv(matrix)
        cross = (precision @ means[k]) @ x
        square = np.einsum("in,ij,jn->n", x, precision, x)
        got = linear[k] @ x + quadratic[k] @ moments
        expected = cross if structure.name == "tied" else cross - 0.5 * square
        assert_allclose(got, expected)
    if structure.name != "tied":
        second = structure.new_scatter(K, D)
        for k in range(K):
            structure.scatter(x.copy(), np.sqrt(resp[k]), k, second)
        assert_allclose(structure.unpack(resp @ moments.T, D), second)


def test_rescaling(structure, problem):
    *_, covariances = problem
    scale = np.array([0.5, 2.0, 4.0, 8.0]) if structure.scales_by_column else np.full(D, 4.0)
    rescaled = structure.rescale(covariances, scale)
    expected = matrices(structure, covariances) * scale[:, None] * scale
    assert_allclose(matrices(structure, rescaled), expected)
    root = structure.factor(covariances, D, 1e-8).precision_cholesky
    published = structure.rescale_cholesky(root, scale)
    assert_allclose(
        matrices(structure, structure.precision(published)), np.linalg.inv(expected), atol=1e-12
    )
    if not structure.is_diagonal:
        assert_allclose(published, np.triu(published), atol=0)


def test_conditional_deviation(structure, problem):
    *_, covariances = problem
    root = structure.factor(covariances, D, 1e-8).precision_cholesky
    width = structure.conditional_deviation(root, (K, D))
    assert width.shape == (K, D)
    precisions = np.linalg.inv(matrices(structure, covariances))
    exact = 1.0 / np.sqrt(np.diagonal(precisions, axis1=1, axis2=2))
    assert (width > 0.99 * exact).all()
    assert (width < exact * np.sqrt(D) * 1.01).all()


@pytest.mark.parametrize("kind", ["zero", "negative", "tiny", "nan"])
def test_singular_covariances(structure, problem, kind):
    *_, covariances = problem
    value = {"zero": 0.0, "negative": -1.0, "tiny": 1e-30, "nan": np.nan}[kind]
    bad = covariances.copy()
    if structure.name == "tied":
        bad *= value
    else:
        bad[1] *= value
    with pytest.raises(DegenerateModelError, match="is singular") as caught:
        structure.factor(bad, D, 1e-14)
    if structure.name == "tied":
        assert "tied covariance" in str(caught.value)
    elif kind != "nan":
        assert "component 1" in str(caught.value)


def test_matrices_of_less_than_full_rank(structure):
    if structure.name not in ("full", "tied"):
        pytest.skip("a vector of variances has no rank")
    root = np.random.default_rng(0).normal(size=(D, D - 1))
    matrix = root @ root.T
    bad = np.array([np.eye(D), matrix, np.eye(D)]) if structure.name == "full" else matrix
    with pytest.raises(DegenerateModelError, match="is singular"):
        structure.factor(bad, D, 1e-14)


@pytest.mark.parametrize("name", ["full", "tied", "EEV"])
def test_roots_of_draws_in_single_precision(name):
    """Rounded to single precision a covariance may have no factor; its draws are still made."""
    structure, failed = STRUCTURES[name], 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(2, 50))
        x = np.concatenate([x, rng.normal(size=(2, 2)) @ x + 2e-4 * rng.normal(size=(2, 50))])
        second = structure.new_scatter(1, 4)
        structure.scatter(x.copy(), np.ones(50), 0, second)
        covariances = structure.estimate(np.array([50.0]), np.zeros((1, 4)), second, np.zeros(4))
        root = structure.factor(covariances, 4, 0.0).precision_cholesky.astype(np.float32)
        own = structure.covariance_cholesky(root.astype(np.float64), 0, 4)
        matrix = structure.matrix(covariances, 0, 4)
        assert_allclose(own @ own.T, matrix, atol=1e-3 * np.abs(matrix).max())
        try:
            np.linalg.cholesky(matrix.astype(np.float32).astype(np.float64))
        except np.linalg.LinAlgError:
            failed += 1
    assert failed > 0


@pytest.mark.parametrize(
    ("covariance_type", "shape"),
    [
        ("full", "full"),
        ("tied", "tied"),
        ("diag", "diag"),
        ("spherical", "spherical"),
        ("EEV", "full"),
    ],
)
def test_clusters_are_joined_with_covariances_of_the_structure(covariance_type, shape):
    assert Gaussian(covariance_type).cluster_shape == shape
