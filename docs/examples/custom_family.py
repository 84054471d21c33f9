"""Your own family: geometric waiting times, tested and used in a mixture.

The class is all that is needed: starts, missing entries, weights, known classes of some
rows, acceleration, and use in a list of families come with it.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from emlearn import FiniteMixtureEM
from emlearn.distributions import ExponentialFamily, require_counts


@dataclass(frozen=True)
class Geometric(ExponentialFamily):
    """Number of failures before a success: P(x) = p (1 - p)^x with mean m = 1/p - 1."""

    name: ClassVar[str] = "success"
    is_discrete: ClassVar[bool] = True

    def check(self, X):
        require_counts(X, "numbers of failures, which are integers >= 0")

    def natural(self, mean):
        # P(x) = exp(eta x - a) with eta = log(1 - p) and a = -log p.
        mean = np.maximum(mean, 1e-300)
        return np.log(mean) - np.log1p(mean), np.log1p(mean)

    def parameter(self, mean):
        return 1.0 / (1.0 + mean)

    def mean_of(self, parameter):
        return 1.0 / parameter - 1.0

    def draw(self, mean, rng):
        return rng.geometric(1.0 / (1.0 + mean)) - 1


if __name__ == "__main__":
    from emlearn.testing import check_family

    # Attempts until a task was solved, by three tasks and two kinds of people.
    rng = np.random.default_rng(0)
    skilled = rng.random(500) < 0.4
    chance = np.where(skilled[:, None], [0.8, 0.6, 0.5], [0.3, 0.2, 0.1])
    failures = (rng.geometric(chance) - 1).astype(float)
    failures[rng.random(failures.shape) < 0.1] = np.nan

    check_family(Geometric(), failures)
    print("Geometric fulfills the contract of a family.\n")

    mixture = FiniteMixtureEM(2, family=Geometric(), random_state=0).fit(failures)
    print(f"{'weight':>6}   chance of success in tasks 1, 2, 3")
    for weight, success in zip(mixture.weights_, mixture.component_params_["success"], strict=True):
        print(f"{weight:>6.2f}  ", *(f"{p:.2f}" for p in success))
    print(f"\nBIC {mixture.bic(failures):.1f}, of one kind of people: ", end="")
    print(f"{FiniteMixtureEM(1, family=Geometric()).fit(failures).bic(failures):.1f}")
