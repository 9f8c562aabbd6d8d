"""Append-only files of one JSON object a line: the truth that the database indexes."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from unrolled.core.errors import RunError
from unrolled.store.documents import parse_object, to_bytes
from unrolled.store.locks import wait_lock

LINE_LIMIT = 16 * 2**20  # bytes


class Entry(NamedTuple):
    """One line: where it starts and ends in bytes, and its object (None where the line is damaged)."""

    start: int
    end: int
    record: dict[str, Any] | None


def append(path: Path, records: Sequence[dict[str, Any]], durable: bool) -> None:
    """Add records as lines; on return they survive a kill, and a power failure too if `durable`.

    A torn last line left by a killed writer is removed first; a write that fails is taken back.
    Raises: OSError if the disk is full or the file cannot be written.
    """
    lines = b"".join(to_bytes(record) + b"\n" for record in records)
    if path.is_symlink():
        raise RunError(f"{path}: a link where a plain file is expected: replace it by a copy")
    with open(path, "ab+", buffering=0) as file:
        wait_lock(file.fileno())
        end = _mend(file)
        try:
            written = 0
            while written < len(lines):
                written += os.write(file.fileno(), lines[written:])
            if durable:
                os.fsync(file.fileno())
        except BaseException:
            file.truncate(end)
            raise


def read(path: Path, start: int = 0) -> Iterator[Entry]:
    """The lines from byte `start` on; a torn last line is left out, a missing file has no lines."""
    if path.is_symlink() or not path.is_file():
        return
    with open(path, "rb") as file:
        file.seek(start)
        while line := file.readline(LINE_LIMIT):
            end = _skip_line(file) if len(line) == LINE_LIMIT and not line.endswith(b"\n") else start + len(line)
            record = _parse(line)
            if record is None and not line.endswith(b"\n") and end == start + len(line):
                return
            if line.strip():
                yield Entry(start, end, record)
            start = end


def records(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of all lines that are whole."""
    return (entry.record for entry in read(path) if entry.record is not None)


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        return parse_object(line, "line", LINE_LIMIT)
    except RunError:
        return None


def _skip_line(file: BinaryIO) -> int:
    """The end of the line that the file is in the middle of."""
    while (piece := file.readline(2**20)) and not piece.endswith(b"\n"):
        pass
    return file.tell()


def _mend(file: Any) -> int:
    """Make an open file end with a whole line, and give its length."""
    size = file.seek(0, os.SEEK_END)
    tail = b""
    position = size
    while position and b"\n" not in tail:
        position = max(0, position - 65536)
        file.seek(position)
        tail = file.read(size - position)
    torn = tail[tail.rfind(b"\n") + 1 :]
    if not torn:
        return size
    if _parse(torn) is not None:
        file.write(b"\n")
        return size + 1
    file.truncate(size - len(torn))
    return size - len(torn)
