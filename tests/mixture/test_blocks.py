"""Mixtures of rows that are read block by block, against the same fits in memory."""

import numpy as np
import pytest

from emlearn import FiniteMixtureEM, GaussianMixtureEM
from emlearn.data.blocks import ArrayBlocks, map_blocks
from emlearn.distributions import DirichletMultinomial, Gaussian, Mixture, Poisson
from emlearn.engine import Processes, Threads, block_survey, blockwise, use_mapper


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(900, 4)) + 4.0 * rng.integers(0, 3, (900, 1))


@pytest.fixture
def streamed(monkeypatch):
    """Blocks are read in each E-step, also of small tables."""
    monkeypatch.setattr(blockwise, "_KEPT_BYTES", 0)


def blocks(X, block_rows=130):
    return ArrayBlocks(X, block_rows=block_rows)


def close(found, array):
    assert found.log_likelihood_ == pytest.approx(array.log_likelihood_, rel=1e-9)
    assert found.converged_ == array.converged_


@pytest.mark.parametrize("holes", [0.0, 0.15])
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical", "EEV", "factor"])
@pytest.mark.usefixtures("streamed")
def test_gaussian_mixtures(rows, covariance_type, holes):
    rng = np.random.default_rng(1)
    X, weight = rows.copy(), rng.integers(0, 3, len(rows)).astype(float)
    X[rng.random(X.shape) < holes] = np.nan
    mixture = GaussianMixtureEM(
        3,
        covariance_type=covariance_type,
        n_factors=1 if covariance_type == "factor" else None,
        init_params="kmeans",
        random_state=0,
    )
    array = mixture.fit(X, sample_weight=weight)
    likelihood, means, score = array.log_likelihood_, array.means_, array.score(X)
    found = mixture.fit(blocks(X), sample_weight=weight)
    assert found.log_likelihood_ == pytest.approx(likelihood, rel=1e-9)
    np.testing.assert_allclose(found.means_, means, rtol=1e-5, atol=1e-5)
    assert found.score(blocks(X)) == pytest.approx(score, rel=1e-7)
    assert found.log_likelihood_ == pytest.approx(
        found.score(blocks(X), sample_weight=weight) * weight.sum(), rel=1e-12
    )


FAMILIES = {
    "categorical": "categorical",
    "bernoulli": "bernoulli",
    "poisson": "poisson",
    "multinomial": "multinomial",
    "gamma": "gamma",
    "von_mises": "von_mises",
    "negative_binomial": "negative_binomial",
    "zero_inflated": "zero_inflated",
    "parts": Mixture(Poisson(), n_parts=2),
    "columns": [("categorical", [0, 1]), (Gaussian("diag"), [2]), ("ignore", [3])],
}


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.usefixtures("streamed")
def test_families(family):
    rng = np.random.default_rng(0)
    X = rng.poisson(1.0 + 3.0 * rng.integers(0, 2, (600, 1)), (600, 4)).astype(float)
    if family == "bernoulli":
        X = np.minimum(X, 1.0)
    elif family in ("gamma", "von_mises"):
        X += 0.5
    elif family not in ("multinomial",):
        X[rng.random(X.shape) < 0.05] = np.nan
    settings = {"init_params": "rows", "random_state": 0, "max_iter": 60, "tol": 1e-4}
    array = FiniteMixtureEM(2, family=family, **settings).fit(X)
    found = FiniteMixtureEM(2, family=family, **settings).fit(blocks(X, 95))
    assert found.log_likelihood_ == pytest.approx(array.log_likelihood_, rel=1e-6)
    np.testing.assert_array_equal(found.predict(blocks(X, 95)), found.predict(X))


def test_sparse_blocks():
    from scipy.sparse import csr_matrix

    X = csr_matrix(np.random.default_rng(0).poisson(0.7, (300, 8)).astype(float))
    settings = {"family": "multinomial", "init_params": "rows", "random_state": 0}
    found = FiniteMixtureEM(2, **settings).fit(blocks(X, 70))
    close(found, FiniteMixtureEM(2, **settings).fit(X))


