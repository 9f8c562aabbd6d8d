"""How much of a text is only training text again: the longest verbatim span with its place, and the share of n-grams.

All texts are compared in one reading of the training text, which is never held as a whole. Positions whose n-gram
occurs in a text are found by a rolling 64-bit hash and compared character by character; a span of n characters or more
can only lie where they follow one another. So nothing is reported that is not there, and the chance that equal hashes
of two n-grams hide one of them is below 1e-9 for a thousand texts of a page.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from unrolled.data.corpus import Document

CHARACTERS = 8  # default n: longer than most words, so that common words alone do not count as copied
CHUNK = 1 << 21  # characters that are looked at together
BASE = np.uint64(0x9E3779B97F4A7C15)  # of the rolling hash
SEPARATOR = 0x110000  # between records; no character


Passages = Callable[[], Iterable[Document]]


class Place(NamedTuple):
    """Where a span begins: characters into the source, or into the record on line `record` of it; both from 0 and 1."""

    source: str
    record: int | None
    character: int


class Novelty(NamedTuple):
    """What of a text is training text.

    `span`: the longest one (the first in the training text among equals), which begins at `start` of the text and at
    `place` of the training text. `seen`: share of the text's `n`-grams that the training text holds, 0 to 1; a text
    of fewer than n characters counts as one n-gram.
    """

    span: str
    start: int
    place: Place | None
    seen: float
    n: int

    @property
    def score(self) -> float:
        """Share of n-grams that the training text does not hold: 1 is all new."""
        return 1.0 - self.seen


class Chunk(NamedTuple):
    """A stretch of training text as code points; part i of it begins at `starts[i]` and stems from `origins[i]`."""

    codes: np.ndarray
    starts: list[int]
    origins: list[tuple[str, int]]

    def place(self, position: int, records: bool) -> Place:
        """The place of the character at `position`."""
        part = int(np.searchsorted(self.starts, position, side="right")) - 1
        source, number = self.origins[part]
        within = position - self.starts[part]
        return Place(source, number, within) if records else Place(source, None, number + within)


class Finding:
    """The best span of one text so far."""

    def __init__(self, text: str) -> None:
        self.text, self.span, self.place = text, "", None

    def look(self, chunk: Chunk, first: int, last: int, records: bool) -> None:
        """Take the longest span between two positions of a chunk, if it is longer than what is known."""
        stretch = decoded(chunk.codes[first:last])
        for start in range(len(stretch)):
            while start + len(self.span) < len(stretch) and stretch[start : start + len(self.span) + 1] in self.text:
                self.span = stretch[start : start + len(self.span) + 1]
                self.place = chunk.place(first + start, records)
            if start + len(self.span) >= len(stretch):
                return


def novelty(
    texts: Sequence[str], passages: Passages, *, records: bool, n: int = CHARACTERS, chunk: int = CHUNK
) -> list[Novelty]:
    """What of each text is training text, which `passages()` gives; called again for texts without any n-gram of it.

    `records`: passages are records, which spans never cross, and not blocks of one long text. `chunk`: see CHUNK.
    """
    findings, shares = [Finding(text) for text in texts], np.zeros(len(texts))
    for size in range(n, 0, -1):
        # a text shorter than n is one gram of its own length
        rows = [row for row, text in enumerate(texts) if text and not findings[row].span and len(text) >= size]
        if not rows:
            continue
        grams = Grams([texts[row] for row in rows], size)
        for piece in chunks(passages(), records, max(len(texts[row]) for row in rows), chunk):
            grams.search(piece, [findings[row] for row in rows], records)
            if size < n and all(findings[row].span for row in rows):
                break
        for row, share in zip(rows, grams.shares(), strict=True):
            if size == min(n, len(texts[row])):
                shares[row] = share
    return [
        Novelty(finding.span, max(finding.text.find(finding.span), 0), finding.place, float(share), n)
        for finding, share in zip(findings, shares, strict=True)
    ]


class Grams:
    """The n-grams of several texts, and which of them the training text holds."""

    def __init__(self, texts: Sequence[str], n: int) -> None:
        self.n = n
        codes = [encoded(text) for text in texts]
        windows = [np.lib.stride_tricks.sliding_window_view(code, n) for code in codes]
        hashes = [rolling_hash(code, n) for code in codes]
        self.hashes, first = np.unique(np.concatenate(hashes), return_index=True)
        self.grams = np.concatenate(windows)[first]
        self.numbers = [np.searchsorted(self.hashes, hashed) for hashed in hashes]
        self.member = np.zeros((len(texts), len(self.hashes)), np.bool_)
        for row, numbers in zip(self.member, self.numbers, strict=True):
            row[numbers] = True
        self.seen = np.zeros(len(self.hashes), np.bool_)
        self.table = np.zeros(1 << 16, np.bool_)  # of the hashes' first 16 bits, to pass over most positions at once
        self.table[self.hashes >> np.uint64(48)] = True

    def shares(self) -> list[float]:
        """The share of each text's n-grams that has been seen."""
        return [float(self.seen[numbers].mean()) for numbers in self.numbers]

    def search(self, chunk: Chunk, findings: Sequence[Finding], records: bool) -> None:
        """Mark the n-grams that a chunk holds and improve the findings by it."""
        positions, numbers = self.matches(chunk.codes)
        self.seen[numbers] = True
        for member, finding in zip(self.member, findings, strict=True):
            mine = positions[member[numbers]]
            edges = np.flatnonzero(np.diff(mine) != 1) + 1
            first = mine[np.concatenate([[0], edges]).astype(np.intp)] if len(mine) else mine
            last = mine[np.concatenate([edges, [len(mine)]]).astype(np.intp) - 1] + self.n if len(mine) else mine
            long = last - first > len(finding.span)
            for start, end in zip(first[long].tolist(), last[long].tolist(), strict=True):
                if end - start > len(finding.span):
                    finding.look(chunk, start, end, records)

    def matches(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The positions at which an n-gram of the texts begins, ascending, and the number of that n-gram."""
        hashed = rolling_hash(codes, self.n)
        positions = np.flatnonzero(self.table[hashed >> np.uint64(48)])
        hashed = hashed[positions]
        numbers = np.minimum(np.searchsorted(self.hashes, hashed), len(self.hashes) - 1)
        equal = self.hashes[numbers] == hashed
        positions, numbers = positions[equal], numbers[equal]
        equal = np.ones(len(positions), np.bool_)
        for offset in range(self.n):
            equal &= codes[positions + offset] == self.grams[numbers, offset]
        return positions[equal], numbers[equal]


def chunks(passages: Iterable[Document], records: bool, overlap: int, size: int) -> Iterator[Chunk]:
    """The training text in stretches of about `size` characters; those of one long text overlap by `overlap`."""
    codes: list[np.ndarray] = []
    starts: list[int] = []
    origins: list[tuple[str, int]] = []
    length = fresh = 0
    for passage in passages:
        starts.append(length)
        origins.append((passage.source, passage.number))
        codes += [encoded(passage.text), np.array([SEPARATOR] * records, np.uint32)]
        length, fresh = length + len(codes[-2]) + records, fresh + len(codes[-2])
        if fresh >= size:
            whole = Chunk(np.concatenate(codes), starts, origins)
            yield whole
            codes, starts, origins = ([], [], []) if records else tail(whole, overlap)
            length, fresh = sum(map(len, codes)), 0
    if fresh:
        yield Chunk(np.concatenate(codes), starts, origins)


def tail(chunk: Chunk, length: int) -> tuple[list[np.ndarray], list[int], list[tuple[str, int]]]:
    """The last `length` characters of a chunk of one long text, for the next chunk to begin with."""
    cut = max(len(chunk.codes) - length, 0)
    part = int(np.searchsorted(chunk.starts, cut, side="right")) - 1
    source, number = chunk.origins[part]
    starts = [0, *(start - cut for start in chunk.starts[part + 1 :])]
    return [chunk.codes[cut:]], starts, [(source, number + cut - chunk.starts[part]), *chunk.origins[part + 1 :]]


def rolling_hash(codes: np.ndarray, n: int) -> np.ndarray:
    """A 64-bit hash of the `n` codes from each position on."""
    count = max(len(codes) - n + 1, 0)
    hashed = codes[:count].astype(np.uint64)
    for offset in range(1, n):
        hashed *= BASE
        hashed += codes[offset : offset + count]
    return hashed * BASE


def encoded(text: str) -> np.ndarray:
    """The code point of each character."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.dtype("<u4"))


def decoded(codes: np.ndarray) -> str:
    """The characters of code points."""
    return codes.tobytes().decode("utf-32-le", "surrogatepass")
