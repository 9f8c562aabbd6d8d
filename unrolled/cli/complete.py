"""`unrolled complete [RUN]`: predictive text."""

import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unrolled.cli.arguments import option, parse, positional
from unrolled.cli.keys import Keys
from unrolled.cli.terminal import column_width, is_terminal, json_line, one_line, printable, say
from unrolled.core.errors import DataError, UsageError

if TYPE_CHECKING:
    from unrolled.generation.completion import Completer, Suggestion

DESCRIPTION = """
Predictive text: the next characters and words with their probabilities while you type. Tab takes what is shown behind
the cursor, Backspace goes back, Ctrl-W takes back a word, Ctrl-U all; Esc or Ctrl-D ends and prints the text.

  unrolled complete poems-char-rnn-1
  echo "Shall I compare th" | unrolled complete poems-char-rnn-1 --json

Lines from a pipe are completed one by one.
"""
HELP = "Tab takes the grey text · Esc ends"
WORD_END = re.compile(r"(?:\w|['’])*\Z")
SIGNS = str.maketrans({" ": "␣", "\n": "⏎", "\t": "⇥"})


@dataclass(frozen=True)
class Command:
    """What to complete."""

    run: str | None = positional(default=None)
    """name or path of a run; the newest one if left out"""
    top: int = option("-k", default=5)
    """suggestions of each kind"""
    where: dict[str, str] = option(default_factory=dict, metavar="FIELD=VALUE")
    """condition on a field of the records; may be repeated"""
    runs: Path = Path("runs")
    """folder that holds the runs"""
    json: bool = False
    """print one JSON object per line of input"""


def main(arguments: Sequence[str]) -> int:
    """Complete what is typed, or the lines of a pipe."""
    (command,) = parse("complete", DESCRIPTION, arguments, Command).values
    if command.top < 1:
        raise UsageError(f"top {command.top}: pass a number of suggestions from 1 up")
    from unrolled.api.runs import chosen_run
    from unrolled.generation.completion import Completer

    run = chosen_run("complete", command.run, command.runs)
    context = run.context(command.where, 1)
    completer = Completer(run.model, run.codec, run.start, context=context, forbidden=run.forbidden)
    if is_terminal(sys.stdin) and is_terminal(sys.stdout) and not command.json:
        type_along(completer, command.top)
    else:
        complete_lines(completer, sys.stdin, command.top, command.json)
    return 0


def complete_lines(completer: "Completer", lines: Iterable[str], top: int, as_json: bool) -> None:
    """Print the suggestions for each line."""
    for number, line in enumerate(lines, 1):
        text = line.rstrip("\n")
        try:
            following, words = completer.next(text, top), completer.words(text, top)
        except DataError as problem:
            raise DataError(f"line {number} of the input: {problem}") from None
        if as_json:
            print(json_line(as_object(text, following, words)), flush=True)
        else:
            say(text)
            say("\n".join(columns(following, words, begun(text), top)))


def as_object(text: str, following: Sequence["Suggestion"], words: Sequence["Suggestion"]) -> dict[str, Any]:
    """Suggestions as JSON: `next` are symbols (`end` is the end of the record), `words` the rest of the word."""
    return {
        "text": text,
        "next": [{"text": item.text, "probability": item.probability, "end": item.ended} for item in following],
        "words": [{"text": item.text, "probability": item.probability} for item in words],
    }


def type_along(completer: "Completer", top: int) -> None:
    """Suggest while somebody types, and print the text at the end."""
    text = ""
    with Keys() as keys:
        try:
            while True:
                following, words = completer.next(text, top), completer.words(text, top)
                draw(text, proposed(following, words), [*columns(following, words, begun(text), top), HELP])
                for key in keys.read():
                    if key in ("escape", "end"):
                        return
                    text = typed(completer, text, key)
        finally:
            sys.stdout.write("\r\x1b[J")
            say(text)


def typed(completer: "Completer", text: str, key: str) -> str:
    """The text after one key; what the model does not know is refused with a sound."""
    if key == "backspace":
        return text[:-1]
    if key == "clear":
        return ""
    if key == "word back":
        return re.sub(r"\w*\W*\Z", "", text)
    if key == "tab":
        return text + proposed(completer.next(text, 1), completer.words(text, 1))
    addition = "\n" if key == "enter" else key
    if completer.codec.unknown_symbols(addition):
        sys.stdout.write("\a")
        return text
    return text + addition


def proposed(following: Sequence["Suggestion"], words: Sequence["Suggestion"]) -> str:
    """What Tab takes: the likeliest rest of the word, or the next symbol where the word is likely over."""
    rest = words[0].text if words else ""
    return rest or (following[0].text if following else "")


def begun(text: str) -> str:
    """What of a word is there already."""
    found = WORD_END.search(text)
    return found.group() if found else ""


def columns(following: Sequence["Suggestion"], words: Sequence["Suggestion"], fragment: str, top: int) -> list[str]:
    """Next symbols with their probabilities, and words beside them."""
    left = [(name(item.text) if not item.ended else "(end)", item.probability) for item in following]
    right = [(fragment + item.text, item.probability) for item in words]
    lines = []
    for row in range(top):
        cells = [
            f"{padded(one_line(part[row][0], width), width)}{part[row][1]:>7.1%}  {bar(part[row][1])}"
            if row < len(part)
            else " " * (width + 17)
            for part, width in ((left, 12), (right, 24))
        ]
        lines.append("  ".join(["", *cells]).rstrip())
    return lines


def name(text: str) -> str:
    """A symbol so that it can be seen."""
    return text.translate(SIGNS)


def padded(text: str, width: int) -> str:
    """`text` in `width` columns of a terminal."""
    return text + " " * (width - sum(map(column_width, text)))


def bar(probability: float) -> str:
    """A share as eight columns at most."""
    return f"{'█' * round(8 * probability):<8}"


def draw(text: str, ghost: str, below: Sequence[str]) -> None:
    """Show the end of the text with the cursor behind it, and lines below, in place of what was drawn before."""
    width = shutil.get_terminal_size().columns
    shown = name_lines(text)
    while sum(map(column_width, shown)) > max(width - 30, 10):
        shown = shown[1:]
    grey = one_line(name_lines(ghost), max(width - 4 - sum(map(column_width, shown)), 2)) if ghost else ""
    lines = [one_line(line, width) for line in below]
    up = f"\x1b[{len(lines)}A\r\x1b[{2 + sum(map(column_width, shown))}C"
    sys.stdout.write("\r\x1b[J> " + shown + f"\x1b[2m{grey}\x1b[0m" + "".join("\r\n" + line for line in lines) + up)
    sys.stdout.flush()


def name_lines(text: str) -> str:
    """Text on one line that cannot steer the terminal."""
    return printable(text.replace("\n", "⏎").replace("\t", "⇥"))
