"""The grammar of formulas: the response, the fixed part, and the random parts in parentheses."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

# Names in a formula: of columns, not of functions or of what a module has.
_NAME = re.compile(r"(?<![\w.])[^\W\d]\w*(?!\w|\s*\()")
_QUOTED = re.compile(r"`[^`]*`|\"[^\"]*\"|'[^']*'")
_BACKQUOTED = re.compile(r"`([^`]*)`")
_GROUP = re.compile(r"[\w.]+|`[^`]+`")
_WORD = re.compile(r"(?<![\w.])[\w.]+(?![\w.]|\s*\()")
_DOT = re.compile(r"(?<![\w.)])\.(?![\w.])")

_EXAMPLE = "'Reaction ~ Days + (Days | Subject)'"


class RandomPart(NamedTuple):
    """A random part: ``(expression | group)``.

    Attributes
    ----------
    expression : str
        What has random effects, as the right side of a formula.
    groups : tuple of str
        Columns of the grouping factor; several are an interaction.
    correlated : bool
        Whether the effects are correlated: the bar is single.
    """

    expression: str
    groups: tuple[str, ...]
    correlated: bool


class ParsedFormula(NamedTuple):
    """A formula of a mixed model.

    Attributes
    ----------
    response : str or None
        The left side.
    fixed : str
        The right side without its random parts.
    random : tuple of RandomPart
        Random parts, in their order; ``a/b`` is two.
    """

    response: str | None
    fixed: str
    random: tuple[RandomPart, ...]


def parse_formula(formula: str) -> ParsedFormula:
    """The parts of a formula.

    The notation is that of lme4 [1]_: ``(expression | group)`` has correlated effects and
    ``(expression || group)`` independent ones, for a group ``a``, the combinations ``a:b``, or
    ``a/b``, which is ``a`` and ``a:b``.

    Parameters
    ----------
    formula : str
        Such as "Reaction ~ Days + (Days | Subject)". The left side may be left out.

    Raises
    ------
    ValueError
        If it is not such a formula.

    References
    ----------
    .. [1] Bates, D., Maechler, M., Bolker, B., & Walker, S. (2015). Fitting linear mixed-effects
           models using lme4. Journal of Statistical Software, 67(1), 1-48.
    """
    if not isinstance(formula, str):
        raise ValueError(f"formula must be text, such as {_EXAMPLE}. Got {formula!r}.")
    plain = _masked(formula)
    _check_parentheses(formula, plain)
    sides = _split(formula, plain, "~")
    if len(sides) > 2:
        raise ValueError(f"The formula {formula!r} has several '~'. It may have one.")
    right = sides[-1]
    random: list[RandomPart] = []
    fixed, end = "", 0
    plain = _masked(right)
    for start, stop in _random_parts(plain):
        random += _read_part(right[start + 1 : stop - 1])
        fixed += _joined(right[end:start], formula)
        end = stop
        if not re.match(r"\s*($|[+-])", plain[stop:]):
            raise _misplaced(formula)
    fixed = re.sub(r"^\s*\+", "", fixed + right[end:]).strip() or "1"
    if "|" in _without_calls(_masked(fixed)):
        raise ValueError(
            f"The formula {formula!r} has a '|' outside of a random part. Random parts are in "
            f"parentheses and joined by '+': {_EXAMPLE}."
        )
    response = sides[0].strip() if len(sides) == 2 else ""
    return ParsedFormula(response or None, fixed, tuple(random))


def names_in(text: str, known: Iterable[str]) -> list[str]:
    """Which known names of columns a part of a formula has, in their order."""
    found = set(_NAME.findall(_masked(text)))
    found |= set(_BACKQUOTED.findall(text))
    return [name for name in known if name in found]


def with_backquotes(formula: str, names: Iterable[Any]) -> str:
    """The formula with backquotes around the columns whose names are none in Python.

    These are names with dots, as in R, and keywords, such as "yield" and "class".
    """
    odd = {
        name for name in names if isinstance(name, str) and ("." in name or keyword.iskeyword(name))
    }
    for match in reversed(list(_WORD.finditer(_masked(formula)))):
        if match.group() in odd:
            formula = f"{formula[: match.start()]}`{match.group()}`{formula[match.end() :]}"
    return formula


def with_dot(text: str, names: Iterable[str]) -> str:
    """The text with the sum of these columns in place of a dot, which stands for the others."""
    plain = _masked(text)
    total = " + ".join(f"`{name}`" for name in names)
    for match in reversed(list(_DOT.finditer(plain))):
        text = text[: match.start()] + f"({total or '1'})" + text[match.end() :]
    return text


def is_column(expression: str) -> bool:
    """Whether a left side is just the name of a column."""
    return _GROUP.fullmatch(expression) is not None


def unquoted(name: str) -> str:
    """A name without its backquotes."""
    return name.strip("`")


def _masked(text: str) -> str:
    """The text with quotes for all that is quoted, at the same positions."""
    return _QUOTED.sub(lambda match: '"' * len(match.group()), text)


def _nesting(plain: str) -> Iterator[tuple[int, str, int]]:
    """Each character and its position and depth; parentheses have the depth outside of them."""
    depth = 0
    for i, letter in enumerate(plain):
        if letter in ")]}":
            depth -= 1
        yield i, letter, depth
        if letter in "([{":
            depth += 1


def _check_parentheses(formula: str, plain: str) -> None:
    depth = 0
    for letter in plain:
        depth += (letter in "([{") - (letter in ")]}")
        if depth < 0:
            break
    if depth or "`" in plain:
        raise ValueError(
            f"The formula {formula!r} has parentheses or quotes that are not closed, or not opened."
        )


def _split(text: str, plain: str, separator: str) -> list[str]:
    """The text at separators outside of parentheses."""
    cuts = [i for i, letter, depth in _nesting(plain) if letter == separator and not depth]
    return [text[a:b] for a, b in zip([0, *(i + 1 for i in cuts)], [*cuts, None], strict=True)]


def _random_parts(plain: str) -> list[tuple[int, int]]:
    """Start and end of the parentheses that have a bar and are not of a function."""
    found, start = [], 0
    for i, letter, depth in _nesting(plain):
        if depth == 0 and letter == "(":
            start = i
        elif depth == 0 and letter == ")":
            call = re.search(r"[\w)\"]\s*$", plain[:start])
            bar = any(c == "|" and not d for _, c, d in _nesting(plain[start + 1 : i]))
            if bar and not call:
                found.append((start, i + 1))
    return found


def _joined(before: str, formula: str) -> str:
    """What stands before a random part, without the '+' that joins it."""
    if not before.strip():
        return before
    kept = re.sub(r"\+\s*$", "", before)
    if kept == before:
        raise _misplaced(formula)
    return kept


def _misplaced(formula: str) -> ValueError:
    return ValueError(
        f"The formula {formula!r} has a random part that is not joined by '+'. Random parts are "
        f"added: {_EXAMPLE}."
    )


def _read_part(text: str) -> list[RandomPart]:
    """The random parts of what is between parentheses."""
    sides = _split(text, _masked(text), "|")
    correlated = len(sides) == 2
    if not correlated and not (len(sides) == 3 and not sides[1].strip()):
        raise ValueError(f"The random part '({text})' has several bars. It has one: '|' or '||'.")
    expression, group = sides[0].strip(), sides[-1].strip()
    if not expression:
        raise ValueError(
            f"The random part '({text})' has nothing before the bar. Random intercepts are "
            f"'(1 | {group})'."
        )
    while group.startswith("(") and group.endswith(")"):
        group = group[1:-1].strip()
    nested = [_names_of_group(part, text) for part in _split(group, _masked(group), "/")]
    found = [tuple(sum(nested[: i + 1], ())) for i in range(len(nested))]
    return [RandomPart(expression, groups, correlated) for groups in found]


def _names_of_group(text: str, part: str) -> tuple[str, ...]:
    names = [name.strip() for name in _split(text, _masked(text), ":")]
    if not all(_GROUP.fullmatch(name) for name in names):
        raise ValueError(
            f"The random part '({part})' has the group {text.strip()!r}. A group is a column, "
            "combinations a:b of columns, or a/b, which is a and a:b. Other names are in "
            "backquotes; what is computed must be a column of X."
        )
    return tuple(unquoted(name) for name in names)


def _without_calls(plain: str) -> str:
    """The text without the arguments of functions, which may have any operator."""
    kept: list[str] = []
    calls: list[bool] = []
    for i, letter in enumerate(plain):
        if letter in "([{":
            inside = bool(calls and calls[-1])
            call = letter != "(" or re.search(r"[\w)\"]\s*$", plain[:i]) is not None
            calls.append(inside or call)
        elif letter in ")]}":
            calls.pop()
        elif not (calls and calls[-1]):
            kept.append(letter)
    return "".join(kept)
