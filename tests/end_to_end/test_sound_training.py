"""Training on sound and going on from recordings: what is told, kept to, resumed and conditioned on."""

import hashlib
import itertools
import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unrolled as package
from tests.data.sounds import cut, melody, soundfile, write
from tests.end_to_end.test_sound import TINY
from unrolled.api import session as sessions
from unrolled.api import sound_run
from unrolled.api import training as trainings
from unrolled.api.cards import TOLD, conversions, repeat_command
from unrolled.api.evaluation import evaluation_source
from unrolled.api.pace import FEWEST
from unrolled.api.sound_run import SoundRequest, memory
from unrolled.cli.main import main
from unrolled.data.recordings import open_recordings
from unrolled.engine import runtime
from unrolled.store.folders import RunFolder

SIZES = ["--rows", "2", "--length", "64", "--sample-every", "100", "--threads", "1"]
ENGINES = ["torch", pytest.param("native", marks=pytest.mark.skipif(not runtime.available(), reason="not built"))]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tracks of two kinds in folders of their own."""
    folder = tmp_path_factory.mktemp("recordings")
    for number in range(4):
        write(folder / ("high" if number % 2 else "low") / f"{number}.flac", melody(number, 0.2))
    return folder


@pytest.fixture(scope="module", params=TINY)
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, recordings: Path) -> Path:
    """A run called tiny of each system, conditioned on the folder."""
    folder = tmp_path_factory.mktemp("runs")
    words = [str(recordings), "--system", request.param, "--runs", str(folder), "--name", "tiny", "--fields", "folder"]
    assert main(["train", *words, *SIZES, "--steps", "6", "--quiet", *TINY[request.param]]) == 0
    return folder


def interrupt(patch: pytest.MonkeyPatch, update: int) -> None:
    """Ctrl-C comes while this update is made."""

    @contextmanager
    def interruptible() -> Iterator[Any]:
        asked = itertools.count(1)  # it is asked for once an update
        yield lambda: next(asked) >= update

    patch.setattr(trainings, "interruptible", interruptible)


def plan_of(run: Path) -> dict[str, Any]:
    """The plan that a run keeps."""
    return json.loads((run / "config.json").read_text())["training"]["plan"]


def newest_checkpoint(run: Path) -> Path:
    """The checkpoint of the last update."""
    return max((run / "checkpoints").iterdir(), key=lambda path: path.name)


def tensors_of(run: Path) -> dict[str, str]:
    """The sha256 of the weights of a run, and of all that its last checkpoint carries."""
    files = [run / "model.safetensors", *newest_checkpoint(run).glob("*.safetensors")]
    return {str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("system", TINY)
def test_a_resumed_training_ends_with_the_same_weights(
    unrolled, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    words = ["train", recordings, "--system", system, "--runs", tmp_path, "--fields", "folder", "--steps", "8"]
    words += ["--patience", "0", "--quiet", *SIZES, *TINY[system]]
    assert unrolled(*words, "--name", "whole").code == 0
    with monkeypatch.context() as patch:
        interrupt(patch, 5)
        assert unrolled(*words, "--name", "broken").code == 130
    checkpoint = newest_checkpoint(tmp_path / "broken")
    assert int(checkpoint.name) == 5 and (checkpoint / "carried.safetensors").exists()
    assert unrolled("train", "--resume", "broken", "--runs", tmp_path, "--quiet").code == 0
    found = tensors_of(tmp_path / "whole")
    assert len(found) == 4 and tensors_of(tmp_path / "broken") == found  # weights twice, optimiser, carried state


def test_a_resumed_training_knows_how_long_updates_take(
    unrolled, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "WORTH_TELLING", 2)
    monkeypatch.setattr(sessions, "TRIAL_SECONDS", 0.0)
    run = tmp_path / "timed"
    words = ["train", recordings, "--system", "wavenet", "--runs", tmp_path, "--name", "timed", "--steps", "6"]
    with monkeypatch.context() as patch:
        interrupt(patch, 3)
        assert unrolled(*words, *SIZES, *TINY["wavenet"]).code == 130
    before = plan_of(run)["update_seconds"]
    resumed = unrolled("train", "--resume", run)
    (first,) = [line for line in resumed.out.splitlines() if "6 updates of 2 x 64" in line]
    assert resumed.code == 0 and "6 updates of 2 x 64: about " in first
    assert plan_of(run)["update_seconds"] == before > 0


def test_minutes_become_a_plan(unrolled, recordings: Path, tmp_path: Path) -> None:
    words = ["train", recordings, "--system", "wavenet", "--runs", tmp_path, "--name", "timed", "--minutes", "0.05"]
    trained = unrolled(*words, *SIZES, *TINY["wavenet"])
    assert trained.code == 0 and " x 64: about " in trained.out, trained.err
    plan = plan_of(tmp_path / "timed")
    assert plan["steps"] >= FEWEST and plan["threads"] == 1 and plan["update_seconds"] > 0
    assert int(newest_checkpoint(tmp_path / "timed").name) == plan["steps"]


def test_what_recordings_go_through_is_kept_to(unrolled, tmp_path: Path) -> None:
    folder, run = tmp_path / "quiet", tmp_path / "levelled"
    for number, loudness in enumerate((0.03, 0.1)):
        parts = [np.zeros(1600), melody(number, 0.2, loudness=loudness), np.zeros(800)]
        write(folder / f"{number}.flac", np.concatenate(parts) + 0.05)
    policy = ["--level", "peak", "--remove-dc", "--trim", "-50", "--within"]
    words = ["--runs", tmp_path, "--steps", "4", "--quiet", *SIZES, *TINY["wavenet"]]
    trained = unrolled("train", folder, "--system", "wavenet", "--name", "levelled", *policy, *words)
    assert trained.code == 0, trained.err
    config = RunFolder(run).config()
    data = config.data
    assert 8 < data["gain"] < 12 and data["offset"] == pytest.approx(0.05, abs=0.01) and data["trim"] == -50
    assert data["split"] == {"rule": "within tracks", "train": 0.9} and data["validation_tracks"] == 2
    repeat = repeat_command(config, config.data["given"])
    assert all(word in repeat for word in ("--level=peak", "--remove-dc", "--trim=-50", "--within"))
    assert repeat.partition(str(folder))[2] in (run / "card.md").read_text()
    assert unrolled(*shlex.split(repeat)[1:], "--runs", tmp_path, "--name", "again", "--quiet").code == 0
    assert RunFolder(tmp_path / "again").model_sha256() == RunFolder(run).model_sha256()
    assert unrolled("evaluate", "levelled", "--runs", tmp_path, "--json").code == 0
    loaded, faint = package.load("levelled", runs=tmp_path), folder / "0.flac"
    samples = soundfile.read(faint, dtype="float32")[0][1600:4800]  # its own peak would have another gain
    levels = loaded.codec.encode((samples - np.float32(data["offset"])) * np.float32(data["gain"]))
    assert evaluation_source(loaded, [faint], "all").part.symbols.tolist() == [loaded.codec.begin, *levels.tolist()]


def test_conversions_are_told_before_a_training(unrolled, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    six = write(folder / "six.wav", np.stack([melody(number) for number in range(6)], 1))
    silent, eight = (
        write(folder / "silent.wav", np.zeros(4800)),
        write(folder / "eight.wav", melody(7), subtype="PCM_U8"),
    )
    for number in range(3):
        write(folder / f"stereo-{number}.flac", np.stack([melody(number)] * 2, 1))
    words = ["--runs", tmp_path, "--steps", "2", "--json", *SIZES, *TINY["wavenet"]]
    shown = unrolled("train", folder, "--system", "wavenet", *words)
    assert shown.code == 0, shown.err
    events = [json.loads(line) for line in shown.out.splitlines()]
    before = itertools.takewhile(lambda event: event["event"] in ("started", "note"), events)
    told = [event["text"] for event in before if event["event"] == "note"]
    assert told[:5] == [
        "1 of 6 tracks are silence and left out",
        f"{eight}: 8 bits a sample",
        f"{silent}: silence only: left out",
        f"{six}: 6 channels mixed down to one",
        "3 files: 2 channels mixed down to one",
    ]


def test_doubts_name_their_files(tmp_path: Path) -> None:
    clipped = write(tmp_path / "clipped.flac", np.clip(9 * melody(1), -1, 1))
    short = cut(write(tmp_path / "short.mp3", melody(2, 4.0)))
    wrong = write(tmp_path / "wrong.wav", melody(3, rate=8_000), 8_000, format="FLAC")
    low = "raised from 8,000 to 16,000 samples a second: nothing above 4,000 Hz"
    rates, *lines, clipping, ending = conversions(open_recordings([tmp_path]).facts())
    assert rates == "different rates, 8,000 (1), 16,000 (2), become 16,000 samples a second"
    assert lines == [f"{wrong}: FLAC by its content, .wav by its name", f"{wrong}: {low}"]
    assert clipping.startswith(f"{clipped}: ") and "samples are clipped" in clipping
    assert ending.startswith(f"{short}: ends after ") and ending.endswith(" of about 4.0 s")


def test_many_files_give_few_lines() -> None:
    notes = ["2 channels mixed down to one"]
    doubtful = [
        {"path": f"{number}.mp3", "notes": notes, "doubts": [f"ends after {number} s"]} for number in range(500)
    ]
    first, *doubts, rest = conversions({"sources": doubtful})
    assert first == "500 files: 2 channels mixed down to one"
    assert doubts == [f"{number}.mp3: ends after {number} s" for number in range(TOLD)]
    assert rest.startswith(f"and {500 - TOLD} more such lines")
    assert conversions({"sources": [{"path": "a.txt"}]}) == []


@pytest.mark.parametrize("engine", ENGINES)
def test_another_label_gives_other_sound(unrolled, runs: Path, tmp_path: Path, engine: str) -> None:
    made = []
    for number, label in enumerate(("low", "high", "low")):
        path = tmp_path / f"{number}.wav"
        words = ["--engine", engine, "--where", f"folder={label}", "--seconds", "0.02", "--seed", "5"]
        found = unrolled("generate", "tiny", "--runs", runs, "--output", path, *words)
        assert found.code == 0, found.err
        made.append(soundfile.read(path)[0])
    low, high, again = made
    assert np.array_equal(low, again) and not np.array_equal(low, high)


SEEDS = {
    "good": [],
    "short": [
        "its 8 samples are fewer than the 16 that the model looks back on: "
        "it goes on as near the beginning of a recording"
    ],
    "silent": ["silence only: the model goes on from silence"],
    "stereo": ["lowered from 44,100 to 16,000 samples a second", "2 channels mixed down to one"],
}


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings to go on from."""
    folder = tmp_path_factory.mktemp("seeds")
    write(folder / "good.wav", melody(1, 0.1))
    write(folder / "short.wav", melody(1, 0.1)[:8])
    write(folder / "silent.wav", np.full(1600, 0.25))
    write(folder / "stereo.wav", np.stack([melody(1, 0.1, 44_100), melody(2, 0.1, 44_100)], 1), 44_100)
    return folder


