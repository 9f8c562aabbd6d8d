"""What a run of sound is held against: trivial predictors, and the laws over all that its model remembers."""

import json
from pathlib import Path

import pytest

import unrolled as package
from tests.data.sounds import melody, write
from unrolled.api import checking
from unrolled.api.engines import Engines, Unfit
from unrolled.cli.main import main

TINY = {
    "wavenet": ["--cycles", "1", "--layers", "4", "--width", "8", "--gate", "8", "--skip", "12"],
    "sample-rnn": ["--frames", "8", "--frames", "2", "--width", "12", "--embedding", "6"],
}


@pytest.fixture(scope="module", params=TINY)
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run called tiny of each system."""
    folder, recordings = tmp_path_factory.mktemp("runs"), tmp_path_factory.mktemp("recordings")
    for number in range(4):
        write(recordings / f"{number}.flac", melody(number, 0.2))
    words = ["--system", request.param, "--runs", str(folder), "--name", "tiny", "--steps", "4", "--rows", "2"]
    words += ["--length", "64", "--sample-every", "100", "--quiet", *TINY[request.param]]
    assert main(["train", str(recordings), *words]) == 0
    return folder


def test_trivial_predictors_stand_beside_a_run(
    unrolled, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, other = ["evaluate", "tiny", "--runs", runs, "--json"], write(tmp_path / "other.flac", melody(9, 0.2))
    own, train, foreign, each = (
        json.loads(unrolled(*words, *more).out)
        for more in ([], ["--split", "train"], [other], ["--protocol", "windows"])
    )
    trivial = own["baselines"]
    assert trivial.keys() == {"frequencies", "fixed", "following"} and 0 < trivial["following"] < 8
    assert own["under_best"] == pytest.approx(min(trivial.values()) - own["bits_per_sample"])
    assert each["baselines"] == trivial and trivial != train["baselines"] != foreign["baselines"] != trivial
    with monkeypatch.context() as patch:
        patch.setattr("unrolled.api.baselines.baselines", lambda *_: pytest.fail("they are known"))
        assert json.loads(unrolled(*words).out)["baselines"] == trivial
    path = runs / "tiny" / "baselines.jsonl"
    assert len(path.read_text().splitlines()) == 3
    path.write_text('{"key": 1}\nnoise\n')
    assert json.loads(unrolled(*words).out)["baselines"] == trivial


def test_each_law_is_measured(unrolled, runs: Path) -> None:
    lines = [json.loads(line) for line in unrolled("check", "tiny", "--runs", runs, "--json").out.splitlines()]
    assert len(lines) == 11 and all(line["holds"] for line in lines)
    assert "both views with a reset, 512" in {line["law"] for line in lines}
    (native,) = [line for line in lines if line["law"] == "native equals torch over 512"]
    assert native["deviation"] is not None or native["skipped"]
    assert unrolled("check", "tiny", "--runs", runs).code == 0


def test_three_spans_are_checked_and_a_broken_engine_is_found(
    unrolled, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = package.load("tiny", runs=runs)
    longest = 3 * (run.model.backbone.receptive_field or 8)  # 3 x 8 samples of the top tier, 3 x 16 of the dilations
    monkeypatch.setattr(checking, "SHORT", 5)
    monkeypatch.setitem(checking.LEAST, "sound", 5)
    found = {finding.law: finding for finding in checking.check(run)}
    assert f"both views with a reset, {longest}" in found
    name = f"native equals torch over {longest}"
    if found[name].skipped:
        pytest.skip(found[name].skipped)
    kept = checking.forced_losses
    monkeypatch.setattr(
        checking, "forced_losses", lambda *given: ((batch, nats + 2e-3 * (nats > 5.55)) for batch, nats in kept(*given))
    )
    shown = unrolled("check", "tiny", "--runs", runs, "--length", longest)
    assert shown.code == 1 and f"BROKEN  {name}" in shown.out


def test_a_model_without_a_lowering_is_checked_without_the_engine(
    unrolled, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise Unfit("no lowering at all: write one", "no lowering for This")

    monkeypatch.setattr(Engines, "native", refuse)
    shown = unrolled("check", "tiny", "--runs", runs, "--length", 9)
    assert shown.code == 0 and "skipped native equals torch over 9" in shown.out and "no lowering for This" in shown.out
