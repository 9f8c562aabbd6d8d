"""What is particular to each codec, and what a stranger's codec.json may not do."""

import json
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.codecs import CODECS, codec_from_json, make_codec
from unrolled.codecs.bpe import PairCodec, build_tokenizer, sampled
from unrolled.codecs.bpe import make as make_pairs
from unrolled.codecs.words import WordCodec
from unrolled.core.errors import DataError, RunError, UsageError

SEEDS = ["a a\n\n a' b!!  \t\n ab\r\n\u00a0a 11 é\x1c!" * 9, " \n \n  a" * 5]
PAIRS = make_pairs(SEEDS, 300)


def test_characters_are_sorted_and_specials_come_after() -> None:
    codec = make_codec("characters", ["ba", "\nc"])
    assert codec.encode("\nabc").tolist() == [0, 1, 2, 3]
    assert (codec.begin, codec.end, codec.unknown, codec.size) == (4, 5, 6, 7)
    assert codec.encode("a\ud800z", "map").tolist() == [1, 6, 6]
    assert codec.decode([4, 1, 6, 5]) == "a\N{REPLACEMENT CHARACTER}"


def test_an_unknown_symbol_is_named_with_its_place() -> None:
    codec = make_codec("characters", ["ab\n"])
    with pytest.raises(DataError, match=r"'☃' \(U\+2603\) at character 5, line 2 and 1 other unknown") as caught:
        codec.encode("ab\na☃z")
    assert "\n" not in str(caught.value)


def test_the_most_frequent_characters_stay_in_a_small_vocabulary() -> None:
    codec = make_codec("characters", ["aaabbc"], 2)
    assert codec.unknown_symbols("abcc") == {"c": 2}


def test_bytes_are_bytes() -> None:
    codec = make_codec("bytes", [])
    assert codec.encode("é\r\n").tolist() == list("é\r\n".encode())
    assert (codec.size, codec.begin, codec.end, codec.unknown) == (258, 256, 257, None)
    assert codec.decode([0xC3, 257, 0xA9, 0xFF]) == "é\N{REPLACEMENT CHARACTER}"


def test_words_take_their_space_and_rare_words_are_spelled() -> None:
    codec = make_codec("words", ["the cat, the cat's mat. the rat"], None)
    entries = [codec.decode([symbol]) for symbol in codec.encode("the cat the rat, the")]
    assert entries == ["t", "h", "e", " ", "c", "a", "t", " the", " ", "r", "a", "t", ",", " the"]
    assert isinstance(codec, WordCodec) and " the" in codec.words and " cat" not in codec.words


def test_a_word_known_without_its_space_is_used_with_one() -> None:
    codec = make_codec("words", ["(yes) (yes) no no"], None)
    assert [codec.decode([symbol]) for symbol in codec.encode("no yes")] == ["n", "o", " ", "yes"]


def test_bpe_shortens_text_and_holds_the_size_asked_for() -> None:
    text = "the cat sat on the mat and the rat sat on the cat\n" * 20
    codec = make_codec("bpe", [text], 270)
    assert codec.begin == 270 and len(codec.encode(text)) < len(text) / 2
    assert codec.decode(codec.encode("🌳 naïve")) == "🌳 naïve"


@settings(deadline=None, max_examples=150)
@given(st.text(st.sampled_from("ab '\n\r\t\x1c\u00a0\u2028!1é"), max_size=12))
def test_cutting_text_into_pieces_changes_no_symbol(text) -> None:
    peer = build_tokenizer(PAIRS.vocabulary, PAIRS.merges)
    assert PAIRS.encode(text).tolist() == peer.encode(text).ids


def test_a_large_corpus_is_sampled_evenly() -> None:
    assert sampled(["ab"] * 3, 100) == ["ab"] * 3
    assert sampled(map(str, range(10, 100)), 50) == [str(number) for number in range(10, 100, 4)]
    assert sampled(["long text", "b"], 3) == ["long text"]


