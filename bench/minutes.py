"""The best in a few minutes: training with no other option than the budget, on this machine as it is."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.common import evaluated, hardware, shared_text, temporary_runs, trained
from bench.ngram import cross_entropy
from unrolled.data.corpus import open_corpus


@dataclass(frozen=True)
class Command:
    """What to train on and for how long."""

    data: str = "tinyshakespeare.txt"
    """file in the folder of real text"""
    minutes: float = 3.0
    """time budget"""
    seeds: int = 1
    """runs, each with its own seed"""


def measure(command: Command) -> Iterator[dict[str, Any]]:
    """The loss of n-gram tables, then one row a run."""
    data = shared_text(command.data)
    yield {"bench": "minutes", "model": "n-gram table", **ngram(data)}
    with temporary_runs() as runs:
        for seed in range(command.seeds):
            yield row(data, [f"--minutes={command.minutes:g}", f"--seed={seed}"], runs) | hardware()


def row(data: Path, arguments: list[str], runs: Path) -> dict[str, Any]:
    """Train and score one run by both deterministic protocols."""
    run, seconds = trained(data, *arguments, runs=runs)
    carried = evaluated(run, "--protocol=carried")
    windows = evaluated(run, "--protocol=windows", "--window=64")
    return {
        "bench": "minutes", "model": "unrolled", "data": data.name, "arguments": " ".join(arguments),
        "seconds": seconds, "carried_nats": carried["nats"], "stderr": carried["stderr"],
        "predictions": carried["predictions"], "windows_nats": windows["nats"],
        "bits_per_byte": carried["bits_per_byte"],
    }  # fmt: skip


def ngram(data: Path, orders: int = 6) -> dict[str, Any]:
    """Interpolated n-gram tables on the characters of the same split."""
    corpus = open_corpus([data])
    texts = {part: "".join(corpus.texts(part)) for part in ("train", "validation")}
    symbols = {symbol: number for number, symbol in enumerate(sorted(set(texts["train"]) | set(texts["validation"])))}
    train, test = (np.array([symbols[symbol] for symbol in texts[part]]) for part in ("train", "validation"))
    losses = cross_entropy(train, test, len(symbols), orders)
    return {"data": data.name, **{f"order_{order}": loss for order, loss in enumerate(losses, 1)}}
