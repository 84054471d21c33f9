"""How time grows with rows, columns, components and the fraction missing."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import bench_finite_mixture
import bench_gaussian_mixture
import bench_hmm
import numpy as np
from _measure import steps
from bench_imputer import Shape, time_imputer
from sklearn.experimental import enable_iterative_imputer  # noqa: F401  (importing it allows the next)
from sklearn.impute import IterativeImputer, KNNImputer
from threadpoolctl import threadpool_limits

from emlearn.impute import MissingDataImputerEM
from peers._registry import Record, Settings, Subject, python_peer
from peers._tables import names, number, prose, table

TURNS = 3
#: Seconds after which a method takes no more part in a series.
SLOW = 4.0

#: Method: seconds, and how good the result was.
Results = dict[str, tuple[float, float]]


class Series(NamedTuple):
    """One size that varies, the others held."""

    problem: str
    axis: str
    values: tuple[float, ...]
    held: dict[str, float]
    quality: str
    measure: Callable[..., Results]


def timed_steps(rivals: dict[str, Any], labels: dict[str, str], methods: set[str]) -> dict:
    chosen = {labels[name]: rival for name, rival in rivals.items() if labels[name] in methods}
    return steps(chosen, TURNS, time.process_time)


def gaussian_steps(methods: set[str], n: int, d: int, k: int) -> Results:
    labels = {"emlearn": "emlearn", "sklearn": "scikit-learn", "onedal": "oneDAL"}
    X, centers = bench_gaussian_mixture.draw(n, d, k)
    rivals = bench_gaussian_mixture.rivals(X, "full", centers)
    spent = timed_steps(rivals, labels, methods)
    reached = bench_gaussian_mixture.reached(X, "full", centers, 3)
    return {name: (spent[name], reached[key]) for key, name in labels.items() if name in spent}


def chain_steps(methods: set[str], n: int, length: int, d: int, k: int) -> Results:
    labels = {"ours": "emlearn", "scaling": "hmmlearn, scaling"}
    lengths = np.full(n // length, length)
    X, states = bench_hmm.chains(0, lengths, k, d)
    start = bench_hmm.responsibilities(states, k)
    implementations = ("scaling",) if "hmmlearn, scaling" in methods else ()
    rivals = bench_hmm.rivals(X, lengths, start, "full", implementations)
    spent = timed_steps(rivals, labels, methods)
    found = {}
    for name in spent:
        if name == "emlearn":
            level = bench_hmm.fit_ours(X, lengths, start, "full", 3).log_likelihood_
        else:
            model = bench_hmm.fit_theirs(X, lengths, start, "full", 3, "scaling")
            level = model.score(X, lengths)
        found[name] = (spent[name], level / n)
    return found


def class_steps(methods: set[str], n: int, d: int, k: int) -> Results:
    X = bench_finite_mixture.items(n, d, n_classes=k)
    makers = {"emlearn": bench_finite_mixture.ours("categorical", k)}
    if "StepMix" in methods:
        makers["StepMix"] = bench_finite_mixture.stepmix(k)
    sizes = {"emlearn": (2, 42), "StepMix": (2, 12)}
    rivals = {
        name: bench_finite_mixture.rival(make, X, *sizes[name]) for name, make in makers.items()
    }
    spent = timed_steps(rivals, dict(zip(sizes, sizes, strict=True)), methods)
    return {name: (spent[name], makers[name](3).fit(X).score(X)) for name in spent}


def imputations(methods: set[str], n: int, d: int, missing: float) -> Results:
    imputers = {
        "emlearn": MissingDataImputerEM(),
        "IterativeImputer": IterativeImputer(),
        "KNNImputer": KNNImputer(),
    }
    runs = {
        name: time_imputer(imputer, Shape(n, d, missing), time.process_time)
        for name, imputer in imputers.items()
        if name in methods
    }
    return {name: (run.seconds, run.error) for name, run in runs.items()}


GAUSSIAN = "Gaussian mixture, a step"
CHAIN = "Gaussian hidden Markov model, a step"
CLASSES = "Latent classes of 4 levels, a step"
IMPUTATION = "Imputation, fit_transform"
LEVEL = "log-likelihood a row"


def gaussian(axis, values, **held):
    return Series(GAUSSIAN, axis, values, held, LEVEL, gaussian_steps)


def chain(axis, values, **held):
    return Series(CHAIN, axis, values, held, LEVEL, chain_steps)


def classes(axis, values, **held):
    return Series(CLASSES, axis, values, held, LEVEL, class_steps)


def imputation(axis, values, **held):
    return Series(IMPUTATION, axis, values, held, "RMSE", imputations)


SERIES = [
    gaussian("n", (1000, 4000, 16_000, 64_000, 256_000), d=10, k=5),
    gaussian("d", (2, 5, 10, 20, 50), n=20_000, k=5),
    gaussian("k", (2, 5, 10, 20, 40), n=20_000, d=10),
    chain("n", (1000, 4000, 16_000, 64_000), length=100, d=3, k=4),
    chain("k", (2, 4, 8, 16), n=10_000, length=100, d=3),
    classes("n", (1000, 4000, 16_000, 64_000), d=20, k=4),
    classes("k", (2, 4, 8, 16), n=5000, d=20),
    imputation("n", (500, 2000, 8000, 32_000), d=10, missing=0.2),
    imputation("d", (5, 10, 20, 40), n=2000, missing=0.2),
    imputation("missing", (0.05, 0.1, 0.2, 0.4), n=2000, d=20),
]
METHODS = (
    "emlearn", "scikit-learn", "oneDAL", "hmmlearn, scaling", "StepMix",
    "IterativeImputer", "KNNImputer",
)  # fmt: skip
#: Methods that are there only if a peer is.
OPTIONAL = {"oneDAL": "oneDAL", "hmmlearn, scaling": "hmmlearn", "StepMix": "StepMix"}


def quick_series() -> list[Series]:
    """The first of each problem, at the two smallest sizes."""
    first = {series.problem: series for series in reversed(SERIES)}
    return [series._replace(values=series.values[:2]) for series in first.values()]


def measure(settings: Settings) -> Iterator[Record]:
    present = {m for m in METHODS if OPTIONAL.get(m) in {None, *settings.peers}}
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for series in quick_series() if settings.quick else SERIES:
            methods = set(present)
            for value in series.values:
                begin = time.process_time()
                found = series.measure(methods, **series.held, **{series.axis: value})
                for method, (spent, quality) in found.items():
                    yield {
                        "problem": series.problem,
                        "axis": series.axis,
                        "value": value,
                        "held": series.held,
                        "method": method,
                        "seconds": spent,
                        series.quality: quality,
                    }
                # Each step was measured in fits of several.
                whole = time.process_time() - begin
                slowest = max(found, key=lambda name: found[name][0])
                if whole > SLOW and slowest != "emlearn":
                    methods.discard(slowest)


def groups(records: list[Record]) -> Iterator[tuple[str, str, list[Record]]]:
    for problem in names(records, "problem"):
        for axis in names([r for r in records if r["problem"] == problem], "axis"):
            own = [r for r in records if r["problem"] == problem and r["axis"] == axis]
            yield problem, axis, own


def slope(own: list[Record]) -> float:
    """Exponent of the power of the size by which time grows."""
    if len(own) < 2:
        return float("nan")
    values, spent = ([r[field] for r in own] for field in ("value", "seconds"))
    # Of a step that takes less than the clock can tell there is no logarithm.
    return float(np.polyfit(np.log(values), np.log(np.maximum(spent, 1e-7)), 1)[0])


def title(problem: str, axis: str, own: list[Record]) -> str:
    held = ", ".join(f"{name} = {value:g}" for name, value in own[0]["held"].items())
    return f"{problem}: {axis} varies, {held}"


def report(records: list[Record]) -> str:
    parts = [
        prose(
            "Milliseconds of the processor, in one thread, while one size grows. A step is the",
            "difference of two fits of few and more iterations from the same parameters; the",
            "imputers fit and transform. The slope is that of log time over log size, fitted",
            "by least squares: time grows with about this power. Quality is, at the largest",
            "size that a method reached, the log-likelihood a row after three steps, or the error",
            "of what was imputed; in brackets, that of emlearn at the same size. A method takes no",
            "more part in a series once it is slow.",
        )
    ]
    for problem, axis, own in groups(records):
        values = names(own, "value")
        rows = []
        ours = {r["value"]: r for r in own if r["method"] == "emlearn"}
        quality = LEVEL if LEVEL in own[0] else "RMSE"
        for method in names(own, "method"):
            mine = {r["value"]: r for r in own if r["method"] == method}
            last = mine[max(mine)]
            reference = number(ours[last["value"]][quality], 5)
            cells = [1e3 * mine[v]["seconds"] if v in mine else float("nan") for v in values]
            reached = f"{number(last[quality], 5)} ({reference})"
            rows.append((method, *cells, slope(list(mine.values())), reached))
        header = ["", *(f"{axis} = {value:g}" for value in values), "slope", quality]
        parts.append(f"### {title(problem, axis, own)}\n\n{table(header, rows)}")
    return "\n\n".join(parts)


def draw(records: list[Record], plt: Any) -> Any:
    found = list(groups(records))
    n_rows = -(-len(found) // 2)
    figure, axes = plt.subplots(n_rows, 2, figsize=(11, 3.4 * n_rows), layout="constrained")
    for ax, (problem, axis, own) in zip(axes.flat, found, strict=False):
        for method in names(own, "method"):
            mine = [r for r in own if r["method"] == method]
            ax.plot(
                [r["value"] for r in mine], [1e3 * r["seconds"] for r in mine], "o-",
                color=f"C{METHODS.index(method)}", label=f"{method}, slope {slope(mine):.2f}",
            )  # fmt: skip
        ax.set(
            xscale="log", yscale="log", xlabel=axis, ylabel="milliseconds",
            title=title(problem, axis, own),
        )  # fmt: skip
        ax.title.set_fontsize(10)
        values = names(own, "value")
        ax.set_xticks(values, [f"{value:g}" for value in values], minor=False)
        ax.minorticks_off()
        ax.grid(alpha=0.3)
        ax.legend(frameon=False, fontsize=8)
    for ax in axes.flat[len(found) :]:
        ax.set_axis_off()
    return figure


SUBJECT = Subject(
    "scaling",
    "Scaling",
    (
        python_peer("oneDAL", "scikit-learn-intelex"),
        python_peer("hmmlearn", "hmmlearn"),
        python_peer("StepMix", "stepmix"),
    ),
    measure,
    report,
    draw,
    "Time of the processor while one size grows; both axes are logarithmic.",
)
