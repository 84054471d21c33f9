"""Known parameters that are no model are refused by name."""

import numpy as np
import pytest

from emlearn import FiniteMixtureEM, HiddenMarkovEM

BOTH = pytest.mark.parametrize("cls", [FiniteMixtureEM, HiddenMarkovEM])
RATES = {"rate": [[1.0, 2.0], [7.0, 5.0]]}
METHODS = ["predict", "predict_proba", "score", "score_samples", "aic", "bic"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"rate": [[1.0], [7.0]]}, "describe 1 features, but there are 2"),
        ({"rate": [[1.0, 1.0]] * 3}, "describe 3 components, but there are 2"),
        (
            {"rate": [[1.0, 1.0], [-7.0, 7.0]]},
            "rate of component 1, column 0 is -7",
        ),
        (
            {"rate": [[1.0, np.nan], [7.0, 7.0]]},
            "rate of component 0, column 1 is nan",
        ),
        ({"rate": [["a", "b"]] * 2}, "rate must be an array of numbers"),
        ({"rate": 3.0}, r"rate must have shape \(n_components, n_features"),
        ({"rates": [[1.0, 1.0]] * 2}, "no parameter 'rates'; its parameters are rate"),
        ({**RATES, "mean": 3.0}, "no parameter 'mean'"),
        ({}, "rate is missing from the parameters; those given are: none"),
        ([1.0, 2.0], "must be a dict"),
        (None, "must be a dict"),
    ],
)
@BOTH
def test_invalid_parameters_are_refused_by_name(cls, value, message, X):
    model = cls(2, family="poisson", init_params="rows", random_state=0).fit(X)
    model.component_params_ = value
    for method in METHODS:
        with pytest.raises(ValueError, match=rf"component_params_.*{message}"):
            getattr(model, method)(X)
    with pytest.raises(ValueError, match=rf"component_params_.*{message}"):
        model.sample(3)


@pytest.mark.parametrize("name", ["weights_", "startprob_", "transmat_"])
@pytest.mark.parametrize(
    "value", [[0.5, 0.6], [0.2, 0.3, 0.5], [1.5, -0.5], [np.nan, 1.0], "a", None, 1.0, [], [[1.0]]]
)
def test_invalid_probabilities_are_refused_by_name(name, value, X, known):
    cls = FiniteMixtureEM if name == "weights_" else HiddenMarkovEM
    model = known(cls)
    setattr(model, name, value)
    named = "transmat_|component_params_" if np.size(value) != 2 else name
    for call in (model.predict, model.predict_proba, model.score):
        with pytest.raises(ValueError, match=f"{name}|{named}"):
            call(X)
    with pytest.raises(ValueError, match=f"{name}|{named}"):
        model.sample(3)


@BOTH
def test_rows_of_another_width(cls, X, known, laws):
    for model in (known(cls), cls(2, family="poisson")):
        for name, value in laws[cls].items():
            setattr(model, name, value)
        model.component_params_ = RATES
        with pytest.raises(ValueError, match="X has 1 features"):
            model.predict(X[:, :1])


@BOTH
def test_hyperparameters_beside_known_parameters_are_checked(cls, known):
    with pytest.raises(ValueError, match=f"'tol' parameter of {cls.__name__}"):
        known(cls, tol=-1.0)
