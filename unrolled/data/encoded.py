"""Symbols of a corpus on disk: encoded once, kept by fingerprint, mapped into memory and never read whole."""

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.lib import format as npy

from unrolled.core.errors import DataError, RunError
from unrolled.core.files import write_folder
from unrolled.data.corpus import Corpus, PartName
from unrolled.data.fields import FieldTable

PARTS: tuple[PartName, ...] = ("train", "validation")
ARRAYS = ("symbols", "starts", "fields")
NO_FIELDS = FieldTable()
Unknown = dict[str, dict[str, int]]  # how often each character that the codec lacks was mapped, by part


@runtime_checkable
class Codec(Protocol):
    """What encoding asks of a codec; every codec of unrolled.codecs gives it."""

    size: int
    begin: int
    end: int
    unknown: int | None

    def encode(self, text: str, unknown: Literal["refuse", "map"] = "refuse") -> np.ndarray:
        """Symbols of a text."""
        ...

    def unknown_symbols(self, text: str) -> dict[str, int]:
        """Counts of the characters that are not known."""
        ...

    def to_json(self) -> dict[str, Any]:
        """All that the symbols depend on."""
        ...


@dataclass(frozen=True)
class Part:
    """The symbols of one part.

    `symbols` is flat; record i is symbols[starts[i]:starts[i + 1]], begin and end included, with the ids `fields[i]`.
    Tracks of sound are records without an end. Plain text has neither begin nor end and one stretch, [0, n].
    """

    symbols: np.ndarray
    starts: np.ndarray
    fields: np.ndarray
    is_records: bool
    name: str = "corpus"


@dataclass(frozen=True)
class Encoded:
    """Both parts of a corpus, and what of it the codec lacks."""

    train: Part
    validation: Part
    unknown: Unknown


def default_cache() -> Path:
    """$UNROLLED_CACHE, or ~/.cache/unrolled."""
    return Path(os.environ.get("UNROLLED_CACHE") or Path.home() / ".cache" / "unrolled")


def encode_corpus(corpus: Corpus, codec: Codec, fields: FieldTable = NO_FIELDS, cache: Path | None = None) -> Encoded:
    """The symbols of a corpus, from the cache if they are there and whole."""
    what = [1, corpus.fingerprint(), codec.to_json(), fields.to_json()]
    return kept(what, corpus.is_records, lambda folder: write_parts(folder, corpus, codec, fields), cache)


def kept(what: list[Any], is_records: bool, write: Callable[[Path], Unknown], cache: Path | None) -> Encoded:
    """The symbols from the cache under all that they depend on, put there by `write` if they are missing or not whole.

    `write` is given a folder to put the arrays of both parts into.
    """
    key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]
    folder = (cache or default_cache()) / "symbols" / key
    found = load(folder, is_records)
    if found:
        return found
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        write_folder(folder, lambda target: write_facts(target, write(target)))
        failure = "cannot be read back"
    except OSError as error:  # or another process was faster and its folder is good
        failure = f"cannot be kept ({error.strerror or error})"
    written = load(folder, is_records)
    if not written:
        raise RunError(
            f"{folder.parent}: the encoded corpus {failure}: make room, or set UNROLLED_CACHE to a folder to write to"
        )
    return written


def load(folder: Path, is_records: bool) -> Encoded | None:
    """The parts in a cache folder, None if one is missing or not of the size it was written with."""
    try:
        facts = json.loads((folder / "facts.json").read_bytes())
        sizes: dict[str, int] = facts["sizes"]
        if any((folder / name).stat().st_size != size for name, size in sizes.items()):
            return None
        parts = {}
        for part in PARTS:
            symbols, starts, fields = (mapped(folder / f"{part}_{name}.npy") for name in ARRAYS)
            parts[part] = Part(symbols, starts, fields, is_records, part)
        return Encoded(parts["train"], parts["validation"], facts["unknown"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def mapped(path: Path) -> np.ndarray:
    """An array on disk, mapped unless it is empty."""
    with open(path, "rb") as file:
        npy.read_magic(file)
        shape, _, dtype = npy.read_array_header_1_0(file)
        if 0 in shape:
            return np.empty(shape, dtype)
    return np.load(path, mmap_mode="r", allow_pickle=False)


class ArrayFile:
    """An .npy file that grows along its first axis."""

    def __init__(self, path: Path, dtype: np.dtype, columns: tuple[int, ...] = ()) -> None:
        self.file = open(path, "wb")  # noqa: SIM115 (closed by __exit__)
        self.dtype, self.columns, self.length = dtype, columns, 0
        self.write_header()
        self.header_size = self.file.tell()

    def write_header(self) -> None:
        """Name, type and shape so far; numpy leaves room for any first axis."""
        shape = (self.length, *self.columns)
        npy.write_array_header_1_0(
            self.file, {"descr": npy.dtype_to_descr(self.dtype), "fortran_order": False, "shape": shape}
        )

    def append(self, rows: Any) -> None:
        """Write more rows."""
        array = np.asarray(rows, self.dtype)
        self.file.write(array.tobytes())
        self.length += len(array)

    def __enter__(self) -> "ArrayFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.seek(0)
        self.write_header()
        moved = self.file.tell() != self.header_size
        self.file.close()
        if moved:
            raise RuntimeError("numpy changed the size of the header")


def write_facts(folder: Path, unknown: Unknown) -> None:
    """Put down the sizes by which a damaged folder is known."""
    sizes = {file.name: file.stat().st_size for file in sorted(folder.glob("*.npy"))}
    (folder / "facts.json").write_text(json.dumps({"sizes": sizes, "unknown": unknown}), encoding="utf-8")


def write_parts(folder: Path, corpus: Corpus, codec: Codec, fields: FieldTable) -> Unknown:
    """Encode both parts, a block or a record at a time.

    Raises: DataError if the corpus is no longer what it was when it was opened.
    """
    highest = codec.size - 1 if corpus.is_records or codec.unknown is not None else codec.begin - 1
    dtype = np.min_scalar_type(highest)
    written = {part: write_part(folder, part, corpus, codec, fields, dtype) for part in PARTS}
    if sum(characters for _, characters in written.values()) != corpus.scan.counts["characters"]:
        raise DataError(f"{corpus.sources[0].path}: changed while it was read: start again when it is complete")
    return {part: unknown for part, (unknown, _) in written.items()}


def write_part(
    folder: Path, part: PartName, corpus: Corpus, codec: Codec, fields: FieldTable, dtype: np.dtype
) -> tuple[dict[str, int], int]:
    """Encode one part; the characters that were mapped to unknown, counted, and the number of all characters."""
    unknown: Counter[str] = Counter()
    characters = 0
    with ExitStack() as stack:
        symbols = stack.enter_context(ArrayFile(folder / f"{part}_symbols.npy", dtype))
        starts = stack.enter_context(ArrayFile(folder / f"{part}_starts.npy", np.dtype(np.int64)))
        ids = stack.enter_context(ArrayFile(folder / f"{part}_fields.npy", np.dtype(np.int32), (len(fields.names),)))
        starts.append([0])
        for document in corpus.documents(part):
            characters += len(document.text)
            found = codec.encode(document.text, "map")
            if codec.unknown is not None and (found == codec.unknown).any():
                unknown.update(codec.unknown_symbols(document.text))
            symbols.append(np.concatenate(([codec.begin], found, [codec.end])) if corpus.is_records else found)
            if corpus.is_records:
                starts.append([symbols.length])
                ids.append([fields.ids(document.fields)])
        if not corpus.is_records:
            starts.append([symbols.length])
    return dict(unknown), characters
