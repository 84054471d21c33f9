"""Errors that name what is wrong, and data at the edge of what the model can do."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.sparse import csr_array
from sklearn.exceptions import ConvergenceWarning

from emlearn import DawidSkeneEM

LONG = [["a", "x", 0], ["a", "y", 1], ["a", "z", 0], ["b", "x", 1], ["b", "y", 1], ["b", "z", 1]]
KINDS = ["full", "class_pooled", "homogeneous", "class_conditional", "one_coin", "ordinal"]


def frame(rows, names=("item", "rater", "label")):
    return pd.DataFrame(rows, columns=list(names))


@pytest.mark.parametrize(
    ("X", "settings", "message"),
    [
        (np.eye(4)[:, :3], {}, r"three columns.*layout='long' or layout='wide'"),
        (frame(LONG, "abc"), {}, r"three columns.*layout"),
        (np.zeros((5, 4)), {"layout": "long"}, r"4 columns, but a long table has three"),
        (
            frame([[*row, 1] for row in LONG], ("item", "rater", "label", "n")),
            {},
            r"column 'n'.*sample_weight",
        ),
        ([[0, 1.5], [1, 0]], {}, r"Column 1, row 0, has 1\.5, but labels are whole"),
        ([[0, np.inf], [1, 0]], {}, r"Column 1, row 0, has inf"),
        (frame([["a", "x", 0.5], *LONG]), {}, r"column 'label', row 0, has 0\.5"),
        (frame([[None, "x", 1], *LONG]), {}, r"column 'item', row 0, has no value.*item"),
        (frame([["a", np.nan, 1], *LONG]), {}, r"column 'rater', row 0, has no value.*rater"),
        (
            [["a", 1], ["b", "a"]],
            {},
            r"all integers, all text or all booleans.*'a' in column 0 and 1 in column 1",
        ),
        ([["a", "a"], ["a", "a"]], {}, r"All labels are 'a'.*one class.*classes"),
        ([[np.nan, np.nan]] * 3, {}, r"X has no labels.*one class"),
        ([["a", "b"], ["b", "a"]], {"confusion": "ordinal"}, r"order of the classes.*classes"),
        ([[0, 2], [1, 0]], {"classes": [0, 1]}, r"label 2 in row 0.*none of the classes 0, 1"),
        ([[0, 1], [1, 0]], {"classes": [0, 0]}, r"two different labels"),
        ([[0, 1], [1, 0]], {"classes": [0, "a"]}, r"classes must be integers, booleans or text"),
        ([[0, 1], [1, 0]], {"classes": [3]}, r"two different labels"),
        (np.arange(40_000).reshape(-1, 4), {}, r"confusion matrices of 6\.4e\+09 entries"),
    ],
)
def test_tables(X, settings, message):
    with pytest.raises(ValueError, match=f"(?i){message}"):
        DawidSkeneEM(**settings).fit(X)


def test_tables_of_a_wrong_type():
    with pytest.raises(TypeError, match="Sparse data was passed"):
        DawidSkeneEM().fit(csr_array(np.eye(4)))
    with pytest.raises(ValueError, match="Complex data"):
        DawidSkeneEM().fit(np.eye(4) * 1j)
    with pytest.raises(TypeError, match="lists, dicts"):
        DawidSkeneEM().fit(frame([["a", "x", [1]], *LONG]))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0, 1], r"y has 2 entries, but X has 6 rows"),
        (["a", None, None, None, None, None], r"y has 'a' in row 0.*integers"),
        ([0.5, None, None, None, None, None], r"y has 0\.5 in row 0.*integers"),
        ([0, 1, None, None, None, None], r"y has 0 in row 0 and 1 in another row of the item 'a'"),
    ],
)
def test_known_classes(y, message):
    with pytest.raises(ValueError, match=message):
        DawidSkeneEM(use_labels=True).fit(frame(LONG), y)


def test_known_class_beyond_the_declared():
    with pytest.raises(ValueError, match="y has the class 7, which is not among classes"):
        DawidSkeneEM(use_labels=True, classes=[0, 1]).fit(frame(LONG), [7] + [None] * 5)


def test_new_tables():
    model = DawidSkeneEM().fit(frame(LONG))
    with pytest.raises(ValueError, match="label 5 in row 0"):
        model.predict(frame([["c", "x", 5]]))
    with pytest.raises(ValueError, match=r"feature names|columns"):
        model.predict(frame([["c", "x", 1, 1]], ("item", "rater", "label", "more")))
    wide = DawidSkeneEM().fit(np.array([[0, 1, 1, 0], [0, 0, 1, 0]]))
    with pytest.raises(ValueError, match="3 features"):
        wide.predict([[0, 1, 1]])
    with pytest.raises(ValueError, match="X has no labels of positive weight"):
        wide.score([[np.nan] * 4])


def test_hyperparameters():
    for settings in (
        {"confusion": "other"},
        {"prior_strength": -1.0},
        {"prior_accuracy": 1.0},
        {"pooling": 0.0},
        {"layout": "tall"},
        {"unseen_raters": "drop"},
    ):
        with pytest.raises(ValueError, match=next(iter(settings))):
            DawidSkeneEM(**settings).fit(frame(LONG))


def test_quality():
    model = DawidSkeneEM().fit(frame(LONG))
    with pytest.raises(ValueError, match="metric must be one of accuracy"):
        model.rater_quality(frame(LONG), metric="kappa")
    for cost, message in (
        (np.ones((3, 3)), r"shape \(2, 2\)"),
        (np.ones((2, 2)), "0 where the label is right"),
        (np.zeros((2, 2)), "above 0 wherever"),
    ):
        with pytest.raises(ValueError, match=message):
            model.rater_quality(frame(LONG), metric="expected_cost", cost=cost)
    with pytest.raises(ValueError, match=r"classes \[0, 1, 2\], but in the fit"):
        model.inference(frame([*LONG, ["b", "x", 2]]))
    rng = np.random.default_rng(0)
    X = np.column_stack(
        [np.repeat(np.arange(900), 3), np.arange(2700) % 900, rng.integers(3, size=2700)]
    )
    with pytest.raises(ValueError, match=r"5402 parameters, too many.*one_coin"):
        DawidSkeneEM(layout="long").fit(X).rater_quality(X)


# ---- data at the edge ------------------------------------------------------------------


@pytest.mark.parametrize("confusion", KINDS)
@pytest.mark.parametrize("strength", [0.0, 4.0])
def test_raters_and_items_of_one_label(crowd, long, confusion, strength):
    table, _ = crowd(60, 4, 3)
    rows = long(table)
    # A rater with one label, an item with one label, and an item that one rater gave both labels.
    rows = np.vstack([rows, [[0, 9, 2], [70, 0, 1], [71, 1, 0], [71, 1, 2]]])
    model = DawidSkeneEM(confusion, layout="long", prior_strength=strength).fit(rows)
    assert model.converged_
    for found in (model.confusion_matrices_, model.prevalence_, model.label_probabilities_):
        assert np.isfinite(found).all()
        assert_allclose(found.sum(axis=-1), 1.0)
    assert model.confusion_matrices_.shape == (5, 3, 3)
    if strength > 0.0 and confusion != "class_pooled":
        assert (model.confusion_matrices_ > 1e-6).all()
    assert np.isfinite(model.bic(rows))


def test_a_rater_of_few_labels_gets_no_zeros(crowd, long):
    table, _ = crowd(60, 4, 3)
    rows = np.vstack([long(table), [[0, 9, 2]]])
    exact = DawidSkeneEM(layout="long", prior_strength=0.0).fit(rows).confusion_matrices_[-1]
    assert (exact.max(axis=1) > 0.99).any()
    found = DawidSkeneEM(layout="long").fit(rows).confusion_matrices_[-1]
    assert found.min() > 0.05
    assert (np.diagonal(found) > 0.5).all()


def test_two_raters_are_not_enough(crowd):
    table, _ = crowd(100, 2, 2)
    with pytest.warns(UserWarning, match="No item has 3 labels or more"):
        model = DawidSkeneEM().fit(table)
    assert np.isfinite(model.confusion_matrices_).all()


def test_raters_who_agree_in_nothing():
    X = np.random.default_rng(0).integers(3, size=(200, 5))
    model = DawidSkeneEM().fit(X)
    assert np.isfinite(model.confusion_matrices_).all()
    assert np.isfinite(model.rater_quality(X, metric="informedness").estimate).all()


def test_classes_that_changed_their_names_are_told(crowd):
    table, _ = crowd(300, 5, 3, 0.8)
    model = DawidSkeneEM(prior_strength=0.0, warm_start=True).fit(table)
    order = [1, 0, 2]
    model.prevalence_ = model.prevalence_[order]
    model.confusion_matrices_ = model.confusion_matrices_[:, order]
    with pytest.warns(ConvergenceWarning, match="labels of other classes"):
        model.fit(table)


def test_reversed_order_is_told(crowd):
    table, _ = crowd(300, 5, 3, 0.8)
    model = DawidSkeneEM("ordinal", prior_strength=0.0, warm_start=True).fit(table)
    assert (model.discrimination_ > 0.0).all()
    # Class j becomes K - 1 - j: the trait is mirrored.
    model.prevalence_ = model.prevalence_[::-1]
    model.criteria_ = model.criteria_ - 2.0 * model.discrimination_[:, None]
    model.discrimination_ = -model.discrimination_
    with pytest.warns(ConvergenceWarning, match="labels of other classes"):
        model.fit(table)


def test_declared_classes_that_nobody_gives(crowd):
    table, _ = crowd(100, 4, 2)
    model = DawidSkeneEM(classes=[0, 1, 2]).fit(table)
    assert model.confusion_matrices_.shape == (4, 3, 3)
    assert model.prevalence_[2] < 1e-3
    one = DawidSkeneEM(classes=[0, 1]).fit(np.zeros((10, 4)))
    assert (one.labels_ == 0).all()
    ordered = DawidSkeneEM("ordinal", classes=["b", "a", "c"]).fit(
        np.array(["b", "a"])[table.astype(int)]
    )
    assert ordered.classes_.tolist() == ["b", "a", "c"]


def test_weights_of_zero(crowd):
    table, _ = crowd(100, 4, 2)
    extra = np.vstack([table, [[5.0] * 4]])
    weight = np.append(np.ones(100), 0.0)
    with pytest.raises(ValueError, match="label 5"):
        # The label is read, and is no class.
        DawidSkeneEM(classes=[0, 1]).fit(extra, sample_weight=weight)
    with pytest.raises(ValueError, match="all rows have weight 0"):
        DawidSkeneEM().fit(table, sample_weight=np.zeros(100))
