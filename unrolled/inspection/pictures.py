"""Pictures of sound: waveform, spectrogram, both with axes, and the cover of an album.

Brightness is power in decibels: the brightest is the loudest place of a picture, the darkest DEPTH below it.
"""

import math
from collections.abc import Sequence

import numpy as np

from unrolled.core.errors import DataError, UsageError
from unrolled.inspection.canvas import LETTER_HEIGHT, LETTER_WIDTH, blank, write
from unrolled.inspection.colours import colour_map
from unrolled.inspection.spectrum import from_mel, hann, pieces, power, spectra, to_mel

WINDOW = 0.064  # seconds, to the nearest power of two
LOWEST = 40.0  # Hz at the bottom of a picture
DEPTH, FAINTEST = 72.0, -60.0  # dB from the brightest to the darkest; dBFS of the loudest place that is still bright
MARGIN_LEFT, MARGIN_BELOW, GAP = 34, 17, 6  # pixels of a picture with axes
NEAREST_TICKS = 64  # pixels between the labels of seconds
KILOHERTZ = (0.1, 0.2, 0.5, 1, 2, 4, 8, 16, 32, 64)
TURN = -0.3  # of all hues, from the first track of a cover to the last
GROUND = 20  # the colour of silence on a record, so that it stands out from the dark behind it
CENTRE, RIM = 0.17, 0.955  # of half the side of a cover: where its rings begin and end


