"""What the commands share at the terminal: text that cannot steer it, questions, sizes."""

import json
import sys
import unicodedata
from bisect import bisect_right
from itertools import accumulate
from typing import Any, Protocol, runtime_checkable

from unrolled.core.errors import UsageError

BIDIRECTIONAL = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
CONTROL = (*range(0x20), *range(0x7F, 0xA0), *BIDIRECTIONAL)
ESCAPES = {code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" for code in CONTROL if chr(code) not in "\n\t"}
SURROGATES = {code: f"\\u{code:04x}" for code in range(0xD800, 0xE000)}
ESCAPES |= SURROGATES
UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # controls, formats, halves of characters, and what else breaks a line


@runtime_checkable
class Stream(Protocol):
    """Where text goes, or comes from: what a file, a terminal and a buffer have in common."""

    def write(self, text: str, /) -> int:
        """Take a piece of text."""
        ...

    def flush(self) -> None:
        """Send what was taken."""
        ...

    def isatty(self) -> bool:
        """Whether a person watches."""
        ...


def printable(text: str) -> str:
    """`text` with everything that could steer a terminal or hide its order written as an escape.

    Newlines and tabs stay. Each character is looked at alone, so pieces of a stream can be passed one by one.
    """
    return text.translate(ESCAPES)


def json_line(value: Any) -> str:
    """JSON whose letters can be read, on one line that cannot steer a terminal: what is not seen is escaped."""
    line = json.dumps(value, ensure_ascii=False)
    unseen = {sign for sign in set(line) if unicodedata.category(sign) in UNSEEN}
    return line.translate({ord(sign): json.dumps(sign)[1:-1] for sign in unseen})


def one_line(text: str, width: int) -> str:
    """`text` on one line of at most `width` columns, line breaks as ⏎."""
    shown = printable(text.replace("\t", " ")).replace("\n", "⏎")
    ends = list(accumulate(map(column_width, shown)))
    if not ends or ends[-1] <= width:
        return shown
    return shown[: bisect_right(ends, width - 1)] + "…"


def column_width(character: str) -> int:
    """Columns that a terminal gives to a character."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def is_terminal(stream: Stream) -> bool:
    """Whether a person watches the stream."""
    return stream.isatty()


def say(text: str = "", stream: Stream | None = None) -> None:
    """One line for people, escaped and out at once."""
    print(printable(text), file=stream or sys.stdout, flush=True)


def confirm(question: str) -> bool:
    """Ask for yes or no; nothing is taken as no. Raises: UsageError where nobody can answer."""
    if not is_terminal(sys.stdin):
        raise UsageError(f"{question} nobody can answer here: add --yes")
    return input(f"{printable(question)} [y/N] ").strip().lower() in ("y", "yes")


def readable_size(size: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def readable_time(seconds: float) -> str:
    """A duration as people read it."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {whole % 60:02d} s" if minutes else f"{whole} s"


def table(rows: list[list[Any]], header: list[str]) -> str:
    """Columns aligned under their names; numbers to the right."""
    cells = [header, *([printable(str(cell)) for cell in row] for row in rows)]
    widths = [max(sum(map(column_width, row[index])) for row in cells) for index in range(len(header))]
    right = [bool(rows) and all(isinstance(row[index], (int, float)) for row in rows) for index in range(len(header))]
    lines = []
    for row in cells:
        parts = []
        for cell, width, is_right in zip(row, widths, right, strict=True):
            space = " " * (width - sum(map(column_width, cell)))
            parts.append(space + cell if is_right else cell + space)
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)
