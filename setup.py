"""How the inner loops in C are built; all else is in pyproject.toml.

Once for each instruction set; emlearn/kernels chooses when it is imported. They need GCC, Clang
or, on Windows, clang-cl. Without one the package is installed without them, unless
EMLEARN_REQUIRE_COMPILED=1 says that this is an error. EMLEARN_COMPILED=0 does not build them: the
wheel is then for all platforms, such as Python in a browser.

Build in place: python setup.py build_ext --inplace. It compiles again where a source, a header or
this file is newer than what was built; --force always does, as other compilers or CFLAGS need.
"""

import os
import shutil
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

HOME = "emlearn/kernels"
#: Python 3.11, the oldest version that the package supports.
LIMITED_API, ABI_TAG = "0x030B0000", "cp311"
# -Wno-psabi: vectors are passed between functions of one file only, so their ABI is no matter.
WARNINGS = ["-Wall", "-Wextra", "-Wvla", "-Wno-psabi"]
OPTIMIZE = ["-O3", "-fno-math-errno", "-fno-trapping-math"]
LEVELS = {
    "base": [],
    "v3": ["-march=x86-64-v3"],
    "v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
}


def has_limited_api() -> bool:
    """Whether one build serves all later versions: not where Python is free-threaded."""
    return not sysconfig.get_config_var("Py_GIL_DISABLED")


def levels() -> list[str]:
    """Instruction sets of the processors that are built for."""
    x86 = sysconfig.get_platform().endswith(("x86_64", "amd64"))
    return list(LEVELS) if x86 else ["base"]


def extensions() -> list[Extension]:
    """One extension module for each instruction set."""
    if os.environ.get("EMLEARN_COMPILED", "1") == "0":
        return []
    limited = has_limited_api()
    # Without them a changed header would not be noticed.
    headers = [path.as_posix() for path in sorted(Path(HOME).rglob("*.h"))]
    return [
        Extension(
            f"emlearn.kernels._{level}",
            [f"{HOME}/src/{level}.c"],
            depends=[*headers, "setup.py"],
            include_dirs=[f"{HOME}/include", f"{HOME}/bindings"],
            define_macros=[("Py_LIMITED_API", LIMITED_API)] if limited else [],
            extra_compile_args=WARNINGS + OPTIMIZE + LEVELS[level],
            py_limited_api=limited,
            optional=os.environ.get("EMLEARN_REQUIRE_COMPILED", "0") != "1",
        )
        for level in levels()
    ]


def options() -> dict[str, dict[str, str | bool]]:
    """Options of the commands."""
    # One compiler on each processor.
    together = {"build_ext": {"parallel": True}}
    limited = extensions() and has_limited_api()
    return together | ({"bdist_wheel": {"py_limited_api": ABI_TAG}} if limited else {})


def clang_cl_arguments(arguments: list[str]) -> list[str]:
    """The arguments of GCC and Clang as clang-cl takes them."""
    return [a if a.startswith("-W") and a != "-Wall" else f"/clang:{a}" for a in arguments]


class BuildKernels(build_ext):
    """Takes clang-cl in the place of Microsoft's compiler, which has no vectors."""

    def build_extensions(self) -> None:
        """Build with the compiler that can."""
        if self.compiler.compiler_type == "msvc":
            self.compiler.initialize()
            self.compiler.cc = shutil.which("clang-cl") or self.compiler.cc
            for extension in self.extensions:
                extension.extra_compile_args = clang_cl_arguments(extension.extra_compile_args)
        super().build_extensions()


if __name__ == "__main__":
    setup(ext_modules=extensions(), options=options(), cmdclass={"build_ext": BuildKernels})
