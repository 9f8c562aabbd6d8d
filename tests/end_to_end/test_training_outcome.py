"""What a training leaves behind: the best weights and not the last, its metrics in the store, and in TensorBoard."""

import hashlib
import json
import random
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import SMALL
from unrolled.api import session as sessions
from unrolled.core.errors import TrainingError
from unrolled.store.database import FILE
from unrolled.store.folders import METRICS
from unrolled.store.journal import records

PATIENCE, EVERY, MOST = 2, 5, 3000
OVERFITTING = [
    "--hidden", 24, "--rows", 2, "--length", 32, "--dropout", 0, "--split", 0.5, "--optimiser", "adamw",
    "--learning-rate", 0.03, "--warmup", 0, "--schedule", "constant", "--evaluate-every", EVERY, "--quiet",
]  # fmt: skip


def weights(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def metrics(run: Path, kind: str) -> dict[int, dict[str, Any]]:
    """By step, what the journal of a run says of one kind; the last where a step has several."""
    return {row["step"]: row["values"] for row in records(run / METRICS) if row["kind"] == kind}


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """Letters drawn at random: all that can be learned, but for how often each comes, holds for the one part alone."""
    path = tmp_path / "noise.txt"
    path.write_text("".join(random.Random(0).choices("abcdefgh", [30, 20, 10, 5, 4, 3, 2, 1], k=1000)))
    return path


def test_an_overfitted_run_stops_early_and_holds_the_best_weights(unrolled, noise, tmp_path):
    words = ["--runs", tmp_path, *OVERFITTING]
    assert unrolled("train", noise, "--name", "early", "--steps", MOST, "--patience", PATIENCE, *words).code == 0
    early, exact = tmp_path / "early", tmp_path / "exact"
    scores = {step: values["nats"] for step, values in metrics(early, "validation").items()}
    best, last = min(scores, key=lambda step: scores[step]), max(scores)
    assert last == best + PATIENCE * EVERY < MOST
    assert metrics(early, "state")[last]["state"] == "stopped early"

    assert unrolled("train", noise, "--name", "exact", "--steps", best, *words).code == 0
    assert weights(early) == weights(exact) == weights(exact / "checkpoints" / f"{best:08d}")
    assert weights(early) != weights(early / "checkpoints" / f"{last:08d}")

    again = unrolled("train", "--resume", "early", "--runs", tmp_path)
    assert again.code == 1 and "is finished" in again.err


def test_metrics_are_in_the_journal_and_in_the_database(unrolled, book, tmp_path, monkeypatch):
    monkeypatch.setattr(sessions, "WRITE_SECONDS", 0.0)
    words = ["--steps", 6, "--evaluate-every", 3, "--quiet"]
    assert unrolled("train", book, "--runs", tmp_path, "--name", "x", *words, *SMALL).code == 0
    journal = list(records(tmp_path / "x" / METRICS))
    trained, judged = (metrics(tmp_path / "x", kind) for kind in ("train", "validation"))
    assert list(trained) == [1, 2, 3, 4, 5, 6] and list(judged) == [3, 6]
    assert all(0 < values["nats"] < 5 and values["norm"] > 0 and values["rate"] > 0 for values in trained.values())
    assert all(0 < values["nats"] < 5 and values["protocol"] == "carried" for values in judged.values())
    assert [row["values"]["state"] for row in journal if row["kind"] == "state"] == ["training", "finished"]

    database = sqlite3.connect(tmp_path / FILE)  # as the training left it: the commands would mend it first
    rows = database.execute("SELECT step, kind, nats FROM metrics WHERE run = 'x' ORDER BY line").fetchall()
    database.close()
    assert rows == [(row["step"], row["kind"], row["values"].get("nats")) for row in journal]

    (listed,) = map(json.loads, unrolled("runs", "--runs", tmp_path, "--json").out.splitlines())
    assert (listed["name"], listed["state"]) == ("x", "finished")
    assert listed["best"] == min(values["nats"] for values in judged.values())


def test_a_training_that_fails_says_so_in_the_store(unrolled, book, tmp_path, monkeypatch):
    def fail(self: object) -> str:
        raise TrainingError("update 3: the loss is nan; try a lower learning rate")

    monkeypatch.setattr(sessions.Session, "updates", fail)
    assert unrolled("train", book, "--runs", tmp_path, "--name", "x", "--steps", 5, *SMALL).code == 1
    (listed,) = map(json.loads, unrolled("runs", "--runs", tmp_path, "--json").out.splitlines())
    assert listed["state"] == "failed"


def test_losses_are_written_for_tensorboard(unrolled, book, tmp_path, monkeypatch):
    reason = "tensorboard is not installed: pip install 'unrolled[tensorboard]'"
    reading: Any = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason=reason)
    for name in ("SHOW_SECONDS", "WRITE_SECONDS"):
        monkeypatch.setattr(sessions, name, 0.0)
    words = ["--steps", 2, "--evaluate-every", 1, "--quiet", "--tensorboard"]
    assert unrolled("train", book, "--runs", tmp_path, "--name", "x", *words, *SMALL).code == 0
    events = reading.EventAccumulator(str(tmp_path / "x" / "tensorboard")).Reload()
    for tag, kind in (("train/nats", "train"), ("validation/nats", "validation")):
        wanted = {step: values["nats"] for step, values in metrics(tmp_path / "x", kind).items()}
        assert {event.step: event.value for event in events.Scalars(tag)} == pytest.approx(wanted) and len(wanted) == 2
    nats, bits = (events.Scalars(f"validation/{unit}") for unit in ("nats", "bits_per_character"))
    assert [event.value for event in bits] == pytest.approx([event.value / 0.6931472 for event in nats], rel=1e-3)
    assert all(event.value > 0 for event in events.Scalars("train/symbols_per_second"))


def test_a_tensorboard_that_is_missing_is_said_in_one_line(unrolled, book, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    found = unrolled("train", book, "--runs", tmp_path, "--steps", 2, "--tensorboard", *SMALL)
    assert (found.code, found.out) == (1, "")
    assert found.err == "unrolled: the package tensorboard is not installed: pip install tensorboard\n"
    assert not list(tmp_path.iterdir())
