"""`unrolled systems`: what can be trained, and what each is for."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from unrolled.cli.arguments import parse
from unrolled.cli.terminal import say
from unrolled.core.errors import UnrolledError


@dataclass(frozen=True)
class Command:
    """How to show the list."""

    json: bool = False
    """one JSON object a line"""


def main(arguments: Sequence[str]) -> int:
    """List the systems."""
    (command,) = parse("systems", "List the systems that can be trained.", arguments, Command).values
    from unrolled.systems import find_system, system_names

    for name in system_names():
        try:
            system = find_system(name)
        except UnrolledError as problem:  # of another package: the rest can be listed
            say(str(problem), sys.stderr)
            continue
        if command.json:
            sys.stdout.write(
                json.dumps({"name": name, "summary": system.summary, "commands": sorted(system.commands)}) + "\n"
            )
        else:
            sys.stdout.write(f"{name:<10} {system.summary}\n")
    if not command.json:
        sys.stdout.write("\nunrolled train DATA --system NAME; its settings: unrolled train --system NAME --help\n")
    return 0
