"""What the doctor finds in recordings, fault by fault, and that it finds nothing in good ones."""

import json
import re
import tracemalloc
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from tests.data.sounds import RATE, cut, melody, write
from unrolled.cli.doctor import main
from unrolled.data import sound_landmarks
from unrolled.data.sound_health import SoundHealth, examine_sound
from unrolled.data.sound_landmarks import HOP, Index, Landmarks, Marks
from unrolled.data.sound_sources import is_sound
from unrolled.data.sound_split import SoundSplit


def kinds(health: SoundHealth) -> dict[str, str]:
    return {finding.kind: finding.message for finding in health.findings}


def landmarks(samples: np.ndarray, block: int = 5000) -> Marks:
    collector = Landmarks()
    for start in range(0, len(samples), block):
        collector.push(samples[start : start + block])
    return collector.finish()


def test_good_recordings_have_no_findings(tmp_path) -> None:
    for number in range(3):
        write(tmp_path / f"{number}.flac", melody(number, 21.0))
    health = examine_sound([tmp_path])
    assert health.findings == []
    report = health.to_json()
    assert report["tracks"] == 3 and report["seconds"] == 63.0
    assert json.loads(json.dumps(report)) == report


def clipped(samples: np.ndarray) -> np.ndarray:
    return (samples * 4).clip(-1, 1)


SILENCE = np.zeros(6 * RATE, np.float32)
CASES = {
    "clipping": ({"a.wav": clipped(melody(1, 2.0))}, "samples are clipped, flat at full scale or beyond it"),
    "DC offset": ({"a.wav": melody(1, 2.0) + np.float32(0.1)}, r"the mean is \+0\.10.. and not 0: .*--remove-dc"),
    "silent track": ({"a.wav": melody(1, 2.0), "b.wav": SILENCE}, r"b\.wav: silence only"),
    "silence": (
        {"a.wav": np.concatenate((melody(1, 4.0), SILENCE, melody(2, 4.0)))},
        r"6\.0 of 14\.0 s are silent, 6\.0 s of them in a row",
    ),
    "too short": ({"a.wav": melody(1, 2.0), "b.wav": melody(2, 0.05)}, r"b\.wav: 50 ms are hardly a track"),
    "too small": ({"a.wav": melody(1, 2.0)}, r"2\.0 s are few"),
    "faint": ({"a.wav": melody(1, 2.0) / 20}, r"the peak of all is 0\.01. of full scale"),
    "one track": ({"a.wav": melody(1, 2.0)}, "its first 90% trains"),
    "duplicate tracks": (
        {"a.wav": melody(1, 2.0), "b.wav": melody(1, 2.0), "c.wav": melody(2, 2.0)},
        r"b\.wav is a copy of .*a\.wav",
    ),
}


@pytest.mark.parametrize("kind", CASES)
def test_each_fault_is_found(tmp_path, kind) -> None:
    files, words = CASES[kind]
    for name, samples in files.items():
        write(tmp_path / name, samples)
    found = kinds(examine_sound([tmp_path]))
    assert kind in found and "\n" not in found[kind]
    assert re.search(words, found[kind])


def test_the_longest_silence_is_found_across_blocks_and_at_the_end(tmp_path, monkeypatch) -> None:
    from unrolled.data import sound_files

    monkeypatch.setattr(sound_files, "BLOCK", 3000)
    write(tmp_path / "a.wav", np.concatenate((SILENCE[:RATE], melody(1, 5.0), SILENCE)))
    message = kinds(examine_sound([tmp_path]))["silence"]
    assert "7.0 of 12.0 s are silent, 6.0 s of them in a row" in message


def test_a_full_sine_and_quiet_recordings_are_not_called_clipped(tmp_path) -> None:
    sine = np.sin(np.arange(2 * RATE) * 2 * np.pi * 100 / RATE) * 0.9999
    write(tmp_path / "a.wav", sine)
    assert "clipping" not in kinds(examine_sound([tmp_path]))


