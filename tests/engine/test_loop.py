"""The EM loop: what it records, how it ends."""

import pickle
import threading

import joblib
import numpy as np
import pytest

from emlearn.engine import (
    BlockMapper,
    DegenerateModelError,
    GainBelow,
    RemainingGain,
    Status,
    Threads,
    run_em,
    search,
)

LOOSE = RemainingGain(1e-4)
TIGHT = RemainingGain(1e-12)


def run(london, model=None, **settings):
    settings = {"convergence": TIGHT, "max_iter": 30, **settings}
    return run_em(model or london.model, london.data, london.start, **settings)


def objective_at(model, data, params):
    with BlockMapper(model, data) as expect:
        return expect(params)[1] + model.log_prior(params)


def assert_same_history(one, other):
    columns = other.history.as_arrays()
    for name, column in one.history.as_arrays().items():
        np.testing.assert_array_equal(column, columns[name], err_msg=name)


def at_call(number, action):
    """A replacement for a method that does something else at its n-th call."""
    calls = []

    def function(method, *args):
        calls.append(args)
        return action(method, *args) if len(calls) == number else method(*args)

    return function


def degenerate(method, *args):
    raise DegenerateModelError("no rows are left")


def interrupted(method, *args):
    raise KeyboardInterrupt


def test_objective_never_decreases(london):
    result = run(london)
    assert (np.diff(result.history.as_arrays()["objective"]) > 0.0).all()


def test_parameters_are_those_of_the_objective(london):
    model = london.Model(alpha=2.0, shape=2.0, rate=1.0, block_rows=10)
    result = run(london, model)
    assert result.objective == objective_at(model, london.data, result.params)
    assert result.objective == result.history[-1].objective


def test_history(london):
    result = run(london, max_iter=5)
    columns = result.history.as_arrays()
    assert len(result.history) == result.n_iter + 1 == 6
    assert list(columns["step"]) == ["start"] + ["em"] * 5
    np.testing.assert_array_equal(columns["e_steps"], np.arange(1, 7))
    np.testing.assert_array_equal(columns["gain"][1:], np.diff(columns["objective"]))
    assert np.isnan(columns["gain"][0])
    assert columns["remaining"][0] == np.inf
    assert result.n_e_steps == 6
    assert columns["objective"][0] == objective_at(london.model, london.data, london.start)


def test_history_as_arrays_when_empty():
    from emlearn.engine import History, Iteration

    assert {name: len(column) for name, column in History().as_arrays().items()} == dict.fromkeys(
        (*Iteration._fields, "standard_errors"), 0
    )


def test_result_can_be_pickled(london):
    result = run(london, max_iter=3)
    copy = pickle.loads(pickle.dumps(result))
    assert type(copy.history) is type(result.history)
    assert_same_history(copy, result)
    assert copy.status is result.status
    np.testing.assert_array_equal(copy.params.rates, result.params.rates)


@pytest.mark.parametrize("max_iter", [0, 1, 7])
def test_max_iter(london, max_iter):
    result = run(london, max_iter=max_iter)
    assert result.status is Status.MAX_ITER
    assert not result.converged
    assert result.n_iter == max_iter
    assert result.message == ""


def test_converged(london):
    result = run(london, convergence=LOOSE, max_iter=1000)
    assert result.status is Status.CONVERGED
    assert result.converged
    assert result.n_iter < 1000
    assert result.history[-1].remaining <= 1e-4 * london.days.sum()
    assert all(line.remaining > 1e-4 * london.days.sum() for line in result.history[:-1])


def test_fall_within_rounding_is_convergence(london, tamper):
    def m_step(m_step, statistics, params):
        return params._replace(rates=params.rates * (1.0 - 1e-10))

    coarse = GainBelow(0.0, precision=1e-10)
    result = run(london, tamper(london.model, m_step=m_step), convergence=coarse)
    assert result.status is Status.CONVERGED
    np.testing.assert_array_equal(result.params.rates, london.start.rates)
    # The history has that iteration: the parameters before are kept, and nothing is gained.
    assert [(line.step, line.e_steps) for line in result.history] == [("start", 1), ("kept", 2)]
    assert result.history[1].objective == result.history[0].objective == result.objective
    assert result.history[1].step_norm > 0.0


def test_fall_beyond_rounding_stalls(london, tamper):
    def m_step(m_step, statistics, params):
        image = m_step(statistics, params)
        return image._replace(rates=image.rates * 1.05)

    model = tamper(london.model, m_step=m_step)
    result = run(london, model)
    assert result.status is Status.STALLED
    assert result.status.usable
    assert "objective fell by" in result.message
    assert result.objective == objective_at(model, london.data, result.params)
    assert result.objective == max(line.objective for line in result.history)
    assert result.history[-1].step == "kept"


