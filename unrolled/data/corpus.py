"""A corpus: ordered sources of one kind, cut into a training and a validation part, with a fingerprint."""

import hashlib
import json
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from unrolled.core.errors import DataError, UsageError
from unrolled.core.files import sha256
from unrolled.data.reading import blocks, has_mark
from unrolled.data.records import Record, records
from unrolled.data.sources import Source, survey

PartName = Literal["train", "validation"]
HASH_RANGE = 10**10  # above the largest eight hex digits


class Document(NamedTuple):
    """A record, or a block of plain text of about a million characters.

    `number` is the line on which a record begins, from 1; for plain text the character at which the block begins in
    its source, from 0.
    """

    text: str
    fields: Record
    source: str
    number: int


@dataclass(frozen=True)
class SplitRule:
    """How much of a corpus trains.

    Plain text is cut once, after int(train * characters). A record validates when the decimal digits of
    int(sha256(text)[:8], 16), last digit first and read as a fraction, lie below 1 - train: at 0.9 when that integer is
    0 modulo 10. Two records or more give at least one to each side unless their texts are equal.
    """

    train: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.train <= 1:
            raise UsageError(f"split {self.train} is not a share of the corpus: pass a number above 0 and at most 1")


DEFAULT_SPLIT = SplitRule()


@dataclass(frozen=True)
class Scan:
    """What one reading of the sources found."""

    sources: list[dict[str, Any]]
    columns: list[str]
    threshold: int
    counts: dict[str, int]


@dataclass(frozen=True)
class Corpus:
    """Made by `open_corpus`; reads its sources again whenever its documents are asked for."""

    sources: tuple[Source, ...]
    fields: tuple[str, ...]
    text_field: str
    split: SplitRule
    scan: Scan = field(repr=False)
    skipped: dict[str, int] = field(repr=False)

    @property
    def is_records(self) -> bool:
        """Whether documents are records that begin and end, and not one long text."""
        return self.sources[0].is_records

    @property
    def columns(self) -> list[str]:
        """The fields that occur in the records, the text left out."""
        return self.scan.columns

    def documents(self, part: PartName | None = None) -> Iterator[Document]:
        """The records, or the plain text in blocks, of one part or of all."""
        every = read_records(self.sources, self.text_field) if self.is_records else read_text(self.sources)
        if part is None:
            return every
        return self.records_of(every, part) if self.is_records else self.text_of(every, part)

    def texts(self, part: PartName | None = None) -> Iterator[str]:
        """The text of `documents`."""
        return (document.text for document in self.documents(part))

    def records_of(self, every: Iterator[Document], part: PartName) -> Iterator[Document]:
        """The records of one part."""
        wanted = part == "validation"
        return (document for document in every if (split_value(document.text) < self.scan.threshold) == wanted)

    def text_of(self, every: Iterator[Document], part: PartName) -> Iterator[Document]:
        """The plain text of one part."""
        position, cut = 0, self.scan.threshold
        for document in every:
            here = min(max(cut - position, 0), len(document.text))
            position += len(document.text)
            if part == "train" and here:
                yield document._replace(text=document.text[:here])
            if part == "validation" and here < len(document.text):
                yield document._replace(text=document.text[here:], number=document.number + here)

    def facts(self) -> dict[str, Any]:
        """Fingerprint, sizes and counts, as JSON."""
        scan = self.scan
        return {
            "kind": "records" if self.is_records else "text",
            "fingerprint": self.fingerprint(),
            "bytes": sum(source["bytes"] for source in scan.sources),
            **scan.counts,
            "split": {"rule": "by record" if self.is_records else "contiguous", "train": self.split.train},
            "text_field": self.text_field if self.is_records else None,
            "fields": list(self.fields),
            "columns": scan.columns,
            "skipped_files": self.skipped,
            "sources": scan.sources,
        }

    def fingerprint(self) -> str:
        """A digest of all that decides which text is in which part, and of which fields."""
        names = [source.format + source.compression for source in self.sources]
        hashes = [source["sha256"] for source in self.scan.sources]
        what = [1, names, hashes, self.scan.threshold, self.fields, self.text_field]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()


