"""The laws of shared/design.md over every backbone in backbones.ALL, in float64.

`test_mutants.py` calls each of these functions with planted faults: a law is worth what it catches.
"""

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.laws import worlds
from unrolled.backbones import ALL
from unrolled.core import state as states
from unrolled.core.protocol import Backbone
from unrolled.inspection import laws

TOLERANCE = 1e-10
AGES = [0, 2, 7]
UNEQUAL = [5, 0, 2]  # with enough symbols, these show every planted fault, whatever hypothesis draws
several = settings(
    max_examples=6, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
ages = st.lists(st.integers(0, 9), min_size=1, max_size=3)
times = st.integers(1, 12)


@pytest.fixture(scope="module", params=ALL)
def backbone(request: pytest.FixtureRequest) -> Backbone[Any]:
    return worlds.make(request.param)


@several
@given(ages=ages, time=times)
@example(ages=UNEQUAL, time=9)
def test_l1_step_equals_parallel(backbone: Backbone[Any], ages: list[int], time: int) -> None:
    x, state = worlds.inputs(backbone, len(ages), time), worlds.aged(backbone, ages)
    assert laws.step_deviation(backbone, x, state) < TOLERANCE


@pytest.mark.parametrize("ages", [[0, 0], AGES])
def test_l1_gradients_agree(backbone: Backbone[Any], ages: list[int]) -> None:
    x, state = worlds.inputs(backbone, len(ages), 6), worlds.aged(backbone, ages)
    assert laws.gradient_deviation(backbone, x, state) < TOLERANCE


def test_l1_gradients_agree_from_the_first_state(backbone: Backbone[Any]) -> None:
    """The first state of a learned start is itself a function of parameters."""

    def found(view: Any) -> tuple[torch.Tensor, ...]:
        parameters = list(backbone.parameters())
        total = laws.weighted_sum(view(worlds.inputs(backbone, 2, 5), backbone.init_state(2, worlds.context(2))))
        gradients = torch.autograd.grad(total, parameters, allow_unused=True)
        return tuple(torch.zeros_like(p) if g is None else g for p, g in zip(parameters, gradients, strict=True))

    assert laws.deviation(found(backbone.parallel), found(laws.scan_of(backbone))) < TOLERANCE


@several
@given(ages=ages, time=times, cuts=st.lists(st.integers(1, 11), max_size=3))
@example(ages=UNEQUAL, time=9, cuts=[3, 4])
def test_l2_splitting_time_changes_nothing(
    backbone: Backbone[Any], ages: list[int], time: int, cuts: list[int]
) -> None:
    x, state = worlds.inputs(backbone, len(ages), time), worlds.aged(backbone, ages)
    assert laws.split_deviation(backbone, x, state, [cut for cut in cuts if cut < time]) < TOLERANCE


@pytest.mark.parametrize("ages", [[0, 0], AGES])
def test_l3_no_output_depends_on_later_inputs(backbone: Backbone[Any], ages: list[int]) -> None:
    x, state = worlds.inputs(backbone, len(ages), 9), worlds.aged(backbone, ages)
    assert laws.future_gradient(backbone, x, state) == 0.0


@several
@given(ages=ages, time=times)
@example(ages=UNEQUAL, time=9)
def test_l4_rows_never_mix(backbone: Backbone[Any], ages: list[int], time: int) -> None:
    x, state = worlds.inputs(backbone, len(ages), time), worlds.aged(backbone, ages)
    assert laws.batch_deviation(backbone, x, state) < TOLERANCE


@several
@given(rows=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 8)), min_size=1, max_size=3))
@example(rows=[(5, 2), (0, 8), (2, 0)])
def test_l4_advance_reads_each_row_to_its_own_length(backbone: Backbone[Any], rows: list[tuple[int, int]]) -> None:
    x, state = worlds.inputs(backbone, len(rows), 8), worlds.aged(backbone, [age for age, _ in rows])
    lengths = torch.tensor([length for _, length in rows])
    assert laws.advance_deviation(backbone, x, lengths, state) < TOLERANCE


def test_l4_advance_from_the_first_state(backbone: Backbone[Any]) -> None:
    x, lengths = worlds.inputs(backbone, 4, 6), torch.tensor([4, 0, 6, 1])
    assert laws.advance_deviation(backbone, x, lengths, backbone.init_state(4)) < TOLERANCE