def test_each_parameters_are_vectorized_once(london, tamper):
    calls = []

    def to_vector(to_vector, params):
        calls.append(params)
        return to_vector(params)

    run(london, tamper(london.model, to_vector=to_vector), max_iter=5)
    assert len(calls) == 6
    assert len({id(params) for params in calls}) == 6


def test_a_model_without_vector_form_is_asked_once(london, tamper):
    calls = []

    def to_vector(to_vector, params):
        calls.append(params)
        raise NotImplementedError

    run(london, tamper(london.model, to_vector=to_vector), max_iter=5)
    assert len(calls) == 1


@pytest.mark.parametrize("method", ["precompute", "e_step"])
def test_failure_at_the_start(london, tamper, method):
    result = run(london, tamper(london.model, **{method: degenerate}))
    assert result.status is Status.FAILED
    assert not result.status.usable
    assert result.message == "no rows are left"
    assert result.params is None
    assert result.objective == -np.inf
    assert result.n_iter == 0
    assert len(result.history) == 0


@pytest.mark.parametrize("value", [np.nan, -np.inf, np.inf])
def test_objective_that_is_not_finite_is_a_failure(london, tamper, value):
    model = tamper(london.model, log_prior=lambda log_prior, params: value)
    result = run(london, model)
    assert result.status is Status.FAILED
    assert f"the objective is {value}" in result.message


@pytest.mark.parametrize("method", ["precompute", "e_step", "m_step", "log_prior"])
def test_failure_later_keeps_the_last_good_parameters(london, tamper, method):
    # The M-step is first called after the start, so its fourth call is one step later.
    calls = 4 if method == "m_step" else 5
    result = run(london, tamper(london.model, **{method: at_call(calls, degenerate)}))
    good = run(london, max_iter=3)
    assert result.status is Status.FAILED
    assert result.n_iter == 3
    assert result.objective == good.objective
    np.testing.assert_array_equal(result.params.rates, good.params.rates)
    np.testing.assert_array_equal(
        result.history.as_arrays()["objective"], good.history.as_arrays()["objective"]
    )


def test_other_errors_are_not_caught(london, tamper):
    def broken(e_step, *args):
        raise ZeroDivisionError("a mistake in the model")

    with pytest.raises(ZeroDivisionError, match="a mistake"):
        run(london, tamper(london.model, e_step=broken))


@pytest.mark.parametrize("when", [0, 4])
def test_callback_stops(london, when):
    seen = []

    def callback(n_iter, iteration):
        seen.append((n_iter, iteration))
        return n_iter == when

    result = run(london, callback=callback)
    assert result.status is Status.STOPPED
    assert result.n_iter == when
    assert [n for n, _ in seen] == list(range(when + 1))
    assert tuple(iteration.objective for _, iteration in seen) == tuple(
        iteration.objective for iteration in result.history
    )


def interrupt_at_two(n_iter, iteration):
    if n_iter == 2:
        raise KeyboardInterrupt


@pytest.mark.parametrize("n_threads", [1, 2])
def test_interrupt_from_the_callback(london, n_threads):
    model = london.Model(block_rows=2)
    data = model.prepare(london.X, london.days)
    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        run_em(
            model,
            data,
            london.start,
            convergence=TIGHT,
            max_iter=30,
            callback=interrupt_at_two,
            mapper=Threads(n_threads),
        )
    assert threading.active_count() == threads


@pytest.mark.parametrize("n_threads", [1, 2])
def test_interrupt_from_the_e_step(london, tamper, n_threads):
    model = tamper(london.Model(block_rows=2), e_step=at_call(12, interrupted))
    data = model.prepare(london.X, london.days)
    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        run_em(model, data, london.start, convergence=TIGHT, max_iter=30, mapper=Threads(n_threads))
    assert threading.active_count() == threads


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_interrupt_in_a_search(london, tamper, n_jobs):
    model = tamper(london.model, e_step=at_call(12, interrupted))
    with joblib.parallel_config(backend="threading"), pytest.raises(KeyboardInterrupt):
        search(
            model,
            london.data,
            seeds=np.random.SeedSequence(0).spawn(4),
            convergence=TIGHT,
            max_iter=30,
            n_jobs=n_jobs,
        )


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
def test_same_bits_for_any_number_of_threads(london, n_threads):
    model = london.Model(block_rows=2)
    data = model.prepare(london.X, london.days)
    results = [
        run_em(model, data, london.start, convergence=TIGHT, max_iter=20, mapper=Threads(n))
        for n in (1, n_threads)
    ]
    assert_same_history(*results)
    np.testing.assert_array_equal(results[0].params.rates, results[1].params.rates)
