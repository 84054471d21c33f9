"""The benchmarks against peers run without peers, and their page says what was measured."""

import json
import math
import os
import socket
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "benchmarks"
PEERS = {
    "gaussian_mixtures": ["oneDAL", "mclust"],
    "markov_models": ["hmmlearn"],
    "latent_classes": ["StepMix"],
    "imputation": ["Amelia", "mice"],
    "mixed_models": ["lme4", "statsmodels", "fastlmm", "glimix-core", "genoselect"],
    "scaling": ["oneDAL", "hmmlearn", "StepMix"],
    "memory": ["hmmlearn", "StepMix"],
}


@pytest.fixture
def load(monkeypatch):
    """Function that imports a module of the benchmarks."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return import_module


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Directory of the results of all subjects, made without optional peers."""
    output = tmp_path_factory.mktemp("results")
    without = {peer for peers in PEERS.values() for peer in peers}
    command = [sys.executable, str(FOLDER / "run.py"), "--quick", "--output", str(output)]
    subprocess.run(
        [*command, "--without", *without],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    return output


def test_registry(load):
    subjects = load("peers").SUBJECTS
    assert {name: [peer.name for peer in s.peers] for name, s in subjects.items()} == PEERS


@pytest.mark.parametrize("name", PEERS)
def test_quick_run_without_peers(name, quick, load):
    text = (quick / f"{name}.json").read_text(encoding="utf-8")
    assert socket.gethostname() not in text
    assert str(ROOT) not in text
    result = json.loads(text)
    head, records = result["header"], result["records"]
    assert head["command"] == f"python benchmarks/run.py {name} --quick"
    assert head["peers"] == {}
    assert head["skipped"] == PEERS[name]
    done = [record for record in records if "failed" not in record]
    assert len(done) == len(records) or name == "memory"
    assert any(record["method"] == "emlearn" for record in records)
    for record in done:
        numbers = [value for value in record.values() if isinstance(value, float)]
        assert len(numbers) >= 2  # time or memory, and quality
        assert all(math.isfinite(value) for value in numbers)
    report = load("peers").SUBJECTS[name].report(records)
    assert all(record["method"] in report for record in done)


def test_log_likelihoods_of_quick_runs(quick):
    def best(name, problem):
        records = json.loads((quick / f"{name}.json").read_text())["records"]
        own = [r for r in records if r["problem"] == problem and r["method"] == "emlearn"]
        return max(record["log_likelihood"] for record in own)

    # What mclust, hmmlearn and lme4 reach in benchmarks/results.
    assert best("gaussian_mixtures", "iris 3") == pytest.approx(-180.1855, abs=1e-3)
    assert best("markov_models", "earthquakes, 3 states") == pytest.approx(-328.5275, abs=1e-3)
    subjects = "sleepstudy, 180 rows, 18 subjects"
    assert best("mixed_models", subjects) == pytest.approx(-871.8141, abs=1e-3)


def test_energy_score_and_coverage(load):
    imputation = load("peers.imputation")
    rng = np.random.default_rng(0)
    draws, truth = rng.normal(size=(5, 4, 3)), rng.normal(size=(4, 3))
    hidden = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]], bool)
    expected = []
    for i in (0, 2, 3):
        own, y = draws[:, i, hidden[i]], truth[i, hidden[i]]
        away = np.mean([math.dist(x, y) for x in own])
        apart = np.mean([math.dist(own[a], own[b]) for a in range(5) for b in range(5) if a != b])
        expected.append((away - apart / 2) / math.sqrt(hidden[i].sum()))
    scores = imputation.judge_draws(draws, truth, hidden)
    assert scores["energy"] == pytest.approx(np.mean(expected), rel=1e-12)
    inside = [
        min(draws[:, i, j]) <= truth[i, j] <= max(draws[:, i, j])
        for i, j in zip(*np.nonzero(hidden), strict=True)
    ]
    assert scores["coverage"] == np.mean(inside)


def test_nominal_coverage_of_the_range_of_draws(load):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(load("peers._imputers").N_DRAWS + 1, 100_000, 1))
    hidden = np.ones((100_000, 1), bool)
    scores = load("peers.imputation").judge_draws(rows[1:], rows[0], hidden)
    assert scores["coverage"] == pytest.approx(0.9, abs=0.005)


def test_gaps_and_comparison(load):
    optima, tables = load("peers._optima"), load("peers._tables")
    fits = [
        ("a", "emlearn", -10.0, True, 1.0),
        ("a", "other", -12.0, True, 2.0),
        ("a", "other", -7.0, False, 8.0),
        ("b", "emlearn", -21.0, True, 1.0),
        ("b", "other", -20.0, True, 1.0),
        ("c", "other", -1.0, False, 1.0),
    ]
    names = ("problem", "method", "log_likelihood", "sound", "seconds")
    found = optima.outcomes([dict(zip(names, fit, strict=True)) for fit in fits])
    assert set(found) == {(p, m) for p in "ab" for m in ("emlearn", "other")}
    assert found["a", "other"] == ([2.0, 0.0], 0.5, pytest.approx(4.0))
    losses = {key: np.mean(outcome.gaps) for key, outcome in found.items()}
    times = {key: outcome.seconds for key, outcome in found.items()}
    line = tables.versus(losses, times, [("emlearn", "other")], 0.5).splitlines()[-1]
    # Better on a, worse on b; means of gaps (0, 1) and (1, 0); times 4 and 1.
    assert line == "| emlearn beside other | 2 | 1 | 0 | 1 | 0.500 | 0.500 | 2.00 | 1.0 to 4.0 |"
    assert "| b | emlearn | 1.00 | other | 0.00 |" in tables.worst(
        losses, [("emlearn", "other")], 0.5
    )


def test_slope(load):
    records = [{"value": n, "seconds": 3e-6 * n**1.5} for n in (10, 100, 1000)]
    assert load("peers.scaling").slope(records) == pytest.approx(1.5)


def test_a_step_costs_what_iterations_cost(load):
    now = [0.0]

    def fit(n_iter):
        now[0] += 5.0 + 0.25 * n_iter
        return n_iter

    found = load("_measure").steps({"a": (fit, 2, 12)}, 3, clock=lambda: now[0])
    assert found == {"a": pytest.approx(0.25)}


def test_page_is_what_the_results_say(load):
    render = load("render")
    results = render.load()
    assert set(results) == set(PEERS)
    assert render.PAGE.read_text(encoding="utf-8") == render.page(results)
    for name, result in results.items():
        assert result["header"]["subject"] == name


@pytest.mark.parametrize("name", PEERS)
def test_pictures_can_be_drawn(name, load, tmp_path):
    plt = pytest.importorskip("matplotlib.pyplot")
    render = load("render")
    figure = load("peers").SUBJECTS[name].draw(render.load()[name]["records"], plt)
    figure.savefig(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 0
    plt.close(figure)
