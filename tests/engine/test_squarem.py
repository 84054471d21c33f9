"""The step lengths of SQUAREM and the secants of quasi-Newton, by hand."""

import numpy as np
import pytest

from emlearn.engine import QuasiNewton, Squarem

ZERO = np.zeros(2)
FIRST = np.array([1.0, 2.0])


def cycle(run, first=FIRST, second=0.99 * FIRST):
    """A proposal from two EM steps, the first of them from the origin."""
    assert run.propose(ZERO, first) is None
    return run.propose(first, first + second)


def jump(length, first=FIRST, second=0.99 * FIRST):
    """Varadhan and Roland (2008): x - 2 a r + a^2 v, of step length -a."""
    return 2.0 * length * first + length**2 * (second - first)


def test_the_step_length_is_the_ratio_of_step_and_change():
    """The third of their step lengths, |r| / |v|."""
    first, second = np.array([1.0, 1.0]), np.array([0.7, 0.5])
    wanted = np.sqrt(2.0) / np.hypot(0.3, 0.5)
    assert 1.0 < wanted < 4.0
    np.testing.assert_allclose(cycle(Squarem().start(), first, second), jump(wanted, first, second))


def test_the_limit_is_four_and_grows_by_a_factor_of_four():
    run = Squarem().start()
    for limit in (4.0, 16.0, 64.0, 100.0, 100.0):  # 100 is the ratio
        np.testing.assert_allclose(cycle(run), jump(limit))
        assert run.wants_em_step(1.0)
        run.update(True)


def test_a_step_within_the_limit_does_not_change_it():
    run = Squarem().start()
    cycle(run, second=0.5 * FIRST)  # length 2
    run.wants_em_step(1.0)
    run.update(True)
    np.testing.assert_allclose(cycle(run), jump(4.0))


def test_a_rejection_shortens_the_limit():
    run = Squarem(first_limit=32.0).start()
    cycle(run)
    run.update(False)
    np.testing.assert_allclose(cycle(run), jump(8.0))


def test_the_limit_is_never_below_the_step_of_em():
    run = Squarem().start()
    cycle(run, second=0.5 * FIRST)  # length 2, a quarter of which is below 1
    run.update(False)
    # A limit of 1 leaves EM alone once, and then grows.
    assert cycle(run) is None
    np.testing.assert_allclose(cycle(run), jump(4.0))


def test_an_em_step_follows_an_accepted_proposal_unless_it_had_one():
    run = Squarem(first_limit=1e3).start()
    cycle(run)
    assert not run.wants_em_step(-1.0)
    run.update(True)
    assert run.propose(ZERO, np.ones(2)) is None  # that step
    np.testing.assert_allclose(cycle(run), jump(100.0))
    assert run.wants_em_step(1.0)
    run.update(True)
    np.testing.assert_allclose(cycle(run), jump(100.0))


def test_steps_that_do_not_shrink_go_to_the_limit():
    run = Squarem().start()
    np.testing.assert_allclose(cycle(run, second=FIRST), 2.0 * 4.0 * FIRST)


def test_quasi_newton_has_no_proposal_where_steps_do_not_shrink():
    """The secant says that the derivative of the map is 1: there is no fixed point."""
    run = QuasiNewton(n_secants=1).start()
    assert run.propose(ZERO, FIRST) is None
    assert run.propose(FIRST, 2.0 * FIRST) is None


@pytest.mark.parametrize("n_secants", [1, 2, 3])
def test_quasi_newton_waits_for_its_secants_and_after_a_rejection(n_secants):
    rng = np.random.default_rng(0)
    A = np.diag(rng.uniform(0.2, 0.9, size=4))
    run = QuasiNewton(n_secants=n_secants).start()
    x = rng.normal(size=4)
    found = []
    for _ in range(n_secants + 4):
        proposal = run.propose(x, A @ x)
        found.append(proposal is not None)
        if proposal is not None:
            run.update(False)
        x = A @ x
    assert found == [False] * n_secants + [True, False, True, False]
