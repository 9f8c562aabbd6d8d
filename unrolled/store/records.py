"""What the journals of a run hold: metrics, samples and ratings."""

import hashlib
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from unrolled.store.configs import now, to_json
from unrolled.store.documents import to_bytes

Decision = Literal["keep", "drop", "rate", "undo"]


@dataclass(frozen=True)
class Metric:
    """One thing that was measured or happened in training.

    `kind` is "train", "validation", "state" (`values["state"]`: training, interrupted, finished or failed) or "note".
    `values` holds "nats" per symbol for losses.
    """

    step: int
    kind: str
    values: dict[str, Any] = field(default_factory=dict)
    time: str = field(default_factory=now)


@dataclass(frozen=True)
class Sample:
    """One generated text with all that is needed to make it again.

    `text` is the whole text, prompt included, `stream` the sample's own index, `settings` the rules and limits by the
    names of their command-line options, `where` the conditioning fields, `symbols` how many were drawn, `scores`
    figures such as likelihood and novelty.
    The id is the start of a hash of everything else.
    """

    model_sha256: str
    seed: int
    stream: int
    settings: dict[str, Any]
    engine: str
    prompt: str
    text: str
    symbols: int
    where: dict[str, str] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    created: str = field(default_factory=now)
    id: str = ""

    def named(self) -> "Sample":
        """The sample with its id filled in."""
        if self.id:
            return self
        return replace(self, id=hashlib.sha256(to_bytes(to_json(self))).hexdigest()[:12])

    def command(self, run: str) -> str:
        """The command line that makes this very sample again, on one line, quoted for bash and zsh."""
        words = ["unrolled", "generate", run, f"--prompt={self.prompt}"]
        words += [f"--where={key}={value}" for key, value in self.where.items()]
        words += [f"--{key.replace('_', '-')}={value}" for key, value in self.settings.items() if _is_set(value)]
        words += [f"--{key.replace('_', '-')}" for key, value in self.settings.items() if value is True]
        words += [f"--no-{key.replace('_', '-')}" for key, value in self.settings.items() if value is False]
        words.append(f"--engine={self.engine}")
        return " ".join(_quote(word) for word in [*words, f"--seed={self.seed}", f"--stream={self.stream}"])


@dataclass(frozen=True)
class Rating:
    """A person's decision about a sample; `rate` is 1 to 5 where the decision is "rate".

    "undo" takes back the last decision about that sample.
    """

    sample: str
    decision: Decision
    rate: int | None = None
    time: str = field(default_factory=now)


@dataclass(frozen=True)
class Cost:
    """What a precision of the step engine was found to cost on the validation part, in nats per symbol.

    `nats`: the loss in that precision, `cost`: above the loss in float32, over so many `predictions`.
    """

    model_sha256: str
    precision: str
    nats: float
    cost: float
    predictions: int
    protocol: str
    time: str = field(default_factory=now)


class Verdict(NamedTuple):
    """What the decisions about a sample add up to; None where nothing was said."""

    kept: bool | None = None
    rate: int | None = None


def verdicts(ratings: Iterable[Rating]) -> dict[str, Verdict]:
    """The verdict on each sample from all decisions in order of time."""
    stacks: dict[str, list[Rating]] = {}
    for rating in ratings:
        stack = stacks.setdefault(rating.sample, [])
        if rating.decision != "undo":
            stack.append(rating)
        elif stack:
            stack.pop()
    return {sample: _verdict(stack) for sample, stack in stacks.items() if stack}


def _verdict(stack: list[Rating]) -> Verdict:
    kept = [rating.decision == "keep" for rating in stack if rating.decision in ("keep", "drop")]
    rates = [rating.rate for rating in stack if rating.decision == "rate"]
    return Verdict(kept[-1] if kept else None, rates[-1] if rates else None)


def _quote(word: str) -> str:
    """A word for the shell; one with characters that a terminal would not show is written with their numbers."""
    if word.isprintable():
        return shlex.quote(word)
    escapes = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\t": "\\t"}
    parts = [escapes.get(letter, letter if letter.isprintable() else f"\\U{ord(letter):08x}") for letter in word]
    return "$'" + "".join(parts) + "'"


def _is_set(value: Any) -> bool:
    return value is not None and not isinstance(value, bool)
