"""Estimators and results print short, and estimators link to their page of the reference."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from sklearn.utils import estimator_html_repr

import emlearn
from emlearn import GaussianMixtureEM
from emlearn._site import SITE
from emlearn.engine import EMEstimator, History, Restart
from emlearn.engine.result import Iteration

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", [name for name in emlearn.__all__ if name.endswith("EM")])
def test_html_links_to_the_page_of_the_reference(name):
    required = {"psf": [1.0]} if name == "RichardsonLucyEM" else {}
    link = re.search(r'href="([^"]*)"', estimator_html_repr(getattr(emlearn, name)(**required)))[1]
    assert link == f"{SITE}reference/generated/emlearn.{name}.html"


def test_only_estimators_of_the_package_link_to_it():
    class Own(EMEstimator):
        pass

    assert Own()._get_doc_link() == ""


def test_the_address_is_that_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    if "Documentation" not in project.get("urls", {}):
        pytest.skip("the project has no address yet")
    assert SITE.startswith(project["urls"]["Documentation"].rstrip("/"))


def test_a_restart_prints_how_it_ended():
    ended = Restart(-12.5, "converged", 7, 8, (0,), "")
    failed = Restart(-np.inf, "failed", 0, 1, (1,), "the tied covariance is singular")
    assert repr(ended) == "<converged after 7 iterations at -12.5>"
    assert repr(failed) == "<failed after 0 iterations at -inf: the tied covariance is singular>"


def test_a_history_prints_its_ends():
    runs = [Iteration(value, 0.0, 0.0, 0.0, 1, "em") for value in (-3.0, -2.0, -1.5)]
    assert repr(History(runs)) == "<History of 2 iterations, -3 to -1.5>"
    assert repr(History()) == "<History of 0 iterations>"


def test_attributes_of_a_fit_print_short():
    X = np.random.default_rng(0).normal(size=(200, 2))
    mixture = GaussianMixtureEM(3, n_init=3, random_state=0).fit(X)
    assert len(repr(mixture.restarts_)) < 80 * len(mixture.restarts_)
    assert len(mixture._repr_html_()) < 100_000
