"""Examples of R. A. Mrode, "Linear Models for the Prediction of Animal Breeding Values".

Third edition, 2014, CABI. All variances are known.
"""

import numpy as np
import pandas as pd
from numpy.testing import assert_allclose

from emlearn.mixed import LinearMixedModelEM, Pedigree

CALVES = pd.DataFrame(
    {
        "male": [1.0, 0, 0, 1, 1],
        "female": [0.0, 1, 1, 0, 0],
        "animal": [4, 5, 6, 7, 8],
        "sire": [1, 3, 1, 4, 3],
        "dam": [0, 2, 2, 5, 6],
    }
)
GAIN = [4.5, 2.9, 3.9, 3.5, 5.0]
SEXES = {"fixed_columns": ["male", "female"], "fit_intercept": False}


def of_levels(model, term):
    """Predicted effects by level, in their order."""
    effects = model.random_effects_[term]
    return effects.effects[np.argsort(effects.levels), 0]


def test_reliabilities_of_the_animal_model():
    """Example 3.1."""
    fixed = {"animal": 20, "residual": 40}
    pedigree = Pedigree.from_frame(CALVES)
    model = LinearMixedModelEM("animal", kinship=pedigree, fixed=fixed, **SEXES).fit(CALVES, GAIN)
    effects = model.random_effects_["animal"]
    order = np.argsort(effects.levels)
    of_inverse = [0.471, 0.492, 0.456, 0.428, 0.428, 0.442, 0.442, 0.422]
    assert_allclose(effects.variances[order, 0, 0] / 40, of_inverse, atol=5e-4)
    assert_allclose(effects.reliabilities[order, 0], 1 - 2 * np.array(of_inverse), atol=1e-3)
    assert_allclose(effects.accuracies**2, effects.reliabilities, rtol=1e-14)


def test_sire_model():
    """Example 3.2: sire 4 is a son of sire 1."""
    fixed = {"sire": 5, "residual": 55}
    sires = Pedigree([1, 3, 4], [0, 0, 1], [0, 0, 0])
    model = LinearMixedModelEM("sire", kinship=sires, fixed=fixed, **SEXES).fit(CALVES, GAIN)
    assert_allclose(model.coef_, [4.336, 3.382], atol=5e-4)
    assert_allclose(of_levels(model, "sire"), [0.022, 0.014, -0.043], atol=5e-4)


def test_repeated_records():
    """Example 4.1: fat yields of cows in two parities, with permanent environments."""
    pedigree = Pedigree([4, 5, 6, 7, 8], [1, 3, 1, 3, 1], [2, 2, 5, 4, 7])
    X = pd.DataFrame({"cow": np.repeat([4, 5, 6, 7, 8], 2), "parity": [1, 2] * 5})
    season = np.array([1, 3, 1, 4, 2, 3, 1, 3, 2, 4])
    X["second"], X["first"] = X.pop("parity") == 2, np.tile([1.0, 0.0], 5)
    X["hys 1"], X["hys 3"] = season == 1, season == 3
    y = [201, 280, 150, 200, 160, 190, 180, 250, 285, 300]
    model = LinearMixedModelEM(
        {"genetic": "cow", "permanent": "cow"},
        kinship={"genetic": pedigree},
        fixed={"genetic": 20, "permanent": 12, "residual": 28},
        fit_intercept=False,
    ).fit(X.astype({name: float for name in X.columns if name != "cow"}), y)
    effects = dict(zip(model.fixed_names_, model.coef_, strict=True))
    # The book sets the effects of herd, year and season 1 and 3 to 0 instead of 2 and 4.
    assert_allclose(effects["first"] + effects["hys 1"], 175.472, atol=6e-4)
    assert_allclose(effects["second"] + effects["hys 3"], 241.893, atol=6e-4)
    assert_allclose([effects["hys 1"], effects["hys 3"]], [-44.065, -0.013], atol=6e-4)
    genetic = [10.148, -3.084, -7.063, 13.581, -18.207, -18.387, 9.328, 24.194]
    assert_allclose(of_levels(model, "genetic"), genetic, atol=6e-4)
    permanent = [8.417, -7.146, -17.229, -1.390, 17.347]
    assert_allclose(of_levels(model, "permanent"), permanent, atol=6e-4)


def test_common_environment_of_litters():
    """Example 4.2: weaning weights of pigs of three litters."""
    dam = np.repeat([2, 4, 5], [3, 4, 3])
    pigs = Pedigree(range(6, 16), np.repeat([1, 3, 1], [3, 4, 3]), dam)
    male = np.array([1.0, 0, 0, 0, 1, 0, 0, 1, 0, 1])
    X = pd.DataFrame({"male": male, "female": 1 - male, "animal": range(6, 16), "litter": dam})
    y = [90, 70, 65, 98, 106, 60, 80, 100, 85, 68]
    fixed = {"animal": 20, "litter": 15, "residual": 65}
    model = LinearMixedModelEM(
        ["animal", "litter"], kinship={"animal": pigs}, fixed=fixed, **SEXES
    ).fit(X, y)
    assert_allclose(model.coef_, [91.493, 75.764], atol=5e-4)
    values = [-1.441, -1.175, 1.441, 1.441, -0.266, -1.098, -1.667, -2.334, 3.925, 2.895, -1.141]
    values += [1.525, 0.448, 0.545, -3.819]
    assert_allclose(of_levels(model, "animal"), values, atol=6e-4)
    assert_allclose(of_levels(model, "litter"), [-1.762, 2.161, -0.399], atol=6e-4)


def test_reliability_of_slopes_and_of_nothing():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"x": rng.normal(size=60), "g": np.arange(60) % 12})
    y, held = rng.normal(size=60), np.array([[2.0, 0.5], [0.5, 0.7]])
    model = LinearMixedModelEM("g", random_slopes=["x"], fixed={"g": held}).fit(X, y)
    effects = model.random_effects_["g"]
    errors = np.diagonal(effects.variances, axis1=1, axis2=2)
    assert_allclose(effects.reliabilities, 1 - errors / [2.0, 0.7], rtol=1e-10)
    none = LinearMixedModelEM("g", fixed={"g": 0.0}).fit(X, y).random_effects_["g"]
    assert not none.reliabilities.any()
