"""Which files a corpus is made of: files, folders and globs become an ordered list of sources."""

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from unrolled.core.errors import DataError
from unrolled.data.reading import COMPRESSIONS, head, why_not_text

RECORD_FORMATS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}

# files that are text by name, so that a broken one in a folder is reported rather than passed over
TEXT_NAMES = """
.txt .text .md .markdown .rst .tex .org .adoc .html .htm .xml .json .yaml .yml .toml .ini .srt .vtt .log .abc .ly
.py .js .ts .jsx .tsx .c .h .cc .cpp .hpp .cs .java .kt .scala .go .rs .rb .php .pl .lua .r .jl .hs .ml .clj .lisp
.scm .el .sh .bash .sql .css .scss .swift .m .f90 .asm .s .zig .nim .ex .exs .erl .vim .cmake
"""
TEXT_SUFFIXES = frozenset(TEXT_NAMES.split())


class Source(NamedTuple):
    """One file. `format` is text, csv, tsv or jsonl; `compression` is empty or a suffix such as ".gz"."""

    path: Path
    format: str
    compression: str

    @property
    def is_records(self) -> bool:
        """Whether the file holds records with fields and not plain text."""
        return self.format != "text"


def find_sources(paths: Sequence[str | Path]) -> list[Source]:
    """The files that `paths` name, folders and globs opened, in a fixed order and each file once.

    Raises: DataError for a path without a file, a named file that is not text, or a folder without text.
    """
    return survey(paths)[0]


def survey(paths: Sequence[str | Path]) -> tuple[list[Source], dict[str, int]]:
    """`find_sources` and how many files of folders and globs were passed over, by reason."""
    if not paths:
        raise DataError("no data given: name a file, a folder or a glob")
    found: dict[Path, Source] = {}
    skipped: dict[str, int] = {}
    for path in map(Path, paths):
        before = len(found)
        for file, is_named in files_of(path):
            source = source_of(file)
            reason = why_skip(source)
            if reason and is_named:
                raise DataError(f"{path}: {reason}")
            if reason:
                reason = reason.split(":")[0].split(",")[0]
                skipped[reason] = skipped.get(reason, 0) + 1
            else:
                found.setdefault(file.resolve(), source)
        if len(found) == before and not any(source.path.is_relative_to(path) for source in found.values()):
            passed = ", ".join(f"{count} {reason}" for reason, count in skipped.items())
            if path.is_dir() or passed:
                raise DataError(
                    f"{path}: no text in it{f' ({passed})' if passed else ''}: name a folder with text files"
                )
    return list(found.values()), skipped


def files_of(path: Path) -> Iterator[tuple[Path, bool]]:
    """The files behind one path, and whether the user named each or a folder or glob did."""
    if path.is_dir():
        yield from ((file, False) for file in walk(path))
    elif os.path.lexists(path):
        yield path, True
    elif glob.has_magic(str(path)):
        matches = sorted(glob.glob(str(path), recursive=True))
        if not matches:
            raise DataError(f"{path}: no file matches: check the pattern and the folder")
        for match in map(Path, matches):
            yield from ((file, False) for file in (walk(match) if match.is_dir() else [match]))
    else:
        raise DataError(f"{path}: no such file or folder: check the name")


def walk(folder: Path) -> Iterator[Path]:
    """The visible files under a folder, sorted; links are followed, and one that leads back to itself ends there."""
    visited: set[tuple[int, int]] = set()
    for root, folders, files in os.walk(folder, followlinks=True):
        status = os.stat(root)
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(root, name) for name in sorted(files) if not name.startswith("."))


def source_of(file: Path) -> Source:
    """A file's format and compression, by its suffixes."""
    suffixes = [suffix.lower() for suffix in file.suffixes]
    compression = suffixes.pop() if suffixes and suffixes[-1] in COMPRESSIONS else ""
    return Source(file, RECORD_FORMATS.get(suffixes[-1], "text") if suffixes else "text", compression)


def why_skip(source: Source) -> str | None:
    """Why a file cannot be used, None if it can; in a folder the part before the first colon is counted."""
    path = source.path
    if not path.exists():
        return "broken link: remove it or restore what it points to"
    if not path.is_file():
        return "not a regular file: copy its content to a file first"
    start = head(path, source.compression)
    if not start:
        return "empty: give a file with text in it"
    by_name = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in COMPRESSIONS]
    return why_not_text(start, strict=not source.is_records and (not by_name or by_name[-1] not in TEXT_SUFFIXES))
