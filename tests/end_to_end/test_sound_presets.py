"""The published sizes of the sound systems."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from unrolled.core.contracts import Budget
from unrolled.heads.categorical import Categorical
from unrolled.heads.logistics import Logistics
from unrolled.models.sequence import SequenceModel
from unrolled.systems import find_system


def built(**settings: Any) -> SequenceModel:
    """WaveNet with these settings, its weights without values."""
    system = find_system("wavenet")
    config = replace(system.Config(), **settings)
    codec = system.codec(config)
    with torch.device("meta"):
        return system.build(system.complete(config, Budget(1e9, 1000)), codec, ())


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
