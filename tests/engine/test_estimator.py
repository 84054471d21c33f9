"""EMEstimator: one layer below all estimators, and below a user's own."""

import inspect
import os
import re
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

import emlearn
from emlearn import FiniteMixtureEM, GaussianMixtureEM, HiddenMarkovEM
from emlearn.engine import (
    DegenerateModelError,
    EMEstimator,
    LatentVariableModel,
    StatisticalGain,
)
from emlearn.engine.convergence import Trace
from emlearn.engine.documentation import ATTRIBUTES, PARAMETERS
from emlearn.impute import MissingDataImputerEM

HAS_CALLBACKS = hasattr(EMEstimator, "set_callbacks")
needs_callbacks = pytest.mark.skipif(not HAS_CALLBACKS, reason="scikit-learn has no callbacks")

ESTIMATORS = {
    "gaussian": GaussianMixtureEM(2, init_params="random", random_state=0),
    "finite": FiniteMixtureEM(2, init_params="rows", random_state=0),
    "markov": HiddenMarkovEM(2, init_params="rows", random_state=0),
    "imputer": MissingDataImputerEM(n_factors=1, random_state=0),
}


@pytest.fixture(params=ESTIMATORS)
def estimator(request):
    return clone(ESTIMATORS[request.param])


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    return np.r_[rng.normal(0, 1, (60, 2)), rng.normal(3, 1, (60, 2))]


# ---- hyperparameters and their documentation ---------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_jobs": 0},
        {"max_iter": -1},
        {"n_init": 0},
        {"tol": -1.0},
        {"accelerate": "newton"},
        {"random_state": "zero"},
        {"warm_start": "yes"},
        {"verbose": -1},
        {"verbose_interval": 0},
    ],
)
def test_shared_hyperparameters_are_checked_alike(estimator, wrong, X):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"The '{name}' parameter of {type(estimator).__name__}"):
        estimator.set_params(**wrong).fit(X)


def test_no_iterations_publish_the_start(estimator, X):
    estimator.set_params(max_iter=0).fit(X)
    assert estimator.n_iter_ == 0
    assert not estimator.converged_
    assert estimator.lower_bounds_ == []
    assert np.isfinite(estimator.score(X))


def test_shared_words_stand_in_the_docstrings(estimator):
    text = inspect.getdoc(type(estimator))
    assert not re.search(r"^\s*\{\w+\}$", text, re.MULTILINE)
    for name in ("tol", "max_iter", "accelerate", "n_jobs", "verbose", "verbose_interval"):
        default = inspect.signature(type(estimator)).parameters[name].default
        shown = f'"{default}"' if isinstance(default, str) else default
        kind, words = PARAMETERS[name]
        assert f"{name} : {kind}, default={shown}\n" in text
        assert textwrap.indent(textwrap.dedent(words).strip(), "    ") in text
    for name in ("converged_", "n_iter_", "history_", "restarts_"):
        assert f"{name} : {ATTRIBUTES[name][0]}\n" in text


def test_an_unknown_entry_is_an_error():
    with pytest.raises(KeyError, match="no shared entry 'tolerance'"):

        class Wrong(EMEstimator):
            """Has a mistake.

            {tolerance}
            """


def test_restarts_after_a_warm_start(estimator, X):
    estimator.set_params(warm_start=True, n_init=3).fit(X)
    assert len(estimator.restarts_) == 3
    estimator.fit(X)
    (restart,) = estimator.restarts_
    assert restart.status == "converged"
    assert restart.n_iter == estimator.n_iter_ <= 2


def test_without_a_warm_start_a_fit_forgets_the_last_one(estimator, X):
    """One Gaussian starts where it ends, so the objectives of two fits are the same."""
    estimator.set_params(n_components=1).fit(X)
    once = {name: values.tobytes() for name, values in estimator.history_.items()}
    estimator.fit(X)
    assert {name: values.tobytes() for name, values in estimator.history_.items()} == once


def test_a_loop_of_single_iterations_converges(estimator, X):
    """As scikit-learn's users do to watch a fit."""
    whole = clone(estimator).set_params(accelerate=None).fit(X)
    estimator.set_params(warm_start=True, max_iter=1, accelerate=None)
    count = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        while count == 0 or (not estimator.converged_ and count < 2000):
            estimator.fit(X)
            count += 1
    assert count == whole.n_iter_
    assert estimator.log_likelihood_ == pytest.approx(whole.log_likelihood_, abs=1e-6)
    # On other rows the test begins anew, and continues with those alone.
    with pytest.warns(ConvergenceWarning):
        assert not estimator.fit(X[::2]).converged_
    assert [line.objective for line in estimator._last_lines] == (
        estimator.history_["objective"].tolist()
    )


