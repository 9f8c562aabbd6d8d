"""Run folders: `runs/NAME/`, which can be copied to another machine and used there."""

import errno
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import dropwhile
from pathlib import Path
from typing import Any

from unrolled.core.errors import RunError, UsageError
from unrolled.core.files import sha256, sync, write_file, write_folder
from unrolled.store.configs import SCHEMA, RunConfig, check_schema, from_json, to_json
from unrolled.store.documents import read_bytes, read_object, to_bytes
from unrolled.store.locks import LockHeld, hold, holder

CONFIG, CODEC, MODEL, CARD, MANIFEST = "config.json", "codec.json", "model.safetensors", "card.md", "manifest.json"
PUBLISHED = (CONFIG, CODEC, MODEL, CARD)
METRICS, SAMPLES, RATINGS = "metrics.jsonl", "samples.jsonl", "ratings.jsonl"
LOCK, STAGED = ".lock", ".publish"
RETRIES, RETRY_SECONDS = 20, 0.02
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
Write = Callable[[Path], Any]


@dataclass(frozen=True)
class RunFolder:
    """One run on disk: config, codec, weights, card, checkpoints, and the journals of metrics, samples and ratings."""

    path: Path

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.path.name

    @property
    def checkpoints(self) -> Path:
        """The folder that holds `STEP/` for each checkpoint."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """The weights."""
        return self.path / MODEL

    def config(self) -> RunConfig:
        """What made the run. Raises: RunError for a file that is missing, damaged or from a newer version."""
        source = str(self.path / CONFIG)
        data = read_object(self.path / CONFIG)
        check_schema(data, source)
        return from_json(RunConfig, data, source)

    def codec(self) -> dict[str, Any]:
        """The codec as JSON."""
        return read_object(self.path / CODEC)

    def write_config(self, config: RunConfig) -> None:
        """Write config.json; where the run is published already, the manifest follows."""
        if (self.path / MANIFEST).exists():
            self._replace({CONFIG: _writer(to_json(config))})
        else:
            write_file(self.path / CONFIG, to_bytes(to_json(config), 2))

    def publish(self, write_model: Write, config: RunConfig, codec: dict[str, Any], card: str) -> str:
        """Replace the usable files of the run as one, and give the sha256 of the weights.

        `write_model` writes safetensors to the path it is given. Killed at any instant, the run is the old or the new.
        """
        writers: dict[str, Write] = {
            CONFIG: _writer(to_json(config)),
            CODEC: _writer(codec),
            MODEL: write_model,
            CARD: lambda path: path.write_text(card, encoding="utf-8"),
        }
        return self._replace(writers)[MODEL]["sha256"]

    def verify(self, but: Collection[str] = (), sized: Collection[str] = ()) -> dict[str, str]:
        """The sha256 of each published file, after all but the card and `but` were compared, `sized` by size alone.

        Raises: RunError naming a file that is truncated, altered, missing or not listed, and what to do.
        """
        for _ in range(RETRIES):
            self._settle()
            before = self._manifest_bytes()
            try:
                return self._compare(but, sized)
            except RunError:
                if not (self.path / STAGED).exists() and self._manifest_bytes() == before:
                    raise
            time.sleep(RETRY_SECONDS)
        return self._compare(but, sized)  # the failures before this came from publications that went on meanwhile

    def model_sha256(self) -> str:
        """The hash of the weights that the manifest names, without reading them."""
        self._settle()
        return self._manifest()[MODEL]["sha256"]

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only training of this run. Raises: RunError naming the process that is training it."""
        try:
            with hold(self.path / LOCK):
                yield
        except LockHeld as held:
            raise RunError(_locked(self.name, held.pid)) from None

    def holder(self) -> int | None:
        """The id of the process that is training the run (0 where unknown), None if there is none."""
        return holder(self.path / LOCK)

    def size(self) -> int:
        """Bytes of all files."""
        return sum(
            (Path(folder) / name).lstat().st_size
            for folder, _, names in os.walk(self.path)
            for name in names
            if os.path.lexists(Path(folder) / name)  # a training may remove old checkpoints meanwhile
        )

    def remove(self) -> None:
        """Delete the folder, first out of sight and then in fact. Raises: RunError while it is being trained."""
        if (pid := self.holder()) is not None:
            raise RunError(_locked(self.name, pid))
        hidden = self.path.with_name(f".removed-{self.name}-{os.getpid()}")
        os.rename(self.path, hidden)
        shutil.rmtree(hidden)

    def _replace(self, writers: dict[str, Write]) -> dict[str, Any]:
        """Replace some published files and the manifest: staged in one folder, which then moves file by file."""
        self._settle()
        entries = self._manifest() if (self.path / MANIFEST).exists() else {}

        def fill(folder: Path) -> None:
            for name, write in writers.items():
                write(folder / name)
                entries[name] = {"sha256": sha256(folder / name), "bytes": (folder / name).stat().st_size}
            (folder / MANIFEST).write_bytes(to_bytes({"schema": SCHEMA, "files": entries}, 2))

        for left in self.path.glob(f".{STAGED}.*.tmp"):
            shutil.rmtree(left, ignore_errors=True)  # by a process that was killed while it staged
        shutil.rmtree(self.path / STAGED, ignore_errors=True)  # no file of ours is in it any more
        write_folder(self.path / STAGED, fill)
        self._settle()
        return entries

    def _settle(self) -> None:
        """Finish a publication that was cut short: a staged folder is whole once it is there."""
        staged = self.path / STAGED
        if not staged.is_dir() or staged.is_symlink():
            return
        for name in (*PUBLISHED, MANIFEST):
            try:
                os.replace(staged / name, self.path / name)
            except FileNotFoundError:
                continue  # moved before the cut, or by another process just now
            except OSError as problem:
                cure = "make the folder writable, or copy it to one that is"
                raise RunError(f"{staged}: cannot be moved into place ({problem.strerror}): {cure}") from None
        sync(self.path)
        with suppress(OSError):
            staged.rmdir()  # and no more than that: another publication may be staged by now

    def _manifest_bytes(self) -> bytes:
        return read_bytes(self.path / MANIFEST) if (self.path / MANIFEST).exists() else b""

    def _manifest(self) -> dict[str, Any]:
        path = self.path / MANIFEST
        if not path.exists():
            raise RunError(f"{path}: missing, so the run has no usable model yet: resume its training or copy it again")
        data = read_object(path)
        check_schema(data, str(path))
        entries = data.get("files")
        if not isinstance(entries, dict) or not all(_is_entry(entries.get(name)) for name in PUBLISHED):
            raise RunError(f"{path}: does not list the sha256 and size of {', '.join(PUBLISHED)}: copy the run again")
        return {name: entries[name] for name in PUBLISHED}

    def _compare(self, but: Collection[str], sized: Collection[str]) -> dict[str, str]:
        entries = self._manifest()
        cure = f"copy the run again, or resume its training from {self.checkpoints}"
        for name, entry in entries.items():
            path = self.path / name
            if name == CARD or name in but:
                continue  # people write in the card: licence, remarks
            if path.is_symlink() or not path.is_file():
                state = "a link or special file" if path.is_symlink() or path.exists() else "missing"
                raise RunError(f"{path}: {state}, but {MANIFEST} lists it: {cure}")
            size = path.stat().st_size
            if size < entry["bytes"]:
                raise RunError(f"{path}: truncated, {size} of {entry['bytes']} bytes: {cure}")
            if size != entry["bytes"] or (name not in sized and sha256(path) != entry["sha256"]):
                raise RunError(f"{path}: altered or from another run (sha256 is not the one in {MANIFEST}): {cure}")
        return {name: entry["sha256"] for name, entry in entries.items()}


