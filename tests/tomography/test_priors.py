"""Penalties, their derivatives and their bounds."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import approx_fprime, minimize_scalar

from emlearn.tomography import HuberPrior, QuadraticPrior, RelativeDifferencePrior

PRIORS = [
    QuadraticPrior(),
    HuberPrior(0.7),
    RelativeDifferencePrior(),
    RelativeDifferencePrior(0.5, 0.1),
    RelativeDifferencePrior(0.0),
]
priors = pytest.mark.parametrize("prior", PRIORS, ids=str)


def psi(prior, a, b):
    """The penalty of one pair, from its definition."""
    d = abs(a - b)
    if isinstance(prior, QuadraticPrior):
        return 0.5 * d**2
    if isinstance(prior, HuberPrior):
        return 0.5 * d**2 if d < prior.delta else prior.delta * (d - 0.5 * prior.delta)
    return d**2 / (a + b + prior.gamma * d + prior.epsilon)


def pairs(shape):
    """All pairs of neighbors with weights, by brute force."""
    places = list(np.ndindex(shape))
    for i, p in enumerate(places):
        for q in places[i + 1 :]:
            offset = np.subtract(p, q)
            if np.abs(offset).max() == 1:
                yield p, q, 1.0 / np.sqrt(np.square(offset).sum())


@priors
@pytest.mark.parametrize("shape", [(6,), (3, 4), (1, 5), (2, 3, 2)], ids=str)
def test_value_is_the_sum_over_pairs(prior, shape):
    image = np.random.default_rng(0).gamma(1.0, 1.0, shape)
    expected = sum(w * psi(prior, image[p], image[q]) for p, q, w in pairs(shape))
    assert_allclose(prior.value(image), expected)


@priors
def test_gradient(prior):
    image = np.random.default_rng(1).gamma(1.0, 1.0, (3, 4))
    numeric = approx_fprime(image.ravel(), lambda v: prior.value(v.reshape(3, 4)), 1e-7)
    assert_allclose(prior.gradient(image).ravel(), numeric, atol=1e-5)


@priors
def test_m_step_maximizes_the_bound_of_each_pixel(prior):
    rng = np.random.default_rng(2)
    image, expected, s = (rng.gamma(1.0, 1.0, (3, 4)) + 0.1 for _ in range(3))
    weight = 0.8
    found = prior.maximize(expected, s, image, weight)
    for place in np.ndindex(image.shape):
        a = image[place]

        def loss(v, place=place, a=a):
            total = s[place] * v - expected[place] * np.log(v)
            for p, q, w in pairs(image.shape):
                if place in (p, q):
                    b = image[q if place == p else p]
                    if isinstance(prior, HuberPrior):  # the parabola that touches it
                        d = abs(a - b)
                        omega = 1.0 if d < prior.delta else prior.delta / d
                        total += weight * w * omega * (v - 0.5 * (a + b)) ** 2
                    else:
                        total += 0.5 * weight * w * psi(prior, 2.0 * v - a, b)
            return total

        low = 0.5 * a if isinstance(prior, RelativeDifferencePrior) else 1e-9
        best = minimize_scalar(loss, bounds=(low, 20.0), method="bounded", options={"xatol": 1e-10})
        assert_allclose(found[place], best.x, rtol=1e-5, err_msg=str(place))


@priors
def test_pixels_of_zero(prior):
    image = np.zeros((3, 3))
    image[0, 0] = 1.0
    zero = np.zeros((3, 3))
    with np.errstate(all="raise"):
        assert np.isfinite(prior.value(zero))
        assert_allclose(prior.gradient(zero), 0.0)
        for s in (zero, np.ones((3, 3))):
            found = prior.maximize(zero, s, image, 0.5)
            assert np.isfinite(found).all()
            assert found.min() >= 0.0


def test_relative_difference_does_not_depend_on_units():
    image = np.random.default_rng(3).gamma(1.0, 1.0, (3, 4))
    prior = RelativeDifferencePrior()
    assert_allclose(prior.value(100.0 * image), 100.0 * prior.value(image))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: HuberPrior(0.0), "delta"),
        (lambda: RelativeDifferencePrior(-1.0), "gamma"),
        (lambda: RelativeDifferencePrior(1.0, float("nan")), "epsilon"),
    ],
)
def test_invalid_settings(make, name):
    with pytest.raises(ValueError, match=name):
        make()
