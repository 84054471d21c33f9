"""The kernels under the address and the undefined-behavior sanitizer of GCC.

python tests/kernels/sanitize.py

Builds the checkout's kernels in a temporary directory with both sanitizers, and runs there the
tests of tests/kernels and fuzz.py. Both have to end without a report. Linux and GCC only.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
FLAGS = "-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -g1"
TREE = ["emlearn", "tests/kernels", "setup.py", "setup.cfg", "pyproject.toml", "README.md"]
TREE += ["LICENSE"]
# Python keeps memory to its end. A size that there is no memory for is no fault.
ASAN_OPTIONS = "detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=4096"


def copy_tree(to):
    for name in TREE:
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("*.so", "__pycache__")
            shutil.copytree(ROOT / name, to / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, to / name)


def library(name):
    """Path of a library of the compiler's."""
    command = ["gcc", f"-print-file-name={name}"]
    path = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    if not os.path.isabs(path):
        sys.exit(f"GCC has no {name}")
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=60000, help="hostile calls of fuzz.py")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name)
        copy_tree(tree)
        environment = {**os.environ, "PYTHONPATH": str(tree), "EMLEARN_REQUIRE_COMPILED": "1"}

        def run(*command, **more):
            print("$", *command, flush=True)
            subprocess.run(
                [sys.executable, *command], cwd=tree, env={**environment, **more}, check=True
            )

        flags = {"CC": "gcc", "CFLAGS": FLAGS, "LDFLAGS": FLAGS}
        run("setup.py", "-q", "build_ext", "--force", "--inplace", **flags)
        sanitizers = {
            "LD_PRELOAD": f"{library('libasan.so')} {library('libubsan.so')}",
            "ASAN_OPTIONS": ASAN_OPTIONS,
            "UBSAN_OPTIONS": "print_stacktrace=1",
            # Each array in memory of its own, with forbidden bytes around it.
            "PYTHONMALLOC": "malloc",
        }
        # Compilers and other processes are not run under the sanitizers.
        others = [f"--ignore=tests/kernels/test_{name}.py" for name in ("build", "loading")]
        run("-m", "pytest", "-q", "-p", "no:cacheprovider", *others, "tests/kernels", **sanitizers)
        fuzz = ["tests/kernels/fuzz.py", "--calls", options.calls, "--seed", options.seed]
        run(*map(str, fuzz), **sanitizers)
    print("no report of either sanitizer")


if __name__ == "__main__":
    main()
