"""Markdown tables, and the comparison of methods pair by pair."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence

import numpy as np
from _measure import geometric_mean

#: (problem, method): a value.
Cells = dict[tuple[str, str], float]


def number(value: float, digits: int = 3) -> str:
    """Significant digits, without an exponent."""
    if not np.isfinite(value):
        return "-"
    if 0 < abs(value) < 1e-3:
        return "< 0.001"
    decimals = digits - 1 - int(np.floor(np.log10(abs(value)))) if value else digits - 1
    return f"{value:.{min(max(decimals, 0), 4)}f}"


def prose(*sentences: str) -> str:
    return textwrap.fill(" ".join(sentences), 118, break_on_hyphens=False)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; the first column is text."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1)]
    lines += [[number(c) if isinstance(c, float) else str(c) for c in row] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def names(records: Iterable[dict], field: str) -> list[str]:
    """Different values of a field, in the order in which they come."""
    return list(dict.fromkeys(record[field] for record in records))


def common(losses: Cells, ours: str, peer: str) -> list[str]:
    """Problems that both have."""
    problems = dict.fromkeys(problem for problem, _ in losses)
    return [p for p in problems if (p, ours) in losses and (p, peer) in losses]


def versus(losses: Cells, times: Cells, pairs: Sequence[tuple[str, str]], margin: float) -> str:
    """Pairs of our method and a peer: how often better by more than a margin, and times."""
    rows = []
    for ours, peer in pairs:
        problems = common(losses, ours, peer)
        if not problems:
            continue
        mine = np.array([losses[p, ours] for p in problems])
        theirs = np.array([losses[p, peer] for p in problems])
        ratios = [times[p, peer] / times[p, ours] for p in problems]
        rows.append(
            (
                f"{ours} beside {peer}",
                len(problems),
                int(np.sum(mine < theirs - margin)),
                int(np.sum(np.abs(mine - theirs) <= margin)),
                int(np.sum(theirs < mine - margin)),
                float(mine.mean()),
                float(theirs.mean()),
                geometric_mean(ratios),
                f"{number(min(ratios), 2)} to {number(max(ratios), 2)}",
            )
        )
    header = ["", "problems", "better", "even", "worse", "mean", "mean of peer"]
    return table([*header, "time of peer / ours", "range"], rows)


def worst(losses: Cells, pairs: Sequence[tuple[str, str]], margin: float, most: int = 8) -> str:
    """Problems on which a peer is better by more than a margin, the largest differences first."""
    found = [
        (losses[p, ours] - losses[p, peer], p, ours, peer)
        for ours, peer in pairs
        for p in common(losses, ours, peer)
    ]
    behind = sorted((entry for entry in found if entry[0] > margin), reverse=True)
    if not behind:
        return "No peer is better on any problem."
    rows = [(p, ours, losses[p, ours], peer, losses[p, peer]) for _, p, ours, peer in behind[:most]]
    shown = f"Where a peer is better: {len(behind)} of {len(found)} comparisons"
    shown += f"; the {most} largest differences:" if len(behind) > most else ":"
    return shown + "\n\n" + table(["problem", "ours", "", "peer", ""], rows)


def failures(records: Iterable[dict]) -> str:
    """Which methods failed, and where."""
    failed: dict[tuple[str, str], list[str]] = {}
    for record in records:
        if "failed" in record:
            # Numbers in a message differ between problems.
            why = re.sub(r"\d+(\.\d+)?", "...", record["failed"])
            problems = failed.setdefault((record["method"], why), [])
            if record["problem"] not in problems:
                problems.append(record["problem"])
    lines = [
        f"- {method}, {len(problems)}: {', '.join(problems)} ({why})"
        for (method, why), problems in failed.items()
    ]
    return "Without a result:\n\n" + "\n".join(lines) if lines else ""
