"""Details of the two laws of the label and of the starts, on small numbers."""

import numpy as np
import pytest

from emlearn.distributions import Gaussian
from emlearn.engine import DegenerateModelError
from emlearn.latent import LabelModel, MixtureLaw, MixtureParams, Observations
from emlearn.latent.chain.law import ChainLaw, ChainParams, Probabilities
from emlearn.latent.chain.sequences import Sequences
from emlearn.latent.data import LabelBlock
from emlearn.latent.starts import STARTS, nearest, seed_responsibilities


def chain(n=2, startprob=None, transmat=None):
    return ChainLaw(
        n,
        Probabilities(startprob, np.zeros(n)),
        Probabilities(transmat, np.zeros((n, n))),
    )


def rows(weight=None, n=6):
    X = np.arange(float(n))[:, None]
    model = LabelModel(MixtureLaw(2), Gaussian(), STARTS["rows"])
    return model.prepare(Observations(X), weight)


@pytest.mark.parametrize("n_components", [1, 2, 5])
def test_proportions_have_one_free_parameter_less_than_components(n_components):
    assert MixtureLaw(n_components).n_parameters() == n_components - 1


@pytest.mark.parametrize(("fraction", "is_empty"), [(1e-15, True), (1e-14, False)])
def test_a_component_is_empty_below_ten_epsilons(fraction, is_empty):
    statistics = np.array([1.0 - fraction, fraction])
    found = MixtureLaw(2).m_step(statistics, MixtureParams(np.full(2, 0.5)))
    assert (found.weights[1] == 0.0) == is_empty


def test_half_of_a_start_is_its_row_and_half_is_all_rows():
    weight = np.array([1.0, 2.0, 1.0, 1.0, 4.0, 3.0])
    data = rows(weight)
    # Gaussian rows keep their order here, so that row 1 has weight 2.
    found = seed_responsibilities(1, data, 3) * data.row_weight
    others = np.delete(found / data.row_weight, 1)
    np.testing.assert_allclose(others, 0.5 / 3)
    assert found.sum() == pytest.approx(weight.sum() / 3)
    assert found[1] - 2.0 * 0.5 / 3 == pytest.approx(0.5 * found.sum())


def test_the_start_of_a_state_is_its_row_and_two_on_each_side():
    law = chain()
    X = np.arange(20.0)[:, None]
    model = LabelModel(law, Gaussian(), STARTS["rows"])
    data = model.prepare(Observations(X, None, Sequences.of_lengths(np.array([10, 10]))))
    lifted = [np.flatnonzero(seed_responsibilities(row, data, 2) > 0.25) for row in (5, 0, 11, 19)]
    assert [found.tolist() for found in lifted] == [
        [3, 4, 5, 6, 7],
        [0, 1, 2],
        [10, 11, 12, 13],
        [17, 18, 19],
    ]


def test_nearest_is_by_distance():
    rng = np.random.default_rng(0)
    points, centers = rng.normal(size=(50, 3)), rng.normal(size=(4, 3)) * [[1], [2], [3], [4]]
    distance = np.linalg.norm(points[:, None] - centers, axis=2)
    np.testing.assert_array_equal(nearest(points, centers), distance.argmin(axis=1))


def test_a_chain_starts_half_from_staying_and_half_from_chance():
    found = chain(4).start(None, None)
    np.testing.assert_allclose(found.startprob, 0.25)
    np.testing.assert_allclose(found.transmat, 0.5 * np.eye(4) + 0.125)


def test_guessed_probabilities_are_mixed_with_a_tenth_of_even_ones():
    allowed = Probabilities(np.array([[0.5, 0.5, 0.0]]), np.zeros((1, 3)))
    found = allowed.smoothed_start(np.array([[3.0, 1.0, 9.0]]))
    np.testing.assert_allclose(found, [[0.9 * 0.75 + 0.05, 0.9 * 0.25 + 0.05, 0.0]])


LIKE = ChainParams(np.full(2, 0.5), np.full((2, 2), 0.5))


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e160])
def test_vectors_that_are_not_finite_are_refused(bad):
    vector = np.ones(6)
    vector[3] = bad
    with pytest.raises(DegenerateModelError, match="not finite"):
        chain().from_vector(vector, LIKE)


def test_vectors_of_a_state_without_any_probability_are_refused():
    with pytest.raises(DegenerateModelError, match="all zero"):
        chain().from_vector(np.array([1.0, 1.0, 0.0, 0.0, 1.0, 1.0]), LIKE)


def test_fixed_zeros_stay_zero_in_the_vector():
    law = chain(2, np.array([1.0, 0.0]), np.array([[0.5, 0.5], [0.0, 1.0]]))
    found, rest = law.from_vector(np.arange(1.0, 8.0), LIKE)
    np.testing.assert_array_equal(found.startprob, [1.0, 0.0])
    np.testing.assert_allclose(found.transmat, [[9.0 / 25.0, 16.0 / 25.0], [0.0, 1.0]])
    assert rest.tolist() == [7.0]


def test_an_impossible_sequence_is_named_by_where_it_was_given():
    block = LabelBlock(
        (), 4, None, None, Sequences.of_lengths(np.array([2, 2])), np.array([7, 3]), None
    )
    joint = np.zeros((2, 4))
    joint[:, 3] = -np.inf
    with pytest.raises(DegenerateModelError, match="sequence 3 has likelihood 0"):
        chain().posterior(joint, block, LIKE)


# ---- parameters of another fit ------------------------------------------------------------


def test_zeros_of_a_law_are_set_in_parameters_of_another_fit():
    law = chain(2, np.array([1.0, 0.0]), np.array([[0.5, 0.5], [0.0, 1.0]]))
    found = law.restrict(ChainParams(np.array([0.3, 0.7]), np.array([[0.2, 0.8], [0.6, 0.4]])))
    np.testing.assert_allclose(found.startprob, [1.0, 0.0])
    np.testing.assert_allclose(found.transmat, [[0.2, 0.8], [0.0, 1.0]])


def test_parameters_that_have_these_zeros_keep_their_bits():
    law = chain(2, np.array([1.0, 0.0]), np.array([[0.5, 0.5], [0.0, 1.0]]))
    params = ChainParams(np.array([1.0, 0.0]), np.array([[0.1, 0.9 + 1e-16], [0.0, 1.0]]))
    found = law.restrict(params)
    assert found.startprob.tobytes() == params.startprob.tobytes()
    assert found.transmat.tobytes() == params.transmat.tobytes()


def test_a_row_that_becomes_zero_is_named():
    law = chain(3, np.array([1.0, 0.0, 0.0]), np.array([[1, 0, 0], [0, 1.0, 0], [0, 0, 1]]))
    last = ChainParams(np.array([0.0, 1.0, 0.0]), np.array([[1, 0, 0], [1.0, 0, 0], [0, 1, 0]]))
    with pytest.raises(ValueError, match=r"^startprob_ is zero wherever startprob_init is pos"):
        law.restrict(last)
    with pytest.raises(ValueError, match=r"^Row 1 of transmat_ is zero wherever transmat_init"):
        law.restrict(last._replace(startprob=np.array([1.0, 0.0, 0.0])))
