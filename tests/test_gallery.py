"""Every example of the gallery runs without a warning and draws; published values are found."""

import runpy
from pathlib import Path

import pytest

plt = pytest.importorskip("matplotlib.pyplot")

GALLERY = Path(__file__).parents[1] / "docs" / "gallery"
EXAMPLES = sorted(GALLERY.glob("plot_*.py"))

# One to three states in the tables of Zucchini, MacDonald and Langrock; graded responses in the R
# package ltm; one, two and three classes in the R package poLCA; REML in the R package lme4.
PUBLISHED = {
    "plot_crossed_factors": ["330.86059"],
    "plot_earthquakes": ["-391.9189", "-341.8787"],
    "plot_hmm_forecast": ["329.4603", "676.9206"],
    "plot_item_response": ["-1608.8694", "2.30", "-2.28 -0.96  0.86"],
    "plot_latent_classes": ["-543.6498", "-504.4677", "-503.3011"],
    "plot_sleep_study": ["1743.6283", "251.4", "10.47", "612.1", "35.07", "654.9"],
}


@pytest.fixture
def run(monkeypatch, capsys):
    """Run an example; returns its names and what it printed."""
    pytest.importorskip("pandas")
    plt.close("all")
    plt.switch_backend("Agg")
    monkeypatch.setattr(plt, "show", lambda: None)

    def run(path):
        return runpy.run_path(str(path), run_name="__main__"), capsys.readouterr().out

    yield run
    plt.close("all")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_runs_and_draws(run, path):
    _, printed = run(path)
    for value in PUBLISHED.get(path.stem, []):
        assert value in printed
    assert "nan" not in printed
    assert plt.get_fignums()
    for number in plt.get_fignums():
        for ax in plt.figure(number).axes:
            assert ax.get_title() or ax.get_xlabel() or ax.get_ylabel()


def test_earthquakes_are_those_of_the_book(run, reference):
    names, _ = run(GALLERY / "plot_earthquakes.py")
    assert names["X"].ravel().tolist() == reference("earthquakes")["counts"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_has_a_title_and_cells(path):
    text = path.read_text()
    title, underline = text.splitlines()[1:3]
    assert len(underline) == len(title)
    assert set(underline) == {"="}
    assert "\n# %%\n" in text
