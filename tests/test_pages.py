"""What the pages of the documentation say of files, sections and results is true."""

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def without_code(text):
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page):
    """Names by which links reach the sections of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", without_code(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text())):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        other = (page.parent / name).resolve() if name else page
        assert other.exists(), target
        if anchor:
            assert anchor in anchors(other), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_scripts_that_a_page_names_exist(page):
    for script in re.findall(r"python ((?:benchmarks|docs|tests)/\S+?\.py)", page.read_text()):
        assert (ROOT / script).exists(), script


@pytest.mark.parametrize("room", ["engine", "latent"])
def test_design_lists_the_modules(room):
    text = (ROOT / "docs" / "design.md").read_text()
    (listed,) = re.findall(rf"^emlearn/{room}/ .*\n((?:  .*\n)+)", text, re.MULTILINE)
    names = {line.split()[0] for line in listed.splitlines()}
    folder = ROOT / "emlearn" / room
    modules = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
    assert names == modules | {f"{path.parent.name}/" for path in folder.glob("*/__init__.py")}


def test_examples_of_the_readme():
    blocks = re.findall(r"```pycon\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    examples = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "README.md", None, 0)
    assert len(examples.examples) > 20
    assert doctest.DocTestRunner().run(examples).failed == 0
