"""Likelihood, effects, their errors and derivatives against dense formulas."""

import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emlearn.mixed._data import mixed_data
from emlearn.mixed._effects import random_effects
from emlearn.mixed._kinship import Kinship
from emlearn.mixed._model import MixedModel
from emlearn.mixed._params import RESIDUAL
from emlearn.mixed._terms import Term
from emlearn.mixed._uncertainty import uncertainty_of

_DEFINITIONS = runpy.run_path(str(Path(__file__).with_name("direct.py")))
direct, design_of = _DEFINITIONS["direct"], _DEFINITIONS["design_of"]

N = 60


class Matrix(Kinship):
    """A kinship from its root."""

    def __init__(self, root):
        self.root = root

    @property
    def levels(self):
        return np.arange(len(self.root))

    def square_root(self):
        return self.root

    def diagonal(self):
        return np.square(self.root).sum(axis=1)


def term(rng, name, n_levels, columns=1, *, pattern=None, kinship=None, grouped=True):
    index = rng.integers(0, n_levels, N)
    basis = np.column_stack([np.ones(N), rng.normal(size=(N, columns - 1))])[:, :columns]
    if not grouped:
        index, basis = np.zeros(N, int), rng.normal(size=(N, columns))
    pattern = np.ones((columns, columns), bool) if pattern is None else pattern
    if not grouped:
        pattern = np.ones((1, 1), bool)
    names = tuple(f"c{j}" for j in range(columns))
    levels = np.arange(n_levels) if kinship is None else kinship.levels
    return Term(name, names, levels, index, basis, pattern, kinship, grouped)


def slope_with_kinship(rng):
    """A slope that is 0 in some rows and close to it in others: these tell little of levels."""
    whole = term(rng, "a", 70, kinship=Matrix(rng.normal(size=(80, 90))))
    slope = rng.normal(size=(N, 1))
    slope[:10], slope[10:20] = 0.0, 1e-3 * slope[10:20]
    return replace(whole, basis=slope)


CASES = {
    "one group": lambda rng: [term(rng, "a", 7)],
    "slopes": lambda rng: [term(rng, "a", 7, 2)],
    "three independent effects": lambda rng: [term(rng, "a", 7, 3, pattern=np.eye(3, dtype=bool))],
    "blocks of effects": lambda rng: [
        term(rng, "a", 7, 3, pattern=np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]], bool))
    ],
    "crossed": lambda rng: [term(rng, "a", 5), term(rng, "b", 9)],
    "crossed with slopes": lambda rng: [term(rng, "a", 5, 2), term(rng, "b", 9, 2)],
    "three terms": lambda rng: [term(rng, "a", 4), term(rng, "b", 9), term(rng, "c", 5, 2)],
    "more levels than rows": lambda rng: [term(rng, "a", 100)],
    "kinship": lambda rng: [term(rng, "a", 20, kinship=Matrix(rng.normal(size=(20, 30))))],
    "thin kinship": lambda rng: [term(rng, "a", 20, kinship=Matrix(rng.normal(size=(20, 4))))],
    "kinship with unseen levels": lambda rng: [
        term(rng, "a", 12, kinship=Matrix(rng.normal(size=(20, 30))))
    ],
    "kinship of more levels than rows": lambda rng: [
        term(rng, "a", 70, kinship=Matrix(rng.normal(size=(80, 90))))
    ],
    "kinship of a slope": lambda rng: [slope_with_kinship(rng)],
    "kinship with slopes": lambda rng: [
        term(rng, "a", 9, 2, kinship=Matrix(rng.normal(size=(9, 9))))
    ],
    "two kinships": lambda rng: [
        term(rng, "a", 9, kinship=Matrix(rng.normal(size=(9, 12)))),
        term(rng, "b", 15, kinship=Matrix(rng.normal(size=(15, 15)))),
    ],
    "kinship and group": lambda rng: [
        term(rng, "a", 9, kinship=Matrix(rng.normal(size=(9, 12)))),
        term(rng, "b", 25, 2),
    ],
    "columns": lambda rng: [term(rng, "a", 1, 8, grouped=False)],
    "columns and group": lambda rng: [term(rng, "a", 1, 8, grouped=False), term(rng, "b", 12)],
    "no term": lambda rng: [],
}


class Problem:
    """Rows, terms and variances of a case."""

    def __init__(self, case, weights="none", restricted=True):
        rng = np.random.default_rng(3)
        self.terms = CASES[case](rng)
        self.X = np.column_stack([np.ones(N), rng.normal(5.0, 2.0, N)])
        self.y = 20.0 + 3.0 * rng.normal(size=N)
        self.weight = None if weights == "none" else rng.integers(1, 4, N).astype(float)
        self.precision = weights == "precision"
        self.restricted = restricted
        self.public = {RESIDUAL: np.asarray(2.5)}
        for t in self.terms:
            q = len(t.pattern)
            root = rng.normal(size=(q, q + 2))
            self.public[t.name] = np.where(t.pattern, root @ root.T, 0.0)
        self.data = mixed_data(
            self.X, self.terms, self.y, self.weight, precision_weights=self.precision
        )
        self.model = MixedModel(
            tuple(t.name for t in self.terms), tuple(t.pattern for t in self.terms), restricted
        )
        like = self.model.initialize(self.data, None)
        self.params = self.model.from_public(self.public, like)

    def direct(self, public=None):
        public = self.public if public is None else public
        return direct(
            self.X,
            self.terms,
            self.y,
            [public[t.name] for t in self.terms],
            float(public[RESIDUAL]),
            weight=self.weight,
            precision=self.precision,
            restricted=self.restricted,
        )


