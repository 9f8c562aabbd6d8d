"""The fuzzing of the native kernels, and that it counts what it is there to find."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.engine import fuzz_native
from unrolled.engine import runtime

if not runtime.available():
    pytest.skip("the native kernels were not built: a C++ compiler is needed", allow_module_level=True)


def test_mutated_programs_are_refused_or_run(tmp_path: Path):
    found = fuzz_native.fuzz_native(150, 1, tmp_path)
    assert sum(found.values()) == 150 and found["refused"] and found["ran"]
    assert not any(found[fate] for fate in fuzz_native.BAD), (found, list(tmp_path.iterdir()))


def test_crashes_hangs_and_errors_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    number = 0

    def outcome(path: Path) -> str:
        nonlocal number
        number += 1
        if sum(path.read_bytes()) % 5 == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if number == 4 and sum(path.read_bytes()) % 2:
            time.sleep(60)
        if number == 5:
            raise KeyError("unexpected")
        return "ran"

    monkeypatch.setattr(fuzz_native, "outcome", outcome)
    monkeypatch.setattr(fuzz_native, "PATIENCE", 0.2)
    found = fuzz_native.fuzz_native(60, 0, tmp_path)
    assert sum(found.values()) == 60 and all(found[fate] for fate in ("ran", *fuzz_native.BAD)), found
    assert len(list(tmp_path.iterdir())) == sum(found[fate] for fate in fuzz_native.BAD)
