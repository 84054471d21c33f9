import numpy as np
import pytest

from emlearn import ItemResponseEM

# How many of 392 persons gave each answer to Comfort, Work, Future, Benefit (Science of ltm).
SCIENCE = """
1111:2 2111:1 3111:1 2211:1 3221:1 4221:1 1321:1 3321:1 2421:1 2231:1 3231:1 3331:5 1431:1 3241:1
2341:1 3441:1 3212:1 3122:2 4122:1 2222:4 3222:10 2322:2 3322:13 3132:5 2232:1 3232:16 2332:3
3332:23 4332:2 3432:2 4432:1 3242:1 4242:1 3342:7 4342:2 3442:1 4442:2 3113:2 2313:1 3313:2 3413:1
3123:4 2223:2 3223:7 4223:3 2323:1 3323:10 4323:1 1423:1 3423:1 3133:5 2233:1 3233:22 4233:8 2333:3
3333:52 4333:21 3433:4 4433:2 3143:1 2243:1 3243:3 2343:2 3343:13 4343:5 2443:2 3443:6 4443:6 4114:1
3214:1 2124:1 4124:2 3324:2 3134:3 4134:1 3234:5 4234:2 2334:2 3334:8 4334:3 3434:4 4434:3 3144:1
3244:2 4244:1 3344:12 4344:8 2444:1 3444:3 4444:12
"""


def make_bank(kind, slopes, intercepts, guessing=None, n_categories=None):
    """Items with known parameters and a standard normal trait."""
    slopes = np.asarray(slopes, float)
    intercepts = np.asarray(intercepts, float).reshape(len(slopes), -1)
    if n_categories is not None:
        beyond = np.arange(intercepts.shape[1]) >= np.asarray(n_categories)[:, None] - 1
        intercepts = np.where(beyond, np.nan, intercepts)
    difficulty = -intercepts / np.where(slopes == 0.0, 1.0, slopes)[:, None]
    return ItemResponseEM.from_parameters(slopes, difficulty, guessing=guessing, model=kind)


@pytest.fixture(scope="session")
def bank():
    return make_bank


@pytest.fixture(scope="session")
def lsat():
    """LSAT6 with the 2PL parameters of mirt 1.47, and the counts of its patterns."""
    slopes = [0.825659553725, 0.722744205092, 0.890874534627, 0.688367982886, 0.656855959573]
    intercepts = [2.773234408201, 0.990201204393, 0.249147515424, 1.284756927377, 2.053270448339]
    patterns = (np.arange(32)[:, None] >> np.arange(4, -1, -1)) & 1
    counts = [3, 6, 2, 11, 1, 1, 3, 4, 1, 8, 0, 16, 0, 3, 2, 15, 10, 29, 14, 81, 3, 28, 15, 80]
    counts += [16, 56, 21, 173, 11, 61, 28, 298]
    return make_bank("2pl", slopes, intercepts), patterns.astype(float), np.array(counts, float)


@pytest.fixture(scope="session")
def science():
    """Four graded items with the parameters of mirt 1.47, and the counts of their patterns."""
    slopes = [1.04064155027, 1.22583274762, 2.30059480403, 1.09379950068]
    intercepts = [
        [4.86272140408, 2.639164145548, -1.46545663843],
        [2.92400035589, 0.901130577010, -2.26642971295],
        [5.24517514010, 2.218642734541, -1.96749613549],
        [3.34688446973, 0.991419555659, -1.68753094905],
    ]
    pairs = [pair.split(":") for pair in SCIENCE.split()]
    patterns = np.array([[int(digit) - 1.0 for digit in pattern] for pattern, _ in pairs])
    counts = np.array([float(count) for _, count in pairs])
    return make_bank("grm", slopes, intercepts), patterns, counts
