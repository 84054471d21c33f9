"""What `import emlearn` loads, and what it offers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import emlearn

FIRST_USE = """
import sys
import emlearn

assert not {"numpy", "sklearn", "emlearn.engine"} & set(sys.modules)
emlearn.GaussianMixtureEM
assert "emlearn.mixture" in sys.modules
assert not {"emlearn.hmm", "emlearn.impute", "sklearn.impute", "matplotlib"} & set(sys.modules)
assert emlearn.impute.MissingDataImputerEM is emlearn.MissingDataImputerEM
"""


def test_rooms_are_imported_when_first_used():
    env = {**os.environ, "PYTHONPATH": str(Path(emlearn.__file__).parents[1])}
    subprocess.run([sys.executable, "-P", "-W", "error", "-c", FIRST_USE], check=True, env=env)


def test_all_names_are_there():
    assert set(emlearn.__all__) <= set(dir(emlearn))
    assert all(getattr(emlearn, name) is not None for name in emlearn.__all__)


def test_other_names_are_not():
    with pytest.raises(AttributeError, match="module 'emlearn' has no attribute 'astrology'"):
        emlearn.astrology  # noqa: B018
