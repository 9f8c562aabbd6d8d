"""What this machine can do at most, by loops that have nothing of the package in them: bench/native/bounds.cpp.

They are compiled when they are needed, by the system's C++ compiler and for the processor that runs them.
"""

import ctypes
import math
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from bench.common import CHECKOUT
from unrolled.engine.program import Program
from unrolled.engine.runtime import Packed

SOURCE = CHECKOUT / "bench" / "native" / "bounds.cpp"
FLAGS = ("-std=c++20", "-O3", "-march=native", "-ffp-contract=fast", "-Wno-psabi", "-shared", "-fPIC", "-pthread")
SECONDS = 0.02  # of one measurement
REPETITIONS = 9  # of which the fastest counts, as a bound


class Bounds:
    """Rates of reading and of multiplying; `absent` says why there are none, "" where there are."""

    def __init__(self) -> None:
        self.library, self.absent = compiled()
        self.seen: dict[tuple[str, int], float] = {}

    def read(self, size: int, threads: int) -> float | None:
        """Bytes per second over `size` bytes read again and again, a part by each thread."""
        if self.library is None:
            return None
        return self.best(f"read {size}", threads, self.library.read_rate, ctypes.c_long(max(size, 1)))

    def multiply(self, form: str, threads: int) -> float | None:
        """Multiply-adds per second of `form`, "float32" or "int8", in registers; None too where there is no such form.

        The form "int8" is the widest dot product of bytes; of 16-bit numbers on a machine that has none of bytes.
        """
        if self.library is None:
            return None
        function = self.library.float_rate if form == "float32" else self.library.integer_rate
        return self.best(form, threads, function) or None

    def best(self, what: str, threads: int, function: Callable[..., float], *arguments: Any) -> float:
        """The highest rate that was ever seen of `what`: the machine may be busy with something else now."""
        rate = fastest(function, *arguments, ctypes.c_int(threads))
        self.seen[what, threads] = max(rate, self.seen.get((what, threads), 0.0))
        return self.seen[what, threads]

    def name(self, form: str) -> str:
        """The arithmetic that `multiply` times."""
        if form == "float32" or self.library is None:
            return "float32 multiply-adds"
        return f"integer dot products ({self.library.integer_name().decode()})"


def fastest(function: Callable[..., float], *arguments: Any) -> float:
    """The best of a few measurements, each of so many rounds as take `SECONDS`."""
    rounds, seconds = 1, 0.0
    while seconds < SECONDS:
        rounds *= min(100, math.ceil(1.2 * SECONDS / seconds)) if seconds else 1
        began = time.perf_counter()
        function(*arguments, ctypes.c_long(rounds))
        seconds = time.perf_counter() - began
    repetitions = REPETITIONS if seconds < 10 * SECONDS else 3
    return max(function(*arguments, ctypes.c_long(rounds)) for _ in range(repetitions))


@cache
def compiled() -> tuple[Any, str]:
    """The loops as a library, or None and why there is none."""
    compiler = os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), None)
    if compiler is None:
        return None, "no C++ compiler: install one, or name it in the environment variable CXX"
    with tempfile.TemporaryDirectory(prefix="unrolled-bounds-") as folder:
        library = Path(folder) / "bounds.so"
        try:
            subprocess.run(
                [compiler, *FLAGS, str(SOURCE), "-o", str(library)], check=True, capture_output=True, text=True
            )
            loaded = ctypes.CDLL(str(library))  # stays in memory when its file is gone
        except (OSError, subprocess.CalledProcessError) as problem:
            said = (getattr(problem, "stderr", "") or str(problem)).strip().splitlines()
            return None, f"{compiler} cannot build {SOURCE.name}: {said[0] if said else 'it says nothing'}"
    for name in ("read_rate", "float_rate", "integer_rate"):
        getattr(loaded, name).restype = ctypes.c_double
    loaded.integer_name.restype = ctypes.c_char_p
    return loaded, ""


def figures_of_bound(
    bounds: Bounds, packed: Packed, streams: int, threads: int, steps: int, rate: float
) -> dict[str, Any]:
    """Which bound binds `streams` rows that go `steps` steps, and the share of it that `rate` steps per second are.

    Weights are read once for all rows, in the steps that need them, and state for each. Matrices are multiplied in the
    precision of the weights, for bfloat16 in float32; attention in float32. The multiply-adds of int8 are plain dot
    products of bytes.
    """
    form = "int8" if packed.precision == "int8" else "float32"
    work = work_of(packed.program, steps)
    size = packed.bytes + streams * work.state_bytes
    reads, products, floats = (
        bounds.read(round(size), threads), bounds.multiply(form, threads), bounds.multiply("float32", threads)
    )  # fmt: skip
    found: dict[str, Any] = {
        "share_of_bound": None, "bound": None, "share_of_compute": None, "weight_bytes": packed.bytes,
        "state_bytes": work.state_bytes, "multiply_adds": work.matrices + work.attention,
        "read_bytes_per_second": reads, "multiply_adds_per_second": products, "multiply_form": bounds.name(form),
        "bounds_absent": bounds.absent,
    }  # fmt: skip
    if not reads or not products or not floats:
        return found
    size -= packed.bytes * (1 - work.read_share)
    reading, multiplying = size / streams / reads, work.matrices / products + work.attention / floats
    return found | {
        "bound": "read" if reading > multiplying else "multiply",
        "share_of_bound": rate * max(reading, multiplying),
        "share_of_compute": rate * multiplying,
    }


class Work(NamedTuple):
    """Of one row in one step, on average: multiply-adds of matrices and of attention, bytes of state read, and the
    share of the weights that is read, as a slow tier rests in most steps.
    """

    matrices: int
    attention: float
    state_bytes: float
    read_share: float = 1.0


def work_of(program: Program, steps: int) -> Work:
    """Of the first `steps` steps of a row, in which caches fill."""
    matrices, attention, numbers, weights = 0, 0.0, 0.0, 0
    numbers += sum(buffer.width for buffer in program.buffers.values() if buffer.role == "vector")
    for operation in program.step:
        if operation.kind in ("linear", "linear_add"):
            matrices += program.multiply_adds(operation)
            weights += program.weights[operation.weights[0]].size
        elif operation.kind == "taps":
            numbers += operation.output.width - operation.inputs[0].width
        elif operation.kind == "attention":
            heads, before, width = program.buffers[operation.inputs[1].buffer].shape
            seen = sum(min(age, before) for age in range(steps)) / steps
            numbers += 2 * heads * width * seen
            attention += 2 * operation.output.width * (seen + 1)
    return Work(matrices, attention, 4 * numbers, matrices / weights if weights else 1.0)
