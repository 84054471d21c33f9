"""What mixtures and hidden Markov models share: whether starts are raced, and tags."""

import numpy as np
import pytest

from emlearn import FiniteMixtureEM, HiddenMarkovEM
from emlearn.distributions import Gaussian


@pytest.mark.parametrize("cls", [FiniteMixtureEM, HiddenMarkovEM])
def test_one_component_or_known_rows_of_each_class_leave_no_choice_of_starts(cls):
    X = np.random.default_rng(0).normal(size=(90, 2)) + np.repeat([0.0, 3.0, 5.0], 30)[:, None]
    y = np.full(90, -1)
    y[::10] = np.repeat([0, 1, 2], 3)
    options = {"family": Gaussian(), "random_state": 0}
    raced = cls(3, **options).fit(X)
    assert len(raced.restarts_) > 1
    assert len(cls(1, **options).fit(X).restarts_) == 1
    known = cls(3, use_labels=True, **options).fit(X, y)
    assert len(known.restarts_) == 1
    y[y == 2] = -1
    part = cls(3, use_labels=True, **options).fit(X, y)
    assert len(part.restarts_) > 1


@pytest.mark.parametrize("cls", [FiniteMixtureEM, HiddenMarkovEM])
@pytest.mark.parametrize(("family", "discrete"), [("gaussian", False), ("categorical", True)])
def test_tags_are_those_of_the_family(cls, family, discrete):
    tags = cls(family=family).__sklearn_tags__().input_tags
    assert tags.categorical == tags.positive_only == discrete
    assert tags.allow_nan
