"""RecordLinkageEM: values of splink, recovery, what is held, precision, term frequencies."""

import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from emlearn import RecordLinkageEM
from emlearn.datasets import make_duplicate_records
from emlearn.linkage import RecordComparator, RecordPairs


@pytest.mark.parametrize("kind", ["free", "held"])
def test_values_of_splink(reference, kind):
    """The same m, u and prevalence as splink 5 at a tight convergence; see the file."""
    data = reference("record_linkage")
    X = np.where(np.array(data["levels"]) < 0, np.nan, data["levels"])
    fixed = {"u": data["held_u"], "prevalence": data["held_prevalence"]} if kind == "held" else None
    model = RecordLinkageEM(alpha=0.0, tol=1e-13, max_iter=5000, fixed=fixed)
    model.fit(X, sample_weight=data["counts"])
    assert model.converged_
    for found, wanted in zip(model.m_ + model.u_, data[kind]["m"] + data[kind]["u"], strict=True):
        assert_allclose(found, wanted, atol=1e-5)
    assert_allclose(model.prevalence_, data[kind]["prevalence"], atol=1e-6)


def test_recovers_the_truth(vectors):
    X, match = vectors(60_000)
    model = RecordLinkageEM().fit(X)
    for j in range(3):
        for k, own in enumerate((model.u_[j], model.m_[j])):
            seen = X[match == k, j]
            true = np.bincount(seen[~np.isnan(seen)].astype(int), minlength=len(own)) / np.sum(
                ~np.isnan(seen)
            )
            assert_allclose(own, true, atol=0.02)
    assert abs(model.prevalence_ - match.mean()) < 0.01
    chance = model.predict_proba(X)[:, 1]
    high = chance > 0.9
    assert abs(chance[high].mean() - match[high].mean()) < 0.01


def test_scores_fit_together(sample):
    X, _ = sample
    model = RecordLinkageEM().fit(X)
    weight = model.decision_function(X)
    chance = model.predict_proba(X)
    assert_allclose(chance.sum(axis=1), 1.0)
    assert_allclose(chance[:, 1], 1 / (1 + 2.0**-weight))
    assert_array_equal(model.predict(X), weight >= 0)
    names, terms = model.weight_terms(X)
    assert names == ["prevalence", "0", "1", "2"]
    assert_allclose(terms.sum(axis=1), weight)
    level = X[0].copy()
    by_hand = np.log2(model.prevalence_ / (1 - model.prevalence_)) + sum(
        np.log2(model.m_[j][int(v)] / model.u_[j][int(v)])
        for j, v in enumerate(level)
        if not np.isnan(v)
    )
    assert_allclose(weight[0], by_hand)
    # The E-step of the model has the same probabilities.
    assert_allclose(np.mean(chance[:, 1]), model.prevalence_, rtol=1e-3)
    assert model.set_params(threshold=1.0).predict(X).sum() == 0


def test_copies_counts_and_order(sample):
    X, _ = sample
    coded = np.where(np.isnan(X), -1, X).astype(np.int8)
    rows, counts = np.unique(coded, axis=0, return_counts=True)
    names, levels = ("a", "b", "c"), tuple(tuple("abcd"[:n]) for n in (3, 2, 4))
    whole = RecordLinkageEM().fit(X)
    for other in (
        RecordLinkageEM().fit(np.where(rows < 0, np.nan, rows), sample_weight=counts),
        RecordLinkageEM().fit(X[::-1]),
        RecordLinkageEM().fit(RecordPairs(coded, names, levels)),
        RecordLinkageEM().fit(RecordPairs(rows, names, levels, counts=counts.astype(float))),
        RecordLinkageEM().fit(np.repeat(X, 2, axis=0), sample_weight=np.tile([1.0, 0.0], len(X))),
    ):
        assert other.prevalence_ == whole.prevalence_
        for a, b in zip(other.m_ + other.u_, whole.m_ + whole.u_, strict=True):
            assert_array_equal(a, b)
    assert whole.n_patterns_ == len(rows)
    assert whole.n_pairs_ == len(X)


