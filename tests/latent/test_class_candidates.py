"""The race of latent classes: starts from seeds, and what they find."""

import warnings
from itertools import islice

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array

from emlearn import FiniteMixtureEM
from emlearn.distributions import Categorical, Gaussian, find_family
from emlearn.latent import LabelModel, MixtureLaw, Observations
from emlearn.latent.class_candidates import KINDS, ClassStarts, assign, draw_seeds, joined
from emlearn.latent.features import dense, features
from emlearn.latent.labels import renumbered


def items(n=300, n_classes=3, d=6, seed=0):
    rng = np.random.default_rng(seed)
    below = rng.dirichlet(np.ones(3), (n_classes, d)).cumsum(axis=2)[:, :, :-1]
    labels = rng.integers(n_classes, size=n)
    return (rng.random((n, d, 1)) >= below[labels]).sum(axis=2).astype(float), labels


def model_of(X, K, family, y=None):
    model = LabelModel(
        MixtureLaw(K), find_family(family).at_columns(None, X.shape[1]), ClassStarts()
    )
    return model, model.prepare(Observations(X, y, None))


def points_of(X, family):
    family = find_family(family).at_columns(None, X.shape[1])
    return features(family, X, family.column_spec(X))


# ---- rows as points --------------------------------------------------------------------


def test_distance_of_items_counts_different_answers():
    X = np.array([[1.0, 5.0], [3.0, 5.0], [3.0, 7.0], [np.nan, 7.0]])
    points = dense(points_of(X, "categorical"))
    squares = np.square(points[:, None] - points).sum(axis=2)
    assert_allclose(squares[:3, :3], 2.0 * (X[:3, None] != X[:3]).sum(axis=2))
    assert_allclose(squares[3], [3.0, 3.0, 1.0, 0.0])


def test_counts_are_square_roots_and_missing_ones_at_the_mean():
    X = np.array([[4.0], [np.nan], [16.0]])
    assert_allclose(points_of(X, "poisson")[:, 0], [2.0, 3.0, 4.0])


def test_sparse_documents_stay_sparse_and_length_does_not_matter():
    X = np.array([[1.0, 0.0, 3.0], [2.0, 0.0, 6.0], [0.0, 0.0, 0.0]])
    points = points_of(csr_array(X), "multinomial")
    assert hasattr(points, "indptr")
    assert_allclose(points.toarray(), np.sqrt([[0.25, 0, 0.75], [0.25, 0, 0.75], [0, 0, 0]]))


def test_columns_of_any_unit_are_standardized():
    X = np.random.default_rng(0).normal(size=(50, 2))
    X[0, 1] = np.nan
    found = features(Gaussian(), X, None)
    assert_allclose(found, features(Gaussian(), X * 1e300, None), atol=1e-12)
    assert_allclose(np.square(found).mean(axis=0), 1.0)
    assert found[0, 1] == 0.0


# ---- seeds -----------------------------------------------------------------------------


def test_seeds_are_different_points_and_no_more_than_there_are():
    points = np.repeat([[0.1, 1.0], [0.3, 7.0], [5.0, 0.7]], 4, axis=0)
    seeds = draw_seeds(points, np.ones(12), 5, np.random.default_rng(0))
    assert len(np.unique(seeds, axis=0)) == len(seeds) == 3


def test_seeds_follow_the_squares_of_the_distances_and_the_weights():
    points, weight = np.array([[0.0], [1.0], [3.0]]), np.array([1.0, 2.0, 1.0])
    rng = np.random.default_rng(0)
    drawn = np.array([draw_seeds(points, weight, 2, rng)[:, 0] for _ in range(4000)])
    first = [np.mean(drawn[:, 0] == value) for value in (0.0, 1.0, 3.0)]
    assert_allclose(first, [0.25, 0.5, 0.25], atol=0.03)
    after_0 = drawn[drawn[:, 0] == 0.0, 1]
    assert np.mean(after_0 == 3.0) == pytest.approx(9.0 / 11.0, abs=0.05)


@pytest.mark.parametrize("n_steps", [0, 1, 4])
def test_steps_of_k_means_are_those_of_scikit_learn(n_steps):
    from sklearn.cluster import KMeans

    rng = np.random.default_rng(0)
    points, weight = rng.normal(size=(80, 3)), rng.integers(1, 4, 80).astype(float)
    centers = points[:4]
    labels = assign(csr_array(points), weight, centers, n_steps)
    if n_steps:
        kmeans = KMeans(4, init=centers, n_init=1, max_iter=n_steps, tol=0.0, algorithm="lloyd")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            centers = kmeans.fit(points, sample_weight=weight).cluster_centers_
    squares = np.square(points[:, None] - centers).sum(axis=2)
    first = np.unique(labels, return_index=True)[1]
    again = np.unique(squares.argmin(axis=1), return_index=True)[1]
    assert_array_equal(np.sort(first), np.sort(again))


@pytest.mark.parametrize("kind", KINDS)
def test_classes_far_apart_are_found_by_every_kind(kind):
    rng = np.random.default_rng(0)
    points = 100.0 * np.eye(4)[np.repeat(np.arange(4), 20)] + rng.normal(size=(80, 4))
    for points_or_sparse in (points, csr_array(points)):
        classes = kind(points_or_sparse, np.ones(80), 4, rng)
        assert len(np.unique(classes.reshape(4, 20)[:, 0])) == 4
        assert (classes.reshape(4, 20) == classes.reshape(4, 20)[:, :1]).all()


