"""Recordings: what is read, converted and refused."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.sounds import RATE, cut, heard, melody, names, soundfile, write
from unrolled.core.errors import DataError, UsageError
from unrolled.data import sound_files
from unrolled.data.recordings import LOUDNESS, PEAK, SoundPolicy, SoundSplit, open_recordings


def test_files_folders_and_globs_come_in_order_and_once(tmp_path) -> None:
    for number, name in enumerate(["b.wav", "a.FLAC", "deep/c.ogg", ".hidden.wav"]):
        write(tmp_path / name, melody(number), format=None if name != "a.FLAC" else "FLAC")
    (tmp_path / "notes.txt").write_text("text")
    whole = open_recordings([tmp_path])
    assert names(whole.tracks) == ["a.FLAC", "b.wav", "c.ogg"]
    assert whole.facts()["skipped_files"] == {"not sound by their names": 1}
    assert names(open_recordings([tmp_path / "b.wav", tmp_path]).tracks) == ["b.wav", "a.FLAC", "c.ogg"]
    assert names(open_recordings([str(tmp_path / "**/*.[ow]*")]).tracks) == ["b.wav", "c.ogg"]
    assert names(open_recordings([tmp_path / ".hidden.wav"]).tracks) == [".hidden.wav"]


@pytest.mark.parametrize("suffix", ["wav", "flac", "aiff", "au", "caf", "w64", "ogg", "opus", "mp3"])
def test_every_format_gives_its_samples(tmp_path, suffix) -> None:
    how: dict[str, Any] = {"format": "OGG", "subtype": "OPUS"} if suffix == "opus" else {}
    path = write(tmp_path / f"a.{suffix}", melody(1, 0.5), **how)
    (samples,) = heard(open_recordings([path]))
    expected = soundfile.read(path, dtype="float32")[0]
    assert samples.dtype == np.float32 and len(samples) == len(expected) == RATE // 2
    assert np.abs(samples - expected).max() <= (1e-6 if suffix == "mp3" else 0)
    assert not open_recordings([path]).tracks[0].notes


def test_channels_are_averaged_and_rates_converted_as_a_whole_would_be(tmp_path) -> None:
    import soxr

    sides = np.stack([melody(1, 0.2, 44_100), melody(2, 0.2, 44_100)], axis=1)
    (samples,) = heard(open_recordings([write(tmp_path / "a.wav", sides, 44_100)]))
    mean = soundfile.read(tmp_path / "a.wav", dtype="float32")[0].mean(axis=1)
    assert np.abs(samples - soxr.resample(mean, 44_100, RATE)).max() < 1e-6
    assert len(samples) == round(len(mean) * RATE / 44_100)


@pytest.mark.parametrize(("rate", "channels"), [(RATE, 1), (44_100, 2), (8_000, 6)])
def test_blocks_are_small_and_change_nothing(tmp_path, monkeypatch, rate, channels) -> None:
    """What keeps ten hours of sound in bounded memory."""
    tracks = np.stack([melody(number, 0.4, rate) for number in range(channels)], axis=1)
    path = write(tmp_path / "a.wav", tracks, rate)
    whole = open_recordings([path], SoundPolicy(trim=-50.0))
    (expected,) = heard(whole)
    monkeypatch.setattr(sound_files, "BLOCK", 600)
    asked = []
    original = sound_files.SoundReader.blocks
    monkeypatch.setattr(
        sound_files.SoundReader, "blocks", lambda self, size: (asked.append(size * channels), original(self, size))[1]
    )
    again = open_recordings([path], SoundPolicy(trim=-50.0))
    blocks = list(again.blocks(again.tracks[0]))
    assert np.array_equal(np.concatenate(blocks), expected) and again.fingerprint() == whole.fingerprint()
    assert max(asked) <= 600 and len(blocks) > 1


CONVERSIONS = {
    "24-bit": (RATE, 1, "PCM_24", "24 bits a sample"),
    "8-bit": (RATE, 1, "PCM_U8", "8 bits a sample"),
    "double": (RATE, 1, "DOUBLE", "64 bits a sample"),
    "stereo": (RATE, 2, "PCM_16", "2 channels mixed down to one"),
    "6 channels": (RATE, 6, "PCM_16", "6 channels mixed down to one"),
    "8 kHz": (8_000, 1, "PCM_16", "raised from 8,000 to 16,000 samples a second: nothing above 4,000 Hz"),
    "192 kHz": (192_000, 1, "PCM_16", "lowered from 192,000 to 16,000 samples a second"),
}


@pytest.mark.parametrize("kind", CONVERSIONS)
def test_conversions_are_stated(tmp_path, kind) -> None:
    rate, channels, subtype, note = CONVERSIONS[kind]
    samples = np.stack([melody(1, 0.3, rate)] * channels, axis=1)
    recordings = open_recordings([write(tmp_path / "a.wav", samples, rate, subtype=subtype)])
    assert recordings.facts()["sources"][0]["notes"] == [note]
    (found,) = heard(recordings)
    assert len(found) == 0.3 * RATE and 0.3 < np.abs(found).max() < 0.5


def test_mixed_rates_and_a_wrong_suffix_are_stated(tmp_path) -> None:
    write(tmp_path / "a.wav", melody(1, rate=8_000), 8_000)
    write(tmp_path / "b.wav", melody(2), format="FLAC")
    facts = open_recordings([tmp_path]).facts()
    assert facts["notes"] == ["different rates, 8,000 (1), 16,000 (1), become 16,000 samples a second"]
    assert facts["sources"][1]["notes"] == ["FLAC by its content, .wav by its name"]
    without = write(tmp_path / "other", melody(3), format="WAV")
    assert open_recordings([without]).tracks[0].notes == ("WAV by its content, without suffix by its name",)


def with_data_size(path: Path, size: int) -> Path:
    """A wave file whose header states another size of its samples."""
    content = bytearray(path.read_bytes())
    place = content.index(b"data") + 4
    content[place : place + 4] = size.to_bytes(4, "little")
    path.write_bytes(content)
    return path


def broken(folder: Path, kind: str) -> Path:
    """A file, or a folder, that cannot be used."""
    path = folder / kind
    samples = melody(1, 2.0, 8_000)
    written = {"zero": b"", "text": b"To be, or not to be.\n" * 20, "binary": bytes(range(256)) * 9}
    spoilt = {"nan": np.nan, "inf": -np.inf, "huge": 1e30}
    if path.stem in written:
        path.write_bytes(written[path.stem])
    elif path.stem in spoilt:
        samples[800] = spoilt[path.stem]
        write(path, samples, 8_000, subtype="FLOAT")
    elif path.suffix == ".none":
        (path / "deep").mkdir(parents=True)
        (path / "deep" / "a.txt").write_text("text")
    elif path.stem not in ("absent", "*"):
        write(path, {"nothing": samples[:0], "silence": np.full(4000, 0.25)}.get(path.stem, samples), 8_000)
    if path.stem == "header":
        path.write_bytes(path.read_bytes()[:20])
    if path.stem == "cut":
        cut(path)
    if path.stem == "unfinished":
        with_data_size(path, 0)
    return path


BROKEN = {
    "zero.wav": "zero bytes long",
    "text.wav": "holds text, not sound",
    "text.mp3": "holds text, not sound",
    "binary.flac": "no sound file that can be read .*ffmpeg",
    "header.wav": "no sound file that can be read",
    "cut.wav": "cut off, .* bytes are missing",
    "cut.aiff": "cut off, .* bytes are missing",
    "cut.au": "cut off, .* bytes are missing",
    "cut.ogg": "cut off, its last page is missing",
    "cut.flac": "cut off",
    "cut.caf": "cut off, .* bytes are missing",
    "cut.w64": "cut off, .* bytes are missing",
    "nothing.wav": "states that it holds no samples",
    "unfinished.wav": "states that it holds no samples: record, export or repair it",
    "nan.wav": "holds nan at 0.100 s",
    "inf.wav": "holds -inf at 0.100 s",
    "huge.wav": r"holds 1e\+30 at 0.100 s",
    "silence.wav": "silence only: record something louder",
    "folder.none": r"no sound in it \(1 not sound by their names\)",
    "absent.wav": "no such file or folder",
    "*.nothing": "no file matches",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_cannot_be_used_is_refused_in_one_line(tmp_path, kind) -> None:
    path = broken(tmp_path, kind)
    with pytest.raises(DataError, match=BROKEN[kind]) as caught:
        open_recordings([path])
    assert path.name in str(caught.value) and "\n" not in str(caught.value)


def test_a_broken_file_among_good_ones_is_not_passed_over(tmp_path) -> None:
    write(tmp_path / "a.wav", melody(1))
    broken(tmp_path, "zero.wav")
    with pytest.raises(DataError, match=r"zero\.wav: zero bytes"):
        open_recordings([tmp_path])
    (tmp_path / "b.txt").write_text("text\n" * 9)
    with pytest.raises(DataError, match=r"b\.txt: holds text, not sound: name recordings only"):
        open_recordings([tmp_path / "a.wav", tmp_path / "b.txt"])
    with pytest.raises(DataError, match="no data given"):
        open_recordings([])


def test_strange_wave_files(shared_data) -> None:
    folder = shared_data / "platform/hostile_examples/wav"
    for name in ("truncated_header.wav", "zero_rate.wav"):
        with pytest.raises(DataError, match=name):
            open_recordings([folder / name])
    (samples,) = heard(open_recordings([folder / "unsigned_8bit.wav"], SoundPolicy(rate=8_000)))
    assert samples.tolist() == [-1, 0, 127 / 128]


def test_a_stream_without_a_size_is_read_to_its_end(tmp_path) -> None:
    path = with_data_size(write(tmp_path / "a.wav", melody(1)), 0xFFFFFFFF)
    assert len(heard(open_recordings([path]))[0]) == 0.3 * RATE


def test_an_mp3_that_is_shorter_than_it_states_is_read_and_that_is_stated(tmp_path) -> None:
    path = cut(write(tmp_path / "a.mp3", melody(1, 4.0)))
    (track,) = open_recordings([path]).tracks
    (doubt,) = track.doubts
    assert doubt.startswith("ends after ") and doubt.endswith(" of about 4.0 s") and track.samples < 3 * RATE


@pytest.mark.parametrize("name", ["soundfile", "soxr"])
def test_a_missing_package_is_named_with_its_remedy(tmp_path, monkeypatch, name) -> None:
    path = write(tmp_path / "a.wav", melody(1))
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=rf'{name}, .*pip install "unrolled\[sound\]"'):
        open_recordings([path])


def test_a_silent_track_is_left_out_and_that_is_stated(tmp_path) -> None:
    write(tmp_path / "a.wav", melody(1))
    write(tmp_path / "b.wav", np.zeros(4000))
    write(tmp_path / "c.wav", melody(2))
    recordings = open_recordings([tmp_path])
    facts = recordings.facts()
    assert (facts["tracks"], facts["silent_tracks"]) == (2, 1)
    assert facts["notes"] == ["1 of 3 tracks are silence and left out"]
    assert facts["sources"][1]["notes"] == ["silence only: left out"]
    assert [len(samples) for samples in heard(recordings)] == [4800, 0, 4800]
    assert names(recordings.documents()) == ["a.wav", "c.wav"]
    with pytest.raises(DataError, match=r"all 3 tracks are silence only below the trim of -1 dB"):
        open_recordings([tmp_path], SoundPolicy(trim=-1.0))


def test_one_gain_holds_for_all_tracks(tmp_path) -> None:
    for number, loudness in enumerate([0.05, 0.2]):
        write(tmp_path / f"{number}.wav", melody(number, loudness=loudness))
    plain = heard(open_recordings([tmp_path]))
    peak = open_recordings([tmp_path], SoundPolicy(level="peak"))
    assert np.abs(np.concatenate(heard(peak))).max() == pytest.approx(PEAK, abs=1e-6)
    assert peak.facts()["gain"] == peak.gain == pytest.approx(PEAK / peak.facts()["peak"])
    for samples, before in zip(heard(peak), plain, strict=True):
        assert samples == pytest.approx(before * peak.gain, abs=1e-6)
    even = open_recordings([tmp_path], SoundPolicy(level="rms"))
    assert np.sqrt(np.square(np.concatenate(heard(even))).mean()) == pytest.approx(LOUDNESS, rel=1e-4)
    same = replace(open_recordings([tmp_path]), gain=peak.gain)
    assert same.fingerprint() == peak.fingerprint()


def test_the_offset_of_the_whole_set_is_removed(tmp_path) -> None:
    for number, offset in enumerate([0.1, 0.3]):
        write(tmp_path / f"{number}.wav", melody(number) + np.float32(offset), subtype="FLOAT")
    recordings = open_recordings([tmp_path], SoundPolicy(remove_dc=True, level="peak"))
    assert recordings.offset == pytest.approx(0.2, abs=0.01) == recordings.facts()["offset"]
    samples = np.concatenate(heard(recordings))
    assert abs(samples.mean()) < 1e-6 and np.abs(samples).max() == pytest.approx(PEAK, abs=1e-6)


def test_samples_above_full_scale_are_stated(tmp_path) -> None:
    path = write(tmp_path / "a.wav", melody(1, loudness=2.0), subtype="FLOAT")
    (note,) = open_recordings([path], split=SoundSplit(1.0)).facts()["notes"]
    assert note.startswith("the peak, 1.") and note.endswith("what is beyond 1 is clipped")
    assert open_recordings([path], SoundPolicy(level="peak"), SoundSplit(1.0)).facts()["notes"] == []


@pytest.mark.parametrize("offset", [0.0, 0.2])
@pytest.mark.parametrize("block", [170, 1 << 16])
def test_silence_is_trimmed_at_both_ends_and_not_between(tmp_path, monkeypatch, offset, block) -> None:
    monkeypatch.setattr(sound_files, "BLOCK", block)
    quiet = np.zeros(1600, np.float32)
    parts = [quiet, melody(1, 0.1), quiet, melody(2, 0.1), quiet[:1230]]
    path = write(tmp_path / "a.wav", np.concatenate(parts) + np.float32(offset), subtype="FLOAT")
    recordings = open_recordings([path], SoundPolicy(trim=-60.0))
    (track,) = recordings.tracks
    assert (track.begin, track.end, track.samples) == (1600, 6400, 7630)
    (samples,) = heard(recordings)
    assert np.array_equal(samples, np.concatenate(parts)[1600:6400] + np.float32(offset))
    assert track.moments.count == 4800 and track.moments.peak() == pytest.approx(np.abs(samples).max())
    assert track.moments.rms() == pytest.approx(np.sqrt(np.square(samples, dtype=np.float64).mean()))


@pytest.mark.parametrize("policy", [{"rate": 999}, {"rate": 10**6}, {"trim": 3.0}, {"trim": float("nan")}])
def test_a_policy_out_of_range_is_refused(policy) -> None:
    with pytest.raises(UsageError, match="pass"):
        SoundPolicy(**policy)
