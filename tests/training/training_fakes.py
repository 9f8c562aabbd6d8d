"""The smallest model and sampler that satisfy the contracts of training."""

from typing import Any, NamedTuple

import torch
from torch import nn

from unrolled.core import state as states
from unrolled.core.contracts import Batch
from unrolled.core.draws import Draws
from unrolled.core.shapes import Tensor


class Memory(NamedTuple):
    """A carried state with two leaves."""

    hidden: Tensor
    clock: Tensor


Result = tuple[Tensor, Memory, dict[str, Tensor]]


class Core(nn.Module):
    """A GRU with dropout after it."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.layer = nn.GRU(width, width, batch_first=True)
        self.dropout = nn.Dropout(dropout)


class Tiny(nn.Module):
    """Embedding, GRU and softmax over a few symbols."""

    def __init__(self, size: int = 7, width: int = 32, dropout: float = 0.2) -> None:
        super().__init__()
        self.embed = nn.Embedding(size, width)
        self.backbone: Any = Core(width, dropout)
        self.head = nn.Linear(width, size)

    def losses(self, batch: Batch, state: Memory | None) -> tuple[Tensor, Memory]:
        """Nats of each target, and the state to carry."""
        rows, width = len(batch.restart), self.embed.embedding_dim
        fresh = Memory(torch.zeros(rows, width), torch.zeros(rows, dtype=torch.int64))
        entered: Memory = fresh if state is None else states.where(batch.restart, fresh, state)
        features, hidden = self.backbone.layer(self.embed(batch.inputs), entered.hidden[None].contiguous())
        logits = self.head(self.backbone.dropout(features))
        losses = nn.functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), reduction="none")
        return losses.view_as(batch.targets), Memory(hidden[0], entered.clock + batch.inputs.shape[1])

    def forward(
        self, batch: Batch, state: Memory | None, draws: Draws | None
    ) -> tuple[Tensor, Memory, dict[str, Tensor]]:
        """Loss, state and metrics."""
        losses, state = self.losses(batch, state)
        loss = torch.where(batch.mask, losses, 0).sum() / batch.mask.sum().clamp(min=1)
        return loss, state, {"nats": loss.detach()}


class Chunks:
    """Carried-state batches of a repeating sequence, five to an epoch; every other row is padded at its end."""

    steps_per_epoch = 5

    def __init__(self, rows: int = 4, length: int = 6, size: int = 7, only: slice = slice(None)) -> None:
        self.rows, self.length, self.size, self.only = rows, length, size, only

    def batch(self, step: int) -> Batch:
        """The batch of one update."""
        epoch, chunk = divmod(step, self.steps_per_epoch)
        start = torch.arange(self.rows)[:, None] * 11 + epoch * 3 + chunk * self.length
        text = (start + torch.arange(self.length + 1)).square() % self.size
        mask = torch.ones(self.rows, self.length, dtype=torch.bool)
        mask[::2, -2:] = False
        batch = Batch(
            text[:, :-1], text[:, 1:], mask, torch.full((self.rows,), chunk == 0), torch.zeros(self.rows, 0).long()
        )
        return states.map_state(lambda leaf: leaf[self.only], batch)

    def shard(self, rank: int, world: int) -> "Chunks":
        """Every `world`-th row of the same batches."""
        return Chunks(self.rows, self.length, self.size, slice(rank, None, world))


def tiny(seed: int = 0, dropout: float = 0.2, width: int = 32) -> Tiny:
    """A tiny model whose weights follow from the seed."""
    torch.manual_seed(seed)
    return Tiny(dropout=dropout, width=width)
