"""Checkpoints: named tensor trees plus JSON scalars; nothing here knows a model or an optimiser.

A checkpoint is the folder STEP with one safetensors file per tree, `scalars.json`, and `manifest.json` (sizes and
sha256 of the others). It is written beside its place, made durable and renamed, so that it is there wholly or not at
all; a reader believes nothing that the manifest does not vouch for. No pickle is ever read.
"""

import errno
import hashlib
import json
import os
import platform
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save

from unrolled.core.contracts import Checkpoint
from unrolled.core.errors import RunError, TrainingError
from unrolled.core.files import write_folder
from unrolled.core.shapes import Tensor

SCHEMA = 1
MANIFEST, SCALARS = "manifest.json", "scalars.json"
LARGEST_JSON = 64 * 1024 * 1024
LARGEST_HEADER = 8 * 1024 * 1024
STEP_NAME = re.compile(r"[0-9]{8,18}")
TREE_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


def pack_tensors(tensors: dict[str, Tensor]) -> bytes:
    """Named tensors in the safetensors format; tensors that share memory are written once each."""
    return save({name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()})


def unpack_tensors(content: bytes, source: str | Path) -> dict[str, Tensor]:
    """The named tensors of a safetensors file from any source.

    Raises: RunError if it is damaged; `source` is what the message calls it.
    """
    header = int.from_bytes(content[:8], "little")
    if len(content) < 8 or header > min(LARGEST_HEADER, len(content) - 8):
        raise RunError(f"{source} is no whole safetensors file ({len(content)} bytes): copy it again")
    try:
        return load(content)
    except Exception as error:  # every kind: the parser's own, and those of torch for absurd shapes
        raise RunError(f"{source} is no valid safetensors file ({first_line(error)}): copy it again") from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """`unpack_tensors` of a file.

    Raises: RunError if it cannot be read or is damaged.
    """
    return unpack_tensors(read_bytes(path), path)


def parse_json(content: bytes, source: str | Path) -> dict[str, Any]:
    """A JSON object from any source.

    Raises: RunError if it is damaged.
    """
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RunError(f"{source} is no valid JSON ({first_line(error)}): copy it again") from error
    if not isinstance(value, dict):
        raise RunError(f"{source} holds a {type(value).__name__}, not an object: copy it again")
    return value


def save_checkpoint(folder: Path, step: int, trees: dict[str, dict[str, Tensor]], scalars: dict[str, Any]) -> Path:
    """Write the checkpoint `folder`/STEP durably; one that is there already for this step gives way to it.

    Raises: TrainingError if it cannot be written (disk full, folder read-only); older checkpoints are untouched.
    """
    path = folder / f"{step:08d}"
    if unknown := [name for name in trees if not TREE_NAME.fullmatch(name)]:
        raise ValueError(f"names of trees must be like 'model', not {unknown}")

    def fill(temporary: Path) -> None:
        files = {}
        for name, tensors in trees.items():
            files[f"{name}.safetensors"] = write(temporary / f"{name}.safetensors", pack_tensors(tensors))
        files[SCALARS] = write(temporary / SCALARS, json.dumps(scalars, allow_nan=False).encode())
        manifest = {"schema": SCHEMA, "step": step, "files": files, "made_with": made_with()}
        write(temporary / MANIFEST, json.dumps(manifest, indent=1).encode())

    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists():  # left by a run that had to go back further
            discard(path)
        write_folder(path, fill)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full: free some space" if full else f"{first_line(error)}: make {folder} writable"
        raise TrainingError(f"step {step} could not be saved, {reason}, then resume; {last_good(folder)}") from error
    return path


