"""Columns of words: codes inside, words outside."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from emlearn import HiddenMarkovEM
from emlearn.distributions import Categorical, Mixture

RNG = np.random.default_rng(0)
WORDS = np.array(["rain", "sun", "fog", "snow"])
STATES = np.repeat(RNG.integers(2, size=40), 5)
CODES = np.where(STATES, RNG.choice(4, 200, p=[0.1, 0.7, 0.1, 0.1]), RNG.choice(4, 200))
TEXT = WORDS[CODES][:, None]
ORDER = np.argsort(WORDS)  # fog, rain, snow, sun
LEVELS = WORDS[ORDER].tolist()


def fit(X, **settings):
    return HiddenMarkovEM(
        2, family="categorical", tol=1e-6, init_params="rows", random_state=0
    ).fit(X, **settings)


BY_CODE = fit(np.argsort(ORDER)[CODES][:, None])


def frame(values):
    return pytest.importorskip("pandas").DataFrame({"weather": values})


@pytest.mark.parametrize(
    "make",
    [
        lambda: TEXT,
        lambda: TEXT.astype(object),
        lambda: TEXT.tolist(),
        lambda: frame(TEXT[:, 0]),
        lambda: frame(TEXT[:, 0]).astype("category"),
        lambda: frame(TEXT[:, 0]).astype("string"),
        lambda: pytest.importorskip("polars").DataFrame({"weather": TEXT[:, 0]}),
    ],
)
def test_words_are_codes_in_order(make):
    X = make()
    found = fit(X)
    assert_array_equal(
        found.component_params_["probability"], BY_CODE.component_params_["probability"]
    )
    assert found.levels_[0].tolist() == LEVELS
    assert_array_equal(found.predict(X), BY_CODE.predict(np.argsort(ORDER)[CODES][:, None]))
    drawn, _ = found.sample(30)
    assert set(drawn[:, 0]) <= set(LEVELS)
    expected, _ = BY_CODE.sample(30)
    assert_array_equal(drawn[:, 0], np.array(LEVELS)[expected[:, 0].astype(int)])
    again = pickle.loads(pickle.dumps(found))
    assert again.score(X) == found.score(X)


def test_lists_of_words():
    """The common form: one array of words for each sentence."""
    found = fit([TEXT[:90, 0], TEXT[90:, 0]])
    assert_array_equal(found.transmat_, fit(TEXT, lengths=[90, 110]).transmat_)


def test_the_order_of_a_dtype():
    pd = pytest.importorskip("pandas")
    dtype = pd.CategoricalDtype(["sun", "rain", "snow", "fog", "hail"], ordered=True)
    found = fit(frame(TEXT[:, 0]).astype(dtype))
    assert found.levels_[0].tolist() == ["sun", "rain", "snow", "fog"]
    assert_allclose(
        found.score(frame(TEXT[:, 0])), BY_CODE.score(np.argsort(ORDER)[CODES][:, None]), rtol=1e-6
    )


def test_missing_and_unseen():
    holed = TEXT.astype(object)
    holed[3:6] = None
    holed[7] = np.nan
    by_code = np.argsort(ORDER)[CODES][:, None].astype(float)
    by_code[[3, 4, 5, 7]] = np.nan
    assert_array_equal(fit(holed).transmat_, fit(by_code).transmat_)
    new = TEXT.astype(object)
    new[5] = "hail"
    gone = new.copy()
    gone[5] = None
    known = fit(TEXT)
    assert_array_equal(known.predict_proba(new), known.predict_proba(gone))
    strict = HiddenMarkovEM(2, family=Categorical(unseen="error"), random_state=0).fit(TEXT)
    assert strict.score(gone) < 0
    message = (
        r"Column 0 of X has 'hail' in row 5, .* not seen in fit.* 'fog', 'rain', 'snow', 'sun'"
    )
    with pytest.raises(ValueError, match=message):
        strict.predict(new)


def test_mixed_columns():
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(
        {"weather": TEXT[:, 0], "count": RNG.poisson(2 + 5 * STATES), "who": ["a"] * 200}
    )
    family = [("poisson", ["count"]), ("categorical", ["weather"])]
    settings = {"sequence_column": "who", "random_state": 0}
    found = HiddenMarkovEM(2, family=family, **settings).fit(table)
    assert found.levels_[1] is None
    assert found.levels_[0].tolist() == LEVELS
    rows, _ = found.sample(10)
    assert rows.dtype == object
    assert set(rows[:, 0]) <= set(LEVELS)
    assert all(float(value) >= 0 for value in rows[:, 1])
    drawn = pd.DataFrame(rows, columns=["weather", "count"]).assign(who="b")
    assert np.isfinite(found.score(drawn))
    expected = found.forecast(2)
    assert np.isnan(expected[:, 0]).all()
    assert np.isfinite(expected[:, 1]).all()
    nested = HiddenMarkovEM(2, family=Mixture(Categorical()), random_state=0).fit(
        table[["weather"]]
    )
    assert nested.levels_[0].tolist() == LEVELS


def test_numbers_stay_codes():
    """Text that reads as numbers, and any numbers, are codes as they always were."""
    codes = CODES[:, None]
    for X in (codes, codes.astype(float), codes.astype(str), codes.astype(object)):
        found = fit(X)
        assert found.levels_[0].tolist() == [0.0, 1.0, 2.0, 3.0]
        assert found.sample(5)[0].dtype == np.float64


def test_a_warm_start_keeps_what_is_known():
    first = fit(TEXT[CODES != 2])
    assert first.levels_[0].tolist() == ["rain", "snow", "sun"]
    first.set_params(warm_start=True, max_iter=0)
    before = first.component_params_["probability"]
    again = first.fit(TEXT)
    assert again.levels_[0].tolist() == ["rain", "snow", "sun", "fog"]
    after = again.component_params_["probability"]
    assert_allclose(after[:, :, :3] / after[:, :, :3].sum(axis=2, keepdims=True), before, rtol=1e-9)


def test_text_for_other_families():
    with pytest.raises(ValueError, match="Text in column 0 of X, row 0"):
        HiddenMarkovEM(2, random_state=0).fit(TEXT)
    with pytest.raises(ValueError, match="Text in column 0 of X, row 0"):
        fit(CODES[:, None]).predict(TEXT)
    wrong = TEXT.astype(object)
    wrong[0, 0] = {"a": 1}
    with pytest.raises(TypeError, match="lists, dicts or the like"):
        fit(TEXT).predict(wrong)
    with pytest.raises(TypeError, match="Not a number in column 0 of X, row 0"):
        fit(wrong)
