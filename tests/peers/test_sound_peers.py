"""The networks for sound against other people's operators, plain formulas in numpy, and perturbed inputs."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.laws import worlds
from unrolled.backbones import Convolution, Tiers
from unrolled.backbones.normed import GRULayer, LSTMLayer, RecurrentLayers, normed_linear
from unrolled.core.protocol import Backbone, Context, scan
from unrolled.inspection import laws

STEPS, ROWS, INPUTS = 40, 3, 6


def onnx_gru(layer: GRULayer, x: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ONNX Runtime's GRU with the reset gate before the product; its update gate weighs the past, so its sign turns."""
    onnx: Any = pytest.importorskip("onnx", reason="the package onnx (extra peers) is not installed")
    runtime: Any = pytest.importorskip("onnxruntime", reason="the package onnxruntime (extra peers) is not installed")
    width, (rows, steps) = layer.width, (first.shape[1], x.shape[0])
    signs = np.repeat([-1.0, 1.0, 1.0], width).astype(np.float32)
    recurrent = np.concatenate([layer.recurrent.weight.numpy(), layer.new.weight.numpy()])
    weights = {
        "w": (layer.inputs.weight.numpy() * signs[:, None])[None],
        "r": (recurrent * signs[:, None])[None],
        "b": np.concatenate([layer.inputs.bias.detach().numpy() * signs, np.zeros(3 * width, np.float32)])[None],
    }
    floats, helper = onnx.TensorProto.FLOAT, onnx.helper
    node = helper.make_node(
        "GRU", ["x", "w", "r", "b", "", "h"], ["y", "last"], hidden_size=width, linear_before_reset=0
    )
    graph = helper.make_graph(
        [node],
        "gru",
        [helper.make_tensor_value_info(name, floats, part.shape) for name, part in (("x", x), ("h", first))],
        [
            helper.make_tensor_value_info("y", floats, [steps, 1, rows, width]),
            helper.make_tensor_value_info("last", floats, [1, rows, width]),
        ],
        [onnx.numpy_helper.from_array(weight, name) for name, weight in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs, last = session.run(None, {"x": x, "h": first})
    return outputs[:, 0].swapaxes(0, 1), last[0]


@pytest.mark.parametrize("width", [5, 32])
@torch.no_grad()
def test_the_gru_is_that_of_onnx_with_the_reset_before_the_product(width: int):
    torch.manual_seed(0)
    layer = GRULayer(INPUTS, width)
    nn.init.normal_(layer.inputs.bias)
    x, first = torch.randn(ROWS, STEPS, INPUTS), torch.randn(ROWS, width)
    expected, last = onnx_gru(layer, x.transpose(0, 1).contiguous().numpy(), first[None].numpy())
    outputs, state = layer(layer.inputs(x), first[:, None])
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(outputs.numpy(), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(state[:, 0].numpy(), last, rtol=0, atol=1e-5)


def test_the_lstm_is_that_of_torch():
    torch.manual_seed(0)
    layer, peer = LSTMLayer(INPUTS, 5).double(), nn.LSTM(INPUTS, 5, batch_first=True).double()
    with torch.no_grad():
        for target, source in zip(
            peer.all_weights[0],
            (layer.inputs.weight, layer.recurrent.weight, layer.inputs.bias, torch.zeros(20)),
            strict=True,
        ):
            target.copy_(source)
    x = torch.randn(ROWS, STEPS, INPUTS, dtype=torch.float64)
    first = torch.randn(ROWS, 2, 5, dtype=torch.float64)
    expected, (hidden, cell) = peer(x, (first[None, :, 0].contiguous(), first[None, :, 1].contiguous()))
    outputs, state = layer(layer.inputs(x), first)
    torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(state, torch.stack([hidden[0], cell[0]], 1), rtol=0, atol=1e-12)


def test_stacked_layers_without_skips_are_those_of_torch():
    torch.manual_seed(0)
    layers = RecurrentLayers(INPUTS, 5, cell="lstm", layers=3, skip=False).double()
    peer = nn.LSTM(INPUTS, 5, 3, batch_first=True).double()
    with torch.no_grad():
        for layer, weights in zip(layers.layers, peer.all_weights, strict=True):
            sources = (layer.inputs.weight, layer.recurrent.weight, layer.inputs.bias, torch.zeros(20))
            for target, source in zip(weights, sources, strict=True):
                target.copy_(source)
    x, first = torch.randn(ROWS, STEPS, INPUTS, dtype=torch.float64), torch.zeros(ROWS, 3, 2, 5, dtype=torch.float64)
    torch.testing.assert_close(layers(x, (), first)[0], peer(x)[0], rtol=0, atol=1e-12)


def test_normed_weights_and_their_gradients_follow_the_formula():
    torch.manual_seed(0)
    layer: Any = normed_linear(INPUTS, 4).double()
    started = layer.weight.detach().clone()
    lengths, directions = (part.detach() for part in layer.parametrizations.weight.parameters())
    torch.testing.assert_close(started, directions, rtol=0, atol=1e-6)  # it begins at the length that it has
    found = [part.copy_(torch.randn_like(part)).clone().requires_grad_() for part in (lengths, directions)]
    expected = found[0] * found[1] / (found[1] ** 2).sum(1, keepdim=True).sqrt()
    torch.testing.assert_close(layer.weight, expected, rtol=0, atol=1e-12)
    scales = torch.randn(4, INPUTS, dtype=torch.float64)
    mine = torch.autograd.grad((layer.weight * scales).sum(), list(layer.parametrizations.weight.parameters()))
    for gradient, reference in zip(mine, torch.autograd.grad((expected * scales).sum(), found), strict=True):
        torch.testing.assert_close(gradient, reference, rtol=0, atol=1e-12)


def wavenet(kernel: int = 2) -> Convolution:
    """A small network with both kinds of conditioning, its output so wide that some of it is always above zero."""
    module = Convolution(
        5, 6, dilations=(1, 2, 4) * 2, kernel=kernel, gate_width=4, skip_width=24, vector_width=3, control_width=2
    )
    worlds.randomise(module)
    return module


def by_conv1d(module: Convolution, x: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    """The same network of `nn.Conv1d` with zeros to the left, as WaveNets are written elsewhere."""
    own, control = x[..., :3].transpose(1, 2), x[..., 3:].transpose(1, 2)
    assert module.vector is not None
    hidden = module.inlet.weight @ own + module.inlet.bias[:, None]
    added = (module.vector(vector) / 3**0.5).chunk(len(module.layers), 1)
    skips = torch.zeros(1, dtype=torch.float64)
    for layer, shift in zip(module.layers, added, strict=True):
        kernel = layer.reach // layer.dilation + 1
        dilated = nn.Conv1d(6, 8, kernel, dilation=layer.dilation).double()
        local = nn.Conv1d(2, 8, 1, bias=False).double()
        with torch.no_grad():
            taps, controls = layer.taps.weight.tensor_split([6 * kernel], 1)
            dilated.weight.copy_(taps.unflatten(1, (kernel, 6)).transpose(1, 2))
            dilated.bias.copy_(layer.taps.bias)  # pyright: ignore[reportOptionalMemberAccess]
            local.weight.copy_(controls.unsqueeze(2))
        sums = dilated(nn.functional.pad(hidden, (layer.reach, 0))) + local(control) + shift.unsqueeze(2)
        paths = layer.paths.weight @ (sums[:, :4].tanh() * sums[:, 4:].sigmoid()) + layer.paths.bias[:, None]
        hidden, skips = hidden + paths[:, :6], skips + paths[:, 6:]
    return module.outlet(skips.transpose(1, 2))


class Numpy:
    """One row of the same network step by step, with a list of past inputs for each layer."""

    def __init__(self, module: Convolution, vector: np.ndarray) -> None:
        self.layers, self.outlet = list(module.layers), module.outlet
        self.weights = {name: part.detach().numpy() for name, part in module.named_parameters()}
        self.past = [[np.zeros(6)] * layer.reach for layer in self.layers]
        self.shifts = np.split(self.weights["vector.weight"] @ vector / np.sqrt(3), len(self.layers))

    def step(self, x: np.ndarray) -> np.ndarray:
        found = self.weights
        hidden, skips = found["inlet.weight"] @ x[:3] + found["inlet.bias"], np.zeros(24)
        for index, layer in enumerate(self.layers):
            self.past[index].append(hidden)
            taps = np.concatenate([*self.past[index][-1 - layer.reach :: layer.dilation], x[3:]])
            sums = found[f"layers.{index}.taps.weight"] @ taps + found[f"layers.{index}.taps.bias"]
            sums = sums + self.shifts[index]
            gated = np.tanh(sums[:4]) / (1 + np.exp(-sums[4:]))
            paths = found[f"layers.{index}.paths.weight"] @ gated + found[f"layers.{index}.paths.bias"]
            hidden, skips = hidden + paths[:6], skips + paths[6:]
        hidden = found["outlet.1.weight"] @ np.maximum(skips, 0) + found["outlet.1.bias"]
        return np.maximum(hidden, 0)


@pytest.mark.parametrize("kernel", [2, 3])
def test_the_dilated_stack_is_that_of_conv1d_and_of_numpy(kernel: int):
    """Over more than twice the receptive field, in both views."""
    module = wavenet(kernel)
    assert module.receptive_field is not None
    x, vector = worlds.inputs(module, 2, 2 * module.receptive_field + 5), worlds.context(2).vector
    assert vector is not None
    state = module.init_state(2, Context(vector=vector))
    outputs, stepped = module(x, state)[0], scan(module.step, x, state)[0]
    assert float(outputs.detach().std()) > 0.1
    torch.testing.assert_close(outputs, by_conv1d(module, x, vector), rtol=0, atol=1e-12)
    for row in range(2):
        plain = Numpy(module, vector[row].numpy())
        expected = np.stack([plain.step(symbol.numpy()) for symbol in x[row]])
        np.testing.assert_allclose(outputs[row].detach().numpy(), expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(stepped[row].detach().numpy(), expected, rtol=0, atol=1e-12)


def moved_by(module: Backbone[Any], view: Any, time: int, place: int, column: int = 0) -> list[int]:
    """The lags at which outputs differ after one number of the input at `place` has."""
    x, state = worlds.inputs(module, 1, time), module.init_state(1, worlds.context(1))
    changed = x.clone()
    changed[0, place, column] += 0.5
    differs = (view(x, state)[0] - view(changed, state)[0]).abs().amax(2)[0] > 0
    return [int(at) - place for at in differs.nonzero()]


@pytest.mark.parametrize("view", ["parallel", "step"])
@pytest.mark.parametrize("kernel", [2, 3])
@torch.no_grad()
def test_a_sample_matters_to_the_receptive_field_and_to_nothing_else(kernel: int, view: str):
    """Every lag, those around both edges included: nothing before, everything within, nothing after."""
    module = wavenet(kernel)
    field = module.receptive_field
    assert field is not None and field == 1 + 14 * (kernel - 1)
    look = module.parallel if view == "parallel" else laws.scan_of(module)
    for place in (0, 5):
        assert moved_by(module, look, place + field + 4, place) == list(range(field))
    # a control enters behind the taps of the first layer
    assert moved_by(module, look, field + 4, 0, column=4) == list(range(field - (kernel - 1)))


@pytest.mark.parametrize("view", ["parallel", "step"])
@torch.no_grad()
def test_a_sample_matters_to_no_earlier_output_of_the_tiers(view: str):
    """At every phase of the frames; what comes later it moves for ever."""
    module = Tiers(3, 6, frames=(8, 2))
    worlds.randomise(module)
    look = module.parallel if view == "parallel" else laws.scan_of(module)
    for place in range(9):
        assert moved_by(module, look, 28, place) == list(range(28 - place))
