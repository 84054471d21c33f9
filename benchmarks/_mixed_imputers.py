"""Imputers of tables with categories, as functions of the holes, a generator, and m.

Each returns one value of every entry, draws (a list, empty if it has none) and the seconds of the
processor. Tables are arrays of numbers and codes as in `Holes`, or frames in the table's dtypes.
"""

from __future__ import annotations

import inspect
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from _rscript import read_values, run_each, write_table
from _tables import Holes
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401  (importing it allows the next)
from sklearn.impute import IterativeImputer, KNNImputer

from emlearn.impute import MissingDataImputerEM

SCRIPT = Path(__file__).with_name("mixed_imputation.R")
#: Imputations of peers that start again for each of them.
FEW = 5

Table = np.ndarray | pd.DataFrame


class Imputed(NamedTuple):
    point: Table
    draws: Sequence[Table]
    seconds: float


Impute = Callable[[Holes, np.random.Generator, int], Imputed]


class Dummies:
    """Numbers and ordered codes standardized, and a column of 0 and 1 for each nominal level.

    Parameters
    ----------
    first : bool
        Whether the first level has its column. Without, no dummy follows from its siblings.
    """

    def __init__(self, holes: Holes, *, first: bool):
        self.holes, self.first = holes, first
        self.center = np.nanmean(holes.codes, axis=0)
        scale = np.nanstd(holes.codes, axis=0)
        self.scale = np.where(scale > 0.0, scale, 1.0)

    def encoded(self) -> np.ndarray:
        columns = []
        for j, kind in enumerate(self.holes.kinds):
            codes = self.holes.codes[:, j]
            if kind == "nominal":
                levels = np.arange(0 if self.first else 1, self.holes.levels[j])
                columns.append(np.where(np.isnan(codes)[:, None], np.nan, codes[:, None] == levels))
            else:
                columns.append(((codes - self.center[j]) / self.scale[j])[:, None])
        return np.hstack(columns)

    def decoded(self, rows: np.ndarray) -> np.ndarray:
        """Codes: the level of the largest dummy, the nearest of ordered levels."""
        out = self.holes.codes.copy()
        start = 0
        for j, kind in enumerate(self.holes.kinds):
            levels = self.holes.levels[j]
            width = levels - (not self.first) if kind == "nominal" else 1
            part = rows[:, start : start + width]
            start += width
            if kind == "nominal":
                if not self.first:
                    part = np.hstack((1.0 - part.sum(axis=1, keepdims=True), part))
                values = part.argmax(axis=1).astype(float)
            else:
                values = part[:, 0] * self.scale[j] + self.center[j]
                if kind == "ordered":
                    values = np.clip(np.rint(values), 0, levels - 1)
            out[:, j] = np.where(np.isnan(out[:, j]), values, out[:, j])
        return out


