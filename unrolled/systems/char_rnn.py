"""char-rnn: characters one at a time through a recurrent network. Source: Karpathy 2015."""

import math
from dataclasses import dataclass, replace
from typing import Literal

from torch import nn

from unrolled.backbones import GRU, LSTM, Elman, NestedLSTM, Stack, Stateless
from unrolled.codecs.text import TextCodec
from unrolled.core.contracts import NOMINAL_OPERATIONS, Budget, System
from unrolled.data.sampling import Streams
from unrolled.heads.categorical import Categorical
from unrolled.models.sequence import SequenceModel
from unrolled.systems.text import COMMANDS, embedding, nearest_multiple, scaled, sequence_model
from unrolled.training.recipe import Recipe

CELLS = {"elman": Elman, "gru": GRU, "lstm": LSTM, "nested-lstm": NestedLSTM}


@dataclass(frozen=True)
class Config:
    """Settings of char-rnn; sizes left out follow from the budget."""

    symbols: Literal["characters", "bytes"] = "characters"
    """What one symbol is."""
    cell: Literal["lstm", "gru", "elman", "nested-lstm"] = "lstm"
    """Kind of recurrent layer."""
    hidden: int | None = None
    """Units per layer."""
    layers: int = 1
    """Recurrent layers."""
    embedding: int = 0
    """Width of a learned embedding of symbols; 0 for one-hot."""
    dropout: float | None = None
    """Share of the last layer's units, and of those between layers, dropped in training."""


def complete(config: Config, budget: Budget) -> Config:
    """Wider for a longer budget; dropout where weights, times how often they read the text, far outnumber symbols."""
    hidden = config.hidden or nearest_multiple(width(budget), 128, 128, 1024)
    excess = budget.operations / (6 * max(1, budget.symbols) ** 2)  # six operations for each weight and symbol read
    dropout = config.dropout if config.dropout is not None else round(min(0.5, max(0.0, 0.01 * (excess - 6))), 2)
    return replace(config, hidden=hidden, dropout=dropout)


def width(budget: Budget) -> float:
    """The width that pays for 65 symbols; for more of them, the one at which reading a symbol costs as much.

    It costs 4 h (h + v) in the gates and h v in the softmax. Alphabets above 256 count as 256: no width would be left.
    """
    found, alphabet = 300 * (budget.operations / NOMINAL_OPERATIONS) ** 0.3, max(65, min(256, budget.alphabet))
    linear = 5 * alphabet / 4
    return (math.sqrt(linear**2 + 4 * found * (found + 5 * 65 / 4)) - linear) / 2


def build(config: Config, codec: TextCodec, field_sizes: tuple[int, ...]) -> SequenceModel:
    """One-hot or embedded symbols, recurrent layers, dropout, softmax."""
    assert config.hidden is not None and config.dropout is not None
    embed, width = embedding(codec, config.embedding)
    recurrent = CELLS[config.cell](width, config.hidden, layers=config.layers, dropout=config.dropout)
    backbone = Stack(recurrent, Stateless(nn.Dropout(config.dropout), config.hidden))
    return sequence_model(codec, embed, backbone, Categorical(config.hidden, codec.size), field_sizes)


def recipe(config: Config, budget: Budget) -> Recipe:
    """Sixteen streams of carried state or more, hidden matrices under Muon."""
    usual = Recipe(rows=16, length=64, optimiser="muon", learning_rate=5e-3, matrix_rate=0.05, weight_decay=0.01)
    return scaled(usual, budget)


SYSTEM = System(
    name="char-rnn",
    summary="characters through a recurrent network: the best small model for minutes on a laptop",
    Config=Config,
    commands=COMMANDS,
    codec=lambda config: (config.symbols, None),
    complete=complete,
    build=build,
    recipe=recipe,
    batches=lambda config, part, recipe, seed: Streams(part, recipe.rows, recipe.length, seed),
)
