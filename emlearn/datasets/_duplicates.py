"""Simulated records of people, some of them duplicates with errors."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch, check_random_state, check_scalar

from emlearn.datasets._loaders import import_pandas

Array = NDArray[Any]


def _words(text: str) -> list[str]:
    return text.split()


_FIRST = _words(
    "James Mary Robert Patricia John Jennifer Michael Linda David Elizabeth William Barbara "
    "Richard Susan Joseph Jessica Thomas Sarah Charles Karen Daniel Lisa Matthew Nancy Anthony "
    "Betty Mark Sandra Donald Margaret Steven Ashley Andrew Kimberly Paul Emily Joshua Donna "
    "Kenneth Michelle Kevin Carol Brian Amanda George Melissa Timothy Deborah Ronald Stephanie "
    "Jason Rebecca Edward Laura Jeffrey Sharon Ryan Cynthia Jacob Kathleen Gary Amy Nicholas "
    "Angela Eric Shirley Jonathan Brenda Stephen Emma Larry Anna Justin Pamela Scott Nicole "
    "Brandon Samantha Benjamin Katherine Samuel Christine Gregory Helen Alexander Debra Patrick "
    "Rachel Frank Carolyn Raymond Janet Jack Maria Dennis Olivia Jerry Heather Tyler Ruth"
)
_BEGIN = _words(
    "Al Ash Bar Beck Blan Bran Brook Bur Cal Car Chad Clay Craw Dal Dun East El Fair Far Glen "
    "Gran Hal Hart Hol Kings Lang Lind Mar Mil Nor Oak Pem Ross Rad Sel Stan Tem Thorn Wal Whit"
)
_END = _words(
    "bert bridge brook burn bury by combe cott dale den don field ford ham hill hurst land ley "
    "man more ridge shaw son stead ston ton wall ward well wick wood worth"
)
_CITIES = _words(
    "Northfield Riverton Eastbury Oakham Milltown Lakeside Westport Hillcrest Stonebridge "
    "Ashford Greenville Fairview Kingsley Marlow Brighton Southgate Clifton Weston Haven Dover"
)
_COLUMNS = ("first_name", "last_name", "birth_date", "birth_year", "city", "postcode")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def make_duplicate_records(
    n_people: int = 1000,
    *,
    duplicates: float = 0.3,
    typo: float = 0.1,
    missing: float = 0.03,
    moved: float = 0.1,
    married: float = 0.04,
    as_frame: bool = False,
    random_state: Any = None,
) -> Bunch:
    """Simulated records of people, some of whom have a second record with errors.

    First names, last names and cities have frequencies that fall with their rank, as real ones
    do, so that many people share a common name. The second record of a person repeats the first
    with errors: typing errors, missing values, a move to another address, another last name.

    Parameters
    ----------
    n_people : int, default=1000
        Number of people, each with one record at least.
    duplicates : float, default=0.3
        Part of the people with a second record.
    typo : float, default=0.1
        Probability of an error in each of first name, last name, birth date and postcode of a
        second record: a letter or digit that is replaced, left out, doubled or exchanged with
        the next one.
    missing : float, default=0.03
        Probability that an entry of any record is missing (None).
    moved : float, default=0.1
        Probability that city and postcode of a second record are others, both at once. So they
        depend on each other among records of one person.
    married : float, default=0.04
        Probability that the last name of a second record is another one.
    as_frame : bool, default=False
        Whether `records` is a pandas DataFrame; otherwise it is a dict of arrays.
    random_state : int, RandomState instance or None, default=None
        Source of randomness.

    Returns
    -------
    data : Bunch
        Dictionary-like object with the attributes:

        records : dict of str to ndarray, or DataFrame
            "first_name", "last_name", "birth_date" (text such as "1984-03-27"), "birth_year"
            (text), "city" and "postcode", in random order.
        target : ndarray of shape (n_records,)
            The person of each record: two records with the same number are a match.
        feature_names : list of str
            Names of the columns.

    Raises
    ------
    ValueError
        If a number is out of its range.
    ImportError
        If `as_frame` and pandas is not installed.

    Notes
    -----
    The probability of the name of rank r is proportional to ``1 / (r + 5)`` for first names and
    cities and ``1 / (r + 20)`` for last names, of which there are 1280, made of two parts. Birth
    dates are uniform from 1930 to 2009. A city has 40 postcodes of five digits. A birth year is
    that of the birth date of the same record, with its error if there is one.

    Examples
    --------
    >>> from emlearn.datasets import make_duplicate_records
    >>> people = make_duplicate_records(1000, random_state=0)
    >>> len(people.target), people.feature_names
    (1300, ['first_name', 'last_name', 'birth_date', 'birth_year', 'city', 'postcode'])
    """
    check_scalar(n_people, "n_people", (int, np.integer), min_val=1)
    rates = {"duplicates": duplicates, "typo": typo, "missing": missing, "moved": moved}
    for name, rate in {**rates, "married": married}.items():
        check_scalar(rate, name, Real, min_val=0.0, max_val=1.0)
    pandas = import_pandas("make_duplicate_records") if as_frame else None
    seed = check_random_state(random_state).randint(np.iinfo(np.int32).max)
    rng = np.random.default_rng(seed)

    last_names = [begin + end for begin in _BEGIN for end in _END]
    order = np.random.default_rng(0).permutation(len(last_names))
    last_names = [last_names[i] for i in order]
    people = {
        "first_name": _ranked(_FIRST, 5, n_people, rng),
        "last_name": _ranked(last_names, 20, n_people, rng),
        "birth_date": _dates(n_people, rng),
    }
    people["city"], people["postcode"] = _addresses(n_people, rng)

    again = np.sort(rng.choice(n_people, round(duplicates * n_people), replace=False))
    second = {name: own[again].copy() for name, own in people.items()}
    n = len(again)
    new_name = rng.random(n) < married
    second["last_name"][new_name] = _ranked(last_names, 20, int(new_name.sum()), rng)
    moves = rng.random(n) < moved
    city, postcode = _addresses(int(moves.sum()), rng)
    second["city"][moves], second["postcode"][moves] = city, postcode
    for name, alphabet in (
        ("first_name", _LETTERS),
        ("last_name", _LETTERS),
        ("postcode", "0123456789"),
    ):
        _spoil(second[name], typo, partial(_mistyped, alphabet=alphabet, rng=rng), rng)
    _spoil(second["birth_date"], typo, partial(_misdated, rng=rng), rng)

    records = {name: np.concatenate([people[name], second[name]]) for name in people}
    records["birth_year"] = np.array([date[:4] for date in records["birth_date"]], object)
    person = np.concatenate([np.arange(n_people), again])
    shuffled = rng.permutation(len(person))
    found = {}
    for name in _COLUMNS:
        own = records[name][shuffled]
        own[rng.random(len(own)) < missing] = None
        found[name] = own
    frame: Any = found if pandas is None else pandas.DataFrame(found, columns=list(_COLUMNS))
    return Bunch(records=frame, target=person[shuffled], feature_names=list(_COLUMNS))


def _ranked(names: list[str], flat: int, n: int, rng: np.random.Generator) -> Array:
    """Names with frequencies that fall with their rank."""
    chance = 1.0 / (np.arange(len(names)) + flat)
    return np.array(names, object)[rng.choice(len(names), n, p=chance / chance.sum())]


def _dates(n: int, rng: np.random.Generator) -> Array:
    first, last = np.datetime64("1930-01-01"), np.datetime64("2010-01-01")
    days = rng.integers(int((last - first).astype(int)), size=n)
    return np.array([str(first + int(day)) for day in days], object)


def _addresses(n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Cities, and postcodes within them."""
    city = _ranked(_CITIES, 5, n, rng)
    within = rng.integers(40, size=n)
    codes = [f"{10 + _CITIES.index(c):02d}{7 * w:03d}" for c, w in zip(city, within, strict=True)]
    return city, np.array(codes, object)


