"""Fits of data frames of Spark: the bits of the same partitions in this process, whatever happens.

Skipped where there is no pyspark or no Java.
"""

import os
import shutil
import signal
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from emlearn import GaussianMixtureEM
from emlearn.engine import estimator
from emlearn.engine.blocks import TreeSum
from emlearn.engine.race import race
from emlearn.engine.spark import SparkMapper

pytest.importorskip("pyspark")
pa = pytest.importorskip("pyarrow")
pd = pytest.importorskip("pandas")
pq = pytest.importorskip("pyarrow.parquet")

if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
    pytest.skip("Spark needs Java", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("ignore")

LENGTHS = (500, 1500, 3, 1997)


@pytest.fixture(scope="module")
def spark():
    """A cluster of two executors, each a process of its own."""
    from pyspark.sql import SparkSession

    root = str(Path(__file__).parents[2])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        session = (
            SparkSession.builder.master("local-cluster[2,1,1024]")
            .config("spark.ui.enabled", "false")
            .config("spark.ui.showConsoleProgress", "false")
            .config("spark.executorEnv.PYTHONPATH", root)
            .config("spark.sql.files.openCostInBytes", str(1 << 30))
            .config("spark.sql.files.maxPartitionBytes", str(1 << 30))
            .getOrCreate()
        )
        session.sparkContext.setLogLevel("OFF")
        yield session
        session.stop()


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 3)) + 3.0 * rng.integers(0, 3, (4000, 1))
    # Entries are missing in the first partition only.
    X[:400][rng.random((400, 3)) < 0.2] = np.nan
    return X


@pytest.fixture(scope="module")
def frame(spark, rows, tmp_path_factory):
    """A partition for each file, in an order that is Spark's."""
    folder = tmp_path_factory.mktemp("rows")
    edges = np.cumsum((0, *LENGTHS))
    for i, (start, stop) in enumerate(pairwise(edges)):
        part = pd.DataFrame(rows[start:stop], columns=list("abc"))
        pq.write_table(pa.Table.from_pandas(part), folder / f"part-{i}.parquet")
    return spark.read.parquet(str(folder))


@pytest.fixture(scope="module")
def local(frame):
    """The same partitions in this process, as Spark's own rows tell them."""
    parts = frame.rdd.glom().collect()
    return Parts([pd.DataFrame(part, columns=list("abc"), dtype=float) for part in parts])


class Parts:
    """Tables as blocks."""

    def __init__(self, tables):
        self.tables, self.n_features = tables, 3
        self.n_rows = sum(map(len, tables))

    def __len__(self):
        return len(self.tables)

    def __getitem__(self, index):
        return self.tables[index]


def mixture(init_params="kmeans", **settings):
    return GaussianMixtureEM(3, init_params=init_params, random_state=0, **settings)


def same(one, other):
    np.testing.assert_array_equal(one.means_, other.means_)
    np.testing.assert_array_equal(one.covariances_, other.covariances_)
    np.testing.assert_array_equal(one.weights_, other.weights_)
    assert one.log_likelihood_ == other.log_likelihood_
    assert one.n_iter_ == other.n_iter_


def test_same_bits_as_in_this_process(frame, local):
    assert sorted(map(len, local.tables)) == sorted(LENGTHS)
    found = mixture().fit(frame)
    same(found, mixture().fit(local))
    assert found.feature_names_in_.tolist() == ["a", "b", "c"]


def test_weights(frame, local):
    weight = np.random.default_rng(1).integers(0, 3, local.n_rows).astype(float)
    found = mixture().fit(frame, sample_weight=weight)
    same(found, mixture().fit(local, sample_weight=weight))


def test_an_empty_partition(frame, local):
    left_out = min(local.tables, key=len)
    values = ", ".join(f"double('{value!r}')" for value in left_out["a"].tolist())
    found = mixture().fit(frame.where(f"a is null or a not in ({values})"))
    same(
        found,
        mixture().fit(Parts([own.iloc[:0] if own is left_out else own for own in local.tables])),
    )


def test_an_executor_that_dies(frame, local, monkeypatch):
    """Its partitions are read again by another one."""
    killed = []

    def executor(_):
        # A worker is forked by a daemon of Python, which belongs to an executor.
        status = Path(f"/proc/{os.getppid()}/status").read_text()
        yield int(status.split("PPid:")[1].split()[0])

    def killing(*args, **kwargs):
        def kill():
            time.sleep(0.5)
            pid = frame.sparkSession.sparkContext.parallelize([0], 1).mapPartitions(executor)
            killed.extend(pid.collect())
            os.kill(killed[0], signal.SIGKILL)

        thread = threading.Thread(target=kill)
        thread.start()
        try:
            return race(*args, **kwargs)
        finally:
            thread.join()

    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc")
    monkeypatch.setattr(estimator, "race", killing)
    found = mixture("auto").fit(frame)
    assert killed
    monkeypatch.undo()
    same(found, mixture("auto").fit(local))


def test_the_sum_is_the_tree_of_the_engine(spark):
    """Numbers that other orders round differently, more of them than are added at a time."""
    values = np.random.default_rng(0).normal(size=100)
    tree = TreeSum()
    for value in values:
        tree.add(value)
    mapper = SparkMapper(spark.sparkContext.parallelize([0], 1))
    with mapper.summing(lambda item, factor: item * factor, list(values)) as total:
        assert total(1.0) == tree.total()
        assert total(2.0) == 2.0 * tree.total()
    with mapper.over(lambda item, factor: item * factor, [1.0, 2.0]) as each:
        assert each(3.0) == [3.0, 6.0]
    with mapper.summing(lambda item, _: item, []) as total:
        assert total(None) is None


def test_invalid_rows(frame):
    wrong = frame.selectExpr("a", "b", "if(b > 5, double('infinity'), c) as c")
    with pytest.raises(ValueError, match=r"infinity.*column 'c', row \d+.*in block \d"):
        mixture().fit(wrong)
    with pytest.raises(TypeError, match="to_spark"):
        mixture().fit(frame.pandas_api())


def test_predictions(frame, local):
    """On the driver by the method, on the executors by mapInPandas."""
    fitted = mixture().fit(local)
    expected = np.concatenate([fitted.predict(part) for part in local.tables])
    np.testing.assert_array_equal(fitted.predict(frame), expected)

    def label(parts):
        for part in parts:
            yield part.assign(label=fitted.predict(part))

    labeled = frame.mapInPandas(label, "a double, b double, c double, label long")
    np.testing.assert_array_equal(labeled.toPandas()["label"], expected)
