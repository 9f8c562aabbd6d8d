"""What goes wrong gets one line on stderr, the right exit code, and loses nothing."""

import errno
import json
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.end_to_end.conftest import SMALL
from unrolled.api import runs as api_runs
from unrolled.core import files
from unrolled.core.errors import RunError
from unrolled.store.folders import RunFolder


def one_line(found, code: int, *parts: str) -> None:
    assert found.code == code, found
    assert found.err.count("\n") == 1 and found.err.startswith("unrolled: "), found.err
    for part in parts:
        assert part in found.err, found.err


@pytest.fixture
def copy(runs, tmp_path) -> Path:
    """A copy of a run that a test may damage."""
    shutil.copytree(runs / "plain", tmp_path / "runs" / "plain")
    return tmp_path / "runs" / "plain"


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


BAD_DATA = {
    "empty.txt": (b"", 1, "empty.txt"),
    "short.txt": (b"To be, or not", 1, "corpus"),
    "latin1.txt": (b"ab" * 500 + b"caf\xe9 noir" + b"ab" * 500, 1, "latin1.txt: invalid UTF-8 at byte offset 1003"),
    "ragged.csv": (b"text,author\na,b\nc\n", 1, "ragged.csv: line 3 has 1 cells, the header 2"),
    "wide.tsv": (b"text\tauthor\na\tb\tc\n", 1, "wide.tsv: line 2 has 3 cells, the header 2"),
    "open.csv": (b'text,author\n"a,b\nc,d\n', 1, "open.csv: line 2"),
    "header.csv": (b"text,author\n", 1, "no records"),
    "nameless.csv": (b"poem,author\na,b\n", 1, "--text-field"),
    "broken.jsonl": (b'{"text": "a"}\n{"text": \n', 1, "broken.jsonl: line 2"),
    "number.jsonl": (b'{"text": 7}\n', 1, "number.jsonl: line 1"),
    "cut.txt.gz": (b"\x1f\x8b\x08\x00", 1, "broken .gz"),
    "wide.txt": ("wide".encode("utf-16"), 1, "UTF-16"),
    "binary.txt": (bytes(range(256)) * 20, 1, "binary.txt"),
}


@pytest.mark.parametrize("name", BAD_DATA)
def test_data_that_cannot_be_read(unrolled, tmp_path, name):
    content, code, part = BAD_DATA[name]
    path = write(tmp_path / name, content)
    found = unrolled("train", path, "--runs", tmp_path / "runs", "--steps", 5, *SMALL)
    one_line(found, code, part)


def test_missing_file_and_folder_without_text(unrolled, tmp_path):
    one_line(unrolled("train", tmp_path / "nothing.txt", "--steps", 5), 1, "nothing.txt")
    (tmp_path / "folder").mkdir()
    one_line(unrolled("train", tmp_path / "folder", "--steps", 5), 1, "folder")


def test_byte_order_mark_is_left_out(unrolled, book, tmp_path):
    marked = write(tmp_path / "marked.txt", b"\xef\xbb\xbf" + book.read_bytes())
    assert unrolled("train", marked, "--runs", tmp_path, "--name", "x", "--steps", 2, "--quiet", *SMALL).code == 0
    assert "\ufeff" not in (tmp_path / "x" / "codec.json").read_text()


def test_a_line_of_200_megabytes(unrolled, tmp_path, monkeypatch):
    monkeypatch.setenv("UNROLLED_CACHE", str(tmp_path / "cache"))
    line = tmp_path / "line.txt"
    with open(line, "wb") as file:
        for _ in range(200):
            file.write(b"all on one line " * 62_500)
    found = unrolled("doctor", line)
    assert found.code == 0 and "the longest 200,000,000" in found.out
    assert unrolled("train", line, "--runs", tmp_path, "--name", "x", "--steps", 2, "--quiet", *SMALL).code == 0
    line.unlink()
    shutil.rmtree(tmp_path / "cache")


@pytest.mark.parametrize(
    "words",
    [
        ["--temperature", "-1"], ["--top-p", "0"], ["--top-k", "-3"], ["--where", "author=Ann"], ["--length", "-5"],
        ["--samples", "0"], ["--temperature", "warm"], ["--temprature", "1"],
    ],
)  # fmt: skip
def test_settings_that_cannot_be_used(unrolled, runs, words):
    one_line(unrolled("generate", "plain", "--runs", runs, *words), 2)


def test_unknown_symbol_in_a_prompt(unrolled, runs):
    one_line(unrolled("generate", "plain", "--runs", runs, "--prompt", "Tσ"), 1, "σ", "U+03C3")


def test_budgets_that_cannot_be_used(unrolled, book, tmp_path):
    for words in (["--minutes", "-1"], ["--steps", "0"], ["--minutes", "1", "--epochs", "2"], ["--cell", "gated"]):
        one_line(unrolled("train", book, "--runs", tmp_path, *words), 2)
    one_line(unrolled("train", "--runs", tmp_path), 2, "no data")
    one_line(unrolled("train", book, "--system", "char-rn"), 2, "char-rnn")
    one_line(unrolled("train", book, "--runs", tmp_path, "--vocabulary-from", "both"), 2, "train, all")


def test_names_that_leave_the_folder(unrolled, runs, book, tmp_path):
    for name in ("../x", "a/../../x", "/etc/x", "..", ".hidden", "a" * 65):
        found = unrolled("train", book, "--runs", tmp_path / "runs", "--name", name, "--steps", 2, *SMALL)
        one_line(found, 2)
    assert not (tmp_path / "x").exists()
    (tmp_path / "link").symlink_to(runs / "plain")
    one_line(unrolled("generate", "link", "--runs", tmp_path), 1, "link")
    one_line(unrolled("generate", "plan", "--runs", runs), 1, "plain")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def replace(path: Path) -> None:
    path.write_bytes(b"\x80\x04K\x01.")


