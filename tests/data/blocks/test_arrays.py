"""Blocks of arrays."""

import os
import pickle

import numpy as np
import pytest
import scipy.sparse
from numpy.testing import assert_array_equal

from emlearn import GaussianMixtureEM
from emlearn.data.blocks import ArrayBlocks, find_blocks, is_row_blocks


def mapped(folder, array):
    np.save(folder / "rows.npy", array)
    return np.load(folder / "rows.npy", mmap_mode="r")


def test_array_in_memory(rows, check_blocks):
    blocks = ArrayBlocks(rows, block_rows=300)
    assert is_row_blocks(blocks)
    assert blocks.lengths == [300, 300, 300, 100]
    check_blocks(blocks, rows)
    assert np.shares_memory(blocks[1], rows)
    for index in (-1, 4):
        with pytest.raises(IndexError, match=f"4 blocks; there is no block {index}"):
            blocks[index]


VIEWS = {
    "all": lambda X: X,
    "rows": lambda X: X[7:],
    "step": lambda X: X[5:900:3],
    "reversed": lambda X: X[::-2],
    "columns": lambda X: X[3:, 1:4],
    "reversed columns": lambda X: X[:, ::-1],
    "plain": lambda X: np.asarray(X)[10:],
    "no columns at the end": lambda X: X[:, :1],
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("store", ["C", "F", "big-endian", "float32", "integers"])
def test_pickle_of_a_mapped_file_is_a_reference(rows, tmp_path, store, view):
    stored = {
        "C": rows,
        "F": np.asfortranarray(rows),
        "big-endian": rows.astype(">f8"),
        "float32": rows.astype(np.float32),
        "integers": (rows * 100.0).astype(np.int16),
    }[store]
    blocks = ArrayBlocks(VIEWS[view](mapped(tmp_path, stored)), block_rows=150)
    for _ in range(2):  # what was opened again is pickled again
        message = pickle.dumps(blocks)
        assert len(message) < 1500
        blocks = pickle.loads(message)
        found = np.concatenate([blocks[i] for i in range(len(blocks))])
        assert_array_equal(found, VIEWS[view](stored))
        assert blocks[0].dtype == blocks.dtype == stored.dtype


def test_mapped_file_in_another_process(rows, tmp_path, check_blocks, monkeypatch):
    np.save(tmp_path / "rows.npy", rows)
    monkeypatch.chdir(tmp_path)
    check_blocks(
        ArrayBlocks(np.load("rows.npy", mmap_mode="r"), block_rows=300), rows, most_bytes=1500
    )


@pytest.mark.parametrize("offset", [3, 4096, 5000])
def test_map_that_begins_anywhere(rows, tmp_path, offset):
    path = tmp_path / "rows.bin"
    path.write_bytes(b"x" * offset + rows.tobytes())
    map_ = np.memmap(path, float, "r", offset, rows.shape)
    message = pickle.dumps(ArrayBlocks(map_[100:]))
    assert len(message) < 1500
    assert_array_equal(pickle.loads(message)[0], rows[100:])


def test_map_that_is_written(rows, tmp_path):
    map_ = np.memmap(tmp_path / "rows.bin", float, "w+", 0, rows.shape)
    blocks = ArrayBlocks(map_)
    map_[:] = rows
    assert_array_equal(pickle.loads(pickle.dumps(blocks))[0], rows)


def test_changes_that_are_not_in_the_file_are_pickled(rows, tmp_path):
    np.save(tmp_path / "rows.npy", rows)
    private = np.load(tmp_path / "rows.npy", mmap_mode="c")
    private[0, 0] = 99.0
    again = pickle.loads(pickle.dumps(ArrayBlocks(private)))
    assert again[0][0, 0] == 99.0


def test_empty_map(rows, tmp_path):
    blocks = ArrayBlocks(mapped(tmp_path, rows)[5:5])
    assert len(blocks) == blocks.n_rows == 0
    again = pickle.loads(pickle.dumps(blocks))
    assert (again.n_rows, again.n_features, again.array.shape) == (0, 5, (0, 5))


def test_file_that_became_shorter(rows, tmp_path):
    message = pickle.dumps(ArrayBlocks(mapped(tmp_path, rows)))
    np.save(tmp_path / "rows.npy", rows[:10])
    with pytest.raises(ValueError, match=r"rows\.npy has 528 bytes, but the array needs 40128"):
        pickle.loads(message)[0]


COLUMNS = [[1], [2, 3], [4, 0], [-1, 1, 1], slice(1, None, 2), np.array([1, 0, 0, 1, 1], bool)]


@pytest.mark.parametrize("columns", COLUMNS, ids=str)
def test_columns(rows, columns, tmp_path):
    expected = rows[:, columns]
    for array in (rows, mapped(tmp_path, rows), scipy.sparse.csr_matrix(rows)):
        blocks = ArrayBlocks(array, columns=columns, block_rows=600)
        assert blocks.n_features == expected.shape[1]
        found = [blocks[i] for i in range(len(blocks))]
        found = [own.toarray() if scipy.sparse.issparse(own) else own for own in found]
        assert_array_equal(np.concatenate(found), expected)


@pytest.mark.parametrize("columns", [[], ["a"], [0.5], [[0, 1]], [True, False], slice(9, None)])
def test_columns_that_are_no_positions(rows, columns):
    with pytest.raises(ValueError, match="columns must be positions of columns"):
        ArrayBlocks(rows, columns=columns)


@pytest.mark.parametrize("outside", [5, -6])
def test_columns_that_do_not_exist(rows, outside):
    with pytest.raises(ValueError, match=f"columns has {outside}, but the array has 5 columns"):
        ArrayBlocks(rows, columns=[0, outside])


def test_blocks_depend_on_the_shape_only():
    narrow, wide, very_wide = ((10**6, 4), (10**5, 500), (3000, 10**5))
    sizes = []
    for n_rows, n_columns in (narrow, wide, very_wide):
        of_dtypes = {
            ArrayBlocks(np.broadcast_to(np.zeros(1, dtype), (n_rows, n_columns))).block_rows
            for dtype in (np.float64, np.float32, np.uint8)
        }
        (size,) = of_dtypes
        sizes.append(size)
    assert sizes == [2**22 // 32, 4096, 2**26 // (8 * 10**5)]


def test_blocks_of_a_sparse_array_have_as_many_numbers():
    X = scipy.sparse.csr_matrix(([1.0], ([0], [10**6 - 1])), shape=(3000, 10**6))
    assert len(ArrayBlocks(X)) == 1


@pytest.mark.parametrize("wrong", [0, -5])
def test_too_few_rows_in_a_block(rows, wrong):
    with pytest.raises(ValueError, match=f"block_rows must be at least 1, got {wrong}"):
        ArrayBlocks(rows, block_rows=wrong)


@pytest.mark.parametrize("wrong", [10.0, "many", True])
def test_block_rows_is_an_integer(rows, wrong):
    with pytest.raises(TypeError, match="block_rows must be an integer"):
        ArrayBlocks(rows, block_rows=wrong)


REFUSED = [
    (np.zeros(5), ValueError, r"Expected 2D array, got 1D array.*reshape\(-1, 1\)"),
    (np.zeros((2, 3, 4)), ValueError, "Expected 2D array, got 3D"),
    (np.zeros((2, 2), complex), ValueError, "Complex data not supported"),
    (np.zeros((2, 2), [("a", float), ("b", int)]), ValueError, "fields a, b"),
    ([[1.0, 2.0]], TypeError, "got list"),
    (scipy.sparse.csc_matrix((2, 2)), TypeError, r"Pass X\.tocsr\(\)"),
    (scipy.sparse.coo_matrix((2, 2)), TypeError, r"Pass X\.tocsr\(\)"),
]


@pytest.mark.parametrize(("array", "kind", "message"), REFUSED)
def test_what_is_no_table_of_numbers(array, kind, message):
    with pytest.raises(kind, match=message):
        ArrayBlocks(array)


def test_data_frame_is_refused():
    pandas = pytest.importorskip("pandas")
    with pytest.raises(TypeError, match="Estimators take tables and lists as they are"):
        ArrayBlocks(pandas.DataFrame({"a": [1.0]}))


# ---- HDF5 ---------------------------------------------------------------------------------


def test_hdf5(rows, tmp_path, check_blocks, monkeypatch):
    h5py = pytest.importorskip("h5py")
    monkeypatch.chdir(tmp_path)
    with h5py.File("rows.h5", "w") as file:
        file.create_dataset("group/rows", data=rows, chunks=(70, 2), compression="gzip")
    with h5py.File("rows.h5") as file:
        assert type(find_blocks(file["group/rows"])) is ArrayBlocks
        blocks = ArrayBlocks(file["group/rows"], block_rows=300)
        check_blocks(blocks, rows, most_bytes=1500)
        chosen = ArrayBlocks(file["group/rows"], columns=[4, 1])
        check_blocks(chosen, rows[:, [4, 1]])


def test_no_chunk_is_read_twice(tmp_path):
    h5py = pytest.importorskip("h5py")
    shape = (10**6, 4)
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        small = file.create_dataset("small", shape, float, chunks=(999, 4))
        assert ArrayBlocks(small).block_rows == 999 * 131
        large = file.create_dataset("large", shape, float, chunks=(10**6, 1))
        assert ArrayBlocks(large).block_rows == 10**6
        assert ArrayBlocks(file.create_dataset("whole", shape, float)).block_rows == 2**17


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_hdf5_is_opened_again_after_a_fork(rows, tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        file["rows"] = rows
    with h5py.File(tmp_path / "rows.h5") as file:
        blocks = ArrayBlocks(file["rows"])
        own = blocks.array
        child = os.fork()
        if not child:
            is_new = blocks.array is not own and np.array_equal(blocks[0], rows)
            os._exit(0 if is_new else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert blocks.array is own


def test_hdf5_that_other_processes_cannot_read(rows, tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        file["rows"] = rows
        with pytest.raises(ValueError, match=r"rows\.h5 is open for writing"):
            pickle.dumps(ArrayBlocks(file["rows"]))
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        file["rows"] = rows
        with pytest.raises(ValueError, match="file in memory"):
            pickle.dumps(ArrayBlocks(file["rows"]))


def test_shape_and_type_of_hdf5(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        with pytest.raises(ValueError, match=r"1D array.*write it with two dimensions"):
            ArrayBlocks(file.create_dataset("a", (10,), "f8"))
        with pytest.raises(ValueError, match="is structured"):
            ArrayBlocks(file.create_dataset("b", (10, 2), dtype=[("x", float)]))


# ---- Zarr ---------------------------------------------------------------------------------


def test_zarr(rows, tmp_path, check_blocks):
    zarr = pytest.importorskip("zarr")
    zarr.save_array(str(tmp_path / "rows.zarr"), rows)
    array = zarr.open(str(tmp_path / "rows.zarr"), mode="r")
    assert type(find_blocks(array)) is ArrayBlocks
    check_blocks(ArrayBlocks(array, block_rows=300), rows, most_bytes=10000)
    check_blocks(ArrayBlocks(array, columns=[4, 1]), rows[:, [4, 1]], most_bytes=10000)
    assert ArrayBlocks(array).block_rows % array.chunks[0] == 0


# ---- fits ---------------------------------------------------------------------------------


def test_fit_of_a_mapped_file(rows, tmp_path):
    blocks = ArrayBlocks(mapped(tmp_path, rows), block_rows=130)
    mixture = GaussianMixtureEM(2, random_state=0)
    expected = mixture.fit(ArrayBlocks(rows, block_rows=130)).score(rows)
    assert mixture.fit(blocks).score(blocks) == pytest.approx(expected, rel=1e-12)
