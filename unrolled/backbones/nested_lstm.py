"""The nested LSTM: a memory whose memory is again an LSTM."""

from typing import Any, NamedTuple

import torch
from torch import nn

from unrolled.core.protocol import Backbone, Context
from unrolled.core.shapes import Float, Tensor
from unrolled.core.state import cast_like


class NestedState(NamedTuple):
    """`cells` of each layer from the outermost to the innermost memory."""

    hidden: Float[Tensor, "b layers d"]
    cells: Float[Tensor, "b layers depth d"]


class NestedLayer(nn.Module):
    """One layer: an LSTM whose sum `f * c + i * g` is replaced by an inner LSTM, `depth` levels in all.

    Source: Moniz and Krueger 2017, eq. 5-9; every activation is tanh.
    """

    def __init__(self, input_width: int, width: int, depth: int) -> None:
        super().__init__()
        self.inputs: Any = nn.ModuleList(
            nn.Linear(input_width if level == 0 else width, 4 * width) for level in range(depth)
        )
        self.hiddens: Any = nn.ModuleList(nn.Linear(width, 4 * width, bias=False) for _ in range(depth))
        for linear in self.inputs:
            nn.init.zeros_(linear.bias)
            nn.init.ones_(linear.bias[width : 2 * width])

    def remember(
        self, level: int, gates: Float[Tensor, "b gates"], cells: list[Tensor]
    ) -> tuple[Float[Tensor, "b d"], list[Tensor]]:
        """Output and new cells of the levels from `level` inwards, from the sums that enter the gates of `level`."""
        enter, forget, new, leave = gates.chunk(4, 1)
        kept, added = torch.sigmoid(forget) * cells[level], torch.sigmoid(enter) * torch.tanh(new)
        if level + 1 == len(cells):
            cell, inner = kept + added, []
        else:  # the inner LSTM reads what is added and has what is kept as its last output
            sums = self.inputs[level + 1](added) + self.hiddens[level + 1](kept)
            cell, inner = self.remember(level + 1, sums, cells)
        return torch.sigmoid(leave) * torch.tanh(cell), [cell, *inner]

    def forward(
        self, x: Float[Tensor, "b t i"], hidden: Float[Tensor, "b d"], cells: Float[Tensor, "b depth d"]
    ) -> tuple[Float[Tensor, "b t d"], Float[Tensor, "b d"], Float[Tensor, "b depth d"]]:
        """A sequence through this layer: outputs, last output, last cells. The product with the input is made once."""
        outputs, levels = [], list(cells.unbind(1))
        for sums in self.inputs[0](x).unbind(1):
            hidden, levels = self.remember(0, sums + self.hiddens[0](hidden), levels)
            outputs.append(hidden)
        return torch.stack(outputs, 1), hidden, torch.stack(levels, 1)


class NestedLSTM(Backbone[NestedState]):
    """Layers of nested LSTM, `depth` memories deep each."""

    def __init__(self, input_width: int, width: int, *, layers: int = 1, depth: int = 2, dropout: float = 0.0) -> None:
        super().__init__()
        self.layers: Any = nn.ModuleList(
            NestedLayer(input_width if layer == 0 else width, width, depth) for layer in range(layers)
        )
        self.dropout = nn.Dropout(dropout)
        self.depth = depth
        self.input_width, self.output_width = input_width, width

    def init_state(self, batch: int, context: Context | None = None) -> NestedState:
        """Zeros."""
        hidden = self.zeros(batch, len(self.layers), self.output_width)
        return NestedState(hidden, self.zeros(batch, len(self.layers), self.depth, self.output_width))

    def step(self, x: Float[Tensor, "b i"], state: NestedState) -> tuple[Float[Tensor, "b d"], NestedState]:
        """One symbol."""
        hiddens, cells = [], []
        for index, layer in enumerate(self.layers):
            x = self.dropout(x) if index else x
            sums = layer.inputs[0](x) + layer.hiddens[0](state.hidden[:, index])
            x, levels = layer.remember(0, sums, list(state.cells[:, index].unbind(1)))
            hiddens.append(x)
            cells.append(torch.stack(levels, 1))
        return x, cast_like(NestedState(torch.stack(hiddens, 1), torch.stack(cells, 1)), state)

    def parallel(self, x: Float[Tensor, "b t i"], state: NestedState) -> tuple[Float[Tensor, "b t d"], NestedState]:
        """A whole sequence, layer by layer."""
        hiddens, cells = [], []
        for index, layer in enumerate(self.layers):
            x = self.dropout(x) if index else x
            x, hidden, levels = layer(x, state.hidden[:, index], state.cells[:, index])
            hiddens.append(hidden)
            cells.append(levels)
        return x, cast_like(NestedState(torch.stack(hiddens, 1), torch.stack(cells, 1)), state)
