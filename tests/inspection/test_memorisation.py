"""Memorisation: a planted copy is found at its times, what is new is not, and blocks change nothing."""

import json

import numpy as np
import pytest

from tests.inspection.sounds import RATE, music
from unrolled.core.errors import DataError
from unrolled.inspection import memorisation as module
from unrolled.inspection.memorisation import cut, every_step, fingerprints, joined, limit_of, memorisation, nearest
from unrolled.inspection.spectrum import pieces

TRAINING = {f"track {number}": music(number, 24) for number in range(3)}
HELD_OUT = [music(number, 20) for number in (10, 11)]
AT, PLACE = 4.4, 15.3  # seconds of the copy and of what was copied


def tracks():
    return ((name, pieces(samples)) for name, samples in TRAINING.items())


@pytest.fixture(scope="module")
def limit() -> float:
    return limit_of(HELD_OUT, tracks(), RATE)


def planted(noise: float, loudness: float = 0.6, seconds: float = 2.0) -> np.ndarray:
    """New music with a stretch of the second track in it, `noise` dB below which there is white noise."""
    sound = music(50, 10)
    copy = loudness * TRAINING["track 1"][round(PLACE * RATE) :][: round(seconds * RATE)]
    size = np.sqrt(np.mean(copy**2)) * 10 ** (-noise / 20)
    at = round(AT * RATE)
    sound[at : at + len(copy)] = copy + size * np.random.default_rng(0).standard_normal(len(copy))
    return sound


@pytest.mark.parametrize("noise", [60, 20, 12])
def test_a_copy_with_noise_is_found_at_its_times(limit, noise) -> None:
    (report,) = memorisation([planted(noise)], tracks(), RATE, limit)
    assert report.is_copy and report.nearest is not None and report.nearest.similarity > limit
    assert report.nearest.track == "track 1"
    assert report.nearest.begin >= AT - 0.05 and report.nearest.begin + report.seconds <= AT + 2.05
    assert abs((report.nearest.place - report.nearest.begin) - (PLACE - AT)) < 0.05
    assert 0 < report.copied < 0.35
    assert "copied: " in report.words() and "of track 1 (similarity" in report.words()


def test_what_is_new_is_not_called_copied(limit) -> None:
    noise = 0.1 * np.random.default_rng(2).standard_normal(4 * RATE).astype(np.float32)
    reports = memorisation([music(60, 10), music(61, 10), noise], tracks(), RATE, limit)
    assert [report.is_copy for report in reports] == [False] * 3
    assert all(report.nearest is not None and report.nearest.similarity < limit for report in reports)
    assert reports[0].words().startswith("new: nearest is training sound where 0:0")


def test_training_sound_is_wholly_copied(limit) -> None:
    (report,) = memorisation([TRAINING["track 2"][3 * RATE : 9 * RATE]], tracks(), RATE, limit)
    assert report.copied == 1 and report.nearest is not None and report.nearest.similarity > 0.9
    ((match, *_),) = nearest([TRAINING["track 0"][1024:17_408]], tracks(), RATE)
    assert match.similarity == pytest.approx(1) and match.place == pytest.approx(1024 / RATE) and match.begin == 0


def test_silence_and_short_sound_have_no_fingerprint(limit) -> None:
    reports = memorisation([np.zeros(3 * RATE, np.float32), music(1, 0.5), music(1, 1)[:0]], tracks(), RATE, limit)
    assert [report.nearest for report in reports] == [None] * 3 and not any(report.is_copy for report in reports)
    assert "cannot be compared" in reports[0].words()
    with pytest.raises(DataError, match="hold out a minute or more"):
        limit_of([np.zeros(3 * RATE, np.float32)], tracks(), RATE)


def test_blocks_and_groups_change_nothing(monkeypatch) -> None:
    sounds = [planted(20), HELD_OUT[0]]
    expected = nearest(sounds, tracks(), RATE)
    monkeypatch.setattr(module, "GROUP", 37)
    monkeypatch.setattr(module, "WANTED", 5)
    cuts = [(name, np.split(samples, [10, 10, 700, 90_000])) for name, samples in TRAINING.items()]
    assert max(len(group) for group in fingerprints(pieces(sounds[0]), RATE)) <= 37
    again = nearest(sounds, iter(cuts), RATE)
    for found, wanted in zip(again, expected, strict=True):
        assert [match[1:] for match in found] == [match[1:] for match in wanted]
        assert np.allclose([match.similarity for match in found], [match.similarity for match in wanted], atol=1e-4)


