"""Two processes that share the rows of each batch train as one process does with all of them."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from distributed_script import run

from unrolled.training.checkpoints import read_tensors
from unrolled.training.distributed import ALONE

HERE = Path(__file__).parent


def launch(place: Path, name: str, source: str, steps: int) -> None:
    """Run the script in two processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node=2", "--master-addr=127.0.0.1"]
    script = [str(HERE / "distributed_script.py"), str(place), name, source, str(steps)]
    paths = os.pathsep.join([str(HERE), str(HERE.parents[1])])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": loopback()}
    command = [sys.executable, *launcher, f"--master-port={port}", *script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]


def loopback() -> str:
    """The name of the network interface of this machine to itself."""
    names = [name for _, name in socket.if_nameindex()]
    return next(name for name in ("lo", "lo0", *names) if name in names)


def facts(place: Path, name: str) -> dict[str, Any]:
    return json.loads((place / f"{name}.json").read_text())


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this build of torch has no distributed package")
def test_two_processes_train_as_one_does(tmp_path: Path) -> None:
    """From the same start, and then from a checkpoint of the other number of processes."""
    run(tmp_path, "one", "-", 7)
    run(tmp_path, "whole", "-", 13)
    launch(tmp_path, "two", "-", 7)
    launch(tmp_path, "mixed", "one", 13)
    for name, other, start in (("one", "two", 0), ("whole", "mixed", 7)):
        expected = facts(tmp_path, f"{name}0")["losses"][start:]
        first, second = facts(tmp_path, f"{other}0"), facts(tmp_path, f"{other}1")
        assert first == second and first["failures"] == ["disk full"]
        for line, alone in zip(first["losses"], expected, strict=True):
            assert line == pytest.approx(alone, rel=1e-5)
        weights = read_tensors(tmp_path / f"{name}0.safetensors")
        for rank in (0, 1):
            for key, tensor in read_tensors(tmp_path / f"{other}{rank}.safetensors").items():
                torch.testing.assert_close(tensor, weights[key], rtol=1e-4, atol=1e-5)
    one, two = (read_tensors(tmp_path / name / "00000007" / "carried.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    for key in one:
        torch.testing.assert_close(one[key], two[key], rtol=1e-4, atol=1e-5)


def test_alone_nothing_is_sent() -> None:
    assert ALONE.total([1.5]) == [1.5] and ALONE.agreed(2.0) == 2.0
    assert ALONE.by_first(lambda: "x") == "x" and ALONE.is_first
