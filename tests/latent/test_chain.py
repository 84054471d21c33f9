"""Labels that form a Markov chain: the contract with the engine, for every family."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from emlearn.distributions import Bernoulli, Categorical, Gaussian, Mixture, Poisson, Product
from emlearn.engine import DegenerateModelError
from emlearn.latent import (
    ChainLaw,
    ChainParams,
    LabelModel,
    Observations,
    Probabilities,
    Sequences,
)
from emlearn.latent.chain import law as chain_law
from emlearn.latent.chain.law import count_moves
from emlearn.latent.starts import RandomStart, RowsStart
from emlearn.testing import check_latent_variable_model

TRANSMAT = np.array([[0.85, 0.15], [0.3, 0.7]])
MIXED = Product(((Poisson(), [0]), (Gaussian("diag"), [1])))

FAMILIES = {
    "full": (Gaussian("full"), "real"),
    "tied": (Gaussian("tied"), "real"),
    "diag": (Gaussian("diag", reg_covar=0.0), "real"),
    "spherical": (Gaussian("spherical"), "real"),
    "poisson": (Poisson(), "counts"),
    "bernoulli": (Bernoulli(), "binary"),
    "categorical": (Categorical(), "codes"),
    "mixture": (Mixture(Gaussian("diag")), "lumps"),
    "mixed": (MIXED, "counts"),
}
VARIANTS = ["plain", "missing", "labels", "priors", "left-right"]


@pytest.fixture(scope="module")
def observe(draw_chains):
    """Function that draws sequences of one kind of rows, with holes and known states."""

    def observe(kind, lengths, missing=0.0, labelled=0.0, seed=0):
        rng = np.random.default_rng(seed)
        states = draw_chains(rng, lengths, [0.6, 0.4], TRANSMAT)
        side = states[:, None]
        n = len(states)
        X = {
            "real": rng.standard_normal((n, 2)) * [1.0, 0.5] + side * [2.5, 1.0],
            "lumps": rng.standard_normal((n, 2))
            + side * [4.0, 0.0]
            + rng.integers(2, size=(n, 1)) * 6,
            "counts": rng.poisson(np.where(side, 2.0, 7.0) * [1.0, 0.5]),
            "binary": rng.random((n, 3)) < np.where(side, 0.2, 0.7),
            "codes": np.minimum(rng.poisson(np.where(side, 0.5, 2.0) * np.ones(2)), 3),
        }[kind].astype(float)
        X[rng.random(X.shape) < missing] = np.nan
        labels = np.where(rng.random(n) < labelled, states, -1) if labelled else None
        return Observations(X, labels, Sequences.of_lengths(np.asarray(lengths)))

    return observe


def model_of(family, n_states=2, variant="plain", draw=RowsStart()):  # noqa: B008
    alpha = 0.7 if variant == "priors" else 0.0
    moves = None
    if variant == "left-right":
        moves = np.triu(np.ones((n_states, n_states)))
        moves /= moves.sum(axis=1, keepdims=True)
    law = ChainLaw(
        n_states,
        Probabilities(None, np.full(n_states, alpha)),
        Probabilities(moves, np.full((n_states, n_states), alpha)),
    )
    return LabelModel(law, family, draw)


@pytest.fixture(scope="module")
def score_by_enumeration(enumerate_paths):
    """Log-likelihood of a model, from all paths."""

    def score_by_enumeration(model, params, observed, sample_weight):
        """Log-likelihood from all paths, with the densities of the family row by row."""
        family, column_spec = model.family, params.column_spec
        joint = np.zeros((model.n_components, observed.sequences.n_rows))
        precomputed = family.precompute(params.components, column_spec)
        for t in range(joint.shape[1]):
            density = np.zeros((model.n_components, 1))
            family.log_density(
                family.encode(observed.X[t : t + 1], column_spec), precomputed, density
            )
            joint[:, t] = density[:, 0]
        if observed.labels is not None:
            known = observed.labels >= 0
            joint[(observed.labels != np.arange(model.n_components)[:, None]) & known] = -np.inf
        edges = observed.sequences.edges
        values = [
            enumerate_paths(
                joint[:, begin:end], params.law.startprob, params.law.transmat
            ).log_likelihood
            for begin, end in pairwise(edges)
        ]
        weight = np.ones(len(values)) if sample_weight is None else sample_weight
        return float(weight @ values)

    return score_by_enumeration


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", FAMILIES)
def test_contract(name, variant, small_blocks, observe, score_by_enumeration):
    small_blocks(50)
    family, kind = FAMILIES[name]
    lengths = np.random.default_rng(1).integers(1, 6, size=70)
    missing = 0.2 if variant == "missing" else 0.0
    observed = observe(kind, lengths, missing, labelled=0.3 if variant == "labels" else 0.0)
    if variant == "labels":
        # Known labels would have to follow the left-right order.
        assert (observed.labels >= 0).any()
    model = model_of(family, variant=variant)
    assert len(model.prepare(observed).blocks) > 2
    check_latent_variable_model(
        model,
        observed,
        sample_weight=np.ones(len(lengths)),
        take=Observations.take,
        score=score_by_enumeration,
        random_state=1,
    )


def test_contract_in_numpy(recursions, small_blocks, observe, score_by_enumeration):
    small_blocks(50)
    lengths = np.random.default_rng(1).integers(1, 6, size=50)
    check_latent_variable_model(
        model_of(Gaussian("full")),
        observe("real", lengths),
        sample_weight=np.random.default_rng(0).uniform(0.5, 2.0, size=50),
        take=Observations.take,
        score=score_by_enumeration,
    )


def test_long_sequences_are_taken_in_parts(small_blocks, observe):
    """The statistics do not depend on how sequences are divided into blocks."""
    observed = observe("real", [400, 3, 90])
    model = model_of(Gaussian("full"))
    whole = model.prepare(observed)
    params = model.initialize(whole, np.random.default_rng(0))
    small_blocks(32)
    divided = model.prepare(observed)
    assert len(whole.blocks) == 1
    assert len(divided.blocks) > 1
    assert len(divided.blocks[0].parts) > 5
    working = model.precompute(params)
    expected = model.e_step(whole.blocks[0], working)
    found = [model.e_step(block, working) for block in divided.blocks]
    assert_allclose(sum(value for _, value in found), expected[1], rtol=1e-12)
    for name in ("start", "transition", "visits"):
        total = sum(getattr(statistics.law, name) for statistics, _ in found)
        assert_allclose(total, getattr(expected[0].law, name), rtol=1e-10)
    second = sum(statistics.components.second for statistics, _ in found)
    assert_allclose(second, expected[0].components.second, rtol=1e-10)


# ---- properties ------------------------------------------------------------------------


@st.composite
def problems(draw):
    """Sequences of counts with holes and known states, and a model of them."""
    n_states = draw(st.integers(1, 3))
    lengths = draw(st.lists(st.integers(1, 5), min_size=3, max_size=8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = sum(lengths)
    X = rng.poisson(3.0, (n, 2)).astype(float)
    X[rng.random(X.shape) < draw(st.sampled_from([0.0, 0.3]))] = np.nan
    X[0] = 1.0
    labels = np.where(rng.random(n) < 0.2, rng.integers(n_states, size=n), -1)
    variant = draw(st.sampled_from(["plain", "priors"]))
    model = model_of(Poisson(), n_states, variant, RandomStart())
    return model, Observations(X, labels, Sequences.of_lengths(np.array(lengths))), rng


def steps(model, data, params, n_steps=4):
    """Objectives, and the parameters at the end."""
    objectives = []
    for _ in range(n_steps):
        working = model.precompute(params)
        parts = [model.e_step(block, working) for block in model.blocks(data)]
        assert len(parts) == 1
        statistics, value = parts[0]
        objectives.append(value + model.log_prior(params))
        params = model.m_step(statistics, params)
    return np.array(objectives), params


@given(problems())
def test_objective_never_decreases(problem):
    model, observed, rng = problem
    data = model.prepare(observed)
    objectives, params = steps(model, data, model.initialize(data, rng), 8)
    assert (np.diff(objectives) >= -1e-10 * np.abs(objectives[1:])).all()
    assert_allclose(params.law.startprob.sum(), 1.0)
    assert_allclose(params.law.transmat.sum(axis=1), 1.0)


@given(problems())
def test_weight_is_copies_and_order_does_not_matter(problem):
    model, observed, rng = problem
    n = len(observed.sequences)
    weight = rng.integers(0, 4, size=n)
    weight[0] = 1
    copies = rng.permutation(np.repeat(np.arange(n), weight))
    data = model.prepare(observed, weight.astype(float))
    params = model.initialize(data, rng)
    found, end = steps(model, data, params)
    expected, other_end = steps(model, model.prepare(observed.take(copies)), params)
    assert_allclose(found, expected, rtol=1e-10)
    assert_allclose(end.law.transmat, other_end.law.transmat, rtol=0, atol=1e-9)


# ---- the chain -------------------------------------------------------------------------


def test_probabilities():
    before = np.array([[0.5, 0.5], [0.2, 0.8]])
    free = Probabilities(None, np.zeros((2, 2)))
    found = free.m_step(np.array([[3.0, 1.0], [0.0, 0.0]]), before)
    assert_allclose(found, [[0.75, 0.25], [0.2, 0.8]])
    assert free.log_prior(before) == 0.0
    assert free.n_parameters() == 2
    fixed = Probabilities(np.array([[0.5, 0.5], [0.0, 1.0]]), np.ones((2, 2)))
    found = fixed.m_step(np.array([[3.0, 1.0], [0.0, 0.0]]), before)
    assert_allclose(found, [[4 / 6, 2 / 6], [0.0, 1.0]])
    dirichlet = stats.dirichlet([2.0, 2.0])
    a, b = np.array([[0.3, 0.7], [0.0, 1.0]]), np.array([[0.6, 0.4], [0.0, 1.0]])
    expected = dirichlet.logpdf(a[0]) - dirichlet.logpdf(b[0])
    assert_allclose(fixed.log_prior(a) - fixed.log_prior(b), expected)
    assert fixed.n_parameters() == 1


def test_a_state_that_is_never_visited_stays_as_it_was(observe):
    model = model_of(Gaussian("full", reg_covar=0.0), 3)
    data = model.prepare(observe("real", [20, 20]))
    params = model.initialize(data, np.random.default_rng(0))
    moves = np.array([[0.5, 0.5, 0.0], [0.4, 0.6, 0.0], [0.2, 0.3, 0.5]])
    params = params._replace(law=ChainParams(np.array([0.5, 0.5, 0.0]), moves))
    statistics, _ = model.e_step(data.blocks[0], model.precompute(params))
    after = model.m_step(statistics, params)
    assert_allclose(after.law.transmat[2], moves[2])
    assert_allclose(after.components.mean[2], params.components.mean[2])
    assert_allclose(after.components.covariance[2], params.components.covariance[2])
    assert after.law.startprob[2] == 0.0
    assert statistics.law.visits[2] == 0.0
    assert (statistics.law.visits[:2] > 0.0).all()


def test_labels_that_no_path_agrees_with_are_told():
    model = model_of(Poisson(), 2, "left-right")
    X, lengths = np.ones((6, 1)), np.array([2, 2, 2])
    labels = np.array([0, 1, -1, -1, 1, 0])
    data = model.prepare(Observations(X, labels, Sequences.of_lengths(lengths)))
    params = model.initialize(data, np.random.default_rng(0))
    with pytest.raises(DegenerateModelError, match=r"sequence 2 .*no path"):
        model.e_step(data.blocks[0], model.precompute(params))


def test_subset_takes_whole_sequences(monkeypatch, observe):
    monkeypatch.setattr(chain_law, "SUBSET_ROWS", 50)
    monkeypatch.setattr(chain_law, "_SUBSET_ROWS_PER_STATE", 1)
    model = model_of(Gaussian("full"))
    data = model.prepare(observe("real", np.arange(1, 30)))
    part = model.subset(data, np.random.default_rng(0))
    lengths = part.sequences.lengths
    assert 50 <= lengths.sum() <= 100
    origins = np.concatenate([block.origin for block in part.blocks])
    assert_allclose(lengths, origins + 1)
    for s, origin in enumerate(origins):
        here = part.sequences.select(np.array([s]))[1]
        there = np.flatnonzero(np.repeat(np.arange(29), np.arange(1, 30)) == origin)
        assert_allclose(part.origin[here], there)
    assert model.subset(part, np.random.default_rng(0)) is None
    assert model.subset(model.prepare(observe("real", [500])), np.random.default_rng(0)) is None


def test_perturbing_splits_a_state(observe):
    model = model_of(Gaussian("full"), 3)
    data = model.prepare(observe("real", [30, 40]))
    params = model.initialize(data, np.random.default_rng(0))
    changed = model.perturb(data, params, np.random.default_rng(1))
    assert_allclose(changed.law.transmat.sum(axis=1), 1.0)
    working = model.precompute(changed)
    assert np.isfinite(model.e_step(data.blocks[0], working)[1])
    alone = model_of(Gaussian("full"), 1)
    assert alone.perturb(data, params, np.random.default_rng(0)) is None
    # If each state has rows with known labels, there is nothing to exchange.
    known = observe("real", [30, 40], labelled=0.5)
    two = model_of(Gaussian("full"))
    data = two.prepare(known)
    params = two.initialize(data, np.random.default_rng(0))
    assert two.perturb(data, params, np.random.default_rng(0)) is None
    ordered = model_of(Gaussian("full"), 3, "left-right")
    partly = known._replace(labels=np.where(known.labels == 0, 0, -1))
    data = ordered.prepare(partly)
    params = ordered.initialize(data, np.random.default_rng(0))
    changed = ordered.perturb(data, params, np.random.default_rng(0))
    assert ((changed.law.transmat == 0.0) == (params.law.transmat == 0.0)).all()


def test_perturbing_mends_what_a_poor_optimum_has_wrong():
    """Two states share one group of rows, and one state has two groups."""
    rng = np.random.default_rng(0)
    states = np.repeat(rng.integers(3, size=60), 5)
    X = rng.normal(10.0 * states, 1.0)[:, None]
    model = model_of(Gaussian("full"), 3)
    data = model.prepare(Observations(X, None, Sequences.of_lengths(np.array([300]))))
    wrong = np.stack([states == 0, states == 0, states > 0]) * rng.uniform(0.5, 1.0, (3, 300))
    components = model.family.start(data.rows, wrong, data.column_spec, rng)
    params = model.initialize(data, rng)._replace(components=components)
    poor, params = steps(model, data, params, 100)
    best = poor[-1]
    for _ in range(10):
        changed = model.perturb(data, params, rng)
        best = max(best, steps(model, data, changed, 20)[0][-1])
    assert best > poor[-1] + 50.0


def test_moves_are_counted_of_rows_whose_responsibilities_sum_to_their_weight():
    """By hand: each transition counts once, with the weight of its sequence."""
    rng = np.random.default_rng(0)
    lengths, weight = np.array([4, 1, 3]), np.array([2.0, 5.0, 0.5])
    posterior = rng.dirichlet(np.ones(3), 8).T
    start, moves = np.zeros(3), np.zeros((3, 3))
    for begin, length, own in zip([0, 4, 5], lengths, weight, strict=True):
        start += own * posterior[:, begin]
        for t in range(begin + 1, begin + length):
            moves += own * np.outer(posterior[:, t - 1], posterior[:, t])
    responsibilities = posterior * np.repeat(weight, lengths)
    found = count_moves(responsibilities, Sequences.of_lengths(lengths))
    assert_allclose(found[0], start)
    assert_allclose(found[1], moves)


@pytest.mark.parametrize("seed", range(6))
def test_perturbing_leaves_known_labels_where_they_are(seed, observe):
    """Rows with known labels of other states do not go to the state that is split."""
    known = observe("real", [60, 40], labelled=0.6)
    known = known._replace(labels=np.where(known.labels == 0, 0, -1))
    model = model_of(Gaussian("full"), 3)
    data = model.prepare(known)
    params = model.initialize(data, np.random.default_rng(seed))
    seen = []
    restart = type(model.law).restart

    class Spy(ChainLaw):
        def restart(self, responsibilities, data):
            seen.append(responsibilities)
            return restart(self, responsibilities, data)

    law = Spy(model.law.n_components, model.law.startprob, model.law.transmat)
    LabelModel(law, model.family, model.initializer).perturb(
        data, params, np.random.default_rng(seed)
    )
    (changed,) = seen
    assert_allclose(changed[0, data.labels == 0], 1.0)
    assert_allclose(changed[1:, data.labels == 0], 0.0)
    assert_allclose(changed.sum(axis=0), 1.0)
