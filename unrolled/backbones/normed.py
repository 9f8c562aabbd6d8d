"""Linear maps whose weights are directions times lengths, and recurrent layers made of them.

Source of the lengths: Salimans and Kingma 2016, eq. 2.
"""

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations

from unrolled.core.shapes import Float, Tensor

FORGET = 3.0  # where the bias of the forget gate begins


def normed_linear(input_width: int, output_width: int, *, bias: bool = True, orthogonal: bool = False) -> nn.Linear:
    """A linear map with a learned length per output unit, which begins at that of its weights.

    The weights begin uniform with variance 2 / `input_width` (He et al. 2015, eq. 10) or orthogonal, biases at 0.
    """
    layer: Any = nn.Linear(input_width, output_width, bias=bias)
    if orthogonal:
        nn.init.orthogonal_(layer.weight)
    else:
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
    if bias:
        nn.init.zeros_(layer.bias)
    weight_norm(layer)
    return layer


def fold(module: nn.Module) -> None:
    """Turn every normed linear map in `module` into a plain one of the same value, which costs less at each step.

    For generation and lowering, after training; a copy can be folded without a change to the original.
    """
    for part in list(module.modules()):
        if is_parametrized(part, "weight"):
            layer: Any = part
            weight = layer.weight.detach()
            # torch's own removal takes the weight from the class, which all copies of a layer share
            layer.__class__ = type_before_parametrizations(layer)
            del layer.parametrizations
            layer.weight = nn.Parameter(weight)


def folded(module: nn.Module) -> nn.Module:
    """A folded copy, or the module itself where nothing in it is normed."""
    if not any(is_parametrized(part, "weight") for part in module.modules()):
        return module
    copied = copy.deepcopy(module)
    fold(copied)
    return copied


def shifted(sums: Float[Tensor, "b t d"], shift: Float[Tensor, "b d"] | tuple[()]) -> Float[Tensor, "b t d"]:
    """`sums` plus what the context adds at every step."""
    return sums if isinstance(shift, tuple) else sums + shift.unsqueeze(1)


class GRULayer(nn.Module):
    """Gated recurrent units whose reset gate acts before the product. Source: Chung et al. 2014, section 3.2.

    The order of the gates is update, reset, new, and the update gate weighs what is new.
    """

    leaves = 1

    def __init__(self, input_width: int, width: int) -> None:
        super().__init__()
        self.inputs = normed_linear(input_width, 3 * width)
        self.recurrent = normed_linear(width, 2 * width, bias=False)
        self.new = normed_linear(width, width, bias=False, orthogonal=True)
        self.width = width

    def forward(
        self, sums: Float[Tensor, "b t gates"], state: Float[Tensor, "b leaves d"]
    ) -> tuple[Float[Tensor, "b t d"], Float[Tensor, "b leaves d"]]:
        """Outputs and last state over frames whose products with `inputs` are given."""
        hidden, outputs, gated = state[:, 0], [], 2 * self.width
        recurrent, new = self.recurrent.weight, self.new.weight  # once, as each look normalises them
        for frame in sums.unbind(1):
            update, reset = torch.sigmoid(frame[:, :gated] + F.linear(hidden, recurrent)).chunk(2, 1)
            proposed = torch.tanh(frame[:, gated:] + F.linear(reset * hidden, new))
            hidden = hidden + update * (proposed - hidden)
            outputs.append(hidden)
        return torch.stack(outputs, 1), hidden.unsqueeze(1)


class LSTMLayer(nn.Module):
    """Long short-term memory; the gates are in the order of torch: enter, forget, new, leave."""

    leaves = 2

    def __init__(self, input_width: int, width: int) -> None:
        super().__init__()
        self.inputs = normed_linear(input_width, 4 * width)
        self.recurrent = normed_linear(width, 4 * width, bias=False)
        nn.init.constant_(self.inputs.bias[width : 2 * width], FORGET)

    def forward(
        self, sums: Float[Tensor, "b t gates"], state: Float[Tensor, "b leaves d"]
    ) -> tuple[Float[Tensor, "b t d"], Float[Tensor, "b leaves d"]]:
        """Outputs and last state over frames whose products with `inputs` are given."""
        (hidden, cell), outputs = state.unbind(1), []
        recurrent = self.recurrent.weight  # once, as each look normalises it
        for frame in sums.unbind(1):
            enter, forget, new, leave = (frame + F.linear(hidden, recurrent)).chunk(4, 1)
            cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(new)
            hidden = torch.sigmoid(leave) * torch.tanh(cell)
            outputs.append(hidden)
        return torch.stack(outputs, 1), torch.stack([hidden, cell], 1)


CELLS: dict[str, type[GRULayer] | type[LSTMLayer]] = {"gru": GRULayer, "lstm": LSTMLayer}


class RecurrentLayers(nn.Module):
    """Recurrent layers one above the other, with a learned first state.

    With `skip` every layer above the first also reads the input, and the output is the sum of a linear map of each.
    """

    def __init__(self, input_width: int, width: int, *, cell: str, layers: int, skip: bool) -> None:
        super().__init__()
        make, further = CELLS[cell], width + input_width if skip else width
        self.layers: Any = nn.ModuleList(make(further if index else input_width, width) for index in range(layers))
        self.skips: Any = nn.ModuleList(
            normed_linear(width, width, bias=index == 0) for index in range(layers if skip else 0)
        )
        self.start = nn.Parameter(torch.zeros(layers, make.leaves, width))
        self.gates: int = self.layers[0].inputs.out_features

    def forward(
        self,
        x: Float[Tensor, "b t i"],
        shift: Float[Tensor, "b gates"] | tuple[()],
        hidden: Float[Tensor, "b layers leaves d"],
    ) -> tuple[Float[Tensor, "b t d"], Float[Tensor, "b layers leaves d"]]:
        """Outputs, and the state of every layer after the last frame."""
        outputs, after = [x], []
        for index, layer in enumerate(self.layers):
            both = index and len(self.skips)
            sums = layer.inputs(torch.cat([outputs[-1], x], -1) if both else outputs[-1])
            output, last = layer(sums if index else shifted(sums, shift), hidden[:, index])
            outputs.append(output)
            after.append(last)
        if not len(self.skips):
            return outputs[-1], torch.stack(after, 1)
        spoken = [skip(output) for skip, output in zip(self.skips, outputs[1:], strict=True)]
        return torch.stack(spoken).sum(0), torch.stack(after, 1)
