"""The default recipe of char-rnn against its neighbours: none may beat it by more than 0.02 nats at its own budget.

Rows already in the file given by --rows are not measured again, so a sweep can be made in several sittings.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.common import hardware, shared_text, temporary_runs
from bench.minutes import row

NEIGHBOURS: dict[str, list[str]] = {
    "default": [],
    "hidden 128": ["--hidden=128"],
    "hidden 192": ["--hidden=192"],
    "hidden 384": ["--hidden=384"],
    "hidden 640": ["--hidden=640"],
    "two layers": ["--layers=2"],
    "dropout 0.1": ["--dropout=0.1"],
    "adamw": ["--optimiser=adamw"],
    "higher matrix rate": ["--matrix-rate=0.07"],
    "lower matrix rate": ["--matrix-rate=0.03"],
    "twice the rows": ["--rows=32"],
    "half the rows": ["--rows=8"],
    "twice the length": ["--length=128"],
    "embedded symbols": ["--embedding=32"],
}
BUDGETS: dict[float, list[str]] = {
    1.0: [
        "default", "hidden 128", "hidden 384", "dropout 0.1", "half the rows", "twice the rows", "higher matrix rate",
        "lower matrix rate",
    ],
    3.0: [
        "default", "hidden 192", "hidden 384", "two layers", "dropout 0.1", "higher matrix rate", "lower matrix rate",
        "adamw", "twice the rows", "half the rows", "twice the length", "embedded symbols",
    ],
    15.0: ["default", "hidden 640"],
}  # fmt: skip


@dataclass(frozen=True)
class Command:
    """Which part of the sweep to measure."""

    data: str = "tinyshakespeare.txt"
    """file in the folder of real text"""
    minutes: float = 3.0
    """budget: 1, 3 or 15"""
    rows: Path | None = None
    """file of rows measured before; new rows are added to it"""


def measure(command: Command) -> Iterator[dict[str, Any]]:
    """One row a configuration, then the verdict."""
    data, done = shared_text(command.data), {}
    for found in command.rows.read_text().splitlines() if command.rows and command.rows.exists() else ():
        entry = json.loads(found)
        done[entry.get("minutes"), entry.get("configuration")] = entry
    losses = {}
    with temporary_runs() as runs:
        for name in BUDGETS[command.minutes]:
            entry = done.get((command.minutes, name))
            if entry is None:
                arguments = [f"--minutes={command.minutes:g}", *NEIGHBOURS[name]]
                entry = row(data, arguments, runs) | {
                    "bench": "sweep",
                    "minutes": command.minutes,
                    "configuration": name,
                }
                entry |= hardware()
                if command.rows:
                    with open(command.rows, "a") as file:
                        file.write(json.dumps(entry) + "\n")
            losses[name] = entry["carried_nats"]
            yield entry
    best = min(losses, key=lambda name: losses[name])
    margin = losses["default"] - losses[best]
    yield {
        "bench": "sweep", "minutes": command.minutes, "configurations": len(losses), "default_nats": losses["default"],
        "best": best, "best_nats": losses[best], "default_is_behind_by": margin, "reached": margin <= 0.02,
    }  # fmt: skip