def test_decoding_bpe_needs_no_library(monkeypatch) -> None:
    data = make_codec("bpe", ["abc abc abc abc"], 260).to_json()
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    codec: Any = codec_from_json(data)
    assert codec.decode(range(256, 260)) + codec.stream().feed(257)


def test_wrong_use_is_refused_in_one_line() -> None:
    for kind, texts, vocabulary in [
        ("runes", ["a"], None),
        ("bytes", ["a"], 9),
        ("bpe", ["a"], 9),
        ("words", ["ab"], 1),
    ]:
        with pytest.raises(UsageError):
            make_codec(kind, texts, vocabulary)
    with pytest.raises(UsageError):
        make_codec("characters", ["a"], 0)
    for kind in ("characters", "words", "bpe"):
        with pytest.raises(DataError):
            make_codec(kind, [])


HOSTILE = [
    None,
    [],
    {},
    {"kind": []},
    {"kind": "os.system"},
    {"kind": "characters"},
    {"kind": "characters", "alphabet": ""},
    {"kind": "characters", "alphabet": "aa"},
    {"kind": "characters", "alphabet": ["a"]},
    {"kind": "characters", "alphabet": "\ud800"},
    {"kind": "words", "alphabet": "ab"},
    {"kind": "words", "alphabet": "ab", "words": ["abc"]},
    {"kind": "words", "alphabet": "ab", "words": ["ab", 7]},
    {"kind": "words", "alphabet": "ab ", "words": ["ab ab"]},
    {"kind": "bpe", "vocabulary": ["a"], "merges": []},
    {"kind": "bpe", "vocabulary": {"a": 1}, "merges": []},
]


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_a_strange_codec_file_is_refused(data) -> None:
    with pytest.raises(RunError):
        codec_from_json(data)


@pytest.mark.parametrize("merges", [None, [["a"]], [["a", "zz"]], [[1, 2]], ["ab"], [["q", "z"]]])
def test_strange_merges_are_refused(merges) -> None:
    data = make_codec("bpe", ["abab abab"], 258).to_json()
    with pytest.raises(RunError):
        codec_from_json(data | {"merges": merges})


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3), max_leaves=6
    )
)
def test_no_value_under_any_key_escapes_the_check(value) -> None:
    for kind in CODECS:
        for key in ("alphabet", "words", "vocabulary", "merges"):
            try:
                codec_from_json(make_small(kind) | {key: value})
            except RunError as error:
                assert "\n" not in str(error)


SMALL = {kind: make_codec(kind, ["ab ab ab ab"], None).to_json() for kind in CODECS}


def make_small(kind: str) -> dict:
    return dict(SMALL[kind])


def test_gpt2_symbols_equal_those_of_the_library(shared_data) -> None:
    from tokenizers import ByteLevelBPETokenizer

    folder = shared_data / "text/tokenizers/gpt2"
    table = json.loads((folder / "encoder.json").read_bytes())
    entries = sorted(table, key=table.__getitem__)[:-1]
    lines = (folder / "vocab.bpe").read_text(encoding="utf-8").splitlines()[1:]
    codec = codec_from_json(
        {"kind": "bpe", "vocabulary": entries, "merges": [line.split(" ") for line in lines if line]}
    )
    peer = ByteLevelBPETokenizer(str(folder / "encoder.json"), str(folder / "vocab.bpe"))
    strings = json.loads((shared_data / "platform/blns/blns.json").read_bytes())
    for text in [*strings, (shared_data / "text/tinyshakespeare.txt").read_text(encoding="utf-8")[:20000]]:
        assert codec.encode(text).tolist() == peer.encode(text).ids
        assert codec.decode(codec.encode(text)) == text
    assert isinstance(codec, PairCodec) and codec.begin == 50256
    assert np.all(codec.byte_lengths()[: codec.begin] > 0)
