"""Records with fields from .csv, .tsv and .jsonl files."""

import csv
import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from unrolled.core.errors import DataError
from unrolled.data.reading import LONGEST_LINE, lines
from unrolled.data.sources import Source

Record = dict[str, Any]
SURROGATE = re.compile("[\ud800-\udfff]")


def records(source: Source) -> Iterator[tuple[int, Record]]:
    """Each record with the number of the line on which it begins.

    Raises: DataError that names file and line of the first broken record.
    """
    read = read_json_lines if source.format == "jsonl" else read_table
    return read(source)


def read_json_lines(source: Source) -> Iterator[tuple[int, Record]]:
    """One JSON object a line; empty lines are passed over."""
    for number, line in lines(source.path, source.compression):
        if not line.strip():
            continue
        record = parse_line(source, number, line)
        if not isinstance(record, dict):
            broken(
                source, number, f"holds {type(record).__name__}, not a JSON object", 'write {"text": ...} on each line'
            )
        if "\\u" in line and SURROGATE.search(json.dumps(record, ensure_ascii=False)):
            broken(source, number, "holds half of a surrogate pair (\\ud800 to \\udfff)", "write the whole character")
        yield number, record


def parse_line(source: Source, number: int, line: str) -> Any:
    """One JSON value, as strict as the standard: no key twice, no NaN."""
    try:
        return json.loads(line, object_pairs_hook=distinct_keys, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error).split(": line 1")[0]
        column = f", column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise DataError(
            f"{source.path}: line {number}{column} is not JSON ({reason}): write one whole JSON object on each line"
        ) from error


def distinct_keys(pairs: list[tuple[str, Any]]) -> Record:
    """A JSON object, refused if a key comes twice, because the intent is unknown."""
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(key for key in keys if keys.count(key) > 1)!r} comes twice")
    return record


def refuse_constant(name: str) -> NoReturn:
    """NaN and the infinities are no JSON."""
    raise ValueError(f"{name} is no JSON number")


def read_table(source: Source) -> Iterator[tuple[int, Record]]:
    """Rows under a header; the separator is a comma (a semicolon if the header has no comma), or a tab in .tsv."""
    csv.field_size_limit(LONGEST_LINE)  # the module's own limit, 131,072, is below many a text
    file = (line for _, line in lines(source.path, source.compression))
    first = next(file, "")
    separator = "\t" if source.format == "tsv" else ";" if ";" in first and "," not in first else ","
    reader = csv.reader(chained(first, file), delimiter=separator, strict=True)
    header = next_row(source, reader, 1)
    if not header or len(set(header)) < len(header):
        broken(
            source, 1, f"is no header of different column names ({', '.join(header or [])[:80]})", "name each column"
        )
    while True:
        start = reader.line_num + 1
        row = next_row(source, reader, start)
        if row is None:
            return
        if row and len(row) != len(header):
            broken(source, start, f"has {len(row)} cells, the header {len(header)}", "quote cells that hold separators")
        if row:
            yield start, dict(zip(header, row, strict=True))


def chained(first: str, rest: Iterator[str]) -> Iterator[str]:
    """All lines again."""
    yield first
    yield from rest


def next_row(source: Source, reader: Any, start: int) -> list[str] | None:
    """The next row, None at the end."""
    try:
        return next(reader, None)
    except csv.Error as error:
        broken(source, start, f"is not a {source.format} row ({error})", 'quote cells as "..." and double inner quotes')


def broken(source: Source, number: int, problem: str, remedy: str) -> NoReturn:
    """Refuse a record."""
    raise DataError(f"{source.path}: line {number} {problem}: {remedy}")
