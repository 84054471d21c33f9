"""What an Inference offers: tables, intervals, tests, functions, remarks, warnings."""

import warnings

import numpy as np
import pytest
from scipy.stats import chi2, norm, poisson
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from emlearn import (
    FactorAnalysisEM,
    FiniteMixtureEM,
    GaussianMixtureEM,
    HiddenMarkovEM,
    MissingDataImputerEM,
)
from emlearn.datasets import load_old_faithful
from emlearn.distributions import Bernoulli, Categorical, Poisson
from emlearn.engine.inference import KINDS, concerned, invert
from emlearn.engine.information import empirical_information, flat_along

FAITHFUL = load_old_faithful().data


@pytest.fixture(scope="module")
def mixture():
    return GaussianMixtureEM(2, tol=1e-10, random_state=0).fit(FAITHFUL)


@pytest.fixture(scope="module")
def inference(mixture):
    return mixture.inference(FAITHFUL)


def test_arrays_have_the_shapes_of_the_attributes(mixture, inference):
    for name in ("weights", "means", "covariances"):
        value = getattr(mixture, f"{name}_")
        np.testing.assert_allclose(inference.estimates[name], value, rtol=1e-12)
        assert inference.standard_errors[name].shape == value.shape
    assert len(inference.names) == 2 + 4 + 2 * 3
    errors = inference.standard_errors
    np.testing.assert_allclose(
        inference.standard_error,
        np.concatenate(
            [
                errors["weights"],
                errors["means"].ravel(),
                errors["covariances"][:, [0, 0, 1], [0, 1, 1]].ravel(),
            ]
        ),
    )


def test_dependent_entries_have_dependent_errors(inference):
    errors, covariance = inference.standard_errors, inference.covariance
    np.testing.assert_allclose(errors["weights"][0], errors["weights"][1], rtol=1e-9)
    np.testing.assert_allclose(covariance[0, 1], -covariance[0, 0], rtol=1e-9)
    matrix = errors["covariances"]
    np.testing.assert_allclose(matrix, matrix.transpose(0, 2, 1))


def test_intervals_stay_within_the_bounds(inference):
    natural = inference.confidence_interval(0.9, scale="natural")
    z = norm.ppf(0.95)
    np.testing.assert_allclose(natural[:, 1], inference.estimate + z * inference.standard_error)
    wide = inference.confidence_interval(1 - 1e-12)
    assert (wide[:2] > 0).all()
    assert (wide[:2] < 1).all()
    variances = [i for i, name in enumerate(inference.names) if name.endswith(("0, 0]", "1, 1]"))]
    variances = [i for i in variances if inference.names[i].startswith("cov")]
    assert (wide[variances] > 0).all()
    j = inference.names.index("covariances[0, 0, 0]")
    at, error = inference.estimate[j], inference.standard_error[j]
    np.testing.assert_allclose(
        inference.confidence_interval()[j], at * np.exp(norm.ppf([0.025, 0.975]) * error / at)
    )


def test_wald_tests(inference):
    j = inference.names.index("means[1, 0]")
    test = inference.wald_test("means[1, 0]", 4.3)
    z = (inference.estimate[j] - 4.3) / inference.standard_error[j]
    np.testing.assert_allclose(test.statistic, z**2)
    np.testing.assert_allclose(test.pvalue, 2 * norm.sf(abs(z)))
    names = ["means[0, 0]", "means[0, 1]", "means[1, 0]"]
    own = [inference.names.index(name) for name in names]
    d = inference.estimate[own] - [2.0, 54.0, 4.3]
    expected = d @ np.linalg.solve(inference.covariance[np.ix_(own, own)], d)
    joint = inference.wald_test(names, [2.0, 54.0, 4.3])
    np.testing.assert_allclose(joint.statistic, expected)
    assert joint.df == 3
    np.testing.assert_allclose(joint.pvalue, chi2.sf(expected, 3))
    row = np.zeros(len(inference.names))
    row[own[0]], row[own[2]] = 1.0, -1.0
    by_matrix = inference.wald_test(row[None], -2.25)
    by_function = inference.function(lambda p: p["means"][0, 0] - p["means"][1, 0])
    np.testing.assert_allclose(by_matrix.statistic, by_function.wald_test(value=-2.25).statistic)


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        ("means", "No estimate is named 'means'"),
        (np.ones((1, 3)), "must have 12 columns"),
        (["weights[0]", "weights[1]"], "linearly dependent"),
        (np.zeros((1, 12)), "without any parameter"),
        (np.full((1, 12), np.nan), "must be finite"),
        (0, "must have 12 columns"),
        ([], "must have 12 columns"),
    ],
)
def test_impossible_tests(inference, constraints, message):
    with pytest.raises(ValueError, match=message):
        inference.wald_test(constraints)