def test_known_labels():
    rng = np.random.default_rng(0)
    side = rng.integers(0, 2, 600)
    X = rng.poisson(1.0 + 3.0 * side[:, None], (600, 2))
    y = np.where(rng.random(600) < 0.2, side, -1)
    settings = {"family": "poisson", "use_labels": True, "unlabelled_weight": 0.5}
    array = FiniteMixtureEM(**settings).fit(X, y)
    found = FiniteMixtureEM(**settings).fit(blocks(X), y)
    close(found, array)
    np.testing.assert_allclose(found.weights_, array.weights_, rtol=1e-8)
    np.testing.assert_array_equal(found.predict(blocks(X)), array.predict(X))


def test_a_family_that_needs_all_rows():
    X = np.random.default_rng(0).poisson(2.0, (300, 3))
    with pytest.raises(ValueError, match="needs all rows in memory"):
        FiniteMixtureEM(2, family=DirichletMultinomial()).fit(blocks(X))


def test_errors_name_the_row_of_the_table():
    X = np.ones((300, 2))
    X[200, 1] = -1
    with pytest.raises(ValueError, match="row 200, column 1"):
        FiniteMixtureEM(2, family="poisson").fit(blocks(X, 64))


@pytest.mark.parametrize("mapper", [Threads(1), Threads(3), Processes(2)], ids=repr)
@pytest.mark.usefixtures("streamed")
def test_same_bits_wherever_blocks_are_read(rows, mapper):
    settings = {"init_params": "kmeans", "random_state": 0, "max_iter": 10}
    first = GaussianMixtureEM(3, **settings).fit(blocks(rows))
    with use_mapper(mapper):
        found = GaussianMixtureEM(3, **settings).fit(blocks(rows))
    np.testing.assert_array_equal(found.means_, first.means_)
    assert found.log_likelihood_ == first.log_likelihood_


def test_blocks_that_are_kept_have_the_same_bits(rows, monkeypatch):
    settings = {"init_params": "kmeans", "random_state": 0, "max_iter": 10}
    kept = GaussianMixtureEM(3, **settings).fit(blocks(rows))
    monkeypatch.setattr(blockwise, "_KEPT_BYTES", 0)
    found = GaussianMixtureEM(3, **settings).fit(blocks(rows))
    np.testing.assert_array_equal(found.covariances_, kept.covariances_)


def test_starts_are_found_on_the_sample(rows, monkeypatch):
    """Most rows never meet a start, and the fit ends at the same optimum."""
    array = GaussianMixtureEM(3, random_state=0).fit(rows)
    monkeypatch.setattr(block_survey, "_SAMPLE_NUMBERS", 0)
    monkeypatch.setattr(block_survey, "_SAMPLE_ROWS", (120, 120))
    found = GaussianMixtureEM(3, random_state=0).fit(blocks(rows))
    assert found.log_likelihood_ == pytest.approx(array.log_likelihood_, rel=1e-7)


def test_methods_by_block(rows):
    mixture = GaussianMixtureEM(3, random_state=0).fit(rows)
    for name in ("predict", "predict_proba", "transform", "score_samples"):
        method = getattr(mixture, name)
        np.testing.assert_array_equal(method(blocks(rows)), method(rows))
    for name in ("bic", "aic", "icl"):
        assert getattr(mixture, name)(blocks(rows)) == pytest.approx(getattr(mixture, name)(rows))
    labels = GaussianMixtureEM(3, random_state=0).fit_predict(blocks(rows))
    assert np.bincount(labels).size == 3


def test_frames_by_block(rows):
    pd = pytest.importorskip("pandas")

    class Frames:
        n_rows, n_features = 900, 4

        def __len__(self):
            return 3

        def __getitem__(self, index):
            return pd.DataFrame(rows[300 * index : 300 * index + 300], columns=list("abcd"))

    mixture = GaussianMixtureEM(3, random_state=0).fit(Frames())
    assert mixture.feature_names_in_.tolist() == list("abcd")
    # The layout of a DataFrame, whose columns lie side by side, makes no difference.
    array = GaussianMixtureEM(3, random_state=0).fit(blocks(rows, 300))
    np.testing.assert_array_equal(mixture.covariances_, array.covariances_)
    frame = mixture.set_output(transform="pandas").transform(Frames())
    assert frame.shape == (900, 3)
    assert frame.columns.tolist() == [f"gaussianmixtureem{k}" for k in range(3)]


