"""What a corpus is and what is wrong with it, found before any training and without stopping at the first fault."""

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from unrolled.core.errors import DataError, UnrolledError
from unrolled.data.corpus import open_corpus, text_of_record
from unrolled.data.fields import label_of
from unrolled.data.reading import has_mark, head
from unrolled.data.records import Record, records
from unrolled.data.signs import LONG_LINE, MOST_HASHES, PATTERNS, Faults, Lines, Signs, count_text
from unrolled.data.sources import Source, survey

TINY, SMALL = 5_000, 100_000  # characters
REPEATED = 0.05  # share of characters in lines that occur before
BOILERPLATE = 0.05  # share of documents with the same line, and at least three of them
SPARSE = 0.5  # share of records in which a field is filled
MOST_VALUES = 5_000

REMEDIES = {
    "control characters": "remove them unless they are meant: each becomes a symbol of the model",
    "replacement characters": "they are letters that were lost in a conversion: get the original text",
    "invisible characters": "remove them unless they are meant: nobody sees what the model learns there",
    "mojibake": "UTF-8 was read as Windows-1252 once: repair it, for example with the package ftfy",
}


class Finding(NamedTuple):
    """`level` error: training refuses the data; warning: it harms; note: good to know."""

    level: Literal["error", "warning", "note"]
    kind: str
    message: str


@dataclass
class FieldCount:
    """How often a field is filled, and with what."""

    filled: int = 0
    values: Counter[str] = field(default_factory=Counter)


@dataclass
class Health:
    """All that was seen in one reading."""

    findings: list[Finding] = field(default_factory=list)
    signs: Signs = field(default_factory=Signs)
    lines: Lines = field(default_factory=Lines)
    lengths: "array[int]" = field(default_factory=lambda: array("q"))
    empty: int = 0
    texts: dict[int, str] = field(default_factory=dict)
    duplicates: int = 0
    duplicate: str = ""
    fields: dict[str, FieldCount] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def find(self, level: Literal["error", "warning", "note"], kind: str, message: str) -> None:
        """Add a finding."""
        self.findings.append(Finding(level, kind, message))

    def to_json(self) -> dict[str, Any]:
        """Facts and findings."""
        return {
            **self.facts,
            "symbols": self.signs.symbols,
            "lines": self.lines.count,
            "newlines": {kind: count for kind, count in self.signs.newlines.items() if count},
            "duplicates": self.duplicates,
            "values": {
                name: {
                    "filled": entry.filled,
                    "different": len(entry.values),
                    "most": dict(entry.values.most_common(5)),
                }
                for name, entry in self.fields.items()
            },
            "findings": [finding._asdict() for finding in self.findings],
        }


def examine(paths: Sequence[str | Path], text_field: str = "text") -> Health:
    """Read everything that `paths` name; faults become findings and never exceptions."""
    health = Health()
    sources = find_all(paths, health)
    for number, source in enumerate(sources):
        examine_source(source, number, text_field, health)
    if not sources:
        return health
    if not any(finding.level == "error" for finding in health.findings):
        try:
            health.facts = open_corpus([source.path for source in sources], text_field=text_field).facts()
        except UnrolledError as error:
            health.find("error", "unusable", str(error))
    judge_characters(health)
    judge_lines(health, len(sources))
    if health.lengths:
        judge_records(health)
        judge_fields(health)
    health.findings.sort(key=lambda finding: ["error", "warning", "note"].index(finding.level))
    return health


def find_all(paths: Sequence[str | Path], health: Health) -> list[Source]:
    """The sources of all paths; a path without any is a finding."""
    found: dict[Path, Source] = {}
    for path in paths:
        try:
            sources, skipped = survey([path])
        except DataError as error:
            health.find("error", "unreadable", str(error))
            continue
        found.update((source.path.resolve(), source) for source in sources)
        for reason, count in skipped.items():
            health.find("note", "skipped files", f"{path}: {count} files are passed over ({reason})")
    return list(found.values())


def examine_source(source: Source, number: int, text_field: str, health: Health) -> None:
    """Count one file."""
    path = source.path
    try:
        if has_mark(path, source.compression):
            health.find("note", "byte order mark", f"{path}: begins with a byte order mark, which is left out")
        if source.is_records:
            for line, record in records(source):
                add_record(text_of_record(source, line, record, text_field), record, f"{path.name} line {line}", health)
                health.signs.add(record.get(text_field) or "", str(path), line)
            return
        if b"".join(head(path, source.compression).split())[:2] in (b'{"', b"[{"):
            message = "looks like JSON records: one object a line in a .jsonl file keeps their fields"
            health.find("note", "records as text", f"{path}: {message}")
        report_faults(path, count_text(path, source.compression, number, health.signs, health.lines), health)
    except DataError as error:
        health.find("error", "broken records" if source.is_records else "unreadable", str(error))


