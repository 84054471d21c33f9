"""Match weights and probabilities of pairs at the published parameters."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from emlearn.data import read_weight
from emlearn.engine.criteria import InformationCriteria
from emlearn.engine.inference import Inference, Kind
from emlearn.linkage._pairs import RecordPairs
from emlearn.linkage._precision import PrecisionThreshold, precision_threshold
from emlearn.linkage._tables import WeightTables, probability_of
from emlearn.linkage._vectors import check_known, comparison_names, merge, read_levels

Array = NDArray[np.float64]
Levels = NDArray[np.int8]


class LinkageScoring(InformationCriteria, BaseEstimator):
    """Scores and predictions of pairs; they read the published parameters only."""

    threshold: float
    n_levels_: tuple[int, ...]
    u_: list[Array]

    @abstractmethod
    def inference(
        self, X: Any, y: Any = None, sample_weight: Any = None, *, information: Kind = "observed"
    ) -> Inference:
        """Standard errors; see `RecordLinkageEM`."""

    @abstractmethod
    def _tables(self) -> WeightTables:
        """The published parameters as tables."""

    def _levels(self, X: Any) -> Levels:
        check_is_fitted(self)
        levels = read_levels(self, X, reset=False)
        check_known(self, levels, self.n_levels_)
        return levels

    # ---- pairs --------------------------------------------------------------------------

    def decision_function(self, X: Any, frequency: Any = None) -> Array:
        """Match weight of each pair: log2 of the odds that it is a match.

        It is the sum of the weight of the prevalence, of the match weights of the comparisons,
        and of the adjustments for term frequencies. 0 means a probability of one half.

        Parameters
        ----------
        X : array-like of shape (n_pairs, n_comparisons), or RecordPairs
            Levels of the comparisons.
        frequency : array-like of shape (n_pairs, n_comparisons) or dict of str to array-like, \
