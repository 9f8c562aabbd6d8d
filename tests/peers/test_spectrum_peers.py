"""Spectra against scipy, mel filters against those of transformers."""

import numpy as np
import pytest

from unrolled.inspection.spectrum import flatness, hann, mel_filters, power, stft

signal = pytest.importorskip("scipy.signal", reason="scipy is not installed")

NOISE = np.random.default_rng(5).standard_normal(5000)


@pytest.mark.parametrize("size", [2, 15, 256])
def test_the_window_is_that_of_scipy(size) -> None:
    assert np.allclose(hann(size), signal.get_window("hann", size), atol=1e-15)


@pytest.mark.parametrize(("window", "hop"), [(256, 64), (200, 50), (512, 512), (101, 7)])
def test_frames_are_those_of_scipy(window, hop) -> None:
    _, _, expected = signal.stft(
        NOISE, nperseg=window, noverlap=window - hop, window=hann(window), boundary=None, padded=False
    )
    frames = stft(NOISE, window, hop)
    assert frames.shape == expected.T.shape
    assert np.allclose(frames / hann(window).sum(), expected.T, atol=1e-12)


def test_flatness_is_the_ratio_of_the_means_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    energy = power(stft(NOISE, 256, 128))
    assert np.allclose(flatness(energy), stats.gmean(energy, axis=1) / energy.mean(axis=1))


@pytest.mark.parametrize(
    ("rate", "window", "bands", "lowest", "highest"),
    [(16_000, 1024, 40, 0.0, 8000.0), (22_050, 2048, 80, 125.0, 7600.0)],
)
def test_mel_filters_are_those_of_transformers(rate, window, bands, lowest, highest) -> None:
    peer = pytest.importorskip("transformers.audio_utils", reason="transformers is not installed")
    expected = peer.mel_filter_bank(window // 2 + 1, bands, lowest, highest, rate, norm="slaney", mel_scale="slaney")
    assert np.allclose(mel_filters(rate, window, bands, lowest, highest), expected.T, atol=1e-12)
