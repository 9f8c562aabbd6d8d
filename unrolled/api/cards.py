"""The words that go with a run: its plan, its card, and the commands to type next."""

import math
import shlex
from collections.abc import Collection, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from unrolled.api.expectations import needs
from unrolled.api.job import Job
from unrolled.api.media import Medium, find_medium
from unrolled.core.contracts import Budget
from unrolled.data.encoded import Encoded
from unrolled.store.configs import RunConfig, from_json, to_json
from unrolled.store.folders import RunFolder
from unrolled.systems import find_system
from unrolled.training.evaluation import Score
from unrolled.training.recipe import Recipe

TOLD = 5  # kinds of conversion, and files in doubt, that are told of before a training; the doctor tells of all


def card(
    name: str, config: RunConfig, score: Score, encoded: Encoded, bits: float, medium: Medium, found: str = ""
) -> str:
    """What a stranger should know of a run: data, figures, how to use it, licence.

    `found` is what was found of something that the model made.
    """
    data = config.data
    sizes = "\n".join(f"- {key}: {value}" for key, value in config.config.items())
    return f"""# {name}

A {config.system} model made by unrolled {config.unrolled}.

## Data

{sources_in_words(data["sources"])}

{medium.words(data)}; split {data["split"]["rule"]}, {data["split"]["train"]:g} of it for training
({len(encoded.train.symbols):,} training symbols, {len(encoded.validation.symbols):,} for validation).

## Figures

Validation loss: {loss_in_words(score, bits, medium.unit)}.
Updates planned: {config.training["plan"]["steps"]:,}.
{found and found + chr(10)}
## Sizes

{sizes}

## Use

    unrolled generate {shlex.quote(name)}
    unrolled evaluate {shlex.quote(name)}

Made again by:

    {repeat_command(config, [Path(path).name for path in data["given"] or data["paths"]])}

## Licence

Not stated: the licence of this model follows from that of its data. Write it here before you share it.
"""


def sources_in_words(sources: Sequence[dict[str, Any]]) -> str:
    """The files of the data, one a line."""
    return "\n".join(
        f"- `{Path(source['path']).name}`: {source['bytes']:,} bytes, sha256 `{source['sha256']}`" for source in sources
    )


def loss_in_words(score: Score, bits: float, unit: str) -> str:
    """A validation loss with all that it depends on."""
    if not math.isfinite(score.nats):
        return "not measured"
    return (
        f"{score.nats:.4f} nats per symbol ({score.nats * bits:.4f} bits per {unit}), standard error "
        f"{score.stderr:.4f}, over {score.predictions:,} predictions of the validation part, protocol {score.protocol}"
    )


def plan_in_words(job: Job, steps: int, done: int, update_seconds: float) -> str:
    """What is about to be trained, on how much and in how many updates; `update_seconds` are 0 where not measured."""
    parameters = sum(p.numel() for p in job.model.parameters())
    sizes = ", ".join(f"{name} {value}" for name, value in asdict(job.settings).items() if type(value) in (int, float))
    plan = (
        f"{parameters:,} parameters ({sizes}), {len(job.encoded.train.symbols):,} symbols to learn from, "
        f"{steps:,} updates of {job.recipe.rows} x {job.recipe.length}"
    )
    return f"{plan}: {needs(steps - done, update_seconds)}" if update_seconds else plan


def conversions(facts: dict[str, Any]) -> list[str]:
    """What was done to the data, from its facts: one line for files alike; and what may be wrong, by file."""
    alike: dict[str, list[str]] = {}
    for source in facts["sources"]:
        for note in source.get("notes", ()):
            alike.setdefault(note, []).append(source["path"])
    done = [f"{files[0] if len(files) == 1 else f'{len(files):,} files'}: {note}" for note, files in alike.items()]
    doubts = [f"{source['path']}: {doubt}" for source in facts["sources"] for doubt in source.get("doubts", ())]
    lines = [*facts.get("notes", ()), *done[:TOLD], *doubts[:TOLD]]
    more = max(0, len(done) - TOLD) + max(0, len(doubts) - TOLD)
    return [*lines, f"and {more:,} more such lines: `unrolled doctor --json` has them all"] if more else lines


def notes(encoded: Encoded, names: Sequence[str], is_continued: bool) -> list[str]:
    """What of the data the model cannot tell apart: unknown symbols, and unknown values where a run is continued."""
    lines = []
    for part, counts in encoded.unknown.items():
        if counts:
            shown = ", ".join(f"{symbol!r} {count}" for symbol, count in list(counts.items())[:5])
            lines.append(f"{sum(counts.values())} unknown symbols in the {part} part are mapped: {shown}")
    for index, name in enumerate(names if is_continued else ()):
        missing = int((encoded.train.fields[:, index] == 0).sum())
        if missing:
            what = f"have no {name} that the model knows, and train as unspecified"
            lines.append(f"{missing} of {len(encoded.train.fields)} records {what}")
    return lines


def repeat_command(config: RunConfig, paths: Sequence[str]) -> str:
    """The command that repeats a training on `paths` update by update, whatever the speed of the machine."""
    system, parent = find_system(config.system), config.training.get("parent")
    options, recipe = config.training["options"], config.training["recipe"]
    words = ["unrolled", "train", *paths]
    if parent:
        words += [f"--from={parent['path']}", f"--seed={config.seed}"]
    else:
        words += [f"--system={config.system}", f"--seed={config.seed}"]
        words += [f"--fields={name}" for name in options["fields"]]
    if options["split"] != 0.9:
        words.append(f"--split={options['split']}")
    words += find_medium(system.medium).flags(options)
    words.append(f"--threads={config.training['plan']['threads']}")
    words += [] if parent else flags(system.Config, config.config)
    usual = to_json(system.recipe(from_json(system.Config, config.config, "config.json"), Budget(1.0, 1)))
    unlike = {name for name, value in recipe.items() if value != usual.get(name)}
    words += flags(Recipe, recipe, unlike | ({"learning_rate", "matrix_rate"} if parent else set()))
    words += [f"--revise={change['step']}:{change['to']}" for change in config.training["plan"]["revisions"]]
    return shlex.join(words)


def flags(kind: type, values: dict[str, Any], always: Collection[str] = ()) -> list[str]:
    """The options that say `values`, those that every run has by default left out unless they are in `always`."""
    found = []
    for item in fields(kind):
        value = values.get(item.name)
        default = list(item.default) if isinstance(item.default, tuple) else item.default
        if value is None or (value == default and item.name not in always):
            continue
        flag = item.name.replace("_", "-")
        if isinstance(value, bool):
            found.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, (list, tuple)):
            found += [f"--{flag}={part}" for part in value]
        else:
            found.append(f"--{flag}={value}")
    return found


def next_commands(folder: RunFolder, config: RunConfig, state: str) -> tuple[str, ...]:
    """What to type after training."""
    path = shlex.quote(str(folder.path))
    if state == "interrupted":
        return (f"unrolled train --resume {path}", f"unrolled generate {path}")
    return (
        f"unrolled generate {path}",
        f"unrolled evaluate {path}",
        repeat_command(config, config.data["given"] or config.data["paths"]),
    )
