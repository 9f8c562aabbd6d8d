"""window: the next character from the last n and from nothing else, the first model of every lecture."""

from dataclasses import dataclass, replace
from typing import Literal

from unrolled.backbones import Window
from unrolled.codecs.text import TextCodec
from unrolled.core.contracts import NOMINAL_OPERATIONS, Budget, System
from unrolled.data.sampling import Streams
from unrolled.heads.categorical import Categorical
from unrolled.models.sequence import SequenceModel
from unrolled.systems.text import COMMANDS, embedding, nearest_multiple, sequence_model
from unrolled.training.recipe import Recipe


@dataclass(frozen=True)
class Config:
    """Settings of window; sizes left out follow from the budget."""

    symbols: Literal["characters", "bytes"] = "characters"
    """What one symbol is."""
    window: int = 16
    """Symbols that the model sees."""
    embedding: int = 24
    """Width of a learned embedding of symbols; 0 for one-hot."""
    hidden: int | None = None
    """Units per hidden layer."""
    layers: int = 2
    """Hidden layers."""
    dropout: float = 0.1
    """Share of hidden units dropped in training."""


def complete(config: Config, budget: Budget) -> Config:
    """Wider for a longer budget."""
    hidden = config.hidden or nearest_multiple(384 * (budget.operations / NOMINAL_OPERATIONS) ** 0.4, 64, 64, 1024)
    return replace(config, hidden=hidden)


def build(config: Config, codec: TextCodec, field_sizes: tuple[int, ...]) -> SequenceModel:
    """Embedded symbols, a multilayer perceptron over the window, softmax."""
    assert config.hidden is not None
    embed, width = embedding(codec, config.embedding)
    backbone = Window(width, config.hidden, window=config.window, layers=config.layers, dropout=config.dropout)
    return sequence_model(codec, embed, backbone, Categorical(config.hidden, codec.size), field_sizes)


def recipe(config: Config, budget: Budget) -> Recipe:
    """Sixteen streams whose state is the last window, hidden matrices under Muon."""
    return Recipe(rows=16, length=64, optimiser="muon", learning_rate=3e-3, matrix_rate=0.04, weight_decay=0.01)


SYSTEM = System(
    name="window",
    summary="the next character from the last n alone: the simplest predictor, to learn from and compare with",
    Config=Config,
    commands=COMMANDS,
    codec=lambda config: (config.symbols, None),
    complete=complete,
    build=build,
    recipe=recipe,
    batches=lambda config, part, recipe, seed: Streams(part, recipe.rows, recipe.length, seed),
)