def test_conversions_are_counted_and_mixed_rates_warned_of(tmp_path) -> None:
    write(tmp_path / "a.wav", np.stack([melody(1, 2.0)] * 2, axis=1), subtype="PCM_24")
    write(tmp_path / "b.wav", np.stack([melody(2, 2.0)] * 2, axis=1), format="FLAC")
    write(tmp_path / "c.wav", melody(3, 2.0, 8_000), 8_000)
    health = examine_sound([tmp_path])
    assert "different rates (1 at 8,000 Hz, 2 at 16,000 Hz)" in kinds(health)["mixed rates"]
    notes = [finding.message for finding in health.findings if finding.kind == "conversion"]
    assert any(
        note.startswith("2 files such as ") and note.endswith(": 2 channels mixed down to one") for note in notes
    )
    assert any(note.endswith("a.wav: 24 bits a sample") for note in notes)
    assert any(note.endswith("b.wav: FLAC by its content, .wav by its name") for note in notes)
    assert any("nothing above 4,000 Hz" in note for note in notes)


def test_samples_above_full_scale_are_warned_of(tmp_path) -> None:
    write(tmp_path / "a.wav", melody(1, 2.0, loudness=2.0), subtype="FLOAT")
    assert "--level=peak" in kinds(examine_sound([tmp_path]))["above full scale"]


