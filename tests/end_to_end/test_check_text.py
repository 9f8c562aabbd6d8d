"""`unrolled check` finds what is wrong with a run: its backbone gets a fault, and the law that this breaks is named."""

import json
import re
from pathlib import Path

import pytest

from tests.laws import mutants
from unrolled.cli.main import main
from unrolled.engine import runtime
from unrolled.systems import char_rnn

LOOKS_AHEAD, MIXES = "no output depends on a later input", "rows of a batch never mix"
VERDICTS = [  # cell, fault, a law that it breaks, one that it keeps
    ("gru", mutants.OtherFormula, "parallel equals step, float64", LOOKS_AHEAD),
    ("lstm", mutants.LostLastSymbol, "parallel equals step, float32", LOOKS_AHEAD),
    ("lstm", mutants.LostLastSymbol, "ragged rows equal each row alone", LOOKS_AHEAD),
    ("lstm", mutants.LostLastSymbol, "both views with a reset", LOOKS_AHEAD),
    ("lstm", mutants.ForgetsBetweenChunks, "splitting time changes nothing", MIXES),
    ("gru", mutants.WholeSequenceNorm, LOOKS_AHEAD, MIXES),
    ("gru", mutants.MixedRows, MIXES, LOOKS_AHEAD),
    ("lstm", mutants.WritesIntoState, "a call changes no state", LOOKS_AHEAD),
    ("lstm", mutants.UnsavedPart, "a state survives save and load", LOOKS_AHEAD),
    ("gru", mutants.HiddenMemory, "the run survives reload", LOOKS_AHEAD),
]


@pytest.fixture(scope="module")
def cells(book: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one hardly trained run for each kind of cell, called like it."""
    folder = tmp_path_factory.mktemp("cells")
    small = ["--hidden", "8", "--rows", "4", "--length", "16", "--steps", "2", "--quiet"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNROLLED_CACHE", str(folder / "cache"))
        for cell in ("gru", "lstm"):
            assert main(["train", str(book), "--runs", str(folder), "--name", cell, "--cell", cell, *small]) == 0
    return folder


def laws(out: str, verdict: str) -> str:
    """The laws, one a line, of which `check` printed this verdict."""
    return "\n".join(re.findall(rf"^{verdict} +(.+?)  ", out, re.MULTILINE))


@pytest.mark.parametrize(
    ("cell", "fault", "broken", "kept"), VERDICTS, ids=lambda part: getattr(part, "__name__", part)
)
def test_a_broken_law_is_named(unrolled, cells, monkeypatch, cell, fault, broken, kept):
    monkeypatch.setitem(char_rnn.CELLS, cell, fault)
    found = unrolled("check", cell, "--runs", cells, "--length", 12)
    assert found.code == 1
    assert broken in laws(found.out, "BROKEN") and broken not in laws(found.out, "holds")
    assert kept in laws(found.out, "holds") and kept not in laws(found.out, "BROKEN")


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_without_a_fault_all_laws_hold(unrolled, cells, cell):
    found = unrolled("check", cell, "--runs", cells, "--length", 12)
    assert found.code == 0 and not laws(found.out, "BROKEN")
    for _, _, law, _ in VERDICTS:
        assert law in laws(found.out, "holds")


@pytest.mark.skipif(not runtime.available(), reason="the native kernels are not built")
def test_an_engine_that_computes_something_else_is_found(unrolled, cells, monkeypatch):
    monkeypatch.setitem(char_rnn.CELLS, "gru", mutants.WholeSequenceNorm)  # the saved step program is of the sound cell
    found = unrolled("check", "gru", "--runs", cells, "--length", 12, "--json")
    verdicts = {law["law"]: law["holds"] for law in map(json.loads, found.out.splitlines())}
    assert found.code == 1 and verdicts["native equals torch over 12"] is False and verdicts[MIXES] is True