def open_corpus(
    paths: Sequence[str | Path],
    *,
    fields: tuple[str, ...] = (),
    text_field: str = "text",
    split: SplitRule = DEFAULT_SPLIT,
) -> Corpus:
    """Find and read the sources once: they are checked, counted and hashed.

    Raises: DataError for what cannot be read; UsageError for a field that no record has.
    """
    sources, skipped = survey(paths)
    kinds = {source.is_records: source.path for source in reversed(sources)}
    if len(kinds) > 1:
        raise DataError(
            f"{kinds[True]} holds records and {kinds[False]} plain text: "
            f"name files of one kind only, such as '{kinds[True].parent}/*{kinds[True].suffix}'"
        )
    is_records = sources[0].is_records
    if fields and not is_records:
        raise UsageError(f"field {fields[0]!r}: plain text has no fields, only .csv, .tsv and .jsonl records have")
    scan = scan_records(sources, text_field, split) if is_records else scan_text(sources, split)
    if text_field in fields:
        raise UsageError(f"field {text_field!r} is the text itself: choose another field, or another --text-field")
    for name in fields:
        if name not in scan.columns:
            remedy = "; for several, repeat --fields" if "," in name else ""
            raise UsageError(
                f"field {name!r} is in no record: the fields are {', '.join(scan.columns) or 'none'}{remedy}"
            )
    return Corpus(tuple(sources), fields, text_field, split, scan, skipped)


def read_text(sources: Sequence[Source]) -> Iterator[Document]:
    """Plain text in blocks; a newline is put after a source that lacks one if another follows, so that none glue."""
    for index, source in enumerate(sources):
        position, text = 0, ""
        for text in blocks(source.path, source.compression):
            yield Document(text, {}, str(source.path), position)
            position += len(text)
        if index + 1 < len(sources) and not text.endswith("\n"):
            yield Document("\n", {}, str(source.path), position)


def read_records(sources: Sequence[Source], text_field: str) -> Iterator[Document]:
    """Records with a text; those whose text is empty or null are passed over."""
    for source in sources:
        for number, record in records(source):
            text = text_of_record(source, number, record, text_field)
            if text.strip():
                fields = {name: value for name, value in record.items() if name != text_field}
                yield Document(text, fields, str(source.path), number)


def text_of_record(source: Source, number: int, record: Record, text_field: str) -> str:
    """The text of a record; empty for null."""
    if text_field not in record:
        columns = ", ".join(map(str, record))[:200]
        raise DataError(
            f"{source.path}: line {number} has no {text_field!r} among its fields {columns}: pass --text-field NAME"
        )
    text = record[text_field]
    if text is None:
        return ""
    if not isinstance(text, str):
        raise DataError(f"{source.path}: line {number}: field {text_field!r} holds {type(text).__name__}, not text")
    return text


def split_value(text: str) -> int:
    """The number in [0, HASH_RANGE) that decides the side of a record."""
    digits = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)
    return int(f"{digits:010d}"[::-1])


def file_facts(source: Source) -> dict[str, Any]:
    """What a source is before its text is read."""
    notes = ["byte order mark left out"] if has_mark(source.path, source.compression) else []
    path = source.path
    return {
        "path": str(path),
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
        "format": source.format,
        "notes": notes,
    }


def scan_text(sources: Sequence[Source], split: SplitRule) -> Scan:
    """Count plain text."""
    facts = {str(source.path): file_facts(source) | {"characters": 0} for source in sources}
    for document in read_text(sources):
        facts[document.source]["characters"] += len(document.text)
    total = sum(source["characters"] for source in facts.values())
    if not total:
        raise DataError(f"{sources[0].path}: no text in it: give a file with text")
    cut = int(split.train * total)
    counts = {"characters": total, "train_characters": cut, "validation_characters": total - cut}
    return Scan(list(facts.values()), [], cut, counts)


def scan_records(sources: Sequence[Source], text_field: str, split: SplitRule) -> Scan:
    """Count records and find where the split lies."""
    facts, columns = [], dict[str, None]()
    values, empty = array("q"), 0
    for source in sources:
        here, characters, entries = file_facts(source), 0, 0
        for number, record in records(source):
            text = text_of_record(source, number, record, text_field)
            columns.update(dict.fromkeys(record))
            if not text.strip():
                empty += 1
                continue
            values.append(split_value(text))
            characters, entries = characters + len(text), entries + 1
        facts.append(here | {"characters": characters, "records": entries})
    if not values:
        seen = f"{empty} records without text" if empty else "no records"
        raise DataError(f"{sources[0].path}: {seen} in it: give a file with records under a header")
    columns.pop(text_field, None)
    characters = sum(source["characters"] for source in facts)
    threshold = place_split(split, min(values), max(values))
    validation = sum(value < threshold for value in values)
    counts = {"characters": characters, "records": len(values), "empty_records": empty}
    counts |= {"train_records": len(values) - validation, "validation_records": validation}
    return Scan(facts, list(columns), threshold, counts)


def place_split(split: SplitRule, lowest: int, highest: int) -> int:
    """The value below which records validate, moved so that neither side is empty where that can be."""
    threshold = round((1 - split.train) * HASH_RANGE)
    return min(max(threshold, lowest + 1), highest) if threshold > 0 else 0
