"""Requests to stop, and lines of progress, without a fit."""

import pickle
import threading

import numpy as np
import pytest

from emlearn.engine import StopSignal
from emlearn.engine.progress import Observers, Printer
from emlearn.engine.result import EMResult, History, Iteration, Status


def iteration(objective=-12.0, gain=np.nan, remaining=np.inf):
    return Iteration(objective, gain, np.nan, remaining, 1, "em")


def test_an_observer_that_asks_to_stop_stops_all_runs():
    stop = StopSignal()
    answers = iter([False, True])
    callback = stop.following(lambda n_iter, iteration: next(answers))
    other = stop.following(lambda n_iter, iteration: False)
    assert not callback(0, None)
    assert not other(0, None)
    assert callback(1, None)
    assert stop()
    assert other(1, None)


def test_whoever_waits_is_woken_by_the_end_of_the_last_run():
    stop = StopSignal()
    begun, go_on, waited = threading.Event(), threading.Event(), threading.Event()

    def run():
        with stop.running():
            begun.set()
            go_on.wait(10.0)

    def wait():
        stop.wait()
        waited.set()

    runner = threading.Thread(target=run)
    runner.start()
    assert begun.wait(10.0)
    waiter = threading.Thread(target=wait, daemon=True)
    waiter.start()
    assert not waited.wait(0.2)
    go_on.set()
    assert waited.wait(10.0)
    runner.join()
    with pytest.raises(KeyError), stop.running():
        raise KeyError
    again = threading.Thread(target=stop.wait, daemon=True)
    again.start()
    again.join(10.0)
    assert not again.is_alive()


def test_a_signal_in_another_process_is_not_set():
    stop = StopSignal()
    stop.set()
    copy = pickle.loads(pickle.dumps(stop))
    assert isinstance(copy, StopSignal)
    assert not copy()


def test_all_observers_are_told_even_if_the_first_asks_to_stop():
    told = []

    def observer(answer):
        return lambda n_iter, iteration: told.append(n_iter) or answer

    assert Observers((observer(True), observer(False)))(3, None)
    assert told == [3, 3]
    assert not Observers((observer(False), observer(None)))(4, None)


def test_lines(capsys):
    printer = Printer("Name", 1, 3, 4.0, 2)
    printer(0, iteration())
    printer(1, iteration())
    printer(2, iteration(-8.0, 4.0, 0.5))
    for n_iter, message in ((1, ""), (2, "a reason")):
        history = History([iteration()] * (n_iter + 1))
        printer.end(EMResult(1, -8.0, Status.MAX_ITER, message, history, n_iter + 1))
    printer.end(EMResult(None, -np.inf, Status.FAILED, "", History(), 0))
    Printer("Name", 0, 1, 1.0)(0, iteration())
    name = Status.MAX_ITER.value.replace("_", " ")
    objective = "objective -8.000000 (-2.000000 per unit of weight)"
    assert capsys.readouterr().out.splitlines() == [
        "[Name] run 2 of 3, iteration 0: objective -12.000000 (-3.000000 per unit of weight)",
        f"[Name] run 2 of 3, iteration 2: {objective}, gain 4.00e+00, about 5.00e-01 nats "
        "left to gain",
        f"[Name] run 2 of 3: {name} after 1 iteration, {objective}",
        f"[Name] run 2 of 3: {name} after 2 iterations, {objective} (a reason)",
        "[Name] run 2 of 3: failed: it did not begin",
    ]
