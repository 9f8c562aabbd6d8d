"""What recordings are and what is wrong with them, found before any training, all faults in one go."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from unrolled.core.errors import DataError, UnrolledError
from unrolled.data.health import Finding
from unrolled.data.recordings import Recordings, collected
from unrolled.data.sound_files import Fault
from unrolled.data.sound_landmarks import HOP, RATE, Index, Landmarks, Marks
from unrolled.data.sound_levels import FRAMES, Frames, deviations
from unrolled.data.sound_metadata import Metadata
from unrolled.data.sound_sources import find_sound
from unrolled.data.sound_split import DEFAULT_SPLIT, SoundSplit
from unrolled.data.sound_tracks import SoundPolicy, Track, scan

OFFSET = 0.005  # of full scale
QUIET = 1e-3  # root mean square of a frame that is silent: -60 dB of full scale
LONG_SILENCE, SILENT_SHARE = 5.0, 0.5  # seconds, and share of a track
SHORT, SMALL = 0.1, 60.0  # seconds of a track, and of all
FAINT = 0.1  # peak of all


@dataclass
class SoundHealth:
    """All that was seen in one reading."""

    findings: list[Finding] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def find(self, level: Literal["error", "warning", "note"], kind: str, message: str) -> None:
        """Add a finding."""
        self.findings.append(Finding(level, kind, message))

    def to_json(self) -> dict[str, Any]:
        """Facts and findings."""
        return {**self.facts, "findings": [finding._asdict() for finding in self.findings]}


class Heard(NamedTuple):
    """One track as it was heard: seconds of silence in a row and in all, and its landmarks."""

    track: Track
    longest: float
    silence: float
    marks: Marks

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.track.samples / RATE


class Listener:
    """Hears silence and landmarks while a track is read."""

    def __init__(self) -> None:
        self.frames, self.landmarks = Frames(RATE // FRAMES), Landmarks()
        self.silent = self.longest = self.running = 0  # frames

    def hear(self, block: np.ndarray) -> None:
        """Read on."""
        self.landmarks.push(block)
        quiet = deviations(self.frames.push(block)) < QUIET
        loud = np.flatnonzero(~quiet)
        self.silent += len(quiet) - len(loud)
        if not len(loud):
            self.running += len(quiet)
            self.longest = max(self.longest, self.running)
            return
        gaps = np.diff(loud, prepend=-1 - self.running) - 1
        self.longest = max(self.longest, int(gaps.max()))
        self.running = len(quiet) - 1 - int(loud[-1])

    def heard(self, track: Track) -> Heard:
        """What there was to hear."""
        longest = max(self.longest, self.running)
        return Heard(track, longest / FRAMES, self.silent / FRAMES, self.landmarks.finish())


def examine_sound(paths: Sequence[str | Path], split: SoundSplit = DEFAULT_SPLIT) -> SoundHealth:
    """Read every recording that `paths` name, at 16 kHz; faults become findings and never exceptions.

    `split` says which of them would train.
    Raises: UsageError where the packages for sound are missing.
    """
    health, metadata, heard = SoundHealth(), Metadata(), list[Heard]()
    for file in find_all(paths, health):
        listener = Listener()
        try:
            heard.append(listener.heard(scan(file, SoundPolicy(RATE), metadata, listener.hear)))
        except DataError as error:
            health.find("error", error.kind if isinstance(error, Fault) else "unreadable", str(error))
    if heard:
        judge(heard, split, health)
    health.findings.sort(key=lambda finding: ["error", "warning", "note"].index(finding.level))
    return health


def find_all(paths: Sequence[str | Path], health: SoundHealth) -> list[Path]:
    """The files behind all paths; a path without any is a finding."""
    found: dict[Path, Path] = {}
    for path in paths:
        try:
            files, skipped = find_sound([path])
        except DataError as error:
            health.find("error", "no sound", str(error))
            continue
        for file in files:
            found.setdefault(file.resolve(), file)
        for reason, count in skipped.items():
            health.find("note", "skipped files", f"{path}: {count} files are passed over ({reason})")
    return list(found.values())


def judge(heard: Sequence[Heard], split: SoundSplit, health: SoundHealth) -> None:
    """All findings about recordings that can be read."""
    for one in heard:
        judge_track(one, health)
    judge_conversions(heard, health)
    judge_copies(heard, health)
    try:
        recordings = collected([one.track for one in heard], SoundPolicy(RATE), split)
    except UnrolledError as error:
        health.find("error", "unusable", str(error))
        return
    health.facts = recordings.facts()
    judge_set(recordings, health)
    judge_split(recordings, heard, health)


def judge_track(one: Heard, health: SoundHealth) -> None:
    """Clipping, DC, silence and length of one track."""
    track, path = one.track, one.track.path
    if not track.length:
        health.find("warning", "silent track", f"{path}: silence only, which training leaves out")
        return
    if track.is_clipped:
        message = f"{track.clipped:,} samples are clipped, flat at full scale or beyond it: take a cleaner copy"
        health.find("warning", "clipping", f"{path}: {message}")
    if abs(track.moments.mean) > OFFSET:
        message = f"the mean is {track.moments.mean:+.4f} and not 0: train with --remove-dc, or remove it there"
        health.find("warning", "DC offset", f"{path}: {message}")
    if one.longest >= LONG_SILENCE or one.silence > SILENT_SHARE * one.seconds:
        message = f"{one.silence:.1f} of {one.seconds:.1f} s are silent, {one.longest:.1f} s of them in a row"
        health.find("warning", "silence", f"{path}: {message}: cut it out, or train with --trim=-60")
    for doubt in track.doubts:
        health.find("warning", "truncated", f"{path}: {doubt}: copy it again if it was cut off")
    if one.seconds < SHORT:
        health.find("warning", "too short", f"{path}: {one.seconds * 1000:.0f} ms are hardly a track: check it")


def judge_conversions(heard: Sequence[Heard], health: SoundHealth) -> None:
    """What must be converted, and rates that differ."""
    rates = Counter(one.track.header.rate for one in heard)
    if len(rates) > 1:
        listed = ", ".join(f"{count} at {rate:,} Hz" for rate, count in sorted(rates.items()))
        message = f"the tracks have different rates ({listed}): those with a low one lack high frequencies"
        health.find("warning", "mixed rates", message)
    notes: dict[str, list[Path]] = {}
    for one in heard:
        for note in one.track.notes if one.track.length else ():
            notes.setdefault(note, []).append(one.track.path)
    for note, files in notes.items():
        which = str(files[0]) if len(files) == 1 else f"{len(files)} files such as {files[0]}"
        health.find("note", "conversion", f"{which}: {note}")


def judge_copies(heard: Sequence[Heard], health: SoundHealth) -> None:
    """Files with the same content."""
    first: dict[str, Path] = {}
    for one in heard:
        original = first.setdefault(one.track.sha256, one.track.path)
        if original != one.track.path:
            health.find("warning", "duplicate tracks", f"{one.track.path} is a copy of {original}: remove one of both")


def judge_set(recordings: Recordings, health: SoundHealth) -> None:
    """How much there is of all, and how loud."""
    seconds, peak = health.facts["seconds"], health.facts["peak"]
    if seconds < SMALL:
        advice = "expect them to be learned by heart; ten minutes and more give new sound"
        health.find("note", "too small", f"{seconds:.1f} s are few: {advice}")
    if peak > 1:
        message = f"the peak is {peak:.2f} and full scale 1, so that training clips: train with --level=peak"
        health.find("warning", "above full scale", message)
    elif peak < FAINT:
        message = f"the peak of all is {peak:.3f} of full scale, so that few levels are used: train with --level=peak"
        health.find("warning", "faint", message)
    share = recordings.split.train
    if recordings.rule == "within tracks" and health.facts["tracks"] == 1 and share < 1:
        health.find("note", "one track", f"there is one track: its first {share:.0%} trains, its end validates")


def judge_split(recordings: Recordings, heard: Sequence[Heard], health: SoundHealth) -> None:
    """Tracks, or parts of them, on the two sides of the split that hold the same sound."""
    pairs = [(track, *sides(one.marks, track)) for track, one in zip(recordings.tracks, heard, strict=True)]
    train = [(track, marks) for track, marks, _ in pairs if track.count("train")]
    numbers = {track.path: number for number, (track, _) in enumerate(train)}
    index = Index([marks for _, marks in train])
    whole = recordings.rule != "within tracks"
    for track, _, marks in pairs:
        match = index.find(marks, besides=numbers.get(track.path)) if track.count("validation") else None
        if match is None:
            continue
        one, other = str(track.path), str(train[match.other][0].path)
        cure = "keep both on one side with --validation, or remove one"
        if not whole:
            one, other, cure = f"the end of {one}", f"the beginning of {other}", "remove one of both"
        alike = f"{match.share:.0%} of the landmarks, {match.shift:+.1f} s"
        message = f"{one} validates and sounds like {other}, which trains ({alike}): {cure}"
        health.find("warning", "near-duplicates across the split", message)


def sides(marks: Marks, track: Track) -> tuple[Marks, Marks]:
    """The landmarks of what trains of a track, and of what validates."""
    trains = marks.times * HOP < track.begin + track.cut
    return Marks(*(values[trains] for values in marks)), Marks(*(values[~trains] for values in marks))
