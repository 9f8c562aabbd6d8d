"""WaveNet over samples of 16 bits by a mixture of logistics, from recordings to sound."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.data.sounds import RATE, melody, soundfile, write
from unrolled.cli.main import main

SIZES = ["--cycles", "1", "--layers", "3", "--width", "8", "--gate", "8", "--skip", "12", "--inlet", "4"]
TRAINING = ["--steps", "6", "--rows", "2", "--length", "64", "--sample-every", "100", "--quiet"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run called fine."""
    folder, recordings = tmp_path_factory.mktemp("runs"), tmp_path_factory.mktemp("recordings")
    for number in range(3):
        write(recordings / f"{number}.flac", melody(number, 0.3))
    fine = ["--head", "logistics", "--levels", "65536", "--companding", "linear", "--residual-scale", "0.7"]
    words = [str(recordings), "--system", "wavenet", "--runs", str(folder), "--name", "fine"]
    assert main(["train", *words, *fine, *SIZES, *TRAINING]) == 0
    return folder


def test_it_makes_sound_through_torch_and_says_so(unrolled, runs: Path, tmp_path: Path) -> None:
    made = []
    for number, words in enumerate((["--seed", "1"], ["--seed", "1"], ["--seed", "1", "--top-p", "0.5"])):
        path = tmp_path / f"{number}.wav"
        found = unrolled("generate", "fine", "--runs", runs, "--seconds", "0.002", "--output", path, *words)
        assert found.code == 0 and "no lowering for SequenceModel with Logistics" in found.err
        made.append(soundfile.read(path)[0])
    assert len(made[0]) == RATE * 0.002 and np.abs(made[0]).max() <= 1
    assert np.array_equal(made[0], made[1]) and not np.array_equal(made[0], made[2])
    refused = unrolled("generate", "fine", "--runs", runs, "--seconds", "0.002", "--engine", "native")
    assert refused.code == 1 and refused.err.count("\n") == 1


def test_it_is_measured_in_bits_per_sample(unrolled, runs: Path) -> None:
    found = json.loads(unrolled("evaluate", "fine", "--runs", runs, "--json").out)
    assert 10 < found["bits_per_sample"] < 20  # 16 are those of levels drawn evenly


def test_the_laws_hold(unrolled, runs: Path) -> None:
    checked = unrolled("check", "fine", "--runs", runs, "--length", "20")
    assert checked.code == 0, checked.out + checked.err
