"""Keys from a terminal as they are pressed."""

import codecs
import os
import re
import select
import sys
from types import TracebackType

from unrolled.core.errors import UsageError

NAMES = {
    "\t": "tab",
    "\r": "enter",
    "\n": "enter",
    "\x7f": "backspace",
    "\x08": "backspace",
    "\x04": "end",
    "\x15": "clear",
    "\x17": "word back",
    "\x1b": "escape",
}
SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|[^\x1b])|[\s\S]")


class Keys:
    """The keyboard of a terminal within a `with` block: nothing is echoed, and no Enter is needed.

    Ctrl-C interrupts as ever. The terminal is as it was at the end of the block, whatever happens in it.
    """

    def __init__(self) -> None:
        self.file = sys.stdin.fileno()
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def __enter__(self) -> "Keys":
        try:
            import termios
            import tty
        except ImportError:  # Windows
            raise UsageError("keys cannot be read from this terminal: send lines through a pipe") from None
        self.before = termios.tcgetattr(self.file)
        tty.setcbreak(self.file)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        import termios

        termios.tcsetattr(self.file, termios.TCSADRAIN, self.before)

    def waiting(self) -> bool:
        """Whether a key has been pressed since the last call of `read`."""
        return bool(select.select([self.file], [], [], 0)[0])

    def read(self) -> list[str]:
        """The keys since the last call, at least one: characters, or the names in NAMES; cursor keys are left out."""
        found: list[str] = []
        while not found:
            content = os.read(self.file, 4096)
            found = split_keys(self.decoder.decode(content)) if content else ["end"]
        return found


def split_keys(text: str) -> list[str]:
    """What a terminal sends as keys."""
    parts: list[str] = SEQUENCE.findall(text)
    return [NAMES.get(part, part) for part in parts if part in NAMES or (len(part) == 1 and part.isprintable())]
