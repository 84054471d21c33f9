"""Parameters that come from outside: those of a user, and those of another fit."""

import pickle
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from emlearn.distributions import (
    Bernoulli,
    Categorical,
    ExponentialFamily,
    Mixture,
    Multinomial,
    Poisson,
    Product,
)

NAN = np.nan


@pytest.mark.parametrize(
    ("family", "public", "message"),
    [
        (
            Poisson(),
            {"rate": [[1, 2], [3, -1]]},
            "component 1, column 1 is -1, which is outside",
        ),
        (Poisson(), {"rate": [[1, 2], [3, -1e-9]]}, "rate of component 1, column 1"),
        (
            Poisson(),
            {"rate": [[1, NAN]]},
            "component 0, column 1 is nan, which is not fin",
        ),
        (Poisson(), {"rate": [1, 2]}, r"rate must have shape \(n_components, 2\), got \(2,\)"),
        (Poisson(), {"rate": [[1, 2, 3]]}, r"rate must have shape"),
        (Poisson(), {"rate": [["a", "b"]]}, "rate must be an array of numbers"),
        (
            Poisson(),
            {"mean": [[1, 2]]},
            "rate is missing from the .*; those given are: mean",
        ),
        (Poisson(), {}, "rate is missing from the parameters; those given are: none"),
        (Bernoulli(), {"probability": [[0, 1], [0.5, 1.5]]}, "component 1, column 1 is 1.5"),
        (Multinomial(), {"probability": [[0.4, 0.6], [0.4, 0.7]]}, "component 1 sums to 1.1"),
        (
            Multinomial(),
            {"probability": [[1.4, -0.4]]},
            "column 1 is -0.4, which is negative",
        ),
        (Categorical(), {"probability": [[[0.5, 0.5], [0.5, 0.6]]]}, "component 0, column 1 sums"),
        (
            Mixture(Poisson()),
            {"weight": [[0.5, 0.5]], "rate": [[[1, 2], [3, -4]]]},
            "rate of component 0, part 1, column 1 is -4",
        ),
        (
            Mixture(Poisson()),
            {"weight": [[0.5, 0.5]], "rate": [[[1, 2]]]},
            r"rate must have shape \(1, 2, ...\)",
        ),
        (Mixture(Poisson()), {"weight": [[0.5, 0.6]], "rate": [[[1, 2]] * 2]}, r"weight.*1.1"),
        (
            Product(((Poisson(), (1,)), (Poisson(), (0,)))),
            {"rate_0": [[1.0]], "rate_1": [[-2.0]]},
            "rate_1 of component 0, column 0 is -2",
        ),
        (
            Product(((Poisson(), (1,)), (Poisson(), (0,)))),
            {"rate_0": [[1.0]], "rate": [[2.0]]},
            "rate_1 is missing",
        ),
    ],
)
def test_parameters_that_are_not_valid(family, public, message):
    X = np.array([[0.0, 1], [1, 0]])
    with pytest.raises(ValueError, match=message) as caught:
        family.from_public(public, family.column_spec(X))
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_bounds_of_the_domain_are_in_it():
    X = np.array([[0.0, 1], [1, 0]])
    for family, value in ((Bernoulli(), [[0, 1.0]]), (Poisson(), [[0, 1e300]])):
        params = family.from_public({family.name: value}, family.column_spec(X))
        assert_array_equal(params.mean, value)


def test_levels_of_another_fit_are_matched_by_value():
    family = Categorical(alpha=0.0)
    old = family.column_spec(np.array([[0, 5.0], [1, 5], [2, 7]]))
    new = family.column_spec(np.array([[0, 8.0], [1, 9], [3, 9]]))
    public = {"probability": [[[0.2, 0.3, 0.5], [0.25, 0.75, 0.0]]]}
    found = family.from_public(public, new, old).probability[0]
    # Level 2 is no more; level 3 is new, with a hundredth of an even probability.
    expected = np.array([0.2, 0.3, 0.01 / 3])
    assert_allclose(found[0], expected / expected.sum())
    # All levels of the other column are new.
    assert_allclose(found[1], [0.5, 0.5, 0.0])
    with pytest.raises(ValueError, match=r"probability of component 0, column 1 is 0.1, but"):
        family.from_public({"probability": [[[0.2, 0.3, 0.5], [0.2, 0.7, 0.1]]]}, old)