def report_faults(path: Path, faults: Faults, health: Health) -> None:
    """One finding for a file that is not UTF-8."""
    if faults.count:
        health.find(
            "error",
            "encoding",
            f"{path}: invalid UTF-8, {faults.count} bytes, the first at byte offset {faults.offset} "
            f"(byte 0x{faults.byte:02X}): convert the file, for example with iconv -f WINDOWS-1252 -t UTF-8",
        )


def add_record(text: str, record: Record, place: str, health: Health) -> None:
    """Count one record."""
    for name, value in record.items():
        entry = health.fields.setdefault(name, FieldCount())
        label = str(value)[:80] if isinstance(value, dict) else label_of(value)[:80]
        entry.filled += bool(label.strip())
        if label.strip() and (label in entry.values or len(entry.values) < MOST_VALUES):
            entry.values[label] += 1
    if not text.strip():
        health.empty += 1
        return
    health.lengths.append(len(text))
    key = hash(text.strip())
    if key in health.texts:
        health.duplicates += 1
        health.duplicate = health.duplicate or f"{place} repeats {health.texts[key]}"
    elif len(health.texts) < MOST_HASHES:
        health.texts[key] = place
    for line in text.split("\n"):
        health.lines.add(line, len(health.lengths), place)


def judge_characters(health: Health) -> None:
    """Size, newlines and suspicious characters."""
    signs = health.signs
    if signs.characters < SMALL:
        level = "warning" if signs.characters < TINY else "note"
        advice = "expect it to be learned by heart; about 100,000 and more give new text"
        health.find(level, "too small", f"{signs.characters:,} characters are few: {advice}")
    kinds = {kind: count for kind, count in signs.newlines.items() if count}
    if len(kinds) > 1:
        listed = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items())
        health.find(
            "warning",
            "mixed newlines",
            f"lines end in different ways ({listed}): convert them to LF, e.g. with dos2unix",
        )
    elif kinds and "LF" not in kinds:
        (kind,) = kinds
        health.find(
            "warning",
            kind,
            f"all {kinds[kind]:,} lines end with {kind}: convert them to LF, or the model writes {kind} too",
        )
    for kind in PATTERNS:
        if signs.count(kind):
            message = f"{signs.count(kind):,} found, {signs.places.get(kind, 'cut in two')}: {REMEDIES[kind]}"
            health.find("warning", kind, message)


def judge_lines(health: Health, sources: int) -> None:
    """Long, repeated and recurring lines."""
    lines, documents = health.lines, len(health.lengths) or sources
    if lines.long:
        length, place = lines.longest
        message = (
            f"{lines.long:,} lines above {LONG_LINE:,} characters, the longest {length:,} in {place}: is this text?"
        )
        health.find("warning", "long lines", message)
    share = lines.repeated_share()
    if share > REPEATED and not health.lengths:
        health.find(
            "warning",
            "duplicate lines",
            f"{share:.0%} of the text stands in lines that occurred before: remove repeats",
        )
    for line, count in lines.recurring(max(3, BOILERPLATE * documents))[:5]:
        message = f"{count:,} of {documents:,} documents hold the line {line[:70]!r}: remove it unless it is meant"
        health.find("warning", "boilerplate", message)
    marks = [line for line in lines.documents if "project gutenberg" in line.casefold()]
    if marks:
        health.find(
            "warning", "boilerplate", f"a distributor's notice, {marks[0][:70]!r}: cut the notice and licence away"
        )


def judge_records(health: Health) -> None:
    """Duplicates and near-empty records."""
    count = len(health.lengths)
    if health.duplicates:
        message = f"{health.duplicates:,} of {count:,} records repeat another ({health.duplicate}): remove them"
        health.find("warning", "duplicate records", message)
    if health.empty:
        health.find("warning", "empty records", f"{health.empty:,} records have no text and are left out of training")
    lengths = np.array(health.lengths)
    median = float(np.median(lengths))
    least = min(20, median / 10)
    short = int((lengths < least).sum())
    if short:
        message = f"{short:,} of {count:,} are shorter than {least:.0f} characters (median {median:,.0f}): check them"
        health.find("warning", "near-empty records", message)


def judge_fields(health: Health) -> None:
    """Fields that cannot condition a model well."""
    count = len(health.lengths) + health.empty
    for name, entry in health.fields.items():
        share = entry.filled / max(count, 1)
        if share < SPARSE:
            health.find(
                "warning", "near-empty field", f"field {name!r} is filled in {share:.0%} of {count:,} records only"
            )
        elif len(entry.values) == 1 and count > 1:
            health.find("note", "constant field", f"field {name!r} has one value only: it cannot condition anything")
