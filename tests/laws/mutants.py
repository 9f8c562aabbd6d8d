"""Backbones with one planted fault each, to test the laws themselves."""

from typing import Any

import torch

from unrolled.backbones import GRU, LSTM, Attention, Conditioned, Convolution, Elman, LearnedPositions, Tiers, Window
from unrolled.backbones.attention import AttentionState
from unrolled.backbones.combinators import ConditionedState
from unrolled.core.protocol import Context
from unrolled.core.shapes import Tensor


class OtherFormula(GRU):
    """`step` is another function than `parallel`: the reset gate stands before the product."""

    def step(self, x: Any, state: Any) -> Any:
        output, after = super().step(x, state)
        return output * 1.0001, after


class LostLastSymbol(LSTM):
    """`parallel` gives right outputs, but the state before the last symbol."""

    def parallel(self, x: Any, state: Any) -> Any:
        output, _ = super().parallel(x, state)
        return output, super().parallel(x[:, :-1], state)[1] if x.shape[1] > 1 else state


class CutGradient(GRU):
    """`parallel` treats the state it is given as a constant."""

    def parallel(self, x: Any, state: Any) -> Any:
        return super().parallel(x, type(state)(state.hidden.detach()))


class ForgetsBetweenChunks(LSTM):
    """`parallel` starts every call from zeros."""

    def parallel(self, x: Any, state: Any) -> Any:
        return super().parallel(x, type(state)(torch.zeros_like(state.hidden), torch.zeros_like(state.cell)))


class WrongClock(LearnedPositions):
    """`parallel` counts calls instead of symbols."""

    def parallel(self, x: Any, state: Any) -> Any:
        return super().parallel(x, state)[0], state + 1


class OneClock(Attention):
    """Rotary positions and the valid part of the cache are taken from the first row for all rows."""

    def parallel(self, x: Any, state: Any) -> Any:
        output, after = super().parallel(x, state._replace(clock=state.clock[:1].repeat(x.shape[0])))
        return output, after._replace(clock=state.clock + x.shape[1])


class OnePhase(Tiers):
    """Frames end where those of the first row do, for all rows."""

    def parallel(self, x: Any, state: Any) -> Any:
        output, after = super().parallel(x, state._replace(clock=state.clock[:1].repeat(x.shape[0])))
        return output, after._replace(clock=state.clock + x.shape[1])


class StepsInPhase(Tiers):
    """Frames end in `step` where those of the first row do, as they would if no row were ever started anew."""

    def step(self, x: Any, state: Any) -> Any:
        output, after = super().step(x, state._replace(clock=state.clock[:1].repeat(x.shape[0])))
        return output, after._replace(clock=state.clock + 1)


class CutFrame(Tiers):
    """What a frame has still to say is lost where a call ends within it."""

    def parallel(self, x: Any, state: Any) -> Any:
        output, after = super().parallel(x, state)
        tiers = tuple(tier._replace(vectors=torch.zeros_like(tier.vectors)) for tier in after.tiers)
        return output, after._replace(tiers=tiers)


class PeekingFrame(Tiers):
    """A tier reads the frame that has begun, not the one that is complete: a sample ahead of what is known."""

    def in_phase(self, x: Any, state: Any, phase: int) -> Any:
        ahead = torch.cat([x[:, 1:, :1], x[:, -1:, :1]], 1)
        output, _ = super().in_phase(torch.cat([ahead, x[..., 1:]], -1), state, phase)
        return output, super().in_phase(x, state, phase)[1]


class FutureLeak(Convolution):
    """Taps reach one symbol ahead in `parallel`."""

    def parallel(self, x: Any, state: Any) -> Any:
        output, after = super().parallel(x, state)
        return output + 1e-6 * torch.cat([output[:, 1:], torch.zeros_like(output[:, :1])], 1), after


class WholeSequenceNorm(GRU):
    """Normalises over time, as a misplaced LayerNorm does: every output depends on all inputs of its call."""

    def parallel(self, x: Any, state: Any) -> Any:
        output, after = super().parallel(x, state)
        return output - output.mean(1, keepdim=True), after


class MixedRows(GRU):
    """Subtracts the mean of the batch, as batch normalisation does."""

    def step(self, x: Any, state: Any) -> Any:
        return super().step(x - x.mean(0, keepdim=True), state)

    def parallel(self, x: Any, state: Any) -> Any:
        return super().parallel(x - x.mean(0, keepdim=True), state)


class WritesIntoState(LSTM):
    """Updates the state it was given in place, as caches usually do."""

    def step(self, x: Any, state: Any) -> Any:
        output, after = super().step(x, state)
        state.hidden.copy_(after.hidden)
        return output, type(state)(state.hidden, after.cell)


class HiddenMemory(GRU):
    """Keeps part of its past in the module."""

    calls = 0

    def parallel(self, x: Any, state: Any) -> Any:
        self.calls += 1
        output, after = super().parallel(x, state)
        return output + 1e-3 * self.calls, after


class GrowingCache(Window):
    """Remembers one symbol more at every step."""

    def step(self, x: Any, state: Tensor) -> Any:
        output, _ = super().step(x, state[:, -(self.window - 1) :])
        return output, torch.cat([state, x.unsqueeze(1)], 1)


class ChangesType(Attention):
    """Returns its clock as a float."""

    def step(self, x: Any, state: Any) -> Any:
        output, after = super().step(x, state._replace(clock=state.clock.long()))
        return output, after._replace(clock=after.clock.double())


class LowersPrecision(Elman):
    """Returns its state as mixed precision made it."""

    def step(self, x: Any, state: Any) -> Any:
        output, after = super().step(x, state)
        return output, type(after)(after.hidden.to(output.dtype))


class LooksTooFar(Attention):
    """Sees one symbol more than its window, in both views alike."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.window += 1


class PromisesTooMuch(Convolution):
    """Declares the receptive field of kernels of 3 and has kernels of 2."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.receptive_field = (self.receptive_field or 0) * 2 - 1


class UnsavedPart(LSTM):
    """Half of the state rides along outside the tensors, keyed by the identity of the other half."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.cells: dict[int, Any] = {}

    def parallel(self, x: Any, state: Any) -> Any:
        cell = self.cells.get(id(state.hidden), state.cell)
        output, after = super().parallel(x, type(state)(state.hidden, cell))
        kept = type(state)(after.hidden, torch.zeros_like(after.cell))
        self.cells[id(kept.hidden)] = after.cell
        self.alive = [*getattr(self, "alive", []), kept.hidden]  # so that identities stay unique
        return output, kept


class IgnoresNewContext(Conditioned):
    """`condition` keeps the old conditioning."""

    def condition(self, state: ConditionedState, context: Context) -> ConditionedState:
        return state


class ForgetsWhenConditioned(Conditioned):
    """`condition` starts the inner part anew."""

    def condition(self, state: ConditionedState, context: Context) -> ConditionedState:
        return self.init_state(state.shift.shape[0], context)


class ContextWithoutGradient(Conditioned):
    """`condition` cuts the context from the graph, so that only the first chunk could train it."""

    def condition(self, state: ConditionedState, context: Context) -> ConditionedState:
        shift = super().condition(state, context).shift.detach()
        return ConditionedState(shift, state.inner)


class StaleCache(Attention):
    """Reads what lies in the cache before a row's first symbol."""

    def parallel(self, x: Any, state: AttentionState) -> Any:
        aged = state.clock + self.window
        output, after = super().parallel(x, state._replace(clock=aged))
        return output, after._replace(clock=state.clock + x.shape[1])
