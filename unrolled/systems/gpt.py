"""gpt: a Transformer from scratch. Source: Radford et al. 2019 (gpt-2), Touvron et al. 2023 (llama)."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import nn

from unrolled.backbones.transformer import gpt2, llama
from unrolled.codecs.text import TextCodec
from unrolled.core.contracts import NOMINAL_OPERATIONS, Budget, System
from unrolled.core.errors import UsageError
from unrolled.data.encoded import Part
from unrolled.data.sampling import Streams, Windows
from unrolled.heads.categorical import Categorical
from unrolled.models.sequence import SequenceModel
from unrolled.systems.text import COMMANDS, embedding, nearest_multiple, scaled, sequence_model
from unrolled.training.recipe import Recipe


@dataclass(frozen=True)
class Config:
    """Settings of gpt; sizes left out follow from the budget."""

    symbols: Literal["characters", "bytes", "bpe"] = "characters"
    """What one symbol is."""
    vocabulary: int = 4096
    """Symbols of byte-pair encoding; the other kinds of symbols ignore it."""
    family: Literal["gpt-2", "llama"] = "llama"
    """gpt-2: learned positions, LayerNorm, GELU; llama: rotary positions, RMSNorm, SwiGLU, state carried on."""
    layers: int = 4
    """Transformer blocks."""
    heads: int = 4
    """Attention heads of each block."""
    width: int | None = None
    """Width of the residual path, a multiple of twice the heads."""
    context: int = 64
    """Symbols that each block sees."""
    dropout: float | None = None
    """Share of activations dropped in training."""


def complete(config: Config, budget: Budget) -> Config:
    """Wider for a longer budget, and more dropout the more often the text is read."""
    wanted = 160 * (budget.operations / NOMINAL_OPERATIONS) ** 0.3
    width = config.width or nearest_multiple(wanted, 2 * config.heads * 8, 2 * config.heads * 8, 1024)
    if width % (2 * config.heads):
        raise UsageError(f"width {width} does not divide into {config.heads} heads of even width: change --width")
    passes = budget.operations / (6 * 12 * config.layers * width**2 * max(1, budget.symbols))
    dropout = config.dropout if config.dropout is not None else round(min(0.3, 0.02 * passes), 2)
    return replace(config, width=width, dropout=dropout)


def build(config: Config, codec: TextCodec, field_sizes: tuple[int, ...]) -> SequenceModel:
    """Embedding, blocks, softmax with the embedding's weights."""
    assert config.width is not None and config.dropout is not None
    shape: dict[str, Any] = {"layers": config.layers, "heads": config.heads, "window": config.context}
    if config.family == "gpt-2":
        backbone = gpt2(config.width, **shape, form="exact", bias=False, dropout=config.dropout)
    else:
        hidden = nearest_multiple(config.width * 8 / 3, 16, 16, 1 << 20)
        backbone = llama(config.width, **shape, hidden=hidden, dropout=config.dropout)
    embed, _ = embedding(codec, config.width)
    head = Categorical(config.width, codec.size, bias=False)
    nn.init.normal_(embed.weight, std=0.02)
    head.project.weight = embed.weight
    return sequence_model(codec, embed, backbone, head, field_sizes)


def recipe(config: Config, budget: Budget) -> Recipe:
    """As many rows as nanoGPT's CPU recipe or more, hidden matrices under Muon."""
    usual = Recipe(
        rows=12, length=config.context, optimiser="muon", learning_rate=3e-3, matrix_rate=0.04, weight_decay=0.01
    )
    return scaled(usual, budget)


def batches(config: Config, part: Part, recipe: Recipe, seed: int) -> Streams | Windows:
    """Learned positions begin anew with each window; rotary ones have no limit, so state is carried on."""
    kind = Windows if config.family == "gpt-2" else Streams
    return kind(part, recipe.rows, recipe.length, seed)


SYSTEM = System(
    name="gpt",
    summary="a Transformer from scratch (gpt-2 or llama blocks): the architecture of large language models, small",
    Config=Config,
    commands=COMMANDS,
    codec=lambda config: (config.symbols, config.vocabulary if config.symbols == "bpe" else None),
    complete=complete,
    build=build,
    recipe=recipe,
    batches=batches,
)
