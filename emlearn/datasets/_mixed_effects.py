"""Grouped measurements: data sets of mixed models."""

from __future__ import annotations

from typing import Any, Literal, overload

from sklearn.utils import Bunch

from emlearn.datasets._loaders import load

_DAVIES = """\
- Davies, O. L. and Goldsmith, P. L. (1972). Statistical Methods in Research and Production,
  4th edition, section {section}. Oliver and Boyd, Edinburgh.
"""

_SLEEPSTUDY = """\
Reaction times after short nights
---------------------------------

Mean reaction times of persons who sleep three hours a night, in a series of tests each day.

:Number of instances: 180
:Number of attributes: 2, and a numeric target
:Missing values: none
:Attributes:
    - Days: day of the study, from 0 to 9
    - Subject: number of the person
:Target:
    - Reaction: mean reaction time, in milliseconds

There are 18 persons with 10 days each. Days 0 and 1 are for training and day 2 is the baseline;
the short nights begin after it. These are the data `sleepstudy` of the R package lme4, the
persons of the study who were allowed three hours of sleep.

.. rubric:: References

- Belenky, G., Wesensten, N. J., Thorne, D. R., Thomas, M. L., Sing, H. C., Redmond, D. P.,
  Russo, M. B. and Balkin, T. J. (2003). Patterns of performance degradation and restoration
  during sleep restriction and subsequent recovery: a sleep dose-response study. Journal of
  Sleep Research 12(1), 1-12.
"""

_DYESTUFF = """\
Yield of dyestuff
-----------------

Yields of a dye that is made from batches of an intermediate product, five preparations from
each.

:Number of instances: 30
:Number of attributes: 1, and a numeric target
:Missing values: none
:Attributes:
    - Batch: batch of the intermediate product, A to F
:Target:
    - Yield: yield, in grams of standard color

The question is how much of the variance of yields is between batches. These are the data
`Dyestuff` of the R package lme4.

.. rubric:: References

""" + _DAVIES.format(section="6.4")

_DYESTUFF2 = """\
Yield of dyestuff, simulated
----------------------------

Random numbers in the layout of an experiment on the yields of dyestuff.

:Number of instances: 30
:Number of attributes: 1, and a numeric target
:Missing values: none
:Attributes:
    - Batch: batch, A to F
:Target:
    - Yield: simulated yield

Batches differ less than the variance within them explains, so the estimate of the variance
between batches is 0. These are the data `Dyestuff2` of the R package lme4.

.. rubric:: References

- Box, G. E. P. and Tiao, G. C. (1973). Bayesian Inference in Statistical Analysis, section
  5.1.2. Addison-Wesley, Reading.
"""

_PENICILLIN = """\
Penicillin on plates
--------------------

Zones in which samples of penicillin keep bacteria from growing. Each of the six samples is on
each of the 24 plates, so the two factors are crossed.

:Number of instances: 144
:Number of attributes: 2, and a numeric target
:Missing values: none
:Attributes:
    - plate: plate, a to x
    - sample: sample of penicillin, A to F
:Target:
    - diameter: diameter of the zone, in millimeters

These are the data `Penicillin` of the R package lme4.

.. rubric:: References

""" + _DAVIES.format(section="6.6")

_PASTES = """\
Strength of pastes
------------------

Strengths of a chemical paste: two tests of each of three casks of each of ten batches.

:Number of instances: 60
:Number of attributes: 2, and a numeric target
:Missing values: none
:Attributes:
    - batch: delivery, A to J
    - cask: cask of the delivery, a to c
:Target:
    - strength: strength of the paste

Casks are nested in batches: cask a of batch A is not cask a of batch B. These are the data
`Pastes` of the R package lme4.

.. rubric:: References

""" + _DAVIES.format(section="6.5")


