"""Append-only files: nothing acknowledged is lost, nothing torn is read."""

import errno
import os
import threading
from pathlib import Path

import pytest

from unrolled.core.errors import RunError
from unrolled.store import journal
from unrolled.store.journal import append, read, records
from unrolled.store.locks import wait_lock


def numbers(path: Path) -> list[int]:
    return [record["n"] for record in records(path)]


def test_lines_come_back_in_order_and_from_any_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    append(path, [{"n": 1}, {"n": 2}], durable=True)
    append(path, [{"n": 3}], durable=False)
    assert numbers(path) == [1, 2, 3]
    entries = list(read(path))
    assert [entry.record for entry in read(path, entries[0].end)] == [{"n": 2}, {"n": 3}]
    assert entries[-1].end == path.stat().st_size


def test_a_missing_file_has_no_lines(tmp_path: Path) -> None:
    assert numbers(tmp_path / "none") == []


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_torn_last_line_is_dropped_and_then_replaced(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "samples.jsonl"
    append(path, [{"n": 1}, {"n": 2}], durable=False)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    kept = [1, 2] if cut == 1 else [1]  # without its line break alone, the record is whole
    assert numbers(path) == kept
    append(path, [{"n": 3}], durable=False)
    assert numbers(path) == [*kept, 3]


def test_a_damaged_line_in_the_middle_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_bytes(b'{"n": 1}\n{"n\xff": 2}\n\n{"n": 3}\n')
    assert [entry.record for entry in read(path)] == [{"n": 1}, None, {"n": 3}]


def test_an_endless_line_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "LINE_LIMIT", 100)
    path = tmp_path / "samples.jsonl"
    path.write_bytes(b'{"n": 1}\n{"n": "' + b"x" * 5000 + b'"}\n{"n": 3}\n')
    assert [entry.record for entry in read(path)] == [{"n": 1}, None, {"n": 3}]


def test_a_full_disk_takes_nothing_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "samples.jsonl"
    append(path, [{"n": 1}], durable=True)
    real = os.write

    def full(descriptor: int, content: bytes) -> int:
        if len(content) < 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, content[:5])

    monkeypatch.setattr(journal.os, "write", full)
    with pytest.raises(OSError, match="space"):
        append(path, [{"n": 2}], durable=True)
    monkeypatch.undo()
    assert path.read_bytes() == b'{"n": 1}\n'


def test_a_writer_waits_for_another(tmp_path: Path) -> None:
    """Else it could take the half of a line that the other has written so far for a torn one."""
    path = tmp_path / "samples.jsonl"
    append(path, [{"n": 1}], durable=False)
    with open(path, "ab", buffering=0) as other:
        wait_lock(other.fileno())
        other.write(b'{"n": ')
        writer = threading.Thread(target=append, args=(path, [{"n": 3}], False))
        writer.start()
        writer.join(0.2)
        assert writer.is_alive()
        other.write(b"2}\n")
    writer.join(30)
    assert numbers(path) == [1, 2, 3]


def test_links_are_neither_read_nor_written(tmp_path: Path) -> None:
    (tmp_path / "real").write_text('{"n": 1}\n')
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert numbers(tmp_path / "link") == []
    with pytest.raises(RunError, match="link"):
        append(tmp_path / "link", [{"n": 2}], durable=False)
