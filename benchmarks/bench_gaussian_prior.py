"""Priors of Gaussian components: likelihood of the fit, and of rows that were held out.

Each data set is divided at random into halves. A mixture (`FiniteMixtureEM`) or a chain
(`HiddenMarkovEM`) is fitted to one with each prior, and judged by the mean log-density of the
other. "far" means that the means lie 1000 times farther apart (held-out rows of a state that the
fit has not seen then decide everything, so only the likelihood of the fit is shown). Numbers are
nats, relative to maximum likelihood with the same starts:

    python benchmarks/bench_gaussian_prior.py [--seeds 2]
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from _default_sets import problems

from emlearn import FiniteMixtureEM, HiddenMarkovEM
from emlearn.distributions import Gaussian

PRIORS = {
    "maximum likelihood": {"reg_covar": 0.0},
    'reg_covar="auto"': {},
    "alpha=0.01": {"alpha": 0.01, "reg_covar": 0.0},
    'alpha=0.01, "auto"': {"alpha": 0.01},
}
#: Rows, columns, states, distance of the means in standard deviations, covariance type.
CHAINS = [
    (30, 1, 2, 3, "full"),
    (60, 1, 3, 3, "full"),
    (60, 2, 2, 3, "full"),
    (60, 2, 2, 3, "diag"),
    (100, 3, 3, 3, "full"),
    (100, 5, 3, 4, "full"),
    (200, 2, 4, 3, "full"),
    (200, 10, 3, 3, "full"),
    (500, 10, 4, 3, "full"),
    (500, 20, 3, 3, "full"),
    (1000, 40, 3, 4, "full"),
    (1000, 2, 5, 3, "spherical"),
    (3000, 5, 3, 2, "tied"),
]


def mixtures(seed):
    """Names, data to fit, data held out, components and covariance type."""
    rng = np.random.default_rng(seed)
    for problem in problems():
        X = rng.permutation(problem.rows())
        half = len(X) // 2
        yield problem.name, X[:half], X[half:], problem.n_components, problem.covariance_type


def chains(seed, far=1.0):
    for n, d, K, distance, covariance_type in CHAINS:
        rng = np.random.default_rng([seed, n, d])
        means = far * distance * min(1.0, np.sqrt(2.0 / d)) * rng.standard_normal((K, d))
        deviation = rng.uniform(0.5, 1.5, K)
        states = rng.integers(K, size=n + 2000)
        for t in range(1, len(states)):
            if rng.random() < 0.9:
                states[t] = states[t - 1]
        rows = means[states] + deviation[states, None] * rng.standard_normal((len(states), d))
        yield f"{n} x {d}, K = {K}", rows[:n], rows[n:], K, covariance_type


def compare(cls, cases, seed):
    """Likelihood of the fit, and mean of the rows held out, for each case and prior."""
    for _, train, test, K, covariance_type in cases:
        found = []
        for options in PRIORS.values():
            family = Gaussian(covariance_type, **options)
            try:
                model = cls(K, family=family, random_state=seed).fit(train)
            except ValueError:
                found.append((np.nan, np.nan, np.nan))
                continue
            fractions = model.predict_proba(train).mean(axis=0)
            smallest = fractions.min() * len(train) / (train.shape[1] + 2)
            found.append((model.log_likelihood_, model.score(test), smallest))
        yield found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2)
    n_seeds = parser.parse_args().seeds
    kinds = {
        "mixtures": (FiniteMixtureEM, mixtures),
        "chains": (HiddenMarkovEM, chains),
        "chains, far": (HiddenMarkovEM, lambda seed: chains(seed, 1000.0)),
    }
    warnings.simplefilter("ignore")
    for kind, (cls, cases) in kinds.items():
        every = np.array([fit for s in range(n_seeds) for fit in compare(cls, cases(s), s)])
        sound = (every[:, :, 2] >= 1.0).all(axis=1)  # nan: a fit that failed
        print(f"{kind}: {sound.sum()} of {len(every)} fits have components of d + 2 rows")
        for k, name in enumerate(PRIORS):
            fit = every[sound, k] - every[sound, 0]
            failed = int(np.isnan(every[:, k, 0]).sum())
            held_out = (
                f"   held out, a row {fit[:, 1].mean():7.4f}"
                f" (worst {fit[:, 1].min():8.4f}, best {fit[:, 1].max():7.4f})"
            )
            print(
                f"  {name:20s} failed {failed:2d}   likelihood {fit[:, 0].mean():9.3f}"
                f" (worst {fit[:, 0].min():10.3f})" + held_out * (kind != "chains, far")
            )


if __name__ == "__main__":
    main()
