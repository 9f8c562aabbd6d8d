"""What the tests of this room share."""

from collections.abc import Sequence

import numpy as np
import pytest

from unrolled.data.encoded import Part


@pytest.fixture
def text_part():
    """A part of plain text whose symbols are 0, 1, 2, ..."""
    return lambda symbols: Part(np.arange(symbols), np.array([0, symbols]), np.empty((0, 0), np.int32), False, "train")


@pytest.fixture
def record_part():
    """A part of records with these numbers of symbols, begin and end included; the field of record i is i."""

    def make(lengths: Sequence[int]) -> Part:
        starts = np.cumsum([0, *lengths])
        ids = np.arange(len(lengths), dtype=np.int32)[:, None]
        return Part(np.arange(starts[-1]), starts, ids, True, "train")

    return make
