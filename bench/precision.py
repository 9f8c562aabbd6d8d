"""What bfloat16 and int8 weights cost each text system in nats, after training by its default recipe."""

import math
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from bench.common import evaluated, hardware, shared_text, temporary_runs, trained
from unrolled.engine.runtime import Precision

SYSTEMS = ("window", "char-rnn", "word-rnn", "gpt")
MOST = {"float32": 0.0, "bfloat16": 0.002, "int8": 0.01}  # nats per character


@dataclass(frozen=True)
class Command:
    """What to train on and for how long."""

    data: str = "tinyshakespeare.txt"
    """file in the folder of real text"""
    minutes: float = 3.0
    """time budget of each system"""
    runs: Path | None = None
    """folder to keep the runs in; those that are there are not trained again"""


def measure(command: Command) -> Iterator[dict[str, Any]]:
    """One row for each system and precision: nats by the native engine over the whole validation part."""
    data = shared_text(command.data)
    with temporary_runs() if command.runs is None else nullcontext(command.runs) as runs:
        for system in SYSTEMS:
            run = runs / f"precision-{system}"
            if not run.exists():
                trained(data, f"--system={system}", f"--minutes={command.minutes:g}", f"--name={run.name}", runs=runs)
            exact = None
            for precision in get_args(Precision):
                found = evaluated(run, "--engine=native", f"--precision={precision}")
                exact = exact or found
                cost = (found["bits_per_character"] - exact["bits_per_character"]) * math.log(2)
                yield {
                    "bench": "precision", "system": system, "precision": precision, "nats": found["nats"],
                    "cost_per_symbol": found["nats"] - exact["nats"], "cost_per_character": cost,
                    "most": MOST[precision], "reached": cost <= MOST[precision], "protocol": found["protocol"],
                    "predictions": found["predictions"], **hardware(),
                }  # fmt: skip
