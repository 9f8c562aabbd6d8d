"""Elman, GRU and LSTM layers: `parallel` by the fused kernels of torch, `step` by plain matrix products.

Dropout is between layers, and the learned start, where asked for, is the first state of every row.
Every weight is a matrix of the fused module, `kernel.weight_ih_l0` and so on, so that an optimiser can treat it as one.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from unrolled.core.protocol import Backbone, Context
from unrolled.core.shapes import Float, Tensor
from unrolled.core.state import State, cast_like, rebuild

Cell = Callable[..., tuple[Tensor, ...]]


class Hidden(NamedTuple):
    """State of an Elman or gated recurrent unit network."""

    hidden: Float[Tensor, "b layers d"]


class HiddenCell(NamedTuple):
    """State of a long short-term memory."""

    hidden: Float[Tensor, "b layers d"]
    cell: Float[Tensor, "b layers d"]


def step_layers(
    cell: Cell, kernel: nn.RNNBase, dropout: nn.Dropout, x: Float[Tensor, "b i"], state: State
) -> tuple[Float[Tensor, "b d"], State]:
    """One symbol through every layer of `kernel`; the first tensor that `cell` returns is the layer's output."""
    after = []
    for layer, weights in enumerate(kernel.all_weights):
        x = dropout(x) if layer else x
        parts = cell(x, *(leaf[:, layer] for leaf in state), *weights)
        x = parts[0]
        after.append(parts)
    leaves = [torch.stack(layers, 1) for layers in zip(*after, strict=True)]
    return x, cast_like(rebuild(state, leaves), state)


def run_kernel(kernel: nn.RNNBase, x: Float[Tensor, "b t i"], state: State) -> tuple[Float[Tensor, "b t d"], State]:
    """A sequence through the fused kernel, which wants layers on axis 0 of its states."""
    before = [leaf.transpose(0, 1).contiguous() for leaf in state]
    if len(before) == 1:
        outputs, last = kernel(x, before[0])
        after = [last]
    else:
        outputs, after = kernel(x, tuple(before))
    leaves = [leaf.transpose(0, 1) for leaf in after]
    return outputs, cast_like(rebuild(state, leaves), state)


def start_parameter(learned_start: bool, leaves: int, layers: int, width: int) -> nn.Parameter | None:
    """The learned first state, zeros before training."""
    return nn.Parameter(torch.zeros(leaves, layers, width)) if learned_start else None


def first_leaves(start: nn.Parameter | None, zeros: Float[Tensor, "leaves b layers d"]) -> Sequence[Tensor]:
    """The tensors of the first state: zeros, or the learned start in every row."""
    return (zeros if start is None else zeros + start.unsqueeze(1)).unbind(0)


def elman_cell(x: Tensor, hidden: Tensor, w_x: Tensor, w_h: Tensor, b_x: Tensor, b_h: Tensor) -> tuple[Tensor]:
    """Source: Elman 1990."""
    return (torch.tanh(F.linear(x, w_x, b_x) + F.linear(hidden, w_h, b_h)),)


def gru_cell(x: Tensor, hidden: Tensor, w_x: Tensor, w_h: Tensor, b_x: Tensor, b_h: Tensor) -> tuple[Tensor]:
    """Source: Cho et al. 2014, eq. 5-8, with the reset gate after the product as cuDNN has it."""
    reset_x, update_x, new_x = F.linear(x, w_x, b_x).chunk(3, 1)
    reset_h, update_h, new_h = F.linear(hidden, w_h, b_h).chunk(3, 1)
    reset, update = torch.sigmoid(reset_x + reset_h), torch.sigmoid(update_x + update_h)
    new = torch.tanh(new_x + reset * new_h)
    return (new + update * (hidden - new),)


def lstm_cell(
    x: Tensor, hidden: Tensor, cell: Tensor, w_x: Tensor, w_h: Tensor, b_x: Tensor, b_h: Tensor
) -> tuple[Tensor, Tensor]:
    """Source: Gers et al. 2000, without peepholes."""
    gates = F.linear(x, w_x, b_x) + F.linear(hidden, w_h, b_h)
    enter, forget, new, leave = gates.chunk(4, 1)
    cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(new)
    return torch.sigmoid(leave) * torch.tanh(cell), cell


