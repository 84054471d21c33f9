"""Default fits beside mclust's hierarchical starts, on the data sets that mclust ships.

    python benchmarks/bench_mclust.py            some minutes; needs R with the package mclust

Each of mclust's fits (models VVV, EEE, VVI and VII, 2 to 5 components, no prior) is compared with
fits of `GaussianMixtureEM` with default settings and other seeds, and with scikit-learn's. The
table says how many fits are more than 1 nat below mclust's. Left out are fits of mclust whose
smallest component has fewer than d + 2 rows. mclust has no ridge, the others have.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from emlearn import GaussianMixtureEM

SCRIPT = Path(__file__).with_name("mclust_fits.R")


def mclust_fits(directory):
    """Fits of mclust: data set, covariance type, components, log-likelihood."""
    with (directory / "fits.csv").open() as file:
        for row in csv.DictReader(file):
            rows = np.loadtxt(directory / f"{row['set']}.csv", delimiter=",", ndmin=2)
            if float(row["smallest"]) >= rows.shape[1] + 2:
                k, kind = int(row["n_components"]), row["covariance_type"].strip()
                yield row["set"].strip(), rows, kind, k, float(row["log_likelihood"])


def ours(n_init):
    def fit(X, kind, k, seed):
        mixture = GaussianMixtureEM(k, covariance_type=kind, n_init=n_init, random_state=seed)
        return mixture.fit(X).log_likelihood_

    return fit


def theirs(n_init):
    def fit(X, kind, k, seed):
        mixture = GaussianMixture(k, covariance_type=kind, n_init=n_init, random_state=seed)
        return mixture.fit(X).score(X) * len(X)

    return fit


METHODS = {
    "emlearn": ours(1),
    "emlearn, n_init=5": ours(5),
    "scikit-learn": theirs(1),
    "scikit-learn, n_init=5": theirs(5),
}


def main(directory, seeds):
    warnings.simplefilter("ignore", ConvergenceWarning)
    short = {name: [] for name in METHODS}
    with threadpool_limits(1):
        for name, X, kind, k, target in mclust_fits(directory):
            for method, fit in METHODS.items():
                for seed in range(seeds):
                    gap = target - fit(X, kind, k, seed)
                    short[method].append(gap)
                    if gap > 1.0 and method.startswith("emlearn"):
                        print(f"{name} {kind} K={k} seed {seed}: {method} {gap:.1f} nats below")
    for method, gaps in short.items():
        gaps = np.array(gaps)
        print(
            f"{method:24s} more than 1 nat below mclust in {np.sum(gaps > 1.0)} of {len(gaps)}, "
            f"above in {np.sum(gaps < -1.0)}, mean gap {np.maximum(gaps, 0.0).mean():.2f}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--fits", type=Path, help="directory that mclust_fits.R has written")
    arguments = parser.parse_args()
    if arguments.fits is not None:
        main(arguments.fits, arguments.seeds)
    elif shutil.which("Rscript") is None:
        sys.exit("skipped: Rscript, of R with the package mclust, is not installed")
    else:
        with tempfile.TemporaryDirectory() as temporary:
            subprocess.run(["Rscript", str(SCRIPT), temporary], check=True)
            main(Path(temporary), arguments.seeds)
