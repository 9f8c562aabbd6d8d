"""Batches: what they hold, that each is a function of its step alone, and that rows read on where they ended."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unrolled.core.contracts import Batch
from unrolled.core.errors import DataError, UsageError
from unrolled.data.sampling import Streams, Windows, permutation

calm = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)


def seen(batch: Batch) -> list[tuple[int, int]]:
    """The predictions of a batch that count, as (input, target)."""
    return list(zip(batch.inputs[batch.mask].tolist(), batch.targets[batch.mask].tolist(), strict=True))


def equal(one: Batch, other: Batch) -> bool:
    return all(torch.equal(left, right) for left, right in zip(one, other, strict=True))


@calm
@given(symbols=st.integers(2, 150), rows=st.integers(1, 7), length=st.integers(2, 40), seed=st.integers(0, 9))
def test_an_epoch_of_text_predicts_each_symbol_from_the_one_before(text_part, symbols, rows, length, seed) -> None:
    if symbols <= length:
        with pytest.raises(DataError, match=f"window {length} > corpus {symbols} symbols"):
            Streams(text_part(symbols), rows, length, seed)
        return
    sampler = Streams(text_part(symbols), rows, length, seed)
    for epoch in range(2):
        steps = range(epoch * sampler.steps_per_epoch, (epoch + 1) * sampler.steps_per_epoch)
        pairs = Counter(pair for step in steps for pair in seen(sampler.batch(step)))
        assert set(pairs) == {(position, position + 1) for position in range(symbols - 1)}


@calm
@given(symbols=st.integers(50, 150), rows=st.integers(1, 5), length=st.integers(2, 9))
def test_rows_of_text_read_on_and_restart_with_each_epoch(text_part, symbols, rows, length) -> None:
    sampler = Streams(text_part(symbols), rows, length, 3)
    last = torch.empty(0)
    for step in range(2 * sampler.steps_per_epoch):
        batch = sampler.batch(step)
        starts = step % sampler.steps_per_epoch == 0
        assert batch.restart.tolist() == [starts] * rows
        assert starts or torch.equal(batch.inputs[:, 0], last)
        last = batch.targets[:, -1]


def test_epochs_cut_the_text_at_different_places(text_part) -> None:
    sampler = Streams(text_part(1000), 4, 10, 0)
    firsts = {int(sampler.batch(epoch * sampler.steps_per_epoch).inputs[0, 0]) for epoch in range(20)}
    assert len({first % 10 for first in firsts}) > 5


@calm
@given(
    lengths=st.lists(st.integers(2, 50), min_size=1, max_size=20),
    rows=st.integers(1, 6),
    length=st.integers(1, 16),
    seed=st.integers(0, 5),
)
def test_an_epoch_of_records_reads_each_whole_and_never_across(record_part, lengths, rows, length, seed) -> None:
    part = record_part(lengths)
    sampler = Streams(part, rows, length, seed)
    wanted = {
        (p, p + 1) for start, end in zip(part.starts, part.starts[1:], strict=False) for p in range(start, end - 1)
    }
    for epoch in range(2):
        pairs, ended = set(), [None] * rows
        for step in range(epoch * sampler.steps_per_epoch, (epoch + 1) * sampler.steps_per_epoch):
            batch = sampler.batch(step)
            pairs.update(seen(batch))
            for row in range(rows):
                count = int(batch.mask[row].sum())
                first, last = int(batch.inputs[row, 0]), int(batch.targets[row, count - 1])
                record = int(batch.fields[row, 0])
                assert batch.mask[row, :count].all() and 0 < count <= length
                assert part.starts[record] <= first and last < part.starts[record + 1]
                assert bool(batch.restart[row]) == (first in part.starts or step % sampler.steps_per_epoch == 0)
                assert batch.restart[row] or first == ended[row]
                ended[row] = last
        assert pairs == wanted


def test_padding_is_masked_and_rows_are_as_wide_as_the_longest(record_part) -> None:
    batch = Streams(record_part([5, 3, 9]), 3, 64, 0).batch(0)
    assert batch.inputs.shape == (3, 8)
    assert sorted(batch.mask.sum(1).tolist()) == [2, 4, 8]
    assert batch.restart.all()


def test_records_come_in_a_new_order_each_epoch(record_part) -> None:
    sampler = Streams(record_part([4] * 12), 3, 8, 1)
    orders = {
        tuple(record for step in range(4) for record in sampler.batch(epoch * 4 + step).fields[:, 0].tolist())
        for epoch in range(5)
    }
    assert len(orders) == 5 and all(sorted(order) == list(range(12)) for order in orders)


@pytest.mark.parametrize("kind", [Streams, Windows])
@pytest.mark.parametrize("records", [False, True])
def test_a_batch_depends_on_its_step_and_seed_alone(kind, records, text_part, record_part) -> None:
    part = record_part([9, 30, 2, 17, 5]) if records else text_part(200)
    sampler = kind(part, 3, 6, 5)
    forward = [sampler.batch(step) for step in range(150)]
    assert all(equal(kind(part, 3, 6, 5).batch(step), forward[step]) for step in (0, 63, 64, 149, 7))
    assert all(equal(sampler.batch(step), forward[step]) for step in reversed(range(150)))
    assert not all(equal(kind(part, 3, 6, 6).batch(step), forward[step]) for step in range(3))


@pytest.mark.parametrize("kind", [Streams, Windows])
@pytest.mark.parametrize("records", [False, True])
def test_shards_are_the_rows_of_the_same_batch(kind, records, text_part, record_part) -> None:
    part = record_part([9, 30, 2, 17, 5]) if records else text_part(200)
    sampler = kind(part, 6, 7, 2)
    for step in (0, 3, sampler.steps_per_epoch + 1):
        whole = sampler.batch(step)
        parts = [sampler.shard(rank, 3).batch(step) for rank in range(3)]
        for rank, part_batch in enumerate(parts):
            widest = part_batch.mask.shape[1]
            assert torch.equal(part_batch.mask, whole.mask[rank::3, :widest])
            assert torch.equal(part_batch.restart, whole.restart[rank::3])
            assert seen(part_batch) == seen(Batch(*(field[rank::3] for field in whole)))
    assert sampler.shard(0, 3).steps_per_epoch == sampler.steps_per_epoch
    with pytest.raises(UsageError, match="6 rows"):
        sampler.shard(0, 4)


def test_windows_of_text_start_everywhere_and_always_anew(text_part) -> None:
    sampler = Windows(text_part(20), 8, 6, 0)
    batches = [sampler.batch(step) for step in range(200)]
    assert all(batch.restart.all() and batch.mask.all() and batch.inputs.shape == (8, 6) for batch in batches)
    starts = Counter(start for batch in batches for start in batch.inputs[:, 0].tolist())
    assert set(starts) == set(range(14))  # [0, n - length)
    assert max(starts.values()) < 1.6 * min(starts.values())


def test_windows_of_records_begin_them_and_crop_only_long_ones(record_part) -> None:
    part = record_part([4, 25, 7])
    sampler = Windows(part, 5, 8, 0)
    assert sampler.steps_per_epoch == 1  # 1 + 3 + 1 windows
    starts = Counter()
    for step in range(300):
        batch = sampler.batch(step)
        firsts = batch.inputs[:, 0].tolist()
        assert batch.restart.all() and {0, 4, 29} <= set(firsts)
        assert sorted(batch.mask.sum(1).tolist()) == [3, 6, 8, 8, 8]
        starts.update(firsts)
    assert set(starts) == {0, 29} | set(range(4, 21))  # the last crop ends with the record


def test_an_order_is_a_permutation_that_depends_on_seed_and_epoch() -> None:
    orders = [permutation(1000, seed, epoch) for seed, epoch in [(0, 0), (0, 1), (1, 0)]]
    assert all(np.array_equal(np.sort(order), np.arange(1000)) for order in orders)
    assert not np.array_equal(orders[0], orders[1]) and not np.array_equal(orders[0], orders[2])
    places = np.array([permutation(5, 0, epoch) for epoch in range(2000)])
    assert np.all(np.abs([np.bincount(places[:, index]) for index in range(5)] - np.array(400)) < 100)


def test_empty_parts_and_sizes_are_refused(text_part, record_part) -> None:
    with pytest.raises(
        DataError, match=r"window 256 > corpus 180 symbols \(train part\): pass --length <180 or add text"
    ):
        Windows(text_part(180), 4, 256, 0)
    with pytest.raises(DataError, match="0 symbols in the train part are too few"):
        Streams(record_part([]), 4, 8, 0)
    with pytest.raises(UsageError):
        Streams(text_part(100), 0, 8, 0)
