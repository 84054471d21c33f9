"""Errors name what is wrong and what to do."""

import numpy as np
import pytest

from emlearn import HiddenMarkovEM
from emlearn.distributions import Gaussian

X = np.random.default_rng(0).standard_normal((12, 2))
QUICK = {"init_params": "rows", "random_state": 0}


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([5, 5], "lengths of the 2 sequences add up to 10, but X has 12 rows"),
        ([20], "lengths of the 1 sequences add up to 20, but X has 12 rows"),
        ([12, 0], "lengths must be integers >= 1, but sequence 1 has length 0"),
        ([-3, 15], "sequence 0 has length -3"),
        ([6.5, 5.5], "sequence 0 has length 6.5"),
        ([np.nan, 12], "sequence 0 has length nan"),
        ([], "lengths must be a list"),
        (12, "lengths must be a list"),
        ([[6, 6]], "lengths must be a list"),
        (["6", "6"], "lengths must be a list"),
    ],
)
def test_lengths(lengths, message):
    with pytest.raises(ValueError, match=message):
        HiddenMarkovEM(2, **QUICK).fit(X, lengths=lengths)
    model = HiddenMarkovEM(1).fit(X)
    for method in (model.predict, model.predict_proba, model.score_samples, model.bic):
        with pytest.raises(ValueError, match=message):
            method(X, lengths)


def test_lengths_in_the_place_of_y():
    with pytest.raises(ValueError, match=r"y has 2 entries, but X has 12 .* lengths=\.\.\."):
        HiddenMarkovEM(2, **QUICK).fit(X, [5, 7])
    model = HiddenMarkovEM(1).fit(X)
    with pytest.raises(ValueError, match=r"y has 2 entries, but X has 12 .* lengths=\.\.\."):
        model.score(X, [5, 7])
    assert model.score(X, np.zeros(12)) == model.score(X)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (
            np.ones(12),
            r"has shape \(12,\), but must have one weight for each sequence, shape \(2,\)",
        ),
        ([1.0, -1.0], "sequence 1 has weight -1.0"),
        ([np.nan, 1.0], "sequence 0 has weight nan"),
        ([0.0, 0.0], "all sequences have weight 0"),
        (["a", "b"], "Text in sample_weight of sequence 0"),
    ],
)
def test_weights(weight, message):
    with pytest.raises(ValueError, match=message):
        HiddenMarkovEM(2, **QUICK).fit(X, lengths=[6, 6], sample_weight=weight)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros(11), "y has 11 entries, but X has 12 rows"),
        (np.arange(12) % 3, "y has 3 classes, more than n_components=2"),
        ([0, 1, 0.5] + [0] * 9, "y is 0.5 in row 2"),
        ([0, 1, "a"] + [0] * 9, "labels of type int and str"),
    ],
)
@pytest.mark.filterwarnings(r"ignore:.*\(s\) .* rows\)")
def test_states(y, message):
    with pytest.raises(ValueError, match=message):
        HiddenMarkovEM(2, use_labels=True, **QUICK).fit(X, y)
    if len(y) == len(X):
        HiddenMarkovEM(2, **QUICK).fit(X, y)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"startprob_init": [0.5, 0.5, 0.0]}, r"startprob_init must have shape \(2,\), got \(3,\)"),
        ({"startprob_init": [0.5, 0.6]}, "startprob_init must sum to 1, got 1.1"),
        ({"startprob_init": [1.5, -0.5]}, "startprob_init must be finite numbers >= 0"),
        ({"transmat_init": [0.5, 0.5]}, r"transmat_init must have shape \(2, 2\)"),
        ({"transmat_init": [[1, 0], [0.2, 0.7]]}, "transmat_init must sum to 1 in each row"),
        ({"transmat_init": [[1, 0], [np.nan, 1]]}, "transmat_init must be finite numbers >= 0"),
        ({"transmat_init": [["a", "b"]] * 2}, "'transmat_init' must be an array of numbers"),
        ({"startprob_alpha": [-0.5, 2.0]}, "startprob_alpha must be >= 0"),
        ({"transmat_alpha": [1.0, 2.0]}, r"transmat_alpha must be a number or an array of shape"),
        ({"transmat_alpha": np.full((2, 2), np.inf)}, "transmat_alpha must be >= 0"),
        ({"startprob_alpha": -0.5}, "'startprob_alpha' parameter"),
        ({"n_components": 0}, "'n_components' parameter"),
        ({"family": "cauchy"}, "family must be one of .*got 'cauchy'"),
        ({"family": [("poisson",)]}, "list of families"),
        ({"covariance_type": "round"}, "'covariance_type' parameter"),
        ({"init_params": np.ones((3, 2))}, r"n_components\) = \(12, 2\), got \(3, 2\)"),
        ({"init_params": np.zeros((12, 2))}, "must not all be 0"),
        ({"init_params": lambda X, k, rng: np.ones((2, 2))}, r"\(12, 2\), got \(2, 2\)"),
    ],
)
def test_hyperparameters(settings, message):
    with pytest.raises(ValueError, match=message):
        HiddenMarkovEM(**{"n_components": 2, **QUICK, **settings}).fit(X)


@pytest.mark.filterwarnings(r"ignore:.*\(s\) .* rows\)")
def test_rows():
    for bad, message in ((np.inf, "infinity"), ("text", "could not convert")):
        rows = X.astype(object)
        rows[3, 1] = bad
        with pytest.raises(ValueError, match=message):
            HiddenMarkovEM(2, **QUICK).fit(rows)
    with pytest.raises(ValueError, match="Expected 2D array"):
        HiddenMarkovEM(2, **QUICK).fit(X[:, 0])
    model = HiddenMarkovEM(2, **QUICK).fit(X)
    with pytest.raises(ValueError, match="expecting 2 features"):
        model.predict(X[:, :1])
    for counts, message in (
        (X, r"has -0.\d+ in row \d, column"),
        (np.abs(X), r"in row 0, column 0"),
    ):
        with pytest.raises(ValueError, match=message):
            HiddenMarkovEM(2, family="poisson", **QUICK).fit(counts)


def test_known_states_that_contradict_fixed_zeros():
    y = np.full(12, -1)
    y[[7, 8]] = [1, 0]
    settings = {"transmat_init": [[0.5, 0.5], [0.0, 1.0]], "use_labels": True, **QUICK}
    with pytest.raises(
        ValueError, match=r"cannot be fitted: .*sequence 1 .*known states \(y\).*check y"
    ):
        HiddenMarkovEM(2, **settings).fit(X, y, [6, 6])


@pytest.mark.filterwarnings(r"ignore:.*\(s\) .* rows\)")
def test_states_on_single_points_without_a_prior():
    rows = np.array([[0.0], [0.0], [0.0], [5.0], [6.0], [7.0]])
    model = HiddenMarkovEM(
        2, family=Gaussian(reg_covar=0.0), init_params=np.eye(2)[[0, 0, 0, 1, 1, 1]]
    )
    with pytest.raises(ValueError, match=r"cannot be fitted: .*singular.*stronger prior"):
        model.fit(rows)
    assert HiddenMarkovEM(2, init_params=np.eye(2)[[0, 0, 0, 1, 1, 1]]).fit(rows).converged_
