"""Properties of mixtures and hidden Markov models of any family."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from emlearn import FiniteMixtureEM, HiddenMarkovEM
from emlearn.distributions import (
    Categorical,
    DirichletMultinomial,
    Gamma,
    Gaussian,
    Mixture,
    Multinomial,
    NegativeBinomial,
    Poisson,
    VonMises,
    ZeroInflated,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

FAMILIES = {
    "full": Gaussian("full"),
    "tied": Gaussian("tied"),
    "diag": Gaussian("diag"),
    "poisson": Poisson(),
    "gamma": Gamma(),
    "von_mises": VonMises(),
    "negative_binomial": NegativeBinomial(),
    "zero_inflated": ZeroInflated(),
    "categorical": Categorical(),
    "multinomial": Multinomial(),
    "dirichlet_multinomial": DirichletMultinomial(),
    "mixture": Mixture(Poisson()),
    "product": [("poisson", [0]), (Gaussian("diag"), [1]), ("categorical", [2])],
}
#: Sequences of which some are copies of each other.
LENGTHS = np.array([9, 4, 9, 1, 7, 4, 12, 3, 9, 2])
BOTH = pytest.mark.parametrize("cls", [FiniteMixtureEM, HiddenMarkovEM])


def draw(name, seed=0, holes=0.1):
    """Two kinds of rows, in runs. The third sequence is a copy of the first."""
    rng = np.random.default_rng(seed)
    side = np.repeat(rng.integers(2, size=20), 3)[: LENGTHS.sum(), None]
    X = rng.poisson(np.where(side, 6.0, 1.0), (len(side), 3)).astype(float)
    if name in ("full", "tied", "diag"):
        X = rng.normal(size=X.shape) * [1.0, 20.0, 0.1] + side * 4.0 + [0.0, 50.0, -3.0]
    if name in ("categorical", "product"):
        X = np.minimum(X, 3.0)
    if name == "gamma":
        X = X + rng.uniform(0.2, 1.0, X.shape)
    X[rng.random(X.shape) < holes] = np.nan
    X[13:22] = X[:9]
    return X


def fit(cls, name, X, lengths=None, weight=None, **settings):
    """A fit. A mixture has a weight for each row, a chain for each sequence."""
    given = {"family": FAMILIES[name], "init_params": "rows", "random_state": 0, "tol": 1e-9}
    model = cls(2, **{**given, **settings})
    if cls is FiniteMixtureEM:
        return model.fit(X, sample_weight=weight)
    return model.fit(X, lengths=LENGTHS if lengths is None else lengths, sample_weight=weight)


def published(model):
    law = [getattr(model, name) for name in model._model_attributes if name != "component_params_"]
    return [*law, *model.component_params_.values()]


def assert_same(one, other, rtol=1e-9):
    assert one.log_likelihood_ == pytest.approx(other.log_likelihood_, rel=rtol)
    for a, b in zip(published(one), published(other), strict=True):
        assert_allclose(a, b, rtol=1e-5, atol=1e-6 * max(1.0, np.abs(a).max()))


def parts_of(cls):
    """Positions of the rows, or of the rows of the sequences, that belong together."""
    lengths = np.ones(LENGTHS.sum(), int) if cls is FiniteMixtureEM else LENGTHS
    return np.split(np.arange(lengths.sum()), np.cumsum(lengths)[:-1]), lengths


@pytest.mark.parametrize("name", FAMILIES)
@BOTH
def test_weights_are_copies_and_order_is_none(cls, name):
    """Random starts too: a few steps from the same start give the same result."""
    X = draw(name)
    parts, lengths = parts_of(cls)
    rng = np.random.default_rng(1)
    weight = rng.integers(0, 3, size=len(parts))
    order = rng.permutation(np.repeat(np.arange(len(parts)), weight))
    copied = X[np.concatenate([parts[i] for i in order])]
    # A mixture within a component starts at rows drawn at random, by weight.
    settings = {"max_iter": 12, "accelerate": None, "tol": 0.0}
    assert_same(
        fit(cls, name, X, weight=weight.astype(float), **settings),
        fit(cls, name, copied, lengths[order], **settings),
    )


@pytest.mark.parametrize("name", FAMILIES)
@BOTH
def test_what_is_reported_is_what_is_published(cls, name):
    X = draw(name)
    weight = np.random.default_rng(2).uniform(0.5, 2.0, len(parts_of(cls)[0]))
    model = fit(cls, name, X, weight=weight, tol=1e-5)
    if cls is FiniteMixtureEM:
        score = model.score(X, sample_weight=weight) * weight.sum()
    else:
        score = model.score(X, lengths=LENGTHS, sample_weight=weight) * (weight @ LENGTHS)
    assert model.log_likelihood_ == pytest.approx(score, rel=1e-11)


@pytest.mark.parametrize("name", FAMILIES)
@BOTH
def test_a_fit_knows_nothing_of_the_last(cls, name):
    X, other = draw(name), draw(name, seed=1, holes=0.0)
    again = fit(cls, name, other)
    given = {"family": FAMILIES[name], "init_params": "rows", "random_state": 0, "tol": 1e-9}
    model = cls(2, **given)
    lengths = {} if cls is FiniteMixtureEM else {"lengths": LENGTHS}
    model.fit(X, **lengths).fit(other, **lengths)
    for a, b in zip(published(model), published(again), strict=True):
        assert_array_equal(a, b)


@pytest.mark.parametrize("name", FAMILIES)
@BOTH
def test_the_same_bits_for_any_parallelism(cls, name):
    X = np.concatenate([draw(name, seed) for seed in range(40)])
    lengths = np.tile(LENGTHS, 40)
    found = []
    for n_jobs, threads in ((1, 1), (2, 2)):
        with threadpool_limits(threads):
            model = fit(cls, name, X, lengths, n_jobs=n_jobs, n_init=2, max_iter=10)
            probabilities = model.predict_proba(X)
        found.append([a.tobytes() for a in [*published(model), probabilities]])
    assert found[0] == found[1]


@pytest.mark.parametrize("name", FAMILIES)
@BOTH
def test_labels_that_are_known_stay_known(cls, name):
    """Through starts, steps and searches; component c is that of class c."""
    X = draw(name, holes=0.0)
    first = X[:, 0] > X[:, 0].mean()
    y = np.where(np.arange(len(X)) % 3 == 0, np.where(first, "high", "low"), None)
    settings = {"use_labels": True, "tol": 1e-5, "init_params": "search"}
    model = cls(2, family=FAMILIES[name], random_state=0, **settings)
    model.fit(X, y, **({} if cls is FiniteMixtureEM else {"lengths": LENGTHS}))
    assert_array_equal(model.classes_, ["high", "low"])
    public = model.component_params_
    center = public.get("rate", public.get("mean", public.get("probability")))
    if name == "categorical":
        center = center @ np.arange(center.shape[-1])
    if name == "mixture":
        center = np.einsum("kp,kpd->kd", public["weight"], center)
    if name not in ("multinomial", "dirichlet_multinomial", "von_mises", "gamma"):
        assert center[0].ravel()[0] > center[1].ravel()[0]
    assert set(model.predict(X)) <= {"high", "low"}


@given(st.integers(0, 2**32 - 1), st.sampled_from(["poisson", "diag", "product"]))
def test_objective_never_decreases(seed, name):
    X = draw(name, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for cls in (FiniteMixtureEM, HiddenMarkovEM):
            model = fit(cls, name, X, max_iter=15, random_state=seed % 1000)
            assert (np.diff(model.history_["objective"]) >= 0.0).all()


# ---- labels ---------------------------------------------------------------------------


@BOTH
def test_kinds_of_labels(cls):
    pd = pytest.importorskip("pandas")
    X = draw("poisson", holes=0.0)
    side = (X[:, 0] > 3).astype(int)
    unknown = np.arange(len(X)) % 4 > 0
    names = np.array(["a", "b"], object)[side]
    kinds = {
        "codes": np.where(unknown, -1, side),
        "nan": np.where(unknown, np.nan, side),
        "none": [None if u else int(s) for u, s in zip(unknown, side, strict=True)],
        "na": pd.array(np.where(unknown, None, side), dtype="Int64"),
        "strings": np.where(unknown, None, names),
        "category": pd.Series(np.where(unknown, None, names)).astype("category"),
        "string": pd.Series(np.where(unknown, None, names)).astype("string"),
        "boolean": pd.array(np.where(unknown, None, side == 1), dtype="boolean"),
    }
    fits = {
        kind: cls(2, family="poisson", use_labels=True, random_state=0, tol=1e-6).fit(X, y)
        for kind, y in kinds.items()
    }
    for kind, model in fits.items():
        expected = {"a", "b"} if kind in ("strings", "category", "string") else {0, 1}
        assert set(model.classes_) == expected
        for a, b in zip(published(model), published(fits["codes"]), strict=True):
            assert_array_equal(a, b)
        assert set(model.predict(X)) <= expected


@BOTH
def test_targets_of_a_pipeline_are_no_labels(cls):
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    X = draw("poisson", holes=0.0)
    target = X.sum(axis=1) + 0.5
    plain = cls(2, family="poisson", random_state=0).fit(X)
    if cls is FiniteMixtureEM:
        steps = cls(2, family="poisson", random_state=0), LinearRegression()
        pipeline = make_pipeline(*steps).fit(X, target)
        assert np.isfinite(pipeline.predict(X)).all()
        model = pipeline[0]
    else:
        model = make_pipeline(FunctionTransformer(), cls(2, family="poisson", random_state=0))
        model = model.fit(X, target)[-1]
    for a, b in zip(published(model), published(plain), strict=True):
        assert_array_equal(a, b)


def test_no_row_counts():
    X = draw("poisson", holes=0.0)
    y = np.r_[0, 1, np.full(len(X) - 2, -1)]
    weight = np.r_[0.0, 0.0, np.ones(len(X) - 2)]
    model = FiniteMixtureEM(2, family="poisson", use_labels=True, unlabelled_weight=0.0)
    with pytest.raises(ValueError, match="No row has a positive weight"):
        model.fit(X, y, sample_weight=weight)
