"""Fits that search for the highest log-likelihood: how far below the best they end, and times.

A record is one fit: problem, method, seed, log_likelihood, sound, seconds.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np
from _measure import geometric_mean

from peers._registry import Record, without_failed
from peers._tables import Cells, failures, names, prose, table, versus, worst

MARGIN = 0.5  # nats
EXPLANATION = prose(
    "The gap of a fit is how many nats its log-likelihood is below the best sound fit that any",
    "method found, averaged over seeds. A fit is unsound if a component has too few rows, or a",
    "covariance that is nearly singular; its likelihood may be above that of the best sound fit,",
    "and its gap is 0 then. Times are of the processor, in one thread,",
    f"geometric means. Better and worse mean by more than {MARGIN} nats.",
)


class Outcome(NamedTuple):
    """What the fits of one method to one problem came to."""

    gaps: list[float]
    unsound: float
    seconds: float


def outcomes(records: list[Record]) -> dict[tuple[str, str], Outcome]:
    """Outcome of each problem and method; problems without any sound fit are left out."""
    fits = list(without_failed(records))
    best: dict[str, float] = {}
    groups = defaultdict(list)
    for fit in fits:
        if fit["sound"]:
            level = best.get(fit["problem"], -np.inf)
            best[fit["problem"]] = max(level, fit["log_likelihood"])
        groups[fit["problem"], fit["method"]].append(fit)
    return {
        (problem, method): Outcome(
            [max(best[problem] - fit["log_likelihood"], 0.0) for fit in own],
            float(np.mean([not fit["sound"] for fit in own])),
            geometric_mean([fit["seconds"] for fit in own]),
        )
        for (problem, method), own in groups.items()
        if problem in best
    }


def report(records: list[Record], pairs: list[tuple[str, str]], note: str) -> str:
    found = outcomes(records)
    losses: Cells = {key: float(np.mean(outcome.gaps)) for key, outcome in found.items()}
    times: Cells = {key: outcome.seconds for key, outcome in found.items()}
    rows = []
    for method in names(without_failed(records), "method"):
        own = {p: outcome for (p, m), outcome in found.items() if m == method}
        gaps = {p: losses[p, method] for p in own}
        last = max(gaps, key=gaps.__getitem__)
        rows.append(
            (
                method,
                len(own),
                float(np.mean(list(gaps.values()))),
                float(np.median(list(gaps.values()))),
                gaps[last],
                last,
                f"{np.mean([gap <= MARGIN for o in own.values() for gap in o.gaps]):.0%}",
                f"{np.mean([outcome.unsound for outcome in own.values()]):.0%}",
                1e3 * geometric_mean([outcome.seconds for outcome in own.values()]),
            )
        )
    header = ["", "problems", "mean gap", "median", "worst", "worst on", "within 0.5", "unsound"]
    return "\n\n".join(
        part
        for part in (
            note,
            EXPLANATION,
            table([*header, "ms"], rows),
            versus(losses, times, pairs, MARGIN),
            worst(losses, pairs, MARGIN),
            failures(records),
        )
        if part
    )


def draw(records: list[Record], plt: Any) -> Any:
    """Left: distribution of gaps. Right: mean gap beside time."""
    found = outcomes(records)
    floor = 1e-3
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    for i, method in enumerate(names(without_failed(records), "method")):
        own = [outcome for (_, m), outcome in found.items() if m == method]
        gaps = np.sort([max(gap, floor) for outcome in own for gap in outcome.gaps])
        style = {"color": f"C{i}", "label": method}
        left.step(
            np.append(gaps, 1e5),
            np.append(np.arange(1, len(gaps) + 1) / len(gaps), 1.0),
            where="post",
            lw=2.2 if method.startswith("emlearn") else 1.4,
            ls="-" if method.startswith("emlearn") else "--",
            **style,
        )
        mean = max(np.mean([np.mean(outcome.gaps) for outcome in own]), floor)
        spent = 1e3 * geometric_mean([outcome.seconds for outcome in own])
        marker = "o" if method.startswith("emlearn") else "s"
        right.plot(spent, mean, marker, ms=10, ls="", **style)
    top = max(max(outcome.gaps) for outcome in found.values())
    left.set(
        xscale="log", xlim=(floor, max(2 * top, 1.0)), ylim=(0, 1.02),
        xlabel="nats below the best optimum known", ylabel="fraction of fits",
    )  # fmt: skip
    right.set(
        xscale="log", yscale="log", xlabel="milliseconds of a fit (geometric mean)",
        ylabel="mean gap in nats",
    )  # fmt: skip
    right.margins(0.15)
    for ax in (left, right):
        ax.grid(alpha=0.3, which="major")
    left.legend(frameon=False, loc="lower right")
    right.legend(frameon=False)
    return figure
