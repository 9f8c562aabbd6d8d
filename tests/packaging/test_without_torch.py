"""A trained run writes in an environment that has numpy, safetensors and this package, and nothing else."""

import importlib.util
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from unrolled.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--hidden", "16", "--rows", "4", "--length", "16", "--steps", "2", "--quiet"]


def run(*command: object, **settings: object) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, check=False, **settings)  # pyright: ignore


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package with its kernels."""
    if importlib.util.find_spec("scikit_build_core") is None or importlib.util.find_spec("pip") is None:
        pytest.skip("pip or scikit-build-core is not installed: run scripts/setup.sh dev")
    place = tmp_path_factory.mktemp("wheel")
    build = ("--no-index", "--no-deps", "--no-build-isolation", "-C", f"build-dir={place}/build", "-w", place)
    done = run(sys.executable, "-m", "pip", "wheel", *build, ROOT)
    assert done.returncode == 0, done.stderr
    (file,) = place.glob("*.whl")
    if file.name.endswith("none-any.whl"):
        pytest.skip("the kernels were not built: there is no compiler or no CMake")
    return file


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment without torch."""
    place = tmp_path_factory.mktemp("bare")
    venv.create(place, with_pip=True)
    pip = (place / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    done = run(*pip, "--only-binary=:all:", "-c", ROOT / "constraints.txt", "numpy", "safetensors")
    if done.returncode:
        pytest.skip(f"numpy and safetensors cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    done = run(*pip, "--no-index", "--no-deps", wheel)
    assert done.returncode == 0, done.stderr
    assert run(place / "bin" / "python", "-c", "import torch").returncode != 0
    return place / "bin"


def test_a_run_writes_where_there_is_no_torch(
    bare: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNROLLED_CACHE", str(tmp_path / "cache"))
    (tmp_path / "book.txt").write_text("the sea sings under a green night and a bird waits for rain.\n" * 40)
    runs = str(tmp_path / "runs")
    assert main(["train", str(tmp_path / "book.txt"), "--runs", runs, "--name", "x", *SMALL]) == 0
    words = ["generate", "x", "--runs", runs, "--seed", "1", "-n", "50"]
    capsys.readouterr()
    assert main([*words, "--engine", "torch"]) == 0
    expected, _ = capsys.readouterr()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = run(bare / "unrolled", *words, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout == expected and len(expected) > 50 and "engine native" in done.stderr
    shown = run(bare / "unrolled", "engine", "show", "x", "--runs", runs, cwd=tmp_path, env=environment)
    assert shown.returncode == 0 and "lstm" in shown.stdout
    trained = run(bare / "unrolled", "train", "book.txt", cwd=tmp_path, env=environment)
    assert trained.returncode == 1 and "is not installed: pip install" in trained.stderr
