"""Parameters in their public form, and the forms that are refused."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from emlearn.distributions import Gaussian
from emlearn.distributions.gaussian.structures import STRUCTURES

ALL = sorted(STRUCTURES)


@pytest.mark.parametrize("name", ALL)
def test_published_parameters_are_the_model(name, table, problem):
    X = table(120, 3, 0.2)
    family, spec, encoded, params = problem(name, X)
    out = np.zeros((3, 120))
    family.log_density(encoded, family.precompute(params, spec), out)
    public = family.to_public(params, spec)
    own = family.spec_of(public)
    other = np.zeros((3, 120))
    again = family.from_public(public, own)
    family.log_density(family.encode(X, own), family.precompute(again, own), other)
    assert_allclose(other, out, rtol=1e-9)
    back = family.to_public(family.from_public(public, spec), spec)
    for key, value in public.items():
        assert_allclose(back[key], value, rtol=1e-12)


@pytest.mark.parametrize("name", ALL)
def test_any_form_of_the_covariances(name, table, problem):
    X = table(120, 3, 0.2)
    family, spec, _, params = problem(name, X)
    public = family.to_public(params, spec)
    root = family.precisions_cholesky(params, spec)
    precision = family.structure.precision(root)
    wrong = public["covariance"] * 7.0
    results = []
    for forms_given in (
        {"covariance": public["covariance"]},
        {"precision": precision},
        {"precision_cholesky": root},
        {"precision_cholesky": root, "precision": wrong},
    ):
        given = {"mean": public["mean"], **forms_given}
        out = np.zeros((3, 120))
        spec = family.spec_of(given)
        known = family.from_public(given, spec)
        family.log_density(family.encode(X, spec), family.precompute(known, spec), out)
        results.append(out)
    for other in results[1:]:
        assert_allclose(other, results[0], rtol=1e-8)


EYE = np.repeat(np.eye(2)[None], 2, axis=0)
UPPER = np.repeat([[[1.0, 0.5], [0.0, 1.0]]], 2, axis=0)
INFINITE = np.full((2, 2, 2), np.inf)


@pytest.mark.parametrize(
    ("name", "public", "match"),
    [
        ("full", {}, "mean is missing"),
        ("full", {"mean": np.zeros((2, 2))}, "need 'covariance', 'precision' or"),
        ("full", {"mean": np.zeros(2), "covariance": EYE}, "mean must have shape"),
        ("full", {"mean": [[0, np.nan]] * 2, "covariance": EYE}, "column 1 is nan"),
        ("full", {"mean": np.zeros((2, 2)), "covariance": EYE[:1]}, r"shape \(2, 2, 2\)"),
        ("full", {"mean": np.zeros((2, 2)), "covariance": INFINITE}, "covariance must be fin"),
        ("full", {"mean": np.zeros((2, 2)), "covariance": EYE * [[[1.0]], [[-1.0]]]},
         "covariance of component 1 is not symmetric positive definite"),
        ("full", {"mean": np.zeros((2, 2)), "precision": UPPER},
         "precision of component 0 is not symmetric positive definite"),
        ("full", {"mean": np.zeros((2, 2)), "precision_cholesky": UPPER.transpose(0, 2, 1)},
         "precision_cholesky of component 0 is not upper triangular"),
        ("tied", {"mean": np.zeros((2, 2)), "covariance": -np.eye(2)}, "covariance is not sym"),
        ("tied", {"mean": np.zeros((2, 2)), "covariance": EYE * [[[1.0]], [[2.0]]]},
         "covariance must be the same for all components"),
        ("diag", {"mean": np.zeros((2, 2)), "covariance": [[1, 1], [1, 0]]},
         "covariance of component 1 is not positive"),
        ("spherical", {"mean": np.zeros((2, 2)), "precision": [-1, 1]},
         "precision of component 0 is not positive"),
    ],
)  # fmt: skip
def test_parameters_that_are_refused(name, public, match):
    family = Gaussian(name)
    with pytest.raises(ValueError, match=match):
        family.from_public(public, family.spec_of(public))
