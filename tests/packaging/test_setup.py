"""scripts/setup.sh in a copied checkout, with a stand-in for Python that writes down what it is asked."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
FAKE_PYTHON = """#!/usr/bin/env bash
echo "$*" >>"$FAKE/log"
case "$*" in
  --version) echo "Python ${FAKE_VERSION:-3.12.0}" ;;
  *version_info*) [ "${FAKE_VERSION:-3.12.0}" != 3.9.1 ] ;;
  *"print(sys.version)"*) echo "${FAKE_VERSION:-3.12.0} (stand-in)" ;;
  *"import venv"*) [ -z "${FAKE_NO_VENV:-}" ] ;;
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  *--index-url*) touch .venv/cpu-build ;;
  *--dry-run*) if [ -n "${FAKE_CUDA:-}" ] && { [ "$FAKE_CUDA" = always ] || [ ! -e .venv/cpu-build ]; }; then
      echo '{"install": [{"metadata": {"name": "nvidia-cublas"}}]}'; else echo '{}'; fi >.venv/report.json ;;
  "-m pip install"*) if [ -n "${FAKE_PROBLEM:-}" ]; then echo "$FAKE_PROBLEM" >&2; exit 1; fi ;;
esac
"""


class Result(NamedTuple):
    code: int
    said: str
    asked: list[str]


class Checkout:
    def __init__(self, place: Path):
        self.place = place
        self.programs = place / "programs"
        self.programs.mkdir()
        for name in ("scripts/setup.sh", "pyproject.toml", "constraints.txt", "CMakeLists.txt", "native/kernels.hpp"):
            (place / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, place / name)
        (place / "unrolled").mkdir()
        self.program("nvidia-smi", "#!/usr/bin/env bash\nexit 1\n")
        for name in ("python3", "python3.11", "python3.12", "python3.13", "python3.14", "python"):
            self.program(name, FAKE_PYTHON)

    def program(self, name: str, text: str) -> None:
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    def run(self, extra: str = "dev", **settings: str) -> Result:
        log = self.place / "log"
        log.unlink(missing_ok=True)
        path = f"{self.programs}{os.pathsep}{os.environ['PATH']}"
        environment = {
            **os.environ,
            "PATH": path,
            "FAKE": str(self.place),
            "TORCH_INDEX": "https://cpu.example",
            **settings,
        }
        environment.pop("PYTHON", None)
        done = subprocess.run(
            ["bash", "scripts/setup.sh", extra],
            cwd=self.place,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return Result(done.returncode, done.stdout + done.stderr, log.read_text().splitlines() if log.exists() else [])


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def installs(result: Result) -> list[str]:
    return [line.partition("constraints.txt ")[2] for line in result.asked if line.startswith("-m pip install")]


def test_everything_is_installed_once_and_a_second_run_asks_pip_nothing(checkout: Checkout):
    first = checkout.run()
    assert first.code == 0, first.said
    assert installs(first) == [
        "pip scikit-build-core nanobind cmake ninja",
        "--dry-run --report .venv/report.json --no-build-isolation -e .[dev]",
        "--no-build-isolation -e .[dev]",
    ]
    second = checkout.run()
    assert second.code == 0 and second.said == "" and installs(second) == []


def test_what_tests_need_holds_what_the_demo_needs(checkout: Checkout):
    demo = checkout.run("demo")
    assert installs(demo)[2] == "--no-build-isolation -e .[demo]"
    assert len(installs(checkout.run("dev"))) == 3
    (checkout.place / ".venv/ready-demo").unlink()
    assert installs(checkout.run("demo")) == []


def test_torch_comes_from_the_cpu_index_where_pip_names_cuda_packages(checkout: Checkout):
    result = checkout.run(FAKE_CUDA="1")
    assert result.code == 0, result.said
    assert installs(result)[2] == "--no-deps --index-url https://cpu.example torch"
    assert "no NVIDIA GPU" in result.said


def test_cuda_packages_are_refused_if_the_cpu_index_does_not_help(checkout: Checkout):
    result = checkout.run(FAKE_CUDA="always")
    assert result.code == 1 and "CUDA packages would still be installed" in result.said
    assert "--no-build-isolation -e .[dev]" not in installs(result)


def test_a_machine_with_a_gpu_takes_what_pip_chooses(checkout: Checkout):
    checkout.program("nvidia-smi", "#!/usr/bin/env bash\necho GPU 0\n")
    result = checkout.run(FAKE_CUDA="1")
    assert result.code == 0 and installs(result) == [
        "pip scikit-build-core nanobind cmake ninja",
        "--no-build-isolation -e .[dev]",
    ]


def test_a_change_of_the_pins_installs_again(checkout: Checkout):
    checkout.run()
    with open(checkout.place / "constraints.txt", "a") as file:
        file.write("# changed\n")
    again = checkout.run()
    assert len(installs(again)) == 3 and not any("-m venv" in line for line in again.asked)


@pytest.mark.parametrize("damage", ["cut off", "moved", "interpreter gone"])
def test_a_broken_environment_is_made_anew(checkout: Checkout, damage: str):
    checkout.run()
    if damage == "cut off":
        (checkout.place / ".venv/installing").write_text("99999999")
    elif damage == "moved":
        (checkout.place / ".venv/place").write_text("/elsewhere")
    else:
        (checkout.place / ".venv/bin/python").unlink()
    again = checkout.run()
    assert again.code == 0 and "-m venv .venv" in again.asked and len(installs(again)) == 3
    assert installs(checkout.run()) == []


PROBLEMS = {
    "old Python": ({"FAKE_VERSION": "3.9.1"}, "no Python 3.11 to 3.14 found (python3 is Python 3.9.1)"),
    "no venv": ({"FAKE_NO_VENV": "1"}, "has no venv module: install it"),
    "no network": (
        {"FAKE_PROBLEM": "HTTPSConnection(host='index.example'): NewConnectionError"},
        "no network: pip cannot reach index.example",
    ),
    "full disk": ({"FAKE_PROBLEM": "ERROR: No space left on device"}, "the disk is full"),
    "another problem of pip": ({"FAKE_PROBLEM": "ERROR: no such version"}, "pip failed: ERROR: no such version"),
}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_what_is_missing_is_said_in_one_line(checkout: Checkout, problem: str):
    settings, message = PROBLEMS[problem]
    result = checkout.run(**settings)
    lines = [line for line in result.said.splitlines() if not line.startswith(("setup: making", "setup: installing"))]
    assert result.code == 1 and len(lines) == 1 and message in lines[0]
    assert checkout.run().code == 0  # nothing stands in the way once the problem is solved


def test_too_small_a_disk_is_refused_before_anything_is_made(checkout: Checkout):
    checkout.program("df", "#!/usr/bin/env bash\nprintf 'head\\nfs 9 9 1000000 9 /\\n'\n")
    result = checkout.run()
    assert result.code == 1 and "1000 MB are free" in result.said and not (checkout.place / ".venv").exists()


def test_an_environment_of_somebody_else_is_left_alone(checkout: Checkout):
    (checkout.place / ".venv").mkdir()
    (checkout.place / ".venv/mine").touch()
    result = checkout.run()
    assert result.code == 1 and "did not make it" in result.said and (checkout.place / ".venv/mine").exists()


def test_two_set_ups_at_once_do_not_disturb_each_other(checkout: Checkout):
    checkout.run()
    (checkout.place / ".venv/installing").write_text(str(os.getpid()))
    result = checkout.run()
    assert result.code == 1 and f"process {os.getpid()} is installing" in result.said
    assert (checkout.place / ".venv/place").exists()
