"""The script that runs the engine's tests under sanitizers leaves out none that runs kernels."""

import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
SCRIPT = FOLDER.parents[1] / "scripts" / "sanitize.sh"
RUNTIME = re.compile(r"^\s*from unrolled\.engine(\.runtime import| import .*\bruntime\b)", re.MULTILINE)
EXCEPTIONS = {
    "test_fuzz_native.py": "the script mutates programs itself, and many more",
    "test_program.py": "it runs programs by the reference alone, which is Python",
}


def test_every_test_of_the_kernels_is_run_under_sanitizers():
    listed = re.findall(r"tests/engine/(test_\w+\.py)", SCRIPT.read_text("utf-8"))
    using = {path.name for path in FOLDER.glob("test_*.py") if RUNTIME.search(path.read_text("utf-8"))}
    assert sorted([*listed, *EXCEPTIONS]) == sorted(using)
