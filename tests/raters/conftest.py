import numpy as np
import pytest


@pytest.fixture(scope="session")
def crowd():
    """Function that draws a complete table (items, raters) of codes, and the classes."""

    def draw(n_items=300, n_raters=5, n_classes=3, accuracy=0.75, seed=0, matrices=None):
        rng = np.random.default_rng(seed)
        prevalence = np.arange(n_classes, 0, -1.0) / np.arange(n_classes + 1.0).sum()
        classes = rng.choice(n_classes, n_items, p=prevalence)
        if matrices is None:
            wrong = (1.0 - accuracy) / (n_classes - 1)
            matrices = np.full((n_raters, n_classes, n_classes), wrong)
            matrices[:, np.arange(n_classes), np.arange(n_classes)] = accuracy
        table = np.empty((n_items, n_raters))
        for r, own in enumerate(matrices):
            below = own.cumsum(axis=1)[classes]
            table[:, r] = (rng.random((n_items, 1)) > below).sum(axis=1)
        return table, classes

    return draw


@pytest.fixture(scope="session")
def long():
    """Function that makes a long table of a wide one."""

    def melt(table):
        item, rater = np.nonzero(~np.isnan(table))
        return np.column_stack([item, rater, table[item, rater]])

    return melt
