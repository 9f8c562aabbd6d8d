"""A small published run that tests may damage."""

from pathlib import Path

import pytest

from unrolled.store.configs import RunConfig
from unrolled.store.folders import RunFolder, create_run

CONFIG = RunConfig("char-rnn", {"width": 3}, {"name": "book"}, unrolled="0.1.0")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def run(runs: Path) -> RunFolder:
    folder = create_run(runs, "one", "char-rnn")
    folder.publish(lambda path: path.write_bytes(b"weights" * 100), CONFIG, {"kind": "characters"}, "# one\n")
    return folder