@several
@given(ages=ages, time=times, places=st.lists(st.integers(0, 11), min_size=3, max_size=3))
@example(ages=UNEQUAL, time=9, places=[0, 4, 7])
def test_l4_rows_start_anew_at_their_own_places(
    backbone: Backbone[Any], ages: list[int], time: int, places: list[int]
) -> None:
    x, state = worlds.inputs(backbone, len(ages), time), worlds.aged(backbone, ages)
    assert laws.reset_deviation(backbone, x, state, [place % time for place in places[: len(ages)]]) < TOLERANCE


@pytest.mark.parametrize("ages", [[0, 0], AGES])
@pytest.mark.parametrize("time", [1, 6])
def test_l5_a_call_changes_nothing_it_was_given(backbone: Backbone[Any], ages: list[int], time: int) -> None:
    x, state = worlds.inputs(backbone, len(ages), time), worlds.aged(backbone, ages)
    assert laws.purity_deviation(backbone, x, state) == 0.0


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("time", [1, 11])
def test_l6_a_state_keeps_its_structure(backbone: Backbone[Any], dtype: torch.dtype, time: int) -> None:
    x = worlds.inputs(backbone, 3, time)
    try:
        backbone.to(dtype)
        state = backbone.init_state(3)
        assert laws.structure_faults(backbone, x.to(dtype), state) == []
        _, state = backbone.parallel(x.to(dtype), state)
        assert laws.structure_faults(backbone, x.to(dtype), state) == []
    finally:
        worlds.randomise(backbone)


@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")  # torch on the speed of its norm
def test_l6_mixed_precision_keeps_the_structure(backbone: Backbone[Any]) -> None:
    try:
        backbone.float()
        with torch.autocast("cpu", torch.bfloat16):
            assert laws.structure_faults(backbone, worlds.inputs(backbone, 2, 7).float(), backbone.init_state(2)) == []
    finally:
        worlds.randomise(backbone)


def test_l7_the_receptive_field_is_as_declared(backbone: Backbone[Any]) -> None:
    declared = backbone.receptive_field
    time = 12 if declared is None else declared + 3
    measured = laws.measured_receptive_field(backbone, worlds.inputs(backbone, 2, time), backbone.init_state(2))
    assert measured == (time if declared is None else declared)


@pytest.mark.parametrize("ages", [[0, 0], AGES])
def test_l8_a_state_survives_save_and_load(backbone: Backbone[Any], ages: list[int]) -> None:
    x, state = worlds.inputs(backbone, len(ages), 5), worlds.aged(backbone, ages)
    assert laws.reload_deviation(backbone, x, state) == 0.0


def test_l9_condition_rebuilds_what_init_state_builds(backbone: Backbone[Any]) -> None:
    x, contexts = worlds.inputs(backbone, 2, 5), (worlds.context(2, 5), worlds.context(2, 6))
    assert laws.condition_deviation(backbone, x, *contexts) == 0.0


def test_l9_gradients_reach_the_context_in_every_chunk(backbone: Backbone[Any]) -> None:
    context = worlds.context(2)
    if laws.deviation(backbone.init_state(2, context), backbone.init_state(2)) == 0.0:
        return  # reads no context: nothing to reach
    chunks = [worlds.inputs(backbone, 2, 4, seed=seed) for seed in range(3)]
    assert min(laws.context_gradients(backbone, chunks, context)) > 1e-6


def test_rows_can_be_taken_put_and_started_again(backbone: Backbone[Any]) -> None:
    """What beams, joining rows and restarts do to a state, against rows that lived alone."""
    state, x = worlds.aged(backbone, [3, 5, 1]), worlds.inputs(backbone, 3, 4)
    fresh = worlds.aged(backbone, [0, 0, 0])
    mixed = states.where(torch.tensor([False, True, False]), fresh, state)
    mixed = states.put(mixed, torch.tensor([2]), states.take(state, torch.tensor([0])))
    output, _ = backbone.parallel(x, mixed)
    for row, (source, index) in enumerate([(state, 0), (fresh, 1), (state, 0)]):
        alone, _ = backbone.parallel(x[row : row + 1], states.take(source, torch.tensor([index])))
        assert laws.deviation(output[row : row + 1], alone) < TOLERANCE


@torch.no_grad()
def test_a_state_does_not_grow(backbone: Backbone[Any]) -> None:
    state = backbone.init_state(1)
    size = states.nbytes(state)
    for symbol in worlds.inputs(backbone, 1, 20).unbind(1):
        _, state = backbone.step(symbol, state)
    assert states.nbytes(state) == size
