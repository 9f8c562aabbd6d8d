"""The laws over random hybrids of every part, by the functions that hold the examples of backbones.ALL to them."""

from typing import Any

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine import zoo
from tests.laws import test_laws as suite
from tests.laws import worlds

few = settings(
    max_examples=12, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
two = st.lists(st.integers(0, 9), min_size=2, max_size=2)


def held(law: Any) -> Any:
    """A function of the suite without its own examples."""
    return law.hypothesis.inner_test


@few
@given(plan=zoo.hybrids, ages=two, time=st.integers(2, 6), place=st.integers(0, 5))
def test_hybrids_keep_the_laws_of_both_views(plan: zoo.Plan, ages: list[int], time: int, place: int) -> None:
    hybrid, cut = worlds.randomise(zoo.make(plan)), place % time
    held(suite.test_l1_step_equals_parallel)(hybrid, ages=ages, time=time)
    held(suite.test_l2_splitting_time_changes_nothing)(hybrid, ages=ages, time=time, cuts=[cut or 1])
    held(suite.test_l4_rows_never_mix)(hybrid, ages=ages, time=time)
    held(suite.test_l4_advance_reads_each_row_to_its_own_length)(hybrid, rows=[(ages[0], cut), (ages[1], time)])
    held(suite.test_l4_rows_start_anew_at_their_own_places)(hybrid, ages=ages, time=time, places=[cut, 0])


@few
@given(plan=zoo.hybrids, ages=two, time=st.integers(2, 6))
def test_hybrids_keep_the_laws_of_states(plan: zoo.Plan, ages: list[int], time: int) -> None:
    hybrid = worlds.randomise(zoo.make(plan))
    suite.test_l3_no_output_depends_on_later_inputs(hybrid, ages=ages)
    suite.test_l5_a_call_changes_nothing_it_was_given(hybrid, ages=ages, time=time)
    suite.test_l6_a_state_keeps_its_structure(hybrid, dtype=torch.float64, time=time)
    suite.test_l8_a_state_survives_save_and_load(hybrid, ages=ages)
    suite.test_l9_condition_rebuilds_what_init_state_builds(hybrid)
