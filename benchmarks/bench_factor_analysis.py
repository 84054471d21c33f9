"""FactorAnalysisEM beside scikit-learn, factor_analyzer and R's factanal.

Each peer fits the same rows to a likelihood as high as ours up to 1e-8 nats a row, or stops at
its limit of iterations: scikit-learn's tolerance is lowered tenfold until it gets there. Fits
take turns; the median of the ratios is shown. Peers that are not installed are left out by name:

    python benchmarks/bench_factor_analysis.py [--turns 3] [--large]
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import statistics
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.decomposition import FactorAnalysis

from emlearn import FactorAnalysisEM

#: Rows, columns, factors.
TABLES = [(1000, 20, 3), (5000, 50, 5), (20_000, 100, 10)]
LARGE = [(5000, 2000, 10)]
EQUAL = 1e-8

FACTANAL = """
X <- matrix(readBin(file("{rows}", "rb"), "double", {n} * {d}), {n}, {d}, byrow = TRUE)
begin <- proc.time()[["elapsed"]]
fit <- factanal(X, {k}, rotation = "none", control = list(opt = list(maxit = 10000)))
took <- proc.time()[["elapsed"]] - begin
cat(took, format(fit$criteria[["objective"]], digits = 15), "\\n")
"""


def draw(n, d, k, seed):
    rng = np.random.default_rng(seed)
    loadings = rng.normal(size=(d, k)) * rng.uniform(0.2, 1.0, (d, 1))
    noise = rng.normal(size=(n, d)) * rng.uniform(0.4, 1.5, d)
    return rng.normal(size=(n, k)) @ loadings.T + noise + rng.normal(size=d)


def timed(make):
    begin = time.perf_counter()
    fitted = make()
    return time.perf_counter() - begin, fitted


def ours(X, k):
    seconds, fit = timed(lambda: FactorAnalysisEM(k).fit(X))
    return seconds, fit.score(X), fit.n_iter_


def scikit_learn(X, k, method, tol):
    model = FactorAnalysis(k, tol=tol, max_iter=10_000, svd_method=method)
    if method == "randomized":
        model.set_params(iterated_power=3, random_state=0)
    seconds, fit = timed(lambda: model.fit(X))
    return seconds, fit.score(X), fit.n_iter_


def tolerance(X, k, method, target):
    """The largest tolerance at which scikit-learn's likelihood is equal, or the smallest tried."""
    for tol in 10.0 ** np.arange(-2, -9, -1) * len(X) * 1e-3:
        if scikit_learn(X, k, method, tol)[1] >= target - EQUAL:
            break
    return tol


def factor_analyzer(X, k):
    from factor_analyzer import FactorAnalyzer

    model = FactorAnalyzer(k, rotation=None, method="ml")
    seconds, fit = timed(lambda: model.fit(X))
    deviation = X.std(axis=0)
    loadings = fit.loadings_ * deviation[:, None]
    noise = fit.get_uniquenesses() * deviation**2
    known = FactorAnalysisEM.from_parameters(X.mean(axis=0), loadings.T, noise)
    return seconds, known.score(X), 0


def factanal(X, k):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows"
        X.tofile(path)
        script = Path(folder) / "fit.R"
        script.write_text(FACTANAL.format(rows=path, n=len(X), d=X.shape[1], k=k))
        result = subprocess.run(["Rscript", str(script)], capture_output=True, text=True)
    if result.returncode:
        raise ValueError(" ".join(result.stderr.split())[:120])
    seconds, objective = map(float, result.stdout.split())
    # The log-likelihood follows from that of an unrestricted covariance.
    S = np.cov(X.T, bias=True)
    d = X.shape[1]
    saturated = -0.5 * (d * np.log(2 * np.pi) + np.linalg.slogdet(S)[1] + d)
    return seconds, saturated - 0.5 * objective, 0


def peers(X, k, target):
    yield "scikit-learn, lapack", lambda tol: lambda: scikit_learn(X, k, "lapack", tol)
    yield "scikit-learn, randomized", lambda tol: lambda: scikit_learn(X, k, "randomized", tol)
    if importlib.util.find_spec("factor_analyzer") is None:
        print("  factor_analyzer is not installed")
    else:
        yield "factor_analyzer", lambda tol: lambda: factor_analyzer(X, k)
    if shutil.which("Rscript") is None:
        print("  R is not installed")
    elif X.shape[1] <= 500:
        yield "R factanal", lambda tol: lambda: factanal(X, k)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--large", action="store_true", help="also 5000 x 2000")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    for n, d, k in TABLES + LARGE * arguments.large:
        X = draw(n, d, k, seed=n + d)
        _, target, n_iter = ours(X, k)
        print(f"{n} x {d}, {k} factors: {target:.9f} nats a row after {n_iter} iterations")
        for name, make in peers(X, k, target):
            tol = 0.0
            if name.startswith("scikit-learn"):
                tol = tolerance(X, k, name.rpartition(" ")[2], target)
            ratios, mine, theirs = [], [], []
            try:
                for _ in range(arguments.turns):
                    own = ours(X, k)
                    other = make(tol)()
                    mine.append(own[0])
                    theirs.append(other[0])
                    ratios.append(other[0] / own[0])
            except (TypeError, ValueError) as error:  # also what newer versions break
                print(f"  {name:26s} failed: {error}")
                continue
            lower = target - other[1]
            print(
                f"  {name:26s} {statistics.median(ratios):8.1f} times our time "
                f"({statistics.median(theirs):.3f} s, {statistics.median(mine):.3f} s; "
                f"{other[2]} iterations), {lower:.1e} nats a row lower"
            )


if __name__ == "__main__":
    main()
