"""SIGKILL at random instants, half of them during saves: no unusable run, and the weights of an unbroken run."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.common import CHECKOUT, hardware, temporary_runs
from unrolled.core.errors import UnrolledError

TEXT = "".join(
    f"{number} bottles stand on the wall, and {number * number % 97} of them are green.\n" for number in range(800)
)
SETTINGS = [
    "--hidden=48",
    "--dropout=0.2",
    "--steps=1500",
    "--evaluate-every=100",
    "--checkpoint-seconds=0.2",
    "--seed=5",
]


@dataclass(frozen=True)
class Command:
    """How often to kill."""

    kills: int = 50
    """processes killed"""
    seed: int = 0
    """number that the instants follow from"""


def measure(command: Command) -> Iterator[dict[str, Any]]:
    """One row with the counts and the comparison of the final weights."""
    draws = random.Random(command.seed)
    with temporary_runs() as folder:
        data = folder / "bottles.txt"
        data.write_text(TEXT)
        start(["train", data, "--runs", folder, "--name=whole", *SETTINGS]).wait()
        begin = ["train", data, "--runs", folder, "--name=broken", *SETTINGS]
        go_on = ["train", "--runs", folder, "--resume=broken"]
        kills = in_saves = unusable = 0
        while kills < command.kills:
            process = start(begin if not (folder / "broken" / "config.json").exists() else go_on)
            wants_save = kills % 2 == 1
            in_save = wait_for_save(folder / "broken", process, draws) if wants_save else wait(process, draws)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills, in_saves = kills + 1, in_saves + in_save
                unusable += not is_usable(folder)
            elif (folder / "broken").exists():  # it came to its end: kill another one
                (folder / "broken").rename(folder / f"ended-{len(list(folder.glob('ended-*')))}")
        start(go_on if (folder / "broken" / "config.json").exists() else begin).wait()
        ended = [folder / "broken", *folder.glob("ended-*")]
        equal = {digest(run) for run in ended} == {digest(folder / "whole")}
        yield {
            "bench": "survival", "kills": kills, "ended_runs": len(ended),
            "in_saves": in_saves, "unusable": unusable, "equal_weights": equal,
            "reached": equal and not unusable, **hardware(),
        }  # fmt: skip


def start(arguments: list[Any]) -> subprocess.Popen[bytes]:
    """`unrolled` in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "unrolled", *map(str, arguments)], env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def wait(process: subprocess.Popen[bytes], draws: random.Random) -> bool:
    """Let the process live for a random time."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(draws.uniform(2.0, 7.0))
    return False


def wait_for_save(run: Path, process: subprocess.Popen[bytes], draws: random.Random) -> bool:
    """Let the process live until it is in the middle of a save; whether it was."""
    time.sleep(draws.uniform(2.0, 6.0))
    end = time.monotonic() + 10
    while time.monotonic() < end and process.poll() is None:
        if any(run.glob("checkpoints/.*.tmp")) or any(run.glob(".*.tmp")):
            return True
    return False


def is_usable(folder: Path) -> bool:
    """Whether the run as it lies there generates, or has not begun yet."""
    if not (folder / "broken" / "config.json").exists():
        return True
    from unrolled.api.runs import load

    try:
        return bool(load("broken", runs=folder).generate(length=5, temperature=0))
    except UnrolledError as problem:
        print(f"unusable: {problem}", file=sys.stderr)
        return False


def digest(run: Path) -> str:
    """The hash of the final weights."""
    return hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()
