"""What the fit maximizes, against enumeration, mixtures and direct formulas."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from emlearn import GaussianMixtureEM, ImageSegmenterEM
from emlearn.distributions import Gaussian
from emlearn.engine import BlockMapper
from emlearn.image import pixel_table
from emlearn.image._bias import FieldBasis
from emlearn.image._coupling import axis_weights, count_edges, pseudo_likelihood_beta
from emlearn.image._model import ImageData, PottsModel, first_params, log_field
from emlearn.kernels.potts import neighbor_sums


def test_without_coupling_it_is_the_weighted_mixture_of_the_intensities(blocks):
    image = np.rint(12.0 * blocks(noise=0.6)[0])
    table = pixel_table(image)
    assert len(table.rows) < image.size / 5
    settings = {"covariance_type": "full", "tol": 1e-13, "random_state": 0}
    mixture = GaussianMixtureEM(3, **settings)
    mixture.fit(table.rows, sample_weight=table.sample_weight)
    found = ImageSegmenterEM(3, beta=0.0, **settings).fit(image)
    order = mixture.means_.ravel().argsort()
    assert_allclose(found.means_, mixture.means_[order], rtol=1e-5)
    assert_allclose(found.covariances_, mixture.covariances_[order], rtol=1e-4)
    assert_allclose(found.weights_, mixture.weights_[order], rtol=1e-5)
    assert_allclose(found.lower_bound_, mixture.lower_bound_, rtol=1e-10)
    labels = table.to_image(mixture.predict(table.rows))
    assert (order[found.labels_] == labels).all()
    expected = table.to_image(mixture.predict_proba(table.rows)[:, order])
    assert_allclose(found.predict_proba(image), expected, atol=1e-4)


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0, 2.0])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_all_labelings_of_a_small_image_bound_the_objective(n_classes, beta):
    rng = np.random.default_rng(n_classes)
    image = rng.normal(size=(3, 3)) + np.arange(3) * 1.5
    found = ImageSegmenterEM(
        n_classes, beta=beta, covariance_type="tied", reg_covar=0.0, random_state=0
    ).fit(image)
    density = np.stack(
        [
            multivariate_normal(mean, found.covariances_).logpdf(image.ravel())
            for mean in found.means_
        ]
    )
    prior = np.log(found.weights_)
    weights, total = [], []
    for labels in itertools.product(range(n_classes), repeat=9):
        own = np.array(labels)
        grid = own.reshape(3, 3)
        equal = (grid[1:] == grid[:-1]).sum() + (grid[:, 1:] == grid[:, :-1]).sum()
        weights.append(prior[own].sum() + beta * equal)
        total.append(weights[-1] + density[own, range(9)].sum())
    log_likelihood = logsumexp(total) - logsumexp(weights)
    assert found.log_likelihood_ <= log_likelihood + 1e-9
    # The bound up to log Z is the objective with the constant of the 12 pairs.
    assert found.log_likelihood_ + 12 * beta <= logsumexp(total) + 1e-9
    if beta == 0.0:
        assert_allclose(found.log_likelihood_, log_likelihood, rtol=1e-6)


OPTIONS = {
    "slice": ((20, 23), {}),
    "volume": ((9, 8, 11), {"spacing": (3.0, 1.0, 1.0)}),
    "field": ((20, 23), {"bias_degree": 3}),
    "field and tied": ((9, 8, 11), {"bias_degree": 2, "covariance_type": "tied"}),
    "colors": ((20, 23, 3), {"channel_axis": -1}),
    "colors, field": ((20, 23, 2), {"channel_axis": -1, "bias_degree": 2}),
    "colors, diag, field": (
        (20, 23, 2), {"channel_axis": -1, "bias_degree": 2, "covariance_type": "diag"}
    ),
    "spherical": ((2, 20, 23), {"channel_axis": 0, "covariance_type": "spherical"}),
    "full": ((20, 23), {"covariance_type": "full"}),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:EM did not converge", "ignore:.*classes are empty")
@pytest.mark.parametrize("beta", [0.0, 0.4, 1.5])
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("option", OPTIONS)
def test_the_objective_never_falls(option, masked, beta):
    shape, settings = OPTIONS[option]
    rng = np.random.default_rng(3)
    image = np.exp(0.3 * rng.normal(size=shape) + rng.integers(0, 3, shape))
    axis = settings.get("channel_axis")
    grid = shape if axis is None else np.delete(shape, axis)
    mask = rng.random(grid) < 0.8 if masked else None
    found = ImageSegmenterEM(3, beta=beta, tol=0.0, max_iter=25, random_state=0, **settings)
    found.fit(image, mask)
    objective = found.history_["objective"]
    assert (np.diff(objective) >= -1e-9 * abs(objective[0])).all()
    assert np.isfinite(objective).all()


def problem(d, covariance_type, shape=(5, 7, 6), seed=0):
    """A model with a field, its data, and parameters after some steps."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(np.prod(shape), d)) + 3.0 * rng.integers(0, 2, (np.prod(shape), 1))
    mask = rng.random(shape) < 0.8
    family = Gaussian(covariance_type, reg_covar=0.0)
    spec = family.column_spec(values[mask.ravel()])
    basis = FieldBasis(shape, 2, mask)
    data = ImageData(
        values, spec, shape, mask, None, basis, int(mask.sum()), np.ones(3),
        count_edges(mask, shape),
    )  # fmt: skip
    component = family.from_public(
        {"mean": [[0.0] * d, [3.0] * d], "covariance": {"full": [np.eye(d)] * 2,
         "tied": np.eye(d), "diag": np.ones((2, d))}[covariance_type]},
        spec,
    )  # fmt: skip
    model = PottsModel(family, spec, 0.5)
    return model, data, first_params(np.full(2, 0.5), component, data)


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag"])
def test_the_m_step_is_least_squares_of_the_field_and_the_means(d, covariance_type):
    model, data, params = problem(d, covariance_type)
    with BlockMapper(model, data) as e_step:
        for _ in range(2):
            params = model.m_step(e_step(params)[0], params)
        statistics, _ = e_step(params)
        image = model.m_step(statistics, params)
    q = statistics.q.reshape(2, -1)
    unit = np.eye(data.basis.n_basis)
    design = np.stack([data.basis.field(row).ravel() for row in unit], axis=1)
    values = data.spec.scaling.to_scaled(data.values)
    # Least squares of both classes, each pixel once for each class.
    matrices = np.zeros((2, d, d))
    for k in range(2):
        matrices[k] = model.family.structure.matrix(params.component.covariance, k, d)
    left, right = [], []
    for k in range(2):
        root = np.linalg.cholesky(np.linalg.inv(matrices[k])).T
        columns = np.hstack([design, np.tile(np.eye(2)[k], (len(q[k]), 1))])
        for i in range(d):
            scale = np.sqrt(q[k])[:, None]
            left.append(np.hstack([scale * columns * root[i, j] for j in range(d)]))
            right.append(np.sqrt(q[k]) * (values @ root[i]))
    solution = np.linalg.lstsq(np.vstack(left), np.concatenate(right), rcond=None)[0]
    solution = solution.reshape(d, -1)
    assert_allclose(image.field, solution[:, :-2], atol=1e-9)
    assert_allclose(image.component.mean, solution[:, -2:].T, atol=1e-9)
    residual = values - design @ image.field.T
    sizes = q.sum(axis=1)
    scatter = np.stack(
        [(q[k][:, None] * (residual - m)).T @ (residual - m) for k, m in
         enumerate(image.component.mean)]
    )  # fmt: skip
    expected = scatter / sizes[:, None, None]
    if covariance_type == "tied":
        expected = np.repeat((scatter.sum(axis=0) / sizes.sum())[None], 2, axis=0)
    for k in range(2):
        found = model.family.structure.matrix(image.component.covariance, k, d)
        own = np.diag(np.diag(expected[k])) if covariance_type == "diag" else expected[k]
        assert_allclose(found, own, rtol=1e-8)


