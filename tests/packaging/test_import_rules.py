"""The import rules hold, and a wrong import is caught by each of them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("importlinter", reason="import-linter is not installed")

RULES = {
    "layers": "Rooms import only from the rooms below them",
    "independence": "Systems never import one another",
    "torch": "What must work without torch never imports it",
}
FAULTS = {
    "core imports a room above": ("layers", "core/files.py", "import unrolled.codecs"),
    "siblings import one another": ("layers", "store/__init__.py", "import unrolled.training"),
    "an undeclared room": ("layers", "utils/__init__.py", ""),
    "a system imports another": ("independence", "systems/window.py", "import unrolled.systems.char_rnn"),
    "errors import torch": ("torch", "core/errors.py", "import torch"),
    "the store imports torch through core": ("torch", "store/__init__.py", "import unrolled.core.state"),
    "the runtime lowers": ("torch", "engine/runtime.py", "import unrolled.engine.lowering"),
    "generate imports torch in a function": ("torch", "cli/generate.py", "def late():\n    import torch"),
    "a run imports its weights": ("torch", "api/run.py", "from unrolled.api import weights"),
    "native streams import those of torch": ("torch", "generation/native.py", "import unrolled.generation.stream"),
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("rules")
    shutil.copytree(ROOT / "unrolled", place / "unrolled", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", place)
    return place


# The finder of an editable install would lead to this checkout rather than to the copy.
LINT = """
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if not type(finder).__name__.startswith("ScikitBuild")]
from importlinter.cli import lint_imports
sys.exit(lint_imports(no_cache=True, no_logo=True))
"""


def lint(checkout: Path) -> tuple[bool, str]:
    """Whether the rules hold, and what the linter says."""
    done = subprocess.run([sys.executable, "-c", LINT], cwd=checkout, capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stdout + done.stderr


def test_the_rules_hold(checkout: Path):
    kept, text = lint(checkout)
    assert kept, text


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_import_is_caught(checkout: Path, fault: str):
    rule, name, line = FAULTS[fault]
    file = checkout / "unrolled" / name
    before = file.read_text("utf-8") if file.exists() else None
    file.parent.mkdir(exist_ok=True)
    file.write_text((before or "") + f"\n{line}\n", "utf-8")
    try:
        kept, text = lint(checkout)
    finally:
        if before is None:
            shutil.rmtree(file.parent)
        else:
            file.write_text(before, "utf-8")
    assert not kept
    assert RULES[rule] in text.partition("Broken contracts")[2], text
