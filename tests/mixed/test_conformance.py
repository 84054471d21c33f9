"""The contract of the model with the engine.

The observations of the contract are independent, but rows of a mixed model are not. So the
observations here are data sets: responses to one design, with variances in common.
"""

import runpy
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emlearn.engine import BlockMapper, RemainingGain, run_em
from emlearn.engine.acceleration import find_accelerator
from emlearn.engine.fixed import FixedParameters
from emlearn.mixed._data import mixed_data
from emlearn.mixed._kinship import as_kinship
from emlearn.mixed._model import MixedModel
from emlearn.mixed._params import RESIDUAL, MixedStatistics
from emlearn.mixed._terms import Term
from emlearn.testing import check_latent_variable_model

direct = runpy.run_path(str(Path(__file__).with_name("direct.py")))["direct"]

N, SETS = 40, 3


def times(value, weight):
    if isinstance(value, tuple):
        return tuple(times(part, weight) for part in value)
    return weight * value


class ModelOfSets(MixedModel):
    """A mixed model of several data sets."""

    def prepare(self, X, sample_weight=None):
        weight = np.ones(len(X)) if sample_weight is None else sample_weight
        return [(data, float(w)) for (_, data), w in zip(X, weight, strict=True)]

    def total_weight(self, data):
        return sum(weight * own.n_observations for own, weight in data)

    def blocks(self, data):
        return data

    def initialize(self, data, rng):
        return super().initialize(data[0][0], rng)

    def e_step(self, block, params):
        data, weight = block
        statistics, log_likelihood = super().e_step(data, params)
        return MixedStatistics(*times(tuple(statistics), weight)), weight * log_likelihood


def term(rng, name, n_levels, q=1, *, pattern=None, kinship=None, grouped=True):
    index = rng.permutation(np.arange(N) % n_levels) if grouped else np.zeros(N, int)
    basis = rng.normal(2.0, 1.0, (N, q))
    if grouped:
        basis[:, 0] = 1.0
    if pattern is None:
        pattern = np.ones((q, q), bool) if grouped else np.ones((1, 1), bool)
    columns = tuple(f"c{j}" for j in range(q))
    levels = np.arange(n_levels)
    return Term(name, columns, levels, index, basis, pattern, kinship, grouped)


def relationship(rng, n):
    root = rng.normal(size=(n, 2 * n))
    return as_kinship(root @ root.T / (2 * n), "a")


CASES = {
    "intercepts": lambda rng: [term(rng, "a", 8)],
    "slopes": lambda rng: [term(rng, "a", 8, 2)],
    "independent slopes": lambda rng: [term(rng, "a", 8, 2, pattern=np.eye(2, dtype=bool))],
    "crossed": lambda rng: [term(rng, "a", 5), term(rng, "b", 8)],
    "kinship": lambda rng: [term(rng, "a", 12, kinship=relationship(rng, 12))],
    "columns": lambda rng: [term(rng, "z", 1, 5, grouped=False)],
    "no random effects": lambda rng: [],
}
each_case = pytest.mark.parametrize("case", CASES)
each_method = pytest.mark.parametrize("restricted", [True, False], ids=["reml", "ml"])


def problem(case, restricted):
    """Model and data sets whose residuals of least squares have one size, and so one unit."""
    rng = np.random.default_rng(2)
    terms = CASES[case](rng)
    X = np.column_stack([np.ones(N), rng.normal(3.0, 1.0, N)])
    sets = []
    for _ in range(SETS):
        y = rng.normal(size=N)
        for t in terms:
            effects = 1.5 * rng.normal(size=(len(t.levels), t.basis.shape[1]))
            if t.kinship is not None:
                effects = t.kinship.square_root() @ effects
            y += (t.basis * effects[t.index]).sum(axis=1)
        r = y - X @ np.linalg.lstsq(X, y, rcond=None)[0]
        y = X @ [1.0, 2.0] + 10.0 * r / np.linalg.norm(r)
        sets.append(((X, terms, y), mixed_data(X, terms, y, None)))
    names = tuple(t.name for t in terms)
    return ModelOfSets(names, tuple(t.pattern for t in terms), restricted), sets


def dense_likelihood(model, params, X, sample_weight):
    """See `direct.py`."""
    public = model.public(params)
    weight = np.ones(len(X)) if sample_weight is None else sample_weight
    total = 0.0
    for ((columns, terms, y), _), w in zip(X, weight, strict=True):
        covariances = [public[t.name] for t in terms]
        found = direct(
            columns, terms, y, covariances, float(public[RESIDUAL]), restricted=model.restricted
        )
        total += w * found.log_likelihood
    return total


@each_method
@each_case
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_contract(case, restricted, weighted):
    model, sets = problem(case, restricted)
    check_latent_variable_model(
        model,
        sets,
        sample_weight=np.array([1.0, 2.0, 0.5]) if weighted else None,
        score=dense_likelihood,
        take=lambda X, index: [X[i] for i in index],
        n_iter=10,
        max_iter=300,
    )


@each_method
@each_case
def test_held_variances_stay_and_the_objective_rises(case, restricted):
    model, sets = problem(case, restricted)
    data = model.prepare(sets)
    start = model.initialize(data, None)
    fixed = {name: np.full(np.shape(v), np.nan) for name, v in model.public(start).items()}
    fixed[RESIDUAL] = np.asarray(0.3)
    params = model.impose(start, fixed)
    limit = run_em(
        FixedParameters(model, fixed),
        data,
        params,
        convergence=RemainingGain(1e-13),
        max_iter=1000,
        accelerator=find_accelerator("squarem"),
    )
    assert limit.converged
    rises = np.diff([record.objective for record in limit.history])
    assert (rises >= -1e-9 * abs(limit.objective)).all()
    public = model.public(limit.params)
    assert_allclose(public[RESIDUAL], 0.3, rtol=1e-12)
    around = model.space(limit.params).coordinates(public, fixed)
    score = around.pull(model.score(limit.statistics, limit.params), np.zeros(around.n_free))
    assert_allclose(score, 0.0, atol=1e-3)


@each_method
@each_case
def test_gradient_of_newton_steps(case, restricted):
    """The gradient in the vector form, by finite differences of the dense likelihood."""
    model, sets = problem(case, restricted)
    data = model.prepare(sets)
    params = model.initialize(data, None)
    with BlockMapper(model, data) as e_step:
        for _ in range(3):
            params = model.m_step(e_step(params)[0], params)
        gradient, information = model.curvature(e_step(params)[0], params)
    vector, h = model.to_vector(params), 1e-5

    def objective(at):
        return dense_likelihood(model, model.from_vector(at, params), sets, None)

    steps = h * np.eye(len(vector))
    expected = [(objective(vector + d) - objective(vector - d)) / (2 * h) for d in steps]
    assert_allclose(gradient, expected, rtol=1e-5, atol=1e-5)
    assert np.linalg.eigvalsh(information).min() > 0.0