def test_fits_again_and_pickles(sample, vectors):
    X, _ = sample
    other, _ = vectors(1000, seed=5, m=[[0.1, 0.9], [0.2, 0.8]], u=[[0.9, 0.1], [0.8, 0.2]])
    model = RecordLinkageEM(random_state=0).fit(other).fit(X)
    once = RecordLinkageEM(random_state=0).fit(X)
    assert model.prevalence_ == once.prevalence_
    back = pickle.loads(pickle.dumps(model))
    assert_array_equal(back.predict_proba(X), model.predict_proba(X))
    assert clone(model).get_params() == model.get_params()
    warm = once.set_params(warm_start=True).fit(X)
    assert warm.n_iter_ <= 5
    assert_allclose(warm.prevalence_, model.prevalence_, rtol=1e-3)


def test_not_converged_at_max_iter(sample):
    with pytest.warns(ConvergenceWarning, match="max_iter=2 iterations were not enough"):
        model = RecordLinkageEM(max_iter=2, n_init=1).fit(sample[0])
    assert not model.converged_


def test_exchanged_classes_are_put_right(sample):
    """From a start in which matches disagree, the fit ends with matches that agree."""
    X, _ = sample
    model = RecordLinkageEM().fit(X)
    wrong = clone(model).set_params(warm_start=True).fit(X)
    wrong.m_, wrong.u_ = wrong.u_, wrong.m_
    wrong.prevalence_ = 1 - wrong.prevalence_
    wrong.fit(X)
    assert_allclose(wrong.prevalence_, model.prevalence_, atol=1e-3)
    assert wrong.match_weights_[0][-1] > 0


def test_held_m_and_u_that_are_exchanged(sample):
    X, _ = sample
    with pytest.warns(ConvergenceWarning, match="may be exchanged"):
        RecordLinkageEM(fixed={"m": {"0": [0.9, 0.05, 0.05]}, "u": {"0": [0.1, 0.1, 0.8]}}).fit(X)


def test_held(sample):
    X, _ = sample
    fixed = {"prevalence": 0.12, "u": [[0.9, np.nan, np.nan], None, [0.7, 0.2, 0.05, 0.05]]}
    model = RecordLinkageEM(fixed=fixed).fit(X)
    assert model.prevalence_ == 0.12
    assert model.u_[0][0] == 0.9
    assert_array_equal(model.u_[2], [0.7, 0.2, 0.05, 0.05])
    free = RecordLinkageEM().fit(X)
    # 1 prevalence + 2 * (2 + 1 + 3), less 1, 1 and 3
    assert free._n_parameters() == 13
    assert model._n_parameters() == 8
    assert free.log_likelihood_ > model.log_likelihood_
    found = model.inference(X)
    assert found.remarks[found.names.index("probability[non-match, 0, 0]")] == "fixed"
    assert_allclose(model.bic(X), -2 * model.log_likelihood_ + 8 * np.log(len(X)))
    whole = RecordLinkageEM(fixed={"m": model.m_, "u": model.u_, "prevalence": 0.12}).fit(X)
    assert_allclose(whole.log_likelihood_, model.log_likelihood_)


def test_standard_errors_by_refits(vectors):
    """Standard errors are those of refits to other samples."""
    found = []
    for seed in range(40):
        model = RecordLinkageEM(tol=1e-8).fit(vectors(4000, seed)[0])
        found.append([model.prevalence_, model.m_[1][1], model.u_[0][2]])
    X = vectors(4000, 100)[0]
    errors = RecordLinkageEM(tol=1e-8).fit(X).inference(X)
    wanted = ["weights[match]", "probability[match, 1, 1]", "probability[non-match, 0, 2]"]
    own = [errors.standard_error[errors.names.index(name)] for name in wanted]
    assert_allclose(own, np.std(found, axis=0), rtol=0.35)


