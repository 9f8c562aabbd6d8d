"""Streams of symbols by the step engine: the same symbols for the same seed as `stream` gives, free of torch.

One call of the engine makes many steps: a single one at first, for the sake of latency, then ever more, as long as a
call stays too short to be felt.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple

import numpy as np

from unrolled.engine.runtime import Draws, Session
from unrolled.engine.runtime import Rows as Drawn
from unrolled.generation.rules import Rules
from unrolled.generation.text import Step
from unrolled.generation.window import TOLD, Windows, window_start

MOST_STEPS, GROWTH = 256, 8  # in one call, and against the call before
CALL_SECONDS = 0.05


def generate(
    session: Session,
    prompts: Sequence[Sequence[int]],
    *,
    length: int,
    rules: Rules,
    seed: int,
    streams: Sequence[int] | None = None,
    fields: Sequence[int] = (),
    stop_at_end: bool = True,
    forbidden: Sequence[int] = (),
    note: Callable[[str], None] | None = None,
) -> Iterator[Step]:
    """Up to `length` further symbols of each prompt, as `stream.generate` gives them; `session` has a row for each.

    `fields`: the ids of the conditioning fields of all rows.
    Raises: RunError if the model gives no probabilities; KeyboardInterrupt after the steps that were made before it.
    """
    program = session.packed.program
    rules.validate()
    starts = [list(map(int, prompt)) or [program.begin] for prompt in prompts]
    names = np.array(range(len(starts)) if streams is None else streams, np.int64)
    never = {program.begin, *forbidden} | (set() if stop_at_end else {program.end})
    if not starts or not length:
        return
    rows = Rows(session, starts, names, tuple(fields))
    rows.prepare(rules, seed, sorted(never), program.end if stop_at_end else -1)
    index, size = 0, 1
    while index < length and len(rows.live):
        if rows.reread(index) and note is not None:
            note(TOLD.format(program.position_limit))
            note = None
        began, size = time.perf_counter(), min(size, rows.windows.until(index, length))
        drawn = rows.draw(size)
        index, each = index + size, (time.perf_counter() - began) / size
        size = max(1, min(GROWTH * size, MOST_STEPS, int(CALL_SECONDS / max(each, 1e-9))))
        yield from rows.record(drawn)
        if drawn.interrupted:
            raise KeyboardInterrupt


class Rows:
    """The rows of one generation. `live` are those still drawing; `last` and `counts` have all rows."""

    def __init__(self, session: Session, prompts: list[list[int]], names: np.ndarray, fields: tuple[int, ...]) -> None:
        self.session, self.names, self.fields = session, names, fields
        self.program = session.packed.program
        self.limit = None if self.program.position_limit < 0 else self.program.position_limit
        self.texts = prompts
        self.counts = np.array([len(prompt) for prompt in prompts], np.int64)
        self.last = np.array([prompt[-1] for prompt in prompts], np.int64)
        self.live = np.arange(len(prompts))
        self.windows = Windows(self.counts.tolist(), self.limit)
        self.read(self.live, [prompt[window_start(len(prompt), self.limit) :] for prompt in prompts])

    def read(self, rows: np.ndarray, windows: list[list[int]]) -> None:
        """Give rows the state after all symbols of their windows but the last, which the next step takes."""
        self.session.set_state(rows.tolist(), self.program.first_state(len(rows), self.fields))
        steps = np.array([len(window) - 1 for window in windows], np.int64)
        if not steps.any():
            return
        forced = np.zeros((len(rows), int(steps.max())), np.int64)
        for row, window in zip(forced, windows, strict=True):
            row[: len(window) - 1] = window[1:]
        first = np.array([window[0] for window in windows], np.int64)
        if self.session.run(rows.tolist(), steps, last=first, forced=forced, scored=False).interrupted:
            raise KeyboardInterrupt

    def prepare(self, rules: Rules, seed: int, never: list[int], stop: int) -> None:
        """Settle how the rows draw."""
        self.rules, self.seed, self.stop = tuple(map(float, astuple(rules))), seed, stop
        self.forbidden = np.zeros(self.program.symbols, np.uint8)
        self.forbidden[never] = 1
        self.seen: np.ndarray | None = None  # of live rows only
        if rules.repetition_penalty != 1:
            self.seen = np.zeros((len(self.live), self.program.symbols), np.uint8)
            for row, text in zip(self.seen, self.texts, strict=True):
                row[text] = 1

    def draw(self, size: int) -> Drawn:
        """The next `size` symbols of every live row, or fewer where rows end."""
        live = self.live
        draws = Draws(self.rules, self.seed, self.names[live], self.counts[live], self.forbidden, self.seen)
        steps = np.full(len(live), size, np.int64)
        return self.session.run(live.tolist(), steps, last=self.last[live], draws=draws, stop=self.stop)

    def record(self, drawn: Drawn) -> list[Step]:
        """Take in what the live rows drew, drop those that end with it, and tell the whole batch step by step."""
        live, counts, time = self.live, drawn.counts, np.arange(int(drawn.counts.max(initial=0)))[:, None]
        shape = (len(time), len(self.counts))
        is_live = np.zeros(shape[1], bool)
        is_live[live] = True
        made = np.zeros(shape, bool)
        made[:, live] = time < counts
        symbols, nats = np.full(shape, self.program.end, np.int64), np.zeros(shape)
        symbols[:, live] = np.where(made[:, live], drawn.symbols.T[: len(time)], self.program.end)
        nats[:, live] = np.where(made[:, live], drawn.log_probabilities.T[: len(time)], 0.0)
        final = drawn.symbols[np.arange(len(live)), np.maximum(counts - 1, 0)]
        ended = (counts > 0) & (final == self.stop)
        done = np.repeat(~is_live[None], len(time), 0)
        done[:, live] = ended & (time >= counts - 1)
        self.last[live] = np.where(counts > 0, final, self.last[live])
        self.counts[live] += counts
        if self.limit is not None:
            for index, row in enumerate(live.tolist()):
                self.texts[row] += drawn.symbols[index, : counts[index]].tolist()
                del self.texts[row][: -self.windows.size]
        self.live = live[~ended]
        self.seen = None if self.seen is None else np.ascontiguousarray(self.seen[~ended])
        return list(map(Step, symbols, nats, made, done))

    def reread(self, index: int) -> bool:
        """Before step `index`, give rows whose window is full the state after its last half; tells if there are any."""
        alive = set(self.live.tolist())
        rows = [row for row in self.windows.full(index) if row in alive]
        if not rows:
            return False
        self.read(np.array(rows), [self.texts[row][-self.windows.size :] for row in rows])
        return True
