"""Features of frames, such as mel spectra, brought to the rate of samples."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from unrolled.core.shapes import Float, Tensor


class Upsampling(nn.Module):
    """Transposed convolutions over time whose kernels are as long as their strides; they begin as plain repetition.

    The product of `factors` is the number of samples in a frame: (4, 4, 10) makes 160.
    """

    def __init__(self, width: int, factors: Sequence[int]) -> None:
        super().__init__()
        self.stages: Any = nn.ModuleList(nn.Linear(width, factor * width) for factor in factors)
        self.width = width
        with torch.no_grad():
            for stage, factor in zip(self.stages, factors, strict=True):
                stage.weight.copy_(torch.eye(width).repeat(factor, 1))
                stage.bias.zero_()

    def forward(self, frames: Float[Tensor, "b frames d"]) -> Float[Tensor, "b t d"]:
        """The features at each sample."""
        for stage in self.stages:
            frames = stage(frames).unflatten(2, (-1, self.width)).flatten(1, 2)
        return frames