@overload
def load_sleepstudy(*, return_X_y: Literal[False] = ..., as_frame: bool = ...) -> Bunch: ...
@overload
def load_sleepstudy(*, return_X_y: Literal[True], as_frame: bool = ...) -> tuple[Any, Any]: ...
def load_sleepstudy(*, return_X_y: bool = False, as_frame: bool = False) -> Any:
    """Load the reaction times of 18 persons on ten days (repeated measurements).

    ===================   =======================
    Samples total                             180
    Dimensionality                              2
    Features              1 number, 1 categorical
    Target                         real, positive
    Missing values                           none
    ===================   =======================

    Parameters
    ----------
    return_X_y : bool, default=False
        If True, returns ``(data, target)`` instead of a Bunch object.

    as_frame : bool, default=False
        If True, the data is a pandas DataFrame, whose categories have the dtype "category", and
        the target a Series.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        data : {ndarray of objects, DataFrame} of shape (180, 2)
            Day of the study, and number of the person, which is a text.
        target : {ndarray, Series} of shape (180,)
            Mean reaction time in milliseconds.
        feature_names : list
            ``['Days', 'Subject']``.
        target_names : list
            ``['Reaction']``.
        frame : DataFrame of shape (180, 3)
            The data and the target, if `as_frame=True`; otherwise None.
        DESCR : str
            The full description of the data set.
        filename : str
            The name of the data file.
        data_module : str
            The package that the file is in.

    (data, target) : tuple if ``return_X_y`` is True
        The data and the target as above.

    Notes
    -----
    Measured by Belenky and others [1]_. These are the data ``sleepstudy`` of the R package lme4,
    the usual example of random intercepts and slopes.

    References
    ----------
    .. [1] Belenky, G., Wesensten, N. J., Thorne, D. R., Thomas, M. L., Sing, H. C., Redmond, D. P.,
       Russo, M. B. and Balkin, T. J. (2003). Patterns of performance degradation and restoration
       during sleep restriction and subsequent recovery: a sleep dose-response study. Journal of
       Sleep Research 12(1), 1-12.

    Examples
    --------
    >>> from emlearn.datasets import load_sleepstudy
    >>> X, y = load_sleepstudy(return_X_y=True, as_frame=True)
    >>> X.Subject.nunique()
    18
    >>> y.groupby(X.Days).mean()[[0.0, 9.0]].round(1).to_list()
    [256.7, 350.9]
    """
    return load(
        "sleepstudy",
        _SLEEPSTUDY,
        ("Subject",),
        target="Reaction",
        return_X_y=return_X_y,
        as_frame=as_frame,
    )


@overload
def load_dyestuff(
    *, simulated: bool = ..., return_X_y: Literal[False] = ..., as_frame: bool = ...
) -> Bunch: ...
@overload
def load_dyestuff(
    *, simulated: bool = ..., return_X_y: Literal[True], as_frame: bool = ...
) -> tuple[Any, Any]: ...
def load_dyestuff(
    *, simulated: bool = False, return_X_y: bool = False, as_frame: bool = False
) -> Any:
    """Load the yields of dyestuff from six batches (one grouping factor).

    ===================   =============
    Samples total                    30
    Dimensionality                    1
    Features              1 categorical
    Target                         real
    Missing values                 none
    ===================   =============

    Parameters
    ----------
    simulated : bool, default=False
        If True, loads the simulated yields of Box and Tiao, whose variance between batches is
        estimated as 0, instead of the measured ones.

    return_X_y : bool, default=False
        If True, returns ``(data, target)`` instead of a Bunch object.

    as_frame : bool, default=False
        If True, the data is a pandas DataFrame, whose categories have the dtype "category", and
        the target a Series.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        data : {ndarray of objects, DataFrame} of shape (30, 1)
            Batch, A to F.
        target : {ndarray, Series} of shape (30,)
            Yield in grams of standard color, or a simulated yield.
        feature_names : list
            ``['Batch']``.
        target_names : list
            ``['Yield']``.
        frame : DataFrame of shape (30, 2)
            The data and the target, if `as_frame=True`; otherwise None.
        DESCR : str
            The full description of the data set.
        filename : str
            The name of the data file.
        data_module : str
            The package that the file is in.

    (data, target) : tuple if ``return_X_y`` is True
        The data and the target as above.

    Notes
    -----
    The yields are from Davies and Goldsmith [1]_, and the simulated ones from Box and Tiao [2]_.
    These are the data ``Dyestuff`` and ``Dyestuff2`` of the R package lme4.

    References
    ----------
    .. [1] Davies, O. L. and Goldsmith, P. L. (1972). Statistical Methods in Research and
       Production, 4th edition. Oliver and Boyd, Edinburgh.
    .. [2] Box, G. E. P. and Tiao, G. C. (1973). Bayesian Inference in Statistical Analysis.
       Addison-Wesley, Reading.

    Examples
    --------
    >>> from emlearn.datasets import load_dyestuff
    >>> load_dyestuff().target[:5].tolist()
    [1545.0, 1440.0, 1440.0, 1520.0, 1580.0]
    >>> load_dyestuff(simulated=True).target[:5].tolist()
    [7.298, 3.846, 2.434, 9.566, 7.99]
    """
    file, descr = ("dyestuff2", _DYESTUFF2) if simulated else ("dyestuff", _DYESTUFF)
    return load(
        "dyestuff",
        descr,
        ("Batch",),
        target="Yield",
        file=file,
        return_X_y=return_X_y,
        as_frame=as_frame,
    )


