"""What the tests of all folders share."""

import json
import os
from pathlib import Path

import hypothesis
import pytest

# Plots are drawn without a screen. This has to be said before matplotlib is imported.
os.environ.setdefault("MPLBACKEND", "Agg")

# No deadline: how long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("emlearn", deadline=None, max_examples=50)
hypothesis.settings.register_profile(
    "emlearn-ci",
    hypothesis.settings.get_profile("emlearn"),
    derandomize=True,
    database=None,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("emlearn-ci" if os.environ.get("CI") else "emlearn")

REFERENCE = Path(__file__).parent / "reference"


def pytest_report_header():
    import joblib
    import numpy
    import scipy
    import sklearn

    import emlearn
    from emlearn.kernels import compiled

    built = "no kernels" if compiled is None else f"kernels {compiled.__name__.rpartition('_')[2]}"
    versions = ", ".join(f"{m.__name__} {m.__version__}" for m in (numpy, scipy, sklearn, joblib))
    return (
        f"emlearn {emlearn.__version__} from {Path(emlearn.__file__).parent}, {built}, {versions}"
    )


@pytest.fixture(scope="session")
def reference():
    """Function that loads published values by name: `reference("galaxies")["data"]`.

    A missing value is None; `np.array(data, dtype=float)` makes it NaN.
    """

    def load(name):
        return json.loads((REFERENCE / f"{name}.json").read_text(encoding="utf-8"))

    return load
