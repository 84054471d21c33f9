"""EM on Gaussian rows with missing entries."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from emlearn.distributions import Gaussian
from emlearn.distributions.gaussian.structures import STRUCTURES
from emlearn.engine import RemainingGain, Threads, run_em
from emlearn.latent import LabelModel, MixtureLaw, Observations
from emlearn.latent.starts import GivenStart

ALL = sorted(STRUCTURES)


def fitted(name, X, ridge, K=2, n_iter=60, n_threads=1, start=None):
    start = np.random.default_rng(0).dirichlet(np.ones(K), len(X)) if start is None else start
    family = Gaussian(name, reg_covar=ridge)
    model = LabelModel(MixtureLaw(K), family, GivenStart(start))
    data = model.prepare(Observations(X))
    run = run_em(
        model, data, model.initialize(data, np.random.default_rng(0)),
        convergence=RemainingGain(0.0), max_iter=n_iter, mapper=Threads(n_threads),
    )  # fmt: skip
    return family, run


@pytest.mark.parametrize("name", ALL)
def test_the_objective_never_falls_with_a_ridge_and_holes(kernels, name, table):
    X = table(200, 4, 0.35) / np.logspace(0, 2, 4)
    _, run = fitted(name, X, 0.05)
    objective = run.history.as_arrays()["objective"]
    assert len(objective) > 30
    assert np.diff(objective).min() > -1e-11 * np.abs(objective).max()


def test_a_ridge_adds_nothing_where_nothing_is_observed():
    """A column that all rows of one cluster lack: its variance stays bounded."""
    rng = np.random.default_rng(0)
    side = np.repeat([0, 1], 150)
    X = rng.normal(size=(300, 3)) + 8.0 * side[:, None]
    X[side == 1, 2] = np.nan
    start = np.eye(2)[side]
    found = []
    for n_iter in (5, 50, 500):
        family, run = fitted("full", X, 0.1, n_iter=n_iter, start=start)
        public = family.to_public(run.params.components, run.params.column_spec)
        found.append(public["covariance"][1, 2, 2])
    assert_allclose(found[1:], found[0], rtol=0.2)


@pytest.mark.parametrize("name", ALL)
def test_same_bits_for_any_number_of_threads(name, table):
    X = table(9000, 6, 0.1)
    runs = [fitted(name, X, "auto", n_iter=3, n_threads=t)[1] for t in (1, 2, 3)]
    for run in runs[1:]:
        assert run.objective == runs[0].objective
        for a, b in zip(run.params.components[:2], runs[0].params.components[:2], strict=True):
            assert_array_equal(a, b)
