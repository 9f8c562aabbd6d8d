"""Bytes of a file to text in pieces of bounded size. UTF-8 strictly, and newlines as they are."""

import bz2
import codecs
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unrolled.core.errors import DataError

BLOCK = 1 << 20  # bytes read at a time
HEAD = 1 << 13  # bytes that decide whether a file is text
LONGEST_LINE = 1 << 28  # characters of one record or line of records

COMPRESSIONS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
WIDE_MARKS = {
    "UTF-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    "UTF-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}
MAGIC = (b"%PDF", b"\x89PNG", b"\xff\xd8\xff", b"PK\x03\x04", b"\x7fELF", b"\x1f\x8b", b"BZh", b"SQLite format 3")


@contextmanager
def opened(path: Path, compression: str) -> Iterator[Any]:
    """The unpacked bytes of a file; what the system or the packing gets wrong becomes a DataError."""
    try:
        with COMPRESSIONS.get(compression, open)(path, "rb") as file:
            yield file
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: broken {compression} file ({error}): download or pack it again") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}): check the file and its rights") from error


def head(path: Path, compression: str) -> bytes:
    """The first bytes of a file, unpacked."""
    with opened(path, compression) as file:
        return file.read(HEAD)


def why_not_text(start: bytes, *, strict: bool) -> str | None:
    """Why a file that begins with `start` is no text, None if it may be; `strict` asks for UTF-8 as well.

    A file whose name says text is not held to UTF-8 here, so that reading it reports the place of the fault.
    """
    for name, marks in WIDE_MARKS.items():
        if start.startswith(marks):
            return f"{name}, not UTF-8: convert it with iconv -f {name} -t UTF-8"
    if start.startswith(MAGIC) or b"\0" in start:
        place = f"NUL byte at offset {start.index(0)}" if b"\0" in start else f"begins with {start[:4]!r}"
        return f"binary, not text: {place}; extract its text as UTF-8 first"
    if strict:
        try:
            codecs.utf_8_decode(start, "strict", False)
        except UnicodeDecodeError as error:
            return (
                f"binary, not UTF-8: byte 0x{start[error.start]:02X} at offset {error.start}; convert it to UTF-8 first"
            )
    return None


def has_mark(path: Path, compression: str) -> bool:
    """Whether a file begins with the byte order mark of UTF-8, which reading leaves out."""
    return head(path, compression).startswith(codecs.BOM_UTF8)


def decoded(path: Path, compression: str) -> Iterator[str]:
    """The text of a file in pieces, cut anywhere between characters, without a byte order mark.

    Raises: DataError at the first byte that is not UTF-8, with its offset.
    """
    with opened(path, compression) as file:
        rest, offset, is_first = b"", 0, True
        while chunk := file.read(BLOCK):
            data = rest + chunk
            text, used = decode_strictly(path, compression, data, offset, False)
            rest, offset = data[used:], offset + used
            yield text.removeprefix("\ufeff") if is_first else text
            is_first = False
        decode_strictly(path, compression, rest, offset, True)


def decode_strictly(path: Path, compression: str, data: bytes, offset: int, final: bool) -> tuple[str, int]:
    """Text and the number of bytes that it took, for bytes that begin at `offset` of a file."""
    try:
        return codecs.utf_8_decode(data, "strict", final)
    except UnicodeDecodeError as error:
        where = f"byte offset {offset + error.start}{' of the unpacked file' if compression else ''}"
        byte = data[error.start]
        raise DataError(
            f"{path}: invalid UTF-8 at {where} (byte 0x{byte:02X}): convert the file, "
            f"for example with iconv -f LATIN1 -t UTF-8, or repair it there"
        ) from error


def blocks(path: Path, compression: str) -> Iterator[str]:
    """The text of a file in pieces of about a million characters that begin, where they can, with a newline.

    Failing that they begin with a space, so that codecs which look at words find the same ones as in the whole text.
    """
    rest = ""
    for text in decoded(path, compression):
        text = rest + text
        cut = last_line(text) or max(text.rfind(" "), 0) or len(text)
        rest = text[cut:]
        if cut:
            yield text[:cut]
    if rest:
        yield rest


def last_line(text: str) -> int:
    """Where the last newline before a visible character stands, 0 if nowhere."""
    cut = text.rfind("\n", 1, -1)
    while cut > 0 and text[cut + 1].isspace():
        cut = text.rfind("\n", 1, cut)
    return max(cut, 0)


def lines(path: Path, compression: str) -> Iterator[tuple[int, str]]:
    """Line numbers from 1 and lines with their newline; only "\\n" ends a line.

    Raises: DataError for a line above LONGEST_LINE characters.
    """
    number, held, length = 1, [], 0
    for text in decoded(path, compression):
        *whole, last = text.split("\n")
        for line in whole:
            yield number, "".join((*held, line, "\n"))
            number, held, length = number + 1, [], 0
        held, length = [*held, last], length + len(last)
        if length > LONGEST_LINE:
            raise DataError(f"{path}: line {number} is longer than {LONGEST_LINE} characters: split it into records")
    if length:
        yield number, "".join(held)
