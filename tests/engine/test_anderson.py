"""The damping of Anderson acceleration against its formulas."""

import numpy as np
import pytest

from emlearn.engine import Anderson

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(4, 12))
IMAGES = POINTS + 0.3 * RNG.normal(size=(4, 12))


def proposals(outcomes, n_points=3, **settings):
    """Proposals of a run that has been told these outcomes."""
    run = Anderson(**settings).start()
    for accepted in outcomes:
        run.update(accepted)
    found = [run.propose(*pair) for pair in zip(POINTS[:n_points], IMAGES, strict=False)]
    assert found[0] is None
    return np.array(found[1:])


@pytest.mark.parametrize("n_accepted", [0, 10, 25, 40])
def test_the_norm_of_the_coefficients_follows_a_logistic_curve(n_accepted):
    """Henderson and Varadhan (2019), equation for delta, with kappa = 25 and alpha = 1.2."""
    fraction = 1.0 / (1.0 + 1.2 ** (25.0 - n_accepted))
    steps = IMAGES - POINTS
    move, change = POINTS[1] - POINTS[0], steps[1] - steps[0]
    coefficient = np.sqrt(fraction) * (change @ steps[1]) / (change @ change)
    expected = IMAGES[1] - coefficient * (move + change)
    (found,) = proposals([True] * n_accepted, n_points=2)
    np.testing.assert_allclose(found - IMAGES[1], expected - IMAGES[1], rtol=0.01)


def test_damped_coefficients_are_those_of_a_ridge_of_the_norm_wanted():
    fraction = 1.0 / (1.0 + 1.2**25.0)
    steps = IMAGES - POINTS
    moves, changes = np.diff(POINTS[:3], axis=0), np.diff(steps[:3], axis=0)

    def coefficients(ridge):
        return np.linalg.solve(changes @ changes.T + ridge * np.eye(2), changes @ steps[2])

    wanted = fraction * np.square(coefficients(0.0)).sum()
    low, high = -50.0, 50.0
    for _ in range(200):
        middle = 0.5 * (low + high)
        is_low = np.square(coefficients(np.exp(middle))).sum() > wanted
        low, high = (middle, high) if is_low else (low, middle)
    expected = IMAGES[2] - coefficients(np.exp(low)) @ (moves + changes)
    np.testing.assert_allclose(proposals([])[-1] - IMAGES[2], expected - IMAGES[2], rtol=0.01)


@pytest.mark.parametrize(("before", "after"), [(25, 15), (11, 1), (10, 0), (4, 0), (0, 0)])
def test_a_rejection_takes_back_as_many_acceptances_as_there_are_iterates(before, after):
    found = proposals([True] * before + [False])
    np.testing.assert_array_equal(found, proposals([True] * after))
    if before:
        assert (found != proposals([True] * before)).all()


def test_after_rejections_at_the_start_acceptances_count_from_zero():
    np.testing.assert_array_equal(proposals([False, False, True]), proposals([True]))


def test_the_order_is_a_setting_and_the_step_back_too():
    found = proposals([True] * 8 + [False], max_order=3)
    np.testing.assert_array_equal(found, proposals([True] * 5, max_order=3))


@pytest.mark.parametrize(
    ("n_parameters", "max_order", "order"), [(12, 10, 6), (12, 4, 4), (5, 10, 3), (40, 10, 10)]
)
def test_the_memory_is_cleared_when_it_is_full(n_parameters, max_order, order):
    """A proposal after it is cleared has no iterate to combine, so there is none."""
    rng = np.random.default_rng(1)
    run = Anderson(max_order=max_order).start()
    found = [run.propose(*rng.normal(size=(2, n_parameters))) for _ in range(3 * order)]
    absent = [number for number, vector in enumerate(found) if vector is None]
    assert absent == [number for number in range(3 * order) if number % (order + 1) == 0]


def test_iterates_that_do_not_move_leave_the_em_step():
    run = Anderson().start()
    point, image = np.zeros(4), np.ones(4)
    assert run.propose(point, image) is None
    np.testing.assert_array_equal(run.propose(point, image), image)
