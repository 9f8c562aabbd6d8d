"""Byte-level byte-pair encoding, trained and applied by the library `tokenizers`; decoding needs numpy alone.

Text is cut into words, numbers and runs of punctuation or space by GPT-2's rule, and pairs of byte strings are merged
inside each in the order in which they were learned. Source: Radford et al. 2019, section 2.2.
"""

import json
import re
from collections.abc import Iterable
from itertools import chain
from typing import Any

import numpy as np

from unrolled.codecs.text import REPLACEMENT, SURROGATE, TextCodec, Unknown, checked_strings
from unrolled.core.errors import DataError, RunError, UsageError

DEFAULT_VOCABULARY = 2048
MOST_KNOWN = 100_000  # pieces kept with their symbols
SAMPLE = 1 << 25  # characters that merges are learned from
SAFE_CUT = re.compile(r"(?=[ \n]\S)")  # GPT-2's rule begins a word or a run of signs at each of these places
Merge = tuple[str, str]


def byte_letters() -> dict[str, int]:
    """GPT-2's printable letter for each byte value, as a table from letter to byte."""
    kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = [value for value in range(256) if value not in set(kept)]
    return {chr(value): value for value in kept} | {chr(0x100 + index): value for index, value in enumerate(moved)}


LETTERS = byte_letters()


class PairCodec(TextCodec):
    """`vocabulary` in order of id and `merges` in order of use, both in GPT-2's printable letters for bytes."""

    kind = "bpe"

    def __init__(self, vocabulary: list[str], merges: list[Merge]) -> None:
        super().__init__([bytes(LETTERS[letter] for letter in entry) for entry in vocabulary], unknown=False)
        self.vocabulary, self.merges = vocabulary, merges
        self.tokenizer: Any = None
        self.known: dict[str, tuple[int, ...]] = {}

    def encode(self, text: str, unknown: Unknown = "refuse") -> np.ndarray:
        """See TextCodec.encode."""
        if unknown == "refuse":
            self.refuse(text)
        else:
            text = SURROGATE.sub(REPLACEMENT, text)
        if len(self.known) > MOST_KNOWN:
            self.known.clear()
        pieces = SAFE_CUT.split(text)
        self.learn([piece for piece in set(pieces) if piece not in self.known])
        return np.fromiter(chain.from_iterable(map(self.known.__getitem__, pieces)), np.int32)

    def learn(self, pieces: list[str]) -> None:
        """Find the symbols of pieces of text and keep them, because the same words come again and again."""
        if not pieces:
            return
        if self.tokenizer is None:
            self.tokenizer = build_tokenizer(self.vocabulary, self.merges)
        found = self.tokenizer.encode_batch_fast(pieces, add_special_tokens=False)
        self.known.update((piece, tuple(entry.ids)) for piece, entry in zip(pieces, found, strict=True))

    def to_json(self) -> dict[str, Any]:
        """See TextCodec.to_json."""
        return {"kind": self.kind, "vocabulary": self.vocabulary, "merges": [list(merge) for merge in self.merges]}


def build_tokenizer(vocabulary: list[str], merges: list[Merge]) -> Any:
    """A tokenizer of the library with these tables and no other setting, so that a stranger's file can bring none."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    table = {entry: symbol for symbol, entry in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.BPE(vocab=table, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


def make(texts: Iterable[str], vocabulary: int | None) -> PairCodec:
    """Merges learned from `texts` until there are `vocabulary` symbols (2,048 if None), fewer if pairs run out.

    Of more than 33 million characters every second, fourth ... text is learned from.
    """
    from tokenizers import trainers

    size = DEFAULT_VOCABULARY if vocabulary is None else vocabulary
    if size < 256:
        raise UsageError(f"vocabulary {size} is too small for the bpe codec: 256 bytes come first, pass 257 or more")
    tokenizer = build_tokenizer([], [])
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=sorted(LETTERS), show_progress=False, special_tokens=[], min_frequency=2
    )
    sample = sampled(texts, SAMPLE)
    if not sample:
        raise DataError("there is no text to learn byte pairs from: give a corpus that holds some")
    tokenizer.train_from_iterator(sample, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    entries = sorted(model["vocab"], key=model["vocab"].__getitem__)
    return PairCodec(entries, [(left, right) for left, right in model["merges"]])


def sampled(texts: Iterable[str], limit: int) -> list[str]:
    """Texts at equal distances in the corpus, together of at most `limit` characters, or the one that is longer."""
    kept: list[str] = []
    size, stride = 0, 1
    for number, text in enumerate(texts):
        if number % stride:
            continue
        kept.append(text)
        size += len(text)
        while size > limit and len(kept) > 1:
            kept, stride = kept[::2], stride * 2
            size = sum(map(len, kept))
    return kept


def from_json(data: dict[str, Any]) -> PairCodec:
    """The inverse of to_json; a stranger's tables are checked before the library sees them."""
    vocabulary = checked_strings(data, "vocabulary", list, PairCodec.kind)
    known = set(vocabulary)
    merges = data.get("merges")
    if not LETTERS.keys() <= known or not all(set(entry) <= LETTERS.keys() for entry in vocabulary):
        raise RunError("codec.json: 'vocabulary' of a bpe codec must be made of all 256 bytes: take the file again")
    if not isinstance(merges, list) or not all(is_merge(merge, known) for merge in merges):
        raise RunError("codec.json: 'merges' of a bpe codec must be pairs from its vocabulary: take the file again")
    return PairCodec(vocabulary, [(left, right) for left, right in merges])


def is_merge(merge: Any, known: set[str]) -> bool:
    """Whether `merge` is two entries whose join is an entry too."""
    if not isinstance(merge, (list, tuple)) or len(merge) != 2 or not all(isinstance(part, str) for part in merge):
        return False
    return merge[0] in known and merge[1] in known and merge[0] + merge[1] in known
