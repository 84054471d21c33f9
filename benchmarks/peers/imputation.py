"""Imputation: errors of single values, and how well draws describe what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from _default_sets import clusters
from _measure import geometric_mean
from bench_imputer import hide as hide_how
from bench_imputer import rmse
from bench_imputer_prior import SMALLEST, TABLES, hide
from sklearn.datasets import load_breast_cancer
from threadpoolctl import threadpool_limits

from emlearn.datasets import load_cholesterol, load_old_faithful
from peers._imputers import DRAWS, N_DRAWS, PACKAGES, POINT, timed
from peers._registry import Record, Settings, Subject, r_peer, without_failed
from peers._tables import Cells, failures, names, number, prose, table, versus, worst


def curve(n=300):
    """Columns that are curved functions of one angle, which no normal distribution describes."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0.0, 5.0, n)
    smooth = np.column_stack((np.cos(angle), np.sin(angle), angle**2 / 25.0, np.cos(2.0 * angle)))
    return smooth + 0.05 * rng.normal(size=smooth.shape)


CHOSEN = {
    name: TABLES[name][0]
    for name in (
        "iris", "wine", "diabetes", "linnerud", "mammal sleep",
        "amounts 300", "suppressor 100", "factors 30x8",
    )
}  # fmt: skip
CHOSEN |= {
    "breast cancer, 10 means": lambda: load_breast_cancer().data[:, :10],
    "Old Faithful": lambda: load_old_faithful().data,
    "cholesterol": lambda: load_cholesterol().data,
    "clusters 400x5": lambda: clusters(0, 5, 4, 400, separation=4.0, shape="ellipses"),
    "curve 300x4": curve,
}
MARGIN = 0.01  # standard deviations


