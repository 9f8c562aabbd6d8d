"""Short-time spectra of sound of any length: Hann windows, mel bands and flatness."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from unrolled.core.errors import UsageError

BLOCK = 1 << 16  # samples of a long array that are looked at together
GROUP = 1 << 20  # samples of all windows that are transformed together
NOTHING = 1e-10  # power that counts as none, so that logarithms are finite

# Slaney's mel: 66 2/3 Hz each up to 1 kHz, above it 27 of them for a factor of 6.4.
BREAK, HERTZ, STEP = 1000.0, 200 / 3, np.log(6.4) / 27


def pieces(samples: np.ndarray) -> Iterator[np.ndarray]:
    """A long array as blocks that share its memory."""
    return (samples[start : start + BLOCK] for start in range(0, len(samples), BLOCK))


def hann(size: int) -> np.ndarray:
    """The periodic Hann window in float64, (1 - cos(2 pi n / size)) / 2.

    Source: Harris 1978, "On the use of windows for harmonic analysis with the discrete Fourier transform", section V-C.
    """
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)


def spectra(blocks: Iterable[np.ndarray], window: int, hop: int) -> Iterator[np.ndarray]:
    """Fourier transforms of the Hann windows that begin every `hop` samples, in groups [frames, window // 2 + 1].

    Frame k covers the samples k * hop to k * hop + window; only whole windows count. Nothing is scaled: a sine of
    amplitude a peaks at a * window / 4. Complex64 for float32 samples, complex128 for float64. Memory follows the size
    of a block and GROUP.
    Raises: UsageError unless 1 <= hop <= window.
    """
    if not 1 <= hop <= window:
        raise UsageError(f"a hop of {hop} samples for windows of {window}: pass 1 to {window}")
    rest = np.empty(0, np.float32)
    most = max(1, GROUP // window)
    for block in blocks:
        samples = np.concatenate((rest, block))
        count = max(0, (len(samples) - window) // hop + 1)
        if count:
            frames = sliding_window_view(samples, window)[::hop][:count]
            taper = hann(window).astype(samples.dtype)
            for first in range(0, count, most):
                yield np.fft.rfft(frames[first : first + most] * taper, axis=1)
        rest = samples[count * hop :]


def stft(samples: np.ndarray, window: int, hop: int) -> np.ndarray:
    """All frames of `spectra` for one array, [frames, window // 2 + 1].

    Source: Allen 1977, "Short term spectral analysis, synthesis, and modification by discrete Fourier transform".
    """
    kind = np.complex128 if samples.dtype == np.float64 else np.complex64
    return np.concatenate([np.empty((0, window // 2 + 1), kind), *spectra(pieces(samples), window, hop)])


def power(spectrum: np.ndarray) -> np.ndarray:
    """The squared magnitude of each bin."""
    return np.square(np.real(spectrum)) + np.square(np.imag(spectrum))


def to_mel(hertz: np.ndarray) -> np.ndarray:
    """Frequencies on Slaney's mel scale.

    Source: Slaney 1998, "Auditory Toolbox, version 2", Interval Research technical report 1998-010, mfcc.
    """
    return np.where(hertz < BREAK, hertz / HERTZ, BREAK / HERTZ + np.log(np.maximum(hertz, BREAK) / BREAK) / STEP)


def from_mel(mel: np.ndarray) -> np.ndarray:
    """The inverse of `to_mel`."""
    linear = BREAK / HERTZ
    return np.where(mel < linear, mel * HERTZ, BREAK * np.exp(STEP * (np.maximum(mel, linear) - linear)))


def mel_filters(rate: int, window: int, bands: int, lowest: float = 0.0, highest: float | None = None) -> np.ndarray:
    """Triangles of equal area that sum bins into mel bands, [bands, window // 2 + 1], float64.

    Each rises from the centre of the band below it to its own and falls to the centre of the band above it; the outer
    ones begin at `lowest` and end at `highest` Hz (half of `rate` unless given). Height 2 / width in Hz.
    Source: as for `to_mel`.
    Raises: UsageError for frequencies that are not there and for bands that are narrower than a bin.
    """
    top = rate / 2 if highest is None else highest
    if not (bands >= 1 and 0 <= lowest < top <= rate / 2):
        raise UsageError(
            f"{bands} mel bands from {lowest:g} to {top:g} Hz: pass 1 or more between 0 and {rate / 2:g} Hz"
        )
    low, high = to_mel(np.array([lowest, top]))
    edges = from_mel(np.linspace(low, high, bands + 2))
    bins = np.fft.rfftfreq(window, 1 / rate)
    below, centre, above = (edges[start : start + bands, None] for start in range(3))
    filters = np.minimum((bins - below) / (centre - below), (above - bins) / (above - centre)).clip(0)
    if not filters.any(axis=1).all():
        raise UsageError(
            f"{bands} mel bands from {lowest:g} to {top:g} Hz are narrower than the {rate / window:.1f} Hz between the "
            f"bins of {window} samples: pass fewer bands or a longer window"
        )
    return filters * 2 / (above - below)


def log_mel(blocks: Iterable[np.ndarray], window: int, hop: int, filters: np.ndarray) -> Iterator[np.ndarray]:
    """Natural logarithm of the power in each mel band, in the groups of `spectra`, [frames, bands]."""
    for spectrum in spectra(blocks, window, hop):
        energy = power(spectrum)
        yield np.log(np.maximum(energy @ filters.T.astype(energy.dtype), NOTHING))


def flatness(energy: np.ndarray) -> np.ndarray:
    """Geometric over arithmetic mean of the power in the bins, the last axis: 1 for a flat spectrum, near 0 for a tone.

    Bins count as 100 dB below the mean at least; no power at all is flat. One spectrum of white noise has 0.56 on
    average, the mean of many approaches 1.
    Source: Gray and Markel 1974, "A spectral-flatness measure for studying the autocorrelation method of linear
    prediction of speech analysis".
    """
    mean = energy.mean(axis=-1, keepdims=True)
    relative = np.divide(energy, mean, out=np.ones_like(energy), where=mean > 0)
    return np.asarray(np.exp(np.log(np.maximum(relative, NOTHING)).mean(axis=-1)))
