"""Check what is in packages: all modules, data and kernels in wheels, and no tests.

Usage: python .ci/contents.py FILE.whl|FILE.tar.gz ...

A wheel for all platforms ("none-any") has no kernels; every other has them.
"""

import re
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOT_IN_WHEELS = re.compile(r"(^|/)(tests|docs|benchmarks)/|\.(c|h)$|\.py[co]$|(^|/)\.")

# What `sphinx-build` leaves in docs is not a source.
MADE_BY_SPHINX = (
    *("docs/auto_gallery/", "docs/reference/generated/", "docs/reference/backreferences/"),
    "docs/sg_execution_times.rst",
)


def sources(*patterns: str) -> set[str]:
    """Files of the checkout, as packages name them."""
    paths = (path for pattern in patterns for path in ROOT.glob(pattern))
    return {path.relative_to(ROOT).as_posix() for path in paths if "__pycache__" not in path.parts}


def kernels(name: str) -> set[str]:
    """Compiled modules that a wheel of this name has to have."""
    if name.endswith("none-any.whl"):
        return set()
    x86 = name.endswith(("x86_64.whl", "amd64.whl"))
    return {"_base", "_v3", "_v4"} if x86 else {"_base"}


def faults_of_wheel(path: Path) -> list[str]:
    """What is wrong with a wheel."""
    names = set(zipfile.ZipFile(path).namelist())
    wanted = sources("emlearn/**/*.py", "emlearn/**/*.csv", "emlearn/py.typed")
    compiled = [re.fullmatch(r"emlearn/kernels/(\w+)\..*(so|pyd)", name) for name in names]
    found = {match[1] for match in compiled if match}
    faults = [f"lacks {name}" for name in sorted(wanted - names)]
    faults += [f"lacks the kernel {name}" for name in sorted(kernels(path.name) - found)]
    faults += [f"has the kernel {name}" for name in sorted(found - kernels(path.name))]
    faults += [f"has {name}" for name in sorted(names) if NOT_IN_WHEELS.search(name)]
    if not any(name.endswith("/licenses/LICENSE") for name in names):
        faults.append("lacks the license")
    return faults


def faults_of_sdist(path: Path) -> list[str]:
    """What is missing from a package of sources."""
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = sources(
        *("emlearn/**/*.py", "emlearn/**/*.csv", "emlearn/**/*.[ch]", "emlearn/py.typed"),
        *("tests/**/*.py", "tests/**/*.json", "docs/**/*.py", "docs/**/*.md", "docs/**/*.rst"),
        *("benchmarks/**/*.py", "*.md", "*.cff", "setup.*", "pyproject.toml", "LICENSE"),
    )
    wanted = {name for name in wanted if not name.startswith(MADE_BY_SPHINX)}
    return [f"lacks {name}" for name in sorted(wanted - names)]


def main() -> None:
    failed = False
    for path in map(Path, sys.argv[1:]):
        faults = faults_of_wheel(path) if path.suffix == ".whl" else faults_of_sdist(path)
        print(f"{path.name}: {'as it should be' if not faults else ''}")
        for fault in faults:
            print(f"  {fault}")
        failed |= bool(faults)
    sys.exit(failed)


if __name__ == "__main__":
    main()
