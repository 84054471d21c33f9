"""Fit rows on a Spark cluster, also while an executor is killed, and compare with a local fit.

Needs Linux, Java, and ``pip install scikit-em pyspark pyarrow pandas``. The cluster is this
machine: two executors, each a process of its own.
"""

import os
import platform
import signal
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyspark
from pyspark.sql import SparkSession
from pyspark.sql import types as T

import emlearn
from emlearn import GaussianMixtureEM

os.environ["PYSPARK_PYTHON"] = sys.executable
NAMES = ["a", "b", "c"]


def write_rows(folder):
    """Four files of 50 000 rows."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200_000, 3)) + 3.0 * rng.integers(0, 3, (200_000, 1))
    X[rng.random(X.shape) < 0.01] = np.nan
    for i, part in enumerate(np.split(X, 4)):
        pd.DataFrame(part, columns=NAMES).to_parquet(f"{folder}/part-{i}.parquet", index=False)


class Tables:
    """Tables as blocks of rows of this process."""

    def __init__(self, files):
        self.tables = [pd.read_parquet(file) for file in files]
        self.n_rows, self.n_features = sum(map(len, self.tables)), len(NAMES)

    def __len__(self):
        return len(self.tables)

    def __getitem__(self, index):
        return self.tables[index]


def start_cluster():
    return (
        SparkSession.builder.master("local-cluster[2,1,1024]")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.executorEnv.PYTHONPATH", str(Path(emlearn.__file__).parents[1]))
        # One partition for each file, so that blocks in this process can be the same.
        .config("spark.sql.files.openCostInBytes", str(1 << 30))
        .getOrCreate()
    )


def pid_of_executor(_):
    """A Python worker is the child of a daemon, which is the child of an executor."""
    status = Path(f"/proc/{os.getppid()}/status").read_text()
    yield int(status.split("PPid:")[1].split()[0])


def kill_an_executor(spark, after):
    time.sleep(after)
    workers = spark.sparkContext.parallelize([0], 1).mapPartitions(pid_of_executor)
    os.kill(workers.collect()[0], signal.SIGKILL)


def mixture():
    return GaussianMixtureEM(
        3, init_params="random_from_data", max_iter=10, tol=1e-6, random_state=0
    )


def compare(title, found, local, seconds):
    names = ("weights_", "means_", "covariances_", "log_likelihood_", "n_iter_")
    equal = all(np.array_equal(getattr(found, name), getattr(local, name)) for name in names)
    print(f"{title}: {seconds:.0f} s, {found.n_iter_} iterations, same bits: {equal}")


def fit(X):
    start = time.perf_counter()
    return mixture().fit(X), time.perf_counter() - start


with TemporaryDirectory() as folder:
    write_rows(folder)
    spark = start_cluster()
    spark.sparkContext.setLogLevel("OFF")
    frame = spark.read.parquet(folder)
    print(
        f"PySpark {pyspark.__version__}, Python {platform.python_version()}, numpy "
        f"{np.__version__}, pandas {pd.__version__}; {frame.rdd.getNumPartitions()} partitions"
    )

    # Spark orders files in its own way, so ask it.
    files = [
        Path(row[0].removeprefix("file:"))
        for row in frame.selectExpr("input_file_name()")
        .rdd.mapPartitions(lambda rows: [next(rows)])
        .collect()
    ]
    local, seconds = fit(Tables(files))
    print(f"in this process: {seconds:.1f} s, {local.n_iter_} iterations")

    found, seconds = fit(frame)
    compare("on the cluster", found, local, seconds)

    killer = threading.Thread(target=kill_an_executor, args=(spark, seconds / 2))
    killer.start()
    found, seconds = fit(frame)
    killer.join()
    compare("one executor killed", found, local, seconds)

    def add_label(parts):
        for part in parts:
            yield part.assign(label=found.predict(part[NAMES]))

    schema = T.StructType([*frame.schema.fields, T.StructField("label", T.LongType())])
    labels = frame.mapInPandas(add_label, schema).toPandas()["label"]
    expected = local.predict(Tables(files))
    print("labels by mapInPandas, equal:", np.array_equal(labels, expected))
    spark.stop()
