"""The studies of SampleRNN's authors at a size that fits two cores: windows, the embedding, two tiers or three.

Every configuration makes as many updates, of as many rows: as with the authors, a window that is half as long reads
half as much. What longer windows are worth where all read the same, shorter ones in more rows, is measured beside it.
Bits compare within a column only, as the published ones are of other data. Rows already in the file given by --rows are
not measured again. Source of the figures: Mehri et al. 2017, tables 1 to 3.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bench.common import evaluated, hardware, kept, rows_in, shared_sound, temporary_runs, trained
from unrolled.core.errors import UsageError

ROWS, LONGEST = 16, 512
THREE, TWO = "--preset=3-tier", "--preset=2-tier"
VALIDATION, TEST = "Blizzard, validation", "Blizzard, test"
SCORED = ("--protocol=random", "--window=8000", "--count=100")
WINDOWS = {32: 1.575, 64: 1.468, 128: 1.412, 256: 1.391, 512: 1.364}  # bits per sample on Blizzard, validation


class Configuration(NamedTuple):
    """One model, and the windows of its training."""

    arguments: tuple[str, ...] = (THREE,)
    window: int = LONGEST
    rows: int = ROWS
    published: float | None = None
    published_on: str | None = None


class Comparison(NamedTuple):
    """Two configurations, and the authors' bits per sample of both; None where they have none."""

    worse: str
    better: str
    published: tuple[float, float] | None = None
    data: str | None = None


CONFIGURATIONS = {
    **{f"window {size}": Configuration((THREE,), size, ROWS, bits, VALIDATION) for size, bits in WINDOWS.items()},
    "window 32, more rows": Configuration(window=32, rows=ROWS * LONGEST // 32),
    "2-tier": Configuration((TWO,), published=1.392, published_on=TEST),
    "2-tier without embedding": Configuration((TWO, "--embedding=0"), published=1.566, published_on=TEST),
}
STUDIES = {  # that of the longest window is the one of three tiers
    "window": Comparison("window 32", "window 512", (WINDOWS[32], WINDOWS[512]), VALIDATION),
    "window, all read the same": Comparison("window 32, more rows", "window 512"),
    "embedding": Comparison("2-tier without embedding", "2-tier", (1.566, 1.392), TEST),
    "tiers": Comparison("2-tier", "window 512", (1.392, 1.387), TEST),
    "tiers, other data": Comparison("2-tier", "window 512", (2.026, 1.990), "Onomatopoeia, test"),
    "tiers, music": Comparison("2-tier", "window 512", (1.076, 1.159), "music, test"),
}


@dataclass(frozen=True)
class Command:
    """What to train and for how long."""

    data: str = "music16k"
    """folder of real recordings"""
    validation: str = "Deprecation"
    """track that validates"""
    samples: int = 12_000_000
    """samples that a configuration with the longest window reads"""
    width: int = 128
    """units of each layer"""
    embedding: int = 64
    """width of the embedding"""
    only: tuple[str, ...] = ()
    """a configuration, may be repeated: "window 32", 2-tier (default: all)"""
    threads: int | None = None
    """threads of training (default: what is fastest)"""
    rows: Path | None = None
    """file of rows measured before; new rows are added to it"""


def measure(command: Command) -> Iterator[dict[str, Any]]:
    """One row a configuration, then one a study whose configurations are all there."""
    if unknown := [name for name in command.only if name not in CONFIGURATIONS]:
        raise UsageError(f"no configuration is called {unknown[0]!r}: there are {', '.join(CONFIGURATIONS)}")
    known = {row.get("arguments"): row for row in rows_in(command.rows)}
    found: dict[str, dict[str, Any]] = {}
    with temporary_runs() as runs:
        for name in command.only or CONFIGURATIONS:
            words = words_of(name, command)
            row = known.get(" ".join(words))
            found[name] = row or kept(command.rows, trial(name, words, command, runs) | hardware())
            yield found[name]
    for study, comparison in STUDIES.items():
        if comparison.worse in found and comparison.better in found:
            yield verdict(study, comparison, *(found[name] for name in (comparison.worse, comparison.better)))


def words_of(name: str, command: Command) -> list[str]:
    """The options of a training."""
    configuration = CONFIGURATIONS[name]
    steps = max(1, command.samples // (ROWS * LONGEST))
    words = ["--system=sample-rnn", f"--width={command.width}", f"--embedding={command.embedding}"]
    words += [*configuration.arguments, f"--length={configuration.window}", f"--rows={configuration.rows}"]
    words += [f"--steps={steps}", f"--validation={command.validation}", f"--evaluate-every={steps}"]
    return [*words, "--sample-every=1000000"]


def trial(name: str, words: list[str], command: Command, runs: Path) -> dict[str, Any]:
    """Train one configuration and score it."""
    threads = [f"--threads={command.threads}"] * (command.threads is not None)
    run, seconds = trained(shared_sound(command.data), *words, *threads, f"--name={name.replace(' ', '-')}", runs=runs)
    scored = evaluated(run, *SCORED)
    configuration = CONFIGURATIONS[name]
    steps = max(1, command.samples // (ROWS * LONGEST))
    return {
        "bench": "studies", "table": "configuration", "configuration": name, "data": command.data,
        "bits_per_sample": scored["bits_per_sample"],
        "stderr_bits": scored["stderr"] / math.log(2), "published": configuration.published,
        "published_on": configuration.published_on, "width": command.width, "seconds": seconds,
        "samples": steps * configuration.rows * configuration.window,
        "predictions": scored["predictions"],
        "protocol": scored["protocol"], "arguments": " ".join(words),
    }  # fmt: skip


def verdict(study: str, comparison: Comparison, worse: dict[str, Any], better: dict[str, Any]) -> dict[str, Any]:
    """By how many bits the second configuration is better, here and as published."""
    published = comparison.published
    published_gain = published and published[0] - published[1]
    gain = worse["bits_per_sample"] - better["bits_per_sample"]
    error = math.hypot(worse["stderr_bits"], better["stderr_bits"])
    return {
        "bench": "studies", "table": "study", "study": study, "worse": comparison.worse, "better": comparison.better,
        "gain_bits": gain, "stderr_bits": error, "published_gain_bits": published_gain,
        "published_on": comparison.data,
        "same_direction": None if published_gain is None else (gain > 0) == (published_gain > 0),
    }  # fmt: skip
