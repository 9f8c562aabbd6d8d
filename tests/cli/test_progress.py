"""One stream of events, four ways to show it."""

import io
import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from unrolled.api.events import Evaluated, Event, Finished, Note, Progress, Sampled, Started
from unrolled.cli.progress import BarDisplay, JsonDisplay, PlainDisplay, QuietDisplay, open_display

EVENTS: list[Event] = [
    Started("runs/one", "char-rnn", "1.1 M characters, 2 minutes"),
    *(Progress(step, step / 30, 2.0 - step / 30, 2.5, 123_456.7, 30.0 - step) for step in range(1, 31)),
    Evaluated(30, 1.234, 1.78, True),
    Sampled(30, "To be\x1b[31m or\n[bold]not[/bold] :smile:"),
    Note("validation has risen for 3 evaluations: more data or dropout"),
    Finished("runs/one", "finished", 30, 61.0, 1.234, 1.78, ("unrolled generate one",)),
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def ticking(seconds: float) -> Callable[[], float]:
    """A clock that goes on by so much at every look."""
    time = [100.0]

    def clock() -> float:
        time[0] += seconds
        return time[0]

    return clock


def shown(display: Any, stream: io.StringIO) -> str:
    with display:
        for event in EVENTS:
            display.show(event)
    return stream.getvalue()


def test_quiet_shows_the_run_alone() -> None:
    stream = io.StringIO()
    assert shown(QuietDisplay(stream), stream) == "runs/one\n"


def test_json_is_one_object_a_line() -> None:
    stream = io.StringIO()
    lines = [json.loads(line) for line in shown(JsonDisplay(stream, ticking(0.1)), stream).splitlines()]
    kinds = [line["event"] for line in lines]
    assert kinds == ["started", "progress", "progress", "progress", "evaluated", "sampled", "note", "finished"]
    assert lines[1]["nats"] == pytest.approx(2.0 - 1 / 30)
    assert lines[-1]["next_commands"] == ["unrolled generate one"]


def test_json_has_no_numbers_that_json_lacks() -> None:
    stream = io.StringIO()
    JsonDisplay(stream).show(Evaluated(1, math.nan, math.inf, False))
    assert json.loads(stream.getvalue()) == {
        "event": "evaluated",
        "step": 1,
        "nats": None,
        "bits": None,
        "is_best": False,
    }


def test_plain_lines_come_seldom_and_cannot_steer() -> None:
    stream = io.StringIO()
    lines = shown(PlainDisplay(stream, ticking(1.0)), stream).splitlines()
    progress = [line for line in lines if "symbols/s" in line]
    assert progress[0] == "step 1 (3%): 1.967 nats, 2.50 bits/character · 123,457 symbols/s · 29 s left"
    assert len(progress) == 3
    assert lines[0] == "runs/one: char-rnn, 1.1 M characters, 2 minutes"
    assert "step 30: validation 1.234 nats, 1.78 bits/character (best so far)" in lines
    assert "  To be\\x1b[31m or" in lines
    assert lines[-2] == "runs/one: finished after 30 steps, 1 min 01 s, best validation 1.234 nats, 1.78 bits/character"
    assert lines[-1] == "  unrolled generate one"


def test_the_bar_shows_everything_and_leaves_the_terminal_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "100"}.items():
        monkeypatch.setenv(name, value)
    stream = Terminal()
    text = shown(BarDisplay(stream), stream)
    for part in ("123,457 symbols/s", "validation 1.234 nats", "[bold]not[/bold] :smile:", "To be\\x1b[31m or", "100%"):
        assert part in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor is hidden and shown again


def test_the_form_follows_the_stream() -> None:
    assert isinstance(open_display("auto", io.StringIO()), PlainDisplay)
    assert isinstance(open_display("auto", Terminal()), BarDisplay)
    assert isinstance(open_display("json", Terminal()), JsonDisplay)
    assert isinstance(open_display("quiet", Terminal()), QuietDisplay)


def test_an_interruption_gives_the_cursor_back() -> None:
    stream = Terminal()
    with pytest.raises(KeyboardInterrupt), open_display("auto", stream) as display:
        display.show(EVENTS[1])
        raise KeyboardInterrupt
    assert stream.getvalue().count("\x1b[?25h") == 1


def test_bits_are_counted_per_unit_of_the_medium() -> None:
    stream = io.StringIO()
    display = PlainDisplay(stream, ticking(100))
    display.show(Started("runs/one", "wavenet", "a plan", "sample"))
    display.show(Evaluated(30, 2.0, 2.885, False))
    display.show(Sampled(30, "runs/one/sounds/update-30.wav"))
    assert "2.88 bits/sample" in stream.getvalue()
    assert "fresh sound:\n  runs/one/sounds/update-30.wav" in stream.getvalue()
