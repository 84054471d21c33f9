"""Hostile calls of the compiled functions: none may do more than raise an exception.

python tests/kernels/fuzz.py --calls 60000 --seed 0

Each call begins as a valid one (calls.py), of which some arguments are spoilt: other kinds of
numbers, sizes, strides, byte orders, values, no arrays at all. That memory is left alone is
seen by the sanitizers that sanitize.py builds with.
"""

import argparse
import collections
import contextlib
import warnings
from importlib import import_module

import numpy as np
from calls import NUMBERS, valid_calls

EXPECTED = (TypeError, ValueError, IndexError, BufferError, MemoryError, ArithmeticError)
KINDS = ["f4", "f8", "i4", "i8", "u2", "?", "c16", ">f8", ">i8", "f2", "u8", "M8[s]", "O", "S3"]
VALUES = [0.0, -1.0, np.nan, np.inf, -np.inf, 1e308, 5e-324, 2.0**31, -(2.0**31), 2.0**62, 1.0]
OBJECTS = [None, 3.0, -1.0, 2**70, "text", b"bytes", bytearray(16), [1.0, 2.0], (), object(), {}]


class Spiteful:
    """A number that is none."""

    def __float__(self):
        raise ValueError("no number")

    __index__ = __float__


def other_kind(rng, array):
    with np.errstate(all="ignore"):
        return array.astype(rng.choice(KINDS))


def other_values(rng, array):
    array = array.copy()
    if rng.random() < 0.3:
        return np.frombuffer(rng.bytes(array.nbytes), array.dtype).reshape(array.shape).copy()
    where = rng.random(array.shape) < rng.choice([0.05, 0.5, 1.0])
    with np.errstate(all="ignore"):
        array[where] = np.array(rng.choice(VALUES)).astype(array.dtype)
    return array


def other_size(rng, array):
    if array.ndim == 0:
        return array
    axis = int(rng.integers(array.ndim))
    match int(rng.integers(7)):
        case 0:
            return np.delete(array, slice(0, 1), axis)
        case 1:
            return np.concatenate([array, array], axis)
        case 2:
            return array[None]
        case 3:
            return array.ravel()
        case 4:
            return np.take(array, [], axis)
        case 5:
            sizes = [0] + [int(2 ** rng.integers(20, 58))] * (array.ndim - 1)
            return np.empty(rng.permutation(sizes), array.dtype)
        case _:
            return np.broadcast_to(array[..., :1], (*array.shape[:-1], int(rng.integers(1, 999))))


def other_strides(rng, array):
    match int(rng.integers(6)):
        case 0:
            return array[::-1] if array.ndim else array
        case 1:
            return np.repeat(array, 2, axis=-1)[..., ::2] if array.ndim else array
        case 2:
            return np.asfortranarray(array)
        case 3:
            return array.T
        case 4:
            memory = np.empty(array.nbytes + 1, np.uint8)
            unaligned = memory[1:].view(array.dtype).reshape(array.shape)
            unaligned[...] = array
            return unaligned
        case _:
            return np.broadcast_to(array[:1], array.shape) if array.ndim else array


def frozen(rng, array):
    array = array.copy()
    array.flags.writeable = False
    return array


SPOIL = [other_kind, other_values, other_values, other_size, other_size, other_strides, frozen]


def spoil(rng, arguments, numbers):
    """Change some of the arguments, in place."""
    for _ in range(int(rng.choice([0, 1, 1, 1, 2, 3]))):
        i = int(rng.integers(len(arguments)))
        if rng.random() < 0.15:
            arguments[i] = [*OBJECTS, Spiteful()][int(rng.integers(len(OBJECTS) + 1))]
        elif rng.random() < 0.1:
            arguments[i] = arguments[int(rng.integers(len(arguments)))]
        elif i in numbers:
            arguments[i] = float(rng.choice(VALUES))
        elif isinstance(arguments[i], np.ndarray) and arguments[i].dtype.kind not in "OSM":
            # What numpy refuses to make stays as it is.
            with contextlib.suppress(ValueError, IndexError, MemoryError):
                arguments[i] = SPOIL[int(rng.integers(len(SPOIL)))](rng, arguments[i])
    if rng.random() < 0.02:
        arguments.pop()
    elif rng.random() < 0.02:
        arguments.append(None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=60000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", action="store_true", help="say each call before it is made")
    options = parser.parse_args()
    # Of the values that are cast.
    warnings.simplefilter("ignore")
    base = import_module("emlearn.kernels._base")
    levels = ["base", "v3", "v4"]
    modules = [
        import_module(f"emlearn.kernels._{level}")
        for level in levels[: levels.index(base.level()) + 1]
    ]
    ends = collections.Counter()
    for i in range(options.calls):
        rng = np.random.default_rng((options.seed, i))
        calls = valid_calls(rng, largest=int(rng.choice([3, 40, 700], p=[0.3, 0.65, 0.05])))
        name = sorted(calls)[i % len(calls)]
        arguments = calls[name]
        spoil(rng, arguments, NUMBERS.get(name, []))
        if options.verbose:
            print(i, name, [getattr(a, "shape", a) for a in arguments], flush=True)
        try:
            getattr(modules[i // len(calls) % len(modules)], name)(*arguments)
            ends["returned"] += 1
        except EXPECTED as error:
            ends[type(error).__name__] += 1
    print(f"{options.calls} calls:", ", ".join(f"{n} {end}" for end, n in ends.most_common()))


if __name__ == "__main__":
    main()
