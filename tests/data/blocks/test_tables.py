"""Blocks of files of Parquet and Arrow."""

import pickle
import re

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from emlearn import FiniteMixtureEM, GaussianMixtureEM
from emlearn.data.blocks import ArrowBlocks, ParquetBlocks, is_row_blocks

pyarrow = pytest.importorskip("pyarrow")
pandas = pytest.importorskip("pandas")
parquet = pytest.importorskip("pyarrow.parquet")
feather = pytest.importorskip("pyarrow.feather")
dataset = pytest.importorskip("pyarrow.dataset")

NAMES = ["number", "count", "truth", "word", "level", "single", "price", "nothing"]


def make_table(n, words, seed):
    """A table with columns of all kinds, with nulls, and what its numbers are."""
    rng = np.random.default_rng(seed)
    null = rng.random((n, 4)) < 0.1
    word = rng.choice(words, n)
    columns = {
        "number": rng.normal(size=n),
        "count": rng.integers(-9, 9, n).astype(np.int16),
        "truth": rng.random(n) < 0.5,
        "word": word,
        "level": rng.choice(words, n),
        "single": rng.normal(size=n).astype(np.float32),
        "price": rng.integers(0, 99, n) / 4.0,
    }
    arrays = [
        pyarrow.array(columns["number"], mask=null[:, 0]),
        pyarrow.array(columns["count"], mask=null[:, 1]),
        pyarrow.array(columns["truth"], mask=null[:, 2]),
        pyarrow.array(word, mask=null[:, 3]),
        pyarrow.array(columns["level"]).dictionary_encode(),
        pyarrow.array(columns["single"]),
        pyarrow.array(columns["price"]).cast(pyarrow.decimal128(6, 2)),
        pyarrow.nulls(n),
    ]
    for j, name in enumerate(["number", "count", "truth", "word"]):
        columns[name] = np.where(null[:, j], None, columns[name])
    return pyarrow.table(arrays, NAMES), columns


def numbers_of(columns, names, levels):
    """The numbers that columns should become."""
    n = len(columns["number"])
    out = np.full((n, len(names)), np.nan)
    for j, name in enumerate(names):
        for i, value in enumerate(columns.get(name, ())):
            if value is not None:
                out[i, j] = levels[name].index(value) if name in levels else value
    return out


@pytest.fixture
def three_files(tmp_path):
    """A folder with two files and an empty one; each has a word that the other has not."""
    folder = tmp_path / "rows"
    folder.mkdir()
    first, of_first = make_table(500, ["b", "c"], 0)
    second, of_second = make_table(330, ["c", "a"], 1)
    # Their own dictionaries differ, and so do the types of numbers.
    second = second.set_column(1, "count", second["count"].cast(pyarrow.float64()))
    parquet.write_table(first, folder / "part.2.parquet", row_group_size=140)
    parquet.write_table(second, folder / "part.10.parquet", row_group_size=90)
    parquet.write_table(first[:0], folder / "part.3.parquet")
    parquet.write_table(first, folder / "_not_data.parquet")
    (folder / "_SUCCESS").write_text("")
    columns = {name: np.concatenate([of_first[name], of_second[name]]) for name in of_first}
    return folder, columns


LEVELS = {"word": ("a", "b", "c"), "level": ("a", "b", "c")}


def test_columns_of_all_kinds(three_files, check_blocks):
    folder, columns = three_files
    blocks = ParquetBlocks(folder, block_rows=100)
    assert is_row_blocks(blocks)
    assert blocks.feature_names == tuple(NAMES)
    assert blocks.lengths == [70, 70] * 3 + [80] + [90] * 3 + [60]
    check_blocks(blocks, numbers_of(columns, NAMES, LEVELS), most_bytes=5000)
    assert blocks.levels == LEVELS
    assert list(blocks[0].columns) == NAMES
    assert set(blocks[0].dtypes) == {np.dtype(float)}
    assert repr(blocks) == "ParquetBlocks(n_rows=830, n_features=8, n_blocks=11)"


