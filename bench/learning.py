"""What sound models learn in a given time, against trivial predictors on the same split, and what int8 costs them.

Everything goes through the command line as a user types it. Rows already in the file given by --rows are not measured
again, so the table can be made in several sittings.
"""

import math
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.common import evaluated, hardware, kept, rows_in, shared_sound, temporary_runs, trained
from unrolled.core.errors import DataError, UsageError

INT8_COST = 0.01  # bits per sample, at most
SCORED = ("--protocol=random", "--window=8000", "--count=50")  # what precisions are compared on
ECHO_GOAL, HEARD = 0.8, 1.0  # correlation with the original over the second that follows the seed of a second
TEMPERATURES, SEEDS = (0.0, 0.3, 0.6, 1.0), 4


class Case(NamedTuple):
    """One training. `goal`: bits per sample under the best trivial predictor, or bits per sample where it is `most`."""

    system: str
    data: str
    arguments: tuple[str, ...]
    minutes: float
    goal: float
    is_overfit: bool = False


MUSIC, LOOPS, WHOLE = ("--validation=Deprecation",), ("--within", "--split=0.8"), ("--split=1",)
CASES = {
    "music-wavenet": Case("wavenet", "music16k", MUSIC, 20, 0.1),
    "music-sample-rnn": Case("sample-rnn", "music16k", MUSIC, 60, 0.1),
    "loops-wavenet": Case("wavenet", "sonicpi_loops16k", LOOPS, 20, 0.0),
    "loops-sample-rnn": Case("sample-rnn", "sonicpi_loops16k", LOOPS, 20, 0.0),
    "overfit-wavenet": Case("wavenet", "sonicpi_loops16k", WHOLE, 20, 1.0, True),
    "overfit-sample-rnn": Case("sample-rnn", "sonicpi_loops16k", WHOLE, 20, 1.0, True),
}


@dataclass(frozen=True)
class Command:
    """What to train and for how long."""

    only: tuple[str, ...] = ()
    """a row, may be repeated: music-wavenet, overfit-sample-rnn (default: all rows)"""
    minutes: float | None = None
    """time budget of each training (default: 60 for sample-rnn on music, 20 for the others)"""
    threads: int | None = None
    """threads of training (default: what is fastest)"""
    loop: str = "loop_garzul.flac"
    """recording of 8 s to learn by heart"""
    more: tuple[str, ...] = ()
    """further option of every training, may be repeated: --more=--seed=1"""
    runs: Path | None = None
    """folder to keep the runs in; those that are there are not trained again"""
    rows: Path | None = None
    """file of rows measured before; new rows are added to it"""


def measure(command: Command) -> Iterator[dict[str, Any]]:
    """One row a training, then what int8 costs those of this table."""
    if unknown := [name for name in command.only if name not in CASES]:
        raise UsageError(f"no row is called {unknown[0]!r}: there are {', '.join(CASES)}")
    known, rows = {(row.get("data"), row.get("arguments")): row for row in rows_in(command.rows)}, []
    with temporary_runs() if command.runs is None else nullcontext(command.runs) as runs:
        for name in command.only or CASES:
            case, data, words = trial(name, command)
            row = known.get((data.name, " ".join(words)))
            rows.append(row or kept(command.rows, learned(name, case, data, words, runs) | hardware()))
            yield rows[-1]
    for row in rows:
        cost = row["int8_cost_bits"]
        yield {
            "bench": "learning", "case": row["case"], "precision": "int8", "cost_bits": cost, "most": INT8_COST,
            "reached": None if cost is None else cost <= INT8_COST,
        }  # fmt: skip


def trial(name: str, command: Command) -> tuple[Case, Path, list[str]]:
    """A case, what it learns from and the options of its training."""
    case = CASES[name]._replace(minutes=command.minutes or CASES[name].minutes)
    data = shared_sound(case.data) / (command.loop if case.is_overfit else "")
    words = [f"--system={case.system}", *case.arguments, f"--minutes={case.minutes:g}", f"--name={name}"]
    words += [f"--threads={command.threads}"] * (command.threads is not None)
    return case, data, words + list(command.more)


def learned(name: str, case: Case, data: Path, words: list[str], runs: Path) -> dict[str, Any]:
    """Train one case and score it."""
    run = runs / name
    seconds = None if run.exists() else trained(data, *words, runs=runs)[1]
    found = evaluated(run, f"--split={'train' if case.is_overfit else 'validation'}")
    echo = echoed(run, data) if case.is_overfit else {}
    bits = found["bits_per_sample"]
    reached = bits < case.goal and echo["echo"] >= ECHO_GOAL if echo else found["under_best"] > case.goal
    return {
        "bench": "learning", "case": name, "system": case.system, "data": data.name, "minutes": case.minutes,
        "arguments": " ".join(words), "seconds": seconds, "bits_per_sample": bits,
        "stderr_bits": found["stderr"] / math.log(2), "predictions": found["predictions"], "split": found["split"],
        **{f"{predictor}_bits": value for predictor, value in found["baselines"].items()},
        "under_best": found["under_best"], **echo, "goal": case.goal, "reached": reached,
        "int8_cost_bits": int8_cost(run, case),
    }  # fmt: skip


def int8_cost(run: Path, case: Case) -> float | None:
    """Bits per sample that int8 adds over the same windows; None where the native engine cannot run the model."""
    split = "train" if case.is_overfit else "validation"
    try:
        found = evaluated(run, "--engine=native", "--precision=int8", f"--split={split}", *SCORED)
    except DataError:
        return None
    return found["cost"] / math.log(2)


def echoed(folder: Path, recording: Path) -> dict[str, Any]:
    """How like the original the model goes on after the first second of a recording: the best of a few attempts."""
    import soundfile

    from unrolled.api.runs import load

    run: Any = load(folder)
    original, rate = soundfile.read(recording, dtype="float32")
    heard = round(HEARD * rate)
    with temporary_runs() as place:
        seed = place / "seed.wav"
        soundfile.write(seed, original[:heard], rate, subtype="FLOAT")
        attempts = []
        for temperature in TEMPERATURES:
            made = run.samples(seed, SEEDS if temperature else 1, seconds=HEARD, temperature=temperature)
            alike = [correlation(row, original[heard : 2 * heard]) for row in made]
            attempts += [(value, temperature, number) for number, value in enumerate(alike)]
    best, temperature, number = max(attempts)
    typical = [value for value, at, _ in attempts if at == 1.0]
    return {
        "echo": best, "echo_temperature": temperature, "echo_stream": number, "echo_attempts": len(attempts),
        "echo_at_temperature_1": float(np.mean(typical)),
    }  # fmt: skip


def correlation(made: np.ndarray, original: np.ndarray) -> float:
    """Of two waveforms; 0 where one of them does not move."""
    a, b = (x.astype(np.float64) - x.mean(dtype=np.float64) for x in (made, original))
    return float(a @ b / max(np.sqrt((a @ a) * (b @ b)), 1e-12))
