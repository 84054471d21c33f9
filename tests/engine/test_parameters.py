"""Parameter spaces: free directions, fixed entries, bounds."""

import numpy as np
import pytest

from emlearn.engine import DegenerateModelError
from emlearn.engine.parameters import (
    Curved,
    Entries,
    InParts,
    ParameterSpace,
    Repeated,
    Simplex,
    Symmetric,
    per_probability,
    read_fixed,
)
from emlearn.engine.trees import leaves, with_leaves

RNG = np.random.default_rng(0)
COVARIANCE = np.cov(RNG.normal(size=(20, 3)).T)
ROTATION = Curved(
    lambda at: np.array([np.arctan2(at[1, 0], at[0, 0])]),
    lambda v: np.array([[np.cos(v[0]), -np.sin(v[0])], [np.sin(v[0]), np.cos(v[0])]]),
    1,
)
CASES = {
    "entries": (Entries(("feature",)), np.array([1.0, -2.0, 0.0])),
    "positive": (Entries(("feature",), lower=0.0), np.array([1.0, 2.0, 3.0])),
    "simplex": (Simplex(("component",)), np.array([0.2, 0.5, 0.3])),
    "rows": (Simplex(("component", "level")), np.array([[0.2, 0.8], [0.5, 0.5]])),
    "ragged": (
        Simplex(("feature", "level"), np.array([[True, True, False], [True] * 3])),
        np.array([[0.4, 0.6, 0.0], [0.1, 0.2, 0.7]]),
    ),
    "symmetric": (Symmetric(("component", "feature", "feature")), COVARIANCE[None]),
    "curved": (ROTATION, np.array([[0.8, -0.6], [0.6, 0.8]])),
    "parts": (
        InParts(Simplex(("component", "level")), (2, 2)),
        np.array([[[0.2, 0.8], [0.5, 0.5]], [[0.9, 0.1], [0.7, 0.3]]]),
    ),
    "repeated": (Repeated(Symmetric(("feature", "feature"))), np.stack([COVARIANCE] * 2)),
}
DIMENSIONS = {
    "entries": 3,
    "positive": 3,
    "simplex": 2,
    "rows": 2,
    "ragged": 3,
    "symmetric": 6,
    "curved": 1,
    "parts": 4,
    "repeated": 6,
}


@pytest.fixture(params=CASES)
def case(request):
    part, at = CASES[request.param]
    return part, at, DIMENSIONS[request.param]


def test_dimension(case):
    part, at, n = case
    space = ParameterSpace({"x": part})
    assert space.n_free({"x": at}, {}) == n
    assert space.n_free({"x": at}, {"x": at}) == 0


def test_moves_keep_the_constraints(case):
    part, at, n = case
    around = ParameterSpace({"x": part}).coordinates({"x": at})
    moved = around.move(0.01 * np.arange(1.0, n + 1))["x"]
    assert not np.array_equal(moved, at)
    np.testing.assert_allclose(around.move(np.zeros(n))["x"], at, atol=1e-12)
    if isinstance(part, Simplex):
        np.testing.assert_allclose(moved.sum(axis=-1), 1.0)
    if isinstance(part, Symmetric | Repeated):
        np.testing.assert_allclose(moved, np.swapaxes(moved, -1, -2))
    if part is ROTATION:
        np.testing.assert_allclose(moved @ moved.T, np.eye(2), atol=1e-12)


def test_pulled_gradient_is_the_derivative_along_the_coordinates(case):
    part, at, n = case
    around = ParameterSpace({"x": part}).coordinates({"x": at})
    weights = np.random.default_rng(1).normal(size=at.shape)

    def value(vector):
        return float((weights * np.sin(around.move(vector)["x"])).sum())

    vector = 0.01 * np.arange(1.0, n + 1)
    gradient = around.pull({"x": weights * np.cos(around.move(vector)["x"])}, vector)
    for j in range(n):
        step = 1e-6 * np.eye(n)[j]
        numerical = (value(vector + step) - value(vector - step)) / 2e-6
        np.testing.assert_allclose(gradient[j], numerical, rtol=1e-5, atol=1e-8)


def test_jacobian_is_that_of_all_entries():
    parts = {name: CASES[name][0] for name in ("simplex", "curved", "symmetric")}
    at = {name: CASES[name][1] for name in parts}
    around = ParameterSpace(parts).coordinates(at)
    jacobian = around.jacobian()
    for j in range(around.n_free):
        step = 1e-6 * np.eye(around.n_free)[j]
        above, below = around.move(step), around.move(-step)
        numerical = np.concatenate([(above[k] - below[k]).ravel() for k in parts]) / 2e-6
        np.testing.assert_allclose(jacobian[:, j], numerical, atol=1e-7)


def test_imposed_simplex_keeps_proportions():
    found = Simplex().impose(np.array([0.2, 0.3, 0.5]), np.array([np.nan, np.nan, 0.6]))
    np.testing.assert_allclose(found, [0.16, 0.24, 0.6])
    even = Simplex().impose(np.array([0.0, 0.0, 1.0]), np.array([np.nan, np.nan, 0.4]))
    np.testing.assert_allclose(even, [0.3, 0.3, 0.4])


