"""Predictive text: equal to reading the whole text anew, whatever was typed and taken back before."""

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from unrolled.codecs import make_codec
from unrolled.core.protocol import Context
from unrolled.generation import completion
from unrolled.generation.completion import Completer
from unrolled.generation.reading import read_windows

CONTEXT = Context(vector=torch.full((1, 8), 0.2))


def made(tiny, kind="characters", text="ab c", limit=None, vocabulary=None):
    codec = make_codec(kind, [text] * 3, vocabulary)
    model = tiny(size=codec.size, limit=limit)
    model.begin, model.end = codec.begin, codec.end

    def start(text):
        return [codec.begin, *codec.encode(text).tolist()]

    forbidden = [] if codec.unknown is None else [codec.unknown]
    return Completer(model, codec, start, context=CONTEXT, forbidden=forbidden)


def chances(completer, symbols):
    """The probability of each next symbol, everything read anew."""
    model = completer.model
    logits, _ = model.step(torch.tensor(symbols[-1:]), None, read_windows(model, [symbols], CONTEXT))
    return logits[0].double().index_fill(0, completer.never, -torch.inf).softmax(0)


@pytest.mark.parametrize("limit", [None, 5])
def test_typing_and_going_back_is_reading_anew(tiny, limit):
    completer = made(tiny, limit=limit)

    @settings(max_examples=60, deadline=None)
    @given(some.text(alphabet="abc ", max_size=12))
    def check(text):
        suggestions = completer.next(text, 3)
        expected = chances(completer, completer.start(text))
        values, symbols = expected.sort(descending=True, stable=True)
        assert [suggestion.probability for suggestion in suggestions] == pytest.approx(values[:3].tolist(), abs=1e-6)
        assert [suggestion.text for suggestion in suggestions] == [completer.codec.decode([s]) for s in symbols[:3]]
        assert [suggestion.ended for suggestion in suggestions] == [s == completer.model.end for s in symbols[:3]]

    check()


def test_going_back_costs_no_step_and_typing_costs_one(tiny, monkeypatch):
    completer, calls = made(tiny), []
    step = completer.model.step
    monkeypatch.setattr(completer.model, "step", lambda *arguments: calls.append(1) or step(*arguments))
    for text, cost in (("", 1), ("a", 1), ("ab", 1), ("ab ", 1), ("ab", 0), ("a", 0), ("ac", 1), ("ac", 0), ("", 0)):
        calls.clear()
        completer.next(text, 2)
        assert len(calls) == cost, text


@pytest.mark.parametrize("text", ["", "ab", "ab "])
def test_words_are_those_that_trying_everything_finds(tiny, monkeypatch, text):
    monkeypatch.setattr(completion, "BEAM", 1000)
    monkeypatch.setattr(completion, "LONGEST", 4)
    completer, expected = made(tiny), {}
    letters = [symbol for symbol in range(completer.codec.begin) if completer.codec.decode([symbol]) != " "]
    for count in range(0 if text.endswith("b") else 1, 5):
        for rest in product(letters, repeat=count):
            symbols, chance = list(completer.start(text)), 1.0
            for symbol in rest:
                chance *= float(chances(completer, symbols)[symbol])
                symbols.append(symbol)
            last = chances(completer, symbols)
            ends = float(last[completer.codec.encode(" ")[0]] + last[completer.model.end])
            expected[completer.codec.decode(rest)] = chance * ends
    best = sorted(expected, key=lambda word: -expected[word])[:5]
    found = completer.words(text, 5)
    assert [suggestion.text for suggestion in found] == best
    assert [suggestion.probability for suggestion in found] == pytest.approx(
        [expected[word] for word in best], abs=1e-6
    )


@pytest.mark.parametrize("kind", ["words", "bpe"])
def test_a_word_that_is_being_typed_is_among_whole_symbols(tiny, kind):
    text = "the thin thing then there. " * 5
    completer = made(tiny, kind, text, vocabulary=300)
    for suggestion in completer.next("the thi", 10):
        assert ("the thi" + suggestion.text).split()[-1] in ("thi", "thin", "thing")
    assert sum(suggestion.probability for suggestion in completer.next("the thi", 1000)) == pytest.approx(1)
    known, typed = completer.known("the thi")
    assert (known.count, typed) == (len(completer.start("the")), " thi")
    assert completer.known("the ggg")[1] == "", "no symbol begins with it, so its letters are read as they are"
    rests = [suggestion.text for suggestion in completer.words("the thi", 50)]
    assert "n" in rests and "ng" in rests and not any(" " in rest for rest in rests)


def test_bytes_make_whole_characters(tiny):
    completer = made(tiny, "bytes")
    suggestions = completer.next("a", completer.codec.size)
    assert len(suggestions) == 257
    several = [suggestion for suggestion in suggestions if len(suggestion.text.encode()) > 1]
    assert sum("\ufffd" not in suggestion.text for suggestion in several) > 30


def test_a_full_table_of_positions_leaves_no_word_to_search(tiny):
    completer = made(tiny, limit=3)
    for text in ("", "a", "ab", "abc", "abca", "abcab"):
        completer.words(text, 3)
