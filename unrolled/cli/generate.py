"""`unrolled generate [RUN]`: let a run write."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unrolled.cli.arguments import option, parse, positional
from unrolled.cli.engine import Stepping, tell_cost
from unrolled.cli.sounding import Sounding, make_sound, refuse_others
from unrolled.cli.terminal import printable, say

DESCRIPTION = """
Let a run write, or make sound; without a name, the newest run does.

  unrolled generate poems-char-rnn-1 --prompt "O " --length 300 --temperature 0.8
  unrolled generate poems-char-rnn-1 --where author=Dickinson --samples 3
  unrolled generate loops-wavenet-1 --seconds 10 --output loop.flac
"""


@dataclass(frozen=True)
class Command:
    """What to write."""

    run: str | None = positional(default=None)
    """name or path of a run"""
    prompt: str = ""
    """text, or recording, to go on from"""
    length: int = option("-n", default=500)
    """most symbols to draw"""
    samples: int = 1
    """samples to write, each as it would be alone"""
    seed: int = 0
    """number that every draw follows from"""
    stream: int = 0
    """number of the first sample; sample n of a seed is always the same"""
    where: dict[str, str] = option(default_factory=dict, metavar="FIELD=VALUE")
    """condition on a field of the records; may be repeated"""
    runs: Path = Path("runs")
    """folder that holds the runs"""
    json: bool = False
    """print one JSON object per sample"""


def main(arguments: Sequence[str]) -> int:
    """Generate and show."""
    from unrolled.generation.rules import Rules

    parsed = parse("generate", DESCRIPTION, arguments, Command, Stepping, Sounding, Rules)
    command, stepping, sounding, rules = parsed.values
    from unrolled.api.runs import writing_run
    from unrolled.api.sound_run import SoundRequest, SoundRun
    from unrolled.api.text_run import TextRequest

    run = writing_run("generate", command.run, command.runs)
    refuse_others(run, parsed.given)
    asked: dict[str, Any] = {
        "prompt": command.prompt, "seed": command.seed, "stream": command.stream, "where": command.where,
        "rules": rules.validate(), "engine": stepping.engine, "precision": stepping.precision,
        "threads": stepping.threads,
    }  # fmt: skip
    code = 0
    if isinstance(run, SoundRun):
        lasting = {"seconds": sounding.seconds, "fold": sounding.fold, "overlap": sounding.overlap}
        request = SoundRequest(**lasting, **asked)
        code = make_sound(run, request, sounding, command.samples, command.json)
        tell_cost(run, stepping.precision)
        return code
    request = TextRequest(length=command.length, **asked)
    if command.json or command.samples != 1:
        found = run.many(request, command.samples, note=lambda text: say(text, sys.stderr))
        for sample in found:
            show(sample, command.json)
    else:
        code = stream(run, request)
    tell_cost(run, stepping.precision)
    return code


def stream(run: Any, request: Any) -> int:
    """Show one sample while it is drawn, then write it down: after Ctrl-C (130) as the shorter sample that it is."""
    drawn, text, code = [], printable(request.prompt), 0
    try:
        for piece in run.stream(request, note=lambda text: say(text, sys.stderr)):
            drawn.append(piece)
            sys.stdout.write(text + printable(piece.text))
            sys.stdout.flush()
            text = ""
    except KeyboardInterrupt:
        code, request = 130, dataclasses.replace(request, length=len(drawn))
    finally:
        if drawn:  # a request that is refused prints nothing
            sys.stdout.write("\n")
    if not drawn:
        say(request.prompt)
    sample = run.keep(request, drawn)
    say(("interrupted; what was drawn is kept\n" if code else "") + describe(run, sample), sys.stderr)
    return code


def describe(run: Any, sample: Any) -> str:
    """What made a sample."""
    values = {**sample.settings, "engine": sample.engine}
    settings = ", ".join(
        f"{name} {value if isinstance(value, str) else f'{value:g}'}" for name, value in values.items()
    )
    where = "".join(f", {name}={value}" for name, value in sample.where.items())
    return f"— {run.folder.name}, sample {sample.id}: seed {sample.seed}, stream {sample.stream}, {settings}{where}"


def show(sample: Any, as_json: bool) -> None:
    """One finished sample."""
    if as_json:
        sys.stdout.write(json.dumps(asdict(sample), ensure_ascii=False) + "\n")
        return
    sys.stdout.write(f"--- sample {sample.id} (stream {sample.stream})\n{printable(sample.text)}\n\n")
