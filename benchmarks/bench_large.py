"""Fits of rows on disk: time and memory, beside the same fit in memory and scikit-learn's.

Writes a temporary file of float64 rows and fits it in processes of their own. Memory is the largest
anonymous memory of such a process (Linux: RssAnon, without the pages of mapped files) beyond what
it has after its imports. Run with::

    python benchmarks/bench_large.py                       # 2 million rows of 10 columns
    python benchmarks/bench_large.py --rows 100000000      # 8 GB
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np

K = 5
FITS = ("mixture", "mixture, 5 % missing", "imputer", "factors", "in memory", "scikit-learn")


def write_rows(path: Path, n_rows: int, n_columns: int, missing: float = 0.0) -> None:
    """Rows of five Gaussian clusters."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(K, n_columns)) * 3.0
    shapes = rng.normal(size=(K, n_columns, n_columns)) * 0.15 + np.eye(n_columns)
    file = np.lib.format.open_memmap(path, "w+", np.float64, (n_rows, n_columns))
    for start in range(0, n_rows, 250_000):
        labels = rng.integers(0, K, min(250_000, n_rows - start))
        rows = rng.standard_normal((len(labels), n_columns))
        for k in range(K):
            rows[labels == k] = rows[labels == k] @ shapes[k] + centers[k]
        if missing:
            rows[rng.random(rows.shape) < missing] = np.nan
        file[start : start + len(labels)] = rows
    file.flush()


def anonymous_memory() -> float:
    """Anonymous memory of this process, in MB."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024.0


def measure(what: str, path: str) -> None:
    """Fit in this process, and print time, memory and result."""
    from sklearn.mixture import GaussianMixture

    from emlearn import FactorAnalysisEM, GaussianMixtureEM, MissingDataImputerEM

    estimator = {
        "imputer": MissingDataImputerEM(),
        "factors": FactorAnalysisEM(3),
        "scikit-learn": GaussianMixture(K, random_state=0),
    }.get(what, GaussianMixtureEM(K, random_state=0))
    rows = np.load(path, mmap_mode="r")
    before, peak, done = anonymous_memory(), [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            peak[0] = max(peak[0], anonymous_memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(np.array(rows) if what in ("in memory", "scikit-learn") else rows)
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    found = {
        "seconds": seconds,
        "memory": peak[0] - before,
        "iterations": int(estimator.n_iter_),
        "bound": float(getattr(estimator, "lower_bound_", np.nan)),
    }
    print(json.dumps(found))


def main() -> None:
    """Measure each fit in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--columns", type=int, default=10)
    parser.add_argument("--fits", nargs="*", default=FITS)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        measure(*arguments.one)
        return
    with tempfile.TemporaryDirectory() as folder:
        whole, holes = Path(folder) / "rows.npy", Path(folder) / "holes.npy"
        write_rows(whole, arguments.rows, arguments.columns)
        needs = {"mixture, 5 % missing", "imputer"}
        if needs & set(arguments.fits):
            write_rows(holes, arguments.rows, arguments.columns, 0.05)
        size = whole.stat().st_size / 2**20
        print(f"{arguments.rows} rows of {arguments.columns} columns, {size:.0f} MB")
        for what in arguments.fits:
            path = holes if what in needs else whole
            command = [sys.executable, __file__, "--one", what, str(path)]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found = json.loads(out.splitlines()[-1])
            print(
                f"{what:22} {found['seconds']:8.1f} s  {found['memory']:7.0f} MB  "
                f"{found['iterations']:4d} iterations  objective {found['bound']:.8f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
