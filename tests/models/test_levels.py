"""How levels of sound enter a model."""

import math

import torch

from unrolled.codecs.sound import SoundCodec
from unrolled.core.contracts import Budget
from unrolled.models.levels import waves
from unrolled.systems import find_system


def test_close_levels_are_alike_and_all_differ() -> None:
    table = waves(torch.linspace(-1, 1, 256), 32)
    assert table.shape == (256, 32) and bool((table.square().sum(1) - 16).abs().max() < 1e-4)
    alike = table @ table.T / 16
    assert alike.diagonal(1).min() > 0.7 and alike.diagonal(64).max() < 0.6
    assert bool(((table[:, None] - table).norm(dim=2) + 9 * torch.eye(256) > 0.5).all())


def test_the_slowest_wave_makes_half_a_turn_and_the_fastest_a_quarter_between_levels() -> None:
    values = torch.linspace(-1, 1, 257)
    sines = waves(values, 8)[:, :4]
    assert torch.allclose(sines[:, 0], (values * math.pi / 2).sin(), atol=1e-5)
    assert torch.allclose(sines[128:132, 3].abs(), torch.tensor([0.0, 1.0, 0.0, 1.0]), atol=0.1)
    assert waves(values, 7).shape == (257, 7) and waves(values, 1).shape == (257, 1)


def test_wavenet_begins_with_waves_for_each_tap() -> None:
    system = find_system("wavenet")
    config = system.complete(system.Config(preset="full"), Budget(1e12, 1000))
    codec = system.codec(config)
    assert isinstance(codec, SoundCodec)
    weight = system.build(config, codec, ()).embed.weight
    first, second = weight[: codec.levels].split(64, dim=1)
    assert torch.equal(first, second) and torch.equal(first, waves(torch.from_numpy(codec.values[:256]), 64))
    assert weight[codec.levels :].abs().max() > 0.5
