"""A distribution over a finite alphabet."""

import torch
from torch import nn

from unrolled.core.draws import Draws
from unrolled.core.shapes import Float, Int, Tensor
from unrolled.heads.symbols import SymbolHead


class Categorical(SymbolHead):
    """A linear layer and a softmax; its loss is the mean negative log probability in nats per symbol."""

    def __init__(self, width: int, size: int, *, bias: bool = True) -> None:
        super().__init__()
        self.project = nn.Linear(width, size, bias=bias)

    def logits(self, features: Float[Tensor, "*b o"]) -> Float[Tensor, "*b v"]:
        """Unnormalised log probabilities, in float32 or wider."""
        logits = self.project(features)
        return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits

    def losses(self, features: Float[Tensor, "b t o"], target: Int[Tensor, "b t"]) -> Float[Tensor, "b t"]:
        """Nats of each symbol of `target`."""
        logits = self.logits(features)
        return nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none").view_as(target)

    def sample(self, features: Float[Tensor, "b o"], previous: Int[Tensor, " b"], draws: Draws) -> Int[Tensor, " b"]:
        """One symbol per row, by inverting the cumulative distribution in float64."""
        cumulative = self.logits(features).double().softmax(-1).cumsum(-1)
        threshold = torch.as_tensor(draws.uniform(), device=cumulative.device)[:, None] * cumulative[:, -1:]
        return (cumulative <= threshold).sum(-1).clamp(max=cumulative.shape[-1] - 1)
