"""Folding: lengths, constant power, exact agreement, and as little memory as it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from unrolled.core.errors import UsageError
from unrolled.generation.folding import Spool, cross_fade, fold, length_of_each
from unrolled.generation.sound import Block
from unrolled.generation.sound import folded as folded_blocks


def noise(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(count).astype(np.float32)


def folded(streams, overlap: int) -> np.ndarray:
    return np.concatenate([np.empty(0, np.float32), *fold(streams, overlap)])


@given(some.lists(some.integers(20, 90), min_size=1, max_size=5), some.integers(0, 10), some.data())
def test_streams_that_agree_come_out_exactly(lengths, overlap, data) -> None:
    whole = noise(1, sum(lengths))
    streams, at = [], 0
    for length in lengths:
        stream = whole[at : at + length]
        cuts = sorted(data.draw(some.lists(some.integers(0, length), max_size=4)))
        streams.append(np.split(stream, cuts))
        at += length - overlap
    result = folded(streams, overlap)
    assert result.dtype == np.float32 and len(result) == sum(lengths) - (len(lengths) - 1) * overlap
    assert np.allclose(result, whole[: len(result)], atol=1e-6)


def uncorrelated(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Two of equal power whose product is nothing in every stretch of the overlap: sine and cosine."""
    turns = np.arange(count) * 2 * np.pi / 8
    return np.sin(turns), np.cos(turns)


@pytest.mark.parametrize("r", [0.0, 0.4, 0.9, 1.0])
def test_power_is_constant_whatever_the_correlation(r) -> None:
    first, other = uncorrelated(16_000)
    mixed = cross_fade(first, r * first + np.sqrt(1 - r**2) * other).astype(np.float64)
    powers = np.square(mixed).reshape(100, -1).mean(axis=1)
    assert np.allclose(powers, 0.5, atol=0.005)


def test_noise_keeps_its_power_where_an_equal_gain_would_lose_half() -> None:
    powers = [
        np.square(cross_fade(noise(seed, 4000), noise(seed + 500, 4000))).reshape(8, -1).mean(1) for seed in range(40)
    ]
    assert np.abs(np.mean(powers, axis=0) - 1).max() < 0.05


def test_opposite_and_silent_streams_stay_finite() -> None:
    sound = noise(1, 100)
    assert np.abs(cross_fade(sound, -sound)).max() <= np.abs(sound).max()
    assert np.array_equal(cross_fade(np.zeros(10, np.float32), np.zeros(10, np.float32)), np.zeros(10))
    faded = cross_fade(np.ones(100, np.float32), np.zeros(100, np.float32))
    assert (np.diff(faded) < 0).all() and faded[0] > 0.99 and faded[-1] < 0.01


def test_no_overlap_joins_and_no_streams_give_nothing() -> None:
    assert np.array_equal(folded([[noise(1, 5)], [noise(2, 3)]], 0), np.concatenate((noise(1, 5), noise(2, 3))))
    assert not len(folded([], 10)) and not len(folded([[]], 10))
    assert np.array_equal(folded([[noise(1, 5)]], 10), noise(1, 5))


@pytest.mark.parametrize(("lengths", "number"), [([9, 30], 1), ([30, 9], 2), ([30, 15, 30], 2)])
def test_streams_shorter_than_their_overlaps_are_refused(lengths, number) -> None:
    with pytest.raises(UsageError, match=f"stream {number} is shorter than its overlaps of 10 samples"):
        folded([[noise(1, length)] for length in lengths], 10)
    with pytest.raises(UsageError, match="overlap of -1"):
        folded([], -1)


def test_little_is_held_at_once() -> None:
    read = [0]

    def blocks(count: int):
        for _ in range(count):
            read[0] += 100
            yield np.zeros(100, np.float32)

    given_out = 0
    for block in fold((blocks(50) for _ in range(4)), 300):
        given_out += len(block)
        assert read[0] - given_out <= 300 * 4 + 100


@pytest.mark.parametrize(
    ("samples", "streams", "overlap"), [(1000, 1, 50), (1000, 4, 30), (1001, 4, 30), (64_000, 7, 999)]
)
def test_lengths_make_up_the_piece(samples, streams, overlap) -> None:
    each = length_of_each(samples, streams, overlap)
    assert 0 <= streams * each - (streams - 1) * overlap - samples < streams
    with pytest.raises(UsageError, match="shorter than two overlaps"):
        length_of_each(100, 50, 30)


def test_a_spool_gives_back_what_it_was_given_side_by_side(monkeypatch) -> None:
    monkeypatch.setattr("unrolled.generation.folding.PIECE", 64)
    whole = np.stack([noise(seed, 500) for seed in range(3)])
    with Spool(3) as spool:
        for start in range(0, 500, 37):
            spool.add(whole[:, start : start + 37])
        for number, stream in enumerate(spool.all()):
            parts = list(stream)
            assert len(parts) > 3 and np.array_equal(np.concatenate(parts), whole[number])
        spool.add(whole[:, :5])
        assert len(np.concatenate(list(spool.stream(1)))) == 505
        assert len(folded(spool.all(), 20)) == 3 * 505 - 40
        with pytest.raises(UsageError, match=r"a block of shape \(2, 5\) for 3 streams"):
            spool.add(whole[:2, :5])
    assert spool.file.closed


def made(whole: np.ndarray, stop: bool):
    """Blocks of rows, and an interrupt after them."""
    for start in range(0, whole.shape[1], 50):
        yield Block(whole[:, start : start + 50], -np.arange(len(whole), dtype=float))
    if stop:
        raise KeyboardInterrupt


@pytest.mark.parametrize("stop", [False, True])
def test_rows_of_a_batch_become_pieces_even_where_they_are_interrupted(stop) -> None:
    whole = np.stack([noise(seed, 200) for seed in range(6)])
    blocks, caught = [], False
    try:
        for block in folded_blocks(made(whole, stop), 2, 3, 40):
            blocks.append(block)
    except KeyboardInterrupt:
        caught = True
    assert caught == stop
    pieces = np.concatenate([block.samples for block in blocks], axis=1)
    for piece, rows in zip(pieces, (whole[:3], whole[3:]), strict=True):
        assert np.array_equal(piece, folded(([row] for row in rows), 40))
    assert np.array_equal(sum(block.log_likelihood for block in blocks), [-4 * 3, -4 * 12])


def test_an_interrupt_before_there_is_enough_to_fold_leaves_what_could_be_folded() -> None:
    whole = np.stack([noise(seed, 50) for seed in range(3)])
    blocks, given = folded_blocks(made(whole, True), 1, 3, 30), np.empty(0, np.float32)
    with pytest.raises(KeyboardInterrupt):
        for block in blocks:
            given = np.append(given, block.samples[0])
    assert np.array_equal(given, np.append(whole[0, :20], cross_fade(whole[0, 20:], whole[1, :30])))


def test_the_first_stream_comes_while_it_is_made() -> None:
    whole, count = np.stack([noise(seed, 200) for seed in range(4)]), 0

    def counted():
        nonlocal count
        for block in made(whole, False):
            count += 1
            yield block

    blocks = folded_blocks(counted(), 2, 2, 40)
    first = next(blocks)
    assert count == 1 and np.array_equal(first.samples, whole[::2, :10])
    assert np.array_equal(np.append(first.samples[0], next(blocks).samples[0]), whole[0, :60]) and count == 2
