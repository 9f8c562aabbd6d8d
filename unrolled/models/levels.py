"""How levels of sound enter a model."""

import torch
from torch import nn

from unrolled.core.shapes import Float, Int, Tensor


class Levels(nn.Module):
    """Symbols of sound as numbers, each followed by a learned vector of width `width`, if that is not 0.

    `values` has one entry per symbol, those of begin and end included.
    """

    values: Float[Tensor, "v 1"]

    def __init__(self, values: Float[Tensor, " v"], width: int) -> None:
        super().__init__()
        self.register_buffer("values", values.unsqueeze(1), persistent=False)
        self.table = nn.Embedding(len(values), width) if width else None

    def forward(self, symbols: Int[Tensor, "*b"]) -> Float[Tensor, "*b i"]:
        """The number and the vector of each symbol."""
        values = self.values[symbols]
        return values if self.table is None else torch.cat([values, self.table(symbols)], -1)