@pytest.mark.parametrize("value", [[1.0, 2.0], np.nan, [[1.0]]])
def test_impossible_values_of_tests(inference, value):
    with pytest.raises(ValueError, match="value must be finite, and one number or one for each"):
        inference.wald_test(["means[0, 0]"], value)


def test_there_is_no_test_of_a_value_at_a_bound(inference):
    frame = inference.to_frame()
    free = [name.startswith("means") or name.endswith("0, 1]") for name in inference.names]
    assert (frame["z"].notna() == free).all()
    assert (frame["pvalue"].notna() == free).all()
    constant = inference.function(lambda p: 3.0).to_frame()
    assert constant["z"].isna().all()
    assert constant["standard_error"].item() == 0.0


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (3, "function must be callable"),
        (lambda p: "a", "'value' is 'a'"),
        (lambda p: {"b": [1, [2, 3]]}, "'b' is"),
        (lambda p: 1j, "must return a number"),
        (lambda p: np.nan, "not finite"),
    ],
)
def test_impossible_functions(inference, function, message):
    with pytest.raises(ValueError, match=message):
        inference.function(function)


def test_functions_by_the_delta_method(inference):
    found = inference.function(
        lambda p: {"ratio": p["means"][0, 0] / p["means"][1, 0], "log": np.log(p["weights"])}
    )
    assert found.names == ("ratio", "log[0]", "log[1]")
    own = [inference.names.index(name) for name in ("means[0, 0]", "means[1, 0]")]
    a, b = inference.estimate[own]
    gradient = np.array([1 / b, -a / b**2])
    covariance = inference.covariance[np.ix_(own, own)]
    np.testing.assert_allclose(
        found.standard_error[0], np.sqrt(gradient @ covariance @ gradient), rtol=1e-6
    )
    np.testing.assert_allclose(
        found.standard_error[1], inference.standard_error[0] / inference.estimate[0], rtol=1e-6
    )
    with pytest.raises(ValueError, match="not finite"):
        inference.function(lambda p: np.nan)
    with pytest.raises(ValueError, match="changes its shape"):
        inference.function(lambda p: np.zeros(1 + (p["weights"][0] > inference.estimate[0])))


def test_tables(mixture, inference):
    text = str(inference.summary())
    assert "means[0, 0]" in text
    assert "95 % intervals" in text
    assert "observed information, 23 E-steps" in text
    pandas = pytest.importorskip("pandas")
    frame = inference.to_frame(0.9)
    assert list(frame.index) == list(inference.names)
    np.testing.assert_allclose(frame["high"], inference.confidence_interval(0.9)[:, 1])
    named = pandas.DataFrame(FAITHFUL, columns=["time", "wait"])
    again = GaussianMixtureEM(2, random_state=0).fit(named).inference(named)
    assert "covariances[0, time, wait]" in again.names


