"""`unrolled engine show [RUN]`: the step program of a run, operation by operation."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from unrolled.cli.arguments import parse, positional
from unrolled.cli.terminal import readable_size, say, table
from unrolled.core.errors import UsageError

if TYPE_CHECKING:
    from unrolled.engine.operations import Operand, Operation
    from unrolled.engine.program import Program

DESCRIPTION = """
Show what a run computes for each symbol: its step program, with the shapes, bytes and multiply-adds of each operation.

  unrolled engine show poems-char-rnn-1
"""
MATRICES = ("linear", "linear_add")  # operations whose first weight is stored in the precision that is chosen


@dataclass(frozen=True)
class Command:
    """What to show."""

    run: str | None = positional(default=None)
    """name or path of a run (default: the newest)"""
    runs: Path = Path("runs")
    """folder that holds the runs"""
    json: bool = False
    """print one JSON object"""


@dataclass(frozen=True)
class Stepping:
    """What steps the model."""

    engine: Literal["auto", "torch", "native"] = "auto"
    """native: compiled kernels, without torch; auto: native where it can run the model, but on a GPU"""
    precision: Literal["float32", "bfloat16", "int8"] = "float32"
    """of the weights in the native engine; unrolled evaluate --precision measures what it costs"""
    threads: int = 1
    """of the native engine; they change nothing but the speed"""


def main(arguments: Sequence[str]) -> int:
    """Show."""
    words = list(arguments)
    if words and not words[0].startswith("-"):
        if words[0] != "show":
            raise UsageError(f"unknown action {words[0]!r} of unrolled engine: known is show")
        words = words[1:]
    (command,) = parse("engine show", DESCRIPTION, words, Command).values
    from unrolled.api.runs import writing_run

    run = writing_run("generate", command.run, command.runs)
    program = run.engines.step_program()
    facts = {
        "run": run.folder.name, "symbols": program.symbols, "position_limit": program.position_limit,
        "multiply_adds": sum(program.multiply_adds(operation) for operation in program.step),
        "state_bytes": state_bytes(program), "weight_bytes": weight_bytes(program),
    }  # fmt: skip
    lines = [
        described(program, part, operation)
        for part, operations in (("start", program.prologue), ("step", program.step))
        for operation in operations
    ]
    if command.json:
        sys.stdout.write(json.dumps({**facts, "operations": lines}) + "\n")
        return 0
    show(facts, lines)
    return 0


def show(facts: dict[str, Any], lines: list[dict[str, Any]]) -> None:
    """The program as a table, and what it comes to."""
    header = ["part", "operation", "every", "output", "inputs", "weights", "bytes", "multiply-adds"]
    rows = [
        [
            line["part"], line["kind"], line["every"], line["output"], ", ".join(line["inputs"]),
            ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in line["weights"].items()),
            line["bytes"], line["multiply_adds"],
        ]
        for line in lines
    ]  # fmt: skip
    say(table(rows, header))
    limit = "" if facts["position_limit"] < 0 else f", {facts['position_limit']} positions"
    sizes = ", ".join(f"{readable_size(size)} in {name}" for name, size in facts["weight_bytes"].items())
    say(
        f"\n{facts['run']}: {facts['symbols']} symbols{limit}; {facts['multiply_adds']:,} multiply-adds a symbol; "
        f"weights {sizes}; state {readable_size(facts['state_bytes'])} a row"
    )


def described(program: "Program", part: str, operation: "Operation") -> dict[str, Any]:
    """One operation; bytes are those of its weights in float32."""
    return {
        "part": part,
        "kind": operation.kind,
        "output": place(program, operation.output),
        "inputs": [place(program, operand) for operand in operation.inputs],
        "weights": {name: program.weights[name].shape for name in operation.weights},
        "numbers": operation.numbers,
        "clock": operation.clock,
        "every": operation.every,
        "bytes": sum(4 * program.weights[name].size for name in operation.weights),
        "multiply_adds": program.multiply_adds(operation),
    }


def place(program: "Program", operand: "Operand") -> str:
    """A buffer with its shape, or the part of it that is meant."""
    buffer = program.buffers[operand.buffer]
    if (operand.start, operand.width) == (0, buffer.width):
        return f"{operand.buffer} {'x'.join(map(str, buffer.shape))}"
    return f"{operand.buffer}[{operand.start}:{operand.start + operand.width}]"


def state_bytes(program: "Program") -> int:
    """What each row keeps between symbols."""
    return sum((8 if buffer.role == "clock" else 4) * buffer.width for buffer in program.state.values())


def weight_bytes(program: "Program") -> dict[str, int]:
    """The size of all weights in each precision, with the scales of int8 and without padding."""
    operations = (*program.prologue, *program.step)
    matrices = {operation.weights[0] for operation in operations if operation.kind in MATRICES}
    shared = sum(4 * weight.size for name, weight in program.weights.items() if name not in matrices)
    numbers = sum(program.weights[name].size for name in matrices)
    scales = sum(4 * len(program.weights[name]) for name in matrices)
    return {
        "float32": shared + 4 * numbers,
        "bfloat16": shared + 2 * numbers,
        "int8": shared + numbers + scales,
    }


def tell_cost(run: Any, precision: str) -> None:
    """Say on stderr what a precision costs, if it was measured; `run` is a `Run`."""
    if precision == "float32":
        return
    from unrolled.api.costs import known_cost

    cost = known_cost(run, precision)
    if cost is not None:
        say(f"{precision} costs {round(cost.cost, 4) + 0.0:.4f} nats per symbol (measured)", sys.stderr)
