"""The measurements of training, at sizes that take a second."""

from pathlib import Path

import pytest
import torch
from torch import nn

from bench import corpora, growth, speed, sweep
from bench.common import CHECKOUT, rows_in
from bench.peers import BareRecurrent
from unrolled.api.session import Session


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat. " * 200)
    settings = {"system": "char-rnn", "hidden": 8, "dropout": 0.0, "rows": 2, "length": 16}
    monkeypatch.setattr(speed, "shared_text", lambda name: text)
    monkeypatch.setattr(speed, "SHAPES", {"tiny": (settings, lambda size: BareRecurrent(nn.LSTM, size, 8, 1))})


def test_speed_counts_all_that_a_training_does(tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    updates = Session.updates
    monkeypatch.setattr(Session, "updates", lambda self: (updates(self), made.append(self.progress.step))[0])
    (row,) = speed.measure(speed.Command(updates=4, turns=2))
    assert made == [3, 7, 11]  # the first turn does not count
    assert row["symbols_per_second"] > 0 and row["bare_symbols_per_second"] > 0 and row["checkpoints"] > 0
    assert row["ratio"] == pytest.approx(row["symbols_per_second"] / row["bare_symbols_per_second"])


def test_checkpoints_are_spread_over_the_time_between_them(tiny: None) -> None:
    times = {"ours": [1.0], "bare": [1.1], "updates": [1.0]}
    job = type("Job", (), {"recipe": type("R", (), {"rows": 2, "length": 5}), "model": nn.Linear(3, 4, bias=False)})
    row = speed.figures("x", job, times, 1e3, 0.25)  # type: ignore[arg-type]
    assert row["overhead"] == pytest.approx(0.25) and row["ratio"] == pytest.approx(1.1 / 1.25)
    assert row["share_of_matrix_products"] == pytest.approx(6 * 10 * 12 / 1.25 / 1e3)


def test_what_is_kept_for_the_way_back_is_counted_once() -> None:
    x = torch.randn(1, 64, growth.WIDTH)
    kept = growth.bytes_kept(growth.BACKBONES["lstm"](), x)
    weights = sum(p.numel() for p in growth.BACKBONES["lstm"]().parameters()) * 4
    assert kept >= weights * 0.9
    rows = list(growth.sequence_rows(256))
    by_name = {name: [row for row in rows if row["backbone"] == name] for name in growth.BACKBONES}
    assert {name: len(found) for name, found in by_name.items() if len(found) != 2} == {"gpt-2": 1}  # its positions end
    assert all(row["kept_bytes"] > 4 * growth.WIDTH and row["microseconds"] > 0 for row in rows)
    for found in by_name.values():  # flat, but for what is kept once
        assert found[-1]["kept_bytes"] <= found[0]["kept_bytes"] * 1.05


def test_what_is_published_is_of_the_configurations_of_today() -> None:
    rows = rows_in(CHECKOUT / "bench" / "results" / "sweep.jsonl")
    for minutes in (1.0, 3.0):
        found = [row["configuration"] for row in rows if row["minutes"] == minutes and "configuration" in row]
        assert found == sweep.BUDGETS[minutes]
    compared = [row for row in rows_in(CHECKOUT / "bench" / "results" / "corpora.jsonl") if "configuration" in row]
    assert {row["configuration"] for row in compared} == set(corpora.COMPARED)
    assert {row["corpus"] for row in compared} == set(corpora.CORPORA)
