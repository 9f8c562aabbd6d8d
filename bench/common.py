"""What the measurements share: running the program as a user does, real data, and rows of figures."""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unrolled.core.errors import DataError

CHECKOUT = Path(__file__).resolve().parents[1]
SHARED = CHECKOUT.parent / "shared" / "data"


def shared_text(name: str) -> Path:
    """A file of real text beside the checkout.

    Raises: DataError where it is absent.
    """
    return shared(SHARED / "text" / name)


def shared_sound(name: str) -> Path:
    """A file or folder of real recordings beside the checkout.

    Raises: DataError where it is absent.
    """
    return shared(SHARED / "audio" / name)


def shared(path: Path) -> Path:
    """A path, if it is there."""
    if not path.exists():
        raise DataError(f"{path}: this measurement needs it: put the data folder beside the checkout")
    return path


def unrolled(*arguments: str, seconds: float | None = None) -> str:
    """What one command line prints; its errors are shown and end the measurement."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "unrolled", *map(str, arguments)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, timeout=seconds)
    if done.returncode:
        raise DataError(f"`unrolled {' '.join(map(str, arguments))}` ended with exit code {done.returncode}")
    return done.stdout


def trained(data: Path, *arguments: str, runs: Path) -> tuple[Path, float]:
    """Train by the command line; the run folder, and the wall-clock seconds with everything included."""
    began = time.monotonic()
    path = unrolled("train", str(data), "--runs", str(runs), "--quiet", *arguments).strip().splitlines()[-1]
    return Path(path), time.monotonic() - began


def evaluated(run: Path, *arguments: str) -> dict[str, Any]:
    """The figures of a run by the command line."""
    return json.loads(unrolled("evaluate", str(run), "--json", *arguments))


@contextmanager
def temporary_runs() -> Iterator[Path]:
    """A folder for runs that are not kept."""
    with tempfile.TemporaryDirectory(prefix="unrolled-bench-") as folder:
        yield Path(folder)


def hardware() -> dict[str, Any]:
    """What a figure was measured on."""
    import torch

    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "date": time.strftime("%Y-%m-%d"),
    }


def processor() -> str:
    """The processor's name, or as much as the system tells, with its widest vector instructions."""
    import torch

    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"


def rows_in(path: Path | None) -> list[dict[str, Any]]:
    """The rows of a file, none where there is no file."""
    return [] if path is None or not path.exists() else list(map(json.loads, path.read_text().splitlines()))


def kept(path: Path | None, row: dict[str, Any]) -> dict[str, Any]:
    """A row that has been added to a file, if one is given."""
    if path is not None:
        with open(path, "a") as file:
            file.write(json.dumps(row) + "\n")
    return row


def emit(rows: Iterable[dict[str, Any]], as_json: bool) -> None:
    """Print rows as they come: one JSON object a line, or name = value."""
    for row in rows:
        shown = {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}
        line = json.dumps(shown) if as_json else "  ".join(f"{key} {value}" for key, value in shown.items())
        print(line, flush=True)