def test_results_in_files(rows, tmp_path):
    mixture = GaussianMixtureEM(3, random_state=0).fit(rows)
    out = map_blocks(mixture.predict_proba, blocks(rows), out=tmp_path / "proba.npy")
    assert isinstance(out, np.memmap)
    np.testing.assert_array_equal(np.load(tmp_path / "proba.npy"), mixture.predict_proba(rows))
    given = np.empty(900)
    assert map_blocks(mixture.score_samples, rows, out=given) is given
    np.testing.assert_array_equal(given, mixture.score_samples(rows))
    with pytest.raises(ValueError, match="must return one row for each"):
        map_blocks(lambda block: block[:3], blocks(rows))


def test_mapped_files(rows, tmp_path, monkeypatch):
    from emlearn.data.blocks import finding

    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    assert finding.find_blocks(mapped) is None
    monkeypatch.setattr(finding, "MAPPED_BYTES", 1000)
    assert finding.find_blocks(mapped).n_rows == 900
    assert finding.find_blocks(mapped[::2, 1:]).n_features == 3
    found = GaussianMixtureEM(3, random_state=0).fit(mapped)
    close(found, GaussianMixtureEM(3, random_state=0).fit(rows))


def test_starts_that_need_all_rows(rows):
    given = np.full((900, 2), 0.5)
    with pytest.raises(ValueError, match="needs all rows in memory"):
        GaussianMixtureEM(2, init_params=given).fit(blocks(rows))
    with pytest.raises(ValueError, match="needs all rows in memory"):
        GaussianMixtureEM(2, init_params=given, weights_init=[0.5, 0.5]).fit(blocks(rows))


def test_what_a_fit_holds(rows):
    fixed = {"means": np.r_[[[0.0] * 4], np.full((2, 4), np.nan)]}
    settings = {"fixed": fixed, "init_params": "kmeans", "random_state": 0}
    found = GaussianMixtureEM(3, **settings).fit(blocks(rows))
    close(found, GaussianMixtureEM(3, **settings).fit(rows))
    assert found.means_[0].tolist() == [0.0] * 4


def test_warm_start_and_a_second_fit(rows):
    mixture = GaussianMixtureEM(3, random_state=0, warm_start=True).fit(blocks(rows))
    first = mixture.log_likelihood_
    mixture.fit(blocks(rows))
    assert mixture.log_likelihood_ == pytest.approx(first)
    assert mixture.n_iter_ <= 2
    fresh = GaussianMixtureEM(3, random_state=0)
    fresh.fit(blocks(rows + 9.0)).fit(rows)
    assert fresh.log_likelihood_ == GaussianMixtureEM(3, random_state=0).fit(rows).log_likelihood_


def test_progress_of_long_fits(rows, capsys):
    GaussianMixtureEM(3, random_state=0, verbose=2, verbose_interval=1).fit(blocks(rows))
    assert "converged" in capsys.readouterr().out


def test_inference(rows):
    """Standard errors from blocks, which are passes as well."""
    mixture = GaussianMixtureEM(3, random_state=0, tol=1e-10).fit(rows)
    array, found = mixture.inference(rows), mixture.inference(blocks(rows))
    np.testing.assert_allclose(
        found.standard_errors["means"], array.standard_errors["means"], rtol=1e-4
    )


def test_names_of_files_are_no_rows():
    with pytest.raises(ValueError, match=r"name of a file.*open_rows"):
        GaussianMixtureEM().fit("rows.npy")


def test_datasets_of_pyarrow(rows, tmp_path):
    pa = pytest.importorskip("pyarrow")
    dataset = pytest.importorskip("pyarrow.dataset")
    table = pa.table({name: rows[:, i] for i, name in enumerate("abcd")})
    dataset.write_dataset(
        table, tmp_path, format="parquet", max_rows_per_file=400, max_rows_per_group=400
    )
    found = GaussianMixtureEM(3, random_state=0).fit(dataset.dataset(tmp_path))
    close(found, GaussianMixtureEM(3, random_state=0).fit(rows))


def test_other_functions_read_arrays_as_before(tmp_path, monkeypatch):
    """Only fits read a mapped file block by block."""
    from emlearn.data.blocks import finding
    from emlearn.impute import little_mcar_test

    X = np.random.default_rng(0).normal(size=(200, 3))
    X[::5, 1] = np.nan
    np.save(tmp_path / "rows.npy", X)
    monkeypatch.setattr(finding, "MAPPED_BYTES", 100)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    assert little_mcar_test(mapped).statistic == little_mcar_test(X).statistic
