"""Each planted fault must be caught by the law it breaks, and sound models of the same kind must pass that law."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from tests.laws import mutants, worlds
from tests.laws import test_laws as suite
from unrolled.backbones import GRU, LSTM, Attention, Conditioned, Convolution, Elman, LearnedPositions, Tiers, Window
from unrolled.core.protocol import Backbone

# The functions of the suite themselves; where pytest chooses what they get besides a backbone, so is it here.
LAWS: dict[str, Callable[[Backbone[Any]], None]] = {
    "L1": suite.test_l1_step_equals_parallel,
    "L1 gradients": partial(suite.test_l1_gradients_agree, ages=suite.AGES),
    "L1 first state": suite.test_l1_gradients_agree_from_the_first_state,
    "L2": suite.test_l2_splitting_time_changes_nothing,
    "L3": partial(suite.test_l3_no_output_depends_on_later_inputs, ages=suite.AGES),
    "L4": suite.test_l4_rows_never_mix,
    "L4 advance": suite.test_l4_advance_reads_each_row_to_its_own_length,
    "L4 first state": suite.test_l4_advance_from_the_first_state,
    "L4 resets": suite.test_l4_rows_start_anew_at_their_own_places,
    "L5": partial(suite.test_l5_a_call_changes_nothing_it_was_given, ages=suite.AGES, time=6),
    "L6": partial(suite.test_l6_a_state_keeps_its_structure, dtype=torch.float64, time=11),
    "L6 mixed precision": suite.test_l6_mixed_precision_keeps_the_structure,
    "L7": suite.test_l7_the_receptive_field_is_as_declared,
    "L8": partial(suite.test_l8_a_state_survives_save_and_load, ages=suite.AGES),
    "L9": suite.test_l9_condition_rebuilds_what_init_state_builds,
    "L9 gradients": suite.test_l9_gradients_reach_the_context_in_every_chunk,
    "rows": suite.test_rows_can_be_taken_put_and_started_again,
    "size": suite.test_a_state_does_not_grow,
}


def recurrent(make: Any) -> Backbone[Any]:
    return make(4, 5)


def learned(make: Any) -> Backbone[Any]:
    return make(4, 5, learned_start=True)


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
    ("L1 first state", learned, mutants.CutGradient, GRU),
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
    ("L4 first state", recurrent, mutants.LostLastSymbol, LSTM),
    ("L4 resets", tiered, mutants.StepsInPhase, Tiers),
    ("L4 resets", recurrent, mutants.ForgetsBetweenChunks, LSTM),
    ("L5", recurrent, mutants.WritesIntoState, LSTM),
    ("L5", recurrent, mutants.HiddenMemory, GRU),
    ("L6", windowed, mutants.GrowingCache, Window),
    ("L6", attending, mutants.ChangesType, Attention),
    ("L6 mixed precision", recurrent, mutants.LowersPrecision, Elman),
    ("L7", attending, mutants.LooksTooFar, Attention),
    ("L7", convolved, mutants.PromisesTooMuch, Convolution),
    ("L8", recurrent, mutants.UnsavedPart, LSTM),
    ("L9", conditioned, mutants.IgnoresNewContext, Conditioned),
    ("L9", conditioned, mutants.ForgetsWhenConditioned, Conditioned),
    ("L9 gradients", conditioned, mutants.ContextWithoutGradient, Conditioned),
    ("rows", attending, mutants.OneClock, Attention),
    ("size", windowed, mutants.GrowingCache, Window),
]


def holds(law: str, backbone: Backbone[Any]) -> bool:
    """What the suite says of a backbone with random weights."""
    try:
        LAWS[law](worlds.randomise(backbone))
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize(("law", "build", "fault", "sound"), FAULTS, ids=lambda part: getattr(part, "__name__", part))
def test_the_law_catches_the_fault(law: str, build: Any, fault: type, sound: type) -> None:
    assert not holds(law, build(fault)), f"{law} holds for {fault.__name__}: {fault.__doc__}"
    assert holds(law, build(sound)), f"{law} does not hold for {sound.__name__} without a fault"


def test_every_law_of_the_suite_has_a_fault() -> None:
    functions = [law.func if isinstance(law, partial) else law for law in LAWS.values()]
    assert {function.__name__ for function in functions} == {name for name in vars(suite) if name.startswith("test_")}
    assert {law for law, *_ in FAULTS} == set(LAWS)