def check_name(name: str) -> str:
    """`name` if it can be the name of a run. Raises: UsageError."""
    if not NAME.fullmatch(name) or name.startswith("unrolled.db"):
        raise UsageError(
            f"{name!r} cannot name a run: use at most 64 of letters, digits, '.', '_', '-', a letter or digit first"
        )
    return name


def create_run(runs: Path, name: str | None, system: str, data: str = "") -> RunFolder:
    """A new, empty run folder; without a name, the first free of `[DATA-]SYSTEM-1`, `-2`, ...

    Raises: RunError if the name is taken, in training, or the folder cannot be written.
    """
    try:
        runs.mkdir(parents=True, exist_ok=True)
        return _create_free(runs, system, data) if name is None else _create_named(runs, check_name(name))
    except OSError as problem:
        if problem.errno == errno.ENOSPC:
            raise
        raise RunError(
            f"{runs}: cannot create a run there ({problem.strerror}): make it writable or choose another with --runs"
        ) from None


def list_runs(runs: Path) -> list[RunFolder]:
    """All run folders in `runs`, by name; links and folders without a config.json are not runs."""
    if not runs.is_dir():
        return []
    return [RunFolder(path) for path in sorted(runs.iterdir()) if _is_run(path)]


def find_run(name: str | Path, runs: Path = Path("runs")) -> RunFolder:
    """The run called `name` in `runs`, or the run folder at the path `name`.

    Raises: RunError naming the nearest if there is none, UsageError for a name that no run can have.
    """
    text = os.fspath(name)
    is_path = any(mark and mark in text for mark in (os.sep, os.altsep))
    if ".." in list(dropwhile(lambda part: part == "..", Path(text).parts)):
        raise UsageError(f"{text!r} cannot name a run: '..' after a folder name: write the path without it")
    path = Path(text) if is_path else runs / check_name(text)
    check_name(path.name)
    if path.is_symlink():
        raise RunError(f"{path}: is a link, and a run must be a folder: name or copy the folder it points to")
    if _is_run(path):
        return RunFolder(path)
    if path.is_dir():
        raise RunError(f"{path}: holds no {CONFIG}, so it is not a run folder: name a run, or see unrolled runs")
    raise RunError(f"{path}: no such run: {_nearest(path)}")


