"""Imputers of rows that are read block by block, against the same fits in memory."""

import numpy as np
import pytest

from emlearn import MissingDataImputerEM
from emlearn.data.blocks import ArrayBlocks
from emlearn.distributions.gaussian.incomplete import table as module
from emlearn.engine import blockwise


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(800, 5)) @ rng.normal(size=(5, 5)) + 1e3
    X[rng.random(X.shape) < 0.15] = np.nan
    X[::50] = np.nan
    return X


@pytest.fixture
def weight(rows):
    return np.random.default_rng(1).integers(0, 3, len(rows)).astype(float)


def blocks(X):
    return ArrayBlocks(X, block_rows=90)


def compare(found, array, rows, rtol=1e-7):
    assert found.log_likelihood_ == pytest.approx(array.log_likelihood_, rel=1e-9)
    np.testing.assert_allclose(found.mean_, array.mean_, rtol=rtol)
    np.testing.assert_allclose(found.covariance_, array.covariance_, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.transform(blocks(rows)), array.transform(rows), rtol=1e-6)


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize(
    "settings",
    [{}, {"alpha": 0}, {"alpha": 2.0}, {"n_factors": 2}],
    ids=["auto", "no prior", "prior", "factors"],
)
def test_one_gaussian(rows, weight, settings, is_streamed, monkeypatch):
    if is_streamed:
        monkeypatch.setattr(module, "_KEPT_NUMBERS", 0)
        monkeypatch.setattr(blockwise, "_KEPT_BYTES", 0)
    array = MissingDataImputerEM(**settings).fit(rows, sample_weight=weight)
    found = MissingDataImputerEM(**settings).fit(blocks(rows), sample_weight=weight)
    compare(found, array, rows)
    assert found.alpha_ == array.alpha_
    expected = array.score(rows, sample_weight=weight)
    assert found.score(blocks(rows), sample_weight=weight) == pytest.approx(expected)


def test_mixtures(rows):
    settings = {"n_components": 2, "random_state": 0, "alpha": 5.0}
    X = np.where(np.arange(len(rows))[:, None] % 2, rows, rows + 30.0)
    array = MissingDataImputerEM(**settings).fit(X)
    found = MissingDataImputerEM(**settings).fit(blocks(X))
    assert found.log_likelihood_ == pytest.approx(array.log_likelihood_, rel=1e-7)


def test_compressed_rows_are_read_once(rows):
    reads = []

    class Counting(ArrayBlocks):
        def __getitem__(self, index):
            reads.append(index)
            return super().__getitem__(index)

    source = Counting(rows, block_rows=400)
    MissingDataImputerEM(tol=1e-12).fit(source)
    # The columns once, three passes for their scaling, one for the moments, one for pairs.
    assert len(reads) <= 7 * len(source)


def test_constant_and_empty_columns(rows):
    X = np.c_[rows, np.full(len(rows), 7.0), np.full(len(rows), np.nan)]
    X[3, 5] = np.nan
    with pytest.warns(UserWarning, match="without any observed values"):
        array = MissingDataImputerEM(add_indicator=True).fit(X)
    with pytest.warns(UserWarning, match="without any observed values"):
        found = MissingDataImputerEM(add_indicator=True).fit(blocks(X))
    np.testing.assert_allclose(found.transform(X), array.transform(X), rtol=1e-8)
    np.testing.assert_array_equal(found.indicator_.features_, array.indicator_.features_)


def test_exact_relations(rows):
    X = np.c_[rows, rows[:, 0] - 2.0 * rows[:, 1]]
    X[::7, 0] = np.nan
    array, found = MissingDataImputerEM().fit(X), MissingDataImputerEM().fit(blocks(X))
    np.testing.assert_allclose(found.transform(X), array.transform(X), rtol=1e-6, atol=1e-4)


def test_pairs_that_are_never_together(rows):
    X = rows[:, :3].copy()
    X[::2, 0], X[1::2, 1] = np.nan, np.nan
    with pytest.warns(UserWarning, match="never observed together"):
        MissingDataImputerEM().fit(blocks(X))


def test_markers_and_deviations(rows):
    X = np.where(np.isnan(rows), -9.0, rows)
    array = MissingDataImputerEM(missing_values=-9).fit(X)
    found = MissingDataImputerEM(missing_values=-9).fit(blocks(X))
    np.testing.assert_allclose(found.transform(blocks(X)), array.transform(X), rtol=1e-8)
    np.testing.assert_allclose(
        found.conditional_std(blocks(X)), array.conditional_std(X), rtol=1e-6
    )


def test_tables_with_categories():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1.0, None, 3.0] * 30, "b": ["x", "y", None] * 30})

    class Frames:
        n_rows, n_features = 90, 2

        def __len__(self):
            return 3

        def __getitem__(self, index):
            return frame.iloc[30 * index : 30 * index + 30]

    with pytest.raises(ValueError, match="Text in column 'b'"):
        MissingDataImputerEM().fit(Frames())
    with pytest.raises(ValueError, match="has to be in memory"):
        MissingDataImputerEM(model="classes").fit(Frames())
    fitted = MissingDataImputerEM(model="classes", n_components=2, random_state=0).fit(frame)
    completed = fitted.transform(Frames())
    assert completed.equals(fitted.transform(frame))


def test_fit_transform(rows):
    found = MissingDataImputerEM().fit_transform(blocks(rows))
    np.testing.assert_allclose(found, MissingDataImputerEM().fit_transform(rows), rtol=1e-8)
