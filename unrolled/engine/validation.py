"""What makes a step program unsafe to run: every check that the native kernels rely on.

The checks are generators of complaints in an order in which each may rely on those before it.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator
from typing import get_args

import numpy as np

from unrolled.engine.operations import (
    ADDING_KINDS,
    CONTINUAL_KINDS,
    KINDS,
    PROLOGUE_KINDS,
    Buffer,
    Operand,
    Operation,
    Role,
    overlap,
    whole,
)
from unrolled.engine.program import Program

MOST_NUMBERS = 1 << 31  # in one weight, so that no product of sizes overflows
MOST_IN_ROW = 1 << 28  # in the memory of one row: 1 GB; as in native/packed.cpp
MOST_AXES = 4
MOST_PACES = 64  # different clocks and multiples of them at which operations run
DIMENSIONS: dict[Role, int] = {"ring": 2, "cache": 3}  # of buffers that have more than a width
WHOLE = (*DIMENSIONS, "clock")  # roles of buffers that operations take whole
Pace = tuple[str, int]  # the clock and the multiple of it at which an operation runs


def problems(program: Program) -> Iterator[str]:
    """What makes a program unsafe to run."""
    yield from buffer_problems(program)
    yield from weight_problems(program)
    for part, kinds in ((program.prologue, PROLOGUE_KINDS), (program.step, tuple(KINDS))):
        for number, operation in enumerate(part):
            if operation.kind not in kinds:
                yield f"operation {number} is {operation.kind!r}"
            elif complaint := operation_problem(program, operation):
                yield f"operation {number}, {operation.kind}: {complaint}"
    if (total := program.row_numbers) > MOST_IN_ROW:
        yield f"a row needs {total} numbers, more than {MOST_IN_ROW}"
    yield from prologue_problems(program)
    yield from order_problems(program)
    yield from symbol_problems(program)
    yield from state_problems(program)


def buffer_problems(program: Program) -> Iterator[str]:
    """What is wrong about roles and shapes of buffers."""
    for name, buffer in program.buffers.items():
        if buffer.role not in get_args(Role) or not 1 <= len(buffer.shape) <= MOST_AXES or min(buffer.shape) < 0:
            yield f"buffer {name!r} is {buffer.role!r} of shape {buffer.shape}"
        wanted = DIMENSIONS.get(buffer.role, 0)
        if wanted and len(buffer.shape) != wanted:
            yield f"buffer {name!r} has shape {buffer.shape}, not {wanted} axes"
        if buffer.role == "clock" and buffer.shape != (1,):
            yield f"clock {name!r} has shape {buffer.shape}"
        if buffer.role == "control" and not buffer.width:
            yield f"control {name!r} is empty"
    if sum(buffer.role == "control" for buffer in program.buffers.values()) > 1:
        yield "there are two controls"


def weight_problems(program: Program) -> Iterator[str]:
    """What is wrong about names, types and sizes of weights."""
    for name, weight in program.weights.items():
        if not name.isprintable() or weight.dtype != np.float32 or weight.size >= MOST_NUMBERS:
            yield f"weight {name!r} is {weight.dtype} of shape {weight.shape}"


def operand_problem(program: Program, operand: Operand) -> str:
    """Why an operand is not a part of a buffer; "" if it is."""
    buffer = program.buffers.get(operand.buffer)
    if buffer is None:
        return f"no buffer {operand.buffer!r}"
    if operand.start < 0 or operand.width < 0 or operand.start + operand.width > buffer.width:
        return f"{operand.buffer!r} from {operand.start}, {operand.width} wide, lies outside of {buffer.width}"
    return ""


def operation_problem(program: Program, operation: Operation) -> str:
    """Why an operation cannot be run; "" if it can."""
    kind = KINDS[operation.kind]
    if len(operation.inputs) != len(kind.inputs) or len(operation.numbers) != kind.numbers:
        return f"{len(operation.inputs)} inputs and {len(operation.numbers)} numbers"
    if not kind.weights[0] <= len(operation.weights) <= kind.weights[1]:
        return f"{len(operation.weights)} weights"
    if unknown := [name for name in operation.weights if name not in program.weights]:
        return f"no weight {unknown[0]!r}"
    for operand in (operation.output, *operation.inputs):
        if outside := operand_problem(program, operand):
            return outside
    if complaint := pace_problem(program, operation) or output_problem(program, operation):
        return complaint
    for operand, role in zip(operation.inputs, kind.inputs, strict=True):
        if complaint := input_problem(program.buffers[operand.buffer], operand, role):
            return complaint
    shapes = [program.weights[name].shape for name in operation.weights]
    return kind.rule(operation, shapes, [program.buffers[operand.buffer].shape for operand in operation.inputs])


def pace_problem(program: Program, operation: Operation) -> str:
    """Why an operation cannot run when it says; "" if it can."""
    clock = program.buffers.get(operation.clock)
    if not whole(operation.every, 1, MOST_NUMBERS) or (operation.every > 1 and not operation.clock):
        return f"runs every {operation.every} of clock {operation.clock!r}"
    if operation.clock and (clock is None or clock.role != "clock"):
        return f"{operation.clock!r} is no clock"
    return "runs in every step or not at all" if operation.clock and operation.kind in CONTINUAL_KINDS else ""


def output_problem(program: Program, operation: Operation) -> str:
    """Why an operation cannot write where it does; "" if it can."""
    output, buffer = operation.output, program.buffers[operation.output.buffer]
    if buffer.role not in ("register", "kept", "vector"):
        return f"writes to {output.buffer!r}, a {buffer.role}"
    if output.width == 0:
        return "writes nothing"
    for operand in operation.inputs:
        if overlap(output, operand) and not (KINDS[operation.kind].in_place and operand == output):
            return f"output and input overlap in {output.buffer!r}"
    return ""


def input_problem(buffer: Buffer, operand: Operand, role: Role | None) -> str:
    """Why an input that should have a role, None for plain numbers, cannot be read; "" if it can."""
    if (role or buffer.role) != buffer.role or (buffer.role in WHOLE) != (role in WHOLE):
        return f"reads {operand.buffer!r}, a {buffer.role}"
    if buffer.role in WHOLE and operand.width != buffer.width:
        return f"reads a part of {operand.buffer!r}"
    return "" if operand.width or buffer.role in WHOLE else "reads nothing"


def written(operation: Operation) -> tuple[Operand, ...]:
    """What an operation writes besides rings, caches and clocks."""
    return (operation.output, operation.inputs[1]) if operation.kind == "lstm" else (operation.output,)


def prologue_problems(program: Program) -> Iterator[str]:
    """What would make the prologue give something else at another time, or the step change what it gave."""
    changing = {operand.buffer for operation in program.step for operand in written(operation)}
    for operation in program.prologue:
        if operation.clock:
            yield f"the prologue waits for {operation.clock!r}"
        if program.buffers[operation.output.buffer].role != "kept":
            yield f"the prologue writes {operation.output.buffer!r}, which is not kept"
        for operand in operation.inputs:
            role = program.buffers[operand.buffer].role
            if role not in ("kept", "vector") or (role == "vector" and operand.buffer in changing):
                yield f"the prologue reads {operand.buffer!r}, which changes between steps"
    for operation in program.step:
        if program.buffers[operation.output.buffer].role == "kept":
            yield f"the step writes {operation.output.buffer!r}, which is kept"
    users = Counter(
        operand.buffer
        for operation in program.step
        for operand in operation.inputs
        if program.buffers[operand.buffer].role in DIMENSIONS
    )
    for name, count in users.items():
        if count > 1:
            yield f"{name!r} belongs to {count} operations"


class Written:
    """The parts of a buffer that were written, as disjoint intervals in order."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []

    def add(self, start: int, end: int) -> None:
        """Join an interval with those that it touches."""
        first, last = bisect_left(self.ends, start), bisect_right(self.starts, end)
        if first < last:
            start, end = min(start, self.starts[first]), max(end, self.ends[last - 1])
        self.starts[first:last], self.ends[first:last] = [start], [end]

    def covers(self, start: int, end: int) -> bool:
        """Whether all of an interval was written."""
        place = bisect_right(self.starts, start) - 1
        return place >= 0 and self.ends[place] >= end


