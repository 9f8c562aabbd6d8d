"""What `unrolled engine show` prints of a program that is known."""

import re
from types import SimpleNamespace

import pytest

from tests.engine import zoo
from unrolled.api import runs
from unrolled.cli.main import main
from unrolled.engine.lowering import lower


def test_operations_are_shown_with_shapes_bytes_and_multiply_adds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """Six units with four gates each: 24 x 6 products, and 4 bytes for each of their weights and of the 24 biases."""
    program = lower(zoo.system_model("char-rnn lstm"))
    run = SimpleNamespace(folder=SimpleNamespace(name="x"), engines=SimpleNamespace(step_program=lambda: program))
    monkeypatch.setattr(runs, "writing_run", lambda *_: run)
    assert main(["engine", "show", "x"]) == 0
    header, *lines, blank, total = capsys.readouterr().out.splitlines()
    cells = [re.split(" {2,}", line) for line in (header, *lines)]
    kernel = "backbone.parts.0.kernel"
    assert cells[0] == ["part", "operation", "every", "output", "inputs", "weights", "bytes", "multiply-adds"]
    assert cells[2] == [
        "step", "linear_add", "1", "register.0 24", "state.0.hidden 1x6",
        f"{kernel}.weight_hh_l0 24x6, {kernel}.bias_hh_l0 24", "672", "144",
    ]  # fmt: skip
    assert len(lines) == 4 and not blank
    assert total == (
        "x: 31 symbols; 330 multiply-adds a symbol; weights 4.5 kB in float32, 3.9 kB in bfloat16, 3.7 kB in int8; "
        "state 48 B a row"
    )
