"""Answers and scores of persons: data sets of psychometrics."""

from __future__ import annotations

from typing import Any, Literal, overload

from sklearn.utils import Bunch

from emlearn.datasets._loaders import load

_HOLZINGER_SWINEFORD = """\
Abilities of children
---------------------

Scores of children of the seventh and eighth grade in nine tests of mental abilities.

:Number of instances: 301
:Number of attributes: 9 numeric, no target
:Missing values: none
:Attributes:
    - visual: visual perception
    - cubes: turned cubes
    - lozenges: lozenges that form a pattern
    - paragraph: paragraph comprehension
    - sentence: sentence completion
    - word_meaning: word meaning
    - addition: addition, timed
    - counting: counting of dots, timed
    - letters: straight and curved capital letters, timed

The first three were made to measure how children see space, the next three what they understand
of language, and the last three how fast they work. The children are of two schools, Pasteur
(the first 156) and Grant-White. The scores are rescaled to similar variances. These are the
columns x1 to x9 of `HolzingerSwineford1939` of the R package lavaan, a part of the 26 tests of
the study.

.. rubric:: References

- Holzinger, K. J. and Swineford, F. (1939). A study in factor analysis: the stability of a
  bi-factor solution. Supplementary Educational Monographs 48. University of Chicago.
- Joereskog, K. G. (1969). A general approach to confirmatory maximum likelihood factor analysis.
  Psychometrika 34, 183-202.
"""

_LSAT6 = """\
Law School Admission Test, section 6
------------------------------------

Responses of persons to five items of section 6 of the Law School Admission Test.

:Number of instances: 1000
:Number of attributes: 5 binary, no target
:Missing values: none
:Attributes:
    - item_1: 1 if item 1 was solved, else 0
    - item_2: 1 if item 2 was solved, else 0
    - item_3: 1 if item 3 was solved, else 0
    - item_4: 1 if item 4 was solved, else 0
    - item_5: 1 if item 5 was solved, else 0

The rows are in the order of the 32 patterns of responses. Two of the patterns do not occur.

.. rubric:: References

- Bock, R. D. and Lieberman, M. (1970). Fitting a response model for n dichotomously scored
  items. Psychometrika 35(2), 179-197.
- Bock, R. D. and Aitkin, M. (1981). Marginal maximum likelihood estimation of item parameters:
  application of an EM algorithm. Psychometrika 46(4), 443-459.
"""

_SCIENCE = """\
Attitudes to science and technology
-----------------------------------

Answers of persons in Great Britain to seven statements about science and technology, of the
Eurobarometer of 1992.

:Number of instances: 392
:Number of attributes: 7 ordered categories, no target
:Missing values: none
:Attributes:
    - comfort: science and technology make our lives healthier, easier and more comfortable
    - environment: research cannot play an important role in protecting the environment
    - work: the application of science and new technology makes work more interesting
    - future: thanks to science and technology, future generations have more opportunities
    - technology: new technology does not depend on basic scientific research
    - industry: research does not play an important role in industrial development
    - benefit: the benefits of science are greater than any harmful effects

Answers are 0 (strongly disagree), 1 (disagree), 2 (agree) and 3 (strongly agree). These are the
data `Science` of the R package ltm, with codes from 0 on.

.. rubric:: References

- Karlheinz, R. and Melich, A. (1992). Euro-Barometer 38.1: Consumer Protection and Perceptions
  of Science and Technology. INRA (Europe), Brussels.
- Bartholomew, D., Steele, F., Moustaki, I. and Galbraith, J. (2002). The Analysis and
  Interpretation of Multivariate Data for Social Scientists. Chapman & Hall, London.
"""


