"""Landmarks of sound, by which two recordings of the same are found whatever their loudness, format and beginning.

A landmark is a pair of peaks of the spectrogram: at which frequencies they stand, and how far apart in time. Tracks
with the same landmarks at the same distances hold the same sound. Source of the idea: Wang 2003, section 2.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

RATE = 16_000
WINDOW, HOP = 4096, 512  # samples: 256 and 32 ms
LOWEST, CELLS, BINS = 64, 240, 4  # from 250 Hz on, in so many cells of so many bins each, up to 4 kHz
NEAR_CELLS, NEAR_WINDOWS = 6, 6  # a peak is the highest within these distances
FLOOR = 0.02  # of the loudest nearby, below which a peak does not count
FAINT = 0.1  # a tone of -80 dB of full scale
FOLLOWING, LATEST = 3, 63  # peaks with which each is paired, and how many windows later at most
MOST_ALIKE = 64  # equal landmarks above which they tell nothing
LEAST_SHARED, LEAST_SHARE = 8, 0.1  # of the landmarks of the track that has fewer
LOOKED_UP = 1 << 13  # landmarks together, each of which MOST_ALIKE places may have
SHIFTS = 1 << 21  # of tracks against one that are counted together


class Marks(NamedTuple):
    """The landmarks of one track: what, and in which window."""

    codes: np.ndarray
    times: np.ndarray


class Match(NamedTuple):
    """The track of others that is most like a track, by its number, the share of landmarks and the shift in seconds."""

    other: int
    share: float
    shift: float


class Landmarks:
    """Collects the landmarks of one track at `RATE` samples a second."""

    def __init__(self) -> None:
        self.rest = np.empty(0, np.float32)
        self.held = np.zeros((NEAR_WINDOWS, CELLS), np.float32)  # rows that still miss neighbours
        self.rows = 0  # whose peaks are known
        self.peaks: list[np.ndarray] = [np.empty((0, 2), np.int64)]
        self.shape = np.hanning(WINDOW).astype(np.float32)

    def push(self, block: np.ndarray) -> None:
        """Read on."""
        samples = np.concatenate((self.rest, block))
        count = max(0, (len(samples) - WINDOW) // HOP + 1)
        if count:
            windows = sliding_window_view(samples, WINDOW)[::HOP][:count]
            bins = np.fft.rfft(windows * self.shape, axis=1)[:, LOWEST : LOWEST + CELLS * BINS]
            self.add(np.abs(bins).reshape(count, CELLS, BINS).max(axis=2))
        self.rest = samples[count * HOP :]

    def add(self, rows: np.ndarray) -> None:
        """Find the peaks of all rows of a spectrogram whose neighbours are there."""
        rows = np.concatenate((self.held, rows))
        count = len(rows) - 2 * NEAR_WINDOWS
        if count <= 0:
            self.held = rows
            return
        padded = np.pad(rows, ((0, 0), (NEAR_CELLS, NEAR_CELLS)))
        across = sliding_window_view(padded, 2 * NEAR_CELLS + 1, axis=1).max(axis=2)
        highest = sliding_window_view(across, 2 * NEAR_WINDOWS + 1, axis=0).max(axis=2)
        loudest = sliding_window_view(rows.max(axis=1), 2 * NEAR_WINDOWS + 1).max(axis=1)
        centre = rows[NEAR_WINDOWS : NEAR_WINDOWS + count]
        found = np.argwhere((centre == highest) & (centre >= np.maximum(FAINT, FLOOR * loudest)[:, None]))
        self.peaks.append(found + np.array([self.rows, 0]))
        self.held = rows[count:]
        self.rows += count

    def finish(self) -> Marks:
        """All of them; the end of a track is padded with silence to a whole window."""
        self.push(np.zeros(WINDOW, np.float32))
        self.add(np.zeros((NEAR_WINDOWS, CELLS), np.float32))
        times, cells = np.concatenate(self.peaks).T
        codes, begins = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for step in range(1, FOLLOWING + 1):
            later = times[step:] - times[:-step]
            near = later <= LATEST
            pair = (cells[:-step] * CELLS + cells[step:]) * (LATEST + 1) + later // 2
            codes.append(pair[near])
            begins.append(times[:-step][near])
        return Marks(np.concatenate(codes), np.concatenate(begins))


class Index:
    """The landmarks of many tracks, to be looked up."""

    def __init__(self, tracks: Sequence[Marks]) -> None:
        self.sizes = [len(marks.codes) for marks in tracks]
        self.windows = [windows_of(marks) for marks in tracks]
        empty = np.empty(0, np.int64)
        codes = np.concatenate([empty, *(marks.codes for marks in tracks)])
        order = np.argsort(codes, kind="stable")  # equal landmarks stay in the order of their tracks
        self.times = np.concatenate([empty, *(marks.times for marks in tracks)])[order]
        self.owners = np.repeat(np.arange(len(tracks)), self.sizes)[order]
        self.keys = codes[order] * len(tracks) + self.owners

    def find(self, marks: Marks, besides: int | None = None) -> Match | None:
        """The track that shares most landmarks in the same distances with another, None where none shares enough.

        Memory is bounded however long the tracks are. The track of number `besides` is passed over.
        """
        _, counts = self.places(marks.codes, range(len(self.sizes)))
        telling = (counts > 0) & (counts <= MOST_ALIKE)
        known = Marks(marks.codes[telling], marks.times[telling])
        shared, other, shift = 0, 0, 0
        if len(known.codes):
            votes = (self.most(known, tracks) for tracks in self.groups(windows_of(known), besides))
            shared, other, shift = max(votes, key=lambda vote: vote[0], default=(0, 0, 0))
        if shared < LEAST_SHARED:
            return None
        share = shared / min(len(marks.codes), self.sizes[other])
        return None if share < LEAST_SHARE else Match(other, min(1.0, share), shift * HOP / RATE)

    def places(self, codes: np.ndarray, tracks: range) -> tuple[np.ndarray, np.ndarray]:
        """Where those that equal each landmark begin in some tracks in a row, and how many there are."""
        keys = codes * len(self.sizes)
        first = np.searchsorted(self.keys, keys + tracks.start)
        return first, np.searchsorted(self.keys, keys + tracks.stop) - first

    def groups(self, reach: int, besides: int | None) -> Iterator[range]:
        """Tracks in a row that have at most SHIFTS against one of `reach` windows, or single ones."""
        first, shifts, end = 0, 0, len(self.windows)
        for track, windows in enumerate([*self.windows, 0]):
            shifts += windows + reach
            if track in (besides, end) or shifts > SHIFTS:
                if first < track:
                    yield range(first, track)
                first, shifts = (track + 1, 0) if track == besides else (track, windows + reach)

    def most(self, marks: Marks, tracks: range) -> tuple[int, int, int]:
        """Landmarks that the track which shares most of them shares, its number, and the shift in windows."""
        windows = np.array([self.windows[track] for track in tracks])
        ends = np.cumsum(windows + windows_of(marks))  # of the shifts of each track, of which the last never occurs
        still = ends - windows - 1  # a shift of 0
        votes = np.zeros(ends[-1], np.int64)
        for begin in range(0, len(marks.codes), LOOKED_UP):
            part = slice(begin, begin + LOOKED_UP)
            first, counts = self.places(marks.codes[part], tracks)
            within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            found = np.repeat(first, counts) + within
            shifts = self.times[found] - np.repeat(marks.times[part], counts)
            np.add.at(votes, still[self.owners[found] - tracks.start] + shifts, 1)
        # A peak between two windows is found in either.
        both = np.where(votes > 0, votes + np.append(votes[1:], 0), 0)
        best = int(np.argmax(both))
        other = int(np.searchsorted(ends, best, side="right"))
        return int(both[best]), tracks[other], best - int(still[other])


def windows_of(marks: Marks) -> int:
    """The number of windows up to the last landmark."""
    return int(marks.times.max(initial=-1)) + 1
