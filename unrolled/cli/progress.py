"""Four ways to show the events of a training."""

import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import IO, Any, Literal, Protocol, cast, runtime_checkable

from unrolled.api.events import Evaluated, Event, Finished, Note, Progress, Sampled, Started
from unrolled.cli.terminal import Stream, is_terminal, printable, readable_time

PLAIN_SECONDS = 10.0
JSON_SECONDS = 1.0


@runtime_checkable
class TrainingDisplay(Protocol):
    """Shows events inside a `with` block."""

    def __enter__(self) -> "TrainingDisplay":
        """Begin to show."""
        ...

    def __exit__(self, *_: object) -> None:
        """Leave the terminal as it was."""
        ...

    def show(self, event: Event) -> None:
        """Show one event."""
        ...


def open_display(form: Literal["auto", "quiet", "json"] = "auto", stream: Stream | None = None) -> TrainingDisplay:
    """The display for a stream: a live bar where a person watches, plain lines elsewhere, or the form asked for."""
    target: Stream = sys.stdout if stream is None else stream
    if form == "quiet":
        return QuietDisplay(target)
    if form == "json":
        return JsonDisplay(target)
    return BarDisplay(target) if is_terminal(target) else PlainDisplay(target)


class QuietDisplay:
    """Nothing but the path of the run at the end."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def __enter__(self) -> "QuietDisplay":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, event: Event) -> None:
        """Show one event."""
        if isinstance(event, Finished):
            print(event.run, file=self.stream, flush=True)


class Seldom:
    """True at most once in so many seconds."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self.clock, self.last = seconds, clock, -math.inf

    def __call__(self) -> bool:
        """Whether the time has come."""
        now = self.clock()
        due = now - self.last >= self.seconds
        self.last = now if due else self.last
        return due


class JsonDisplay:
    """One JSON object a line; progress at most once a second, everything else always."""

    def __init__(self, stream: Stream, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream, self.due = stream, Seldom(JSON_SECONDS, clock)

    def __enter__(self) -> "JsonDisplay":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, event: Event) -> None:
        """Show one event."""
        if isinstance(event, Progress) and not self.due():
            return
        values = {key: _finite(value) for key, value in asdict(event).items()}
        print(json.dumps({"event": type(event).__name__.lower(), **values}), file=self.stream, flush=True)


class PlainDisplay:
    """Lines for a log; progress at most every ten seconds."""

    def __init__(self, stream: Stream, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream, self.due, self.unit = stream, Seldom(PLAIN_SECONDS, clock), Started.unit

    def __enter__(self) -> "PlainDisplay":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, event: Event) -> None:
        """Show one event."""
        self.unit = event.unit if isinstance(event, Started) else self.unit
        if not isinstance(event, Progress) or self.due():
            print(printable(describe(event, self.unit)), file=self.stream, flush=True)


class BarDisplay:
    """A live bar at the bottom of the terminal, with everything else scrolling above it."""

    def __init__(self, stream: Stream) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar

        self.console = Console(file=cast(IO[str], stream), highlight=False)
        self.bar = Bar(
            TextColumn("{task.percentage:3.0f}%"),
            BarColumn(bar_width=None),
            TextColumn("{task.description}", markup=False),
            console=self.console,
            transient=True,
            refresh_per_second=4,
        )
        self.task = self.bar.add_task("measuring this machine", total=1.0)
        self.unit = Started.unit

    def __enter__(self) -> "BarDisplay":
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def show(self, event: Event) -> None:
        """Show one event."""
        self.unit = event.unit if isinstance(event, Started) else self.unit
        if isinstance(event, Progress):
            self.bar.update(self.task, completed=event.fraction, description=_figures(event, self.unit))
            return
        styles = {Sampled: "italic", Note: "yellow", Evaluated: "bold" if getattr(event, "is_best", False) else ""}
        self.console.print(
            printable(describe(event, self.unit)),
            style=styles.get(type(event), ""),
            markup=False,
            soft_wrap=True,
            emoji=False,
        )


def describe(event: Event, unit: str) -> str:
    """An event in words, with bits counted per `unit`; several lines only for samples and the end."""
    match event:
        case Started():
            return f"{event.run}: {event.system}, {event.plan}"
        case Progress():
            return f"step {event.step} ({event.fraction:.0%}): {_figures(event, unit)}"
        case Evaluated():
            best = " (best so far)" if event.is_best else ""
            return f"step {event.step}: validation {_loss(event.nats, event.bits, unit)}{best}"
        case Sampled():
            made = "fresh sound" if unit == "sample" else "the model writes"
            return f"step {event.step}, {made}:\n" + "\n".join(f"  {line}" for line in event.text.splitlines())
        case Note():
            return event.text
        case Finished():
            loss = f", best validation {_loss(event.nats, event.bits or 0.0, unit)}" if event.nats is not None else ""
            first = f"{event.run}: {event.state} after {event.step} steps, {readable_time(event.seconds)}{loss}"
            return "\n".join([first, *(f"  {command}" for command in event.next_commands)])


def _figures(event: Progress, unit: str) -> str:
    left = "" if event.seconds_left is None else f" · {readable_time(event.seconds_left)} left"
    return f"{_loss(event.nats, event.bits, unit)} · {_speed(event.speed)}{left}"


def _loss(nats: float, bits: float, unit: str) -> str:
    return f"{nats:.3f} nats, {bits:.2f} bits/{unit}"


def _speed(speed: float) -> str:
    return f"{speed:,.0f} symbols/s" if speed < 1e6 else f"{speed / 1e6:.1f} M symbols/s"


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