def load_checkpoint(path: Path) -> Checkpoint:
    """One checkpoint, every byte of it verified.

    Raises: RunError if anything in it is missing, damaged or from a newer version.
    """
    manifest = parse_json(read_bytes(path / MANIFEST, LARGEST_JSON), path / MANIFEST)
    if manifest.get("schema") != SCHEMA:
        raise RunError(f"{path} has schema {manifest.get('schema')!r}, this version reads {SCHEMA}: update unrolled")
    step, files = manifest.get("step"), manifest.get("files")
    if not isinstance(files, dict) or SCALARS not in files or type(step) is not int or f"{step:08d}" != path.name:
        raise RunError(f"{path / MANIFEST} does not describe step {path.name}: use another checkpoint")
    trees: dict[str, dict[str, Tensor]] = {}
    scalars: dict[str, Any] = {}
    for name, facts in files.items():
        tree = name.removesuffix(".safetensors")
        if name != SCALARS and (tree == name or not TREE_NAME.fullmatch(tree)):
            raise RunError(f"{path / MANIFEST} names the file {name[:80]!r}: use another checkpoint")
        content = read_verified(path / name, facts)
        if name == SCALARS:
            scalars = parse_json(content, path / name)
        else:
            trees[tree] = unpack_tensors(content, path / name)
    return Checkpoint(path, step, trees, scalars)


def checkpoint_folders(folder: Path) -> list[Path]:
    """The checkpoints in a folder, newest first, good or bad."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if STEP_NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=lambda path: int(path.name), reverse=True)


def latest_checkpoint(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest good checkpoint, and one line on each newer one that is damaged."""
    notes = []
    for path in checkpoint_folders(folder):
        try:
            return load_checkpoint(path), notes
        except RunError as error:
            notes.append(f"checkpoint {path.name} is passed over: {error}")
    return None, notes


def prune(folder: Path, keep: int = 2) -> None:
    """Remove all but the newest `keep` checkpoints and what killed saves left; for the one process that saves here."""
    for path in checkpoint_folders(folder)[max(1, keep) :]:
        with suppress(OSError):  # what cannot be removed now may be removed after the next save
            discard(path)
    for path in folder.glob(".*.tmp"):
        shutil.rmtree(path, ignore_errors=True)


def discard(path: Path) -> None:
    """Remove a checkpoint; killed half-way it leaves a leftover, never half a checkpoint."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.old.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    os.rename(path, aside)
    shutil.rmtree(aside, ignore_errors=True)


def last_good(folder: Path) -> str:
    """Words that name the newest checkpoint of a folder."""
    found = checkpoint_folders(folder)
    return f"the last good checkpoint is {found[0]}" if found else "there is no earlier checkpoint"


def made_with() -> dict[str, Any]:
    """What bit-for-bit equality depends on."""
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }


def write(path: Path, content: bytes) -> dict[str, Any]:
    """Write a file and return the facts that the manifest keeps of it."""
    with open(path, "wb") as file:
        file.write(content)
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """The content of a regular file.

    Raises: RunError if it is missing, unreadable or larger than `most` bytes.
    """
    try:
        if not path.is_file():
            raise RunError(f"{path} is missing: copy it again or use another checkpoint")
        if most is not None and path.stat().st_size > most:
            raise RunError(f"{path} has {path.stat().st_size} bytes, at most {most} are expected: it is damaged")
        return path.read_bytes()
    except OSError as error:
        raise RunError(f"{path} cannot be read ({first_line(error)}): check its permissions") from error


def read_verified(path: Path, facts: Any) -> bytes:
    """The content of a file that the manifest vouches for.

    Raises: RunError if size or hash differ.
    """
    if not isinstance(facts, dict) or type(facts.get("bytes")) is not int:
        raise RunError(f"the manifest does not say the size of {path}: use another checkpoint")
    content = read_bytes(path, max(0, facts["bytes"]))
    if len(content) != facts["bytes"] or hashlib.sha256(content).hexdigest() != facts.get("sha256"):
        raise RunError(f"{path} is truncated or changed (its sha256 is not the manifest's): use another checkpoint")
    return content


def first_line(error: BaseException) -> str:
    """The first line of an error, for a message of one line."""
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
