"""The imputer on tables of numbers and categories, against direct computation and scikit-learn."""

import copy
import itertools
import pickle

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils.estimator_checks import parametrize_with_checks

from emlearn.impute import MissingDataImputerEM, multiple_imputation
from emlearn.impute.mixed import model as mixed_model
from emlearn.kernels import compiled

pd = pytest.importorskip("pandas")

# Draws for comparisons; without the kernels a draw takes hundred times as long.
MANY = 4000 if compiled is not None else 300


def frame(n=90, seed=0, holes=0.2):
    rng = np.random.default_rng(seed)
    g = rng.choice(list("abc"), n, p=[0.5, 0.3, 0.2])
    x = rng.normal(size=n) + 2.0 * (g == "a")
    y = 10.0 * x + 8.0 * rng.normal(size=n)
    s = np.where(x + rng.normal(size=n) > 0.5, "pos", "neg").astype(object)
    out = pd.DataFrame({"g": pd.Categorical(g), "x": x, "y": y, "s": s})
    for column in out:
        out.loc[rng.random(n) < holes, column] = None
    return out


def single(K=2, **settings):
    return MissingDataImputerEM(**{"model": "classes", "n_components": K, "random_state": 0,
                                   **settings})  # fmt: skip


@pytest.fixture(scope="module")
def df():
    return frame()


@pytest.fixture(scope="module")
def one(df):
    return single().fit(df)


@pytest.fixture(scope="module")
def average(df):
    return MissingDataImputerEM(random_state=0).fit(df)


def combinations_of(imputer, row):
    """Log-joint, levels and class for each way to fill the categories; numbers given these."""
    levels, names = imputer.category_levels_, list(imputer.category_levels_)
    x = row[["x", "y"]].to_numpy(float)
    o = ~np.isnan(x)
    choices = [levels[c] if pd.isna(row[c]) else [row[c]] for c in names]
    for k, picked in itertools.product(range(len(imputer.weights_)), itertools.product(*choices)):
        value, mean = np.log(imputer.weights_[k]), imputer.means_[k].copy()
        for name, level in zip(names, picked, strict=True):
            place = levels[name].index(level)
            value += np.log(imputer.probabilities_[name][k, place])
            mean += imputer.coefficients_[name][place]
        Sigma = imputer.covariances_[min(k, len(imputer.covariances_) - 1)]
        z, spread = x.copy(), np.zeros(2)
        if o.any():
            value += multivariate_normal.logpdf(x[o], mean[o], Sigma[np.ix_(o, o)])
        gain = Sigma[np.ix_(~o, o)] @ np.linalg.inv(Sigma[np.ix_(o, o)])
        z[~o] = mean[~o] + gain @ (x[o] - mean[o])
        spread[~o] = np.diag(Sigma[np.ix_(~o, ~o)] - gain @ Sigma[np.ix_(o, ~o)])
        yield value, picked, k, z, spread


def exact(imputer, df):
    density, probabilities, means, deviations = [], [], [], []
    names = list(imputer.category_levels_)
    for _, row in df.iterrows():
        found = list(combinations_of(imputer, row))
        values = np.array([value for value, *_ in found])
        density.append(logsumexp(values) if row.notna().any() else 0.0)
        share = np.exp(values - logsumexp(values))
        picked = np.array([f[1] for f in found], object)
        probabilities.append(
            [
                [share[picked[:, j] == level].sum() for level in imputer.category_levels_[c]]
                for j, c in enumerate(names)
            ]
        )
        mean = share @ np.array([f[3] for f in found])
        square = share @ np.array([f[3] ** 2 + f[4] for f in found])
        means.append(mean)
        deviations.append(np.sqrt(np.maximum(square - mean**2, 0.0)))
    tables = {c: np.array([p[j] for p in probabilities]) for j, c in enumerate(names)}
    return np.array(density), tables, np.array(means), np.array(deviations)


# ---- the published model is the model -------------------------------------------------------


