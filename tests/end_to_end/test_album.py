"""`unrolled album`: tracks with tags, cover and list; interruption, people, and what was kept before."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.data.sounds import RATE, melody, soundfile, write
from unrolled.api.sound_run import SoundRun
from unrolled.cli.main import main
from unrolled.inspection.canvas import SIGNATURE

WAVENET = ["--cycles", "1", "--layers", "4", "--width", "8", "--gate", "8", "--skip", "12"]
TRAINING = ["--steps", "4", "--rows", "2", "--length", "64", "--sample-every", "100", "--quiet"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run called tiny."""
    recordings, folder = tmp_path_factory.mktemp("recordings"), tmp_path_factory.mktemp("runs")
    for number in range(3):
        write(recordings / f"{number}.flac", melody(number, 1.5))
    words = ["train", str(recordings), "--system", "wavenet", "--runs", str(folder), "--name", "tiny"]
    assert main([*words, *TRAINING, *WAVENET]) == 0
    return folder


@pytest.fixture
def album(unrolled, runs):
    """Make an album of the run."""
    return lambda *words: unrolled("album", "tiny", "--runs", runs, *words)


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_album_is_made_of_the_soundest_of_several(album, unrolled, runs, tmp_path) -> None:
    folder = tmp_path / "first"
    words = ("--lengths", "0.2,0.3", "--of", 2, "--title", "Sea | Sky", "--artist", "Nobody", "--output", folder)
    made = album(*words)
    assert made.code == 0 and made.out.splitlines()[-1] == str(folder), made
    names = ["01 Track 1.flac", "02 Track 2.flac"]
    assert listed(folder) == [*names, "album.json", "cover.png", "tracklist.md"]
    lines = unrolled("runs", "samples", "tiny", "--runs", runs, "--json").out.splitlines()
    samples = {sample["stream"]: sample for sample in map(json.loads, lines)}
    tracks = json.loads((folder / "album.json").read_text())["tracks"]
    for number, (name, seconds) in enumerate(zip(names, (0.2, 0.3), strict=True), 1):
        with soundfile.SoundFile(folder / name) as file:
            assert file.frames == RATE * seconds and file.subtype == "PCM_16"
            assert (file.title, file.artist, file.album) == (f"Track {number}", "Nobody", "Sea | Sky")
            assert file.tracknumber == str(number) and "wavenet tiny" in file.comment and "seed 0" in file.comment
        sample = tracks[number - 1]["sample"]
        both = [samples[2 * number - 2], samples[2 * number - 1]]
        assert sample["scores"]["soundness"] == max(one["scores"]["soundness"] for one in both)
        assert np.array_equal(soundfile.read(folder / name)[0], soundfile.read(sample["text"])[0])
    assert (folder / "cover.png").read_bytes().startswith(SIGNATURE)
    assert "| 1 | Track 1 | 0:00.20 | 0 |" in (folder / "tracklist.md").read_text()
    refused = album(*words[:-1], folder, "--seed", 5)
    assert refused.code == 2 and "asked for differently" in refused.err


def test_an_interrupted_album_keeps_its_tracks_and_goes_on(album, monkeypatch, tmp_path) -> None:
    folder, render, calls = tmp_path / "second", SoundRun.render, []

    def interrupted(*given, **settings):
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return render(*given, **settings)

    words = ("--lengths", "0.1,0.1,0.1", "--of", 1, "--seed", 3, "--output", folder)
    monkeypatch.setattr(SoundRun, "render", interrupted)
    stopped = album(*words)
    assert stopped.code == 130 and "1 of 3 tracks are finished" in stopped.err
    assert listed(folder) == ["01 Track 1.flac", "album.json", "tracklist.md"]
    before = (folder / "01 Track 1.flac").stat().st_mtime_ns
    done = album(*words)
    assert done.code == 0 and len(calls) == 4 and "cover.png" in listed(folder)
    assert (folder / "01 Track 1.flac").stat().st_mtime_ns == before
    assert "3 tracks, 0:00.30." in (folder / "tracklist.md").read_text()


def test_people_choose_and_what_they_kept_makes_an_album(album, unrolled, runs, monkeypatch, tmp_path) -> None:
    folder, words = (
        tmp_path / "third",
        ("--lengths", "0.1,0.12", "--of", 2, "--seed", 11, "--fold", 2, "--overlap", 0.01),
    )
    monkeypatch.setattr(sys, "stdin", io.StringIO("d\nk\nq\n"))
    stopped = album("--curate", *words, "--output", folder)
    assert stopped.code == 0 and "1 of 2 tracks are finished" in stopped.err
    monkeypatch.setattr(sys, "stdin", io.StringIO("5\nk\n"))
    assert album("--curate", *words, "--output", folder).code == 0 and "cover.png" in listed(folder)
    kept = tmp_path / "kept"
    done = album("--kept", "--title", "Kept", "--output", kept)
    assert done.code == 0, done
    seconds = [track["seconds"] for track in json.loads((kept / "album.json").read_text())["tracks"]]
    assert seconds == pytest.approx([0.12, 0.1], abs=0.001)  # the rated one first
    sampled = unrolled("runs", "samples", "tiny", "--runs", runs, "--kept", "--json").out
    assert len(sampled.splitlines()) == 2 and "--fold=2" in sampled


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--lengths", "one"], "pass seconds"),
        (["--lengths", "0"], "more than 0 seconds"),
        (["--tracks", "0"], "a track or more"),
        (["--of", "0"], "the best of 1 or more"),
        (["--lengths", "1", "--fold", "40"], "shorter than two overlaps"),
    ],
)
def test_albums_that_cannot_be_made_are_refused(album, tmp_path, words, what) -> None:
    refused = album(*words, "--output", tmp_path / "none")
    assert refused.code == 2 and what in refused.err and refused.err.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_a_folder_with_other_things_is_left_alone(album, tmp_path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    refused = album("--lengths", "0.1", "--output", tmp_path)
    assert refused.code == 2 and "no album" in refused.err and listed(tmp_path) == ["mine.txt"]
