"""Pairs of records that share a key, made in parts of bounded size.

A pair belongs to the first rule that makes it, so that no pair comes twice: pairs of a later rule
that also agree on the key of an earlier one are left out. Nothing of the earlier pairs is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.linkage._records import ABSENT, Codes, key_codes, n_records

Index = NDArray[np.intp]

#: Number of pairs that are made at a time.
PART = 2**18


@dataclass(frozen=True)
class Rule:
    """One blocking rule, applied to the tables.

    Attributes
    ----------
    name : str
        The rule, for messages.
    left, right : ndarray
        Codes of the keys; `ABSENT` where a key is missing. The same array for one table.
    order : ndarray
        Records of the right table that have a key, by key.
    start, stop : ndarray of shape (n_left,)
        For each record on the left, which part of `order` it is paired with.
    """

    name: str
    left: Codes
    right: Codes
    order: Index
    start: Index
    stop: Index

    @property
    def counts(self) -> Index:
        """Number of pairs of each record on the left."""
        return self.stop - self.start


def read_rules(
    left: Any, right: Any | None, block: Sequence[Any] | None, most_of_key: int, most: int
) -> list[Rule]:
    """Blocking rules, applied to one table or two.

    Raises
    ------
    ValueError
        If a rule is invalid, or makes too many pairs; the message has the numbers.
    """
    if isinstance(block, str | tuple) or callable(block):
        raise ValueError(
            f"block must be a list of rules, such as ['postcode', ('last', 'birth_year')], or "
            f"None; got {block!r}."
        )
    if block is not None and not len(block):
        raise ValueError("block is an empty list, which makes no pairs. None compares all pairs.")
    tables, names = ([left], ["left"]) if right is None else ([left, right], ["left", "right"])
    rules = []
    for rule in [None] if block is None else block:
        factor = None
        if rule is None:
            codes = [np.zeros(n_records(t, n), np.intp) for t, n in zip(tables, names, strict=True)]
        else:
            codes, factor = key_codes(tables, names, rule)
        name = "all pairs" if rule is None else f"block {_shown(rule)}"
        found = _rule(name, codes)
        _check_key(found, factor, most_of_key, all_pairs=rule is None, most=most)
        rules.append(found)
    total = sum(int(rule.counts.sum()) for rule in rules)
    if total > most:
        each = ", ".join(f"{rule.name}: {int(rule.counts.sum())}" for rule in rules)
        raise ValueError(
            f"Blocking makes {total} pairs ({each}), more than max_pairs={most}. Use keys that "
            "fewer records share, or increase max_pairs."
        )
    return rules


def _rule(name: str, codes: list[Codes]) -> Rule:
    one = len(codes) == 1
    left, right = codes[0], codes[-1]
    present = np.flatnonzero(right != ABSENT)
    order = present[np.argsort(right[present], kind="stable")]
    keys = right[order]
    stop = np.searchsorted(keys, left, side="right")
    if one:
        # A record is paired with those after it.
        place = np.zeros(len(right), np.intp)
        place[order] = np.arange(len(order))
        start = place + 1
    else:
        start = np.searchsorted(keys, left, side="left")
    start = np.where(left == ABSENT, 0, start)
    stop = np.where(left == ABSENT, 0, np.maximum(stop, start))
    return Rule(name, left, right, order, start, stop)


def _check_key(rule: Rule, factor: Any, most_of_key: int, *, all_pairs: bool, most: int) -> None:
    """Raise ValueError if one key makes too many pairs."""
    if all_pairs or not len(rule.left):
        return
    known = rule.left != ABSENT
    pairs = np.bincount(rule.left[known], rule.counts[known].astype(np.float64))
    if not pairs.size or pairs.max() <= most_of_key:
        return
    key = int(pairs.argmax())
    shown = "" if factor is None else f" {factor.values[key]!r}"
    records = int((rule.left == key).sum())
    raise ValueError(
        f"In {rule.name}, {records} records have the key{shown}, which makes {int(pairs.max())} "
        f"pairs, more than max_pairs_of_key={most_of_key}. Set such keys to missing, join the key "
        "with another one (a tuple of columns), or increase max_pairs_of_key."
    )


def pairs_of(rules: Sequence[Rule], part: int = PART) -> Iterator[tuple[Index, Index]]:
    """Positions of the records of all pairs, each once, in parts of about `part` pairs.

    Yields
    ------
    left, right : ndarray
        Positions. In one table, the left record comes before the right one.
    """
    one_table = rules[0].left is rules[0].right
    for number, rule in enumerate(rules):
        for left, right in _pairs_of_rule(rule, part):
            new = ~made_by(rules[:number], left, right)
            left, right = left[new], right[new]
            if one_table:
                left, right = np.minimum(left, right), np.maximum(left, right)
            if len(left):
                yield left, right


def made_by(rules: Sequence[Rule], left: Index, right: Index) -> NDArray[np.bool_]:
    """Which pairs agree on the key of one of the rules."""
    made = np.zeros(len(left), bool)
    for rule in rules:
        key = rule.left[left]
        made |= (key != ABSENT) & (key == rule.right[right])
    return made


def _pairs_of_rule(rule: Rule, part: int) -> Iterator[tuple[Index, Index]]:
    counts = rule.counts
    below = np.cumsum(counts)
    first = 0
    while first < len(counts):
        made = int(below[first - 1]) if first else 0
        last = max(int(np.searchsorted(below, made + part, side="right")), first + 1)
        own = counts[first:last]
        left = np.repeat(np.arange(first, last), own)
        # Positions within `order`: a run from the start of each record.
        shift = np.repeat(rule.start[first:last] - (np.cumsum(own) - own), own)
        yield left, rule.order[np.arange(len(left)) + shift]
        first = last


def random_pairs(
    n_left: int, n_right: int | None, n_pairs: int, rng: np.random.Generator
) -> tuple[Index, Index]:
    """Random pairs of records, with replacement; all pairs if there are no more than that."""
    if n_right is None:
        total = n_left * (n_left - 1) // 2
        if total <= n_pairs:
            left, right = np.triu_indices(n_left, 1)
            return left, right
        left = rng.integers(n_left, size=n_pairs)
        right = rng.integers(n_left - 1, size=n_pairs)
        # The others, without the record itself.
        return left, right + (right >= left)
    if n_left * n_right <= n_pairs:
        left, right = np.divmod(np.arange(n_left * n_right), n_right)
        return left, right
    return rng.integers(n_left, size=n_pairs), rng.integers(n_right, size=n_pairs)


def _shown(rule: Any) -> str:
    if isinstance(rule, tuple):
        return "(" + ", ".join(map(_shown, rule)) + ")"
    return str(getattr(rule, "__name__", repr(rule))) if callable(rule) else repr(rule)
