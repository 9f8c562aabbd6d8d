"""Each planted fault must be caught by the law it breaks, and sound models of the same kind must pass that law."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.laws import mutants, worlds
from unrolled.backbones import GRU, LSTM, Attention, Conditioned, Convolution, LearnedPositions, Tiers, Window
from unrolled.core.protocol import Backbone
from unrolled.inspection import laws

TOLERANCE = 1e-10
Law = Callable[[Backbone[Any], Any, Any], bool]


def context_reached(backbone: Backbone[Any], x: torch.Tensor) -> bool:
    return min(laws.context_gradients(backbone, [x, x], worlds.context(x.shape[0]))) > 1e-6


HOLDS: dict[str, Law] = {
    "L1": lambda backbone, x, state: laws.step_deviation(backbone, x, state) < TOLERANCE,
    "L1 gradients": lambda backbone, x, state: laws.gradient_deviation(backbone, x, state) < TOLERANCE,
    "L2": lambda backbone, x, state: laws.split_deviation(backbone, x, state, [3, 4]) < TOLERANCE,
    "L3": lambda backbone, x, state: laws.future_gradient(backbone, x, state) == 0.0,
    "L4": lambda backbone, x, state: laws.batch_deviation(backbone, x, state) < TOLERANCE,
    "L4 advance": lambda backbone, x, state: laws.advance_deviation(backbone, x, LENGTHS, state) < TOLERANCE,
    "L4 resets": lambda backbone, x, state: laws.reset_deviation(backbone, x, state, [0, 4, 7]) < TOLERANCE,
    "L5": lambda backbone, x, state: laws.purity_deviation(backbone, x, state) == 0.0,
    "L6": lambda backbone, x, state: not laws.structure_faults(backbone, x, state),
    "L7": lambda backbone, x, state: (
        laws.measured_receptive_field(backbone, x, backbone.init_state(3)) == backbone.receptive_field
    ),
    "L8": lambda backbone, x, state: laws.reload_deviation(backbone, x, state) == 0.0,
    "L9": lambda backbone, x, _: laws.condition_deviation(backbone, x, *CONTEXTS) == 0.0,
    "L9 gradients": lambda backbone, x, _: context_reached(backbone, x),
}
LENGTHS = torch.tensor([2, 9, 0])
CONTEXTS = (worlds.context(3, 5), worlds.context(3, 6))


def recurrent(make: Any) -> Backbone[Any]:
    return make(4, 5)


def windowed(make: Any) -> Backbone[Any]:
    return make(4, 5, window=3)


def convolved(make: Any) -> Backbone[Any]:
    return make(4, 5, dilations=(1, 2), kernel=2)


def tiered(make: Any) -> Backbone[Any]:
    return make(4, 5, frames=(4, 2))


def attending(make: Any) -> Backbone[Any]:
    return make(4, heads=2, window=4, rotary=100.0)


def placed(make: Any) -> Backbone[Any]:
    return make(4, limit=40)


def conditioned(make: Any) -> Backbone[Any]:
    return make(GRU(4, 5), worlds.VECTOR_WIDTH)


FAULTS: list[tuple[str, Any, type, type]] = [  # law, how to build, fault, the same without the fault
    ("L1", recurrent, mutants.OtherFormula, GRU),
    ("L1", recurrent, mutants.LostLastSymbol, LSTM),
    ("L1", placed, mutants.WrongClock, LearnedPositions),
    ("L1", attending, mutants.OneClock, Attention),
    ("L1 gradients", recurrent, mutants.CutGradient, GRU),
    ("L2", recurrent, mutants.ForgetsBetweenChunks, LSTM),
    ("L2", recurrent, mutants.LostLastSymbol, LSTM),
    ("L2", placed, mutants.WrongClock, LearnedPositions),
    ("L2", recurrent, mutants.WholeSequenceNorm, GRU),
    ("L2", tiered, mutants.CutFrame, Tiers),
    ("L3", convolved, mutants.FutureLeak, Convolution),
    ("L3", tiered, mutants.PeekingFrame, Tiers),
    ("L3", recurrent, mutants.WholeSequenceNorm, GRU),
    ("L4", recurrent, mutants.MixedRows, GRU),
    ("L4", attending, mutants.OneClock, Attention),
    ("L4", tiered, mutants.OnePhase, Tiers),
    ("L4 advance", recurrent, mutants.LostLastSymbol, LSTM),
    ("L4 advance", attending, mutants.StaleCache, Attention),
    ("L4 resets", tiered, mutants.StepsInPhase, Tiers),
    ("L4 resets", recurrent, mutants.ForgetsBetweenChunks, LSTM),
    ("L5", recurrent, mutants.WritesIntoState, LSTM),
    ("L5", recurrent, mutants.HiddenMemory, GRU),
    ("L6", windowed, mutants.GrowingCache, Window),
    ("L6", attending, mutants.ChangesType, Attention),
    ("L7", attending, mutants.LooksTooFar, Attention),
    ("L7", convolved, mutants.PromisesTooMuch, Convolution),
    ("L8", recurrent, mutants.UnsavedPart, LSTM),
    ("L9", conditioned, mutants.IgnoresNewContext, Conditioned),
    ("L9", conditioned, mutants.ForgetsWhenConditioned, Conditioned),
    ("L9 gradients", conditioned, mutants.ContextWithoutGradient, Conditioned),
]


def verdict(law: str, backbone: Backbone[Any]) -> bool:
    """Whether the law holds for three rows of unequal age."""
    worlds.randomise(backbone)
    state = worlds.aged(backbone, [5, 0, 2])
    return HOLDS[law](backbone, worlds.inputs(backbone, 3, 9), state)


@pytest.mark.parametrize(("law", "build", "fault", "sound"), FAULTS, ids=lambda part: getattr(part, "__name__", part))
def test_the_law_catches_the_fault(law: str, build: Any, fault: type, sound: type) -> None:
    assert not verdict(law, build(fault)), f"{law} holds for {fault.__name__}: {fault.__doc__}"
    assert verdict(law, build(sound)), f"{law} does not hold for {sound.__name__} without a fault"


def test_every_law_has_a_fault() -> None:
    assert {law for law, *_ in FAULTS} == set(HOLDS)
