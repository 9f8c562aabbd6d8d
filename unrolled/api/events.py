"""What a training run tells whoever watches: the terminal, a log, a test."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Started:
    """Training begins: the run's path, its system, and a line on the plan (sizes, data, budget).

    `unit` is what bits are counted per from here on: a character, a sample of sound.
    """

    run: str
    system: str
    plan: str
    unit: str = "character"


@dataclass(frozen=True)
class Progress:
    """After an update: smoothed training loss in nats per symbol and bits per unit, speed in symbols per second.

    `fraction` of the budget lies in 0..1; `seconds_left` is None until it can be told.
    """

    step: int
    fraction: float
    nats: float
    bits: float
    speed: float
    seconds_left: float | None = None


@dataclass(frozen=True)
class Evaluated:
    """After an evaluation: validation loss in nats per symbol and bits per unit."""

    step: int
    nats: float
    bits: float
    is_best: bool


@dataclass(frozen=True)
class Sampled:
    """A fresh text from the model, or the name of a file with fresh sound."""

    step: int
    text: str


@dataclass(frozen=True)
class Note:
    """One line that people should read: a re-plan, a checkpoint left out, advice."""

    text: str


@dataclass(frozen=True)
class Finished:
    """Training has ended: state is "finished", "stopped early" or "interrupted"; then what to type next."""

    run: str
    state: str
    step: int
    seconds: float
    nats: float | None
    bits: float | None
    next_commands: tuple[str, ...] = ()


Event: TypeAlias = Started | Progress | Evaluated | Sampled | Note | Finished
