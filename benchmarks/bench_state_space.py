"""An EM iteration of LinearGaussianStateSpaceEM beside pykalman and dynamax.

The same model (4 states, 4 columns, all free), the same data and the same parameters. Turns
alternate, and the ratio is the median of the ratios of the turns. pykalman takes one sequence at a
time; dynamax runs on the processor in float64, compiled before it is timed.

    pip install scikit-em pykalman dynamax
    python benchmarks/bench_state_space.py
    python benchmarks/bench_state_space.py --large
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from emlearn.engine.blocks import BlockMapper, Threads
from emlearn.engine.threads import available_threads, blas_limited
from emlearn.statespace._covariances import KINDS
from emlearn.statespace._data import Observations
from emlearn.statespace._linear_gaussian import LinearGaussianModel
from emlearn.statespace._noise import FullNoise

N = 4


def draw(n_steps: int, n_sequences: int = 1, seed: int = 0) -> tuple[np.ndarray, Any]:
    """Sequences of a stable system, (n_sequences, n_steps, N), and its matrices."""
    rng = np.random.default_rng(seed)
    A = 0.95 * np.linalg.qr(rng.normal(size=(N, N)))[0]
    C = rng.normal(size=(N, N))
    rows = np.empty((n_steps, n_sequences, N))
    x = rng.normal(size=(n_sequences, N))
    for t in range(n_steps):
        rows[t] = x @ C.T + rng.normal(size=(n_sequences, N))
        x = x @ A.T + 0.5 * rng.normal(size=(n_sequences, N))
    return np.ascontiguousarray(rows.transpose(1, 0, 2)), (A, C)


def ours(rows: np.ndarray, matrices: Any, threads: int = 1) -> Callable[[], float]:
    """An EM step of this package; returns the log-likelihood."""
    n_sequences, n_steps, _ = rows.shape
    model = LinearGaussianModel(
        FullNoise(), n_states=N, transition_kind=KINDS["full"], observation_kind=KINDS["full"]
    )
    lengths = np.full(n_sequences, n_steps)
    flat = rows.reshape(-1, N)
    data = model.prepare(Observations(flat, lengths, np.empty((len(flat), 0))))
    params = model.initialize(data, np.random.default_rng(0))
    A, C = matrices
    params = params._replace(
        transition=A,
        observation=C,
        transition_covariance=0.25 * np.eye(N),
        observation_covariance=np.eye(N),
        initial_mean=np.zeros(N),
        initial_covariance=np.eye(N),
    )

    def step() -> float:
        with blas_limited(), BlockMapper(model, data, Threads(threads)) as e_step:
            moments, log_likelihood = e_step(params)
            model.m_step(moments, params)
        return log_likelihood

    return step


def pykalman(rows: np.ndarray, matrices: Any) -> Callable[[], float]:
    """An EM step of pykalman, on one sequence; it returns no log-likelihood."""
    from pykalman import KalmanFilter

    A, C = matrices

    def step() -> float:
        KalmanFilter(
            transition_matrices=A,
            observation_matrices=C,
            transition_covariance=0.25 * np.eye(N),
            observation_covariance=np.eye(N),
            initial_state_mean=np.zeros(N),
            initial_state_covariance=np.eye(N),
            em_vars="all",
        ).em(rows[0], n_iter=1)
        return float("nan")

    return step


def dynamax(rows: np.ndarray, matrices: Any) -> Callable[[], float]:
    """An EM step of dynamax, all sequences at once."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    from dynamax.linear_gaussian_ssm import LinearGaussianSSM

    A, C = matrices
    model = LinearGaussianSSM(N, N, has_dynamics_bias=False, has_emissions_bias=False)
    params, properties = model.initialize(
        jax.random.PRNGKey(0),
        initial_mean=jnp.zeros(N),
        initial_covariance=jnp.eye(N),
        dynamics_weights=jnp.array(A),
        dynamics_covariance=0.25 * jnp.eye(N),
        emission_weights=jnp.array(C),
        emission_covariance=jnp.eye(N),
    )
    emissions = jnp.array(rows)

    @jax.jit
    def em(params: Any) -> Any:
        statistics, log_likelihood = jax.vmap(lambda own: model.e_step(params, own))(emissions)
        state = model.initialize_m_step_state(params, properties)
        new, _ = model.m_step(params, properties, statistics, state)
        return new, log_likelihood.sum()

    def step() -> float:
        _, log_likelihood = em(params)
        return float(log_likelihood.block_until_ready())

    step()
    return step


def timed(step: Callable[[], float]) -> float:
    """Seconds of a step."""
    begin = time.perf_counter()
    step()
    return time.perf_counter() - begin


def compare(
    name: str, peer: Callable[..., Any], n_steps: int, n_sequences: int, turns: int
) -> None:
    """Print the ratio of the times of a peer and of this package."""
    rows, matrices = draw(n_steps, n_sequences)
    label = f"{n_sequences} x {n_steps}"
    own = ours(rows, matrices)
    try:
        other = peer(rows, matrices)
    except ImportError:
        print(f"{label:>14}  {name} is not installed")
        return
    values = own(), other()
    times = np.array([(timed(own), timed(other)) for _ in range(turns)])
    ratio = np.median(times[:, 1] / times[:, 0])
    same = "" if np.isnan(values[1]) else f"  log-likelihoods {values[0]:.6f} and {values[1]:.6f}"
    best = 1e3 * np.median(times, axis=0)
    print(f"{label:>14}  {best[0]:9.2f} ms  {name} {best[1]:9.2f} ms  ratio {ratio:7.1f}{same}")


def main() -> None:
    """Run the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--large", action="store_true", help="also a million steps, by threads")
    options = parser.parse_args()
    print(f"EM step, {N} states, {N} columns, one thread")
    for n_steps in (1_000, 100_000):
        compare("pykalman", pykalman, n_steps, 1, min(options.turns, 3))
        compare("dynamax", dynamax, n_steps, 1, options.turns)
    compare("dynamax", dynamax, 50, 5_000, options.turns)
    if options.large:
        rows, matrices = draw(1_000_000)
        print(f"1 x 1000000: {timed(ours(rows, matrices)):.2f} s")
        rows, matrices = draw(50, 5_000)
        for threads in (1, available_threads()):
            print(
                f"5000 x 50, {threads} threads: {1e3 * timed(ours(rows, matrices, threads)):.1f} ms"
            )


if __name__ == "__main__":
    main()
