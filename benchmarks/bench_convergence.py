"""E-steps that each accelerator needs, beside plain EM from the same start.

    python benchmarks/bench_convergence.py            two minutes
    python benchmarks/bench_convergence.py --quick    fewer problems
    python benchmarks/bench_convergence.py --large    what tol="auto" leaves on large data

Counts E-steps to within 1e-6 nats a row of the limit of the run itself; rejected
proposals are counted. A second table says how far from that limit a run is when it stops
by itself, with tol=1e-7. E-steps are the same on any machine.

With --large, the same for the default tol="auto" on large overlapping data, in the standard
errors that the rule is about: sqrt(2 gap).
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from _problems import LONDON_DAYS, PoissonMixture, PoissonParams, factors, incomplete, overlapping
from sklearn.exceptions import ConvergenceWarning

from emlearn import GaussianMixtureEM
from emlearn.datasets import load_old_faithful
from emlearn.distributions.gaussian.incomplete import FactorAnalysis
from emlearn.distributions.gaussian.single import OneGaussian
from emlearn.engine import ACCELERATORS, RemainingGain, find_accelerator, run_em

METHODS = [None, *ACCELERATORS]
TOL = 1e-7
CLOSE = 1e-6  # nats a row
FAR = 20_000


def of_model(model, X, start=None, weight=None):
    """Function of accelerator and tolerance: objectives, E-steps, weight of a run."""
    data = model.prepare(X, weight)
    start = model.initialize(data, np.random.default_rng(0)) if start is None else start

    def run(name, tol):
        result = run_em(
            model,
            data,
            start,
            convergence=RemainingGain(tol),
            max_iter=FAR,
            accelerator=find_accelerator(name),
        )
        history = result.history.as_arrays()
        return history["objective"], history["e_steps"], model.total_weight(data)

    return run


def of_mixture(X, n_components, covariance_type="full", init_params="kmeans"):
    def run(name, tol):
        mixture = GaussianMixtureEM(
            n_components,
            covariance_type=covariance_type,
            init_params=init_params,
            accelerate=name,
            tol=tol,
            max_iter=FAR,
            random_state=0,
        ).fit(X)
        return mixture.history_["objective"], mixture.history_["e_steps"], len(X)

    return run


def problems(quick):
    deaths, days = np.arange(len(LONDON_DAYS)), np.array(LONDON_DAYS)
    for number, (weight, rates) in enumerate([(0.5, (1.0, 3.0)), (0.3, (1.0, 2.5))], 1):
        start = PoissonParams(np.array([weight, 1.0 - weight]), np.array(rates))
        yield f"London deaths, start {number}", of_model(PoissonMixture(), deaths, start, days)
    yield "Old Faithful, K=3", of_mixture(load_old_faithful().data, 3)
    shapes = [(2, 3, 500), (2, 5, 1000), (3, 8, 1500), (5, 4, 1500), (10, 10, 4000)]
    for seed in range(1 if quick else 4):
        for i, (d, k, n) in enumerate(shapes):
            structure = ("full", "full", "full", "diag")[seed]
            separation = (1.0, 1.5)[seed % 2]
            name = f"{structure} mixture, d={d} K={k} n={n}, data {seed}"
            X = overlapping(10 * seed + i, d, k, n, separation)
            yield name, of_mixture(X, k, structure)
    for seed in range(1 if quick else 3):
        X = incomplete(seed, 300, 10, 0.4)
        yield f"normal, 40 % missing, data {seed}", of_model(OneGaussian(), X)
        X = factors(seed, 300, 12, 3)
        yield f"factor analysis, 3 of 12, data {seed}", of_model(FactorAnalysis(3), X)


LARGE = [(2, 5, 100_000), (2, 8, 50_000), (5, 8, 50_000), (10, 10, 20_000), (20, 10, 20_000)]


def large():
    print('What tol="auto" leaves on large overlapping data (means of k-means as starts)')
    print(f"{'':34}{'E-steps':>9}{'limit':>8}{'gap':>12}{'in standard errors':>20}")
    over = []
    for seed in range(3):
        for d, k, n in LARGE:
            run = of_mixture(overlapping(seed, d, k, n, (1.0, 1.5, 2.0)[seed]), k)
            objective, e_steps, _ = run("auto", "auto")
            # The same run, which goes on.
            further, _, _ = run("auto", 1e-10)
            gap = max(further.max() - objective[-1], 0.0)
            p = k * (1 + d + d * (d + 1) // 2) - 1
            limit = min(1e-3 * p, 0.125) * min(1.0, n * p / 1e7) ** 2
            over.append(gap / limit)
            title = f"d={d} K={k} n={n}, data {seed}"
            print(
                f"{title:34}{e_steps[-1]:9.0f}{limit:8.3f}{gap:12.4f}{np.sqrt(2 * gap):20.3f}",
                flush=True,
            )
    over = np.array(over)
    print(f"gap to limit: within {np.mean(over <= 1):.2f}, within twice {np.mean(over <= 2):.2f}")
    print(f"largest {over.max():.1f}")


def geometric_mean(values):
    return float(np.exp(np.mean(np.log(values)))) if len(values) else float("nan")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer problems")
    parser.add_argument("--large", action="store_true", help='what tol="auto" leaves')
    arguments = parser.parse_args()
    quick = arguments.quick
    # Without a tolerance runs go on until rounding ends them, which they report.
    warnings.simplefilter("ignore", ConvergenceWarning)
    if arguments.large:
        return large()
    names = ["plain EM", *ACCELERATORS]
    print(f"E-steps to within {CLOSE:g} nats a row of the limit of the run")
    print(f"{'':45}" + "".join(f"{name:>14}" for name in names))
    counts, gaps, efforts = [], [], []
    for title, run in problems(quick):
        row, gap, effort = [], [], []
        for method in METHODS:
            objective, e_steps, weight = run(method, 0.0)
            limit = objective.max()
            row.append(int(e_steps[np.argmax(objective >= limit - CLOSE * weight)]))
            objective, e_steps, _ = run(method, TOL)
            gap.append(limit - objective[-1])
            effort.append(int(e_steps[-1]))
        counts.append(row)
        gaps.append(gap)
        efforts.append(effort)
        print(f"{title:45}" + "".join(f"{count:14d}" for count in row), flush=True)
    counts, gaps, efforts = np.array(counts), np.array(gaps), np.array(efforts)
    ratio = counts / counts[:, :1]
    slow = counts[:, 0] > 200

    def line(title, values, form="14.3f"):
        print(f"{title:45}" + "".join(f"{value:{form}}" for value in values))

    print("\nE-steps relative to plain EM")
    line("geometric mean, all problems", [geometric_mean(r) for r in ratio.T])
    line(f"geometric mean, {slow.sum()} with EM > 200", [geometric_mean(r) for r in ratio[slow].T])
    line("largest", ratio.max(axis=0))
    print(f"\nRuns that stop by themselves with tol={TOL:g}")
    line("fraction within 1e-3 nats of the limit", (gaps < 1e-3).mean(axis=0))
    line("median gap (nats)", np.median(gaps, axis=0), "14.1e")
    line("largest gap (nats)", gaps.max(axis=0), "14.1e")
    line("E-steps, geometric mean", [geometric_mean(e) for e in efforts.T], "14.0f")
    print("\nreach: auto <= 0.2 where EM needs > 200, <= 1.2 on any; fraction >= 0.95")


if __name__ == "__main__":
    main()
