"""What must work without torch does, at run time too."""

import subprocess
import sys

import pytest

FREE_OF_TORCH = (
    "unrolled",
    "unrolled.core.errors",
    "unrolled.core.files",
    "unrolled.core.draws",
    "unrolled.codecs",
    "unrolled.store",
    "unrolled.engine.program_file",
    "unrolled.engine.reference",
    "unrolled.engine.runtime",
    "unrolled.generation.native",
    "unrolled.api",
    "unrolled.api.curation",
    "unrolled.api.runs",
    "unrolled.cli.curate",
    "unrolled.cli.engine",
    "unrolled.cli.generate",
    "unrolled.cli.main",
)


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", FREE_OF_TORCH)
def test_a_room_is_importable_where_torch_is_not(name: str):
    done = python(f"import sys; sys.modules['torch'] = None; import {name}")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["no-such-command"]])
def test_the_command_line_answers_without_torch_or_numpy(arguments: list[str]):
    done = python(
        "import sys; from unrolled.cli.main import main; "
        f"main({arguments}); print(sorted({{'torch', 'numpy', 'rich'}} & set(sys.modules)), file=sys.stderr)"
    )
    assert done.stderr.splitlines()[-1] == "[]"
