"""Streams of text: symbols joined with the codec's decoder, which never gives half a character; free of torch."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from unrolled.codecs.text import TextCodec
from unrolled.generation.window import rereads


class Step(NamedTuple):
    """One more symbol of each row that has not ended; the others hold the end symbol and a log probability of 0.

    All are tensors or numpy arrays of shape b. `log_probability`: nats, under the model's own distribution (before any
    rule), so that samples can be ranked. `drawn`: rows that drew a symbol in this step. `done`: rows that have ended,
    in this step or before.
    """

    symbols: Any
    log_probability: Any
    drawn: Any
    done: Any


class Piece(NamedTuple):
    """One symbol that row `row` drew, and the text that it completes (the last piece of a row holds all that is left).

    `log_probability`: nats under the model's own distribution. `ended`: the row ends with this symbol.
    """

    row: int
    text: str
    symbol: int
    log_probability: float
    ended: bool


@dataclass(frozen=True)
class Text:
    """One finished sample without its prompt.

    `symbols` hold the end symbol where the sample `ended`, and `log_likelihood` (nats) counts it. `rereads`: how often
    a table of positions ended and the last half of the window was read again.
    """

    symbols: tuple[int, ...]
    text: str
    log_likelihood: float
    ended: bool
    rereads: int = 0

    @property
    def likelihood(self) -> float:
        """Nats per symbol, 0 at most; 0 where nothing was drawn."""
        return self.log_likelihood / max(len(self.symbols), 1)


def pieces(steps: Iterable[Step], codec: TextCodec, rows: int, length: int) -> Iterator[Piece]:
    """Every symbol of each of `rows` rows as it is drawn, in at most `length` steps."""
    decoders = [codec.stream() for _ in range(rows)]
    for index, step in enumerate(steps, 1):
        columns = (step.symbols.tolist(), step.log_probability.tolist(), step.drawn.tolist(), step.done.tolist())
        for row, (symbol, nats, drawn, done) in enumerate(zip(*columns, strict=True)):
            if drawn:
                text = decoders[row].feed(symbol)
                text += decoders[row].flush() if done or index == length else ""
                yield Piece(row, text, symbol, nats, done)


def gather(drawn: Iterable[Piece], prompts: Sequence[Sequence[int]], limit: int | None = None) -> list[Text]:
    """The finished sample of each row; `limit` is the model's position limit."""
    rows: list[list[Piece]] = [[] for _ in prompts]
    for piece in drawn:
        rows[piece.row].append(piece)
    return [
        Text(
            symbols=tuple(piece.symbol for piece in row),
            text="".join(piece.text for piece in row),
            log_likelihood=math.fsum(piece.log_probability for piece in row),
            ended=bool(row) and row[-1].ended,
            rereads=rereads(max(len(prompt), 1) + len(row), limit),
        )
        for row, prompt in zip(rows, prompts, strict=True)
    ]


def collect(
    steps: Iterable[Step], codec: TextCodec, prompts: Sequence[Sequence[int]], length: int, limit: int | None = None
) -> list[Text]:
    """The finished sample of each prompt, from at most `length` steps; `limit` is the model's position limit."""
    return gather(pieces(steps, codec, len(prompts), length), prompts, limit)