@pytest.mark.parametrize("K", [1, 2])
def test_published_parameters_give_all_results(df, K):
    imputer = single(K).fit(df)
    rows = pd.concat([df.iloc[:40], df.iloc[:1].assign(g=None, x=np.nan, y=np.nan, s=None)])
    density, probabilities, means, deviations = exact(imputer, rows)
    assert_allclose(imputer.score_samples(rows), density, rtol=1e-9, atol=1e-9)
    out = imputer.transform(rows)
    assert_allclose(out[["x", "y"]], means, rtol=1e-9, atol=1e-9)
    assert_allclose(imputer.conditional_std(rows)[:, [1, 2]], deviations, rtol=1e-6, atol=1e-6)
    found, entropy = imputer.category_proba(rows), imputer.conditional_entropy(rows)
    for name, column in (("g", 0), ("s", 3)):
        p = probabilities[name]
        assert list(found[name].columns) == list(imputer.category_levels_[name])
        assert found[name].index.equals(rows.index)
        assert_allclose(found[name], p, atol=1e-10)
        assert_allclose(found[name].sum(axis=1), 1.0, rtol=1e-12)
        logs = np.log(np.where(p > 0, p, 1.0))
        assert_allclose(entropy[:, column], -(p * logs).sum(axis=1), atol=1e-9)
        best = np.array(imputer.category_levels_[name], object)[p.argmax(axis=1)]
        assert_array_equal(out[name].astype(object), best)


def test_the_score_is_the_mean_log_density(df, one, average):
    for imputer in (one, average):
        assert imputer.log_likelihood_ == pytest.approx(len(df) * imputer.score(df), abs=1e-8)
        assert imputer.score(df) == pytest.approx(imputer.score_samples(df).mean())
    assert one.log_likelihood_ == pytest.approx(one.candidates_["log_likelihood"][0], abs=1e-8)


def test_an_average_is_the_mean_of_its_models(df, average):
    assert len(average.models_) == 8
    assert_allclose(average.candidates_["weight"], 1 / 8)
    parts = [copy.deepcopy(average) for _ in average.models_]
    for part, params in zip(parts, average._mixed.average.models, strict=True):
        part._mixed = part._mixed._replace(average=part._mixed.average._replace(models=(params,)))
    density = np.array([part.score_samples(df) for part in parts])
    totals = density.sum(axis=1)
    assert_allclose(totals, average.candidates_["log_likelihood"], rtol=1e-9)
    assert_allclose(average.score_samples(df), logsumexp(density, axis=0) - np.log(8), rtol=1e-10)
    proba = np.mean([part.category_proba(df)["g"] for part in parts], axis=0)
    assert_allclose(average.category_proba(df)["g"], proba, atol=1e-12)
    numbers = np.mean([part.transform(df)[["x", "y"]] for part in parts], axis=0)
    assert_allclose(average.transform(df)[["x", "y"]], numbers, rtol=1e-10)
    # The variance of a mixture of the eight.
    squares = [
        part.transform(df)[["x", "y"]] ** 2 + part.conditional_std(df)[:, 1:3] ** 2
        for part in parts
    ]
    deviations = np.sqrt(np.maximum(np.mean(squares, axis=0) - numbers**2, 0.0))
    assert_allclose(average.conditional_std(df)[:, 1:3], deviations, atol=1e-5)


def test_ordered_categories_get_their_median(df):
    rng = np.random.default_rng(1)
    size = pd.Categorical(
        rng.choice(["s", "m", "l", "xl"], 120), ["s", "m", "l", "xl"], ordered=True
    )
    table = df.assign(size=size)
    table.loc[:30, "size"] = None
    imputer = single().fit(table)
    proba = imputer.category_proba(table)["size"].to_numpy()[:31]
    median = (np.cumsum(proba, axis=1) < 0.5).sum(axis=1)
    assert_array_equal(imputer.transform(table)["size"].cat.codes[:31], median)
    assert (median != proba.argmax(axis=1)).any()


@pytest.mark.parametrize("name", ["weights_", "means_", "covariances_", "probabilities_",
                                  "coefficients_"])  # fmt: skip
def test_published_parameters_cannot_be_set(df, one, average, name):
    for imputer in (copy.deepcopy(one), copy.deepcopy(average)):
        value = getattr(one, name)
        changed = {} if isinstance(value, dict) else 2.0 * value
        setattr(imputer, name, changed)
        for method in ("transform", "score_samples", "category_proba", "conditional_std"):
            with pytest.raises(ValueError, match=f"^{name} of a model .* cannot be set"):
                getattr(imputer, method)(df)
    with pytest.raises((AttributeError, ValueError)):
        one.models_[0].weights[0] = 1.0


def test_parameters_of_gaussians_can_still_be_given():
    for model in ("auto", "gaussian"):
        imputer = MissingDataImputerEM.from_parameters(
            [0, 10], [[1, 0.5], [0.5, 1]], model=model
        )  # fmt: skip
        assert_allclose(imputer.transform([[2.0, np.nan], [np.nan, np.nan]]), [[2, 11], [0, 10]])