def order_problems(program: Program) -> Iterator[str]:
    """What is read before it is written: a row would see what another row or the last step left there."""
    paces = {pace(operation) for operation in program.step} | {("", 1)}
    if len(paces) > MOST_PACES:
        yield f"operations run at {len(paces)} paces, more than {MOST_PACES}"
        return
    names = [name for name, buffer in program.buffers.items() if buffer.role in ("register", "kept")]
    parts = {name: {own: Written() for own in paces} for name in names}  # for a step in which a pace is due
    for operation in (*program.prologue, *program.step):
        read = (*operation.inputs, operation.output) if operation.kind in ADDING_KINDS else operation.inputs
        for operand in read:
            if operand.buffer in parts and not parts[operand.buffer][pace(operation)].covers(*span(operand)):
                yield f"{operation.kind} reads {operand.buffer!r} before it is written"
        for own, known in parts.get(operation.output.buffer, {}).items():
            if serves(pace(operation), own):
                known.add(*span(operation.output))
    output = program.output
    if outside := operand_problem(program, output):
        yield f"the output: {outside}"
    elif not output.width or program.buffers[output.buffer].role in WHOLE:
        yield f"the output is {output.width} wide and in {output.buffer!r}, a {program.buffers[output.buffer].role}"
    elif output.buffer in parts and not parts[output.buffer]["", 1].covers(*span(output)):
        yield f"the output {output.buffer!r} is not written"


