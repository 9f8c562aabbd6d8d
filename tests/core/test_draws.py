"""The generator of draws against the known answers of its authors, and what it promises."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.core.draws import Draws, derived_seed, philox

# kat_vectors of Random123 (Salmon et al. 2011): counter, key, answer
KNOWN: list[tuple[Any, Any, Any]] = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_known_answers(counter: Any, key: tuple[int, int], answer: Any) -> None:
    assert philox(counter, key) == answer
    kinds: list[Any] = [lambda word: np.array([word], np.int64), lambda word: torch.tensor([word])]
    for kind in kinds:
        first, second, third, fourth = (kind(word) for word in counter)
        words: Any = philox((first, second, third, fourth), key)
        assert tuple(int(word[0]) for word in words) == answer


def test_a_draw_is_named_by_its_counter_words() -> None:
    """(draw, position low, position high, stream) under (seed low, seed high), as native code has to have it."""
    draws = Draws((9 << 32) | 8, torch.tensor([5]), torch.tensor([(3 << 32) | 4]))
    expected = philox((7, 4, 3, 5), (8, 9))
    assert tuple(int(word[0]) for word in draws.words(7)) == expected
    assert float(draws.uniform(7)[0]) == ((expected[0] >> 5) * 2**26 + (expected[1] >> 6)) / 2**53


words = st.integers(0, 2**32 - 1)


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(
    seed=st.integers(0, 2**64 - 1),
    rows=st.lists(st.tuples(words, st.integers(0, 2**63 - 1)), min_size=1, max_size=5),
    draw=st.integers(0, 9),
)
def test_torch_equals_numpy(seed: int, rows: list[tuple[int, int]], draw: int) -> None:
    streams, positions = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    by_numpy = Draws(seed, streams, positions).uniform(draw)
    by_torch = Draws(seed, torch.from_numpy(streams), torch.from_numpy(positions)).uniform(draw)
    assert by_torch.dtype == torch.float64
    assert by_torch.numpy().tolist() == by_numpy.tolist()
    assert by_numpy.min() >= 0 and by_numpy.max() < 1


def test_a_draw_depends_on_the_stream_and_never_on_the_slot() -> None:
    streams, positions = torch.arange(10), torch.full((10,), 4)
    together = Draws(1, streams, positions).uniform()
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    assert torch.equal(Draws(1, streams[order], positions[order]).uniform(), together[order])
    for slot in range(10):
        assert Draws(1, streams[slot : slot + 1], positions[:1]).uniform() == together[slot]


def test_every_name_makes_another_draw() -> None:
    one, grid = torch.zeros(1, dtype=torch.int64), torch.arange(50)
    drawn = [
        Draws(0, grid, one.expand(50)).uniform(),
        Draws(0, one.expand(50), grid + 1).uniform(),
        *(Draws(0, one, one).uniform(draw) for draw in range(1, 20)),
        *(Draws(seed, one, one).uniform() for seed in (1, 2, 1 << 32, 1 << 63)),
    ]
    values = torch.cat(drawn).tolist()
    assert len(set(values)) == len(values)


def test_uniform_draws_fill_the_interval() -> None:
    drawn = Draws(12, torch.arange(1000).repeat(100), torch.arange(100).repeat_interleave(1000)).uniform().numpy()
    counts = np.histogram(drawn, 100, (0, 1))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 160  # chi-squared with 99 degrees of freedom: p < 1e-4
    neighbours = np.corrcoef(drawn[:-1], drawn[1:])[0, 1]
    assert abs(neighbours) < 4 / np.sqrt(len(drawn))


def test_derived_seeds() -> None:
    seeds = [derived_seed(3), derived_seed(3, 0), derived_seed(3, 0, 0), derived_seed(3, 1), derived_seed(4, 1)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derived_seed(3, 1) == derived_seed(3, 1)
