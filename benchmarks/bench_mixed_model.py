"""LinearMixedModelEM beside lme4, statsmodels, fastlmm, glimix-core and genoselect, by REML.

    python benchmarks/bench_mixed_model.py [--quick] [--only slopes crossed]

Times are those of a fit from a table of rows, on one thread: medians of the seconds of the
processor of repeated fits, without what it takes to start a program. Genomic peers are given the
markers. A ratio above 1 says that the peer takes longer. The log-likelihood is that of REML as lme4
reports it; for genomic peers it is computed from their variances. Peers that are not installed are
left out by name, and a fit is stopped at its limit of time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # before numpy is imported

import _rscript  # noqa: E402
import numpy as np  # noqa: E402
from _measure import Stopped, in_child, seconds  # noqa: E402
from _mixed_problems import Problem, crossed, genomic, sleepstudy, slopes  # noqa: E402
from scipy.linalg import cho_factor, cho_solve  # noqa: E402

SCRIPT = Path(__file__).with_name("lme4_fits.R")
#: Problems in full and in small.
PROBLEMS: dict[str, tuple[Callable[..., Problem], dict[str, int]]] = {
    "sleepstudy": (sleepstudy, {}),
    "slopes": (slopes, {"n_rows": 4000, "n_groups": 200}),
    "crossed": (crossed, {"n_rows": 2000, "n_persons": 100, "n_items": 50}),
    "genomic": (genomic, {"n": 300, "n_markers": 1000}),
}


class Fit(NamedTuple):
    seconds: float
    log_likelihood: float


def repeated(fit: Callable[[], Any], least: float) -> tuple[float, Any]:
    """Median seconds of fits, at least three, or one that takes long, and the last result."""
    took: list[float] = []
    result: Any = None

    def turn() -> None:
        nonlocal result
        result = fit()

    while sum(took) < least or (len(took) < 3 and sum(took) < 20 * least):
        took.append(seconds(turn, time.process_time))
    return statistics.median(took), result


def emlearn(problem: Problem, least: float) -> Fit:
    from emlearn.mixed import Genotypes, LinearMixedModelEM

    X, y = problem.frame.drop(columns="y"), problem.frame["y"]

    def fit() -> Any:
        settings = dict(problem.settings)
        if problem.markers is not None:
            settings["kinship"] = Genotypes(problem.markers)
        return LinearMixedModelEM(**settings).fit(X, y)

    took, model = repeated(fit, least)
    return Fit(took, model.log_likelihood_)


def lme4(problem: Problem, least: float, derivatives: bool = True) -> Fit:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        problem.frame.to_csv(path, index=False)
        groups = ",".join(problem.settings["groups"])
        options = [problem.formula, groups, str(derivatives).upper(), str(least)]
        command = ["Rscript", str(SCRIPT), str(path), *options]
        result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise ValueError(" ".join(result.stderr.split())[:120])
    return Fit(*map(float, result.stdout.split()))


def lme4_without_derivatives(problem: Problem, least: float) -> Fit:
    """Without the check of convergence, which takes derivatives by differences."""
    return lme4(problem, least, derivatives=False)


def statsmodels(problem: Problem, least: float) -> Fit:
    import statsmodels.formula.api as smf

    warnings.simplefilter("ignore")
    groups = problem.settings["groups"]
    fixed = problem.formula.partition(" + (")[0]
    if len(groups) == 1:
        random = {"groups": problem.frame[groups[0]]}
        if "random_slopes" in problem.settings:
            random["re_formula"] = "~ " + problem.settings["random_slopes"][0]
    else:  # crossed: all rows are one group, with components of variance
        parts = {group: f"0 + C({group})" for group in groups}
        random = {"groups": np.ones(len(problem.frame)), "vc_formula": parts, "re_formula": "0"}
    took, fit = repeated(lambda: smf.mixedlm(fixed, problem.frame, **random).fit(), least)
    return Fit(took, float(fit.llf))


# ---- Genomic peers: genetic and residual variance ---------------------------------------


def kinship(markers: np.ndarray) -> np.ndarray:
    """Genomic relationships of VanRaden's first method."""
    frequency = markers.mean(axis=0) / 2.0
    centered = markers - 2.0 * frequency
    return centered @ centered.T / (2.0 * frequency @ (1.0 - frequency))


def fixed_columns(problem: Problem) -> np.ndarray:
    return np.column_stack([np.ones(len(problem.frame)), problem.frame["x"]])


