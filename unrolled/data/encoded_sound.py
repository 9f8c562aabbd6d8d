"""Levels of recordings in the same cache as symbols of text, written as they are decoded and never whole in memory."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from unrolled.core.errors import UsageError
from unrolled.data.corpus import PartName
from unrolled.data.encoded import NO_FIELDS, PARTS, ArrayFile, Encoded, Unknown, kept
from unrolled.data.fields import FieldTable
from unrolled.data.recordings import Recordings


@runtime_checkable
class SoundCodec(Protocol):
    """What encoding asks of a codec of sound; that of unrolled.codecs.sound gives it."""

    @property
    def rate(self) -> int:
        """Samples a second."""
        ...

    @property
    def size(self) -> int:
        """Number of symbols."""
        ...

    @property
    def begin(self) -> int:
        """What stands before a track."""
        ...

    def encode(self, samples: np.ndarray) -> np.ndarray:
        """Levels of samples."""
        ...

    def to_json(self) -> dict[str, Any]:
        """All that the levels depend on."""
        ...


def encode_recordings(
    recordings: Recordings, codec: SoundCodec, fields: FieldTable = NO_FIELDS, cache: Path | None = None
) -> Encoded:
    """The levels of recordings, from the cache if they are there and whole, in the narrowest type that holds them.

    A record is the begin symbol and then the levels of one track, or of the piece of it that the part has.
    Raises: UsageError where codec and recordings differ in rate.
    """
    if codec.rate != recordings.policy.rate:
        raise UsageError(
            f"the codec is for {codec.rate:,} samples a second and the recordings are read at "
            f"{recordings.policy.rate:,}: use one rate for both"
        )
    what = ["sound", 1, recordings.fingerprint(), codec.to_json(), fields.to_json()]
    return kept(what, True, lambda folder: write_tracks(folder, recordings, codec, fields), cache)


def write_tracks(folder: Path, recordings: Recordings, codec: SoundCodec, fields: FieldTable) -> Unknown:
    """Encode both parts in one reading of each track."""
    dtype = np.min_scalar_type(codec.begin)
    with ExitStack() as stack:
        writers = {part: stack.enter_context(PartWriter(folder, part, dtype, len(fields.names))) for part in PARTS}
        for track in recordings.tracks:
            ids, open_parts = fields.ids(track.fields), set[PartName]()
            for part, block in recordings.pieces(track):
                if part not in open_parts:
                    writers[part].symbols.append([codec.begin])
                    open_parts.add(part)
                writers[part].symbols.append(codec.encode(block))
            for part in open_parts:
                writers[part].close_record(ids)
    return {part: {} for part in PARTS}


class PartWriter:
    """The growing arrays of one part."""

    def __init__(self, folder: Path, part: PartName, dtype: np.dtype, field_count: int) -> None:
        self.stack = ExitStack()
        arrays = [
            ArrayFile(folder / f"{part}_symbols.npy", dtype),
            ArrayFile(folder / f"{part}_starts.npy", np.dtype(np.int64)),
            ArrayFile(folder / f"{part}_fields.npy", np.dtype(np.int32), (field_count,)),
        ]
        self.symbols, self.starts, self.ids = map(self.stack.enter_context, arrays)
        self.starts.append([0])

    def close_record(self, ids: list[int]) -> None:
        """End a record, which has these ids of fields."""
        self.starts.append([self.symbols.length])
        self.ids.append([ids])

    def __enter__(self) -> "PartWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()