# ---- what changes nothing -------------------------------------------------------------------


def test_units_and_order_do_not_matter(df):
    imputer = single(1, tol=1e-10).fit(df)
    expected, density = imputer.transform(df), imputer.score_samples(df)

    scaled = df.assign(x=1e6 * df.x - 5e6, y=-1e-3 * df.y)
    other = single(1, tol=1e-10).fit(scaled)
    out = other.transform(scaled)
    assert_allclose((out.x + 5e6) / 1e6, expected.x, rtol=1e-5, atol=1e-5)
    assert_allclose(out.y / -1e-3, expected.y, rtol=1e-5, atol=1e-4)
    assert_array_equal(out[["g", "s"]], expected[["g", "s"]])
    jacobian = np.log(1e6) * df.x.notna() + np.log(1e-3) * df.y.notna()
    assert_allclose(other.score_samples(scaled) + jacobian, density, atol=1e-5)

    rows = np.random.default_rng(0).permutation(len(df))
    out = single(1, tol=1e-10).fit(df.iloc[rows]).transform(df)
    assert_allclose(out[["x", "y"]], expected[["x", "y"]], atol=1e-5)
    assert_array_equal(out[["g", "s"]], expected[["g", "s"]])

    swapped = df[["s", "y", "g", "x"]]
    out = single(1, tol=1e-10).fit(swapped).transform(swapped)
    assert_allclose(out[["x", "y"]], expected[["x", "y"]], atol=1e-5)
    assert_array_equal(out[["g", "s"]], expected[["g", "s"]])

    names = {"a": "z", "b": "y", "c": "x", "pos": "A", "neg": "B"}
    renamed = df.assign(g=df.g.astype(object).map(names), s=df.s.map(names))
    out = single(1, tol=1e-10).fit(renamed).transform(renamed)
    assert_allclose(out[["x", "y"]], expected[["x", "y"]], atol=1e-5)
    assert_array_equal(out.g, expected.g.astype(object).map(names))
    assert_array_equal(out.s, expected.s.map(names))


def test_weights_are_copies(df):
    copies = np.arange(len(df)) % 3
    weighted = single(1, tol=1e-10).fit(df, sample_weight=copies)
    repeated = df.loc[df.index.repeat(copies)].reset_index(drop=True)
    copied = single(1, tol=1e-10).fit(repeated)
    assert weighted.log_likelihood_ == pytest.approx(copied.log_likelihood_, abs=1e-6)
    assert_allclose(weighted.means_, copied.means_, rtol=1e-4, atol=1e-4)
    assert weighted.score(df, sample_weight=copies) == pytest.approx(copied.score(repeated))
    assert weighted.models_[0].bic == pytest.approx(copied.models_[0].bic, abs=1e-5)


def test_fits_do_not_depend_on_earlier_ones(df, one):
    other = frame(80, seed=5)
    again = single().fit(other).fit(df)
    assert again.transform(df).equals(one.transform(df))
    # Of other kinds of tables, too.
    numbers = single().fit(df).set_params(model="auto", n_components=1).fit(df[["x", "y"]])
    assert not hasattr(numbers, "models_")
    assert_array_equal(
        numbers.transform(df[["x", "y"]]), MissingDataImputerEM().fit_transform(df[["x", "y"]])
    )
    mixed = single().set_params(model="gaussian").fit(df[["x", "y"]]).set_params(model="classes")
    assert mixed.fit(df).transform(df).equals(one.transform(df))


def test_threads_do_not_change_a_bit():
    table = frame(600, seed=2)
    fits = [single(n_jobs=n_jobs).fit(table) for n_jobs in (1, 2)]
    assert_array_equal(fits[0].means_, fits[1].means_)
    assert fits[0].transform(table).equals(fits[1].transform(table))


@pytest.mark.parametrize("margins", ["raw", "power"])
def test_a_warm_start_goes_on(df, margins):
    imputer = single(margins=margins, warm_start=True).fit(df)
    first, steps = imputer.log_likelihood_, imputer.n_iter_
    imputer.fit(df)
    assert imputer.n_iter_ < steps
    assert imputer.log_likelihood_ == pytest.approx(first, abs=0.01)
    # Other rows, with another level.
    more = pd.concat([df.astype({"g": object}), pd.DataFrame({"g": ["d"] * 9, "x": range(9)})])
    imputer.fit(more.reset_index(drop=True))
    assert imputer.category_levels_["g"] == ("a", "b", "c", "d")
    assert np.isfinite(imputer.score_samples(more)).all()