class Case(NamedTuple):
    """A table with holes: how entries are hidden (completely at random, or given a column)."""

    name: str
    how: str
    rate: float

    def __str__(self):
        return f"{self.name}, {self.how} {100 * self.rate:.0f} %"

    def make(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Standardized rows, the same with holes, and the mask of what was hidden."""
        X = CHOSEN[self.name]()
        X = (X - np.nanmean(X, axis=0)) / np.nanstd(X, axis=0)
        if self.how == "MCAR":
            holes, hidden = hide(X, self.rate, 0)
        else:
            known = np.where(np.isnan(X), 0.0, X)
            hidden = hide_how(known, self.rate, self.how, np.random.default_rng(0)) & ~np.isnan(X)
            hidden[np.isnan(np.where(hidden, np.nan, X)).all(axis=1)] = False
            holes = np.where(hidden, np.nan, X)
        return X, holes, hidden


def cases(quick: bool) -> list[Case]:
    if quick:
        return [Case("Old Faithful", "MCAR", 0.2)]
    kinds = [("MCAR", 0.05), ("MCAR", 0.2), ("MCAR", 0.5), ("MAR", 0.3)]
    return [Case(name, how, rate) for name in CHOSEN for how, rate in kinds]


def energy_score(draws: np.ndarray, truth: np.ndarray, hidden: np.ndarray) -> float:
    """Mean energy score of rows, each divided by the square root of how many were hidden.

    For draws x_i of the hidden entries y of a row, mean |x_i - y| - mean |x_i - x_j| / 2, over
    pairs of different draws, so that its mean does not depend on their number.
    """
    shown = np.where(hidden, draws, 0.0)
    away = np.linalg.norm(shown - np.where(hidden, truth, 0.0), axis=2).mean(axis=0)
    apart = sum(np.linalg.norm(shown - one, axis=2).sum(axis=0) for one in shown)
    apart = apart / (len(draws) * (len(draws) - 1))
    counts = hidden.sum(axis=1)
    rows = counts > 0
    return float(np.mean((away - apart / 2)[rows] / np.sqrt(counts[rows])))


def judge_point(out: np.ndarray, truth: np.ndarray, hidden: np.ndarray) -> Record:
    return {"rmse": max(rmse(out, truth, hidden), SMALLEST)}


def judge_draws(draws: np.ndarray, truth: np.ndarray, hidden: np.ndarray) -> Record:
    """Scores of draws. The interval is from the smallest to the largest, up to rounding."""
    low, high = draws.min(axis=0)[hidden], draws.max(axis=0)[hidden]
    covered = (low - 1e-6 <= truth[hidden]) & (truth[hidden] <= high + 1e-6)
    return {
        "energy": energy_score(draws, truth, hidden),
        "coverage": float(covered.mean()),
        "width": float((high - low).mean()),
    }


def measure(settings: Settings) -> Iterator[Record]:
    made = [(str(case), *case.make()) for case in cases(settings.quick)]
    with threadpool_limits(1):
        for problem, truth, holes, hidden in made:
            for kind, methods in (("point", POINT), ("draws", DRAWS)):
                judge = judge_point if kind == "point" else judge_draws
                for method, impute in methods.items():
                    own = {"problem": problem, "kind": kind, "method": method}
                    try:
                        spent, out = timed(impute, holes)
                    except ValueError as error:
                        yield own | {"failed": str(error)}
                    else:
                        yield own | judge(out, truth, hidden) | {"seconds": spent}
    for package, draw in PACKAGES.items():
        if package not in settings.peers:
            continue
        results = draw([holes for _, _, holes, _ in made])
        for (problem, truth, _, hidden), result in zip(made, results, strict=True):
            own = {"problem": problem, "method": package}
            if isinstance(result, str):
                yield own | {"kind": "draws", "failed": result}
                continue
            spent, draws = result
            mean = judge_point(draws.mean(axis=0), truth, hidden)
            yield own | {"kind": "point"} | mean | {"seconds": spent}
            scores = judge_draws(draws, truth, hidden)
            yield own | {"kind": "draws"} | scores | {"seconds": spent}


def of_kind(records: list[Record], kind: str, field: str) -> Cells:
    return {
        (record["problem"], record["method"]): record[field]
        for record in without_failed(records)
        if record["kind"] == kind
    }


def summary(losses: Cells, times: Cells, extra: dict[str, Cells]) -> str:
    """One line a method: mean loss, ratios to the best method of each problem, the worst."""
    best: dict[str, float] = {}
    for (problem, _), loss in losses.items():
        best[problem] = min(best.get(problem, np.inf), loss)
    rows = []
    for method in dict.fromkeys(method for _, method in losses):
        own = {p: loss for (p, m), loss in losses.items() if m == method}
        ratios = {p: loss / best[p] for p, loss in own.items()}
        last = max(ratios, key=ratios.__getitem__)
        cells = [np.array([values[p, method] for p in own]) for values in extra.values()]
        rows.append(
            (
                method,
                len(own),
                float(np.mean(list(own.values()))),
                geometric_mean(list(ratios.values())),
                f"{number(ratios[last])} ({last})",
                *(f"{number(float(v.mean()))} ({number(float(v.min()))})" for v in cells),
                1e3 * geometric_mean([times[p, method] for p in own]),
            )
        )
    header = ["", "problems", "mean", "of the best", "worst", *(f"{e} (least)" for e in extra)]
    return table([*header, "ms"], rows)


def report(records: list[Record]) -> str:
    rmses, spent = of_kind(records, "point", "rmse"), of_kind(records, "point", "seconds")
    energies, drawn = of_kind(records, "draws", "energy"), of_kind(records, "draws", "seconds")
    extra = {field: of_kind(records, "draws", field) for field in ("coverage", "width")}
    pairs = {
        kind: [
            ("emlearn", method)
            for method in names([r for r in records if r["kind"] == kind], "method")
            if method not in ("emlearn", "mean")
        ]
        for kind in ("point", "draws")
    }
    parts = [
        prose(
            "Entries are hidden completely at random (MCAR) or, more where the first column is",
            "large, at random given it (MAR); some tables have holes of their own, which are not",
            "judged. Errors are in standard deviations of the columns, times are of the processor,",
            "in one thread. `ExtraTrees` stands for missForest: scikit-learn's IterativeImputer",
            "with 20 extremely randomized trees and five rounds; all else are defaults.",
            '"Of the best" is the geometric mean of the ratios to the best method of each problem;',
            "the worst ratio is beside it.",
        ),
        "### Single values: root mean squared error",
        f"The values of Amelia and mice are means of {N_DRAWS} imputations.",
        summary(rmses, spent, {}),
        f"Better and worse mean by more than {MARGIN} standard deviations:",
        versus(rmses, spent, pairs["point"], MARGIN),
        worst(rmses, pairs["point"], MARGIN),
        f"### {N_DRAWS} draws: energy score, and coverage of 90 % intervals",
        prose(
            "The energy score is lower if the draws of a row describe its hidden entries better.",
            f"The smallest and the largest of {N_DRAWS} draws should cover 90 % of the hidden",
            "entries. In brackets are the smallest numbers of all problems.",
        ),
        summary(energies, drawn, extra),
        versus(energies, drawn, pairs["draws"], MARGIN),
        worst(energies, pairs["draws"], MARGIN),
        failures(records),
    ]
    return "\n\n".join(part for part in parts if part)


def draw(records: list[Record], plt: Any) -> Any:
    """A point a problem: loss and time of a peer beside ours; and coverage."""
    figure, axes = plt.subplots(1, 3, figsize=(15, 4.8), layout="constrained")
    colors = {m: f"C{i}" for i, m in enumerate(names(records, "method"))}
    for ax, kind, field, label in (
        (axes[0], "point", "rmse", "RMSE"),
        (axes[1], "draws", "energy", "energy score"),
    ):
        losses, times = of_kind(records, kind, field), of_kind(records, kind, "seconds")
        problems = list(dict.fromkeys(problem for problem, _ in losses))
        for method, color in colors.items():
            shared = [p for p in problems if (p, method) in losses]
            if method in ("emlearn", "mean") or not shared:
                continue
            ax.plot(
                [times[p, method] / times[p, "emlearn"] for p in shared],
                [losses[p, method] / losses[p, "emlearn"] for p in shared],
                "o", ms=5, alpha=0.7, color=color, label=method,
            )  # fmt: skip
        ax.axhline(1.0, color="0.3", lw=1)
        ax.axvline(1.0, color="0.3", lw=1)
        ax.set(
            xscale="log", yscale="log", xlabel="time relative to emlearn",
            ylabel=f"{label} relative to emlearn", title=f"{label}: above 1, emlearn is better",
        )  # fmt: skip
        ax.legend(frameon=False)
    coverage = of_kind(records, "draws", "coverage")
    methods = list(dict.fromkeys(method for _, method in coverage))
    axes[2].boxplot([[v for (_, m), v in coverage.items() if m == name] for name in methods])
    axes[2].set_xticks(range(1, len(methods) + 1), methods)
    axes[2].axhline(0.9, color="0.3", lw=1, ls="--")
    axes[2].set(ylabel="coverage of 90 % intervals", title="Coverage, over the problems")
    for ax in axes:
        ax.grid(alpha=0.3)
    return figure


SUBJECT = Subject(
    "imputation",
    "Imputation",
    (r_peer("Amelia"), r_peer("mice")),
    measure,
    report,
    draw,
    "A point is a table with holes. Left: errors of single values; middle: energy scores of draws; "
    "right: how often intervals cover what was hidden.",
)