def restricted_log_likelihood(problem: Problem, genetic: float, residual: float) -> float:
    X, y = fixed_columns(problem), problem.frame["y"].to_numpy()
    V = genetic * kinship(problem.markers)
    V[np.diag_indices(len(V))] += residual
    factor = cho_factor(V, lower=True, overwrite_a=True)
    whitened = cho_solve(factor, np.column_stack([X, y]))
    information = X.T @ whitened[:, :-1]
    beta = np.linalg.solve(information, X.T @ whitened[:, -1])
    distance = y @ whitened[:, -1] - beta @ (X.T @ whitened[:, -1])
    log_det = 2.0 * np.log(np.diag(factor[0])).sum() + np.linalg.slogdet(information)[1]
    return float(-0.5 * (log_det + distance + (len(y) - X.shape[1]) * np.log(2.0 * np.pi)))


def genomic_fit(
    variances: Callable[[Problem], tuple[float, float]], problem: Problem, least: float
) -> Fit:
    took, found = repeated(lambda: variances(problem), least)
    return Fit(took, restricted_log_likelihood(problem, *found))


def fastlmm(problem: Problem) -> tuple[float, float]:
    from fastlmm.inference import LMM

    model = LMM()
    model.setK(kinship(problem.markers))
    model.setX(fixed_columns(problem))
    model.sety(problem.frame["y"].to_numpy())
    found = model.findH2()
    return found["sigma2"] * found["h2"], found["sigma2"] * (1.0 - found["h2"])


def glimix(problem: Problem) -> tuple[float, float]:
    from glimix_core.lmm import LMM
    from numpy_sugar.linalg import economic_qs

    basis = economic_qs(kinship(problem.markers))
    model = LMM(problem.frame["y"].to_numpy(), fixed_columns(problem), basis, restricted=True)
    model.fit(verbose=False)
    return model.v0, model.v1


def genoselect(problem: Problem) -> tuple[float, float]:
    from genoselect import gblup, vanraden_grm

    y, X = problem.frame["y"].to_numpy(), fixed_columns(problem)
    found = gblup(y, K=vanraden_grm(problem.markers), X=X)
    return found["Vu"], found["Ve"]


# ---- The comparison ---------------------------------------------------------------------


def peers(problem: Problem) -> Iterator[tuple[str, bool, Callable[[Problem, float], Fit]]]:
    """Name, whether it is installed, and fit of what the problem can be compared with."""
    if problem.markers is None:
        has_lme4 = "lme4" in _rscript.versions()
        yield "lme4", has_lme4, lme4
        yield "lme4, calc.derivs=FALSE", has_lme4, lme4_without_derivatives
        yield "statsmodels", find_spec("statsmodels") is not None, statsmodels
    else:
        yield "fastlmm", find_spec("fastlmm") is not None, partial(genomic_fit, fastlmm)
        yield "glimix-core", find_spec("glimix_core") is not None, partial(genomic_fit, glimix)
        yield "genoselect", find_spec("genoselect") is not None, partial(genomic_fit, genoselect)


def compare(name: str, quick: bool, least: float, limit: float) -> None:
    make, small = PROBLEMS[name]
    problem = make(**small) if quick else make()
    print(f"{name}: {len(problem.frame)} rows, {problem.formula}", flush=True)
    own = emlearn(problem, least)
    print(f"  {'emlearn':24s} {own.seconds:10.4f} s  {own.log_likelihood:.6f}", flush=True)
    for peer, installed, fit in peers(problem):
        if not installed:
            print(f"  {peer:24s} skipped: it is not installed")
            continue
        try:
            found = in_child(fit, problem, least, limit=limit)
        except Stopped:
            ratio = limit / own.seconds
            print(f"  {peer:24s} stopped after {limit:.0f} s, {ratio:.0f} times our time")
        except (RuntimeError, ValueError) as error:
            print(f"  {peer:24s} failed: {error}")
        else:
            print(
                f"  {peer:24s} {found.seconds:10.4f} s  {found.log_likelihood:.6f}  "
                f"{found.seconds / own.seconds:8.2f} times our time, log-likelihood "
                f"{own.log_likelihood - found.log_likelihood:+.1e} below ours",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small problems")
    parser.add_argument("--only", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument("--seconds", type=float, default=2.0, help="fits are repeated so long")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds of a peer")
    options = parser.parse_args()
    for name in options.only:
        compare(name, options.quick, options.seconds, options.limit)


if __name__ == "__main__":
    main()
