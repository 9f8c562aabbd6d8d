"""Which tracks, or which part of each, train."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol, runtime_checkable

from unrolled.core.errors import UsageError
from unrolled.data.corpus import SplitRule, place_split


@dataclass(frozen=True)
class SoundSplit:
    """How much of the recordings trains.

    A track validates when the decimal digits of int(sha256(file)[:8], 16), last digit first and read as a fraction, lie
    below 1 - train; two tracks or more give at least one to each side unless they are copies. Instead, `validation`
    names the tracks that validate, by name, file name or folder/name, or by a pattern of those; or, `within`, the first
    `train` of each track trains and its end validates, as is done with a single track anyway.
    """

    train: float = 0.9
    validation: tuple[str, ...] = ()
    within: bool = False

    def __post_init__(self) -> None:
        SplitRule(self.train)  # refuses what is no share
        if self.within and self.validation:
            raise UsageError(
                f"validation {self.validation[0]!r} names whole tracks, and within cuts each track: pass one of both"
            )


DEFAULT_SPLIT = SoundSplit()


@runtime_checkable
class Measured(Protocol):
    """What the split asks of a track."""

    @property
    def path(self) -> Path:
        """Its file."""
        ...

    @property
    def sha256(self) -> str:
        """The digest of its content."""
        ...

    @property
    def length(self) -> int:
        """Its samples, 0 if it is left out."""
        ...


def cuts(tracks: Sequence[Measured], split: SoundSplit) -> tuple[list[int], str]:
    """How many samples of each track train, from the first on, and by which rule.

    Raises: UsageError for a name that no track has, or names that leave nothing to train on.
    """
    sounding = [track for track in tracks if track.length]
    if split.validation:
        chosen = named(sounding, split.validation)
        return [0 if track.path in chosen else track.length for track in tracks], "by name"
    if split.within or len(sounding) == 1:
        return [int(split.train * track.length) for track in tracks], "within tracks"
    values = [split_value(track.sha256) for track in sounding]
    threshold = place_split(SplitRule(split.train), min(values), max(values))
    return [0 if split_value(track.sha256) < threshold else track.length for track in tracks], "by track"


def named(tracks: Sequence[Measured], patterns: Sequence[str]) -> set[Path]:
    """The files of the tracks that patterns name."""
    chosen: set[Path] = set()
    for pattern in patterns:
        found = {track.path for track in tracks if is_called(track.path, pattern)}
        if not found:
            listed = ", ".join(track.path.stem for track in tracks[:10])
            more = f" and {len(tracks) - 10} more" if len(tracks) > 10 else ""
            raise UsageError(f"no track is called {pattern!r}: the tracks are {listed}{more}")
        chosen |= found
    if len(chosen) == len({track.path for track in tracks}):
        raise UsageError(f"all {len(chosen)} tracks validate, so that none trains: name fewer of them")
    return chosen


def is_called(path: Path, pattern: str) -> bool:
    """Whether a track has a name, or one that fits a pattern; a name with the signs of patterns is a name first."""
    names = (path.stem, path.name, f"{path.absolute().parent.name}/{path.stem}")
    return any(name == pattern or fnmatchcase(name, pattern) for name in names)


def split_value(digest: str) -> int:
    """The number that decides the side of a track, as `corpus.split_value` does of a text."""
    return int(f"{int(digest[:8], 16):010d}"[::-1])
