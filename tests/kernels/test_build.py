"""How the kernels are built: settings by Python and by platform, and compilers without a word."""

import json
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KERNELS = ROOT / "emlearn" / "kernels"
if not (ROOT / "setup.py").exists():
    pytest.skip("not in a checkout", allow_module_level=True)
pytest.importorskip("setuptools")

# Calls functions of setup.py where sysconfig is another.
SETTINGS = """
import json, runpy, sysconfig
variable, platform = sysconfig.get_config_var, {platform!r}
sysconfig.get_config_var = lambda name: {disabled} if name == "Py_GIL_DISABLED" else variable(name)
if platform:
    sysconfig.get_platform = lambda: platform
setup = runpy.run_path("setup.py")
keys = ["name", "sources", "depends", "define_macros", "py_limited_api", "optional"]
keys += ["extra_compile_args"]
found = [{{key: getattr(e, key) for key in keys}} for e in setup["extensions"]()]
print(json.dumps([found, setup["options"]()]))
"""


def settings(disabled, platform=None, **environment):
    code = SETTINGS.format(disabled=disabled, platform=platform)
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize("disabled", [None, 0])
def test_one_wheel_for_all_versions_where_python_has_a_limited_api(disabled):
    found, options = settings(disabled)
    assert options["bdist_wheel"] == {"py_limited_api": "cp311"}
    for extension in found:
        assert extension["py_limited_api"] is True
        assert extension["define_macros"] == [["Py_LIMITED_API", "0x030B0000"]]


def test_a_wheel_for_each_version_where_python_is_free_threaded():
    found, options = settings(1)
    assert "bdist_wheel" not in options
    for extension in found:
        assert extension["py_limited_api"] is False
        assert extension["define_macros"] == []


@pytest.mark.parametrize(
    ("platform", "n_levels"),
    [
        ("linux-x86_64", 3), ("win-amd64", 3), ("macosx-11.0-x86_64", 3), ("linux-aarch64", 1),
        ("macosx-11.0-arm64", 1), ("macosx-11.0-universal2", 1), ("win-arm64", 1),
    ],
)  # fmt: skip
def test_instruction_sets_of_x86_are_built_for_x86_only(platform, n_levels):
    found, _ = settings(None, platform)
    names = [extension["name"].rpartition("_")[2] for extension in found]
    assert names == ["base", "v3", "v4"][:n_levels]
    assert not any("-march" in argument for argument in found[0]["extra_compile_args"])


@pytest.mark.parametrize("setting", ["0", "1"])
def test_a_kernel_that_is_required_has_to_be_built(setting):
    found, _ = settings(None, EMLEARN_REQUIRE_COMPILED=setting)
    assert all(extension["optional"] is (setting == "0") for extension in found)


def test_kernels_that_are_not_wanted_are_not_built():
    found, options = settings(None, EMLEARN_COMPILED="0")
    assert found == []
    assert "bdist_wheel" not in options


def test_sources_are_there_and_in_the_package_of_sources():
    found, _ = settings(None, "linux-x86_64")
    assert {ROOT / path for e in found for path in e["sources"]} == set(KERNELS.rglob("*.c"))
    # What is newer than a built kernel has it built again.
    for extension in found:
        needed = {ROOT / path for path in extension["depends"]}
        assert needed == {*KERNELS.rglob("*.h"), ROOT / "setup.py"}
    assert "recursive-include emlearn/kernels *.h\n" in (ROOT / "MANIFEST.in").read_text()


# Macros to compile with: free-threaded Python has no limited API.
API = [[]] if sysconfig.get_config_var("Py_GIL_DISABLED") else [["-DPy_LIMITED_API=0x030B0000"], []]


def compile_silently(compiler, level, *flags):
    """Compile without linking, where any warning is an error."""
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no {compiler}")
    found, _ = settings(None, "linux-x86_64")
    (extension,) = (e for e in found if e["name"].endswith(f"_{level}"))
    include = sysconfig.get_path("include")
    if not (Path(include) / "Python.h").exists():
        pytest.skip("there are no headers of Python")
    run = subprocess.run(
        [compiler, "-fsyntax-only", "-std=c11", "-Werror", *extension["extra_compile_args"],
         *flags, f"-I{KERNELS}/include", f"-I{KERNELS}/bindings", f"-isystem{include}",
         f"{KERNELS}/src/{level}.c"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""


@pytest.mark.parametrize("level", ["base", "v3", "v4"])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_compilers_of_x86_have_nothing_to_say(compiler, level):
    for macros in API:
        compile_silently(compiler, level, *macros)


def test_compilers_of_arm_have_nothing_to_say():
    for macros in API:
        compile_silently("aarch64-linux-gnu-gcc", "base", *macros)


def test_clang_on_windows_takes_the_arguments():
    """Its driver says which command it would run; there are no headers of Windows here."""
    if shutil.which("clang") is None:
        pytest.skip("there is no clang")
    code = "import runpy, sys; setup = runpy.run_path('setup.py'); "
    code += "print(*[' '.join(setup['clang_cl_arguments'](e.extra_compile_args))"
    code += " for e in setup['extensions']()], sep='\\n')"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    for arguments in run.stdout.splitlines():
        driver = subprocess.run(
            ["clang", "--driver-mode=cl", "--target=x86_64-pc-windows-msvc", "-Werror", "-###",
             "/nologo", "/O2", "/W3", "/MD", *arguments.split(), "/c",
             "emlearn/kernels/src/base.c"],
            # A path from the root would look like an option to this driver.
            cwd=ROOT, capture_output=True, text=True,
        )  # fmt: skip
        assert driver.returncode == 0, driver.stderr
        assert "-fno-math-errno" in arguments
        assert '"-O3"' in driver.stderr