@pytest.mark.parametrize("damage", [truncate, flip, Path.unlink, replace])
@pytest.mark.parametrize("file", ["codec.json", "config.json"])
def test_damaged_run(unrolled, copy, damage, file):
    damage(copy / file)
    one_line(unrolled("generate", "plain", "--runs", copy.parent), 1, "plain")


@pytest.mark.parametrize(
    ("damage", "found"), [(truncate, "truncated"), (Path.unlink, "missing"), (replace, "truncated")]
)
def test_weights_that_are_not_whole_are_told_though_nothing_reads_them(unrolled, copy, damage, found):
    damage(copy / "model.safetensors")
    one_line(unrolled("generate", "plain", "--runs", copy.parent), 1, "model.safetensors", found, "copy the run again")
    words = ("curate", "plain", "--runs", copy.parent, "--best", 1, "--of", 2)
    one_line(unrolled(*words), 1, "model.safetensors", found)


@pytest.mark.parametrize("damage", [truncate, flip, Path.unlink, replace])
def test_damaged_weights_are_found_by_what_reads_them(unrolled, copy, damage):
    damage(copy / "model.safetensors")
    for words in (["generate", "plain", "--engine", "torch"], ["evaluate", "plain"], ["check", "plain"]):
        one_line(unrolled(*words, "--runs", copy.parent), 1, "model.safetensors")


def test_without_torch_a_run_may_lack_its_weights_but_not_hold_a_part_of_them(copy, monkeypatch):
    truncate(copy / "model.safetensors")
    monkeypatch.setattr(api_runs, "torch_installed", lambda: False)
    with pytest.raises(RunError, match="truncated"):
        api_runs.opened(copy)
    (copy / "model.safetensors").unlink()
    assert api_runs.opened(copy).model_sha256


@pytest.mark.parametrize("damage", [truncate, flip, Path.unlink])
def test_damaged_weights_come_back_from_the_checkpoint(unrolled, copy, damage):
    damage(copy / "model.safetensors")
    found = unrolled("train", "--resume", "plain", "--runs", copy.parent, "--quiet")
    assert found.code == 0, found.err
    assert unrolled("generate", "plain", "--runs", copy.parent, "--length", 5).code == 0
    one_line(unrolled("train", "--resume", "plain", "--runs", copy.parent), 1, "finished")


def test_foreign_weights(unrolled, copy, runs):
    shutil.copy(runs / "poems" / "model.safetensors", copy / "model.safetensors")
    one_line(unrolled("generate", "plain", "--runs", copy.parent, "--engine", "torch"), 1, "model.safetensors")


def test_config_of_a_newer_version(unrolled, copy):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"schema": 99}))
    one_line(unrolled("train", "--resume", "plain", "--runs", copy.parent), 1, "newer")


def test_corrupt_database_is_rebuilt(unrolled, copy):
    runs = copy.parent
    unrolled("generate", "plain", "--runs", runs, "--length", 5)
    before = unrolled("runs", "samples", "plain", "--runs", runs, "--json").out
    (runs / "unrolled.db").write_bytes(b"no database at all" * 100)
    for ending in ("-wal", "-shm"):
        (runs / f"unrolled.db{ending}").unlink(missing_ok=True)
    found = unrolled("runs", "samples", "plain", "--runs", runs, "--json")
    assert found.code == 0 and found.out == before and "rebuilt" in found.err


def test_locked_database_loses_nothing(unrolled, copy):
    runs = copy.parent
    before = unrolled("runs", "samples", "plain", "--runs", runs, "--json").out.splitlines()
    blocker = sqlite3.connect(runs / "unrolled.db")
    blocker.execute("BEGIN EXCLUSIVE")
    found = unrolled("generate", "plain", "--runs", runs, "--length", 5)
    blocker.rollback()
    blocker.close()
    assert found.code == 0
    assert len(unrolled("runs", "samples", "plain", "--runs", runs, "--json").out.splitlines()) == len(before) + 1


def test_disk_full_while_saving(unrolled, book, tmp_path, monkeypatch):
    words = ["--runs", tmp_path, "--checkpoint-seconds", 0, "--steps", 30, *SMALL]
    saves, rename = [], os.rename

    def full(source, target):
        if "checkpoints" in str(target):
            saves.append(target)
            if len(saves) > 5:
                raise OSError(errno.ENOSPC, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(files.os, "rename", full)
    found = unrolled("train", book, "--name", "x", "--quiet", *words)
    one_line(found, 1, "disk is full")
    monkeypatch.undo()
    monkeypatch.setenv("UNROLLED_CACHE", str(tmp_path / "cache"))
    assert unrolled("generate", "x", "--runs", tmp_path, "--length", 5).code == 0
    assert unrolled("train", "--resume", "x", "--runs", tmp_path, "--quiet").code == 0


def test_two_trainings_with_one_name(unrolled, book, copy):
    with RunFolder(copy).lock():
        one_line(unrolled("train", "--resume", "plain", "--runs", copy.parent), 1, str(os.getpid()))
    found = unrolled("train", book, "--runs", copy.parent, "--name", "plain", "--steps", 2, *SMALL)
    one_line(found, 1, "exists already")


def test_a_loss_that_is_not_a_number_stops_training(unrolled, book, tmp_path):
    words = [
        "--runs",
        tmp_path,
        "--name",
        "x",
        "--optimiser",
        "adamw",
        "--learning-rate",
        1e30,
        "--clip",
        0,
        "--warmup",
        0,
    ]
    one_line(unrolled("train", book, "--steps", 20, "--quiet", *words, *SMALL), 1, "update", "checkpoint")
