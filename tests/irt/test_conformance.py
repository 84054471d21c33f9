"""The contract of the model with the engine, for each response model and each kind of trait."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emlearn.engine import BlockMapper
from emlearn.irt._latent import LatentLaw
from emlearn.irt._model import ItemResponseModel
from emlearn.irt._persons import ABSENT, Persons
from emlearn.irt._prior import ItemPrior
from emlearn.irt._responses import RESPONSE_MODELS
from emlearn.testing import check_latent_variable_model

BETWEEN = np.array([[1, 0]] * 3 + [[0, 1]] * 3)
BIFACTOR = np.array([[1, 1, 0]] * 3 + [[1, 0, 1]] * 3)


def cells(loads):
    return tuple(tuple(bool(cell) for cell in row) for row in loads)


def problem(name, draw):
    """Model and persons."""
    rng = np.random.default_rng(5)
    prior, loads, groups, covariates, theta = ItemPrior(), None, None, None, None
    law, n_nodes, kind, n = LatentLaw(), 61, name, 250
    if name == "3pl":
        prior = ItemPrior(guessing=(5, 17))
    elif name == "priors":
        kind, prior = "2pl", ItemPrior(slopes=(0.0, 0.5), intercepts=(0.0, 2.0))
    elif name == "common prior":
        kind, prior = "1pl", ItemPrior(slopes=(0.0, 0.2))
    elif name == "groups":
        kind, law = "2pl", LatentLaw(n_groups=2)
        groups = (rng.random(n) < 0.4).astype(np.intp)
        theta = (rng.standard_normal(n) * np.where(groups, 1.3, 1.0) + 0.5 * groups)[:, None]
    elif name == "covariates":
        kind, law = "grm", LatentLaw(n_covariates=2)
        covariates = rng.standard_normal((n, 2))
        theta = (covariates @ [0.5, -0.3] + rng.standard_normal(n))[:, None]
    elif name == "correlated":
        kind, law, loads, n_nodes = "2pl", LatentLaw(n_dims=2, correlated=True), BETWEEN, 15
        theta = rng.multivariate_normal([0, 0], [[1.0, 0.5], [0.5, 1.0]], n)
    elif name == "groups of two dimensions":
        kind, loads, n_nodes = "2pl", BETWEEN, 15
        law = LatentLaw(n_dims=2, n_groups=2, correlated=True)
        groups = (rng.random(n) < 0.4).astype(np.intp)
        theta = rng.multivariate_normal([0, 0], [[1.0, 0.5], [0.5, 1.0]], n)
        theta += groups[:, None] * [0.8, -0.5]
    elif name == "regression of two dimensions":
        kind, loads, n_nodes = "2pl", BETWEEN, 15
        law = LatentLaw(n_dims=2, n_covariates=2, correlated=True)
        covariates = rng.standard_normal((n, 2))
        theta = rng.multivariate_normal([0, 0], [[1.0, 0.5], [0.5, 1.0]], n)
        theta += covariates @ [[0.5, 0.2], [-0.6, 0.9]]
    elif name == "bifactor":
        kind, law, loads, n_nodes = "2pl", LatentLaw(n_dims=3), BIFACTOR, 9
    sizes = (2,) * 6 if RESPONSE_MODELS[kind].is_binary else (4, 2, 3, 3, 2, 4)
    X = draw(kind, n, sizes, theta=theta, loads=loads, absent=0.1)
    codes = np.where(np.isnan(X), ABSENT, np.nan_to_num(X)).astype(np.int8)
    model = ItemResponseModel(
        RESPONSE_MODELS[kind](sizes), law, prior, n_nodes, None if loads is None else cells(loads)
    )
    return model, Persons(codes, groups, covariates)


NAMES = [*RESPONSE_MODELS, "priors", "common prior", "groups", "covariates"]
SLOW = ["correlated", "bifactor", "groups of two dimensions", "regression of two dimensions"]


@pytest.mark.parametrize("name", NAMES + SLOW)
def test_contract(name, draw):
    model, persons = problem(name, draw)
    check_latent_variable_model(
        model,
        persons,
        sample_weight=np.ones(len(persons.codes)),
        take=lambda X, index: X.take(index),
        # EM crawls along the specific dimensions of few items.
        max_iter=50 if name in SLOW else 2000,
        n_iter=10,
    )


@pytest.mark.parametrize("name", NAMES + SLOW)
def test_score_is_the_gradient_of_the_objective(name, draw):
    model, persons = problem(name, draw)
    data = model.prepare(persons)
    params = model.initialize(data, np.random.default_rng(0))
    with BlockMapper(model, data) as e_step:
        for _ in range(3):
            params = model.m_step(e_step(params)[0], params)
        public = model.public(params)
        around = model.space(params).coordinates(public)
        statistics, _ = e_step(params)
        found = around.pull(model.score(statistics, params), np.zeros(around.n_free))

        def objective(vector):
            at = model.from_public(around.move(vector), params)
            return e_step(at)[1] + model.log_prior(at)

        h = 1e-5
        expected = [
            (objective(h * unit) - objective(-h * unit)) / (2 * h) for unit in np.eye(around.n_free)
        ]
    assert_allclose(found, expected, rtol=1e-5, atol=2e-4)
    assert around.n_free == model.n_parameters(params)
    back = model.public(model.from_public(public, params))
    for key, values in public.items():
        assert_allclose(back[key], values, rtol=1e-12)


def test_direction_of_the_trait(draw):
    model, persons = problem("regression of two dimensions", draw)
    data = model.prepare(persons)
    params = model.initialize(data, np.random.default_rng(0))
    with BlockMapper(model, data) as e_step:
        for _ in range(3):
            params = model.m_step(e_step(params)[0], params)
        turned = params._replace(
            items=params.items._replace(slopes=params.items.slopes * [-1.0, 1.0]),
            latent=model.law.turned(params.latent, np.array([-1.0, 1.0])),
        )
        assert_allclose(e_step(turned)[1], e_step(params)[1], rtol=1e-12)
    back = model.oriented(turned)
    for left, right in zip(
        (*back.items, *back.latent), (*params.items, *params.latent), strict=True
    ):
        assert_allclose(left, right)
    assert back.latent.covariances[0, 0, 1] != turned.latent.covariances[0, 0, 1]


@pytest.mark.parametrize("name", ["1pl", "2pl", "3pl", "grm", "groups", "covariates"])
def test_held_entries_stay_and_the_objective_rises(name, draw):
    model, persons = problem(name, draw)
    data = model.prepare(persons)
    params = model.initialize(data, np.random.default_rng(0))
    fixed = {}
    for key, values in model.public(params).items():
        fixed[key] = np.full(values.shape, np.nan)
    location = "thresholds" if "thresholds" in fixed else "difficulty"
    fixed[location][0] = np.where(np.isnan(model.public(params)[location][0]), np.nan, 0.3)
    if location == "thresholds":
        fixed[location][0] = [-0.5, 0.3, 0.9]
    if name != "1pl":
        fixed["discrimination"][1] = 1.3
    if name == "groups":
        fixed["latent_mean"][1] = 0.4
    if name == "covariates":
        fixed["coefficients"][1] = 0.1
    params = model.impose(params, fixed)
    with BlockMapper(model, data) as e_step:
        last = -np.inf
        for _ in range(15):
            statistics, value = e_step(params)
            value += model.log_prior(params)
            assert value >= last - 1e-9 * abs(value)
            last = value
            params = model.constrained_m_step(statistics, params, fixed)
            for key, values in model.public(params).items():
                held = ~np.isnan(fixed[key])
                assert_allclose(values[held], fixed[key][held], rtol=1e-12)
        # At the limit the free coordinates have no gradient.
        for _ in range(300):
            params = model.constrained_m_step(e_step(params)[0], params, fixed)
        around = model.space(params).coordinates(model.public(params), fixed)
        score = around.pull(model.score(e_step(params)[0], params), np.zeros(around.n_free))
    assert_allclose(score, 0.0, atol=2e-2)
