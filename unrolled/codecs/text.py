"""What every text codec is: a table of the UTF-8 bytes that each symbol stands for, and a rule that finds symbols.

Ordinary symbols are 0..n-1, then come begin, end and, where there is one, unknown. Text is never changed on the way
in: no newline is translated, no letter composed, and a symbol that is not known is refused or counted, never dropped.
"""

import codecs
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, SupportsIndex

import numpy as np

from unrolled.core.errors import DataError, RunError

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
SURROGATE = re.compile("[\ud800-\udfff]")

Unknown = Literal["refuse", "map"]


class StreamDecoder:
    """Symbols to text as they come, never half a character."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.pieces = pieces
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, symbol: SupportsIndex) -> str:
        """The characters that `symbol` completes."""
        return self.decoder.decode(piece(self.pieces, symbol.__index__()))

    def flush(self) -> str:
        """What is left at the end: a replacement character if the last character is not whole."""
        rest = self.decoder.decode(b"", final=True)
        self.decoder.reset()
        return rest


class TextCodec:
    """Text to symbols and back: `decode(encode(text, "map")) == normalise(text)`.

    `size` counts all symbols; `begin`, `end` and `unknown` (None where nothing can be unknown) are outside the
    alphabet. Begin and end decode to nothing, unknown to U+FFFD.
    """

    kind: str

    def __init__(self, pieces: Sequence[bytes], unknown: bool) -> None:
        self.begin = len(pieces)
        self.end = self.begin + 1
        self.unknown = self.begin + 2 if unknown else None
        self.pieces = [*pieces, b"", b"", *([REPLACEMENT.encode()] if unknown else [])]
        self.size = len(self.pieces)

    def encode(self, text: str, unknown: Unknown = "refuse") -> np.ndarray:
        """Symbols of `text` as a flat int32 array, without begin and end.

        Raises: DataError for the first unknown symbol under "refuse"; under "map" it becomes `unknown`, or the bytes
        of U+FFFD where the codec has no such symbol.
        """
        raise NotImplementedError

    def unknown_symbols(self, text: str) -> dict[str, int]:
        """How often each character occurs that this codec cannot encode; for byte codecs these are lone surrogates."""
        return counted(SURROGATE.findall(text))

    def to_json(self) -> dict[str, Any]:
        """What `codec_from_json` needs to build this codec again."""
        raise NotImplementedError

    def normalise(self, text: str) -> str:
        """`text` as it comes back from the symbols: each character that cannot be encoded becomes U+FFFD."""
        return text.translate({ord(character): REPLACEMENT for character in self.unknown_symbols(text)})

    def decode(self, symbols: Iterable[SupportsIndex] | np.ndarray) -> str:
        """Text of any sequence of symbols; what is no character or no symbol becomes U+FFFD."""
        numbers = symbols.tolist() if isinstance(symbols, np.ndarray) else symbols
        return b"".join(piece(self.pieces, symbol.__index__()) for symbol in numbers).decode("utf-8", "replace")

    def stream(self) -> StreamDecoder:
        """A decoder for symbols that come one by one."""
        return StreamDecoder(self.pieces)

    def byte_lengths(self) -> np.ndarray:
        """UTF-8 bytes that each symbol stands for, int32; unknown counts as the three of U+FFFD."""
        return np.array([len(piece) for piece in self.pieces], np.int32)

    def refuse(self, text: str) -> None:
        """Raise the DataError for the first unknown symbol in `text`, if there is one."""
        unknown = self.unknown_symbols(text)
        if not unknown:
            return
        place = min(text.index(character) for character in unknown)
        line = text.count("\n", 0, place) + 1
        more = f" and {len(unknown) - 1} other unknown symbols" if len(unknown) > 1 else ""
        raise DataError(
            f"unknown symbol {text[place]!r} (U+{ord(text[place]):04X}) at character {place + 1}, line {line}{more}: "
            f"it is not among the {self.begin} symbols of this {self.kind} codec; leave it out or train on text with it"
        )


def piece(pieces: Sequence[bytes], symbol: int) -> bytes:
    """The bytes of a symbol, those of U+FFFD for a number that is no symbol."""
    return pieces[symbol] if 0 <= symbol < len(pieces) else REPLACEMENT.encode()


def counted(characters: Iterable[str]) -> dict[str, int]:
    """How often each item occurs, in order of first occurrence."""
    counts: dict[str, int] = {}
    for character in characters:
        counts[character] = counts.get(character, 0) + 1
    return counts


def code_points(text: str) -> np.ndarray:
    """The code point of each character, uint32."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.dtype("<u4"))


def character_counts(texts: Iterable[str]) -> dict[str, int]:
    """How often each character occurs, sorted by code point; lone surrogates, which are no characters, are left out."""
    totals = np.zeros(0x110000, np.int64)
    for text in texts:
        codes = code_points(text)
        if len(codes):
            present = np.bincount(codes)
            totals[: len(present)] += present
    totals[0xD800:0xE000] = 0
    return {chr(code): int(totals[code]) for code in totals.nonzero()[0]}


def checked_strings(data: dict[str, Any], key: str, form: type, kind: str) -> list[str]:
    """The distinct strings under `key` of a codec's JSON, a list or (of single characters) a string as `form` says.

    Raises: RunError if they are anything else.
    """
    value = data.get(key)
    strings = list(value) if isinstance(value, (list, str)) and isinstance(value, form) else [""]
    if not all(isinstance(item, str) and item for item in strings) or len(set(strings)) < len(strings):
        raise RunError(f"codec.json: {key!r} of a {kind} codec must be distinct strings: take its run again")
    if any(SURROGATE.search(item) for item in strings) or (form is str and not strings):
        raise RunError(f"codec.json: {key!r} of a {kind} codec must be characters: take its run again")
    return strings
