"""Tests of convergence on sequences whose limit is known."""

import itertools

import numpy as np
import pytest

from emlearn.engine import GainBelow, RemainingGain
from emlearn.engine.convergence import Trace

LIMIT = -250.0
WEIGHT = 100.0


def geometric(rate, first=1.0, limit=LIMIT):
    """Objectives whose distance to their limit shrinks by `rate` each time."""
    return (limit - first * rate**k for k in itertools.count())


def stop(convergence, objectives, weight=WEIGHT):
    """Objectives up to where the test is met, and what it found there."""
    seen = []
    for objective in itertools.islice(objectives, 100_000):
        seen.append(objective)
        check = convergence.check(seen, weight)
        if check.converged:
            return seen, check
    raise AssertionError("the test was never met")


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9, 0.99, 0.999])
@pytest.mark.parametrize("tol", [1e-4, 1e-6, 1e-8])
def test_remaining_gain_stops_where_tol_remains(rate, tol):
    seen, check = stop(RemainingGain(tol), geometric(rate))
    assert LIMIT - seen[-1] <= 1.01 * tol * WEIGHT
    # Only the start, which has no rate yet, can put off the end by an iteration or two.
    assert len(seen) <= 5 or LIMIT - seen[-2] > 0.99 * tol * WEIGHT
    assert check.rate == pytest.approx(rate, rel=1e-3)
    assert check.remaining == pytest.approx(LIMIT - seen[-1], rel=0.05)


@pytest.mark.parametrize("rate", [0.5, 0.9, 0.999])
def test_gain_below_stops_at_the_last_gain(rate):
    seen, _ = stop(GainBelow(1e-6), geometric(rate))
    gains = np.diff(seen)
    assert gains[-1] <= 1e-6 * WEIGHT < gains[-2]
    assert LIMIT - seen[-1] == pytest.approx(gains[-1] * rate / (1.0 - rate), rel=1e-3)


def test_gain_below_stops_early_where_em_is_slow_and_remaining_gain_does_not():
    early, _ = stop(GainBelow(1e-6), geometric(0.999))
    late, _ = stop(RemainingGain(1e-6), geometric(0.999))
    assert LIMIT - early[-1] > 500.0 * 1e-6 * WEIGHT
    assert LIMIT - late[-1] < 1.01 * 1e-6 * WEIGHT


@pytest.mark.parametrize("kind", [RemainingGain, GainBelow])
def test_tolerance_is_per_unit_of_weight(kind):
    few, _ = stop(kind(1e-6), geometric(0.9), weight=WEIGHT)
    scaled = geometric(0.9, first=1000.0, limit=1000.0 * LIMIT)
    many, _ = stop(kind(1e-6), scaled, weight=1000.0 * WEIGHT)
    assert len(few) == len(many)


@pytest.mark.parametrize("kind", [RemainingGain, GainBelow])
def test_a_gain_within_the_noise_is_none(kind):
    convergence = kind(0.0)
    seen, _ = stop(convergence, geometric(0.99))
    noise = convergence.noise(LIMIT, WEIGHT)
    assert np.diff(seen)[-1] <= noise < np.diff(seen)[-2]
    assert noise < convergence.rounding(LIMIT, WEIGHT)
    assert 0.0 < noise < 1e-9


@pytest.mark.parametrize("kind", [RemainingGain, GainBelow])
def test_rounding_follows_the_precision(kind):
    double, single = kind(0.0), kind(0.0, precision=float(np.finfo(np.float32).eps))
    ratio = single.rounding(LIMIT, WEIGHT) / double.rounding(LIMIT, WEIGHT)
    assert ratio == pytest.approx(2.0**29)
    assert len(stop(single, geometric(0.9))[0]) < len(stop(double, geometric(0.9))[0])


@pytest.mark.parametrize("kind", [RemainingGain, GainBelow])
def test_a_start_is_not_converged(kind):
    check = kind(1e-3).check([LIMIT], WEIGHT)
    assert not check.converged
    assert np.isnan(check.rate)
    assert check.remaining == np.inf


def test_remaining_gain_needs_gains_that_shrink():
    check = RemainingGain(1.0).check([0.0, 1.0, 2.0, 3.0], 1e6)
    assert not check.converged
    assert check.remaining == np.inf
    check = RemainingGain(1.0).check([0.0, 1.0, 3.0, 7.0], 1e6)
    assert not check.converged
    assert check.remaining == np.inf


def test_remaining_gain_is_not_deceived_by_the_end_of_a_rise():
    """The first small gain after large ones is no sign that little remains."""
    objectives = [0.0, 50.0, 90.0, *(90.0 + 0.01 * k for k in range(1, 9))]
    convergence = RemainingGain(1e-4)
    found = [convergence.check(objectives[:k], 10.0) for k in range(1, len(objectives) + 1)]
    assert not any(check.converged for check in found)


# ---- accelerated runs ----------------------------------------------------------------------


def trace(steps, objectives):
    """A run with these steps and objectives."""
    found = Trace()
    for objective, step in zip(objectives, steps, strict=True):
        found.add(objective, step)
    return found


