"""`unrolled generate [RUN]`: let a run write."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from unrolled.cli.arguments import option, parse, positional
from unrolled.cli.engine import Stepping, tell_cost
from unrolled.cli.sounding import Sounding, make_sound, refuse_others
from unrolled.cli.terminal import json_line, printable, say
from unrolled.core.errors import UsageError

DESCRIPTION = """
Let a run write, or make sound; without a name, the newest run does.

  unrolled generate poems-char-rnn-1 --prompt "O " --length 300 --temperature 0.8
  unrolled generate poems-char-rnn-1 --where author=Dickinson --samples 3
  unrolled generate poems-char-rnn-1 --prompt "O " --prompt "Because I " --samples 2
  unrolled generate loops-wavenet-1 --seconds 10 --output loop.flac
"""


@dataclass(frozen=True)
class Command:
    """What to write."""

    run: str | None = positional(default=None)
    """name or path of a run"""
    prompt: tuple[str, ...] = ()
    """text, or recording, to go on from; of a text run, may be repeated for several in one batch"""
    length: int = option("-n", default=500)
    """most symbols to draw"""
    samples: int = 1
    """samples to write of each prompt, each as it would be alone"""
    seed: int = 0
    """number that every draw follows from"""
    stream: int = 0
    """number of the first sample; the others count on, prompt by prompt; sample n of a seed is always the same"""
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
        "seed": command.seed, "stream": command.stream, "where": command.where, "rules": rules.validate(),
        "engine": stepping.engine, "precision": stepping.precision, "threads": stepping.threads,
    }  # fmt: skip
    if isinstance(run, SoundRun):
        lasting = {"seconds": sounding.seconds, "fold": sounding.fold, "overlap": sounding.overlap}
        request = SoundRequest(prompt=recording(run, command.prompt), **lasting, **asked)
        code = make_sound(run, request, sounding, command.samples, command.json)
    else:
        code = make_text(run, TextRequest(length=command.length, **asked), command)
    tell_cost(run, stepping.precision)
    return code


def recording(run: Any, prompts: Sequence[str]) -> str:
    """The one prompt of a sound, or none. Raises: UsageError for several."""
    if len(prompts) > 1:
        raise UsageError(f"{len(prompts)} prompts for run {run.folder.name}, which makes sound: pass one --prompt")
    return "".join(prompts)


def make_text(run: Any, request: Any, command: Command) -> int:
    """Write what is asked for: one sample while it is drawn, more of them or JSON when they are finished."""
    prompts = command.prompt or ("",)
    if command.samples == len(prompts) == 1 and not command.json:
        return stream(run, replace(request, prompt=prompts[0]))
    found = run.many(request, command.samples, note=lambda text: say(text, sys.stderr), prompts=prompts)
    for sample in found:
        show(sample, command.json)
    if not command.json:
        say(describe(run, request, len(found)), sys.stderr)
    return 0


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
        code, request = 130, replace(request, length=len(drawn))
    finally:
        if drawn:  # a request that is refused prints nothing
            sys.stdout.write("\n")
    if not drawn:
        say(request.prompt)
    sample = run.keep(request, drawn)
    told = "interrupted; what was drawn is kept\n" if code else ""
    say(told + describe(run, request, name=f"sample {sample.id}"), sys.stderr)
    return code


def describe(run: Any, request: Any, count: int = 1, name: str = "") -> str:
    """What `count` samples of a request follow from, or the one that is called `name`."""
    values = {**request.told, "engine": run.engine(request).name}
    settings = ", ".join(
        f"{setting} {value if isinstance(value, str) else f'{value:g}'}" for setting, value in values.items()
    )
    where = "".join(f", {field}={value}" for field, value in request.where.items())
    name = name or ("1 sample" if count == 1 else f"{count} samples")
    streams = f"stream{'' if count == 1 else 's from'} {request.stream}"
    return f"— {run.folder.name}, {name}: seed {request.seed}, {streams}, {settings}{where}"


def show(sample: Any, as_json: bool) -> None:
    """One finished sample."""
    if as_json:
        sys.stdout.write(json_line(asdict(sample)) + "\n")
        return
    sys.stdout.write(f"--- sample {sample.id} (stream {sample.stream})\n{printable(sample.text)}\n\n")
