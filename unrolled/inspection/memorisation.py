"""Which training sound a generated sound is most like, and whether it is a copy.

Sound is compared second by second through spectral fingerprints: the course of the logarithmic power in mel bands, each
band about its own mean, so that loudness and tone colour do not count but what happens when. Held-out real sound says
how alike the training sound is to what was never copied from it. The training sound is read once, in blocks, and never
held as a whole. A second in which nothing changes has no fingerprint.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from unrolled.core.errors import DataError
from unrolled.inspection.spectrum import log_mel, mel_filters, pieces

HOP = 0.032  # seconds between frames, which last twice as long
BANDS, LOWEST, HIGHEST = 20, 100.0, 8000.0  # mel bands, and their ends in Hz
FRAMES = 32  # of one fingerprint
STEP = 8  # frames from one fingerprint of a sound that is looked up to the next
DEPTH = 9.2  # nats below the loudest band and frame of a fingerprint that count: 40 dB
LEAST = 0.23  # nats, root mean square, of what changes in a sound with a fingerprint: 1 dB
GROUP = 512  # training fingerprints that are compared together
WANTED = 2048  # fingerprints that they are compared with together
MOST_HELD_OUT = 600  # fingerprints of held-out sound that are looked up
QUANTILE = 0.999  # of the similarities of held-out sound, above which real sound hardly is
MARGIN = 0.25  # of the way from there to 1: generated sound has many more chances to be alike than held-out sound has
LEAST_ALIKE = 0.6  # a similarity below which nothing is a copy, however unlike all held-out sound may be

Tracks = Iterable[tuple[str, Iterable[np.ndarray]]]  # name and blocks of samples


class Match(NamedTuple):
    """A second of a sound from `begin`, and the second of training sound most like it, of `track` from `place`.

    `similarity` is at most 1, `begin` and `place` are in seconds.
    """

    similarity: float
    begin: float
    track: str
    place: float


@dataclass(frozen=True)
class Memorisation:
    """The nearest training sound of one sound, None where it has no fingerprint; `seconds` is how long matches are.

    `copied` is the share of the sound's fingerprints, `compared` in number, that are more alike than `limit`.
    """

    nearest: Match | None
    copied: float
    limit: float
    seconds: float
    compared: int = 0

    @property
    def is_copy(self) -> bool:
        """Whether any of it is more like training sound than real sound is."""
        return self.copied > 0

    def words(self) -> str:
        """One line for people."""
        if self.nearest is None:
            return "cannot be compared with training sound: it is shorter than a second, or nothing changes in it"
        match = self.nearest
        same = f"{clock(match.begin)} is {clock(match.place)} of {match.track}"
        rest = f"similarity {match.similarity:.2f}, a copy from {self.limit:.2f}"
        if not self.is_copy:
            return f"new: nearest is training sound where {same} ({rest})"
        return f"copied: {self.copied:.0%} is training sound again, most alike where {same} ({rest})"

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        nearest = None if self.nearest is None else self.nearest._asdict()
        return {"nearest": nearest, "copied": self.copied, "limit": self.limit, "seconds": self.seconds}


class Search:
    """The nearest of all training fingerprints for each row of `wanted`, [fingerprints, numbers]."""

    def __init__(self, wanted: np.ndarray) -> None:
        self.wanted = np.ascontiguousarray(wanted.T)
        self.similarity = np.full(len(wanted), -1.0, np.float32)
        self.track, self.frame = np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.int64)

    def read(self, track: int, groups: Iterable[np.ndarray]) -> None:
        """Compare with the fingerprints of one training track, which come in order."""
        first = 0
        for group in groups:
            for start in range(0, len(self.similarity), WANTED):
                self.compare(group, track, first, slice(start, start + WANTED))
            first += len(group)

    def compare(self, group: np.ndarray, track: int, first: int, part: slice) -> None:
        """Compare some of what is wanted with a group of fingerprints that begins at frame `first`."""
        alike = group @ self.wanted[:, part]
        best = alike.argmax(axis=0)
        found = alike[best, np.arange(alike.shape[1])]
        better = np.flatnonzero(found > self.similarity[part])
        rows = better + part.start
        self.similarity[rows], self.track[rows], self.frame[rows] = found[better], track, first + best[better]


def memorisation(sounds: Sequence[np.ndarray], tracks: Tracks, rate: int, limit: float) -> list[Memorisation]:
    """What of each sound is training sound again; `limit` is what `limit_of` gives.

    `tracks` are read once for all sounds together.
    """
    seconds = FRAMES * hop_of(rate) / rate
    reports = []
    for matches in nearest(sounds, tracks, rate):
        best = max(matches, default=None, key=lambda match: match.similarity)
        copied = sum(match.similarity > limit for match in matches) / max(1, len(matches))
        reports.append(Memorisation(best, copied, limit, seconds, len(matches)))
    return reports


def cut(blocks: Iterable[np.ndarray], rate: int, seconds: float) -> Iterator[tuple[float, np.ndarray]]:
    """A long sound as pieces of at most `seconds`, but of one fingerprint at least, each after the second it begins at.

    They overlap so that each fingerprint of the sound is in one of them.
    """
    hop = hop_of(rate)
    step, overlap = STEP * hop, (FRAMES + 1 - STEP) * hop
    size = max(1, (int(seconds * rate) - overlap) // step) * step + overlap
    piece, filled, begin = np.empty(size, np.float32), 0, 0
    for block in blocks:
        while len(block):
            taken = block[: size - filled]
            piece[filled : filled + len(taken)] = taken
            filled, block = filled + len(taken), block[len(taken) :]
            if filled == size:
                yield begin / rate, piece
                following = np.empty(size, np.float32)
                following[:overlap] = piece[-overlap:]
                piece, filled, begin = following, overlap, begin + size - overlap
    if not begin or filled >= overlap + step:
        yield begin / rate, piece[:filled].copy()


def joined(parts: Sequence[tuple[float, Memorisation]]) -> Memorisation:
    """The report on a sound that was `cut`, from those on its pieces, each after the second it begins at."""
    matches = [
        part.nearest._replace(begin=begin + part.nearest.begin) for begin, part in parts if part.nearest is not None
    ]
    compared = sum(part.compared for _, part in parts)
    copied = sum(round(part.copied * part.compared) for _, part in parts) / max(1, compared)
    best = max(matches, default=None, key=lambda match: match.similarity)
    return replace(parts[0][1], nearest=best, copied=copied, compared=compared)


def limit_of(held_out: Sequence[np.ndarray], tracks: Tracks, rate: int) -> float:
    """The similarity to training sound above which sound is a copy: more than real sound has that is not part of it.

    Raises: DataError for held-out sound without a fingerprint.
    """
    matches = list(chain.from_iterable(nearest(held_out, tracks, rate, MOST_HELD_OUT)))
    if not matches:
        raise DataError("the held-out sound is too short or even to be compared: hold out a minute or more")
    usual = float(np.quantile([match.similarity for match in matches], QUANTILE))
    return max(LEAST_ALIKE, usual + MARGIN * (1 - usual))


def nearest(sounds: Sequence[np.ndarray], tracks: Tracks, rate: int, most: int | None = None) -> list[list[Match]]:
    """The matches of each sound, at every STEP of its frames that has a fingerprint, but `most` of all sounds together.

    A sound shorter than a fingerprint has none.
    """
    prints = [every_step(sound, rate) for sound in sounds]
    places = [(row, begin) for row, found in enumerate(prints) for begin in np.flatnonzero(found.any(axis=1)).tolist()]
    if most is not None and len(places) > most:
        places = [places[number] for number in np.linspace(0, len(places) - 1, most).astype(int)]
    if not places:
        return [[] for _ in sounds]
    search = Search(np.array([prints[row][begin] for row, begin in places]))
    names = []
    for name, blocks in tracks:
        search.read(len(names), fingerprints(blocks, rate))
        names.append(name)
    matches: list[list[Match]] = [[] for _ in sounds]
    second = hop_of(rate) / rate
    for number, (row, begin) in enumerate(places):
        if search.similarity[number] > -1:
            place = int(search.frame[number]) * second
            similarity = min(1.0, float(search.similarity[number]))
            matches[row].append(Match(similarity, begin * STEP * second, names[search.track[number]], place))
    return matches


def fingerprints(blocks: Iterable[np.ndarray], rate: int) -> Iterator[np.ndarray]:
    """The fingerprint that begins at each frame of a sound, in groups [frames, BANDS * FRAMES] of bounded size."""
    hop = hop_of(rate)
    filters = mel_filters(rate, 2 * hop, BANDS, LOWEST, min(HIGHEST, rate / 2))
    waiting = np.empty((0, BANDS), np.float32)
    for frames in chain(log_mel(blocks, 2 * hop, hop, filters), (None,)):
        if frames is not None:
            waiting = np.concatenate((waiting, frames.astype(np.float32)))
        last = frames is None
        while len(waiting) >= GROUP + FRAMES - 1 or (last and len(waiting) >= FRAMES):
            group = waiting[: GROUP + FRAMES - 1]
            yield normalised(sliding_window_view(group, FRAMES, axis=0))
            waiting = waiting[len(group) - FRAMES + 1 :]


def normalised(courses: np.ndarray) -> np.ndarray:
    """Courses [fingerprints, BANDS, FRAMES] about the mean of each band, as rows of length 1; 0 where none changes."""
    loudest = courses.max(axis=(1, 2), keepdims=True)
    rows = np.maximum(courses, loudest - DEPTH)
    rows -= rows.mean(axis=2, keepdims=True)
    rows = rows.reshape(len(rows), -1)
    length = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > LEAST * np.sqrt(rows.shape[1]))


def every_step(sound: np.ndarray, rate: int) -> np.ndarray:
    """The fingerprint at every STEP of the frames of a sound."""
    first, taken = 0, [np.empty((0, BANDS * FRAMES), np.float32)]
    for group in fingerprints(pieces(sound), rate):
        taken.append(group[-first % STEP :: STEP])
        first += len(group)
    return np.concatenate(taken)


def hop_of(rate: int) -> int:
    """Samples between frames."""
    return round(HOP * rate)


def clock(seconds: float) -> str:
    """A time as minutes and seconds."""
    return f"{int(seconds // 60)}:{seconds % 60:05.2f}"
