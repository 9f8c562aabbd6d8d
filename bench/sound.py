"""Sound as it is made: seconds of it per second, the time until the first of it, and SampleRNN as published in batches.

Models have random weights, on which speed does not depend. All precisions and threads of a system run turn by turn in
this process, and figures are medians of the turns. Of the time to the first sound, `first_sound_s` is that of an engine
that is open, and `first_sound_opening_s` begins with the run folder.
"""

import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from bench.bounds import Bounds, figures_of_bound
from bench.common import hardware, temporary_runs, trained
from bench.generate import COMPUTE_SHARE, turn
from bench.generation_shapes import PRECISIONS, SAMPLE_RATE, SEED, Ours
from unrolled.api.runs import load
from unrolled.api.sound_run import SoundRequest, SoundRun
from unrolled.core.contracts import Budget
from unrolled.core.errors import UsageError
from unrolled.engine.lowering import NotLowered, lower
from unrolled.engine.runtime import Packed, Precision
from unrolled.systems import find_system

LIVE = {"wavenet live": [], "wavenet full": ["--preset=full"], "sample-rnn live": []}
THREADS = (1, 2)
FIRST_SOUND = 0.5  # seconds, at most
PAPER, STREAMS, MANY = ("sample-rnn", "3-tier"), 32, 10.0
STEPS = 64  # of one call for many streams: whole frames


class Case(NamedTuple):
    """One row of the live table."""

    system: str
    precision: Precision
    threads: int


GOALS = {
    Case("wavenet full", "int8", 1): 1.3,
    Case("wavenet full", "float32", 2): 1.0,
    Case("sample-rnn live", "float32", 1): 1.0,
}  # seconds of sound per second


@dataclass(frozen=True)
class Command:
    """What to measure and for how long."""

    systems: tuple[str, ...] = ()
    """beginning of a system's name, may be repeated: wavenet, "sample-rnn live", batch (default: all)"""
    seconds: float = 0.4
    """shortest turn of each case"""
    turns: int = 5
    """turns of each case"""


def measure(command: Command) -> Iterator[dict[str, Any]]:
    """One row a system, precision and number of threads, then one for each number of threads of the batch."""
    named = [*LIVE, "batch"]
    wanted = [name for name in named if name.startswith(command.systems or "")]
    if not wanted:
        raise UsageError(f"no system begins with {' or '.join(command.systems)}: there are {', '.join(named)}")
    threads = torch.get_num_threads()
    try:
        with temporary_runs() as folder:
            data = noise(folder / "noise.wav")
            for name in wanted:
                machine = hardware()
                for row in batch_rows(command) if name == "batch" else live_rows(command, name, data, folder):
                    yield {"bench": "sound", **machine, **row}
    finally:
        torch.set_num_threads(threads)


def noise(path: Path) -> Path:
    """A recording, which the command line needs for a run to begin with."""
    import soundfile

    soundfile.write(path, np.random.default_rng(SEED).uniform(-0.5, 0.5, SAMPLE_RATE), SAMPLE_RATE)
    return path


def live_rows(command: Command, name: str, data: Path, folder: Path) -> Iterator[dict[str, Any]]:
    """The rows of one system, through the same calls as those of a person who listens."""
    words = [f"--system={name.split()[0]}", *LIVE[name], "--steps=1", "--rows=1", "--length=64", "--sample-every=9"]
    run, _ = trained(data, *words, f"--name={name.replace(' ', '-')}", runs=folder)
    opened: Any = load(run)
    cases = [Case(name, precision, count) for precision in PRECISIONS for count in THREADS if count <= cores()]
    streams = {case: stream for case in cases if (stream := Stream.opened(opened, case))}
    rates: dict[Case, list[float]] = {case: [] for case in streams}
    for _ in range(command.turns):
        for case, stream in streams.items():
            rates[case].append(turn(stream.block, command.seconds) / SAMPLE_RATE)
    for case in streams:
        realtime, goal = statistics.median(rates[case]), GOALS.get(case)
        open_seconds = statistics.median(first_sound(opened, case) for _ in range(command.turns))
        opening = statistics.median(first_sound(run, case) for _ in range(command.turns))
        yield {
            "table": "live", **case._asdict(), "realtime": realtime, "first_sound_s": open_seconds,
            "first_sound_opening_s": opening, "engine": streams[case].engine, "goal": goal,
            "reached": None if goal is None else realtime >= goal and opening <= FIRST_SOUND,
        }  # fmt: skip


def cores() -> int:
    """Of this machine."""
    return os.cpu_count() or 1


def request(case: Case, seconds: float) -> SoundRequest:
    """So much sound in the manner of a case."""
    return SoundRequest(seconds=seconds, precision=case.precision, threads=case.threads)


class Stream:
    """Endless sound."""

    def __init__(self, run: SoundRun, case: Case) -> None:
        self.engine = run.engine(request(case, 1.0)).name
        self.blocks = run.blocks(request(case, 1e6), 1)

    def block(self) -> int:
        """Make a block; the number of its samples."""
        return next(self.blocks).samples.shape[1]

    @classmethod
    def opened(cls, run: SoundRun, case: Case) -> "Stream | None":
        """The stream of a case; None for a precision, or second thread, that only the native engine has."""
        try:
            found = cls(run, case)
        except UsageError:
            return None
        return None if found.engine == "torch" and case.threads > 1 else found


def first_sound(run: SoundRun | Path, case: Case) -> float:
    """Seconds until the first block, of a run that is open or from its folder on."""
    began = time.perf_counter()
    opened: Any = load(run) if isinstance(run, Path) else run
    blocks = opened.blocks(request(case, 1.0), 1)
    next(blocks)
    return time.perf_counter() - began


def batch_rows(command: Command) -> Iterator[dict[str, Any]]:
    """Many streams of the paper's model against one, in float32."""
    try:
        packed = Packed(lower(random_model(*PAPER)))
    except NotLowered as problem:
        yield {"table": "batch", "system": " ".join(PAPER), "note": str(problem)}
        return
    bounds = Bounds()
    for threads in THREADS[: cores()]:
        many, one = Ours(packed, STREAMS, threads, STEPS), Ours(packed, 1, threads, 4 * STEPS)
        figures_of_bound(bounds, packed, STREAMS, threads, STEPS, 0.0)  # twice, and the best counts
        rates: dict[str, list[float]] = {"many": [], "one": []}
        for _ in range(command.turns):
            for name, ours in (("many", many), ("one", one)):
                rates[name].append(turn(ours.loops("drawn text")[0], command.seconds))
        rate, alone = (statistics.median(rates[name]) for name in ("many", "one"))
        bound = figures_of_bound(bounds, packed, STREAMS, threads, STEPS, rate)
        near = (bound["share_of_compute"] or 0.0) >= COMPUTE_SHARE
        yield {
            "table": "batch", "system": " ".join(PAPER), "precision": "float32", "threads": threads,
            "streams": STREAMS, "realtime": rate / SAMPLE_RATE, "one_realtime": alone / SAMPLE_RATE,
            "ratio": rate / alone, "goal": MANY, "reached": rate / alone >= MANY or near, **bound,
        }  # fmt: skip


def random_model(name: str, preset: str) -> Any:
    """A model of a system's preset as training begins with it."""
    torch.manual_seed(SEED)
    system = find_system(name)
    config = system.complete(system.Config(preset=preset), Budget(1.0, 1))
    return system.build(config, system.codec(config), ()).eval()
