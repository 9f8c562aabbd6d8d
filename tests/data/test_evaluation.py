"""The three protocols, against figures that reference implementations publish."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unrolled.core.errors import DataError, UsageError
from unrolled.data.evaluation import carried, evaluation_windows, random_windows

calm = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)


def test_the_published_windows_of_tiny_shakespeare(text_part) -> None:
    batches = list(evaluation_windows(text_part(111_540), 64))
    assert sum(len(batch.inputs) for batch in batches) == 1742
    assert sum(int(batch.mask.sum()) for batch in batches) == 111_488
    assert all(batch.restart.all() for batch in batches)
    firsts = [int(first) for batch in batches for first in batch.inputs[:, 0]]
    assert firsts == list(range(0, 111_488, 64))


def test_random_windows_are_as_many_as_asked_for(text_part) -> None:
    batches = list(random_windows(text_part(200), 64, 240, 7))
    assert len(batches) == 20 and all(batch.inputs.shape == (12, 64) for batch in batches)
    firsts = [int(first) for batch in batches for first in batch.inputs[:, 0]]
    assert len(set(firsts)) > 60 and min(firsts) >= 0 and max(firsts) < 136
    again = [int(first) for batch in random_windows(text_part(200), 64, 240, 7, rows=7) for first in batch.inputs[:, 0]]
    assert again == firsts


@calm
@given(symbols=st.integers(2, 200), length=st.integers(1, 300))
def test_carried_reads_every_prediction_once_in_order(text_part, symbols, length) -> None:
    batches = list(carried(text_part(symbols), length))
    targets = [int(target) for batch in batches for target in batch.targets[batch.mask]]
    assert targets == list(range(1, symbols))
    assert [bool(batch.restart[0]) for batch in batches] == [True] + [False] * (len(batches) - 1)


@calm
@given(lengths=st.lists(st.integers(2, 30), min_size=1, max_size=12), length=st.integers(1, 12), rows=st.integers(1, 5))
def test_records_are_read_whole_and_apart(record_part, lengths, length, rows) -> None:
    part = record_part(lengths)
    wanted = sorted(set(range(sum(lengths))) - set(part.starts.tolist()))
    for batches in (list(evaluation_windows(part, length, rows)), list(carried(part, length))):
        assert [int(target) for batch in batches for target in batch.targets[batch.mask]] == wanted
    restarts = [int(batch.inputs[0, 0]) for batch in carried(part, length) if batch.restart[0]]
    assert restarts == part.starts[:-1].tolist()
    chosen = list(random_windows(part, length, 30, 0))
    assert all(batch.restart.all() for batch in [*chosen, *evaluation_windows(part, length, rows)])
    assert sum(len(batch.inputs) for batch in chosen) == 30


def test_too_little_to_evaluate_is_said_before_anything_is_read(text_part) -> None:
    for read in (lambda part: evaluation_windows(part, 64), lambda part: random_windows(part, 64, 10, 0)):
        with pytest.raises(DataError, match="window 64 > corpus 64"):
            read(text_part(64))
    with pytest.raises(DataError, match="too few"):
        carried(text_part(1), 64)
    with pytest.raises(DataError):
        carried(text_part(0), 64)
    with pytest.raises(UsageError):
        random_windows(text_part(100), 10, 0, 0)
