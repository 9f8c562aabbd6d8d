"""Text of streams: pieces that join to the whole text and never hold half a character."""

import pytest

from unrolled.codecs import make_codec
from unrolled.generation.rules import Rules
from unrolled.generation.stream import generate
from unrolled.generation.text import collect, gather, pieces

PROMPTS = [[], [0, 1], [2]] * 4
SETTINGS = {"length": 8, "rules": Rules(), "seed": 4}


def test_samples_hold_what_the_stream_drew(tiny, letters):
    model = tiny(limit=4)
    texts = collect(generate(model, PROMPTS, **SETTINGS), letters, PROMPTS, SETTINGS["length"], limit=4)
    rows, nats = [[] for _ in PROMPTS], [0.0] * 12
    for step in generate(model, PROMPTS, **SETTINGS):
        for row in step.drawn.nonzero().squeeze(1).tolist():
            rows[row].append(int(step.symbols[row]))
            nats[row] += float(step.log_probability[row])
    for text, symbols, total in zip(texts, rows, nats, strict=True):
        assert list(text.symbols) == symbols
        assert text.text == letters.decode(symbols)
        assert text.log_likelihood == pytest.approx(total)
        assert text.likelihood == pytest.approx(total / len(symbols))
        assert text.ended == (symbols[-1] == model.end)
    assert {text.ended for text in texts} == {True, False}
    longest = max(range(12), key=lambda row: len(rows[row]))
    assert texts[longest].rereads == (len(PROMPTS[longest] or [0]) + len(rows[longest]) - 1 - 4 + 1) // 2


@pytest.mark.parametrize("prompt", ["", "é"])
def test_bytes_come_out_as_whole_characters(tiny, prompt):
    codec = make_codec("bytes", [], None)
    model = tiny(size=codec.size)
    prompts = [[codec.begin, *codec.encode(prompt).tolist()]] * 4
    drawn = list(pieces(generate(model, prompts, length=300, rules=Rules(), seed=1), codec, 4, 300))
    texts = gather(drawn, prompts)
    assert any(text.ended for text in texts)
    for row, text in enumerate(texts):
        assert text.text == "".join(piece.text for piece in drawn if piece.row == row)
        assert text.text == codec.decode(text.symbols)
        assert len(text.text) < len(text.symbols), "no character of several bytes was tried"


def test_what_is_left_comes_with_the_last_piece(tiny):
    codec = make_codec("bytes", [], None)
    model = tiny(size=codec.size)
    forbidden = [symbol for symbol in range(codec.size) if symbol != 0xC3]  # only half a character can be drawn
    settings = {"rules": Rules(), "seed": 0, "stop_at_end": False, "forbidden": forbidden}
    drawn = list(pieces(generate(model, [[]], length=3, **settings), codec, 1, 3))
    assert [piece.text for piece in drawn] == ["", "\ufffd", "\ufffd\ufffd"]


def test_nothing_asked_is_nothing_given(tiny, letters):
    (text,) = collect(generate(tiny(), [[]], length=0, rules=Rules(), seed=0), letters, [[]], 0)
    assert (text.symbols, text.text, text.log_likelihood, text.likelihood, text.ended) == ((), "", 0, 0, False)
