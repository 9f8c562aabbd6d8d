"""Every Python block and every `unrolled` line of the README and CONTRIBUTING runs, in order, in one folder.

The folder holds a small book.txt, poems.jsonl, more.jsonl and a folder of recordings. Trainings, and the sound that is
made, are cut short (`SHORT`); nothing else changes.
A block under `<!-- not run: REASON -->` is left out.
"""

import importlib.util
import json
import re
import shlex
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.data.sounds import melody, write
from unrolled.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ("README.md", "CONTRIBUTING.md")
BLOCK = re.compile(r"(?P<reason><!-- not run: .+? -->\n)?^```(?P<kind>python|console)\n(?P<text>.*?)^```$", re.M | re.S)
SHORT = {
    "--minutes": ("--steps", "5"),
    "minutes=3": "steps=5",
    "--seconds": ("--seconds", "1"),
    "--lengths": ("--lengths", "1,1"),
}
LINES = (
    "The bustle in a house the morning after death is solemnest of industries enacted upon earth.",
    "Shall I compare thee to a summer's day? Thou art more lovely and more temperate.",
    "Because I could not stop for Death, he kindly stopped for me.",
    "Let me not to the marriage of true minds admit impediments.",
)


class Block(NamedTuple):
    name: str
    kind: str
    text: str


def blocks(document: str) -> list[Block]:
    text = (ROOT / document).read_text("utf-8")
    return [
        Block(f"{document}:{text.count(chr(10), 0, match.start()) + 1}", match["kind"], match["text"])
        for match in BLOCK.finditer(text)
        if not match["reason"]
    ]


def commands(block: Block) -> list[list[str]]:
    """The command lines of a console block, budgets of time made small."""
    found = []
    for line in block.text.splitlines():
        if line.startswith("$ unrolled "):
            words = shlex.split(line, comments=True)[2:]
            for budget in ("--minutes", "--seconds", "--lengths"):
                if budget in words:
                    place = words.index(budget)
                    words[place : place + 2] = SHORT[budget]
            if words[0] == "train" and "--steps" not in words and "--resume" not in words:
                words += SHORT["--minutes"]
            found.append(words)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("readme")
    (place / "book.txt").write_text("\n".join(f"{number}. {line}" for number in range(100) for line in LINES))
    for name, count in (("poems.jsonl", 60), ("more.jsonl", 40)):
        records: list[dict[str, Any]] = [
            {"text": f"{line}\n{line[:number]}", "author": ("Dickinson", "Shakespeare")[place_ % 2]}
            for number in range(1, count)
            for place_, line in enumerate(LINES)
        ]
        (place / name).write_text("".join(json.dumps(record) + "\n" for record in records))
    for number, name in enumerate(("one.wav", "two.wav")):
        write(place / "recordings" / name, melody(number, 1.0))
    return place


@pytest.mark.parametrize("block", [block for name in DOCUMENTS for block in blocks(name)], ids=lambda block: block.name)
def test_a_block_runs(block: Block, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(folder)
    if block.kind == "python":
        exec(compile(block.text.replace("minutes=3", SHORT["minutes=3"]), block.name, "exec"), {"__name__": "readme"})  # noqa: S102
        return
    for words in commands(block):
        code = main(words)
        said = capsys.readouterr()
        assert code == 0, f"unrolled {shlex.join(words)}: {said.err}"
        assert "Traceback" not in said.err


def test_there_is_something_to_run():
    found = blocks("README.md")
    assert sum(block.kind == "python" for block in found) >= 2
    assert sum(len(commands(block)) for block in found if block.kind == "console") >= 8


def update_tables() -> Any:
    spec = importlib.util.spec_from_file_location("update_tables", ROOT / "scripts" / "update_tables.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_those_that_were_measured(capsys: pytest.CaptureFixture[str]):
    assert update_tables().main(["--check"]) == 0, capsys.readouterr().out


def test_tables_are_made_from_measurements(tmp_path: Path):
    (tmp_path / "speed.jsonl").write_text(
        '{"model": "gru", "rate": 12345.6, "n": 7}\n{"model": "lstm", "rate": 0.12345}\n'
    )
    text = "a\n<!-- table speed.jsonl: model=Model, rate=Symbols/s, n -->\nold\n<!-- end -->\nb\n"
    made = update_tables().updated(text, tmp_path)
    assert made.splitlines()[2:6] == [
        "| Model | Symbols/s | n |",
        "| --- | ---: | ---: |",
        "| gru | 12,346 | 7 |",
        "| lstm | 0.1235 |  |",
    ]
    assert update_tables().updated(made, tmp_path) == made
