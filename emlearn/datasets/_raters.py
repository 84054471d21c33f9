"""Labels that several raters gave to the same items."""

from __future__ import annotations

from typing import Any, Literal, overload

from sklearn.utils import Bunch

from emlearn.datasets._loaders import load

_ANESTHETISTS = """\
Anesthetists
------------

Five anesthetists judge from a form how fit patients are for general anesthesia, on a scale of four
grades. The first anesthetist judged each form three times, some weeks apart.

:Number of instances: 315
:Number of attributes: 3 (item, rater and label), no target
:Missing values: none
:Attributes:
    - item: number of the patient, 1 to 45
    - rater: number of the anesthetist, 1 to 5
    - label: grade, 1 to 4

The true grades are not known. The table is that of Dawid and Skene, as ports of their method to
Python give it. The data `anesthesia` of the R package rater are the same but for one label: the
second anesthetist gives patient 7 grade 1 there, and grade 2 here.

.. rubric:: References

- Dawid, A. P. and Skene, A. M. (1979). Maximum likelihood estimation of observer error-rates using
  the EM algorithm. Applied Statistics 28(1), 20-28.
"""


@overload
def load_anesthetists(*, return_X_y: Literal[False] = ..., as_frame: bool = ...) -> Bunch: ...
@overload
def load_anesthetists(*, return_X_y: Literal[True], as_frame: bool = ...) -> tuple[Any, None]: ...
def load_anesthetists(*, return_X_y: bool = False, as_frame: bool = False) -> Any:
    """Load the grades that five anesthetists gave to 45 patients.

    =================   ==================
    Samples total                      315
    Dimensionality                       3
    Features                      integers
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

        data : {ndarray, DataFrame} of shape (315, 3)
            A row for each label: patient, anesthetist, and grade from 1 to 4.
        target : None
            None, since there is no target.
        feature_names : list
            ``['item', 'rater', 'label']``.
        frame : DataFrame of shape (315, 3)
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
    The example of Dawid and Skene [1]_, with whom the estimation of error rates without known
    truth began.

    References
    ----------
    .. [1] Dawid, A. P. and Skene, A. M. (1979). Maximum likelihood estimation of observer
       error-rates using the EM algorithm. Applied Statistics 28(1), 20-28.

    Examples
    --------
    >>> from emlearn.datasets import load_anesthetists
    >>> load_anesthetists().data[:8].astype(int).tolist()
    [[1, 1, 1], [1, 1, 1], [1, 1, 1], [1, 2, 1], [1, 3, 1], [1, 4, 1], [1, 5, 1], [2, 1, 3]]
    """
    return load("anesthetists", _ANESTHETISTS, return_X_y=return_X_y, as_frame=as_frame)
