"""Streams: every row as it would be alone, every sample reproducible from its own index, windows that end."""

from itertools import pairwise

import pytest
import torch

from unrolled.core.errors import RunError, UsageError
from unrolled.core.protocol import Context
from unrolled.generation.rules import Rules
from unrolled.generation.sampling import probabilities
from unrolled.generation.stream import BLOCK, generate
from unrolled.generation.window import rereads, window_start

PROMPTS = [[], [5, 0, 1], [2], [1, 1, 1, 4, 3, 0, 2], [3, 3]]
RULES = [Rules(), Rules(temperature=0.0), Rules(temperature=0.7, top_p=0.8, repetition_penalty=1.3)]


def run(model, prompts, **options):
    """For each row the symbols that it drew and their log probabilities."""
    settings = {"length": 30, "rules": Rules(), "seed": 4, **options}
    symbols, nats = [[] for _ in prompts], [[] for _ in prompts]
    for step in generate(model, prompts, **settings):
        for row in step.drawn.nonzero().squeeze(1).tolist():
            symbols[row].append(int(step.symbols[row]))
            nats[row].append(float(step.log_probability[row]))
    return symbols, nats


def by_hand(model, prompt, length, uniforms, rules):
    """The obvious form: one row, one symbol at a time, the whole text read again for each of them."""
    text, nats = list(prompt) or [model.begin], []
    while len(nats) < length and not (nats and text[-1] == model.end):
        state = model.init_state(1)
        for symbol in text[window_start(len(text), model.position_limit) :]:
            logits, state = model.step(torch.tensor([symbol]), None, state)
        seen = torch.zeros(1, model.size, dtype=torch.bool)
        seen[0, text] = True
        forbidden = torch.arange(model.size) == model.begin
        cumulative = probabilities(logits, rules, seen, forbidden)[0].cumsum(0)
        text.append(int((cumulative <= uniforms[len(text)] * cumulative[-1]).sum()))
        nats.append(float(logits[0].double().log_softmax(0)[text[-1]]))
    return text[len(list(prompt) or [0]) :], nats


@pytest.mark.parametrize("limit", [None, 1, 2, 5, 6])
@pytest.mark.parametrize("rules", RULES, ids=str)
def test_a_ragged_batch_gives_what_the_obvious_form_gives(tiny, rules, limit):
    from unrolled.core.draws import Draws

    model = tiny(limit=limit)
    streams = [9, 2, 5, 0, 7]
    symbols, nats = run(model, PROMPTS, rules=rules, streams=streams)
    for row, prompt in enumerate(PROMPTS):
        positions = torch.arange(60)
        uniforms = Draws(4, torch.full_like(positions, streams[row]), positions).uniform()
        expected, expected_nats = by_hand(model, prompt, 30, uniforms, rules)
        assert symbols[row] == expected
        assert nats[row] == pytest.approx(expected_nats, abs=1e-5)
    assert rules.temperature == 0 or len({len(row) for row in symbols}) > 1, "no row ended before another"


def test_a_sample_depends_on_its_stream_and_not_on_its_slot(tiny):
    model = tiny()
    forwards, _ = run(model, [[0]] * 6, streams=range(6))
    backwards, _ = run(model, [[0]] * 6, streams=range(5, -1, -1))
    assert forwards == backwards[::-1]
    assert len(set(map(tuple, forwards))) > 3
    assert run(model, [[0]], streams=[4])[0] == [forwards[4]]
    assert run(model, [[0]] * 6, streams=range(6), seed=5)[0] != forwards


def test_a_beginning_goes_on_as_the_whole_would_have(tiny):
    for limit in (None, 4):
        model, options = tiny(limit=limit), {"stop_at_end": False, "rules": Rules(repetition_penalty=1.2)}
        whole, nats = run(model, [[1, 2]], length=40, **options)
        for cut in (1, 3, 17):
            rest, rest_nats = run(model, [[1, 2, *whole[0][:cut]]], length=40 - cut, **options)
            assert rest[0] == whole[0][cut:]
            assert rest_nats[0] == pytest.approx(nats[0][cut:], abs=1e-5)