def test_copies_are_the_same(df, one, average, tmp_path):
    for imputer in (one, average):
        expected = imputer.transform(df)
        joblib.dump(imputer, tmp_path / "imputer")
        for copied in (
            pickle.loads(pickle.dumps(imputer)),
            copy.deepcopy(imputer),
            joblib.load(tmp_path / "imputer"),
        ):
            assert copied.transform(df).equals(expected)
            assert_array_equal(copied.score_samples(df), imputer.score_samples(df))
        assert not hasattr(clone(imputer), "models_")


# ---- rows -----------------------------------------------------------------------------------


def test_single_rows_are_like_many(df, average):
    together = average.transform(df)
    for i in range(0, 40, 3):
        alone = average.transform(df.iloc[[i]])
        assert_allclose(alone[["x", "y"]], together[["x", "y"]].iloc[[i]], rtol=1e-12)
        assert alone[["g", "s"]].equals(together[["g", "s"]].iloc[[i]])


def test_a_row_without_entries_gets_the_overall_distribution(df, one):
    empty = df.iloc[:1].assign(g=None, x=np.nan, y=np.nan, s=None)
    assert_allclose(one.score_samples(empty), 0.0, atol=1e-12)
    proba = one.category_proba(empty)["g"].to_numpy()[0]
    assert_allclose(proba, one.weights_ @ one.probabilities_["g"], rtol=1e-10)
    more = single().fit(pd.concat([df, empty], ignore_index=True))
    assert more.log_likelihood_ == pytest.approx(one.log_likelihood_, abs=1e-9)


def test_unseen_levels(df, one):
    new = df.iloc[:3].copy()
    new["s"], new["g"] = ["weird", None, "pos"], new["g"].astype(object)
    new.loc[new.index[0], "x"] = np.nan
    out = one.transform(new)
    assert out.s.iloc[0] == "weird"
    assert out.s.iloc[1] in ("pos", "neg")
    as_missing = one.transform(new.assign(s=[None, None, "pos"]))
    assert_allclose(out[["x", "y"]], as_missing[["x", "y"]], rtol=1e-12)
    assert_allclose(one.score_samples(new), one.score_samples(new.assign(s=[None, None, "pos"])))
    strict = copy.deepcopy(one).set_params(unseen="error")
    with pytest.raises(ValueError, match=r"'s'.*weird|weird.*'s'"):
        strict.transform(new)


def test_numbers_far_out_lead_to_no_nan(df, one, average):
    rows = df.iloc[:4].copy()
    rows.loc[0, "x"], rows.loc[1, "y"] = 1e200, -1e300
    rows.loc[0, ["g", "y"]], rows.loc[1, ["s", "x"]] = None, None
    for imputer in (one, average):
        out = imputer.transform(rows)
        assert np.isfinite(out[["x", "y"]].to_numpy(float)).all()
        assert np.isfinite(imputer.score_samples(rows)).all()
        assert np.isfinite(imputer.conditional_std(rows)).all()
        assert_allclose(imputer.category_proba(rows)["g"].sum(axis=1), 1.0)
    table = df.astype({"x": float})
    table.loc[0, "x"] = 1e200
    with pytest.raises(ValueError, match=r"column 'x' spread by about .* out of range"):
        single().fit(table)


def test_the_indicator_follows(df):
    out = single(add_indicator=True).fit_transform(df)
    names = [f"missingindicator_{name}" for name in df]
    assert list(out.columns) == [*df, *names]
    assert_array_equal(out[names].to_numpy(bool), df.isna())
    assert not out[list(df)].isna().any().any()


def test_containers(df, one):
    pl = pytest.importorskip("polars")
    expected = one.transform(df)
    assert expected.dtypes.equals(df.dtypes)
    array = copy.deepcopy(one).set_output(transform="default").transform(df)
    assert_array_equal(np.asarray(array, object), expected.to_numpy(object))
    columns = {name: df[name].astype(object).where(df[name].notna(), None).tolist() for name in df}
    other = pl.DataFrame(columns, strict=False).with_columns(pl.col("g").cast(pl.Categorical))
    imputer = single().fit(other)
    for out in (
        imputer.transform(other),
        imputer.set_output(transform="polars").transform(other),
    ):
        assert isinstance(out, pl.DataFrame)
        assert out.dtypes == other.dtypes
        assert_allclose(out["x"].to_numpy(), expected.x, rtol=1e-9)
        assert out["s"].to_list() == expected.s.tolist()
    assert isinstance(single().set_output(transform="pandas").fit_transform(other), pd.DataFrame)
    objects = df.astype(object).where(df.notna(), None).to_numpy()
    out = single().fit_transform(objects)
    assert out.dtype == object
    assert out[:, 0].tolist() == expected.g.tolist()
    assert_allclose(out[:, 1:3].astype(float), expected[["x", "y"]], rtol=1e-9)


