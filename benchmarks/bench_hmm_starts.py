"""Where hidden Markov models start: the race of the default beside the search from short runs.

    python benchmarks/bench_hmm_starts.py [--text TEXT]

How far log-likelihoods of some seeds are below the best that either found, and processor time of
a fit, the same seeds for both. Data: counts of earthquakes (Zucchini and MacDonald), letters of the
text that a path names (any English text of some thousand letters), and simulated chains whose
states last, alternate, or lie far apart in many dimensions.
"""

import argparse
import json
import re
import time
import warnings
from pathlib import Path

import numpy as np

from emlearn import HiddenMarkovEM

REFERENCE = Path(__file__).parents[1] / "tests" / "reference" / "earthquakes.json"


def compare(name, X, n_states, seeds=8, **settings):
    found, took = {}, {}
    for init_params in ("auto", "search"):
        begin = time.process_time()
        models = [
            HiddenMarkovEM(n_states, random_state=seed, init_params=init_params, **settings).fit(X)
            for seed in range(seeds)
        ]
        took[init_params] = 1e3 * (time.process_time() - begin) / seeds
        found[init_params] = np.array([model.log_likelihood_ for model in models])
    best = max(values.max() for values in found.values())
    for init_params, values in found.items():
        gaps = best - values
        print(
            f"{name:16} {init_params:7} gap: mean {gaps.mean():7.2f}, worst {gaps.max():7.2f}; "
            f"within 0.5: {np.sum(gaps < 0.5)} of {seeds}; {took[init_params]:4.0f} ms "
            f"(best of both {best:.2f})",
            flush=True,
        )


def simulate(transmat, n, d, distance, rng):
    states = [0]
    for _ in range(n - 1):
        states.append(rng.choice(len(transmat), p=transmat[states[-1]]))
    means = rng.normal(size=(len(transmat), d))
    means *= distance / np.linalg.norm(means, axis=1)[:, None]
    return rng.normal(size=(n, d)) + means[states]


def main():
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", type=Path, help="an English text")
    text = parser.parse_args().text
    table = json.loads(REFERENCE.read_text())
    counts = np.array(next(v for v in table.values() if isinstance(v, list)), float)[:, None]
    for n_states in (3, 4):
        compare(f"earthquakes {n_states}", counts, n_states, family="poisson")
    if text is not None:
        letters = re.sub("[^a-z]+", " ", text.read_text().lower())[:6000]
        codes = [0.0 if c == " " else ord(c) - 96.0 for c in letters]
        compare("letters 2", np.array(codes)[:, None], 2, seeds=5, family="categorical")
    rng = np.random.default_rng(0)
    compare("lasting", simulate(np.full((3, 3), 0.02) + 0.94 * np.eye(3), 1000, 1, 2.0, rng), 3)
    compare("alternating", simulate(np.array([[0.1, 0.9], [0.85, 0.15]]), 800, 1, 1.0, rng), 2)
    for d in (8, 20, 40):
        X = simulate(np.full((4, 4), 0.1) + 0.6 * np.eye(4), 600, d, 10.0, rng)
        compare(f"{d} columns", X, 4, seeds=3)


if __name__ == "__main__":
    main()
