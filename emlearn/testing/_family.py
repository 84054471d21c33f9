"""`check_family`: checks of the contract of a family of distributions."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emlearn.distributions import Family
from emlearn.latent import LabelModel, MixtureLaw, Observations
from emlearn.latent.starts import RowsStart
from emlearn.testing._kit import check_latent_variable_model

Array = NDArray[Any]


def check_family(
    family: Family,
    X: Any,
    *,
    sample_weight: Array | None = None,
    n_components: int = 2,
    random_state: int = 0,
    max_iter: int = 20_000,
) -> None:
    """Check that a family fulfills its contract with the models that use it.

    The first property that does not hold raises an error:

    - `log_density` adds finite values to its output array;
    - rows have the same densities after `take`, and when they are encoded alone;
    - a row without observed entries has log-density 0;
    - the first axis of published parameters is the component, `public_names` are their
      names, and `shape_of` returns the numbers of components and features;
    - `from_public` restores published parameters: with the column spec of the fit, with one
      made without a fit, and with one of other rows. The densities are then those of the
      column spec that `unpenalized` returns. It refuses a parameter that is missing or not
      finite, and names it;
    - `encode` accepts the rows that `sample` draws;
    - the column spec and the parameters survive pickling;
    - a mixture of the family passes `check_latent_variable_model`: statistics add up, the
      M-step maximizes the expected log-density plus the log prior, a weight is equivalent to
      copies, `from_vector` undoes `to_vector`, and so on.

    Parameters
    ----------
    family : Family
        The family.
    X : ndarray or CSR array of shape (n_rows, n_features)
        Rows to fit, some with missing entries if the family accepts them.
    sample_weight : ndarray of shape (n_rows,), default=None
        Weights of the rows. None means 1 each.
    n_components : int, default=2
        Number of components. EM is fast if the rows come from as many components.
    random_state : int, default=0
        Seed of all random numbers.
    max_iter : int, default=20000
        Maximum number of EM steps of a fit.

    Raises
    ------
    AssertionError
        If a property does not hold. The message says what is wrong and where to look.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn.distributions import Poisson
    >>> from emlearn.testing import check_family
    >>> rng = np.random.default_rng(0)
    >>> X = rng.poisson(np.where(rng.random((200, 1)) < 0.5, 1.0, 6.0), (200, 2)).astype(float)
    >>> check_family(Poisson(), X)
    """
    family = family.at_columns(None, X.shape[1])
    _check_rows(family, X, sample_weight, n_components, random_state)
    weight = np.ones(X.shape[0]) if sample_weight is None else sample_weight
    check_latent_variable_model(
        LabelModel(MixtureLaw(n_components), family, RowsStart()),
        Observations(X),
        sample_weight=weight,
        take=lambda observed, index: Observations(observed.X[index]),
        random_state=random_state,
        max_iter=max_iter,
    )


def _check_rows(
    family: Family, X: Any, sample_weight: Array | None, n_components: int, random_state: int
) -> None:
    name, n_rows = type(family).__name__, X.shape[0]
    rng = np.random.default_rng(random_state)

    def require(holds: Any, found: str, look_at: str) -> None:
        if not holds:
            raise AssertionError(f"{name}: {found}. Look at {look_at}.")

    column_spec = family.column_spec(X, sample_weight)
    rows = family.encode(X, column_spec)
    responsibilities = rng.dirichlet(np.ones(n_components), n_rows).T
    params = family.start(rows, responsibilities, column_spec, rng)
    precomputed = family.precompute(params, column_spec)

    def density(rows: Any, n: int) -> Array:
        out = np.zeros((n_components, n))
        family.log_density(rows, precomputed, out)
        return out

    plain = density(rows, n_rows)
    require(np.isfinite(plain).all(), "log-densities are not finite", "log_density and precompute")
    tolerance = 1e-9 * max(float(np.abs(plain).max()), 1.0)

    def same(a: Array, b: Array) -> bool:
        return bool(np.allclose(a, b, rtol=0.0, atol=tolerance))

    out = np.ones((n_components, n_rows))
    family.log_density(rows, precomputed, out)
    require(same(out, plain + 1.0), "log_density does not add to `out`", "log_density")
    for index in (slice(n_rows // 3, n_rows), rng.integers(n_rows, size=7)):
        expected = plain[:, index]
        taken = density(family.take(rows, index), expected.shape[1])
        require(same(taken, expected), "rows have different densities after take", "take")
        anew = density(family.encode(X[index], column_spec), expected.shape[1])
        require(
            same(anew, expected),
            "rows have different densities when they are encoded alone",
            "encode, which must use only the row and the column spec",
        )
    if not hasattr(X, "indptr"):
        empty = np.flatnonzero(np.isnan(np.asarray(X, np.float64)).all(axis=1))
        require(
            same(plain[:, empty], np.zeros((n_components, len(empty)))),
            "a row without observed entries has a log-density that is not 0",
            "log_density, which must integrate out missing entries",
        )
    published = family.to_public(params, column_spec)
    require(
        published and all(len(value) == n_components for value in published.values()),
        "the first axis of a published parameter is not the component",
        "to_public",
    )
    _check_published(family, X, params, column_spec, published, require)
    drawn = family.sample(params, column_spec, np.arange(50) % n_components, rng)
    require(drawn.shape == (50, X.shape[1]), "sample returns the wrong shape", "sample")
    family.encode(drawn, column_spec)
    again = family.precompute(*pickle.loads(pickle.dumps((params, column_spec))))
    out = np.zeros((n_components, n_rows))
    family.log_density(rows, again, out)
    require(same(out, plain), "pickling changes parameters", "the types of params and column_spec")


def _check_published(
    family: Family,
    X: Any,
    params: Any,
    column_spec: Any,
    published: dict[str, Array],
    require: Callable[[Any, str, str], None],
) -> None:
    require(
        tuple(published) == family.public_names,
        f"to_public returns {tuple(published)}, public_names are {family.public_names}",
        "public_names",
    )
    # What is published says nothing of a regularizer.
    column_spec = family.unpenalized(column_spec)
    n_components = len(next(iter(published.values())))
    shape = family.shape_of(published)
    require(
        tuple(shape) == (n_components, X.shape[1]),
        f"shape_of returns {shape} for {(n_components, X.shape[1])} components and features",
        "shape_of",
    )
    levels = family.levels(column_spec)
    require(
        levels is None or len(levels) == X.shape[1],
        "levels does not return one entry for each column",
        "levels",
    )

    def density(public: dict[str, Array], spec: Any, fitted: Any = None) -> Array:
        own = family.precompute(family.from_public(public, spec, fitted), spec)
        out = np.zeros((n_components, X.shape[0]))
        family.log_density(family.encode(X, spec), own, out)
        return out

    plain = np.zeros((n_components, X.shape[0]))
    family.log_density(family.encode(X, column_spec), family.precompute(params, column_spec), plain)
    size = max(float(np.abs(plain).max()), 1.0)

    def same(found: Array) -> bool:
        return bool(np.allclose(found, plain, rtol=0.0, atol=1e-8 * size))

    fitted = family.spec_of(published, column_spec)
    require(same(density(published, fitted)), "from_public changes the densities", "from_public")
    back = family.to_public(family.from_public(published, fitted), fitted)
    require(
        all(np.allclose(back[name], value, rtol=1e-8) for name, value in published.items()),
        "publishing parameters a second time changes them",
        "from_public and to_public",
    )
    # A fit to other rows, whose column spec may have a different center and scale. They include
    # every row, because the probability of an absent level would be lost.
    n_rows = X.shape[0]
    part = X[np.r_[:n_rows, : n_rows // 2]]
    other = family.unpenalized(family.column_spec(part))
    moved = family.to_public(family.from_public(published, other, column_spec), other)
    again = family.from_public(moved, column_spec, other)
    own = family.precompute(family.from_public(published, other, column_spec), other)
    out, expected = np.zeros((2, n_components, part.shape[0]))
    family.log_density(family.encode(part, other), own, out)
    family.log_density(
        family.encode(part, column_spec), family.precompute(again, column_spec), expected
    )
    require(
        np.allclose(out, expected, rtol=0.0, atol=1e-8 * size),
        "rows have different densities when the parameters come from a fit to other rows",
        "from_public, which must return parameters for the given column spec",
    )
    free = family.spec_of(published, None)
    freely = family.to_public(family.from_public(published, free), free)
    require(
        all(np.allclose(freely[name], value, rtol=1e-8) for name, value in published.items()),
        "parameters change without the column spec of a fit",
        "spec_of, which must make a column spec from the published parameters alone",
    )
    for name, value in published.items():
        without = {key: own for key, own in published.items() if key != name}
        for wrong in (without, {**without, name: value * np.nan}):
            try:
                family.from_public(wrong, column_spec)
            except ValueError as error:
                require(
                    name in str(error), f"the error about {name!r} does not name it", "from_public"
                )
            else:
                require(False, f"from_public accepts a missing or NaN {name!r}", "from_public")
