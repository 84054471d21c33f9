"""Mixed models beside lme4 and statsmodels, and a genomic one beside programs for these."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bench_mixed_model as bench
from _measure import Stopped, in_child
from _mixed_problems import crossed, genomic, sleepstudy, slopes

from peers._registry import Record, Settings, Subject, python_peer, r_peer
from peers._tables import failures, names, prose, table

#: Seconds that fits are repeated for, and after which one is stopped.
LEAST, LIMIT = 1.0, 60.0
PYTHON_PEERS = ("statsmodels", "fastlmm", "glimix-core", "genoselect")
PROBLEMS = {
    "sleepstudy, 180 rows, 18 subjects": sleepstudy,
    "intercepts and slopes, 100000 rows, 5000 groups": slopes,
    "crossed, 50000 rows, 2000 x 500": crossed,
    "genomic, 2000 animals, 20000 markers": lambda: genomic(2000, 20_000),
}


def measure(settings: Settings) -> Iterator[Record]:
    for name in list(PROBLEMS)[: 1 if settings.quick else None]:
        problem = PROBLEMS[name]()
        took, level = bench.emlearn(problem, 0.1 if settings.quick else LEAST)
        yield {"problem": name, "method": "emlearn", "seconds": took, "log_likelihood": level}
        for method, _, fit in bench.peers(problem):
            if method.partition(",")[0] not in settings.peers:
                continue
            own = {"problem": name, "method": method}
            try:
                took, level = in_child(fit, problem, LEAST, limit=LIMIT)
            except Stopped:
                yield own | {"failed": "stopped at the limit of time"}
            except (RuntimeError, ValueError) as error:
                yield own | {"failed": str(error)}
            else:
                yield own | {"seconds": took, "log_likelihood": level}


def report(records: list[Record]) -> str:
    own = {record["problem"]: record for record in records if record["method"] == "emlearn"}
    rows = []
    for record in (record for record in records if "failed" not in record):
        ours = own[record["problem"]]
        rows.append(
            (
                record["problem"],
                record["method"],
                1e3 * record["seconds"],
                record["seconds"] / ours["seconds"],
                f"{record['log_likelihood']:.7g}",
            )
        )
    parts = [
        prose(
            "Fits by REML of benchmarks/_mixed_problems.py, on one thread; times are of the",
            "processor, from a table of rows, without the start of a program. Genomic programs are",
            "given the markers. lme4 is also timed without its check of convergence, which takes",
            "derivatives by differences. A method is stopped after a minute of the clock, in which",
            "it has to end its repeated fits. `python benchmarks/bench_mixed_model.py` has larger",
            "problems.",
        ),
        table(["", "", "ms", "time / ours", "log-likelihood"], rows),
        failures(records),
    ]
    return "\n\n".join(part for part in parts if part)


def draw(records: list[Record], plt: Any) -> Any:
    shown = [record for record in records if "failed" not in record]
    problems, methods = names(shown, "problem"), names(shown, "method")
    figure, ax = plt.subplots(figsize=(9, 4.5), layout="constrained")
    labels, edges = [], []
    for problem in problems:
        edges.append(len(labels) - 0.5)
        for record in (record for record in shown if record["problem"] == problem):
            color = f"C{methods.index(record['method'])}"
            ax.barh(len(labels), 1e3 * record["seconds"], color=color)
            labels.append(f"{problem.split(',')[0]}: {record['method']}")
    for edge in edges[1:]:
        ax.axhline(edge, color="0.8")
    ax.set_yticks(range(len(labels)), labels)
    ax.invert_yaxis()
    ax.set(xscale="log", xlabel="milliseconds of a fit")
    ax.grid(alpha=0.3, axis="x")
    return figure


SUBJECT = Subject(
    "mixed_models",
    "Mixed models",
    (
        r_peer("lme4"),
        *(python_peer(name, name) for name in PYTHON_PEERS),
    ),
    measure,
    report,
    draw,
    "Time of a fit.",
)