@pytest.mark.parametrize("name", SEEDS)
def test_what_becomes_of_a_recording_to_go_on_from_is_told(
    unrolled, runs: Path, seeds: Path, tmp_path: Path, name: str
) -> None:
    prompt, path = seeds / f"{name}.wav", tmp_path / "made.wav"
    made = unrolled("generate", "tiny", "--runs", runs, "--prompt", prompt, "--seconds", "0.01", "--output", path)
    assert made.code == 0 and soundfile.info(path).frames == 160, made.err
    told = [line.removeprefix(f"{prompt}: ") for line in made.err.splitlines() if line.startswith(f"{prompt}: ")]
    is_bounded = package.load("tiny", runs=runs).config.system == "wavenet"
    assert told == (SEEDS[name] if is_bounded or name != "short" else [])


def test_only_the_end_of_a_long_recording_is_heard(
    unrolled, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sound_run, "HEARD", 0.05)
    whole, made = melody(1, 0.3), []
    for name, samples in (("long", whole), ("end", whole[-800:])):
        prompt, path = write(tmp_path / f"{name}.wav", samples), tmp_path / f"{name}-made.wav"
        found = unrolled("generate", "tiny", "--runs", runs, "--prompt", prompt, "--seconds", "0.02", "--output", path)
        assert found.code == 0, found.err
        assert ("long.wav: only the last 0.05 of its 0.3 s are heard" in found.err) == (name == "long")
        made.append(soundfile.read(path)[0])
    assert np.array_equal(*made)


def test_what_is_told_of_a_recording_is_told_once(runs: Path, seeds: Path) -> None:
    run, told = package.load("tiny", runs=runs), list[str]()
    request = SoundRequest(prompt=str(seeds / "stereo.wav"), seconds=0.001)
    for _ in range(2):
        assert sum(block.samples.shape[1] for block in run.blocks(request, 2, told.append)) == 16
    assert told == [f"{request.prompt}: {line}" for line in SEEDS["stereo"]]


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_knows_how_far_its_model_looks_back(runs: Path, engine: Any) -> None:
    run = package.load("tiny", runs=runs)
    expected = 16 if run.config.system == "wavenet" else None
    assert run.model.backbone.receptive_field == expected == memory(run.engines.choose(engine, "float32"))
