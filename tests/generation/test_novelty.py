"""The novelty meter against trying every span, across records, blocks and chunks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from unrolled.data.corpus import Document
from unrolled.generation.novelty import Place, novelty


def passage(text, source="book", number=0):
    return Document(text, {}, source, number)


def brute_force(text, passages, records, n):
    """The longest span and the first place in the training text where one of that length begins; share of n-grams."""
    texts = [part.text for part in passages]
    wholes = texts if records else ["".join(texts)]
    for length in range(len(text), 0, -1):
        spans = {text[start : start + length] for start in range(len(text) - length + 1)}
        found = [
            (number, start, whole[start : start + length])
            for number, whole in enumerate(wholes)
            for start in range(len(whole) - length + 1)
            if whole[start : start + length] in spans
        ]
        if found:
            break
    else:
        found = [(None, 0, "")]
    size = min(n, len(text))
    grams = [text[start : start + size] for start in range(len(text) - size + 1)] if text else []
    seen = sum(any(gram in whole for whole in wholes) for gram in grams) / len(grams) if grams else 0.0
    return found[0], seen


TEXT = some.text(alphabet="ab\u00e9\U0001f600", max_size=14)


@settings(max_examples=400, deadline=None)
@given(
    some.lists(TEXT, min_size=1, max_size=3),
    some.lists(TEXT, max_size=6),
    some.booleans(),
    some.integers(1, 5),
    some.data(),
)
def test_equals_trying_every_span(texts, parts, records, n, data):
    starts = np.cumsum([0, *map(len, parts)])
    passages = [passage(part, "book", index + 1 if records else int(starts[index])) for index, part in enumerate(parts)]
    chunk = data.draw(some.integers(1, 20))
    for text, result in zip(texts, novelty(texts, lambda: passages, records=records, n=n, chunk=chunk), strict=True):
        (number, start, span), seen = brute_force(text, passages, records, n)
        assert result.span == span and text[result.start :].startswith(span)
        assert result.seen == pytest.approx(seen) and result.score == pytest.approx(1 - seen)
        expected = None if number is None else Place("book", number + 1 if records else None, start)
        assert result.place == expected


def test_a_span_is_found_in_its_source_and_record():
    records = [passage("one two three four", "a.jsonl", 3), passage("five six seven eight", "b.jsonl", 7)]
    (result,) = novelty(["xx six seven yy"], lambda: records, records=True)
    assert (result.span, result.start, result.place) == (" six seven ", 2, Place("b.jsonl", 7, 4))
    blocks = [
        passage("one two three four ", "a.txt", 0),
        passage("five six ", "b.txt", 0),
        passage("seven eight", "b.txt", 9),
    ]
    (result,) = novelty(["xx six seven yy"], lambda: blocks, records=False)
    assert (result.span, result.place) == (" six seven ", Place("b.txt", None, 4))


def test_a_long_text_is_found_whole_in_a_large_corpus():
    letters = np.random.default_rng(0).integers(97, 123, 3_000_000, dtype=np.uint8).tobytes().decode()
    blocks = [passage(letters[start : start + 700_000], "a.txt", start) for start in range(0, len(letters), 700_000)]
    copied, mixed = letters[2_099_000:2_101_500], "A" * 300 + letters[1_000_000:1_000_400] + "B" * 300
    first, second, third = novelty([copied, mixed, "?" * 100], lambda: blocks, records=False)
    assert (first.span, first.place, first.seen) == (copied, Place("a.txt", None, 2_099_000), 1.0)
    assert (len(second.span), second.start, second.place) == (400, 300, Place("a.txt", None, 1_000_000))
    assert second.seen == pytest.approx(393 / 993)
    assert (third.span, third.place, third.seen) == ("", None, 0.0)
