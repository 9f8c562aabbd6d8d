"""`unrolled complete`: lines from a pipe, and the screen that somebody types on."""

import io
import json
import os
import pty
import sys

import pytest

from unrolled.cli import complete
from unrolled.cli.keys import Keys, split_keys


@pytest.fixture
def completed(unrolled, runs, monkeypatch):
    """Complete lines from standard input with the plain run."""

    def run(text, *words):
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        return unrolled("complete", "plain", "--runs", runs, *words)

    return run


def test_lines_are_completed_one_by_one(completed):
    outcome = completed("The s\nnight \n", "--json", "--top", 3)
    first, second = map(json.loads, outcome.out.splitlines())
    assert (first["text"], second["text"]) == ("The s", "night ")
    for line in (first, second):
        chances = [item["probability"] for item in line["next"]]
        assert len(chances) == 3 and chances == sorted(chances, reverse=True) and 0 < sum(chances) <= 1
        assert len(line["words"]) == 3
    assert completed("The s\n").out.startswith("The s\n")


def test_records_and_conditions(unrolled, runs, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    for author, letter in (("Ann", "a"), ("Bob", "b")):
        monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
        words = ("complete", "poems", "--runs", runs, "--where", f"author={author}", "--json", "--top", "1")
        assert json.loads(unrolled(*words).out)["next"][0]["text"] == letter


def test_a_line_that_is_not_known_is_named(completed):
    outcome = completed("The s\nTh\u00e9\n")
    assert outcome.code == 1 and "line 2 of the input" in outcome.err and outcome.out
    assert completed("a\n", "--top", "0").code == 2


def test_typing_shows_suggestions_and_ends_with_the_text(completed, monkeypatch):
    class Typed(complete.Keys):
        def __init__(self):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def read(self):
            return keys.pop(0)

    keys = [["T", "h"], ["\u00e9", "s", "backspace"], ["tab"], ["word back"], ["T", "clear", "enter", "s"], ["escape"]]
    monkeypatch.setattr(complete, "Keys", Typed)
    monkeypatch.setattr(complete, "is_terminal", lambda stream: True)
    outcome = completed("")
    assert outcome.code == 0 and outcome.out.endswith("\r\x1b[J\ns\n")
    screens = [screen.split("\r\n")[0] for screen in outcome.out.split("\r\x1b[J> ")[1:]]
    assert [screen.split("\x1b[2m")[0] for screen in screens[:3]] == ["", "Th", "Th"]
    ghost = screens[2].split("\x1b[2m")[1].removesuffix("\x1b[0m")
    assert screens[3].startswith("Th" + ghost) and screens[4].startswith("\x1b[2m") and screens[5].startswith("\u23ces")
    assert "\a" in outcome.out, "a symbol that the model does not know makes a sound"


def test_keys_are_read_from_a_terminal_that_is_left_as_it_was(monkeypatch):
    termios = pytest.importorskip("termios", reason="no terminals of this kind here")
    outside, inside = pty.openpty()
    with open(inside, closefd=False) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        before = termios.tcgetattr(inside)
        with Keys() as keys:
            assert termios.tcgetattr(inside) != before
            os.write(outside, "aé\t\r\x7f\x1b[A".encode())
            found = []
            while len(found) < 5:
                found += keys.read()
            assert found == ["a", "é", "tab", "enter", "backspace"]
            os.write(outside, b"\xc3")
            os.write(outside, b"\xa9")
            assert keys.read() == ["é"]
        assert termios.tcgetattr(inside) == before
    os.close(outside)
    os.close(inside)


def test_what_a_terminal_sends_is_split_into_keys():
    assert split_keys("x\x1b[1;5Cy\x1bOPz\x1b") == ["x", "y", "z", "escape"]
    assert split_keys("\x1b[200~\x00\x07q\x04\x15\x17") == ["q", "end", "clear", "word back"]
