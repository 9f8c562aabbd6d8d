"""Elman, GRU and LSTM against torch.nn with the same weights, in outputs, states and gradients."""

from typing import Any

import pytest
import torch
from torch import nn

from unrolled.backbones import GRU, LSTM, Elman
from unrolled.core.protocol import Backbone, scan

PEERS = {"elman": (Elman, nn.RNN), "gru": (GRU, nn.GRU), "lstm": (LSTM, nn.LSTM)}


def pair(name: str, layers: int) -> tuple[Backbone[Any], Any]:
    """Ours and torch's, with ours read by torch's own loader of weights."""
    torch.manual_seed(3)
    make, peer = PEERS[name]
    ours = make(5, 7, layers=layers).double()
    theirs = peer(5, 7, layers, batch_first=True).double()
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    theirs.load_state_dict({key.removeprefix("kernel."): value for key, value in ours.state_dict().items()})
    return ours, theirs


def outcome(module: nn.Module, outputs: torch.Tensor, x: torch.Tensor) -> list[torch.Tensor]:
    """Outputs, and gradients with respect to the inputs and the weights."""
    total = (outputs * torch.linspace(-1, 1, outputs.numel(), dtype=torch.float64).view(outputs.shape)).sum()
    return [outputs.detach(), *torch.autograd.grad(total, [x, *module.parameters()])]


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("view", ["parallel", "step"])
@pytest.mark.parametrize("name", PEERS)
def test_outputs_and_gradients(name: str, view: str, layers: int) -> None:
    ours, theirs = pair(name, layers)
    x = torch.randn(3, 8, 5, dtype=torch.float64, requires_grad=True)
    state = ours.init_state(3)
    outputs, _ = ours.parallel(x, state) if view == "parallel" else scan(ours.step, x, state)
    for mine, reference in zip(outcome(ours, outputs, x), outcome(theirs, theirs(x)[0], x), strict=True):
        torch.testing.assert_close(mine, reference, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", PEERS)
def test_states(name: str) -> None:
    ours, theirs = pair(name, 2)
    x = torch.randn(3, 8, 5, dtype=torch.float64)
    _, state = ours(x, ours.init_state(3))
    _, reference = theirs(x)
    for mine, leaf in zip(state, reference if isinstance(reference, tuple) else (reference,), strict=True):
        torch.testing.assert_close(mine, leaf.transpose(0, 1), rtol=0, atol=1e-12)


def test_the_forget_gate_starts_open() -> None:
    kernel = LSTM(5, 7, layers=2).kernel
    for weight_x, _, bias, other in kernel.all_weights:
        assert (bias + other)[7:14].tolist() == [1.0] * 7
        assert (bias + other).sum().item() == 7.0
        assert weight_x.ndim == 2
