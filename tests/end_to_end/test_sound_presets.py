"""The published sizes of the sound systems."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from unrolled.backbones.normed import GRULayer, LSTMLayer
from unrolled.codecs.sound import SoundCodec
from unrolled.core.contracts import Budget
from unrolled.heads.categorical import Categorical
from unrolled.heads.logistics import Logistics
from unrolled.models.sequence import SequenceModel
from unrolled.systems import find_system


def built(system: str = "wavenet", **settings: Any) -> SequenceModel:
    """A system with these settings, its weights without values where those of the levels need none."""
    found = find_system(system)
    config = replace(found.Config(), **settings)
    with torch.device("meta"):
        return found.build(found.complete(config, Budget(1e9, 1000)), codec_of(system, **settings), ())


def codec_of(system: str, **settings: Any) -> SoundCodec:
    """The levels that a system has with these settings, which are the same once the settings are complete."""
    found = find_system(system)
    config = replace(found.Config(), **settings)
    codec = found.codec(config)
    assert found.codec(found.complete(config, Budget(1e9, 1000))) == codec
    return codec


def products(*modules: nn.Module) -> int:
    """Multiplications of all linear maps in some modules, each made once."""
    parts = [part for module in modules for part in module.modules() if isinstance(part, nn.Linear)]
    return sum(part.weight.numel() for part in parts)


@pytest.mark.parametrize(
    ("preset", "field", "layers", "levels", "scale"),
    [
        ("live", 2 * 1023 + 1, 20, 256, 1.0),
        ("full", 3071, 30, 256, 1.0),
        ("ibab", 5 * 1023 + 2, 50, 256, 1.0),
        ("r9y9", 3 * 2 * 1023 + 1, 30, 256, math.sqrt(0.5)),
        ("r9y9-logistics", 4 * 2 * 63 + 1, 24, 65536, math.sqrt(0.5)),
    ],
)
def test_wavenets_are_as_published(preset: str, field: int, layers: int, levels: int, scale: float):
    model = built(preset=preset)
    stack: Any = model.backbone
    assert stack.receptive_field == field
    assert len(stack.layers) == layers
    assert stack.layers[0].scale == scale
    if preset.endswith("logistics"):
        assert isinstance(model.head, Logistics)
        assert (model.head.levels, model.head.project.out_features) == (levels, 30)
        assert stack.input_width == 1
    else:
        assert isinstance(model.head, Categorical)
        assert model.head.project.out_features == levels + 2


@pytest.mark.parametrize(
    ("preset", "residual", "gates", "skip", "kernel"),
    [
        ("live", 32, 64, 128, 2),
        ("full", 64, 128, 256, 2),
        ("ibab", 32, 64, 512, 2),
        ("r9y9", 128, 256, 128, 3),
        ("r9y9-logistics", 512, 512, 256, 3),
    ],
)
def test_wavenets_have_the_published_widths(preset: str, residual: int, gates: int, skip: int, kernel: int):
    model = built(preset=preset)
    stack: Any = model.backbone
    for layer in stack.layers:
        assert tuple(layer.taps.weight.shape) == (gates, kernel * residual)
        assert tuple(layer.paths.weight.shape) == (residual + skip, gates // 2)
    assert [tuple(part.weight.shape) for part in stack.outlet if isinstance(part, nn.Linear)] == [(skip, skip)]
    head: Any = model.head
    assert head.project.in_features == stack.output_width == skip
    logistics = preset.endswith("logistics")
    assert codec_of("wavenet", preset=preset).companding == ("linear" if logistics else "mu-law")


@pytest.mark.parametrize(("preset", "published"), [("live", 233_472), ("full", 1_236_992), ("ibab", 1_468_416)])
def test_wavenets_multiply_as_often_as_published(preset: str, published: int):
    model = built(preset=preset)
    stack: Any = model.backbone
    head = 256 * stack.output_width  # without begin and end
    assert products(stack.layers, stack.outlet) + head == published


@pytest.mark.parametrize(
    ("preset", "frames", "cell", "layers", "width", "embedding", "skip", "companding"),
    [
        ("live", (8, 2), GRULayer, 1, 256, 64, False, "linear"),
        ("3-tier", (8, 2), GRULayer, 1, 1024, 256, False, "linear"),
        ("2-tier", (16,), GRULayer, 3, 1024, 256, False, "linear"),
        ("dadabots", (16,), LSTMLayer, 5, 1024, 256, True, "mu-law"),
    ],
)
def test_sample_rnns_are_as_published(
    preset: str, frames: tuple[int, ...], cell: type, layers: int, width: int, embedding: int, skip: bool,
    companding: str,
):  # fmt: skip
    model = built("sample-rnn", preset=preset)
    stack: Any = model.backbone
    embed: Any = model.embed
    head: Any = model.head
    assert stack.frames == frames and stack.context == frames[-1] and stack.output_width == width
    assert stack.input_width == 1 + embedding and tuple(embed.table.weight.shape) == (258, embedding)
    for tier in stack.tiers:
        assert [type(layer) for layer in tier.recurrent.layers] == [cell] * layers
        assert len(tier.recurrent.skips) == (layers if skip else 0)
        further = [width + skip * tier.frame] * (layers - 1)  # where each layer reads the frame too
        assert [layer.inputs.in_features for layer in tier.recurrent.layers[1:]] == further
        assert tuple(tier.recurrent.start.shape) == (layers, cell.leaves, width)
    assert head.project.in_features == width and head.project.out_features == 258
    codec = codec_of("sample-rnn", preset=preset)
    assert (codec.levels, codec.rate, codec.companding) == (256, 16_000, companding)


@pytest.mark.parametrize(
    ("settings", "tiers", "samples"),
    [
        ({"preset": "3-tier"}, [7_364_608, 8_390_656], 2_883_584),
        ({"preset": "2-tier"}, [32_555_008], 6_553_600),
        ({"preset": "live", "embedding": 256}, [464_896, 524_800], 327_680),
    ],
)
def test_sample_rnns_multiply_as_often_as_published(settings: dict[str, Any], tiers: list[int], samples: int):
    model = built("sample-rnn", **settings)
    stack: Any = model.backbone
    assert [products(tier) for tier in stack.tiers] == tiers
    vectors = products(stack.inlet) - stack.context * stack.output_width  # without the values beside the vectors
    assert vectors + products(stack.outlet) + 256 * stack.output_width == samples


def test_each_tap_of_the_inlet_can_have_a_table_of_its_own():
    """What joins embedded levels is as rich as a convolution over one-hot vectors: two tables of the width."""
    stack: Any = built(preset="full").backbone
    assert stack.input_width == 2 * stack.width
    assert tuple(stack.inlet.weight.shape) == (64, 2 * 2 * 64)


def test_settings_go_before_the_preset():
    model = built(preset="r9y9-logistics", levels=1024, companding="mu-law", width=8, gate=8, skip=8, inlet=4)
    assert isinstance(model.head, Logistics)
    assert (model.head.levels, model.head.outside) == (1024, 2)
    assert model.backbone.receptive_field == 4 * 2 * 63 + 4
