"""Recordings: tracks of sound at one rate, cut into a training and a validation part, with a fingerprint."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from unrolled.core.errors import DataError, UsageError
from unrolled.data.corpus import PartName
from unrolled.data.sound_files import opened
from unrolled.data.sound_levels import Moments
from unrolled.data.sound_metadata import Metadata
from unrolled.data.sound_sources import find_sound
from unrolled.data.sound_split import DEFAULT_SPLIT, SoundSplit, cuts
from unrolled.data.sound_tracks import DEFAULT_POLICY, SoundPolicy, Track, scan

PARTS: tuple[PartName, ...] = get_args(PartName)
PEAK, LOUDNESS = 0.95, 0.1  # what levelling aims at: a peak just below full scale, or a root mean square of -20 dB
LEAST = 1e-6  # of peak and root mean square, so that no gain is without bounds


@dataclass(frozen=True)
class Recordings:
    """Made by `open_recordings`; reads its tracks again whenever their samples are asked for.

    A sample x becomes (x - `offset`) * `gain`. To read other recordings as a model knows them, replace both by those
    of its training.
    """

    tracks: tuple[Track, ...]
    fields: tuple[str, ...]
    policy: SoundPolicy
    split: SoundSplit
    rule: str
    gain: float
    offset: float
    skipped: dict[str, int] = field(default_factory=dict, repr=False)

    is_records = True  # tracks begin and end

    @property
    def sources(self) -> tuple[Track, ...]:
        """The files, each with its path."""
        return self.tracks

    @property
    def columns(self) -> list[str]:
        """The fields that occur in the tracks."""
        return list(dict.fromkeys(name for track in self.tracks for name in track.fields))

    def documents(self, part: PartName | None = None) -> Iterator[Track]:
        """The tracks of which one part, or any, has samples."""
        parts = PARTS if part is None else (part,)
        return (track for track in self.tracks if any(track.count(name) for name in parts))

    def pieces(self, track: Track) -> Iterator[tuple[PartName, np.ndarray]]:
        """The samples of a track in their order, as blocks of bounded size that each belong to one part, float32.

        Raises: DataError if the file is no longer what it was when it was opened.
        """
        if not track.length:
            return
        cut, position = track.begin + track.cut, 0
        spans: tuple[tuple[PartName, int, int], ...] = (
            ("train", track.begin, cut),
            ("validation", cut, track.end),
        )
        with opened(track.path) as reader:
            for block in reader.mono(self.policy.rate):
                for part, begin, end in spans:
                    piece = block[max(begin - position, 0) : max(end - position, 0)]
                    if len(piece):
                        yield part, (piece - np.float32(self.offset)) * np.float32(self.gain)
                position += len(block)
        if position != track.samples:
            raise DataError(f"{track.path}: changed while it was read: start again when it is complete")

    def blocks(self, track: Track, part: PartName | None = None) -> Iterator[np.ndarray]:
        """The samples of `pieces` that belong to one part, or all."""
        return (block for name, block in self.pieces(track) if part in (None, name))

    def fingerprint(self) -> str:
        """A digest of all that decides which samples are in which part, and of which fields."""
        tracks = [
            [track.sha256, track.begin, track.end, track.cut, [track.fields.get(name) for name in self.fields]]
            for track in self.tracks
        ]
        what = ["sound", 1, self.policy.rate, self.gain, self.offset, self.fields, tracks]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()

    def facts(self) -> dict[str, Any]:
        """Fingerprint, sizes, loudness and what was converted, as JSON."""
        total = summed(self.tracks)
        counts = {
            f"{part}_{what}": value
            for part in PARTS
            for what, value in (
                ("tracks", sum(track.count(part) > 0 for track in self.tracks)),
                ("samples", sum(track.count(part) for track in self.tracks)),
            )
        }
        return {
            "kind": "sound",
            "fingerprint": self.fingerprint(),
            "bytes": sum(track.bytes for track in self.tracks),
            "tracks": sum(track.length > 0 for track in self.tracks),
            "silent_tracks": sum(not track.length for track in self.tracks),
            "samples": total.count,
            "seconds": round(total.count / self.policy.rate, 3),
            **counts,
            "rate": self.policy.rate,
            "level": self.policy.level,
            "gain": self.gain,
            "offset": self.offset,
            "trim": self.policy.trim,
            "peak": total.peak(),
            "rms": total.rms(),
            "split": {"rule": self.rule, "train": self.split.train},
            "fields": list(self.fields),
            "columns": self.columns,
            "skipped_files": self.skipped,
            "notes": self.notes(),
            "sources": [track.facts(self.policy.rate) for track in self.tracks],
        }

    def notes(self) -> list[str]:
        """What was done to the data set as a whole that its maker should know."""
        rates = Counter(track.header.rate for track in self.tracks)
        sounding = [track for track in self.tracks if track.length]
        peak, notes = summed(self.tracks).peak(self.offset) * self.gain, []
        if len(rates) > 1:
            listed = ", ".join(f"{rate:,} ({count})" for rate, count in sorted(rates.items()))
            notes.append(f"different rates, {listed}, become {self.policy.rate:,} samples a second")
        if len(sounding) == 1 and self.rule == "within tracks" and self.split.train < 1:
            notes.append(f"there is one track: its first {self.split.train:.0%} trains, its end validates")
        if len(sounding) < len(self.tracks):
            notes.append(f"{len(self.tracks) - len(sounding)} of {len(self.tracks)} tracks are silence and left out")
        if peak > 1:
            notes.append(f"the peak, {peak:.2f}, is above full scale: what is beyond 1 is clipped")
        return notes


def open_recordings(
    paths: Sequence[str | Path],
    policy: SoundPolicy = DEFAULT_POLICY,
    split: SoundSplit = DEFAULT_SPLIT,
    fields: tuple[str, ...] = (),
) -> Recordings:
    """Find the tracks and read each once, in blocks: they are checked, measured and hashed.

    Raises: DataError for what cannot be read; UsageError for a field or a name that no track has.
    """
    files, skipped = find_sound(paths)
    metadata = Metadata()
    return collected([scan(file, policy, metadata) for file in files], policy, split, fields, skipped)


def collected(
    tracks: Sequence[Track],
    policy: SoundPolicy,
    split: SoundSplit,
    fields: tuple[str, ...] = (),
    skipped: dict[str, int] | None = None,
) -> Recordings:
    """Recordings of tracks that have been read."""
    total = summed(tracks)
    if not total.count:
        named = f"{tracks[0].path}: silence only" if len(tracks) == 1 else f"all {len(tracks)} tracks are silence only"
        threshold = "" if policy.trim is None else f" below the trim of {policy.trim:g} dB"
        raise DataError(f"{named}{threshold}: record something louder")
    numbers, rule = cuts(tracks, split)
    tracks = [replace(track, cut=number) for track, number in zip(tracks, numbers, strict=True)]
    offset = total.mean if policy.remove_dc else 0.0
    aims = {"none": 1.0, "peak": PEAK / max(total.peak(offset), LEAST), "rms": LOUDNESS / max(total.rms(offset), LEAST)}
    recordings = Recordings(tuple(tracks), fields, policy, split, rule, aims[policy.level], offset, skipped or {})
    for name in fields:
        if name not in recordings.columns:
            remedy = "; for several, repeat --fields" if "," in name else ""
            raise UsageError(f"field {name!r} is in no track: the fields are {', '.join(recordings.columns)}{remedy}")
    return recordings


def summed(tracks: Sequence[Track]) -> Moments:
    """The moments of all tracks together."""
    total = Moments()
    for track in tracks:
        total.merge(track.moments)
    return total
