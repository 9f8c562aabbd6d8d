"""Running a step program by the native kernels; free of torch.

A program is packed once for a precision and an instruction set; a session holds the states of many rows and steps any
of them together. What a row gives depends on its own state and inputs alone, to the last bit.
"""

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import import_module
from typing import Any, Literal, NamedTuple

import numpy as np

from unrolled.core.errors import RunError, UsageError
from unrolled.engine.operations import KINDS, Operation
from unrolled.engine.program import Program, refuse

Precision = Literal["float32", "bfloat16", "int8"]
ROLES = ("register", "kept", "control", "vector", "ring", "cache", "clock")
MOST_OF_MEMORY = 0.75  # that the rows of a session may take
NEUTRAL = (1.0, 0.0, 1.0, 0.0, 1.0, 1.0)  # temperature, top-k, top-p, min-p, typical, repetition penalty


def native() -> Any:
    """The module of native kernels. Raises: RunError where it was not built."""
    try:
        return import_module("_unrolled_native")
    except ImportError as problem:
        raise RunError(
            "the native kernels are not installed: install a C++ compiler, then unrolled again, or use --engine torch"
        ) from problem


def available() -> bool:
    """Whether the native kernels were built."""
    try:
        native()
    except RunError:
        return False
    return True


def instruction_sets() -> list[str]:
    """Those that were built and that this machine has, from the plainest to the fastest."""
    return native().instruction_sets()


def machine_bytes() -> int:
    """Memory of this machine; where it does not tell, more than any has."""
    try:
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        found = 0
    return found if found > 0 else 1 << 62


class Rows(NamedTuple):
    """What one call gave: for each row as many symbols and log probabilities as `counts` says.

    `log_probabilities`: nats of the symbols under the model's own distribution. `outputs`: what the program put out, if
    it was asked for. `interrupted`: a signal came, and the rows stopped early.
    """

    symbols: np.ndarray  # int64, n t
    log_probabilities: np.ndarray  # float64, n t
    counts: np.ndarray  # int64, n
    outputs: np.ndarray | None  # float32, n t o
    interrupted: bool


class Draws(NamedTuple):
    """How rows draw: the six rules by name, the seed, each row's stream and the position of its next draw.

    `forbidden` marks symbols that are never drawn; `seen` the symbols of each row that the repetition penalty touches,
    and is kept up to date.
    """

    rules: Sequence[float]
    seed: int
    streams: np.ndarray  # int64, n
    positions: np.ndarray  # int64, n
    forbidden: np.ndarray  # uint8, v
    seen: np.ndarray | None = None  # uint8, n v


class Packed:
    """A program with its weights packed for one precision and instruction set; shared by any number of sessions.

    Raises: RunError for a program that is not safe to run or whose weights are not finite, UsageError for an
    instruction set that this machine lacks.
    """

    def __init__(self, program: Program, precision: Precision = "float32", instructions: str = "auto") -> None:
        module = native()
        known = module.instruction_sets()
        if instructions != "auto" and instructions not in known:
            raise UsageError(f"instructions {instructions!r}: this machine runs {', '.join(known)}")
        if damaged := next((name for name, weight in program.weights.items() if not np.isfinite(weight).all()), None):
            raise RunError(f"weight {damaged} has numbers that are not finite: the run is damaged, load another")
        self.program, self.precision = program.validated("the step program"), precision
        self.instructions = known[-1] if instructions == "auto" else instructions
        self.names = list(program.buffers)
        try:
            self.handle = self.pack(module)
        except (ValueError, MemoryError) as problem:
            refuse("the step program", str(problem) or "too large for this machine's memory")

    def pack(self, module: Any) -> Any:
        """The program in the hands of the kernels. Raises: ValueError for one that they cannot hold."""
        program, weights = self.program, list(self.program.weights)
        return module.Packed(
            [(ROLES.index(buffer.role), buffer.shape) for buffer in program.buffers.values()],
            [np.ascontiguousarray(weight, np.float32) for weight in program.weights.values()],
            [self.encode(operation, weights) for operation in program.prologue],
            [self.encode(operation, weights) for operation in program.step],
            self.operand(program.output),
            program.symbols,
            self.precision,
            self.instructions,
        )

    def operand(self, operand: Sequence[Any]) -> tuple[int, int, int]:
        """An operand with the number of its buffer."""
        name, start, width = operand
        return self.names.index(name), start, width

    def encode(self, operation: Operation, weights: list[str]) -> tuple[Any, ...]:
        """An operation in numbers."""
        return (
            list(KINDS).index(operation.kind),
            [self.operand(operand) for operand in (operation.output, *operation.inputs)],
            [weights.index(name) for name in operation.weights],
            list(operation.numbers),
            (self.names.index(operation.clock) if operation.clock else -1, operation.every),
        )

    @cached_property
    def bytes(self) -> int:
        """Of the packed weights."""
        return self.handle.bytes()


