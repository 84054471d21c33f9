"""Which kernels are taken, by the environment and by the processor."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import emlearn.kernels
from emlearn.kernels import _load


def import_kernels(**environment):
    code = "from emlearn.kernels import compiled; print(compiled is None)"
    return subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True,
        env={**environment, "PYTHONPATH": ":".join(filter(None, sys.path))},
    )  # fmt: skip


@pytest.fixture
def missing(monkeypatch):
    """Make kernels of some names missing."""

    def hide(*names):
        real = emlearn.kernels.import_module

        def find(name):
            if name.rpartition("_")[2] in names:
                raise ImportError(f"no module {name}")
            return real(name)

        monkeypatch.setattr(emlearn.kernels, "import_module", find)

    return hide


@pytest.mark.parametrize("setting", ["0", "1"])
def test_the_environment_switches_them_off(setting):
    pytest.importorskip("emlearn.kernels._base", reason="the kernels were not built")
    run = import_kernels(EMLEARN_COMPILED=setting)
    assert run.stdout.strip() == str(setting == "0"), run.stderr


def test_both_settings_exclude_each_other():
    run = import_kernels(EMLEARN_COMPILED="0", EMLEARN_REQUIRE_COMPILED="1")
    assert run.returncode == 1
    assert "ImportError: EMLEARN_COMPILED=0 and EMLEARN_REQUIRE_COMPILED=1" in run.stderr


def test_a_missing_kernel_is_an_error_where_kernels_are_required(missing):
    missing("base")
    assert _load({}) is None
    assert _load({"EMLEARN_REQUIRE_COMPILED": "0"}) is None
    with pytest.raises(ImportError, match="a compiled kernel is missing"):
        _load({"EMLEARN_REQUIRE_COMPILED": "1"})


def test_the_next_best_is_taken_where_kernels_are_not_required(missing):
    base = pytest.importorskip("emlearn.kernels._base", reason="the kernels were not built")
    if base.level() == "base":
        pytest.skip("this processor has only the kernels for any")
    missing("v3", "v4")
    assert _load({}) is base
    with pytest.raises(ImportError, match=f"missing.*_{base.level()}"):
        _load({"EMLEARN_REQUIRE_COMPILED": "1"})


def test_the_level_is_what_linux_says_of_the_processor():
    base = pytest.importorskip("emlearn.kernels._base", reason="the kernels were not built")
    file = Path("/proc/cpuinfo")
    flags = re.search(r"^flags\s*:(.*)$", file.read_text(), re.M) if file.exists() else None
    if flags is None:
        pytest.skip("Linux does not say the flags of an x86 processor here")
    there = set(flags[1].split())
    v3 = {"avx2", "fma", "bmi1", "bmi2", "movbe", "f16c", "abm"} <= there
    v4 = {"avx512f", "avx512dq", "avx512cd", "avx512bw", "avx512vl"} <= there
    assert base.level() == ("v4" if v3 and v4 else "v3" if v3 else "base")