# ---- the default tolerance ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "p", "limit"),
    [
        (150, 44, 1e-5),
        (1000, 44, 1e-5),
        (10_000, 29, 29e-3 * (0.029) ** 2),
        (100_000, 659, 0.125),
        (200_000, 4619, 0.125),
        (3_000_000, 5, 5e-3),
        (10, 2, 1e-6),
        (3_000_000, 0, 1e-3 * 0.3**2),
    ],
)
def test_limit_of_the_remaining_gain(n, p, limit):
    trace = Trace(lambda: p)
    for objective in (-1.0, -0.5, -0.25):
        trace.add(objective, "em")
    assert StatisticalGain()._limit(trace, n) == pytest.approx(limit)


def test_default_tolerance_is_on_the_scale_of_standard_errors(estimator, X):
    whole = clone(estimator).set_params(tol=0.0, accelerate=None, max_iter=10**5).fit(X)
    estimator.fit(X)
    remaining = estimator.history_["remaining"][-1]
    assert remaining <= 1e-5
    assert estimator.history_["standard_errors"][-1] == pytest.approx(np.sqrt(2 * remaining))
    assert whole.log_likelihood_ - estimator.log_likelihood_ <= 1e-4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("tol", ["auto", 1e-2, 1e-6, 1e-11, 1e-13, 0.0])
def test_what_counts_as_rounding_is_below_the_tolerance_if_the_arithmetic_allows(tol, dtype):
    """256 times the precision per row, 1e-10 nats at most, or what the arithmetic has."""
    convergence = EMEstimator(tol=tol)._convergence(dtype)
    eps = float(np.finfo(dtype).eps)
    most = 1e-10 if tol == "auto" else min(tol, 1e-10)
    assert convergence.precision == pytest.approx(max(most / 256.0, eps))
    if most / 256.0 > eps:
        assert convergence.rounding(0.0, 1.0) >= most * (1.0 - 1e-12)
        assert convergence.noise(0.0, 1.0) < most


def test_the_warning_says_how_far_off_estimates_may_be(estimator, X):
    estimator.set_params(accelerate=None, tol=0.0)
    for max_iter in range(3, 60):
        with pytest.warns(ConvergenceWarning) as caught:
            estimator.set_params(max_iter=max_iter).fit(X)
        remaining = estimator.history_["remaining"][-1]
        text = " ".join(str(w.message) for w in caught)
        if np.isfinite(remaining):
            break
        assert "standard errors" not in text
    assert f"about {remaining:.3g} nats are left to gain" in text
    assert f"off by {np.sqrt(2.0 * remaining):.2g} standard errors" in text


# ---- an estimator of one's own -----------------------------------------------------------


class Waiting(LatentVariableModel):
    """Exponential waiting times, of which some are known only to exceed a limit."""

    def prepare(self, X, sample_weight=None):
        weight = np.ones(len(X)) if sample_weight is None else sample_weight
        return X[:, 0], X[:, 1] > 0, weight

    def total_weight(self, data):
        return data[2].sum()

    def initialize(self, data, rng):
        return data[2] @ data[0] / data[2].sum()

    def e_step(self, block, mean):
        time_, censored, weight = block
        if not mean > 0.0:
            raise ArithmeticError
        log_density = -time_ / mean - np.where(censored, 0.0, np.log(mean))
        total = weight @ (time_ + mean * censored)
        return np.array([weight.sum(), total]), weight @ log_density

    def m_step(self, statistics, mean):
        return statistics[1] / statistics[0]


class WaitingEM(EMEstimator):
    """Mean waiting time.

    Parameters
    ----------
    {tol}
    {max_iter}
    """

    def __init__(self, tol=1e-10, max_iter=1000):
        self.tol = tol
        self.max_iter = max_iter

    def fit(self, X, y=None, sample_weight=None):
        rows, weight = self._read(X, sample_weight)
        model = Waiting()
        fit = self._run_em(model, model.prepare(rows, weight))
        self.mean_ = fit.params
        return self._report(fit)


