"""Benchmarks against peers: measures subjects and writes benchmarks/results/NAME.json.

    python benchmarks/run.py                    all subjects, less than ten minutes
    python benchmarks/run.py NAME ...           some of them
    python benchmarks/run.py --list             names and peers
    python benchmarks/run.py --quick            a few small problems each, some seconds

Peers that are not installed are left out, which the output and the files say by name. All of
them: `python -m pip install ".[benchmarks]"`, and R with the packages mclust, Amelia,
mice and lme4.
Everything runs in one thread, unless OMP_NUM_THREADS and OPENBLAS_NUM_THREADS say otherwise.
`python benchmarks/render.py` makes tables and pictures of the files.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

# Before numpy is imported, which reads them.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
for name in THREADS:
    os.environ.setdefault(name, "1")

import _rscript  # noqa: E402
from peers import SUBJECTS  # noqa: E402
from peers._registry import Record, Settings, Subject  # noqa: E402
from threadpoolctl import threadpool_info  # noqa: E402

from emlearn.engine.threads import available_threads  # noqa: E402
from emlearn.kernels import compiled  # noqa: E402

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("scikit-em", "numpy", "scipy", "scikit-learn", "joblib", "threadpoolctl")


def version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # a checkout that is not installed
        import emlearn

        return emlearn.__version__


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return f"{platform.system()} {platform.release()}"


def header(subject: Subject, found: dict[str, str | None], quick: bool) -> Record:
    """What the numbers depend on; nothing that tells whose machine it is."""
    return {
        "subject": subject.name,
        "command": f"python benchmarks/run.py {subject.name}" + " --quick" * quick,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {
            "processor": processor(),
            "architecture": platform.machine(),
            "cores": os.cpu_count(),
            "system": system(),
        },
        "python": platform.python_version(),
        "packages": {package: version(package) for package in PACKAGES},
        "kernels": "none" if compiled is None else compiled.__name__.rpartition("_")[2],
        "peers": {name: known for name, known in found.items() if known is not None},
        "skipped": [name for name, known in found.items() if known is None],
        "R": _rscript.versions().get("R") if {*found} & {*_rscript.PACKAGES} else None,
        "threads": {
            "emlearn": available_threads(),
            **dict(
                sorted((info["internal_api"], info["num_threads"]) for info in threadpool_info())
            ),
        },
    }


def rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    return value


def write(path: Path, head: Record, records: list[Record]) -> None:
    """JSON with one record a line, so that changes can be read."""
    lines = ",\n".join("    " + json.dumps(rounded(record)) for record in records)
    text = json.dumps(head, indent=2)
    path.write_text(f'{{\n"header": {text},\n"records": [\n{lines}\n]\n}}\n', encoding="utf-8")


def run(subject: Subject, quick: bool, without: set[str], output: Path) -> None:
    found = {peer.name: peer.version() for peer in subject.peers if peer.name not in without}
    found |= dict.fromkeys(peer.name for peer in subject.peers if peer.name in without)
    head = header(subject, found, quick)
    print(f"{subject.name}: {head['peers'] or 'no optional peers'}", flush=True)
    if head["skipped"]:
        print(f"  skipped, not installed or left out: {', '.join(head['skipped'])}", flush=True)
    begin = time.perf_counter()
    records = []
    for record in subject.measure(Settings(quick, frozenset(head["peers"]))):
        records.append(record)
        print("  " + ", ".join(f"{k} {shown(v)}" for k, v in record.items()), flush=True)
    head["seconds"] = round(time.perf_counter() - begin, 1)
    output.mkdir(parents=True, exist_ok=True)
    write(output / f"{subject.name}.json", head, records)
    print(f"{subject.name} took {head['seconds']} s", flush=True)


def shown(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(SUBJECTS)}; default all")
    parser.add_argument("--quick", action="store_true", help="a few small problems each")
    parser.add_argument("--list", action="store_true", help="names and peers, nothing is run")
    parser.add_argument("--without", nargs="*", default=[], help="peers that are left out")
    parser.add_argument("--output", type=Path, help=f"directory of the results, {RESULTS.name}")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - set(SUBJECTS)
    if unknown:
        parser.error(f"no such subject: {', '.join(unknown)}; there are {', '.join(SUBJECTS)}")
    if options.quick and options.output is None and not options.list:
        parser.error("--quick needs --output: it would replace the results of whole runs")
    for name in options.names or SUBJECTS:
        subject = SUBJECTS[name]
        if options.list:
            peers = (f"{peer.name} {peer.version() or '(not installed)'}" for peer in subject.peers)
            print(f"{name:20}{', '.join(peers)}")
        else:
            run(subject, options.quick, set(options.without), options.output or RESULTS)


if __name__ == "__main__":
    sys.exit(main())
