"""Choosing among samples, by score or by a person; no terminal and no storage in here."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from unrolled.core.errors import UsageError
from unrolled.generation.novelty import Novelty

By = Literal["likelihood", "novelty", "soundness"]
Kind = Literal["keep", "drop", "skip", "rate"]
RATES = range(1, 6)
C = TypeVar("C")  # a text or a sound to decide about


@dataclass(frozen=True)
class Candidate:
    """A sample to decide about. `text` has its prompt; `likelihood` is in nats per symbol under the model.

    `novelty` is None where the training text is not at hand. `fields` are what the sample was conditioned on.
    """

    sample: str
    text: str
    likelihood: float
    novelty: Novelty | None = None
    fields: Mapping[str, str] = field(default_factory=dict)


def best(candidates: Sequence[C], key: Callable[[C], Any], count: int) -> list[C]:
    """The `count` candidates with the lowest key, best first; earlier ones come first among equals.

    Raises: UsageError if there are not as many.
    """
    if not 0 < count <= len(candidates):
        raise UsageError(f"the best {count} of {len(candidates)}: pass a number from 1 to {len(candidates)}")
    return sorted(candidates, key=key)[:count]


def rank(candidate: Candidate, by: By) -> tuple[float, float]:
    """A key that is lower for a higher likelihood per symbol or share of new n-grams.

    Among equally new ones a shorter verbatim span is better.
    Raises: UsageError if there is no novelty to compare, or for what texts do not have.
    """
    if by == "likelihood":
        return -candidate.likelihood, 0.0
    if by != "novelty":
        raise UsageError(f"texts have no {by}: rank by likelihood or novelty")
    if candidate.novelty is None:
        raise UsageError("the training text is not at hand, so novelty is not known: rank by likelihood")
    return candidate.novelty.seen, float(len(candidate.novelty.span))


class Decision(NamedTuple):
    """What was said about the candidate at `index`; `rate` is 1 to 5 where the kind is "rate"."""

    index: int
    kind: Kind
    rate: int | None = None


@dataclass(frozen=True)
class Session(Generic[C]):
    """Candidates and the decisions so far: a value, so that undo is forgetting the last one.

    "keep", "drop" and "skip" go on to the next candidate, "rate" stays at it.
    """

    candidates: tuple[C, ...]
    decisions: tuple[Decision, ...] = ()

    @property
    def index(self) -> int:
        """The candidate that is to be decided now; the number of candidates when all are."""
        return sum(decision.kind != "rate" for decision in self.decisions)

    @property
    def current(self) -> C | None:
        """The candidate that is to be decided now."""
        return self.candidates[self.index] if self.index < len(self.candidates) else None

    def decide(self, kind: Kind, rate: int | None = None) -> "Session[C]":
        """The session after one more decision about the current candidate.

        Raises: UsageError if all are decided, or for a rate that is not 1 to 5.
        """
        if self.current is None:
            raise UsageError("every sample is decided: undo, or generate more")
        if (kind == "rate") != (rate is not None) or (rate is not None and rate not in RATES):
            raise UsageError(f"rate {rate}: pass a whole number from {RATES[0]} to {RATES[-1]} with it")
        return Session(self.candidates, (*self.decisions, Decision(self.index, kind, rate)))

    def undo(self) -> tuple["Session[C]", Decision | None]:
        """The session before the last decision, and that decision; None where there was none."""
        if not self.decisions:
            return self, None
        return Session(self.candidates, self.decisions[:-1]), self.decisions[-1]

    def kept(self) -> list[C]:
        """The candidates to keep, in order."""
        return [self.candidates[decision.index] for decision in self.decisions if decision.kind == "keep"]

    def rate(self, index: int) -> int | None:
        """The last rate of a candidate."""
        rates = [decision.rate for decision in self.decisions if decision.index == index and decision.kind == "rate"]
        return rates[-1] if rates else None


def to_jsonl(candidates: Iterable[Candidate], text_field: str = "text") -> str:
    """Records that training reads: one line each, the text under `text_field` and the fields beside it."""
    lines = ({text_field: candidate.text, **candidate.fields} for candidate in candidates)
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
