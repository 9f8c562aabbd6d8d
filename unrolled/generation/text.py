"""Streams of text: symbols joined with the codec's decoder, which never gives half a character."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from unrolled.codecs.text import TextCodec
from unrolled.generation.stream import generate
from unrolled.generation.window import rereads


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


def pieces(
    *, model: Any, codec: TextCodec, prompts: Sequence[Sequence[int]], length: int, **settings: Any
) -> Iterator[Piece]:
    """Every symbol of every row as it is drawn; `settings` are those of `stream.generate`."""
    decoders = [codec.stream() for _ in prompts]
    for index, step in enumerate(generate(model, prompts, length=length, **settings), 1):
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


def collect(*, model: Any, codec: TextCodec, prompts: Sequence[Sequence[int]], **settings: Any) -> list[Text]:
    """The finished sample of each prompt; `settings` are those of `stream.generate`."""
    return gather(pieces(model=model, codec=codec, prompts=prompts, **settings), prompts, model.position_limit)
