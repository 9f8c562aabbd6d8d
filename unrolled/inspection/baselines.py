"""Trivial predictors of sound, which a model must beat: frequencies of levels, and a line through the last samples."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from unrolled.codecs.sound import SoundCodec
from unrolled.core.errors import DataError
from unrolled.data.encoded import Part

ORDER = 16  # samples that the linear prediction reads
STRIDE = 5  # positions from one equation of the least squares to the next
JUDGED = 600_000  # predictions of the training part that tell how far off they are
SPREAD = 0.7  # of a mean absolute error: the scale of the logistic distribution
DECAY = 0.99  # of the running mean of errors, in each sample
FLOOR, LEAST = 0.02, 1e-5  # of the mean error and of full scale: what a scale that follows does not fall below
MIXED = 0.001  # share of the uniform distribution
ROW = 256  # errors that are summed in one go: 0.99 to this power is still far from 0
PIECE = 51 * STRIDE * ROW  # predictions made at once


@dataclass(frozen=True)
class Baselines:
    """Bits per sample of the three predictors.

    `frequencies`: how often each level occurs, plus one. `fixed` and `following`: least squares from the last 16
    samples, under a logistic distribution of one scale, or of one that follows recent errors; the first 16 samples of
    each track are not counted.
    """

    frequencies: float
    fixed: float
    following: float

    @property
    def best(self) -> float:
        """The fewest bits."""
        return min(self.frequencies, self.fixed, self.following)


@dataclass(frozen=True)
class Linear:
    """The prediction of a sample by `weights` of those before it, which is off by `error` on average."""

    weights: np.ndarray
    error: float


def baselines(train: Part, test: Part, codec: SoundCodec) -> Baselines:
    """What the predictors learn from one part and score on another. Both are read in pieces.

    Raises: DataError for a part without a track of more than 16 samples.
    """
    learned, met = histogram(train, codec) + 1, histogram(test, codec)
    frequencies = -met @ np.log2(learned / learned.sum()) / max(1, met.sum())
    linear = fitted(train, codec)
    fixed, following, count, mean = 0.0, 0.0, 0, 0.0
    for levels, is_first in pieces(test):
        predicted, errors = predictions(linear, codec, levels)
        means = running_means(errors, 0.0 if is_first else mean)
        mean, known = means[-1], means[:-1]
        scales = SPREAD * known + LEAST + FLOOR * linear.error
        fixed += bits(codec, levels[ORDER:], predicted, max(SPREAD * linear.error, LEAST))
        following += bits(codec, levels[ORDER:], predicted, scales)
        count += len(errors)
    if not count:
        raise DataError(f"no track of the {test.name} part has more than {ORDER} samples: too short for baselines")
    return Baselines(float(frequencies), fixed / count, following / count)


def histogram(part: Part, codec: SoundCodec) -> np.ndarray:
    """How often each level occurs in a part."""
    counts = np.zeros(codec.size, np.int64)
    for start in range(0, len(part.symbols), PIECE):
        counts += np.bincount(part.symbols[start : start + PIECE], minlength=codec.size)
    return counts[: codec.levels]


def pieces(part: Part) -> Iterator[tuple[np.ndarray, bool]]:
    """The levels of each track in pieces that begin with the last `ORDER` of the one before; is it a track's first."""
    for begin, end in itertools.pairwise(part.starts.tolist()):
        for start in range(begin + 1, end - ORDER, PIECE):
            yield np.asarray(part.symbols[start : min(start + PIECE + ORDER, end)]), start == begin + 1


def fitted(train: Part, codec: SoundCodec) -> Linear:
    """Least squares on every fifth position, by its normal equations."""
    moments, centres = np.zeros((ORDER + 1, ORDER + 1)), codec.centres.astype(np.float64)
    position = 0  # counted on from track to track
    for levels, is_first in pieces(train):
        position += ORDER if is_first and position else 0
        windows = np.lib.stride_tricks.sliding_window_view(centres[levels], ORDER + 1)
        chosen = windows[-position % STRIDE :: STRIDE]
        moments += chosen.T @ chosen
        position += len(windows)
    weights = np.linalg.lstsq(moments[:ORDER, :ORDER], moments[:ORDER, ORDER])[0]
    total, count = 0.0, 0
    for levels, _ in pieces(train):
        _, errors = predictions(Linear(weights, 0.0), codec, levels)
        total, count = total + errors[: JUDGED - count].sum(), min(JUDGED, count + len(errors))
        if count == JUDGED:
            break
    return Linear(weights, total / max(1, count))


def predictions(linear: Linear, codec: SoundCodec, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the samples after the first `ORDER` should be, and by how much they are not."""
    values = codec.centres[levels].astype(np.float64)
    predicted = np.correlate(values[:-1], linear.weights, "valid")
    return predicted, np.abs(values[ORDER:] - predicted)


def running_means(errors: np.ndarray, mean: float) -> np.ndarray:
    """The decaying mean before each error, which is `mean` before the first, and after the last."""
    rows = np.zeros((-(-len(errors) // ROW), ROW))
    rows.ravel()[: len(errors)] = errors
    powers = DECAY ** np.arange(ROW + 1)
    own = (1 - DECAY) * powers[:-1] * np.cumsum(rows / powers[:-1], 1)  # of the errors of its own row
    first = mean
    for row in own:
        row += powers[1:] * mean
        mean = row[-1]
    return np.append(first, own.ravel()[: len(errors)])


def bits(codec: SoundCodec, levels: np.ndarray, predicted: np.ndarray, scales: np.ndarray | float) -> float:
    """Of levels in all, under logistic distributions that are integrated over their intervals."""
    edges = np.concatenate([[-np.inf], codec.edges, [np.inf]])
    below, above = (np.tanh((edges[levels + side] - predicted) / (2 * scales)) for side in (0, 1))
    return float(-np.log2((1 - MIXED) * (above - below) / 2 + MIXED / codec.levels).sum())
