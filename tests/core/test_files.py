"""A write that fails at any call leaves the old content or the new, and nothing beside it."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unrolled.core import files

CALLS = ["open", "fsync", "replace", "rename", "close"]


class Failure(OSError):
    """What a full disk or a broken device raises."""


def fail_at(monkeypatch: pytest.MonkeyPatch, number: int, after: bool) -> Callable[[], int]:
    """Make the `number`-th call of the operating system raise, before or after it took effect; returns the count."""
    count = 0

    def breaking(call: Callable[..., Any]) -> Callable[..., Any]:
        def broken(*arguments: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count != number:
                return call(*arguments, **named)
            if after:
                call(*arguments, **named)
            raise Failure("no space left on device")

        return broken

    for name in CALLS:
        monkeypatch.setattr(files.os, name, breaking(getattr(os, name)))
    return lambda: count


def outcomes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepare: Callable[[Path], None], write: Callable[[Path], None]
) -> list[tuple[Path, bool]]:
    """One folder for each call that can fail, and whether the write reported it."""
    found = []
    for after in (False, True):
        for number in range(1, 100):
            folder = tmp_path / f"{after}{number}"
            folder.mkdir()
            prepare(folder)
            with monkeypatch.context() as patch:
                counted = fail_at(patch, number, after)
                try:
                    write(folder)
                    failed = False
                except Failure:
                    failed = True
            found.append((folder, failed))
            if counted() < number:
                break
    return found


def test_write_file_leaves_old_or_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = outcomes(
        tmp_path,
        monkeypatch,
        lambda folder: files.write_file(folder / "file", b"old"),
        lambda folder: files.write_file(folder / "file", b"new content"),
    )
    contents = [((folder / "file").read_bytes(), failed) for folder, failed in found]
    assert {content for content, failed in contents if failed} == {b"old", b"new content"}
    assert {content for content, failed in contents if not failed} == {b"new content"}
    assert len(contents) > 8
    for folder, _ in found:
        assert os.listdir(folder) == ["file"]


def test_write_folder_is_there_wholly_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(folder: Path) -> None:
        (folder / "inner").mkdir()
        (folder / "inner" / "a").write_bytes(b"a" * 10)
        (folder / "b").write_bytes(b"b")

    found = outcomes(tmp_path, monkeypatch, lambda _: None, lambda folder: files.write_folder(folder / "new", fill))
    for folder, failed in found:
        whole = (folder / "new").is_dir()
        assert os.listdir(folder) == (["new"] if whole else [])
        assert whole or failed
        if whole:
            assert (folder / "new" / "inner" / "a").read_bytes() == b"a" * 10
            assert (folder / "new" / "b").read_bytes() == b"b"
    assert {(folder / "new").is_dir() for folder, failed in found if failed} == {True, False}


def test_write_folder_refuses_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "kept").write_text("kept")
    with pytest.raises(FileExistsError):
        files.write_folder(tmp_path / "new", lambda folder: None)
    assert os.listdir(tmp_path) == ["new"]
    assert (tmp_path / "new" / "kept").read_text() == "kept"


def test_write_folder_cleans_up_when_filling_fails(tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        (folder / "a").write_bytes(b"a")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.write_folder(tmp_path / "new", fill)
    assert os.listdir(tmp_path) == []


def test_sha256_of_an_empty_and_a_known_file(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "abc").write_bytes(b"abc")
    assert files.sha256(tmp_path / "empty").startswith("e3b0c44298fc1c149afbf4c8996fb924")
    assert files.sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    shutil.rmtree(tmp_path)
