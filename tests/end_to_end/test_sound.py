"""The command line on sound: from a folder of recordings to a file that can be heard."""

import json
from pathlib import Path

import numpy as np
import pytest

import unrolled as package
from tests.data.sounds import RATE, melody, soundfile, write
from unrolled.api.sound_run import SoundRun
from unrolled.cli.main import main

TINY = {
    "wavenet": ["--cycles", "1", "--layers", "4", "--width", "8", "--gate", "8", "--skip", "12"],
    "sample-rnn": ["--frames", "8", "--frames", "2", "--width", "12", "--embedding", "6"],
}
TRAINING = ["--steps", "6", "--rows", "2", "--length", "64", "--sample-every", "100", "--quiet"]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tracks of two kinds in folders of their own."""
    folder = tmp_path_factory.mktemp("recordings")
    for number in range(4):
        write(folder / ("high" if number % 2 else "low") / f"{number}.flac", melody(number, 0.3))
    return folder


@pytest.fixture(scope="module", params=TINY)
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, recordings: Path) -> Path:
    """A run called tiny of each system."""
    folder = tmp_path_factory.mktemp("runs")
    words = [str(recordings), "--system", request.param, "--runs", str(folder), "--name", "tiny", "--fields", "folder"]
    assert main(["train", *words, *TRAINING, *TINY[request.param]]) == 0
    return folder


def test_a_run_makes_sound(unrolled, runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "made.wav"
    made = unrolled("generate", "tiny", "--runs", runs, "--seconds", "0.05", "--output", path)
    assert made.code == 0 and made.out.split() == [str(path)]
    assert "0.1 s of sound" in made.err and "times as fast as it plays" in made.err
    samples, rate = soundfile.read(path)
    assert rate == RATE and len(samples) == RATE * 0.05 and np.abs(samples).max() <= 1


def test_the_same_seed_makes_the_same_sound(unrolled, runs: Path) -> None:
    paths = []
    for seed in (1, 1, 2):
        made = unrolled("generate", "tiny", "--runs", runs, "--seconds", "0.02", "--seed", seed)
        paths.append(Path(made.out.strip()))
    assert paths[0] == paths[1] != paths[2]
    assert paths[0].parent == runs / "tiny" / "sounds" and paths[0].suffix == ".flac"
    first, other = (soundfile.read(path)[0] for path in paths[1:])
    assert not np.array_equal(first, other)


def test_each_piece_of_a_batch_is_what_it_would_be_alone(runs: Path) -> None:
    run = package.load("tiny", runs=runs)
    assert isinstance(run, SoundRun)
    both = run.samples(count=2, seconds=0.02, seed=3)
    alone = run.samples(count=1, seconds=0.02, seed=3, stream=1)
    assert both.shape == (2, 320) and np.array_equal(both[1], alone[0])


def test_sound_goes_on_from_a_recording(unrolled, runs: Path, recordings: Path, tmp_path: Path) -> None:
    prompt = recordings / "low" / "0.flac"
    path, other = tmp_path / "on.flac", tmp_path / "from_silence.flac"
    for target, words in ((path, ["--prompt", prompt, "--where", "folder=low"]), (other, [])):
        made = unrolled("generate", "tiny", "--runs", runs, "--seconds", "0.02", "--output", target, *words)
        assert made.code == 0
    assert not np.array_equal(soundfile.read(path)[0], soundfile.read(other)[0])
    missing = unrolled("generate", "tiny", "--runs", runs, "--prompt", tmp_path / "no.wav")
    assert missing.code == 1 and "no.wav" in missing.err and missing.err.count("\n") == 1


def test_what_was_made_can_be_found_again(unrolled, runs: Path) -> None:
    made = unrolled("generate", "tiny", "--runs", runs, "--seconds", "0.01", "--seed", "9", "--json")
    sample = json.loads(made.out)
    assert sample["symbols"] == 160 and Path(sample["text"]).is_file()
    assert sample["id"] in unrolled("runs", "samples", "tiny", "--runs", runs).out


def test_options_of_text_are_refused(unrolled, runs: Path) -> None:
    refused = unrolled("generate", "tiny", "--runs", runs, "--length", "5")
    assert refused.code == 2 and "--length is not for run tiny, which makes sound" in refused.err


def test_a_run_is_measured_in_bits_per_sample(unrolled, runs: Path) -> None:
    found = json.loads(unrolled("evaluate", "tiny", "--runs", runs, "--json").out)
    assert found["bits_per_sample"] == pytest.approx(found["nats"] / np.log(2))
    assert found["bits_per_character"] is None and 0 < found["bits_per_sample"] < 10
    shown = unrolled("evaluate", "tiny", "--runs", runs).out
    assert "per sample" in shown and "of the best" not in shown and "the best of them" in shown
    assert "bits per sample" in (runs / "tiny" / "card.md").read_text()


def test_the_laws_hold_on_a_run(unrolled, runs: Path) -> None:
    assert unrolled("check", "tiny", "--runs", runs).code == 0


def test_a_training_shows_where_fresh_sound_lies(unrolled, recordings: Path, tmp_path: Path) -> None:
    words = ["--runs", tmp_path, "--name", "shown", "--steps", "4", "--rows", "2", "--length", "64", "--json"]
    shown = unrolled("train", recordings, "--system", "wavenet", *words, "--sample-every", "2", *TINY["wavenet"])
    assert shown.code == 0, shown.err
    (fresh,) = [event for event in map(json.loads, shown.out.splitlines()) if event["event"] == "sampled"]
    assert soundfile.info(fresh["text"]).frames == 2 * RATE


def test_tracks_that_validate_are_named(unrolled, recordings: Path, tmp_path: Path) -> None:
    words = ["--runs", tmp_path, "--name", "named", *TRAINING, *TINY["wavenet"], "--validation", "2"]
    assert unrolled("train", recordings, "--system", "wavenet", *words).code == 0
    data = json.loads((tmp_path / "named" / "config.json").read_text())["data"]
    assert data["split"]["rule"] == "by name" and data["validation_tracks"] == 1
    assert "--validation=2" in (tmp_path / "named" / "card.md").read_text()


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [("words.wav", b"once upon a time " * 50, "holds text, not sound"), ("nothing.flac", b"", "zero bytes")],
)
def test_what_is_no_sound_is_refused(unrolled, tmp_path: Path, name: str, content: bytes, what: str) -> None:
    (tmp_path / name).write_bytes(content)
    refused = unrolled("train", tmp_path / name, "--system", "wavenet", "--runs", tmp_path / "runs", "--steps", "2")
    assert refused.code == 1 and what in refused.err and refused.err.count("\n") == 1
    assert not list(tmp_path.glob("runs/*/config.json"))
