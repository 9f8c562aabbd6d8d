"""How time and memory grow: with the size of the corpus, the length of sequences and what is generated."""

import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench.common import CHECKOUT, hardware, temporary_runs
from unrolled import backbones
from unrolled.backbones.transformer import gpt2, llama
from unrolled.core.protocol import Backbone

WIDTH = 64
BLOCK = 64  # steps, twice as many as there are between two re-reads of 64 learned positions
PROBE = """
import sys, time
from unrolled.api import train
began = time.monotonic()
train(sys.argv[1], runs=sys.argv[2], name="growth", steps=50, hidden=128, evaluate_every=50)
lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(time.monotonic() - began, lines["RssAnon"].split()[0], lines["VmHWM"].split()[0])
"""


def rotary() -> Backbone[Any]:
    """A small Llama."""
    return llama(WIDTH, layers=2, heads=4, window=64, hidden=128)


BACKBONES = {
    "window": lambda: backbones.Window(WIDTH, WIDTH, window=16),
    "elman": lambda: backbones.Elman(WIDTH, WIDTH),
    "gru": lambda: backbones.GRU(WIDTH, WIDTH),
    "lstm": lambda: backbones.LSTM(WIDTH, WIDTH),
    "nested_lstm": lambda: backbones.NestedLSTM(WIDTH, WIDTH),
    "convolution": lambda: backbones.Convolution(WIDTH, WIDTH, dilations=(1, 2, 4, 8), kernel=2),
    "gpt-2": lambda: gpt2(WIDTH, layers=2, heads=4, window=64),
    "llama": rotary,
}


@dataclass(frozen=True)
class Command:
    """How far to grow."""

    megabytes: int = 1000
    """largest corpus"""
    symbols: int = 100_000
    """symbols generated with each backbone"""
    length: int = 4096
    """longest sequence"""


def measure(command: Command) -> Iterator[dict[str, Any]]:
    """Rows of three tables: corpus, sequence, generation."""
    yield from corpus_rows(command.megabytes)
    yield from sequence_rows(command.length)
    yield from generation_rows(command.symbols)
    yield {"bench": "growth", "table": "hardware", **hardware()}


def corpus_rows(largest: int) -> Iterator[dict[str, Any]]:
    """Encode and train 50 updates on synthetic text, in a process of its own for each size."""
    sizes = [size for size in (1, 10, 100, 1000) if size <= largest]
    for size in sizes:
        with temporary_runs() as folder:
            data = folder / "text.txt"
            write_text(data, size * 1_000_000)
            environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "UNROLLED_CACHE": str(folder / "cache")}
            command = [sys.executable, "-c", PROBE, str(data), str(folder / "runs")]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            seconds, anonymous, peak = map(float, done.stdout.split()[-3:])
            yield {
                "bench": "growth", "table": "corpus", "megabytes": size, "seconds": seconds,
                "anonymous_megabytes": anonymous / 1000, "peak_resident_megabytes": peak / 1000,
            }  # fmt: skip


def write_text(path: Path, size: int) -> None:
    """Lines of words drawn from a small vocabulary."""
    draws = random.Random(0)
    words = ["".join(draws.choices("etaoinshrdlu", k=draws.randint(2, 9))) for _ in range(2000)]
    block = "\n".join(" ".join(draws.choices(words, k=12)) for _ in range(20_000)) + "\n"
    with open(path, "w") as file:
        while file.tell() < size:
            file.write(block[: size - file.tell()])


def sequence_rows(longest: int) -> Iterator[dict[str, Any]]:
    """Time and memory per symbol of forward and backward through `parallel` as sequences grow."""
    for name, build in BACKBONES.items():
        backbone = build()
        most = min(longest, backbone.position_limit or longest)
        for length in (64, 256, 1024, 4096):
            if length <= most:
                x = torch.randn(1, length, WIDTH)
                times = [forward_and_backward(backbone, x) for _ in range(5)]
                yield {
                    "bench": "growth", "table": "sequence", "backbone": name, "length": length,
                    "microseconds": statistics.median(times) / length * 1e6,
                    "kept_bytes": bytes_kept(backbone, x) / length,
                }  # fmt: skip


def bytes_kept(backbone: Backbone[Any], x: torch.Tensor) -> int:
    """What the forward pass keeps for the backward one, parameters included, each memory counted once."""
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        memory = tensor.untyped_storage()
        kept[memory.data_ptr()] = memory.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        output, _ = backbone.parallel(x, backbone.init_state(1))
        output.sum()
    return sum(kept.values())


def forward_and_backward(backbone: Backbone[Any], x: torch.Tensor) -> float:
    """Seconds of one pass."""
    began = time.perf_counter()
    output, _ = backbone.parallel(x, backbone.init_state(1))
    output.sum().backward()
    return time.perf_counter() - began


def generation_rows(symbols: int) -> Iterator[dict[str, Any]]:
    """Microseconds per step in the first and the last tenth of a long generation."""
    for name, build in BACKBONES.items():
        times = step_times(build(), symbols)
        tenth = max(1, len(times) // 10)
        first, last = amortised(times[:tenth]), amortised(times[-tenth:])
        yield {
            "bench": "growth", "table": "generation", "backbone": name, "symbols": symbols,
            "first_microseconds": first * 1e6, "last_microseconds": last * 1e6, "ratio": last / first,
        }  # fmt: skip


def amortised(times: list[float]) -> float:
    """Seconds of a step: the median of means over blocks, each of which holds the re-reads that belong to its steps."""
    blocks = [times[start : start + BLOCK] for start in range(0, len(times), BLOCK)]
    return statistics.median(statistics.fmean(block) for block in blocks)


@torch.inference_mode()
def step_times(backbone: Backbone[Any], symbols: int) -> list[float]:
    """Seconds of each step; a full table of positions is re-read for its last half, which counts."""
    x, state, age, limit = torch.randn(1, WIDTH), backbone.init_state(1), 0, backbone.position_limit
    recent = torch.randn(1, (limit or 0) // 2, WIDTH)
    times = []
    for _ in range(symbols):
        began = time.perf_counter()
        if limit and age == limit:
            _, state = backbone.parallel(recent, backbone.init_state(1))
            age = limit // 2
        _, state = backbone.step(x, state)
        age += 1
        times.append(time.perf_counter() - began)
    return times
