"""Models as a person would write them by hand in PyTorch, with nothing of ours in them."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BareRecurrent(nn.Module):
    """One-hot symbols, a recurrent network of torch, a linear layer."""

    def __init__(self, kind: Any, size: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.size = size
        self.recurrent = kind(size, hidden, layers, batch_first=True)
        self.output = nn.Linear(hidden, size)

    def forward(self, symbols: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Logits and the state to carry."""
        features, state = self.recurrent(F.one_hot(symbols, self.size).float(), state)
        return self.output(features), state


class BareBlock(nn.Module):
    """A block of nanoGPT's shape: fused query, key and value, no biases, exact GELU."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width, bias=False) for _ in range(2))
        self.mixed = nn.Linear(width, 3 * width, bias=False)
        self.joined = nn.Linear(width, width, bias=False)
        self.wide = nn.Linear(width, 4 * width, bias=False)
        self.narrow = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The residual path after this block."""
        rows, time, width = x.shape
        parts = self.mixed(self.norms[0](x)).view(rows, time, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*parts.unbind(0), is_causal=True)
        x = x + self.joined(mixed.transpose(1, 2).reshape(rows, time, width))
        return x + self.narrow(F.gelu(self.wide(self.norms[1](x))))


class BareGPT(nn.Module):
    """nanoGPT's shape with tied weights."""

    def __init__(self, size: int, width: int, layers: int, heads: int, context: int) -> None:
        super().__init__()
        self.symbols, self.positions = nn.Embedding(size, width), nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(BareBlock(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width, bias=False)

    def forward(self, symbols: Tensor, state: None) -> tuple[Tensor, None]:
        """Logits, and no state."""
        x = self.symbols(symbols) + self.positions(torch.arange(symbols.shape[1]))
        return F.linear(self.norm(self.blocks(x)), self.symbols.weight), None
