"""The test binary of the native kernels: every kernel of this machine's instruction sets, with no Python in between."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "test_native.sh"


def run(*parts: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(SCRIPT), *parts], capture_output=True, text=True, env={**os.environ, **environment}, timeout=600
    )


def test_every_kernel_on_this_machine():
    if not shutil.which(os.environ.get("CXX", "c++")):
        pytest.skip("a C++ compiler is needed")
    found = run("native")
    assert found.returncode == 0, found.stdout[-2000:] + found.stderr[-2000:]
    assert "FAILED" not in found.stdout
    assert re.fullmatch(r"\d{2,} passed, 0 failed", found.stdout.splitlines()[-1])


def test_what_is_missing_for_another_machine_is_said_in_one_line(tmp_path: Path):
    for name in ("bash", "dirname", "mktemp", "rm"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    found = run("aarch64", PATH=str(tmp_path))
    assert found.returncode == 0 and len(found.stdout.splitlines()) == 1
    assert "not run" in found.stdout and "apt-get install" in found.stdout


def test_unknown_parts_are_refused():
    found = run("mips")
    assert (
        found.returncode == 2 and found.stderr == "unknown part 'mips': choose native, aarch64, sanitized or threads\n"
    )
