"""Step programs as files, in the safetensors format: weights in float32 as tensors, the rest as JSON in the metadata.

A file may come from a stranger: `load` gives a program that is safe to run, or says what is wrong.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unrolled.core.files import write_file
from unrolled.engine.operations import Buffer, Operand, Operation
from unrolled.engine.program import Program, refuse
from unrolled.engine.validation import MOST_AXES, MOST_NUMBERS

FORMAT = 2
MOST_OPERATIONS = 1 << 16


def to_json(program: Program) -> dict[str, Any]:
    """Everything but the weights."""
    return {
        "format": FORMAT,
        "buffers": [[name, buffer.role, list(buffer.shape)] for name, buffer in program.buffers.items()],
        "prologue": program.prologue, "step": program.step, "output": program.output,
        "symbols": program.symbols, "begin": program.begin, "end": program.end,
        "position_limit": program.position_limit, "starts": dict(program.starts), "fields": program.fields,
        "shifts": program.shifts, "model_sha256": program.model_sha256,
    }  # fmt: skip


def digest(text: str, weights: Mapping[str, np.ndarray]) -> str:
    """sha256 over the JSON and the weights, by name and shape."""
    found = hashlib.sha256(text.encode())
    for name in sorted(weights):
        found.update(f"{name} {weights[name].dtype} {weights[name].shape}".encode())
        found.update(np.ascontiguousarray(weights[name]).data)
    return found.hexdigest()


def save(program: Program, path: Path) -> None:
    """Write a program, atomically."""
    from safetensors.numpy import save as serialise

    text = json.dumps(to_json(program))
    metadata = {"program": text, "sha256": digest(text, program.weights)}
    weights = {name: np.asarray(weight, order="C") for name, weight in program.weights.items()}
    write_file(path, serialise(weights, metadata))


def load(path: Path) -> Program:
    """The program in a file, checked.

    Raises: RunError for a file that is damaged, of another format or unsafe to run.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError) as problem:
        refuse(str(path), str(problem))
    text = metadata.get("program", "")
    if digest(text, weights) != metadata.get("sha256"):
        refuse(str(path), "its sha256 is not the one it names")
    return from_json(parse(text, str(path)), weights, str(path))


def parse(text: str, source: str) -> dict[str, Any]:
    """The JSON object of a program. Raises: RunError."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as problem:
        refuse(source, f"no JSON: {problem}")
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        found = data.get("format") if isinstance(data, dict) else data
        refuse(source, f"format {found!r}, and this version reads {FORMAT}")
    return data


def from_json(data: Mapping[str, Any], weights: Mapping[str, np.ndarray], source: str) -> Program:
    """The inverse of `to_json`. Raises: RunError for anything but a program that is safe to run."""
    try:
        program = Program(
            buffers=read_buffers(data["buffers"]), weights=weights, prologue=read_operations(data["prologue"]),
            step=read_operations(data["step"]), output=read_operand(data["output"]),
            symbols=integer(data["symbols"], 0), begin=integer(data["begin"], -1), end=integer(data["end"], -1),
            position_limit=integer(data["position_limit"], -1),
            starts={words(name): words(start) for name, start in data["starts"].items()},
            fields=tuple(map(words, data["fields"])), shifts=tuple(map(words, data["shifts"])),
            model_sha256=words(data["model_sha256"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as problem:
        refuse(source, f"{type(problem).__name__}: {problem}")
    return program.validated(source)


def read_buffers(entries: Any) -> dict[str, Buffer]:
    """Raises: ValueError or TypeError for anything but buffers of different names."""
    found: dict[str, Buffer] = {}
    for name, role, shape in entries:
        if words(name) in found or len(shape) > MOST_AXES:
            raise ValueError(f"buffer {name!r} is there twice or has too many axes")
        found[name] = Buffer(words(role), tuple(integer(size, 0) for size in shape))  # type: ignore[arg-type]
    return found


def read_operations(entries: Any) -> tuple[Operation, ...]:
    """Raises: ValueError or TypeError for anything but operations."""
    if len(entries) > MOST_OPERATIONS:
        raise ValueError(f"{len(entries)} operations")
    return tuple(
        Operation(
            words(kind), read_operand(output), tuple(map(read_operand, inputs)), tuple(map(words, weights)),
            tuple(map(real, numbers)), words(clock), integer(every, 1),
        )
        for kind, output, inputs, weights, numbers, clock, every in entries
    )  # fmt: skip


def read_operand(entry: Any) -> Operand:
    """Raises: ValueError or TypeError for anything but an operand."""
    buffer, start, width = entry
    return Operand(words(buffer), integer(start, 0), integer(width, 0))


def integer(value: Any, low: int) -> int:
    """Raises: ValueError for anything but a whole number from `low` to 2**31."""
    if type(value) is not int or not low <= value < MOST_NUMBERS:
        raise ValueError(f"{value!r} is no whole number from {low} up")
    return value


def real(value: Any) -> float:
    """Raises: ValueError or OverflowError for anything but a finite number."""
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no finite number")
    return float(value)


def words(value: Any) -> str:
    """Raises: ValueError for anything but text on one line."""
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"{value!r} is no text on one line")
    return value
