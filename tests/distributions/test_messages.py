"""What is refused is refused with a name, a row or a column, and says what to do."""

import pickle

import numpy as np
import pytest
from scipy.sparse import csr_array

from emlearn import FiniteMixtureEM, GaussianMixtureEM, HiddenMarkovEM, MissingDataImputerEM
from emlearn.distributions import (
    Categorical,
    DomainError,
    Family,
    Mixture,
    Multinomial,
    Poisson,
    Product,
    find_family,
)
from emlearn.distributions._domain import ColumnError

pd = pytest.importorskip("pandas")

OF_FAMILIES = pytest.mark.parametrize("cls", [FiniteMixtureEM, HiddenMarkovEM])
ALL = pytest.mark.parametrize(
    "make",
    [
        lambda: FiniteMixtureEM(2, random_state=0),
        lambda: HiddenMarkovEM(2, random_state=0),
        lambda: GaussianMixtureEM(2, random_state=0),
        lambda: MissingDataImputerEM(random_state=0),
    ],
    ids=["finite", "markov", "gaussian", "imputer"],
)


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame(rng.poisson(3.0, (30, 3)).astype(float), columns=["visits", "age", "sex"])


# ---- the argument `family` ------------------------------------------------------------


@OF_FAMILIES
@pytest.mark.parametrize("family", ["normal", 3.0, None, [], np.zeros(2), [("normal", [0])]])
def test_families_that_there_are_not(cls, family, frame):
    with pytest.raises(ValueError, match=r"family must be one of 'bernoulli', .*got ") as caught:
        cls(2, family=family).fit(frame)
    assert "._" not in str(caught.value)


@OF_FAMILIES
def test_a_class_in_the_place_of_a_family(cls, frame):
    with pytest.raises(ValueError, match=r"Pass an instance of it: Poisson\(\)\."):
        cls(2, family=Poisson).fit(frame)
    with pytest.raises(ValueError, match="family must be one of") as caught:
        cls(2, family=int).fit(frame)
    assert "instance" not in str(caught.value)


@pytest.mark.parametrize("family", [["poisson"], [("poisson",)], [("poisson", [0], 1)]])
def test_lists_of_anything_but_pairs(family):
    with pytest.raises(ValueError, match="consists of pairs"):
        find_family(family)


@OF_FAMILIES
def test_columns_of_no_family(cls, frame):
    family = [("poisson", ["visits"]), ("categorical", ["sex"])]
    with pytest.raises(ValueError, match="Column 'age' of X must be named in the list") as caught:
        cls(1, family=family).fit(frame)
    assert "('ignore', columns)" in str(caught.value)
    with pytest.raises(ValueError, match="Column 1 of X must be named in the list"):
        cls(1, family=[("poisson", [0]), ("categorical", [2])]).fit(frame.to_numpy())
    model = cls(1, family=[*family, ("ignore", ["age"])], random_state=0).fit(frame)
    without = [("poisson", ["visits"]), ("categorical", ["sex"])]
    rest = cls(1, family=without, random_state=0).fit(frame.drop(columns="age"))
    assert model.score(frame) == rest.score(frame.drop(columns="age"))
    drawn = model.sample(20)[0]
    assert drawn.shape == (20, 3)
    assert np.isnan(drawn).sum(axis=0).tolist() == [0, 20, 0]
    model.predict(pd.DataFrame(drawn, columns=frame.columns))


# ---- rows -----------------------------------------------------------------------------


@OF_FAMILIES
def test_entries_outside_the_domain_name_row_and_column(cls, frame):
    wrong = frame.copy()
    wrong.iloc[7, 1] = 2.5
    family = [("categorical", [0, 2]), ("poisson", [1])]
    for own in ("poisson", family):
        model = cls(1, family=own, random_state=0)
        with pytest.raises(ValueError, match=r"X has 2\.5 in row 7, column 'age', but"):
            model.fit(wrong)
        with pytest.raises(ValueError, match=r"X has 2\.5 in row 7, column 1, but needs counts"):
            model.fit(wrong.to_numpy())
        with pytest.raises(ValueError, match=r"X has 2\.5 in row 7, column 'age', but"):
            model.fit(frame).predict(wrong)


@OF_FAMILIES
def test_columns_without_a_description_are_named(cls, frame):
    declared = [("poisson", [0]), (Categorical(n_levels=2), [1, 2])]
    frame["age"] = 1.0
    frame.iloc[4, 2] = 9.0
    with pytest.raises(ValueError, match=r"Column 'sex' of X has the code \d.*n_levels: 0, 1\."):
        cls(1, family=declared).fit(frame)
    many = Product(((Poisson(), (0,)), (Categorical(), (2, 1)))).at_columns(None, 3)
    X = np.c_[np.zeros(70000), np.arange(70000.0), np.zeros(70000)]
    with pytest.raises(ColumnError, match="Column 1 of X has 70000 different codes"):
        many.column_spec(X)


def test_columns_of_gaussian_parts_are_those_of_x(frame):
    family = [("poisson", [1]), ("gaussian", [0, 2])]
    for value, message in ((np.nan, "has no observed value"), (1e200, "must be in other units")):
        frame["sex"] = np.where(np.arange(30) % 2, value, -value)
        model = FiniteMixtureEM(1, family=family)
        with pytest.raises(ValueError, match=f"Column 'sex' of X {message}"):
            model.fit(frame)
        with pytest.raises(ValueError, match=f"Column 2 of X {message}"):
            model.fit(frame.to_numpy())
    with pytest.raises(ValueError, match="Column 'sex' of X must be in other units"):
        GaussianMixtureEM(1).fit(frame)


