"""The model of one's own in the documentation: it runs, and the kit would notice mistakes."""

import importlib.util
import re
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from sklearn.utils.estimator_checks import check_estimator

from emlearn.testing import check_latent_variable_model

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "own_model.md"
EXAMPLE = DOCS / "gallery" / "plot_own_model.py"


@pytest.fixture(scope="module")
def example():
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.close("all")
    plt.switch_backend("Agg")
    spec = importlib.util.spec_from_file_location("own_model", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # pickle looks it up there
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as printed:
        patch.setattr(plt, "show", lambda: None)
        spec.loader.exec_module(module)
    module.printed = printed.getvalue()
    yield module
    plt.close("all")
    del sys.modules[spec.name]


def test_the_page_shows_what_runs():
    shown = re.search(r"```python\n(class Params.*?)```", (DOCS / "own_model.md").read_text(), re.S)
    code = shown.group(1).strip()
    assert code in EXAMPLE.read_text()
    assert len([line for line in code.splitlines() if line.strip()]) < 70


def test_the_example_prints_the_published_fit(example):
    """Estimates as in Tanner, "Tools for Statistical Inference"."""
    assert "log10(hours) = -6.019 + 4.311 x 1000/K, sigma = 0.2592" in example.printed
    assert example.printed.count("converged, -12.965455") == 5
    # Numbers of E-steps depend on rounding.
    shown, printed = (
        re.sub(r" +\d+ E-steps", " E-steps", text) for text in (PAGE.read_text(), example.printed)
    )
    assert printed in shown


def test_the_page_shows_the_estimator_that_runs():
    shown = re.search(r"```python\n(class CensoredRegressionEM.*?)```", PAGE.read_text(), re.S)
    assert shown.group(1).strip() in EXAMPLE.read_text()


@pytest.mark.filterwarnings("ignore:Skipping check")
def test_the_estimator_passes_the_checks_of_scikit_learn(example):
    check_estimator(example.CensoredRegressionEM())


def test_the_estimator_finds_the_published_fit(example):
    X = example.motorettes()
    fitted = example.CensoredRegressionEM().fit(X[:, 1:2], X[:, 2], is_limit=X[:, 3])
    found = [fitted.intercept_, fitted.coef_[0], fitted.sigma_]
    assert_allclose(found, [-6.019, 4.311, 0.2592], atol=6e-4)
    assert_allclose(fitted.log_likelihood_, -12.965455, atol=1e-6)


def test_nothing_higher_is_found_directly(example):
    X = example.motorettes()
    model = example.CensoredRegression()

    def negative(z):
        return -example.log_likelihood(model, example.Params(z[:2], np.exp(z[2])), X, None)

    direct = minimize(negative, [-5.0, 4.0, -1.0], method="Nelder-Mead", options={"xatol": 1e-8})
    best = example.fit(None).best
    assert_allclose(best.objective, -direct.fun, atol=1e-6)
    assert_allclose(best.params.slopes, direct.x[:2], rtol=1e-3)


def test_the_kit_notices_mistakes(example):
    X = example.motorettes()

    class Cheerful(example.CensoredRegression):
        def e_step(self, block, params):
            statistics, value = super().e_step(block, params)
            return statistics._replace(square=statistics.square + 1.0), value

    class Forgetful(example.CensoredRegression):
        def prepare(self, X, sample_weight=None):
            return super().prepare(X)

    for model in (Cheerful(), Forgetful()):
        with pytest.raises(AssertionError, match=type(model).__name__):
            check_latent_variable_model(model, X, score=example.log_likelihood)
