"""What users of other programs complain of works: fits, messages and predictions.

Each function makes rows with a response "y"; `COMPLAINTS` has the model, as a formula of lme4 and
as parameters of `LinearMixedModelEM`, and the log-likelihood of REML by lme4 1.1-31 (None where
lme4 refuses the model). The numbers are issues of statsmodels.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, cross_val_score

from emlearn.mixed import LinearMixedModelEM


class Complaint(NamedTuple):
    make: Callable[[], pd.DataFrame]
    formula: str
    settings: dict[str, Any]
    log_likelihood: float | None


def groups_that_do_not_differ():
    """7051: random numbers in three classes; the variance between classes is 0."""
    rng = np.random.RandomState(1)
    y, x = rng.standard_normal((2, 100))
    return pd.DataFrame({"y": y, "x": x, "group": np.arange(100) % 3})


def slopes_of_all_columns():
    """9138: each covariate has a random slope, more than the subjects can tell apart."""
    rng = np.random.RandomState(2)
    subject = np.repeat(np.arange(15), 12)
    X = rng.standard_normal((len(subject), 4))
    intercept = rng.standard_normal(15)[subject]
    y = X @ [1.0, -1.0, 0.5, 0.0] + intercept + rng.standard_normal(len(subject))
    return pd.DataFrame(X, columns=list("abcd")).assign(y=y, subject=subject)


def more_effects_than_rows():
    """9138: groups have fewer rows than random effects, but all groups together have enough."""
    rng = np.random.RandomState(3)
    subject = np.repeat(np.arange(60), 2)
    X = rng.standard_normal((len(subject), 2))
    effects = rng.standard_normal((60, 3))[subject]
    y = effects[:, 0] + (X * (1.0 + effects[:, 1:])).sum(axis=1) + rng.standard_normal(120)
    return pd.DataFrame(X, columns=list("ab")).assign(y=y, subject=subject)


def every_row_its_own_group():
    """6154: as many groups as rows; group and residual variance cannot be told apart."""
    rng = np.random.RandomState(4)
    y, x = rng.standard_normal((2, 50))
    return pd.DataFrame({"y": y, "x": x, "group": np.arange(50)})


def many_groups_of_one_row():
    """6154: most groups have one row, some have two or three."""
    rng = np.random.RandomState(5)
    group = np.concatenate([np.arange(80), np.arange(20), np.arange(10)])
    x = rng.standard_normal(len(group))
    y = x + rng.standard_normal(80)[group] + 0.5 * rng.standard_normal(len(group))
    return pd.DataFrame({"y": y, "x": x, "group": group})


def shares_that_sum_to_one():
    """6140: columns that add up to the column of the intercept."""
    rng = np.random.RandomState(6)
    region = np.arange(90) % 9
    shares = rng.dirichlet(np.ones(4), 90)
    y = shares @ [1.0, 2.0, 3.0, 4.0] + rng.standard_normal(9)[region]
    y += 0.3 * rng.standard_normal(90)
    return pd.DataFrame(shares, columns=list("abcd")).assign(y=y, region=region)


def regressor_of_groups():
    """10239: the variance is 0, and a regressor is constant within groups."""
    rng = np.random.RandomState(7)
    subject = np.repeat(np.arange(30), 6)
    treated = (subject % 2).astype(float)
    x, noise = rng.standard_normal((2, len(subject)))
    # The noise of a subject has the mean 0.
    noise -= np.repeat(noise.reshape(30, 6).mean(axis=1), 6)
    y = 10.0 + 3.0 * treated + 2.0 * x + noise
    return pd.DataFrame({"y": y, "x": x, "treated": treated, "subject": subject})


def three_groups_along_a_line():
    """3654: three groups that follow each other in x, each with a line of its own."""
    rng = np.random.RandomState(8)
    x = np.arange(50.0, 100.0, 0.5)
    group = (x >= 67.0).astype(int) + (x >= 86.0)
    slope, intercept = np.array([0.4, 0.6, 0.5])[group], np.array([5.0, -8.0, 3.0])[group]
    return pd.DataFrame(
        {"y": intercept + slope * x + rng.standard_normal(len(x)), "x": x, "group": group}
    )


def years_and_large_numbers():
    """Columns far from 0 and of very different scales."""
    rng = np.random.RandomState(9)
    firm = np.repeat(np.arange(25), 8)
    year = 2000.0 + np.tile(np.arange(8.0), 25)
    assets = 1e7 * rng.gamma(4.0, size=200)
    y = 1e5 + 300.0 * (year - 2000.0) + 1e-3 * assets + 2000.0 * rng.standard_normal(25)[firm]
    y += (year - 2000.0) * 100.0 * rng.standard_normal(25)[firm]
    y += 500.0 * rng.standard_normal(200)
    return pd.DataFrame({"y": y, "year": year, "assets": assets, "firm": firm})


def persons_and_items():
    """2452, 6749: crossed factors, with few answers of each person."""
    rng = np.random.RandomState(10)
    person, item = rng.randint(0, 60, 300), rng.randint(0, 25, 300)
    y = rng.standard_normal(60)[person] + 0.5 * rng.standard_normal(25)[item]
    y += rng.standard_normal(300)
    return pd.DataFrame({"y": y, "person": person, "item": item})


def pairs(n_pairs=2000):
    """4847, 9097: very many small groups, which took minutes to hours."""
    rng = np.random.RandomState(11)
    pair = np.repeat(np.arange(n_pairs), 2)
    x = rng.standard_normal(2 * n_pairs)
    second = np.tile([0.0, 1.0], n_pairs)
    y = x + 0.5 * second + rng.standard_normal(n_pairs)[pair] + rng.standard_normal(2 * n_pairs)
    return pd.DataFrame({"y": y, "x": x, "second": second, "pair": pair})


def levels_far_apart():
    """9560: groups that differ so much that a prediction without their effects is useless."""
    rng = np.random.RandomState(12)
    shop = np.repeat(np.arange(20), 10)
    x = rng.standard_normal(200)
    y = 2.0 * x + 100.0 * rng.standard_normal(20)[shop] + rng.standard_normal(200)
    return pd.DataFrame({"y": y, "x": x, "shop": shop})


COMPLAINTS = {
    "groups_that_do_not_differ": Complaint(
        groups_that_do_not_differ, "y ~ x + (1 | group)", {"groups": ["group"]}, -132.22136977
    ),
    "slopes_of_all_columns": Complaint(
        slopes_of_all_columns,
        "y ~ a + b + c + d + (a + b + c + d | subject)",
        {"groups": ["subject"], "random_slopes": ["a", "b", "c", "d"]},
        -269.485959502,
    ),
    "more_effects_than_rows": Complaint(
        more_effects_than_rows,
        "y ~ a + b + (a + b | subject)",
        {"groups": ["subject"], "random_slopes": ["a", "b"]},
        None,
    ),
    "every_row_its_own_group": Complaint(
        every_row_its_own_group, "y ~ x + (1 | group)", {"groups": ["group"]}, None
    ),
    "many_groups_of_one_row": Complaint(
        many_groups_of_one_row, "y ~ x + (1 | group)", {"groups": ["group"]}, -149.352795809
    ),
    "shares_that_sum_to_one": Complaint(
        shares_that_sum_to_one,
        "y ~ a + b + c + d + (1 | region)",
        {"groups": ["region"]},
        -37.907714359,
    ),
    "regressor_of_groups": Complaint(
        regressor_of_groups,
        "y ~ x + treated + (1 | subject)",
        {"groups": ["subject"]},
        -244.022052104,
    ),
    "three_groups_along_a_line": Complaint(
        three_groups_along_a_line,
        "y ~ x + (x | group)",
        {"groups": ["group"], "random_slopes": ["x"]},
        -165.802284279,
    ),
    "years_and_large_numbers": Complaint(
        years_and_large_numbers,
        "y ~ year + assets + (year | firm)",
        {"groups": ["firm"], "random_slopes": ["year"]},
        -1608.218257093,
    ),
    "persons_and_items": Complaint(
        persons_and_items,
        "y ~ 1 + (1 | person) + (1 | item)",
        {"groups": ["person", "item"]},
        -475.595895191,
    ),
    "pairs": Complaint(pairs, "y ~ x + second + (1 | pair)", {"groups": ["pair"]}, -6701.200579244),
    "levels_far_apart": Complaint(
        levels_far_apart, "y ~ x + (1 | shop)", {"groups": ["shop"]}, -383.547345549
    ),
}


def rows_of(complaint):
    frame = complaint.make()
    return frame.drop(columns="y"), frame["y"]


@pytest.mark.filterwarnings("ignore:The column.s. d of X depend:UserWarning")
@pytest.mark.filterwarnings("ignore:The variances of 'group', 'residual' are not identified")
@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("name", [name for name in COMPLAINTS if name != "more_effects_than_rows"])
def test_fits_are_finite(name, method):
    complaint = COMPLAINTS[name]
    X, y = rows_of(complaint)
    model = LinearMixedModelEM(**complaint.settings, method=method).fit(X, y)
    assert model.converged_
    assert np.isfinite(model.log_likelihood_)
    assert np.isfinite(model.coef_).all()
    for variance in model.variance_components_.values():
        assert np.isfinite(variance).all()
        assert np.linalg.eigvalsh(np.atleast_2d(variance)).min() >= -1e-9 * np.max(variance)
    for effects in model.random_effects_.values():
        assert np.isfinite(effects.effects).all()
    mean, std = model.predict(X, return_std=True)
    assert np.isfinite(mean).all()
    assert (std > 0.0).all()


@pytest.mark.filterwarnings("ignore:The column.s. d of X depend:UserWarning")
@pytest.mark.parametrize(
    "name", [name for name, c in COMPLAINTS.items() if c.log_likelihood is not None]
)
def test_likelihood_is_that_of_lme4(name):
    X, y = rows_of(COMPLAINTS[name])
    model = LinearMixedModelEM(**COMPLAINTS[name].settings).fit(X, y)
    assert model.log_likelihood_ == pytest.approx(COMPLAINTS[name].log_likelihood, abs=1e-7)


def test_variance_of_zero_is_an_answer():
    X, y = rows_of(COMPLAINTS["groups_that_do_not_differ"])
    model = LinearMixedModelEM(groups=["group"]).fit(X, y)
    assert model.boundary_ == ("group",)
    assert model.variance_components_["group"] == 0.0
    simple = LinearRegression().fit(X[["x"]], y)
    assert_allclose(model.coef_, simple.coef_, rtol=1e-10)
    assert_allclose(model.random_effects_["group"].effects, 0.0)


def test_regressor_of_groups_keeps_its_effect():
    frame = regressor_of_groups()
    X, y = frame.drop(columns="y"), frame["y"]
    model = LinearMixedModelEM(groups=["subject"]).fit(X, y)
    assert model.boundary_ == ("subject",)
    simple = LinearRegression().fit(X[["x", "treated"]], y)
    assert_allclose(model.coef_, simple.coef_, rtol=1e-8)
    assert_allclose(model.intercept_, simple.intercept_, rtol=1e-8)


def test_redundant_column_is_named():
    X, y = rows_of(COMPLAINTS["shares_that_sum_to_one"])
    with pytest.warns(UserWarning, match=r"column\(s\) d of X depend on others"):
        LinearMixedModelEM(groups=["region"]).fit(X, y)


def test_predictions_have_random_effects_of_known_groups():
    frame = levels_far_apart()
    X, y = frame.drop(columns="y"), frame["y"]
    model = LinearMixedModelEM(groups=["shop"]).fit(X, y)
    assert np.std(y - model.predict(X)) < 1.0
    without = model.predict(X, random_effects="none")
    assert_allclose(without, model.intercept_ + model.coef_[0] * X["x"])
    effects = model.random_effects_["shop"].effects[X["shop"], 0]
    assert_allclose(model.predict(X), without + effects)


def test_cross_validation_by_rows_and_by_groups():
    frame = levels_far_apart()
    X, y = frame.drop(columns="y"), frame["y"]
    model = LinearMixedModelEM(groups=["shop"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        by_rows = cross_val_score(model, X, y, cv=KFold(5, shuffle=True, random_state=0))
        by_groups = cross_val_score(model, X, y, cv=GroupKFold(5), groups=X["shop"])
    assert by_rows.min() > 0.99
    assert by_groups.mean() < 0.5  # groups that are new
    search = GridSearchCV(model, {"random_effects": ["known", "none"]}, cv=KFold(5))
    assert search.fit(X, y).best_params_ == {"random_effects": "known"}


def test_every_row_its_own_group_is_told():
    X, y = rows_of(COMPLAINTS["every_row_its_own_group"])
    with pytest.warns(ConvergenceWarning, match="'group', 'residual' are not identified"):
        model = LinearMixedModelEM(groups=["group"]).fit(X, y)
    simple = LinearRegression().fit(X[["x"]], y)
    assert_allclose(model.coef_, simple.coef_, rtol=1e-10)


def test_more_random_effects_than_rows():
    complaint = COMPLAINTS["more_effects_than_rows"]
    X, y = rows_of(complaint)
    with pytest.raises(ValueError, match=r"random effects .*there are only"):
        LinearMixedModelEM(**complaint.settings).fit(X, y)
    held = LinearMixedModelEM(**complaint.settings, fixed={"residual": 1.0})
    assert held.fit(X, y).converged_
