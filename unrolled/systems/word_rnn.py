"""word-rnn: words or sub-word pieces as symbols, embedded, through a recurrent network."""

from dataclasses import dataclass, replace
from typing import Literal

from torch import nn

from unrolled.backbones import GRU, LSTM, Stack, Stateless
from unrolled.codecs.text import TextCodec
from unrolled.core.contracts import NOMINAL_OPERATIONS, Budget, System
from unrolled.data.sampling import Streams
from unrolled.heads.categorical import Categorical
from unrolled.models.sequence import SequenceModel
from unrolled.systems.text import COMMANDS, embedding, nearest_multiple, scaled, sequence_model
from unrolled.training.recipe import Recipe

CELLS = {"gru": GRU, "lstm": LSTM}


@dataclass(frozen=True)
class Config:
    """Settings of word-rnn; sizes left out follow from the budget."""

    symbols: Literal["words", "bpe"] = "words"
    """What one symbol is: words with spaces and punctuation, or byte pairs merged on this corpus."""
    vocabulary: int = 4000
    """Most symbols to keep; rarer words are spelled in letters, rarer pairs in bytes."""
    cell: Literal["lstm", "gru"] = "lstm"
    """Kind of recurrent layer."""
    hidden: int | None = None
    """Units per layer, and width of the embedding."""
    layers: int = 1
    """Recurrent layers."""
    dropout: float | None = None
    """Share of the units dropped in training, before and after the recurrent layers."""


def complete(config: Config, budget: Budget) -> Config:
    """Wider for a longer budget, and more dropout the more often the text is read."""
    hidden = config.hidden or nearest_multiple(256 * (budget.operations / NOMINAL_OPERATIONS) ** 0.4, 64, 64, 1024)
    passes = budget.operations / (6 * hidden * (8 * hidden + config.vocabulary) * max(1, budget.symbols))
    dropout = config.dropout if config.dropout is not None else round(min(0.5, 0.2 + 0.02 * passes), 2)
    return replace(config, hidden=hidden, dropout=dropout)


def build(config: Config, codec: TextCodec, field_sizes: tuple[int, ...]) -> SequenceModel:
    """Embedding, dropout, recurrent layers, dropout, softmax with the embedding's weights."""
    assert config.hidden is not None and config.dropout is not None
    embed, width = embedding(codec, config.hidden)
    recurrent = CELLS[config.cell](width, config.hidden, layers=config.layers, dropout=config.dropout)
    drop = nn.Dropout(config.dropout)
    backbone = Stack(Stateless(drop, width), recurrent, Stateless(drop, config.hidden))
    head = Categorical(config.hidden, codec.size)
    nn.init.normal_(embed.weight, std=config.hidden**-0.5)
    head.project.weight = embed.weight
    return sequence_model(codec, embed, backbone, head, field_sizes)


def recipe(config: Config, budget: Budget) -> Recipe:
    """Sixteen streams of carried state or more, hidden matrices under Muon."""
    usual = Recipe(rows=16, length=32, optimiser="muon", learning_rate=3e-3, matrix_rate=0.04, weight_decay=0.01)
    return scaled(usual, budget)


SYSTEM = System(
    name="word-rnn",
    summary="words or sub-words through a recurrent network: longer memory per step, for a megabyte of text and more",
    Config=Config,
    commands=COMMANDS,
    codec=lambda config: (config.symbols, config.vocabulary),
    complete=complete,
    build=build,
    recipe=recipe,
    batches=lambda config, part, recipe, seed: Streams(part, recipe.rows, recipe.length, seed),
)
