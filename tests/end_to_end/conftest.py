"""A small corpus of each kind and a run trained on it, made once."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from unrolled.cli.main import main

SMALL = ["--hidden", "24", "--rows", "4", "--length", "16"]


class Outcome(NamedTuple):
    """What one command line did."""

    code: int
    out: str
    err: str


@pytest.fixture
def unrolled(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run a command line as a user types it, in this process."""

    def run(*words: object) -> Outcome:
        capsys.readouterr()
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return Outcome(code, str(out), str(err))

    return run


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is written outside the tests' folders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNROLLED_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


@pytest.fixture(scope="session")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few thousand characters of plain text."""
    draws = random.Random(0)
    words = [
        "the",
        "sea",
        "a",
        "bird",
        "over",
        "under",
        "green",
        "night",
        "sings",
        "falls",
        "and",
        "waits",
        "for",
        "rain",
    ]
    path = tmp_path_factory.mktemp("data") / "book.txt"
    path.write_text("\n".join(" ".join(draws.choices(words, k=7)).capitalize() + "." for _ in range(120)))
    return path


@pytest.fixture(scope="session")
def poems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records whose text is decided by their author."""
    path = tmp_path_factory.mktemp("data") / "poems.jsonl"
    lines = [
        {"author": author, "year": 1800 + n % 7, "text": text * 6}
        for n in range(40)
        for author, text in (("Ann", f"a{n}a"), ("Bob", f"b{n}b"))
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory, book: Path, poems: Path) -> Path:
    """A folder with the runs `plain` and `poems`."""
    folder = tmp_path_factory.mktemp("runs")
    assert main(["train", str(book), "--runs", str(folder), "--name", "plain", "--steps", "60", "--quiet", *SMALL]) == 0
    words = ["--name", "poems", "--steps", "400", "--fields", "author", "--quiet", "--dropout", "0", *SMALL]
    assert main(["train", str(poems), "--runs", str(folder), *words]) == 0
    return folder
