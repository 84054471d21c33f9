"""What the benchmarks share: clocks, time of a step, peak memory, processes of their own."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty
from typing import Any

import numpy as np

STATUS = Path("/proc/self/status")


def seconds(function: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    begin = clock()
    function()
    return clock() - begin


def steps(
    rivals: dict[str, tuple[Callable[[int], int], int, int]],
    turns: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Seconds of an EM step of each rival, the median of turns.

    A rival is a function that fits a given number of iterations and returns how many it made, and
    a small and a large number. A step is the difference of both fits divided by that of the
    iterations: what fits cost besides steps cancels. Rivals take turns.
    """
    found: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(turns):
        for name, (fit, few, many) in rivals.items():
            begin = clock()
            made = fit(few)
            middle = clock()
            more = fit(many) - made
            found[name].append((clock() - middle - (middle - begin)) / more)
    return {name: statistics.median(values) for name, values in found.items()}


def geometric_mean(values: Any) -> float:
    return float(np.exp(np.mean(np.log(values))))


def memory(field: str) -> float:
    """A field of the kernel's record of this process, in MiB (Linux): VmRSS, or VmHWM, its peak."""
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(field + ":"))
    return int(line.split()[1]) / 1024


def peak_beyond(make: Callable[[], Any], fit: Callable[[Any], Any]) -> tuple[float, Any]:
    """MiB that a fit needs at its peak beyond what the process holds before, and its result."""
    data = make()
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    result = fit(data)
    return memory("VmHWM") - before, result


def _answer(queue: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    queue.put(function(*arguments))


class Stopped(Exception):
    """A process was stopped at the limit of its time."""


def in_child(function: Callable[..., Any], *arguments: Any, limit: float | None = None) -> Any:
    """Call a function in a process of its own, which is ended at the limit of seconds."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_answer, args=(queue, function, arguments))
    process.start()
    begin = time.perf_counter()
    try:
        while True:
            try:
                return queue.get(timeout=0.02)
            except Empty:
                if not process.is_alive() and queue.empty():
                    raise RuntimeError(f"the process ended with {process.exitcode}") from None
                if limit is not None and time.perf_counter() - begin > limit:
                    raise Stopped from None
    finally:
        if process.is_alive():
            process.join(1.0)
        process.kill()
        process.join()
