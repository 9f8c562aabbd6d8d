"""What a backbone is.

The loop and its unrolled graph are the same computation: `step` takes one symbol at constant cost, `parallel` takes a
whole sequence, and the laws in tests/laws hold them equal in output, state and gradient.
"""

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import nn

from unrolled.core import state as states
from unrolled.core.shapes import Float, Int, Shaped, Tensor
from unrolled.core.state import State

S = TypeVar("S")


class Context(NamedTuple):
    """Fixed conditioning of a sequence; every field is optional.

    `memory` is what cross-attention reads and `lengths` its valid part; `vector` is a summary such as speaker or mood.
    """

    memory: Float[Tensor, "b s d"] | None = None
    lengths: Int[Tensor, " b"] | None = None
    vector: Float[Tensor, "b d"] | None = None


class Backbone(nn.Module, Generic[S]):
    """A causal map from sequences to sequences with two equal views and an explicit state.

    `receptive_field` is in symbols, None where it is unbounded. `position_limit` is the number of symbols that one
    state can take before it must be rebuilt from recent symbols (learned positions), None where there is no limit.
    """

    input_width: int
    output_width: int
    receptive_field: int | None = None
    position_limit: int | None = None

    def init_state(self, batch: int, context: Context | None = None) -> S:
        """The state before the first symbol, for `batch` rows."""
        raise NotImplementedError

    def condition(self, state: S, context: Context) -> S:
        """`state` with the parts that come from `context` rebuilt and the rest kept."""
        return state

    def step(self, x: Float[Tensor, "b i"], state: S) -> tuple[Float[Tensor, "b o"], S]:
        """One symbol."""
        raise NotImplementedError

    def parallel(self, x: Float[Tensor, "b t i"], state: S) -> tuple[Float[Tensor, "b t o"], S]:
        """A whole sequence; equal to `step` over its symbols."""
        return scan(self.step, x, state)

    def forward(self, x: Float[Tensor, "b t i"], state: S) -> tuple[Float[Tensor, "b t o"], S]:
        """`parallel`, under the name at which torch fires hooks."""
        return self.parallel(x, state)

    def zeros(self, *shape: int) -> Tensor:
        """Zeros on the device and in the dtype of the parameters."""
        return next(self.parameters(), torch.empty(0)).new_zeros(shape)


def scan(
    step: Callable[[Any, State], tuple[Any, State]], x: Shaped[Tensor, "b t *_"], state: State
) -> tuple[Shaped[Tensor, "b t *_"], State]:
    """Apply `step` along time (axis 1): the obvious form of `parallel`. At least one symbol is needed."""
    outputs = []
    for symbol in x.unbind(1):
        output, state = step(symbol, state)
        outputs.append(output)
    return torch.stack(outputs, 1), state


def advance(backbone: Backbone[S], x: Float[Tensor, "b t i"], lengths: Int[Tensor, " b"], state: S) -> S:
    """The state of each row after its own first `lengths` symbols; a length of 0 leaves the row as it was.

    Rows are read together up to each length that occurs, then those that end there drop out.
    """
    read = 0
    for end in sorted(set(lengths.tolist()) - {0}):
        rows = (lengths >= end).nonzero().squeeze(1)
        _, part = backbone.parallel(x[rows, read:end], states.take(state, rows))
        state, read = states.put(state, rows, part), end
    return state
