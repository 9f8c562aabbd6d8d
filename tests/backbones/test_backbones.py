"""Single backbones against their definitions, composition, and how they start."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.laws import worlds
from unrolled.backbones import (
    ALL,
    GRU,
    LSTM,
    Attention,
    Conditioned,
    Convolution,
    LearnedPositions,
    NestedLSTM,
    Residual,
    Stack,
    Stateless,
    Window,
    gpt2,
    llama,
)
from unrolled.core.protocol import Backbone, Context
from unrolled.inspection import laws


def test_window_reads_the_last_symbols_in_order() -> None:
    module = Window(2, 5, window=3)
    worlds.randomise(module)
    x = worlds.inputs(module, 1, 4)
    outputs, state = module(x, module.init_state(1))
    padded = F.pad(x, (0, 0, 2, 0))
    for time in range(4):
        expected = F.gelu(module.layers[0](padded[:, time : time + 3].flatten(1)))
        assert laws.deviation(outputs[:, time], expected) < 1e-12
    assert torch.equal(state, x[:, 2:])


def test_convolution_equals_dilated_conv1d() -> None:
    module = Convolution(
        3, 6, dilations=(1, 3), kernel=3, inlet_kernel=2, gate_width=5, skip_width=4, residual_scale=0.5**0.5
    )
    worlds.randomise(module)
    x = worlds.inputs(module, 2, 20)
    inlet = module.inlet.weight.unflatten(1, (2, 3)).transpose(1, 2)
    hidden, skips = F.conv1d(F.pad(x.transpose(1, 2), (1, 0)), inlet, module.inlet.bias).transpose(1, 2), 0
    for layer in module.layers:
        weight = layer.taps.weight.unflatten(1, (3, 6)).transpose(1, 2)  # outputs, inputs, taps
        padded = F.pad(hidden.transpose(1, 2), (layer.reach, 0))
        left, right = F.conv1d(padded, weight, layer.taps.bias, dilation=layer.dilation).transpose(1, 2).chunk(2, -1)
        paths = layer.paths(left.tanh() * right.sigmoid())
        hidden, skips = (hidden + paths[..., :6]) * 0.5**0.5, skips + paths[..., 6:]
    assert laws.deviation(module(x, module.init_state(2))[0], module.outlet(skips)) < 1e-12
    assert module.receptive_field == 1 + 1 + 2 + 6


def test_an_inlet_of_two_sums_two_rows_of_tables() -> None:
    """A causal convolution over one-hot vectors, which is how WaveNet reads levels."""
    module = Convolution(5, 6, dilations=(1,), inlet_kernel=2)
    worlds.randomise(module)
    symbols = torch.tensor([[3, 0, 4]])
    older, newer = module.inlet.weight.T.tensor_split([5])
    sums = newer[symbols] + module.inlet.bias
    sums[:, 1:] += older[symbols[:, :-1]]
    plain = Convolution(6, 6, dilations=(1,)).double()
    plain.load_state_dict({**module.state_dict(), "inlet.weight": torch.eye(6), "inlet.bias": torch.zeros(6)})
    found, _ = module(F.one_hot(symbols, 5).double(), module.init_state(1))
    assert laws.deviation(found, plain(sums, plain.init_state(1))[0]) < 1e-12


def test_full_size_wavenet() -> None:
    module = Convolution(64, 64, dilations=[2**power for power in range(10)] * 3, gate_width=128, skip_width=256)
    assert module.receptive_field == 3070
    assert module.output_width == 256


def test_a_nested_lstm_of_depth_one_is_an_lstm() -> None:
    nested, plain = NestedLSTM(4, 5, depth=1).double(), LSTM(4, 5).double()
    worlds.randomise(nested)
    layer = nested.layers[0]
    weights = [layer.inputs[0].weight, layer.hiddens[0].weight, layer.inputs[0].bias]
    with torch.no_grad():
        for target, source in zip(plain.kernel.all_weights[0], [*weights, torch.zeros(20)], strict=True):
            target.copy_(source)
    x = worlds.inputs(nested, 2, 7)
    assert laws.deviation(nested(x, nested.init_state(2))[0], plain(x, plain.init_state(2))[0]) < 1e-12


def test_a_nested_lstm_by_its_equations() -> None:
    """Depth 2, one symbol, eq. 5-9 of Moniz and Krueger 2017 written out."""
    module = NestedLSTM(4, 5)
    worlds.randomise(module)
    state = worlds.aged(module, [3])
    x, hidden, outer, inner = worlds.inputs(module, 1, 1)[:, 0], state.hidden[:, 0], *state.cells[:, 0].unbind(1)
    layer = module.layers[0]
    i, f, g, o = (layer.inputs[0](x) + layer.hiddens[0](hidden)).chunk(4, 1)
    inner_x, inner_hidden = i.sigmoid() * g.tanh(), f.sigmoid() * outer
    i2, f2, g2, o2 = (layer.inputs[1](inner_x) + layer.hiddens[1](inner_hidden)).chunk(4, 1)
    inner = f2.sigmoid() * inner + i2.sigmoid() * g2.tanh()
    outer = o2.sigmoid() * inner.tanh()
    output, after = module.step(x, state)
    assert laws.deviation(output, o.sigmoid() * outer.tanh()) < 1e-12
    assert laws.deviation(after.cells[:, 0], torch.stack([outer, inner], 1)) < 1e-12


def test_stack_adds_receptive_fields_and_takes_the_least_limit() -> None:
    attention = [Residual(Attention(4, heads=2, window=6)) for _ in range(3)]
    assert Stack(*attention).receptive_field == 3 * 5 + 1
    assert Stack(*attention, GRU(4, 4)).receptive_field is None
    limited = Stack(LearnedPositions(4, 30), Conditioned(Residual(LearnedPositions(4, 20)), 3))
    assert limited.position_limit == 20
    assert Stack(*attention).position_limit is None


def test_widths_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="GRU reads width 6, but the part below it, LSTM, gives width 5"):
        Stack(LSTM(4, 5), GRU(6, 6))
    with pytest.raises(ValueError, match="turn 4 into 5"):
        Residual(LSTM(4, 5))


def test_conditioned_adds_the_projected_vector_to_every_input() -> None:
    module = Conditioned(GRU(4, 5), 3)
    worlds.randomise(module)
    x, vector = worlds.inputs(module, 2, 6), worlds.context(2).vector
    assert vector is not None
    outputs, _ = module(x, module.init_state(2, Context(vector=vector)))
    shifted = x + (vector @ module.projection.weight.T / 3**0.5).unsqueeze(1)
    assert laws.deviation(outputs, module.inner(shifted, module.inner.init_state(2))[0]) < 1e-12
    plain, _ = module(x, module.init_state(2))
    assert laws.deviation(plain, module.inner(x, module.inner.init_state(2))[0]) == 0.0


def test_dropout_acts_between_layers_in_both_views() -> None:
    modules: list[Backbone[Any]] = [GRU(4, 64, layers=2, dropout=0.5), LSTM(4, 64, layers=2, dropout=0.5)]
    for module in modules:
        x, state = torch.randn(1, 3, 4), module.init_state(1)
        for view in (module.parallel, laws.scan_of(module)):
            assert not torch.equal(view(x, state)[0], view(x, state)[0])
        module.eval()
        assert laws.deviation(module(x, state)[0], laws.scan_of(module)(x, state)[0]) < 1e-6


def test_a_learned_start_is_trained() -> None:
    module = LSTM(4, 5, layers=2, learned_start=True)
    module(torch.randn(3, 4, 4), module.init_state(3))[0].sum().backward()
    assert module.start is not None and module.start.grad is not None
    assert (module.start.grad.abs().amax(2) > 0).all()


@pytest.mark.parametrize("layers", [2, 8])
def test_transformers_start_as_gpt2_does(layers: int) -> None:
    torch.manual_seed(0)
    for stack in (
        gpt2(64, layers=layers, heads=4, window=16),
        llama(64, layers=layers, heads=4, window=16, hidden=128),
    ):
        for name, parameter in stack.named_parameters():
            if parameter.ndim == 2:
                ends_residual = name.endswith("output.weight")
                expected = 0.02 / math.sqrt(2 * layers) if ends_residual else 0.02
                assert abs(float(parameter.detach().std()) / expected - 1) < 0.08, name
            elif name.endswith("bias"):
                assert not parameter.any()
            else:
                assert (parameter == 1).all()


def test_gpt2_has_the_published_number_of_parameters() -> None:
    """124 million: GPT-2 small without its 50,257 x 768 embedding, which is the model's."""
    with torch.device("meta"):
        stack = gpt2(768, layers=12, heads=12, window=1024)
    assert sum(parameter.numel() for parameter in stack.parameters()) + 50257 * 768 == 124_439_808
    assert stack.position_limit == 1024


def test_stateless_modules_keep_or_change_the_width() -> None:
    wide = Stack(Stateless(nn.Linear(4, 6), 4, 6), Stateless(nn.Tanh(), 6))
    assert (wide.input_width, wide.output_width, wide.receptive_field) == (4, 6, 1)
    assert wide.init_state(2) == ((), ())


def test_the_table_names_what_it_builds() -> None:
    for name, make in ALL.items():
        backbone = make()
        output, _ = backbone(torch.zeros(1, 2, backbone.input_width), backbone.init_state(1))
        assert output.shape == (1, 2, backbone.output_width), name
