"""Check that a tag is the version of the package, and that the version has no other name elsewhere.

Usage: python .ci/version.py v0.1.0
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACES = {
    "emlearn/_version.py": r'^__version__ = "(.+)"$',
    "CITATION.cff": r"^version: (.+)$",
    "packaging/conda/recipe.yaml": r'^  version: "(.+)"$',
}


def versions() -> dict[str, str]:
    """The version that each place names."""
    found = {}
    for place, pattern in PLACES.items():
        match = re.search(pattern, (ROOT / place).read_text(encoding="utf-8"), re.MULTILINE)
        found[place] = match[1] if match else "none"
    return found


def main() -> None:
    wanted = sys.argv[1].removeprefix("v")
    wrong = {place: version for place, version in versions().items() if version != wanted}
    if f"## [{wanted}]" not in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"):
        wrong["CHANGELOG.md"] = "no section"
    for place, version in wrong.items():
        print(f"{place}: {version}, where the tag is {wanted}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
