"""What lowering writes into: buffers, weights and operations of a program that grows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from unrolled.core.errors import UnrolledError
from unrolled.core.shapes import Tensor
from unrolled.engine.lowering.registers import reuse
from unrolled.engine.operations import Buffer, Operand, Operation, Role
from unrolled.engine.program import Program

MOST_FOLDED = 64 << 20  # bytes of a table made from an embedding and a matrix


class NotLowered(UnrolledError):
    """A module that has no lowering; `module` is the name of its type."""

    def __init__(self, module: str) -> None:
        super().__init__(f"{module} has no lowering to a step program: generate through torch, or add one to the table")
        self.module = module


@dataclass(frozen=True, eq=False)
class Table:
    """What symbols look up: a row of `weight` each; unit vectors where it is None."""

    size: int
    weight: Tensor | None = None

    def folds(self, width: int) -> bool:
        """Whether the table of a matrix with `width` outputs stays small; that of unit vectors is the matrix itself."""
        return self.weight is None or self.size * width * 4 < MOST_FOLDED

    def times(self, matrix: np.ndarray, bias: np.ndarray | float = 0.0) -> np.ndarray:
        """The table of `matrix x + bias`, made in float64."""
        rows = matrix.T if self.weight is None else exact(self.weight) @ matrix.T
        return np.ascontiguousarray(rows + bias, np.float32)


@dataclass(frozen=True, eq=False)
class Value:
    """A vector that flows: the sum of what its parts give.

    `table` gives a row for the symbol, `fixed` is the same in every step of a row, `operand` is known when it is read.
    Sums are made as late as can be, so that a matrix after them may be taken into the table and the prologue.
    """

    table: Table | None = None
    fixed: Operand | None = None
    operand: Operand | None = None


Lowering = Callable[["Builder", Any, Value, str], Value]


def exact(tensor: Tensor) -> np.ndarray:
    """A copy of a weight in float64."""
    return tensor.detach().to("cpu", torch.float64).numpy().copy()


class Builder:
    """A program that grows: lowering functions ask for buffers, emit operations and pass values on.

    `table` has the lowering of each type of module, and `names` what weights are called.
    """

    def __init__(self, table: Mapping[type, Lowering], model: nn.Module) -> None:
        self.table = table
        self.names = {id(parameter): name for name, parameter in model.named_parameters()}
        self.derived: list[Tensor] = []
        self.buffers: dict[str, Buffer] = {}
        self.weights: dict[str, np.ndarray] = {}
        self.prologue: list[Operation] = []
        self.step: list[Operation] = []
        self.starts: dict[str, str] = {}
        self.shifts: list[tuple[np.ndarray, str]] = []  # maps of the context vector, and the state that each gives
        self.made: dict[Value, Operand] = {}
        self.pace = ("", 1)  # of the operations that are emitted

    def lower(self, module: nn.Module, value: Value, path: str) -> Value:
        """What a module gives for a value; `path` names its state. Raises: NotLowered."""
        if type(module) not in self.table:
            raise NotLowered(type(module).__name__)
        return self.table[type(module)](self, module, value, path)

    def buffer(self, name: str, role: Role, *shape: int) -> Operand:
        """A new buffer, all of it."""
        self.buffers[name] = Buffer(role, shape)
        return Operand(name, 0, self.buffers[name].width)

    def register(self, width: int) -> Operand:
        """A new buffer for a result of this step, which is written once."""
        return self.buffer(f"register.{len(self.buffers)}", "register", width)

    def named(self, tensor: Tensor, name: str) -> Tensor:
        """A tensor made from weights, under a name for the program."""
        self.derived.append(tensor)  # alive, or another tensor could take its id
        self.names[id(tensor)] = name
        return tensor

    def weight(self, tensor: Tensor) -> str:
        """The name of a weight, which is in the program once however often it is used."""
        name = self.names[id(tensor)]
        if name not in self.weights:
            self.weights[name] = exact(tensor).astype(np.float32)
        return name

    @contextmanager
    def every(self, steps: int, clock: Operand) -> Iterator[None]:
        """Operations that are emitted meanwhile run only where the clock stands at a multiple of `steps`."""
        before, self.pace = self.pace, (clock.buffer, steps)
        yield
        self.pace = before

    def emit(
        self,
        kind: str,
        output: Operand,
        *inputs: Operand,
        weights: Sequence[str] = (),
        numbers: Sequence[float] = (),
    ) -> Operand:
        """Add an operation to the step; returns its output."""
        self.step.append(Operation(kind, output, inputs, tuple(weights), tuple(map(float, numbers)), *self.pace))
        return output

    def apply(self, kind: str, *inputs: Operand) -> Operand:
        """Add an operation that treats every unit alone, into a new register."""
        return self.emit(kind, self.register(inputs[0].width), *inputs)

    def operand(self, value: Value) -> Operand:
        """Where all of a value stands, summed once however often it is asked for."""
        if value not in self.made:
            self.made[value] = self.summed(value)
        return self.made[value]

    def summed(self, value: Value) -> Operand:
        """The sum of the parts of a value."""
        parts = [part for part in (value.operand, value.fixed) if part is not None]
        if value.table is not None:
            parts.insert(0, self.looked_up(value.table))
        total = parts[0]
        for part in parts[1:]:
            total = self.apply("add", total, part)
        return total

    def looked_up(self, table: Table) -> Operand:
        """The row of a table that belongs to the symbol."""
        weight = table.weight
        if weight is None:
            weight = self.named(torch.eye(table.size), "one_hot")
        return self.emit("lookup", self.register(weight.shape[1]), weights=[self.weight(weight)])

    def linear(
        self, value: Value, weight: Tensor, bias: Tensor | None = None, output: Operand | None = None
    ) -> Operand:
        """Matrix times value plus bias, into `output` if it is given; what is known beforehand is multiplied once."""
        output = output or self.register(len(weight))
        if value.table is not None and not value.table.folds(len(weight)):
            value = Value(operand=self.operand(value))
        biases = [] if bias is None else [bias]
        kind = "linear"
        if value.table is not None:
            folded = torch.from_numpy(value.table.times(exact(weight), *map(exact, biases)))
            name = self.weight(self.named(folded, f"{self.names[id(weight)]}.table"))
            self.emit("lookup", output, weights=[name])
            kind, biases = "linear_add", []
        if value.operand is not None:
            self.emit(kind, output, value.operand, weights=[self.weight(weight), *map(self.weight, biases)])
            kind, biases = "linear_add", []
        if value.fixed is not None:
            kept = self.kept(
                "linear", len(weight), value.fixed, weights=[self.weight(weight), *map(self.weight, biases)]
            )
            if kind == "linear":
                self.emit("copy", output, kept)
            else:
                self.emit("add", output, output, kept)
        return output

    def kept(self, kind: str, width: int, *inputs: Operand, weights: Sequence[str] = ()) -> Operand:
        """Add an operation to the prologue, into a new buffer that stays."""
        output = self.buffer(f"kept.{len(self.buffers)}", "kept", width)
        self.prologue.append(Operation(kind, output, inputs, tuple(weights)))
        return output

    def program(self, output: Operand, **others: Any) -> Program:
        """What was built, with as few registers as suffice."""
        buffers, step, output = reuse(self.buffers, self.step, output)
        program = Program(buffers, self.weights, tuple(self.prologue), step, output, starts=self.starts, **others)
        return program.validated("the lowered model")
