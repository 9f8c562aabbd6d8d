"""`unrolled judge [RUN] FILE ...`: whether sounds have collapsed, and what of them is training sound again."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unrolled.cli.arguments import parse, positional
from unrolled.cli.terminal import json_line, say
from unrolled.core.errors import UsageError

DESCRIPTION = """
Hold sound files against the recordings that a run was trained on. Soundness is 1 where level, flatness, entropy,
repetition and the like stay within what was measured of the training sound, and 0 where the sound has collapsed into
silence, noise, a stuck value or a loop. Then the second of training sound that is most like a second of the file, with
the times in both, and how much of the file is a copy.

  unrolled judge loops-wavenet-1 new.flac
"""


@dataclass(frozen=True)
class Command:
    """What to judge."""

    run: str | None = positional(default=None)
    """name or path of a run that makes sound (default: the newest)"""
    files: tuple[Path, ...] = positional(default=())
    """sound files, whoever made them"""
    runs: Path = Path("runs")
    """folder that holds the runs"""
    json: bool = False
    """print one JSON object per file"""


def main(arguments: Sequence[str]) -> int:
    """Judge and print."""
    (command,) = parse("judge", DESCRIPTION, arguments, Command).values
    name, files = command.run, command.files
    if name is not None and Path(name).is_file():
        name, files = None, (Path(name), *files)
    if not files and name is not None and Path(name).suffix:
        raise UsageError(f"{name}: no such file: check the name")
    if not files:
        raise UsageError(f"no sound to judge: name files, as in `unrolled judge {name or 'RUN'} new.flac`")
    from unrolled.api.runs import writing_run
    from unrolled.api.sound_judging import Judge
    from unrolled.api.sound_run import SoundRun

    run = writing_run("judge", name, command.runs)
    if not isinstance(run, SoundRun):
        raise UsageError(f"run {run.folder.name} makes no sound: unrolled curate says how new its texts are")
    judge = Judge(run, lambda text: say(text, sys.stderr))
    for path, copied in zip(files, judge.copies(files), strict=True):
        verdict = judge.verdict(path)
        if command.json:
            found: dict[str, Any] = {"verdict": verdict, "memorisation": copied}
            parts = {name: None if part is None else part.to_json() for name, part in found.items()}
            sys.stdout.write(json_line({"file": str(path), **parts}) + "\n")
            continue
        say(str(path))
        if verdict is not None:
            say(f"   {verdict.words()}\n   {verdict.measures()}")
        if copied is not None:
            say(f"   {copied.words()}")
    return 0
