"""Streams of symbols: many samples at once, each exactly as it would be alone.

A row is named by its own stream index, and its draw after n symbols (the begin symbol among them) is
`Draws(seed, stream, n)`: a sample does not depend on its batch, and a sample that is continued from its own beginning
goes on as the whole would have.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from unrolled.core import state as states
from unrolled.core.draws import Draws
from unrolled.core.errors import RunError
from unrolled.core.protocol import Context
from unrolled.core.shapes import Float, Int, Tensor
from unrolled.generation.reading import read_windows, select
from unrolled.generation.rules import Rules
from unrolled.generation.sampling import choose, probabilities
from unrolled.generation.text import Step
from unrolled.generation.window import TOLD, Windows

BLOCK = 256  # positions whose draws are made in one call, so that the generator costs a step next to nothing

Control = Callable[[Tensor, Tensor], Any]  # (last symbol of each row, symbols before it) -> what `step` takes


@torch.inference_mode()
def generate(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    length: int,
    rules: Rules,
    seed: int,
    streams: Sequence[int] | None = None,
    context: Context | None = None,
    control: Control | None = None,
    stop_at_end: bool = True,
    forbidden: Sequence[int] = (),
    note: Callable[[str], None] | None = None,
) -> Iterator[Step]:
    """Up to `length` further symbols of each prompt, one step at a time; ends early where every row has ended.

    An empty prompt stands for the begin symbol. `streams` are the samples' own indices (default 0, 1, ...). Neither
    the begin symbol nor `forbidden` ones are drawn, nor is the end symbol unless `stop_at_end`. `note` is told, once,
    that a table of positions has ended. The caller has put `model` into evaluation mode.
    Raises: RunError if the model gives no probabilities (its weights are not finite).
    """
    starts = [list(map(int, prompt)) or [model.begin] for prompt in prompts]
    names = range(len(starts)) if streams is None else streams
    never = {model.begin, *forbidden} | (set() if stop_at_end else {model.end})
    rows = Rows(model, starts, rules.validate(), context, sorted(never)) if starts else None
    for index, uniform in enumerate(uniform_columns(seed, names, [len(start) for start in starts], length)):
        if rows is None or not len(rows.live):
            return
        if rows.reread(index) and note is not None:
            note(TOLD.format(model.position_limit))
            note = None
        yield rows.draw(uniform, control, index)


def uniform_columns(seed: int, streams: Sequence[int], starts: Sequence[int], length: int) -> Iterator[Tensor]:
    """For each of `length` steps one float64 in [0, 1) per row; row r begins at position `starts[r]`."""
    stream, start = np.asarray(streams, np.int64)[:, None], np.asarray(starts, np.int64)[:, None]
    for first in range(0, length, BLOCK):
        position = start + np.arange(first, min(first + BLOCK, length))
        uniform = Draws(seed, np.broadcast_to(stream, position.shape), position).uniform()
        yield from torch.from_numpy(np.ascontiguousarray(uniform.T)).unbind(0)


class Rows:
    """The rows of one generation. `live` are those still drawing; `state`, `seen` and `last` have live rows only."""

    def __init__(
        self, model: Any, prompts: list[list[int]], rules: Rules, context: Context | None, never: list[int]
    ) -> None:
        device = next(model.parameters()).device
        self.model, self.rules, self.context, self.never, self.prompts = model, rules, context, never, prompts
        # Apple's GPUs have no float64, which the rules compute in
        self.chooser = torch.device("cpu") if device.type == "mps" else device
        self.state = read_windows(model, prompts, context)
        self.symbols = torch.tensor([prompt[-1] for prompt in prompts], device=device)
        self.counts = torch.tensor([len(prompt) for prompt in prompts], device=device)
        self.live = torch.arange(len(prompts), device=device)
        self.done = torch.zeros(len(prompts), dtype=torch.bool, device=device)
        self.forbidden: Tensor | None = None
        self.seen: Tensor | None = None
        self.windows = Windows([len(prompt) for prompt in prompts], model.position_limit)
        self.recent: deque[Tensor] = deque(maxlen=self.windows.size)

    @property
    def whole(self) -> bool:
        """Whether every row is still drawing."""
        return len(self.live) == len(self.done)

    def draw(self, uniform: Float[Tensor, " b"], control: Control | None, index: int) -> Step:
        """The next symbol of every live row."""
        steering = None if control is None else control(self.symbols, self.counts + (index - 1))
        last, uniform = self.symbols, uniform.to(self.chooser)
        if not self.whole:
            last, uniform = last[self.live], uniform[self.live.to(self.chooser)]
            steering = None if steering is None else states.take(steering, self.live)
        features, self.state = self.model.step(last, steering, self.state)
        logits = self.model.head.logits(features).to(self.chooser)
        nats = logits.double().log_softmax(1)
        if not bool((nats.amax(1) <= 0).all()):
            raise RunError("the model gives not-a-number for probabilities: its weights are damaged, load another run")
        if self.forbidden is None:
            self.prepare(logits.shape[1])
        symbols = choose(probabilities(logits, self.rules, self.seen, self.forbidden), uniform)
        column = symbols.unsqueeze(1)
        log_probability = nats.gather(1, column).squeeze(1)
        if self.seen is not None:
            self.seen.scatter_(1, column, True)
        return self.record(symbols.to(self.live.device), log_probability.to(self.live.device))

    def prepare(self, size: int) -> None:
        """Make the masks over the alphabet, whose size the first logits tell."""
        self.forbidden = torch.zeros(size, dtype=torch.bool, device=self.chooser)
        self.forbidden[self.never] = True
        if self.rules.repetition_penalty != 1:
            self.seen = torch.zeros(len(self.done), size, dtype=torch.bool, device=self.chooser)
            for row, prompt in zip(self.seen, self.prompts, strict=True):
                row[prompt] = True

    def record(self, symbols: Int[Tensor, " n"], log_probability: Float[Tensor, " n"]) -> Step:
        """Take in what the live rows drew, drop those that end with it, and tell the whole batch."""
        ended = self.model.done(symbols, self.state)
        live, before = self.live, self.done
        if not self.whole:
            symbols = torch.full_like(before, self.model.end, dtype=torch.int64).index_copy(0, live, symbols)
            log_probability = log_probability.new_zeros(len(before)).index_copy(0, live, log_probability)
        if bool(ended.any()):
            self.done = before.index_fill(0, live[ended], True)
            kept = (~ended).nonzero().squeeze(1)
            self.live, self.state = live[kept], states.take(self.state, kept)
            self.seen = None if self.seen is None else self.seen[kept.to(self.chooser)]
        self.symbols = symbols
        self.recent.append(symbols)
        return Step(symbols, log_probability, ~before, self.done)

    def reread(self, index: int) -> bool:
        """Before step `index`, give rows whose window is full the state after its last half; tells if there are any."""
        rows = [row for row in self.windows.full(index) if not self.done[row]]
        if not rows:
            return False
        drawn, size = torch.stack(list(self.recent), 1).tolist(), self.windows.size
        windows = [(self.prompts[row][-size:] + drawn[row])[-size:] for row in rows]
        chosen = torch.tensor(rows, device=self.live.device)
        part = read_windows(self.model, windows, select(self.context, chosen))
        self.state = states.put(self.state, torch.searchsorted(self.live, chosen), part)
        return True
