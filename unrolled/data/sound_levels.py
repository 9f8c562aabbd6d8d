"""What is known of samples without keeping them: moments, frames of equal size, and what trimming leaves."""

import math
from dataclasses import dataclass

import numpy as np

FRAMES = 100  # frames a second


@dataclass
class Moments:
    """Count, sums and extremes of samples."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    lowest: float = math.inf
    highest: float = -math.inf

    def add(self, samples: np.ndarray) -> None:
        """Count more samples."""
        if len(samples):
            wide = samples.astype(np.float64)
            self.merge(
                Moments(len(wide), float(wide.sum()), float(wide @ wide), float(samples.min()), float(samples.max()))
            )

    def merge(self, other: "Moments") -> None:
        """Count what `other` has counted."""
        self.count += other.count
        self.total += other.total
        self.squares += other.squares
        self.lowest, self.highest = min(self.lowest, other.lowest), max(self.highest, other.highest)

    @property
    def mean(self) -> float:
        """The DC offset."""
        return self.total / max(1, self.count)

    def peak(self, offset: float = 0.0) -> float:
        """The largest magnitude once `offset` is taken away."""
        return max(0.0, self.highest - offset, offset - self.lowest) if self.count else 0.0

    def rms(self, offset: float = 0.0) -> float:
        """The root of the mean square once `offset` is taken away."""
        return math.sqrt(max(0.0, self.squares / max(1, self.count) - 2 * offset * self.mean + offset**2))


class Frames:
    """Cuts blocks into frames of equal size; what is left over waits for the next block."""

    def __init__(self, size: int) -> None:
        self.size, self.rest = size, np.empty(0, np.float32)

    def push(self, block: np.ndarray) -> np.ndarray:
        """The frames that `block` completes, [frames, size]."""
        samples = np.concatenate((self.rest, block))
        whole = len(samples) // self.size * self.size
        self.rest = samples[whole:]
        return samples[:whole].reshape(-1, self.size)


class Trimmer:
    """Finds the stretch of a track that trimming keeps, and its moments, in one reading.

    Frames of 10 ms at both ends are cut while they deviate from their own mean by less than `threshold` decibels of
    full scale (root mean square), so that a DC offset is no sound. None cuts nothing. The stretch is `begin` to `end`
    of `length` samples, and both are 0 where all is silent.
    """

    def __init__(self, rate: int, threshold: float | None) -> None:
        self.least = None if threshold is None else 10 ** (threshold / 20)
        self.frames = Frames(max(1, rate // FRAMES))
        self.begin = self.end = self.length = 0
        self.kept, self.waiting = Moments(), Moments()

    def push(self, block: np.ndarray) -> None:
        """Read on."""
        self.sort(self.frames.push(block))

    def finish(self) -> None:
        """Read what is left of less than a frame."""
        self.sort(self.frames.push(np.empty(0, np.float32)))
        if len(self.frames.rest):
            self.sort(self.frames.rest[None])

    def sort(self, frames: np.ndarray) -> None:
        """Keep the frames up to the last loud one and let those after it wait for another."""
        samples, size = frames.ravel(), frames.shape[1]
        loud = np.arange(len(frames)) if self.least is None else np.flatnonzero(deviations(frames) >= self.least)
        first, last = 0, 0
        if len(loud):
            last = (int(loud[-1]) + 1) * size
            if not self.end:
                first = int(loud[0]) * size
                self.begin = self.length + first
            self.end = self.length + last
            self.kept.merge(self.waiting)
            self.kept.add(samples[first:last])
            self.waiting = Moments()
        if self.end:
            self.waiting.add(samples[last:])
        self.length += len(samples)


def deviations(frames: np.ndarray) -> np.ndarray:
    """The root mean square of each frame about its own mean."""
    return frames.std(axis=1, dtype=np.float64) if frames.size else np.empty(0)
