"""Covariance structures of Gaussian components, one file each."""

from emlearn.distributions.gaussian.structures._base import CovarianceFactor, CovarianceStructure
from emlearn.distributions.gaussian.structures._diag import DiagonalCovariance
from emlearn.distributions.gaussian.structures._eev import RotatedCovariance
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

__all__ = [
    "STRUCTURES",
    "CovarianceFactor",
    "CovarianceStructure",
    "DiagonalCovariance",
    "FullCovariance",
    "RotatedCovariance",
    "SphericalCovariance",
    "TiedCovariance",
]
