"""Filtered probabilities, forecasts and continued samples, against enumeration of all paths."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from emlearn import HiddenMarkovEM
from emlearn.distributions import Categorical, Gaussian, Mixture, Poisson

TRANSMAT = np.array([[0.8, 0.15, 0.05], [0.1, 0.7, 0.2], [0.25, 0.05, 0.7]])
START = np.array([0.5, 0.3, 0.2])
RATES = np.array([[1.0], [5.0], [14.0]])
MODEL = HiddenMarkovEM.from_parameters(
    START, TRANSMAT, {"rate": RATES}, family="poisson", random_state=0
)
X = np.array([[0], [2], [13], [np.nan], [6], [16], [1], [0]], float)
LENGTHS = [5, 1, 2]
PARTS = [slice(0, 5), slice(5, 6), slice(6, 8)]


def log_density(X):
    return np.where(np.isnan(X.T), 0.0, stats.poisson(RATES).logpmf(np.nan_to_num(X.T)))


def test_filter(enumerate_paths):
    found = MODEL.filter(X, LENGTHS)
    joint = log_density(X)
    for part in PARTS:
        for now in range(part.start, part.stop):
            prefix = enumerate_paths(joint[:, part.start : now + 1], START, TRANSMAT)
            assert_allclose(found[now], prefix.smoothed[:, -1], atol=1e-13)
    # In the last row, nothing is left to smooth with.
    last = np.cumsum(LENGTHS) - 1
    assert_allclose(found[last], MODEL.predict_proba(X, LENGTHS)[last], atol=1e-13)


@pytest.mark.parametrize("steps", [1, 2, 4, 7])
def test_ahead(steps, enumerate_paths):
    """Rows that are not observed yet are missing rows."""
    found = MODEL.predict_ahead_proba(X, LENGTHS, steps=steps)
    joint = log_density(X)
    for part in PARTS:
        for now in range(part.start, part.stop):
            seen = joint[:, part.start : now + 1].copy()
            seen[:, max(seen.shape[1] - steps, 0) :] = 0.0
            prefix = enumerate_paths(seen, START, TRANSMAT)
            assert_allclose(found[now], prefix.smoothed[:, -1], atol=1e-13)
    expected, std = MODEL.predict_ahead(X, LENGTHS, steps=steps, return_std=True)
    assert_array_equal(expected, MODEL.predict_ahead(X, LENGTHS, steps=steps))
    assert_moments(found, expected, std)


def assert_moments(probability, expected, std):
    """Moments of the mixture of Poisson distributions, by sums over all counts."""
    counts = np.arange(120)
    mass = probability @ stats.poisson(RATES).pmf(counts)
    assert_allclose(expected[:, 0], mass @ counts, rtol=1e-10)
    second = mass @ np.square(counts)
    assert_allclose(std[:, 0], np.sqrt(second - np.square(mass @ counts)), rtol=1e-10)


@pytest.mark.parametrize("steps", [1, 3])
def test_forecast(steps, enumerate_paths):
    found = MODEL.forecast_proba(steps, X, LENGTHS)
    joint = log_density(X)
    expected = []
    for part in PARTS:
        longer = np.hstack([joint[:, part], np.zeros((3, steps))])
        expected.append(enumerate_paths(longer, START, TRANSMAT).smoothed[:, -steps:].T)
    assert_allclose(found, np.concatenate(expected), atol=1e-13)
    values, std = MODEL.forecast(steps, X, LENGTHS, return_std=True)
    assert values.shape == std.shape == (3 * steps, 1)
    assert_moments(found, values, std)
    assert_array_equal(MODEL.forecast(steps, [X[part] for part in PARTS]), values)


def test_the_sequences_of_the_fit(gaussian_chains):
    rows, lengths, _ = gaussian_chains
    fit = HiddenMarkovEM(3, random_state=0).fit(rows, lengths=lengths)
    assert_allclose(
        fit.last_state_proba_, fit.filter(rows, lengths)[np.cumsum(lengths) - 1], atol=1e-10
    )
    for mine, given in zip(
        fit.forecast(4, return_std=True),
        fit.forecast(4, rows, lengths, return_std=True),
        strict=True,
    ):
        assert mine.shape == (4 * len(lengths), 2)
        assert_allclose(mine, given, rtol=1e-9)
    # A known last state is known to the forecast, too.
    y = np.full(len(rows), -1)
    y[-1] = 2
    known = HiddenMarkovEM(3, use_labels=True, random_state=0).fit(rows, y, lengths=lengths)
    assert_array_equal(known.last_state_proba_[-1], [0.0, 0.0, 1.0])
    assert_allclose(known.forecast_proba(1)[-1], known.transmat_[2], rtol=1e-12)
    # Weights and the order of the blocks leave the sequences where they are.
    weight = np.ones(len(lengths))
    weight[1] = 0.0
    weighted = HiddenMarkovEM(3, random_state=0).fit(rows, lengths=lengths, sample_weight=weight)
    assert len(weighted.last_state_proba_) == len(lengths)
    last = weighted.filter(rows, lengths)[np.cumsum(lengths) - 1]
    assert_allclose(weighted.last_state_proba_, last, atol=1e-10)


def test_large_means_do_not_cancel():
    means = 1e8 + np.array([[0.0], [1.0], [2.0]])
    model = HiddenMarkovEM.from_parameters(
        START, TRANSMAT, {"mean": means, "covariance": np.full((3, 1, 1), 0.25)}
    )
    probability = model.forecast_proba(1, means)
    _, std = model.forecast(1, means, return_std=True)
    center = probability @ [0.0, 1.0, 2.0]
    expected = np.sqrt(0.25 + probability @ np.square([0.0, 1.0, 2.0]) - center**2)
    assert_allclose(std[:, 0], expected, rtol=1e-7)


def test_mixtures_and_mixed_columns():
    params = {
        "weight": [[0.5, 0.5], [0.9, 0.1], [0.2, 0.8]],
        "rate": [[[0.0], [2.0]], [[5.0], [6.0]], [[10.0], [20.0]]],
    }
    model = HiddenMarkovEM.from_parameters(START, TRANSMAT, params, family=Mixture(Poisson()))
    expected = model.forecast(1, [[3.0]])
    means = np.array([1.0, 5.1, 18.0])
    assert_allclose(expected[:, 0], model.forecast_proba(1, [[3.0]]) @ means)
    family = [(Categorical(), [0]), (Gaussian("diag"), [2]), ("ignore", [1])]
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.integers(2, size=30), rng.normal(size=(30, 2))])
    fit = HiddenMarkovEM(2, family=family, random_state=0).fit(rows)
    found, std = fit.forecast(2, return_std=True)
    for values in (found, std, fit.predict_ahead(rows)[:2]):
        assert np.isnan(values).tolist() == [[True, True, False]] * 2


def test_categories_have_no_expected_values():
    codes = np.random.default_rng(0).integers(3, size=(20, 2))
    fit = HiddenMarkovEM(2, family="categorical", random_state=0).fit(codes)
    with pytest.raises(ValueError, match=r"no means\. Use forecast_proba"):
        fit.forecast(2)
    with pytest.raises(ValueError, match=r"no means\. Use predict_ahead_proba"):
        fit.predict_ahead(codes)
    assert_allclose(fit.forecast_proba(5).sum(axis=1), 1.0)


@pytest.mark.parametrize("steps", [0, -1, 1.5, "3", None, True])
def test_wrong_steps(steps):
    for method in (
        lambda: MODEL.forecast(steps, X),
        lambda: MODEL.forecast_proba(steps, X),
        lambda: MODEL.predict_ahead(X, steps=steps),
    ):
        with pytest.raises(ValueError, match="steps must be an int >= 1, got"):
            method()


def test_nothing_to_continue():
    with pytest.raises(ValueError, match="There is no fit whose sequences could be continued"):
        MODEL.forecast(2)
    with pytest.raises(ValueError, match="belong to X, which is None"):
        MODEL.forecast(2, lengths=[3])
    certain = HiddenMarkovEM.from_parameters(
        [1.0, 0.0], np.eye(2), {"probability": [[[1.0, 0.0]], [[0.0, 1.0]]]}, family="categorical"
    )
    assert_allclose(certain.filter([[0], [0]]), [[1.0, 0.0]] * 2)


def test_all_rows_missing():
    assert_allclose(MODEL.filter([[np.nan]] * 2), [START, START @ TRANSMAT])
    assert_allclose(MODEL.forecast_proba(1, [[np.nan]] * 2), [START @ TRANSMAT @ TRANSMAT])


# ---- continued samples ----------------------------------------------------------------------


def test_samples_continue():
    """The next state follows the last filtered one; the rows after it follow the chain."""
    n = 20_000
    after = np.tile(X[:5], (n, 1))
    _, states = MODEL.sample(lengths=[2] * n, after=after, after_lengths=[5] * n)
    first, second = states[::2], states[1::2]
    expected = MODEL.forecast_proba(2, X[:5])
    for drawn, share in zip((first, second), expected, strict=True):
        assert_allclose(np.bincount(drawn) / n, share, atol=0.02)
    moves = np.array([[np.mean(second[first == i] == j) for j in range(3)] for i in range(3)])
    assert_allclose(moves, TRANSMAT, atol=0.03)


def test_each_sample_continues_its_own_sequence():
    sure = HiddenMarkovEM.from_parameters(
        [0.5, 0.5], [[0.0, 1.0], [1.0, 0.0]], {"rate": [[0.1], [1000.0]]}, family="poisson"
    )
    ends = [[[0.0]], [[0.0], [999.0]], [[1001.0]]]
    rows, states = sure.sample(lengths=[1, 3, 2], after=ends)
    assert_array_equal(states, [1, 0, 1, 0, 0, 1])
    assert ((rows[:, 0] > 500) == (states == 1)).all()
    rows, states = sure.sample(3, after=[[0.0]])
    assert_array_equal(states, [1, 0, 1])


def test_wrong_samples():
    with pytest.raises(ValueError, match="after has 2 sequences, but 1 are to be drawn"):
        MODEL.sample(3, after=[X[:2], X[2:4]])
    with pytest.raises(ValueError, match="after_lengths belongs to after"):
        MODEL.sample(3, after_lengths=[2])
    with pytest.raises(ValueError, match="add up to 3, but X has 8"):
        MODEL.sample(3, after=X, after_lengths=[3])
