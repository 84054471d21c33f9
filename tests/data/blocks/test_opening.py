"""Files that are opened by how their names end."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from emlearn.data.blocks import ArrayBlocks, ArrowBlocks, ParquetBlocks, open_rows


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [float, ">f8", np.float32, np.int32])
def test_npy(rows, tmp_path, order, dtype):
    X = np.asarray(100.0 * rows, dtype, order)
    np.save(tmp_path / "rows.npy", X)
    blocks = open_rows(tmp_path / "rows.npy", block_rows=300, columns=[4, 2])
    assert type(blocks) is ArrayBlocks
    assert isinstance(blocks.array, np.memmap)
    assert_array_equal(np.concatenate([blocks[i] for i in range(4)]), X[:, [4, 2]])
    with pytest.raises(ValueError, match="one array, so there is no dataset 'x' in it"):
        open_rows(tmp_path / "rows.npy", dataset="x")


def test_npy_that_cannot_be_mapped(tmp_path):
    np.save(tmp_path / "rows.npy", np.array([[None]], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"rows\.npy cannot be read block by block"):
        open_rows(tmp_path / "rows.npy")


def test_hdf5(rows, tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "rows.h5"
    with h5py.File(path, "w") as file:
        file["group/rows"] = rows
        file["weight"] = np.ones(len(rows))
    assert_array_equal(open_rows(path)[0], rows)
    with h5py.File(path, "a") as file:
        file["other"] = 2.0 * rows
    listed = r"'group/rows' of shape \(1000, 5\), 'other' of shape \(1000, 5\), 'weight'"
    with pytest.raises(ValueError, match=rf"rows\.h5 has 2 datasets with two dim.*{listed}"):
        open_rows(path)
    with pytest.raises(ValueError, match=rf"rows\.h5 has no dataset 'x'.*{listed}"):
        open_rows(path, dataset="x")
    assert_array_equal(open_rows(path, dataset="/other", columns=[1])[0], 2.0 * rows[:, [1]])
    path.write_text("nothing")
    with pytest.raises(ValueError, match=r"rows\.h5 cannot be read as HDF5"):
        open_rows(path)


def test_zarr(rows, tmp_path):
    zarr = pytest.importorskip("zarr")
    zarr.save_array(str(tmp_path / "rows.zarr"), rows)
    assert_array_equal(open_rows(tmp_path / "rows.zarr")[0], rows)
    group = zarr.open_group(str(tmp_path / "group"), mode="w")
    group["a"] = rows
    group.create_group("more")["b"] = 2.0 * rows
    with pytest.raises(ValueError, match=r"group has 2 datasets.*'a' of .*'more/b' of"):
        open_rows(tmp_path / "group")
    assert_array_equal(open_rows(tmp_path / "group", dataset="more/b")[0], 2.0 * rows)
    (tmp_path / "none.zarr").mkdir()
    with pytest.raises(ValueError, match=r"none\.zarr cannot be read as Zarr"):
        open_rows(tmp_path / "none.zarr")


def test_tables(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import feather, parquet

    table = pyarrow.table({"x": [1.0, 2.0], "y": [3, 4]})
    (tmp_path / "p").mkdir()
    paths = [tmp_path / "p" / f"{i}.parquet" for i in range(2)]
    for path in paths:
        parquet.write_table(table, path)
    for source in (paths, tmp_path / "p", f"{tmp_path}/p/*.parquet"):
        blocks = open_rows(source, columns=["y"], block_rows=1)
        assert type(blocks) is ParquetBlocks
        assert [np.asarray(blocks[i]).tolist() for i in range(4)] == [[[3]], [[4]], [[3]], [[4]]]
    feather.write_feather(table, tmp_path / "rows.feather")
    assert type(open_rows(tmp_path / "rows.feather")) is ArrowBlocks
    with pytest.raises(ValueError, match=r"one format, got \.feather, \.parquet"):
        open_rows([paths[0], tmp_path / "rows.feather"])
    with pytest.raises(ValueError, match="dataset is for files of HDF5 and Zarr"):
        open_rows(paths[0], dataset="x")


def test_names_that_are_not_known(tmp_path):
    for name, message in [
        ("rows.txt", "must end with one of .npy, .h5"),
        ("rows", "must end with one of .npy, .h5"),
        ("rows.npz", r"numpy\.save"),
        ("rows.csv", "pandas if it fits in memory"),
    ]:
        with pytest.raises(ValueError, match=rf"{name} has a format that is not known.*{message}"):
            open_rows(tmp_path / name)
    for name in ("rows.npy", "rows.h5", "rows.zarr"):
        with pytest.raises(FileNotFoundError, match=f"There is no file .*{name}"):
            open_rows(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="no files of Parquet or Arrow"):
        open_rows(tmp_path)
    for wrong in (3, [], [3]):
        with pytest.raises(TypeError, match="a path or a list of paths"):
            open_rows(wrong)
    with pytest.raises(ValueError, match="A list of files is for Parquet and Arrow"):
        open_rows([tmp_path / "a.npy", tmp_path / "b.npy"])


PACKAGES = [("a.parquet", "pyarrow"), ("a.arrow", "pyarrow"), ("a.h5", "h5py"), ("a.zarr", "zarr")]


@pytest.mark.parametrize(("name", "package"), PACKAGES)
def test_packages_that_are_missing(tmp_path, name, package, monkeypatch):
    (tmp_path / name).write_text("")
    for own in [own for own in sys.modules if own.partition(".")[0] == package]:
        monkeypatch.setitem(sys.modules, own, None)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf'needs {package}, .*pip install "scikit-em\[files\]"'):
        open_rows(tmp_path / name)
