"""Collapse: what is broken is caught and named, what is alike passes, and ranges survive JSON."""

import json

import numpy as np
import pytest

from tests.inspection.sounds import RATE, music
from unrolled.codecs.sound import SoundCodec
from unrolled.core.errors import DataError, RunError, UsageError
from unrolled.inspection import collapse
from unrolled.inspection.collapse import Ranges, judge, ranges_from_json, ranges_of
from unrolled.inspection.measures import MEASURES, measured, windows

SECONDS = 6
CODEC = SoundCodec(RATE)


@pytest.fixture(scope="module")
def ranges() -> Ranges:
    return ranges_of((CODEC.normalise(music(seed, 10)) for seed in range(6)), RATE)


def noise(loudness: float) -> np.ndarray:
    return (loudness * np.random.default_rng(1).standard_normal(SECONDS * RATE)).astype(np.float32)


def loop(seconds: float) -> np.ndarray:
    return np.resize(music(77, 1)[: round(seconds * RATE)], SECONDS * RATE)


def half_lost() -> np.ndarray:
    sound = music(78, SECONDS)
    sound[2 * RATE :] = 0
    return sound


BROKEN = {
    "white noise": (noise(0.15), "noise"),
    "faint white noise": (noise(0.05), "noise"),
    "silence": (np.zeros(SECONDS * RATE, np.float32), "silence"),
    "a stuck value": (np.full(SECONDS * RATE, 0.3, np.float32), "stuck"),
    "a loop of 100 ms": (loop(0.1), "loop"),
    "a loop of 730 ms": (loop(0.73), "loop"),
    "a tone": (0.3 * np.sin(np.arange(SECONDS * RATE) * 0.3), "tone"),
    "a sound that dies": (half_lost(), "silence"),
    "clipped all over": (np.sign(noise(1)) * 0.99, "loud"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_broken_is_caught_and_named(ranges, kind) -> None:
    samples, word = BROKEN[kind]
    verdict = judge(CODEC.normalise(samples), RATE, ranges)
    assert word in verdict.verdicts and verdict.score < 0.5
    assert verdict.excess > 1 > judge(CODEC.normalise(music(100, SECONDS)), RATE, ranges).excess
    warning = verdict.warning()
    assert warning is not None and word in warning.partition(":")[0] and "training sound has" in warning


@pytest.mark.parametrize("seed", range(100, 106))
def test_more_of_the_same_kind_passes(ranges, seed) -> None:
    verdict = judge(CODEC.normalise(music(seed, SECONDS)), RATE, ranges)
    assert verdict.verdicts == () and verdict.warning() is None and verdict.score > 0.6


def test_silence_is_not_stuck_and_a_stuck_value_is_not_heard(ranges) -> None:
    assert judge(CODEC.normalise(BROKEN["silence"][0]), RATE, ranges).verdicts[0] == "silence"
    assert "stuck" not in judge(CODEC.normalise(BROKEN["silence"][0]), RATE, ranges).verdicts
    assert {"stuck", "silence"} <= set(judge(BROKEN["a stuck value"][0], RATE, ranges).verdicts)


def test_the_score_falls_with_what_is_lost(ranges) -> None:
    scores = []
    for share in (0, 2, 4, 6):
        sound = music(79, SECONDS)
        sound[(SECONDS - share) * RATE :] = noise(0.1)[: share * RATE]
        scores.append(judge(CODEC.normalise(sound), RATE, ranges).score)
    assert scores == sorted(scores, reverse=True) and scores[0] - scores[-1] > 0.5


def test_ranges_and_verdicts_are_json(ranges) -> None:
    assert ranges_from_json(json.loads(json.dumps(ranges.to_json()))) == ranges
    verdict = judge(BROKEN["silence"][0], RATE, ranges)
    data = json.loads(json.dumps(verdict.to_json(), allow_nan=False))
    assert data["verdicts"][0] == "silence" and data["seconds"] == SECONDS and 0 <= data["score"] < 0.5
    assert data["findings"]["flatness"]["value"] is None and data["findings"]["level"]["unit"] == "dBFS"
    assert data["findings"]["level"]["below"] == 1


@pytest.mark.parametrize(
    "change",
    [
        {"rate": 0},
        {"rate": True},
        {"rate": "8000"},
        {"windows": None},
        {"ranges": {}},
        {"ranges": 3},
        {"ranges": {name: [1, 0] for name in MEASURES}},
        {"ranges": {name: [0, float("nan")] for name in MEASURES}},
        {"ranges": {name: [0, 10**400] for name in MEASURES}},
        {"ranges": {name: [0, "1"] for name in MEASURES}},
        {"ranges": {name: [0, 1, 2] for name in MEASURES}},
    ],
)
def test_other_json_is_refused(ranges, change) -> None:
    with pytest.raises(RunError, match="no ranges of sound"):
        ranges_from_json({**ranges.to_json(), **change})


def test_long_sound_is_measured_in_places(monkeypatch) -> None:
    sound = music(3, 20)
    monkeypatch.setattr(collapse, "MOST", 3)
    seen = []
    monkeypatch.setattr(collapse, "measured", lambda *given: (seen.append(1), measured(*given))[1])
    found = ranges_of([sound], RATE)
    assert 3 <= found.windows < 6 and len(seen) < 12


def test_blocks_change_nothing_and_windows_remember_four_seconds() -> None:
    sound = music(4, 7.4)
    cuts = np.split(sound, [100, 100, 9000, 31_000])
    assert ranges_of(cuts, RATE) == ranges_of([sound], RATE)
    found = list(windows(iter(cuts), RATE))
    assert [begin // RATE for _, begin in found] == [0, 1, 2, 3, 4, 4, 4]
    for number, (heard, begin) in enumerate(found):
        assert np.array_equal(heard, sound[number * RATE - begin : (number + 1) * RATE])


def test_what_cannot_be_judged_is_refused(ranges) -> None:
    with pytest.raises(DataError, match=r"0\.050 s of sound are too short to judge: pass 0\.1 s or more"):
        judge(music(1, 1)[:400], RATE, ranges)
    assert judge(music(1, 1)[:900], RATE, ranges).seconds == 0.1125
    with pytest.raises(UsageError, match="sound of 16,000 samples a second, ranges of 8,000"):
        judge(music(1, 1), 16_000, ranges)
    with pytest.raises(DataError, match="silence only"):
        ranges_of([np.zeros(3 * RATE, np.float32)], RATE)
    with pytest.raises(DataError, match="finite numbers"):
        judge(np.full(RATE, np.nan, np.float32), RATE, ranges)


def test_held_out_real_music_passes_and_its_loop_does_not(shared_data) -> None:
    soundfile = pytest.importorskip("soundfile", reason='sound needs soundfile: pip install "unrolled[sound]"')
    rate = 16_000
    codec = SoundCodec(rate)

    def read(name: str, seconds: int) -> np.ndarray:
        path = shared_data / "audio" / "music16k" / f"{name}.ogg"
        return codec.normalise(soundfile.read(path, frames=seconds * rate, dtype="float32")[0])

    ranges = ranges_of((read(name, 100) for name in ("Awakening", "Coherence", "Through_Space")), rate)
    held_out = read("Deprecation", 150)
    verdicts = [judge(held_out[start * rate :][: 10 * rate], rate, ranges) for start in range(0, 150, 10)]
    assert all(verdict.verdicts == () and verdict.score > 0.8 for verdict in verdicts)
    assert judge(np.resize(held_out[100 * rate :][: rate // 10], 5 * rate), rate, ranges).verdicts == ("loop",)


def test_words_do_not_contradict_themselves_where_the_median_is_within() -> None:
    assert collapse.Finding(-3.0, -20.0, -7.0, 0.0, 0.6).words("flatness") == (
        "flatness -3 dB where training sound has -20 to -7"
    )
    assert collapse.Finding(-8.0, -20.0, -7.0, 0.0, 0.5).words("flatness") == (
        "flatness -8 dB, and 50% of it outside -20 to -7 of training sound"
    )
