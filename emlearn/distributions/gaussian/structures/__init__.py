"""Covariance structures of Gaussian components, one file each."""

from numbers import Integral

from emlearn.distributions.gaussian.structures._base import CovarianceFactor, CovarianceStructure
from emlearn.distributions.gaussian.structures._diag import DiagonalCovariance
from emlearn.distributions.gaussian.structures._eev import RotatedCovariance
from emlearn.distributions.gaussian.structures._factor import FactorCovariance
from emlearn.distributions.gaussian.structures._full import FullCovariance
from emlearn.distributions.gaussian.structures._spherical import SphericalCovariance
from emlearn.distributions.gaussian.structures._tied import TiedCovariance

STRUCTURES: dict[str, CovarianceStructure] = {
    "full": FullCovariance(),
    "tied": TiedCovariance(),
    "diag": DiagonalCovariance(),
    "spherical": SphericalCovariance(),
    "EEV": RotatedCovariance(),
}


def find_structure(covariance_type: str, n_factors: int | None = None) -> CovarianceStructure:
    """The structure of a name, and of a number of factors where it needs one.

    Parameters
    ----------
    covariance_type : str
        A key of `STRUCTURES`, or "factor".
    n_factors : int, default=None
        Number of factors, for "factor" and only for this.

    Returns
    -------
    structure : CovarianceStructure
        The structure.

    Raises
    ------
    ValueError
        If the name is unknown, or the number of factors is missing, invalid or meaningless.
    """
    names = sorted({*STRUCTURES, FactorCovariance.name})
    if covariance_type not in names:
        raise ValueError(f"covariance_type must be one of {names}, got {covariance_type!r}.")
    if covariance_type != FactorCovariance.name:
        if n_factors is not None:
            raise ValueError(
                f"n_factors={n_factors!r} says nothing with covariance_type={covariance_type!r}. "
                'Set covariance_type="factor", or n_factors=None.'
            )
        return STRUCTURES[covariance_type]
    if n_factors is None:
        raise ValueError(
            'covariance_type="factor" needs the number of factors: set n_factors, also in '
            'family=Gaussian("factor", n_factors=2).'
        )
    if isinstance(n_factors, bool) or not isinstance(n_factors, Integral) or n_factors < 1:
        raise ValueError(f"n_factors must be an int >= 1, got {n_factors!r}.")
    return FactorCovariance(int(n_factors))


__all__ = [
    "STRUCTURES",
    "CovarianceFactor",
    "CovarianceStructure",
    "DiagonalCovariance",
    "FactorCovariance",
    "FullCovariance",
    "RotatedCovariance",
    "SphericalCovariance",
    "TiedCovariance",
    "find_structure",
]
