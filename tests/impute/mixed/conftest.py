"""Tables of numbers and codes."""

import numpy as np
import pytest

from emlearn.impute.mixed.columns import TableKinds


def _kinds(nominal, ordered=()):
    nominal = np.array(nominal, bool)
    order = np.zeros(len(nominal), bool)
    order[list(ordered)] = True
    return TableKinds(nominal & ~order, order)


def _mixed_table(seed=0, n=150, q=3, sizes=(3, 2), holes=0.25, K=2):
    """Rows of a general location model; the last category is ordered."""
    rng = np.random.default_rng(seed)
    label = rng.integers(K, size=n)
    codes = [
        np.array([rng.choice(size, p=p) for p in rng.dirichlet(np.ones(size), K)[label]])
        for size in sizes
    ]
    A = rng.normal(size=(q, q)) + np.eye(q)
    X = 3.0 * rng.normal(size=(K, q))[label] + rng.normal(size=(n, q)) @ A
    for own, size in zip(codes, sizes, strict=True):
        X += rng.normal(size=(size, q))[own]
    table = np.column_stack([X, *codes]).astype(float)
    table[rng.random(table.shape) < holes] = np.nan
    d = q + len(sizes)
    return table, _kinds(np.arange(d) >= q, [d - 1] if len(sizes) > 1 else [])


@pytest.fixture(scope="session")
def mixed_table():
    """Function that draws a table, and says which columns are codes."""
    return _mixed_table


@pytest.fixture(scope="session")
def kinds_of():
    """Function that makes `TableKinds` from a mask of codes and positions of ordered ones."""
    return _kinds
