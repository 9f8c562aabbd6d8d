"""The loop of curation: shows one candidate after another, reads keys or lines, and writes every decision down."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from unrolled.cli.keys import Keys
from unrolled.cli.terminal import is_terminal, say
from unrolled.core.errors import RunError

if TYPE_CHECKING:
    from unrolled.generation.curation import Session

KEYS = "k keep · d drop · 1-5 rate · space later · u undo · q quit"
ACTIONS: dict[str, Literal["keep", "drop", "skip"]] = {"k": "keep", "d": "drop", " ": "skip", "s": "skip"}
RATES = "12345"
QUIT = ("q", "end", "escape")


@runtime_checkable
class Choice(Protocol):
    """What differs between texts and sounds that are chosen from; candidates are those of its medium."""

    @property
    def keys(self) -> str:
        """The line on keys."""
        ...

    @property
    def next_step(self) -> str:
        """What to do with a file of exported samples, {} for its name."""
        ...

    @property
    def request(self) -> Any:
        """What all of them are samples of."""
        ...

    def candidates(self, count: int) -> list[Any]:
        """So many new ones."""
        ...

    def best(self, count: int, by: Any, chosen: int) -> list[Any]:
        """The best of so many new ones."""
        ...

    def show(self, candidate: Any, title: str) -> None:
        """Show one with its scores."""
        ...

    def press(self, key: str, candidate: Any, stopped: Callable[[], bool]) -> bool:
        """Act on a key of this medium alone, until `stopped`; whether it is one."""
        ...

    def facts(self, candidate: Any) -> dict[str, Any]:
        """One as JSON."""
        ...

    def export(self, kept: Sequence[Any]) -> str:
        """Several as lines of JSON."""
        ...


def decide(run: Any, found: Sequence[Any], choice: Choice, enough: int | None = None) -> tuple[list[Any], int]:
    """Ask about each candidate, or until `enough` are kept, and write every answer down at once.

    What is kept, and the exit code.
    """
    from unrolled.generation.curation import Session
    from unrolled.store.recorder import Recorder

    session, shown, code = Session(tuple(found)), -1, 0
    by_key = is_terminal(sys.stdin)
    with Recorder(run.folder, run.runs) as recorder, Keys() if by_key else nullcontext() as keys:
        pressed = presses(keys) if keys else lines()
        stopped = keys.waiting if keys else lambda: False
        try:
            while session.current is not None and len(session.kept()) != enough:
                if session.index != shown:
                    choice.show(session.current, f"{session.index + 1} of {len(found)}, {len(session.kept())} kept")
                    say(choice.keys)
                shown, key = session.index, next(pressed, "q")
                if key in QUIT:
                    break
                if not choice.press(key, session.current, stopped):
                    session = answered(session, key, recorder, choice.keys)
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


def answered(session: "Session[Any]", key: str, recorder: Any, help_line: str) -> "Session[Any]":
    """The session after one key; the store hears of it."""
    from unrolled.store.records import Rating

    if key in ("u", "backspace"):
        session, taken_back = session.undo()
        if taken_back is not None and taken_back.kind != "skip":
            recorder.rate(Rating(session.candidates[taken_back.index].sample, "undo"))
        say("nothing to undo" if taken_back is None else f"undone: {taken_back.kind} {taken_back.rate or ''}")
        return session
    if session.current is None or key not in (*ACTIONS, *RATES):
        say(help_line)
        return session
    kind, rate = ("rate", int(key)) if key in RATES else (ACTIONS[key], None)
    if kind != "skip":
        recorder.rate(Rating(session.current.sample, kind, rate))
        say(f"{kind} {rate or ''}")
    return session.decide(kind, rate)
