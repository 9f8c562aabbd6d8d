"""The words that go with a run: its card, and the commands to type next."""

import math
import shlex
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from unrolled.data.encoded import Encoded
from unrolled.store.configs import RunConfig
from unrolled.store.folders import RunFolder
from unrolled.systems import find_system
from unrolled.training.evaluation import Score
from unrolled.training.recipe import Recipe


def card(name: str, config: RunConfig, score: Score, encoded: Encoded, bits: float) -> str:
    """What a stranger should know of a run: data, figures, how to use it, licence."""
    data, plan = config.data, config.training["plan"]
    sources = "\n".join(
        f"- `{Path(source['path']).name}`: {source['bytes']:,} bytes, sha256 `{source['sha256']}`"
        for source in data["sources"]
    )
    sizes = "\n".join(f"- {key}: {value}" for key, value in config.config.items())
    return f"""# {name}

A {config.system} model made by unrolled {config.unrolled}.

## Data

{sources}

{data["characters"]:,} characters; split {data["split"]["rule"]}, {data["split"]["train"]:g} of it for training
({len(encoded.train.symbols):,} training symbols, {len(encoded.validation.symbols):,} for validation).

## Figures

Validation loss: {loss_in_words(score, bits)}.
Updates planned: {plan["steps"]:,}.

## Sizes

{sizes}

## Use

    unrolled generate {shlex.quote(name)}
    unrolled evaluate {shlex.quote(name)}

Made again by:

    {repeat_command(config, [Path(path).name for path in data["paths"]])}

## Licence

Not stated: the licence of this model follows from that of its data. Write it here before you share it.
"""


def loss_in_words(score: Score, bits: float) -> str:
    """A validation loss with all that it depends on."""
    if not math.isfinite(score.nats):
        return "not measured"
    return (
        f"{score.nats:.4f} nats per symbol ({score.nats * bits:.4f} bits per character), standard error "
        f"{score.stderr:.4f}, over {score.predictions:,} predictions of the validation part, protocol {score.protocol}"
    )


def repeat_command(config: RunConfig, paths: Sequence[str]) -> str:
    """The command that repeats a training on `paths` update by update, whatever the speed of the machine."""
    system = find_system(config.system)
    words = ["unrolled", "train", *paths, f"--system={config.system}", f"--seed={config.seed}"]
    options = config.training["options"]
    words += [f"--fields={name}" for name in options["fields"]]
    if options["text_field"] != "text":
        words.append(f"--text-field={options['text_field']}")
    if options["split"] != 0.9:
        words.append(f"--split={options['split']}")
    if options["vocabulary_from"] != "train":
        words.append(f"--vocabulary-from={options['vocabulary_from']}")
    words.append(f"--threads={config.training['plan']['threads']}")
    words += flags(system.Config, config.config)
    words += flags(Recipe, config.training["recipe"])
    words += [f"--revise={change['step']}:{change['to']}" for change in config.training["plan"]["revisions"]]
    return shlex.join(words)


def flags(kind: type, values: dict[str, Any]) -> list[str]:
    """The options that say `values`, those that every run has by default left out."""
    found = []
    for item in fields(kind):
        value = values.get(item.name)
        if (
            value is None
            or value == item.default
            or list(item.default if isinstance(item.default, tuple) else ()) == value
        ):
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
    return (f"unrolled generate {path}", f"unrolled evaluate {path}", repeat_command(config, config.data["paths"]))
