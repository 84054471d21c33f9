"""Peak memory of a fit beyond its data, in a process of its own."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import bench_finite_mixture
import bench_gaussian_mixture
import bench_hmm
import numpy as np
from _measure import STATUS, in_child, peak_beyond
from bench_imputer import Shape, impute, rmse, with_holes
from sklearn.experimental import enable_iterative_imputer  # noqa: F401  (importing it allows the next)
from sklearn.impute import IterativeImputer
from sklearn.mixture import GaussianMixture

from emlearn import GaussianMixtureEM
from emlearn.impute import MissingDataImputerEM
from peers._registry import Record, Settings, Subject, python_peer
from peers._tables import failures, names, number, prose, table


def sequences(n):
    lengths = np.full(n // 100, 100)
    X, states = bench_hmm.chains(0, lengths, 4, 3)
    return X, lengths, bench_hmm.responsibilities(states, 4)


def fit_chain(data):
    X, lengths, start = data
    return bench_hmm.fit_ours(X, lengths, start, "full", 3).log_likelihood_ / len(X)


def fit_hmmlearn(data):
    X, lengths, start = data
    return bench_hmm.fit_theirs(X, lengths, start, "full", 3, "log").score(X, lengths) / len(X)


def fit_classes(X):
    return float(bench_finite_mixture.ours("categorical", 4)(3).fit(X).score(X))


def fit_stepmix(X):
    return float(bench_finite_mixture.stepmix(4)(3).fit(X).score(X))


def incomplete(n):
    return with_holes(Shape(n, 20, 0.1))


def fit_imputer(data, imputer):
    truth, X, hidden = data
    return rmse(impute(imputer, X), truth, hidden)


class Case(NamedTuple):
    """Data of a number of rows, and the fits that are compared."""

    problem: str
    make: Callable[[int], Any]
    n: int
    megabytes: Callable[[int], float]
    quality: str
    fits: dict[str, Callable[[Any], float]]


LEVEL = "log-likelihood a row"
CASES = [
    Case(
        "Gaussian mixture, 400000 x 10, K = 10, three iterations",
        bench_gaussian_mixture.rows_in_parts,
        400_000,
        lambda n: n * 10 * 8 / 2**20,
        LEVEL,
        {
            "emlearn": partial(bench_gaussian_mixture.fit_a_few, estimator=GaussianMixtureEM),
            "scikit-learn": partial(bench_gaussian_mixture.fit_a_few, estimator=GaussianMixture),
        },
    ),
    Case(
        "Hidden Markov model, 1000 sequences of 100 x 3, K = 4, three iterations",
        sequences,
        100_000,
        lambda n: n * 3 * 8 / 2**20,
        LEVEL,
        {"emlearn": fit_chain, "hmmlearn": fit_hmmlearn},
    ),
    Case(
        "Latent classes, 50000 x 20 items of 4 levels, K = 4, three iterations",
        bench_finite_mixture.items,
        50_000,
        lambda n: n * 20 * 8 / 2**20,
        LEVEL,
        {"emlearn": fit_classes, "StepMix": fit_stepmix},
    ),
    Case(
        "Imputation, 100000 x 20, 10 % missing",
        incomplete,
        100_000,
        lambda n: n * 20 * 8 / 2**20,
        "RMSE",
        {
            "emlearn": partial(fit_imputer, imputer=MissingDataImputerEM()),
            "IterativeImputer, two rounds": partial(
                fit_imputer, imputer=IterativeImputer(max_iter=2)
            ),
        },
    ),
]
ALWAYS = ("emlearn", "scikit-learn", "IterativeImputer, two rounds")


def peak(make, n, fit):
    """MiB beyond the data, and the quality; a small fit before loads what is loaded lazily."""
    warnings.simplefilter("ignore")
    fit(make(1000))
    return peak_beyond(partial(make, n), fit)


def measure(settings: Settings) -> Iterator[Record]:
    cases = CASES
    if settings.quick:
        first = CASES[0]
        cases = [first._replace(n=20_000, fits={"emlearn": first.fits["emlearn"]})]
    for case in cases:
        for method, fit in case.fits.items():
            if method not in ALWAYS and method not in settings.peers:
                continue
            own = {"problem": case.problem, "method": method, "data_mib": case.megabytes(case.n)}
            if not STATUS.exists():
                yield own | {"failed": "the peak of a process is read from /proc, which is missing"}
                continue
            beyond, quality = in_child(peak, case.make, case.n, fit)
            yield own | {"beyond_mib": beyond, case.quality: quality}


def report(records: list[Record]) -> str:
    rows = []
    for record in (record for record in records if "failed" not in record):
        quality = LEVEL if LEVEL in record else "RMSE"
        rows.append(
            (
                record["problem"],
                record["method"],
                record["data_mib"],
                record["beyond_mib"],
                record["beyond_mib"] / record["data_mib"],
                f"{quality} {number(record[quality], 5)}",
            )
        )
    header = ["", "", "data, MiB", "peak beyond, MiB", "ratio", "quality"]
    return (
        prose(
            "The peak of the resident memory of a process during a fit, less what it held before,",
            "the data included.",
        )
        + "\n\n"
        + "\n\n".join(part for part in (table(header, rows), failures(records)) if part)
    )


def draw(records: list[Record], plt: Any) -> Any:
    shown = [record for record in records if "failed" not in record]
    problems, methods = names(shown, "problem"), names(shown, "method")
    figure, ax = plt.subplots(figsize=(9, 4), layout="constrained")
    labels = []
    for record in shown:
        color = f"C{methods.index(record['method'])}"
        labels.append(f"{record['problem'].split(',')[0]}: {record['method']}")
        bar = ax.barh(len(labels) - 1, record["beyond_mib"] / record["data_mib"], color=color)
        ax.bar_label(bar, [f" {record['beyond_mib']:.0f} MiB"])
    ax.set_yticks(range(len(labels)), labels)
    ax.invert_yaxis()
    ax.margins(x=0.15)
    ax.set(xlabel="peak beyond the data, in sizes of the data")
    for i in range(1, len(problems)):
        ax.axhline(
            next(j for j, r in enumerate(shown) if r["problem"] == problems[i]) - 0.5, color="0.8"
        )
    ax.grid(alpha=0.3, axis="x")
    return figure


SUBJECT = Subject(
    "memory",
    "Memory",
    (python_peer("hmmlearn", "hmmlearn"), python_peer("StepMix", "stepmix")),
    measure,
    report,
    draw,
    "Peak of the memory of a fit beyond its data.",
)