def test_what_is_at_a_bound_has_no_interval():
    rng = np.random.default_rng(0)
    z = rng.random(200) < 0.5
    X = np.where(rng.random((200, 4)) < np.where(z[:, None], 0.8, 0.3), 1, 0)
    X[z, 0], X[~z, 0] = 1, 0
    model = FiniteMixtureEM(2, family=Categorical(alpha=0), tol=1e-10, random_state=0).fit(X)
    inference = model.inference(X)
    bound = [i for i, remark in enumerate(inference.remarks) if remark == "at a bound"]
    assert {inference.names[i] for i in bound} >= {"probability[0, 0, 0]", "probability[0, 0, 1]"}
    assert np.isnan(inference.standard_error[bound]).all()
    assert np.isnan(inference.confidence_interval()[bound]).all()
    assert np.isfinite(np.delete(inference.standard_error, bound)).all()
    assert "at a bound" in str(inference)
    assert "nan" not in str(inference)
    with pytest.raises(ValueError, match="at a bound"):
        inference.wald_test(inference.names[bound[0]])


def test_flat_directions_are_named():
    rng = np.random.default_rng(0)
    X = (rng.random((300, 2)) < 0.5).astype(float)
    # Two classes of two binary items have five parameters, the table has three frequencies.
    model = FiniteMixtureEM(2, family=Bernoulli(alpha=0), random_state=0).fit(X)
    with pytest.warns(ConvergenceWarning, match=r"nothing about 2 direction.*probability\["):
        inference = model.inference(X)
    assert "not identified" in inference.remarks
    assert np.isnan(inference.standard_error).any()
    assert "not identified" in str(inference)
    weights = inference.function(lambda p: p["weights"])
    assert np.isnan(weights.standard_error).all()
    assert weights.remarks == ("not identified", "not identified")

    def both(p):
        return p["weights"] @ p["probability"].prod(axis=1)

    share = X.prod(axis=1).mean()
    error = np.sqrt(share * (1 - share) / 300)
    np.testing.assert_allclose(inference.function(both).standard_error, error, rtol=1e-3)
    sides = list(inference.along_errors())
    assert len(sides) == 3
    slopes = [(both(above) - both(below)) / (2 * step) for above, below, step in sides]
    np.testing.assert_allclose(np.linalg.norm(slopes), error, rtol=1e-3)


def test_flat_directions_are_found_far_from_the_maximum():
    rng = np.random.default_rng(0)
    X = (rng.random((300, 2)) < 0.5).astype(float)
    model = FiniteMixtureEM(2, family=Bernoulli(alpha=0), random_state=0, max_iter=1, tol=0)
    with pytest.warns(ConvergenceWarning, match="did not converge"):
        model.fit(X)
    own = model._fitted_problem(X, None, None)
    around = own.model.space(own.params).coordinates(own.model.public(own.params))
    arguments = own.model, own.data, own.params, around
    flat = invert(empirical_information(*arguments).matrix)[1]
    assert flat.shape == (5, 2)
    assert flat_along(*arguments, flat).all()
    assert flat_along(*arguments, np.eye(5)).sum() == 0


def test_steps_of_functions_have_the_size_of_errors():
    x = np.random.default_rng(0).normal(size=(400, 1))
    inference = GaussianMixtureEM(1).fit(x).inference(x)
    found = inference.function(lambda p: np.exp(100.0 * p["means"][0, 0]))
    error = 100.0 * inference.standard_errors["means"][0, 0] * found.estimate[0]
    np.testing.assert_allclose(found.standard_error[0], error, rtol=1e-4)


@pytest.mark.parametrize("information", ["observed", "empirical", "sandwich"])
def test_rows_of_another_fit_are_told(mixture, information):
    with pytest.warns(ConvergenceWarning, match="from the maximum"):
        mixture.inference(FAITHFUL[:150], information=information)


def test_a_tight_fit_is_not_warned_of(mixture):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mixture.inference(FAITHFUL).distance < 1e-3
        GaussianMixtureEM(2, random_state=0).fit(FAITHFUL).inference(FAITHFUL)


