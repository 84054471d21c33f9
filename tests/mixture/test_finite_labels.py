"""FiniteMixtureEM with the classes of some rows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from emlearn import FiniteMixtureEM


def test_part_of_the_classes(counts):
    X, side = counts
    rng = np.random.default_rng(0)
    y = np.where(rng.random(len(X)) < 0.1, side + 5, -1)
    mixture = FiniteMixtureEM(family="poisson", use_labels=True).fit(X, y)
    assert_array_equal(mixture.classes_, [5, 6, 7])
    assert set(np.unique(mixture.predict(X))) <= {5, 6, 7}
    assert np.mean(mixture.predict(X) == side + 5) > 0.9
    rate = mixture.component_params_["rate"]
    assert_allclose(rate, [X[side == k].mean(axis=0) for k in range(3)], rtol=0.15)
    drawn, labels = mixture.sample(50)
    assert drawn.shape == (50, 3)
    assert set(labels) <= {5, 6, 7}
    # Without y the same estimator is unsupervised again.
    mixture.set_params(n_components=3).fit(X)
    assert not hasattr(mixture, "classes_")
    assert set(np.unique(mixture.predict(X))) <= {0, 1, 2}


def test_string_classes(counts):
    X, side = counts
    names = np.array(["a", "b", "c"], object)[side]
    y = np.where(np.arange(len(X)) % 5 == 0, names, -1)
    mixture = FiniteMixtureEM(family="poisson", use_labels=True).fit(X, y)
    assert np.mean(mixture.predict(X) == names) > 0.9
    mixture.fit(X, names.astype(str))
    assert np.mean(mixture.predict(X) == names) > 0.9
    with pytest.raises(ValueError, match="dtype object"):
        mixture.fit(X, y.astype(str))


def test_weight_of_the_unlabelled_mass(counts):
    """0 leaves out the rows of unknown class; w multiplies their weights."""
    X, side = counts
    y = np.where(np.arange(len(X)) % 4 == 0, side, -1)
    known = y >= 0
    settings = {"family": "poisson", "tol": 1e-10, "use_labels": True}
    left_out = FiniteMixtureEM(unlabelled_weight=0.0, **settings).fit(X, y)
    supervised = FiniteMixtureEM(**settings).fit(X[known], y[known])
    assert_allclose(left_out.component_params_["rate"], supervised.component_params_["rate"])
    light = FiniteMixtureEM(unlabelled_weight=0.3, **settings).fit(X, y)
    weighted = FiniteMixtureEM(**settings).fit(X, y, sample_weight=np.where(known, 1.0, 0.3))
    assert_allclose(light.component_params_["rate"], weighted.component_params_["rate"])
    assert light.log_likelihood_ == pytest.approx(weighted.log_likelihood_)


def test_components_that_are_none_of_the_classes(counts):
    X, side = counts
    y = np.where((np.arange(len(X)) % 4 == 0) & (side < 2), side, -1)
    mixture = FiniteMixtureEM(3, family="poisson", use_labels=True, random_state=0).fit(X, y)
    assert_array_equal(mixture.classes_, [0, 1])
    found = mixture.predict(X)
    assert np.mean(found[side == 2] == -1) > 0.9
    assert np.mean(found[side < 2] == side[side < 2]) > 0.9
    with pytest.raises(ValueError, match=r"2 classes.*n_components=1.*use_labels=False"):
        FiniteMixtureEM(1, family="poisson", use_labels=True).fit(X, y)
    ignored = FiniteMixtureEM(1, family="poisson").fit(X, y)
    assert not hasattr(ignored, "classes_")


def test_classes_that_make_no_sense(counts):
    X, _ = counts
    with pytest.raises(ValueError, match=r"y has 3 entries, but X has \d+ rows"):
        FiniteMixtureEM(family="poisson", use_labels=True).fit(X, np.zeros(3, int))
    with pytest.raises(ValueError, match=r"[Uu]nknown label type"):
        FiniteMixtureEM(family="poisson", use_labels=True).fit(X, np.linspace(0.0, 1.0, len(X)))
    nothing = FiniteMixtureEM(2, family="poisson", use_labels=True, random_state=0)
    nothing.fit(X, np.full(len(X), -1))
    assert not hasattr(nothing, "classes_")