def pace(operation: Operation) -> Pace:
    """When an operation runs."""
    return operation.clock, operation.every


def serves(one: Pace, other: Pace) -> bool:
    """Whether what runs at one pace has run in every step in which the other is due."""
    return not one[0] or (one[0] == other[0] and other[1] % one[1] == 0)


def span(operand: Operand) -> tuple[int, int]:
    """Start and end of an operand in its buffer."""
    return operand.start, operand.start + operand.width


def symbol_problems(program: Program) -> Iterator[str]:
    """What is wrong about the alphabet of a program."""
    tables = [program.weights[name] for op in program.step if op.kind == "lookup" for name in op.weights]
    if program.symbols and program.output.width != program.symbols:
        yield f"{program.output.width} logits for {program.symbols} symbols"
    if any(len(table) < max(1, program.symbols) for table in tables) or (tables and not program.symbols):
        yield f"a table has fewer rows than there are symbols, {program.symbols}"
    if not all(-1 <= number < max(1, program.symbols) for number in (program.begin, program.end)):
        yield f"begin {program.begin} and end {program.end} are no symbols"
    if program.symbols and -1 in (program.begin, program.end):
        yield "begin and end are not known"


def state_problems(program: Program) -> Iterator[str]:
    """What is wrong about the first state and the fields of a program."""
    if not (program.position_limit == -1 or program.position_limit > 1):
        yield f"position limit {program.position_limit}"
    for name, start in program.starts.items():
        buffer, weight = program.buffers.get(name), program.weights.get(start)
        if buffer is None or weight is None or buffer.role != "vector" or weight.size != buffer.width:
            yield f"{start!r} cannot be the first value of {name!r}"
    for name, count in Counter(program.shifts).items():
        if name not in program.buffers or program.buffers[name].role != "vector" or count > 1:
            yield f"fields cannot be added to {name!r}"
            return
    width = sum(program.buffers[name].width for name in program.shifts)
    for name in program.fields:
        shape = program.weights[name].shape if name in program.weights else ()
        if len(shape) != 2 or shape[0] == 0 or not width or shape[1] != width:
            yield f"field table {name!r} of shape {shape} does not fit {program.shifts}, {width} wide"
