"""Print the oldest supported version of each dependency, as pip constraints (`numpy==1.26.*`).

Usage: python .ci/oldest.py [EXTRA ...]

They are the lower bounds in pyproject.toml: of the runtime dependencies and of the extras named.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def constraint(requirement: str) -> str:
    """`numpy>=1.26` as `numpy==1.26.*`."""
    bound = re.fullmatch(r"([\w.-]+)\s*>=\s*(\d+(?:\.\d+)*)(?:\s*,.*)?", requirement)
    if bound is None:
        sys.exit(f"{requirement!r} in pyproject.toml states no lower bound of the form name>=1.2")
    return "{}=={}.*".format(*bound.groups())


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = list(project["dependencies"])
    for extra in sys.argv[1:]:
        requirements += project["optional-dependencies"][extra]
    print(*map(constraint, requirements), sep="\n")


if __name__ == "__main__":
    main()
