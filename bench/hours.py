"""How time and memory grow with hours of recordings: opening, encoding and a few updates, and once more from the cache.

The tracks are synthetic and are deleted after each row. Each reading runs in a process of its own. Memory is what
belongs to the process alone (RssAnon), at its highest; pages of the mapped cache are the system's to take back.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.common import CHECKOUT, hardware, temporary_runs

RATE, BLOCK = 16_000, 10  # samples a second; seconds that are written at once
SIZES = (1 / 60, 1 / 6, 1.0, 10.0)  # hours
MOST = 1.25  # memory of the longest against that of the shortest
PROBE = """
import sys, threading, time
from unrolled.api import train
from unrolled.api.events import Started

def anonymous():
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(lines["RssAnon"].split()[0])

def watch():
    while not over.wait(0.02):
        peaks.append(anonymous())

over, peaks, ready = threading.Event(), [anonymous()], []
thread = threading.Thread(target=watch)
thread.start()
began = time.monotonic()
train(
    sys.argv[1], runs=sys.argv[2], system="wavenet", name=sys.argv[3], steps=20, rows=4, length=512, split=0.9,
    cycles=1, layers=6, width=16, gate=16, skip=32, evaluate_every=20, sample_every=1000, threads=1,
    observe=lambda event: ready.append(time.monotonic() - began) if isinstance(event, Started) else None,
)
seconds = time.monotonic() - began
over.set()
thread.join()
print(ready[0], seconds, max(peaks), anonymous())
"""


@dataclass(frozen=True)
class Command:
    """How far to grow."""

    hours: float = 10.0
    """longest data set; shorter ones are 1 and 10 minutes and 1 hour"""
    track: float = 10.0
    """minutes of a track at most; 600 for a single one"""


def measure(command: Command) -> Iterator[dict[str, Any]]:
    """Two rows a size, then the growth of memory from the first to the last."""
    sizes = [size for size in SIZES if size < command.hours] + [command.hours]
    peaks = []
    for hours in sizes:
        for row in readings(hours, round(command.track * 60)):
            peaks.append(row["peak_anonymous_megabytes"])
            yield row | hardware()
    growth = max(peaks[-2:]) / max(peaks[:2])
    yield {
        "bench": "hours", "from_hours": sizes[0], "to_hours": sizes[-1], "memory_growth": growth, "most": MOST,
        "reached": growth <= MOST,
    }  # fmt: skip


def readings(hours: float, longest: int) -> Iterator[dict[str, Any]]:
    """A data set of so many hours, in tracks of `longest` seconds at most, read for the first time and again."""
    with temporary_runs() as folder:
        seconds_written = round(hours * 3600)
        for number, start in enumerate(range(0, seconds_written, longest)):
            write_track(folder / "tracks" / f"{number:03}.wav", number, min(longest, seconds_written - start))
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "UNROLLED_CACHE": str(folder / "cache")}
        for name in ("first", "cached"):
            command = [sys.executable, "-c", PROBE, str(folder / "tracks"), str(folder / "runs"), name]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            ready, seconds, peak, end = map(float, done.stdout.split()[-4:])
            yield {
                "bench": "hours", "hours": hours, "tracks": number + 1, "reading": name, "ready_seconds": ready,
                "seconds": seconds, "hours_per_minute": hours / (ready / 60), "last_anonymous_megabytes": end / 1000,
                "peak_anonymous_megabytes": peak / 1000,
            }  # fmt: skip


def write_track(path: Path, number: int, seconds: int) -> None:
    """A tone that wanders, with noise, unlike that of any other track."""
    import soundfile

    path.parent.mkdir(exist_ok=True)
    draws = np.random.default_rng(number)
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
        for start in range(0, seconds, BLOCK):
            count = min(BLOCK, seconds - start) * RATE
            tone = np.sin(np.arange(count, dtype=np.float32) * np.float32(draws.uniform(0.02, 0.5)))
            file.write(0.4 * tone + draws.standard_normal(count, np.float32) * np.float32(0.02))
