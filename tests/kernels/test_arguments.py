"""What the compiled functions say of arguments that do not fit, each of each function."""

import contextlib
import ctypes
import threading

import numpy as np
import pytest

FUNCTIONS = [
    "backproject_lines", "best_links", "categorical_counts", "categorical_log_density",
    "center_observed",
    "cholesky_counts", "cholesky_pattern", "cluster_moments", "column_squares",
    "column_sums", "count_links", "factorize_sparse", "fill_missing", "filter_states",
    "forward_backward", "gaussian_log_density", "gaussian_missing_log_density",
    "gaussian_missing_moments", "gaussian_missing_step",
    "gaussian_moments", "gaussian_step", "general_location_condition", "general_location_draw",
    "general_location_expect", "join_clusters", "link_table", "lloyd", "look_up_links",
    "potts_sweep", "precision_cholesky",
    "project_lines", "responsibilities",
    "seed_clusters", "selected_inverse", "smooth_states", "solve_blocks", "solve_sparse",
    "standardize", "sum_links", "topic_step", "viterbi",
]  # fmt: skip


@pytest.fixture(params=FUNCTIONS)
def name(request):
    return request.param


@pytest.fixture
def call(kernels, calls, name):
    """A function, and valid arguments for it, none of them empty."""
    return getattr(kernels, name), calls["valid_calls"](np.random.default_rng(9))[name]


def arrays(arguments):
    return [i for i, argument in enumerate(arguments) if isinstance(argument, np.ndarray)]


def refused(call, position, wrong, exceptions, message):
    function, arguments = call
    with pytest.raises(exceptions, match=message):
        function(*arguments[:position], wrong, *arguments[position + 1 :])


def test_every_function_is_here(kernels, calls):
    there = {name for name in dir(kernels) if not name.startswith("_")} - {"level"}
    assert there == set(FUNCTIONS)
    assert there == set(calls["valid_calls"](np.random.default_rng(0)))


def test_what_is_valid_is_taken(call):
    function, arguments = call
    function(*arguments)


def test_memory_is_let_go(call):
    """An array that is held cannot be resized."""
    function, arguments = call
    function(*arguments)
    with pytest.raises(TypeError):
        function(*arguments[:-1], "no array")
    for i in arrays(arguments):
        own = memoryview(bytearray(arguments[i].tobytes()))
        view = own.cast("B").cast(arguments[i].dtype.char, arguments[i].shape)
        function(*arguments[:i], view, *arguments[i + 1 :])
        view.release()
        own.release()


def test_the_number_of_arguments_is_checked(call, name):
    function, arguments = call
    for wrong in (arguments[:-1], [*arguments, None], []):
        message = f"{name}: expected {len(arguments)} arguments, got {len(wrong)}"
        with pytest.raises(TypeError, match=message):
            function(*wrong)


def test_another_kind_of_numbers_is_refused(call, name):
    for i in arrays(call[1]):
        array = call[1][i]
        for other in ("complex128", "int16", "uint64", "float16"):
            message = rf"{name}: \w+ must be an array of \w+.* not of format"
            refused(call, i, np.ones(array.shape, other), TypeError, message)
        for other in ("datetime64[s]", "O"):
            refused(call, i, np.ones(array.shape, other), (TypeError, ValueError), None)


def test_numbers_of_the_other_byte_order_are_refused(call, name):
    for i in arrays(call[1]):
        array = call[1][i]
        if array.itemsize > 1:
            swapped = array.astype(array.dtype.newbyteorder())
            refused(call, i, swapped, TypeError, f"{name}: .* in native byte order, not of format")


def test_unaligned_numbers_are_refused(call, name):
    for i in arrays(call[1]):
        array = call[1][i]
        if array.itemsize > 1:
            memory = np.empty(array.nbytes + 1, np.uint8)
            unaligned = memory[1:].view(array.dtype).reshape(array.shape)
            unaligned[...] = array
            assert not unaligned.flags.aligned
            refused(call, i, unaligned, ValueError, rf"{name}: expected \w+ to be aligned")