def test_no_class_goes_without_a_seed_where_classes_are_joined():
    # Of twelve seeds for twelve classes, some fall into one class nearly always.
    rng = np.random.default_rng(0)
    points = rng.normal(size=(12, 40))[np.repeat(np.arange(12), 25)]
    points = points + 0.5 * rng.normal(size=(300, 40))
    for _ in range(5):
        classes = joined(points, np.ones(300), 12, rng).reshape(12, 25)
        assert len(np.unique(classes[:, 0])) == 12
        assert (classes == classes[:, :1]).all()


def test_numbers_agree_with_known_labels():
    clusters = np.array([0, 0, 1, 1, 2, 2])
    known = np.array([2, -1, 0, 0, -1, -1])
    assert_array_equal(renumbered(clusters, known, np.ones(6), 3), [2, 2, 0, 0, 1, 1])


# ---- candidates ------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["categorical", "bernoulli", "poisson", "multinomial"])
def test_no_two_candidates_are_alike(family):
    X, _ = items()
    X = np.minimum(X, 1.0) if family == "bernoulli" else X
    model, data = model_of(X, 3, family)
    starts = list(model.candidates(data, np.random.default_rng(0), 8))
    assert len({model.to_vector(start).tobytes() for start in starts}) == len(starts) == 8


def test_few_different_rows_give_few_candidates():
    X = np.repeat([[0.0, 1.0], [1.0, 0.0]], 20, axis=0)
    model, data = model_of(X, 2, "categorical")
    assert len(list(model.candidates(data, np.random.default_rng(0), 8))) == 1
    FiniteMixtureEM(2, family="categorical", random_state=0).fit(X)


def test_candidates_are_those_of_copies_in_any_order():
    X, _ = items(100)
    rng = np.random.default_rng(0)
    model, data = model_of(X, 3, Categorical(alpha=0.0))
    _, mixed = model_of(X[rng.permutation(100)], 3, Categorical(alpha=0.0))
    _, twice = model_of(np.repeat(X, 2, axis=0), 3, Categorical(alpha=0.0))
    found = [
        [model.to_vector(p) for p in model.candidates(own, np.random.default_rng(1), 4)]
        for own in (data, mixed, twice)
    ]
    for vectors in found[1:]:
        order = [np.sort(vector) for vector in vectors]
        assert_allclose(order, [np.sort(vector) for vector in found[0]], atol=1e-9)


@pytest.mark.parametrize("label", [[0, 1, 2], [1, 2, 0], [0, 2, 1]])
def test_a_few_known_classes_number_the_starts(label):
    label = np.array(label)
    truth = np.repeat(label[[2, 0, 1]], 30)
    X = np.repeat(np.array([2.0, 0.0, 1.0]), 30)[:, None] * np.ones(6)
    # If rows of every class were known, all would start from these rows.
    y = np.where((np.arange(90) % 30 == 3) & (truth != 2), truth, -1)
    model, data = model_of(X, 3, "categorical", y)
    rows = data.distinct.first
    for start in islice(model.candidates(data, np.random.default_rng(0), 4), 4):
        joint = np.zeros((3, len(data.X)))
        model.family.log_density(
            data.rows, model.family.precompute(start.components, data.column_spec), joint
        )
        found = joint[:, rows].argmax(axis=0)
        assert_array_equal(found, label[np.median(data.X[rows], axis=1).astype(int)])


# ---- fits ------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["categorical", "poisson", "bernoulli"])
@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_race_finds_what_search_finds(family, missing):
    X, _ = items(400)
    X = np.minimum(X, 1.0) if family == "bernoulli" else X
    X[np.random.default_rng(1).random(X.shape) < missing] = np.nan
    search = FiniteMixtureEM(3, family=family, init_params="search", random_state=0).fit(X)
    for seed in range(3):
        raced = FiniteMixtureEM(3, family=family, random_state=seed).fit(X)
        assert raced.log_likelihood_ > search.log_likelihood_ - 0.5


def test_topics_of_sparse_documents():
    rng = np.random.default_rng(0)
    topics = rng.dirichlet(np.full(300, 0.3), 5)
    labels = rng.integers(5, size=200)
    X = csr_array(np.array([rng.multinomial(40, topics[k]) for k in labels], float))
    for seed in range(2):
        found = FiniteMixtureEM(5, family="multinomial", random_state=seed).fit(X).predict(X)
        table = np.zeros((5, 5))
        np.add.at(table, (labels, found), 1)
        assert table.max(axis=1).sum() >= 0.98 * 200


def test_more_effort_is_more_starts_and_never_worse():
    X, _ = items(300, n_classes=4)
    one = FiniteMixtureEM(4, family="categorical", random_state=0).fit(X)
    more = FiniteMixtureEM(4, family="categorical", n_init=3, random_state=0).fit(X)
    assert (len(one.restarts_), len(more.restarts_)) == (8, 24)
    assert more.log_likelihood_ > one.log_likelihood_ - 1e-2


def test_same_bits_for_any_number_of_jobs():
    X, _ = items()
    model = FiniteMixtureEM(3, family="categorical", random_state=0)
    first = model.fit(X).component_params_["probability"]
    second = model.set_params(n_jobs=2).fit(X).component_params_["probability"]
    assert_array_equal(first, second)
