"""Words as symbols.

Rule: a word is a run of letters and digits, with inner apostrophes, together with the one space before it; every
other character is a symbol of its own. A word outside the vocabulary is spelled: its space and each of its letters are
symbols. So symbols join to exactly the text they came from, and only a character never seen in training is unknown.
"""

import re
from collections import Counter
from collections.abc import Iterable
from itertools import chain
from typing import Any

import numpy as np

from unrolled.codecs.text import SURROGATE, TextCodec, Unknown, checked_strings, counted
from unrolled.core.errors import DataError, RunError, UsageError

DEFAULT_VOCABULARY = 8192
TOKEN = re.compile(r" ?[^\W_]+(?:['’][^\W_]+)*|[\s\S]")
PRUNE_ABOVE = 2_000_000  # different words kept while counting: about 200 MB


class WordCodec(TextCodec):
    """The characters of `alphabet`, then `words`, each with the space before it where it has one."""

    kind = "words"

    def __init__(self, alphabet: list[str], words: list[str]) -> None:
        self.alphabet, self.words = sorted(alphabet), words
        super().__init__([entry.encode() for entry in (*self.alphabet, *words)], unknown=True)
        self.table = {entry: (symbol,) for symbol, entry in enumerate((*self.alphabet, *words))}

    def encode(self, text: str, unknown: Unknown = "refuse") -> np.ndarray:
        """See TextCodec.encode."""
        table = self.table
        found = [table.get(token) or self.spelled(token) for token in TOKEN.findall(text)]
        symbols = np.fromiter(chain.from_iterable(found), np.int32)
        if unknown == "refuse" and (symbols == self.unknown).any():
            self.refuse(text)
        return symbols

    def spelled(self, token: str) -> tuple[int | None, ...]:
        """The symbols of a token that is not in the table: its space and then the word if that is known, or letters."""
        space, word = token[: token.startswith(" ")], token[token.startswith(" ") :]
        parts = (space, word) if space and word in self.table else token
        return tuple(self.table.get(part, (self.unknown,))[0] for part in parts)

    def unknown_symbols(self, text: str) -> dict[str, int]:
        """See TextCodec.unknown_symbols."""
        missing = set(text) - self.table.keys()
        return counted(character for character in text if character in missing) if missing else {}

    def to_json(self) -> dict[str, Any]:
        """See TextCodec.to_json."""
        return {"kind": self.kind, "alphabet": "".join(self.alphabet), "words": self.words}


def make(texts: Iterable[str], vocabulary: int | None) -> WordCodec:
    """The characters of `texts` and their most frequent words, up to `vocabulary` symbols (8,192 if None).

    A word that occurs only once is spelled, so that the letters are learned too.
    """
    counts: Counter[str] = Counter()
    alphabet: set[str] = set()
    floor = 1
    for text in texts:
        alphabet.update(text)
        counts.update(TOKEN.findall(text))
        while len(counts) > PRUNE_ABOVE:
            counts = Counter({word: count for word, count in counts.items() if count > floor})
            floor += 1
    alphabet = {character for character in alphabet if not SURROGATE.match(character)}
    size = DEFAULT_VOCABULARY if vocabulary is None else vocabulary
    if not alphabet:
        raise DataError("there is no text to take words from: give a corpus that holds some")
    if size < len(alphabet):
        raise UsageError(f"vocabulary {size} is too small: the text alone has {len(alphabet)} characters, pass more")
    words = [word for word, count in counts.items() if count > 1 and len(word) > 1 and alphabet.issuperset(word)]
    words.sort(key=lambda word: (-counts[word], word))
    return WordCodec(sorted(alphabet), words[: size - len(alphabet)])


def from_json(data: dict[str, Any]) -> WordCodec:
    """The inverse of to_json."""
    alphabet = checked_strings(data, "alphabet", str, WordCodec.kind)
    words = checked_strings(data, "words", list, WordCodec.kind)
    if not all(len(word) > 1 and TOKEN.fullmatch(word) and set(word) <= set(alphabet) for word in words):
        raise RunError("codec.json: 'words' of a words codec must be words of its alphabet: take the file again")
    return WordCodec(alphabet, words)
