"""Ctrl-C, SIGKILL and torchrun as a user meets them: nothing lost, the same weights in the end."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ["--hidden", "24", "--rows", "4", "--length", "16", "--steps", "1500", "--dropout", "0.3"]
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
def whole(book, tmp_path_factory) -> Path:
    """A training that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    process = start("train", book, "--runs", folder, "--name", "whole", *SETTINGS, *CADENCE)
    assert process.wait(300) == 0, process.communicate()
    return folder / "whole"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_resumed_run_ends_with_the_same_weights(book, tmp_path, whole, number):
    run = tmp_path / "broken"
    process = start("train", book, "--runs", tmp_path, "--name", "broken", *SETTINGS, *CADENCE)
    until_checkpoint(process, run)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    if number == signal.SIGINT:
        assert process.returncode == 130, err
        assert "unrolled train --resume" in out
    text = start("generate", "broken", "--runs", tmp_path, "--length", 5)
    assert text.wait(60) == 0, text.communicate()
    resumed = start("train", "--resume", "broken", "--runs", tmp_path, "--json")
    assert resumed.wait(300) == 0, resumed.communicate()
    assert weights(run) == weights(whole)
    again = start("train", "--resume", "broken", "--runs", tmp_path)
    out, err = again.communicate(timeout=60)
    assert again.returncode == 1 and "finished" in err


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
