"""Spectra: windows, scale, blocks, mel bands and flatness."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from tests.inspection.sounds import RATE, music
from unrolled.core.errors import UsageError
from unrolled.inspection import spectrum
from unrolled.inspection.spectrum import (
    flatness,
    from_mel,
    hann,
    log_mel,
    mel_filters,
    pieces,
    power,
    spectra,
    stft,
    to_mel,
)

MUSIC = music(1, 1.0)


def test_frames_are_transforms_of_windows() -> None:
    frames = stft(MUSIC.astype(np.float64), 256, 100)
    assert frames.shape == ((len(MUSIC) - 256) // 100 + 1, 129) and frames.dtype == np.complex128
    for number in (0, 7, len(frames) - 1):
        expected = np.fft.rfft(MUSIC[number * 100 :][:256].astype(np.float64) * hann(256))
        assert np.allclose(frames[number], expected, atol=1e-12)


@given(some.lists(some.integers(0, 700), max_size=8), some.integers(1, 64), some.integers(1, 5))
def test_blocks_and_groups_change_nothing(sizes, hop, most) -> None:
    bounds = np.minimum(np.cumsum([0, *sizes]), len(MUSIC))
    blocks = [MUSIC[start:end] for start, end in pairwise(bounds.tolist())]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spectrum, "GROUP", 64 * most)
        groups = list(spectra(blocks, 64, hop))
    assert all(len(group) <= most for group in groups)
    together = np.concatenate([np.empty((0, 33), np.complex64), *groups])
    expected = stft(MUSIC[: bounds[-1]], 64, hop)
    assert together.shape == expected.shape and np.allclose(together, expected, atol=1e-5)


def test_what_is_shorter_than_a_window_has_no_frame() -> None:
    assert stft(MUSIC[:255], 256, 64).shape == (0, 129)
    assert stft(MUSIC[:0], 256, 64).dtype == np.complex64
    assert list(pieces(MUSIC[:0])) == []


@pytest.mark.parametrize("hop", [0, 257])
def test_a_hop_beyond_the_window_is_refused(hop) -> None:
    with pytest.raises(UsageError, match=f"hop of {hop} samples for windows of 256: pass 1 to 256"):
        stft(MUSIC, 256, hop)


def test_a_sine_peaks_at_its_bin_with_a_quarter_of_the_window() -> None:
    sine = 0.3 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)
    magnitude = np.sqrt(power(stft(sine, 256, 128)))
    assert (magnitude.argmax(axis=1) == 32).all()
    assert np.allclose(magnitude.max(axis=1), 0.3 * 256 / 4)


def test_mel_is_linear_then_logarithmic_and_turns_back() -> None:
    hertz = np.array([0.0, 500.0, 1000.0, 6400.0, 20_000.0])
    assert np.allclose(to_mel(hertz)[:4], [0, 7.5, 15, 42])
    assert np.allclose(from_mel(to_mel(hertz)), hertz)


def test_filters_cover_what_lies_between_the_outer_bands_evenly() -> None:
    filters = mel_filters(16_000, 2048, 40, 100.0, 7000.0)
    assert filters.shape == (40, 1025) and (filters >= 0).all()
    centres = (filters * np.fft.rfftfreq(2048, 1 / 16_000)).sum(axis=1) / filters.sum(axis=1)
    assert (np.diff(centres) > 0).all() and centres[0] > 100 and centres[-1] < 7000
    assert np.allclose(filters.sum(axis=1) * 16_000 / 2048, 1, atol=0.1)  # areas


@pytest.mark.parametrize(
    ("bands", "lowest", "highest", "message"),
    [
        (0, 0.0, None, "0 mel bands"),
        (8, 500.0, 500.0, "from 500 to 500 Hz"),
        (8, 0.0, 4001.0, "between 0 and 4000 Hz"),
        (200, 0.0, None, "narrower than the 31.2 Hz"),
    ],
)
def test_bands_that_cannot_be_are_refused(bands, lowest, highest, message) -> None:
    with pytest.raises(UsageError, match=message):
        mel_filters(RATE, 256, bands, lowest, highest)


def test_log_mel_follows_the_sound_and_has_a_floor() -> None:
    filters = mel_filters(RATE, 256, 16)
    sine = np.sin(2 * np.pi * 2000 * np.arange(RATE) / RATE).astype(np.float32)
    (bands,) = log_mel([sine], 256, 128, filters)
    low, high = to_mel(np.array([0.0, 4000.0])).tolist()
    centres = from_mel(np.linspace(low, high, 18))[1:-1]
    assert (bands.argmax(axis=1) == np.abs(centres - 2000).argmin()).all()
    (silent,) = log_mel([np.zeros(256, np.float32)], 256, 128, filters)
    assert np.allclose(silent, np.log(1e-10))


def test_flatness_tells_noise_from_tones() -> None:
    noise = np.random.default_rng(0).standard_normal(4 * RATE)
    energy = power(stft(noise, 256, 128))[:, 1:-1]
    assert flatness(energy.mean(axis=0)) > 0.97
    assert 0.5 < flatness(energy).mean() < 0.62
    tone = power(stft(np.sin(np.arange(RATE) * 0.7), 256, 128)).mean(axis=0)
    assert flatness(tone) < 1e-3
    assert flatness(np.zeros((2, 5))).tolist() == [1, 1]
    assert flatness(energy * 7) == pytest.approx(flatness(energy))
