"""Layouts, labels of any type, weights, known classes, new items, quality of raters."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from emlearn import DawidSkeneEM
from emlearn.datasets import load_anesthetists

KINDS = ["full", "class_pooled", "homogeneous", "class_conditional", "one_coin", "ordinal"]


def test_layouts_are_the_same(crowd, long):
    table, _ = crowd()
    table[np.random.default_rng(0).random(table.shape) < 0.3] = np.nan
    table[7] = np.nan  # an item without labels
    wide = DawidSkeneEM(tol=1e-10).fit(table)
    rows = np.random.default_rng(1).permutation(long(table))
    other = DawidSkeneEM(layout="long", tol=1e-10).fit(rows)
    assert_allclose(other.confusion_matrices_, wide.confusion_matrices_, atol=1e-8)
    assert other.log_likelihood_ == pytest.approx(wide.log_likelihood_, rel=1e-12)
    kept = np.flatnonzero(~np.isnan(table).all(axis=1))
    assert 7 not in kept
    assert_array_equal(other.items_, kept)
    assert_array_equal(other.labels_, wide.labels_[kept])
    assert_allclose(wide.label_probabilities_[7], wide.prevalence_)
    assert (wide.n_features_in_, other.n_features_in_) == (5, 3)
    frame = pd.DataFrame(rows, columns=["task", "worker", "label"])
    assert_array_equal(DawidSkeneEM(tol=1e-10).fit(frame).labels_, other.labels_)
    assert_array_equal(wide.predict(table), wide.labels_)
    assert_allclose(other.predict_proba(rows), other.label_probabilities_, atol=1e-12)
    assert wide.score(table) == pytest.approx(wide.log_likelihood_ / len(kept))
    assert other.bic(rows) == pytest.approx(wide.bic(table))


NAMES = np.array(["low", "mid", "high"])


@pytest.mark.parametrize(
    ("make", "classes"),
    [
        (lambda table: table.astype(int), [0, 1, 2]),
        (lambda table: table - 1.0, [-1, 0, 1]),
        (lambda table: NAMES[table.astype(int)], ["high", "low", "mid"]),
        (lambda table: NAMES[table.astype(int)].astype(object), ["high", "low", "mid"]),
        (lambda table: pd.DataFrame(NAMES[table.astype(int)]), ["high", "low", "mid"]),
        (lambda table: pd.DataFrame(table).astype("Int64"), [0, 1, 2]),
        (
            lambda table: pd.DataFrame(NAMES[table.astype(int)]).astype(
                pd.CategoricalDtype(["none", *NAMES], ordered=True)
            ),
            ["low", "mid", "high"],
        ),
        (lambda table: np.minimum(table, 1).astype(bool), [False, True]),
    ],
)
def test_labels_of_any_type(crowd, make, classes):
    table, _ = crowd()
    X = make(table)
    if isinstance(X, pd.DataFrame):
        X.columns = [f"rater {r}" for r in range(5)]
    model = DawidSkeneEM(layout="wide").fit(X)
    assert model.classes_.tolist() == classes
    numbers = DawidSkeneEM(layout="wide").fit(np.minimum(table, len(classes) - 1))
    codes = np.searchsorted(np.sort(model.classes_), model.classes_)
    assert sorted(codes) == list(range(len(classes)))
    if classes == sorted(classes) and not isinstance(classes[0], str):
        assert_array_equal(model.classes_[numbers.labels_.astype(int)], model.labels_)
    else:
        assert_array_equal(NAMES[numbers.labels_], model.labels_)


@pytest.mark.parametrize("confusion", KINDS)
def test_weights_are_copies(crowd, long, confusion):
    table, _ = crowd(80)
    weight = np.random.default_rng(0).integers(0, 3, 80).astype(float)
    model = DawidSkeneEM(confusion, tol=1e-10, classes=[0, 1, 2])
    weighted = model.fit(table, sample_weight=weight)
    matrices, total = weighted.confusion_matrices_, weighted.bic(table, weight)
    copied = model.fit(np.repeat(table, weight.astype(int), axis=0))
    assert_allclose(matrices, copied.confusion_matrices_, atol=1e-6)
    assert total == pytest.approx(copied.bic(np.repeat(table, weight.astype(int), axis=0)))
    rows = long(table)
    times = np.random.default_rng(1).integers(0, 3, len(rows))
    model = DawidSkeneEM(confusion, layout="long", tol=1e-10, classes=[0, 1, 2])
    weighted = model.fit(rows, sample_weight=times)
    matrices, errors = (
        weighted.confusion_matrices_,
        weighted.inference(rows, sample_weight=times).standard_errors["prevalence"],
    )
    copies = np.repeat(rows, times, axis=0)
    copied = model.fit(copies)
    assert_allclose(matrices, copied.confusion_matrices_, atol=1e-6)
    assert_allclose(errors, copied.inference(copies).standard_errors["prevalence"], rtol=1e-3)


@pytest.mark.parametrize("confusion", KINDS)
def test_the_objective_never_falls(crowd, confusion):
    table, _ = crowd(150, 6, 4, 0.6, seed=3)
    model = DawidSkeneEM(confusion, n_init=4, random_state=0).fit(table)
    assert model.converged_
    objective = model.history_["objective"]
    assert (np.diff(objective) >= -1e-9 * np.abs(objective[0])).all()
    assert_allclose(model.confusion_matrices_.sum(axis=2), 1.0)
    assert_allclose(model.prevalence_.sum(), 1.0)
    assert_allclose(model.label_probabilities_.sum(axis=1), 1.0)
    assert len(model.restarts_) == 4


def test_same_bits_for_any_number_of_threads():
    rng = np.random.default_rng(0)
    item, rater = np.repeat(np.arange(40_000), 5), rng.integers(300, size=200_000)
    X = np.column_stack([item, rater, rng.integers(3, size=200_000)])
    found = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads), pytest.warns(ConvergenceWarning):
            found.append(DawidSkeneEM(layout="long", max_iter=3, tol=0.0).fit(X))
    assert_array_equal(found[0].confusion_matrices_, found[1].confusion_matrices_)
    assert_array_equal(found[0].label_probabilities_, found[1].label_probabilities_)


def test_recovers_the_truth(crowd):
    rng = np.random.default_rng(4)
    matrices = rng.dirichlet(np.ones(3), (6, 3)) * 0.4 + 0.6 * np.eye(3)
    table, classes = crowd(20_000, 6, 3, matrices=matrices, seed=5)
    model = DawidSkeneEM(prior_strength=0.0).fit(table)
    assert_allclose(model.confusion_matrices_, matrices, atol=0.03)
    assert (model.labels_ == classes).mean() > 0.93
    # Standard errors: about two thirds are within one, and almost all within three.
    found = model.inference(table)
    z = (found.estimates["confusion_matrices"] - matrices) / found.standard_errors[
        "confusion_matrices"
    ]
    assert np.abs(z).max() < 4.0
    assert 0.5 < (np.abs(z) < 1.0).mean() < 0.85


# ---- known classes --------------------------------------------------------------------


def test_known_classes(crowd, long):
    table, classes = crowd(200, 3, 3, 0.5, seed=2)
    y = np.where(np.arange(200) < 60, classes, -1)
    model = DawidSkeneEM(layout="wide", use_labels=True).fit(table, y)
    assert_array_equal(model.labels_[:60], classes[:60])
    assert_allclose(model.label_probabilities_[np.arange(60), classes[:60]], 1.0)
    plain = DawidSkeneEM(layout="wide").fit(table)
    assert (model.labels_[60:] == classes[60:]).mean() >= (
        plain.labels_[60:] == classes[60:]
    ).mean()
    ignored = DawidSkeneEM(layout="wide").fit(table, y)
    assert_array_equal(ignored.confusion_matrices_, plain.confusion_matrices_)
    # In a long table, y belongs to the rows, and one of them is enough.
    rows = long(table)
    each = [None] * len(rows)
    for i in range(60):
        each[int(np.flatnonzero(rows[:, 0] == i)[0])] = int(classes[i])
    other = DawidSkeneEM(layout="long", use_labels=True).fit(rows, each)
    assert_allclose(other.confusion_matrices_, model.confusion_matrices_, atol=1e-9)
    assert model.rater_quality(table, y).estimate.shape == (3,)


def test_all_classes_known(crowd):
    table, classes = crowd(300, 3, 3)
    model = DawidSkeneEM(layout="wide", use_labels=True, prior_strength=0.0).fit(table, classes)
    counts = np.zeros((3, 3, 3))
    for r in range(3):
        np.add.at(counts[r], (classes, table[:, r].astype(int)), 1)
    assert_allclose(model.confusion_matrices_, counts / counts.sum(axis=2, keepdims=True))
    assert_allclose(model.prevalence_, np.bincount(classes) / 300)


def test_known_classes_that_nobody_gives(crowd):
    table, _ = crowd(100, 4, 2)
    y = np.where(np.arange(100) < 5, 2, -1)
    model = DawidSkeneEM(use_labels=True).fit(table, y)
    assert_array_equal(model.classes_, [0, 1, 2])
    assert_array_equal(model.labels_[:5], 2)
    minus = DawidSkeneEM(use_labels=True).fit(table - 1.0, [None] * 50 + [-1] * 50)
    assert_array_equal(minus.classes_, [-1, 0])
    assert_array_equal(minus.labels_[50:], -1)


def test_reversed_raters_keep_the_names_that_are_known(crowd):
    matrices = np.array([[[0.2, 0.8], [0.8, 0.2]]] * 4 + [[[0.9, 0.1], [0.1, 0.9]]])
    table, classes = crowd(400, 5, 2, matrices=matrices)
    voted = DawidSkeneEM().fit(table)
    assert (voted.labels_ == classes).mean() < 0.1
    y = np.where(np.arange(400) < 40, classes, -1)
    known = DawidSkeneEM(use_labels=True).fit(table, y)
    assert (known.labels_ == classes).mean() > 0.9


# ---- new items ------------------------------------------------------------------------


def test_new_items_of_known_raters():
    X = load_anesthetists().data
    model = DawidSkeneEM(layout="long").fit(X)
    joint = (
        model.prevalence_ * model.confusion_matrices_[0, :, 1] * model.confusion_matrices_[2, :, 2]
    )
    found = model.predict_proba([["b", 1, 2], ["a", 4, 1], ["b", 3, 3]])
    assert_allclose(found[1], joint / joint.sum())
    assert_array_equal(model.predict([["b", 1, 2], ["a", 4, 1], ["b", 3, 3]])[:1], [1])
    new = [[1, "nobody", 2], [1, 3, 2]]
    with pytest.raises(ValueError, match=r"rater 'nobody', who was not in fit.*unseen_raters"):
        model.predict(new)
    ignored = model.set_params(unseen_raters="ignore").predict_proba(new)
    assert_allclose(ignored, model.predict_proba([[1, 3, 2]]))
    average = model.set_params(unseen_raters="average").predict_proba(new)
    mean = np.average(model.confusion_matrices_, axis=0, weights=model.n_labels_)
    joint = model.prevalence_ * model.confusion_matrices_[2, :, 1] * mean[:, 1]
    assert_allclose(average[0], joint / joint.sum())
    assert_array_equal(model.n_labels_, [135, 45, 45, 45, 45])


def test_impossible_labels_of_a_new_item():
    X = load_anesthetists().data
    model = DawidSkeneEM(layout="long", prior_strength=0.0).fit(X)
    # The first says 1, which no class but 1 and 2 has; the second 4, which only class 4 has.
    found = model.predict_proba([[0, 1, 1], [0, 2, 4]])
    assert np.isfinite(found).all()
    assert_allclose(found.sum(), 1.0)


# ---- quality --------------------------------------------------------------------------


def test_quality():
    X = load_anesthetists().data
    model = DawidSkeneEM(layout="long").fit(X)
    p, theta = model.prevalence_, model.confusion_matrices_
    accuracy = model.rater_quality(X)
    assert_allclose(accuracy.estimate, [p @ np.diagonal(own) for own in theta])
    assert accuracy.names == tuple(f"accuracy[{r}]" for r in range(1, 6))
    interval = accuracy.confidence_interval()
    assert (interval > 0.0).all()
    assert (interval < 1.0).all()
    balanced = model.rater_quality(X, metric="balanced_accuracy")
    assert_allclose(balanced.estimate, [np.diagonal(own).mean() for own in theta])
    informedness = model.rater_quality(X, metric="informedness")
    assert_allclose(informedness.estimate, (4.0 * balanced.estimate - 1.0) / 3.0)
    assert_allclose(informedness.standard_error, balanced.standard_error * 4.0 / 3.0, rtol=1e-6)
    cost = model.rater_quality(X, metric="expected_cost")
    for own, value in zip(theta, cost.estimate, strict=True):
        soft = p[:, None] * own
        expected = sum(
            soft[:, label].sum() * (1.0 - ((soft[:, label] / soft[:, label].sum()) ** 2).sum())
            for label in range(4)
        )
        assert value == pytest.approx(expected / (1.0 - (p**2).sum()))
    distance = np.abs(np.subtract.outer(np.arange(4), np.arange(4)))
    by_distance = model.rater_quality(X, metric="expected_cost", cost=distance)
    assert (by_distance.estimate < cost.estimate).all()


def test_quality_of_those_who_say_nothing_and_everything(crowd):
    matrices = np.array([np.eye(3)] * 3 + [np.full((3, 3), 1.0 / 3.0)])
    table, _ = crowd(2000, 4, 3, matrices=matrices)
    model = DawidSkeneEM(prior_strength=1.0).fit(table)
    for metric, ends in (("informedness", (1.0, 0.0)), ("expected_cost", (0.0, 1.0))):
        found = model.rater_quality(table, metric=metric).estimate
        assert_allclose(found, [ends[0]] * 3 + [ends[1]], atol=0.03)


def test_standard_error_of_one_coin_with_known_classes(crowd):
    table, classes = crowd(500, 3, 3)
    model = DawidSkeneEM("one_coin", layout="wide", use_labels=True, prior_strength=0.0)
    model.fit(table, classes)
    a = model.accuracies_
    assert_allclose(a, (table == classes[:, None]).mean(axis=0))
    found = model.inference(table, classes)
    assert_allclose(found.standard_errors["accuracies"], np.sqrt(a * (1.0 - a) / 500), rtol=1e-3)
    quality = model.rater_quality(table, classes)
    assert_allclose(quality.standard_error, found.standard_errors["accuracies"], rtol=1e-3)


# ---- fixed, warm start ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("confusion", "name", "index", "value"),
    [
        ("full", "confusion_matrices", (1, 0), [0.8, 0.1, 0.1]),
        ("class_pooled", "common_confusion", (1, 1), 0.6),
        ("class_pooled", "confusion_matrices", (2, 0), [0.7, 0.2, 0.1]),
        ("homogeneous", "confusion_matrices", (0, 0, 0), 0.9),
        ("one_coin", "accuracies", 2, 0.55),
        ("class_conditional", "accuracies", (2, 1), 0.55),
        ("ordinal", "discrimination", 0, 2.5),
        ("ordinal", "criteria", (1, 0), 1.0),
        ("full", "prevalence", slice(None), [0.2, 0.3, 0.5]),
    ],
)
def test_fixed(crowd, confusion, name, index, value):
    table, _ = crowd()
    free = DawidSkeneEM(confusion).fit(table)
    held = np.full(getattr(free, f"{name}_").shape, np.nan)
    held[index] = value
    model = DawidSkeneEM(confusion, fixed={name: held}).fit(table)
    found = getattr(model, f"{name}_")
    assert_allclose(found[index], value, rtol=1e-12)
    assert model.log_likelihood_ < free.log_likelihood_ + 1.0
    objective = model.history_["objective"]
    assert (np.diff(objective) >= -1e-9 * np.abs(objective[0])).all()
    assert model._n_parameters() < free._n_parameters()
    assert np.isfinite(model.inference(table).standard_errors["prevalence"]).all() or (
        name == "prevalence"
    )


def test_warm_start(crowd):
    table, _ = crowd()
    model = DawidSkeneEM(warm_start=True, max_iter=2, tol=0.0)
    with pytest.warns(ConvergenceWarning):
        model.fit(table)
    first = model.log_likelihood_
    model.set_params(max_iter=500, tol=1e-10).fit(table)
    assert model.log_likelihood_ >= first - 1.0
    assert_allclose(
        model.confusion_matrices_, DawidSkeneEM(tol=1e-10).fit(table).confusion_matrices_, atol=1e-5
    )
    with pytest.raises(ValueError, match="warm_start=True"):
        model.fit(np.minimum(table, 1))
