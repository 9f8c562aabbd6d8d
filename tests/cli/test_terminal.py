"""Text that cannot steer the terminal, and figures as people read them."""

import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unrolled.cli import terminal
from unrolled.cli.terminal import column_width, confirm, one_line, printable, readable_size, readable_time, say, table
from unrolled.core.errors import UsageError

STEERING = {
    "colour": ("\x1b[31mred", "\\x1b[31mred"),
    "title": ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
    "return": ("safe\rEVIL", "safe\\x0dEVIL"),
    "backspace": ("a\bb", "a\\x08b"),
    "C1": ("\x9b2J", "\\x9b2J"),
    "delete": ("\x7f", "\\x7f"),
    "right to left": ("a\u202eb", "a\\u202eb"),
    "isolate": ("\u2067x\u2069", "\\u2067x\\u2069"),
    "half a character": ("\ud83d", "\\ud83d"),
}


@pytest.mark.parametrize(("text", "shown"), STEERING.values(), ids=STEERING.keys())
def test_what_steers_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_everything_else_is_left_alone() -> None:
    text = "O, ünïcode ☃ 漢字 \n\ttabs and lines 😀 שלום"
    assert printable(text) == text


@given(st.text(alphabet=st.characters(), max_size=30))
def test_nothing_dangerous_is_left_and_pieces_join(text: str) -> None:
    shown = printable(text)
    assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in shown if character not in "\n\t")
    assert shown == "".join(printable(character) for character in text)


@given(st.text(max_size=60), st.integers(2, 40))
def test_one_line_fits(text: str, width: int) -> None:
    shown = one_line(text, width)
    assert sum(map(column_width, shown)) <= width
    assert "\n" not in shown


def test_one_line_shows_breaks_and_wide_letters() -> None:
    assert one_line("a\nb\tc", 20) == "a⏎b c"
    assert one_line("abcdef", 4) == "abc…"
    assert one_line("abc", 3) == "abc"
    assert one_line("漢字漢字", 5) == "漢字…"


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (12_345_678, "12 MB"), (5e15, "5000.0 TB")]
)
def test_sizes(size: float, text: str) -> None:
    assert readable_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (7260, "2 h 01 min")]
)
def test_times(seconds: float, text: str) -> None:
    assert readable_time(seconds) == text


def test_tables_align() -> None:
    shown = table([["漢", 5, "x"], ["bb", 10, ""]], ["name", "count", "end"])
    assert shown.splitlines() == ["name  count  end", "漢        5  x", "bb       10"]
    assert table([], ["a", "b"]) == "a  b"


class Keyboard(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "answer"), [("y\n", True), ("YES\n", True), ("\n", False), ("n\n", False)])
def test_questions(monkeypatch: pytest.MonkeyPatch, typed: str, answer: bool) -> None:
    monkeypatch.setattr(terminal.sys, "stdin", Keyboard(typed))
    assert confirm("remove x?") is answer


def test_questions_that_nobody_can_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal.sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(UsageError, match="add --yes"):
        confirm("remove x?")


def test_say_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\x1b")
    assert capsys.readouterr().out == "a\\x1b\n"
