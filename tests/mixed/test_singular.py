"""Inference where a covariance is singular, against lmerTest and numerical derivatives."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emlearn import LinearMixedModelEM
from emlearn.datasets import load_dyestuff, load_sleepstudy
from emlearn.engine.errors import DegenerateModelError
from emlearn.mixed._covariance import RandomCovariance


@pytest.fixture(scope="module")
def singular():
    """A slope of days of a wave, which is -1 times the intercept of a subject."""
    X, y = load_sleepstudy(return_X_y=True, as_frame=True)
    X = X.assign(z=np.tile(np.sin(1.7 * np.arange(1, 11)), 18))
    return LinearMixedModelEM("Subject", random_slopes=["z"]).fit(X, y), X, y


def test_values_of_lmer(singular):
    """lmerTest 3.1-3 with lme4 1.1-31; the optimum of lme4 is accurate to about 1e-5."""
    model, X, y = singular
    assert model.boundary_ == ("Subject",)
    assert_allclose(model.log_likelihood_, -890.2735, atol=5e-5)
    deviation = np.sqrt(np.diagonal(model.variance_components_["Subject"]))
    assert_allclose(deviation, [37.1700, 4.2333], rtol=2e-5)
    found = model.fixed_effects(X, y)
    assert_allclose(found.estimate, [251.608342, 10.423549, -0.808864], rtol=2e-6)
    assert_allclose(found.standard_error, [9.78406117, 0.82028227, 3.33583517], rtol=1e-6)
    assert_allclose(found.degrees_of_freedom, [23.065274, 159.999988, 66.727512], rtol=2e-5)


def test_errors_along_singular_covariances(singular):
    """Second derivatives of the likelihood of ``R R'``, R a column."""
    model, X, y = singular
    inference = model.inference(X, y)
    problem = model._fitted_problem(X, y)
    covariance = model.variance_components_["Subject"]
    root = np.sqrt(np.diagonal(covariance)) * [1.0, np.sign(covariance[0, 1])]
    start = np.array([*root, model.variance_components_["residual"]])

    def value(point):
        public = {"Subject": np.outer(point[:2], point[:2]), "residual": np.asarray(point[2])}
        params = problem.model.from_public(public, problem.params)
        return problem.model.e_step(problem.data, params)[1]

    hessian, steps = np.zeros((3, 3)), 1e-3 * np.abs(start)
    for i in range(3):
        for j in range(3):
            for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
                point = start.copy()
                point[i] += a * steps[i]
                point[j] += b * steps[j]
                hessian[i, j] += a * b * value(point) / (4.0 * steps[i] * steps[j])
    errors = np.linalg.inv(-hessian)
    jacobian = np.array([2.0 * root[0], 0.0, 0.0])
    expected = np.sqrt(jacobian @ errors @ jacobian)
    assert_allclose(inference.standard_errors["Subject"][0, 0], expected, rtol=1e-4)
    assert_allclose(inference.standard_errors["residual"], np.sqrt(errors[2, 2]), rtol=1e-4)


def test_variance_of_zero_has_no_error():
    X, y = load_dyestuff(simulated=True, return_X_y=True)
    model = LinearMixedModelEM(0).fit(X, y)
    inference = model.inference(X, y)
    assert inference.remarks == ("at a bound", "")
    assert np.isnan(inference.standard_error[0])
    # lmerTest: as in a model without batches.
    assert_allclose(model.fixed_effects(X, y).degrees_of_freedom, 29.0, rtol=1e-6)


class TestRandomCovariance:
    """Moves of singular covariances."""

    @pytest.fixture
    def part(self):
        return RandomCovariance(pattern=np.ones((3, 3), bool))

    @pytest.mark.parametrize("rank", [1, 2])
    def test_rank_stays(self, part, rank):
        root = np.random.default_rng(rank).normal(size=(3, rank))
        at = root @ root.T
        directions = part.directions(at, np.zeros((3, 3), bool))
        assert directions.shape[1] == rank * (rank + 1) // 2 + rank * (3 - rank)
        step = 0.1 * np.ones(directions.shape[1])
        moved = part.move(at, directions, step)
        values = np.linalg.eigvalsh(moved)
        assert_allclose(values[: 3 - rank], 0.0, atol=1e-12)
        assert (values[3 - rank :] > 1e-3).all()
        tangent = part.tangent(at, directions, step)
        for k in range(len(step)):
            move = np.zeros(len(step))
            move[k] = 1e-6
            above, below = (part.move(at, directions, step + side) for side in (move, -move))
            assert_allclose(tangent[:, k], (above - below).ravel() / 2e-6, atol=1e-8)

    def test_not_semidefinite(self, part):
        held = np.array([[1.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        with pytest.raises(ValueError, match="entries that no covariance matrix has"):
            part.check(held, "g")
        with pytest.raises(DegenerateModelError):
            part.impose(np.eye(3), held)