def test_bad_arguments(mixture, inference):
    with pytest.raises(ValueError, match="observed, empirical, sandwich; got 'fisher'"):
        mixture.inference(FAITHFUL, information="fisher")
    with pytest.raises(ValueError, match="between 0 and 1"):
        inference.confidence_interval(95)
    with pytest.raises(ValueError, match="'auto' or 'natural'"):
        inference.confidence_interval(scale="log")
    with pytest.raises(NotFittedError):
        GaussianMixtureEM().inference(FAITHFUL)
    with pytest.raises(NotFittedError):
        HiddenMarkovEM().inference(FAITHFUL)
    with pytest.raises(ValueError, match="features"):
        mixture.inference(FAITHFUL[:, :1])


@pytest.mark.parametrize("information", ["empirical", "sandwich"])
def test_too_few_sequences_for_scores_of_sequences(information):
    model = HiddenMarkovEM(2, random_state=0).fit(FAITHFUL)
    with pytest.raises(ValueError, match=r"fewer of them \(1\) than free parameters \(1"):
        model.inference(FAITHFUL, information=information)


def test_scores_that_depend_on_each_other_are_no_lack_of_information():
    # The square of a binary column is linear in it, so its two scores are proportional.
    x = np.repeat([0.0, 1.0, 0.0, 1.0], [97, 95, 3, 5])
    X = np.column_stack([x, np.repeat([0.0, 1.0, 1.0, 0.0], [97, 95, 3, 5])])
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        inference = MissingDataImputerEM(alpha=0).fit(X).inference(X)
    np.testing.assert_allclose(inference.standard_errors["mean"], X.std(axis=0) / 200**0.5)
    variance = np.diagonal(inference.standard_errors["covariance"])
    np.testing.assert_allclose(variance, X.var(axis=0) * (2 / 200) ** 0.5, rtol=1e-6)


def test_few_rows_have_dependent_scores():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(12, 4))
    X[:, 3] = X[:, 0] + 0.02 * rng.normal(size=12)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        inference = MissingDataImputerEM(alpha=0).fit(X).inference(X)
    np.testing.assert_allclose(
        inference.standard_errors["mean"], X.std(axis=0) / 12**0.5, rtol=1e-6
    )


def test_equal_components_have_no_weights_but_rates():
    # Counts that vary less than Poisson counts: both components are the same at the maximum.
    X = np.repeat([3.0, 4.0, 5.0], [50, 100, 50])[:, None]
    start = np.tile([0.4, 0.6], (200, 1))
    model = FiniteMixtureEM(2, family=Poisson(alpha=0), init_params=start, tol=1e-12).fit(X)
    with pytest.warns(ConvergenceWarning, match="1 direction.*weights"):
        inference = model.inference(X)
    assert np.isnan(inference.standard_errors["weights"]).all()
    own = model._fitted_problem(X, None, None)
    around = own.model.space(own.params).coordinates(own.model.public(own.params))
    # The coordinates are one of the weights and two of the rates.
    assert flat_along(own.model, own.data, own.params, around, np.eye(3)).tolist() == [1, 0, 0]

    def loglik(rates):
        return np.log(poisson.pmf(X, rates) @ model.weights_).sum()

    at, h = model.component_params_["rate"].ravel(), 1e-3
    hessian = np.empty((2, 2))
    for i, a in enumerate(np.eye(2) * h):
        for j, b in enumerate(np.eye(2) * h):
            cross = loglik(at + a + b) - loglik(at + a - b) - loglik(at - a + b)
            hessian[i, j] = (cross + loglik(at - a - b)) / (4 * h**2)
    expected = np.sqrt(np.diagonal(np.linalg.inv(-hessian)))
    np.testing.assert_allclose(inference.standard_errors["rate"].ravel(), expected, rtol=1e-4)


