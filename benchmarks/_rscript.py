"""R as a peer: which packages it has, and scripts that are run on tables in a directory."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from functools import cache
from pathlib import Path

import numpy as np

PACKAGES = ("Amelia", "lme4", "mclust", "mice", "missForest", "missRanger")


@cache
def versions() -> dict[str, str]:
    """Versions of R and of those packages that are installed; nothing without R."""
    if shutil.which("Rscript") is None:
        return {}
    code = (
        "cat('R', paste(R.version$major, R.version$minor, sep = '.'), '\\n');"
        f"for (p in c{PACKAGES}) if (nzchar(system.file(package = p)))"
        " cat(p, format(packageVersion(p)), '\\n')"
    )
    out = subprocess.run(["Rscript", "-e", code], capture_output=True, text=True, check=True).stdout
    return dict(line.split() for line in out.splitlines())


def write_table(path: Path, rows: np.ndarray) -> None:
    """Write rows as CSV without a header, with NA for NaN."""
    np.savetxt(path, rows, delimiter=",", fmt="%.17g")
    path.write_text(path.read_text().replace("nan", "NA"))


def spent_by(process: int) -> float:
    """Seconds of the processor of a process (Linux), or of the clock."""
    stat = Path(f"/proc/{process}/stat")
    if not stat.exists():
        return time.monotonic()
    # After the name, which may have spaces: user and system time are the 12th and 13th.
    user, system = stat.read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def run_each(script: Path, directory: Path, names: list[str], limit: float, *options: str) -> None:
    """Run a script on names, each of which it ends by writing NAME.done in the directory.

    If R crashes, or spends more than the limit of seconds on one name, that name is left without
    its file, and R starts again with the next.
    """
    waiting = list(names)
    while waiting:
        command = ["Rscript", str(script), str(directory), *options, "--names", *waiting]
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            begin, begun = spent_by(process.pid), waiting[0]
            while process.poll() is None:
                time.sleep(0.05)
                current = next((n for n in waiting if not (directory / f"{n}.done").exists()), None)
                if current != begun:
                    begin, begun = spent_by(process.pid), current
                elif spent_by(process.pid) - begin > limit:
                    process.kill()
        left = [name for name in waiting if not (directory / f"{name}.done").exists()]
        waiting = left[1:]


def read_values(directory: Path, name: str) -> np.ndarray:
    """Numbers that a script wrote of a name; ValueError says why there are none."""
    done, error = directory / f"{name}.done", directory / f"{name}.error"
    if not done.exists():
        raise ValueError("R was stopped at its limit of time, or crashed")
    values = np.array(done.read_text().split(), float)
    if values.size == 0:
        why = error.read_text() if error.exists() else "no complete result"
        raise ValueError(" ".join(why.split())[:120])
    return values
