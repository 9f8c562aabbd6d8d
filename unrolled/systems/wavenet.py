"""wavenet: sound sample by sample through dilated convolutions. Source: van den Oord et al. 2016."""

from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from unrolled.backbones import Convolution
from unrolled.codecs.sound import SoundCodec
from unrolled.core.contracts import Budget, System
from unrolled.data.sampling import Streams
from unrolled.heads.categorical import Categorical
from unrolled.models.sequence import SequenceModel
from unrolled.systems.sound import COMMANDS, FIELD_WIDTH, preset, sound_model
from unrolled.training.recipe import Recipe

# Sizes as published: "full" is that of nv-wavenet, "ibab" and "r9y9" are those of two widely used implementations.
PRESETS: dict[str, dict[str, Any]] = {
    "live": {"cycles": 2, "layers": 10, "kernel": 2, "width": 32, "gate": 32, "skip": 128},
    "full": {"cycles": 3, "layers": 10, "kernel": 2, "width": 64, "gate": 64, "skip": 256},
    "ibab": {"cycles": 5, "layers": 10, "kernel": 2, "width": 32, "gate": 32, "skip": 512},
    "r9y9": {"cycles": 3, "layers": 10, "kernel": 3, "width": 128, "gate": 128, "skip": 128},
}


@dataclass(frozen=True)
class Config:
    """Settings of wavenet; sizes left out are those of the preset."""

    preset: Literal["live", "full", "ibab", "r9y9"] = "live"
    """live: small enough for sound as it is made; full, ibab, r9y9: published sizes."""
    rate: int = 16000
    """Samples per second."""
    levels: int = 256
    """Levels of a sample."""
    companding: Literal["linear", "mu-law"] = "mu-law"
    """How levels are spread: evenly, or finer near silence."""
    cycles: int | None = None
    """Times that the dilations 1, 2, 4, ... are gone through."""
    layers: int | None = None
    """Layers of one cycle; the taps of layer n are 2 to the power of n apart, counted from 0."""
    kernel: int | None = None
    """Taps of each layer."""
    width: int | None = None
    """Width of the residual path."""
    gate: int | None = None
    """Width of each half of the gate."""
    skip: int | None = None
    """Width of the skip path."""
    dropout: float = 0.0
    """Share of the last units dropped in training."""


def build(config: Config, codec: SoundCodec, field_sizes: tuple[int, ...]) -> SequenceModel:
    """Embedded levels, gated dilated layers with skips, softmax."""
    assert config.cycles and config.layers and config.kernel and config.width and config.gate and config.skip
    dilations = tuple(2**layer for layer in range(config.layers)) * config.cycles
    backbone = Convolution(
        config.width, config.width, dilations=dilations, kernel=config.kernel, gate_width=config.gate,
        skip_width=config.skip, dropout=config.dropout, vector_width=FIELD_WIDTH if field_sizes else 0,
    )  # fmt: skip
    head = Categorical(config.skip, codec.size)
    return sound_model(codec, nn.Embedding(codec.size, config.width), backbone, head, field_sizes)


def recipe(config: Config, budget: Budget) -> Recipe:
    """Eight streams of carried state under AdamW."""
    return Recipe(rows=8, length=1024, optimiser="adamw", learning_rate=2e-3, weight_decay=0.0)


SYSTEM = System(
    name="wavenet",
    summary="sound through dilated convolutions: the crispest samples, a fixed memory of some tenths of a second",
    Config=Config,
    commands=COMMANDS,
    codec=lambda config: SoundCodec(config.rate, config.levels, config.companding),
    complete=lambda config, budget: preset(config, PRESETS),
    build=build,
    recipe=recipe,
    batches=lambda config, part, recipe, seed: Streams(part, recipe.rows, recipe.length, seed),
    medium="sound",
)
