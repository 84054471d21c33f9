"""Sequences in any form give the same model, and follow the splits of scikit-learn."""

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_val_score

from emlearn import HiddenMarkovEM
from emlearn.sequences import SequenceKFold, split_rows

RNG = np.random.default_rng(1)
LENGTHS = np.array([30, 12, 25, 25, 8, 40])
IDS = np.repeat(["u", "a", "x", "b", "m", "c"], LENGTHS)
STATES = np.concatenate([np.repeat(RNG.integers(3, size=20), 4)[:n] for n in LENGTHS])
X = RNG.normal(STATES[:, None] * [3.0, -2.0], 1.0)
PARTS = split_rows(X, LENGTHS)
MODEL = HiddenMarkovEM(2, tol=1e-3, init_params="rows", random_state=0)
PLAIN = clone(MODEL).fit(X, lengths=LENGTHS)


def frame_of(rows):
    pd = pytest.importorskip("pandas")
    return pd.DataFrame(rows, columns=["left", "right"])


def with_ids():
    frame = frame_of(X)
    frame.insert(1, "who", IDS)
    return frame


FORMS = {
    "list": lambda: (PARTS, {}, {}),
    "tuple": lambda: (tuple(PARTS), {}, {}),
    "nested": lambda: ([part.tolist() for part in PARTS], {}, {}),
    "frames": lambda: ([frame_of(part) for part in PARTS], {}, {}),
    "ids": lambda: (X, {"sequence_ids": IDS}, {}),
    "numbers": lambda: (X, {"sequence_ids": np.repeat(np.arange(6)[::-1], LENGTHS)}, {}),
    "name": lambda: (with_ids(), {}, {"sequence_column": "who"}),
    "position": lambda: (with_ids(), {}, {"sequence_column": 1}),
    "array": lambda: (
        np.insert(X, 2, np.repeat(np.arange(6.0), LENGTHS), axis=1),
        {},
        {"sequence_column": -1},
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form(form):
    rows, settings, hyperparameters = FORMS[form]()
    fit = clone(MODEL).set_params(**hyperparameters).fit(rows, **settings)
    assert fit.n_features_in_ == 2
    for name in ("startprob_", "transmat_", "means_", "covariances_", "last_state_proba_"):
        assert_array_equal(getattr(fit, name), getattr(PLAIN, name))
    for method in ("predict", "predict_proba", "filter", "predict_ahead", "score_samples", "bic"):
        found = getattr(fit, method)(rows, **settings)
        assert_array_equal(found, getattr(PLAIN, method)(X, LENGTHS))
    assert_array_equal(fit.forecast(2, rows, **settings), PLAIN.forecast(2, X, LENGTHS))
    assert fit.score(rows, **settings) == PLAIN.score(X, lengths=LENGTHS)
    assert fit.decode(rows, algorithm="map", **settings)[0] == PLAIN.decode(X, LENGTHS, "map")[0]
    again = clone(fit)
    assert_array_equal(again.fit_predict(rows, **settings), PLAIN.predict(X, LENGTHS))
    errors = fit.inference(rows, **settings).standard_errors
    expected = PLAIN.inference(X, lengths=LENGTHS).standard_errors
    assert_array_equal(errors["transmat"], expected["transmat"])


def test_three_dimensions():
    cube = X[:120].reshape(6, 20, 2)
    fit = clone(MODEL).fit(cube)
    plain = clone(MODEL).fit(X[:120], lengths=[20] * 6)
    assert_array_equal(fit.transmat_, plain.transmat_)
    assert_array_equal(fit.predict_proba(cube), plain.predict_proba(X[:120], [20] * 6))


def test_known_states_by_sequence():
    y = np.where(RNG.random(len(X)) < 0.3, STATES, -1)
    model = HiddenMarkovEM(3, use_labels=True, **{"random_state": 0, "tol": 1e-3})
    plain = clone(model).fit(X, y, lengths=LENGTHS)
    for labels in (y, split_rows(y, LENGTHS), [part.tolist() for part in split_rows(y, LENGTHS)]):
        assert_array_equal(clone(model).fit(PARTS, labels).transmat_, plain.transmat_)
    cube = clone(model).fit(X[:120].reshape(6, 20, 2), y[:120].reshape(6, 20))
    flat = clone(model).fit(X[:120], y[:120], lengths=[20] * 6)
    assert_array_equal(cube.transmat_, flat.transmat_)
    short = split_rows(y, LENGTHS)
    short[2] = short[2][:-1]
    with pytest.raises(ValueError, match="y has 24 labels for sequence 2, but the sequence has 25"):
        clone(model).fit(PARTS, short)


def test_named_states():
    """Strings in, strings out: classes_ are sorted."""
    names = np.array(["rest", "walk", "run"])[STATES].astype(object)
    y = np.where(RNG.random(len(X)) < 0.5, names, None)
    fit = HiddenMarkovEM(use_labels=True, random_state=0).fit(PARTS, split_rows(y, LENGTHS))
    assert_array_equal(fit.classes_, ["rest", "run", "walk"])
    path = fit.predict(PARTS)
    assert np.mean(path == names) > 0.9
    _, drawn = fit.sample(50, after=[PARTS[0]])
    assert set(drawn) <= {"rest", "run", "walk"}
    found = fit.durations(PARTS, standard_errors=False)
    assert_array_equal(found.states, fit.classes_)
    assert set(found.runs.state) == {"rest", "run", "walk"}


# ---- cross-validation -------------------------------------------------------------------------


def by_hand(model, folds):
    """Mean log-likelihood per row of each fold."""
    scores = []
    for train, test in folds:
        sizes = [np.unique(IDS[rows], return_index=True)[1] for rows in (train, test)]
        lengths = [
            np.diff(np.append(np.sort(at), len(rows)))
            for at, rows in zip(sizes, (train, test), strict=True)
        ]
        fit = clone(model).fit(X[train], lengths=lengths[0])
        scores.append(fit.score(X[test], lengths=lengths[1]))
    return scores


@pytest.mark.parametrize(
    "splitter", [SequenceKFold(3), SequenceKFold(3, shuffle=True, random_state=0), GroupKFold(3)]
)
def test_grid_search_with_routed_identifiers(splitter):
    grid = {"n_components": [1, 2, 3]}
    folds = list(splitter.split(X, groups=IDS))
    expected = [by_hand(clone(MODEL).set_params(n_components=k), folds) for k in (1, 2, 3)]
    with sklearn.config_context(enable_metadata_routing=True):
        model = clone(MODEL).set_fit_request(sequence_ids=True)
        model.set_score_request(sequence_ids=True)
        search = GridSearchCV(model, grid, cv=splitter)
        own = {} if isinstance(splitter, SequenceKFold) else {"groups": IDS}
        search.fit(X, sequence_ids=IDS, **own)
    found = np.stack([search.cv_results_[f"split{i}_test_score"] for i in range(3)], axis=1)
    assert_allclose(found, expected, rtol=1e-12)
    best = clone(MODEL).set_params(**search.best_params_).fit(X, lengths=LENGTHS)
    assert_array_equal(search.best_estimator_.transmat_, best.transmat_)


def test_grid_search_with_a_column():
    """Without routing: the identifiers are a column, and the groups of the splitter."""
    table = with_ids()
    model = clone(MODEL).set_params(sequence_column="who")
    folds = list(SequenceKFold(3).split(X, groups=IDS))
    found = cross_val_score(model, table, groups=table["who"], cv=SequenceKFold(3))
    assert_allclose(found, by_hand(MODEL, folds), rtol=1e-12)


def test_lists_are_split_by_sequence():
    """Any splitter divides a list of sequences, and their weights, by sequence."""
    weight = np.array([1.0, 2.0, 1.0, 3.0, 0.5, 1.0])
    found = []
    for train, test in KFold(3).split(PARTS):
        rows = [PARTS[i] for i in train]
        fit = clone(MODEL).fit(rows, sample_weight=weight[train])
        found.append(fit.score([PARTS[i] for i in test], sample_weight=weight[test]))
    with sklearn.config_context(enable_metadata_routing=True):
        model = clone(MODEL).set_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=True)
        scores = cross_val_score(model, PARTS, cv=KFold(3), params={"sample_weight": weight})
        assert_allclose(scores, found, rtol=1e-12)
    assert len(cross_val_score(MODEL, PARTS, cv=SequenceKFold(2))) == 2


def test_weights_belong_to_sequences():
    with pytest.raises(ValueError, match=r"must have one weight for each sequence, shape \(6,\)"):
        clone(MODEL).fit(X, sequence_ids=IDS, sample_weight=np.ones(len(X)))
    doubled = clone(MODEL).fit([*PARTS, PARTS[0]])
    weighted = clone(MODEL).fit(X, sequence_ids=IDS, sample_weight=[2, 1, 1, 1, 1, 1])
    assert_allclose(weighted.score(X), doubled.score(X), rtol=1e-3)


# ---- bad input ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        (X, {"lengths": [70, 71]}, "add up to 141, but X has 140 rows. .*SequenceKFold"),
        (X, {"lengths": [70, 0, 70]}, "sequence 1 has length 0"),
        (X, {"sequence_ids": np.arange(140) % 70}, "sequence_ids has 0 in row 70 again"),
        (X, {"sequence_ids": IDS[:-1]}, "sequence_ids has 139 entries, but X has 140 rows"),
        (X, {"sequence_ids": IDS, "lengths": LENGTHS}, "Both lengths and sequence_ids"),
        (PARTS, {"lengths": LENGTHS}, "so lengths must be None"),
        ([X[:4], X[4:9, :1]], {}, "Sequence 1 of X has 1 columns, but sequence 0 has 2"),
        ([X[:4], X[:0]], {}, "Sequence 1 of X has no rows"),
        ([X[:4], [["a", 1.0]]], {}, "Text in column 0 of X, row 4"),
    ],
)
def test_refused(rows, settings, message):
    with pytest.raises(ValueError, match=message):
        clone(MODEL).fit(rows, **settings)
    with pytest.raises(ValueError, match=message):
        PLAIN.predict(rows, **settings)


def test_rows_of_nothing_but_holes():
    holed = [part.copy() for part in PARTS]
    holed[1][:] = np.nan
    holed[2][3:9] = np.nan
    fit = clone(MODEL).fit(holed)
    assert np.isfinite(fit.means_).all()
    assert abs(fit.score_samples(holed)[1]) < 1e-12
    assert np.isfinite(fit.forecast(3)).all()
    with pytest.raises(ValueError, match=r"Column|column"):
        clone(MODEL).fit([np.where([False, True], np.nan, part) for part in PARTS])


def test_wrong_column():
    with pytest.raises(ValueError, match="'who' is a name, but X has no names"):
        clone(MODEL).set_params(sequence_column="who").fit(X)
    with pytest.raises(ValueError, match="'sequence_column' parameter"):
        clone(MODEL).set_params(sequence_column=[1]).fit(X)
