"""The kernels of every instruction set that this processor has."""

import runpy
from importlib import import_module
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def modules():
    """All of them."""
    base = pytest.importorskip("emlearn.kernels._base", reason="the kernels were not built")
    names = ["base", "v3", "v4"]
    within = names[: names.index(base.level()) + 1]
    return [import_module(f"emlearn.kernels._{name}") for name in within]


@pytest.fixture(params=["base", "v3", "v4"])
def kernels(request, modules):
    """One after another."""
    found = {module.__name__.rpartition("_")[2]: module for module in modules}
    if request.param not in found:
        pytest.skip("this processor has not the instructions")
    return found[request.param]


@pytest.fixture(scope="session")
def calls():
    """What calls.py defines."""
    return runpy.run_path(str(Path(__file__).with_name("calls.py")))