def test_impossible_levels_that_alone_are_left():
    family = Categorical()
    old, new = (family.column_spec(np.array([[a], [b]])) for a, b in ((0.0, 1.0), (1.0, 1.0)))
    found = family.from_public({"probability": [[[1.0, 0.0]]]}, new, old)
    assert_array_equal(found.probability, [[[1.0]]])


def test_without_a_fit():
    rng = np.random.default_rng(0)
    public = {"probability": [[[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]]]}
    codes = Categorical()
    spec = codes.spec_of(public)
    assert [list(own) for own in codes.levels(spec)] == [[0, 1], [0, 1, 2]]
    declared = Categorical(n_levels=[[10, 20, 30], 3])
    spec = declared.spec_of(public)
    params = declared.from_public(public, spec)
    drawn = declared.sample(params, spec, np.zeros(200, int), rng)
    assert set(drawn[:, 0]) == {10, 20}
    assert set(drawn[:, 1]) == {0, 1, 2}
    words = Multinomial()
    public = {"probability": [[0.5, 0.5]]}
    spec = words.spec_of(public)
    params = words.from_public(public, spec)
    with pytest.raises(ValueError, match="sums are drawn"):
        words.sample(params, spec, np.zeros(3, int), rng)


def test_a_family_that_cannot_undo_its_parameter():
    @dataclass(frozen=True)
    class Halved(Poisson):
        def parameter(self, mean):
            return mean / 2.0

    assert issubclass(Halved, ExponentialFamily)
    with pytest.raises(TypeError, match=r"Halved\.mean_of is not the inverse"):
        Halved().spec_of({"rate": [[1.0]]})


def test_levels_that_only_some_components_have():
    public = {"probability": [[[1.0, 0.0, 0.0]], [[0.5, 0.5, 0.0]]]}
    spec = Categorical().spec_of(public)
    assert [list(own) for own in Categorical().levels(spec)] == [[0, 1]]


def test_edges_of_the_domain():
    spec = Bernoulli().spec_of({"probability": [[0.5]]})
    for outside in (1.0 + 1e-6, -1e-6):
        with pytest.raises(ValueError, match="which is outside its domain"):
            Bernoulli().from_public({"probability": [[outside]]}, spec)

    class Success(Poisson):
        def parameter(self, mean):
            return 1.0 / (1.0 + mean)

        def mean_of(self, parameter):
            return 1.0 / parameter - 1.0

    with pytest.raises(ValueError, match="rate of component 1, column 0 is 0, which is outside"):
        Success().spec_of({"rate": [[0.5], [0.0]]})


def test_pooled_parameters_without_a_fit():
    spec = Poisson().spec_of({"rate": [[1.0, 2.0], [3.0, 8.0]]})
    assert_allclose(Poisson().pooled(2, spec).mean, [[2.0, 5.0]] * 2)


def test_rounded_probabilities_are_normalized():
    spec = Multinomial().spec_of({"probability": [[0.5, 0.5]]})
    found = Multinomial().from_public({"probability": [[0.3333333, 0.6666666]]}, spec)
    assert found.probability.sum() == pytest.approx(1.0, abs=1e-15)
    for wrong, message in (([[0.333, 0.666]], "sums to 0.999"), ([[0.2, 0.3, 0.5]], "shape")):
        with pytest.raises(ValueError, match=message):
            Multinomial().from_public({"probability": wrong}, spec)
    with pytest.raises(ValueError, match="rate must have shape"):
        Poisson().shape_of({"rate": [1.0, 2.0]})


def test_a_product_draws_rows_if_a_part_does():
    assert Product(((Poisson(), 0), (Mixture(Poisson()), 1))).draws_rows
    assert not Product(((Poisson(), 0),)).draws_rows
