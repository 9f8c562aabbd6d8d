"""The package installs where there is neither a compiler nor CMake, and whole."""

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    if importlib.util.find_spec("scikit_build_core") is None or importlib.util.find_spec("pip") is None:
        pytest.skip("pip or scikit-build-core is not installed: run scripts/setup.sh dev")
    place = tmp_path_factory.mktemp("wheel")
    environment = {name: value for name, value in os.environ.items() if name not in ("CC", "CXX")} | {
        "PATH": str(place)
    }
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
        f"--config-settings=build-dir={place / 'build'}",  # the checkout's own knows a compiler already
        "-w",
        place,
        ROOT,
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (file,) = place.glob("*.whl")
    return zipfile.ZipFile(file)


def test_a_wheel_is_made_without_a_compiler_and_fits_every_machine(wheel: zipfile.ZipFile):
    assert wheel.filename is not None and wheel.filename.endswith("py3-none-any.whl")


def test_the_wheel_holds_the_package_and_nothing_else(wheel: zipfile.ZipFile):
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    there = {path.relative_to(ROOT).as_posix() for path in (ROOT / "unrolled").rglob("*.py")}
    assert packed == there | {"unrolled/py.typed"}


def test_the_wheel_says_how_to_start_it_and_carries_its_licence(wheel: zipfile.ZipFile):
    names = {Path(name).name: name for name in wheel.namelist()}
    assert "unrolled=unrolled.cli.main:main" in wheel.read(names["entry_points.txt"]).decode().replace(" ", "")
    assert "License-Expression: Apache-2.0" in wheel.read(names["METADATA"]).decode()
    assert "LICENSE" in names
