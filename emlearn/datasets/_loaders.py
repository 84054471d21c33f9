"""Loaders of the data sets, in the style of `sklearn.datasets`.

A data set is a CSV file in the folder `data`: the header line names the features and an
empty field is a missing value.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Literal, overload

import numpy as np
from sklearn.utils import Bunch

_DATA_MODULE = "emlearn.datasets.data"

_OLD_FAITHFUL = """\
Old Faithful eruptions
----------------------

Eruptions of the Old Faithful geyser in Yellowstone National Park, Wyoming, USA.

:Number of instances: 272
:Number of attributes: 2 numeric, no target
:Missing values: none
:Attributes:
    - eruptions: duration of the eruption, in minutes
    - waiting: waiting time to the next eruption, in minutes

The durations were measured in seconds, and some were rounded, so many values occur repeatedly.
This is the data set `faithful` of R. The data set of Azzalini and Bowman has 299 eruptions.

.. rubric:: References

- Azzalini, A. and Bowman, A. W. (1990). A look at some data on the Old Faithful geyser.
  Applied Statistics 39, 357-365.
- Haerdle, W. (1991). Smoothing Techniques with Implementation in S. Springer, New York.
"""

_GALAXIES = """\
Galaxy velocities
-----------------

Velocities of galaxies in the region of the Corona Borealis, relative to our own. The galaxies
lie in six well-separated conic sections of space; several modes are evidence of superclusters
with voids between them.

:Number of instances: 82
:Number of attributes: 1 numeric, no target
:Missing values: none
:Attributes:
    - velocity: in 1000 km/s

The values are in ascending order and are those of `galaxies` in the R package MASS. Entry 78
is 26.690 there, a misprint of 26.960: other versions of the data have the latter, and the
likelihoods of fits to them differ a little. An 83rd value of the article of Postman, Huchra
and Geller, 5.607, is left out, as in Roeder's article.

.. rubric:: References

- Postman, M., Huchra, J. P. and Geller, M. J. (1986). Probes of large-scale structures in the
  Corona Borealis region. Astronomical Journal 92, 1238-1247.
- Roeder, K. (1990). Density estimation with confidence sets exemplified by superclusters and
  voids in the galaxies. Journal of the American Statistical Association 85, 617-624.
"""

_APPLE = """\
Worms in apple crops
--------------------

The crops of apple trees, and the percentage of wormy fruits.

:Number of instances: 18
:Number of attributes: 2 numeric, no target
:Missing values: 6, all of wormy
:Attributes:
    - size: number of fruits on the tree, in hundreds
    - wormy: wormy fruits, in percent

A missing value is NaN. The six trees without the percentage have small crops, of 400 to 1000
fruits, so the values are not missing completely at random.

.. rubric:: References

- Little, R. J. A. and Rubin, D. B. (1987). Statistical Analysis with Missing Data, table 6.1.
  Wiley, New York.
- Snedecor, G. W. and Cochran, W. G. (1967). Statistical Methods, 6th edition, table 6.9.1.
  Iowa State University Press, Ames. (The data that Little and Rubin adapted.)
"""

_CHOLESTEROL = """\
Cholesterol after a heart attack
--------------------------------

Serum cholesterol of patients who were treated for a heart attack at a medical center in
Pennsylvania, on three days after the attack.

:Number of instances: 28
:Number of attributes: 3 numeric, no target
:Missing values: 9, all of day_14
:Attributes:
    - day_2: serum cholesterol 2 days after the attack, in mg/dl
    - day_4: 4 days after the attack
    - day_14: 14 days after the attack

A missing value is NaN.

.. rubric:: References

- Ryan, B. F. and Joiner, B. L. (1994). Minitab Handbook, 3rd edition. Wadsworth, Belmont.
- Schafer, J. L. (1997). Analysis of Incomplete Multivariate Data, chapter 5. Chapman & Hall,
  London.
"""

_PENGUINS = """\
Penguins of the Palmer Archipelago
----------------------------------

Penguins of three species on three islands near Palmer Station, Antarctica, in 2007 to 2009.

:Number of instances: 344
:Number of attributes: 4 numeric, 3 categorical, no target
:Missing values: 19: 11 of sex, 2 of each measurement
:Attributes:
    - species: Adelie, Chinstrap or Gentoo
    - island: Biscoe, Dream or Torgersen
    - bill_length: length of the bill, in mm
    - bill_depth: depth of the bill, in mm
    - flipper_length: length of a flipper, in mm
    - body_mass: body mass, in g
    - sex: female or male, by a test of blood

A missing number is NaN, and a missing sex is None (NaN in a DataFrame). These are the data
`penguins` of the R package palmerpenguins, without the year. They are free of rights (CC0).

