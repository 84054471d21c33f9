"""Time of fits of ItemResponseEM beside other packages, at the likelihoods that they reach.

    python benchmarks/bench_item_response.py              2pl and grm
    python benchmarks/bench_item_response.py 2pl          5000 persons, 50 items
    python benchmarks/bench_item_response.py grm          2000 persons, 20 items of 4 categories
    python benchmarks/bench_item_response.py large        100000 persons, 200 items, ours only
    python benchmarks/bench_item_response.py nodes        error of the integral, beside Hermite's

Peers: girth, mirt of PyPI (its compiled EM), and the R packages mirt and ltm. Those that are not
installed are left out by name. Packages take turns, and the median counts: seconds of the clock,
and of the processors, which other programs disturb less. Each log-likelihood is computed by the
same function, at the item parameters that a package returns: a time means nothing without it. Ours
stops at its default tolerance; "to theirs" is the ratio to the processor time of the shortest fit
of ours whose log-likelihood is at least that of the peer.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import tempfile
import time
import warnings
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from _measure import memory, seconds
from scipy.special import logsumexp
from scipy.stats import norm

from emlearn import ItemResponseEM
from emlearn.irt._quadrature import default_nodes

TURNS = 3


def responses(n_persons, n_items, n_categories=2, seed=0, spread=1.2):
    """Responses of a graded model whose difficulties are spread over the trait."""
    rng = np.random.default_rng(seed)
    slopes = rng.lognormal(0.0, 0.3, n_items)
    thresholds = np.sort(rng.normal(0.0, spread, (n_items, n_categories - 1)), axis=1)
    theta = rng.normal(size=(n_persons, 1, 1))
    above = 1.0 / (1.0 + np.exp(-slopes[:, None] * (theta - thresholds)))
    return (rng.random((n_persons, n_items, 1)) < above).sum(axis=2)


def likelihood(X, model, slopes, thresholds):
    """Log-likelihood of item parameters, by 121 nodes."""
    test = ItemResponseEM.from_parameters(slopes, thresholds, model=model, n_quadrature=121)
    return float(test.score_samples(X).sum())


# ---- packages: each takes X and the model, and returns slopes and thresholds ----------------


def ours(X, model, max_iter=1000):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = ItemResponseEM(model, random_state=0, max_iter=max_iter).fit(X)
    return fit.discrimination_, fit.thresholds_


def girth(X, model):
    import girth

    found = girth.twopl_mml(X.T) if model == "2pl" else girth.grm_mml(X.T)
    return found["Discrimination"], found["Difficulty"]


def mirt(X, model):
    import mirt

    found = mirt.fit_mirt(
        X, model=model.upper(), n_quadpts=61, tol=1e-4, compute_standard_errors=False
    )
    parameters = found.model.parameters
    key = "difficulty" if model == "2pl" else "thresholds"
    return parameters["discrimination"], parameters[key]


R_CODE = {
    "R mirt": """
        X <- as.matrix(read.csv(input)); kind <- if (model == "2pl") "2PL" else "graded"
        time <- system.time(fit <- mirt::mirt(X, 1, itemtype=kind, SE=FALSE, verbose=FALSE))[[3]]
        found <- mirt::coef(fit, IRTpars=TRUE, simplify=TRUE)$items
        a <- found[, "a"]; b <- found[, grep("^b", colnames(found)), drop=FALSE]
    """,
    "R ltm": """
        X <- as.matrix(read.csv(input))
        time <- system.time(fit <- if (model == "2pl") ltm::ltm(X ~ z1) else ltm::grm(X))[[3]]
        found <- coef(fit)
        a <- found[, "Dscrmn"]; b <- found[, colnames(found) != "Dscrmn", drop=FALSE]
    """,
}


def is_in_r(package):
    if shutil.which("Rscript") is None:
        return False
    code = f"quit(status = !nzchar(system.file(package = '{package}')))"
    return subprocess.run(["Rscript", "-e", code], capture_output=True).returncode == 0


def in_r(name, X, model):
    """Seconds that R reports for the fit, and its parameters."""
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder, "x.csv"), Path(folder, "found.csv")
        header = ",".join(f"i{j}" for j in range(X.shape[1]))
        np.savetxt(source, X, "%d", ",", header=header, comments="")
        code = f'input <- "{source}"; model <- "{model}"\n' + R_CODE[name]
        code += f'\nwrite.csv(cbind(time, a, b), "{result}", row.names=FALSE)'
        subprocess.run(["Rscript", "-e", code], check=True, capture_output=True)
        found = np.loadtxt(result, delimiter=",", skiprows=1)
    return found[0, 0], found[:, 1], found[:, 2:]


# ---- comparisons ------------------------------------------------------------------------


def until(X, model, target):
    """Processor seconds of the shortest fit of ours that reaches a log-likelihood."""
    for n_iter in range(1, 100):
        if likelihood(X, model, *ours(X, model, n_iter)) >= target:
            fit = partial(ours, X, model, n_iter)
            return statistics.median(seconds(fit, time.process_time) for _ in range(TURNS))
    return float("nan")


def compare(title, X, model):
    print(f"\n{title}: {X.shape[0]} persons, {X.shape[1]} items")
    rivals = {"emlearn": ours}
    for name, function in (("girth", girth), ("mirt", mirt)):
        if find_spec(name) is None:
            print(f"  {name} is not installed: left out")
        else:
            rivals[name] = function
    clock, processors, found = {}, {}, {}
    for _ in range(TURNS):
        for name, function in rivals.items():
            begin = time.perf_counter(), time.process_time()
            found[name] = function(X, model)
            clock.setdefault(name, []).append(time.perf_counter() - begin[0])
            processors.setdefault(name, []).append(time.process_time() - begin[1])
    for name in R_CODE:
        if not is_in_r(name.split()[1]):
            print(f"  {name} is not installed: left out")
            continue
        taken, *found[name] = in_r(name, X, model)
        clock[name], processors[name] = [taken], [float("nan")]
    clock = {name: statistics.median(taken) for name, taken in clock.items()}
    processors = {name: statistics.median(taken) for name, taken in processors.items()}
    print(
        f"  {'':10}{'clock':>9}{'ratio':>7}{'processor':>11}{'ratio':>7}{'to theirs':>11}", end=""
    )
    print(f"{'log-likelihood':>17}")
    for name, taken in clock.items():
        reached = likelihood(X, model, *found[name])
        line = f"  {name:10}{taken:9.3f}{taken / clock['emlearn']:7.1f}{processors[name]:11.3f}"
        line += f"{processors[name] / processors['emlearn']:7.1f}"
        to_theirs = processors[name] / until(X, model, reached) if name != "emlearn" else 1.0
        print(f"{line}{to_theirs:11.1f}{reached:17.3f}")


def integral(X, slopes, intercepts, theta, log_weights):
    """Log-likelihood of all persons by a rule with these nodes and weights."""
    u = theta[:, None] * slopes + intercepts
    logs = -np.logaddexp(0.0, -u) @ X.T - np.logaddexp(0.0, u) @ (1.0 - X).T
    return logsumexp(logs + log_weights[:, None], axis=0).sum()


def spaced(n_nodes, reach=6.0):
    """Equally spaced nodes and their log-weights."""
    theta = np.linspace(-reach, reach, n_nodes)
    return theta, norm.logpdf(theta) + np.log(theta[1] - theta[0])


def nodes():
    """Error of the log-likelihood of 300 persons, summed, for three rules."""
    print("\nerror of the log-likelihood of 300 persons")
    print(f"  {'items':>6}{'61 nodes':>11}{'default':>11}{'(nodes)':>8}{'61 Hermite':>12}")
    theta, weights = np.polynomial.hermite_e.hermegauss(61)
    hermite_rule = theta, np.log(weights / weights.sum())
    for n_items in (20, 50, 100, 200, 500):
        X = responses(300, n_items, spread=1.0).astype(np.float64)
        rng = np.random.default_rng(0)
        value = partial(integral, X, rng.lognormal(0.0, 0.3, n_items), rng.normal(size=n_items))
        n_default = default_nodes(1, n_items)
        exact = value(*spaced(801, 9.0))
        rules = (spaced(61), spaced(n_default), hermite_rule)
        first, default, hermite = (abs(value(*rule) - exact) for rule in rules)
        print(f"  {n_items:6}{first:11.1e}{default:11.1e}{n_default:8}{hermite:12.1e}")


def large():
    X = responses(100_000, 200).astype(np.float64)
    before = memory("VmRSS")
    fit = ItemResponseEM("2pl", random_state=0)
    taken = seconds(lambda: fit.fit(X))
    print(f"\n2pl, 100000 persons, 200 items: {taken:.1f} s, {fit.n_iter_} iterations,")
    print(f"  peak {memory('VmHWM') - before:.0f} MiB beyond the data")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=["2pl", "grm"])
    for what in parser.parse_args().what:
        if what == "large":
            large()
        elif what == "nodes":
            nodes()
        elif what == "2pl":
            compare("2pl", responses(5000, 50), "2pl")
        elif what == "grm":
            compare("grm", responses(2000, 20, 4), "grm")
        else:
            parser.error(f"unknown: {what}")


if __name__ == "__main__":
    main()