def test_an_own_estimator():
    X = [[1.0, 0], [2.0, 0], [4.0, 1], [3.0, 1]]
    own = WaitingEM().fit(X)
    # Maximum likelihood: total time by the number of events.
    assert own.mean_ == pytest.approx(5.0, rel=1e-4)
    assert own.log_likelihood_ == pytest.approx(-2 * np.log(5.0) - 2.0, rel=1e-8)
    assert own.converged_
    assert own.n_features_in_ == 2
    assert 'tol : float or "auto", default=1e-10' in WaitingEM.__doc__
    assert set(own.get_params()) == {"tol", "max_iter"}
    weighted = WaitingEM().fit(X, sample_weight=[1, 2, 1, 0])
    assert weighted.mean_ == pytest.approx(9.0 / 3.0, rel=1e-4)
    with pytest.warns(ConvergenceWarning, match=r"max_iter=3 .* nats are left to gain") as caught:
        WaitingEM(max_iter=3).fit(X)
    assert caught[0].filename == __file__
    with pytest.raises(ValueError, match="The 'tol' parameter of WaitingEM"):
        WaitingEM(tol=-1).fit(X)


# ---- progress ----------------------------------------------------------------------------


def test_nothing_is_printed_by_default(estimator, X, capsys):
    estimator.fit(X)
    assert capsys.readouterr().out == ""


def test_one_line_for_each_run(estimator, X, capsys):
    name = type(estimator).__name__
    estimator.set_params(n_init=2, verbose=1).fit(X)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for run, (line, restart) in enumerate(zip(lines, estimator.restarts_, strict=True)):
        form = (
            rf"\[{name}\] run {run + 1} of 2: converged after {restart.n_iter} iterations, "
            r"objective (-?\d+\.\d{6}) \((-?\d+\.\d{6}) per unit of weight\)"
        )
        total, each = re.fullmatch(form, line).groups()
        assert float(total) == pytest.approx(restart.objective, abs=1e-6)
        assert float(each) == pytest.approx(restart.objective / len(X), abs=1e-6)


def test_lines_while_it_runs(estimator, X, capsys):
    estimator.set_params(verbose=2, verbose_interval=3).fit(X)
    out = capsys.readouterr().out
    assert not re.search(r"\b(nan|inf)\b", out)
    numbers = [int(n) for n in re.findall(r"run 1 of 1, iteration (\d+): objective", out)]
    assert numbers == list(range(0, estimator.n_iter_ + 1, 3))
    assert out.count("nats left to gain") > 0


class Recorder:
    """Callback of scikit-learn that notes what it is told."""

    def __init__(self, stop_at=None):
        self.begun, self.ended, self.calls = [], [], []
        self.stop_at = stop_at

    def setup(self, estimator, context):
        self.calls.append("setup")

    def teardown(self, estimator, context):
        self.calls.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.begun.append((context.task_name, context.task_id))

    def on_fit_task_end(self, estimator, context):
        self.ended.append((context.task_name, context.task_id))
        return context.task_name == "iteration" and context.task_id + 1 == self.stop_at


@needs_callbacks
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_callbacks_see_fit_run_iteration(estimator, X, n_jobs):
    recorder = Recorder()
    estimator.set_params(n_init=2, n_jobs=n_jobs).set_callbacks(recorder).fit(X)
    assert recorder.calls == ["setup", "teardown"]
    assert recorder.begun[0] == recorder.ended[-1] == ("fit", 0)
    for kind in (recorder.begun, recorder.ended):
        assert {task for task in kind if task[0] == "run"} == {("run", 0), ("run", 1)}
        n_iterations = sum(task[0] == "iteration" for task in kind)
        assert n_iterations == sum(restart.n_iter for restart in estimator.restarts_)


@needs_callbacks
def test_callbacks_can_stop_a_fit(estimator, X, recwarn):
    recorder = Recorder(stop_at=2)
    estimator.set_params(n_init=2, tol=0.0).set_callbacks(recorder).fit(X)
    assert [restart.status for restart in estimator.restarts_] == ["stopped", "stopped"]
    assert estimator.n_iter_ == 2
    assert not estimator.converged_
    assert np.isfinite(estimator.score(X))
    assert not recwarn.list
    assert recorder.calls == ["setup", "teardown"]


