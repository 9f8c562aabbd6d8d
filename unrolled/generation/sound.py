"""Streams of sound: levels as blocks of samples; free of torch."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from unrolled.codecs.sound import SoundCodec
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


def folded(made: Iterable[Block], count: int, streams: int, overlap: int) -> Iterator[Block]:
    """`count` pieces of so many neighbouring streams each, which overlap by so many samples; all are made first.

    After Ctrl-C the streams fold as far as they were made, where that is two overlaps or more, before KeyboardInterrupt
    goes on.
    """
    nats, length, stopped = np.zeros(count), 0, None
    with Spool(count * streams) as spool:
        try:
            for block in made:
                spool.add(block.samples)
                nats = nats + block.log_likelihood.reshape(count, streams).sum(1)
                length += block.samples.shape[1]
        except KeyboardInterrupt as stop:
            stopped = stop
        if stopped is None or length >= 2 * overlap:
            rows = (range(piece * streams, (piece + 1) * streams) for piece in range(count))
            pieces = [fold(map(spool.stream, numbers), overlap) for numbers in rows]
            for samples in zip(*pieces, strict=True):
                yield Block(np.stack(samples), nats)
                nats = np.zeros(count)
    if stopped is not None:
        raise stopped
