"""The place of an accelerator in the loop: whatever it proposes, EM does not suffer."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emlearn.engine import RemainingGain, Status, run_em

TIGHT = RemainingGain(1e-11)


class Proposer:
    """An accelerator that proposes `function(point, image)` and remembers the verdicts."""

    def __init__(self, function):
        self.function = function
        self.verdicts = []
        self.starts = 0

    def start(self):
        self.starts += 1
        return self

    def propose(self, point, image):
        return self.function(point, image)

    def update(self, accepted):
        self.verdicts.append(accepted)


def run(london, accelerator=None, **settings):
    settings = {"convergence": TIGHT, "max_iter": 40, **settings}
    return run_em(london.model, london.data, london.start, accelerator=accelerator, **settings)


@pytest.fixture(scope="module")
def optimum(london):
    params = london.Params(*(np.array(london.published[key]) for key in ("weights", "rates")))
    polished = run_em(
        london.model, london.data, params, convergence=RemainingGain(0.0), max_iter=2000
    )
    return london.model.to_vector(polished.params)


def test_no_proposal_is_plain_em(london):
    accelerator = Proposer(lambda point, image: None)
    result, plain = run(london, accelerator), run(london)
    np.testing.assert_array_equal(result.params.rates, plain.params.rates)
    assert {line.step for line in result.history[1:]} == {"em"}
    assert result.n_e_steps == plain.n_e_steps
    assert accelerator.verdicts == []
    assert accelerator.starts == 1


def test_it_is_told_the_em_step(london):
    told = []
    result = run(london, Proposer(lambda *vectors: told.append(vectors)), max_iter=3)
    np.testing.assert_array_equal(told[0][0], london.model.to_vector(london.start))
    for (_, image), (point, _) in pairwise(told):
        np.testing.assert_array_equal(image, point)
    np.testing.assert_array_equal(told[-1][1], london.model.to_vector(result.params))


def test_an_oracle_is_believed(london, optimum):
    oracle = Proposer(lambda point, image: optimum)
    result = run(london, oracle)
    assert result.status is Status.CONVERGED
    assert result.history[1].step == "accepted"
    assert result.n_iter < 10
    assert oracle.verdicts[0]
    assert result.objective >= london.published["log_likelihood"] - 1e-8
    rejections = sum(not verdict for verdict in oracle.verdicts)
    assert result.n_e_steps == 1 + result.n_iter + rejections


TERRIBLE = {
    "nan": lambda point, image: np.full_like(point, np.nan),
    "infinite": lambda point, image: np.full_like(point, np.inf),
    "invalid": lambda point, image: image + 1e6,
    "worse": lambda point, image: point - 3.0 * (image - point),
    "sometimes nan": lambda point, image: image * np.array([1.0, np.nan, 1.0]),
}


@pytest.mark.parametrize("kind", TERRIBLE)
def test_a_terrible_one_only_costs_time(london, kind):
    accelerator = Proposer(TERRIBLE[kind])
    result, plain = run(london, accelerator), run(london)
    np.testing.assert_array_equal(result.params.rates, plain.params.rates)
    assert result.objective == plain.objective
    assert result.status is plain.status
    assert {line.step for line in result.history[1:]} == {"rejected"}
    assert accelerator.verdicts == [False] * 40
    # Proposals that are worse have to be evaluated; those that are invalid do not.
    assert result.n_e_steps == plain.n_e_steps + (40 if kind == "worse" else 0)


def test_an_invalid_proposal_is_counted_as_rejected_even_if_it_was_not_evaluated(london):
    result = run(london, Proposer(TERRIBLE["nan"]), max_iter=2)
    assert [(line.step, line.e_steps) for line in result.history] == [
        ("start", 1),
        ("rejected", 2),
        ("rejected", 3),
    ]


def test_one_that_stays_does_not_end_the_run(london):
    stays = Proposer(lambda point, image: point.copy())
    result = run(london, stays, convergence=RemainingGain(1e-7), max_iter=3000)
    assert result.converged
    assert london.published["log_likelihood"] - result.objective < 1e-6 * london.days.sum()


def test_one_that_creeps_does_not_end_the_run(london):
    creeps = Proposer(lambda point, image: point + 1e-4 * (image - point))
    result = run(london, creeps, convergence=RemainingGain(1e-6), max_iter=300)
    remaining = london.published["log_likelihood"] - result.objective
    assert not result.converged or remaining < 1e-5 * london.days.sum()


def test_a_model_without_vector_form_cannot_be_accelerated(london, tamper):
    def absent(to_vector, params):
        raise NotImplementedError("define to_vector")

    model = tamper(london.model, to_vector=absent)
    accelerator = Proposer(lambda point, image: None)
    with pytest.raises(NotImplementedError, match="define to_vector"):
        run_em(
            model,
            london.data,
            london.start,
            convergence=TIGHT,
            max_iter=3,
            accelerator=accelerator,
        )


@given(
    counts=st.lists(st.integers(0, 12), min_size=3, max_size=25),
    seed=st.integers(0, 2**32 - 1),
    reach=st.sampled_from([0.0, 0.3, 3.0, 100.0, math.inf]),
    prior=st.booleans(),
)
def test_the_objective_never_decreases_whatever_is_proposed(london, counts, seed, reach, prior):
    rng = np.random.default_rng(seed)
    hyperparameters = {"alpha": 2.0, "shape": 2.0, "rate": 0.5} if prior else {}
    model = london.Model(n_components=2, block_rows=7, **hyperparameters)
    data = model.prepare(np.array(counts), rng.gamma(1.0, 1.0, len(counts)))

    def propose(point, image):
        if rng.random() < 0.3:
            return None
        with np.errstate(invalid="ignore"):
            return image + reach * rng.standard_normal(len(image))

    result = run_em(
        model,
        data,
        model.initialize(data, rng),
        convergence=TIGHT,
        max_iter=15,
        accelerator=Proposer(propose),
    )
    assert result.status is not Status.STALLED
    objectives = [line.objective for line in result.history]
    assert (np.diff(objectives) >= 0.0).all()
    assert result.objective == max(objectives)
    if prior:
        assert result.status is not Status.FAILED
