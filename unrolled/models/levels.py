"""How levels of sound enter a model."""

import math

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


def waves(values: Float[Tensor, " v"], width: int) -> Float[Tensor, "v i"]:
    """Sines and cosines of evenly spread values from -1 to 1, in which those that are close are alike.

    The slowest makes half a turn over all values, the fastest a quarter from one value to the next.
    """
    count = (width + 1) // 2
    powers = torch.linspace(0, 1, count, device=values.device) if count > 1 else values.new_zeros(1)
    angles = values.unsqueeze(1) * (math.pi / 2) * (len(values) / 2) ** powers
    return torch.cat([angles.sin(), angles.cos()], 1)[:, :width]