@pytest.mark.parametrize(
    "error",
    [
        DomainError(2.5, 7, 1, "counts"),
        ColumnError([1, 2], "are wrong."),
        ColumnError(["a"], "is wrong."),
    ],
)
def test_errors_survive_pickling(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)


def test_errors_at_other_positions():
    names = np.array(["x", "y", "z"], object)
    entry, columns = DomainError(2.5, 7, 1, "counts"), ColumnError([1, 2], "are wrong.")
    assert "row 17, column 2," in str(entry.at(rows=np.arange(10, 20), columns=[0, 2]))
    assert "row 7, column 'y'," in str(entry.at(columns=names))
    assert str(columns.at(columns=np.array([5, 4, 3]))) == "Columns [4, 3] of X are wrong."
    assert str(columns.at(columns=names)) == "Columns ['y', 'z'] of X are wrong."


@ALL
@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("Oslo", ValueError, "Text in column 'age' of X, row 3"),
        (np.inf, ValueError, "infinity.*column 'age', row 3"),
        (object(), TypeError, "Not a number in column 'age' of X, row 3"),
        (1j, ValueError, "Complex data not supported: column 'age' of X"),
    ],
)
def test_entries_that_are_no_numbers(make, value, error, message, frame):
    frame = frame + np.random.default_rng(0).normal(size=(30, 3))
    fitted = make().fit(frame)
    wrong = frame.astype(object)
    wrong.iloc[3, 1] = value
    use = getattr(fitted, "predict", None) or fitted.transform
    for call in (make().fit, use):
        with pytest.raises(error, match=message):
            call(wrong)
    use(frame.astype(object))


@pytest.mark.parametrize("method", ["fit", "predict", "score"])
def test_several_sequences_in_a_list(method, frame):
    X = frame.to_numpy()
    model = HiddenMarkovEM(1, family="poisson", random_state=0).fit(X)
    for several in ([X[:10], X[10:]], [X[:15], X[15:]], X.reshape(3, 10, 3)):
        assert getattr(model, method)(several) is not None
        with pytest.raises(ValueError, match=r"2D array|dim <= 2") as caught:
            FiniteMixtureEM(1, family="poisson").fit(several)
        assert "lengths" not in str(caught.value)


# ---- draws ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "public"),
    [
        (Poisson(), {"rate": [[1.0, 1e300]]}),
        (Poisson(), {"rate": [[1.0, 9.3e18]]}),
        (Mixture(Poisson(), 1), {"weight": [[1.0]], "rate": [[[1e19, 2.0]]]}),
    ],
)
def test_counts_that_are_too_large_to_draw(family, public):
    spec = family.spec_of(public)
    params = family.from_public(public, spec)
    with pytest.raises(ValueError, match=r"Counts cannot be drawn: the largest rate is .*64-bit"):
        family.sample(params, spec, np.zeros(3, int), np.random.default_rng(0))
    large = Poisson().from_public({"rate": [[9e18]]}, Poisson().spec_of({"rate": [[9e18]]}))
    drawn = Poisson().sample(large, None, np.zeros(3, int), np.random.default_rng(0))
    assert np.abs(drawn / 9e18 - 1.0).max() < 1e-8


def test_documents_that_are_too_long_to_draw():
    X = np.array([[1e300, 0.0], [0.0, 1e300]])
    family: Family = Multinomial()
    spec = family.column_spec(X)
    params = family.pooled(1, spec)
    with pytest.raises(ValueError, match="Counts cannot be drawn: the largest sum of a fitted row"):
        family.sample(params, spec, np.zeros(3, int), np.random.default_rng(0))
    spec = family.column_spec(X / 1e284)
    drawn = family.sample(family.pooled(1, spec), spec, np.zeros(3, int), np.random.default_rng(0))
    assert (drawn.sum(axis=1) >= 1e16).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"family": "gaussian"}, r"family of a Mixture must be a family, such as Poisson\(\)"),
        ({"family": Poisson(), "n_parts": 0}, "n_parts must be an integer >= 1, got 0"),
        ({"family": Poisson(), "n_parts": 1.5}, "n_parts must be an integer >= 1, got 1.5"),
        ({"family": Poisson(), "alpha": -1.0}, "alpha must be a number >= 0, got -1.0"),
    ],
)
def test_settings_of_a_mixture(settings, message):
    with pytest.raises(ValueError, match=message):
        Mixture(**settings)


@pytest.mark.parametrize("family", ["poisson", "multinomial", "dirichlet_multinomial"])
@pytest.mark.parametrize("cls", [FiniteMixtureEM, HiddenMarkovEM])
def test_counts_beyond_what_can_be_computed(cls, family):
    model = cls(2, family=family, random_state=0).fit(np.arange(20.0).reshape(10, 2))
    assert np.isfinite(model.score([[1e300, 1e300]] * 3))
    with pytest.raises(ValueError, match=r"1e\+308 in row 1, column 0.*at most 1e\+300"):
        model.score([[1.0, 2.0], [1e308, 1e308]])


def test_counts_beyond_what_can_be_computed_in_sparse_rows():
    model = FiniteMixtureEM(2, family="multinomial", random_state=0).fit([[1.0, 2.0], [3.0, 0.0]])
    with pytest.raises(ValueError, match=r"1e\+308 in row 0, column 1.*at most 1e\+300"):
        model.score(csr_array([[0.0, 1e308]]))
