"""Whether the classes of a fit are matches and non-matches, and warnings if that is in doubt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from emlearn._warnings import warn_user
from emlearn.data import outweighed
from emlearn.latent import LabelModel
from emlearn.latent.model import LabelParams
from emlearn.linkage._model import MATCH, NON_MATCH
from emlearn.linkage._ordered import tied_levels
from emlearn.linkage._structure import Structure

Array = NDArray[np.float64]

# Matches that agree exactly less often than this, in half of the comparisons, are doubted.
_LEAST_EXACT = 0.3


def margins(tables: Mapping[tuple[int, ...], Array]) -> dict[int, Array]:
    """Probabilities of the levels of single comparisons, by position, from tables of groups."""
    found = {}
    for group, table in tables.items():
        for axis, j in enumerate(group, 1):
            found[j] = table.sum(axis=tuple(a for a in range(1, table.ndim) if a != axis))
    return found


def agreement(structure: Structure, params: LabelParams) -> float:
    """How much more matches agree than non-matches: sum of the differences of mean levels."""
    total = 0.0
    for j, own in margins(structure.tables(params.components)).items():
        means = own @ (np.arange(structure.n_levels[j]) / (structure.n_levels[j] - 1.0))
        total += float(means[MATCH] - means[NON_MATCH])
    return total


def exchanged(structure: Structure, params: LabelParams) -> LabelParams:
    """The same parameters with the classes exchanged."""
    tables = {group: own[::-1] for group, own in structure.tables(params.components).items()}
    prevalence = float(params.law.weights[NON_MATCH])
    return structure.params(prevalence, tables, params.column_spec)


def require_no_ties(
    structure: Structure, tables: Mapping[tuple[int, ...], Array], names: Sequence[str]
) -> None:
    """Raise ValueError if the order holds levels at the same match weight."""
    for j, n in enumerate(structure.n_levels):
        if tied_levels(tables[(j,)][:, None], np.array([n])).any():
            raise ValueError(
                f"ordered=True holds neighboring levels of the comparison {names[j]!r} at the "
                "same match weight, where standard errors do not exist. Merge these levels, or "
                "fit without the order."
            )


def warn_of_weights(model: LabelModel, params: LabelParams, weight: Array | None) -> None:
    """Warn if the priors outweigh the pairs because their weights are small."""
    if weight is None:
        return
    rows, total = int(np.count_nonzero(weight)), float(weight.sum())
    cure = "set alpha and prevalence_alpha to 0"
    message = outweighed(rows, total, model.pseudo_rows(params), "", cure)
    if message:
        warn_user(message, UserWarning)


class Doubts(NamedTuple):
    """The published parameters, and what they say about the classes.

    Attributes
    ----------
    names : list of str
        Names of the comparisons.
    m, u : list of ndarray
        Probabilities of the levels in both classes.
    seen : list of ndarray
        Levels that occur.
    held : list of bool
        Comparisons of which some of m or u is held.
    """

    names: Sequence[str]
    m: Sequence[Array]
    u: Sequence[Array]
    seen: Sequence[NDArray[np.bool_]]
    held: Sequence[bool]

    def _silent(self) -> list[str]:
        """Comparisons that have one level only, and no m or u that is known."""
        each = zip(self.names, self.seen, self.held, strict=True)
        return [name for name, seen, held in each if seen.sum() < 2 and not held]

    def warn(self, agreement: float) -> None:
        """Warn of comparisons that say nothing, and of classes that look unlike matches."""
        silent = self._silent()
        if silent:
            warn_user(
                f"All pairs have the same level of the comparison(s) {', '.join(silent)}, or none "
                "at all: they say nothing about matches. Leave them out.",
                UserWarning,
            )
        for message in self._of_classes(agreement, silent):
            warn_user(message, ConvergenceWarning)
            return

    def _of_classes(self, agreement: float, silent: Sequence[str]) -> Iterator[str]:
        """What is doubtful about the classes, the worst first."""
        if agreement < 0.0:
            yield (
                "Matches agree less than non-matches, so the classes may be exchanged: what is "
                "held with fixed=, or the prior, does not go with the pairs. Check m and u."
            )
        each = zip(self.names, self.m, self.u, strict=True)
        top = {name: (m[-1], u[-1]) for name, m, u in each if name not in silent}
        against = [name for name, (m, u) in top.items() if m < u]
        if against:
            yield (
                f"Exact agreement in {', '.join(against)} is less frequent among matches than "
                "among non-matches, so that it speaks against a match. The classes may be "
                "something other than matches, or too few pairs are matches to tell. Leave the "
                "comparison out, use ordered=True, or hold u with fixed=."
            )
        if top and np.median([m for m, _ in top.values()]) < _LEAST_EXACT:
            shown = ", ".join(f"{name} {m:.2g}" for name, (m, _) in top.items())
            yield (
                f"Matches seldom agree exactly ({shown}), so the classes may be something other "
                "than matches, such as neighbors. Fit to the patterns of all pairs "
                "(RecordComparator.patterns), add interactions of comparisons that depend on each "
                "other (such as city and postcode), or hold u and the prevalence with fixed=."
            )