def test_ended_rows_stop_and_hold_the_end_symbol(tiny):
    model, ended = tiny(), torch.zeros(8, dtype=torch.bool)
    steps = list(generate(model, [[]] * 8, length=500, rules=Rules(), seed=0))
    for step in steps:
        assert torch.equal(step.drawn, ~ended)
        assert (step.symbols[ended] == model.end).all() and not step.log_probability[ended].any()
        ended = ended | (step.symbols == model.end)
        assert torch.equal(step.done, ended)
    assert ended.all() and len(steps) < 500


def test_without_an_end_every_row_has_the_whole_length_and_no_mark(tiny):
    model = tiny()
    symbols, _ = run(model, PROMPTS, length=BLOCK + 10, stop_at_end=False, forbidden=[2])
    assert {len(row) for row in symbols} == {BLOCK + 10}
    assert not {model.begin, model.end, 2} & {symbol for row in symbols for symbol in row}


@pytest.mark.parametrize("limit", [1, 2, 3, 8, 9])
def test_windows_begin_with_the_last_half_of_the_full_one(limit):
    starts = [window_start(count, limit) for count in range(1, 60)]
    for count, (start, following) in enumerate(pairwise(starts), 1):
        assert 1 <= count - start <= limit
        assert following == start if count - start < limit else count - following == limit // 2
    windows = sorted(set(starts))
    assert [rereads(count + 1, limit) for count in range(1, 60)] == [windows.index(start) for start in starts]
    assert window_start(10**9, None) == rereads(10**9, None) == 0


def test_the_end_of_a_position_table_is_told_once(tiny):
    notes = []
    run(tiny(limit=4), PROMPTS, length=40, stop_at_end=False, note=notes.append)
    assert len(notes) == 1 and "4 positions" in notes[0]
    run(tiny(), PROMPTS, length=40, stop_at_end=False, note=notes.append)
    assert len(notes) == 1


def test_a_row_keeps_its_own_context_when_others_end_and_when_it_is_read_again(tiny):
    model = tiny(limit=6)
    vectors = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    together, nats = run(model, PROMPTS, context=Context(vector=vectors))
    assert together != run(model, PROMPTS)[0]
    for row, prompt in enumerate(PROMPTS):
        alone, alone_nats = run(model, [prompt], streams=[row], context=Context(vector=vectors[row : row + 1]))
        assert alone[0] == together[row]
        assert alone_nats[0] == pytest.approx(nats[row], abs=1e-5)


def test_a_control_follows_its_row_and_is_told_the_position(tiny):
    model, asked = tiny(), []

    def control(symbol, position):
        asked.append((symbol.tolist(), position.tolist()))
        return position[:, None] * 0.1

    together, _ = run(model, PROMPTS, control=control)
    assert asked[0] == ([5, 1, 2, 2, 3], [0, 2, 0, 6, 1])
    assert asked[1][1] == [1, 3, 1, 7, 2]
    for row, prompt in enumerate(PROMPTS):
        assert run(model, [prompt], streams=[row], control=control)[0][0] == together[row]
    assert together != run(model, PROMPTS)[0]


def test_nothing_is_left_switched_off_for_the_caller(tiny):
    steps = generate(tiny(), [[]], length=3, rules=Rules(), seed=0)
    next(steps)
    assert not torch.is_inference_mode_enabled()
    assert len(list(steps)) == 2 and not torch.is_inference_mode_enabled()


def test_bad_rules_and_damaged_weights_are_refused(tiny):
    with pytest.raises(UsageError, match="temperature"):
        run(tiny(), [[]], rules=Rules(temperature=-1.0))
    model = tiny()
    model.backbone.out.weight.fill_(float("nan"))
    with pytest.raises(RunError, match="weights"):
        run(model, [[]])


def test_no_prompts_and_no_length_give_nothing(tiny):
    assert run(tiny(), []) == ([], [])
    assert run(tiny(), [[]], length=0) == ([[]], [[]])
