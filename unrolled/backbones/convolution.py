"""Dilated causal convolution in the manner of WaveNet: gated, with residual and skip connections."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from unrolled.core.protocol import Backbone, Context
from unrolled.core.shapes import Float, Tensor

Buffers = tuple[Tensor, ...]


class ConvolutionLayer(nn.Module):
    """`kernel` taps `dilation` symbols apart, tanh times sigmoid, then projections to the residual and the skip path.

    Source: van den Oord et al. 2016, eq. 2. The taps are one matrix over the joined inputs, oldest first.
    """

    def __init__(self, width: int, gate_width: int, skip_width: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.taps = nn.Linear(kernel * width, 2 * gate_width)
        self.paths = nn.Linear(gate_width, width + skip_width)
        self.width, self.dilation = width, dilation
        self.reach = (kernel - 1) * dilation

    def forward(self, x: Float[Tensor, "*b d"], taps: Float[Tensor, "*b taps"]) -> tuple[Tensor, Tensor]:
        """The residual output and the skip output at symbols `x` whose taps are `taps`."""
        entering, gate = self.taps(taps).chunk(2, -1)
        residual, skip = self.paths(torch.tanh(entering) * torch.sigmoid(gate)).tensor_split([self.width], -1)
        return x + residual, skip


class Convolution(Backbone[Buffers]):
    """A stack of gated dilated layers whose skip outputs are summed.

    `dilations` has one entry per layer, such as `(1, 2, 4, 8) * 3`. The state is one buffer per layer with the inputs
    that later symbols still see, oldest first.
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
    ) -> None:
        super().__init__()
        skip_width = skip_width or width
        self.inlet = nn.Linear(input_width, width)
        self.layers: Any = nn.ModuleList(
            ConvolutionLayer(width, gate_width or width, skip_width, kernel, dilation) for dilation in dilations
        )
        self.outlet = nn.Sequential(nn.ReLU(), nn.Linear(skip_width, skip_width), nn.ReLU(), nn.Dropout(dropout))
        self.input_width, self.output_width, self.width = input_width, skip_width, width
        self.receptive_field = 1 + sum(layer.reach for layer in self.layers)

    def init_state(self, batch: int, context: Context | None = None) -> Buffers:
        """Buffers of zeros."""
        return tuple(self.zeros(batch, layer.reach, self.width) for layer in self.layers)

    def step(self, x: Float[Tensor, "b i"], state: Buffers) -> tuple[Float[Tensor, "b o"], Buffers]:
        """One symbol."""
        x, skips, after = self.inlet(x), [], []
        for layer, buffer in zip(self.layers, state, strict=True):
            joined = torch.cat([buffer, x.unsqueeze(1).to(buffer.dtype)], 1)
            x, skip = layer(x, joined[:, :: layer.dilation].flatten(1))
            skips.append(skip)
            after.append(joined[:, 1:])
        return self.outlet(sum(skips)), tuple(after)

    def parallel(self, x: Float[Tensor, "b t i"], state: Buffers) -> tuple[Float[Tensor, "b t o"], Buffers]:
        """A whole sequence, layer by layer."""
        x, skips, after = self.inlet(x), [], []
        time = x.shape[1]
        for layer, buffer in zip(self.layers, state, strict=True):
            joined = torch.cat([buffer, x.to(buffer.dtype)], 1)
            shifts = range(0, layer.reach + 1, layer.dilation)
            x, skip = layer(x, torch.cat([joined[:, shift : shift + time] for shift in shifts], -1))
            skips.append(skip)
            after.append(joined[:, time:])
        return self.outlet(sum(skips)), tuple(after)
