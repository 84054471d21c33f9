"""Fits of Dask collections: the bits of the same blocks in this process, whatever happens."""

import importlib
import os
import signal
import threading
import time
import warnings

import numpy as np
import pytest

from emlearn import FactorAnalysisEM, FiniteMixtureEM, GaussianMixtureEM, MissingDataImputerEM
from emlearn.data.blocks import ArrayBlocks
from emlearn.engine import estimator
from emlearn.engine.blocks import TreeSum
from emlearn.engine.dask import DaskMapper
from emlearn.engine.race import race

da = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed")

pytestmark = pytest.mark.filterwarnings("ignore")

LENGTHS = (500, 0, 1500, 3, 1997)


class Unequal:
    """The rows in blocks of unequal sizes, one of them empty."""

    def __init__(self, X):
        self.X, self.edges = X, np.cumsum((0, *LENGTHS))
        self.n_rows, self.n_features = X.shape

    def __len__(self):
        return len(LENGTHS)

    def __getitem__(self, index):
        return self.X[self.edges[index] : self.edges[index + 1]]


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 3)) + 3.0 * rng.integers(0, 3, (4000, 1))
    # Entries are missing in the first partition only.
    X[:400][rng.random((400, 3)) < 0.2] = np.nan
    return X


def collection(X):
    return da.from_array(X, chunks=(1000, 2)).rechunk((LENGTHS, 2))


def cluster_of(n_workers):
    return distributed.LocalCluster(
        n_workers=n_workers, threads_per_worker=1, dashboard_address=None, silence_logs=50
    )


@pytest.fixture(scope="module")
def client():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with cluster_of(2) as cluster, distributed.Client(cluster) as client:
            yield client


def mixture(init_params="kmeans", **settings):
    return GaussianMixtureEM(3, init_params=init_params, random_state=0, **settings)


def same(one, other):
    np.testing.assert_array_equal(one.means_, other.means_)
    np.testing.assert_array_equal(one.covariances_, other.covariances_)
    np.testing.assert_array_equal(one.weights_, other.weights_)
    assert one.log_likelihood_ == other.log_likelihood_
    assert one.n_iter_ == other.n_iter_


def test_same_bits_as_in_this_process(rows, client):
    race_of = {"init_params": "auto"}
    same(mixture(**race_of).fit(collection(rows)), mixture(**race_of).fit(Unequal(rows)))


def test_close_to_the_fit_of_the_array(rows, client):
    found, array = mixture().fit(collection(rows)), mixture().fit(rows)
    assert found.log_likelihood_ == pytest.approx(array.log_likelihood_, rel=1e-9)


@pytest.mark.parametrize("as_collection", [False, True])
def test_weights(rows, client, as_collection):
    weight = np.random.default_rng(1).integers(0, 3, len(rows)).astype(float)
    own = da.from_array(weight, chunks=700) if as_collection else weight
    found = mixture().fit(collection(rows), sample_weight=own)
    same(found, mixture().fit(Unequal(rows), sample_weight=weight))
    assert found.score(collection(rows), sample_weight=own) == pytest.approx(
        found.score(rows, sample_weight=weight)
    )


@pytest.mark.parametrize("n_workers", [1, 3])
def test_same_bits_for_any_number_of_workers(rows, n_workers):
    with cluster_of(n_workers) as cluster, distributed.Client(cluster):
        found = mixture().fit(collection(rows))
    same(found, mixture().fit(Unequal(rows)))


def test_a_worker_that_dies(rows, monkeypatch):
    """Its partitions are computed again by another one."""
    killed = []

    def killing(*args, **kwargs):
        def kill():
            time.sleep(0.05)
            pid = next(iter(client.run(os.getpid).values()))
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

        thread = threading.Thread(target=kill)
        thread.start()
        try:
            return race(*args, **kwargs)
        finally:
            thread.join()

    monkeypatch.setattr(estimator, "race", killing)
    with cluster_of(2) as cluster, distributed.Client(cluster) as client:
        found = mixture("auto").fit(collection(rows))
    assert killed
    monkeypatch.undo()
    same(found, mixture("auto").fit(Unequal(rows)))


def test_workers_that_die_again_and_again(rows):
    class DeadlyRows(GaussianMixtureEM):
        """Reading the block of three rows kills the process, as if the memory were full."""

        def _read_rows(self, X, *, reset=False):
            if not reset and len(X) == 3:
                os._exit(1)
            return super()._read_rows(X, reset=reset)

    with (
        cluster_of(2) as cluster,
        distributed.Client(cluster),
        pytest.raises(RuntimeError, match="Use smaller partitions"),
    ):
        DeadlyRows(2).fit(collection(rows))