# ---- with scikit-learn ----------------------------------------------------------------------


def test_a_search_over_models(df):
    grid = {"n_components": [1, 2], "margins": ["raw", "power"]}
    search = GridSearchCV(single(), grid, cv=2, error_score="raise").fit(df)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all()
    assert len(np.unique(scores)) == 4
    assert search.best_score_ == scores.max()
    assert not search.transform(df).isna().any().any()


def test_a_pipeline_with_dummies(df):
    y = np.where(df.x.fillna(0.0) > 1.0, "high", "low")
    encode = make_column_transformer((OneHotEncoder(), ["g", "s"]), remainder="passthrough")
    model = make_pipeline(single(), encode, LogisticRegression()).fit(df, y)
    assert set(model.predict(df)) == {"high", "low"}
    assert model.score(df, y) > max(0.8, (y == "high").mean(), (y == "low").mean())


@parametrize_with_checks(
    [
        MissingDataImputerEM(model="classes", n_components=2, max_iter=50, tol=1e-2),
        MissingDataImputerEM(model="average", margins="raw", max_iter=20, tol=1e-1),
    ]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learn_checks(estimator, check):
    check(estimator)


# ---- draws ----------------------------------------------------------------------------------


def test_draws_repeat_and_spread(df, one):
    imputer = copy.deepcopy(one).set_params(sample_posterior=True)
    first, second = imputer.transform(df), imputer.transform(df)
    assert first.equals(second)
    other = imputer.set_params(random_state=1).transform(df)
    assert (first.x != other.x)[df.x.isna()].all()
    assert first[df.notna()].equals(df[df.notna()].astype(first.dtypes.to_dict()))
    row = df[df.x.isna() & df.g.isna() & df.y.notna()].iloc[[0]]
    many = imputer.transform(pd.concat([row] * MANY, ignore_index=True))
    p = one.category_proba(row)["g"].to_numpy()[0]
    counts = many.g.value_counts().reindex(["a", "b", "c"]).to_numpy() / MANY
    assert (np.abs(counts - p) < 4.5 * np.sqrt(p * (1 - p) / MANY) + 1e-9).all()
    deviation = one.conditional_std(row)[0, 1]
    assert many.x.mean() == pytest.approx(
        one.transform(row).x.iloc[0], abs=4.5 * deviation / MANY**0.5
    )
    assert many.x.std() == pytest.approx(deviation, rel=4.0 / MANY**0.5)


def bounded(imputer, row, low, high, n=MANY):
    imputer = copy.deepcopy(imputer).set_params(sample_posterior=True, bounds={"x": (low, high)})
    return imputer.transform(pd.concat([row] * n, ignore_index=True))


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("low", "high"), [(4.2, None), (None, -2.5), (2.0, 2.6), (3.5, 9.0)])
def test_one_bounded_hole_follows_the_truncated_mixture(df, one, known, low, high):
    row = df[df.y.notna()].iloc[[0]].assign(x=np.nan, y=0.0)
    row = row.assign(g="b", s="neg") if known else row.assign(g=None, s=None)
    out = bounded(one, row, low, high)
    low, high = (-np.inf if low is None else low), (np.inf if high is None else high)
    assert out.x.between(low, high).all()
    found = list(combinations_of(one, row.iloc[0]))
    mean, spread = np.array([f[3][0] for f in found]), np.sqrt([f[4][0] for f in found])
    inside = norm.cdf(high, mean, spread) - norm.cdf(low, mean, spread)
    share = np.exp([f[0] for f in found]) * inside
    share /= share.sum()

    def cdf(x):
        part = norm.cdf(x, mean, spread) - norm.cdf(low, mean, spread)
        return share @ (part / np.where(inside > 0, inside, 1.0))

    x = np.sort(out.x.to_numpy())
    steps = np.array([cdf(value) for value in x])
    # Kolmogorov and Smirnov's distance, at a level of 1e-5.
    assert np.abs(steps - (np.arange(len(x)) + 0.5) / len(x)).max() < 2.5 / np.sqrt(len(x))
    for name, j in (("g", 0), ("s", 1)):
        for level in one.category_levels_[name]:
            p = share[[f[1][j] == level for f in found]].sum()
            error = np.sqrt(max(p * (1.0 - p), 1e-6) / len(x))
            assert abs((out[name] == level).mean() - p) < 4.5 * error


