"""The fixed window: the next symbol from the last n and from nothing else."""

import itertools

import torch
from torch import nn

from unrolled.core.protocol import Backbone, Context
from unrolled.core.shapes import Float, Tensor


class Window(Backbone[Tensor]):
    """A multilayer perceptron over the last `window` symbols. Source: Bengio et al. 2003, section 2.

    The state is the last `window - 1` inputs, oldest first, zeros where there were none.
    """

    def __init__(self, input_width: int, width: int, *, window: int, layers: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        widths = [window * input_width, *[width] * layers]
        self.layers = nn.Sequential(
            *(
                module
                for before, after in itertools.pairwise(widths)
                for module in (nn.Linear(before, after), nn.GELU(), nn.Dropout(dropout))
            )
        )
        self.window, self.receptive_field = window, window
        self.input_width, self.output_width = input_width, width

    def init_state(self, batch: int, context: Context | None = None) -> Float[Tensor, "b s i"]:
        """A window of zeros."""
        return self.zeros(batch, self.window - 1, self.input_width)

    def step(
        self, x: Float[Tensor, "b i"], state: Float[Tensor, "b s i"]
    ) -> tuple[Float[Tensor, "b o"], Float[Tensor, "b s i"]]:
        """One symbol."""
        recent = torch.cat([state, x.unsqueeze(1).to(state.dtype)], 1)
        return self.layers(recent.flatten(1)), recent[:, 1:]

    def parallel(
        self, x: Float[Tensor, "b t i"], state: Float[Tensor, "b s i"]
    ) -> tuple[Float[Tensor, "b t o"], Float[Tensor, "b s i"]]:
        """Every window of the sequence at once."""
        joined = torch.cat([state, x.to(state.dtype)], 1)
        windows = joined.unfold(1, self.window, 1).transpose(2, 3)  # b t window i
        return self.layers(windows.flatten(2)), joined[:, x.shape[1] :]
