"""The three ways to read a part for evaluation; say which one whenever a loss is shown.

Losses of different ways, windows or splits do not compare: see the names `evaluation_windows`, `random_windows` and
`carried`.
"""

from collections.abc import Iterator

import numpy as np

from unrolled.core.contracts import Batch
from unrolled.core.errors import UsageError
from unrolled.data.encoded import Part
from unrolled.data.sampling import START, Pieces, Spans, draw, gather, require, windows_at


def evaluation_windows(part: Part, length: int, rows: int = 32) -> Iterator[Batch]:
    """All windows of `length` predictions side by side, each started anew, `rows` to a batch.

    What is left at the end of plain text is not read; every prediction of every record is.
    """
    require(part, rows, length)
    if part.is_records:
        pieces = Pieces(part, length)
        spans = pieces.spans(np.arange(pieces.total))
    else:
        spans = windows_at(np.arange((len(part.symbols) - 1) // length) * length, length)
    return in_batches(part, spans._replace(restart=np.ones(len(spans.begin), bool)), rows)


def random_windows(part: Part, length: int, count: int, seed: int, rows: int = 12) -> Iterator[Batch]:
    """`count` windows, each started anew, drawn with replacement: nanoGPT's estimate at 240 windows of 64.

    Plain text: starts uniform in [0, n - length). Records: uniform among the windows of `evaluation_windows`.
    """
    require(part, rows, length)
    if count < 1:
        raise UsageError(f"{count} windows estimate nothing: pass at least 1")
    uniform = draw(seed, START, np.arange(count), np.zeros(1, np.int64))
    if part.is_records:
        pieces = Pieces(part, length)
        spans = pieces.spans((uniform * pieces.total).astype(np.int64))
    else:
        spans = windows_at((uniform * (len(part.symbols) - length)).astype(np.int64), length)
    return in_batches(part, spans._replace(restart=np.ones(count, bool)), rows)


def carried(part: Part, length: int) -> Iterator[Batch]:
    """One row through the whole part, `length` predictions at a time, restarted only at the start of each record."""
    require(part, 1, 1)
    if length < 1:
        raise UsageError(f"chunks of {length} symbols read nothing: pass at least 1")
    if part.is_records:
        pieces = Pieces(part, length)
        return in_batches(part, pieces.spans(np.arange(pieces.total)), 1)
    predictions = len(part.symbols) - 1
    begin = np.arange(0, predictions, length)
    count = np.minimum(predictions - begin, length)
    return in_batches(part, Spans(begin, count, begin == 0, np.zeros(len(begin), np.int64)), 1)


def in_batches(part: Part, spans: Spans, rows: int) -> Iterator[Batch]:
    """The spans in order, `rows` at a time."""
    for start in range(0, len(spans.begin), rows):
        few = Spans(*(values[start : start + rows] for values in spans))
        yield gather(part, few, np.arange(len(few.begin)))
