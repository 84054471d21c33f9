"""Imputers as adapters: one value of each missing entry, or several draws."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from _rscript import read_values, run_each, write_table
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401  (importing it allows the next)
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

from emlearn.impute import MissingDataImputerEM, multiple_imputation

SCRIPT = Path(__file__).with_name("imputation.R")
#: The smallest and the largest of 19 draws are a 90 % interval: the truth is as likely as any draw
#: to be the smallest or the largest of all twenty.
N_DRAWS = 19
#: Seconds that R may spend on one table.
LIMIT = 5.0

Impute = Callable[[np.ndarray], np.ndarray]


def trees() -> IterativeImputer:
    forest = ExtraTreesRegressor(n_estimators=20, random_state=0)
    return IterativeImputer(forest, max_iter=5, random_state=0)


POINT: dict[str, Impute] = {
    "emlearn": lambda X: MissingDataImputerEM(random_state=0).fit_transform(X),
    "IterativeImputer": lambda X: IterativeImputer(random_state=0).fit_transform(X),
    "KNNImputer": lambda X: KNNImputer().fit_transform(X),
    "ExtraTrees": lambda X: trees().fit_transform(X),
    "mean": lambda X: SimpleImputer().fit_transform(X),
}


def draw_ours(X: np.ndarray) -> np.ndarray:
    imputer = MissingDataImputerEM()
    return np.stack(list(multiple_imputation(imputer, X, n_imputations=N_DRAWS, random_state=0)))


def draw_iterative(X: np.ndarray) -> np.ndarray:
    imputers = [IterativeImputer(sample_posterior=True, random_state=i) for i in range(N_DRAWS)]
    return np.stack([imputer.fit_transform(X) for imputer in imputers])


DRAWS: dict[str, Impute] = {"emlearn": draw_ours, "IterativeImputer": draw_iterative}


def timed(impute: Impute, X: np.ndarray) -> tuple[float, np.ndarray]:
    """Seconds of the processor, and what was imputed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        begin = time.process_time()
        out = impute(X)
        return time.process_time() - begin, out


def draw_in_r(package: str, tables: list[np.ndarray]) -> Iterator[tuple[float, np.ndarray] | str]:
    """Seconds and draws of each table, or why the package failed."""
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        for i, table in enumerate(tables):
            write_table(directory / f"{i}.csv", table)
        names = [str(i) for i in range(len(tables))]
        run_each(SCRIPT, directory, names, LIMIT, package, str(N_DRAWS))
        for name, table in zip(names, tables, strict=True):
            try:
                values = read_values(directory, name)
            except ValueError as error:
                yield str(error)
                continue
            draws = np.repeat(table[None], N_DRAWS, axis=0)
            # R keeps tables column by column.
            draws.transpose(0, 2, 1)[np.isnan(draws).transpose(0, 2, 1)] = values[1:]
            yield float(values[0]), draws


PACKAGES = {name: partial(draw_in_r, name) for name in ("Amelia", "mice")}
