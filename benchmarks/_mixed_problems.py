"""Problems for mixed models: frames with a response "y", and the same model for all programs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from emlearn.datasets import load_sleepstudy


class Problem(NamedTuple):
    """Rows and a model.

    Attributes
    ----------
    frame : DataFrame
        The response "y" and the columns of the model.
    formula : str
        The model as lme4 writes it.
    settings : dict
        Parameters of `LinearMixedModelEM` for the same model.
    markers : ndarray of shape (n_levels, n_markers) or None
        Genotypes of the levels 0, 1, 2 ... of "animal".
    """

    frame: Any
    formula: str
    settings: dict[str, Any]
    markers: np.ndarray | None = None


def sleepstudy() -> Problem:
    """180 rows, 18 subjects, intercepts and slopes."""
    frame = load_sleepstudy(as_frame=True).frame.rename(columns={"Reaction": "y"})
    settings = {"groups": ["Subject"], "random_slopes": ["Days"]}
    return Problem(frame, "y ~ Days + (Days | Subject)", settings)


def slopes(n_rows: int = 100_000, n_groups: int = 5000, seed: int = 0) -> Problem:
    """Groups with correlated intercepts and slopes."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    group = rng.integers(n_groups, size=n_rows)
    x = rng.normal(size=n_rows)
    effects = rng.multivariate_normal([0.0, 0.0], [[1.0, 0.3], [0.3, 0.5]], n_groups)[group]
    y = 1.0 + effects[:, 0] + (2.0 + effects[:, 1]) * x + rng.normal(size=n_rows)
    frame = pd.DataFrame({"y": y, "x": x, "group": group})
    settings = {"groups": ["group"], "random_slopes": ["x"]}
    return Problem(frame, "y ~ x + (x | group)", settings)


def crossed(
    n_rows: int = 50_000, n_persons: int = 2000, n_items: int = 500, seed: int = 0
) -> Problem:
    """Persons crossed with items, of whom each answers a random part."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    person, item = rng.integers(n_persons, size=n_rows), rng.integers(n_items, size=n_rows)
    x = rng.normal(size=n_rows)
    y = 3.0 - x + rng.normal(size=n_persons)[person] + 0.7 * rng.normal(size=n_items)[item]
    y += 1.5 * rng.normal(size=n_rows)
    frame = pd.DataFrame({"y": y, "x": x, "person": person, "item": item})
    settings = {"groups": ["person", "item"]}
    return Problem(frame, "y ~ x + (1 | person) + (1 | item)", settings)


def genomic(n: int = 5000, n_markers: int = 50_000, seed: int = 0) -> Problem:
    """One row of each animal; all markers have small effects, and heritability is 0.5."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    frequency = rng.uniform(0.05, 0.5, n_markers)
    markers = np.empty((n, n_markers), np.int8)
    for j in range(n_markers):
        markers[:, j] = rng.binomial(2, frequency[j], n)
    value = np.zeros(n)
    for part in np.array_split(np.arange(n_markers), 50):
        value += (markers[:, part] - 2.0 * frequency[part]) @ rng.normal(size=len(part))
    x = rng.normal(size=n)
    y = 1.0 + 0.5 * x + value / value.std() + rng.normal(size=n)
    frame = pd.DataFrame({"y": y, "x": x, "animal": np.arange(n)})
    return Problem(frame, "y ~ x + (1 | animal)", {"groups": ["animal"]}, markers)
