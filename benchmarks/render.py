"""Tables and pictures of benchmarks/results: docs/benchmarks.md and docs/images/bench_*.png.

python benchmarks/render.py              the page and, if matplotlib is installed, the pictures
python benchmarks/render.py --no-images  the page
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from peers import SUBJECTS
from peers._registry import Subject
from peers._tables import prose

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
IMAGES = ROOT / "docs" / "images"

INTRODUCTION = f"""# Benchmarks against peers

<!-- Made by benchmarks/render.py from benchmarks/results: change those, not this page. -->

{
    prose(
        "What a user would otherwise call is measured beside emlearn, on the same data: how good",
        "the result is, and how long it takes. Unless said otherwise, all have their defaults, and",
        "then part of a difference in quality or time is one of defaults. Each section names the",
        "command that measured it; `python benchmarks/run.py` measures all, and",
        "`python benchmarks/render.py` makes this page. Cases where a peer is better are listed.",
        "Times are of one machine: ratios carry over to others better than milliseconds.",
    )
}
"""


def image(subject: Subject) -> Path:
    return IMAGES / f"bench_{subject.name}.png"


def load(results: Path = RESULTS) -> dict[str, dict[str, Any]]:
    """Result files of all subjects that have one."""
    paths = {name: results / f"{name}.json" for name in SUBJECTS}
    return {
        name: json.loads(path.read_text(encoding="utf-8"))
        for name, path in paths.items()
        if path.exists()
    }


def versions(found: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in found.items())


def provenance(head: dict[str, Any]) -> str:
    """The command, and what the numbers depend on."""
    machine = head["machine"]
    peers = versions(head["peers"]) or "none"
    if head["R"] is not None:
        peers += f" (R {head['R']})"
    lines = [
        f"`{head['command']}`, {head['date']}, {head['seconds']:.0f} s.",
        f"{machine['processor']}, {machine['cores']} cores, {machine['architecture']},",
        f"{machine['system']}; Python {head['python']}, {versions(head['packages'])};",
        f"kernels: {head['kernels']}; threads: {versions(head['threads'])}. Peers: {peers}.",
    ]
    if head["skipped"]:
        lines.append(f"Not installed, so left out: {', '.join(head['skipped'])}.")
    return prose(*lines)


def section(subject: Subject, result: dict[str, Any]) -> str:
    picture = f"![{subject.caption}](images/{image(subject).name})"
    parts = [
        f"## {subject.title}",
        provenance(result["header"]),
        subject.report(result["records"]),
        picture,
        prose(subject.caption),
    ]
    return "\n\n".join(parts)


def page(results: dict[str, dict[str, Any]]) -> str:
    sections = [section(SUBJECTS[name], result) for name, result in results.items()]
    return "\n\n".join([INTRODUCTION.strip(), *sections]) + "\n"


def draw(results: dict[str, dict[str, Any]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    for name, result in results.items():
        figure = SUBJECTS[name].draw(result["records"], pyplot)
        figure.savefig(image(SUBJECTS[name]), dpi=120)
        pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--no-images", action="store_true", help="only the page")
    options = parser.parse_args()
    results = load()
    PAGE.write_text(page(results), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
    if not options.no_images:
        try:
            draw(results)
        except ImportError:
            print("matplotlib is not installed: no pictures")


if __name__ == "__main__":
    main()