@pytest.mark.parametrize("source", ["pattern", "list", "dataset"])
def test_sources(three_files, source):
    folder, columns = three_files
    found = {
        "pattern": f"{folder}/part.*",
        "list": [folder / "part.2.parquet", str(folder / "part.10.parquet")],
        "dataset": dataset.dataset([str(folder / f"part.{i}.parquet") for i in (2, 3, 10)]),
    }[source]
    if source == "dataset":
        with pytest.raises(ValueError, match="filtered"):
            ParquetBlocks(found.filter(dataset.field("number") > 0.0))
        with pytest.raises(ValueError, match="InMemoryDataset of pyarrow is not a list of files"):
            ParquetBlocks(dataset.dataset(pyarrow.table({"x": [1]})))
    blocks = pickle.loads(pickle.dumps(ParquetBlocks(found)))
    # Small row groups are put together.
    assert blocks.lengths == [500, 330]
    table = np.concatenate([blocks[i] for i in range(len(blocks))])
    assert_array_equal(table, numbers_of(columns, NAMES, LEVELS))


def test_chosen_columns(three_files):
    folder, columns = three_files
    blocks = ParquetBlocks(folder, columns=["level", "number"])
    assert blocks.n_features == 2
    assert_array_equal(blocks[0], numbers_of(columns, ["level", "number"], LEVELS)[:500])
    assert blocks.levels == {"level": ("a", "b", "c")}
    with pytest.raises(ValueError, match=r"part\.2\.parquet has no column 'age'; it has number,"):
        ParquetBlocks(folder, columns=["number", "age"])
    with pytest.raises(TypeError, match="must be a list of names, got 'number'"):
        ParquetBlocks(folder, columns="number")
    for wrong in ([], ["number", "number"]):
        with pytest.raises(ValueError, match="at least one column, and none twice"):
            ParquetBlocks(folder, columns=wrong)


def test_single_precision_is_kept(three_files):
    folder, columns = three_files
    blocks = ParquetBlocks(folder, columns=["single"])
    assert set(blocks[0].dtypes) == {np.dtype(np.float32)}
    assert_array_equal(blocks[0]["single"], columns["single"][:500])


def test_large_row_group(tmp_path):
    """Blocks of a row group are found in any order."""
    table, columns = make_table(1000, ["a", "b"], 3)
    parquet.write_table(table, tmp_path / "rows.parquet")
    expected = numbers_of(columns, NAMES, {"word": ("a", "b"), "level": ("a", "b")})
    blocks = ParquetBlocks(tmp_path / "rows.parquet", block_rows=30)
    assert len(blocks) == 34
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(34), 3))
    order = [0, 5, 4, 3, 33, 32, *order]
    for i in order:
        found = blocks[i][["number", "word", "single"]]
        assert_array_equal(found, expected[30 * i : 30 * i + 30][:, [0, 3, 5]])


def test_rows_are_read_once_if_read_in_order(tmp_path, monkeypatch):
    table, _ = make_table(1000, ["a", "b"], 3)
    parquet.write_table(table, tmp_path / "rows.parquet")
    blocks = ParquetBlocks(tmp_path / "rows.parquet", columns=["number"], block_rows=30)
    read = []
    own = blocks._format.read
    monkeypatch.setattr(type(blocks._format), "read", lambda self, *a: read.append(a) or own(*a))
    for i in [1, 0, *range(2, 34)]:  # as threads may ask for them
        blocks[i]
    assert len(read) == 1


