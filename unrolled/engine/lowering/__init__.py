"""From models to step programs. A model with a part that has no lowering still generates through torch."""

from unrolled.engine.lowering.builder import NotLowered
from unrolled.engine.lowering.sequence import lower, lower_backbone
from unrolled.engine.lowering.states import from_arrays, to_arrays

__all__ = ["NotLowered", "from_arrays", "lower", "lower_backbone", "to_arrays"]