@overload
def load_holzinger_swineford(
    *, return_X_y: Literal[False] = ..., as_frame: bool = ...
) -> Bunch: ...
@overload
def load_holzinger_swineford(
    *, return_X_y: Literal[True], as_frame: bool = ...
) -> tuple[Any, None]: ...
def load_holzinger_swineford(*, return_X_y: bool = False, as_frame: bool = False) -> Any:
    """Load the scores of 301 children in nine tests of mental abilities.

    =================   ==============
    Samples total                  301
    Dimensionality                   9
    Features                      real
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

        data : {ndarray, DataFrame} of shape (301, 9)
            Scores: three tests each of space, language and speed.
        target : None
            None, since there is no target.
        feature_names : list
            ``['visual', 'cubes', 'lozenges', 'paragraph', 'sentence', 'word_meaning',
            'addition', 'counting', 'letters']``.
        frame : DataFrame of shape (301, 9)
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
    Collected by Holzinger and Swineford [1]_. Joereskog [2]_ made these nine tests the standard
    example of factor analysis.

    References
    ----------
    .. [1] Holzinger, K. J. and Swineford, F. (1939). A study in factor analysis: the stability of
       a bi-factor solution. Supplementary Educational Monographs 48. University of Chicago.
    .. [2] Joereskog, K. G. (1969). A general approach to confirmatory maximum likelihood factor
       analysis. Psychometrika 34, 183-202.

    Examples
    --------
    >>> from emlearn.datasets import load_holzinger_swineford
    >>> scores = load_holzinger_swineford()
    >>> scores.data.mean(axis=0)[:3].round(2).tolist()
    [4.94, 6.09, 2.25]
    """
    return load(
        "holzinger_swineford", _HOLZINGER_SWINEFORD, return_X_y=return_X_y, as_frame=as_frame
    )


@overload
def load_lsat6(*, return_X_y: Literal[False] = ..., as_frame: bool = ...) -> Bunch: ...
@overload
def load_lsat6(*, return_X_y: Literal[True], as_frame: bool = ...) -> tuple[Any, None]: ...
def load_lsat6(*, return_X_y: bool = False, as_frame: bool = False) -> Any:
    """Load the responses of 1000 persons to five items of an admission test.

    =================   ==================
    Samples total                     1000
    Dimensionality                       5
    Features                        0 or 1
    Missing values                    none
    =================   ==================

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

        data : {ndarray, DataFrame} of shape (1000, 5)
            1 where the item was solved, else 0.
        target : None
            None, since there is no target.
        feature_names : list
            ``['item_1', ..., 'item_5']``.
        frame : DataFrame of shape (1000, 5)
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
    The responses of Bock and Lieberman [1]_, which articles on item response models use [2]_.

    References
    ----------
    .. [1] Bock, R. D. and Lieberman, M. (1970). Fitting a response model for n dichotomously
       scored items. Psychometrika 35(2), 179-197.
    .. [2] Bock, R. D. and Aitkin, M. (1981). Marginal maximum likelihood estimation of item
       parameters: application of an EM algorithm. Psychometrika 46(4), 443-459.

    Examples
    --------
    >>> from emlearn.datasets import load_lsat6
    >>> load_lsat6().data.mean(axis=0)
    array([0.924, 0.709, 0.553, 0.763, 0.87 ])
    """
    return load("lsat6", _LSAT6, return_X_y=return_X_y, as_frame=as_frame)


@overload
def load_science(*, return_X_y: Literal[False] = ..., as_frame: bool = ...) -> Bunch: ...
@overload
def load_science(*, return_X_y: Literal[True], as_frame: bool = ...) -> tuple[Any, None]: ...
def load_science(*, return_X_y: bool = False, as_frame: bool = False) -> Any:
    """Load the attitudes of 392 persons to science and technology.

    =================   ==================
    Samples total                      392
    Dimensionality                       7
    Features                  0, 1, 2 or 3
    Missing values                    none
    =================   ==================

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

        data : {ndarray, DataFrame} of shape (392, 7)
            Answers from 0 (strongly disagree) to 3 (strongly agree).
        target : None
            None, since there is no target.
        feature_names : list
            ``['comfort', 'environment', 'work', 'future', 'technology', 'industry', 'benefit']``.
        frame : DataFrame of shape (392, 7)
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
    A part of the Eurobarometer of 1992 [1]_, as in ``Science`` of the R package ltm.

    References
    ----------
    .. [1] Karlheinz, R. and Melich, A. (1992). Euro-Barometer 38.1: Consumer Protection and
       Perceptions of Science and Technology. INRA (Europe), Brussels.

    Examples
    --------
    >>> from emlearn.datasets import load_science
    >>> science = load_science()
    >>> science.data.shape
    (392, 7)
    >>> science.data[:2].tolist()
    [[3.0, 3.0, 3.0, 2.0, 3.0, 2.0, 1.0], [2.0, 3.0, 2.0, 2.0, 2.0, 2.0, 2.0]]
    """
    return load("science", _SCIENCE, return_X_y=return_X_y, as_frame=as_frame)
