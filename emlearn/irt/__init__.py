"""Item response theory: the latent traits of persons and the parameters of items."""

from emlearn.irt._item_response import ItemResponseEM
from emlearn.irt._prior import ItemPrior

__all__ = ["ItemPrior", "ItemResponseEM"]
