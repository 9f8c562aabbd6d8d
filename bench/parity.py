"""nanoGPT's CPU recipe with equal settings: its README publishes a validation loss of 1.88 (240 windows)."""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench.common import evaluated, hardware, shared_text, temporary_runs, trained

SETTINGS = [
    "--system=gpt", "--family=gpt-2", "--layers=4", "--heads=4", "--width=128", "--context=64", "--dropout=0",
    "--rows=12", "--length=64", "--steps=2000", "--learning-rate=1e-3", "--final-rate=0.1", "--warmup=100",
    "--optimiser=adamw", "--weight-decay=0.1", "--clip=1", "--evaluate-every=250", "--vocabulary-from=all",
]  # fmt: skip


@dataclass(frozen=True)
class Command:
    """How often to repeat the recipe."""

    seeds: int = 5
    """runs, each with its own seed"""


def measure(command: Command) -> Iterator[dict[str, Any]]:
    """One row a seed, then the mean of the estimates."""
    data, estimates = shared_text("tinyshakespeare.txt"), []
    with temporary_runs() as runs:
        for seed in range(command.seeds):
            run, seconds = trained(data, *SETTINGS, f"--seed={seed}", runs=runs)
            estimate = evaluated(run, "--protocol=random", "--window=64", "--count=240", f"--seed={seed}")
            full = evaluated(run, "--protocol=windows", "--window=64")
            estimates.append(estimate["nats"])
            yield {
                "bench": "parity", "seed": seed, "nats_240_windows": estimate["nats"],
                "stderr": estimate["stderr"], "nats_all_windows": full["nats"], "seconds": seconds,
            }  # fmt: skip
    mean = statistics.fmean(estimates)
    yield {
        "bench": "parity", "seeds": command.seeds, "nats_240_windows": mean, "published": 1.88, "allowed": 0.06,
        "reached": abs(mean - 1.88) <= 0.06, **hardware(),
    }  # fmt: skip
