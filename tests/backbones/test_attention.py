"""Attention against its definition, and what the laws do not reach: chunks, empty windows, old clocks, dropout."""

import math
from typing import Any

import pytest
import torch

from tests.laws import worlds
from unrolled.backbones import Attention, LearnedPositions, attention
from unrolled.backbones.positions import distinct, first_clock, later, rotary_turns, rotate
from unrolled.inspection import laws


def definition(module: Attention, x: torch.Tensor) -> torch.Tensor:
    """Every query, head by head, by the textbook: no cache, no mask, no fused product."""
    split = module.inputs(x).unflatten(2, (-1, module.head_width))
    group = module.heads // module.key_heads
    outputs = torch.zeros(*x.shape[:2], module.heads, module.head_width, dtype=x.dtype)
    for row in range(x.shape[0]):
        for time in range(x.shape[1]):
            start = max(0, time - module.window + 1)
            for head in range(module.heads):
                keys = split[row, start : time + 1, module.heads + head // group]
                values = split[row, start : time + 1, module.heads + module.key_heads + head // group]
                scores = keys @ split[row, time, head] / math.sqrt(module.head_width)
                outputs[row, time, head] = scores.softmax(0) @ values
    return module.output(outputs.flatten(2))


@pytest.mark.parametrize("key_heads", [1, 2, 4])
@pytest.mark.parametrize("window", [1, 3, 20])
def test_equals_its_definition(window: int, key_heads: int) -> None:
    module = Attention(8, heads=4, key_heads=key_heads, window=window)
    worlds.randomise(module)
    x = worlds.inputs(module, 2, 9)
    assert laws.deviation(module(x, module.init_state(2))[0], definition(module, x)) < 1e-12
    assert laws.step_deviation(module, x, module.init_state(2)) < 1e-12


@pytest.mark.parametrize("ages", [[0, 0], [3, 3], [0, 2, 30]])
@pytest.mark.parametrize("time", [3, 4, 5, 11, 23])
def test_long_sequences_in_chunks(monkeypatch: pytest.MonkeyPatch, ages: list[int], time: int) -> None:
    module = Attention(4, heads=2, window=4, rotary=100.0)
    worlds.randomise(module)
    x, state = worlds.inputs(module, len(ages), time), worlds.aged(module, ages)
    whole = module(x, state)
    monkeypatch.setattr(attention, "SHORTEST_CHUNK", 1)
    assert laws.deviation(module(x, state), whole) < 1e-12
    assert laws.gradient_deviation(module, x, state) < 1e-12


def test_a_fresh_state_takes_no_memory() -> None:
    module = Attention(64, heads=4, window=1000)
    for batch in (1, 8):
        state = module.init_state(batch)
        assert state.keys.shape == (batch, 4, 999, 16)
        assert state.keys.untyped_storage().nbytes() == 4
        assert attention.reach(state) == (0, False)


def test_only_what_rows_have_read_is_looked_at() -> None:
    module = Attention(8, heads=2, window=10)
    worlds.randomise(module)
    assert attention.reach(worlds.aged(module, [3, 3])) == (3, False)
    assert attention.reach(worlds.aged(module, [0, 3])) == (3, True)
    assert attention.reach(worlds.aged(module, [9, 50])) == (9, False)


@pytest.mark.parametrize("ages", [[0, 0], [3, 3], [0, 2, 30]])
def test_where_clocks_cannot_be_read_the_whole_cache_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, ages: list[int]
) -> None:
    """What happens on a GPU, where reading a clock would stall it."""
    module = Attention(4, heads=2, window=5, rotary=100.0)
    worlds.randomise(module)
    x, state = worlds.inputs(module, len(ages), 7), worlds.aged(module, ages)
    expected, stepped = module(x, state), module.step(x[:, 0], state)
    monkeypatch.setattr(attention, "reach", lambda state: (state.keys.shape[2], True))
    assert laws.deviation(module(x, state), expected) < 1e-12
    assert laws.deviation(module.step(x[:, 0], state), stepped) < 1e-12
    assert laws.step_deviation(module, x, module.init_state(len(ages))) < 1e-12


def test_what_lies_before_the_first_symbol_does_not_matter() -> None:
    module = Attention(4, heads=2, window=6)
    worlds.randomise(module)
    x, state = worlds.inputs(module, 2, 8), worlds.aged(module, [3, 1])
    junk = state._replace(keys=state.keys.clone(), values=state.values.clone())
    junk.keys[0, :, :2] = 1e9
    junk.keys[1, :, :4] = -1e9
    junk.values[1, :, :4] = 1e9
    assert laws.deviation(module(x, junk)[0], module(x, state)[0]) < 1e-12
    assert laws.deviation(module.step(x[:, 0], junk)[0], module.step(x[:, 0], state)[0]) < 1e-12


def test_rotary_scores_depend_on_distance_alone_after_a_million_symbols() -> None:
    """Float32 angles would be off by several hundredths here."""
    query, key = torch.randn(2, 1, 1, 1, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def score(place: int) -> float:
        turns = [rotary_turns(torch.tensor([at]), 1, 16, 10000.0, torch.float64) for at in (place, place - 5)]
        return float((rotate(query, *turns[0]) * rotate(key, *turns[1])).sum())

    assert abs(score(5) - score(3_000_000)) < 1e-8


def test_old_rotary_rows_agree_in_float32() -> None:
    """The same symbols read at the start and a million symbols later give the same outputs."""
    torch.manual_seed(0)
    module = Attention(16, heads=2, window=8, rotary=10000.0)
    x, outputs = torch.randn(1, 40, 16), []
    for age in (0, 1_000_000):
        _, state = module(x[:, :20], module.init_state(1)._replace(clock=torch.tensor([age])))
        outputs.append(module(x[:, 20:], state)[0])  # what stood before the 20 symbols is out of sight
    assert laws.deviation(*outputs) < 1e-5


def test_rows_of_one_age_share_their_clock() -> None:
    clock = later(first_clock(5, torch.device("cpu")), 3)
    assert clock.tolist() == [3] * 5
    assert distinct(clock).tolist() == [3]
    assert distinct(clock.clone()).tolist() == [3] * 5
    assert later(torch.tensor([1, 4]), 2).tolist() == [3, 6]


def test_dropout_follows_the_module_and_the_seed() -> None:
    torch.manual_seed(0)
    module = Attention(8, heads=2, window=6, dropout=0.5)
    x, state = torch.randn(2, 6, 8), module.init_state(2)

    def run(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return module(x, state)[0]

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    module.eval()
    assert torch.equal(run(1), run(2))


def test_learned_positions_end_with_their_table() -> None:
    module = LearnedPositions(4, limit=6)
    assert module.position_limit == 6
    _, state = module(torch.zeros(1, 6, 4), module.init_state(1))
    with pytest.raises(IndexError):
        module.step(torch.zeros(1, 4), state)


@pytest.mark.parametrize("shape", [{"heads": 3}, {"heads": 4, "key_heads": 3}, {"heads": 8, "rotary": 10.0}])
def test_impossible_shapes_are_refused(shape: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="heads must divide"):
        Attention(8, window=4, **shape)
