"""unrolled doctor: what a corpus is and what is wrong with it, before any training."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from unrolled.cli.arguments import parse, positional
from unrolled.cli.terminal import one_line, readable_size, say, table
from unrolled.data.health import MOST_VALUES, Health, examine

WIDTH = 100
SHOWN = 5


@dataclass(frozen=True)
class Options:
    """What to look at."""

    data: tuple[str, ...] = positional()
    """Files, folders or globs."""
    text_field: str = "text"
    """Field of records that holds the text."""
    json: bool = False
    """One JSON object."""


def main(arguments: list[str]) -> int:
    """The command; 1 where training would refuse the data."""
    (options,) = parse("doctor", __doc__, arguments, Options).values
    health = examine(options.data, options.text_field)
    if options.json:
        say(json.dumps(health.to_json()))
    else:
        describe(health.to_json())
        list_findings(health)
        say(verdict(health))
    return int(any(finding.level == "error" for finding in health.findings))


def list_findings(health: Health) -> None:
    """The first few findings of each kind."""
    kinds = Counter((finding.level, finding.kind) for finding in health.findings)
    for (level, kind), count in kinds.items():
        for finding in [finding for finding in health.findings if finding[:2] == (level, kind)][:SHOWN]:
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


def split_line(report: dict[str, Any]) -> str:
    """How training divides the corpus."""
    unit = "records" if report["kind"] == "records" else "characters"
    train, validation = report[f"train_{unit}"], report[f"validation_{unit}"]
    return f"split {report['split']['rule']}: {train:,} {unit} train, {validation:,} validation"


def verdict(health: Health) -> str:
    """One line at the end."""
    levels = [finding.level for finding in health.findings]
    if "error" in levels:
        return "Training would refuse this data: mend the errors first."
    return "Ready to train; the warnings are worth a look." if "warning" in levels else "Ready to train."
