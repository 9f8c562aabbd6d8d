"""Sound measured second by second: level, flatness, entropy, repetition, stuck samples and zero crossings."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from unrolled.core.errors import DataError
from unrolled.inspection.spectrum import flatness, power, spectra

SHORTEST = 0.1  # seconds that can be measured
MEMORY = 4.0  # seconds before a window in which its repetition is looked for
CLOSEST = 0.05  # seconds between a sound and its repetition: nearer ones are pitch
SILENT, LOWEST = -70.0, -120.0  # dBFS: below the first there is nothing to hear, the second stands for no power
HIGHEST = 60.0  # dB of repetition where nothing is new
NEARLY_NONE = 1e-9  # of the energy of all that is heard
BINS = 256  # steps between -1 and 1 of which entropy is taken
HELD = 0.005  # seconds for which one value makes samples stuck
CENTRE = 0.01  # of full scale: values nearer to 0 are silence and not stuck


class Measure(NamedTuple):
    """What is measured: its unit, how far out of a range counts wholly, and what to call sound below and above it."""

    unit: str
    slack: float
    below: str | None
    above: str | None


MEASURES: Mapping[str, Measure] = {
    "level": Measure("dBFS", 3.0, "silence", "loud"),
    "flatness": Measure("dB", 3.0, "tone", "noise"),
    "entropy": Measure("bits", 0.5, "few levels", "scattered"),
    "repetition": Measure("dB", 3.0, None, "loop"),
    "stuck": Measure("of all samples", 0.1, None, "stuck"),
    "crossings": Measure("a second", 300.0, "dull", "shrill"),
}


def windows(blocks: Iterable[np.ndarray], rate: int) -> Iterator[tuple[np.ndarray, int]]:
    """Each whole second of a sound, with what is remembered before it, and where it begins in that array.

    A sound of less than a second is one window; the end of a longer one that fills none is left out.
    """
    memory = int(MEMORY * rate)
    heard, begin, found = np.empty(0, np.float32), 0, False
    for block in blocks:
        if not np.isfinite(block).all():
            raise DataError("sound that holds something else than finite numbers cannot be measured: render it again")
        heard = np.concatenate((heard, block))
        while len(heard) - begin >= rate:
            yield heard[: begin + rate], begin
            begin, found = begin + rate, True
            drop = max(0, begin - memory)
            heard, begin = heard[drop:], begin - drop
    if not found:
        if len(heard) < SHORTEST * rate:
            raise DataError(f"{len(heard) / rate:.3f} s of sound are too short to judge: pass {SHORTEST:g} s or more")
        yield heard, 0


def measured(heard: np.ndarray, begin: int, rate: int) -> np.ndarray:
    """The measures, in the order of MEASURES, of the window that begins at `begin`; NaN for those that silence lacks.

    Level is that of the deviation from the mean: a constant is not heard.
    """
    window = heard[begin:].astype(np.float64)
    moving = window - window.mean()
    level = decibels(float(np.mean(moving**2)), LOWEST)
    if level <= SILENT:
        return np.array([level, np.nan, entropy(window), np.nan, stuck(window, rate), np.nan])
    above = moving >= 0
    return np.array(
        [
            level,
            decibels(even(moving, rate), -100.0),
            entropy(window),
            repetition(heard, begin, rate),
            stuck(window, rate),
            np.count_nonzero(above[1:] != above[:-1]) * rate / len(window),
        ]
    )


def decibels(ratio: float, lowest: float) -> float:
    """A ratio of powers in decibels, `lowest` at least."""
    return max(lowest, 10 * math.log10(ratio)) if ratio > 0 else lowest


def even(window: np.ndarray, rate: int) -> float:
    """The flatness of the mean power spectrum, of windows of about 1/16 s that overlap by half, without DC."""
    size = 1 << max(4, round(math.log2(rate / 16)))
    mean = np.concatenate([power(spectrum) for spectrum in spectra([window], size, size // 2)]).mean(axis=0)
    return float(flatness(mean[1:]))


def entropy(window: np.ndarray) -> float:
    """Bits per sample of how often each of BINS levels occurs."""
    levels = np.floor((window + 1) * BINS / 2).clip(0, BINS - 1).astype(np.int64)
    counts = np.bincount(levels, minlength=BINS)
    shares = counts[counts > 0] / len(window)
    return max(0.0, float(-(shares * np.log2(shares)).sum()))


def stuck(window: np.ndarray, rate: int) -> float:
    """The share of samples in runs of one value that is not silence, of HELD seconds or more."""
    starts = np.concatenate(([0], np.flatnonzero(window[1:] != window[:-1]) + 1))
    lengths = np.diff(starts, append=len(window))
    held = (lengths >= HELD * rate) & (np.abs(window[starts]) >= CENTRE)
    return float(lengths[held].sum() / len(window))


def repetition(heard: np.ndarray, begin: int, rate: int) -> float:
    """How much of a window the best of all earlier places, scaled, foretells: 10 log10(1 / (1 - r^2)) dB.

    r is the highest normalised correlation of the window with what lies CLOSEST to MEMORY seconds before it, where half
    of the window or more has been heard before; of differences between samples, so that bass does not drown the rest.
    Known as the gain of one-tap long-term prediction.
    """
    moves = np.diff(heard.astype(np.float64), prepend=heard[:1].astype(np.float64))
    size, whole = len(moves) - begin, len(moves)
    lags = np.arange(max(1, int(CLOSEST * rate)), min(int(MEMORY * rate), begin + size // 2))
    padded = 1 << (whole + size - 1).bit_length()
    window = np.concatenate((np.zeros(begin), moves[begin:]))
    product = np.fft.rfft(window, padded) * np.fft.rfft(moves, padded).conj()
    correlation = np.fft.irfft(product, padded)[lags]
    energy = np.concatenate(([0.0], np.cumsum(moves**2)))
    first = np.maximum(begin, lags)  # of the samples that have one `lag` before them
    ours, theirs = energy[whole] - energy[first], energy[whole - lags] - energy[first - lags]
    size_of_both = np.sqrt((ours * theirs).clip(0))
    heard_of_both = np.minimum(ours, theirs) > NEARLY_NONE * energy[whole]
    best = np.divide(correlation, size_of_both, out=np.zeros(len(lags)), where=heard_of_both)
    left = 1 - float(np.square(best.clip(0, 1)).max(initial=0.0))
    return min(HIGHEST, -decibels(left, -HIGHEST))