def test_correlations_of_columns_never_seen_together_are_not_identified():
    nan = np.nan
    X = np.array([[1, nan], [2, nan], [4, nan], [nan, 3], [nan, 5], [nan, 9]] * 10)
    with pytest.warns(UserWarning, match="never observed together"):
        model = MissingDataImputerEM(alpha=0).fit(X)
    with pytest.warns(ConvergenceWarning, match=r"say nothing about 1 .*covariance\[0, 1\]"):
        inference = model.inference(X)
    expected = np.nanstd(X, axis=0) / 30**0.5
    np.testing.assert_allclose(inference.standard_errors["mean"], expected, rtol=1e-6)


def test_e_steps_are_those_of_both_parts(mixture):
    steps = [mixture.inference(FAITHFUL, information=kind).n_e_steps for kind in KINDS]
    assert steps == [23, 22, 45]


def test_fixed_is_that_of_the_fit():
    model = GaussianMixtureEM(2, random_state=0).fit(FAITHFUL)
    model.set_params(fixed={"means": [[np.nan, np.nan], [np.nan, 75.0]]})
    with pytest.raises(ValueError, match=r"fixed\['means'\] holds 75, .*Fit again"):
        model.inference(FAITHFUL)
    assert np.isfinite(model.fit(FAITHFUL).inference(FAITHFUL).standard_errors["weights"]).all()


@pytest.mark.parametrize(
    "model",
    [
        GaussianMixtureEM(2, random_state=0),
        FiniteMixtureEM(2, random_state=0),
        MissingDataImputerEM(),
        FactorAnalysisEM(1, random_state=0),
    ],
)
def test_weights_that_are_no_copies_are_refused(model):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 1)) + rng.normal(size=(60, 5))
    model.fit(X)
    with pytest.raises(ValueError, match="sums to 1 for 60 rows, but weights are numbers of"):
        model.inference(X, sample_weight=np.full(60, 1 / 60))
    weight = np.arange(60) % 3.0
    model.fit(X, sample_weight=weight).inference(X, sample_weight=weight)


def test_weights_of_sequences_are_copies():
    model = HiddenMarkovEM(2, random_state=0).fit(FAITHFUL, lengths=[136, 136])
    with pytest.raises(ValueError, match=r"sums to 0\.2 for 2 sequences"):
        model.inference(FAITHFUL, lengths=[136, 136], sample_weight=[0.1, 0.1])


@pytest.mark.parametrize("estimator", [FiniteMixtureEM, HiddenMarkovEM])
def test_labels_are_those_of_the_fit(estimator):
    y = np.where(FAITHFUL[:, 0] > 3, "long", "short")
    y = [name if i % 5 == 0 else None for i, name in enumerate(y)]
    model = estimator(2, use_labels=True, random_state=0).fit(FAITHFUL, y)
    assert model.inference(FAITHFUL, y).distance < 0.25
    other = ["long" if name == "long" else None for name in y]
    with pytest.raises(ValueError, match=r"classes \['long'\], but in the fit they were"):
        model.inference(FAITHFUL, other)
    assert list(model.classes_) == ["long", "short"]


def test_inference_does_not_change_the_estimator(mixture):
    before = dict(vars(mixture))
    mixture.inference(FAITHFUL)
    assert vars(mixture).keys() == before.keys()
    assert all(vars(mixture)[name] is value for name, value in before.items())


def test_inverse_of_an_information_with_a_flat_direction():
    information = np.array([[2.0, 2.0, 0.0], [2.0, 2.0, 0.0], [0.0, 0.0, 4.0]])
    covariance, flat, negative = invert(information)
    assert flat.shape == (3, 1)
    assert not negative
    assert concerned(np.eye(3), flat).tolist() == [True, True, False]
    assert concerned(np.array([[1.0, 1.0, 0.0]]), flat).tolist() == [False]
    np.testing.assert_allclose(covariance[2, 2], 0.25)
    sum_of_both = np.array([1.0, 1.0, 0.0])
    np.testing.assert_allclose(sum_of_both @ covariance @ sum_of_both, 0.5)
    assert invert(np.diag([1.0, -1.0]))[2]
