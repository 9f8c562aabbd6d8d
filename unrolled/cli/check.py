"""`unrolled check [RUN]`: prove the laws on this very run."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unrolled.cli.arguments import parse, positional

DESCRIPTION = """
Measure on a run's own weights and data that both views of its model are equal, also where a row starts anew, that
nothing looks ahead, that rows of a batch never mix, that the native engine equals torch, and that the run survives
being saved and loaded. Exit code 1 if a law is broken.
"""


@dataclass(frozen=True)
class Command:
    """What to check."""

    run: str | None = positional(default=None)
    """name or path of a run (default: the newest)"""
    length: int | None = None
    """symbols to check on (default: 48, of sound 512, and three receptive fields or frames where it takes them)"""
    runs: Path = Path("runs")
    """folder that holds the runs"""
    json: bool = False
    """one JSON object a law"""


def main(arguments: Sequence[str]) -> int:
    """Check and print."""
    (command,) = parse("check", DESCRIPTION, arguments, Command).values
    from unrolled.api.checking import findings
    from unrolled.api.runs import chosen_run

    holds = True
    for found in findings(chosen_run("check", command.run, command.runs), command.length):
        holds &= found.holds
        if command.json:
            line = json.dumps({**found._asdict(), "holds": found.holds})
        elif found.deviation is None:
            line = f"skipped {found.law:<36} {found.skipped}"
        else:
            verdict = "holds " if found.holds else "BROKEN"
            line = f"{verdict}  {found.law:<36} {found.deviation:.1e} (limit {found.limit:.0e})"
        print(line, flush=True)
    return 0 if holds else 1
