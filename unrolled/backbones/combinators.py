"""Backbones made of backbones: a Transformer, a WaveNet or a hybrid is one expression of these."""

import itertools
from typing import Any, NamedTuple

from torch import nn

from unrolled.core.protocol import Backbone, Context
from unrolled.core.shapes import Float, Tensor
from unrolled.core.state import State


class Stack(Backbone[tuple[State, ...]]):
    """Parts one after another; the state is the tuple of their states."""

    def __init__(self, *parts: Backbone[Any]) -> None:
        super().__init__()
        for below, above in itertools.pairwise(parts):
            if below.output_width != above.input_width:
                raise ValueError(
                    f"{type(above).__name__} reads width {above.input_width}, but the part below it, "
                    f"{type(below).__name__}, gives width {below.output_width}: make them equal"
                )
        self.parts: Any = nn.ModuleList(parts)
        self.input_width, self.output_width = parts[0].input_width, parts[-1].output_width
        fields = [part.receptive_field for part in parts]
        limits = [part.position_limit for part in parts if part.position_limit is not None]
        self.receptive_field = None if None in fields else 1 + sum(field - 1 for field in fields if field)
        self.position_limit = min(limits, default=None)

    def init_state(self, batch: int, context: Context | None = None) -> tuple[State, ...]:
        """The states of the parts."""
        return tuple(part.init_state(batch, context) for part in self.parts)

    def condition(self, state: tuple[State, ...], context: Context) -> tuple[State, ...]:
        """Every part conditioned."""
        return tuple(part.condition(own, context) for part, own in zip(self.parts, state, strict=True))

    def step(self, x: Float[Tensor, "b i"], state: tuple[State, ...]) -> tuple[Float[Tensor, "b o"], tuple[State, ...]]:
        """One symbol through every part."""
        after = []
        for part, own in zip(self.parts, state, strict=True):
            x, own = part.step(x, own)
            after.append(own)
        return x, tuple(after)

    def parallel(
        self, x: Float[Tensor, "b t i"], state: tuple[State, ...]
    ) -> tuple[Float[Tensor, "b t o"], tuple[State, ...]]:
        """A whole sequence through every part."""
        after = []
        for part, own in zip(self.parts, state, strict=True):
            x, own = part(x, own)
            after.append(own)
        return x, tuple(after)


class Residual(Backbone[State]):
    """`inner` plus its input; the state is that of `inner`."""

    def __init__(self, inner: Backbone[Any]) -> None:
        super().__init__()
        if inner.input_width != inner.output_width:
            raise ValueError(
                f"a residual part must keep its width, not turn {inner.input_width} into {inner.output_width}"
            )
        self.inner = inner
        self.input_width, self.output_width = inner.input_width, inner.output_width
        self.receptive_field, self.position_limit = inner.receptive_field, inner.position_limit

    def init_state(self, batch: int, context: Context | None = None) -> State:
        """The state of the inner part."""
        return self.inner.init_state(batch, context)

    def condition(self, state: State, context: Context) -> State:
        """The inner part conditioned."""
        return self.inner.condition(state, context)

    def step(self, x: Float[Tensor, "b i"], state: State) -> tuple[Float[Tensor, "b o"], State]:
        """One symbol."""
        output, state = self.inner.step(x, state)
        return x + output, state

    def parallel(self, x: Float[Tensor, "b t i"], state: State) -> tuple[Float[Tensor, "b t o"], State]:
        """A whole sequence."""
        output, state = self.inner(x, state)
        return x + output, state


class Stateless(Backbone[tuple[()]]):
    """A module that treats every symbol alone (a norm, an MLP, dropout), as a backbone with an empty state."""

    receptive_field = 1

    def __init__(self, module: nn.Module, input_width: int, output_width: int | None = None) -> None:
        super().__init__()
        self.module = module
        self.input_width, self.output_width = input_width, output_width or input_width

    def init_state(self, batch: int, context: Context | None = None) -> tuple[()]:
        """Nothing to remember."""
        return ()

    def step(self, x: Float[Tensor, "b i"], state: tuple[()]) -> tuple[Float[Tensor, "b o"], tuple[()]]:
        """One symbol."""
        return self.module(x), state

    def parallel(self, x: Float[Tensor, "b t i"], state: tuple[()]) -> tuple[Float[Tensor, "b t o"], tuple[()]]:
        """All symbols at once."""
        return self.module(x), state


class ConditionedState(NamedTuple):
    """`shift` is what the context vector adds to every input."""

    shift: Float[Tensor, "b i"]
    inner: State


class Conditioned(Backbone[ConditionedState]):
    """`inner` with a linear projection of `Context.vector`, over the root of its width, added to its every input.

    Without a vector nothing is added, so the same model also runs unconditioned.
    """

    def __init__(self, inner: Backbone[Any], vector_width: int) -> None:
        super().__init__()
        self.inner = inner
        self.projection = nn.Linear(vector_width, inner.input_width, bias=False)
        self.scale = vector_width**-0.5
        self.input_width, self.output_width = inner.input_width, inner.output_width
        self.receptive_field, self.position_limit = inner.receptive_field, inner.position_limit

    def shift(self, batch: int, context: Context | None) -> Float[Tensor, "b i"]:
        """What is added to the inputs of each row."""
        if context is None or context.vector is None:
            return self.zeros(batch, self.input_width)
        return (self.projection(context.vector) * self.scale).to(self.projection.weight.dtype)

    def init_state(self, batch: int, context: Context | None = None) -> ConditionedState:
        """The projected vector and the state of the inner part."""
        return ConditionedState(self.shift(batch, context), self.inner.init_state(batch, context))

    def condition(self, state: ConditionedState, context: Context) -> ConditionedState:
        """The vector projected anew."""
        shift = self.shift(state.shift.shape[0], context)
        return ConditionedState(shift, self.inner.condition(state.inner, context))

    def step(self, x: Float[Tensor, "b i"], state: ConditionedState) -> tuple[Float[Tensor, "b o"], ConditionedState]:
        """One symbol."""
        output, inner = self.inner.step(x + state.shift, state.inner)
        return output, ConditionedState(state.shift, inner)

    def parallel(
        self, x: Float[Tensor, "b t i"], state: ConditionedState
    ) -> tuple[Float[Tensor, "b t o"], ConditionedState]:
        """A whole sequence."""
        output, inner = self.inner(x + state.shift.unsqueeze(1), state.inner)
        return output, ConditionedState(state.shift, inner)