class Elman(Backbone[Hidden]):
    """The simple recurrent network with tanh units."""

    def __init__(
        self, input_width: int, width: int, *, layers: int = 1, dropout: float = 0.0, learned_start: bool = False
    ) -> None:
        super().__init__()
        self.kernel = nn.RNN(input_width, width, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.dropout = nn.Dropout(dropout)
        self.start = start_parameter(learned_start, 1, layers, width)
        self.input_width, self.output_width = input_width, width

    def init_state(self, batch: int, context: Context | None = None) -> Hidden:
        """Zeros or the learned start."""
        return Hidden(*first_leaves(self.start, self.zeros(1, batch, self.kernel.num_layers, self.output_width)))

    def step(self, x: Float[Tensor, "b i"], state: Hidden) -> tuple[Float[Tensor, "b d"], Hidden]:
        """One symbol."""
        return step_layers(elman_cell, self.kernel, self.dropout, x, state)

    def parallel(self, x: Float[Tensor, "b t i"], state: Hidden) -> tuple[Float[Tensor, "b t d"], Hidden]:
        """A whole sequence."""
        return run_kernel(self.kernel, x, state)


class GRU(Backbone[Hidden]):
    """Gated recurrent units."""

    def __init__(
        self, input_width: int, width: int, *, layers: int = 1, dropout: float = 0.0, learned_start: bool = False
    ) -> None:
        super().__init__()
        self.kernel = nn.GRU(input_width, width, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.dropout = nn.Dropout(dropout)
        self.start = start_parameter(learned_start, 1, layers, width)
        self.input_width, self.output_width = input_width, width

    def init_state(self, batch: int, context: Context | None = None) -> Hidden:
        """Zeros or the learned start."""
        return Hidden(*first_leaves(self.start, self.zeros(1, batch, self.kernel.num_layers, self.output_width)))

    def step(self, x: Float[Tensor, "b i"], state: Hidden) -> tuple[Float[Tensor, "b d"], Hidden]:
        """One symbol."""
        return step_layers(gru_cell, self.kernel, self.dropout, x, state)

    def parallel(self, x: Float[Tensor, "b t i"], state: Hidden) -> tuple[Float[Tensor, "b t d"], Hidden]:
        """A whole sequence."""
        return run_kernel(self.kernel, x, state)


class LSTM(Backbone[HiddenCell]):
    """Long short-term memory; the bias of the forget gate starts at 1 (Jozefowicz et al. 2015, section 3)."""

    def __init__(
        self, input_width: int, width: int, *, layers: int = 1, dropout: float = 0.0, learned_start: bool = False
    ) -> None:
        super().__init__()
        self.kernel = nn.LSTM(input_width, width, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.dropout = nn.Dropout(dropout)
        self.start = start_parameter(learned_start, 2, layers, width)
        self.input_width, self.output_width = input_width, width
        for _, _, bias, other_bias in self.kernel.all_weights:
            nn.init.zeros_(other_bias)
            nn.init.zeros_(bias)
            nn.init.ones_(bias[width : 2 * width])

    def init_state(self, batch: int, context: Context | None = None) -> HiddenCell:
        """Zeros or the learned start."""
        return HiddenCell(*first_leaves(self.start, self.zeros(2, batch, self.kernel.num_layers, self.output_width)))

    def step(self, x: Float[Tensor, "b i"], state: HiddenCell) -> tuple[Float[Tensor, "b d"], HiddenCell]:
        """One symbol."""
        return step_layers(lstm_cell, self.kernel, self.dropout, x, state)

    def parallel(self, x: Float[Tensor, "b t i"], state: HiddenCell) -> tuple[Float[Tensor, "b t d"], HiddenCell]:
        """A whole sequence."""
        return run_kernel(self.kernel, x, state)
