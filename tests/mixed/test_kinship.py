"""Kinships given by matrices and frames."""

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator, clone
from sklearn.gaussian_process.kernels import RBF

from emlearn.mixed import Genotypes, Pedigree
from emlearn.mixed._kinship import as_kinship

K = np.array([[1.0, 0.5, 0.2], [0.5, 1.0, 0.1], [0.2, 0.1, 1.5]])
NAMES = ["a", "b", "c"]


def changed(i, j, value):
    matrix = K.copy()
    matrix[i, j] = value
    return matrix


@pytest.mark.parametrize("kind", [np.array, np.ndarray.tolist, sp.csr_matrix, sp.coo_array])
def test_levels_of_arrays_are_numbers(kind):
    kinship = as_kinship(kind(K), "g")
    assert kinship.levels.tolist() == [0, 1, 2]
    assert_allclose(kinship.relationship(), K, rtol=1e-14)
    assert_allclose(kinship.diagonal(), K.diagonal(), rtol=1e-14)
    assert not kinship.has_precision
    assert kinship.positions(np.array([2, 7, 0])).tolist() == [2, -1, 0]


@pytest.mark.parametrize(
    "names", [NAMES, [10, 2, 30], [(1, "x"), (1, "y"), (2, "x")]], ids=["text", "numbers", "pairs"]
)
def test_columns_of_a_frame_are_aligned(names):
    pd = pytest.importorskip("pandas")
    index = pd.Index(names, tupleize_cols=False)
    frame = pd.DataFrame(K, index, index).iloc[:, [2, 0, 1]]
    kinship = as_kinship(frame, "g")
    assert kinship.levels.tolist() == names
    assert_allclose(kinship.relationship(), K, rtol=1e-14)


@pytest.mark.parametrize("dtype", ["Float64", "object", "float32", "int8"])
def test_types_of_columns(dtype):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(4 * np.eye(3) + 1, NAMES, NAMES).astype(dtype)
    assert_allclose(as_kinship(frame, "g").relationship(), 4 * np.eye(3) + 1, rtol=1e-14)


def test_files_name_columns_by_text():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(K[:, [2, 0, 1]], [7, 8, 9], ["9", "7", "8"])
    kinship = as_kinship(frame, "g")
    assert kinship.levels.tolist() == [7, 8, 9]
    assert_allclose(kinship.relationship(), K, rtol=1e-14)


def test_polars():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame(K, schema=NAMES)
    kinship = as_kinship(frame, "g")
    assert kinship.levels.tolist() == NAMES
    shuffled = frame.insert_column(0, pl.Series("id", NAMES))[["id", "c", "a", "b"]]
    named = as_kinship(shuffled, "g")
    assert named.levels.tolist() == NAMES
    for found in (kinship, named):
        assert_allclose(found.relationship(), K, rtol=1e-14)


@pytest.mark.parametrize(
    ("n", "rank"), [(1, 1), (20, 20), (30, 4), (60, 59)], ids=["scalar", "full", "low", "almost"]
)
@pytest.mark.parametrize("unit", [1e-200, 1.0, 1e200])
def test_square_root_is_thin(n, rank, unit):
    root = np.random.default_rng(n).normal(size=(n, rank))
    covariance = unit * root @ root.T
    kinship = as_kinship(covariance, "g")
    assert kinship.square_root().shape == (n, rank)
    assert_allclose(kinship.relationship() / unit, covariance / unit, rtol=1e-12, atol=1e-12)


def test_smooth_kernel():
    kernel = RBF(0.1)(np.linspace(0, 1, 300)[:, None])
    kinship = as_kinship(kernel, "g")
    assert kinship.square_root().shape[1] < 60
    assert_allclose(kinship.relationship(), kernel, atol=1e-13)


def test_rounding_is_forgiven():
    root = np.random.default_rng(1).normal(size=(50, 10))
    covariance = root @ root.T
    noise = 1e-9 * np.random.default_rng(2).normal(size=(50, 50))
    noisy = covariance + noise + noise.T
    assert np.linalg.eigvalsh(noisy)[0] < -1e-9
    assert_allclose(as_kinship(noisy, "g").relationship(), covariance, atol=1e-7)
    single = covariance.astype(np.float32)
    single[0, 1] += 1e-5
    assert_allclose(as_kinship(single, "g").relationship(), covariance, atol=1e-4)
    above = as_kinship(single, "g").relationship()[0, 1]
    below = as_kinship(single.T, "g").relationship()[0, 1]
    assert_allclose(above, below, rtol=1e-9)
    with pytest.raises(ValueError, match="not symmetric"):
        as_kinship(single.astype(np.float64), "g")


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (K[:2], r"The kinship of 'g' has shape \(2, 3\)"),
        (K[0], r"has shape \(3,\)"),
        ([[1.0, 0.0], [1.0]], "rows differ in length"),
        (np.empty((0, 0)), "is empty"),
        (np.zeros((2, 2)), "only zeros"),
        (changed(1, 2, np.nan), "has nan in row 1, column 2"),
        (changed(1, 2, np.inf), "has inf in row 1, column 2"),
        (changed(1, 2, 0.3), "it is 0.3 in row 1, column 2 and 0.1 in row 2, column 1"),
        (np.array([["1", "x"], ["0", "1"]]), "Text in column 1 of the kinship of 'g', row 0"),
        (np.eye(2) * 1j, "Complex"),
        (sp.csr_array(sp.identity(20_000)), "at most 10000 levels"),
    ],
)
def test_matrices_that_are_refused(matrix, message):
    with pytest.raises(ValueError, match=message):
        as_kinship(matrix, "g")