def test_declared_order_is_kept_if_all_agree(tmp_path):
    sizes = pandas.Categorical(["m", "s", "m", None], ["s", "m", "l"], ordered=True)
    frame = pandas.DataFrame({"size": sizes})
    for name, own in (("a", frame), ("b", frame[::-1])):
        own.to_parquet(tmp_path / f"{name}.parquet", row_group_size=2, index=False)
    blocks = ParquetBlocks(tmp_path)
    assert blocks.levels == {"size": ("s", "m", "l")}
    found = np.concatenate([blocks[i] for i in range(len(blocks))])
    assert_array_equal(found[:, 0], [1, 0, 1, np.nan, np.nan, 1, 0, 1])
    # Sorted, as soon as one file differs.
    other = frame["size"].cat.reorder_categories(["l", "m", "s"]).to_frame()
    other.to_parquet(tmp_path / "c.parquet", index=False)
    assert ParquetBlocks(tmp_path).levels == {"size": ("l", "m", "s")}


def test_categories_that_are_declared(three_files, monkeypatch):
    folder, columns = three_files
    levels = {"word": ("c", "b", "a", "d"), "level": ("b", "a", "c"), "count": tuple(range(-9, 9))}
    blocks = ParquetBlocks(folder, categories={k: list(v) for k, v in levels.items()})
    monkeypatch.setattr(ParquetBlocks, "_find_levels", dict)
    assert blocks.levels == levels
    assert_array_equal(blocks[0], numbers_of(columns, NAMES, levels)[:500])


def test_values_that_are_not_declared(three_files):
    folder, columns = three_files
    categories = {"word": ["b", "c"]}
    blocks = ParquetBlocks(folder, categories=categories)
    with pytest.raises(ValueError, match=r"Column 'word' has 'a', which is not.*part\.10\.parquet"):
        blocks[1]
    found = ParquetBlocks(folder, categories=categories, unseen="missing")[1]["word"]
    codes = {"b": 0.0, "c": 1.0}
    assert_array_equal(found, [codes.get(own, np.nan) for own in columns["word"][500:]])


WRONG_CATEGORIES = [
    (["word"], TypeError, "must be a dict"),
    ({"age": ["a"]}, ValueError, "categories has 'age'"),
    ({"word": "abc"}, ValueError, "list of distinct levels"),
    ({"word": ["a", "a"]}, ValueError, "list of distinct levels"),
    ({"word": []}, ValueError, "list of distinct levels"),
    ({"word": [1, 2]}, ValueError, "have 1, but the column has text"),
    ({"count": ["a"]}, ValueError, "have 'a', but the column has numbers"),
]


@pytest.mark.parametrize(("categories", "kind", "message"), WRONG_CATEGORIES)
def test_wrong_categories(three_files, categories, kind, message):
    with pytest.raises(kind, match=message):
        ParquetBlocks(three_files[0], categories=categories)
    with pytest.raises(ValueError, match="unseen must be"):
        ParquetBlocks(three_files[0], unseen="maybe")


def write(path, **columns):
    parquet.write_table(pyarrow.table(columns), path)


def test_files_that_differ(tmp_path):
    write(tmp_path / "a.parquet", x=[1.0], y=["a"])
    write(tmp_path / "b.parquet", x=[1.0], y=[3])
    where = rf"Column 'y' of {re.escape(str(tmp_path))}.b\.parquet has numbers, but that of"
    with pytest.raises(ValueError, match=where + r" .*a\.parquet has text"):
        ParquetBlocks(tmp_path)
    assert ParquetBlocks(tmp_path, columns=["x"]).n_rows == 2
    write(tmp_path / "b.parquet", x=[1.0])
    with pytest.raises(ValueError, match=r"b\.parquet has no column 'y', but .*a\.parquet has it"):
        ParquetBlocks(tmp_path)
    write(tmp_path / "b.parquet", x=[1.0], y=["a"], z=[1])
    with pytest.raises(ValueError, match=r"b\.parquet has a column 'z', but .*a\.parquet has not"):
        ParquetBlocks(tmp_path)
    assert ParquetBlocks(tmp_path, columns=["y", "x"]).n_rows == 2
    # The order of the columns does not matter, and a column without values is of any kind.
    write(tmp_path / "b.parquet", y=pyarrow.nulls(1), x=[2])
    for names, expected in [
        ("ab", [[1.0, 0.0], [2.0, np.nan]]),
        ("ba", [[np.nan, 2.0], [0.0, 1.0]]),
    ]:
        blocks = ParquetBlocks([tmp_path / f"{name}.parquet" for name in names])
        assert_array_equal(np.concatenate([blocks[0], blocks[1]]), expected)
        assert blocks.levels == {"y": ("a",)}