def test_a_class_that_workers_cannot_import(rows, client, tmp_path, monkeypatch):
    code = "from emlearn import GaussianMixtureEM\nclass Own(GaussianMixtureEM):\n    pass\n"
    (tmp_path / "known_here_only.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    own = importlib.import_module("known_here_only").Own
    with pytest.raises(RuntimeError, match=r"cannot import.*upload_file.*known_here_only"):
        own(2).fit(collection(rows))


def test_a_scheduler_that_restarts(rows, monkeypatch):
    def restarting(*args, **kwargs):
        client.restart(wait_for_workers=False)
        return race(*args, **kwargs)

    monkeypatch.setattr(estimator, "race", restarting)
    with (
        cluster_of(1) as cluster,
        distributed.Client(cluster) as client,
        pytest.raises(RuntimeError, match="scheduler was closed or restarted"),
    ):
        mixture("auto").fit(collection(rows))


def test_a_slow_worker(rows, client):
    """Blocks that take long, at random, change nothing."""

    class Slow(GaussianMixtureEM):
        def _read_rows(self, X, *, reset=False):
            time.sleep(0.02 * np.random.default_rng().random())
            return super()._read_rows(X, reset=reset)

    slow = Slow(3, init_params="kmeans", random_state=0).fit(collection(rows))
    same(slow, mixture().fit(Unequal(rows)))


def test_without_a_client(rows):
    same(mixture().fit(collection(rows)), mixture().fit(Unequal(rows)))


def test_methods_are_lazy(rows, client):
    fitted = mixture().fit(rows)
    X = collection(rows)
    for name in ("predict", "predict_proba", "transform", "score_samples"):
        lazy, array = getattr(fitted, name)(X), getattr(fitted, name)(rows)
        assert isinstance(lazy, da.Array)
        assert lazy.shape == array.shape
        assert lazy.dtype == array.dtype
        np.testing.assert_allclose(lazy.compute(), array, rtol=1e-12, atol=1e-300)
    assert fitted.score(X) == pytest.approx(fitted.score(rows))
    assert fitted.bic(X) == pytest.approx(fitted.bic(rows))


def test_data_frames(rows, client):
    dd = pytest.importorskip("dask.dataframe")
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(rows, columns=["a", "b", "c"])
    X = dd.from_pandas(frame, npartitions=3)
    fitted = mixture().fit(X)
    assert fitted.feature_names_in_.tolist() == ["a", "b", "c"]
    assert fitted.log_likelihood_ == pytest.approx(mixture().fit(frame).log_likelihood_, rel=1e-9)
    np.testing.assert_array_equal(fitted.predict(X).compute(), fitted.predict(frame))
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(X.rename(columns={"a": "z"}))
    table = fitted.set_output(transform="pandas").transform(X)
    assert table.compute().shape == (4000, 3)


def test_a_category_in_one_partition_only(client):
    codes = np.random.default_rng(0).integers(0, 2, (900, 3))
    codes[850:] = 5
    X = da.from_array(codes, chunks=(100, 3))
    found = FiniteMixtureEM(2, family="categorical", init_params="rows", random_state=0).fit(X)
    assert [levels.tolist() for levels in found.levels_] == [[0, 1, 5]] * 3
    array = FiniteMixtureEM(2, family="categorical", init_params="rows", random_state=0).fit(codes)
    assert found.log_likelihood_ == pytest.approx(array.log_likelihood_, rel=1e-9)


def test_other_estimators(rows, client):
    X = collection(rows)
    imputer = MissingDataImputerEM().fit(X)
    np.testing.assert_allclose(imputer.mean_, MissingDataImputerEM().fit(rows).mean_, rtol=1e-9)
    np.testing.assert_allclose(imputer.transform(X).compute(), imputer.transform(rows))
    factors = FactorAnalysisEM(1).fit(X)
    np.testing.assert_allclose(
        factors.components_, FactorAnalysisEM(1).fit(rows).components_, rtol=1e-6
    )


def test_invalid_rows(rows, client):
    wrong = rows.copy()
    wrong[2500, 1] = np.inf
    with pytest.raises(ValueError, match=r"infinity.*column 1, row 497.*row 2003 of X"):
        mixture().fit(collection(wrong))
    negative = np.ones((900, 2))
    negative[700, 1] = -1
    with pytest.raises(ValueError, match="row 700, column 1"):
        FiniteMixtureEM(2, family="poisson").fit(da.from_array(negative, chunks=(100, 2)))
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        mixture().fit(collection(rows)[collection(rows)[:, 0] > 0])
    with pytest.raises(ValueError, match="Expected 2D array"):
        mixture().fit(da.zeros((10, 2, 2)))
    with pytest.raises(ValueError, match="X has 2 features"):
        mixture().fit(rows).predict(collection(rows)[:, :2])


def test_restarts_by_joblib(rows, client):
    joblib = pytest.importorskip("joblib")
    settings = {"init_params": "random_from_data", "n_init": 3}
    with joblib.parallel_config(backend="dask"):
        found = mixture(n_jobs=3, **settings).fit(rows)
    same(found, mixture(**settings).fit(rows))


def test_restarts_on_the_cluster(rows, client):
    settings = {"init_params": "random_from_data", "n_init": 2, "max_iter": 5}
    found = mixture(n_jobs=2, **settings).fit(collection(rows))
    same(found, mixture(**settings).fit(Unequal(rows)))


def test_the_sum_is_the_tree_of_the_engine(client):
    """Numbers that other orders round differently, more of them than are added at a time."""
    values = np.random.default_rng(0).normal(size=1100)
    tree = TreeSum()
    for value in values:
        tree.add(value)
    with DaskMapper(client).summing(lambda item, factor: item * factor, list(values)) as total:
        assert total(1.0) == tree.total()
        assert total(2.0) == 2.0 * tree.total()
    with DaskMapper(client).over(lambda item, factor: item * factor, [1.0, 2.0]) as each:
        assert each(3.0) == [3.0, 6.0]
    with DaskMapper(client).summing(lambda item, _: item, []) as total:
        assert total(None) is None


def test_blocks_beside_partitions(rows, client):
    """The blocks of an array are no business of the cluster."""
    same(mixture().fit(ArrayBlocks(rows)), mixture().fit(ArrayBlocks(rows)))
