"""The conformance kit of families: all pass it, broken ones do not, nor need they be long."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import geom

from emlearn import FiniteMixtureEM
from emlearn.distributions import ExponentialFamily, Poisson, find_family
from emlearn.testing import check_family

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "custom_family.py"


def test_families_pass(case):
    check_family(case.family, case.X)


@pytest.fixture
def counts():
    rng = np.random.default_rng(0)
    X = rng.poisson(np.where(rng.random((200, 1)) < 0.5, 1.0, 6.0), (200, 2)).astype(float)
    X[3] = np.nan
    return X


class Overwrites(Poisson):
    def log_density(self, rows, precomputed, out):
        out[:] = 0.0
        super().log_density(rows, precomputed, out)


class CountsMissing(Poisson):
    def log_density(self, rows, precomputed, out):
        super().log_density(rows._replace(observed=None), precomputed, out)


class LooksAround(Poisson):
    def encode(self, X, column_spec):
        rows = super().encode(X, column_spec)
        return rows._replace(base=rows.base - np.nanmean(X))


class PriorNotInTheMode(Poisson):
    def m_step(self, statistics, params, column_spec):
        estimate = super().m_step(statistics, params, column_spec)
        return estimate._replace(mean=estimate.mean + 1.0)


class NarrowSamples(Poisson):
    def draw(self, mean, rng):
        return rng.poisson(mean)[:, :1]


class HalfPublished(Poisson):
    def to_public(self, params, column_spec):
        return {"rate": params.mean[:1]}


@pytest.mark.parametrize(
    ("family", "message"),
    [
        (Overwrites(), "does not add"),
        (CountsMissing(), "a row without observed entries has a log-density"),
        (LooksAround(), "encoded alone"),
        (PriorNotInTheMode(), "objective fell"),
        (NarrowSamples(), "wrong shape"),
        (HalfPublished(), "first axis"),
    ],
)
def test_broken_families_do_not(counts, family, message):
    with pytest.raises(AssertionError, match=message):
        check_family(family, counts)


# ---- the example of the documentation --------------------------------------------------


@pytest.fixture(scope="module")
def geometric():
    spec = importlib.util.spec_from_file_location("custom_family", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Geometric


def test_the_example_is_short(geometric):
    assert issubclass(geometric, ExponentialFamily)
    head = EXAMPLE.read_text(encoding="utf-8").split('if __name__ == "__main__":')[0]
    assert len(head.splitlines()) < 60


def test_the_example_is_right(geometric):
    rng = np.random.default_rng(0)
    success = np.where(rng.random((400, 1)) < 0.5, [0.9, 0.7], [0.3, 0.1])
    X = (rng.geometric(success) - 1).astype(float)
    X[rng.random(X.shape) < 0.1] = np.nan
    check_family(geometric(), X)
    mixture = FiniteMixtureEM(2, family=geometric(), random_state=0).fit(X)
    found = mixture.component_params_["success"]
    assert np.sort(found[:, 0]) == pytest.approx([0.3, 0.9], abs=0.06)
    joint = np.log(mixture.weights_) + np.nansum(geom.logpmf(X[:, None] + 1.0, found), axis=2)
    assert mixture.score_samples(X) == pytest.approx(np.log(np.exp(joint).sum(axis=1)))
    mixed = FiniteMixtureEM(2, family=[(geometric(), 0), ("poisson", 1)], random_state=0).fit(X)
    assert set(mixed.component_params_) == {"success", "rate"}


def test_the_example_runs(capsys):
    import runpy

    runpy.run_path(str(EXAMPLE), run_name="__main__")
    assert "Geometric fulfills the contract" in capsys.readouterr().out


def test_dataclass_fields_are_all_there_is():
    """A family without fields of its own is the same as another of its class."""

    @dataclass(frozen=True)
    class Same(Poisson):
        pass

    assert Same() == Same()
    assert Same(alpha=1.0) != Same()


def test_rare_levels_and_columns_left_out_pass():
    rng = np.random.default_rng(0)
    side = rng.integers(2, size=(300, 1))
    X = rng.poisson(np.where(side, 1.0, 8.0), (300, 3)).astype(float)
    X[:, 1] = rng.normal(size=300)
    X[1, 0] = 40.0
    check_family(find_family([("categorical", [0, 2]), ("ignore", [1])]), X)