@pytest.mark.parametrize("seconds", [0.1, 1.4, 2.7, 9.9, 60.0])
def test_pieces_have_each_fingerprint_once(seconds) -> None:
    sound = planted(20)
    found = list(cut(np.split(sound, [10, 10, 700, 50_000]), RATE, seconds))
    prints = [every_step(piece, RATE) for _, piece in found]
    assert np.allclose(np.concatenate(prints), every_step(sound, RATE), atol=1e-4)
    assert max(len(piece) for _, piece in found) <= max(round(seconds * RATE), 33 * 256)
    for begin, piece in found:
        assert np.array_equal(piece, sound[round(begin * RATE) :][: len(piece)])


def test_an_end_without_a_fingerprint_is_no_piece() -> None:
    step, one = 8 * 256, 33 * 256  # samples
    size = 7 * step + one
    for more, lengths in ((-1, [-1]), (0, [0]), (1, [0]), (step - 1, [0]), (step, [0, one - size])):
        found = cut([music(1, 5)[: size + more]], RATE, 3.0)
        assert [len(piece) - size for _, piece in found] == lengths
    assert [(begin, len(piece)) for begin, piece in cut([], RATE, 3.0)] == [(0, 0)]


def test_a_report_on_pieces_is_that_on_the_whole(limit) -> None:
    sound = np.concatenate((music(60, 3.1), planted(20), np.zeros(4 * RATE, np.float32)))
    (whole,) = memorisation([sound], tracks(), RATE, limit)
    begins, parts = zip(*cut(pieces(sound), RATE, 2.7), strict=True)
    reports = memorisation(parts, tracks(), RATE, limit)
    assert sum(report.nearest is not None for report in reports) > 4 and reports[-1].nearest is None
    found = joined([*zip(begins, reports, strict=True)])
    assert found.nearest is not None and whole.nearest is not None
    assert found.nearest == (
        pytest.approx(whole.nearest.similarity, abs=1e-4),
        pytest.approx(whole.nearest.begin),
        "track 1",
        pytest.approx(whole.nearest.place),
    )
    assert found.copied == whole.copied > 0 and found.compared == whole.compared
    assert (found.limit, found.seconds) == (whole.limit, whole.seconds)
    assert joined([(0.0, whole)]) == whole
    nothing = joined([(0.0, reports[-1]), (2.0, reports[-1])])
    assert nothing.nearest is None and nothing.copied == 0


def test_held_out_sound_is_thinned_evenly(monkeypatch) -> None:
    monkeypatch.setattr(module, "MOST_HELD_OUT", 9)
    asked = []
    monkeypatch.setattr(module, "nearest", lambda *given: (asked.append(nearest(*given)), asked[0])[1])
    assert limit_of(HELD_OUT, tracks(), RATE) >= module.LEAST_ALIKE
    first, second = asked[0]
    assert len(first) + len(second) == 9 and min(len(first), len(second)) >= 4


def test_reports_are_json(limit) -> None:
    reports = memorisation([planted(20), np.zeros(RATE * 2, np.float32)], tracks(), RATE, limit)
    data = json.loads(json.dumps([report.to_json() for report in reports], allow_nan=False))
    assert data[0]["nearest"]["track"] == "track 1" and data[1]["nearest"] is None and data[0]["limit"] == limit


@pytest.mark.parametrize("rate", [1_000, 16_000, 44_100])
def test_every_rate_has_fingerprints(rate) -> None:
    (group,) = fingerprints([music(1, 1.5, rate)], rate)
    assert group.shape[1] == 640 and np.allclose(np.square(group).sum(axis=1), 1, atol=1e-4)


def test_real_music_is_new_unless_it_was_copied(shared_data) -> None:
    soundfile = pytest.importorskip("soundfile", reason='sound needs soundfile: pip install "unrolled[sound]"')
    rate = 16_000

    def read(name: str, seconds: int) -> np.ndarray:
        path = shared_data / "audio" / "music16k" / f"{name}.ogg"
        return soundfile.read(path, frames=seconds * rate, dtype="float32")[0]

    training = {name: read(name, 100) for name in ("Awakening", "Coherence", "Through_Space")}
    held_out = read("Deprecation", 120)
    limit = limit_of([held_out[: 80 * rate]], ((name, pieces(sound)) for name, sound in training.items()), rate)
    sounds = []
    for sound in training.values():
        copy = sound[90 * rate : 92 * rate]
        noise = np.random.default_rng(0).standard_normal(len(copy)) * np.sqrt(np.mean(copy**2)) / 10
        new = held_out[100 * rate : 110 * rate].copy()
        new[4 * rate : 6 * rate] = copy + noise
        sounds.append(new)
    tracks = ((name, pieces(sound)) for name, sound in training.items())
    *copied, new = memorisation([*sounds, held_out[80 * rate :]], tracks, rate, limit)
    assert not new.is_copy
    for name, report in zip(training, copied, strict=True):
        assert report.is_copy and report.nearest is not None and report.nearest.track == name
        assert abs(report.nearest.place - report.nearest.begin - 86) < 0.05
