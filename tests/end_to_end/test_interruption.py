"""Ctrl-C, SIGKILL and torchrun as a user meets them: nothing lost, the same weights in the end."""

import functools
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SIZES = ["--rows", "4", "--length", "16", "--dropout", "0.3"]
GPT = ["--system", "gpt", "--family", "gpt-2", "--layers", "1", "--heads", "2", "--width", "16", "--context", "16"]
KINDS = {  # the fixture with the data, and settings: streams of text, streams of records with a field, windows
    "text": ("book", ["--hidden", "24", "--steps", "1500", *SIZES]),
    "records": ("poems", ["--hidden", "24", "--fields", "author", "--steps", "1000", *SIZES]),
    "windows": ("book", [*GPT, "--steps", "1000", *SIZES]),
}
CADENCE = ["--evaluate-every", "300", "--checkpoint-seconds", "0.2", "--threads", "1", "--json"]


def start(*words: object, launcher: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *launcher, "-m", "unrolled", *map(str, words)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until_checkpoint(process: subprocess.Popen[str], run: Path) -> None:
    """Wait until a checkpoint of a later step than the first is there."""
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        if any(path.name.isdigit() and int(path.name) > 0 for path in (run / "checkpoints").glob("*")):
            return
        time.sleep(0.01)
    raise AssertionError(process.communicate())


def weights(run: Path) -> str:
    return hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def words(book: Path, poems: Path) -> Callable[[str], list[object]]:
    """The command that trains a kind, but for where."""
    data = {"book": book, "poems": poems}
    return lambda kind: ["train", data[KINDS[kind][0]], *KINDS[kind][1], *CADENCE]


@pytest.fixture(scope="module")
def whole(words: Callable[[str], list[object]], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The weights of a training of each kind that nothing interrupts, made when they are asked for."""
    folder = tmp_path_factory.mktemp("whole")

    @functools.cache
    def trained(kind: str) -> str:
        process = start(*words(kind), "--runs", folder, "--name", kind)
        assert process.wait(300) == 0, process.communicate()
        return weights(folder / kind)

    return trained


def broken(words: list[object], runs: Path, number: signal.Signals) -> tuple[int, str, str]:
    """Train a run called `broken` until a signal ends it; exit code, output and errors."""
    process = start(*words, "--runs", runs, "--name", "broken")
    until_checkpoint(process, runs / "broken")
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_resumed_run_ends_with_the_same_weights(words, whole, tmp_path, number):
    code, out, err = broken(words("text"), tmp_path, number)
    if number == signal.SIGINT:
        assert code == 130, err
        assert "unrolled train --resume" in out
    text = start("generate", "broken", "--runs", tmp_path, "--length", 5)
    assert text.wait(60) == 0, text.communicate()
    resumed = start("train", "--resume", "broken", "--runs", tmp_path, "--json")
    assert resumed.wait(300) == 0, resumed.communicate()
    assert weights(tmp_path / "broken") == whole("text")
    again = start("train", "--resume", "broken", "--runs", tmp_path)
    out, err = again.communicate(timeout=60)
    assert again.returncode == 1 and "finished" in err


@pytest.mark.parametrize("kind", ["records", "windows"])
def test_records_with_fields_and_windows_are_resumed_as_exactly(words, whole, tmp_path, kind):
    code, _, err = broken(words(kind), tmp_path, signal.SIGKILL)
    assert code == -signal.SIGKILL, err
    resumed = start("train", "--resume", "broken", "--runs", tmp_path, "--json")
    assert resumed.wait(300) == 0, resumed.communicate()
    assert weights(tmp_path / "broken") == whole(kind)


def test_two_processes_train_as_one_does(book, tmp_path):
    words = [
        "--hidden",
        "16",
        "--rows",
        "4",
        "--length",
        "16",
        "--steps",
        "20",
        "--dropout",
        "0",
        "--json",
        "--threads",
        "1",
    ]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = ("-m", "torch.distributed.run", "--nproc-per-node=2", "--master-addr=127.0.0.1", f"--master-port={port}")
    two = start("train", book, "--runs", tmp_path, "--name", "two", *words, launcher=launcher)
    one = start("train", book, "--runs", tmp_path, "--name", "one", *words)
    assert two.wait(300) == 0, two.communicate()
    assert one.wait(300) == 0, one.communicate()
    from safetensors.numpy import load_file

    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert abs(tensor - second[name]).max() < 1e-4, name
