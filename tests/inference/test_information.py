"""Standard errors of models against values that are not ours."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, poisson

from emlearn import FiniteMixtureEM, GaussianMixtureEM, HiddenMarkovEM
from emlearn.datasets import load_old_faithful
from emlearn.distributions import Bernoulli, Categorical, Gaussian, Mixture, Multinomial, Poisson
from emlearn.distributions import Product as ProductFamily
from emlearn.engine import BlockMapper, LatentVariableModel
from emlearn.engine.errors import DegenerateModelError
from emlearn.engine.information import (
    _both_sides,
    _by_values,
    _mixed,
    _Objective,
    empirical_information,
    observed_information,
)
from emlearn.inference import FittedProblem, infer

FAITHFUL = load_old_faithful().data


def hessian(function, at, size):
    """Second derivatives by differences of the fourth order."""
    n = len(at)
    found = np.empty((n, n))
    for i in range(n):
        for j in range(i + 1):
            parts = []
            for factor in (1.0, 2.0):
                a, b = np.zeros(n), np.zeros(n)
                a[i], b[j] = factor * size[i], factor * size[j]
                cross = function(at + a + b) - function(at + a - b)
                cross += function(at - a - b) - function(at - a + b)
                parts.append(cross / (4.0 * factor**2 * size[i] * size[j]))
            found[i, j] = found[j, i] = (4.0 * parts[0] - parts[1]) / 3.0
    return found


def test_gaussian_mixture_against_numerical_second_derivatives_of_scipys_likelihood():
    mixture = GaussianMixtureEM(2, reg_covar=0, tol=1e-12, random_state=0).fit(FAITHFUL)
    upper = np.triu_indices(2)

    def unpack(v):
        covariances = []
        for entries in (v[5:8], v[8:11]):
            matrix = np.zeros((2, 2))
            matrix[upper] = entries
            covariances.append(matrix + np.triu(matrix, 1).T)
        return np.array([v[0], 1.0 - v[0]]), v[1:5].reshape(2, 2), covariances

    def log_likelihood(v):
        weights, means, covariances = unpack(v)
        density = [
            multivariate_normal(m, c).pdf(FAITHFUL) for m, c in zip(means, covariances, strict=True)
        ]
        return np.log(weights @ density).sum()

    at = np.concatenate(
        [mixture.weights_[:1], mixture.means_.ravel()] + [c[upper] for c in mixture.covariances_]
    )
    inference = mixture.inference(FAITHFUL)
    error = np.delete(inference.standard_error, 1)
    expected = np.linalg.inv(-hessian(log_likelihood, at, 0.05 * error))
    np.testing.assert_allclose(np.sqrt(np.diag(expected)), error, rtol=1e-5)
    kept = np.delete(np.arange(12), 1)
    np.testing.assert_allclose(
        inference.covariance[np.ix_(kept, kept)] / np.outer(error, error),
        expected / np.outer(error, error),
        atol=1e-5,
    )
    # Twice the E-steps of the parameters, and one for the score.
    assert inference.n_e_steps == 23


def test_hidden_markov_model_against_numerical_second_derivatives():
    rng = np.random.default_rng(3)
    states = np.cumsum(rng.random(150) < 0.2) % 2
    counts = rng.poisson(np.where(states, 9.0, 3.0))[:, None].astype(float)
    lengths = [90, 60]
    model = HiddenMarkovEM(
        2, family=Poisson(alpha=0), tol=1e-13, startprob_init=[1.0, 0.0], random_state=0
    ).fit(counts, lengths=lengths)

    def log_likelihood(v):
        transition = np.array([[1.0 - v[0], v[0]], [v[1], 1.0 - v[1]]])
        total = 0.0
        for own in np.split(counts[:, 0], [90]):
            alpha = np.array([1.0, 0.0])
            for t, x in enumerate(own):
                alpha = (alpha if t == 0 else alpha @ transition) * poisson.pmf(x, v[2:])
                total += np.log(alpha.sum())
                alpha /= alpha.sum()
        return total

    rate, transmat = model.component_params_["rate"][:, 0], model.transmat_
    at = np.array([transmat[0, 1], transmat[1, 0], *rate])
    inference = model.inference(counts, lengths=lengths)
    names = ["transmat[0, 1]", "transmat[1, 0]", "rate[0, 0]", "rate[1, 0]"]
    error = inference.standard_error[[inference.names.index(name) for name in names]]
    expected = np.linalg.inv(-hessian(log_likelihood, at, 0.05 * error))
    np.testing.assert_allclose(np.sqrt(np.diag(expected)), error, rtol=1e-5)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_latent_classes_have_the_standard_errors_of_polca(reference, n_classes):
    values = reference("latent_classes")
    rows, known = np.array(values["rows"]), values[str(n_classes)]
    model = FiniteMixtureEM(n_classes, family=Categorical(alpha=0), tol=1e-11, random_state=0).fit(
        rows
    )
    assert model.log_likelihood_ == pytest.approx(known["loglik"], abs=1e-6)
    inference = model.inference(rows, information="empirical")
    order = np.argsort(model.weights_)[np.argsort(np.argsort(known["P"]))]
    np.testing.assert_allclose(
        inference.standard_errors["weights"][order], known["P.se"], rtol=1e-4
    )
    errors = inference.standard_errors["probability"][order]
    for j, name in enumerate("ABCDEFG"):
        expected = np.array(known["probs.se"][name])
        inside = expected > 1e-6
        np.testing.assert_allclose(errors[:, j][inside], expected[inside], rtol=1e-3)
        assert np.isnan(errors[:, j][~inside]).all()


def test_an_outer_class_of_answers_of_polca(reference):
    values = reference("latent_classes")
    rows, known = np.array(values["cheating_rows"]), values["cheating"]
    model = FiniteMixtureEM(2, family=Categorical(alpha=0), tol=1e-12, random_state=0).fit(rows)
    inference = model.inference(rows, information="empirical")
    order = np.argsort(-model.weights_)
    np.testing.assert_allclose(
        inference.standard_errors["weights"][order], known["P.se"], rtol=1e-4
    )


def families():
    rng = np.random.default_rng(1)
    z = rng.random(300) < 0.4
    counts = rng.poisson(np.where(z[:, None], [2.0, 9.0], [7.0, 3.0])).astype(float)
    items = (rng.random((300, 4)) < np.where(z[:, None], 0.8, 0.2)).astype(float)
    items[::9, 0] = np.nan
    words = rng.multinomial(12, [0.5, 0.3, 0.2], size=300).astype(float)
    words[z] = rng.multinomial(12, [0.1, 0.3, 0.6], size=300)[z]
    holes = FAITHFUL.copy()
    holes[::7, 0] = np.nan
    holes[3::11, 1] = np.nan
    for structure in ("full", "tied", "diag", "spherical", "EEV"):
        yield pytest.param(holes, Gaussian(structure), id=structure)
    yield pytest.param(holes, Gaussian("full", alpha=2.0), id="prior")
    yield pytest.param(counts, Poisson(), id="poisson")
    yield pytest.param(items, Bernoulli(), id="bernoulli")
    yield pytest.param(items, Categorical(alpha=0.1), id="categorical")
    yield pytest.param(words, Multinomial(), id="multinomial")
    mixed = ProductFamily([(Bernoulli(), range(4)), (Poisson(), [4])])
    yield pytest.param(np.c_[items, counts[:, :1]], mixed, id="product")
    yield pytest.param(counts, Mixture(Poisson(), n_parts=1), id="mixture")


@pytest.mark.parametrize(("X", "family"), families())
def test_scores_and_their_derivatives_are_those_of_the_objective(X, family):
    mixture = FiniteMixtureEM(2, family=family, random_state=0, max_iter=60)
    weight = np.random.default_rng(0).integers(1, 4, len(X)).astype(float)
    mixture.fit(X, sample_weight=weight)
    problem = mixture._fitted_problem(X, None, weight)
    model, data, params = problem.model, problem.data, problem.params
    around = model.space(params).coordinates(model.public(params))
    assert around.n_free == model.n_parameters(params)
    found = observed_information(model, data, params, around)
    with BlockMapper(model, data) as e_step:
        objective = _Objective(model, e_step, params, around)
        score, matrix = _by_values(objective, around.n_free)
    size = np.sqrt(np.abs(np.diag(found.matrix)))
    scale = np.outer(size, size)
    np.testing.assert_allclose(found.matrix / scale, matrix / scale, atol=3e-5)
    np.testing.assert_allclose(found.score / size, score / size, atol=1e-4)
    assert found.n_e_steps == 2 * around.n_free + 1


@pytest.mark.parametrize("alpha", [0.0, 5.0])
def test_rows_and_prior_have_the_score_of_the_whole(alpha):
    family = Gaussian("diag", alpha=alpha, reg_covar=0)
    mixture = FiniteMixtureEM(2, family=family, random_state=0, max_iter=5, tol=0)
    with pytest.warns(UserWarning, match="did not converge"):
        mixture.fit(FAITHFUL)
    problem = mixture._fitted_problem(FAITHFUL, None, None)
    model, data, params = problem.model, problem.data, problem.params
    around = model.space(params).coordinates(model.public(params))
    rows = empirical_information(model, data, params, around)
    whole = observed_information(model, data, params, around)
    size = np.sqrt(np.diag(rows.matrix))
    np.testing.assert_allclose(rows.score / size, whole.score / size, atol=1e-6)


@pytest.mark.parametrize("information", ["observed", "empirical", "sandwich"])
def test_weights_are_copies(information):
    rng = np.random.default_rng(5)
    weight = rng.integers(0, 3, len(FAITHFUL))
    copies = FAITHFUL.repeat(weight, axis=0)
    mixture = GaussianMixtureEM(2, tol=1e-10, random_state=0).fit(FAITHFUL, sample_weight=weight)
    one = mixture.inference(FAITHFUL, sample_weight=weight, information=information)
    other = mixture.inference(copies, information=information)
    np.testing.assert_allclose(one.standard_error, other.standard_error, rtol=1e-6)


def test_units_do_not_matter():
    scale, offset = np.array([1e3, 1e-4]), np.array([1e5, -3.0])
    mixture = GaussianMixtureEM(2, tol=1e-10, random_state=0)
    plain = mixture.fit(FAITHFUL).inference(FAITHFUL).standard_errors
    X = FAITHFUL * scale + offset
    moved = mixture.fit(X).inference(X).standard_errors
    order = np.argsort(mixture.means_[:, 0])
    np.testing.assert_allclose(moved["means"][order], plain["means"] * scale, rtol=1e-4)


def test_the_sandwich_equals_the_robust_error_of_a_mean():
    rng = np.random.default_rng(0)
    X = rng.exponential(size=(400, 1))
    mixture = FiniteMixtureEM(1, family=Poisson(alpha=0)).fit(np.floor(4 * X))
    counts = np.floor(4 * X[:, 0])
    sandwich = mixture.inference(counts[:, None], information="sandwich")
    np.testing.assert_allclose(sandwich.standard_error, counts.std() / 20.0, rtol=1e-6)
    observed = mixture.inference(counts[:, None])
    np.testing.assert_allclose(observed.standard_error, np.sqrt(counts.mean()) / 20.0, rtol=1e-6)


class Censored(LatentVariableModel):
    """Exponential lifetimes, some known only to exceed a limit; nothing beyond the contract."""

    def prepare(self, X, sample_weight=None):
        return X[:, 0], X[:, 1] > 0

    def total_weight(self, data):
        return float(len(data[0]))

    def initialize(self, data, rng):
        return data[0].mean()

    def e_step(self, block, mean):
        time, censored = block
        log_density = -time / mean - np.where(censored, 0.0, np.log(mean))
        return np.array([len(time), (time + mean * censored).sum()]), log_density.sum()

    def m_step(self, statistics, mean):
        return statistics[1] / statistics[0]


def test_a_model_of_ones_own_needs_nothing_more():
    model = Censored()
    data = model.prepare(np.array([[1.0, 0], [2.0, 0], [4.0, 1], [3.0, 1]]))
    inference = infer(FittedProblem(model, data, 5.0))
    assert inference.names == ("parameter",)
    np.testing.assert_allclose(inference.standard_error, 5.0 / np.sqrt(2.0), rtol=1e-6)
    with pytest.raises(NotImplementedError, match="define log_likelihoods"):
        infer(FittedProblem(model, data, 5.0), "sandwich")


def test_known_labels_count():
    rng = np.random.default_rng(0)
    z = rng.integers(0, 2, 200)
    X = rng.normal(2.0 * z)[:, None]
    y = np.where(np.arange(200) < 150, z, -1)
    known = FiniteMixtureEM(2, family=Gaussian("tied"), use_labels=True, tol=1e-10).fit(X, y)
    error = known.inference(X, y).standard_errors["weights"][0]
    # Less than from these rows alone without their labels, more than if all were known.
    low = np.sqrt(known.weights_.prod() / 200)
    assert low < error < 1.2 * low


def test_mean_of_normal_rows_has_its_textbook_error():
    X = np.random.default_rng(0).normal(3.0, 2.0, size=(50, 1))
    mixture = GaussianMixtureEM(1, reg_covar=0).fit(X)
    inference = mixture.inference(X)
    np.testing.assert_allclose(
        inference.standard_errors["means"][0, 0], X.std() / np.sqrt(50), rtol=1e-6
    )
    np.testing.assert_allclose(
        inference.standard_errors["covariances"][0, 0, 0], X.var() * np.sqrt(2 / 50), rtol=1e-6
    )


def test_mixed_derivatives_have_an_error_of_the_fourth_order():
    def value(v):
        return np.exp(v[0]) * np.sin(v[1])

    steps = np.array([0.1, 0.2])
    np.testing.assert_allclose(_mixed(value, 0, 1, steps), 1.0, rtol=2e-5)


def test_a_step_over_the_edge_is_made_shorter():
    def value(vector):
        if abs(vector[0]) > 0.05:
            raise DegenerateModelError("too far")
        return vector[0] ** 2

    assert _both_sides(value, np.ones(1), 1.0) == pytest.approx((0.01, 1e-4, 1e-4))

    def nowhere(vector):
        raise ValueError("no such parameters")

    with pytest.raises(DegenerateModelError, match=r"edge of what is possible \(no such param"):
        _both_sides(nowhere, np.ones(1), 1.0)


def test_steps_without_a_score_have_the_size_of_errors():
    class Objective:
        def value(self, vector):
            return -np.log(np.cosh(1e4 * vector[0] + 0.1)) - np.log(np.cosh(0.01 * vector[1]))

    score, information = _by_values(Objective(), 2)
    curvature = 1e8 / np.cosh(0.1) ** 2
    np.testing.assert_allclose(np.diagonal(information), [curvature, 1e-4], rtol=1e-5)
    np.testing.assert_allclose(score[0], -1e4 * np.tanh(0.1), rtol=1e-5)
