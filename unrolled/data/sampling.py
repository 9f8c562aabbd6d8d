"""Batches of a part for training. A batch is a pure function of the step number, so a sampler's state is the step."""

import copy
from typing import NamedTuple, TypeVar

import numpy as np
import torch

from unrolled.core.contracts import Batch
from unrolled.core.draws import Draws, derived_seed
from unrolled.core.errors import DataError, UsageError
from unrolled.data.encoded import Part

OFFSET, ORDER, START = 1, 2, 3  # the purposes of draws
STEPS_DRAWN = 64


class Spans(NamedTuple):
    """One stretch of symbols per row: the position of the first input, the number of predictions, and whose it is."""

    begin: np.ndarray
    count: np.ndarray
    restart: np.ndarray
    record: np.ndarray


class Pieces:
    """Records cut into pieces of at most `length` predictions, numbered through in the given order of records."""

    def __init__(self, part: Part, length: int, order: np.ndarray | None = None) -> None:
        self.starts, self.length, self.order = part.starts, length, order
        self.predictions = np.diff(part.starts) - 1
        counts = -(-self.predictions // length)
        self.ends = np.cumsum(counts if order is None else counts[order])
        self.total = int(self.ends[-1])

    def locate(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The record of each piece and which of its pieces it is, from 0."""
        place = np.searchsorted(self.ends, numbers, side="right")
        piece = numbers - np.where(place > 0, self.ends[place - 1], 0)
        return (place if self.order is None else self.order[place]), piece

    def spans(self, numbers: np.ndarray) -> Spans:
        """Where the pieces lie; the first piece of a record restarts."""
        record, piece = self.locate(numbers)
        count = np.minimum(self.predictions[record] - piece * self.length, self.length)
        return Spans(self.starts[record] + piece * self.length, count, piece == 0, record)


class Streams:
    """Rows that each read on where their last chunk ended, for training with carried state.

    Plain text: rows begin equally far apart on the text as a ring, turned by a random offset in each epoch; the one
    prediction from the last symbol to the first does not count. Records: pieces of records, in a new order in each
    epoch, are laid end to end and dealt out to the rows as equal stretches; a row restarts with each record. Every
    symbol is predicted at least once in an epoch. Rows are as wide as the longest in the batch, `length` at most.
    """

    def __init__(self, part: Part, rows: int, length: int, seed: int) -> None:
        require(part, rows, length)
        self.part, self.rows, self.length, self.seed = part, rows, length, seed
        self.selected = np.arange(rows)
        self.ordered: tuple[int, Pieces] | None = None  # the order of the latest epoch, kept because it takes time
        units = Pieces(part, length).total if part.is_records else -(-len(part.symbols) // length)
        self.steps_per_epoch = -(-units // rows)

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted through all epochs."""
        epoch, chunk = divmod(step, self.steps_per_epoch)
        if not self.part.is_records:
            spans = self.text_spans(epoch, chunk)
            return gather(self.part, spans, self.selected, len(self.part.symbols))
        pieces = self.pieces(epoch)
        first = np.arange(self.rows) * pieces.total // self.rows
        spans = pieces.spans((first + chunk) % pieces.total)
        return gather(self.part, spans._replace(restart=spans.restart | (chunk == 0)), self.selected)

    def text_spans(self, epoch: int, chunk: int) -> Spans:
        """The chunks of a step on the ring of plain text."""
        symbols, rows = len(self.part.symbols), self.rows
        offset = int(Draws(derived_seed(self.seed, OFFSET), 0, epoch).uniform() * symbols)
        begin = (offset + np.arange(rows) * symbols // rows + chunk * self.length) % symbols
        return Spans(begin, np.full(rows, self.length), np.full(rows, chunk == 0), np.zeros(rows, np.int64))

    def pieces(self, epoch: int) -> Pieces:
        """The pieces of all records in the order of an epoch."""
        if self.ordered is None or self.ordered[0] != epoch:
            order = permutation(len(self.part.starts) - 1, self.seed, epoch)
            self.ordered = epoch, Pieces(self.part, self.length, order)
        return self.ordered[1]

    def shard(self, rank: int, world: int) -> "Streams":
        """The same batches with only the rows rank, rank + world, ..."""
        return sharded(self, rank, world)


class Windows:
    """Windows that all start anew, for training without carried state.

    Plain text: starts are uniform, with replacement. Records: an epoch holds, in random order, as many windows of each
    record as its symbols fill; the first is at the record's start, the others, of records longer than the window, are
    cropped at random.
    """

    def __init__(self, part: Part, rows: int, length: int, seed: int) -> None:
        require(part, rows, length)
        self.part, self.rows, self.length, self.seed = part, rows, length, seed
        self.selected = np.arange(rows)
        self.ordered: tuple[int, np.ndarray] | None = None
        self.drawn: tuple[int, np.ndarray] | None = None  # of the latest steps, because drawing many costs no more
        self.pieces = Pieces(part, length) if part.is_records else None
        units = self.pieces.total if self.pieces else -(-len(part.symbols) // length)
        self.steps_per_epoch = -(-units // rows)

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted through all epochs."""
        uniform = self.uniform(step)
        if self.pieces is None:
            begin = (uniform * (len(self.part.symbols) - self.length)).astype(np.int64)
            return gather(self.part, windows_at(begin, self.length), self.selected)
        epoch, chunk = divmod(step, self.steps_per_epoch)
        order = self.order(epoch)
        record, piece = self.pieces.locate(order[(chunk * self.rows + np.arange(self.rows)) % len(order)])
        spare = np.maximum(self.pieces.predictions[record] - self.length, 0)
        crop = np.where(piece > 0, (uniform * (spare + 1)).astype(np.int64), 0)
        count = np.minimum(self.pieces.predictions[record], self.length)
        spans = Spans(self.part.starts[record] + crop, count, np.ones(self.rows, bool), record)
        return gather(self.part, spans, self.selected)

    def uniform(self, step: int) -> np.ndarray:
        """The draws of a step, one per row."""
        block, index = divmod(step, STEPS_DRAWN)
        if self.drawn is None or self.drawn[0] != block:
            steps = np.arange(block * STEPS_DRAWN, (block + 1) * STEPS_DRAWN)
            self.drawn = block, draw(self.seed, START, np.arange(self.rows), steps[:, None])
        return self.drawn[1][index]

    def order(self, epoch: int) -> np.ndarray:
        """The order of all windows of records in an epoch."""
        assert self.pieces is not None
        if self.ordered is None or self.ordered[0] != epoch:
            self.ordered = epoch, permutation(self.pieces.total, self.seed, epoch)
        return self.ordered[1]

    def shard(self, rank: int, world: int) -> "Windows":
        """The same batches with only the rows rank, rank + world, ..."""
        return sharded(self, rank, world)


Sampler = TypeVar("Sampler", Streams, Windows)


def require(part: Part, rows: int, length: int) -> None:
    """Refuse sizes that make no batch of this part."""
    if rows < 1 or length < 1:
        raise UsageError(f"{rows} rows of {length} symbols make no batch: pass at least 1 of each")
    symbols = len(part.symbols)
    if symbols < 2:
        raise DataError(f"{symbols} symbols in the {part.name} part are too few: add text or change the split")
    if not part.is_records and symbols <= length:
        raise DataError(
            f"window {length} > corpus {symbols} symbols ({part.name} part): pass --length <{symbols} or add text"
        )


def windows_at(begin: np.ndarray, length: int) -> Spans:
    """Full windows of plain text that all restart."""
    rows = len(begin)
    return Spans(begin, np.full(rows, length), np.ones(rows, bool), np.zeros(rows, np.int64))


def gather(part: Part, spans: Spans, selected: np.ndarray, ring: int = 0) -> Batch:
    """The batch of the `selected` rows of `spans`, all rows as wide as the longest; `ring` > 0 wraps there."""
    width = int(spans.count.max())
    begin, count, restart, record = (values[selected] for values in spans)
    offsets = np.arange(width + 1)
    positions = begin[:, None] + np.minimum(offsets, count[:, None])  # padding repeats the last target
    mask = offsets[:-1] < count[:, None]
    if ring:
        positions %= ring
        mask &= positions[:, 1:] != 0
    symbols = np.asarray(part.symbols)[positions].astype(np.int64)
    fields = part.fields[record] if part.fields.shape[1] else np.empty((len(record), 0))
    return Batch(
        torch.from_numpy(symbols[:, :-1].copy()),
        torch.from_numpy(symbols[:, 1:].copy()),
        torch.from_numpy(mask),
        torch.from_numpy(np.asarray(restart, bool)),
        torch.from_numpy(np.asarray(fields).astype(np.int64)),
    )


def draw(seed: int, purpose: int, stream: np.ndarray, position: np.ndarray) -> np.ndarray:
    """A uniform number in [0, 1) per stream and position, which broadcast."""
    return Draws(derived_seed(seed, purpose), *np.broadcast_arrays(stream, position)).uniform()


def permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    """A random order of range(count) that depends on nothing but its arguments."""
    keys = np.empty(count)
    for start in range(0, count, 1 << 16):  # pieces, because the generator needs many times their memory
        rows = np.arange(start, min(start + (1 << 16), count))
        keys[rows] = Draws(derived_seed(seed, ORDER, epoch), 0, rows).uniform()
    return np.argsort(keys, kind="stable")


def sharded(sampler: Sampler, rank: int, world: int) -> Sampler:
    """A copy of `sampler` that gives every `world`-th row from `rank` on."""
    if not 0 <= rank < world or sampler.rows % world:
        raise UsageError(f"{sampler.rows} rows do not divide among {world} processes: choose a multiple of {world}")
    part = copy.copy(sampler)
    part.selected = sampler.selected[rank::world]
    return part
