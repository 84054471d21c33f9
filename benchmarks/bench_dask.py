"""Time of an E-step on a Dask cluster of processes on this machine, and a model of its cost.

Measured are E-steps of a Gaussian mixture (full covariances, 5 components, 10 columns) for 1, 2 and
4 workers of one thread and for several numbers of partitions, against the same blocks in threads of
one process. A model with three numbers is fitted to them by least squares:

    seconds = c * rows / min(workers, cores) + s * tasks + l * depth

c: seconds for a row on one core; s: seconds of the scheduler for a task; l: seconds for each level
of the sum. Then it says what the model gives for 1000 workers and 1e11 rows. That is an
extrapolation: no such cluster was there. Run with::

    python benchmarks/bench_dask.py
"""

from __future__ import annotations

import logging
import os
import time
import warnings
from math import ceil, log

import numpy as np

from emlearn import GaussianMixtureEM
from emlearn.data.blocks import ArrayBlocks
from emlearn.engine.block_survey import read_block_table
from emlearn.engine.block_table import TableReader
from emlearn.engine.blocks import FAN_IN, BlockMapper, Threads
from emlearn.engine.blockwise import BlockwiseData, read_blockwise
from emlearn.engine.placement import placement_of
from emlearn.latent import LabelModel, LabelParams, MixtureLaw
from emlearn.latent.starts import STARTS

K, D = 5, 10
REPEATS = 5


def tasks_of(n_partitions: int) -> int:
    """Number of tasks of an E-step."""
    total = n_partitions
    while n_partitions > 1:
        n_partitions = ceil(n_partitions / FAN_IN)
        total += n_partitions
    return total


def depth_of(n_partitions: int) -> int:
    """Number of levels of the sum."""
    return max(1, ceil(log(max(n_partitions, 2), FAN_IN)))


def prepared(blocks: object, estimator: GaussianMixtureEM) -> tuple[object, object, object]:
    """Model, data and parameters at which to take E-steps."""
    reader = TableReader.of(estimator)
    table = read_block_table(blocks, reader, placement=placement_of(blocks))
    model = LabelModel(MixtureLaw(K), estimator._family("auto"), STARTS["rows"])
    whole, data = read_blockwise(model, table)
    data = BlockwiseData(table, table.refs, data.sample, data.total_weight)
    components = model.family.from_public(estimator._public(), whole.learned)
    start = model.law.start(None, data.sample)
    return whole, data, LabelParams(start, components, whole.learned)


def seconds_of_step(blocks: object, estimator: GaussianMixtureEM, threads: int = 1) -> float:
    """The least of several measurements."""
    model, data, params = prepared(blocks, estimator)
    times = []
    with BlockMapper(model, data, Threads(threads)) as e_step:
        for _ in range(REPEATS + 1):
            start = time.perf_counter()
            e_step(params)
            times.append(time.perf_counter() - start)
    return min(times[1:])


def main() -> None:
    """Measure, fit the model, extrapolate."""
    import dask.array as da
    from dask.distributed import Client, LocalCluster

    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2_000_000, D)) + 3.0 * rng.integers(0, K, (2_000_000, 1))
    estimator = GaussianMixtureEM(K, random_state=0).fit(X[:20_000])
    cores = os.cpu_count() or 1
    print(f"{cores} cores; full covariances, K = {K}, d = {D}")
    print("workers  partitions     rows  seconds of an E-step")
    lines, seconds = [], []
    for threads in (1, 2):
        local = seconds_of_step(ArrayBlocks(X, block_rows=62_500), estimator, threads)
        print(f"{threads} threads         32  2000000  {local:8.3f}   (one process)")
    for workers in (1, 2, 4):
        with (
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                dashboard_address=None,
                silence_logs=50,
            ) as cluster,
            Client(cluster),
        ):
            for rows, partitions in (
                (2_000_000, 8),
                (2_000_000, 32),
                (2_000_000, 256),
                (500_000, 32),
                (100_000, 256),
                (100_000, 1024),
            ):
                blocks = da.from_array(X[:rows], chunks=(ceil(rows / partitions), D))
                from emlearn.data.blocks.dask import DaskBlocks

                found = seconds_of_step(DaskBlocks(blocks), estimator)
                active = min(workers, cores)
                lines.append((rows / active, tasks_of(partitions), depth_of(partitions)))
                seconds.append(found)
                print(f"{workers:7}  {partitions:10}  {rows:7}  {found:8.3f}", flush=True)
    design, target = np.array(lines), np.array(seconds)
    # Relative errors count.
    weights = 1.0 / target
    found, *_ = np.linalg.lstsq(design * weights[:, None], target * weights, rcond=None)
    row, task, level = np.maximum(found, 0.0)
    error = design @ np.array([row, task, level]) / target - 1.0
    print(
        f"c = {row * 1e9:.0f} ns a row, s = {task * 1e3:.2f} ms a task, l = {level * 1e3:.0f} ms a "
        f"level; relative errors up to {np.abs(error).max():.0%}"
    )
    statistics = 8 * K * (1 + D + D * D)
    print(f"statistics of a partition: {statistics / 1024:.1f} KB")
    print("Extrapolation to 1e11 rows and 1000 workers of one core (8 GB of rows each):")
    for partitions in (1_000, 10_000, 100_000):
        compute, scheduler = row * 1e11 / 1000, task * tasks_of(partitions)
        rest = level * depth_of(partitions)
        traffic = statistics * tasks_of(partitions) / 2**20
        print(
            f"{partitions:7} partitions: {compute:.1f} s of arithmetic, {scheduler:.1f} s of the "
            f"scheduler, {rest:.2f} s of the sum; {traffic:.0f} MB of statistics in all"
        )


if __name__ == "__main__":
    main()
