"""What a training run tells whoever watches: the terminal, a log, a test."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Started:
    """Training begins, or goes on from `step`; `facts` are sizes for people to read."""

    run: str
    system: str
    step: int
    steps: int
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stepped:
    """`step` updates of `steps` are made; `nats` per symbol smoothed over the last updates, `speed` in symbols/s."""

    step: int
    steps: int
    nats: float
    speed: float
    seconds_left: float


@dataclass(frozen=True)
class Evaluated:
    """Validation `nats` per symbol; `improved` if it is the best so far."""

    step: int
    nats: float
    stderr: float
    improved: bool


@dataclass(frozen=True)
class Sampled:
    """A fresh sample of the model as it is."""

    step: int
    text: str


@dataclass(frozen=True)
class Note:
    """Something worth a line."""

    text: str


@dataclass(frozen=True)
class Finished:
    """Training is over: `state` is finished, stopped early or interrupted; `commands` are what to do next."""

    run: str
    state: str
    step: int
    seconds: float
    nats: float | None
    stderr: float | None
    protocol: str
    advice: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


Event = Started | Stepped | Evaluated | Sampled | Note | Finished
