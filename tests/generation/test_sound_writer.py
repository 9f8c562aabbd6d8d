"""Writing sound: formats, tags, what an interrupt leaves, and what is refused."""

import os
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from unrolled.codecs.sound import SoundCodec
from unrolled.core.errors import DataError, UsageError
from unrolled.generation import sound_writer
from unrolled.generation.sound_writer import SoundWriter, Tags

soundfile = pytest.importorskip("soundfile", reason='sound needs soundfile: pip install "unrolled[sound]"')

RATE = 8_000
SOUND = (0.4 * np.sin(np.arange(RATE) * 0.2)).astype(np.float32)
TAGS = Tags("Dawn, \u00e9tude", "A net", "Hours", 3, "seed 7")


def written(path: Path, blocks, **how) -> np.ndarray:
    with SoundWriter(path, RATE, **how) as writer:
        for block in blocks:
            writer.write(block)
    return soundfile.read(path, dtype="float32")[0]


@pytest.mark.parametrize("suffix", ["wav", "WAV", "flac"])
def test_levels_come_back_exactly(tmp_path, suffix) -> None:
    for codec in (SoundCodec(RATE), SoundCodec(RATE, 65_536)):
        sound = codec.normalise(SOUND)
        found = written(tmp_path / f"{codec.levels}.{suffix}", np.split(sound, [3, 3, 1000, 7999]))
        assert np.array_equal(codec.encode(found), codec.encode(sound))
    assert np.array_equal(
        written(tmp_path / f"a.{suffix}", [np.array([-2, -1, 0.5, 1, 2.0])]) * 32768,
        [-32768, -32768, 16384, 32767, 32767],
    )


def test_long_ogg_is_written_in_seconds(tmp_path, monkeypatch) -> None:
    sizes = []
    original = sound_writer.OggEncoder.write
    monkeypatch.setattr(
        sound_writer.OggEncoder, "write", lambda self, samples: (sizes.append(len(samples)), original(self, samples))[1]
    )
    found = written(tmp_path / "a.ogg", [np.resize(SOUND, 3 * RATE + 5)])
    assert sizes == [RATE] * 3 + [5] and len(found) == 3 * RATE + 5
    assert np.abs(found - np.resize(SOUND, 3 * RATE + 5)).max() < 0.1


EXTREMES = [("wav", 1_000), ("wav", 384_000), ("flac", 1_000), ("flac", 384_000), ("ogg", 8_000), ("ogg", 192_000)]


@pytest.mark.parametrize(("suffix", "rate"), EXTREMES)
def test_every_rate_of_sound_is_written(tmp_path, suffix, rate) -> None:
    with SoundWriter(tmp_path / f"a.{suffix}", rate) as writer:
        writer.write(SOUND[:2000])
    found, stated = soundfile.read(tmp_path / f"a.{suffix}")
    assert (len(found), stated) == (2000, rate)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_tags_are_in_the_file(tmp_path, suffix) -> None:
    written(tmp_path / f"a.{suffix}", [SOUND], tags=TAGS)
    with soundfile.SoundFile(tmp_path / f"a.{suffix}") as file:
        assert (file.title, file.artist, file.album, file.comment) == (
            TAGS.title,
            TAGS.artist,
            TAGS.album,
            TAGS.comment,
        )
        assert file.tracknumber == "3" and file.software.startswith("unrolled")
        assert (file.samplerate, file.channels, file.frames) == (RATE, 1, RATE)


def test_tags_that_are_not_given_are_left_out(tmp_path) -> None:
    written(tmp_path / "a.flac", [SOUND], tags=Tags(comment="a\0b"))
    with soundfile.SoundFile(tmp_path / "a.flac") as file:
        assert (file.title, file.tracknumber, file.comment) == ("", "", "a b")


