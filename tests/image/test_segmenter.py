"""ImageSegmenterEM on images of all types and shapes."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from emlearn import ImageSegmenterEM
from emlearn.datasets import make_brain_phantom
from emlearn.engine import RemainingGain
from emlearn.image import pixel_table
from emlearn.image._model import PottsModel
from emlearn.kernels import potts
from emlearn.testing._case import ModelCase
from emlearn.testing._checks import (
    check_em_runs,
    check_nothing_is_changed,
    check_objective_never_decreases,
    check_pickling,
    check_same_seed_same_bits,
    check_statistics_can_be_added,
)


def segmenter(**settings):
    return ImageSegmenterEM(**{"random_state": 0, "beta": 1.0, **settings})


def accuracy(labels, truth):
    return float((labels == truth)[truth >= 0].mean())


# ---- types and shapes -------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "int64",
                                   "float16", "float32", "float64", ">f4", ">i2"])  # fmt: skip
def test_any_type_of_numbers(blocks, dtype):
    image, labels = blocks(noise=0.5)
    given = np.rint(6.0 * image).astype(dtype)
    found = segmenter().fit(given)
    assert accuracy(found.labels_, labels) > 0.97
    expected = segmenter().fit(given.astype(float))
    assert_array_equal(found.labels_, expected.labels_)
    assert_allclose(found.means_, expected.means_, rtol=1e-4)


def test_bytes_do_not_overflow():
    image = np.repeat(np.array([[2, 130, 250]], np.uint8), 40, axis=0).repeat(15, axis=1)
    image += np.random.default_rng(0).integers(0, 6, image.shape).astype(np.uint8)
    found = segmenter().fit(image)
    assert_allclose(found.means_.ravel(), [4.5, 132.5, 252.5], atol=0.5)


def test_bool_images():
    image = np.zeros((10, 12), bool)
    image[3:7, 4:9] = True
    found = ImageSegmenterEM(2, beta=0.5, random_state=0).fit(image)
    assert_array_equal(found.labels_, image)


def test_lists_and_other_memory_layouts(blocks):
    image, _ = blocks()
    expected = segmenter().fit(image).labels_
    for same in (image.tolist(), np.asfortranarray(image), image[::-1].copy()[::-1]):
        assert_array_equal(segmenter().fit(same).labels_, expected)


def test_images_of_another_size(blocks):
    found = segmenter().fit(blocks()[0])
    image, labels = blocks((33, 51), seed=4)
    assert accuracy(found.predict(image), labels) > 0.97
    assert found.predict(image).dtype == np.int32
    probabilities = found.predict_proba(image)
    assert probabilities.shape == (33, 51, 3)
    assert_allclose(probabilities.sum(axis=-1), 1.0, atol=1e-12)
    assert_array_equal(probabilities.argmax(axis=-1), found.predict(image))


@pytest.mark.parametrize("settings", [{}, {"beta": 0.0}, {"beta": "auto"}, {"bias_degree": 2}],
                         ids=["field", "mixture", "auto", "bias"])  # fmt: skip
def test_the_image_of_the_fit_gets_its_labels(blocks, settings):
    image, labels = blocks()
    model = segmenter(tol=1e-9, **settings)
    found = model.fit_predict(image)
    assert_array_equal(found, model.labels_)
    assert (model.predict(image) == found).mean() > 0.995
    assert accuracy(found, labels) > 0.9


def test_axes_can_be_exchanged():
    rng = np.random.default_rng(0)
    image = np.indices((9, 11, 8))[0] // 3 + 0.7 * rng.normal(size=(9, 11, 8))
    expected = segmenter(spacing=(1.0, 2.0, 3.0), tol=1e-12).fit(image)
    for axes in ((2, 0, 1), (1, 0, 2)):
        other = segmenter(spacing=np.array((1.0, 2.0, 3.0))[list(axes)], tol=1e-12)
        other.fit(image.transpose(axes))
        assert_array_equal(other.labels_, expected.labels_.transpose(axes))
        assert_allclose(other.lower_bound_, expected.lower_bound_, rtol=1e-9)


def test_thick_slices_are_coupled_less():
    image = np.zeros((6, 20, 20))
    image[::2] = 1.0
    image += 0.6 * np.random.default_rng(1).normal(size=image.shape)
    model = ImageSegmenterEM(2, beta=1.2, random_state=0)
    alternating = np.arange(6) % 2 == 0
    thick = clone(model).set_params(spacing=(10.0, 1.0, 1.0)).fit(image)
    assert ((thick.labels_ == 1) == alternating[:, None, None]).mean() < 1.0
    flat = clone(model).fit(image)
    right = [((m.labels_ == 0) == alternating[:, None, None]).mean() for m in (thick, flat)]
    assert abs(right[0] - 0.5) > abs(right[1] - 0.5)
    assert max(right[0], 1 - right[0]) > 0.98


def test_channels_may_be_any_axis():
    rng = np.random.default_rng(0)
    labels = np.indices((18, 20))[1] // 7
    image = np.stack([labels, np.sqrt(labels), -0.5 * labels], axis=-1)
    image += 0.5 * rng.normal(size=(18, 20, 3))
    last = segmenter(channel_axis=-1).fit(image)
    first = segmenter(channel_axis=0).fit(np.moveaxis(image, -1, 0))
    assert_array_equal(last.labels_, first.labels_)
    assert_allclose(last.means_, first.means_)
    assert last.means_.shape == (3, 3)
    assert last.labels_.shape == (18, 20)
    assert accuracy(last.labels_, labels) > 0.95


def test_one_channel_is_no_channel(blocks):
    image, _ = blocks()
    expected = segmenter().fit(image)
    found = segmenter(channel_axis=-1).fit(image[..., None])
    assert_array_equal(found.labels_, expected.labels_)


# ---- masks ------------------------------------------------------------------------------


def test_what_is_outside_of_the_mask_does_not_count(blocks):
    image, labels = blocks((40, 44))
    mask = np.zeros(image.shape, bool)
    mask[5:30, 8:40] = np.random.default_rng(0).random((25, 32)) < 0.9
    found = segmenter().fit(image, mask)
    wild = np.where(mask, image, np.nan)
    wild[0, 0] = np.inf
    other = segmenter().fit(wild, mask.astype(int))
    assert_array_equal(other.labels_, found.labels_)
    assert_array_equal(found.labels_ == -1, ~mask)
    assert accuracy(found.labels_, np.where(mask, labels, -1)) > 0.95
    assert_allclose(found.predict_proba(image, mask).sum(axis=-1), mask, atol=1e-12)
    hidden = np.ma.MaskedArray(image, ~mask)
    assert_array_equal(segmenter().fit(hidden).labels_, found.labels_)
    assert_array_equal(segmenter().fit(hidden, np.ones_like(mask)).labels_, found.labels_)


def test_a_full_mask_is_no_mask(blocks):
    image, _ = blocks()
    expected = segmenter().fit(image)
    found = segmenter().fit(image, np.ones(image.shape, bool))
    assert_array_equal(found.labels_, expected.labels_)
    assert found.lower_bound_ == expected.lower_bound_


# ---- classes ----------------------------------------------------------------------------


def test_classes_are_in_order_of_their_means(blocks):
    image, labels = blocks()
    dark = segmenter().fit(-image)
    assert (np.diff(dark.means_.ravel()) > 0.0).all()
    assert accuracy(dark.labels_, 2 - labels) > 0.97


def test_units_do_not_matter(blocks):
    image, _ = blocks()
    found = segmenter().fit(image)
    for scale, shift in ((1e-6, 0.0), (1e6, 1e7)):
        other = segmenter().fit(scale * image + shift)
        assert (other.labels_ == found.labels_).mean() > 0.999
        assert_allclose(other.means_, scale * found.means_ + shift, rtol=1e-5)


def test_an_empty_class_breaks_nothing():
    """Coupling can leave a class without voxels: here it has no two neighbors."""
    rng = np.random.default_rng(0)
    image = 0.5 * rng.normal(size=(30, 30)) + 2.0 * (np.arange(30) > 14)
    image[rng.random(image.shape) < 0.02] += 1.0
    with pytest.warns(ConvergenceWarning, match="classes are empty: no voxel.*smaller beta"):
        found = ImageSegmenterEM(6, beta=12.0, random_state=0).fit(image)
    for values in (found.means_, found.covariances_, found.weights_, found.predict_proba(image)):
        assert np.isfinite(values).all()
    assert len(np.unique(found.predict(image))) < 6


def test_one_class(blocks):
    image, _ = blocks()
    found = ImageSegmenterEM(1).fit(image)
    assert not found.labels_.any()
    assert_allclose(found.means_, image.mean(), rtol=1e-6)
    assert_allclose(found.predict_proba(image), 1.0)


def test_the_same_seed_gives_the_same_bits(blocks):
    image, _ = blocks()
    assert segmenter().fit(image).lower_bound_ == segmenter().fit(image).lower_bound_


# ---- atlas ------------------------------------------------------------------------------


def test_an_atlas_gives_the_order_and_rules_classes_out(blocks):
    image, labels = blocks()
    order = np.array([2, 0, 1])
    atlas = 0.1 + (labels[..., None] == order)
    found = segmenter(beta=0.5).fit(image, atlas=atlas)
    assert accuracy(order[found.labels_], labels) > 0.98
    assert_allclose(found.means_.ravel(), 10.0 + 2.0 * order, atol=0.2)
    assert_array_equal(found.predict(image, atlas=atlas), found.labels_)
    impossible = atlas.copy()
    impossible[:4, :, 1] = 0.0
    without = segmenter(beta=0.5).fit(image, atlas=impossible)
    assert not (without.labels_[:4] == 1).any()
    assert accuracy(order[found.predict(image)], labels) > 0.97


def test_a_flat_atlas_is_a_uniform_prior(blocks):
    image, _ = blocks()
    found = segmenter(tol=1e-12).fit(image)
    model = segmenter(tol=1e-12)
    one_hot = np.eye(3)[found.labels_]
    model.fit(image, atlas=1e-3 + one_hot)
    flat = found.predict_proba(image, atlas=np.ones((*image.shape, 3)))
    assert_allclose(flat, found.predict_proba(image), atol=1e-9)


def test_an_atlas_may_leave_a_class_out():
    image = np.array([[1.0, 2.0, 8.0, 9.0]] * 4)
    atlas = np.ones((4, 4, 2)) * (1.0, 0.0)
    with pytest.warns(ConvergenceWarning, match="1 of the n_classes=2 classes are empty"):
        labels = segmenter(n_classes=2).fit(image, atlas=atlas).labels_
    assert_array_equal(labels, 0)


# ---- fields -----------------------------------------------------------------------------


def test_a_field_is_found(blocks):
    shape = (24, 28, 26)
    image, labels = blocks(shape, noise=0.3)
    truth = make_brain_phantom(shape, bias=0.4).bias_field
    mask = np.random.default_rng(0).random(shape) < 0.9
    image, truth = image * truth, truth / np.exp(np.log(truth[mask]).mean())
    found = segmenter(beta="auto", bias_degree=4).fit(image, mask)
    assert accuracy(found.labels_, np.where(mask, labels, -1)) > 0.99
    assert found.bias_field_.shape == image.shape
    assert_allclose(found.bias_field_[~mask], 1.0)
    assert_allclose(np.log(found.bias_field_[mask]).mean(), 0.0, atol=1e-5)
    error = np.log(found.bias_field_ / truth)[mask]
    assert error.std() < 0.2 * np.log(truth)[mask].std()
    again = found.predict(image, mask)
    assert (again == found.labels_)[mask].mean() > 0.99
    # A new image has a field of its own.
    other = image / found.bias_field_ * found.bias_field_[::-1, ::-1]
    assert (found.predict(other, mask) == found.labels_)[mask].mean() > 0.97


def test_each_channel_has_its_own_field():
    rng = np.random.default_rng(0)
    labels = (np.indices((30, 32)).sum(axis=0) // 5) % 3
    ramp = np.linspace(0.8, 1.25, 32)
    image = np.stack([10.0 * (1 + labels) * ramp, 20.0 * (6 - labels) / ramp])
    image *= np.exp(0.05 * rng.normal(size=image.shape))
    found = segmenter(channel_axis=0, bias_degree=1).fit(image)
    assert found.bias_field_.shape == image.shape
    expected = np.log(ramp) - np.log(ramp).mean()
    for own, sign in zip(found.bias_field_, (1, -1), strict=True):
        assert_allclose(np.log(own).mean(axis=0), sign * expected, atol=0.03)
    assert accuracy(found.labels_, labels) > 0.99


# ---- estimators and models --------------------------------------------------------------


def test_it_is_an_estimator_of_scikit_learn(blocks):
    image, _ = blocks()
    model = segmenter(covariance_type="full", max_iter=7, tol=1e-4)
    assert clone(model).get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        model.predict(image)
    found = pickle.loads(pickle.dumps(model.fit(image)))
    assert_array_equal(found.predict(image), model.predict(image))
    assert "ImageSegmenterEM" in repr(model)


def test_without_kernels(blocks, monkeypatch):
    image, _ = blocks()
    expected = segmenter().fit(image)
    monkeypatch.setattr(potts, "compiled", None)
    found = segmenter().fit(image)
    assert_array_equal(found.labels_, expected.labels_)
    assert_allclose(found.lower_bound_, expected.lower_bound_, rtol=1e-12)


class Started(PottsModel):
    """The model of an image, with the start of a fit."""

    def initialize(self, data, rng):
        return self.begin


@pytest.mark.parametrize("settings", [{}, {"bias_degree": 2}], ids=["plain", "field"])
def test_contract(blocks, settings, monkeypatch):
    """What the engine asks of a model. Pixels are not independent, so nothing about rows."""
    kept = {}
    monkeypatch.setattr(
        ImageSegmenterEM,
        "_publish",
        lambda self, params, q, family, data, box: kept.update(params=params, data=data),
    )
    run = ImageSegmenterEM._run_em

    def remember(self, model, data, **others):
        kept["model"] = model
        return run(self, model, data, **others)

    monkeypatch.setattr(ImageSegmenterEM, "_run_em", remember)
    segmenter(**settings).fit(blocks(noise=1.5)[0])
    model = kept["model"]
    own = Started(model.family, model.spec, model.beta)
    object.__setattr__(own, "begin", kept["params"])
    case = ModelCase(own, kept["data"], np.ones(1), None, None, 0, 10, 50, 1e-8, 2.0**-52)
    for check in (
        check_statistics_can_be_added,
        check_em_runs,
        check_nothing_is_changed,
        check_pickling,
        check_same_seed_same_bits,
        check_objective_never_decreases,
    ):
        check(case)
    assert isinstance(case.convergence, RemainingGain)


# ---- pixels as rows ---------------------------------------------------------------------


def test_pixels_as_rows_and_back():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 3, (7, 9, 3)).astype(np.uint8)
    mask = rng.random((7, 9)) < 0.7
    table = pixel_table(image, mask, channel_axis=-1)
    assert table.sample_weight.sum() == mask.sum()
    assert len(table.rows) == len(np.unique(image[mask], axis=0))
    back = table.to_image(table.rows, fill=99)
    assert_array_equal(back[mask], image[mask])
    assert_array_equal(back[~mask], 99)
    every = pixel_table(image, mask, channel_axis=-1, unique=False)
    assert_array_equal(every.rows, image[mask])
    assert_array_equal(every.to_image(np.arange(mask.sum()))[mask], np.arange(mask.sum()))
    with pytest.raises(ValueError, match="one entry for each of the"):
        table.to_image([1, 2])


@pytest.mark.parametrize(
    ("values", "fill", "dtype"),
    [
        (np.array([True, False]), -1, np.int8),
        (np.array([3, 200], np.uint8), -1, np.int16),
        (np.array([3, 200]), np.nan, np.float64),
        (np.array([3, 4], np.int32), -1, np.int32),
    ],
    ids=["bool", "bytes", "NaN", "labels"],
)
def test_pixels_outside_hold_what_fills_them(values, fill, dtype):
    image = np.array([[1, 2, 9]])
    back = pixel_table(image, image < 9).to_image(values, fill)
    assert back.dtype == dtype
    assert_array_equal(back, [[*values, fill]])
    assert pixel_table(image[:, :2]).to_image(values, fill).dtype == values.dtype


# ---- sizes and values at the edge -------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_a_value_too_rare_for_a_sample(seed):
    image = np.zeros((400, 400), np.uint8)
    image[3, 4] = 5
    model = segmenter(n_classes=2, random_state=seed).fit(image)
    assert_allclose(model.means_.ravel(), [0.0, 5.0], atol=1e-6)


def test_one_pixel_has_a_flat_field(blocks):
    image = blocks()[0]
    model = segmenter(bias_degree=2).fit(image)
    assert model.predict(image[:1, :1]).shape == (1, 1)