def test_null_in_a_dictionary(tmp_path):
    values = pyarrow.DictionaryArray.from_arrays([0, 1, 2, None], ["b", None, "a"])
    feather.write_feather(pyarrow.table({"y": values}), tmp_path / "a.arrow")
    blocks = ArrowBlocks(tmp_path)
    assert blocks.levels == {"y": ("b", "a")}
    assert_array_equal(blocks[0]["y"], [0.0, np.nan, 1.0, np.nan])


REFUSED = {
    "time": (pyarrow.array([0], pyarrow.timestamp("s")), "store it as a number, such as days"),
    "day": (pyarrow.array([0], pyarrow.date32()), "store it as a number, such as days"),
    "list": (pyarrow.array([[1.0, 2.0]]), "each of its values in a column of its own"),
    "bytes": (pyarrow.array([b"a"]), "store it as numbers or text"),
    "times": (pyarrow.array([0], pyarrow.timestamp("s")).dictionary_encode(), "such as days"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_number_and_no_category(tmp_path, kind):
    values, message = REFUSED[kind]
    write(tmp_path / "a.parquet", x=[1.0], y=values)
    with pytest.raises(ValueError, match=rf"Column 'y' of .*a\.parquet has type .*{message}"):
        ParquetBlocks(tmp_path)
    assert ParquetBlocks(tmp_path, columns=["x"])[0]["x"].tolist() == [1.0]


def test_too_many_levels(tmp_path):
    write(tmp_path / "a.parquet", name=[f"person {i}" for i in range(2**16 + 1)])
    with pytest.raises(ValueError, match="Column 'name' has more than 65536 different values"):
        ParquetBlocks(tmp_path)[0]


def test_index_of_pandas_is_no_feature(tmp_path):
    frame = pandas.DataFrame({"x": [1.0, 2.0]}, index=pandas.Index([5, 7], name="person"))
    frame.to_parquet(tmp_path / "a.parquet")
    assert ParquetBlocks(tmp_path).feature_names == ("x",)
    assert ParquetBlocks(tmp_path, columns=["person"])[0]["person"].tolist() == [5.0, 7.0]


def test_keys_in_names_of_folders(tmp_path):
    for year, site, x in [(2024, "Ulm", 1.0), (2023, "A%20B", 2.0), (2024, "A%20B", 3.0)]:
        folder = tmp_path / f"year={year}" / f"site={site}"
        folder.mkdir(parents=True)
        write(folder / "a.parquet", x=[x, x])
    expected = [[2.0, 2023.0, 0.0], [3.0, 2024.0, 0.0], [1.0, 2024.0, 1.0]]
    for source in (tmp_path, dataset.dataset(tmp_path, partitioning="hive")):
        blocks = ParquetBlocks(source)
        assert blocks.feature_names == ("x", "year", "site")
        assert blocks.levels == {"site": ("A B", "Ulm")}
        assert_array_equal([blocks[i].iloc[1] for i in range(3)], expected)
        years = ParquetBlocks(source, columns=["year"])
        assert [years[i]["year"].tolist() for i in range(3)] == [[2023] * 2, [2024] * 2, [2024] * 2]
    write(tmp_path / "b.parquet", x=[1.0])
    with pytest.raises(ValueError, match="Each file needs the same names"):
        ParquetBlocks(tmp_path)


def test_no_rows_at_all(tmp_path):
    write(tmp_path / "a.parquet", x=pyarrow.array([], pyarrow.float64()))
    blocks = ParquetBlocks(tmp_path)
    assert (len(blocks), blocks.n_rows, blocks.n_features) == (0, 0, 1)
    with pytest.raises(ValueError, match="X has no rows"):
        GaussianMixtureEM().fit(blocks)


def test_files_that_cannot_be_read(tmp_path):
    for missing in (tmp_path / "a.parquet", tmp_path / "*.parquet"):
        with pytest.raises(FileNotFoundError, match="There is no file"):
            ParquetBlocks(missing)
    with pytest.raises(FileNotFoundError, match=r"has no Parquet files, whose names end with"):
        ParquetBlocks(tmp_path)
    (tmp_path / "a.parquet").write_text("x,y\n1,2\n")
    with pytest.raises(ValueError, match=r"a\.parquet cannot be read as one of Parquet files"):
        ParquetBlocks(tmp_path)
    with pytest.raises(ValueError, match=r"Pass pyarrow\.dataset\.dataset\('s3://x/a\.parquet'\)"):
        ParquetBlocks("s3://x/a.parquet")
    for wrong in (3, [], pyarrow.table({"x": [1]})):
        with pytest.raises(TypeError, match=r"read from a path, a list of paths, or a pyarrow"):
            ParquetBlocks(wrong)


def test_without_pandas(three_files, monkeypatch):
    folder, columns = three_files
    blocks = ParquetBlocks(folder)
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    assert type(blocks[0]) is np.ndarray
    assert_array_equal(blocks[0], numbers_of(columns, NAMES, LEVELS)[:500])


# ---- Arrow --------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["uncompressed", "lz4"])
def test_arrow(tmp_path, compression, check_blocks):
    table, columns = make_table(500, ["b", "a"], 0)
    path = tmp_path / "rows.feather"
    feather.write_feather(table, path, compression=compression, chunksize=140)
    blocks = ArrowBlocks(path, block_rows=100, columns=NAMES[::-1])
    first = columns["level"][0]
    levels = {"word": ("a", "b"), "level": ("b", "a") if first == "b" else ("a", "b")}
    assert blocks.levels == levels
    assert blocks.lengths == [70, 70] * 3 + [80]
    check_blocks(blocks, numbers_of(columns, NAMES[::-1], levels), most_bytes=3000)


@pytest.mark.skipif(not hasattr(pyarrow, "string_view"), reason="pyarrow lacks this kind of text")
def test_arrow_of_polars(tmp_path):
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"x": [1, None, 3], "word": ["b", None, "a"]})
    frame.write_ipc(tmp_path / "rows.arrow")
    assert_array_equal(ArrowBlocks(tmp_path)[0], [[1.0, 1.0], [np.nan, np.nan], [3.0, 0.0]])


def test_arrow_that_cannot_be_read(tmp_path):
    path = tmp_path / "rows.arrow"
    pyarrow.ipc.new_stream(str(path), pyarrow.schema([("x", pyarrow.float64())])).close()
    with pytest.raises(ValueError, match=r"rows\.arrow cannot be read as one of Arrow files"):
        ArrowBlocks(path)


# ---- fits ---------------------------------------------------------------------------------


def test_fit_learns_names_and_levels(three_files):
    folder, columns = three_files
    blocks = ParquetBlocks(folder, columns=["single", "word"], block_rows=100)
    family = [("gaussian", ["single"]), ("categorical", ["word"])]
    mixture = FiniteMixtureEM(2, family=family, random_state=0, max_iter=5, tol=0.0)
    with pytest.warns(UserWarning, match="converge"):
        mixture.fit(blocks)
    assert list(mixture.feature_names_in_) == ["single", "word"]
    assert mixture.levels_[1].tolist() == [0.0, 1.0, 2.0]
    X = pandas.DataFrame(
        numbers_of(columns, ["single", "word"], LEVELS), columns=["single", "word"]
    )
    assert mixture.score(blocks) == pytest.approx(mixture.score(X), rel=1e-12)