default=None
            Relative frequency of the value on which the records of a pair agree; NaN for no
            adjustment. It counts only where they agree exactly. A dict has one array for each of
            some comparisons. None takes that of `RecordPairs`.

        Returns
        -------
        weight : ndarray of shape (n_pairs,)
            Match weights.

        Raises
        ------
        ValueError
            If an entry is no level that the fit knows, or a frequency is not in (0, 1].
        """
        levels = self._levels(X)
        adjustment = self._adjustment(levels, _frequency_of(X, frequency))
        total = 0.0 if adjustment is None else adjustment.sum(axis=1)
        return self._tables().score(levels, total)

    def predict_proba(self, X: Any, frequency: Any = None) -> Array:
        """Probabilities that each pair is a non-match and a match.

        Parameters
        ----------
        X : array-like of shape (n_pairs, n_comparisons), or RecordPairs
            Levels of the comparisons.
        frequency : array-like or dict, default=None
            See `decision_function`.

        Returns
        -------
        probability : ndarray of shape (n_pairs, 2)
            Columns are those of `classes_`: non-match and match.
        """
        match = probability_of(self.decision_function(X, frequency))
        return np.stack([1.0 - match, match], axis=1)

    def predict(self, X: Any, frequency: Any = None) -> NDArray[np.intp]:
        """Which pairs are matches: those with at least the probability `threshold`.

        Parameters
        ----------
        X : array-like of shape (n_pairs, n_comparisons), or RecordPairs
            Levels of the comparisons.
        frequency : array-like or dict, default=None
            See `decision_function`.

        Returns
        -------
        labels : ndarray of shape (n_pairs,)
            1 for a match, 0 for a non-match.
        """
        match = self.predict_proba(X, frequency)[:, 1]
        return np.asarray(match >= self.threshold).astype(np.intp)

    def weight_terms(self, X: Any, frequency: Any = None) -> tuple[list[str], Array]:
        """What the match weight of each pair is the sum of.

        Parameters
        ----------
        X : array-like of shape (n_pairs, n_comparisons), or RecordPairs
            Levels of the comparisons.
        frequency : array-like or dict, default=None
            See `decision_function`.

        Returns
        -------
        names : list of str
            "prevalence", the comparisons (those with interactions together), and the adjustments
            for term frequencies if there are any.
        terms : ndarray of shape (n_pairs, n_terms)
            The terms. Their sums are `decision_function`.
        """
        levels, tables = self._levels(X), self._tables()
        names = comparison_names(self)
        labels = ["prevalence", *(" x ".join(names[j] for j in g) for g in tables.groups)]
        columns = [np.full((len(levels), 1), tables.prior), tables.terms(levels)]
        adjustment = self._adjustment(levels, _frequency_of(X, frequency))
        if adjustment is not None:
            used = np.flatnonzero(adjustment.any(axis=0))
            labels += [f"frequency of {names[j]}" for j in used]
            columns.append(adjustment[:, used])
        return labels, np.concatenate(columns, axis=1)

    def _adjustment(self, levels: Levels, frequency: Any) -> Array | None:
        """log2(u / frequency) where records agree exactly, (n_pairs, n_comparisons)."""
        if frequency is None:
            return None
        names = comparison_names(self)
        given = np.full(levels.shape, np.nan)
        if isinstance(frequency, Mapping):
            for name, own in frequency.items():
                if name not in names:
                    raise ValueError(
                        f"frequency names the comparison {name!r}; there are {', '.join(names)}."
                    )
                given[:, names.index(name)] = _checked(own, (len(levels),), name)
        else:
            given = _checked(frequency, levels.shape, "frequency")
        exact = levels == np.array(self.n_levels_) - 1
        used = exact & ~np.isnan(given)
        top = np.maximum([own[-1] for own in self.u_], 1e-300)
        return np.where(used, np.log2(top / np.where(used, given, 1.0)), 0.0)

    # ---- the model as a whole -----------------------------------------------------------

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Mean log-likelihood of the comparison vectors, in nats.

        Parameters
        ----------
        X : array-like of shape (n_pairs, n_comparisons), or RecordPairs
            Levels of the comparisons.
        y : object, default=None
            Ignored.
        sample_weight : array-like of shape (n_pairs,), default=None
            Numbers of pairs; None means 1 each, or the counts of `RecordPairs`.

        Returns
        -------
        score : float
            Higher is better.
        """
        total, weight = self._likelihood(X, sample_weight)
        return total / weight

    def _likelihood(self, X: Any, sample_weight: Any) -> tuple[float, float]:
        levels = self._levels(X)
        patterns = merge(levels, read_weight(counts_of(X, sample_weight), len(levels)))
        value = patterns.weight @ self._tables().log_likelihood(patterns.levels)
        return float(value), float(patterns.weight.sum())

    def threshold_for_precision(
        self,
        X: Any,
        precision: float = 0.99,
        sample_weight: Any = None,
        *,
        frequency: Any = None,
        confidence: float = 0.95,
        inference: Inference | None = None,
    ) -> PrecisionThreshold:
        """The lowest threshold whose pairs have a wanted expected precision.

        The expected precision of the pairs above a threshold is the mean of their probabilities.
        Its interval is for the precision of these pairs. It has two parts: the error of the
        estimated parameters (by the delta method, from the observed information), and chance, as
        a pair with the probability p is a match or not. It holds if the model does; compare it
        with some pairs that were checked by hand.

        Parameters
        ----------
        X : array-like of shape (n_pairs, n_comparisons), or RecordPairs
            The pairs to choose from.
        precision : float, default=0.99
            Wanted part of matches among the pairs above the threshold.
        sample_weight : array-like of shape (n_pairs,), default=None
            Numbers of pairs; None means 1 each, or the counts of `RecordPairs`.
        frequency : array-like or dict, default=None
            See `decision_function`. The interval takes the adjustments as known.
        confidence : float, default=0.95
            Level of the interval.
        inference : Inference, default=None
            Errors of the parameters, from `inference` with the pairs or patterns of the fit. None:
            these are X.

        Returns
        -------
        threshold : PrecisionThreshold
            Threshold, expected precision with its interval, expected recall, number of pairs.

        Raises
        ------
        ValueError
            If `precision` is not between 0 and 1, or no threshold reaches it.
        """
        levels = self._levels(X)
        weight = read_weight(counts_of(X, sample_weight), len(levels))
        adjustment = self._adjustment(levels, _frequency_of(X, frequency))
        total = np.zeros(len(levels)) if adjustment is None else adjustment.sum(axis=1)
        if not total.any():
            levels, weight = merge(levels, weight)
            total = np.zeros(len(levels))
        counts = np.ones(len(levels)) if weight is None else weight

        def errors() -> Inference:
            if inference is not None:
                return inference
            found: Inference = self.inference(X, sample_weight=sample_weight)
            return found

        return precision_threshold(self, errors, levels, counts, total, precision, confidence)


def counts_of(X: Any, sample_weight: Any) -> Any:
    """Weights that are given, or the counts of the patterns of `RecordPairs`."""
    if sample_weight is None and isinstance(X, RecordPairs):
        return X.counts
    return sample_weight


def _frequency_of(X: Any, frequency: Any) -> Any:
    if frequency is None and isinstance(X, RecordPairs):
        return X.frequency
    return frequency


def _checked(given: Any, shape: tuple[int, ...], name: str) -> Array:
    """Relative frequencies of this shape."""
    try:
        values = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"frequency of {name!r} must hold numbers, and NaN for none.") from None
    if values.shape != shape:
        raise ValueError(
            f"frequency of {name!r} must have shape {shape}, one for each pair; got {values.shape}."
        )
    with np.errstate(invalid="ignore"):
        wrong = ~(np.isnan(values) | ((values > 0.0) & (values <= 1.0)))
    if wrong.any():
        i = int(np.argwhere(wrong)[0][0])
        raise ValueError(
            f"frequency of {name!r} is {values[wrong][0]:g} in row {i}; it must be a relative "
            "frequency above 0 and at most 1, or NaN for none."
        )
    return values
