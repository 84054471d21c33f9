"""Gaussian mixtures with default settings: scikit-learn, oneDAL and mclust."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from _default_sets import Problem, problems
from _rscript import read_values, run_each, write_table
from bench_default_fit import METHODS, Fit, judge, run
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from peers import _optima
from peers._registry import Record, Settings, Subject, python_peer, r_peer
from peers._tables import prose

SCRIPT = Path(__file__).with_name("mclust.R")
STORAGES = {"full": "full", "diag": "diagonal"}
MODELS = {"full": "VVV", "tied": "EEE", "diag": "VVI", "spherical": "VII"}
ONE_COLUMN = {"full": "V", "tied": "E", "diag": "V", "spherical": "V"}
NOTE = prose(
    "Small and middle data sets, real and simulated, of benchmarks/_default_sets.py; the same K",
    "and covariance types for all. scikit-learn and emlearn have one or ten starts. oneDAL (full",
    "and diagonal covariances only) continues the best of 20 short runs for up to 100 iterations.",
    "mclust has one start, from hierarchical clustering.",
)
#: From matrices to what each covariance type publishes.
FORMS = {
    "full": lambda matrices: matrices,
    "tied": lambda matrices: matrices[0],
    "diag": lambda matrices: np.diagonal(matrices, axis1=1, axis2=2),
    "spherical": lambda matrices: matrices[:, 0, 0],
}
NAMES = {
    "ours": "emlearn",
    "ours 10": "emlearn, n_init=10",
    "sklearn": "scikit-learn",
    "sklearn 10": "scikit-learn, n_init=10",
}
PAIRS = [
    ("emlearn", "scikit-learn"),
    ("emlearn, n_init=10", "scikit-learn, n_init=10"),
    ("emlearn", "scikit-learn, n_init=10"),
    ("emlearn", "oneDAL"),
    ("emlearn", "mclust"),
    ("emlearn, n_init=10", "mclust"),
]


def fit_onedal(X, k, covariance_type, n_init, seed):
    """Best of oneDAL's short runs (20 by default), then up to 100 iterations."""
    import daal4py

    storage = {"covarianceStorage": STORAGES[covariance_type]}
    engine = daal4py.engines_mt19937(seed=seed + 1)
    start = daal4py.em_gmm_init(nComponents=k, engine=engine, **storage).compute(X)
    found = daal4py.em_gmm(nComponents=k, maxIterations=100, **storage).compute(
        X, start.weights, start.means, start.covariances
    )
    covariances = np.stack(found.covariances).reshape(
        (k, -1, X.shape[1]) if covariance_type == "full" else (k, -1)
    )
    mixture = published(found.weights.ravel(), found.means, covariances, covariance_type)
    return mixture, 1e-6 * X.var(axis=0), float("nan")


def published(weights, means, covariances, covariance_type):
    """What `judge` reads of a fitted mixture."""
    return SimpleNamespace(
        weights_=weights,
        means_=means,
        covariances_=covariances,
        n_components=len(weights),
        covariance_type=covariance_type,
    )


def record(problem: Problem, method: str, seed: int, fit: Fit) -> Record:
    return {
        "problem": problem.name,
        "method": method,
        "seed": seed,
        "log_likelihood": fit.log_likelihood,
        "sound": fit.sound,
        "seconds": fit.milliseconds / 1e3,
    }


def failed(problem: Problem, method: str, why: object) -> Record:
    return {"problem": problem.name, "method": method, "failed": str(why)}


def mclust(chosen: list[Problem]) -> Iterator[Record]:
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        for i, problem in enumerate(chosen):
            X = problem.rows()
            model = (MODELS if X.shape[1] > 1 else ONE_COLUMN)[problem.covariance_type]
            write_table(directory / f"{i}.csv", X)
            (directory / f"{i}.model").write_text(f"{model} {problem.n_components}\n")
        run_each(SCRIPT, directory, [str(i) for i in range(len(chosen))], 60.0)
        for i, problem in enumerate(chosen):
            try:
                values = read_values(directory, str(i))
            except ValueError as error:
                yield failed(problem, "mclust", error)
                continue
            X, k = problem.rows(), problem.n_components
            d = X.shape[1]
            weights, means, covariances = np.split(values[1:], [k, k + k * d])
            kind = problem.covariance_type
            covariances = FORMS[kind](covariances.reshape(k, d, d))
            mixture = published(weights, means.reshape(k, d), covariances, kind)
            try:
                judged = judge(mixture, X, 1e-6 * X.var(axis=0))
            except np.linalg.LinAlgError as error:
                yield failed(problem, "mclust", error)
                continue
            yield record(problem, "mclust", 0, Fit(*judged, 1e3 * values[0], float("nan")))


def measure(settings: Settings) -> Iterator[Record]:
    chosen = problems(settings.quick)
    seeds = 1 if settings.quick else 2
    methods = {NAMES[name]: method for name, method in METHODS.items()}
    if "oneDAL" in settings.peers:
        methods["oneDAL"] = (fit_onedal, 1)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for problem in chosen:
            X = np.ascontiguousarray(problem.rows(), dtype=np.float64)
            for name, method in methods.items():
                if name == "oneDAL" and problem.covariance_type not in STORAGES:
                    continue
                for seed in range(seeds):
                    try:
                        yield record(problem, name, seed, run(method, X, problem, seed))
                    except (ValueError, RuntimeError, np.linalg.LinAlgError) as error:
                        yield failed(problem, name, error)
    if "mclust" in settings.peers:
        yield from mclust(chosen)


SUBJECT = Subject(
    "gaussian_mixtures",
    "Gaussian mixtures",
    (python_peer("oneDAL", "scikit-learn-intelex"), r_peer("mclust")),
    measure,
    partial(_optima.report, pairs=PAIRS, note=NOTE),
    _optima.draw,
    "Left: the fraction of fits that end within so many nats of the best; right: the mean gap "
    "beside the time of a fit.",
)
