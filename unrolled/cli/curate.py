"""`unrolled curate [RUN]`: generate many, keep the best by hand or by score."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from unrolled.cli.arguments import option, parse, positional
from unrolled.cli.engine import Stepping, tell_cost
from unrolled.cli.keys import Keys
from unrolled.cli.terminal import is_terminal, one_line, printable, say
from unrolled.core.errors import RunError, UsageError
from unrolled.core.files import write_file

if TYPE_CHECKING:
    from unrolled.generation.curation import Candidate, Session
    from unrolled.generation.novelty import Place

DESCRIPTION = """
Generate many samples and keep the best. Each is shown with its likelihood and with its novelty: the share of its
n-grams of 8 characters that the training text does not hold, and the longest span copied from there, with its place.
Every decision is kept in the run; `unrolled runs samples` shows them.

  unrolled curate poems-char-rnn-1 --samples 20 --export kept.jsonl
  unrolled curate poems-char-rnn-1 --best 1 --of 10 --by novelty
  unrolled train kept.jsonl --from poems-char-rnn-1
"""
KEYS = "k keep · d drop · 1-5 rate · space later · u undo · q quit"
ACTIONS: dict[str, Literal["keep", "drop", "skip"]] = {"k": "keep", "d": "drop", " ": "skip", "s": "skip"}
RATES = "12345"
QUIT = ("q", "end", "escape")


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
    by: Literal["likelihood", "novelty"] = "likelihood"
    """what makes a sample best: its likelihood per symbol, or how much of it is new"""
    export: Path | None = None
    """add the kept samples to this .jsonl file, which unrolled train reads"""
    prompt: str = ""
    """text to go on from"""
    length: int = option("-n", default=500)
    """most symbols to draw"""
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

    command, stepping, rules = parse("curate", DESCRIPTION, arguments, Command, Stepping, Rules).values
    count = checked(command)
    from unrolled.api.curation import best_candidates, candidates, next_stream
    from unrolled.api.runs import writing_run
    from unrolled.api.text_run import TextRequest

    run = writing_run("curate", command.run, command.runs)
    first = next_stream(run, command.seed) if command.stream is None else command.stream
    request = TextRequest(
        prompt=command.prompt, length=command.length, seed=command.seed, stream=first, where=command.where,
        rules=rules.validate(), engine=stepping.engine, precision=stepping.precision, threads=stepping.threads,
    )  # fmt: skip
    tell_cost(run, stepping.precision)
    code = 0
    if command.best is None:
        kept, code = decide(run, candidates(run, request, count, warn))
    else:
        kept = best_candidates(run, request, count, command.by, command.best, warn)
        for candidate in kept:
            if command.json:
                show_json(candidate)
            else:
                show(candidate, "")
    finish(command, kept)
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


def warn(text: str) -> None:
    """One line beside the output."""
    say(text, sys.stderr)


def decide(run: Any, found: "Sequence[Candidate]") -> "tuple[list[Candidate], int]":
    """Ask about each candidate and write every answer down at once: what is kept, and the exit code."""
    from unrolled.generation.curation import Session
    from unrolled.store.recorder import Recorder

    session, shown, code = Session(tuple(found)), -1, 0
    by_key = is_terminal(sys.stdin)
    with Recorder(run.folder, run.runs) as recorder, Keys() if by_key else nullcontext() as keys:
        pressed = presses(keys) if keys else lines()
        try:
            while session.current is not None:
                if session.index != shown:
                    show(session.current, f"{session.index + 1} of {len(found)}, {len(session.kept())} kept")
                    say(KEYS)
                shown, key = session.index, next(pressed, "q")
                if key in QUIT:
                    break
                session = answered(session, key, recorder)
        except KeyboardInterrupt:
            code = 130
        except OSError as problem:
            raise RunError(f"{run.folder.path}: a decision cannot be kept ({problem.strerror}): make room") from None
    kept, dropped = session.kept(), sum(decision.kind == "drop" for decision in session.decisions)
    say(f"{len(kept)} kept, {dropped} dropped, {len(found) - len(kept) - dropped} undecided")
    return kept, code


def presses(keys: Keys) -> Iterator[str]:
    """Keys one by one."""
    while True:
        yield from map(str.lower, keys.read())


def lines() -> Iterator[str]:
    """The first letters of lines; an empty one stands for the space bar."""
    return (line.strip().lower()[:1] or " " for line in sys.stdin)


def answered(session: "Session", key: str, recorder: Any) -> "Session":
    """The session after one key; the store hears of it."""
    from unrolled.store.records import Rating

    if key in ("u", "backspace"):
        session, taken_back = session.undo()
        if taken_back is not None and taken_back.kind != "skip":
            recorder.rate(Rating(session.candidates[taken_back.index].sample, "undo"))
        say("nothing to undo" if taken_back is None else f"undone: {taken_back.kind} {taken_back.rate or ''}")
        return session
    if session.current is None or key not in (*ACTIONS, *RATES):
        say(KEYS)
        return session
    kind, rate = ("rate", int(key)) if key in RATES else (ACTIONS[key], None)
    if kind != "skip":
        recorder.rate(Rating(session.current.sample, kind, rate))
        say(f"{kind} {rate or ''}")
    return session.decide(kind, rate)


def show(candidate: "Candidate", title: str) -> None:
    """A sample with its scores, the copied span marked where a terminal can."""
    news, text = candidate.novelty, printable(candidate.text)
    say(f"── {title + ' · ' if title else ''}sample {candidate.sample} · {candidate.likelihood:.2f} nats a symbol")
    if news is not None:
        copied = f", the longest span of {len(news.span)} characters {locate(news.place)}" if news.place else ""
        say(f"   {news.score:.0%} of its {news.n}-grams are new{copied}")
        span = printable(news.span)
        if news.place and is_terminal(sys.stdout):
            text = text.replace(span, f"\x1b[4m{span}\x1b[24m", 1)
        elif news.place:
            say(f"   copied: {one_line(news.span, 90)}")
    sys.stdout.write(f"\n{text}\n\n")
    sys.stdout.flush()


def locate(place: "Place") -> str:
    """A place in the training text in words."""
    name = Path(place.source).name
    if place.record is None:
        return f"begins at character {place.character:,} of {name}"
    return f"begins at character {place.character:,} of the record on line {place.record:,} of {name}"


def show_json(candidate: "Candidate") -> None:
    """A sample with its scores as one JSON object."""
    from unrolled.api.curation import described

    scores = {} if candidate.novelty is None else described(candidate.novelty)
    found = {name: value for name, value in asdict(candidate).items() if name != "novelty"}
    sys.stdout.write(json.dumps({**found, **scores}, ensure_ascii=False) + "\n")


def finish(command: Command, kept: "Sequence[Candidate]") -> None:
    """Export what was kept, and say what to do with it."""
    if command.export is None or not kept:
        return
    from unrolled.generation.curation import to_jsonl

    try:
        old = command.export.read_bytes() if command.export.exists() else b""
        old += b"" if not old or old.endswith(b"\n") else b"\n"
        write_file(command.export, old + to_jsonl(kept).encode())
    except OSError as problem:
        raise UsageError(f"{command.export}: cannot be written ({problem.strerror}): pass another path") from None
    say(f"{len(kept)} samples added to {command.export}: unrolled train {command.export} --from RUN", sys.stderr)
