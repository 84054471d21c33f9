"""The schedule of `accelerate="auto"`: when it proposes, and which of the two methods does."""

from itertools import pairwise

import numpy as np
import pytest

from emlearn.engine import Automatic

STEP = np.array([1.0])


class Fake:
    """Settings and memory of a method that always has a proposal, which is its name."""

    def __init__(self, name):
        self.name = name
        self.observed = self.outcomes = 0
        self.is_secant = True
        self.wants = True

    def start(self):
        return self

    def observe(self, point, image):
        self.observed += 1
        return self.is_secant

    def propose(self, point, image):
        return self.name

    extrapolate = propose

    def wants_em_step(self, loss):
        return self.wants

    def update(self, accepted):
        self.outcomes += 1


def fakes(**settings):
    quasi_newton, squarem = Fake("quasi-newton"), Fake("squarem")
    automatic = Automatic(quasi_newton=quasi_newton, squarem=squarem, **settings)
    return automatic.start(), quasi_newton, squarem


def eager(**settings):
    """A run that proposes from the second step on, whatever is rejected."""
    return fakes(patience=1, max_rejected_fraction=1.0, **settings)


def lengths(run, steps):
    """Proposals for EM steps of these lengths."""
    return [run.propose(0.0 * STEP, length * STEP) for length in steps]


def proposers(run, n, rejected=(), evaluated=True):
    """Who proposes in `n` EM steps of equal length; those in `rejected` (numbers) are."""
    found = []
    for number in range(n):
        name = run.propose(0.0 * STEP, STEP)
        found.append(name)
        if name is not None:
            if evaluated:
                run.wants_em_step(1.0)
            run.update(number not in rejected)
    return found


def runs_of(names):
    """Names, and how often each is repeated."""
    edges = [0, *(i for i in range(1, len(names)) if names[i] != names[i - 1]), len(names)]
    return [(names[begin], end - begin) for begin, end in pairwise(edges)]


# ---- when it proposes ----------------------------------------------------------------------


def test_it_waits_for_four_slow_steps_in_a_row():
    run, *_ = fakes(max_rejected_fraction=1.0)
    # Nothing is known of the first step; the next four are slow.
    assert lengths(run, 0.9 ** np.arange(6)) == [None] * 4 + ["squarem"] * 2


def test_a_quick_step_starts_the_wait_again():
    run, *_ = fakes(max_rejected_fraction=1.0)
    slow = 0.9 ** np.arange(4)
    assert lengths(run, [*slow, *(0.1 * slow), 0.1 * 0.9**4]) == [None] * 8 + ["squarem"]


def test_once_it_is_over_the_wait_is_over_for_good():
    run, *_ = fakes(max_rejected_fraction=1.0)
    lengths(run, 0.9 ** np.arange(5))
    assert lengths(run, 0.1 ** np.arange(5)) == ["squarem"] * 5


@pytest.mark.parametrize(("rate", "is_slow"), [(0.79, False), (0.81, True)])
def test_slow_is_a_ratio_of_four_fifths(rate, is_slow):
    run, *_ = fakes(max_rejected_fraction=1.0)
    assert any(lengths(run, rate ** np.arange(30))) == is_slow


@pytest.mark.parametrize(
    ("evaluated", "wanted", "cost"), [(True, True, 2), (True, False, 1), (False, False, 0)]
)
def test_rejections_take_at_most_a_sixth_of_the_e_steps(evaluated, wanted, cost):
    """A rejection costs the E-step of the proposal, and that after an EM step from it.

    An invalid proposal has no E-step, so it costs nothing.
    """
    run, quasi_newton, squarem = fakes()
    quasi_newton.wants = squarem.wants = wanted
    n_e_steps = n_rejected = 0
    for _ in range(400):
        n_e_steps += 1
        # One rejection at the dearest must be within the limit, after two more E-steps.
        affordable = n_rejected + 2 <= (n_e_steps + 2) / 6
        name = run.propose(0.0 * STEP, STEP)
        assert (name is not None) == affordable
        if name is not None:
            if evaluated:
                run.wants_em_step(1.0)
            run.update(False)
            n_e_steps += cost
            n_rejected += cost
        assert n_rejected <= n_e_steps / 6
    assert (n_rejected > 0) == (cost > 0)


