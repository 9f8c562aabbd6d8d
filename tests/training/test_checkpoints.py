"""A checkpoint is there wholly or not at all, damage is always found, and hostile files only raise RunError."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from unrolled.core.errors import RunError, TrainingError
from unrolled.training import checkpoints
from unrolled.training.checkpoints import latest_checkpoint, load_checkpoint, prune, save_checkpoint

SCALARS = {"step": 5, "evaluations": [[1, 2.5, None]], "extra": {"text": "é"}}


def trees(value: float = 1.0) -> dict[str, dict[str, torch.Tensor]]:
    """Two trees with every awkward kind of tensor."""
    weight = torch.full((3, 4), value)
    return {
        "model": {"weight": weight, "tied": weight, "turned": weight.T, "none": torch.zeros(0, 2)},
        "optimiser": {
            "a.step": torch.tensor(7),
            "half": torch.ones(2, dtype=torch.bfloat16),
            "yes": torch.tensor([True]),
        },
    }


def same(found: dict[str, dict[str, torch.Tensor]], expected: dict[str, dict[str, torch.Tensor]]) -> bool:
    return found.keys() == expected.keys() and all(
        found[tree].keys() == expected[tree].keys()
        and all(torch.equal(found[tree][n], t) and found[tree][n].dtype == t.dtype for n, t in expected[tree].items())
        for tree in expected
    )


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "checkpoints", 5, trees(), SCALARS)
    assert path == tmp_path / "checkpoints" / "00000005"
    found = load_checkpoint(path)
    assert (found.path, found.step, found.scalars) == (path, 5, SCALARS)
    assert same(found.trees, trees())
    made_with = json.loads((path / "manifest.json").read_bytes())["made_with"]
    assert made_with["torch"] == torch.__version__ and made_with["threads"] == torch.get_num_threads()


class Calls:
    """Counts the file calls of a save, notes them, and makes one of them fail."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, fail: int | None, error: int = errno.EIO, last: int | None = None
    ) -> None:
        self.names: list[tuple[str, str]] = []
        self.fail, self.error, self.last = fail, error, last
        self.open_files: dict[int, str] = {}
        real_open = open

        def opened(path: Any, mode: str = "r", **options: Any) -> Any:
            self.call("open", path)
            return Noted(real_open(path, mode, **options), self, path)

        monkeypatch.setattr(checkpoints, "open", opened, raising=False)
        for name in ("rename", "fsync", "open"):
            monkeypatch.setattr(os, name, self.noting(name, getattr(os, name)))

    def noting(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        """`real`, noted and perhaps failing; a descriptor is noted under the path it was opened for."""

        def call(first: Any, *rest: Any, **options: Any) -> Any:
            self.call(name, self.open_files.get(first, first) if name == "fsync" else first)
            result = real(first, *rest, **options)
            if name == "open":
                self.open_files[result] = str(first)
            return result

        return call

    def call(self, name: str, path: Any) -> None:
        self.names.append((name, str(path)))
        number = len(self.names) - 1
        if self.fail is not None and self.fail <= number and (self.last is None or number <= self.last):
            raise OSError(self.error, os.strerror(self.error))


class Noted:
    """A file whose writes are noted."""

    def __init__(self, file: Any, calls: Calls, path: Any) -> None:
        self.file, self.calls, self.path = file, calls, path

    def __enter__(self) -> "Noted":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, content: bytes) -> None:
        self.calls.call("write", self.path)
        self.file.write(content)


