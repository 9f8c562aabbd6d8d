"""A session of the step engine made of the slow interpreter and torch's sampling: for tests of what is built on it."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from unrolled.core.draws import Draws
from unrolled.engine import reference
from unrolled.engine.runtime import Rows, Session
from unrolled.generation.rules import Rules
from unrolled.generation.sampling import choose, probabilities


def packed(program, precision="float32") -> Any:
    """Stands in for `runtime.Packed`, whatever the precision."""
    return SimpleNamespace(program=program, precision=precision)


class StandIn(Session):
    """Does what `runtime.Session` says. `calls` are the steps of each call that drew; `interrupt_after` so many."""

    def __init__(self, packed, rows, threads=1):
        self.packed, self.rows = packed, rows
        self.states: list[Any] = [None] * rows
        self.calls: list[int] = []
        self.interrupt_after: int | None = None

    def set_state(self, rows, state):
        for index, row in enumerate(rows):
            self.states[row] = {name: leaf[index : index + 1] for name, leaf in state.items()}

    def run(
        self, rows, steps, *, last=None, forced=None, control=None, draws=None, stop=-1, scored=True, outputs=False
    ):
        steps = np.array(steps)
        symbols = np.zeros((len(rows), int(steps.max(initial=0))), np.int64)
        nats, counts = np.zeros(symbols.shape), np.zeros(len(rows), np.int64)
        forced = np.full(symbols.shape, -1) if forced is None else forced
        assert scored or (forced >= 0).all()
        if scored and draws is not None:
            self.calls.append(symbols.shape[1])
        interrupted = self.interrupt_after is not None and len(self.calls) > self.interrupt_after
        for index, row in enumerate(rows):
            symbol = 0 if last is None else int(last[index])
            for time in range(max(1, steps[index] // 2) if interrupted else steps[index]):
                logits, self.states[row] = reference.step(self.packed.program, self.states[row], np.array([symbol]))
                symbol = int(forced[index, time])
                if symbol < 0:
                    symbol = self.choose(torch.from_numpy(logits), draws, index, time)
                symbols[index, time], counts[index] = symbol, time + 1
                nats[index, time] = torch.from_numpy(logits).double().log_softmax(1)[0, symbol]
                if forced[index, time] < 0 and symbol == stop:
                    break
        return Rows(symbols, nats, counts, None, interrupted)

    def choose(self, logits, draws, index, time):
        """One draw by the rules of torch."""
        seen = None if draws.seen is None else torch.from_numpy(draws.seen[index : index + 1])
        temperature, top_k, *others = draws.rules
        rules = Rules(temperature, int(top_k), *others)
        shares = probabilities(logits, rules, seen, torch.from_numpy(draws.forbidden).bool())
        uniform = Draws(
            draws.seed, draws.streams[index : index + 1], draws.positions[index : index + 1] + time
        ).uniform()
        symbol = int(choose(shares, torch.from_numpy(uniform)))
        if draws.seen is not None:
            draws.seen[index, symbol] = 1
        return symbol
