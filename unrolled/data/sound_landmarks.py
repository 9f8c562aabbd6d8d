"""Landmarks of sound, by which two recordings of the same are found whatever their loudness, format and beginning.

A landmark is a pair of peaks of the spectrogram: at which frequencies they stand, and how far apart in time. Tracks
with the same landmarks at the same distances hold the same sound. Source of the idea: Wang 2003, section 2.
"""

from collections.abc import Sequence
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
FAR = 1 << 32  # above any number of windows


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
        empty = np.empty(0, np.int64)
        codes = np.concatenate([empty, *(marks.codes for marks in tracks)])
        order = np.argsort(codes, kind="stable")
        self.codes = codes[order]
        self.times = np.concatenate([empty, *(marks.times for marks in tracks)])[order]
        self.owners = np.repeat(np.arange(len(tracks)), self.sizes)[order]

    def find(self, marks: Marks) -> Match | None:
        """The track that shares most landmarks in the same distances with another, None where none shares enough."""
        first = np.searchsorted(self.codes, marks.codes, "left")
        counts = np.searchsorted(self.codes, marks.codes, "right") - first
        counts[counts > MOST_ALIKE] = 0
        if not counts.sum():
            return None
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        places = np.repeat(first, counts) + within
        shifts = self.times[places] - np.repeat(marks.times, counts)
        keys, votes = np.unique(self.owners[places] * FAR + shifts + FAR // 2, return_counts=True)
        # A peak between two windows is found in either.
        beside = np.concatenate((votes[1:] * (np.diff(keys) == 1), [0]))
        best = int(np.argmax(votes + beside))
        shared, other = int(votes[best] + beside[best]), int(keys[best] // FAR)
        share = shared / max(1, min(len(marks.codes), self.sizes[other]))
        if shared < LEAST_SHARED or share < LEAST_SHARE:
            return None
        shift = int(keys[best] % FAR - FAR // 2) * HOP / RATE
        return Match(other, min(1.0, share), shift)