@pytest.mark.parametrize("once", [True, False], ids=["once", "from then on"])
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_every_file_call_of_a_save_may_fail(
    error: int, once: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = save_checkpoint(tmp_path, 1, trees(1.0), SCALARS)
    with monkeypatch.context() as patch:
        calls = Calls(patch, None)
        save_checkpoint(tmp_path, 2, trees(), SCALARS)
    total = len(calls.names)
    assert total > 15
    for first_failure in range(total):
        step = 100 + first_failure
        with monkeypatch.context() as patch:
            Calls(patch, first_failure, error, first_failure if once else None)
            with pytest.raises(TrainingError) as caught:
                save_checkpoint(tmp_path, step, trees(3.0), SCALARS)
        message = str(caught.value)
        assert (
            f"step {step} " in message
            and "\n" not in message
            and ("disk is full" in message) == (error == errno.ENOSPC)
        )
        assert load_checkpoint(old).step == 1
        newest, notes = latest_checkpoint(tmp_path)
        assert newest is not None and not notes
        # only the last call, which makes the renamed folder durable, comes after the commit
        assert newest.step == (step if first_failure >= total - 2 else 2), calls.names[first_failure]
        if newest.step == step:
            checkpoints.discard(newest.path)


def test_everything_is_durable_before_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        calls = Calls(patch, None)
        path = save_checkpoint(tmp_path, 1, trees(), SCALARS)
    renames = [number for number, (name, _) in enumerate(calls.names) if name == "rename"]
    assert len(renames) == 1
    temporary = calls.names[renames[0]][1]
    before = calls.names[: renames[0]]
    last_write = max(number for number, (name, _) in enumerate(before) if name == "write")
    assert before[last_write][1].endswith("manifest.json")
    durable = {path for name, path in before[last_write:] if name == "fsync"}
    assert durable == {temporary} | {f"{temporary}/{file.name}" for file in path.iterdir()}
    assert [name for name, _ in calls.names[renames[0] :]] == ["rename", "open", "fsync"]
    assert calls.names[-1][1] == str(tmp_path)


@pytest.mark.parametrize("damage", ["flip", "truncate", "append", "remove", "empty"])
def test_damage_of_any_file_is_found(damage: str, tmp_path: Path) -> None:
    names = sorted(file.name for file in save_checkpoint(tmp_path, 1, trees(), SCALARS).iterdir())
    assert names == ["manifest.json", "model.safetensors", "optimiser.safetensors", "scalars.json"]
    for name in names:
        path = save_checkpoint(tmp_path, 2, trees(), SCALARS) / name
        content = path.read_bytes()
        changed = bytearray(content)
        changed[len(changed) // 2] ^= 1
        new = {
            "flip": bytes(changed),
            "truncate": content[:-1],
            "append": content + b" x",
            "empty": b"",
            "remove": None,
        }
        if (wanted := new[damage]) is None:
            path.unlink()
        else:
            path.write_bytes(wanted)
        found, notes = latest_checkpoint(tmp_path)
        assert found is not None
        if name == "manifest.json" and damage == "flip" and found.step == 2:
            continue  # a bit of `made_with`, say, which nothing depends on
        assert found.step == 1 and len(notes) == 1 and "00000002" in notes[0] and "\n" not in notes[0]


def test_no_byte_flip_passes_for_other_values(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 1, trees(), SCALARS)
    for file in sorted(path.iterdir()):
        content = file.read_bytes()
        for place in range(0, len(content), 3):
            file.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
            try:
                found = load_checkpoint(path)
            except RunError as error:
                assert "\n" not in str(error)
            else:
                assert file.name == "manifest.json" and same(found.trees, trees()) and found.scalars == SCALARS
        file.write_bytes(content)


def test_nothing_good_is_left(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path / "nowhere") == (None, [])
    (save_checkpoint(tmp_path, 1, trees(), SCALARS) / "manifest.json").unlink()
    found, notes = latest_checkpoint(tmp_path)
    assert found is None and "manifest.json is missing" in notes[0]


@pytest.mark.parametrize(
    "change",
    [{"schema": 2}, {"step": 3}, {"step": True}, {"step": "1"}, {"files": {}}, {"files": []}, {"files": None}]
    + [{"files": {"scalars.json": facts}} for facts in (None, {}, {"bytes": "3"}, {"bytes": -1, "sha256": ""})]
    + [{"files": {"scalars.json": None, name: None}} for name in ("../x.safetensors", "/etc/passwd", "X.safetensors")],
)
def test_hostile_manifests_are_refused(change: dict[str, Any], tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 1, trees(), SCALARS)
    manifest = json.loads((path / "manifest.json").read_bytes())
    (path / "manifest.json").write_text(json.dumps(manifest | change))
    with pytest.raises(RunError):
        load_checkpoint(path)


def test_hostile_json_is_refused(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 1, trees(), SCALARS)
    for content in (b"[" * 100_000, b"[1]", b"\xff\xfe", b'{"step": ' + b"9" * 10_000 + b"}", b"NaN", b""):
        (path / "manifest.json").write_bytes(content)
        with pytest.raises(RunError):
            load_checkpoint(path)


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 1, trees(1.0), SCALARS)
    (path / "model.safetensors").write_bytes(b"damaged")
    save_checkpoint(tmp_path, 1, trees(2.0), SCALARS)
    found, notes = latest_checkpoint(tmp_path)
    assert found is not None and same(found.trees, trees(2.0)) and not notes
    assert [entry.name for entry in tmp_path.iterdir()] == ["00000001"]


def test_prune_keeps_the_newest_and_clears_leftovers(tmp_path: Path) -> None:
    for step in (1, 9, 10, 123456789):
        save_checkpoint(tmp_path, step, trees(), SCALARS)
    (tmp_path / ".00000011.77.tmp").mkdir()
    (tmp_path / ".00000011.77.tmp" / "model.safetensors").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine")
    prune(tmp_path, keep=2)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["00000010", "123456789", "notes.txt"]
    found, _ = latest_checkpoint(tmp_path)
    assert found is not None and found.step == 123456789