@needs_callbacks
def test_callbacks_are_torn_down_after_a_failure(X):
    class Failing(Recorder):
        def on_fit_task_end(self, estimator, context):
            raise RuntimeError("from the callback")

    recorder = Failing()
    with pytest.raises(RuntimeError, match="from the callback"):
        GaussianMixtureEM(2).set_callbacks(recorder).fit(X)
    assert recorder.calls == ["setup", "teardown"]


@needs_callbacks
@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_progress_bar(estimator, X, backend, capsys):
    pytest.importorskip("rich")
    from sklearn.callback import ProgressBar

    estimator.set_params(n_init=2, n_jobs=2, max_iter=20, tol=1e-2).set_callbacks(ProgressBar())
    with joblib.parallel_config(backend=backend):
        estimator.fit(X)
    out = capsys.readouterr().out
    assert f"{type(estimator).__name__} - fit" in out
    assert f"{type(estimator).__name__} - run #0" in out
    assert f"{type(estimator).__name__} - run #1" in out
    assert "100%" in out


# ---- interruption ------------------------------------------------------------------------

INTERRUPTED = """
    import os, signal, sys, threading, time
    import joblib, numpy as np
    from threadpoolctl import threadpool_info
    from emlearn import GaussianMixtureEM
    from emlearn.engine import threads

    def blas():
        return [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]

    before = blas()
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60000, 8))
    slow = GaussianMixtureEM(
        8, n_init=4, n_jobs=2, tol=0.0, max_iter=10**6, init_params="random", accelerate=None
    )
    threading.Timer(2.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    try:
        with joblib.parallel_config(backend=sys.argv[1]):
            slow.fit(X)
    except KeyboardInterrupt:
        print("interrupted after", time.monotonic() - began)
        busy = time.process_time()
        time.sleep(1.0)
        assert time.process_time() - busy < 0.3, "threads go on"
        assert threads._limit._holders == 0
        assert blas() == before
        print("quiet")
"""


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_interruption_ends_all_workers(backend, tmp_path):
    script = tmp_path / "interrupted.py"
    script.write_text(textwrap.dedent(INTERRUPTED))
    # The package that is tested here, wherever it was imported from.
    env = {**os.environ, "PYTHONPATH": str(Path(emlearn.__file__).parents[1])}
    found = subprocess.run(
        [sys.executable, str(script), backend],
        capture_output=True, text=True, timeout=120, env=env, cwd=tmp_path,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert "quiet" in found.stdout


# ---- failures -----------------------------------------------------------------------------


@pytest.mark.parametrize("n_init", [1, 3])
def test_failures_of_all_starts(n_init):
    class Failing(LatentVariableModel):
        def prepare(self, X, sample_weight=None):
            return X

        def total_weight(self, data):
            return float(len(data))

        def initialize(self, data, rng):
            raise DegenerateModelError("there is nowhere to start")

        e_step = m_step = None

    class Own(EMEstimator):
        def fit(self, X, y=None):
            rows, _ = self._read(X)
            self._run_em(Failing(), rows, advice="Pass others.")

    each = "" if n_init == 1 else "each of the 3 starts failed, the first one as "
    expected = f"Own cannot be fitted: {each}there is nowhere to start. Pass others."
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        Own(n_init=n_init).fit(np.zeros((3, 1)))


def test_a_model_without_a_vector_form_is_fitted_by_plain_em():
    """Halfway to 1 in each step."""

    class Halving(LatentVariableModel):
        def prepare(self, X, sample_weight=None):
            return X

        def total_weight(self, data):
            return 1.0

        def initialize(self, data, rng):
            return 0.0

        def e_step(self, block, point):
            return np.array([point]), -((1.0 - point) ** 2)

        def m_step(self, statistics, point):
            return 0.5 * (1.0 + statistics[0])

    class Own(EMEstimator):
        def fit(self, X, y=None):
            rows, _ = self._read(X)
            self.point_ = self._run_em(Halving(), rows).params
            return self

    rows = np.zeros((1, 1))
    for accelerate in ("auto", None):
        fitted = Own(accelerate=accelerate, tol=1e-12).fit(rows)
        assert set(fitted.history_["step"][1:]) == {"em"}
        assert fitted.point_ == pytest.approx(1.0, abs=1e-5)
    for accelerate in ("squarem", "anderson"):
        with pytest.raises(ValueError, match=f"^accelerate='{accelerate}' needs a vector form"):
            Own(accelerate=accelerate).fit(rows)
