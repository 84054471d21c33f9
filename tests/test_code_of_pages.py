"""The code on the pages that say so runs, and prints what they show.

All python blocks of a page run in one namespace, in their order. Blocks of a package that is not
installed are left out.
"""

import doctest
import os
import re
from pathlib import Path

import pytest

from emlearn.distributions.gaussian.structures import STRUCTURES

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [
    DOCS / "getting_started.md",
    DOCS / "animal_models.md",
    DOCS / "factors.md",
    DOCS / "gaussian_mixtures.md",
    DOCS / "imputing_categories.md",
    DOCS / "large_data.md",
    DOCS / "mixed_models.md",
    DOCS / "record_linkage.md",
    DOCS / "streams.md",
    *sorted((DOCS / "coming_from").glob("*.md")),
    *sorted((DOCS / "recipes").glob("*.md")),
]
PEERS = {"formulaic", "hmmlearn", "statsmodels", "stepmix"}
_FENCE = re.compile(
    r"^```(?:\{code-block\} )?(?P<kind>python|pycon)\n(?::\w+:[^\n]*\n)*\n?(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def blocks(page):
    """Kind, number of the first line, and code of each block."""
    text = page.read_text()
    for fence in _FENCE.finditer(text):
        yield fence["kind"], text.count("\n", 0, fence.start("code")), fence["code"]


def run(code, line, page, names):
    try:
        # Empty lines before it, so that a traceback has the line of the page.
        exec(compile("\n" * line + code, str(page), "exec"), names)
    except ImportError as error:
        if not any(peer in str(error) for peer in PEERS):
            raise


def run_examples(code, line, page, names):
    examples = doctest.DocTestParser().get_doctest(code, {}, page.name, str(page), line)
    examples.globs = names
    runner = doctest.DocTestRunner()
    runner.run(examples, clear_globs=False)
    assert runner.summarize(verbose=False).failed == 0


RUN = {"python": run, "pycon": run_examples}


@pytest.fixture
def own_structures_are_forgotten():
    before = dict(STRUCTURES)
    yield
    for name in set(STRUCTURES) - set(before):
        del STRUCTURES[name]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_code_runs(page, tmp_path, monkeypatch, own_structures_are_forgotten):
    monkeypatch.chdir(tmp_path)
    names = {}
    for kind, line, code in blocks(page):
        RUN[kind](code, line, page, names)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_no_block_is_overlooked(page):
    opened = re.findall(r"^```\{?(?:code-block\} )?(?:python|pycon)\b", page.read_text(), re.M)
    assert len(opened) == len(list(blocks(page)))
