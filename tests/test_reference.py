"""Every public name is in the reference, with a docstring in the format of numpydoc."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import emlearn

PAGES = Path(__file__).parents[1] / "docs" / "reference"
# Names of modules whose functions and methods users call; each parameter is described there.
FOR_USERS = ("emlearn.impute", "emlearn.mixture", "emlearn.hmm", "emlearn.datasets")
FOR_USERS += ("emlearn.display", "emlearn.testing", "emlearn.factors", "emlearn.mixed")
FOR_USERS += ("emlearn.tomography", "emlearn.text", "emlearn.linkage")
# numpydoc.validate: sections that not every docstring needs (GL, PR and the rest all apply).
OPTIONAL = {
    "ES01",  # an extended summary
    "EX01",  # examples; tests/test_docstrings.py asks for them where they belong
    "SA01",  # see also
    "SS05",  # it takes every first word that ends in s for a verb in the third person
    "RT02",  # results have names, as in scikit-learn
}
# Elsewhere a sentence is enough, but a docstring with sections has to have all.
SECTIONS = {"PR01", "RT01", "YD01"}


def is_public(module):
    return not any(part.startswith("_") for part in module.split("."))


def public_names():
    """Full names of what is in `__all__` of the public modules, by identity of the object."""
    names = {}
    walked = (name for _, name, _ in pkgutil.walk_packages(emlearn.__path__, "emlearn."))
    for module in ["emlearn", *filter(is_public, walked)]:
        if module.startswith("emlearn.display"):
            pytest.importorskip("matplotlib")
        imported = importlib.import_module(module)
        for name in getattr(imported, "__all__", ()):
            names.setdefault(id(getattr(imported, name)), []).append(f"{module}.{name}")
    return list(names.values())


def names_in_the_reference():
    """Full names of the entries of the autosummaries, and of the data."""
    names = set()
    for page in PAGES.glob("*.md"):
        module = None
        for line in page.read_text().splitlines():
            if match := re.match(r"\.\. currentmodule:: (\S+)", line):
                module = match[1]
            elif match := re.match(r"(?:   |\.\. py:data:: )([\w.]+)$", line):
                name = match[1]
                names.add(name if name.startswith("emlearn.") else f"{module}.{name}")
    return names


def test_each_public_name_is_in_the_reference_once():
    listed = names_in_the_reference()
    for aliases in public_names():
        found = listed.intersection(aliases)
        assert len(found) == 1, f"{aliases}: a page of docs/reference has to list one of these"
        listed -= found
    assert not listed, f"not public: {sorted(listed)}"


def documented_objects():
    """Public names, and the methods and properties that their classes define."""
    for aliases in public_names():
        module, _, name = aliases[0].rpartition(".")
        found = getattr(importlib.import_module(module), name)
        if inspect.isroutine(found):
            yield aliases[0], found
        elif inspect.isclass(found):
            yield aliases[0], found
            for member, value in vars(found).items():
                is_ours = inspect.isroutine(value) or isinstance(value, property)
                if is_ours and not member.startswith("_") and not member.endswith("_request"):
                    yield f"{aliases[0]}.{member}", getattr(found, member)


def is_excused(code, found):
    doc = inspect.getdoc(found) or ""
    if code == "GL08":  # no docstring of its own, but that of the method that it overrides
        return bool(doc)
    if code in SECTIONS:
        # Results are described by their attributes.
        has_attributes = inspect.isclass(found) and "\nAttributes\n---" in doc
        has_sections = "\nParameters\n---" in doc or "\nReturns\n---" in doc
        module = getattr(found, "__module__", None) or found.fget.__module__
        return has_attributes or not (has_sections or module.startswith(FOR_USERS))
    return code in OPTIONAL


def test_docstrings_have_the_format_of_numpydoc():
    validate = pytest.importorskip("numpydoc.validate").validate
    problems = [
        f"{name}: {code} {message}"
        for name, found in documented_objects()
        for code, message in validate(name)["errors"]
        if not is_excused(code, found)
    ]
    assert not problems, "\n".join(problems)
