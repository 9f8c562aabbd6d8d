"""Streams of sound: levels as blocks of samples; free of torch."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from unrolled.codecs.sound import SoundCodec
from unrolled.core.errors import UsageError
from unrolled.generation.folding import Spool, fold
from unrolled.generation.text import Step

BLOCK_SECONDS = 0.05


class Block(NamedTuple):
    """The next samples of each row, float32 between -1 and 1, of shape b x time, and their summed log probability."""

    samples: np.ndarray
    log_likelihood: np.ndarray


def blocks(steps: Iterable[Step], codec: SoundCodec) -> Iterator[Block]:
    """Steps gathered into blocks; the first is short, so that the first sound comes soon."""
    size, most = max(1, codec.rate // 200), max(1, int(BLOCK_SECONDS * codec.rate))
    levels: list[list[int]] = []
    nats: list[list[float]] = []
    for step in steps:
        levels.append(step.symbols.tolist())
        nats.append(step.log_probability.tolist())
        if len(levels) == size:
            yield block(levels, nats, codec)
            levels, nats, size = [], [], most
    if levels:
        yield block(levels, nats, codec)


def block(levels: list[list[int]], nats: list[list[float]], codec: SoundCodec) -> Block:
    """The block of some steps."""
    return Block(codec.decode(np.array(levels).T), np.array(nats).sum(0))


class Source:
    """The rows of a batch while they are made: each block is kept until all rows have been read."""

    def __init__(self, made: Iterable[Block], spool: Spool, pieces: int) -> None:
        self.made, self.spool, self.nats = iter(made), spool, np.zeros(pieces)
        self.stopped: KeyboardInterrupt | None = None

    def row(self, number: int) -> Iterator[np.ndarray]:
        """The samples of a row: what has been made of it, and then what is."""
        known = 0
        while known < len(self.spool.places) or self.make():
            first, known = known, len(self.spool.places)
            yield from self.spool.stream(number, first)

    def make(self) -> bool:
        """Have one more block made; false where all are, or after Ctrl-C."""
        try:
            block = next(self.made, None)
        except KeyboardInterrupt as stop:
            block, self.stopped = None, stop
        if block is None:
            return False
        self.spool.add(block.samples)
        self.nats = self.nats + block.log_likelihood.reshape(len(self.nats), -1).sum(1)
        return True

    def log_likelihood(self) -> np.ndarray:
        """Of each piece, what has not been given yet."""
        given, self.nats = self.nats, np.zeros(len(self.nats))
        return given


def folded(made: Iterable[Block], count: int, streams: int, overlap: int) -> Iterator[Block]:
    """`count` pieces of so many neighbouring streams each, which overlap by so many samples.

    The first stream of a piece comes while it is made, and the others, which were made beside it, after it. After
    Ctrl-C they fold as far as they were made, and for as many seams as that allows, before KeyboardInterrupt goes on.
    """
    with Spool(count * streams) as spool:
        source = Source(made, spool, count)
        rows = (range(piece * streams, (piece + 1) * streams) for piece in range(count))
        pieces = [fold(map(source.row, numbers), overlap) for numbers in rows]
        try:
            for samples in zip(*pieces, strict=True):
                yield Block(np.stack(samples), source.log_likelihood())
        except UsageError:
            if source.stopped is None:
                raise
        if source.stopped is not None:
            raise source.stopped