def pooled(draws: Sequence[np.ndarray], holes: Holes) -> np.ndarray:
    """One value of each entry: the mean of numbers, the median level, the most frequent level."""
    stack = np.stack(draws)
    out = stack.mean(axis=0)
    for j, kind in enumerate(holes.kinds):
        if kind == "ordered":
            out[:, j] = np.sort(stack[:, :, j], axis=0)[(len(stack) - 1) // 2]
        elif kind == "nominal":
            counts = [(stack[:, :, j] == level).sum(axis=0) for level in range(holes.levels[j])]
            out[:, j] = np.argmax(counts, axis=0)
    return np.where(holes.hidden, out, holes.codes)


def margins(holes: Holes, rng: np.random.Generator, m: int) -> Imputed:
    """Mean, median or most frequent level; draws are observed values of the column."""
    begin = time.process_time()
    point = holes.codes.copy()
    draws = [holes.codes.copy() for _ in range(m)]
    for j, kind in enumerate(holes.kinds):
        missing = np.isnan(point[:, j])
        seen = point[~missing, j]
        if kind == "number":
            point[missing, j] = seen.mean()
        elif kind == "ordered":
            point[missing, j] = np.sort(seen)[(len(seen) - 1) // 2]
        else:
            point[missing, j] = np.bincount(seen.astype(int)).argmax()
        for draw in draws:
            draw[missing, j] = rng.choice(seen, missing.sum())
    return Imputed(point, draws, time.process_time() - begin)


def posterior_draws(imputer: MissingDataImputerEM, rows: Any, m: int) -> list[Any]:
    """Draws of a fitted imputer."""
    return [
        imputer.set_params(sample_posterior=True, random_state=seed).transform(rows)
        for seed in range(m)
    ]


def em(holes: Holes, rng: np.random.Generator, m: int, **parameters: Any) -> Imputed:
    """Our imputer on the frame as it is."""
    begin = time.process_time()
    imputer = MissingDataImputerEM(**with_seed(parameters)).set_output(transform="pandas")
    point = imputer.fit_transform(holes.frame)
    draws = posterior_draws(imputer, holes.frame, m)
    return Imputed(point, draws, time.process_time() - begin)


def one_hot(holes: Holes, rng: np.random.Generator, m: int, **parameters: Any) -> Imputed:
    """Our imputer on numbers and a column of 0 and 1 for each level."""
    dummies = Dummies(holes, first=True)
    rows = dummies.encoded()
    begin = time.process_time()
    imputer = MissingDataImputerEM(**with_seed(parameters))
    point = imputer.fit_transform(rows)
    draws = posterior_draws(imputer, rows, m)
    seconds = time.process_time() - begin
    return Imputed(dummies.decoded(point), [dummies.decoded(draw) for draw in draws], seconds)


def with_seed(parameters: dict[str, Any]) -> dict[str, Any]:
    unknown = set(parameters) - set(inspect.signature(MissingDataImputerEM).parameters)
    if unknown:
        raise ValueError(f"MissingDataImputerEM has no parameter {', '.join(sorted(unknown))}")
    return {"random_state": 0} | parameters


def iterative(holes: Holes, rng: np.random.Generator, m: int) -> Imputed:
    """IterativeImputer by Bayesian ridge regression, all but the first level as dummies."""
    dummies = Dummies(holes, first=False)
    rows = dummies.encoded()
    begin = time.process_time()
    point = IterativeImputer(random_state=0).fit_transform(rows)
    draws = [
        IterativeImputer(sample_posterior=True, random_state=seed).fit_transform(rows)
        for seed in range(min(m, FEW))
    ]
    seconds = time.process_time() - begin
    return Imputed(dummies.decoded(point), [dummies.decoded(draw) for draw in draws], seconds)


def trees(holes: Holes, rng: np.random.Generator, m: int) -> Imputed:
    """IterativeImputer by extremely randomized trees."""
    dummies = Dummies(holes, first=False)
    rows = dummies.encoded()
    begin = time.process_time()
    forest = ExtraTreesRegressor(n_estimators=40, random_state=0)
    point = IterativeImputer(forest, max_iter=4, random_state=0).fit_transform(rows)
    return Imputed(dummies.decoded(point), [], time.process_time() - begin)


def neighbours(holes: Holes, rng: np.random.Generator, m: int) -> Imputed:
    dummies = Dummies(holes, first=True)
    rows = dummies.encoded()
    begin = time.process_time()
    point = KNNImputer(n_neighbors=10, weights="distance").fit_transform(rows)
    return Imputed(dummies.decoded(point), [], time.process_time() - begin)


def plain(holes: Holes) -> pd.DataFrame:
    """Floats and categories of codes, in columns named c0, c1, ..."""
    columns: dict[str, Any] = {}
    for j, kind in enumerate(holes.kinds):
        codes = holes.codes[:, j]
        if kind == "number":
            columns[f"c{j}"] = codes
        else:
            whole = np.where(np.isnan(codes), -1, codes).astype(int)
            columns[f"c{j}"] = pd.Categorical.from_codes(
                whole, range(holes.levels[j]), ordered=kind == "ordered"
            )
    return pd.DataFrame(columns)


def miceforest(holes: Holes, rng: np.random.Generator, m: int) -> Imputed:
    import miceforest as package

    frame, number = plain(holes), min(m, FEW)
    begin = time.process_time()
    kernel = package.ImputationKernel(frame, num_datasets=number, random_state=0)
    kernel.mice(FEW, verbose=False, num_threads=1)
    draws = [kernel.complete_data(i).astype(float).to_numpy() for i in range(number)]
    return Imputed(pooled(draws, holes), draws, time.process_time() - begin)


def gcimpute(holes: Holes, rng: np.random.Generator, m: int) -> Imputed:
    """Gaussian copula; it takes the codes of nominal levels as ordered."""
    vars(np).setdefault("round_", np.round)  # NumPy 2 has it no more
    from gcimpute.gaussian_copula import GaussianCopula

    begin = time.process_time()
    model = GaussianCopula(random_state=0)
    point = model.fit_transform(X=holes.codes.copy())
    samples = model.sample_imputation(X=holes.codes.copy(), num=m)
    seconds = time.process_time() - begin
    draws = [to_levels(samples[..., i], holes) for i in range(m)]
    return Imputed(to_levels(point, holes), draws, seconds)


def to_levels(rows: np.ndarray, holes: Holes) -> np.ndarray:
    """Codes that a peer took for numbers, at the nearest level."""
    out = np.where(holes.hidden, rows, holes.codes)
    for j, levels in enumerate(holes.levels):
        if levels:
            out[:, j] = np.clip(np.rint(out[:, j]), 0, levels - 1)
    return out


def in_r(package: str, holes: Holes, rng: np.random.Generator, m: int, limit: float) -> Imputed:
    signs = [-1 if kind == "ordered" else 1 for kind in holes.kinds]
    number = 1 if package == "missForest" else min(m, FEW)
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        write_table(directory / "0.csv", np.vstack((np.multiply(signs, holes.levels), holes.codes)))
        run_each(SCRIPT, directory, ["0"], limit, package, str(number))
        values = read_values(directory, "0")
    draws = np.repeat(holes.codes[None], number, axis=0)
    # R keeps tables column by column.
    draws.transpose(0, 2, 1)[np.isnan(draws).transpose(0, 2, 1)] = values[1:]
    if package == "missForest":
        return Imputed(draws[0], [], float(values[0]))
    return Imputed(pooled(draws, holes), list(draws), float(values[0]))


#: Seconds that one imputation may take.
LIMIT = 900.0

OURS: dict[str, Callable[..., Imputed]] = {"emlearn": em, "one-hot": one_hot}
PEERS: dict[str, Impute] = {
    "IterativeImputer": iterative,
    "ExtraTrees": trees,
    "KNNImputer": neighbours,
    "mice": partial(in_r, "mice", limit=LIMIT),
    "missForest": partial(in_r, "missForest", limit=LIMIT),
    "missRanger": partial(in_r, "missRanger", limit=LIMIT),
    "miceforest": miceforest,
    "gcimpute": gcimpute,
}
