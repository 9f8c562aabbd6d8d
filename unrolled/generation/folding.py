"""Folding: streams that are generated side by side become one long piece, each fading into the next."""

import tempfile
from collections.abc import Generator, Iterable, Iterator
from itertools import chain

import numpy as np

from unrolled.core.errors import UsageError

PIECE = 1 << 16  # samples of a stream that are read back together


def length_of_each(samples: int, streams: int, overlap: int) -> int:
    """How long each stream must be so that `streams` of them fold into `samples` or a few more.

    Raises: UsageError where streams of that length would be shorter than both their overlaps.
    """
    each = -(-(samples + (streams - 1) * overlap) // streams)
    if streams > 1 and each < 2 * overlap:
        raise UsageError(
            f"{streams} streams of {each:,} samples are shorter than two overlaps of {overlap:,}: "
            f"pass fewer streams or a shorter overlap"
        )
    return each


def fold(streams: Iterable[Iterable[np.ndarray]], overlap: int) -> Iterator[np.ndarray]:
    """One piece of all streams, each given as blocks; the last `overlap` samples of one fade into the next one's first.

    The piece has as many samples as all streams less `overlap` for each seam. No more than a block and two overlaps are
    held at once.
    Raises: UsageError for a stream that is shorter than its overlaps.
    """
    if overlap < 0:
        raise UsageError(f"an overlap of {overlap} samples: pass 0 or more")
    end = np.empty(0, np.float32)  # of the streams so far, not given yet
    for number, stream in enumerate(streams, 1):
        blocks = iter(stream)
        waiting = np.empty(0, np.float32)
        if number > 1:
            begin, waiting = first_samples(blocks, overlap)
            if min(len(end), len(begin)) < overlap:
                raise too_short(number - (len(end) < overlap), overlap)
            if overlap:
                yield cross_fade(end, begin)
        end = yield from all_but_last(waiting, blocks, overlap)
    if len(end):
        yield end


def all_but_last(
    waiting: np.ndarray, blocks: Iterator[np.ndarray], count: int
) -> Generator[np.ndarray, None, np.ndarray]:
    """The samples that wait and those of the blocks, but for the last `count`, which are returned."""
    for block in chain((waiting[:0],), blocks):
        waiting = np.concatenate((waiting, block))
        given = len(waiting) - count
        if given > 0:
            yield waiting[:given]
            waiting = waiting[given:]
    return waiting


def too_short(number: int, overlap: int) -> UsageError:
    """The error for a stream that is used up before its seam is."""
    return UsageError(f"stream {number} is shorter than its overlaps of {overlap:,} samples: pass a shorter overlap")


def first_samples(blocks: Iterator[np.ndarray], count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `count` samples, fewer where there are no more, and what else the blocks read for them hold."""
    samples = np.empty(0, np.float32)
    while len(samples) < count:
        block = next(blocks, None)
        if block is None:
            break
        samples = np.concatenate((samples, block))
    return samples[:count], samples[count:]


def cross_fade(end: np.ndarray, begin: np.ndarray) -> np.ndarray:
    """Two stretches of equal length, the first fading out while the second fades in, float32.

    The gains are 1 - p and p, divided by the root of (1 - p)^2 + p^2 + 2 r p (1 - p), where p runs from 0 to 1 and r is
    the correlation of the two, 0 at least. So the expected power is constant: for r = 0 the squares of the gains sum to
    one (equal power), and streams that agree, r = 1, come out as they are (equal gain).
    """
    first, second = end.astype(np.float64), begin.astype(np.float64)
    energies = float(first @ first), float(second @ second)
    alike = 1.0 if min(energies) == 0 else float(first @ second) / np.sqrt(energies[0] * energies[1])
    r = min(1.0, max(0.0, float(alike)))
    p = (np.arange(len(end)) + 0.5) / max(1, len(end))
    size = np.sqrt((1 - p) ** 2 + p**2 + 2 * r * p * (1 - p))
    return (((1 - p) * first + p * second) / size).astype(np.float32)


class Spool:
    """Keeps the streams of a batch on disk while they are generated, so that they can be read one after another."""

    def __init__(self, streams: int) -> None:
        self.streams = streams
        self.file = tempfile.TemporaryFile()  # noqa: SIM115 (closed by __exit__)
        self.places: list[tuple[int, int]] = []  # where a block of all streams begins, and its samples

    def add(self, block: np.ndarray) -> None:
        """Take the next samples of each stream, [streams, samples].

        Raises: UsageError for another number of streams.
        """
        if block.ndim != 2 or len(block) != self.streams:
            raise UsageError(f"a block of shape {block.shape} for {self.streams} streams: pass one row for each")
        self.places.append((self.file.seek(0, 2), block.shape[1]))
        self.file.write(np.ascontiguousarray(block, np.float32).tobytes())

    def stream(self, number: int, first: int = 0) -> Iterator[np.ndarray]:
        """The samples of one stream from the block of number `first` on, in blocks."""
        parts: list[np.ndarray] = []
        held = 0
        for place, length in self.places[first:]:
            self.file.seek(place + 4 * length * number)
            parts.append(np.frombuffer(self.file.read(4 * length), np.float32))
            held += length
            if held >= PIECE:
                yield np.concatenate(parts)
                parts, held = [], 0
        if held:
            yield np.concatenate(parts)

    def all(self) -> Iterator[Iterator[np.ndarray]]:
        """The streams one after another, as `fold` reads them."""
        return (self.stream(number) for number in range(self.streams))

    def close(self) -> None:
        """Give the space on disk back."""
        self.file.close()

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
