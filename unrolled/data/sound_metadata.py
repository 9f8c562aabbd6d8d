"""Fields of recordings: their folder, their name, and the columns of metadata.csv."""

import csv
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from unrolled.data.reading import LONGEST_LINE, lines
from unrolled.data.records import Record, broken, chained, next_row
from unrolled.data.sound_sources import METADATA, SOUND_SUFFIXES
from unrolled.data.sources import Source

KEYS = ("id", "file", "file_name", "filename", "track", "name", "path")


class Metadata:
    """The tables beside recordings, each read once."""

    def __init__(self) -> None:
        self.tables: dict[Path, dict[str, Record]] = {}

    def fields(self, path: Path) -> Record:
        """`folder` (the name of the folder that holds a recording), `track` (its name without suffix) and the columns.

        The columns are those of the row that names the recording, with or without suffix and folder, in metadata.csv
        beside it or, where there is none, one folder up.
        Raises: DataError for a table that cannot be read.
        """
        folder = Path(os.path.abspath(path)).parent
        record: Record = {"folder": folder.name, "track": path.stem}
        table = self.table(folder) or self.table(folder.parent)
        for key in (f"{folder.name}/{path.stem}", path.stem):
            if key in table:
                return record | table[key]
        return record

    def table(self, folder: Path) -> dict[str, Record]:
        """The rows of a folder's table by the recording that they name; none where there is no table."""
        if folder not in self.tables:
            path = folder / METADATA
            self.tables[folder] = {}  # so that a broken table is complained of once and not for each recording
            if path.is_file():
                self.tables[folder] = read_table(path)
        return self.tables[folder]


def read_table(path: Path) -> dict[str, Record]:
    """The rows of a table by the recording that they name.

    Cells are separated by |, tabs, semicolons or commas; between | quotation marks are part of a cell. Without a header
    that has one of KEYS the first column names the recording, and the others are column2, column3, ...
    Raises: DataError that names file and line of the first broken row.
    """
    rows: dict[str, Record] = {}
    key, header = 0, list[str]()
    for number, row in cells(path):
        if not header:
            header = [cell.strip() for cell in row]
            known = [name.casefold() for name in header]
            key = next((known.index(name) for name in KEYS if name in known), -1)
            if key >= 0:
                continue
            key, header = 0, [f"column{place}" for place in range(1, len(row) + 1)]
        if len(set(header)) < len(header):
            broken(source_of(path), 1, "is no header of different column names", "name each column")
        if len(row) != len(header):
            broken(source_of(path), number, f"has {len(row)} cells, the first {len(header)}", "write one cell a column")
        record = dict(zip(header, row, strict=True))
        name = name_of(record.pop(header[key]))
        if name in rows:
            broken(source_of(path), number, f"names {name!r} a second time", "keep one row a recording")
        rows[name] = record
    return rows


def cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, with the number of the line on which each begins."""
    csv.field_size_limit(LONGEST_LINE)
    file = (line for _, line in lines(path, ""))
    first = next(file, "")
    separator = next((sign for sign in "|\t" if sign in first), ";" if ";" in first and "," not in first else ",")
    quoting = csv.QUOTE_NONE if separator == "|" else csv.QUOTE_MINIMAL
    reader = csv.reader(chained(first, file), delimiter=separator, quoting=quoting, strict=True)
    while True:
        start = reader.line_num + 1
        row = next_row(source_of(path), reader, start)
        if row is None:
            return
        if row:
            yield start, row


def source_of(path: Path) -> Source:
    """A table as errors name it."""
    return Source(path, "csv", "")


def name_of(cell: str) -> str:
    """The recording that a cell names, without a suffix of sound."""
    name = PurePosixPath(cell.strip().replace("\\", "/"))
    return str(name.with_suffix("") if name.suffix.lower() in SOUND_SUFFIXES else name)
