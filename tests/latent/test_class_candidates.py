"""The race of latent classes: starts from clusters of rows, and what they find."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.cluster import KMeans

from emlearn import FiniteMixtureEM
from emlearn.distributions import Bernoulli, Categorical, Gaussian, Mixture, find_family
from emlearn.latent import LabelModel, MixtureLaw, Observations
from emlearn.latent.candidates import PointTable
from emlearn.latent.class_candidates import CLASS_STARTS, KINDS, class_table, joined, moved, seeded
from emlearn.latent.points import dense_points


def items(n=300, n_classes=3, d=6, seed=0):
    rng = np.random.default_rng(seed)
    below = rng.dirichlet(np.ones(3), (n_classes, d)).cumsum(axis=2)[:, :, :-1]
    labels = rng.integers(n_classes, size=n)
    return (rng.random((n, d, 1)) >= below[labels]).sum(axis=2).astype(float), labels


def model_of(X, K, family, y=None, weight=None):
    family = find_family(family).at_columns(None, X.shape[1])
    model = LabelModel(MixtureLaw(K), family, CLASS_STARTS)
    return model, model.prepare(Observations(X, y, None), weight)


def table_of(points, weight=None):
    weight = np.ones(len(points)) if weight is None else weight
    return PointTable(np.arange(len(points)), weight, np.ascontiguousarray(points.T))


# ---- points in few dimensions -----------------------------------------------------------


def test_directions_are_those_of_the_singular_value_decomposition():
    """If the means of the classes are far apart, for weights as for copies."""
    rng = np.random.default_rng(0)
    topics = rng.dirichlet(np.full(400, 0.02), 4)
    X = np.array([rng.multinomial(30, topics[k]) for k in rng.integers(4, size=100)], float)
    weight = rng.integers(1, 4, 100).astype(float)
    for make in (np.asarray, csr_array):
        model, data = model_of(make(X), 4, "multinomial")
        found = dense_points(model, data, weight, np.random.default_rng(1))
        assert found.shape == (100, 30)
        points = model.family.points(X, data.column_spec)
        values = np.linalg.svd(np.sqrt(weight)[:, None] * points, compute_uv=False)
        within = np.linalg.svd(np.sqrt(weight)[:, None] * found, compute_uv=False)
        assert_allclose(within[:4], values[:4], rtol=1e-3)


def test_rows_of_little_weight_have_little_effect_on_the_directions():
    """More topics than dimensions, of which five have nearly all of the weight."""
    rng = np.random.default_rng(0)
    topics = rng.dirichlet(np.full(500, 0.02), 80)
    labels = np.repeat(np.arange(80), 4)
    X = np.array([rng.multinomial(200, topics[k]) for k in labels], float)
    weight = np.where(labels < 5, 1.0, 1e-6)
    model, data = model_of(X, 5, "multinomial")
    found = dense_points(model, data, weight, np.random.default_rng(1))[labels < 5]
    points = model.family.points(X, data.column_spec)[labels < 5]
    assert_allclose(found @ found.T, points @ points.T, atol=0.02)


def test_few_dimensions_are_kept():
    X, _ = items()
    model, data = model_of(X, 3, "categorical")
    points = dense_points(model, data, data.row_weight, np.random.default_rng(0))
    assert_array_equal(points, model.family.points(data.X, data.column_spec).toarray())


# ---- kinds of starts --------------------------------------------------------------------


def test_steps_of_k_means_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    points, weight = rng.normal(size=(80, 3)), rng.integers(1, 4, 80).astype(float)
    table = table_of(points, weight)
    found = moved(table, table.raw, 4, "full", np.random.default_rng(1))
    seeds, _ = table.seeds(table.raw, np.random.default_rng(1).random((4, 1)))
    kmeans = KMeans(4, init=seeds, n_init=1, max_iter=3, tol=0.0, algorithm="lloyd")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        centers = kmeans.fit(points, sample_weight=weight).cluster_centers_
    assert_array_equal(found, np.square(points[:, None] - centers).sum(axis=2).argmin(axis=1))


@pytest.mark.parametrize("kind", [kind for kind, _ in KINDS])
def test_classes_far_apart_are_found_by_every_kind(kind):
    rng = np.random.default_rng(0)
    points = 100.0 * np.eye(4)[np.repeat(np.arange(4), 20)] + rng.normal(size=(80, 4))
    table = table_of(points)
    classes = kind(table, table.raw, 4, "full", rng).reshape(4, 20)
    assert len(np.unique(classes[:, 0])) == 4
    assert (classes == classes[:, :1]).all()


def test_no_class_goes_without_a_seed_where_clusters_are_joined():
    # Of twelve seeds for twelve classes, some fall into one class nearly always.
    rng = np.random.default_rng(0)
    points = rng.normal(size=(12, 40))[np.repeat(np.arange(12), 25)]
    table = table_of(points + 0.5 * rng.normal(size=(300, 40)))
    for _ in range(5):
        classes = joined(table, table.raw, 12, "full", rng).reshape(12, 25)
        assert len(np.unique(classes[:, 0])) == 12
        assert (classes == classes[:, :1]).all()


def test_seeds_are_drawn_by_weight_and_squared_distance():
    """Of three rows, two are seeds, and the nearest of these takes the third."""
    table = table_of(np.array([[0.0], [1.0], [3.0]]), np.array([1.0, 2.0, 1.0]))
    rng = np.random.default_rng(0)
    drawn = [seeded(table, table.raw, 2, "full", rng) for _ in range(4000)]
    # The second seed after 0: 1 or 3 with odds 2:9. After 1: 0 or 3, 1:4. After 3: 0 or 1, 9:8.
    first_two = 0.25 * 2 / 11 + 0.5 * 1 / 5
    apart = np.mean([labels[0] != labels[1] for labels in drawn])
    assert apart == pytest.approx(first_two, abs=0.03)


# ---- candidates -------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["categorical", "bernoulli", "poisson", "multinomial"])
def test_no_two_candidates_are_alike(family):
    X, _ = items()
    X = np.minimum(X, 1.0) if family == "bernoulli" else X
    model, data = model_of(X, 3, family)
    starts = list(model.candidates(data, np.random.default_rng(0), 12))
    assert len({model.to_vector(start).tobytes() for start in starts}) == len(starts) == 12


def test_clusters_that_were_met_before_are_replaced():
    """There are few ways to divide these rows, and drawing them often finds enough."""
    X = np.repeat([[0.0], [4.0], [25.0], [81.0]], 5, axis=0)
    model, data = model_of(X, 2, "poisson")
    n_starts = [len(list(model.candidates(data, np.random.default_rng(i), 2))) for i in range(20)]
    assert n_starts.count(2) >= 18


def test_few_different_rows_give_few_candidates():
    X = np.repeat([[0.0, 1.0], [1.0, 0.0]], 20, axis=0)
    model, data = model_of(X, 2, "categorical")
    assert len(list(model.candidates(data, np.random.default_rng(0), 12))) == 1
    FiniteMixtureEM(2, family="categorical", random_state=0).fit(X)


def test_candidates_are_those_of_copies_in_any_order():
    X, _ = items(100)
    rng = np.random.default_rng(0)
    family = Categorical(alpha=0.0)
    ways = [
        model_of(X, 3, family),
        model_of(X[rng.permutation(100)], 3, family),
        model_of(np.repeat(X, 2, axis=0), 3, family),
        model_of(X, 3, family, weight=np.full(100, 2.0)),
    ]
    found = [
        [model.to_vector(p) for p in model.candidates(data, np.random.default_rng(1), 4)]
        for model, data in ways
    ]
    for vectors in found[1:]:
        assert_allclose(np.sort(vectors, axis=1), np.sort(found[0], axis=1), atol=1e-9)


def test_no_class_excludes_what_it_has_not_seen():
    X = np.repeat([[0.0, 0.0], [1.0, 1.0]], 20, axis=0)
    model, data = model_of(X, 2, Categorical(alpha=0.0))
    (start,) = model.candidates(data, np.random.default_rng(0), 1)
    public = model.family.to_public(start.components, start.column_spec)["probability"]
    assert_allclose(np.sort(public, axis=0), [[[0.1, 0.1]] * 2, [[0.9, 0.9]] * 2])


@pytest.mark.parametrize("label", [[0, 1, 2], [1, 2, 0], [0, 2, 1]])
def test_a_few_known_classes_number_the_starts(label):
    label = np.array(label)
    truth = np.repeat(label[[2, 0, 1]], 30)
    X = np.repeat(np.array([2.0, 0.0, 1.0]), 30)[:, None] * np.ones(6)
    # If rows of every class were known, all would start from these rows.
    y = np.where((np.arange(90) % 30 == 3) & (truth != 2), truth, -1)
    model, data = model_of(X, 3, "categorical", y)
    rows = data.distinct.first
    for start in model.candidates(data, np.random.default_rng(0), 4):
        joint = np.zeros((3, len(data.X)))
        model.family.log_density(
            data.rows, model.family.precompute(start.components, data.column_spec), joint
        )
        found = joint[:, rows].argmax(axis=0)
        assert_array_equal(found, label[np.median(data.X[rows], axis=1).astype(int)])


def test_many_rows_are_sampled():
    X = np.hstack([np.random.default_rng(0).poisson(4.0, (15_000, 2)), np.arange(15_000)[:, None]])
    model, data = model_of(X, 2, "poisson")
    table = class_table(model, data, np.random.default_rng(0))
    assert table.raw.shape == (3, 10_000)
    assert_allclose(table.raw, np.sqrt(data.X[table.rows].T))


# ---- fits -------------------------------------------------------------------------------


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
    """Single starts and the search confuse topics in most fits."""
    rng = np.random.default_rng(0)
    topics = rng.dirichlet(np.full(1000, 0.5), 12)
    labels = rng.integers(12, size=1500)
    X = csr_array(np.array([rng.multinomial(40, topics[k]) for k in labels], float))
    for seed in range(3):
        found = FiniteMixtureEM(12, family="multinomial", random_state=seed).fit(X).predict(X)
        table = np.zeros((12, 12))
        np.add.at(table, (labels, found), 1)
        assert table.max(axis=1).sum() >= 0.95 * len(labels)


def test_a_mixed_table():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=300)
    X = np.hstack(
        [
            rng.normal(size=(300, 2)) + 4.0 * np.array([[0, 0], [1, 0], [1, 1]])[labels],
            rng.random((300, 3)) < np.array([0.1, 0.9, 0.5])[labels][:, None],
        ]
    )
    family = [(Gaussian("full"), [0, 1]), ("bernoulli", [2, 3, 4])]
    for seed in range(3):
        found = FiniteMixtureEM(3, family=family, random_state=seed).fit(X).predict(X)
        table = np.zeros((3, 3))
        np.add.at(table, (labels, found), 1)
        assert table.max(axis=1).sum() >= 0.95 * len(labels)


def test_components_that_are_mixtures_are_raced():
    X = np.minimum(items(200)[0], 1.0)
    family = Mixture(Bernoulli(), 2)
    fitted = FiniteMixtureEM(2, family=family, random_state=0).fit(X)
    assert len(fitted.restarts_) > 1
    assert {restart.n_short_runs for restart in fitted.restarts_} == {0}


def test_more_effort_is_more_starts_and_never_worse():
    X, _ = items(300, n_classes=4)
    one = FiniteMixtureEM(4, family="categorical", random_state=0).fit(X)
    more = FiniteMixtureEM(4, family="categorical", n_init=3, random_state=0).fit(X)
    assert (len(one.restarts_), len(more.restarts_)) == (12, 36)
    assert more.log_likelihood_ > one.log_likelihood_ - 1e-2


def test_same_bits_for_any_number_of_jobs():
    X, _ = items()
    model = FiniteMixtureEM(3, family="categorical", random_state=0)
    first = model.fit(X).component_params_["probability"]
    second = model.set_params(n_jobs=2).fit(X).component_params_["probability"]
    assert_array_equal(first, second)
