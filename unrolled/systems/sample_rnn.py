"""sample-rnn: sound through tiers of recurrent layers at several clock rates. Source: Mehri et al. 2017."""

from dataclasses import dataclass
from typing import Any, Literal

import torch

from unrolled.backbones import Tiers
from unrolled.codecs.sound import SoundCodec
from unrolled.core.contracts import Budget, System
from unrolled.data.sampling import Streams
from unrolled.heads.categorical import Categorical
from unrolled.models.levels import Levels
from unrolled.models.sequence import SequenceModel
from unrolled.systems.sound import COMMANDS, FIELD_WIDTH, preset, sound_model
from unrolled.training.recipe import Recipe

# Mehri et al. 2017, appendix A ("3-tier", "2-tier"); Carr and Zukowski 2018 ("dadabots").
PRESETS: dict[str, dict[str, Any]] = {
    "live": {"frames": (8, 2), "cell": "gru", "layers": 1, "skip": False, "width": 256, "embedding": 64},
    "3-tier": {"frames": (8, 2), "cell": "gru", "layers": 1, "skip": False, "width": 1024, "embedding": 256},
    "2-tier": {"frames": (16,), "cell": "gru", "layers": 3, "skip": False, "width": 1024, "embedding": 256},
    "dadabots": {"frames": (16,), "cell": "lstm", "layers": 5, "skip": True, "width": 1024, "embedding": 256},
}


@dataclass(frozen=True)
class Config:
    """Settings of sample-rnn; sizes left out are those of the preset."""

    preset: Literal["live", "3-tier", "2-tier", "dadabots"] = "live"
    """live: small enough for sound as it is made; 3-tier, 2-tier, dadabots: published sizes."""
    rate: int = 16000
    """Samples per second."""
    levels: int = 256
    """Levels of a sample."""
    companding: Literal["linear", "mu-law"] | None = None
    """How levels are spread: evenly, or finer near silence (default: linear, mu-law for dadabots)."""
    frames: tuple[int, ...] | None = None
    """Samples in a frame of each tier above the samples, the slowest first."""
    cell: Literal["gru", "lstm"] | None = None
    """Kind of recurrent layer."""
    layers: int | None = None
    """Recurrent layers of each tier."""
    skip: bool | None = None
    """Whether each layer reads the frame too, and each speaks to the tier below."""
    width: int | None = None
    """Units per layer."""
    embedding: int | None = None
    """Width of the learned vector of a level that the lowest tier reads."""


def codec(config: Config) -> SoundCodec:
    """Levels as the preset has them."""
    usual: Any = "mu-law" if config.preset == "dadabots" else "linear"
    return SoundCodec(config.rate, config.levels, config.companding or usual)


def build(config: Config, codec: SoundCodec, field_sizes: tuple[int, ...]) -> SequenceModel:
    """Values and embedded levels, tiers, softmax."""
    assert config.frames and config.cell and config.layers and config.width and config.embedding is not None
    backbone = Tiers(
        1 + config.embedding, config.width, frames=config.frames, cell=config.cell, layers=config.layers,
        skip=bool(config.skip), vector_width=FIELD_WIDTH if field_sizes else 0,
    )  # fmt: skip
    embed = Levels(torch.from_numpy(codec.values), config.embedding)
    return sound_model(codec, embed, backbone, Categorical(config.width, codec.size), field_sizes)


def recipe(config: Config, budget: Budget) -> Recipe:
    """Sixteen streams of carried state under Adam; at the published width of 1024 about the published rate of 1e-3."""
    assert config.width
    rate = 5e-3 * min(1.0, 256 / config.width)
    return Recipe(rows=16, length=512, optimiser="adamw", learning_rate=rate, weight_decay=0.0)


SYSTEM = System(
    name="sample-rnn",
    summary="sound through recurrent tiers at several clock rates: endless music that remembers where it is",
    Config=Config,
    commands=COMMANDS,
    codec=codec,
    complete=lambda config, budget: preset(config, PRESETS),
    build=build,
    recipe=recipe,
    batches=lambda config, part, recipe, seed: Streams(part, recipe.rows, recipe.length, seed),
    medium="sound",
)
