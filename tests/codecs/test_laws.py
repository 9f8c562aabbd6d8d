"""The law of codecs, decode(encode(x)) == normalise(x), for every codec on anything that Python calls text."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.codecs import CODECS, codec_from_json, make_codec
from unrolled.codecs.text import TextCodec
from unrolled.core.errors import DataError

SAMPLE = "To be, or not to be — that's the question:\r\n\tdon't  ask ünder 7 Bäume 🌳🌳!\n\n\u2028end\x00"
MADE = {kind: make_codec(kind, [SAMPLE * 2, "more text to be read"], None) for kind in CODECS}
ANY_TEXT = st.text(st.characters(codec=None), max_size=60) | st.text(st.sampled_from(SAMPLE + "☃\ud800é"), max_size=60)

calm = settings(max_examples=60, deadline=None)
codecs = pytest.mark.parametrize("codec", MADE.values(), ids=MADE.keys())


@codecs
@calm
@given(text=ANY_TEXT)
def test_decoding_gives_the_normalised_text(codec: TextCodec, text: str) -> None:
    symbols = codec.encode(text, unknown="map")
    assert symbols.dtype == np.int32 and symbols.ndim == 1
    assert codec.decode(symbols) == codec.normalise(text)
    assert len(codec.normalise(text)) == len(text)
    assert not np.isin(symbols, [codec.begin, codec.end]).any()


@codecs
@calm
@given(text=ANY_TEXT)
def test_known_text_is_kept_and_unknown_text_refused(codec: TextCodec, text: str) -> None:
    unknown = codec.unknown_symbols(text)
    assert unknown == {character: text.count(character) for character in unknown}
    if not unknown:
        assert codec.normalise(text) == text == codec.decode(codec.encode(text))
        return
    with pytest.raises(DataError, match=r"U\+") as caught:
        codec.encode(text)
    assert repr(min(unknown, key=text.index)) in str(caught.value)


@codecs
@calm
@given(symbols=st.lists(st.integers(-3, 400), max_size=40))
def test_a_stream_equals_decoding_at_once(codec: TextCodec, symbols: list[int]) -> None:
    decoder = codec.stream()
    pieces = [decoder.feed(symbol) for symbol in symbols]
    assert "".join(pieces) + decoder.flush() == codec.decode(symbols)
    assert decoder.flush() == ""


@codecs
@calm
@given(text=st.text(st.sampled_from(SAMPLE), max_size=40))
def test_a_stream_never_prints_half_a_character(codec: TextCodec, text: str) -> None:
    decoder = codec.stream()
    printed = ""
    for symbol in codec.encode(text):
        printed += decoder.feed(symbol)
        assert text.startswith(printed)
    assert printed == text


@codecs
@calm
@given(text=ANY_TEXT)
def test_json_brings_the_same_codec_back(codec: TextCodec, text: str) -> None:
    again = codec_from_json(json.loads(json.dumps(codec.to_json())))
    assert (again.kind, again.size, again.begin, again.end) == (codec.kind, codec.size, codec.begin, codec.end)
    assert again.encode(text, "map").tolist() == codec.encode(text, "map").tolist()
    assert again.to_json() == codec.to_json()


@codecs
@calm
@given(text=st.text(st.sampled_from(SAMPLE), max_size=60))
def test_byte_lengths_add_up_to_the_text(codec: TextCodec, text: str) -> None:
    assert codec.byte_lengths()[codec.encode(text)].sum() == len(text.encode())


@codecs
def test_naughty_strings_come_back(codec: TextCodec, shared_data) -> None:
    strings = json.loads((shared_data / "platform/blns/blns.json").read_bytes())
    assert len(strings) == 515
    wide = make_codec(codec.kind, strings, 1000 if codec.kind == "bpe" else None)
    for text in strings:
        assert codec.decode(codec.encode(text, "map")) == codec.normalise(text)
        assert wide.decode(wide.encode(text)) == text
