"""Measures of a second of sound, each against sound whose value is known, and repetition against its definition."""

import numpy as np
import pytest

from tests.inspection.sounds import music
from unrolled.inspection import measures
from unrolled.inspection.measures import MEASURES, entropy, measured, repetition, stuck

RATE = 4_000
TIME = np.arange(RATE) / RATE


def measure(sound: np.ndarray) -> dict[str, float]:
    return dict(zip(MEASURES, measured(sound, 0, RATE).tolist(), strict=True))


def test_a_sine_has_known_measures() -> None:
    found = measure(0.5 * np.sin(2 * np.pi * 200 * TIME + 0.1) + 0.25)
    assert found["level"] == pytest.approx(20 * np.log10(0.5) - 3.01, abs=0.01)
    assert found["crossings"] == pytest.approx(400, abs=1)
    assert found["flatness"] < -40 and found["stuck"] == 0 and found["repetition"] > 30


def test_noise_has_known_measures() -> None:
    found = measure(np.random.default_rng(0).uniform(-1, 1, RATE))
    assert found["level"] == pytest.approx(-4.77, abs=0.1)
    assert found["entropy"] == pytest.approx(8, abs=0.06)
    assert found["crossings"] == pytest.approx(RATE / 2, rel=0.05)
    assert found["flatness"] > -0.5 and found["repetition"] < 1


def test_what_silence_lacks_is_no_number() -> None:
    found = measure(np.full(RATE, 0.5))
    assert found["level"] == -120 and found["entropy"] == 0 and found["stuck"] == 1
    assert np.isnan([found["flatness"], found["repetition"], found["crossings"]]).all()


def test_entropy_counts_levels() -> None:
    assert entropy(np.array([-1.0, 1.0] * 8)) == 1
    assert entropy(np.linspace(-0.999, 0.999, 256)) == pytest.approx(8, abs=0.01)
    assert entropy(np.array([-3.0, -1.0])) == 0


def test_runs_of_one_value_are_stuck() -> None:
    sound = np.random.default_rng(0).uniform(-1, 1, 1000)
    assert stuck(sound, RATE) == 0
    sound[100:119], sound[200:220], sound[-100:] = 0.5, -0.5, 1.0
    assert stuck(sound, RATE) == 0.12
    sound[300:600] = 0.005
    assert stuck(sound, RATE) == 0.12


def plain_repetition(heard: np.ndarray, begin: int, rate: int) -> float:
    """The definition, one lag after another."""
    moves = np.diff(heard, prepend=heard[:1])
    best = 0.0
    most = min(int(measures.MEMORY * rate), begin + (len(heard) - begin) // 2)
    for lag in range(int(measures.CLOSEST * rate), most):
        first = max(begin, lag)
        ours, theirs = moves[first:], moves[first - lag : len(moves) - lag]
        best = max(best, ours @ theirs / np.sqrt((ours @ ours) * (theirs @ theirs)))
    return float(min(measures.HIGHEST, -10 * np.log10(max(1 - best**2, 1e-6))))


@pytest.mark.parametrize("begin", [0, 300, 1300])
def test_repetition_is_its_definition(begin) -> None:
    heard = music(5, 1.7, 1000)[: begin + 400].astype(np.float64)
    assert repetition(heard, begin, 1000) == pytest.approx(plain_repetition(heard, begin, 1000), abs=1e-6)


def test_repetition_finds_what_was_heard_up_to_four_seconds_before() -> None:
    sound = np.random.default_rng(3).standard_normal(5 * 1000)
    sound[4000:] = 0.5 * sound[200:1200] + 0.05 * sound[2000:3000]
    assert repetition(sound, 4000, 1000) == pytest.approx(20, abs=1.5)
    assert repetition(sound[800:], 3200, 1000) < 3
