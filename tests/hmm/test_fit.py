"""HiddenMarkovEM: results of a fit, and parameters without data."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from emlearn import FiniteMixtureEM, HiddenMarkovEM
from emlearn.distributions import Family, Gaussian, Mixture, Poisson

QUICK = {"init_params": "rows", "random_state": 0, "tol": 1e-5}


def test_finds_the_states(gaussian_chains):
    X, lengths, states = gaussian_chains
    model = HiddenMarkovEM(3, random_state=0).fit(X, lengths=lengths)
    assert model.converged_
    found = model.predict(X, lengths)
    table = np.array([[np.sum((states == i) & (found == j)) for j in range(3)] for i in range(3)])
    order = table.argmax(axis=1)
    assert sorted(order) == [0, 1, 2]
    assert table[np.arange(3), order].sum() > 0.9 * len(X)
    expected = [[0.8, 0.15, 0.05], [0.1, 0.7, 0.2], [0.25, 0.05, 0.7]]
    assert_allclose(model.transmat_[np.ix_(order, order)], expected, atol=0.15)
    assert_allclose(model.means_[order], [[0, 0], [3, 1], [0, 4]], atol=0.35)


def test_one_state_is_one_distribution(gaussian_chains):
    X, lengths, _ = gaussian_chains
    model = HiddenMarkovEM(family=Gaussian(reg_covar=0.0)).fit(X, lengths=lengths)
    assert_allclose(model.means_[0], X.mean(axis=0))
    assert_allclose(model.covariances_[0], np.cov(X.T, bias=True))
    mixture = FiniteMixtureEM(1, family=Gaussian(reg_covar=0.0)).fit(X)
    assert model.score(X) == pytest.approx(mixture.score(X), rel=1e-12)
    assert model.score(X, lengths=lengths) == pytest.approx(mixture.score(X), rel=1e-12)
    assert_array_equal(model.transmat_, [[1.0]])
    # Both count the parameters of one Gaussian.
    assert model.bic(X) == pytest.approx(mixture.bic(X))
    assert model.aic(X, lengths) == pytest.approx(mixture.aic(X))


def test_sequences_of_one_row_are_a_mixture():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(0, 1, (80, 1)), rng.normal(6, 1, (40, 1))])
    start = np.eye(2)[(X[:, 0] > 3).astype(int)]
    model = HiddenMarkovEM(2, init_params=start, tol=1e-13).fit(X, lengths=np.ones(120, int))
    mixture = FiniteMixtureEM(2, init_params=start, tol=1e-13).fit(X)
    assert_allclose(model.log_likelihood_, mixture.log_likelihood_, rtol=1e-10)
    assert_allclose(model.startprob_, mixture.weights_, rtol=1e-5)
    # There are no transitions, so their probabilities stay at the start.
    assert_allclose(model.transmat_, [[0.75, 0.25], [0.25, 0.75]])


def test_missing_entries_are_integrated_out(draw_chains):
    """A fully missing row is a step of the chain; a partly missing one has a smaller Gaussian."""
    rng = np.random.default_rng(0)
    states = draw_chains(rng, [40], [1.0, 0.0], np.array([[0.8, 0.2], [0.2, 0.8]]))
    X = rng.standard_normal((40, 2)) + 4.0 * states[:, None]
    model = HiddenMarkovEM(2, **QUICK).fit(X)
    holed = X.copy()
    holed[3:6] = np.nan
    holed[8, 1] = np.nan
    # By hand: one row after another, with scipy's densities of the observed entries.
    from scipy.stats import multivariate_normal, norm

    state, value = model.startprob_, 0.0
    for t, row in enumerate(holed):
        if t > 0:
            state = state @ model.transmat_
        if not np.isnan(row).any():
            density = [
                multivariate_normal.pdf(row, m, c)
                for m, c in zip(model.means_, model.covariances_, strict=True)
            ]
        elif np.isnan(row).all():
            density = np.ones(2)
        else:
            density = norm.pdf(row[0], model.means_[:, 0], np.sqrt(model.covariances_[:, 0, 0]))
        state = state * density
        value += np.log(state.sum())
        state = state / state.sum()
    assert model.score(holed) * 40 == pytest.approx(value, rel=1e-10)
    assert_allclose(model.predict_proba(holed).sum(axis=1), 1.0)
    refit = clone(model).fit(holed)
    assert refit.converged_
    assert np.isfinite(refit.means_).all()


def test_sequences_of_which_all_is_missing(gaussian_chains):
    X, lengths, _ = gaussian_chains
    model = HiddenMarkovEM(3, **QUICK).fit(X, lengths=lengths)
    empty = np.full((7, 2), np.nan)
    assert_allclose(model.score_samples(empty, [3, 4]), 0.0, atol=1e-12)
    assert_allclose(model.predict_proba(empty, [3, 4])[[0, 3]], [model.startprob_] * 2, rtol=1e-9)
    more = np.concatenate([X, empty])
    refit = HiddenMarkovEM(3, **QUICK).fit(more, lengths=[*lengths, 7])
    assert np.isfinite(refit.log_likelihood_)
    with pytest.raises(ValueError, match="Column 0 of X has no observed value"):
        HiddenMarkovEM(2, **QUICK).fit(np.full((5, 2), np.nan))


def test_known_states(gaussian_chains):
    X, lengths, states = gaussian_chains
    model = HiddenMarkovEM(family=Gaussian(reg_covar=0.0), use_labels=True)
    model.fit(X, states, lengths)
    assert model.n_components_ == 3
    # With all states known, everything is a count.
    assert model.n_iter_ <= 2
    begins = np.cumsum(lengths) - lengths
    counts = np.zeros((3, 3))
    for t in np.setdiff1d(np.arange(len(X)), begins):
        counts[states[t - 1], states[t]] += 1.0
    assert_allclose(model.transmat_, counts / counts.sum(axis=1, keepdims=True))
    assert_allclose(model.startprob_, np.bincount(states[begins]) / len(begins))
    for k in range(3):
        assert_allclose(model.means_[k], X[states == k].mean(axis=0))
    # A tenth of the labels is enough to name the states.
    rng = np.random.default_rng(0)
    some = np.where(rng.random(len(X)) < 0.1, states, -1)
    partly = HiddenMarkovEM(3, use_labels=True).fit(X, some, lengths)
    assert_allclose(partly.means_, model.means_, atol=0.5)
    assert np.mean(partly.predict(X, lengths) == states) > 0.9
    ignoring = HiddenMarkovEM(3, **QUICK).fit(X, states, lengths)
    assert_array_equal(ignoring.means_, HiddenMarkovEM(3, **QUICK).fit(X, None, lengths).means_)
    unknown = HiddenMarkovEM(3, use_labels=True, **QUICK)
    unknown.fit(X, np.full(len(X), -1), lengths)
    assert_array_equal(ignoring.means_, unknown.means_)


def test_fixed_zeros_make_a_left_right_model(draw_chains):
    rng = np.random.default_rng(0)
    lengths = rng.integers(12, 20, size=30)
    moves = np.array([[0.8, 0.2, 0.0], [0.0, 0.8, 0.2], [0.0, 0.0, 1.0]])
    states = draw_chains(rng, lengths, [1.0, 0.0, 0.0], moves)
    X = rng.normal(3.0 * states, 1.0)[:, None]
    init = np.array([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]])
    model = HiddenMarkovEM(
        3, startprob_init=[1, 0, 0], transmat_init=init, transmat_alpha=0.5, random_state=0
    ).fit(X, lengths=lengths)
    assert_array_equal(model.transmat_ == 0.0, init == 0.0)
    assert_array_equal(model.startprob_, [1.0, 0.0, 0.0])
    seen = np.zeros((3, 3))
    for path in np.split(states, np.cumsum(lengths)[:-1]):
        np.add.at(seen, (path[:-1], path[1:]), 1.0)
    assert_allclose(model.transmat_, seen / seen.sum(axis=1, keepdims=True), atol=0.01)
    assert_allclose(model.means_.ravel(), [0, 3, 6], atol=0.3)
    path = model.predict(X, lengths)
    begins = np.cumsum(lengths) - lengths
    assert (np.delete(np.diff(path), begins[1:] - 1) >= 0).all()
    _, drawn = model.sample(lengths=[50] * 20)
    assert (np.diff(drawn.reshape(20, 50), axis=1) >= 0).all()
    # Fixed zeros do not count as parameters: 2 transitions, 3 means, 3 variances.
    free = (model.aic(X, lengths) + 2.0 * model.score_samples(X, lengths).sum()) / 2.0
    assert free == pytest.approx(8.0)


def test_states_that_are_not_needed_are_told():
    X = np.repeat([0.0, 5.0], [10, 10])[:, None] + np.linspace(0, 1, 20)[:, None]
    with pytest.warns(ConvergenceWarning, match=r"State\(s\) \[2\] are not visited"):
        model = HiddenMarkovEM(
            3,
            startprob_init=[0.5, 0.5, 0.0],
            transmat_init=[[0.9, 0.1, 0.0], [0.1, 0.9, 0.0], [0.3, 0.3, 0.4]],
            **QUICK,
        ).fit(X)
    assert_allclose(model.transmat_[2], [0.3, 0.3, 0.4])
    assert np.isfinite(model.means_).all()


def test_weights_are_copies(gaussian_chains):
    X, lengths, _ = gaussian_chains
    weight = np.random.default_rng(0).integers(0, 3, size=len(lengths))
    edges = np.concatenate([[0], np.cumsum(lengths)])
    rows = [np.arange(edges[s], edges[s + 1]) for s in np.repeat(np.arange(len(weight)), weight)]
    start = np.eye(3)[np.random.default_rng(1).integers(3, size=len(X))]
    settings = {"tol": 1e-9, "accelerate": None, "max_iter": 30}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        weighted = HiddenMarkovEM(3, init_params=start, **settings)
        weighted.fit(X, lengths=lengths, sample_weight=weight)
        copied = HiddenMarkovEM(3, init_params=start[np.concatenate(rows)], **settings)
        copied.fit(X[np.concatenate(rows)], lengths=np.repeat(lengths, weight))
    assert_allclose(weighted.log_likelihood_, copied.log_likelihood_, rtol=1e-10)
    assert_allclose(weighted.transmat_, copied.transmat_, atol=1e-8)
    assert_allclose(weighted.means_, copied.means_, atol=1e-8)
    copies = X[np.concatenate(rows)], np.repeat(lengths, weight)
    score = weighted.score(X, lengths=lengths, sample_weight=weight)
    assert score == pytest.approx(weighted.score(copies[0], lengths=copies[1]), rel=1e-12)
    for criterion in (weighted.aic, weighted.bic):
        assert criterion(X, lengths, weight) == pytest.approx(criterion(*copies), rel=1e-12)


def test_the_same_bits_for_any_parallelism():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 60, size=400)
    X = rng.standard_normal((lengths.sum(), 2))
    X[:, 0] += 3 * np.repeat(rng.integers(2, size=len(X) // 5 + 1), 5)[: len(X)]
    settings = {"n_init": 3, "search": 20, "random_state": 0, "tol": 1e-3}
    found = []
    for n_jobs, threads in ((1, 1), (2, 2), (3, 1)):
        with threadpool_limits(threads):
            model = HiddenMarkovEM(2, n_jobs=n_jobs, **settings).fit(X, lengths=lengths)
        found.append((model.transmat_.tobytes(), model.means_.tobytes(), model.log_likelihood_))
    assert found[0] == found[1] == found[2]


def test_search_beats_single_starts(gaussian_chains):
    X, lengths, _ = gaussian_chains
    single = HiddenMarkovEM(3, init_params="random", random_state=0).fit(X, lengths=lengths)
    searched = HiddenMarkovEM(3, init_params="search", random_state=0).fit(X, lengths=lengths)
    assert searched.log_likelihood_ >= single.log_likelihood_ - 1e-4
    assert searched.restarts_[0].n_short_runs > 5


@pytest.mark.parametrize("accelerate", ["squarem", "quasi-newton", "anderson", "auto"])
def test_accelerated_runs_end_where_em_does(accelerate, gaussian_chains):
    X, lengths, states = gaussian_chains
    start = np.eye(3)[states]
    plain = HiddenMarkovEM(3, init_params=start, accelerate=None, tol=1e-12)
    plain.fit(X, lengths=lengths)
    model = HiddenMarkovEM(3, init_params=start, accelerate=accelerate, tol=1e-12)
    model.fit(X, lengths=lengths)
    assert_allclose(model.log_likelihood_, plain.log_likelihood_, rtol=1e-9)
    assert_allclose(model.transmat_, plain.transmat_, atol=1e-4)
    assert (np.diff(model.history_["objective"]) >= 0.0).all()


def test_warm_start_goes_on(gaussian_chains):
    X, lengths, _ = gaussian_chains
    settings = {"init_params": "rows", "random_state": 0, "accelerate": None}
    model = HiddenMarkovEM(3, warm_start=True, max_iter=3, tol=0.0, **settings)
    with pytest.warns(ConvergenceWarning, match="max_iter=3 iterations were not enough"):
        model.fit(X, lengths=lengths)
    first = model.lower_bound_
    model.set_params(tol=1e-7, max_iter=1000).fit(X, lengths=lengths)
    assert model.lower_bound_ > first
    whole = HiddenMarkovEM(3, **settings).fit(X, lengths=lengths)
    assert_allclose(model.log_likelihood_, whole.log_likelihood_, rtol=1e-6)
    with pytest.raises(ValueError, match="warm_start"):
        model.set_params(n_components=2).fit(X, lengths=lengths)


def test_zeros_hold_after_a_warm_start(gaussian_chains):
    X, lengths, _ = gaussian_chains
    settings = {"init_params": "rows", "random_state": 0, "warm_start": True}
    model = HiddenMarkovEM(3, **settings).fit(X, lengths=lengths)
    assert (model.transmat_ > 0.0).all()
    assert (model.startprob_ > 0.0).sum() > 1
    first = int(model.startprob_.argmax())
    transmat = np.full((3, 3), 1.0 / 3.0)
    transmat[0] = [0.5, 0.5, 0.0]
    model.set_params(startprob_init=np.eye(3)[first], transmat_init=transmat)
    model.fit(X, lengths=lengths)
    assert_allclose(model.startprob_, np.eye(3)[first], rtol=0.0, atol=0.0)
    assert model.transmat_[0, 2] == 0.0
    assert (model.transmat_ > 0.0).sum() == 8
    assert_allclose(model.transmat_.sum(axis=1), 1.0)
    # Row 0 is zero in the last fit wherever transmat_init is positive.
    model.set_params(transmat_init=np.eye(3)[[2, 1, 2]])
    with pytest.raises(ValueError, match=r"Row 0 of transmat_ is zero wherever transmat_init"):
        model.fit(X, lengths=lengths)
    model.set_params(transmat_init=None, startprob_init=np.eye(3)[first - 1])
    with pytest.raises(ValueError, match=r"^startprob_ is zero wherever startprob_init"):
        model.fit(X, lengths=lengths)


def test_one_start_for_each_way_to_start(gaussian_chains):
    X, lengths, states = gaussian_chains
    seen = []

    def from_states(rows, n_components, rng):
        seen.append((rows.shape, n_components))
        assert isinstance(rng, np.random.Generator)
        return np.full((len(rows), n_components), 1.0 / n_components) + rng.random(
            (len(rows), n_components)
        )

    for start in ("rows", "random", "search", from_states, np.eye(3)[states]):
        model = HiddenMarkovEM(3, init_params=start, random_state=0, tol=1e-3)
        model.fit(X, lengths=lengths)
        assert np.isfinite(model.log_likelihood_)
    assert seen == [(X.shape, 3)]
    # Responsibilities stay with their rows when sequences are sorted by length or dropped.
    weight = np.ones(len(lengths))
    weight[3] = 0.0
    model = HiddenMarkovEM(3, family=Gaussian(reg_covar=0.0), init_params=np.eye(3)[states])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.set_params(max_iter=0).fit(X, lengths=lengths, sample_weight=weight)
    kept = np.repeat(weight, lengths) > 0
    for k in range(3):
        assert_allclose(model.means_[k], X[kept & (states == k)].mean(axis=0))


def test_mixed_columns_and_parts():
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    states = np.repeat(rng.integers(2, size=60), 5)
    table = pd.DataFrame(
        {
            "visits": rng.poisson(np.where(states, 2.0, 9.0)).astype(float),
            "level": rng.normal(np.where(states, 0.0, 3.0), 1.0),
            "ignored": rng.random(300),
        }
    )
    table.loc[::7, "level"] = np.nan
    family = [("poisson", ["visits"]), (Gaussian("diag"), ["level"]), ("ignore", "ignored")]
    model = HiddenMarkovEM(2, family=family, random_state=0).fit(table)
    assert set(model.component_params_) == {"rate", "mean", "covariance"}
    assert not hasattr(model, "means_")
    agreement = np.mean(model.predict(table) == states)
    assert max(agreement, 1.0 - agreement) > 0.95
    parts = HiddenMarkovEM(2, family=Mixture(Poisson(), 2), **QUICK).fit(table[["visits"]])
    assert parts.component_params_["rate"].shape == (2, 2, 1)


def test_families_without_a_vector_form_are_fitted_by_plain_em(gaussian_chains):
    class Unaccelerated(Poisson):
        to_vector = Family.to_vector

    X = np.floor(np.exp(gaussian_chains[0] / 2.0))
    lengths = gaussian_chains[1]
    model = HiddenMarkovEM(2, family=Unaccelerated(), **QUICK).fit(X, lengths=lengths)
    plain = HiddenMarkovEM(2, family=Poisson(), accelerate=None, **QUICK).fit(X, lengths=lengths)
    assert_array_equal(model.transmat_, plain.transmat_)
    assert np.isnan(model.history_["step_norm"]).all()
    with pytest.raises(ValueError, match="needs a vector form"):
        HiddenMarkovEM(2, family=Unaccelerated(), accelerate="squarem").fit(X, lengths=lengths)


def test_states_with_factors(gaussian_chains):
    """With d - 1 factors the covariances are full; the family and the name give the same."""
    X, lengths, _ = gaussian_chains
    options = {"covariance_type": "factor", "n_factors": 1, "random_state": 0}
    named = HiddenMarkovEM(3, **options).fit(X, lengths=lengths)
    family = Gaussian("factor", n_factors=1)
    given = HiddenMarkovEM(3, family=family, random_state=0).fit(X, lengths=lengths)
    assert_array_equal(named.means_, given.means_)
    full = HiddenMarkovEM(3, random_state=0).fit(X, lengths=lengths)
    assert named.score(X, lengths=lengths) == pytest.approx(
        full.score(X, lengths=lengths), abs=1e-6
    )
    for wrong, message in (
        ({"n_factors": None}, 'covariance_type="factor" needs the number of factors'),
        ({"covariance_type": "full"}, "n_factors=1 says nothing with covariance_type='full'"),
        ({"n_factors": 2}, "n_factors=2 must be less than the number of columns"),
    ):
        with pytest.raises(ValueError, match=message):
            HiddenMarkovEM(3, **{**options, **wrong}).fit(X, lengths=lengths)
