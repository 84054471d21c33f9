"""Modes of transition and observation matrices, their standard errors, and comparisons."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import block_diag
from scipy.stats import kstest
from sklearn.exceptions import NotFittedError

from emlearn import LinearGaussianStateSpaceEM
from emlearn.datasets import make_shear_frame
from emlearn.engine.errors import DegenerateModelError
from emlearn.engine.inference import Inference
from emlearn.statespace import compare_modes, modal_assurance_criterion
from emlearn.statespace._covariances import KINDS, FullCovariance
from emlearn.statespace._modal import ModalParameters, find_modes, modes_with_errors
from emlearn.statespace._regression import solve_symmetric
from emlearn.statespace._singular import SingularCovariance, kind_at
from emlearn.statespace._system import System

FS = 20.0


@pytest.fixture(scope="module")
def frame():
    return make_shear_frame(n_samples=10, random_state=0)


@pytest.fixture(scope="module")
def record():
    return make_shear_frame(1, 1500, random_state=0)


@pytest.fixture(scope="module")
def oscillator(record):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return LinearGaussianStateSpaceEM(2, observation_noise="diag", init_params={}).fit(
            record.data
        )


def system(frequencies, damping, shapes):
    """Matrices in modal form that have these modes."""
    blocks = []
    for f, ratio in zip(frequencies, damping, strict=True):
        omega = 2.0 * np.pi * f / FS
        size = np.exp(-ratio * omega)
        angle = omega * np.sqrt(1.0 - ratio**2)
        c, s = size * np.cos(angle), size * np.sin(angle)
        blocks.append([[c, s], [-s, c]])
    C = np.empty((len(shapes), 2 * len(frequencies)))
    C[:, ::2], C[:, 1::2] = shapes.real, shapes.imag
    return block_diag(*blocks), C


# ---- modes ------------------------------------------------------------------------------------


def test_modes_of_the_frame(frame):
    modes = find_modes(frame.transition_matrix, frame.observation_matrix, FS)
    assert_allclose(modes.frequencies, [0.890, 2.598, 4.095, 5.261, 6.000], atol=5e-4)
    assert_allclose(modes.frequencies, frame.frequencies, rtol=1e-9)
    assert_allclose(modes.damping_ratios, 0.02, rtol=1e-7)
    assert_allclose(np.diag(modal_assurance_criterion(modes.mode_shapes, frame.mode_shapes)), 1.0)
    assert len(modes) == 5
    assert modes.frequency_errors is None


def test_modes_that_were_put_in():
    rng = np.random.default_rng(0)
    shapes = rng.normal(size=(4, 3)) + 1j * rng.normal(size=(4, 3))
    A, C = system([7.0, 1.0, 3.0], [0.3, 0.01, 0.05], shapes)
    modes = find_modes(A, C, FS)
    assert_allclose(modes.frequencies, [1.0, 3.0, 7.0], rtol=1e-12)
    assert_allclose(modes.damping_ratios, [0.01, 0.05, 0.3], rtol=1e-10)
    assert_allclose(np.abs(modes.eigenvalues) < 1.0, True)
    mac = modal_assurance_criterion(modes.mode_shapes, shapes[:, [1, 2, 0]])
    assert_allclose(np.diag(mac), 1.0, rtol=1e-12)


def test_a_change_of_basis_changes_nothing(frame):
    rng = np.random.default_rng(1)
    T = rng.normal(size=(10, 10))
    back = np.linalg.inv(T)
    one = find_modes(frame.transition_matrix, frame.observation_matrix, FS)
    two = find_modes(T @ frame.transition_matrix @ back, frame.observation_matrix @ back, FS)
    assert_allclose(two.frequencies, one.frequencies, rtol=1e-9)
    assert_allclose(two.damping_ratios, one.damping_ratios, rtol=1e-7)
    assert_allclose(two.mode_shapes, one.mode_shapes, atol=1e-8)
    assert_allclose(two.eigenvalues, one.eigenvalues, rtol=1e-9)


def test_norm_phase_and_sign_of_shapes():
    rng = np.random.default_rng(2)
    shapes = rng.normal(size=(5, 2)) + 1j * rng.normal(size=(5, 2))
    found = find_modes(*system([1.0, 2.0], [0.1, 0.1], shapes), FS).mode_shapes
    assert_allclose(np.linalg.norm(found, axis=0), 1.0)
    for shape in found.T:
        turned = shape[:, None] * np.exp(1j * np.linspace(-3.0, 3.0, 301))
        assert (shape.imag**2).sum() <= (turned.imag**2).sum(axis=0).min() + 1e-12
        assert shape.real[np.abs(shape.real).argmax()] > 0.0


def test_real_eigenvalues_are_not_modes():
    A = block_diag([[0.5, 0.4], [-0.4, 0.5]], 0.9, -0.3)
    assert len(find_modes(A, np.ones((2, 4)), 1.0)) == 1
    none = find_modes(np.diag([0.5, 0.9]), np.ones((2, 2)), 1.0)
    assert len(none) == 0
    assert none.mode_shapes.shape == (2, 0)
    assert str(none).count("\n") == 0
    # A mode that no sensor sees has no shape, and one that grows a negative damping ratio.
    unseen = find_modes(A, np.zeros((2, 4)), 1.0)
    assert_array_equal(unseen.mode_shapes, 0.0)
    growing = find_modes(np.array([[1.0, 0.5], [-0.5, 1.0]]), np.ones((1, 2)), 1.0)
    assert growing.damping_ratios[0] < 0.0


def test_table_of_modes(frame):
    modes = find_modes(frame.transition_matrix, frame.observation_matrix, FS)
    lines = str(modes).splitlines()
    assert lines[0].split() == ["mode", "frequency", "std", "error", "damping", "std", "error"]
    assert lines[1].split() == ["1", "0.89", "0.0200"]
    errors = np.full(5, 0.01)
    lines = str(replace(modes, frequency_errors=errors, damping_errors=errors)).splitlines()
    assert lines[2].split() == ["2", "2.598", "0.01", "0.0200", "0.01"]


# ---- modal assurance criterion ----------------------------------------------------------------


def test_modal_assurance_criterion():
    rng = np.random.default_rng(3)
    a = rng.normal(size=(4, 2)) + 1j * rng.normal(size=(4, 2))
    b = rng.normal(size=(4, 3)) + 1j * rng.normal(size=(4, 3))
    mac = modal_assurance_criterion(a, b)
    assert mac.shape == (2, 3)
    expected = abs(np.vdot(a[:, 1], b[:, 2])) ** 2
    expected /= np.vdot(a[:, 1], a[:, 1]).real * np.vdot(b[:, 2], b[:, 2]).real
    assert mac[1, 2] == pytest.approx(expected, rel=1e-12)
    assert modal_assurance_criterion(a[:, 0], (2.0 - 3.0j) * a[:, 0]) == pytest.approx(1.0)
    assert modal_assurance_criterion([1.0, 0.0], [0.0, 1.0]) == 0.0
    assert isinstance(modal_assurance_criterion([1.0], [1.0]), float)
    with pytest.raises(ValueError, match="same number of entries"):
        modal_assurance_criterion([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="0 everywhere"):
        modal_assurance_criterion([0.0, 0.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="finite"):
        modal_assurance_criterion([np.nan, 0.0], [1.0, 2.0])


# ---- standard errors --------------------------------------------------------------------------


def made_up(A, C, covariance):
    """Inference of entries of A and C with a covariance."""
    at = np.concatenate((A.ravel(), C.ravel()))

    def unpack(vector):
        return {
            "transition_matrix": vector[: A.size].reshape(A.shape),
            "observation_matrix": vector[A.size :].reshape(C.shape),
        }

    class Stub:
        def function(self, values, name):
            base = values(unpack(at))
            jacobian = np.empty((len(base), len(at)))
            for k in range(len(at)):
                step = 1e-6 * np.eye(len(at))[k]
                jacobian[:, k] = (values(unpack(at + step)) - values(unpack(at - step))) / 2e-6
            return Inference(
                tuple(f"{name} {k}" for k in range(len(base))),
                base,
                jacobian @ covariance @ jacobian.T,
                np.full(len(base), -np.inf),
                np.full(len(base), np.inf),
                ("",) * len(base),
            )

    return Stub()


def test_errors_are_those_of_draws():
    rng = np.random.default_rng(4)
    shapes = rng.normal(size=(3, 2)) + 1j * rng.normal(size=(3, 2))
    A, C = system([1.0, 3.0], [0.05, 0.1], shapes)
    size = A.size + C.size
    root = 1e-4 * rng.normal(size=(size, size))
    modes = modes_with_errors(made_up(A, C, root @ root.T), A, C, FS)
    drawn = []
    for _ in range(4000):
        moved = root @ rng.normal(size=size)
        found = find_modes(
            A + moved[: A.size].reshape(A.shape), C + moved[A.size :].reshape(C.shape), FS
        )
        drawn.append(
            np.concatenate(
                (
                    found.frequencies,
                    found.damping_ratios,
                    found.mode_shapes.real.ravel(),
                    found.mode_shapes.imag.ravel(),
                )
            )
        )
    deviation = np.std(drawn, axis=0)
    assert_allclose(modes.frequency_errors, deviation[:2], rtol=0.08)
    assert_allclose(modes.damping_errors, deviation[2:4], rtol=0.08)
    assert modes.shape_errors.shape == (3, 2)
    assert_allclose(modes.shape_errors.real.ravel(), deviation[4:10], rtol=0.08)
    assert_allclose(modes.shape_errors.imag.ravel(), deviation[10:], rtol=0.08)
    correlation = np.corrcoef(np.array(drawn)[:, :4].T)
    error = np.sqrt(np.diagonal(modes.covariance))
    assert_allclose(modes.covariance / np.outer(error, error), correlation, atol=0.08)


def test_errors_of_a_shape_whose_largest_entries_tie():
    A, C = system([1.0], [0.05], np.array([[1.0 + 0.0j], [-1.0]]))
    modes = modes_with_errors(made_up(A, C, 1e-8 * np.eye(8)), A, C, FS)
    # The sign goes by the largest entry, and must not jump with a small change.
    assert modes.shape_errors.real.max() < 1e-3


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_errors_of_an_oscillator_are_those_of_theory(oscillator, record):
    modes = oscillator.modal_parameters(FS, record.data)
    assert_allclose(oscillator.modal_parameters(FS).frequencies, modes.frequencies)
    # Without noise the least errors are known (Gersch 1974): their order of magnitude.
    omega, duration = 2.0 * np.pi * record.frequencies[0], len(record.data) / FS
    least = np.sqrt(0.02 * omega / duration) / (2.0 * np.pi)
    assert 0.8 * least < modes.frequency_errors[0] < 2.0 * least
    relative = np.sqrt(1.0 / (0.02 * omega * duration))
    assert 0.8 * relative < modes.damping_errors[0] / 0.02 < 2.0 * relative
    assert abs(modes.frequencies[0] - record.frequencies[0]) < 3.0 * modes.frequency_errors[0]
    assert abs(modes.damping_ratios[0] - 0.02) < 3.0 * modes.damping_errors[0]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_errors_do_not_depend_on_units_and_basis(oscillator, record):
    modes = oscillator.modal_parameters(FS, record.data)
    faster = oscillator.modal_parameters(2.0 * FS, record.data)
    assert_allclose(faster.frequencies, 2.0 * modes.frequencies)
    assert_allclose(faster.frequency_errors, 2.0 * modes.frequency_errors, rtol=1e-6)
    assert_allclose(faster.damping_errors, modes.damping_errors, rtol=1e-6)
    T = np.array([[2.0, 1.0], [0.3, -0.5]])
    back = np.linalg.inv(T)
    other = LinearGaussianStateSpaceEM(
        2,
        observation_noise="diag",
        max_iter=0,
        init_params={
            "transition_matrix": T @ oscillator.transition_matrix_ @ back,
            "observation_matrix": oscillator.observation_matrix_ @ back,
            "transition_covariance": T @ oscillator.transition_covariance_ @ T.T,
            "observation_covariance": oscillator.observation_covariance_,
        },
    ).fit(record.data)
    moved = other.modal_parameters(FS, record.data)
    assert_allclose(moved.frequencies, modes.frequencies, rtol=1e-8)
    assert_allclose(moved.frequency_errors, modes.frequency_errors, rtol=1e-2)
    assert_allclose(moved.damping_errors, modes.damping_errors, rtol=1e-2)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_fit_without_modes(record):
    model = LinearGaussianStateSpaceEM(1, init_params={}, max_iter=5).fit(record.data[:200])
    modes = model.modal_parameters(FS, record.data[:200])
    assert len(modes) == 0
    assert modes.covariance.shape == (0, 0)
    assert modes.shape_errors.shape == (1, 0)
    with pytest.raises(ValueError, match="No modes"):
        compare_modes(modes, modes)


def test_bad_rates(oscillator):
    for fs in (0.0, -1.0, np.nan, np.inf, "20", None):
        with pytest.raises(ValueError, match="fs must be a positive number"):
            oscillator.modal_parameters(fs)
    with pytest.raises(NotFittedError):
        LinearGaussianStateSpaceEM(2).modal_parameters(FS)


# ---- comparisons ------------------------------------------------------------------------------


def with_covariance(modes, covariance):
    n = len(modes)
    error = np.sqrt(np.diagonal(covariance))
    return replace(
        modes,
        frequency_errors=error[:n],
        damping_errors=error[n:],
        covariance=covariance,
    )


def test_no_change_has_uniform_pvalues(frame):
    rng = np.random.default_rng(5)
    modes = find_modes(frame.transition_matrix, frame.observation_matrix, FS)
    unit = np.concatenate((np.full(5, 1e-3), np.full(5, 1e-4)))
    pvalues, single = [], []
    for _ in range(300):
        pair = []
        for _ in range(2):
            root = unit[:, None] * rng.normal(size=(10, 10))
            drawn = root @ rng.normal(size=10)
            moved = replace(
                modes,
                frequencies=modes.frequencies + drawn[:5],
                damping_ratios=modes.damping_ratios + drawn[5:],
            )
            pair.append(with_covariance(moved, root @ root.T))
        found = compare_modes(*pair)
        pvalues.append(found.pvalue)
        single += [*found.frequency_pvalue, *found.damping_pvalue]
    assert found.df == 10
    assert kstest(pvalues, "uniform").pvalue > 1e-3
    assert np.mean(np.array(single) < 0.05) == pytest.approx(0.05, abs=0.02)


def test_values_of_a_comparison(frame):
    modes = find_modes(frame.transition_matrix, frame.observation_matrix, FS)
    covariance = np.diag(np.arange(1.0, 11.0) * 1e-6)
    before = with_covariance(modes, covariance)
    # Modes of the second fit in another order, and one that has nothing before.
    order = [3, 0, 2, 1]
    both = np.array([*order, *(5 + k for k in order)])
    after = with_covariance(
        ModalParameters(
            modes.frequencies[order] - 0.01,
            modes.damping_ratios[order],
            modes.mode_shapes[:, order],
            modes.eigenvalues[order],
        ),
        covariance[np.ix_(both, both)],
    )
    found = compare_modes(before, after)
    assert_array_equal(found.before, [0, 1, 2, 3])
    assert_array_equal(found.after, [1, 3, 2, 0])
    assert_allclose(found.mac, 1.0)
    assert_allclose(found.frequency_change, -0.01)
    assert_allclose(found.damping_change, 0.0, atol=1e-15)
    z = -0.01 / np.sqrt(2e-6 * np.arange(1, 5))
    assert_allclose(found.frequency_z, z)
    assert_allclose(found.statistic, (z**2).sum())
    assert found.df == 8
    assert found.pvalue < 1e-6
    assert_allclose(found.damping_pvalue, 1.0)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_damage_is_found_and_no_damage_is_not():
    modes = []
    for loss, seed in ((0.0, 0), (0.0, 1), (0.4, 2)):
        frame = make_shear_frame(2, 1000, stiffness_loss=[loss, 0.0], random_state=seed)
        model = LinearGaussianStateSpaceEM(
            4, observation_noise="diag", init_params={}, max_iter=30
        ).fit(frame.data)
        modes.append(model.modal_parameters(FS, frame.data))
    assert compare_modes(modes[0], modes[1]).pvalue > 0.01
    found = compare_modes(modes[0], modes[2])
    assert found.pvalue < 1e-6
    assert (found.frequency_change < 0.0).all()


def test_bad_comparisons(frame):
    modes = find_modes(frame.transition_matrix, frame.observation_matrix, FS)
    good = with_covariance(modes, np.eye(10) * 1e-6)
    with pytest.raises(ValueError, match="call modal_parameters with the rows"):
        compare_modes(good, modes)
    noise = np.random.default_rng(6).normal(size=(5, 5)).astype(complex)
    with pytest.raises(ValueError, match="No modes have shapes"):
        compare_modes(good, replace(good, mode_shapes=noise), min_mac=0.99)
    fewer = replace(good, mode_shapes=good.mode_shapes[:3])
    with pytest.raises(ValueError, match="5 sensors before and 3 after"):
        compare_modes(good, fewer)
    for value in (-0.1, 1.5, np.nan):
        with pytest.raises(ValueError, match="min_mac"):
            compare_modes(good, good, min_mac=value)
    unknown = good.covariance.copy()
    unknown[1] = unknown[:, 1] = np.nan
    with pytest.raises(ValueError, match="mode 1 before"):
        compare_modes(with_covariance(modes, unknown), good)


# ---- noise of states that is singular ---------------------------------------------------------


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_errors_change_little_before_convergence(oscillator, record):
    # The noise of one of the two states vanishes at the maximum.
    values = np.linalg.eigvalsh(oscillator.transition_covariance_)
    assert values[0] < 1e-4 * values[1]
    last = oscillator.modal_parameters(FS, record.data)
    early = LinearGaussianStateSpaceEM(
        2, observation_noise="diag", init_params={}, max_iter=40
    ).fit(record.data)
    modes = early.modal_parameters(FS, record.data)
    assert_allclose(modes.frequency_errors, last.frequency_errors, rtol=0.05)
    assert_allclose(modes.damping_errors, last.damping_errors, rtol=0.05)


def test_singular_noise_moves_along_matrices_of_its_rank():
    rng = np.random.default_rng(7)
    root = rng.normal(size=(4, 2))
    Q = root @ root.T + 1e-9 * np.eye(4)
    slope = -np.eye(4)
    part = SingularCovariance(Q, 2, slope).part(("state", "state"), 4)
    held = np.zeros((4, 4), bool)
    directions = part.directions(Q, held)
    assert directions.shape == (16, 7)
    step = 0.3 * rng.normal(size=7)
    moved = part.move(Q, directions, step)
    assert_allclose(part.move(Q, directions, np.zeros(7)), Q, atol=1e-12)
    values = np.linalg.eigvalsh(moved)
    assert_allclose(values[:2], 0.0, atol=1e-8)
    assert values[2] > 1e-3
    # Where noise would raise the likelihood, none is added to the null space.
    part = SingularCovariance(Q, 2, np.eye(4)).part(("state", "state"), 4)
    null = np.linalg.eigh(Q)[1][:, :2]
    moved = part.move(Q, part.directions(Q, held), step)
    assert_allclose(null.T @ moved @ null, 1e-9 * np.eye(2), atol=1e-12)


def test_moments_that_are_not_finite_are_an_error_of_the_model():
    with pytest.raises(DegenerateModelError, match="beyond the range"):
        solve_symmetric(np.array([[1.0, np.nan], [np.nan, 1.0]]), np.ones((2, 1)))


def test_which_noise_is_singular(frame):
    zero = np.zeros(10)
    full = FullCovariance()
    found = System(
        frame.transition_matrix,
        frame.observation_matrix,
        np.zeros((10, 0)),
        np.zeros((5, 0)),
        frame.transition_covariance,
        frame.observation_covariance,
        zero,
        np.eye(10),
    )
    slope = np.zeros((10, 10))
    assert kind_at(found, full, slope) is full
    assert kind_at(found, KINDS["diag"], slope) is KINDS["diag"]
    # White noise of velocities only.
    Q = frame.transition_covariance.copy()
    Q[:5] = Q[:, :5] = 0.0
    for scale in (1.0, 1e-6):
        unit = np.concatenate((np.full(5, scale), np.ones(5)))
        changed = found._replace(
            transition=unit[:, None] * frame.transition_matrix / unit,
            observation=frame.observation_matrix / unit,
            transition_covariance=unit[:, None] * Q * unit,
        )
        kind = kind_at(changed, full, slope)
        assert isinstance(kind, SingularCovariance)
        assert kind.rank == 5
    # A state that grows and is not seen has no covariance of prediction.
    growing = found._replace(transition=2.0 * np.eye(10), observation=np.zeros((5, 10)))
    assert kind_at(growing, full, slope) is full
