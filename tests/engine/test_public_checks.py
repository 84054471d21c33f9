"""Checks of published parameters: sound models pass, and each fails on a model that breaks it."""

import numpy as np
import pytest

from emlearn.distributions import Categorical, Gaussian, Mixture, Poisson, find_family
from emlearn.engine.parameters import Entries, ParameterSpace
from emlearn.latent import LabelModel, MixtureLaw, Observations
from emlearn.latent.starts import RowsStart
from emlearn.testing._case import ModelCase
from emlearn.testing._kit import take_rows
from emlearn.testing._public_checks import PUBLIC_CHECKS

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(120, 3)) + np.repeat([0.0, 3.0], 60)[:, None]
ROWS[3, 1] = np.nan
ITEMS = (RNG.random((120, 4)) < np.repeat([0.2, 0.8], 60)[:, None]) * RNG.integers(1, 3, (120, 4))
COUNTS = RNG.poisson(np.repeat([2, 9], 60)[:, None], (120, 2)).astype(float)


class Labels(LabelModel):
    def prepare(self, X, sample_weight=None):
        return super().prepare(Observations(X), sample_weight)


def case_of(model, X):
    return ModelCase(model, X, None, None, take_rows, 0, 20, 2000, 1e-8, 2.2e-16)


def model_of(family, kind=Labels):
    return kind(MixtureLaw(2, 0.5), family, RowsStart())


FAMILIES = [
    *(
        (Gaussian(structure, alpha=alpha), ROWS)
        for structure in ("full", "tied", "diag", "spherical", "EEV")
        for alpha in (0.0, 3.0)
    ),
    (Gaussian("factor", n_factors=1), ROWS),
    (Categorical(), ITEMS.astype(float)),
    (Poisson(), COUNTS),
    (Mixture(Poisson()), COUNTS),
    (Mixture(Gaussian("tied")), ROWS),
    (find_family([("gaussian", [0, 1]), ("poisson", [2])]).at_columns(None, 3), None),
]


@pytest.mark.parametrize(("family", "X"), FAMILIES, ids=[repr(own) for own, _ in FAMILIES])
def test_families_pass(family, X):
    X = np.column_stack([ROWS[:, [0, 2]], COUNTS[:, 0]]) if X is None else X
    case = case_of(model_of(family), X)
    for check in PUBLIC_CHECKS:
        check(case)


class AnotherPublic(Labels):
    def from_public(self, public, like):
        return super().from_public({**public, "mean": public["mean"] * 1.001}, like)


class AnotherSpace(Labels):
    def space(self, params):
        return ParameterSpace({"mean": Entries(("component", "feature"))})


class Unbounded(Labels):
    def space(self, params):
        parts = {**super().space(params).parts}
        return ParameterSpace({**parts, "mean": Entries(("component", "feature"), lower=9.0)})


class AnotherScore(Labels):
    def score(self, statistics, params):
        gradient = super().score(statistics, params)
        return {**gradient, "covariance": gradient["covariance"] * 1.01}


class ShortLikelihoods(Labels):
    def log_likelihoods(self, data, params):
        values, weight = super().log_likelihoods(data, params)
        return values, weight * 0.999


class Forgetful(Labels):
    def constrained_m_step(self, statistics, params, fixed):
        return self.m_step(statistics, params)


class PutIn(Labels):
    """The default, which is not the maximum where means and covariances depend on each other."""

    def constrained_m_step(self, statistics, params, fixed):
        return self.impose(self.m_step(statistics, params), fixed)


@pytest.mark.parametrize(
    ("check", "kind", "message"),
    [
        ("check_public_round_trip", AnotherPublic, "does not undo public"),
        ("check_space_describes_public", AnotherSpace, "in only one of public and space"),
        ("check_space_describes_public", Unbounded, "outside of"),
        ("check_gradient", AnotherScore, "the score gives"),
        ("check_log_likelihoods", ShortLikelihoods, "do not add up"),
        ("check_constrained_m_step", Forgetful, "held change"),
    ],
)
def test_broken_models_fail(check, kind, message):
    case = case_of(model_of(Gaussian(), kind), ROWS)
    function = {own.__name__: own for own in PUBLIC_CHECKS}[check]
    with pytest.raises(AssertionError, match=message):
        function(case)


def test_an_m_step_that_only_puts_entries_in_fails():
    rows = np.random.default_rng(0).normal(size=(30, 3)) @ np.array(
        [[1.0, 2.0, 0.0], [0.0, 1.0, 3.0], [0.0, 0.0, 0.1]]
    )
    case = case_of(PutIn(MixtureLaw(1), Gaussian(), RowsStart()), rows)
    function = PUBLIC_CHECKS[-1]
    # Where the mean is far from the rows and the covariance is wide enough for it, the covariance
    # about the mean of the rows is too small for a mean that is held.
    public = case.model.public(case.start)
    off = np.array([3.0, 0.0, -2.0])
    public["mean"] = public["mean"] + off
    public["covariance"] = public["covariance"] + np.outer(off, off)
    away = case.model.from_public(public, case.start)
    object.__setattr__(case, "start", away)
    with pytest.raises(AssertionError, match="objective fell"):
        function(case)
    sound = case_of(Labels(MixtureLaw(1), Gaussian(), RowsStart()), rows)
    object.__setattr__(sound, "start", away)
    function(sound)
