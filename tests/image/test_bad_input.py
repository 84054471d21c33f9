"""What is said of input that cannot be segmented."""

import numpy as np
import pytest

from emlearn import ImageSegmenterEM
from emlearn.datasets import make_brain_phantom

IMAGE = np.random.default_rng(0).normal(5.0, 1.0, (12, 14))
HOLES = IMAGE.copy()
HOLES[2, 3] = np.nan
NEGATIVE = IMAGE.copy()
NEGATIVE[0, 0] = -1.0

CASES = {
    "NaN": (HOLES, {}, {}, "1 pixels that are NaN or infinite.*mask=np.isfinite"),
    "infinite": (np.where(IMAGE > 6.5, np.inf, IMAGE), {}, {}, "NaN or infinite"),
    "constant": (np.full((5, 5), 3), {}, {}, r"constant: all pixels.*\[3.0\]"),
    "constant inside": (IMAGE, {"mask": np.eye(12, 14) * (np.arange(14) == 1) > 0}, {}, "constant"),
    "few values": (np.eye(6), {}, {}, "n_classes=3, but the image has only 2 different values"),
    "empty mask": (IMAGE, {"mask": np.zeros((12, 14), bool)}, {}, "mask is empty"),
    "mask of another shape": (
        IMAGE, {"mask": np.ones((14, 12))}, {}, r"mask has shape \(14, 12\), but.*\(12, 14\)"
    ),
    "mask of numbers": (IMAGE, {"mask": IMAGE}, {}, "mask has dtype float64"),
    "one axis": (IMAGE[0], {}, {}, "1 axes in space"),
    "four axes": (np.ones((3, 3, 3, 3)), {}, {}, "4 axes in space.*channel_axis"),
    "no pixels": (np.ones((0, 4)), {}, {}, "no pixels"),
    "text": (np.array([["a", "b"]]), {}, {}, "dtype <U1"),
    "complex": (IMAGE + 1j, {}, {}, "dtype complex128"),
    "ragged": ([[1, 2], [3]], {}, {}, "cannot be read as an array"),
    "nothing": (None, {}, {}, "dtype object"),
    "other units": (1e200 * IMAGE, {}, {}, "must be in other units.*range of float64"),
    "channel axis": (IMAGE, {}, {"channel_axis": 5}, "channel_axis=5 is not an axis"),
    "negative with a field": (NEGATIVE, {}, {"bias_degree": 2}, r"values down to -1.*image > 0"),
    "spacing": (IMAGE, {}, {"spacing": (1.0, 2.0, 3.0)}, "positive number for each of the 2 axes"),
    "spacing of 0": (IMAGE, {}, {"spacing": (1.0, 0.0)}, "positive number"),
    "atlas of another shape": (
        IMAGE, {"atlas": np.ones((12, 14, 2))}, {}, r"atlas has shape.*\(12, 14, 3\)"
    ),
    "atlas of zeros": (IMAGE, {"atlas": np.zeros((12, 14, 3))}, {}, "168 pixels inside.*all 0"),
    "negative atlas": (IMAGE, {"atlas": -np.ones((12, 14, 3))}, {}, "negative, NaN or all 0"),
    "flat atlas": (
        IMAGE, {"atlas": np.ones((12, 14, 1)) * (0.5, 0.3, 0.2)}, {}, "classes 0 and 1 apart"
    ),
    "atlas of two classes": (
        IMAGE, {"atlas": np.eye(2)[(IMAGE > 5.0) * 1][..., [0, 1, 1]]}, {}, "classes 1 and 2 apart"
    ),
    "ragged atlas": (IMAGE, {"atlas": [[1], [1, 2]]}, {}, "atlas cannot be read as an array"),
    "ragged mask": (IMAGE, {"mask": [[1], [1, 2]]}, {}, "mask cannot be read as an array"),
    "spacing of text": (IMAGE, {}, {"spacing": (1.0, "a")}, "positive number for each of the 2"),
    "huge beta": (IMAGE.astype(np.float32), {}, {"beta": 1e38}, "'beta' parameter"),
    "no variance": (np.arange(36).reshape(6, 6) % 3, {}, {"reg_covar": 0}, "and reg_covar=0"),
    "negative beta": (IMAGE, {}, {"beta": -1.0}, "'beta' parameter"),
    "no classes": (IMAGE, {}, {"n_classes": 0}, "'n_classes' parameter"),
    "unknown covariances": (IMAGE, {}, {"covariance_type": "EEV"}, "'covariance_type' parameter"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_errors_say_what_is_wrong(case):
    image, arguments, settings, message = CASES[case]
    with pytest.raises(ValueError, match=message):
        ImageSegmenterEM(**{"random_state": 0, **settings}).fit(image, **arguments)


def test_another_kind_of_image_after_the_fit():
    model = ImageSegmenterEM(2, random_state=0).fit(IMAGE)
    with pytest.raises(ValueError, match="1 channels and 3 axes in space; that of the fit had 1"):
        model.predict(np.stack([IMAGE, IMAGE]))
    with pytest.raises(ValueError, match="NaN or infinite"):
        model.predict(HOLES)
    with pytest.raises(ValueError, match="mask has shape"):
        model.predict_proba(IMAGE, np.ones((3, 3), bool))


def test_what_looks_like_colors_is_told():
    image = np.random.default_rng(0).normal(size=(20, 20, 3))
    for own in (image, image.tolist()):
        with pytest.warns(UserWarning, match="volume of 3 columns. For colors set channel_axis=-1"):
            ImageSegmenterEM(2, random_state=0).fit(own)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": (4, 40)}, "sizes of at least 8"),
        ({"shape": (40,)}, "two or three sizes"),
        ({"noise": -0.1}, "noise"),
        ({"bias": 1.5}, "bias"),
    ],
)
def test_phantoms_that_there_are_not(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_brain_phantom(**arguments)