def test_fields_have_mean_zero_inside_and_are_polynomials():
    _, data, _ = problem(1, "full")
    rng = np.random.default_rng(1)
    values = data.basis.field(rng.normal(size=data.basis.n_basis))
    assert_allclose(values[data.mask].mean(), 0.0, atol=1e-12)
    for axis in range(3):
        assert_allclose(np.diff(values, 3, axis=axis), 0.0, atol=1e-12)
    assert data.basis.n_basis == 9
    flat = FieldBasis((1, 2, 9), 4)
    assert flat.n_basis == 5 * 2 - 1 - 1  # total degree at most 4, at most 1 along two pixels
    assert log_field(data, np.zeros((1, 9))).shape == (1, *data.shape)


def test_the_pseudo_likelihood_is_maximized():
    model, data, params = problem(1, "full")
    with BlockMapper(model, data) as e_step:
        params = params._replace(q=e_step(params)[0].q)
    sites = np.flatnonzero(data.mask)
    own = params.q.reshape(2, -1)[:, sites]
    around = neighbor_sums(params.q, data.axis_weights).reshape(2, -1)[:, sites]

    def loss(beta):
        return -(own * (beta * around - logsumexp(beta * around, axis=0))).sum()

    expected = minimize_scalar(loss, bounds=(0.0, 5.0), method="bounded", options={"xatol": 1e-9})
    assert_allclose(pseudo_likelihood_beta(params, data, sites), expected.x, atol=1e-5)


def test_weights_of_axes_are_areas_of_faces():
    assert_allclose(axis_weights(None, 2), [0, 1, 1])
    # Voxels of 1 x 1 x 4: faces across the long axis are a quarter of the others.
    assert_allclose(axis_weights((1.0, 4.0, 1.0), 3), [1.0, 0.25, 1.0])


@pytest.mark.parametrize("beta", [0.6, 0.9, 1.1])
def test_beta_of_a_simulated_field_is_found(beta):
    rng = np.random.default_rng(0)
    shape, n_classes = (1, 90, 90), 3
    labels, color = rng.integers(0, n_classes, shape), sum(np.indices(shape)) % 2
    for step in range(300):
        one_hot = (labels == np.arange(n_classes)[:, None, None, None]).astype(float)
        energy = neighbor_sums(one_hot, np.array([0.0, beta, beta]))
        drawn = (energy + rng.gumbel(size=energy.shape)).argmax(axis=0)
        labels = np.where(color == step % 2, drawn, labels)
    image = labels[0] + 0.25 * rng.normal(size=shape[1:])
    found = ImageSegmenterEM(n_classes, random_state=0).fit(image)
    assert_allclose(found.beta_, beta, atol=0.08)
