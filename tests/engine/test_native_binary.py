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


COMPILER = """#!/bin/sh
[ "$1" != -dumpmachine ] || exec echo plain
for last; do :; done
printf '#!/bin/sh\\necho 12 passed, 0 failed\\n' >"$last"
chmod +x "$last"
"""


def test_what_is_missing_for_another_machine_is_said_in_one_line(tmp_path: Path):
    """It fails where that machine was asked for; else this one counts, here by a compiler that makes one program."""
    for name in ("bash", "chmod", "cut", "dirname", "mkdir", "mktemp", "nproc", "rm", "sh", "xargs"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    (tmp_path / "plain").write_text(COMPILER)
    (tmp_path / "plain").chmod(0o755)
    found = run(PATH=str(tmp_path), CXX="plain")
    *before, line = found.stdout.splitlines()
    assert found.returncode == 0 and before == ["== native", "12 passed, 0 failed"], found
    assert line.startswith("== aarch64: not run") and "apt-get install" in line
    found = run("aarch64", PATH=str(tmp_path))
    assert found.returncode == 1 and not found.stdout and len(found.stderr.splitlines()) == 1
    assert found.stderr.startswith("aarch64: not run") and "apt-get install" in found.stderr


def test_unknown_parts_are_refused():
    found = run("mips")
    assert (
        found.returncode == 2 and found.stderr == "unknown part 'mips': choose native, aarch64, sanitized or threads\n"
    )
