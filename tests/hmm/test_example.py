"""The example in the documentation runs unchanged."""

import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "hmm.py"


def test_earthquakes(reference, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    names = runpy.run_path(str(EXAMPLE))
    assert names["X"].ravel().tolist() == reference("earthquakes")["counts"]
    printed = capsys.readouterr().out
    # Tables of Zucchini, MacDonald and Langrock: one state, and two.
    assert "-391.9189" in printed
    assert "-341.8787" in printed
    assert (tmp_path / names["PICTURE"]).stat().st_size > 10_000
