"""Loadings and groups that responses do not determine."""

import warnings

import numpy as np
import pytest

from emlearn import ItemResponseEM
from emlearn.irt import ItemPrior
from emlearn.irt._identified import loose_dimensions


def columns(*columns):
    return np.array(columns, dtype=bool).T


def first(n, of):
    """1 for the first n of so many items."""
    return [1] * n + [0] * (of - n)


def last(n, of):
    """1 for the last n of so many items."""
    return [0] * (of - n) + [1] * n


@pytest.mark.parametrize(
    ("loads", "correlated", "common", "loose"),
    [
        # Two items have one correlation, three have three.
        (columns([1, 1]), False, False, [0]),
        (columns([1, 1]), False, True, []),
        (columns([1, 1, 1]), False, False, []),
        # A rotation of two dimensions is stopped by a zero, one of three by three of them.
        (columns([1] * 8, [1] * 8), False, False, [0, 1]),
        (columns([1] * 8, [0] + [1] * 7), False, False, []),
        (columns([1] * 8, [0] + [1] * 7, [1, 0] + [1] * 6), False, False, [0, 1, 2]),
        (columns([1] * 8, [0] + [1] * 7, [0, 0] + [1] * 6), False, False, []),
        # Bifactor models: three items in each of two groups are too few, and so are correlations.
        (columns([1] * 6, first(3, 6), last(3, 6)), False, False, [0, 1, 2]),
        (columns([1] * 8, first(4, 8), last(4, 8)), False, False, []),
        (columns([1] * 8, first(4, 8), last(4, 8)), True, False, [0, 1, 2]),
        # Items between dimensions.
        (columns(first(3, 6), last(3, 6)), True, False, []),
        (columns(first(2, 4), last(2, 4)), False, False, [0, 1]),
        (columns(first(2, 4), last(2, 4)), True, False, []),
        # A dimension of one item.
        (columns(first(3, 4), last(1, 4)), False, False, [1]),
        (columns([1] * 6, last(1, 6)), False, False, [0, 1]),
    ],
)
def test_loose_dimensions(loads, correlated, common, loose):
    assert loose_dimensions(loads, correlated, common) == loose


def responses(n_items, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.logistic(size=(200, n_items)) < 1.5 * rng.normal(size=(200, 1))).astype(float)


@pytest.mark.filterwarnings("ignore")
def test_a_warning_says_what_is_loose():
    X = responses(6)
    loadings = columns([1] * 6, last(1, 6)).astype(float)
    with pytest.warns(UserWarning, match="discriminations on the dimensions 0, 1: others fit"):
        ItemResponseEM(loadings=loadings, max_iter=3, tol=1.0).fit(X)
    with pytest.warns(UserWarning, match="Two items have one correlation"):
        ItemResponseEM().fit(X[:, :2])


@pytest.mark.parametrize(
    "settings",
    [{"prior": ItemPrior(slopes=(0.0, 0.5))}, {"fixed": {"discrimination": [1, np.nan]}}],
)
def test_priors_and_fixed_entries_identify(settings):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ItemResponseEM(**settings).fit(responses(2))


def test_groups_without_items_in_common():
    X = responses(9)
    groups = np.repeat(["a", "b", "c", "d"], 50)
    complete = X.copy()
    X[:50, 3:] = X[50:100, :2] = X[50:100, 6:] = X[100:, :6] = np.nan
    with pytest.warns(UserWarning, match="group 'c' has no item in common"):
        ItemResponseEM("1pl").fit(X, groups=groups)
    X[100:, 4:6] = complete[100:, 4:6]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ItemResponseEM("1pl").fit(X, groups=groups.tolist())
