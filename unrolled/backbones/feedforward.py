"""What a Transformer applies to every symbol alone."""

from typing import Literal

import torch.nn.functional as F
from torch import nn

from unrolled.core.shapes import Float, Tensor


class GELU(nn.Module):
    """Two linear maps around a Gaussian error linear unit, exact or by the tanh approximation that GPT-2 has."""

    def __init__(self, width: int, hidden: int, *, form: Literal["exact", "tanh"] = "tanh", bias: bool = True) -> None:
        super().__init__()
        self.input = nn.Linear(width, hidden, bias=bias)
        self.output = nn.Linear(hidden, width, bias=bias)
        self.approximate = "none" if form == "exact" else "tanh"

    def forward(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """Each symbol alone."""
        return self.output(F.gelu(self.input(x), approximate=self.approximate))


class SwiGLU(nn.Module):
    """A gated unit with the sigmoid linear unit, without biases. Source: Shazeer 2020, eq. 6."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False)
        self.input = nn.Linear(width, hidden, bias=False)
        self.output = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """Each symbol alone."""
        return self.output(F.silu(self.gate(x)) * self.input(x))
