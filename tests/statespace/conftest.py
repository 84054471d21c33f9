"""Fixtures for the tests of state-space models."""

from pathlib import Path

import numpy as np
import pytest

from emlearn.kernels import compiled

NILE = """1120 1160 963 1210 1160 1160 813 1230 1370 1140 995 935 1110 994 1020 960 1180
799 958 1140 1100 1210 1150 1250 1260 1220 1030 1100 774 840 874 694 940 833
701 916 692 1020 1050 969 831 726 456 824 702 1120 1100 832 764 821 768
845 864 862 698 845 744 796 1040 759 781 865 845 944 984 897 822 1010
771 676 649 846 812 742 801 1040 860 874 848 890 744 749 838 1050 918
986 797 923 975 815 1020 906 901 1170 912 746 919 718 714 740"""


#: Tests of the E-step, the M-step and of errors; the others are of whole fits.
WITHOUT_KERNELS = {"test_model.py"}


def pytest_collection_modifyitems(items):
    """Without compiled kernels a step in time takes a tenth of a millisecond, and fits minutes.

    The equivalents in numpy are compared with the kernels in tests/kernels.
    """
    if compiled is not None:
        return
    here = Path(__file__).parent
    skip = pytest.mark.skip(reason="whole fits take minutes without compiled kernels")
    for item in items:
        long = item.path.name not in WITHOUT_KERNELS or item.name.startswith("test_contract")
        if here in item.path.parents and long:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def nile():
    """Flow of the Nile at Aswan, 1871 to 1970 (data set Nile of R)."""
    return np.array(NILE.split(), float)[:, None]


@pytest.fixture(scope="session")
def make():
    """Function that draws sequences of a stable system, some entries missing."""

    def draw(lengths=(40,), n_states=2, n_features=3, n_inputs=0, missing=0.0, seed=0):
        rng = np.random.default_rng(seed)
        A = np.linalg.qr(rng.normal(size=(n_states, n_states)))[0] * 0.85
        B = rng.normal(size=(n_states, n_inputs))
        C = rng.normal(size=(n_features, n_states))
        D = rng.normal(size=(n_features, n_inputs))
        rows, inputs = [], rng.normal(size=(sum(lengths), n_inputs))
        at = 0
        for length in lengths:
            x = rng.normal(size=n_states)
            for _ in range(length):
                rows.append(C @ x + D @ inputs[at] + rng.normal(size=n_features))
                x = A @ x + B @ inputs[at] + 0.7 * rng.normal(size=n_states)
                at += 1
        X = np.array(rows)
        X[rng.random(X.shape) < missing] = np.nan
        return X, inputs

    return draw


@pytest.fixture(scope="session")
def joint():
    """Function: mean and covariance of all states and of all entries of one sequence."""

    def write_out(system, inputs, regressors, n_steps):
        A, C = system.transition, system.observation
        n, m = len(A), len(C)
        mean = np.empty((n_steps, n))
        covariance = np.zeros((n_steps, n_steps, n, n))
        mean[0], covariance[0, 0] = system.initial_mean, system.initial_covariance
        for t in range(1, n_steps):
            mean[t] = A @ mean[t - 1] + system.inputs @ inputs[t - 1]
            for s in range(t):
                covariance[t, s] = A @ covariance[t - 1, s]
                covariance[s, t] = covariance[t, s].T
            covariance[t, t] = A @ covariance[t - 1, t - 1] @ A.T + system.transition_covariance
        states = covariance.transpose(0, 2, 1, 3).reshape(n_steps * n, -1)
        R = system.observation_covariance
        R = np.diag(R) if R.ndim == 1 else R
        loadings = np.kron(np.eye(n_steps), C)
        expected = (mean @ C.T + regressors @ system.regression.T).ravel()
        noise = np.kron(np.eye(n_steps), R)
        return mean.ravel(), states, loadings, expected, noise, (n, m)

    return write_out


@pytest.fixture(scope="session")
def condition(joint):
    """Function: states and log-density of one sequence given some of its entries."""

    def given(system, rows, inputs, regressors, known=None):
        n_steps = len(rows)
        mean, states, loadings, expected, noise, (n, _) = joint(system, inputs, regressors, n_steps)
        there = ~np.isnan(rows) if known is None else ~np.isnan(rows) & known
        own = there.ravel()
        L = loadings[own]
        variance = L @ states @ L.T + noise[np.ix_(own, own)]
        residual = rows.ravel()[own] - expected[own]
        gain = states @ L.T @ np.linalg.inv(variance)
        sign, log_det = np.linalg.slogdet(variance)
        assert sign > 0 or not own.any()
        quadratic = residual @ np.linalg.solve(variance, residual) if own.any() else 0.0
        density = -0.5 * (own.sum() * np.log(2.0 * np.pi) + log_det + quadratic)
        means = (mean + gain @ residual).reshape(n_steps, n)
        covariance = (states - gain @ L @ states).reshape(n_steps, n, n_steps, n)
        return means, covariance.transpose(0, 2, 1, 3), density

    return given
