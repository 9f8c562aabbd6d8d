"""Characters (Unicode code points) as symbols, sorted by code point."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from unrolled.codecs.text import TextCodec, Unknown, character_counts, checked_strings, code_points
from unrolled.core.errors import DataError


class CharacterCodec(TextCodec):
    """One symbol per character of `alphabet`, and one for every other character."""

    kind = "characters"

    def __init__(self, alphabet: str) -> None:
        self.alphabet = "".join(sorted(alphabet))
        super().__init__([character.encode() for character in self.alphabet], unknown=True)
        codes = code_points(self.alphabet)
        self.table = np.full(int(codes[-1]) + 2, self.unknown, np.int32)  # the last entry stands for all that is above
        self.table[codes] = np.arange(len(codes), dtype=np.int32)

    def encode(self, text: str, unknown: Unknown = "refuse") -> np.ndarray:
        """See TextCodec.encode."""
        symbols = self.table[np.minimum(code_points(text), len(self.table) - 1)]
        if unknown == "refuse" and (symbols == self.unknown).any():
            self.refuse(text)
        return symbols

    def unknown_symbols(self, text: str) -> dict[str, int]:
        """See TextCodec.unknown_symbols."""
        codes = code_points(text)
        missing = codes[self.table[np.minimum(codes, len(self.table) - 1)] == self.unknown]
        found, counts = np.unique(missing, return_counts=True)
        return {chr(code): count for code, count in zip(found.tolist(), counts.tolist(), strict=True)}

    def to_json(self) -> dict[str, Any]:
        """See TextCodec.to_json."""
        return {"kind": self.kind, "alphabet": self.alphabet}


def make(texts: Iterable[str], vocabulary: int | None) -> CharacterCodec:
    """All characters of `texts`, or the `vocabulary` most frequent."""
    counts = character_counts(texts)
    if not counts:
        raise DataError("there is no text to take characters from: give a corpus that holds some")
    frequent = sorted(counts, key=lambda character: (-counts[character], character))
    return CharacterCodec("".join(frequent[:vocabulary]))


def from_json(data: dict[str, Any]) -> CharacterCodec:
    """The inverse of to_json."""
    return CharacterCodec("".join(checked_strings(data, "alphabet", str, CharacterCodec.kind)))
