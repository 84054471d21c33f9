"""Fits of the same rows from memory and block by block: the price of encoding rows again and again.

Twenty EM steps from the same start, 400 000 rows of 10 columns; blocks are not kept. Run with::

    python benchmarks/bench_blocks.py
"""

from __future__ import annotations

import time
import warnings

import numpy as np

from emlearn import FiniteMixtureEM, GaussianMixtureEM
from emlearn.data.blocks import ArrayBlocks
from emlearn.engine import blockwise

STEPS = {"random_state": 0, "tol": 0.0, "max_iter": 20, "accelerate": None}


def main() -> None:
    """Print seconds and their ratio."""
    warnings.simplefilter("ignore")
    blockwise._KEPT_BYTES = 0
    rng = np.random.default_rng(0)
    n_rows = 400_000
    labels = rng.integers(0, 2, (n_rows, 1))
    codes = (rng.random((n_rows, 10)) < np.where(labels, 0.3, 0.7)) + rng.integers(
        0, 3, (n_rows, 10)
    )
    rows = rng.normal(size=(n_rows, 10)) + labels
    holes = np.where(rng.random(rows.shape) < 0.05, np.nan, rows)
    gaussian = {"init_params": "random_from_data", **STEPS}
    for name, X, estimator in (
        ("Gaussian", rows, GaussianMixtureEM(5, **gaussian)),
        ("Gaussian, 5 % missing", holes, GaussianMixtureEM(5, **gaussian)),
        (
            "categorical",
            codes.astype(float),
            FiniteMixtureEM(2, family="categorical", init_params="rows", **STEPS),
        ),
        (
            "Poisson",
            codes.astype(float),
            FiniteMixtureEM(2, family="poisson", init_params="rows", **STEPS),
        ),
    ):
        seconds: dict[str, list[float]] = {"memory": [], "blocks": []}
        for _ in range(3):
            for how, own in (("memory", X), ("blocks", ArrayBlocks(X))):
                start = time.perf_counter()
                estimator.fit(own)
                seconds[how].append(time.perf_counter() - start)
        memory, blocks = min(seconds["memory"]), min(seconds["blocks"])
        ratios = np.divide(seconds["blocks"], seconds["memory"])
        print(
            f"{name:24} memory {memory:6.2f} s   blocks {blocks:6.2f} s   "
            f"median ratio {np.median(ratios):.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