def test_all_broken_files_are_found_in_one_go(tmp_path) -> None:
    write(tmp_path / "good.wav", melody(1, 2.0))
    (tmp_path / "zero.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("text")
    cut(write(tmp_path / "short.wav", melody(2, 2.0)))
    cut(write(tmp_path / "short.flac", melody(2, 2.0)))
    samples = melody(3, 2.0)
    samples[RATE] = np.nan
    write(tmp_path / "nan.wav", samples, subtype="FLOAT")
    (tmp_path / "notes.doc").write_bytes(b"\0")
    health = examine_sound([tmp_path, tmp_path / "absent.wav"])
    errors = {Path(finding.message.split(":")[0]).name: finding.kind for finding in health.findings[:6]}
    assert errors.pop("short.flac") in ("damaged", "truncated")
    assert errors == {
        "zero.wav": "empty",
        "text.wav": "not sound",
        "short.wav": "truncated",
        "nan.wav": "not finite",
        "absent.wav": "no sound",
    }
    assert all(finding.level == "error" for finding in health.findings[:6])
    assert "1 files are passed over (not sound by their names)" in kinds(health)["skipped files"]
    assert health.facts["tracks"] == 1


def test_silence_only_is_an_error(tmp_path) -> None:
    write(tmp_path / "a.wav", SILENCE)
    found = examine_sound([tmp_path])
    assert "silence only" in kinds(found)["unusable"] and found.findings[0].level == "error"


ALIKE = {
    "another format": lambda samples: samples,
    "another loudness": lambda samples: samples * 0.3,
    "a later beginning": lambda samples: np.concatenate((SILENCE[:5037], samples)),
    "noise": lambda samples: samples + np.random.default_rng(0).normal(0, 0.02, len(samples)).astype(np.float32),
    "an excerpt": lambda samples: samples[len(samples) // 2 :],
    "an overlap": lambda samples: np.concatenate((samples[len(samples) // 2 :], melody(5, 4.0))),
}


@pytest.mark.parametrize("kind", ALIKE)
def test_the_same_sound_on_both_sides_of_the_split_is_found(tmp_path, kind) -> None:
    samples = melody(1, 8.0)
    write(tmp_path / "a.flac", samples)
    write(tmp_path / "b.ogg", ALIKE[kind](samples))
    assert "validates and sounds like" in kinds(examine_sound([tmp_path]))["near-duplicates across the split"]


def test_the_named_split_decides_which_sound_stands_on_both_sides(tmp_path, capsys) -> None:
    samples = melody(1, 8.0)
    write(tmp_path / "a.flac", samples)
    write(tmp_path / "b.ogg", samples * 0.3)
    write(tmp_path / "c.flac", melody(2, 8.0))

    def found(*words: str) -> list[str]:
        assert main([str(tmp_path), "--json", *words]) == 0
        report = json.loads(capsys.readouterr().out)
        assert report["split"]["rule"] == ("within tracks" if words == ("--within",) else "by name")
        assert "one track" not in {finding["kind"] for finding in report["findings"]}
        return [finding["message"] for finding in report["findings"] if finding["kind"].startswith("near-duplicates")]

    (message,) = found("--validation", "b", "--validation", "c")
    assert message.startswith(f"{tmp_path / 'b.ogg'} validates and sounds like {tmp_path / 'a.flac'}, which trains")
    assert found("--validation", "a", "--validation", "b") == found("--validation", "c") == []
    assert found("--within") == []  # where one beginning trains, so does the other


def test_ends_that_are_in_the_beginning_of_another_track_are_found(tmp_path) -> None:
    samples = melody(1, 20.0)
    write(tmp_path / "a.flac", samples)
    write(tmp_path / "b.flac", samples[8 * RATE :])
    health = examine_sound([tmp_path], SoundSplit(0.5, within=True))
    (message,) = [finding.message for finding in health.findings if finding.kind.startswith("near-duplicates")]
    assert message.startswith(f"the end of {tmp_path / 'a.flac'} validates and sounds like the beginning of ")
    assert "-8.0 s" in message and "one track" not in kinds(health)


def test_a_name_that_no_track_has_is_a_finding_among_others(tmp_path) -> None:
    write(tmp_path / "a.wav", clipped(melody(1, 2.0)))
    found = kinds(examine_sound([tmp_path], SoundSplit(validation=("z",))))
    assert "no track is called 'z'" in found["unusable"] and "clipping" in found


def test_different_sound_is_not_called_alike() -> None:
    tracks = [landmarks(melody(number, 20.0)) for number in range(6)]
    index = Index(tracks[1:])
    assert index.find(tracks[0]) is None and index.find(landmarks(SILENCE)) is None
    assert Index([]).find(tracks[0]) is None


def test_a_match_says_which_track_and_where() -> None:
    samples = melody(3, 10.0)
    index = Index([landmarks(melody(number, 10.0)) for number in (7, 3, 8)])
    match = index.find(landmarks(samples[4 * HOP * 20 :]))
    assert match is not None and match.other == 1 and match.share > 0.8
    assert match.shift == pytest.approx(4 * HOP * 20 / RATE, abs=HOP / RATE)


def drawn_marks(seed: int, count: int, windows: int) -> Marks:
    """Landmarks at random, of which some occur often."""
    generator = np.random.default_rng(seed)
    codes = np.where(generator.random(count) < 0.3, generator.integers(0, 4, count), generator.integers(4, 90, count))
    return Marks(codes, np.sort(generator.integers(0, windows, count)))


def plainly_found(tracks: list[Marks], marks: Marks, besides: int | None) -> tuple[int, int, int]:
    """Shared landmarks, track and shift in windows as `Index.find` has them, pair by pair."""
    places = defaultdict(list)
    for number, track in enumerate(tracks):
        for code, time in zip(track.codes.tolist(), track.times.tolist(), strict=True):
            places[code].append((number, time))
    votes = Counter(
        (number, time - own)
        for code, own in zip(marks.codes.tolist(), marks.times.tolist(), strict=True)
        for number, time in places[code]
        if len(places[code]) <= sound_landmarks.MOST_ALIKE and number != besides
    )
    both = {(number, shift): votes[number, shift] + votes.get((number, shift + 1), 0) for number, shift in votes}
    number, shift = min(both, key=lambda key: (-both[key], key))
    return both[number, shift], number, shift


@pytest.mark.parametrize("windows", [40, 4000])
@pytest.mark.parametrize(("together", "shifts"), [(1 << 13, 1 << 21), (3, 1 << 21), (1 << 13, 150), (7, 1)])
def test_slices_and_groups_change_no_match(monkeypatch, together, shifts, windows) -> None:
    monkeypatch.setattr(sound_landmarks, "LOOKED_UP", together)
    monkeypatch.setattr(sound_landmarks, "SHIFTS", shifts)
    monkeypatch.setattr(sound_landmarks, "MOST_ALIKE", 25)
    monkeypatch.setattr(sound_landmarks, "LEAST_SHARED", 1)
    monkeypatch.setattr(sound_landmarks, "LEAST_SHARE", 0)
    tracks = [drawn_marks(seed, count, windows) for seed, count in enumerate((80, 0, 50, 120, 7, 60))]
    index, others = Index(tracks), set()
    for seed in range(12):
        marks = drawn_marks(100 + seed, 40 + seed, windows)
        for besides in (None, 0, 3, 5):
            shared, other, shift = plainly_found(tracks, marks, besides)
            match = index.find(marks, besides)
            assert match is not None and (match.other, match.shift) == (other, shift * HOP / RATE)
            assert match.share == min(1, shared / min(len(marks.codes), len(tracks[other].codes)))
            others.add(other)
    assert len(others) > 2
    assert Index(tracks[3:4]).find(tracks[3], besides=0) is None


def test_the_ends_of_two_tracks_are_not_counted_together(monkeypatch) -> None:
    monkeypatch.setattr(sound_landmarks, "LEAST_SHARED", 1)
    tracks = [Marks(np.array([1, 2]), np.array([0, 9])), Marks(np.array([3, 4]), np.array([0, 9]))]
    match = Index(tracks).find(Marks(np.array([2, 3]), np.array([0, 9])))  # the latest in one, the earliest in the next
    assert match is not None and match == (0, 0.5, 9 * HOP / RATE)


def test_looking_a_long_track_up_takes_bounded_memory(monkeypatch) -> None:
    generator = np.random.default_rng(0)
    index = Index([Marks(np.repeat(np.arange(1000), 60), generator.integers(0, 5000, 60_000))])
    marks = Marks(generator.integers(0, 1000, 10_000), np.sort(generator.integers(0, 5000, 10_000)))
    monkeypatch.setattr(sound_landmarks, "LOOKED_UP", 200)
    tracemalloc.start()
    try:
        index.find(marks)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4e6  # the 600,000 pairs of equal landmarks alone are 4.8 MB for each number that is kept of them


def test_landmarks_do_not_depend_on_blocks() -> None:
    samples = melody(1, 3.0)
    for block in (999, 5000, len(samples)):
        assert all(map(np.array_equal, landmarks(samples, block), landmarks(samples)))
    assert len(landmarks(samples[:0]).codes) == 0 < len(landmarks(samples).codes)


def test_sound_is_told_from_text_by_suffixes(tmp_path) -> None:
    for name in ("a.WAV", "README.md", "LICENSE.txt", "metadata.csv", "picture.png", "a.txt"):
        (tmp_path / name).write_text("x")
    assert is_sound([tmp_path]) and is_sound([tmp_path / "a.WAV"]) and is_sound([str(tmp_path / "*.WAV")])
    (tmp_path / "b.txt").write_text("x")
    assert not is_sound([tmp_path]) and not is_sound([tmp_path / "absent.wav"]) and not is_sound([])


def test_the_report_for_people(tmp_path, capsys) -> None:
    for number in range(3):
        write(tmp_path / "anna" / f"{number}.wav", melody(number, 1.0))
    assert main([str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "3 tracks, 0.1 minutes, 48,000 samples at 16,000 a second" in shown and "split by track: " in shown
    assert "WAV PCM_16" in shown and "fields: folder, track" in shown and "note: too small: " in shown
    assert shown.endswith("Ready to train.\n")
    (tmp_path / "zero.wav").write_bytes(b"")
    assert main([str(tmp_path), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["tracks"] == 3 and report["findings"][0]["kind"] == "empty"


def test_strange_wave_files(shared_data, capsys) -> None:
    assert main([str(shared_data / "platform/hostile_examples/wav"), "--json"]) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert [finding["kind"] for finding in findings[:2]] == ["not sound", "not sound"]
    assert "too short" in {finding["kind"] for finding in findings}