WEIGHTS = ["none", "copies", "precision"]


@pytest.mark.parametrize("restricted", [True, False], ids=["reml", "ml"])
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("case", CASES)
def test_likelihood_and_fixed_effects(case, weights, restricted):
    problem = Problem(case, weights, restricted)
    expected = problem.direct()
    _, value = problem.model.e_step(problem.data, problem.params)
    assert value == pytest.approx(expected.log_likelihood, rel=1e-11)
    equations = problem.model.equations(problem.data, problem.params)
    found = problem.data.basis.coefficients(equations.coefficients)
    np.testing.assert_allclose(found, expected.coefficients, rtol=1e-9)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("case", [case for case in CASES if case != "no term"])
def test_effects_and_their_errors(case, weights):
    problem = Problem(case, weights)
    expected = problem.direct()
    equations = problem.model.equations(problem.data, problem.params)
    terms = problem.terms
    diagonals = [None if t.kinship is None else t.kinship.diagonal() for t in terms]
    uncertainty = uncertainty_of(
        equations, problem.params.residual, diagonals, [t.grouped for t in terms]
    )
    for at, j in enumerate(problem.data.order):
        found = random_effects(terms[j], at, equations, uncertainty)
        q = found.effects.shape[1]
        np.testing.assert_allclose(found.effects.ravel(), expected.effects[j], atol=1e-9)
        for own, whole in (
            (found.variances, expected.errors[j]),
            (found.conditional_variances, expected.conditional_errors[j]),
        ):
            for i, block in enumerate(own):
                at_level = slice(i * q, (i + 1) * q)
                np.testing.assert_allclose(block, whole[at_level, at_level], atol=1e-8)


@pytest.mark.parametrize("case", [case for case in CASES if case != "no term"])
def test_errors_of_rows(case):
    problem = Problem(case, "precision")
    expected = problem.direct()
    equations = problem.model.equations(problem.data, problem.params)
    terms = problem.terms
    diagonals = [None if t.kinship is None else t.kinship.diagonal() for t in terms]
    uncertainty = uncertainty_of(
        equations, problem.params.residual, diagonals, [t.grouped for t in terms]
    )
    found = uncertainty.row_variances(problem.X, [t.index for t in terms], [t.basis for t in terms])
    designs = [design_of(t) for t in terms]
    V = np.diag(float(problem.public[RESIDUAL]) / problem.weight)
    cross = 0.0
    for t, (design, kinship) in zip(terms, designs, strict=True):
        cross = cross + design @ np.kron(kinship, problem.public[t.name]) @ design.T
    V = V + cross
    inverse = np.linalg.inv(V)
    mean = cross @ inverse
    left = problem.X - mean @ problem.X
    whole = cross - cross @ inverse @ cross + left @ expected.covariance @ left.T
    np.testing.assert_allclose(found, np.diagonal(whole), rtol=1e-8)
    # Unknown levels.
    none = uncertainty.row_variances(problem.X, [None for _ in terms], [t.basis for t in terms])
    assert (none > 0.0).all()


def numerical(function, at, step=1e-5):
    found = np.zeros(at.size)
    for i in range(at.size):
        move = np.zeros(at.size)
        move[i] = step
        found[i] = (function(at + move) - function(at - move)) / (2 * step)
    return found


@pytest.mark.parametrize("restricted", [True, False], ids=["reml", "ml"])
@pytest.mark.parametrize("case", CASES)
def test_gradient_of_the_vector_form(case, restricted):
    problem = Problem(case, "precision", restricted)
    model, params = problem.model, problem.params
    statistics, _ = model.e_step(problem.data, params)
    gradient, information = model.curvature(statistics, params)

    def value(vector):
        return problem.direct(model.public(model.from_vector(vector, params))).log_likelihood

    expected = numerical(value, model.to_vector(params))
    np.testing.assert_allclose(gradient, expected, atol=1e-6 * np.abs(expected).max() + 1e-6)
    assert np.linalg.eigvalsh(information).min() > 0.0


@pytest.mark.parametrize("case", CASES)
def test_score_of_published_parameters(case):
    problem = Problem(case)
    model, params = problem.model, problem.params
    statistics, _ = model.e_step(problem.data, params)
    score = model.score(statistics, params)
    space = model.space(params)
    around = space.coordinates(model.public(params))

    def value(vector):
        return problem.direct(around.move(vector)).log_likelihood

    expected = numerical(value, np.zeros(around.n_free))
    found = around.pull(score, np.zeros(around.n_free))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", [case for case in CASES if case != "no term"])
def test_average_information(case):
    """Half of y' P V_i P V_j P y."""
    problem = Problem(case)
    model, params = problem.model, problem.params
    statistics, _ = model.e_step(problem.data, params)

    def covariance(vector):
        public = model.public(model.from_vector(vector, params))
        V = float(public[RESIDUAL]) * np.eye(N)
        for t in problem.terms:
            design, kinship = design_of(t)
            V = V + design @ np.kron(kinship, public[t.name]) @ design.T
        return V

    at = model.to_vector(params)
    V = covariance(at)
    inverse, X = np.linalg.inv(V), problem.X
    P = inverse - inverse @ X @ np.linalg.inv(X.T @ inverse @ X) @ X.T @ inverse
    step = 1e-5
    directions = []
    for i in range(at.size):
        move = np.zeros(at.size)
        move[i] = step
        directions.append((covariance(at + move) - covariance(at - move)) / (2 * step))
    working = np.array([d @ P @ problem.y for d in directions]).T
    expected = 0.5 * working.T @ P @ working
    np.testing.assert_allclose(statistics.information, expected, atol=1e-6 * np.abs(expected).max())
