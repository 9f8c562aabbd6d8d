"""Beam search against trying everything, against greedy choice and across the end of a position table."""

from itertools import product

import pytest
import torch

from unrolled.core.errors import UsageError
from unrolled.core.protocol import Context
from unrolled.generation.beam import beam_search
from unrolled.generation.reading import read_windows
from unrolled.generation.rules import Rules
from unrolled.generation.stream import generate


def everything(model, prompt, length, context=None):
    """Every continuation, ended or of full length, with its log likelihood."""
    ordinary, found = range(model.begin), {}
    for count in range(1, length + 1):
        for symbols in product(*[ordinary] * (count - 1), [*ordinary, model.end]):
            if count < length and symbols[-1] != model.end:
                continue
            text, total = [*prompt], 0.0
            for symbol in symbols:
                logits, _ = model.step(torch.tensor(text[-1:]), None, read_windows(model, [text], context))
                total += float(logits[0].double().log_softmax(0)[symbol])
                text.append(symbol)
            found[symbols] = total
    return found


@pytest.mark.parametrize("normalise", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("limit", [None, 3])
def test_a_wide_beam_finds_what_trying_everything_finds(tiny, normalise, limit):
    model, context = tiny(size=5, limit=limit), Context(vector=torch.full((1, 8), 0.3))
    found = everything(model, [0, 1], 4, context)
    beams = beam_search(model, [0, 1], width=len(found), length=4, normalise=normalise, context=context)
    ranked = sorted(found, key=lambda symbols: -found[symbols] / len(symbols) ** normalise)
    assert [beam.symbols for beam in beams] == ranked
    for beam in beams:
        assert beam.log_likelihood == pytest.approx(found[beam.symbols], abs=1e-5)
        assert beam.score == pytest.approx(beam.log_likelihood / len(beam.symbols) ** normalise)
        assert beam.ended == (beam.symbols[-1] == model.end)


@pytest.mark.parametrize("limit", [None, 4])
def test_a_beam_of_one_is_greedy(tiny, limit):
    ended = set()
    for seed in range(12):
        model = tiny(limit=limit, seed=seed)
        steps = generate(model, [[2, 0]], length=20, rules=Rules(temperature=0.0), seed=0)
        (beam,) = beam_search(model, [2, 0], width=1, length=20)
        assert list(beam.symbols) == [int(step.symbols) for step in steps]
        ended.add(beam.ended)
    assert ended == {True, False}


def taught(model, symbols):
    """Log likelihood of symbols, one after another from the begin symbol on."""
    state, last, total = model.init_state(1), model.begin, 0.0
    for symbol in symbols:
        logits, state = model.step(torch.tensor([last]), None, state)
        total += float(logits[0].double().log_softmax(0)[symbol])
        last = symbol
    return total


def test_a_narrow_beam_is_at_least_as_good_as_greedy_and_sorted(tiny):
    better = 0
    for seed in range(12):
        model = tiny(seed=seed)
        (greedy,) = beam_search(model, [], width=1, length=12, stop_at_end=False)
        beams = beam_search(model, [], width=4, length=12, stop_at_end=False)
        scores = [beam.score for beam in beams]
        assert len(beams) == 4 and scores == sorted(scores, reverse=True)
        assert len({beam.symbols for beam in beams}) == 4
        assert not {symbol for beam in beams for symbol in beam.symbols} & {model.begin, model.end}
        for beam in beams:
            nats = taught(model, beam.symbols)
            assert beam.log_likelihood == pytest.approx(nats, abs=1e-5)
        better += scores[0] > greedy.score
    assert better > 3


def test_forbidden_symbols_are_not_taken_and_no_length_gives_an_empty_beam(tiny):
    model = tiny()
    for beam in beam_search(model, [0], width=3, length=6, forbidden=[0, 1, 2]):
        assert not set(beam.symbols) & {0, 1, 2}
    assert beam_search(model, [0], width=3, length=0)[0].symbols == ()


@pytest.mark.parametrize("options", [{"width": 0}, {"width": 2, "normalise": -1.0}])
def test_what_cannot_be_searched_is_refused(tiny, options):
    with pytest.raises(UsageError, match="pass a width of 1"):
        beam_search(tiny(), [], length=3, **options)
