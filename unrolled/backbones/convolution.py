"""Dilated causal convolution in the manner of WaveNet: gated, with residual and skip connections."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from unrolled.core.protocol import Backbone, Context
from unrolled.core.shapes import Float, Tensor
from unrolled.core.state import State

Buffers = tuple[Tensor, ...]


class ConditionedBuffers(NamedTuple):
    """`shifts` is what the context adds to the gates of each layer."""

    shifts: Float[Tensor, "b layers gates"]
    buffers: Buffers


class ConvolutionLayer(nn.Module):
    """`kernel` taps `dilation` symbols apart, tanh times sigmoid, then projections to the residual and the skip path.

    Source: van den Oord et al. 2016, eq. 2, and section 2.5 for conditioning. The taps are one matrix over the joined
    inputs, oldest first, and over the controls of the symbol after them.
    """

    def __init__(
        self, width: int, gate_width: int, skip_width: int, kernel: int, dilation: int, control_width: int = 0
    ) -> None:
        super().__init__()
        self.taps = nn.Linear(kernel * width + control_width, 2 * gate_width)
        self.paths = nn.Linear(gate_width, width + skip_width)
        self.width, self.dilation = width, dilation
        self.reach = (kernel - 1) * dilation

    def forward(
        self, x: Float[Tensor, "*b d"], taps: Float[Tensor, "*b taps"], shift: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The residual output and the skip output at symbols `x` whose taps are `taps`, the gates moved by `shift`."""
        sums = self.taps(taps)
        entering, gate = (sums if shift is None else sums + shift).chunk(2, -1)
        residual, skip = self.paths(torch.tanh(entering) * torch.sigmoid(gate)).tensor_split([self.width], -1)
        return x + residual, skip


class Convolution(Backbone[State]):
    """A stack of gated dilated layers whose skip outputs are summed.

    `dilations` has one entry per layer, such as `(1, 2, 4, 8) * 3`. The state is one buffer per layer with the inputs
    that later symbols still see, oldest first; with a `vector_width` it is `ConditionedBuffers`.

    Conditioning enters the gates of every layer: `Context.vector` of `vector_width` through a linear map over the root
    of its width, and the last `control_width` columns of the inputs, which the inlet then does not read.
    """

    def __init__(
        self,
        input_width: int,
        width: int,
        *,
        dilations: Sequence[int],
        kernel: int = 2,
        gate_width: int | None = None,
        skip_width: int | None = None,
        dropout: float = 0.0,
        vector_width: int = 0,
        control_width: int = 0,
    ) -> None:
        super().__init__()
        if not 0 <= control_width < input_width:
            raise ValueError(
                f"control_width {control_width} of inputs of width {input_width}: the inlet needs a column"
            )
        gate_width, skip_width = gate_width or width, skip_width or width
        self.inlet = nn.Linear(input_width - control_width, width)
        self.layers: Any = nn.ModuleList(
            ConvolutionLayer(width, gate_width, skip_width, kernel, dilation, control_width) for dilation in dilations
        )
        self.outlet = nn.Sequential(nn.ReLU(), nn.Linear(skip_width, skip_width), nn.ReLU(), nn.Dropout(dropout))
        gates = 2 * gate_width * len(self.layers)
        self.vector = nn.Linear(vector_width, gates, bias=False) if vector_width else None
        self.input_width, self.output_width, self.width = input_width, skip_width, width
        self.own_width = input_width - control_width  # of an input without its controls
        self.receptive_field = 1 + sum(layer.reach for layer in self.layers)

    def shifts(self, batch: int, context: Context | None) -> Float[Tensor, "b layers gates"]:
        """What the context adds to the gates of each layer; only for models with a `vector_width`."""
        assert self.vector is not None
        if context is None or context.vector is None:
            return self.zeros(batch, len(self.layers), self.vector.out_features // len(self.layers))
        added = self.vector(context.vector) * self.vector.in_features**-0.5
        return added.to(self.vector.weight.dtype).unflatten(1, (len(self.layers), -1))

    def init_state(self, batch: int, context: Context | None = None) -> State:
        """Buffers of zeros, and what the context adds."""
        buffers = tuple(self.zeros(batch, layer.reach, self.width) for layer in self.layers)
        return buffers if self.vector is None else ConditionedBuffers(self.shifts(batch, context), buffers)

    def condition(self, state: State, context: Context) -> State:
        """Another context from here on."""
        return state if self.vector is None else state._replace(shifts=self.shifts(state.shifts.shape[0], context))

    def parts(self, state: State) -> tuple[Buffers, tuple[Tensor | None, ...]]:
        """The buffer and the shift of each layer."""
        if self.vector is None:
            return state, (None,) * len(self.layers)
        return state.buffers, state.shifts.unbind(1)

    def after(self, state: State, buffers: list[Tensor]) -> State:
        """`state` with other buffers."""
        return tuple(buffers) if self.vector is None else state._replace(buffers=tuple(buffers))

    def step(self, x: Float[Tensor, "b i"], state: State) -> tuple[Float[Tensor, "b o"], State]:
        """One symbol."""
        own, control = x.tensor_split([self.own_width], -1)
        x, skips, after = self.inlet(own), [], []
        for layer, buffer, shift in zip(self.layers, *self.parts(state), strict=True):
            joined = torch.cat([buffer, x.unsqueeze(1).to(buffer.dtype)], 1)
            x, skip = layer(x, torch.cat([*joined[:, :: layer.dilation].unbind(1), control], 1), shift)
            skips.append(skip)
            after.append(joined[:, 1:])
        return self.outlet(sum(skips)), self.after(state, after)

    def parallel(self, x: Float[Tensor, "b t i"], state: State) -> tuple[Float[Tensor, "b t o"], State]:
        """A whole sequence, layer by layer."""
        own, control = x.tensor_split([self.own_width], -1)
        x, skips, after, time = self.inlet(own), [], [], x.shape[1]
        for layer, buffer, shift in zip(self.layers, *self.parts(state), strict=True):
            joined = torch.cat([buffer, x.to(buffer.dtype)], 1)
            taps = [joined[:, start : start + time] for start in range(0, layer.reach + 1, layer.dilation)]
            x, skip = layer(x, torch.cat([*taps, control], -1), None if shift is None else shift.unsqueeze(1))
            skips.append(skip)
            after.append(joined[:, time:])
        return self.outlet(sum(skips)), self.after(state, after)
