"""Writes measured tables into the documents: python scripts/update_tables.py [--check]

A table stands between `<!-- table bench/results/NAME.jsonl: key=Heading, key=Heading -->` and `<!-- end -->`. Its rows
are the JSON objects of that file, as `unrolled bench NAME --json` prints them, so no figure is typed by hand; after
NAME.jsonl may stand [key=value], and only rows that have it are shown.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = ("README.md", "docs/measurements.md", "docs/sound.md")
TABLE = re.compile(
    r"(?P<begin><!-- table (?P<file>[^\s\[]+?)(\[(?P<key>\w+)=(?P<value>[^\]]+)\])?: (?P<columns>[^\n]*?) -->\n)"
    r".*?(?P<end><!-- end -->)",
    re.DOTALL,
)


def cell(value: Any) -> str:
    """A value as it is read best: thousands separated, four significant digits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "" if value is None else str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def table(rows: list[dict[str, Any]], columns: str) -> str:
    """A Markdown table; text is aligned left and numbers right."""
    pairs = [column.strip().partition("=") for column in columns.split(",")]
    keys, headings = [key for key, _, _ in pairs], [heading or key for key, _, heading in pairs]
    if missing := [key for key in keys if not any(key in row for row in rows)]:
        raise SystemExit(f"update_tables: no row has {', '.join(missing)}: the keys are {', '.join(rows[0])}")
    numbers = [all(isinstance(row.get(key, 0), int | float) for row in rows) for key in keys]
    rule = ["---:" if number else "---" for number in numbers]
    lines = [headings, rule, *([cell(row.get(key)) for key in keys] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def updated(text: str, root: Path) -> str:
    """The text with each table made anew from its file."""

    def fill(match: re.Match[str]) -> str:
        lines = (root / match["file"]).read_text("utf-8").splitlines()
        rows = [json.loads(line) for line in lines if line]
        if match["key"]:
            rows = [row for row in rows if str(row.get(match["key"])) == match["value"]]
        return match["begin"] + table(rows, match["columns"]) + match["end"]

    return TABLE.sub(fill, text)


def main(arguments: list[str]) -> int:
    """Write the documents, or say with --check whether they are up to date."""
    stale = False
    for name in DOCUMENTS:
        document = ROOT / name
        before = document.read_text("utf-8")
        after = updated(before, ROOT)
        if before != after and arguments == ["--check"]:
            print(f"{name}: run python scripts/update_tables.py")
            stale = True
        elif before != after:
            document.write_text(after, "utf-8")
    return int(stale)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
