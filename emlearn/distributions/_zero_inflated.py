"""Counts with extra zeros; see `_negative_binomial` for the mathematics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from emlearn.distributions._contract import Family
from emlearn.distributions._count_tables import HIGHEST_DISPERSION
from emlearn.distributions._negative_binomial import CountFamily, NegativeBinomial
from emlearn.distributions._poisson import Poisson

_PLAIN = Poisson()
_INFLATION = {"inflation": (0.0, 1.0)}
_POISSON = {**_INFLATION, "rate": (0.0, 1e300)}
_NEGATIVE_BINOMIAL = {
    **_INFLATION,
    "mean": (0.0, 1e300),
    "dispersion": (0.0, HIGHEST_DISPERSION),
}


@dataclass(frozen=True)
class ZeroInflated(CountFamily):
    """Independent counts of which some are 0 for a reason of their own.

    With probability ``inflation`` a count is an extra zero; otherwise it comes from the family.
    Published: ``"inflation"`` and the parameters of the family, ``"rate"``, or ``"mean"`` and
    ``"dispersion"``, which are those of the counts that are no extra zeros; each of shape
    (n_components, n_features).

    Parameters
    ----------
    family : Poisson or NegativeBinomial, default=Poisson()
        Family of the counts. Its `alpha` is the number of pseudo-rows in each component, which
        are distributed as the rows of the column.

    Raises
    ------
    TypeError
        If `family` is neither.

    Notes
    -----
    The inflation is 0 where there are fewer zeros than the family expects. The M-step repeats
    conditional maximizations, which never lower the objective: of the mean and dispersion given
    the expected number of extra zeros, and of the inflation given these. If all counts of a
    component are 0, its inflation cannot be told from a mean of 0.

    References
    ----------
    D. Lambert (1992). "Zero-inflated Poisson regression, with an application to defects in
    manufacturing". Technometrics 34(1), 1-14.

    Examples
    --------
    >>> import numpy as np
    >>> from emlearn import FiniteMixtureEM
    >>> from emlearn.distributions import NegativeBinomial, ZeroInflated
    >>> rng = np.random.default_rng(0)
    >>> calls = rng.poisson([[2.0]] * 300 + [[12.0]] * 300) * (rng.random((600, 1)) > 0.3)
    >>> mixture = FiniteMixtureEM(2, family=ZeroInflated(), random_state=0).fit(calls)
    >>> mixture.n_features_in_
    1
    >>> overdispersed = ZeroInflated(NegativeBinomial())
    >>> overdispersed.public_names
    ('inflation', 'mean', 'dispersion')
    """

    family: Family = _PLAIN

    def __post_init__(self) -> None:
        if not isinstance(self.family, Poisson | NegativeBinomial):
            raise TypeError(
                "The family of ZeroInflated must be Poisson() or NegativeBinomial() of "
                f"emlearn.distributions; got {self.family!r}."
            )

    @property
    def alpha(self) -> float:  # type: ignore[override]  # that of the family
        """Number of pseudo-rows."""
        return float(self.family.alpha)  # type: ignore[attr-defined]  # checked above

    @property
    def bounds(self) -> Mapping[str, tuple[float, float]]:  # type: ignore[override]  # by family
        """See `LinearFamily`."""
        return _POISSON if isinstance(self.family, Poisson) else _NEGATIVE_BINOMIAL

    @property
    def first(self) -> tuple[float, ...]:  # type: ignore[override]  # by family
        """See `LinearFamily`."""
        return (0.2, 1.0, 1.0)[: len(self.bounds)]

    pooled_steps = 10
