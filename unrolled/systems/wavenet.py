"""wavenet: sound sample by sample through dilated convolutions. Source: van den Oord et al. 2016."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from unrolled.backbones import Convolution
from unrolled.codecs.sound import SoundCodec
from unrolled.core.contracts import Budget, System
from unrolled.data.sampling import Streams
from unrolled.heads.categorical import Categorical
from unrolled.heads.logistics import Logistics
from unrolled.heads.symbols import SymbolHead
from unrolled.models.levels import Levels, waves
from unrolled.models.sequence import SequenceModel
from unrolled.systems.sound import COMMANDS, FIELD_WIDTH, preset, sound_model
from unrolled.training.recipe import Recipe

PLAIN: dict[str, Any] = {"head": "softmax", "levels": 256, "companding": "mu-law", "inlet": 1, "residual_scale": 1.0}
# Sizes as published: "full" is that of nv-wavenet, the others are those of two widely used implementations. The first
# filter of 32 taps that "ibab" is known for belongs to samples that enter as numbers; levels enter through two.
PRESETS: dict[str, dict[str, Any]] = {
    "live": {**PLAIN, "cycles": 2, "layers": 10, "kernel": 2, "width": 32, "gate": 32, "skip": 128},
    "full": {**PLAIN, "cycles": 3, "layers": 10, "kernel": 2, "inlet": 2, "width": 64, "gate": 64, "skip": 256},
    "ibab": {**PLAIN, "cycles": 5, "layers": 10, "kernel": 2, "inlet": 2, "width": 32, "gate": 32, "skip": 512},
    "r9y9": {
        **PLAIN, "cycles": 3, "layers": 10, "kernel": 3, "width": 128, "gate": 128, "skip": 128,
        "residual_scale": math.sqrt(0.5),
    },
    "r9y9-logistics": {
        "head": "logistics", "levels": 65536, "companding": "linear", "inlet": 1, "cycles": 4, "layers": 6,
        "kernel": 3, "width": 512, "gate": 256, "skip": 256, "residual_scale": math.sqrt(0.5),
    },
}  # fmt: skip


@dataclass(frozen=True)
class Config:
    """Settings of wavenet; what is left out is as in the preset."""

    preset: Literal["live", "full", "ibab", "r9y9", "r9y9-logistics"] = "live"
    """live: small enough for sound as it is made; the others: published sizes."""
    rate: int = 16000
    """Samples per second."""
    head: Literal["softmax", "logistics"] | None = None
    """softmax: a probability for each level; logistics: ten mixed bells over evenly spread levels, which may then be
    many (65536), and samples enter as numbers."""
    levels: int | None = None
    """Levels of a sample."""
    companding: Literal["linear", "mu-law"] | None = None
    """How levels are spread: evenly, or finer near silence."""
    cycles: int | None = None
    """Times that the dilations 1, 2, 4, ... are gone through."""
    layers: int | None = None
    """Layers of one cycle; the taps of layer n are 2 to the power of n apart, counted from 0."""
    kernel: int | None = None
    """Taps of each layer."""
    inlet: int | None = None
    """Samples that enter together below the first layer."""
    width: int | None = None
    """Width of the residual path."""
    gate: int | None = None
    """Width of each half of the gate."""
    skip: int | None = None
    """Width of the skip path."""
    residual_scale: float | None = None
    """What the residual path is multiplied by behind each layer."""
    dropout: float = 0.0
    """Share of the last units dropped in training."""


def codec(config: Config) -> SoundCodec:
    """Levels as the settings or the preset have them."""
    whole = preset(config, PRESETS)
    return SoundCodec(whole.rate, whole.levels, whole.companding)


def build(config: Config, codec: SoundCodec, field_sizes: tuple[int, ...]) -> SequenceModel:
    """Levels as vectors or numbers, gated dilated layers with skips, a distribution over levels."""
    assert config.cycles and config.layers and config.kernel and config.inlet
    assert config.width and config.gate and config.skip and config.residual_scale is not None
    embed: nn.Module
    head: SymbolHead
    if config.head == "logistics":
        embed, input_width = Levels(torch.from_numpy(codec.values), 0), 1
        head = Logistics(config.skip, codec.levels, outside=codec.size - codec.levels)
    else:
        # wide enough for a table of its own for each tap, as a convolution over one-hot vectors has
        input_width = config.inlet * config.width
        embed, head = nn.Embedding(codec.size, input_width), Categorical(config.skip, codec.size)
        with torch.no_grad():  # what is learned of one level then holds for its neighbours, until they part
            values = torch.from_numpy(codec.values[: codec.levels])
            embed.weight[: codec.levels] = waves(values, config.width).repeat(1, config.inlet)
    backbone = Convolution(
        input_width, config.width, dilations=tuple(2**layer for layer in range(config.layers)) * config.cycles,
        kernel=config.kernel, inlet_kernel=config.inlet, gate_width=config.gate, skip_width=config.skip,
        residual_scale=config.residual_scale, dropout=config.dropout, vector_width=FIELD_WIDTH if field_sizes else 0,
    )  # fmt: skip
    return sound_model(codec, embed, backbone, head, field_sizes)


def recipe(config: Config, budget: Budget) -> Recipe:
    """Many streams of carried state, as the music of a few is too alike; hidden matrices under Muon.

    The rest learns more gently the wider the model. Tracks that validate may differ so much from those that train that
    their loss rises until learning slows down, so patience would end too early.
    """
    assert config.width
    rate = 4e-3 * min(1.0, 32 / config.width)
    return Recipe(
        rows=32, length=512, optimiser="muon", learning_rate=rate, matrix_rate=0.02, weight_decay=0.3, patience=0
    )


SYSTEM = System(
    name="wavenet",
    summary="sound through dilated convolutions: the crispest samples, a fixed memory of some tenths of a second",
    Config=Config,
    commands=COMMANDS,
    codec=codec,
    complete=lambda config, budget: preset(config, PRESETS),
    build=build,
    recipe=recipe,
    batches=lambda config, part, recipe, seed: Streams(part, recipe.rows, recipe.length, seed),
    medium="sound",
)
