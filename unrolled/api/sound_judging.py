"""Sounds beside the recordings that a run learned from: whether they have collapsed, and what of them is a copy."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from unrolled.api.media.sound import reopen_sound
from unrolled.api.sound_ranges import kept_ranges, ranges_of_part, verdict_on
from unrolled.api.sound_run import SoundRun
from unrolled.core.errors import DataError, RunError, UsageError
from unrolled.core.files import write_file
from unrolled.data.encoded_sound import encode_recordings
from unrolled.data.recordings import Recordings
from unrolled.data.sound_files import opened
from unrolled.inspection.collapse import Ranges, Verdict
from unrolled.inspection.memorisation import Memorisation, cut, joined, limit_of, memorisation
from unrolled.store.documents import read_object, to_bytes

LIMIT = "sound_copies.json"  # in a run folder
HELD_OUT = 300.0  # seconds of held-out sound that say how alike sound is that was never copied
USUAL_LIMIT = 0.9  # where too little is held out to say
SECONDS_AT_ONCE = 600.0  # of sound that are compared with the training sound in one reading of it


class Piece(NamedTuple):
    """Samples of the file of a number, and the second of it that they begin at."""

    number: int
    begin: float
    samples: np.ndarray


class Judge:
    """Judges sounds of a run. Its training data is read once something needs it; `note` hears where it is missing."""

    def __init__(self, run: SoundRun, note: Callable[[str], None]) -> None:
        self.run, self.note, self.rate = run, note, run.codec.rate

    @cached_property
    def recordings(self) -> Recordings | None:
        """What the run was trained on, None if that has changed or is not where it was."""
        data, options = self.run.config.data, self.run.config.training["options"]
        try:
            found = reopen_sound(self.run, data["paths"], options, options["split"])
            if found.fingerprint() != data["fingerprint"]:
                raise DataError(f"the data of run {self.run.folder.name} has changed since: put the old files back")
        except (DataError, UsageError) as problem:
            self.note(f"nothing can be compared with the training sound: {problem}")
            return None
        return found

    @cached_property
    def ranges(self) -> Ranges | None:
        """The ranges of the training sound: those that the run keeps, or from its training data."""
        kept = kept_ranges(self.run.folder)
        if kept is not None or self.recordings is None:
            return kept
        try:
            part = encode_recordings(self.recordings, self.run.codec, self.run.fields).train
            return ranges_of_part(self.run.folder, self.run.codec, part)
        except DataError as problem:
            self.note(f"soundness is not known: {problem}")
            return None

    def verdict(self, path: Path) -> Verdict | None:
        """What a sound file is like beside the training sound, None where that cannot be told."""
        if self.ranges is None:
            return None
        try:
            return verdict_on(path, self.run.codec, self.ranges)
        except DataError as problem:
            self.note(str(problem))
            return None

    def copies(self, paths: Sequence[Path]) -> list[Memorisation | None]:
        """What of each sound file is training sound again; None where that cannot be told."""
        if self.recordings is None:
            return [None] * len(paths)
        reports: list[list[tuple[float, Memorisation]]] = [[] for _ in paths]
        for pieces in self.gathered(paths):
            sounds = [piece.samples for piece in pieces]
            found = memorisation(sounds, self.training(self.recordings), self.rate, self.limit)
            for piece, report in zip(pieces, found, strict=True):
                reports[piece.number].append((piece.begin, report))
        return [self.located(joined(parts)) for parts in reports]

    def gathered(self, paths: Sequence[Path]) -> Iterator[list[Piece]]:
        """Pieces of sound files, as many together as are held at once."""
        most, pieces = SECONDS_AT_ONCE * self.rate, list[Piece]()
        for number, path in enumerate(paths):
            with opened(path) as reader:
                for begin, samples in cut(reader.mono(self.rate), self.rate, SECONDS_AT_ONCE):
                    if pieces and sum(len(piece.samples) for piece in pieces) + len(samples) > most:
                        yield pieces
                        pieces = []
                    pieces.append(Piece(number, begin, samples))
        if pieces:
            yield pieces

    @cached_property
    def limit(self) -> float:
        """The similarity to training sound above which sound is a copy, measured once and then kept in the run."""
        path = self.run.folder.path / LIMIT
        with suppress(RunError):
            kept = read_object(path).get("limit")
            if isinstance(kept, float) and 0 < kept <= 1:
                return kept
        assert self.recordings is not None
        try:
            limit = limit_of(self.held_out(self.recordings), self.training(self.recordings), self.rate)
        except DataError as problem:
            self.note(f"copies are told from a similarity of {USUAL_LIMIT:g}: {problem}")
            return USUAL_LIMIT
        with suppress(OSError):  # of a run that cannot be written to
            write_file(path, to_bytes({"limit": limit}))
        return limit

    def training(self, recordings: Recordings) -> Iterator[tuple[str, Iterator[np.ndarray]]]:
        """What trained, track by track."""
        return ((str(track.path), recordings.blocks(track, "train")) for track in recordings.documents("train"))

    def held_out(self, recordings: Recordings) -> list[np.ndarray]:
        """The beginning of what validates of each track, HELD_OUT seconds in all."""
        tracks = list(recordings.documents("validation"))
        most = int(HELD_OUT * self.rate / max(1, len(tracks)))
        return [beginning(recordings.blocks(track, "validation"), most) for track in tracks]

    def located(self, report: Memorisation) -> Memorisation:
        """A report with the place in the file instead of that in its training part, and a short name of the file."""
        match = report.nearest
        if match is None or self.recordings is None:
            return report
        track = next(track for track in self.recordings.tracks if str(track.path) == match.track)
        name = f"{track.path.parent.name}/{track.path.name}"
        return replace(report, nearest=match._replace(track=name, place=match.place + track.begin / self.rate))


def beginning(blocks: Iterable[np.ndarray], most: int) -> np.ndarray:
    """The first samples of a sound."""
    taken, count = [np.empty(0, np.float32)], 0
    for block in blocks:
        taken.append(block)
        count += len(block)
        if count >= most:
            break
    return np.concatenate(taken)[:most]


def samples_of(path: Path, rate: int) -> np.ndarray:
    """A whole sound file as mono samples.

    Raises: DataError for a file that cannot be read.
    """
    with opened(path) as reader:
        return np.concatenate([np.empty(0, np.float32), *(block.copy() for block in reader.mono(rate))])
