"""unrolled doctor: what a corpus is and what is wrong with it, before any training."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from unrolled.cli.arguments import parse, positional
from unrolled.cli.terminal import one_line, readable_size, say, table
from unrolled.core.errors import UsageError
from unrolled.data.health import MOST_VALUES, Finding, examine
from unrolled.data.sound_health import examine_sound
from unrolled.data.sound_sources import is_sound
from unrolled.data.sound_split import SoundSplit

WIDTH = 100
SHOWN = 5
ONLY_TEXT, ONLY_SOUND = {"text_field"}, {"split", "validation", "within"}


@dataclass(frozen=True)
class Options:
    """What to look at."""

    data: tuple[str, ...] = positional()
    """files, folders or globs"""
    text_field: str = "text"
    """field of the records that holds the text"""
    split: float = 0.9
    """share of the corpus that trains; the rest validates"""
    validation: tuple[str, ...] = ()
    """track that validates, by its name or a pattern of names (default: by --split); may be repeated"""
    within: bool = False
    """the first part of every track trains and its end validates, instead of whole tracks"""
    json: bool = False
    """one JSON object"""


def main(arguments: list[str]) -> int:
    """The command; 1 where training would refuse the data."""
    parsed = parse("doctor", __doc__, arguments, Options)
    (options,) = parsed.values
    sound = is_sound(options.data)
    refuse_others(options.data, sound, parsed.given)
    if sound:
        health = examine_sound(options.data, SoundSplit(options.split, options.validation, options.within))
    else:
        health = examine(options.data, options.text_field)
    report = health.to_json()
    if options.json:
        say(json.dumps(report))
    else:
        (describe_sound if sound else describe)(report)
        list_findings(health.findings)
        say(verdict(health.findings))
    return int(any(finding.level == "error" for finding in health.findings))


def refuse_others(data: Sequence[str], sound: bool, given: frozenset[str]) -> None:
    """Raises: UsageError for an option that is not for what the data is."""
    wrong = sorted(given & (ONLY_TEXT if sound else ONLY_SOUND))
    if wrong:
        flag, kind = f"--{wrong[0].replace('_', '-')}", "text" if sound else "recordings"
        raise UsageError(f"{flag} is for {kind}, and {data[0]} holds {'recordings' if sound else 'none'}: leave it out")


def list_findings(findings: Sequence[Finding]) -> None:
    """The first few findings of each kind."""
    kinds = Counter((finding.level, finding.kind) for finding in findings)
    for (level, kind), count in kinds.items():
        for finding in [finding for finding in findings if finding[:2] == (level, kind)][:SHOWN]:
            say(f"{level}: {kind}: {finding.message}".replace("\n", " "))
        if count > SHOWN:
            say(f"{level}: {kind}: and {count - SHOWN} more, all of them with --json")


def describe(report: dict[str, Any]) -> None:
    """What the corpus is."""
    if "sources" in report:
        records = report["kind"] == "records"
        rows = [
            [source["path"][-50:], readable_size(source["bytes"]), source["characters"]]
            + ([source["records"]] if records else [])
            for source in report["sources"]
        ]
        say(table(rows[:20], ["file", "size", "characters", *(["records"] if records else [])]))
        if len(rows) > 20:
            say(f"... and {len(rows) - 20} more files")
        size = f"{report['records']:,} records, " if records else ""
        say(f"{size}{report['characters']:,} characters, {report['symbols']:,} different, {report['lines']:,} lines")
        say(split_line(report))
    for name, entry in report["values"].items():
        if name != report.get("text_field", "text"):
            values = ", ".join(f"{value} ({count:,})" for value, count in entry["most"].items())
            different = f"{entry['different']:,}{'+' * (entry['different'] >= MOST_VALUES)}"
            line = f"field {name}: filled {entry['filled']:,} times, {different} values: {values}"
            say(one_line(line, WIDTH))


def describe_sound(report: dict[str, Any]) -> None:
    """What the recordings are."""
    if "sources" not in report:
        return
    columns = ("format", "rate", "channels", "seconds", "peak", "rms")
    rows = [[source["path"][-50:], *(source[name] for name in columns)] for source in report["sources"]]
    say(table(rows[:20], ["file", *columns]))
    if len(rows) > 20:
        say(f"... and {len(rows) - 20} more files")
    tracks = f"{report['tracks']:,} tracks, {report['seconds'] / 60:,.1f} minutes"
    say(f"{tracks}, {report['samples']:,} samples at {report['rate']:,} a second")
    train, validation = (report[f"{part}_samples"] / report["rate"] for part in ("train", "validation"))
    say(f"split {report['split']['rule']}: {train:,.1f} s train, {validation:,.1f} s validation")
    say(one_line(f"fields: {', '.join(report['columns'])}", WIDTH))


def split_line(report: dict[str, Any]) -> str:
    """How training divides the corpus."""
    unit = "records" if report["kind"] == "records" else "characters"
    train, validation = report[f"train_{unit}"], report[f"validation_{unit}"]
    return f"split {report['split']['rule']}: {train:,} {unit} train, {validation:,} validation"


def verdict(findings: Sequence[Finding]) -> str:
    """One line at the end."""
    levels = [finding.level for finding in findings]
    if "error" in levels:
        return "Training would refuse this data: mend the errors first."
    return "Ready to train; the warnings are worth a look." if "warning" in levels else "Ready to train."