def test_threshold_for_precision(vectors):
    X, match = vectors(20_000, seed=3)
    model = RecordLinkageEM().fit(X)
    inside = 0
    found = model.threshold_for_precision(X, 0.95)
    chance = model.predict_proba(X)[:, 1]
    chosen = chance >= found.threshold
    assert chosen.sum() == found.n_pairs
    assert_allclose(chance[chosen].mean(), found.precision)
    assert found.precision >= 0.95
    # One pattern more would be too many.
    more = chance >= chance[chance < found.threshold].max()
    assert chance[more].mean() < 0.95
    assert_allclose(chance[chosen].sum() / chance.sum(), found.recall)
    low, high = found.interval
    assert low < match[chosen].mean() < high
    for seed in range(15):
        X, match = vectors(4000, seed)
        model = RecordLinkageEM().fit(X)
        found = model.threshold_for_precision(X, 0.9, confidence=0.9)
        true = match[model.predict_proba(X)[:, 1] >= found.threshold].mean()
        inside += found.interval[0] <= true <= found.interval[1]
    assert inside >= 11
    given = model.threshold_for_precision(X, 0.9, confidence=0.9, inference=model.inference(X))
    assert_allclose(given.interval, found.interval)
    rows, counts = np.unique(np.nan_to_num(X, nan=-1), axis=0, return_counts=True)
    rows = np.where(rows < 0, np.nan, rows)
    same = model.threshold_for_precision(rows, 0.9, counts, confidence=0.9)
    assert_allclose(same.interval, found.interval)
    with pytest.raises(ValueError, match="No threshold has an expected precision of 1"):
        model.threshold_for_precision(X, 1 - 1e-12)


def test_term_frequencies(sample):
    X, _ = sample
    model = RecordLinkageEM().fit(X)
    exact = X[:, 0] == 2
    share = np.full(X.shape, np.nan)
    share[:, 0] = 0.001
    plain, adjusted = model.decision_function(X), model.decision_function(X, share)
    gain = np.log2(model.u_[0][-1] / 0.001)
    assert_allclose(adjusted - plain, np.where(exact, gain, 0.0))
    assert_allclose(model.decision_function(X, {"0": share[:, 0]}), adjusted)
    # Agreement on the average value, weighted by how often non-matches agree on it, is neutral.
    assert_allclose(model.decision_function(X, {"0": np.full(len(X), model.u_[0][-1])}), plain)
    names, terms = model.weight_terms(X, share)
    assert names[-1] == "frequency of 0"
    assert_allclose(terms.sum(axis=1), adjusted)
    found = model.threshold_for_precision(X, 0.9, frequency=share)
    assert found.n_pairs == (adjusted >= found.weight).sum()


def test_interactions_find_matches_that_move(reference):
    """City and postcode depend on each other; without it, the classes are neighbors."""
    people = make_duplicate_records(1500, random_state=0)
    kinds = dict.fromkeys(["first_name", "last_name", "city", "postcode"], "exact")
    comparator = RecordComparator({**kinds, "birth_date": "date"}, ["birth_year", "postcode"])
    patterns = comparator.patterns(people.records, random_state=0, n_random=200_000)
    pairs = comparator.pairs(people.records)
    match = people.target[pairs.left] == people.target[pairs.right]
    with pytest.warns(ConvergenceWarning, match="Matches seldom agree exactly"):
        plain = RecordLinkageEM().fit(patterns)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = RecordLinkageEM(interactions=[("postcode", "city")]).fit(patterns)
    assert model.bic(patterns) < plain.bic(patterns)
    found = model.predict(pairs) == 1
    assert match[found].mean() > 0.97
    assert found[match].mean() > 0.93
    table = model.interaction_tables_["city", "postcode"]
    assert table.shape == (2, 2, 2)
    assert_allclose(table.sum(axis=(1, 2)), 1.0)
    assert_allclose(table[1].sum(axis=1), model.m_[2])
    assert_allclose(table[0].sum(axis=0), model.u_[3])
    names, terms = model.weight_terms(pairs)
    assert names == ["prevalence", "first_name", "last_name", "birth_date", "city x postcode"]
    assert_allclose(terms.sum(axis=1), model.decision_function(pairs))
    errors = model.inference(patterns)
    assert np.isfinite(errors.standard_error[errors.names.index("weights[match]")])
    assert model.threshold_for_precision(pairs, 0.98, inference=errors).precision >= 0.98


def test_attributes_that_are_set_take_effect(sample):
    X, _ = sample
    model = RecordLinkageEM().fit(X)
    before = model.decision_function(X)
    model.prevalence_ = 0.5
    assert (model.decision_function(X) > before).all()
