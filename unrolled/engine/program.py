"""The step program: one step of a model as a flat list of operations on named buffers, with its weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NoReturn

import numpy as np

from unrolled.core.errors import RunError
from unrolled.engine.operations import AHEAD, STATE_ROLES, Buffer, Operand, Operation, whole_tiles


@dataclass(frozen=True)
class Program:
    """One step of a model.

    `symbols`: size of the alphabet, 0 for a program that reads vectors (its one "control" buffer). `output` holds the
    result: logits where `symbols` is above 0. `prologue` runs when a row's state is set, `step` for each symbol.
    `begin`, `end` and `position_limit` are those of the model (-1 for none). `starts` names the weights that are the
    first value of a state buffer (zeros without). `fields` names, for each field of the run, the table of what its
    values add to the state buffers `shifts`, which stand side by side in it. State buffers have the order of the leaves
    of the model's state.
    """

    buffers: Mapping[str, Buffer]
    weights: Mapping[str, np.ndarray]
    prologue: tuple[Operation, ...]
    step: tuple[Operation, ...]
    output: Operand
    symbols: int = 0
    begin: int = -1
    end: int = -1
    position_limit: int = -1
    starts: Mapping[str, str] = field(default_factory=dict)
    fields: tuple[str, ...] = ()
    shifts: tuple[str, ...] = ()
    model_sha256: str = ""

    @property
    def state(self) -> dict[str, Buffer]:
        """The buffers that are state, in the order of the leaves of the model's state."""
        return {name: buffer for name, buffer in self.buffers.items() if buffer.role in STATE_ROLES}

    @property
    def control(self) -> tuple[str, int]:
        """Name and width of the buffer that the caller fills for each step; ("", 0) where there is none."""
        found = [(name, buffer.width) for name, buffer in self.buffers.items() if buffer.role == "control"]
        return found[0] if found else ("", 0)

    @property
    def row_numbers(self) -> int:
        """Numbers of a row's memory in the native kernels: its buffers, and products that these may make ahead."""
        made = sum(
            whole_tiles(min(int(taps.numbers[0]), AHEAD) * product.output.width)
            for taps, product in pairwise(self.step)
            if taps.kind == "taps" and product.kind == "linear" and taps.numbers[0] >= 2
        )
        return made + sum(buffer.room for buffer in self.buffers.values())

    def first_state(self, rows: int, fields: tuple[int, ...] = ()) -> dict[str, np.ndarray]:
        """The state before the first symbol of `rows` rows, all with the same ids of `fields`."""
        state, shift = {}, self.shift_of(fields)
        for name, buffer in self.state.items():
            shape = (rows,) if buffer.role == "clock" else (rows, *buffer.shape)
            state[name] = np.zeros(shape, np.int64 if buffer.role == "clock" else np.float32)
            if name in self.starts:
                state[name][:] = self.weights[self.starts[name]].reshape(buffer.shape)
        for name in self.shifts:
            width = self.buffers[name].width
            state[name][:] = shift[:width].reshape(self.buffers[name].shape)
            shift = shift[width:]
        return state

    def shift_of(self, fields: tuple[int, ...]) -> np.ndarray:
        """What a row's fields add to the state. Raises: RunError for ids that their tables lack."""
        found = np.zeros(sum(self.buffers[name].width for name in self.shifts), np.float32)
        for name, number in zip(self.fields, fields, strict=False):
            table = self.weights[name]
            if not 0 <= number < len(table):
                raise RunError(f"field {name!r} has values 0 to {len(table) - 1}, not {number}: choose one of them")
            found += table[number]
        return found

    def multiply_adds(self, operation: Operation) -> int:
        """Of one operation on one row, on average over steps; of attention with a full window."""
        if operation.kind in ("linear", "linear_add"):
            return self.weights[operation.weights[0]].size // operation.every
        if operation.kind == "attention":
            return 2 * operation.output.width * (self.buffers[operation.inputs[1].buffer].shape[1] + 1)
        return 0

    def validated(self, source: str) -> "Program":
        """This program, if it is safe to run.

        Raises: RunError that begins with `source` and names the first thing that is wrong.
        """
        from unrolled.engine.validation import problems  # which is written against this class

        if problem := next(problems(self), None):
            refuse(source, problem)
        return self


def refuse(source: str, problem: str) -> NoReturn:
    """Raises: RunError."""
    line = " ".join(problem.split())[:200]
    raise RunError(f"{source}: not a step program that can be run ({line}): delete it, it is made anew")
