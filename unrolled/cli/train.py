"""`unrolled train DATA ...`: learn a model, or go on with one."""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unrolled.cli.arguments import option, parse, peek, positional
from unrolled.cli.progress import open_display

DESCRIPTION = """
Learn a model of text from files, folders or globs of .txt, .md, source code, .csv, .tsv or .jsonl, also .gz, or of
sound from .wav, .flac, .ogg or .mp3.

  unrolled train book.txt
  unrolled train recordings/ --system wavenet --minutes 20
  unrolled train poems.jsonl --fields author --minutes 10
  unrolled train --resume book-char-rnn-1
"""


@dataclass(frozen=True)
class Command:
    """What to train on and what to show."""

    data: tuple[Path, ...] = positional(default=())
    """files, folders or globs"""
    resume: str | None = None
    """go on with an unfinished run"""
    from_run: str | None = option("--from", default=None, metavar="RUN")
    """start from the weights of a run, on new data"""
    quiet: bool = False
    """show nothing but the run's path at the end"""
    json: bool = False
    """show events as one JSON object a line"""
    tensorboard: bool = False
    """write the losses for TensorBoard too, below the run's folder"""


def main(arguments: Sequence[str]) -> int:
    """Train, showing progress; 130 after Ctrl-C."""
    started = time.monotonic() - process_age()
    from unrolled.api import train
    from unrolled.api.events import Event, Finished
    from unrolled.api.media import find_medium
    from unrolled.api.options import Options
    from unrolled.api.tensorboard import TensorBoard
    from unrolled.api.training import trained_system

    typed = {"system": peek(arguments, "--system", Options.system), "runs": peek(arguments, "--runs", "runs")}
    system = trained_system(typed, peek(arguments, "--from", "") or None)
    kinds = (Command, find_medium(system.medium).options, system.Config, recipe_of(system))
    parsed = parse("train", DESCRIPTION, arguments, *kinds)
    command, options, config, recipe = parsed.values
    settings = {
        name: getattr(values, name)
        for values in (options, config, recipe)
        for name in (item.name for item in dataclasses.fields(values))
        if name in parsed.given
    }
    form = "json" if command.json else "quiet" if command.quiet else "auto"
    finished: list[Finished] = []
    with open_display(form) as display:
        observers = [display.show, *([TensorBoard()] if command.tensorboard else [])]

        def observe(event: Event) -> None:
            for each in observers:
                each(event)
            if isinstance(event, Finished):
                finished.append(event)

        train(
            command.data, resume=command.resume, from_run=command.from_run, observe=observe,
            command=("unrolled", "train", *arguments), started=started, **settings,
        )  # fmt: skip
    return 130 if finished and finished[-1].state == "interrupted" else 0


def recipe_of(system: Any) -> type:
    """The recipe as this system has it, so that `--help` shows its own defaults."""
    from unrolled.core.contracts import Budget
    from unrolled.training.recipe import Recipe

    usual = system.recipe(system.complete(system.Config(), Budget(1.0, 1)), Budget(1.0, 1))
    changed = [
        (item.name, item.type, dataclasses.field(default=getattr(usual, item.name)))
        for item in dataclasses.fields(Recipe)
    ]
    return dataclasses.make_dataclass("Recipe", changed, bases=(Recipe,), frozen=True)


def process_age() -> float:
    """Seconds since this process began, so that a time budget counts the imports too."""
    return time.process_time()
