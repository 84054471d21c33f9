"""The benchmark of tables with categories: holes, codes and scores are what they are said to be."""

import json
import math
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def load(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return import_module


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    n = 400
    sizes = pd.CategoricalDtype(["small", "middle", "large"], ordered=True)
    return pd.DataFrame(
        {
            "length": rng.normal(size=n),
            "count": pd.array(rng.poisson(3.0, n), "Int64"),
            "size": pd.Series(rng.choice(sizes.categories, n)).astype(sizes),
            "color": pd.Series(rng.choice(["red", "green", "blue"], n)).astype("category"),
            "old": pd.array(rng.random(n) < 0.3, "boolean"),
            "height": rng.normal(size=n),
        }
    )


@pytest.fixture
def holes(load, frame, monkeypatch):
    """Function that hides entries of the frame."""
    tables = load("_tables")
    monkeypatch.setattr(tables, "load", lambda name: frame)
    return lambda how, rate=0.3, seed=0: tables.Problem("made", how, rate, seed).make()


@pytest.mark.parametrize("how", ["MCAR", "MAR"])
@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_holes_keep_dtypes_rows_and_levels(holes, frame, how, rate):
    made = holes(how, rate)
    assert made.frame.dtypes.equals(frame.dtypes)
    assert (made.frame.isna().to_numpy() == made.hidden).all()
    assert not made.hidden.all(axis=1).any()
    incomplete = made.hidden.any(axis=0)
    assert incomplete.sum() == (6 if how == "MCAR" else 4)
    assert made.hidden[:, incomplete].mean() == pytest.approx(rate, abs=0.03)
    assert (made.truth == np.where(made.hidden, made.truth, made.codes)).all()
    assert made.kinds == ["number", "number", "ordered", "nominal", "nominal", "number"]
    assert made.levels == [0, 0, 3, 3, 2, 0]
    assert (holes(how, rate).hidden == made.hidden).all()
    assert (holes(how, rate, seed=1).hidden != made.hidden).any()


def test_a_driver_changes_the_odds(load):
    """Slope of the logit of holes on the standardized ranks of the only complete column."""
    x = np.random.default_rng(0).exponential(size=20_000)
    hidden = load("_tables").driven(np.column_stack((x, x, x)), 0.3, np.random.default_rng(1))
    (complete,) = np.flatnonzero(~hidden.any(axis=0))
    ranks = x.argsort().argsort()
    z = (ranks - ranks.mean()) / ranks.std()
    for j in {0, 1, 2} - {complete}:
        low, high = (hidden[np.abs(z - at) < 0.1, j].mean() for at in (-0.5, 0.5))
        slope = np.log(high / (1 - high)) - np.log(low / (1 - low))
        assert slope == pytest.approx(2.0, abs=0.35)
        assert hidden[:, j].mean() == pytest.approx(0.3, abs=0.01)


def test_a_level_that_would_be_lost_is_shown(load):
    truth = np.array([[0.0], [0.0], [1.0], [2.0]])
    shown = load("_tables").with_levels_kept(
        np.array([[True], [False], [True], [True]]), truth, [3], np.random.default_rng(0)
    )
    assert shown.ravel().tolist() == [True, False, False, False]


@pytest.mark.parametrize("first", [True, False])
def test_dummies_return_to_their_codes(load, holes, first):
    made = holes("MCAR")
    dummies = load("_mixed_imputers").Dummies(made, first=first)
    dummies.holes = made._replace(codes=made.truth)
    rows = dummies.encoded()
    assert rows.shape[1] == 4 + (3 + 2 if first else 2 + 1)
    dummies.holes = made
    assert np.allclose(dummies.decoded(rows), made.truth)


def test_scores_against_loops(load, holes):
    bench, made = load("bench_mixed_imputation"), holes("MCAR")
    rng = np.random.default_rng(0)
    draws = [np.where(made.hidden, rng.permutation(made.truth), made.truth) for _ in range(4)]
    sd = made.truth.std(axis=0)

    def distance(a, b, row):
        square = 0.0
        for j in np.flatnonzero(made.hidden[row]):
            nominal = made.kinds[j] == "nominal"
            square += (a[row, j] != b[row, j]) if nominal else ((a - b)[row, j] / sd[j]) ** 2
        return math.sqrt(square)

    expected = []
    for row in np.flatnonzero(made.hidden.any(axis=1)):
        away = np.mean([distance(draw, made.truth, row) for draw in draws])
        pairs = [distance(a, b, row) for a in draws for b in draws if a is not b]
        expected.append(away - np.mean(pairs) / 2)
    scores = bench.judge(draws[0], draws, made)
    assert scores["energy"] == pytest.approx(np.mean(expected), rel=1e-12)
    assert scores["draws"] == 4
    wrong = (draws[0] != made.truth)[:, 3:5]
    assert scores["misclassified"] == wrong.sum() / made.hidden[:, 3:5].sum()
    error = np.abs(draws[0] - made.truth)
    assert scores["ordered"] == pytest.approx(error[:, 2].sum() / made.hidden[:, 2].sum())
    squares = [(error[:, j] / sd[j]) ** 2 for j in (0, 1, 5)]
    hidden = made.hidden[:, [0, 1, 5]].sum()
    assert scores["rmse"] == pytest.approx(math.sqrt(np.sum(squares) / hidden))
    point = bench.judge(draws[0], [], made)
    alone = [distance(draws[0], made.truth, i) for i in np.flatnonzero(made.hidden.any(axis=1))]
    assert point["energy"] == pytest.approx(np.mean(alone))


def test_run_uses_the_cache_and_tells_failures(load, tmp_path, monkeypatch, capsys):
    bench = load("bench_mixed_imputation")
    monkeypatch.setitem(bench.PEERS, "KNNImputer", lambda *_: 1 / 0)
    arguments = ["--tables", "iris", "--rates", "0.3", "--seeds", "0", "--how", "MCAR",
                 "--methods", "margins", "one-hot", "IterativeImputer", "KNNImputer",
                 "--variants", "ml: method=one-hot alpha=0.1", "--cache", str(tmp_path / "cache"),
                 "--output", str(tmp_path)]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    bench.main()
    assert "KNNImputer failed on 1 problems of iris: ZeroDivisionError" in capsys.readouterr().out
    records = json.loads((tmp_path / "mixed_imputation.json").read_text())["records"]
    scores = {record["method"]: record for record in records}
    assert scores["ml"]["energy"] != scores["one-hot"]["energy"]
    for name in ("one-hot", "IterativeImputer"):
        assert scores[name]["misclassified"] < scores["margins"]["misclassified"]
        assert scores[name]["energy"] < 0.8 * scores["margins"]["energy"]
    monkeypatch.setitem(bench.PEERS, "IterativeImputer", lambda *_: 1 / 0)
    for version, extra, fails in (
        ("scikit-learn", [], False),
        ("pandas", ["--cached"], False),
        ("pandas", [], True),  # another version is measured
        ("scikit-learn", ["--refresh"], True),
    ):
        peer = bench.python_peer("IterativeImputer", version)
        monkeypatch.setitem(bench.PACKAGES, "IterativeImputer", peer)
        monkeypatch.setattr(sys, "argv", ["bench", *arguments, *extra])
        bench.main()
        again = json.loads((tmp_path / "mixed_imputation.json").read_text())["records"]
        (record,) = (r for r in again if r["method"] == "IterativeImputer")
        assert ("failed" in record) == fails
        assert fails or record == scores["IterativeImputer"]
