"""The examples in the docstrings of the package run and print what they say."""

import doctest
import importlib
import pkgutil

import pytest

import emlearn

# Compiled extension modules have no examples, and may not run on this processor.
MODULES = sorted(
    name
    for _, name, _ in pkgutil.walk_packages(emlearn.__path__, "emlearn.")
    if not name.startswith("emlearn.kernels._")
)
OPTIONAL = {"emlearn.display": "matplotlib", "emlearn.data.blocks.tabular": "pyarrow"}


def find_examples(name):
    """Examples of a module; skips the test if an optional dependency is not installed."""
    for package, dependency in OPTIONAL.items():
        if name.startswith(package):
            pytest.importorskip(dependency)
    module = importlib.import_module(name)
    return [test for test in doctest.DocTestFinder().find(module) if test.examples]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    runner = doctest.DocTestRunner()
    for example in find_examples(name):
        runner.run(example)
    assert runner.summarize(verbose=False).failed == 0


def test_public_classes_have_examples():
    documented = {test.name for name in MODULES for test in find_examples(name)}
    for name in emlearn.__all__:
        public = getattr(emlearn, name)
        if isinstance(public, type):
            assert f"{public.__module__}.{public.__qualname__}" in documented
