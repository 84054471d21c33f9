"""LinearGaussianStateSpaceEM as a scikit-learn estimator."""

import inspect

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from emlearn import LinearGaussianStateSpaceEM
from emlearn.sequences import SequenceKFold

CONFIGURATIONS = [
    LinearGaussianStateSpaceEM(max_iter=20),
    LinearGaussianStateSpaceEM(
        transition_noise="diag", observation_noise="diag", fit_offset=True, max_iter=20
    ),
]

SEQUENCES = "a weight belongs to a sequence, not to a row, and all rows are one sequence here"
ORDER = "the rows of a sequence are in order"
NOT_FOR_SEQUENCES = {
    "check_sample_weights_pandas_series": SEQUENCES,
    "check_sample_weights_not_an_array": SEQUENCES,
    "check_sample_weights_list": SEQUENCES,
    "check_all_zero_sample_weights_error": SEQUENCES,
    "check_sample_weights_shape": SEQUENCES,
    "check_sample_weights_not_overwritten": SEQUENCES,
    "check_sample_weight_equivalence_on_dense_data": SEQUENCES,
    "check_methods_sample_order_invariance": ORDER,
    "check_methods_subset_invariance": ORDER,
    "check_transformer_data_not_an_array": "its columns are constant, so they have no noise",
}


@parametrize_with_checks(CONFIGURATIONS, expected_failed_checks=lambda _: NOT_FOR_SEQUENCES)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_every_parameter_is_validated_documented_and_kept():
    parameters = inspect.signature(LinearGaussianStateSpaceEM).parameters
    assert set(LinearGaussianStateSpaceEM._parameter_constraints) == set(parameters)
    for name in parameters:
        assert f"    {name} : " in LinearGaussianStateSpaceEM.__doc__
        value = object()
        assert LinearGaussianStateSpaceEM(**{name: value}).get_params()[name] is value


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_every_attribute_is_documented(make):
    X, _ = make((30,))
    model = LinearGaussianStateSpaceEM(2, max_iter=3).fit(X)
    attributes = {name for name in vars(model) if name.endswith("_")} | {"next_state_covariance_"}
    section = LinearGaussianStateSpaceEM.__doc__.split("Attributes\n")[1].split("See Also")[0]
    documented = {
        line.split(" : ")[0].strip()
        for line in section.splitlines()
        if " : " in line and line[4:5] != " "
    }
    assert attributes | {"feature_names_in_"} == documented


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_number_of_states_by_cross_validation_over_whole_sequences(make):
    X, _ = make((20,) * 6)
    ids = np.repeat(list("abcdef"), 20)
    with sklearn.config_context(enable_metadata_routing=True):
        model = LinearGaussianStateSpaceEM(max_iter=10, random_state=0).set_fit_request(
            sequence_ids=True
        )
        model.set_score_request(sequence_ids=True)
        search = GridSearchCV(model, {"n_states": [1, 2]}, cv=SequenceKFold(3))
        search.fit(X, sequence_ids=ids)
    for k, n_states in enumerate((1, 2)):
        scores = []
        for train, test in SequenceKFold(3).split(X, groups=ids):
            own = LinearGaussianStateSpaceEM(n_states, max_iter=10, random_state=0)
            own.fit(X[train], sequence_ids=ids[train])
            scores.append(own.score(X[test], sequence_ids=ids[test]))
        assert_allclose(search.cv_results_["mean_test_score"][k], np.mean(scores))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_tables_and_pipelines(make):
    X, _ = make((30, 30), missing=0.1)
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    frame["run"] = np.repeat(["one", "two"], 30)
    model = LinearGaussianStateSpaceEM(2, max_iter=5, random_state=0, sequence_column="run").fit(
        frame
    )
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    plain = LinearGaussianStateSpaceEM(2, max_iter=5, random_state=0).fit(X, lengths=[30, 30])
    assert_allclose(model.transition_matrix_, plain.transition_matrix_)
    states = clone(plain).set_output(transform="pandas").fit(X).transform(X)
    assert list(states.columns) == [
        "lineargaussianstatespaceem0",
        "lineargaussianstatespaceem1",
    ]
    pipeline = make_pipeline(StandardScaler(), LinearGaussianStateSpaceEM(2, max_iter=5))
    y = np.array(["x", "y"] * 30)
    assert pipeline.fit(X, y).transform(X).shape == (60, 2)
    assert pipeline.predict(X).shape == (60, 3)