def test_a_native_format_is_taken_however_it_is_written(kernels):
    """Arrays of ctypes have another format than those of numpy, and no strides."""
    joint = np.zeros((2, 6))
    weight = (ctypes.c_double * 6)()
    assert memoryview(weight).format == "<d"
    assert kernels.responsibilities(joint, weight, np.empty(6)) == 0.0
    np.testing.assert_array_equal(joint, 0.0)
    rows = ((ctypes.c_double * 6) * 2)()
    kernels.responsibilities(rows, None, None)
    np.testing.assert_array_equal(np.array(rows), 0.5)
    with pytest.raises(ValueError, match="strides"):
        kernels.gaussian_log_density(
            rows, None, None, np.zeros((1, 2)), np.ones((1, 2)), np.zeros(1), np.empty((1, 6))
        )


def test_other_strides_are_refused_where_rows_lie_one_after_another(call, name):
    for i in arrays(call[1]):
        array = call[1][i]
        if array.size < 2 or (name.startswith("gaussian") and i == 0):
            continue
        spread = np.repeat(array, 2, axis=-1)[..., ::2]
        if not spread.flags.c_contiguous:
            refused(call, i, spread, ValueError, rf"{name}: expected \w+ to be C-contiguous")
        if array.ndim > 1 and min(array.shape) > 1:
            refused(call, i, np.asfortranarray(array), ValueError, "C-contiguous")


#: Sizes that no other argument has: function, position, axis.
FREE = {
    ("best_links", 4, 0),
    ("best_links", 5, 0),
    ("count_links", 6, 0),
    ("backproject_lines", 0, 1),
    ("backproject_lines", 0, 2),
    ("project_lines", 4, 1),
    ("project_lines", 4, 2),
    ("categorical_counts", 0, 1),
    ("categorical_counts", 1, 1),
    ("categorical_log_density", 0, 1),
    ("categorical_log_density", 1, 1),
    ("responsibilities", 0, 0),
    ("fill_missing", 5, 0),
    ("filter_states", 1, 1),
    ("filter_states", 2, 0),
    ("filter_states", 3, 0),
    ("gaussian_missing_log_density", 8, 0),
    ("gaussian_missing_moments", 11, 0),
    ("gaussian_missing_step", 11, 0),
    ("link_table", 3, 0),
    ("link_table", 4, 0),
    ("lloyd", 3, 0),
    ("look_up_links", 6, 0),
    ("seed_clusters", 0, 0),
    ("seed_clusters", 2, 1),
    ("smooth_states", 1, 1),
    ("smooth_states", 2, 0),
    ("smooth_states", 3, 0),
    ("solve_blocks", 1, 0),
    ("solve_sparse", 3, 0),
    ("solve_sparse", 3, 1),
    ("standardize", 0, 0),
    ("sum_links", 4, 0),
    ("sum_links", 5, 0),
    ("sum_links", 6, 0),
}


def test_other_sizes_are_refused(call, name):
    function, arguments = call
    for i in arrays(arguments):
        array = arguments[i]
        message = f"{name}: (\\w+ has |second must have |the edges must|there are |there must be )"
        refused(call, i, array[None], TypeError, message)
        refused(call, i, array.ravel()[:1].reshape(()), TypeError, message)
        for axis in range(array.ndim):
            larger = np.concatenate([array, array], axis=axis)
            if (name, i, axis) in FREE:
                function(*arguments[:i], larger, *arguments[i + 1 :])
            else:
                refused(call, i, larger, (TypeError, ValueError), message)


def test_no_array_is_refused(call, name, calls):
    numbers = calls["NUMBERS"].get(name, [])
    for i in range(len(call[1])):
        for wrong in ("text", [1.0], object()):
            refused(call, i, wrong, TypeError, None)
        if i not in calls["OPTIONAL"].get(name, []):
            refused(call, i, None, TypeError, None)
        if i not in numbers:
            refused(call, i, 1.0, TypeError, None)


def test_an_error_of_a_number_is_passed_on(call, name, calls):
    class Bad:
        def __float__(self):
            raise LookupError("no number")

    for i in calls["NUMBERS"].get(name, []):
        refused(call, i, Bad(), LookupError, "no number")
        # A later argument is not looked at with an exception pending.
        function, arguments = call
        with pytest.raises(LookupError):
            function(*arguments[:i], Bad(), *["no array"] * (len(arguments) - i - 1))


