"""SampleRNN against its equations, its published sizes, and what its weight norm and context promise."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.laws import worlds
from unrolled.backbones import Tiers
from unrolled.backbones.normed import fold
from unrolled.core.protocol import Context
from unrolled.inspection import laws

PUBLISHED = [  # width, frames, layers, products of tiers and samples with logits, per sample, millions of parameters
    (1024, (8, 2), 1, [7_364_608, 8_390_656, 2_883_584], 7_999_488, 18.7),
    (512, (8, 2), 1, [1_847_296, 2_098_176, 917_504], 2_197_504, 4.94),
    (256, (8, 2), 1, [464_896, 524_800, 327_680], 648_192, 1.39),
    (1024, (16,), 3, [32_555_008, 6_553_600], 8_588_288, 39.2),
]
EMBEDDING, LEVELS = 256, 256


def products(module: nn.Module) -> int:
    """Elements of the matrices, each of which costs one product of numbers."""
    return sum(parameter.numel() for name, parameter in module.named_parameters() if name.endswith("original1"))


@pytest.mark.parametrize(("width", "frames", "layers", "parts", "per_sample", "millions"), PUBLISHED)
def test_published_sizes(width, frames, layers, parts, per_sample, millions):
    """The value is left out here: the published sample tier reads embeddings alone."""
    with torch.device("meta"):
        tiers = Tiers(EMBEDDING, width, frames=frames, layers=layers)
    logits = width * LEVELS
    above = [products(tier) for tier in tiers.tiers]
    samples = products(tiers.inlet) + products(tiers.outlet) + logits
    assert [*above, samples] == parts
    assert sum(count // frame for count, frame in zip(above, frames, strict=True)) + samples == per_sample
    folded = sum(p.numel() for name, p in tiers.named_parameters() if not name.endswith("original0"))
    assert float(f"{(folded + logits + LEVELS + LEVELS * EMBEDDING) / 1e6:.3g}") == millions


def gru(layer, sums, hidden):
    """One step of the unit as published, from the product with its input."""
    z_x, r_x, n_x = sums.chunk(3, -1)
    z_h, r_h = F.linear(hidden, layer.recurrent.weight).chunk(2, -1)
    z, r = torch.sigmoid(z_x + z_h), torch.sigmoid(r_x + r_h)
    n = torch.tanh(n_x + F.linear(r * hidden, layer.new.weight))
    return z * n + (1 - z) * hidden


def test_three_tiers_by_their_equations():
    """Whole windows aligned as in the published training code: the inputs of a tier end where its targets begin."""
    module = Tiers(3, 5, frames=(8, 2))
    worlds.randomise(module)
    length, big, small = 24, 8, 2
    x = worlds.inputs(module, 2, length)
    padded = F.pad(x, (0, 0, big - 1, 0))  # what stands before the first target, and the inputs after it
    top, middle = module.tiers
    upper = []
    hidden = top.recurrent.start[0].expand(2, -1)
    for frame in (2 * padded[:, :length, 0]).split(big, 1):
        hidden = gru(top.recurrent.layers[0], top.recurrent.layers[0].inputs(frame), hidden)
        upper += top.outlet(hidden).chunk(big // small, 1)
    lower = []
    hidden = middle.recurrent.start[0].expand(2, -1)
    frames = (2 * padded[:, big - small : length + big - small, 0]).split(small, 1)
    for frame, above in zip(frames, upper, strict=True):
        sums = middle.recurrent.layers[0].inputs(middle.inlet(frame) + above)
        hidden = gru(middle.recurrent.layers[0], sums, hidden)
        lower += middle.outlet(hidden).chunk(small, 1)
    expected = []
    for place, above in enumerate(lower):
        window = padded[:, big - small + place : big + place].flatten(1)
        hidden = F.relu(module.outlet[0](module.inlet(window) + above))
        expected.append(F.relu(module.outlet[2](hidden)))
    assert len(expected) == length
    assert laws.deviation(module(x, module.init_state(2))[0], torch.stack(expected, 1)) < 1e-12


def test_skips_reach_every_layer_and_every_layer_the_output():
    module = Tiers(2, 4, frames=(2,), layers=3, skip=True)
    worlds.randomise(module)
    (tier,) = module.tiers
    x = worlds.inputs(module, 1, 1)
    frame = F.pad(2 * x[:, 0, :1], (1, 0))
    out, total = frame, 0
    for index, (layer, skip) in enumerate(zip(tier.recurrent.layers, tier.recurrent.skips, strict=True)):
        sums = layer.inputs(torch.cat([out, frame], 1) if index else frame)
        out = gru(layer, sums, tier.recurrent.start[index].expand(1, -1))
        total = total + skip(out)
    _, state = module(x, module.init_state(1))
    assert laws.deviation(state.tiers[0].vectors.flatten(1), tier.outlet(total)) < 1e-12
    assert [skip.bias is None for skip in tier.recurrent.skips] == [False, True, True]
    assert [layer.inputs.in_features for layer in tier.recurrent.layers] == [2, 6, 6]


def test_one_layer_has_no_skips():
    assert not len(Tiers(2, 4, frames=(2,), skip=True).tiers[0].recurrent.skips)


@pytest.mark.parametrize(("frames", "cell"), [((1,), "gru"), ((8, 2), "gru"), ((6, 3, 1), "lstm")])
def test_rows_at_every_phase_are_what_they_are_alone(frames, cell):
    module = Tiers(3, 4, frames=frames, cell=cell)
    worlds.randomise(module)
    state = worlds.aged(module, list(range(2 * frames[0])))
    x = worlds.inputs(module, 2 * frames[0], 2 * frames[0] + 3)
    assert laws.step_deviation(module, x, state) < 1e-12
    assert laws.batch_deviation(module, x, state) < 1e-12


@torch.no_grad()
def test_the_sample_tier_reads_its_context_and_frames_read_values():
    """Columns after the first matter to the last `context` steps and no longer; values go on to matter."""
    for context, expected in ((None, 2), (1, 1), (5, 5)):
        module = Tiers(3, 8, frames=(4, 2), context=context)
        worlds.randomise(module)
        assert module.context == expected
        x = worlds.inputs(module, 1, 12)
        outputs, _ = module(x, module.init_state(1))
        for column, reach in ((1, expected), (0, 12)):
            changed = x.clone()
            changed[0, 0, column] += 1
            moved = (module(changed, module.init_state(1))[0] != outputs).any(2)[0]
            assert moved[:expected].all() and moved[:reach].sum() > reach // 2 and not moved[reach:].any()


def test_every_tier_hears_the_vector():
    module = Tiers(3, 4, frames=(4, 2), vector_width=3)
    worlds.randomise(module)
    vector, x = worlds.context(1).vector, worlds.inputs(module, 1, 8)
    assert vector is not None
    plain = module.init_state(1)
    state = module.init_state(1, Context(vector=vector))
    shifts: list[Any] = [*(tier.shift for tier in state.tiers), state.shift]
    sizes = [tuple(part.shape) for part in shifts]
    assert sizes == [(1, 12), (1, 12), (1, 4)]
    outputs = module(x, plain)[0]
    for index in range(3):
        tiers = [
            own._replace(shift=state.tiers[index].shift) if index == at else own for at, own in enumerate(plain.tiers)
        ]
        heard = plain._replace(tiers=tuple(tiers)) if index < 2 else plain._replace(shift=state.shift)
        assert laws.deviation(module(x, heard)[0], outputs) > 1e-4


def test_folding_changes_nothing_but_the_parameters():
    module = Tiers(3, 4, frames=(4, 2), layers=2, skip=True, vector_width=3)
    worlds.randomise(module)
    x, state = worlds.inputs(module, 2, 9), worlds.aged(module, [0, 3])
    expected = module(x, state)
    folded = copy.deepcopy(module).requires_grad_(False)
    with torch.no_grad():
        fold(folded)
    assert laws.deviation(folded(x, state), expected) < 1e-12
    assert laws.deviation(module(x, state), expected) == 0.0
    assert not any("parametrizations" in name for name in folded.state_dict())
    maps = [part for part in folded.modules() if isinstance(part, nn.Linear)]
    assert all(type(part) is nn.Linear and isinstance(part.weight, nn.Parameter) for part in maps)
    assert len(maps) == sum(name.endswith("original1") for name, _ in module.named_parameters())


def test_how_it_begins():
    torch.manual_seed(0)
    module = Tiers(64, 128, frames=(16,), cell="gru", layers=2)
    layer = module.tiers[0].recurrent.layers[1]
    assert not module.tiers[0].recurrent.start.any()
    assert not layer.inputs.bias.any()
    spread = float((layer.inputs.weight.detach() ** 2).mean())
    assert abs(spread * 128 / 2 - 1) < 0.05
    assert float(layer.inputs.weight.detach().abs().max()) <= (6 / 128) ** 0.5 + 1e-6
    new = layer.new.weight.detach()
    torch.testing.assert_close(new @ new.T, torch.eye(128), rtol=0, atol=1e-5)
    bias = Tiers(3, 4, frames=(2,), cell="lstm").tiers[0].recurrent.layers[0].inputs.bias
    assert bias.tolist() == [0.0] * 4 + [3.0] * 4 + [0.0] * 8


@pytest.mark.parametrize("frames", [(), (0,), (8, 3), (2, 8), (-4,)])
def test_frames_that_do_not_divide_are_refused(frames):
    with pytest.raises(ValueError, match="so that each divides the one before it"):
        Tiers(3, 4, frames=frames)


def test_a_context_of_nothing_is_refused():
    with pytest.raises(ValueError, match="context 0"):
        Tiers(3, 4, frames=(2,), context=0)