@pytest.mark.parametrize("most", [64, 1])
def test_categories_that_the_numbers_tell_apart(monkeypatch, most):
    """Bounds between two groups: summed out, their shares are right; Gibbs sampling stays put."""
    monkeypatch.setattr("emlearn.impute.mixed.bounded._MOST_COMPONENTS", most)
    rng = np.random.default_rng(0)
    g = np.repeat(["a", "b"], 100)
    table = pd.DataFrame({"g": g, "x": np.where(g == "a", -4.0, 4.0) + rng.normal(size=200)})
    imputer = single(1).fit(table)
    low, high = -2.0, 1.5
    out = bounded(imputer, pd.DataFrame({"g": [None], "x": [np.nan]}), low, high)
    assert out.x.between(low, high).all()
    mean = imputer.means_[0, 0] + imputer.coefficients_["g"][:, 0]
    spread = np.sqrt(imputer.covariances_[0, 0, 0])
    mass = norm.cdf(high, mean, spread) - norm.cdf(low, mean, spread)
    mass *= imputer.probabilities_["g"][0]
    p = mass[0] / mass.sum()
    assert p > 0.7
    exact = abs((out.g == "a").mean() - p) < 4.5 * np.sqrt(p * (1 - p) / len(out))
    assert exact == (most > 1)


def test_several_bounded_holes(df, one):
    row = df.iloc[[0]].assign(x=np.nan, y=np.nan, g=None, s="pos")
    imputer = copy.deepcopy(one).set_params(
        sample_posterior=True, bounds={"x": (2.5, None), "y": (None, 12.0)}
    )
    out = imputer.transform(pd.concat([row] * MANY, ignore_index=True))
    assert (out.x >= 2.5).all()
    assert (out.y <= 12.0).all()
    # Rejection from draws without bounds.
    free = copy.deepcopy(one).set_params(sample_posterior=True, random_state=3)
    many = free.transform(pd.concat([row] * (20 * MANY), ignore_index=True))
    kept = many[(many.x >= 2.5) & (many.y <= 12.0)]
    assert len(kept) > MANY / 10
    for name in ("x", "y"):
        error = np.hypot(kept[name].std() / len(kept) ** 0.5, out[name].std() / MANY**0.5)
        assert abs(out[name].mean() - kept[name].mean()) < 4.5 * error
    p = (kept.g == "a").mean()
    error = np.sqrt(p * (1 - p) * (1 / MANY + 1 / len(kept)))
    assert abs((out.g == "a").mean() - p) < 4.5 * error


def test_means_within_bounds(df):
    out = single(bounds={"y": (0.0, 5.0)}).fit_transform(df)
    missing = df.y.isna()
    assert out.y[missing].between(0.0, 5.0).all()
    assert_array_equal(out.y[~missing], df.y[~missing].astype(float))
    with pytest.raises(ValueError, match="'g' holds categories, which have no bounds"):
        single(bounds={"g": (0, 1)}).fit(df)


def test_many_combinations_are_warned_of(df, one, monkeypatch):
    monkeypatch.setattr(mixed_model, "MOST_COMBINATIONS", 5.0)
    monkeypatch.setattr("emlearn.impute._mixed.MOST_COMBINATIONS", 5.0)
    coupled = df[["g", "s"]].isna().all(axis=1) & df[["x", "y"]].notna().any(axis=1)
    message = rf"^{coupled.sum()} rows lack so many .* 5 combinations .*\(column 'g', column 's'\)"
    with pytest.warns(UserWarning, match=message):
        approximate = single().fit(df)
    assert approximate.log_likelihood_ < one.log_likelihood_ + 1e-3
    assert not approximate.transform(df).isna().any().any()
    drawn = approximate.set_params(sample_posterior=True).transform(df)
    assert not drawn.isna().any().any()


def test_multiple_imputation_of_categories(df):
    tables = multiple_imputation(single(), df, n_imputations=4, output="list", random_state=0)
    assert len(tables) == 4
    for table in tables:
        assert not table.isna().any().any()
        assert table.dtypes.equals(df.dtypes)
        assert table[df.notna()].equals(df[df.notna()].astype(table.dtypes.to_dict()))
    missing = df.g.isna()
    assert len({tuple(table.g[missing]) for table in tables}) == 4
