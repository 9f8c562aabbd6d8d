"""Heads over symbols."""

import torch

from unrolled.core.contracts import Head
from unrolled.core.shapes import Bool, Float, Int, Tensor


class SymbolHead(Head):
    """A head with a likelihood, of which rules of generation ask the `logits` of every symbol."""

    def logits(self, features: Float[Tensor, "*b o"]) -> Float[Tensor, "*b v"]:
        """Log probabilities, unnormalised perhaps, in float32 or wider; -inf for what never comes."""
        raise NotImplementedError

    def losses(self, features: Float[Tensor, "b t o"], target: Int[Tensor, "b t"]) -> Float[Tensor, "b t"]:
        """Nats of each symbol of `target`."""
        raise NotImplementedError

    def log_prob(
        self, features: Float[Tensor, "b t o"], previous: Int[Tensor, "b t"], target: Int[Tensor, "b t"]
    ) -> Float[Tensor, "b t"]:
        """Log probability of each symbol of `target`."""
        return -self.losses(features, target)

    def loss(
        self,
        features: Float[Tensor, "b t o"],
        previous: Int[Tensor, "b t"],
        target: Int[Tensor, "b t"],
        mask: Bool[Tensor, "b t"],
    ) -> Float[Tensor, ""]:
        """Mean nats over the positions where `mask` is true; 0 if there are none."""
        losses = self.losses(features, target)
        return torch.where(mask, losses, 0).sum() / mask.sum().clamp(min=1)