def _spoil(
    values: Array, rate: float, change: Callable[[str], str], rng: np.random.Generator
) -> None:
    for i in np.flatnonzero(rng.random(len(values)) < rate):
        values[i] = change(values[i])


def _mistyped(text: str, alphabet: str, rng: np.random.Generator) -> str:
    """A letter replaced, left out, doubled, or exchanged with the next one."""
    i, kind = int(rng.integers(len(text))), int(rng.integers(4))
    if kind == 0:
        return text[:i] + alphabet[int(rng.integers(len(alphabet)))] + text[i + 1 :]
    if kind == 1:
        return text[:i] + text[i + 1 :]
    if kind == 2:
        return text[: i + 1] + text[i:]
    i = min(i, len(text) - 2)
    return text[:i] + text[i + 1] + text[i] + text[i + 2 :]


def _misdated(date: str, rng: np.random.Generator) -> str:
    """Another day, another month, or another last digit of the year."""
    year, month, day = date.split("-")
    kind = int(rng.integers(3))
    if kind == 0:
        day = f"{int(rng.integers(1, 29)):02d}"
    elif kind == 1:
        month, day = f"{int(rng.integers(1, 13)):02d}", f"{min(int(day), 28):02d}"
    else:
        year, day = year[:3] + str(int(rng.integers(10))), f"{min(int(day), 28):02d}"
    return f"{year}-{month}-{day}"