def _is_run(path: Path) -> bool:
    return not path.is_symlink() and NAME.fullmatch(path.name) is not None and (path / CONFIG).is_file()


def _nearest(path: Path) -> str:
    names = [run.name for run in list_runs(path.parent)]
    near = get_close_matches(path.name, names, 3, 0.4)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"there are {', '.join(names[:5])}" if names else "train one first with unrolled train"


def _create_named(runs: Path, name: str) -> RunFolder:
    folder = RunFolder(runs / name)
    try:
        folder.path.mkdir()
    except FileExistsError:
        if (pid := folder.holder()) is not None:
            raise RunError(_locked(name, pid)) from None
        if folder.path.is_symlink() or (folder.path / CONFIG).exists() or not folder.path.is_dir():
            raise RunError(f"{folder.path}: exists already: choose another --name or resume it") from None
    return folder  # an existing folder without a config is what a killed start left


def _create_free(runs: Path, system: str, data: str) -> RunFolder:
    stem = re.sub(r"[^A-Za-z0-9]+", "-", Path(data).name.partition(".")[0]).strip("-").lower()[:32].strip("-")
    base = f"{stem}-{system}" if stem else system
    number = 1
    while True:
        folder = RunFolder(runs / check_name(f"{base}-{number}"))
        try:
            folder.path.mkdir()
            return folder
        except FileExistsError:
            number += 1


def _locked(name: str, pid: int) -> str:
    who = f"process {pid}" if pid else "another process"
    return f"run {name!r} is being trained by {who}: wait for it, stop it, or choose another --name"


def _writer(value: dict[str, Any]) -> Write:
    return lambda path: path.write_bytes(to_bytes(value, 2))


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("sha256"), str) and isinstance(entry.get("bytes"), int)
