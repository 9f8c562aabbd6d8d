"""Streams of sound: levels as blocks of samples; free of torch."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from unrolled.codecs.sound import SoundCodec
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
