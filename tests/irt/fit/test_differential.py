"""Differences between groups against mirt, and by their definition."""

import numpy as np
import pytest

from emlearn import ItemResponseEM
from emlearn.irt import differential_functioning

DIFFICULTY = np.linspace(-1.2, 1.2, 6)
SLOPES = np.array([1.0, 1.4, 0.8, 1.2, 1.6, 1.0])


@pytest.fixture(scope="module")
def two_groups():
    """700 persons of two groups; the third item is harder for the second."""
    rng = np.random.default_rng(7)
    group = np.repeat([0, 1], [400, 300])
    trait = rng.normal(size=700) * np.where(group, 0.8, 1.0) + 0.4 * group
    difficulty = np.tile(DIFFICULTY, (700, 1))
    difficulty[group == 1, 2] += 0.8
    p = 1 / (1 + np.exp(-SLOPES * (trait[:, None] - difficulty)))
    return (rng.random((700, 6)) < p).astype(float), group


def test_two_parameters_like_mirt(two_groups):
    X, group = two_groups
    found = differential_functioning(ItemResponseEM("2pl", tol=1e-10), X, group)
    # mirt 1.47: DIF(m, c('a1', 'd'), scheme='drop') after multipleGroup with free means and
    # variances
    x2 = [0.30069316340, 0.05999153557, 11.20085973668, 1.52847758799, 3.71418210229, 0.29528259231]
    np.testing.assert_allclose(found.statistic, x2, atol=2e-3)
    assert found.df.tolist() == [2] * 6
    np.testing.assert_allclose(found.p_value[2], 0.003696274464, rtol=2e-3)
    np.testing.assert_allclose(found.p_adjusted[2], 6 * found.p_value[2])
    assert found.difficulty.shape == found.discrimination.shape == (6, 2)
    assert found.difficulty[2, 1] - found.difficulty[2, 0] > 0.4
    assert found.groups.tolist() == [0, 1]


def test_one_item_and_several_jobs(two_groups):
    X, group = two_groups
    whole = differential_functioning(ItemResponseEM("1pl", random_state=0), X, group, n_jobs=2)
    part = differential_functioning(ItemResponseEM("1pl", random_state=0), X, group, items=[2, 4])
    np.testing.assert_array_equal(part.items, [2, 4])
    np.testing.assert_array_equal(part.statistic, whole.statistic[[2, 4]])
    assert whole.df.tolist() == [1] * 6


def test_anchors_leave_the_others_free(two_groups):
    X, group = two_groups
    found = differential_functioning(ItemResponseEM("1pl", tol=1e-10), X, group, anchors=[0, 1, 5])
    np.testing.assert_array_equal(found.items, [2, 3, 4])
    # By hand: item 2 alone is the same in both groups, and then all three differ.
    own = {j: [np.where(group == g, X[:, j], np.nan) for g in (0, 1)] for j in (2, 3, 4)}
    shared = [X[:, 0], X[:, 1], X[:, 5]]
    null = np.column_stack([*shared, X[:, 2], *own[3], *own[4]])
    free = np.column_stack([*shared, *own[2], *own[3], *own[4]])
    gain = [
        ItemResponseEM("1pl", tol=1e-10).fit(table, groups=group).log_likelihood_
        for table in (null, free)
    ]
    np.testing.assert_allclose(found.statistic[0], 2 * (gain[1] - gain[0]), atol=1e-4)


def test_three_groups_of_graded_items():
    rng = np.random.default_rng(3)
    group = np.repeat(["a", "b", "c"], 200)
    trait = rng.normal(size=(600, 1))
    latent = 1.2 * trait + rng.logistic(size=(600, 4))
    latent[group == "c", 1] -= 1.5
    X = (latent > -1).astype(float) + (latent > 1)
    found = differential_functioning(ItemResponseEM("grm"), X, group, items=[0, 1])
    assert found.df.tolist() == [6, 6]
    assert found.p_value[1] < 1e-6 < found.p_value[0]
    assert found.difficulty.shape == (2, 3)
    assert found.difficulty[1].argmax() == 2


def test_messages(two_groups):
    X, group = two_groups
    model = ItemResponseEM("1pl")
    with pytest.raises(ValueError, match=r"groups has only \[0\]"):
        differential_functioning(model, X, np.zeros(700, int))
    with pytest.raises(ValueError, match="anchors must be between 0 and 5"):
        differential_functioning(model, X, group, anchors=[6])
    with pytest.raises(ValueError, match="Item 2 is among items and among anchors"):
        differential_functioning(model, X, group, items=[2], anchors=[2])
    with pytest.raises(ValueError, match="All items are anchors"):
        differential_functioning(model, X, group, anchors=range(6))
    with pytest.raises(ValueError, match="items must be a list of positions"):
        differential_functioning(model, X, group, items=[0.5])
    solved = X.copy()
    solved[group == 1, 4] = 1.0
    with pytest.raises(ValueError, match="Column 4: group 1 never gave the answer 0"):
        differential_functioning(model, solved, group)


def test_warnings_name_columns_of_the_table():
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    X = (rng.logistic(size=(200, 4)) < rng.normal(size=(200, 1))).astype(float)
    X[:, 3] = 1.0 - X[:, 3]
    table = pandas.DataFrame(X, columns=list("abcd"))
    with pytest.warns(UserWarning, match="discrimination|converge") as caught:
        differential_functioning(
            ItemResponseEM("2pl", max_iter=2, tol=0.0), table, np.arange(200) % 2, items=[1, 3]
        )
    messages = [str(warning.message) for warning in caught]
    # Once, of the fit without differences.
    assert sum("is negative" in message for message in messages) == 1
    assert sum("tests of column 'b', column 'd'" in message for message in messages) == 1
    assert not any("column 4" in message for message in messages)
