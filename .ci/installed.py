"""Check an installed package: its kernels load, it fits, and its import is cheap.

Usage, outside of the checkout: python installed.py

The import may take 50 ms of processor time more than that of sklearn.mixture, in the median of
pairs that are measured after each other.
"""

import os
import statistics
import subprocess
import sys

os.environ["EMLEARN_REQUIRE_COMPILED"] = "1"

ALLOWED = 0.05
N_PAIRS = 9
CLOCK = "import time; start = time.process_time(); {}; print(time.process_time() - start)"


def seconds(statement: str) -> float:
    """Processor time of a statement in an interpreter of its own."""
    command = [sys.executable, "-c", CLOCK.format(statement)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    import emlearn.kernels
    from emlearn import GaussianMixtureEM
    from emlearn.datasets import load_old_faithful

    mixture = GaussianMixtureEM(2, random_state=0).fit(load_old_faithful().data)
    print(f"{emlearn.__file__}: {emlearn.kernels.compiled.__name__}")
    assert abs(mixture.log_likelihood_ + 1130.26) < 0.01, mixture.log_likelihood_

    peer = "import sklearn.mixture"
    for statement in ("import emlearn", f"{peer}; from emlearn import GaussianMixtureEM"):
        more = statistics.median(seconds(statement) - seconds(peer) for _ in range(N_PAIRS))
        print(f"{statement}: {1000 * more:+.0f} ms beside {peer}")
        if statement == "import emlearn" and more > ALLOWED:
            sys.exit(f"that is more than {1000 * ALLOWED:.0f} ms")


if __name__ == "__main__":
    main()