@pytest.mark.parametrize(("n_steps", "expected"), [(1, False), (2, False), (3, True), (9, True)])
def test_accelerated_within_counts_steps_from_the_end(n_steps, expected):
    run = trace(["start", "em", "accepted", "em", "rejected"], range(5))
    assert run.accelerated_within(n_steps) == expected


def test_plain_runs_are_not_accelerated():
    assert not trace(["start", "em", "rejected"], range(3)).accelerated_within(10)


@pytest.mark.parametrize("kind", [RemainingGain, GainBelow])
def test_a_small_gain_of_an_accelerator_is_no_end(kind):
    objectives = [0.0, 50.0, 90.0, 120.0, 145.0, 145.0]
    steps = ["start", *["em"] * 4]
    assert not kind(1e-3).check(trace([*steps, "accepted"], objectives), 1.0).converged
    assert kind(1e-3).check(trace([*steps, "em"], objectives), 1.0).converged


def test_estimate_from_plain_steps_between_accelerated_ones():
    """The last plain gain, and the largest rate of two plain steps in a row."""
    #        start em    em    acc    em    em
    gains = [2.0, 1.0, 40.0, 0.5, 0.4]
    run = trace(["start", "em", "em", "accepted", "em", "em"], np.cumsum([0.0, *gains]))
    check = RemainingGain(1e-9).check(run, 1.0)
    # Too short for cycles, so nothing is estimated yet.
    assert check.remaining == np.inf
    # Now cycles of four: their gains shrink by 10 each, less than the plain steps do.
    cycle = np.array([2.0, 1.0, 0.5, 0.4])
    gains = np.concatenate([cycle, 0.1 * cycle, 0.01 * cycle])
    run = trace(["start", *["accepted", "em", "em", "em"] * 3], np.cumsum([0.0, *gains]))
    check = RemainingGain(1e-9).check(run, 1.0)
    assert check.rate == pytest.approx(0.8)
    assert check.remaining == pytest.approx(0.004 * 0.8 / 0.2)


def test_estimate_from_cycles():
    """Cycles of four whose gains halve: as much again is to come as the last cycle gained."""
    cycle = np.array([8.0, 0.04, 0.03, 0.02])
    gains = np.concatenate([cycle, 0.5 * cycle, 0.25 * cycle])
    run = trace(["start", *["em", "accepted", "em", "accepted"] * 3], np.cumsum([0.0, *gains]))
    check = RemainingGain(1e-9).check(run, 1.0)
    assert check.remaining == pytest.approx(0.25 * cycle.sum())
    assert check.rate == pytest.approx(0.5**0.25)


def sawtooth(rate, n_cycles=4):
    """Gains of an accelerated run whose gap shrinks by `rate` an iteration, in uneven portions.

    In each period of some cycles, every cycle gains half of the one before.
    """
    length = 4 * n_cycles
    share = np.repeat(0.5 ** np.arange(n_cycles), 4)
    share /= share.sum()
    gains = (share * rate ** (k * length) * (1.0 - rate**length) for k in itertools.count())
    return itertools.chain.from_iterable(gains)


@pytest.mark.parametrize("rate", [0.98, 0.995])
def test_uneven_gains_of_an_accelerator_do_not_hide_a_slow_rate(rate):
    """Cycles that halve would leave little, but a period later the gains are large again."""
    run, objective = Trace(), -1.0
    run.add(objective, "start")
    test = RemainingGain(1e-3)
    for gain in itertools.islice(sawtooth(rate), 5000):
        objective += gain
        run.add(objective, "accepted")
        check = test.check(run, 1.0)
        if check.converged:
            break
    assert check.converged
    assert 1e-4 < -objective < 1.5e-3


def test_acceleration_is_forgotten_after_ten_plain_steps():
    """Then two gains are enough for an estimate, as in plain EM."""
    for n_plain, is_plain in [(9, False), (10, True)]:
        gains = [50.0, 3.0, *0.5 ** np.arange(n_plain)]
        run = trace(["start", "em", "accepted", *["em"] * n_plain], np.cumsum([0.0, *gains]))
        check = RemainingGain(1e-9).check(run, 1.0)
        expected = RemainingGain(1e-9).check(list(run), 1.0)
        assert (check == expected) == is_plain


def test_rounding_is_sixteen_units_in_the_last_place_of_the_terms_and_noise_a_sixteenth():
    unit = np.finfo(float).eps * (3.0 + 16.0 * 5.0)
    convergence = RemainingGain(0.0)
    np.testing.assert_allclose(convergence.noise(-3.0, 5.0), unit / 16.0, rtol=1e-12)
    np.testing.assert_allclose(convergence.rounding(-3.0, 5.0), 16.0 * unit, rtol=1e-12)


def test_what_remains_after_a_gain_within_the_noise_is_at_most_the_noise():
    objectives = [-250.0, -249.0, -248.5, -248.5]
    assert RemainingGain(1e-9).check(objectives, 100.0).remaining == 0.0
    # Gains that grow have an infinite estimate, but what is lost in the noise is not.
    tiny = 1e-15 * np.array([0.0, 1.0, 3.0, 7.0])
    convergence = RemainingGain(0.0)
    check = convergence.check(list(tiny), 100.0)
    assert check.converged
    assert check.remaining == convergence.noise(tiny[-1], 100.0)
