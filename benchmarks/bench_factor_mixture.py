"""Mixtures of factor analyzers beside full and diagonal covariances, and beside pgmm in R.

    python benchmarks/bench_factor_mixture.py              all tables, about ten minutes
    python benchmarks/bench_factor_mixture.py --quick      four of them, K up to 3

For each table, standardized, and each structure: the number of components K up to 4 (and of
factors up to 4) by BIC, and for this choice the log-likelihood of held-out rows (five folds).
BIC and held-out values are per row: BIC / (2 n), lower is better, and nats, higher is better. The
R package pgmm (UUU: loadings and noise of each component, from k-means) chooses over the same
numbers of components, and of factors as far as it accepts them, (d - k)^2 > d + k; it is left out
by name where it is not installed. Seconds are of the whole grid.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from _rscript import write_table
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from emlearn import GaussianMixtureEM
from emlearn.datasets import load_penguins

PGMM = """
X <- as.matrix(read.csv("{table}", header = FALSE))
sink("{log}")
fit <- pgmm::pgmmEM(X, rG = 1:{K}, rq = 1:{k}, zstart = 2, modelSubset = "UUU")
sink()
cat(max(fit$bic$UUU, na.rm = TRUE))
"""


def tables() -> dict[str, np.ndarray]:
    """Numbers of each table, without constant columns."""
    rng = np.random.default_rng(0)
    simulated = np.concatenate(
        [
            4.0 * c
            + rng.normal(size=(150, 2)) @ rng.normal(size=(2, 20))
            + rng.normal(size=(150, 20))
            for c in range(3)
        ]
    )
    penguins = load_penguins(as_frame=True).data.select_dtypes("number").to_numpy(float)
    diabetes = np.delete(load_diabetes().data, 1, axis=1)  # without sex, which has two values
    return {
        "wine": load_wine().data,
        "iris": load_iris().data,
        "penguins": penguins[~np.isnan(penguins).any(axis=1)],
        "simulated": simulated,
        "cancer, means": load_breast_cancer().data[:, :10],
        "cancer": load_breast_cancer().data,
        "diabetes": diabetes,
        "digits, 20 axes": PCA(20).fit_transform(load_digits().data),
    }


def fit(X: np.ndarray, setting: dict[str, object]) -> GaussianMixtureEM:
    """A fit with default settings; warnings tell of components of few rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return GaussianMixtureEM(random_state=0, **setting).fit(X)


def held_out(X: np.ndarray, setting: dict[str, object]) -> float:
    """Log-likelihood per row of rows that a fit did not see."""
    folds = KFold(5, shuffle=True, random_state=0)
    scores = [fit(X[a], setting).score(X[b]) * len(b) for a, b in folds.split(X)]
    return sum(scores) / len(X)


def pgmm(X: np.ndarray, n_components: int, n_factors: int) -> float | None:
    """BIC of the best UUU model of pgmm; None where it is not installed or fails."""
    if shutil.which("Rscript") is None:
        return None
    with tempfile.TemporaryDirectory() as directory:
        table = Path(directory) / "table.csv"
        write_table(table, X)
        log = Path(directory) / "log"
        code = PGMM.format(table=table, log=log, K=n_components, k=n_factors)
        run = subprocess.run(["Rscript", "-e", code], capture_output=True, text=True, check=False)
    try:
        return -float(run.stdout)
    except ValueError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    largest = 3 if quick else 4
    print(f"{'table':18}{'structure':10}{'K':>3}{'k':>3}{'BIC / 2n':>11}{'held out':>10}{'s':>7}")
    gains = []
    for name, table in list(tables().items())[: 4 if quick else None]:
        X = StandardScaler().fit_transform(table)
        most = min(4, X.shape[1] - 1)
        found = {}
        for structure in ("diag", "full", "factor"):
            factors = range(1, most + 1) if structure == "factor" else [None]
            begin = time.perf_counter()
            fits = [
                (fit(X, setting).bic(X), setting)
                for K in range(1, largest + 1)
                for k in factors
                for setting in [{"n_components": K, "covariance_type": structure, "n_factors": k}]
            ]
            seconds = time.perf_counter() - begin
            bic, setting = min(fits, key=lambda pair: pair[0])
            found[structure] = (bic / (2 * len(X)), held_out(X, setting))
            K, k = setting["n_components"], setting["n_factors"] or "-"
            print(
                f"{name:18}{structure:10}{K:3}{k:>3}{found[structure][0]:11.3f}"
                f"{found[structure][1]:10.3f}{seconds:7.1f}",
                flush=True,
            )
        begin = time.perf_counter()
        d = X.shape[1]
        accepted = max(k for k in range(1, most + 1) if k == 1 or (d - k) ** 2 > d + k)
        peer = pgmm(X, largest, accepted)
        seconds = time.perf_counter() - begin
        shown = "not installed, or no result" if peer is None else f"{peer / (2 * len(X)):17.3f}"
        print(f"{name:18}{'pgmm UUU':10}{shown}{seconds:17.1f}", flush=True)
        others = (found["diag"], found["full"])
        gains.append(
            (
                min(bic for bic, _ in others) - found["factor"][0],
                found["factor"][1] - max(score for _, score in others),
                name,
            )
        )
    for what, position in (("BIC / 2n", 0), ("held-out log-likelihood", 1)):
        worst = min(gains, key=lambda gain: gain[position])
        better = sum(gain[position] > 0.0 for gain in gains)
        print(
            f"{what}: factors better than both others on {better} of {len(gains)} tables; worst "
            f"on {worst[2]}, {worst[position]:+.3f}"
        )


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
