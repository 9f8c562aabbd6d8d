"""Reading what is there already: prompts of any length, and the last half of a full window again."""

from collections.abc import Sequence
from typing import Any

import torch

from unrolled.core.protocol import Context
from unrolled.core.shapes import Int, Tensor
from unrolled.core.state import State
from unrolled.generation.window import window_start


def select(context: Context | None, rows: Int[Tensor, " n"]) -> Context | None:
    """The rows of a context."""
    return context and Context(*(part if part is None else part.index_select(0, rows) for part in context))


def read_windows(model: Any, rows: Sequence[Sequence[int]], context: Context | None) -> State:
    """The state of each row after all its symbols but the last, which the next step takes."""
    state = model.init_state(len(rows), context)
    windows = [row[window_start(len(row), model.position_limit) : -1] for row in rows]
    lengths = torch.tensor([len(window) for window in windows])
    if not lengths.any():
        return state
    padded = torch.zeros(len(rows), int(lengths.max()), dtype=torch.int64)
    for row, window in zip(padded, windows, strict=True):
        row[: len(window)] = torch.as_tensor(window)
    device = next(model.parameters()).device
    return model.read(padded.to(device), lengths.to(device), state)
