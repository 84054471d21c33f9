"""Arguments that the kernels for rows with missing entries refuse."""

import threading

import numpy as np
import pytest


def test_patterns_that_change_during_a_call(kernels, draw_missing):
    """What is used as an index is what was checked."""
    problem, _ = draw_missing(17, 3000, 6, 2, 0.4, False, False)
    arrays = problem.columns, problem.starts, problem.edges
    saved = [array.copy() for array in arrays]
    expected = problem.step(kernels, None)[0]
    done = threading.Event()

    def disturb():
        while not done.is_set():
            for array, good in zip(arrays, saved, strict=True):
                array[:] = np.iinfo(array.dtype).max
                array[:] = good

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        for _ in range(50):
            try:
                assert problem.step(kernels, None)[0] == expected
            except ValueError as error:
                assert "patterns" in str(error)  # noqa: PT017
    finally:
        done.set()
        thread.join()


def good():
    """Arguments of gaussian_missing_step by name: 10 rows of two patterns of 3 columns."""
    return {
        "rows": np.zeros((3, 10)), "center": np.zeros(3), "scale": np.ones(3),
        "means": np.zeros((2, 3)), "root": np.tile(np.eye(3), (2, 1, 1)),
        "constants": np.zeros(2), "weight": np.ones(10), "sum_weight": np.zeros(2),
        "first": np.zeros((2, 3)), "second": np.zeros((2, 3, 3)),
        "precision": np.tile(np.eye(3), (2, 1, 1)), "columns": np.array([1, 0, 2], np.uint16),
        "starts": np.array([0, 1, 3]), "edges": np.array([0, 4, 10]), "ridge": np.ones(3),
    }  # fmt: skip


SPOILT = [
    (name, spoil)
    for name in good()
    for spoil in ("short", "long", "float32", "int", "no array", "None", "uint8")
    if not (name == "rows" and spoil in ("short", "long"))
    and not (name in ("starts", "edges") and spoil == "int")
    and not (name in ("weight", "ridge") and spoil == "None")
    and not (name == "columns" and spoil == "long")
]


@pytest.mark.parametrize(("name", "spoil"), SPOILT)
def test_arrays_of_another_size_or_kind_are_refused(kernels, name, spoil):
    array = good()[name]
    bad = {
        "short": array[..., :-1].copy(), "long": np.concatenate([array, array]),
        "float32": array.astype(np.float32), "int": array.astype(int), "no array": 3.0,
        "None": None, "uint8": array.astype(np.uint8),
    }[spoil]  # fmt: skip
    with pytest.raises((TypeError, ValueError, BufferError)):
        kernels.gaussian_missing_step(*{**good(), name: bad}.values())


INT64 = np.iinfo(np.int64)
HOSTILE = [
    ("columns", [3, 0, 2]), ("columns", [1, 0, 3]), ("columns", [1, 2, 0]), ("columns", [1, 2, 2]),
    ("columns", [65535, 0, 2]), ("columns", []), ("starts", [0, 1, 4]), ("starts", [0, 0, 3]),
    ("starts", [0, 3, 1]), ("starts", [-1, 1, 3]), ("starts", [0, 1, 1]), ("starts", [0, 4, 3]),
    ("starts", [0, INT64.max, 3]), ("starts", [0, INT64.min, 3]), ("starts", [0, 1, INT64.max]),
    ("starts", [INT64.min, INT64.max, 3]), ("starts", []), ("starts", [0]), ("starts", [0, 1]),
    ("starts", [0, 1, 2, 3]), ("edges", [0, 4, 9]), ("edges", [0, 4, 11]), ("edges", [1, 4, 10]),
    ("edges", [0, 0, 10]), ("edges", [0, 10, 10]), ("edges", [0, 12, 10]), ("edges", [-1, 4, 10]),
    ("edges", [0, INT64.max, 10]), ("edges", [0, INT64.min, 10]), ("edges", [0, 4, INT64.max]),
    ("edges", []), ("edges", [0]), ("edges", [0, 10]), ("edges", [0, 4, 8, 10]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "values"), HOSTILE)
def test_patterns_that_do_not_fit_are_refused(kernels, name, values):
    arguments = good()
    arguments[name] = np.array(values, dtype=arguments[name].dtype)
    # Lengths that differ are refused as such.
    with pytest.raises((ValueError, TypeError), match=r"the patterns|(starts|edges) has"):
        kernels.gaussian_missing_step(*arguments.values())


def test_other_refusals(kernels):
    arguments = good()
    assert kernels.gaussian_missing_step(*arguments.values()) is not None
    with pytest.raises(TypeError, match="arguments"):
        kernels.gaussian_missing_step(*list(arguments.values())[:-1])
    with pytest.raises(TypeError, match="precision goes with"):
        kernels.gaussian_missing_step(*{**arguments, "precision": None}.values())
    diagonal = {**arguments, "root": np.ones((2, 3)), "second": np.zeros((2, 3))}
    with pytest.raises(TypeError, match="precision goes with"):
        kernels.gaussian_missing_step(*diagonal.values())
    assert kernels.gaussian_missing_step(*{**diagonal, "precision": None}.values()) is not None
    frozen = np.zeros((2, 3))
    frozen.setflags(write=False)
    with pytest.raises((BufferError, ValueError)):
        kernels.gaussian_missing_step(*{**arguments, "first": frozen}.values())
    nothing = {
        "means": np.zeros((0, 3)), "root": np.zeros((0, 3, 3)), "constants": np.zeros(0),
        "sum_weight": np.zeros(0), "first": np.zeros((0, 3)), "second": np.zeros((0, 3, 3)),
        "precision": np.zeros((0, 3, 3)),
    }  # fmt: skip
    with pytest.raises(TypeError, match="means has only 0 entries"):
        kernels.gaussian_missing_step(*{**arguments, **nothing}.values())
    names = [name for name in arguments if name not in ("weight", "sum_weight", "first", "second")]
    for bad in (np.zeros((2, 9)), np.zeros((2, 10), np.float32), None):
        values = [arguments[name] for name in names]
        with pytest.raises((TypeError, ValueError)):
            kernels.gaussian_missing_log_density(*values[:6], bad, *values[6:])
        sums = [arguments[name] for name in ("sum_weight", "first", "second")]
        with pytest.raises((TypeError, ValueError)):
            kernels.gaussian_missing_moments(*values[:6], bad, *sums, *values[6:])
