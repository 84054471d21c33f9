"""Levels are what was seen or what was declared, whatever the codes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from emlearn import FiniteMixtureEM, HiddenMarkovEM
from emlearn.distributions import Categorical, DomainError, Mixture, Poisson, Product


@pytest.fixture
def items():
    rng = np.random.default_rng(0)
    side = rng.random((400, 1)) < 0.4
    return (rng.random((400, 4)) < np.where(side, 0.2, 0.8)).astype(float)


@pytest.mark.parametrize("codes", [(1, 2), (10, 20), (2015, 2016), (70000, 90000)])
def test_codes_say_nothing(items, codes):
    coded = np.where(items, codes[1], codes[0]).astype(float)
    family = Categorical()
    for one, other in ((items, coded), (items[:9], coded[:9])):
        plain = family.encode(one, family.column_spec(items))
        assert_array_equal(family.encode(other, family.column_spec(coded)), plain)
    # The start may be another, but not where it leads.
    mixture = FiniteMixtureEM(2, family="categorical", tol=1e-12, random_state=0)
    expected = mixture.fit(items).log_likelihood_
    found = mixture.fit(coded)
    assert found.log_likelihood_ == pytest.approx(expected, abs=1e-6)
    assert found.component_params_["probability"].shape == (2, 4, 2)
    free = (found.bic(coded) + 2.0 * 400 * found.score(coded)) / np.log(400)
    assert free == pytest.approx(9.0)
    assert set(np.unique(found.sample(50)[0])) == set(codes)


def test_bytes_of_letters():
    X = np.array([[65, 84], [67, 84], [71, 65], [84, np.nan]], float)
    family = Categorical(unseen="error")
    spec = family.column_spec(X)
    assert [list(own) for own in family.levels(spec)] == [[65, 67, 71, 84], [65, 84]]
    params = family.pooled(2, spec)
    assert family.n_parameters(params, spec) == 2 * (3 + 1)
    family.encode(X, spec)
    for row in ([66, 65], [65, 67], [85, 65], [0, 65]):
        with pytest.raises(
            DomainError, match=f"X has {row[1] if row[0] == 65 else row[0]} in row 0"
        ):
            family.encode(np.array([row], float), spec)


def test_gaps_are_no_levels():
    family = Categorical(unseen="error")
    spec = family.column_spec(np.array([[0.0], [3], [4]]))
    with pytest.raises(DomainError, match="X has 1 in row 1, column 0"):
        family.encode(np.array([[0.0], [1]]), spec)
    lenient = Categorical()
    rows = lenient.encode(np.array([[1.0], [5], [np.nan], [3]]), spec)
    assert (rows[:3] == rows[2]).all()
    assert rows[3] != rows[2]


def test_declared_levels():
    X = np.array([[1.0, 20], [0, 20]])
    family = Categorical(n_levels=[3, np.array([30, 20, 10])], alpha=1.0)
    spec = family.column_spec(X)
    assert [list(own) for own in family.levels(spec)] == [[0, 1, 2], [10, 20, 30]]
    params = family.start(family.encode(X, spec), np.ones((1, 2)), spec, np.random.default_rng(0))
    assert_allclose(params.probability[0], [[0.4, 0.4, 0.2], [0.2, 0.6, 0.2]])
    assert family == Categorical(n_levels=(3, [10, 20, 30]), alpha=1.0)
    assert hash(family) == hash(Categorical(n_levels=(3, [10, 20, 30]), alpha=1.0))
    assert Categorical(n_levels=np.int64(2)) == Categorical(n_levels=2)


@pytest.mark.parametrize("wrong", [0, -1, 2.5, "a", [2, [1, np.nan]], [2, [-1, 0]], [2, []]])
def test_declarations_that_are_none(wrong):
    with pytest.raises(ValueError, match="n_levels must be"):
        Categorical(n_levels=wrong)


def test_declarations_that_do_not_fit():
    X = np.array([[1.0, 20], [0, 20]])
    with pytest.raises(ValueError, match="n_levels has 1 entries, but there are 2 columns"):
        Categorical(n_levels=[2]).column_spec(X)
    with pytest.raises(ValueError, match=r"Column 1 of X has the code 20.*: 10, 30"):
        Categorical(n_levels=[2, [10, 30]]).column_spec(X)


def test_levels_of_parts():
    X = np.array([[1.0, 7, 20], [0, 9, 10]])
    family = Product(((Categorical(), (2,)), (Poisson(), (1,)), (Mixture(Categorical()), (0,))))
    first, second, third = family.levels(family.column_spec(X))
    assert_array_equal(first, [0, 1])
    assert second is None
    assert_array_equal(third, [10, 20])
    counts = Product(((Poisson(), (0, 1)),))
    assert counts.levels(counts.column_spec(X[:, :2])) is None


@pytest.mark.parametrize("cls", [FiniteMixtureEM, HiddenMarkovEM])
def test_levels_tell_what_probabilities_are_of(cls):
    rng = np.random.default_rng(0)
    X = np.c_[rng.choice([3.0, 7.0, 8.0], 60), rng.poisson(2.0, 60), rng.choice([1.0, 5.0], 60)]
    X[0, 0] = np.nan
    family = [("categorical", [0, 2]), ("poisson", [1])]
    model = cls(1, family=family, random_state=0).fit(X)
    first, counts, last = model.levels_
    assert_array_equal(first, [3, 7, 8])
    assert counts is None
    assert_array_equal(last, [1, 5])
    probability = model.component_params_["probability"][0]
    for own, levels, column in zip(probability, (first, last), (X[1:, 0], X[:, 2]), strict=True):
        for p, level in zip(own, levels, strict=False):
            assert p == pytest.approx((column == level).mean(), abs=1e-3)
    first[0] = 100.0
    assert model.levels_[0][0] == 3.0
    plain = cls(1, family="poisson", random_state=0).fit(X[:, 1:])
    for without in (plain, cls(1, family="categorical")):
        assert not hasattr(without, "levels_")
    with pytest.raises(AttributeError, match=r"Poisson\(.*\) has no levels"):
        plain.levels_  # noqa: B018


@pytest.mark.parametrize("cls", [FiniteMixtureEM, HiddenMarkovEM])
def test_levels_of_parameters_that_were_set(cls):
    law = {"weights": [1.0]}
    if cls is HiddenMarkovEM:
        law = {"startprob": [1.0], "transmat": [[1.0]]}
    params = {"probability": [[[0.2, 0.8, 0.0], [0.1, 0.2, 0.7]]]}
    model = cls.from_parameters(**law, component_params=params, family="categorical")
    assert [list(own) for own in model.levels_] == [[0, 1], [0, 1, 2]]
    declared = Categorical(n_levels=[[5, 6, 9], [2, 3, 4]], unseen="error")
    model = cls.from_parameters(**law, component_params=params, family=declared)
    assert [list(own) for own in model.levels_] == [[5, 6, 9], [2, 3, 4]]
    assert model.score([[6.0, 4.0]]) == pytest.approx(np.log(0.8 * 0.7))
    with pytest.raises(ValueError, match="X has 7 in row 0, column 0, but needs one of the known"):
        model.score([[7.0, 4.0]])


@pytest.mark.parametrize("cls", [FiniteMixtureEM, HiddenMarkovEM])
def test_a_code_in_a_gap_is_refused_on_request(cls):
    X = np.array([[0.0], [3], [4]] * 10)
    model = cls(1, family=Categorical(unseen="error"), random_state=0).fit(X)
    with pytest.raises(ValueError, match="X has 1 in row 1, column 0, but needs one of the known"):
        model.predict([[0.0], [1.0]])


def test_large_codes_take_no_memory():
    spec = Categorical().column_spec(np.array([[1e15], [3.0], [2.0**60]]))
    assert list(Categorical().levels(spec)[0]) == [3.0, 1e15, 2.0**60]


def test_many_levels():
    X = np.arange(200.0)[:, None] % [200, 3]
    spec = Categorical().column_spec(X)
    assert spec.groups == ((0, 1), (1, 2))
    with pytest.raises(ValueError, match=r"the code 20,.*: 0, 1, 2, 3, \.\.\., 19\.$"):
        Categorical(n_levels=20).column_spec(X)