.. rubric:: References

- Gorman, K. B., Williams, T. D. and Fraser, W. R. (2014). Ecological sexual dimorphism and
  environmental variability within a community of Antarctic penguins (genus Pygoscelis).
  PLoS ONE 9(3), e90081.
- Horst, A. M., Hill, A. P. and Gorman, K. B. (2020). palmerpenguins: Palmer Archipelago
  (Antarctica) penguin data. R package, doi:10.5281/zenodo.3960218.
"""


@overload
def load_old_faithful(*, return_X_y: Literal[False] = ..., as_frame: bool = ...) -> Bunch: ...
@overload
def load_old_faithful(*, return_X_y: Literal[True], as_frame: bool = ...) -> tuple[Any, None]: ...
def load_old_faithful(*, return_X_y: bool = False, as_frame: bool = False) -> Any:
    """Load the eruptions of the Old Faithful geyser (two clusters).

    =================   ==============
    Samples total                  272
    Dimensionality                   2
    Features            real, positive
    Missing values                none
    =================   ==============

    Parameters
    ----------
    return_X_y : bool, default=False
        If True, returns ``(data, target)`` instead of a Bunch object.

    as_frame : bool, default=False
        If True, the data is a pandas DataFrame.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        data : {ndarray, DataFrame} of shape (272, 2)
            Duration of each eruption and waiting time to the next, both in minutes.
        target : None
            None, since there is no target.
        feature_names : list
            ``['eruptions', 'waiting']``.
        frame : DataFrame of shape (272, 2)
            The data, if `as_frame=True`; otherwise None.
        DESCR : str
            The full description of the data set.
        filename : str
            The name of the data file.
        data_module : str
            The package that the file is in.

    (data, target) : tuple if ``return_X_y`` is True
        The data as above, and None, since there is no target.

    Notes
    -----
    This is the data set ``faithful`` of R. That of Azzalini and Bowman [1]_ has 299 eruptions.

    References
    ----------
    .. [1] Azzalini, A. and Bowman, A. W. (1990). A look at some data on the Old Faithful
       geyser. Applied Statistics 39, 357-365.

    Examples
    --------
    >>> from emlearn.datasets import load_old_faithful
    >>> faithful = load_old_faithful()
    >>> faithful.data.shape
    (272, 2)
    >>> faithful.data[:3].tolist()
    [[3.6, 79.0], [1.8, 54.0], [3.333, 74.0]]
    >>> X, _ = load_old_faithful(return_X_y=True, as_frame=True)
    >>> print(X.mean().round(2).to_dict())
    {'eruptions': 3.49, 'waiting': 70.9}
    """
    return load("old_faithful", _OLD_FAITHFUL, return_X_y=return_X_y, as_frame=as_frame)


@overload
def load_galaxies(*, return_X_y: Literal[False] = ..., as_frame: bool = ...) -> Bunch: ...
@overload
def load_galaxies(*, return_X_y: Literal[True], as_frame: bool = ...) -> tuple[Any, None]: ...
def load_galaxies(*, return_X_y: bool = False, as_frame: bool = False) -> Any:
    """Load the velocities of 82 galaxies (several clusters, one feature).

    =================   ==============
    Samples total                   82
    Dimensionality                   1
    Features            real, positive
    Missing values                none
    =================   ==============

    Parameters
    ----------
    return_X_y : bool, default=False
        If True, returns ``(data, target)`` instead of a Bunch object.

    as_frame : bool, default=False
        If True, the data is a pandas DataFrame.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        data : {ndarray, DataFrame} of shape (82, 1)
            The velocities in 1000 km/s, in ascending order.
        target : None
            None, since there is no target.
        feature_names : list
            ``['velocity']``.
        frame : DataFrame of shape (82, 1)
            The data, if `as_frame=True`; otherwise None.
        DESCR : str
            The full description of the data set.
        filename : str
            The name of the data file.
        data_module : str
            The package that the file is in.

    (data, target) : tuple if ``return_X_y`` is True
        The data as above, and None, since there is no target.

    Notes
    -----
    The galaxies are from the Corona Borealis region [1]_. The values are those of Roeder [2]_ in
    the version of ``galaxies`` in the R package MASS: entry 78 is 26.690, a misprint of 26.960,
    which other versions of the data have.

    References
    ----------
    .. [1] Postman, M., Huchra, J. P. and Geller, M. J. (1986). Probes of large-scale structures
       in the Corona Borealis region. Astronomical Journal 92, 1238-1247.
    .. [2] Roeder, K. (1990). Density estimation with confidence sets exemplified by
       superclusters and voids in the galaxies. Journal of the American Statistical
       Association 85, 617-624.

    Examples
    --------
    >>> from emlearn.datasets import load_galaxies
    >>> galaxies = load_galaxies()
    >>> galaxies.data.shape
    (82, 1)
    >>> print(galaxies.data.min(), galaxies.data.max())
    9.172 34.279
    """
    return load("galaxies", _GALAXIES, return_X_y=return_X_y, as_frame=as_frame)


@overload
def load_apple(*, return_X_y: Literal[False] = ..., as_frame: bool = ...) -> Bunch: ...
@overload
def load_apple(*, return_X_y: Literal[True], as_frame: bool = ...) -> tuple[Any, None]: ...
def load_apple(*, return_X_y: bool = False, as_frame: bool = False) -> Any:
    """Load the crops of apple trees and their wormy fruits (with missing values).

    =================   ==============
    Samples total                   18
    Dimensionality                   2
    Features            real, positive
    Missing values         6, as NaN
    =================   ==============

    Parameters
    ----------
    return_X_y : bool, default=False
        If True, returns ``(data, target)`` instead of a Bunch object.

    as_frame : bool, default=False
        If True, the data is a pandas DataFrame.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        data : {ndarray, DataFrame} of shape (18, 2)
            Size of the crop in hundreds of fruits, and the percentage of wormy fruits, which is
            NaN in six rows.
        target : None
            None, since there is no target.
        feature_names : list
            ``['size', 'wormy']``.
        frame : DataFrame of shape (18, 2)
            The data, if `as_frame=True`; otherwise None.
        DESCR : str
            The full description of the data set.
        filename : str
            The name of the data file.
        data_module : str
            The package that the file is in.

    (data, target) : tuple if ``return_X_y`` is True
        The data as above, and None, since there is no target.

    Notes
    -----
    Table 6.1 of Little and Rubin [1]_, adapted from table 6.9.1 of Snedecor and Cochran [2]_.

    References
    ----------
    .. [1] Little, R. J. A. and Rubin, D. B. (1987). Statistical Analysis with Missing Data.
       Wiley, New York.
    .. [2] Snedecor, G. W. and Cochran, W. G. (1967). Statistical Methods, 6th edition. Iowa
       State University Press, Ames.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.datasets import load_apple
    >>> apple = load_apple()
    >>> apple.data[11:13].tolist()
    [[40.0, 27.0], [4.0, nan]]
    >>> np.isnan(apple.data).sum(axis=0).tolist()
    [0, 6]
    """
    return load("apple", _APPLE, return_X_y=return_X_y, as_frame=as_frame)


@overload
def load_cholesterol(*, return_X_y: Literal[False] = ..., as_frame: bool = ...) -> Bunch: ...
@overload
def load_cholesterol(*, return_X_y: Literal[True], as_frame: bool = ...) -> tuple[Any, None]: ...
def load_cholesterol(*, return_X_y: bool = False, as_frame: bool = False) -> Any:
    """Load the cholesterol of 28 heart-attack patients (with missing values).

    =================   ==============
    Samples total                   28
    Dimensionality                   3
    Features            real, positive
    Missing values         9, as NaN
    =================   ==============

    Parameters
    ----------
    return_X_y : bool, default=False
        If True, returns ``(data, target)`` instead of a Bunch object.

    as_frame : bool, default=False
        If True, the data is a pandas DataFrame.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        data : {ndarray, DataFrame} of shape (28, 3)
            Serum cholesterol in mg/dl, 2, 4 and 14 days after the attack. The last is NaN in
            nine rows.
        target : None
            None, since there is no target.
        feature_names : list
            ``['day_2', 'day_4', 'day_14']``.
        frame : DataFrame of shape (28, 3)
            The data, if `as_frame=True`; otherwise None.
        DESCR : str
            The full description of the data set.
        filename : str
            The name of the data file.
        data_module : str
            The package that the file is in.

    (data, target) : tuple if ``return_X_y`` is True
        The data as above, and None, since there is no target.

    Notes
    -----
    From the Minitab Handbook [1]_; analyzed by Schafer [2]_ in chapter 5.

    References
    ----------
    .. [1] Ryan, B. F. and Joiner, B. L. (1994). Minitab Handbook, 3rd edition. Wadsworth,
       Belmont.
    .. [2] Schafer, J. L. (1997). Analysis of Incomplete Multivariate Data. Chapman & Hall,
       London.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.datasets import load_cholesterol
    >>> cholesterol = load_cholesterol()
    >>> cholesterol.data[:2].tolist()
    [[270.0, 218.0, 156.0], [236.0, 234.0, nan]]
    >>> np.isnan(cholesterol.data).sum(axis=0).tolist()
    [0, 0, 9]
    """
    return load("cholesterol", _CHOLESTEROL, return_X_y=return_X_y, as_frame=as_frame)


@overload
def load_penguins(*, return_X_y: Literal[False] = ..., as_frame: bool = ...) -> Bunch: ...
@overload
def load_penguins(*, return_X_y: Literal[True], as_frame: bool = ...) -> tuple[Any, None]: ...
def load_penguins(*, return_X_y: bool = False, as_frame: bool = False) -> Any:
    """Load measurements of 344 penguins (numbers and categories, with missing values).

    =================   ================================
    Samples total                                    344
    Dimensionality                                     7
    Features             4 real, positive; 3 categorical
    Missing values                                    19
    =================   ================================

    Parameters
    ----------
    return_X_y : bool, default=False
        If True, returns ``(data, target)`` instead of a Bunch object.

    as_frame : bool, default=False
        If True, the data is a pandas DataFrame, whose categories have the dtype "category".

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        data : {ndarray of objects, DataFrame} of shape (344, 7)
            Species, island, length and depth of the bill (mm), length of a flipper (mm), body
            mass (g) and sex. Missing numbers are NaN, and missing categories None (NaN in a
            DataFrame).
        target : None
            None, since there is no target.
        feature_names : list
            ``['species', 'island', 'bill_length', 'bill_depth', 'flipper_length', 'body_mass',
            'sex']``.
        frame : DataFrame of shape (344, 7)
            The data, if `as_frame=True`; otherwise None.
        DESCR : str
            The full description of the data set.
        filename : str
            The name of the data file.
        data_module : str
            The package that the file is in.

    (data, target) : tuple if ``return_X_y`` is True
        The data as above, and None, since there is no target.

    Notes
    -----
    Measured by Gorman, Williams and Fraser [1]_. These are the data ``penguins`` of the R package
    palmerpenguins [2]_, without the year.

    References
    ----------
    .. [1] Gorman, K. B., Williams, T. D. and Fraser, W. R. (2014). Ecological sexual dimorphism
       and environmental variability within a community of Antarctic penguins (genus
       Pygoscelis). PLoS ONE 9(3), e90081.
    .. [2] Horst, A. M., Hill, A. P. and Gorman, K. B. (2020). palmerpenguins: Palmer Archipelago
       (Antarctica) penguin data. R package, doi:10.5281/zenodo.3960218.

    Examples
    --------
    >>> from emlearn.datasets import load_penguins
    >>> penguins = load_penguins(as_frame=True).data
    >>> penguins.isna().sum()[["body_mass", "sex"]].to_dict()
    {'body_mass': 2, 'sex': 11}
    >>> penguins.sex.cat.categories.to_list()
    ['female', 'male']
    """
    texts = ("species", "island", "sex")
    return load("penguins", _PENGUINS, texts, return_X_y=return_X_y, as_frame=as_frame)


def load(
    name: str,
    descr: str,
    texts: Sequence[str] = (),
    *,
    target: str | None = None,
    file: str | None = None,
    return_X_y: bool,
    as_frame: bool,
) -> Any:
    """Read the file of a data set and return it in the requested form.

    Columns in `texts` are categories, all others are numbers. A target is a column of numbers.
    The file has the name of the data set, or the one that is given.
    """
    filename = f"{file or name}.csv"
    with (files(_DATA_MODULE) / filename).open(encoding="utf-8") as lines:
        names, *rows = csv.reader(lines)
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    y: Any = None if target is None else np.array([_number(f) for f in columns.pop(target)])
    data: Any = np.empty((len(rows), len(columns)), object if texts else np.float64)
    for j, (column, fields) in enumerate(columns.items()):
        data[:, j] = [(f or None) if column in texts else _number(f) for f in fields]

    frame = None
    if as_frame:
        frame = import_pandas(f"load_{name}").DataFrame(data, columns=list(columns))
        if texts:
            kinds = {n: "category" if n in texts else "float64" for n in columns}
            frame = frame.astype(kinds)
        data = frame.copy()
        if target is not None:
            frame[target] = y
            y = frame[target].copy()

    if return_X_y:
        return data, y
    return Bunch(
        data=data,
        target=y,
        frame=frame,
        feature_names=list(columns),
        **({} if target is None else {"target_names": [target]}),
        DESCR=descr,
        filename=filename,
        data_module=_DATA_MODULE,
    )


def _number(field: str) -> float:
    return float(field or "nan")


def import_pandas(caller: str) -> Any:
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            f"{caller} with as_frame=True needs pandas, which cannot be imported. Install it "
            "with `python -m pip install pandas`, or use as_frame=False."
        ) from error
    return pandas
