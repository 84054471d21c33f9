"""Perturbations against calculations by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from scipy.special import softmax

from emlearn.distributions import Poisson
from emlearn.latent import LabelModel, LabelParams, MixtureLaw, MixtureParams, Observations
from emlearn.latent.perturb import split_component
from emlearn.latent.starts import RowsStart

WEIGHTS, RATES = np.array([0.7, 0.28, 0.02]), np.array([2.0, 9.0, 30.0])


class Recorder:
    """A generator that records what is drawn and with which probabilities."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.drawn = []

    def choice(self, n, p):
        value = self.rng.choice(n, p=p)
        self.drawn.append((int(value), p))
        return value


@pytest.fixture(scope="module")
def setting():
    rng = np.random.default_rng(0)
    X = rng.poisson(RATES[rng.choice(3, 300, p=WEIGHTS)])[:, None] + 0.0
    model = LabelModel(MixtureLaw(3), Poisson(), RowsStart())
    data = model.prepare(Observations(X))
    start = model.initialize(data, rng).components
    components = start._replace(mean=RATES[:, None])
    return model, data, LabelParams(MixtureParams(WEIGHTS), components, data.column_spec)


@pytest.mark.parametrize("seed", range(8))
def test_a_component_is_taken_away_and_another_split(seed, setting):
    model, data, params = setting
    density = stats.poisson.logpmf(data.X.T, RATES[:, None])
    posterior = softmax(density + np.log(WEIGHTS)[:, None], axis=0) * data.row_weight
    visits = posterior.sum(axis=1)
    recorder = Recorder(seed)
    changed = split_component(model, data, params, recorder)
    (moved, light), (row, chance) = recorder.drawn
    # Lighter components are more likely to be removed.
    assert_allclose(light, (1.0 / visits) / (1.0 / visits).sum())
    # Its rows go to the others, by their responsibilities.
    others = density + np.log(visits)[:, None]
    others[moved] = -np.inf
    expected = posterior + softmax(others, axis=0) * posterior[moved]
    expected[moved] = 0.0
    # The component of the drawn row is split.
    home = expected.argmax(axis=0)
    first, _, weight = data.distinct
    size = np.bincount(home, data.row_weight, 3)[home[first]]
    assert_allclose(chance, weight * size / (weight @ size))
    split = home[first[row]]
    rest = ({0, 1, 2} - {moved, split}).pop()
    assert_allclose(changed[rest], expected[rest], rtol=1e-10, atol=1e-12)
    assert_allclose(changed[split] + changed[moved], expected[split], rtol=1e-10, atol=1e-12)
    # Nine tenths of each row in one half of it go to one side.
    share = changed[moved] / expected[split]
    assert_allclose(np.abs(share - 0.5), 0.4, rtol=1e-6)
    upper = share > 0.5
    own, half = expected[split], 0.5 * expected[split].sum()
    assert own[upper].sum() >= half - 1e-9
    assert own[upper].sum() < half + own.reshape(-1)[upper].max() + 1e-9
