"""`unrolled evaluate [RUN] [DATA]`: what a run scores, and by which protocol."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from unrolled.cli.arguments import parse, positional

DESCRIPTION = """
Measure a run on the validation part of its own data, or on other data. Losses compare only where split, protocol and
window are the same, so all three are printed with them.
"""


@dataclass(frozen=True)
class Command:
    """What to measure."""

    run: str | None = positional(default=None)
    """name or path of a run (default: the newest)"""
    data: tuple[Path, ...] = positional(default=())
    """other data to score on"""
    protocol: Literal["carried", "windows", "random"] | None = None
    """read the part once with carried state; or all windows, each anew; or windows at random places"""
    split: Literal["validation", "train", "all"] | None = None
    """part of the data to score on (default: validation of the run's own data, all of other data)"""
    window: int | None = None
    """length of windows (default: as in training)"""
    count: int = 240
    """windows of the random protocol"""
    seed: int = 0
    """number that the random windows follow from"""
    runs: Path = Path("runs")
    """folder that holds the runs"""
    engine: Literal["auto", "torch", "native"] = "auto"
    """what reads: torch, or the native step engine (default: torch, for another --precision the native one)"""
    precision: Literal["float32", "bfloat16", "int8"] = "float32"
    """of the weights in the native engine; what it costs against float32 is measured too"""
    json: bool = False
    """print one JSON object"""


def main(arguments: Sequence[str]) -> int:
    """Evaluate and print."""
    (command,) = parse("evaluate", DESCRIPTION, arguments, Command).values
    from unrolled.api.evaluation import evaluate
    from unrolled.api.runs import chosen_run

    run = chosen_run("evaluate", command.run, command.runs)
    found = evaluate(
        run, command.data, protocol=command.protocol, split=command.split, window=command.window,
        count=command.count, seed=command.seed, engine=command.engine, precision=command.precision,
    )  # fmt: skip
    if command.json:
        sys.stdout.write(json.dumps({"run": run.folder.name, **asdict(found)}) + "\n")
        return 0
    lines = [
        f"run          {run.folder.name}",
        f"data         {found.data}, {found.split} split",
        f"protocol     {found.protocol}, window {found.window}, state {found.state}",
        f"predictions  {found.predictions:,}"
        + (f" ({found.unknown} unknown symbols, which bits leave out)" if found.unknown else ""),
        f"nats         {found.nats:.4f} ± {found.stderr:.4f} per symbol (standard error)",
        f"bits         {bits_in_words(found)}",
        f"perplexity   {found.perplexity:.3f} per symbol",
        f"engine       {found.engine}, {found.precision}",
    ]
    if found.cost is not None:
        lines[-1] += f", which costs {round(found.cost, 4) + 0.0:.4f} nats per symbol against float32"
    lines += baselines_in_words(found)
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def bits_in_words(found: Any) -> str:
    """The bits that fit what was read."""
    if found.bits_per_sample is not None:
        return f"{found.bits_per_sample:.4f} per sample"
    return f"{found.bits_per_character:.4f} per character, {found.bits_per_byte:.4f} per byte"


def baselines_in_words(found: Any) -> list[str]:
    """What trivial predictors score, for sound."""
    if found.baselines is None:
        return []
    trivial, apart = found.baselines, found.under_best
    return [
        f"baselines    {trivial.frequencies:.4f} bits per sample by the frequencies of levels,",
        f"             {trivial.fixed:.4f} by linear prediction, {trivial.following:.4f} with a scale that follows",
        f"             the run is {abs(apart):.4f} {'under' if apart >= 0 else 'ABOVE'} the best of them",
    ]
