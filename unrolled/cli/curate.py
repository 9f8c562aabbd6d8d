"""`unrolled curate [RUN]`: generate many, keep the best by hand or by score."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from unrolled.cli.arguments import option, parse, positional
from unrolled.cli.curate_loop import Choice, decide
from unrolled.cli.curate_sound import SoundChoice
from unrolled.cli.curate_text import TextChoice
from unrolled.cli.engine import Stepping, tell_cost
from unrolled.cli.generate import describe
from unrolled.cli.sounding import Lasting, refuse_others
from unrolled.cli.terminal import json_line, say
from unrolled.core.errors import UsageError
from unrolled.core.files import write_file

DESCRIPTION = """
Generate many samples and keep the best. Each text is shown with its likelihood and with its novelty: the share of its
n-grams of 8 characters that the training text does not hold, and the longest span copied from there, with its place.
Each sound is shown with its waveform and spectrogram (in a terminal of 24-bit colours, and as PNG beside the sound),
with its soundness, 1 where it stays within what was measured of the training sound and 0 where it has collapsed, and
with the training sound nearest to it. Every decision is kept in the run; `unrolled runs samples` shows them.

  unrolled curate poems-char-rnn-1 --samples 20 --export kept.jsonl
  unrolled curate poems-char-rnn-1 --best 1 --of 10 --by novelty
  unrolled train kept.jsonl --from poems-char-rnn-1
  unrolled curate loops-wavenet-1 --seconds 10 --samples 5
"""


@dataclass(frozen=True)
class Command:
    """What to choose from."""

    run: str | None = positional(default=None)
    """name or path of a run; the newest one if left out"""
    samples: int = 10
    """samples to decide about"""
    best: int | None = None
    """choose so many without a person, the best first"""
    of: int | None = None
    """samples that the best are chosen from (default: as --samples)"""
    by: Literal["likelihood", "novelty", "soundness"] | None = None
    """what makes a sample best: its likelihood per symbol, how much of it is new, or how well a sound keeps to what
    was measured of the training sound (default: likelihood of texts, soundness of sounds)"""
    export: Path | None = None
    """add the kept samples to this .jsonl file: texts for unrolled train, sounds by their files"""
    prompt: str = ""
    """text, or recording, to go on from"""
    length: int = option("-n", default=500)
    """most symbols of a text to draw"""
    seed: int = 0
    """number that every draw follows from"""
    stream: int | None = None
    """number of the first sample (default: after those that the run has made with this seed)"""
    where: dict[str, str] = option(default_factory=dict, metavar="FIELD=VALUE")
    """condition on a field of the records; may be repeated"""
    runs: Path = Path("runs")
    """folder that holds the runs"""
    json: bool = False
    """with --best: print one JSON object per sample"""


def main(arguments: Sequence[str]) -> int:
    """Generate, show, decide, export."""
    from unrolled.generation.rules import Rules

    parsed = parse("curate", DESCRIPTION, arguments, Command, Stepping, Lasting, Rules)
    command, stepping, lasting, rules = parsed.values
    count = checked(command)
    from unrolled.api.runs import writing_run

    run = writing_run("curate", command.run, command.runs)
    refuse_others(run, parsed.given)
    choice = make_choice(run, command, stepping, lasting, rules.validate())
    tell_cost(run, stepping.precision)
    code = 0
    if command.best is None:
        found = choice.candidates(count)
        warn(describe(run, choice.request, count))
        kept, code = decide(run, found, choice)
    else:
        kept = choice.best(count, command.by, command.best)
        if not command.json:
            warn(describe(run, choice.request, count))
        for candidate in kept:
            if command.json:
                sys.stdout.write(json_line(choice.facts(candidate)) + "\n")
            else:
                choice.show(candidate, "")
    finish(command, choice, kept)
    return code


def checked(command: Command) -> int:
    """How many samples to make. Raises: UsageError for numbers that do not go together."""
    if command.best is None:
        for flag, given in (("--of", command.of is not None), ("--json", command.json)):
            if given:
                raise UsageError(f"{flag} goes with --best: add it, as in --best 1 --of 10")
    count = command.samples if command.of is None else command.of
    if count < 1 or (command.best is not None and not 0 < command.best <= count):
        raise UsageError(f"--best {command.best or 1} of {count}: pass numbers from 1 up, and no more than there are")
    return count


def make_choice(run: Any, command: Command, stepping: Stepping, lasting: Lasting, rules: Any) -> Choice:
    """What is chosen from, by the medium of the run."""
    from unrolled.api.curation import next_stream
    from unrolled.api.sound_run import SoundRequest, SoundRun
    from unrolled.api.text_run import TextRequest

    first = next_stream(run, command.seed) if command.stream is None else command.stream
    asked: dict[str, Any] = {
        "prompt": command.prompt, "seed": command.seed, "stream": first, "where": command.where, "rules": rules,
        "engine": stepping.engine, "precision": stepping.precision, "threads": stepping.threads,
    }  # fmt: skip
    if isinstance(run, SoundRun):
        from unrolled.api.sound_judging import Judge

        return SoundChoice(Judge(run, warn), SoundRequest(**vars(lasting), **asked))
    return TextChoice(run, TextRequest(length=command.length, **asked), warn)


def warn(text: str) -> None:
    """One line beside the output."""
    say(text, sys.stderr)


def finish(command: Command, choice: Choice, kept: Sequence[Any]) -> None:
    """Export what was kept, and say what to do with it."""
    if command.export is None or not kept:
        return
    try:
        old = command.export.read_bytes() if command.export.exists() else b""
        old += b"" if not old or old.endswith(b"\n") else b"\n"
        write_file(command.export, old + choice.export(kept).encode())
    except OSError as problem:
        raise UsageError(f"{command.export}: cannot be written ({problem.strerror}): pass another path") from None
    warn(f"{len(kept)} samples added to {command.export}{choice.next_step.format(command.export)}")
