"""A small valid step program, and what is said of one that is not."""

from pathlib import Path

import numpy as np
import pytest

from unrolled.core.errors import RunError
from unrolled.engine import program_file
from unrolled.engine.operations import (
    Buffer,
    Operand,
    Operation,
)
from unrolled.engine.program import Program

ROWS = {"a": (5, 4), "matrix": (4, 4), "tall": (12, 4), "bias": (4,), "scalar": (), "flat": (20,), "start": (2, 4)}


def part(text: str) -> Operand:
    """An operand from "buffer:start:width"."""
    name, start, width = text.split(":")
    return Operand(name, int(start), int(width))


def op(text: str, weights: str = "", *numbers: float, every: tuple[str, int] = ("", 1)) -> Operation:
    """An operation from "kind output input ...", the names of weights, numbers, and a clock with a multiple of it."""
    kind, output, *inputs = text.split()
    return Operation(kind, part(output), tuple(map(part, inputs)), tuple(weights.split()), numbers, *every)


def valid() -> Program:
    """A program that reads and writes buffers of every role."""
    return Program(
        buffers={
            "c": Buffer("control", (4,)), "v": Buffer("vector", (2, 4)), "s": Buffer("vector", (4,)),
            "k": Buffer("kept", (4,)), "u": Buffer("kept", (4,)), "r": Buffer("ring", (2, 4)),
            "q": Buffer("cache", (1, 3, 4)), "w": Buffer("cache", (1, 3, 4)), "t": Buffer("clock", (1,)),
            "r2": Buffer("ring", (2, 4)), "q2": Buffer("cache", (1, 3, 4)), "w2": Buffer("cache", (1, 3, 4)),
            "t2": Buffer("clock", (1,)), "short": Buffer("cache", (1, 2, 4)), "x": Buffer("register", (4,)),
            "y": Buffer("register", (16,)), "z": Buffer("register", (4,)), "o": Buffer("register", (5,)),
        },
        weights={name: np.ones(shape, np.float32) for name, shape in {**ROWS, "logits": (5, 4)}.items()},
        prologue=(op("linear k:0:4 s:0:4", "matrix bias"),),
        step=(
            op("lookup x:0:4", "a"), op("add x:0:4 x:0:4 k:0:4"), op("add x:0:4 x:0:4 c:0:4"),
            op("taps y:0:12 x:0:4 r:0:8", "", 1.0),
            op("attention x:0:4 y:0:12 q:0:12 w:0:12 t:0:1", "", 1.0, 1.0, 100.0),
            op("zero y:0:16"), op("lstm v:0:4 y:0:16 v:4:4"), op("linear o:0:5 v:0:4", "logits"),
        ),
        output=part("o:0:5"), symbols=5, begin=3, end=4, position_limit=9, starts={"v": "start"}, fields=("a",),
        shifts=("s",), model_sha256="none",
    )  # fmt: skip


def refusal(program: Program, folder: Path) -> str:
    """What loading the program's file says."""
    program_file.save(program, folder / "program.safetensors")
    with pytest.raises(RunError) as problem:
        program_file.load(folder / "program.safetensors")
    text = str(problem.value)
    assert "\n" not in text and "not a step program that can be run" in text
    return text


def same(one: Program, other: Program) -> bool:
    """Whether two programs are alike, weights included."""
    return (
        program_file.to_json(one) == program_file.to_json(other)
        and list(one.state) == list(other.state)
        and set(one.weights) == set(other.weights)
        and all(np.array_equal(weight, other.weights[name]) for name, weight in one.weights.items())
    )