@pytest.mark.parametrize(("wanted", "extra"), [(True, 1), (False, 0)])
def test_the_em_step_from_an_accepted_proposal_counts_too(wanted, extra):
    """What may be rejected next grows with all E-steps, those of accepted proposals too."""
    run, quasi_newton, squarem = fakes()
    quasi_newton.wants = squarem.wants = wanted
    n_e_steps, n_rejected = 0, 0
    for number in range(300):
        n_e_steps += 1
        name = run.propose(0.0 * STEP, STEP)
        assert (name is not None) == (n_rejected + 2 <= (n_e_steps + 2) / 6)
        if name is not None:
            run.wants_em_step(1.0)
            accepted = number % 3 > 0
            run.update(accepted)
            n_e_steps += extra if accepted else 1 + extra
            n_rejected += 0 if accepted else 1 + extra


def test_an_invalid_proposal_after_an_evaluated_one_costs_nothing():
    run, *_ = fakes()
    assert runs_of(proposers(run, 11, rejected=range(11))) == [(None, 9), ("squarem", 1), (None, 1)]
    n_before = run._n_e_steps, run._n_rejected
    run.update(False)
    assert (run._n_e_steps, run._n_rejected) == n_before


# ---- which of the two ----------------------------------------------------------------------


def test_squarem_makes_six_proposals_and_then_the_quasi_newton_method():
    run, *_ = eager()
    assert runs_of(proposers(run, 101)[1:]) == [("squarem", 6), ("quasi-newton", 94)]


def test_rejections_of_squarem_count_as_proposals():
    run, *_ = eager()
    found = proposers(run, 20, rejected=range(7))
    assert runs_of(found[1:]) == [("squarem", 6), ("quasi-newton", 13)]


def test_squarem_gets_twice_as_many_proposals_after_each_rejection_in_a_row():
    """Up to sixteen times as many."""
    run, *_ = eager()
    found = []
    for _ in range(500):
        name = run.propose(0.0 * STEP, STEP)
        if name is not None:
            found.append(name)
            run.update(name == "squarem")
    wanted = [6, 6, 12, 24, 48, 96, 96, 96]
    got = [count for name, count in runs_of(found) if name == "squarem"]
    assert got[: len(wanted)] == wanted
    assert {count for name, count in runs_of(found) if name == "quasi-newton"} == {1}


def test_an_accepted_quasi_newton_proposal_ends_the_row():
    run, *_ = eager()
    outcomes = iter([False, False, True, False, False])
    found = []
    for _ in range(60):
        name = run.propose(0.0 * STEP, STEP)
        if name is not None:
            found.append(name)
            run.update(name == "squarem" or next(outcomes, True))
    assert runs_of(found)[:8] == [
        ("squarem", 6),
        ("quasi-newton", 1),  # rejected
        ("squarem", 6),
        ("quasi-newton", 1),  # rejected
        ("squarem", 12),
        ("quasi-newton", 2),  # accepted, rejected
        ("squarem", 6),
        ("quasi-newton", 1),  # rejected
    ]


def test_the_number_of_cycles_is_a_setting():
    run, *_ = eager(n_cycles=2)
    assert runs_of(proposers(run, 12, rejected=[3])[1:]) == [
        ("squarem", 2),
        ("quasi-newton", 1),
        ("squarem", 2),
        ("quasi-newton", 6),
    ]


def test_the_quasi_newton_method_sees_every_em_step_and_squarem_its_own_outcomes():
    run, quasi_newton, squarem = eager()
    proposers(run, 50)
    assert quasi_newton.observed == 50
    assert quasi_newton.outcomes == 0  # it would wait after a rejection; here SQUAREM takes over
    assert squarem.outcomes == 6


def test_the_quasi_newton_method_proposes_only_from_secants():
    run, quasi_newton, _ = eager()
    proposers(run, 20)
    quasi_newton.is_secant = False
    assert proposers(run, 5) == [None] * 5


def test_the_method_that_proposed_says_whether_it_wants_an_em_step():
    run, quasi_newton, squarem = eager()
    squarem.wants, quasi_newton.wants = True, False
    found = []
    for _ in range(12):
        if run.propose(0.0 * STEP, STEP) is not None:
            found.append(run.wants_em_step(1.0))
            run.update(True)
    assert found == [True] * 6 + [False] * 5