def test_imposed_covariance_must_be_positive_definite():
    fixed = np.full((2, 2), np.nan)
    fixed[0, 1] = fixed[1, 0] = 5.0
    with pytest.raises(DegenerateModelError, match="not positive definite"):
        Symmetric().impose(np.eye(2), fixed)


def test_boundary_of_probabilities():
    at = np.array([[0.3, 0.7 - 1e-9, 1e-9], [1e-12, 1.0 - 1e-12, 0.0]])
    near = Simplex().at_boundary(at, 1e-2, None)
    assert near.tolist() == [[False, False, True], [True, True, True]]


def test_an_entry_that_is_pushed_to_the_bound_is_there():
    # 100 rows; the third level has 0.2 rows and loses half of them in each step.
    at = np.array([0.5, 0.498, 0.002])
    rising, falling = np.array([100.0, 100.0, 100.0]), np.array([100.0, 100.0, 50.0])
    assert not Simplex().at_boundary(at, 0.01, rising).any()
    assert Simplex().at_boundary(at, 0.01, falling).tolist() == [False, False, True]


def test_boundary_of_entries():
    probability = Entries(lower=0.0, upper=1.0)
    at = np.array([0.0, 1.0, 0.5])
    assert probability.at_boundary(at, 0.01, None).tolist() == [True, True, False]
    near = probability.at_boundary(np.array([0.001, 0.999]), 0.01, np.array([-10.0, 10.0]))
    assert near.all()
    floored = Entries(lower=0.0, floor=np.array([0.1, 0.1]))
    assert floored.at_boundary(np.array([0.1, 0.2]), 0.01, None).tolist() == [True, False]


NAMES = {"weights": "weights", "means": "mean"}
SPACE = ParameterSpace({"weights": Simplex(("component",)), "mean": Entries()})
PUBLIC = {"weights": np.array([0.5, 0.5]), "mean": np.zeros((2, 2))}


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        ([1.0], "must be a dict"),
        ({"mean": [[0, 0], [0, 0]]}, "unknown parameter 'mean'; the parameters are weights, means"),
        ({"means": [0.0, 1.0]}, r"must have shape \(2, 2\)"),
        ({"means": [["a", 0], [0, 0]]}, "must hold numbers"),
        ({"means": [[np.inf, 0], [0, 0]]}, "infinite"),
        ({"weights": [0.7, 0.7]}, "sum to 1.4; their sum must be 1"),
        ({"weights": [1.2, np.nan]}, "outside of"),
    ],
)
def test_impossible_fixed_entries(fixed, message):
    with pytest.raises(ValueError, match=message):
        read_fixed(fixed, SPACE, PUBLIC, NAMES)


def test_fixed_entries_are_completed_and_named_by_the_model():
    found = read_fixed(
        {"weights": [0.3, np.nan], "means": np.full((2, 2), np.nan)}, SPACE, PUBLIC, NAMES
    )
    assert list(found) == ["weights"]
    np.testing.assert_allclose(found["weights"], [0.3, 0.7])


def test_fixed_matrices():
    one = np.full((1, 2, 2), np.nan)
    one[0, 0, 1] = 0.0
    completed = Symmetric().check(one, "covariances")
    assert completed[0, 1, 0] == 0.0
    one[0, 1, 0] = 1.0
    with pytest.raises(ValueError, match="must be symmetric"):
        Symmetric().check(one, "covariances")
    with pytest.raises(ValueError, match="positive definite"):
        Symmetric().check(np.array([[[1.0, 2.0], [2.0, 1.0]]]), "covariances")
    with pytest.raises(ValueError, match="all entries or none"):
        ROTATION.check(np.array([[1.0, np.nan], [np.nan, np.nan]]), "turn")
    with pytest.raises(ValueError, match="same for all components"):
        Repeated(Symmetric()).check(np.stack([np.eye(2), 2 * np.eye(2)]), "covariance")


def test_gradient_of_counts():
    found = per_probability(np.array([2.0, 0.0]), np.array([0.5, 0.0]))
    np.testing.assert_allclose(found, [4.0, 0.0])


def test_trees_go_back_and_forth():
    tree = {"a": (1.0, np.arange(3.0)), "b": [np.array(2), "text"], "c": 3}
    assert list(leaves(tree)) == ["a.0", "a.1"]
    again = with_leaves(tree, {name: 2.0 * value for name, value in leaves(tree).items()})
    assert again["a"][0] == 2.0
    np.testing.assert_allclose(again["a"][1], [0.0, 2.0, 4.0])
    assert again["b"] == tree["b"]
    assert again["c"] == 3
    assert leaves(0.5) == {"parameter": 0.5}
    assert with_leaves(0.5, {"parameter": np.array(1.5)}) == 1.5