@overload
def load_penicillin(*, return_X_y: Literal[False] = ..., as_frame: bool = ...) -> Bunch: ...
@overload
def load_penicillin(*, return_X_y: Literal[True], as_frame: bool = ...) -> tuple[Any, Any]: ...
def load_penicillin(*, return_X_y: bool = False, as_frame: bool = False) -> Any:
    """Load the effects of six samples of penicillin on 24 plates (crossed factors).

    ===================   ==============
    Samples total                    144
    Dimensionality                     2
    Features               2 categorical
    Target                real, positive
    Missing values                  none
    ===================   ==============

    Parameters
    ----------
    return_X_y : bool, default=False
        If True, returns ``(data, target)`` instead of a Bunch object.

    as_frame : bool, default=False
        If True, the data is a pandas DataFrame, whose categories have the dtype "category", and
        the target a Series.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        data : {ndarray of objects, DataFrame} of shape (144, 2)
            Plate, a to x, and sample, A to F.
        target : {ndarray, Series} of shape (144,)
            Diameter in millimeters of the zone without bacteria.
        feature_names : list
            ``['plate', 'sample']``.
        target_names : list
            ``['diameter']``.
        frame : DataFrame of shape (144, 3)
            The data and the target, if `as_frame=True`; otherwise None.
        DESCR : str
            The full description of the data set.
        filename : str
            The name of the data file.
        data_module : str
            The package that the file is in.

    (data, target) : tuple if ``return_X_y`` is True
        The data and the target as above.

    Notes
    -----
    From Davies and Goldsmith [1]_. These are the data ``Penicillin`` of the R package lme4.

    References
    ----------
    .. [1] Davies, O. L. and Goldsmith, P. L. (1972). Statistical Methods in Research and
       Production, 4th edition. Oliver and Boyd, Edinburgh.

    Examples
    --------
    >>> from emlearn.datasets import load_penicillin
    >>> penicillin = load_penicillin(as_frame=True)
    >>> penicillin.frame.groupby("sample", observed=True).diameter.mean().round(2).to_list()
    [25.17, 21.96, 24.92, 22.88, 22.96, 19.96]
    """
    return load(
        "penicillin",
        _PENICILLIN,
        ("plate", "sample"),
        target="diameter",
        return_X_y=return_X_y,
        as_frame=as_frame,
    )


@overload
def load_pastes(*, return_X_y: Literal[False] = ..., as_frame: bool = ...) -> Bunch: ...
@overload
def load_pastes(*, return_X_y: Literal[True], as_frame: bool = ...) -> tuple[Any, Any]: ...
def load_pastes(*, return_X_y: bool = False, as_frame: bool = False) -> Any:
    """Load the strengths of 30 casks of paste from ten batches (nested factors).

    ===================   ==============
    Samples total                     60
    Dimensionality                     2
    Features               2 categorical
    Target                real, positive
    Missing values                  none
    ===================   ==============

    Parameters
    ----------
    return_X_y : bool, default=False
        If True, returns ``(data, target)`` instead of a Bunch object.

    as_frame : bool, default=False
        If True, the data is a pandas DataFrame, whose categories have the dtype "category", and
        the target a Series.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        data : {ndarray of objects, DataFrame} of shape (60, 2)
            Batch, A to J, and cask of the batch, a to c.
        target : {ndarray, Series} of shape (60,)
            Strength of the paste.
        feature_names : list
            ``['batch', 'cask']``.
        target_names : list
            ``['strength']``.
        frame : DataFrame of shape (60, 3)
            The data and the target, if `as_frame=True`; otherwise None.
        DESCR : str
            The full description of the data set.
        filename : str
            The name of the data file.
        data_module : str
            The package that the file is in.

    (data, target) : tuple if ``return_X_y`` is True
        The data and the target as above.

    Notes
    -----
    From Davies and Goldsmith [1]_. These are the data ``Pastes`` of the R package lme4. Casks of
    different batches have the same letters, so a cask is known by its batch and its letter.

    References
    ----------
    .. [1] Davies, O. L. and Goldsmith, P. L. (1972). Statistical Methods in Research and
       Production, 4th edition. Oliver and Boyd, Edinburgh.

    Examples
    --------
    >>> from emlearn.datasets import load_pastes
    >>> pastes = load_pastes(as_frame=True).data
    >>> pastes.drop_duplicates().shape
    (30, 2)
    """
    return load(
        "pastes",
        _PASTES,
        ("batch", "cask"),
        target="strength",
        return_X_y=return_X_y,
        as_frame=as_frame,
    )