def test_a_wav_file_is_whole_after_every_block(tmp_path) -> None:
    writer = SoundWriter(tmp_path / "a.wav", RATE, TAGS)
    for number in range(1, 5):
        writer.write(SOUND[:999])
        with wave.open(str(tmp_path / "a.wav")) as file:
            assert (file.getnframes(), file.getframerate(), file.getsampwidth()) == (number * 999, RATE, 2)
        assert len(soundfile.read(tmp_path / "a.wav")[0]) == number * 999
        size = int.from_bytes((tmp_path / "a.wav").read_bytes()[4:8], "little")
        assert size + 8 == (tmp_path / "a.wav").stat().st_size
    writer.close()


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_an_interrupt_leaves_what_was_made(tmp_path, suffix) -> None:
    path = tmp_path / f"a.{suffix}"
    with pytest.raises(KeyboardInterrupt), SoundWriter(path, RATE) as writer:
        for _ in range(3):
            writer.write(SOUND)
        raise KeyboardInterrupt
    assert len(soundfile.read(path)[0]) == 3 * RATE and writer.seconds == 3


def test_half_a_block_is_taken_away_again(tmp_path, monkeypatch) -> None:
    path = tmp_path / "a.wav"
    writer = SoundWriter(path, RATE)
    writer.write(SOUND)
    monkeypatch.setattr(sound_writer.WavEncoder, "state", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        writer.write(SOUND[:100])
    monkeypatch.undo()
    writer.file.write(b"torn")
    writer.close()
    assert path.stat().st_size % 2 == 0 and len(soundfile.read(path)[0]) in (RATE, RATE + 100)
    assert int.from_bytes(path.read_bytes()[4:8], "little") + 8 == path.stat().st_size


@pytest.mark.skipif(not hasattr(os, "kill"), reason="needs signals")
def test_a_killed_process_leaves_a_wav_file_that_plays(tmp_path) -> None:
    program = (
        "import os, signal, numpy as np\n"
        "from unrolled.generation.sound_writer import SoundWriter\n"
        f"writer = SoundWriter({str(tmp_path / 'a.wav')!r}, 8000)\n"
        "for _ in range(3): writer.write(np.full(500, 0.5))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -9
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert file.getnframes() == 1500


def test_wav_needs_no_package(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with SoundWriter(tmp_path / "a.wav", RATE) as writer:
        writer.write(SOUND)
    with pytest.raises(UsageError, match="needs the package soundfile"):
        SoundWriter(tmp_path / "a.flac", RATE)
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_files_are_replaced_only_when_told(tmp_path) -> None:
    path = tmp_path / "a.flac"
    written(path, [SOUND])
    before = path.read_bytes()
    with pytest.raises(UsageError, match="exists already: name another file"):
        SoundWriter(path, RATE)
    assert path.read_bytes() == before
    assert len(written(path, [SOUND[:50]], replace=True)) == 50


def test_a_file_without_a_sample_is_taken_away(tmp_path) -> None:
    for suffix in ("wav", "flac", "ogg"):
        with SoundWriter(tmp_path / f"a.{suffix}", RATE) as writer:
            writer.write(SOUND[:0])
        writer.close()
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_refused(tmp_path, monkeypatch) -> None:
    with pytest.raises(UsageError, match=r"written as \.wav, \.flac, \.ogg: give the file such a suffix"):
        SoundWriter(tmp_path / "a.mp3", RATE)
    with pytest.raises(UsageError, match=r"cannot be written .No such file or directory.: pass another path"):
        SoundWriter(tmp_path / "none" / "a.wav", RATE)
    for rate in (4_000, 384_000):
        with pytest.raises(UsageError, match=f"Ogg Vorbis holds 8,000 to 192,000 samples a second, not {rate:,}"):
            SoundWriter(tmp_path / "a.ogg", rate)
    with pytest.raises(UsageError, match="FLAC cannot hold sound of 2,000,000 samples a second"):
        SoundWriter(tmp_path / "a.flac", 2_000_000)
    assert list(tmp_path.iterdir()) == []
    writer = SoundWriter(tmp_path / "a.wav", RATE)
    writer.write(SOUND)
    for block in (np.array([0.0, np.nan]), np.zeros((2, 5))):
        with pytest.raises(DataError, match="no row of finite samples"):
            writer.write(block)
    monkeypatch.setattr(sound_writer, "MOST_BYTES", 3 * RATE)
    with pytest.raises(DataError, match="no more than 4 GiB"):
        writer.write(SOUND)
    writer.close()
    with pytest.raises(UsageError, match="is closed"):
        writer.write(SOUND)
    assert len(soundfile.read(tmp_path / "a.wav")[0]) == RATE