def test_what_is_written_has_to_be_writable(call, name, calls):
    function, arguments = call
    for i in arrays(arguments):
        frozen = arguments[i].copy()
        frozen.flags.writeable = False
        if i in calls["WRITTEN"][name]:
            refused(call, i, frozen, (ValueError, BufferError), "read-only|writable")
        else:
            function(*arguments[:i], frozen, *arguments[i + 1 :])


def test_sizes_without_entries_cannot_overflow(kernels):
    """2^62 rows of no features, and so on: products of sizes would be beyond all numbers."""
    huge = 2**59
    for call in (
        lambda: kernels.responsibilities(np.empty((0, huge)), None, None),
        lambda: kernels.precision_cholesky(
            np.empty((0, 2**40, 2**20)), 1e-10, np.empty((0, 0, 0)), np.empty(0), np.empty((0, 0))
        ),
        lambda: kernels.precision_cholesky(
            np.empty((0, 2**29, 2**29)), 1e-10, np.empty((0, 2**29, 2**29)), np.empty(0),
            np.empty((0, 2**29)),
        ),
        lambda: kernels.gaussian_step(
            np.empty((huge, 0)), None, None, np.empty((0, huge)), np.empty((0, huge)), np.empty(0),
            None, np.empty(0), np.empty((0, huge)), np.empty((0, huge)),
        ),
        lambda: kernels.gaussian_step(
            np.empty((0, 5)), None, None, np.empty((huge, 0)), np.empty((huge, 0)), np.ones(3),
            None, np.ones(3), np.empty((huge, 0)), np.empty((huge, 0)),
        ),
        lambda: kernels.categorical_counts(
            np.empty((huge, 0), np.int32), np.empty((0, huge)), np.empty((0, huge))
        ),
        lambda: kernels.column_sums(np.empty((0, huge)), None, 1.0, *[np.empty(0)] * 4),
        lambda: kernels.column_sums(np.empty((huge, 0)), None, 1.0, *[np.empty(0)] * 4),
        lambda: kernels.viterbi(
            np.empty((huge, 0)), np.zeros(1, np.int64), np.empty(huge // 2**57),
            np.empty((2**29, 0)), np.empty(0, np.int64), np.empty(0),
        ),
    ):  # fmt: skip
        with pytest.raises((TypeError, ValueError, MemoryError)):
            call()


def test_empty_blocks_of_rows_are_taken(kernels):
    sums = np.ones(2), np.ones((2, 3)), np.ones((2, 3, 3))
    factor = np.tile(np.eye(3), (2, 1, 1))
    common = np.empty((3, 0)), None, None, np.zeros((2, 3)), factor, np.zeros(2)
    assert kernels.gaussian_step(*common, None, *sums) == 0.0
    assert not any(array.any() for array in sums)
    kernels.gaussian_log_density(*common, np.empty((2, 0)))
    assert kernels.responsibilities(np.empty((2, 0)), None, None) == 0.0
    kernels.categorical_log_density(np.empty((0, 2), np.int32), np.zeros((2, 4)), np.empty((2, 0)))


@pytest.mark.parametrize("function", ["categorical_counts", "categorical_log_density"])
def test_codes_that_change_meanwhile_lead_nowhere(kernels, function):
    """Another thread writes codes beyond the table while the kernel works; see sanitize.py."""
    codes = np.zeros((3000, 4), np.int32)
    stop = threading.Event()

    def write():
        while not stop.is_set():
            codes[-1, -1] = 2**30
            codes[:] = 0

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(200):
            with contextlib.suppress(IndexError):
                getattr(kernels, function)(codes, np.zeros((3, 2)), np.zeros((3, 3000)))
    finally:
        stop.set()
        thread.join()


def test_rows_and_edges_are_copied(kernels):
    """What was checked is a copy: the caller's array may be the one that is written to."""
    order = np.array([2, 0, 1])
    out = order.view(np.float64).reshape(3, 1)
    kernels.standardize(np.arange(3.0)[:, None], order, np.zeros(1), np.ones(1), None, out)
    np.testing.assert_array_equal(out[:, 0], [2.0, 0.0, 1.0])
    edges = np.array([0, 1, 3])
    even = np.full(2, 0.5)
    path, score = np.empty(3, np.int64), edges[1:].view(np.float64)
    kernels.viterbi(np.zeros((2, 3)), edges, even, np.tile(even, (2, 1)), path, score)
    np.testing.assert_allclose(score, [np.log(0.5), 2 * np.log(0.5)])
