"""What characters and lines say about the health of a corpus, counted in one reading of bounded memory."""

import codecs
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from unrolled.data.reading import BLOCK, opened

LONG_LINE = 10_000  # characters
KEPT_LINE = range(20, 500)  # lengths of lines that are compared between documents
MOST_LINES = 300_000  # different lines compared
MOST_HASHES = 2_000_000  # different lines or records looked for again

# UTF-8 read as Windows-1252: each lead byte of a letter, a curly quote or an emoji followed by what it was read with
MOJIBAKE = re.compile("[ÂÃ][\u0080-\u00bf]|â€[\u0080-\u00bf™œž˜šŸ“”…¢¦]|ðŸ[\u0080-\u00bf˜™‘’“”•–—]")

UNFINISHED = "\rÂÃâ€ðŸ"  # what may belong to the next character
ESCAPED = re.compile("[\udc80-\udcff]")  # what Python puts for a byte that is not UTF-8

CLASSES = {
    "control characters": [*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), *range(0x7F, 0xA0)],
    "replacement characters": [0xFFFD],
    "invisible characters": [0xAD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xFEFF],
}
PATTERNS = {kind: re.compile("[" + "".join(map(re.escape, map(chr, codes))) + "]") for kind, codes in CLASSES.items()}
PATTERNS["mojibake"] = MOJIBAKE


@dataclass
class Faults:
    """Bytes of one file that are not UTF-8: how many, and the first."""

    count: int = 0
    offset: int = 0
    byte: int = 0


@dataclass
class Signs:
    """Characters by code point, newlines by kind, and where each suspicious kind of character first stands."""

    totals: np.ndarray = field(default_factory=lambda: np.zeros(0x110000, np.int64))
    newlines: Counter[str] = field(default_factory=Counter)
    mojibake: int = 0
    places: dict[str, str] = field(default_factory=dict)

    def add(self, text: str, source: str, line: int) -> None:
        """Count `text`, which begins on `line` of `source`."""
        if not text:
            return
        present = np.bincount(np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.dtype("<u4")))
        self.totals[: len(present)] += present
        pairs = text.count("\r\n")
        for name, count in (("CRLF", pairs), ("CR", text.count("\r") - pairs), ("LF", text.count("\n") - pairs)):
            self.newlines[name] += count
        if "Ã" in text or "Â" in text or "â€" in text or "ðŸ" in text:
            self.mojibake += len(MOJIBAKE.findall(text))
        for kind in PATTERNS.keys() - self.places.keys():
            found = PATTERNS[kind].search(text) if self.count(kind) else None
            if found:
                sign = text[found.start() : found.end()]
                where = line + text.count("\n", 0, found.start())
                self.places[kind] = f"first {sign!r} in {source}, line {where}"

    def count(self, kind: str) -> int:
        """How many characters of a suspicious kind there are."""
        return self.mojibake if kind == "mojibake" else int(self.totals[CLASSES[kind]].sum())

    @property
    def characters(self) -> int:
        """All characters."""
        return int(self.totals.sum())

    @property
    def symbols(self) -> int:
        """Different characters."""
        return int(np.count_nonzero(self.totals))


@dataclass
class Lines:
    """Lines that recur, within and between documents, and lines that are too long to be lines."""

    count: int = 0
    long: int = 0
    longest: tuple[int, str] = (0, "")
    by_length: Counter[int] = field(default_factory=Counter)
    repeated: Counter[int] = field(default_factory=Counter)
    hashes: set[int] = field(default_factory=set)
    documents: dict[str, list[int]] = field(default_factory=dict)

    def add(self, line: str, document: int, place: str, length: int | None = None) -> None:
        """Count one line; `length` where `line` is only the beginning of a longer one."""
        length = len(line) if length is None else length
        self.count += 1
        self.long += length > LONG_LINE
        if length > self.longest[0]:
            self.longest = length, place
        line = line.strip()
        if not line or length > LONG_LINE:
            return
        self.by_length[len(line)] += 1
        key = hash(line)
        if key in self.hashes:
            self.repeated[len(line)] += 1
        elif len(self.hashes) < MOST_HASHES:
            self.hashes.add(key)
        if len(line) in KEPT_LINE:
            self.compare(line, document)

    def compare(self, line: str, document: int) -> None:
        """Count the documents that hold this line: [documents, the last of them]."""
        entry = self.documents.get(line)
        if entry is None:
            if len(self.documents) < MOST_LINES:
                self.documents[line] = [1, document]
        elif entry[1] != document:
            entry[0] += 1
            entry[1] = document

    def repeated_share(self) -> float:
        """Share of the text that stands in lines which occurred before, without lines that are short in this corpus.

        Names of speakers and refrains recur by nature; in a list of words every line counts.
        """
        mean = sum(length * count for length, count in self.by_length.items()) / max(self.by_length.total(), 1)
        whole = sum(length * count for length, count in self.by_length.items() if length >= mean / 2)
        return sum(length * count for length, count in self.repeated.items() if length >= mean / 2) / max(whole, 1)

    def recurring(self, least: float) -> list[tuple[str, int]]:
        """Lines that stand in at least `least` documents, the most frequent first."""
        found = [(line, count) for line, (count, _) in self.documents.items() if count >= least]
        return sorted(found, key=lambda item: (-item[1], item[0]))


def tolerant(path: Path, compression: str, faults: Faults) -> Iterator[str]:
    """The text of a file, with a lone surrogate for each byte at fault, which is counted in `faults`."""
    with opened(path, compression) as file:
        rest, held, offset, is_last = b"", "", 0, False
        while not is_last:
            chunk = file.read(BLOCK)
            is_last = not chunk
            data = rest + chunk
            try:
                text, used = codecs.utf_8_decode(data, "strict", is_last)
            except UnicodeDecodeError as error:
                if not faults.count:
                    faults.offset, faults.byte = offset + error.start, data[error.start]
                text, used = codecs.utf_8_decode(data, "surrogateescape", is_last)
                faults.count += len(ESCAPED.findall(text))
            text = held + (text if offset else text.removeprefix("\ufeff"))
            rest, offset = data[used:], offset + used
            whole = len(text) if is_last else max(len(text.rstrip(UNFINISHED)), len(text) - 100)
            held = text[whole:]
            yield text[:whole]


def count_text(path: Path, compression: str, number: int, signs: Signs, lines: Lines) -> Faults:
    """Count one file of plain text, the `number`-th of the corpus."""
    faults = Faults()
    start, length, line = "", 0, 1
    for text in tolerant(path, compression, faults):
        signs.add(text, str(path), line)
        *whole, last = text.split("\n")
        for piece in whole:
            lines.add(
                start + piece if length <= LONG_LINE else start, number, f"{path}, line {line}", length + len(piece)
            )
            start, length, line = "", 0, line + 1
        start, length = (start + last)[: LONG_LINE + 1], length + len(last)
    if length:
        lines.add(start, number, f"{path}, line {line}", length)
    return faults
