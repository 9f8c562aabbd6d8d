"""The trivial predictors: the published figures of the real music, and the plain formulas on little sound."""

from pathlib import Path

import numpy as np
import pytest

from tests.data.sounds import melody
from unrolled.codecs.sound import Companding, SoundCodec
from unrolled.core.errors import DataError
from unrolled.data.encoded import Part
from unrolled.data.encoded_sound import encode_recordings
from unrolled.data.recordings import open_recordings
from unrolled.data.sound_split import SoundSplit
from unrolled.inspection import baselines as module
from unrolled.inspection.baselines import baselines, running_means

COMPANDINGS: list[Companding] = ["linear", "mu-law"]
PUBLISHED = {"linear": (6.3813, 4.9184, 3.3479), "mu-law": (7.4146, 6.0260, 4.3348)}  # in the README of the data


def part(codec: SoundCodec, *tracks: np.ndarray) -> Part:
    symbols = [np.concatenate([[codec.begin], codec.encode(track)]) for track in tracks]
    starts = np.cumsum([0, *map(len, symbols)])
    return Part(np.concatenate(symbols).astype(np.uint16), starts, np.zeros((len(tracks), 0), np.int32), True)


@pytest.mark.parametrize("companding", COMPANDINGS)
def test_published_figures(companding: Companding, shared_data: Path, tmp_path: Path) -> None:
    recordings = open_recordings([shared_data / "audio" / "music16k"], split=SoundSplit(validation=("Deprecation",)))
    codec = SoundCodec(16_000, 256, companding)
    encoded = encode_recordings(recordings, codec, cache=tmp_path)
    found = baselines(encoded.train, encoded.validation, codec)
    assert tuple(round(bits, 4) for bits in (found.frequencies, found.fixed, found.following)) == PUBLISHED[companding]


def plainly(codec: SoundCodec, train: list[np.ndarray], test: np.ndarray) -> tuple[float, float, float]:
    """The formulas, sample by sample, for one track to be scored."""
    levels = [codec.encode(track) for track in train]
    counts = np.bincount(np.concatenate(levels), minlength=codec.levels) + 1
    met = codec.encode(test)
    frequencies = -np.log2(counts[met] / counts.sum()).mean()
    equations, position = [], 0
    for track in levels:
        values = codec.centres[track].astype(np.float64)
        equations += [(values[t - 16 : t], values[t], (position + t - 16) % 5 == 0) for t in range(16, len(values))]
        position += len(values)
    chosen = [(past, value) for past, value, is_chosen in equations if is_chosen]
    weights = np.linalg.lstsq(np.array([past for past, _ in chosen]), np.array([value for _, value in chosen]))[0]
    error = np.mean([abs(value - past @ weights) for past, value, _ in equations[:600_000]])
    edges = np.concatenate([[-np.inf], codec.edges, [np.inf]])
    values, sums, mean = codec.centres[met].astype(np.float64), np.zeros(2), 0.0
    for t in range(16, len(met)):
        predicted = values[t - 16 : t] @ weights
        for index, scale in enumerate((0.7 * error, 0.7 * mean + 1e-5 + 0.02 * error)):
            below, above = (1 / (1 + np.exp(-(edges[met[t] + side] - predicted) / scale)) for side in (0, 1))
            sums[index] -= np.log2(0.999 * (above - below) + 0.001 / codec.levels)
        mean = 0.99 * mean + 0.01 * abs(values[t] - predicted)
    return (float(frequencies), *(sums / (len(met) - 16)).tolist())


@pytest.mark.parametrize("levels", [256, 1000])
@pytest.mark.parametrize("companding", COMPANDINGS)
@pytest.mark.filterwarnings("ignore:overflow")
def test_the_plain_formulas_in_small_pieces(
    companding: Companding, levels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PIECE", 700)
    codec = SoundCodec(16_000, levels, companding)
    train, test = [melody(0, 0.1), melody(1, 0.13)[:-3], np.zeros(9, np.float32)], melody(2, 0.2)
    found = baselines(part(codec, *train), part(codec, test), codec)
    expected = plainly(codec, train, test)
    assert (found.frequencies, found.fixed, found.following) == pytest.approx(expected, rel=1e-9)
    assert found.best == pytest.approx(min(expected))


def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = SoundCodec(16_000)
    parts = part(codec, melody(3, 0.2), melody(4, 0.1)), part(codec, melody(5, 0.2), melody(6, 0.1))
    whole = baselines(*parts, codec)
    monkeypatch.setattr(module, "PIECE", 333)
    again = baselines(*parts, codec)
    for name in ("frequencies", "fixed", "following"):
        assert getattr(again, name) == pytest.approx(getattr(whole, name), rel=1e-9)


def test_running_means() -> None:
    errors = np.random.default_rng(0).random(1000)
    expected = [0.3]
    for error in errors:
        expected.append(0.99 * expected[-1] + 0.01 * error)
    assert running_means(errors, 0.3) == pytest.approx(expected, rel=1e-12)


def test_silence_and_tracks_that_are_too_short() -> None:
    codec = SoundCodec(16_000)
    silence = part(codec, np.zeros(500, np.float32))
    found = baselines(silence, silence, codec)
    assert 0 < found.following <= found.fixed < 0.01 and np.isfinite(found.frequencies)
    with pytest.raises(DataError, match="more than 16 samples"):
        baselines(silence, part(codec, np.zeros(16, np.float32)), codec)
