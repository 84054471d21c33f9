"""Formulas, computed by formulaic."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emlearn.mixed._formula import RandomPart
from emlearn.mixed._options import INTERCEPT

Floats = NDArray[np.float64]


# ---- parts ----------------------------------------------------------------------------


class Part(NamedTuple):
    """A part of a formula: how it is computed, and its columns in some rows.

    Attributes
    ----------
    spec : formulaic.ModelSpec
        How it is computed.
    names : tuple of str
        Names of its columns.
    values : ndarray of shape (n_samples, n_columns)
        Its columns.
    """

    spec: Any
    names: tuple[str, ...]
    values: Floats

    @classmethod
    def of(cls, spec: Any, frame: Any, listed: str = "") -> Part:
        """A part from a formula in fit, or from its specification.

        Parameters
        ----------
        spec : formulaic.Formula or formulaic.ModelSpec
            How it is computed.
        frame : pandas.DataFrame
            Columns that it is computed from.
        listed : str, default=""
            Which columns there are, for messages.

        Raises
        ------
        ValueError
            If it cannot be computed, or an entry is not finite.
        """
        matrix = matrix_of(spec, frame, listed)
        names = matrix.model_spec.column_names
        values = np.asarray(matrix, np.float64).reshape(len(frame), len(names))
        wrong = np.argwhere(~np.isfinite(values))
        if wrong.size:
            row, j = wrong[0]
            raise ValueError(
                f"{names[j]!r} of the formula is {values[row, j]} in row {row}. Correct the row or "
                "the formula."
            )
        own = (INTERCEPT if name == "Intercept" else name for name in names)
        return cls(matrix.model_spec, tuple(own), values)

    @property
    def has_intercept(self) -> bool:
        """Whether it has a column of ones."""
        return "Intercept" in self.spec.column_names

    def without_intercept(self) -> Part:
        """The part without the column of ones."""
        kept = [j for j, name in enumerate(self.spec.column_names) if name != "Intercept"]
        names = tuple(self.names[j] for j in kept)
        return self._replace(names=names, values=self.values[:, kept])


def formulas_of(part: RandomPart) -> list[Any]:
    """One formula, or one for each term of independent effects."""
    formula = formula_of(part.expression)
    if part.correlated:
        return [formula]
    return [import_formulaic().Formula([term]) for term in formula]


def formula_of(text: str) -> Any:
    """A formula without random parts.

    Raises
    ------
    ValueError
        If formulaic cannot read it.
    """
    formulaic = import_formulaic()
    try:
        return formulaic.Formula(text)
    except (formulaic.errors.FormulaicError, SyntaxError) as error:
        raise _invalid(text, error) from None


def matrix_of(spec: Any, frame: Any, listed: str) -> Any:
    """The matrix of a formula or of its specification; see `Part.of`."""
    errors = import_formulaic().errors
    settings = {"na_action": "ignore", "output": "numpy"}
    try:
        with np.errstate(all="ignore"):  # what is not finite is an error of its own
            return spec.get_model_matrix(frame, context={}, **settings)
    except (errors.FormulaicError, SyntaxError) as error:
        raise _invalid(str(getattr(spec, "formula", spec)), error, listed) from None


def _invalid(text: str, error: Exception, listed: str = "") -> ValueError:
    if isinstance(error, SyntaxError):
        reason = "it is not an expression of Python. Are keywords (yield, class) among the names?"
        return ValueError(f"The part {text!r} of the formula is invalid: {reason}")
    reason = re.sub(r"\x1b\[[0-9;]*m|[\u29da\u29db]", "", str(error)).split("\n")[0]
    if "^" in text or "is not defined" in reason:
        reason += " Expressions are those of Python: np.log(x), {x**2}, C(x)."
    return ValueError(f"The part {text!r} of the formula is invalid: {reason} {listed}".strip())


def import_formulaic() -> Any:
    """The module formulaic, which is optional."""
    try:
        return import_module("formulaic")
    except ImportError:
        raise ImportError(
            "formula needs formulaic, which cannot be imported. Install it (pip install "
            "scikit-em[formula]), or name columns in groups and random_slopes."
        ) from None
