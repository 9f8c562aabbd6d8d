"""The shape legend: the only single letters that name an axis anywhere in this package.

b batch · t time · i input width · o output width · d width · h heads · v vocabulary · s source positions
"""

from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

__all__ = ["Bool", "Float", "Int", "Shaped", "Tensor"]
