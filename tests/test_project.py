"""Files for outsiders agree with the package, and workflows call what there is."""

import re
import runpy
import tomllib
from pathlib import Path

import pytest

import emlearn

ROOT = Path(__file__).parents[1]
if not (ROOT / ".ci").exists():
    pytest.skip("not in a checkout", allow_module_level=True)
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_one_version_everywhere():
    versions = runpy.run_path(str(ROOT / ".ci" / "version.py"))["versions"]()
    assert set(versions.values()) == {emlearn.__version__}


def test_the_recipe_has_the_dependencies_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    recipe = (ROOT / "packaging" / "conda" / "recipe.yaml").read_text()
    run = re.search(r"^  run:\n((?:    - .*\n)+)", recipe, re.MULTILINE)[1]
    listed = {line.removeprefix("    - ").replace(" ", "") for line in run.splitlines()}
    assert listed == {*project["dependencies"], f"python{project['requires-python']}"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_call_stages(path):
    text = path.read_text()
    stages = set(re.findall(r"\.ci/([\w.-]+)", text))
    for listed in re.findall(r"stage: \[(.*)\]", text):
        stages |= set(listed.split(", "))
    assert stages
    for stage in stages:
        assert (ROOT / ".ci" / stage).is_file(), stage
