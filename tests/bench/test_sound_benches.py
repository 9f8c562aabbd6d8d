"""The measurements of sound in their tiniest form, with trainings in this process or none at all."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench import hours, learning, sound, studies
from tests.data.sounds import soundfile
from unrolled.backbones import Tiers
from unrolled.cli.main import main
from unrolled.core.errors import DataError, UsageError
from unrolled.engine import runtime
from unrolled.heads.categorical import Categorical
from unrolled.models.sequence import OneHot, SequenceModel

FOUND = {
    "bits_per_sample": 2.0, "stderr": 0.01, "predictions": 10, "split": "validation", "protocol": "carried",
    "under_best": 0.5, "cost": 0.001, "baselines": {"frequencies": 6.0, "fixed": 4.0, "following": 2.5},
}  # fmt: skip


def in_process(data: Path, *arguments: str, runs: Path) -> tuple[Path, float]:
    """`trained` of a tiny model."""
    small = ["--cycles=1", "--layers=3", "--width=4", "--gate=4", "--skip=4"]
    assert main(["train", str(data), "--runs", str(runs), "--quiet", *arguments, *small]) == 0
    return runs / arguments[-1].removeprefix("--name="), 1.0


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNROLLED_CACHE", str(tmp_path / "cache"))


def test_live_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound, "trained", in_process)
    monkeypatch.setitem(sound.GOALS, sound.Case("wavenet full", "float32", 1), 1e9)
    rows = list(sound.measure(sound.Command(("wavenet full",), seconds=1e-3, turns=1)))
    by_case = {(row["precision"], row["threads"]): row for row in rows}
    first = by_case["float32", 1]
    assert first["system"] == "wavenet full" and first["realtime"] > 0 and first["reached"] is False
    assert first["first_sound_s"] > 0 and first["first_sound_opening_s"] > 0 and first["engine"] in ("native", "torch")
    if runtime.available():
        assert len(rows) == 3 * len(sound.THREADS[: sound.cores()]) and by_case["bfloat16", 1]["reached"] is None
    else:
        assert list(by_case) == [("float32", 1)] and first["engine"] == "torch"


def test_batch_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    if not runtime.available():
        pytest.skip("there are no kernels")
    model = SequenceModel(OneHot(5), Tiers(5, 4, frames=(8, 2)), Categorical(4, 5), begin=3, end=4).eval()
    monkeypatch.setattr(sound, "random_model", lambda *_: model)
    monkeypatch.setattr("bench.bounds.SECONDS", 1e-5)
    row = next(iter(sound.batch_rows(sound.Command(seconds=1e-3, turns=1))))
    assert row["streams"] == 32 and row["ratio"] == pytest.approx(row["realtime"] / row["one_realtime"])
    assert row["reached"] is (row["ratio"] >= 10 or (row["share_of_compute"] or 0) >= 0.7)
    with pytest.raises(UsageError, match="no system begins with piano: there are wavenet live"):
        next(sound.measure(sound.Command(("piano",))))


def test_learning_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainings: list[tuple[str, ...]] = []

    def trained(data: Path, *words: str, runs: Path) -> tuple[Path, float]:
        trainings.append((data.name, *words))
        return runs / "run", 60.0

    def evaluated(run: Path, *words: str) -> dict[str, Any]:
        if "--precision=int8" in words and "rnn" in run.name:
            raise DataError("no lowering")
        return FOUND

    monkeypatch.setattr(learning, "shared_sound", lambda name: tmp_path / name)
    monkeypatch.setattr(learning, "trained", trained)
    monkeypatch.setattr(learning, "evaluated", evaluated)
    monkeypatch.setattr(learning, "echoed", lambda run, data: {"echo": 0.9})
    command = learning.Command(rows=tmp_path / "rows.jsonl", minutes=2.0)
    rows = list(learning.measure(command))
    assert len(trainings) == len(learning.CASES) and len(rows) == 2 * len(learning.CASES)
    music = rows[0]
    assert music["case"] == "music-wavenet" and music["reached"] is True and music["following_bits"] == 2.5
    assert trainings[0][:4] == ("music16k", "--system=wavenet", "--validation=Deprecation", "--minutes=2")
    overfit = next(row for row in rows if row["case"] == "overfit-wavenet")
    assert overfit["reached"] is False and overfit["data"] == "loop_garzul.flac"  # 2 bits, where 1 is asked for
    costs = {row["case"]: row for row in rows[len(learning.CASES) :]}
    assert costs["music-wavenet"]["reached"] is True and costs["music-sample-rnn"]["cost_bits"] is None
    assert list(learning.measure(command)) == json.loads(json.dumps(rows)) and len(trainings) == len(learning.CASES)
    with pytest.raises(UsageError, match="no row is called 'poems'"):
        next(learning.measure(learning.Command(only=("poems",))))


def test_an_echo_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = np.random.default_rng(0).uniform(-0.5, 0.5, 3 * 1600).astype(np.float32)
    path = tmp_path / "loop.wav"
    soundfile.write(path, original, 1600, subtype="FLOAT")

    def samples(seed: Path, count: int, *, seconds: float, temperature: float) -> np.ndarray:
        heard, rate = soundfile.read(seed, dtype="float32")
        assert np.array_equal(heard, original[:1600]) and (rate, seconds) == (1600, 1.0)
        made = np.random.default_rng(1).uniform(-0.5, 0.5, (count, 1600)).astype(np.float32)
        if temperature == 0.3:
            made[2] = original[1600:3200] * np.float32(0.5) + np.float32(0.1)
        return made

    monkeypatch.setattr("unrolled.api.runs.load", lambda folder: SimpleNamespace(samples=samples))
    found = learning.echoed(tmp_path, path)
    assert found["echo"] == pytest.approx(1.0) and (found["echo_temperature"], found["echo_stream"]) == (0.3, 2)
    assert found["echo_attempts"] == 13 and abs(found["echo_at_temperature_1"]) < 0.1
    assert learning.correlation(np.zeros(9, np.float32), original[:9]) == 0


def test_study_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bits = {"window-32": 2.5, "window-512": 2.3, "2-tier": 2.35, "2-tier-without-embedding": 2.6}

    def trained(data: Path, *words: str, runs: Path) -> tuple[Path, float]:
        given = dict(word.removeprefix("--").split("=") for word in words)
        assert given["rows"] == ("256" if "more" in given["name"] else "16") and given["steps"] == "10"
        assert ("embedding" in given["name"]) == (given["embedding"] == "0")
        return Path(given["name"]), 1.0

    monkeypatch.setattr(studies, "shared_sound", lambda name: tmp_path / name)
    monkeypatch.setattr(studies, "trained", trained)
    monkeypatch.setattr(studies, "evaluated", lambda run, *_: FOUND | {"bits_per_sample": bits.get(str(run), 2.4)})
    command = studies.Command(samples=10 * studies.ROWS * studies.LONGEST, rows=tmp_path / "rows.jsonl")
    rows = list(studies.measure(command))
    assert len(rows) == 8 + 6 and rows[0]["published"] == 1.575
    assert [row["samples"] // 5120 for row in rows[:6]] == [1, 2, 4, 8, 16, 16]
    by_study = {row["study"]: row for row in rows[8:]}
    assert by_study["window"]["gain_bits"] == pytest.approx(0.2) and by_study["window"]["same_direction"] is True
    assert by_study["tiers"]["same_direction"] is True and by_study["tiers, music"]["same_direction"] is False
    assert by_study["window, all read the same"]["same_direction"] is None
    assert by_study["embedding"]["published_gain_bits"] == pytest.approx(0.174)
    monkeypatch.setattr(studies, "trained", lambda *_, **__: pytest.fail("it was measured before"))
    assert list(studies.measure(command)) == json.loads(json.dumps(rows))
    few = list(studies.measure(studies.Command(samples=command.samples, only=("window 32",), rows=command.rows)))
    assert few == rows[:1]


def test_hours_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    first, cached, verdict = hours.measure(hours.Command(hours=7 / 3600, track=3 / 60))
    assert (first["reading"], cached["reading"]) == ("first", "cached")
    assert first["seconds"] > first["ready_seconds"] > 0 and first["peak_anonymous_megabytes"] > 50
    assert verdict["memory_growth"] == 1.0 and verdict["reached"] is True
