"""Exit codes, and what must import without torch."""

import subprocess
import sys

from unrolled.core import errors


def test_exit_codes() -> None:
    kinds = [errors.DataError, errors.RunError, errors.TrainingError]
    assert [kind("x").exit_code for kind in kinds] == [1, 1, 1]
    assert errors.UsageError("x").exit_code == 2
    assert all(issubclass(kind, errors.UnrolledError) for kind in [*kinds, errors.UsageError])


def test_errors_files_and_draws_import_without_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from unrolled.core import draws, errors, files\n"
        "print(draws.Draws(1, 2, 3).uniform())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 0 <= float(done.stdout) < 1
