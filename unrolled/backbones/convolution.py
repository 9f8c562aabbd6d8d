"""Dilated causal convolution in the manner of WaveNet: gated, with residual and skip connections."""

from collections.abc import Callable, Sequence
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
    inputs, oldest first, and over the controls of the symbol after them. What goes on is the sum of input and residual
    times `scale`.
    """

    def __init__(
        self,
        width: int,
        gate_width: int,
        skip_width: int,
        kernel: int,
        dilation: int,
        control_width: int = 0,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.taps = nn.Linear(kernel * width + control_width, 2 * gate_width)
        self.paths = nn.Linear(gate_width, width + skip_width)
        self.width, self.dilation, self.scale = width, dilation, scale
        self.reach = (kernel - 1) * dilation

    def forward(
        self, x: Float[Tensor, "*b d"], taps: Float[Tensor, "*b taps"], shift: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The residual output and the skip output at symbols `x` whose taps are `taps`, the gates moved by `shift`."""
        sums = self.taps(taps)
        entering, gate = (sums if shift is None else sums + shift).chunk(2, -1)
        residual, skip = self.paths(torch.tanh(entering) * torch.sigmoid(gate)).tensor_split([self.width], -1)
        x = x + residual
        return x if self.scale == 1 else x * self.scale, skip


def read_one(
    buffer: Float[Tensor, "b reach d"], x: Float[Tensor, "b d"], dilation: int
) -> tuple[Sequence[Float[Tensor, "b d"]], Float[Tensor, "b reach d"]]:
    """The taps of one symbol, oldest first, and the buffer after it."""
    joined = torch.cat([buffer, x.unsqueeze(1).to(buffer.dtype)], 1)
    return joined[:, ::dilation].unbind(1), joined[:, 1:]


def read_all(
    buffer: Float[Tensor, "b reach d"], x: Float[Tensor, "b t d"], dilation: int
) -> tuple[Sequence[Float[Tensor, "b t d"]], Float[Tensor, "b reach d"]]:
    """The taps of each symbol of a sequence, and the buffer after it."""
    joined, time = torch.cat([buffer, x.to(buffer.dtype)], 1), x.shape[1]
    starts = range(0, buffer.shape[1] + 1, dilation)
    return [joined[:, start : start + time] for start in starts], joined[:, time:]


class Convolution(Backbone[State]):
    """A stack of gated dilated layers whose skip outputs are summed.

    `dilations` has one entry per layer, such as `(1, 2, 4, 8) * 3`. The inlet joins the last `inlet_kernel` inputs. The
    state is one buffer per layer, before them one of the inlet if it joins several, with the inputs that later symbols
    still see, oldest first; with a `vector_width` it is `ConditionedBuffers`.

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
        inlet_kernel: int = 1,
        gate_width: int | None = None,
        skip_width: int | None = None,
        residual_scale: float = 1.0,
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
        self.own_width, self.inlet_reach = input_width - control_width, inlet_kernel - 1  # of inputs without controls
        self.inlet = nn.Linear(inlet_kernel * self.own_width, width)
        self.layers: Any = nn.ModuleList(
            ConvolutionLayer(width, gate_width, skip_width, kernel, dilation, control_width, residual_scale)
            for dilation in dilations
        )
        self.outlet = nn.Sequential(nn.ReLU(), nn.Linear(skip_width, skip_width), nn.ReLU(), nn.Dropout(dropout))
        gates = 2 * gate_width * len(self.layers)
        self.vector = nn.Linear(vector_width, gates, bias=False) if vector_width else None
        self.input_width, self.output_width, self.width = input_width, skip_width, width
        self.receptive_field = 1 + self.inlet_reach + sum(layer.reach for layer in self.layers)

    def shifts(self, batch: int, context: Context | None) -> Float[Tensor, "b layers gates"]:
        """What the context adds to the gates of each layer; only for models with a `vector_width`."""
        assert self.vector is not None
        if context is None or context.vector is None:
            return self.zeros(batch, len(self.layers), self.vector.out_features // len(self.layers))
        added = self.vector(context.vector) * self.vector.in_features**-0.5
        return added.to(self.vector.weight.dtype).unflatten(1, (len(self.layers), -1))

    def init_state(self, batch: int, context: Context | None = None) -> State:
        """Buffers of zeros, and what the context adds."""
        inlet = [self.zeros(batch, self.inlet_reach, self.own_width)] if self.inlet_reach else []
        buffers = (*inlet, *(self.zeros(batch, layer.reach, self.width) for layer in self.layers))
        return buffers if self.vector is None else ConditionedBuffers(self.shifts(batch, context), buffers)

    def condition(self, state: State, context: Context) -> State:
        """Another context from here on."""
        return state if self.vector is None else state._replace(shifts=self.shifts(state.shifts.shape[0], context))

    def parts(self, state: State) -> tuple[Buffers, tuple[Tensor | None, ...]]:
        """The buffers, and the shift of each layer."""
        if self.vector is None:
            return state, (None,) * len(self.layers)
        return state.buffers, state.shifts.unbind(1)

    def after(self, state: State, buffers: list[Tensor]) -> State:
        """`state` with other buffers."""
        return tuple(buffers) if self.vector is None else state._replace(buffers=tuple(buffers))

    def through(
        self, x: Tensor, buffers: Buffers, shifts: Sequence[Tensor | None], read: Callable[..., tuple[Any, Tensor]]
    ) -> tuple[Tensor, list[Tensor]]:
        """Layer by layer: what `read` finds in the buffer and the input of each, and the buffers after it."""
        (x, control), after, skips = x.tensor_split([self.own_width], -1), [], []
        if self.inlet_reach:
            taps, later = read(buffers[0], x, 1)
            x, buffers, after = torch.cat([*taps], -1), buffers[1:], [later]
        x = self.inlet(x)
        for layer, buffer, shift in zip(self.layers, buffers, shifts, strict=True):
            taps, later = read(buffer, x, layer.dilation)
            x, skip = layer(x, torch.cat([*taps, control], -1), shift)
            skips.append(skip)
            after.append(later)
        return self.outlet(sum(skips)), after

    def step(self, x: Float[Tensor, "b i"], state: State) -> tuple[Float[Tensor, "b o"], State]:
        """One symbol."""
        output, after = self.through(x, *self.parts(state), read_one)
        return output, self.after(state, after)

    def parallel(self, x: Float[Tensor, "b t i"], state: State) -> tuple[Float[Tensor, "b t o"], State]:
        """A whole sequence, layer by layer."""
        buffers, shifts = self.parts(state)
        over_time = [None if shift is None else shift.unsqueeze(1) for shift in shifts]
        output, after = self.through(x, buffers, over_time, read_all)
        return output, self.after(state, after)