@pytest.mark.parametrize(
    ("matrix", "smallest"),
    [
        ([[1.0, 2.0], [2.0, 1.0]], "-1"),
        ([[0.0, 1.0], [1.0, 0.0]], "-1"),
        ([[1.0, 0.0], [0.0, -0.25]], "-0.25"),
        ([[-1.0]], "-1"),
    ],
    ids=["correlation", "no_variance", "negative_variance", "scalar"],
)
def test_negative_eigenvalues(matrix, smallest):
    with pytest.raises(ValueError, match=f"smallest eigenvalue is {smallest},.* multiple of the"):
        as_kinship(matrix, "g")


def test_advice_for_negative_eigenvalues():
    with pytest.raises(ValueError, match="not positive semi-definite") as caught:
        as_kinship([[1.0, 1.1], [1.1, 1.0]], "g")
    advice = str(caught.value).rpartition(": ")[2].rstrip(".")
    matrix = eval(advice, {"K": np.array([[1.0, 1.1], [1.1, 1.0]]), "numpy": np, "n": 2})
    assert as_kinship(matrix, "g").square_root().shape == (2, 2)


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        (NAMES, ["a", "b", "d"], "row 'c' has no column"),
        (["a", "b", "b"], NAMES, "Two rows of the kinship of 'g' are named 'b'"),
        (NAMES, ["a", "a", "c"], "Two columns of the kinship of 'g' are named 'a'"),
        (["a", None, "c"], NAMES, "Entry 1 of the names of the rows .* is missing"),
    ],
)
def test_names_that_are_refused(rows, columns, message):
    pd = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match=message):
        as_kinship(pd.DataFrame(K, rows, columns), "g")


def test_names_of_places_in_frames():
    pd = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match="has nan in row 'b', column 'c'"):
        as_kinship(pd.DataFrame(changed(1, 2, np.nan), NAMES, NAMES), "g")
    with pytest.raises(ValueError, match="make it the index: set_index"):
        as_kinship(pd.DataFrame(K, columns=NAMES).assign(id=NAMES), "g")


class Holder(BaseEstimator):
    def __init__(self, kinship=None):
        self.kinship = kinship


@pytest.mark.parametrize(
    "kinship",
    [
        as_kinship(K, "g"),
        Pedigree(["x", "y"], ["y", None], [None, None]),
        Genotypes(np.random.default_rng(0).integers(0, 3, (20, 100))),
    ],
    ids=["kernel", "pedigree", "genotypes"],
)
def test_copies(kinship):
    assert clone(Holder(kinship)).kinship is kinship
    assert clone(Holder({"g": kinship})).kinship["g"] is kinship
    assert copy.deepcopy(kinship) is kinship
    assert as_kinship(kinship, "g") is kinship
    again = pickle.loads(pickle.dumps(kinship))
    assert again != kinship
    assert_allclose(again.relationship(), kinship.relationship(), rtol=0)
    assert len(repr(Holder(kinship))) < 80
    assert not kinship.levels.flags.writeable
    assert_allclose(kinship.diagonal(), kinship.relationship().diagonal(), rtol=1e-13)


@pytest.mark.parametrize("thing", ["pedigree", RBF(1.0), len, 3.0], ids=lambda x: type(x).__name__)
def test_what_is_no_matrix(thing):
    with pytest.raises(TypeError, match=f"The kinship of 'g' is a {type(thing).__name__}. Pass a"):
        as_kinship(thing, "g")


def test_tables_that_are_no_kinship():
    pd = pytest.importorskip("pandas")
    parents = pd.DataFrame({"animal": [1, 2], "sire": [0, 1], "dam": [0, 0]})
    with pytest.raises(ValueError, match=r"shape \(2, 3\).* Pedigree.from_frame"):
        as_kinship(parents, "g")
    with pytest.raises(ValueError, match=r"Text in column 'a' .* make it the index: set_index"):
        as_kinship(pd.DataFrame({"a": ["x", "y"], "b": [1, 2]}, ["a", "b"]), "g")


def test_a_class_is_no_kinship():
    with pytest.raises(TypeError, match="is the class Pedigree"):
        as_kinship(Pedigree, "g")
