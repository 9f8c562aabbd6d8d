"""The benchmark of generation on a tiny model, with the slow interpreter in place of the native kernels."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import bounds, generate, generation_shapes
from bench.generation_peers import Absent, Contestant
from bench.generation_shapes import REAL_TIME, SHAPES, Goal, Shape, cases, sequence
from tests.engine import standins
from unrolled.backbones import LSTM, gpt2
from unrolled.core.errors import UsageError
from unrolled.engine.lowering import lower, lower_backbone
from unrolled.heads.categorical import Categorical
from unrolled.models.sequence import OneHot

KEYS = {
    "shape", "precision", "threads", "streams", "ours", "peer", "peer_name", "ratio", "goal", "share_of_bound", "bound",
    "ours_full", "processor", "cores", "torch", "date",
}  # fmt: skip


def missing(steps: int, precision: str) -> Iterator[Contestant]:
    raise Absent("absent: nothing")
    yield


def slow(steps: int, precision: str) -> Iterator[Contestant]:
    yield Contestant("slower", lambda: sum(range(200_000)) and 1, lambda: sum(range(200_000)) and 1)
    yield Contestant("slow", lambda: sum(range(100_000)) and 1, lambda: sum(range(100_000)) and 1)


TINY = Shape(
    lambda: lower(sequence(OneHot(5), LSTM(5, 4), Categorical(4, 5))),
    "network",
    3,
    {"slow": slow, "missing": missing},
    (Goal("slow", {"float32": 2.0}),),
    streams=3,
    threads=(1,),
)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    def packed(program: Any, precision: str) -> Any:
        found = standins.packed(program, precision)
        found.bytes, found.instructions = sum(weight.nbytes for weight in program.weights.values()), "baseline"
        return found

    monkeypatch.setitem(SHAPES, "tiny", TINY)
    monkeypatch.setattr(generation_shapes, "Packed", packed)
    monkeypatch.setattr(generation_shapes, "Session", standins.StandIn)
    monkeypatch.setattr(bounds, "SECONDS", 1e-5)


def test_rows(tiny: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    command = generate.Command(shapes=("TINY",), seconds=1e-3, turns=3, rows=tmp_path / "rows.jsonl")
    before = torch.get_num_threads()
    rows = list(generate.measure(command))
    assert torch.get_num_threads() == before
    assert len(rows) == 3 * 3 and all(row.keys() >= KEYS for row in rows)
    assert all(row.keys() == rows[0].keys() for row in rows)
    by_case = {(row["precision"], row["against"]): row for row in rows}
    against = by_case["float32", "slow"]
    assert against["peer_name"] == "slow" and against["ratio"] == against["ours"] / against["peer"]
    assert against["goal"] == 2.0 and against["reached"] is (against["ratio"] >= 2.0)
    assert against["ratio_full"] == against["ours_full"] / against["peer_full"]
    assert by_case["int8", "slow"]["goal"] is None
    absent = by_case["float32", "missing"]
    assert absent["peer"] is absent["ratio"] is None and absent["peer_name"] == "absent: nothing" and absent["ours"] > 0
    many = by_case["float32", "own batch 1"]
    assert many["streams"] == 3 and many["goal"] == 10.0 and many["share_goal"] is None
    monkeypatch.setattr(generate.Bench, "row", lambda *_: pytest.fail("it was measured before"))
    assert list(generate.measure(command)) == json.loads(json.dumps(rows))


def test_the_goals_of_all_shapes():
    goals = {(case.shape, case.precision, case.against): case.goal for case in cases(()) if case.streams == 1}
    assert goals["LSTM 2x128", "int8", "eager PyTorch"] == 16.0
    assert goals["LSTM 2x512", "bfloat16", "eager PyTorch"] == 6.0
    assert goals["GRU 1x512, dense input", "float32", "ONNX Runtime"] == 1.4
    assert goals["WaveNet 30 layers 64/128/256", "int8", REAL_TIME] == 1.3
    assert goals["GPT-2 124M", "int8", "CTranslate2"] == 1.0
    assert {case.shape for case in cases(("gpt",))} == {"GPT 4x128, context 256", "GPT-2 124M"}
    assert all(case.goal == 10.0 for case in cases(()) if case.streams > 1)


def test_a_shape_that_there_is_not():
    with pytest.raises(UsageError, match="no shape begins with transformer"):
        next(generate.measure(generate.Command(shapes=("transformer",))))


def test_rates_of_the_machine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bounds, "SECONDS", 1e-4)
    machine = bounds.Bounds()
    if machine.absent:
        pytest.skip(machine.absent)
    for form in ("float32", "int8"):
        assert (machine.multiply(form, 1) or 1e9) > 1e8
    assert (machine.read(100_000, 2) or 0.0) > 1e8
    assert "integer dot products" in machine.name("int8")


def test_no_compiler(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(bounds.shutil, "which", lambda name: None)
    monkeypatch.setattr(bounds, "compiled", bounds.compiled.__wrapped__)
    machine = bounds.Bounds()
    assert machine.absent.startswith("no C++ compiler") and "\n" not in machine.absent
    assert machine.read(1000, 1) is machine.multiply("int8", 1) is None
    monkeypatch.setenv("CXX", "false")
    assert bounds.Bounds().absent.startswith("false cannot build bounds.cpp")


def test_work_of_a_step():
    work = bounds.work_of(lower(sequence(OneHot(5), LSTM(5, 4), Categorical(4, 5))), 10)
    assert work == (4 * 4 * 4 + 4 * 5, 0.0, 4 * (4 + 4), 1.0)  # the symbols' own matrix is a table
    program = lower_backbone(gpt2(8, layers=2, heads=2, window=4))
    work = bounds.work_of(program, 3)
    seen = (0 + 1 + 2) / 3
    assert work.matrices == 2 * 12 * 8 * 8
    assert work.attention == pytest.approx(2 * 2 * 8 * (seen + 1))
    assert work.state_bytes == pytest.approx(4 * 2 * 2 * 8 * seen)
