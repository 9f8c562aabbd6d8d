"""Tracks of sound: what every recording goes through, and one reading that measures it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from unrolled.core.errors import UsageError
from unrolled.core.files import sha256
from unrolled.data.corpus import PartName
from unrolled.data.records import Record
from unrolled.data.sound_files import Header, opened
from unrolled.data.sound_levels import Moments, Trimmer
from unrolled.data.sound_metadata import Metadata

RATES = range(1_000, 384_001)
SILENT = 2e-4  # between the extremes of a track that is silence only: -80 dB of full scale
CLIPPED = 1e-5  # share of all samples from which on a track is in doubt


@dataclass(frozen=True)
class SoundPolicy:
    """What every recording of a data set goes through, alike for all so that their loudness can be compared.

    `level` is one gain for the whole set: none, or so that its peak is 0.95 or its root mean square 0.1 of full scale.
    `remove_dc` takes the mean of all samples away. `trim` cuts frames of 10 ms at both ends of each track while they
    are below so many decibels of full scale (root mean square), such as -50; None cuts nothing.
    """

    rate: int = 16_000
    level: Literal["none", "peak", "rms"] = "none"
    remove_dc: bool = False
    trim: float | None = None

    def __post_init__(self) -> None:
        if self.rate not in RATES:
            raise UsageError(f"rate {self.rate} is not one of sound: pass {RATES[0]} to {RATES[-1]} samples a second")
        if self.trim is not None and not -200 < self.trim < 0:
            raise UsageError(
                f"trim {self.trim:g} is no level below full scale: pass decibels such as -50, or leave it out"
            )


DEFAULT_POLICY = SoundPolicy()


@dataclass(frozen=True)
class Track:
    """One file, in samples at the rate of its policy: trimming keeps `begin` to `end` of `samples`.

    The first `cut` of those that are kept train, the rest validates. A track of silence only keeps none. `notes` say
    what was converted, `doubts` what may be wrong.
    """

    path: Path
    sha256: str
    bytes: int
    header: Header
    frames: int
    samples: int
    begin: int
    end: int
    moments: Moments
    clipped: int
    notes: tuple[str, ...]
    doubts: tuple[str, ...]
    fields: Record
    cut: int = 0

    @property
    def length(self) -> int:
        """How many samples are kept."""
        return self.end - self.begin

    @property
    def is_clipped(self) -> bool:
        """Whether more samples stand at full scale or beyond it than a few that happen to."""
        return self.clipped > max(10, CLIPPED * self.frames * self.header.channels)

    def count(self, part: PartName) -> int:
        """How many samples a part has of this track."""
        return self.cut if part == "train" else self.length - self.cut

    def facts(self, rate: int) -> dict[str, Any]:
        """What is known of the file, as JSON; peak, root mean square and DC before any gain."""
        moments = self.moments
        clipping = f"{self.clipped:,} samples are clipped, flat at full scale or beyond it: take a cleaner copy"
        return {
            "path": str(self.path),
            "bytes": self.bytes,
            "sha256": self.sha256,
            "format": f"{self.header.format} {self.header.subtype}",
            "rate": self.header.rate,
            "channels": self.header.channels,
            "frames": self.frames,
            "samples": self.length,
            "seconds": round(self.length / rate, 3),
            "train_samples": self.cut,
            "peak": round(moments.peak(), 4),
            "rms": round(moments.rms(), 4),
            "dc": round(moments.mean, 6),
            "clipped": self.clipped,
            "notes": [*self.notes],
            "doubts": [*self.doubts, *([clipping] if self.is_clipped else [])],
        }


def scan(
    path: Path, policy: SoundPolicy, metadata: Metadata, hear: Callable[[np.ndarray], None] | None = None
) -> Track:
    """Read one track from end to end; `hear` is given each block of mono samples at the policy's rate.

    Raises: DataError for what cannot be read.
    """
    trimmer = Trimmer(policy.rate, policy.trim)
    with opened(path) as reader:
        for block in reader.mono(policy.rate):
            trimmer.push(block)
            if hear is not None:
                hear(block)
        notes = reader.header.notes(path, policy.rate)
    trimmer.finish()
    begin, end, moments = trimmer.begin, trimmer.end, trimmer.kept
    if reader.range < SILENT or not moments.count:
        begin, end, moments = 0, 0, Moments()
        notes = ["silence only: left out"]
    return Track(
        path=path,
        sha256=sha256(path),
        bytes=path.stat().st_size,
        header=reader.header,
        frames=reader.frames,
        samples=trimmer.length,
        begin=begin,
        end=end,
        moments=moments,
        clipped=reader.clipped,
        notes=tuple(notes),
        doubts=tuple(reader.doubts),
        fields=metadata.fields(path),
    )
