"""`unrolled check [RUN]`: prove the laws on this very run."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unrolled.cli.arguments import parse, positional

DESCRIPTION = """
Measure on a run's own weights and text that both views of its model are equal, that nothing looks ahead, that rows of
a batch never mix, and that the run survives being saved and loaded. Exit code 1 if a law is broken.
"""


@dataclass(frozen=True)
class Command:
    """What to check."""

    run: str | None = positional(default=None)
    """name or path of a run (default: the newest)"""
    length: int = 48
    """symbols of text to check on"""
    runs: Path = Path("runs")
    """folder that holds the runs"""
    json: bool = False
    """one JSON object a law"""


def main(arguments: Sequence[str]) -> int:
    """Check and print."""
    (command,) = parse("check", DESCRIPTION, arguments, Command).values
    from unrolled.api.checking import check
    from unrolled.api.runs import chosen_run

    findings = check(chosen_run("check", command.run, command.runs), command.length)
    for found in findings:
        if command.json:
            sys.stdout.write(json.dumps({**found._asdict(), "holds": found.holds}) + "\n")
        else:
            verdict = "holds " if found.holds else "BROKEN"
            sys.stdout.write(f"{verdict}  {found.law:<36} {found.deviation:.1e} (limit {found.limit:.0e})\n")
    return 0 if all(found.holds for found in findings) else 1