def intensity(samples: np.ndarray, rate: int, width: int, height: int) -> np.ndarray:
    """Brightness, 0 to 1, of time by pitch, [height, width] with high frequencies on top, evenly spaced in mel.

    Raises: DataError without samples.
    """
    if not len(samples):
        raise DataError("there are no samples to draw: pass a sound")
    window = 1 << max(4, round(math.log2(WINDOW * rate)))
    hop = max(1, min(window // 2, len(samples) // width))
    half = np.zeros(window // 2, np.float32)
    rows = pitch_rows(rate, window, height)
    frames = len(samples) // hop + 1
    sums = np.zeros((width, height))
    at = 0
    for spectrum in spectra((half, *pieces(samples.astype(np.float32)), half), window, hop):
        columns = (np.arange(at, at + len(spectrum)) * width // frames).clip(max=width - 1)
        np.add.at(sums, columns, power(spectrum) @ rows)
        at += len(spectrum)
    counts = np.bincount((np.arange(at) * width // frames).clip(max=width - 1), minlength=width)
    source = np.maximum.accumulate(np.where(counts > 0, np.arange(width), 0))  # a column without a frame repeats
    mean = sums[source] / counts[source, None] * (2 / hann(window).sum()) ** 2
    decibels = 10 * np.log10(np.maximum(mean.T[::-1], 1e-20))
    loudest = max(FAINTEST, float(decibels.max()))
    return ((decibels - loudest) / DEPTH + 1).clip(0, 1).astype(np.float32)


def pitch_rows(rate: int, window: int, height: int) -> np.ndarray:
    """Weights that gather bins into rows evenly spaced in mel from LOWEST to half of `rate`, [bins, height].

    Where rows are closer than bins, they lie between them.
    """
    centres = row_frequencies(rate, height) * window / rate
    reach = np.maximum(1, np.gradient(centres)) if height > 1 else np.array([window / 4])
    weights = (1 - np.abs(np.arange(window // 2 + 1)[:, None] - centres) / reach).clip(0)
    return (weights / weights.sum(axis=0)).astype(np.float32)


def row_frequencies(rate: int, height: int) -> np.ndarray:
    """The frequency of each row in Hz, from the bottom up."""
    low, high = to_mel(np.array([min(LOWEST, rate / 8), rate / 2]))
    return from_mel(np.linspace(low, high, height))


def spectrogram(samples: np.ndarray, rate: int, width: int = 900, height: int = 260) -> np.ndarray:
    """The spectrogram of a sound in pixels, without axes."""
    return colour_map()[np.rint(intensity(samples, rate, width, height) * 255).astype(np.uint8)]


def waveform(samples: np.ndarray, width: int = 900, height: int = 80) -> np.ndarray:
    """The waveform of a sound in pixels, between -1 and 1: extremes dim, root mean square bright.

    Raises: DataError without samples.
    """
    if not len(samples):
        raise DataError("there are no samples to draw: pass a sound")
    colours = colour_map()
    starts = np.arange(width) * len(samples) // width
    lowest, highest = np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts)
    lengths = np.maximum(1, np.diff(starts, append=len(samples)))
    loud = np.sqrt(np.add.reduceat(np.square(samples, dtype=np.float64), starts) / lengths)
    middle = (height - 1) / 2
    rows = (middle - np.arange(height)[:, None]) / max(middle, 0.5)
    step = 1 / max(middle, 0.5) / 2  # so that silence is a line
    pixels = blank(height, width, colours[0])
    pixels[(rows <= highest.clip(-1, 1) + step) & (rows >= lowest.clip(-1, 1) - step)] = colours[120]
    pixels[np.abs(rows) <= np.minimum(loud, np.maximum(np.abs(lowest), np.abs(highest))) + step] = colours[205]
    return pixels


def picture(samples: np.ndarray, rate: int, width: int = 960, height: int = 400) -> np.ndarray:
    """Waveform and spectrogram over one time axis in seconds, the spectrogram beside one of kHz, in pixels.

    Raises: UsageError for a size that is too small; DataError without samples.
    """
    inner = width - MARGIN_LEFT
    upper = (height - MARGIN_BELOW) // 5
    lower = height - MARGIN_BELOW - GAP - upper
    if inner < NEAREST_TICKS or lower < 4 * LETTER_HEIGHT:
        raise UsageError(f"{width} x {height} pixels are too small for a picture with axes: pass 120 x 80 or more")
    colours = colour_map()
    pixels = blank(height, width, colours[0])
    pixels[:upper, MARGIN_LEFT:] = waveform(samples, inner, upper)
    top = upper + GAP
    pixels[top : top + lower, MARGIN_LEFT:] = spectrogram(samples, rate, inner, lower)
    mark_kilohertz(pixels, rate, top, lower)
    mark_seconds(pixels, len(samples) / rate, inner)
    return pixels


def mark_kilohertz(pixels: np.ndarray, rate: int, top: int, height: int) -> None:
    """Set ticks and labels beside a spectrogram that begins at row `top`, as many as there is room for."""
    ink, frequencies = colour_map()[200], row_frequencies(rate, height)
    write(pixels, "kHz", top - LETTER_HEIGHT - GAP, 2, ink)
    taken = top  # no label above this row
    for number in reversed(KILOHERTZ):
        if not frequencies[0] <= number * 1000 <= frequencies[-1] + 1:
            continue
        row = top + height - 1 - int(np.abs(frequencies - number * 1000).argmin())
        first = min(max(row - LETTER_HEIGHT // 2, top), top + height - LETTER_HEIGHT)
        if first >= taken:
            text = f"{number:g}"
            write(pixels, text, first, MARGIN_LEFT - 6 - len(text) * LETTER_WIDTH, ink)
            pixels[row, MARGIN_LEFT - 5 : MARGIN_LEFT - 1] = ink
            taken = first + LETTER_HEIGHT + 5


def mark_seconds(pixels: np.ndarray, seconds: float, width: int) -> None:
    """Set ticks and labels under the last `width` columns, as many as there is room for."""
    ink = colour_map()[200]
    bottom = pixels.shape[0] - MARGIN_BELOW
    step = tick_step(seconds * NEAREST_TICKS / width)
    for number in range(int(seconds / step + 1e-9) + 1):
        column = MARGIN_LEFT + min(round(number * step / seconds * width), width - 1)
        text = clock(number * step, step) + (" s" if number == 0 else "")
        left = min(max(column - len(text) * LETTER_WIDTH // 2, MARGIN_LEFT), pixels.shape[1] - len(text) * LETTER_WIDTH)
        pixels[bottom + 1 : bottom + 5, column] = ink
        write(pixels, text, bottom + 8, left, ink)


def tick_step(least: float) -> float:
    """The smallest of 1, 2, 5, 10 ... or, in minutes, of 15, 30, 60, 120 ... that is `least` seconds or more."""
    steps = [base * 10.0**exponent for exponent in range(-6, 1) for base in (1, 2, 5)]
    steps += [10.0, 15.0, 30.0, *(60.0 * base * 10**exponent for exponent in range(7) for base in (1, 2, 5))]
    return next((step for step in steps if step >= least), steps[-1])


def clock(seconds: float, step: float) -> str:
    """A time with as many digits as ticks `step` apart need."""
    if step >= 15:
        return f"{round(seconds) // 60}:{round(seconds) % 60:02d}"
    return f"{seconds:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"


def cover(tracks: Sequence[np.ndarray], rate: int, size: int = 1000) -> np.ndarray:
    """A square album cover in pixels: a record whose rings, from outside in, are the spectrograms of the tracks.

    Time runs clockwise from the top, once round for each track; low frequencies lie inside. Hues turn from the first
    track to the last.
    Raises: UsageError without tracks and for a size below 16; DataError for a track without samples.
    """
    if not tracks or size < 16:
        raise UsageError(
            f"a cover of {len(tracks)} tracks and {size} pixels: pass a track or more and 16 pixels or more"
        )
    fine = 2 * size  # drawn twice as large, so that edges are smooth
    ring = (RIM - CENTRE) / len(tracks)
    columns, rows = max(16, round(fine * 1.5)), max(4, round(ring * fine / 2))
    pictures = np.stack([intensity(track, rate, columns, rows) for track in tracks])
    maps = np.stack([colour_map(turn) for turn in np.linspace(0, TURN, len(tracks)).tolist()])
    pixels = np.empty((size, size, 3), np.uint8)
    for first in range(0, size, 64):
        last = min(size, first + 64)
        part = drawn(np.arange(2 * first, 2 * last), fine, pictures, maps)
        pixels[first:last] = np.rint(part.reshape(last - first, 2, size, 2, 3).mean(axis=(1, 3)))
    return pixels


def drawn(lines: np.ndarray, size: int, pictures: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Some lines of a cover of `size` x `size` pixels, [lines, size, 3]."""
    count, rows, columns = pictures.shape
    y, x = (lines[:, None] + 0.5) * 2 / size - 1, (np.arange(size) + 0.5) * 2 / size - 1
    radius, turn = np.hypot(x, y), np.arctan2(x, -y) / (2 * np.pi) % 1
    depth = (RIM - radius) / (RIM - CENTRE) * count  # in rings from the rim
    track = np.floor(depth).clip(0, count - 1).astype(np.int64)
    within = (depth - track) * 1.06 - 0.03  # a groove between the rings
    row, column = (within * rows).astype(np.int64), (turn * columns).astype(np.int64)
    value = pictures[track, row.clip(0, rows - 1), column.clip(max=columns - 1)]
    inside = (radius <= RIM) & (radius >= CENTRE) & (within >= 0) & (within < 1)
    shade = np.rint(GROUND + value * (255 - GROUND)).astype(np.uint8)
    found = maps[track, shade].astype(np.float64)
    found[~inside] = maps[0, 0]
    found[(radius < CENTRE * 0.8) & (radius > CENTRE * 0.16)] = maps[0, 150]  # the label and its hole
    return found
