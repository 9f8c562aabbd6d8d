"""Tiny models and codecs that generation is tested on."""

import numpy as np
import pytest
import torch
from torch import nn

from unrolled.codecs.text import TextCodec
from unrolled.core.protocol import Backbone, advance
from unrolled.core.shapes import Tensor


class Table(nn.Module):
    """A head whose features are the logits."""

    def logits(self, features: Tensor) -> Tensor:
        return features


class Recurrent(Backbone):
    """A GRU cell that also sees its own clock, so that a window read at the wrong place shows."""

    def __init__(self, size: int, width: int, limit: int | None) -> None:
        super().__init__()
        self.input_width, self.output_width, self.position_limit = width, size, limit
        self.cell, self.out = nn.GRUCell(width, width), nn.Linear(width, size)

    def init_state(self, batch, context=None):
        hidden = self.zeros(batch, self.cell.hidden_size)
        hidden = hidden if context is None or context.vector is None else hidden + context.vector
        return hidden, torch.zeros(batch, dtype=torch.int64)

    def step(self, x, state):
        hidden, clock = state
        assert self.position_limit is None or int(clock.max()) < self.position_limit, "clock beyond the table"
        hidden = self.cell(x + torch.sin(clock)[:, None], hidden)
        return 4 * self.out(hidden), (hidden, clock + 1)


class Tiny(nn.Module):
    """A sequence model with random weights: symbols 0..size-3, then begin and end."""

    def __init__(self, size: int = 7, width: int = 8, limit: int | None = None, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.embed, self.backbone = nn.Embedding(size, width), Recurrent(size, width, limit)
        self.head, self.begin, self.end, self.size = Table(), size - 2, size - 1, size
        self.eval().requires_grad_(False)

    @property
    def position_limit(self) -> int | None:
        return self.backbone.position_limit

    def init_state(self, batch, context=None):
        return self.backbone.init_state(batch, context)

    def step(self, symbol, control, state):
        x = self.embed(symbol)
        return self.backbone.step(x if control is None else x + control, state)

    def read(self, symbols, lengths, state):
        return advance(self.backbone, self.embed(symbols), lengths, state)

    def done(self, symbol, state):
        return symbol == self.end


class Letters(TextCodec):
    """The codec of `Tiny`: a, b, c ..., then begin and end."""

    kind = "letters"

    def __init__(self, size: int = 7) -> None:
        super().__init__([bytes([97 + symbol]) for symbol in range(size - 2)], unknown=False)

    def encode(self, text, unknown="refuse"):
        return np.array([ord(letter) - 97 for letter in text], np.int32)


@pytest.fixture(scope="session")
def tiny() -> type[Tiny]:
    """The class of tiny models."""
    return Tiny


@pytest.fixture(scope="session")
def letters() -> Letters:
    """A codec for the tiny models."""
    return Letters()


@pytest.fixture(scope="session")
def nine_letters() -> Letters:
    """A codec of nine symbols."""
    return Letters(9)