class Session:
    """The states of `rows` rows, stepped by `threads` threads; what comes out does not depend on their number.

    Raises: RunError for more rows than the machine's memory holds.
    """

    def __init__(self, packed: Packed, rows: int, threads: int = 1) -> None:
        if rows < 1:
            raise UsageError(f"a session of {rows} rows: 1 or more are needed")
        if not 1 <= threads <= (os.cpu_count() or 1):
            raise UsageError(f"threads {threads}: this machine has 1 to {os.cpu_count()} to give")
        self.packed, self.rows = packed, rows
        needed, memory = 4 * rows * packed.program.row_numbers, machine_bytes()
        problem = f"{rows} rows side by side need {needed / 1e9:,.2f} GB"
        if needed > MOST_OF_MEMORY * memory:
            share = f"more than {MOST_OF_MEMORY:.0%} of this machine's {memory / 1e9:,.2f} GB"
            raise RunError(f"{problem}, {share}: take fewer rows or samples at once")
        try:
            self.handle = native().Session(packed.handle, rows, threads)
        except MemoryError:
            raise RunError(f"{problem}, more than is free: take fewer rows or samples at once") from None

    def set_state(self, rows: Sequence[int], state: Mapping[str, np.ndarray]) -> None:
        """Give rows a state: leaves by name, with the rows on axis 0."""
        buffers = self.packed.program.state.items()
        for name, buffer in sorted(buffers, key=lambda item: item[1].role != "clock"):  # which tell what caches hold
            dtype, leaf = (np.int64 if buffer.role == "clock" else np.float32), state[name]
            shape = (len(rows),) if buffer.role == "clock" else (len(rows), *buffer.shape)
            if leaf.shape != shape:
                raise RunError(f"state {name} has shape {leaf.shape}, and this program needs {shape}")
            leaf = np.ascontiguousarray(leaf, dtype)
            for row, part in zip(rows, leaf.reshape(len(rows), -1), strict=True):
                self.handle.set_leaf(row, self.packed.names.index(name), part)
        self.handle.begin(list(rows))

    def get_state(self, rows: Sequence[int]) -> dict[str, np.ndarray]:
        """A copy of the state of rows; what stands before a row's first symbol is zero."""
        state = self.packed.program.first_state(len(rows))
        for name, leaf in state.items():
            flat = leaf.reshape(len(rows), -1)
            for index, row in enumerate(rows):
                self.handle.get_leaf(row, self.packed.names.index(name), flat[index])
        return state

    def run(
        self,
        rows: Sequence[int],
        steps: Sequence[int] | np.ndarray,
        *,
        last: np.ndarray | None = None,
        forced: np.ndarray | None = None,
        control: np.ndarray | None = None,
        draws: Draws | None = None,
        stop: int = -1,
        scored: bool = True,
        outputs: bool = False,
    ) -> Rows:
        """Step each of `rows` (distinct) as often as `steps` says, side by side; rows with fewer steps leave earlier.

        At each step a row reads its last symbol (`last` before the first) and its `control` (n t c); the next symbol is
        that of `forced` (n t) where this is 0 or more, else a draw as `draws` says. A row ends early after drawing
        `stop`. Without `scored` there are neither logits nor draws: every symbol must be forced.
        """
        counts = np.ascontiguousarray(steps, np.int64)
        number, time = len(rows), int(counts.max(initial=0))
        program, size = self.packed.program, max(1, self.packed.program.symbols)
        if draws is None:
            zeros = np.zeros(number, np.int64)
            draws = Draws(NEUTRAL, 0, zeros, zeros, np.zeros(size, np.uint8))
        forced = np.full((number, time), -1, np.int64) if forced is None else np.ascontiguousarray(forced, np.int64)
        last = np.zeros(number, np.int64) if last is None else np.ascontiguousarray(last, np.int64)
        width = program.control[1]
        control = np.zeros((number, time, width), np.float32) if control is None else control
        symbols, nats = np.zeros((number, time), np.int64), np.zeros((number, time), np.float64)
        found = np.zeros((number, time if outputs else 0, program.output.width), np.float32)
        seen = np.zeros((number, 0), np.uint8) if draws.seen is None else draws.seen
        status = self.handle.run(
            np.ascontiguousarray(rows, np.int64), counts, last, forced, np.ascontiguousarray(control, np.float32),
            list(map(float, draws.rules)), draws.seed, np.ascontiguousarray(draws.streams, np.int64),
            np.ascontiguousarray(draws.positions, np.int64), draws.forbidden, seen, stop, scored, symbols, nats, found,
        )  # fmt: skip
        if status == 3:
            raise RunError(f"the {program.position_limit} positions of this model are used up: set its state anew")
        if status == 2:
            raise RunError("the model gives not-a-number for probabilities: its weights are damaged, load another run")
        return Rows(symbols, nats, counts, found if outputs else None, status == 1)
