"""What the published parameters of a model are: their free coordinates, bounds and fixed entries.

A parameter space describes each published array by a part: entries that vary separately,
probabilities that sum to one, symmetric matrices, or a curved set with coordinates of its own.
The part says along which straight lines (or curves) the array can move. Information, fixed
parameters and degrees of freedom all come from this one description.
"""

from emlearn.engine.parameters._arranged import InParts, Repeated
from emlearn.engine.parameters._entries import Entries, Simplex, per_probability
from emlearn.engine.parameters._fixed import read_fixed
from emlearn.engine.parameters._matrices import Curved, Symmetric
from emlearn.engine.parameters._part import Array as Array
from emlearn.engine.parameters._part import Mask as Mask
from emlearn.engine.parameters._part import Part
from emlearn.engine.parameters._space import Coordinates, ParameterSpace
from emlearn.engine.parameters._space import Public as Public

__all__ = [
    "Coordinates",
    "Curved",
    "Entries",
    "InParts",
    "ParameterSpace",
    "Part",
    "Repeated",
    "Simplex",
    "Symmetric",
    "per_probability",
    "read_fixed",
]
