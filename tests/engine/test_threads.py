"""Any number of threads gives the same bits, on layers that are wide enough to be shared or to stand in two lanes."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from unrolled.backbones import GRU, LSTM, gpt2, llama
from unrolled.core.protocol import Backbone
from unrolled.engine import runtime
from unrolled.engine.lowering import lower_backbone
from unrolled.engine.lowering.states import to_arrays
from unrolled.engine.runtime import Packed, Session

if not runtime.available():
    pytest.skip("the native kernels were not built: a C++ compiler is needed", allow_module_level=True)

STEPS = 24  # beyond the windows
SHAPES: dict[str, Callable[[], Backbone]] = {
    "gpt2": lambda: gpt2(128, layers=2, heads=4, window=16, limit=STEPS),
    "llama": lambda: llama(128, layers=4, heads=4, key_heads=2, window=16),
    "lstm": lambda: LSTM(512, 512),
    "gru": lambda: GRU(512, 512),
}


def run(packed: Packed, backbone: Backbone, x: np.ndarray, threads: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """What rows give, and their states afterwards."""
    rows = range(len(x))
    session = Session(packed, len(x), threads)
    session.set_state(rows, to_arrays(backbone.init_state(len(x))))
    found = session.run(rows, [STEPS] * len(x), control=x, outputs=True)
    assert found.outputs is not None and (found.counts == STEPS).all()
    return found.outputs, session.get_state(rows)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("name", SHAPES)
@torch.no_grad()
def test_threads_change_no_bit(name: str, precision: runtime.Precision, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runtime.os, "cpu_count", lambda: 3)
    torch.manual_seed(6)
    backbone = SHAPES[name]().eval()
    packed = Packed(lower_backbone(backbone), precision)
    x = torch.randn(2, STEPS, backbone.input_width).numpy()
    wanted, states = run(packed, backbone, x[:1], 1)
    assert len(np.unique(wanted)) > wanted.size // 2
    for threads in (1, 2, 3):
        for rows in (1, 2):
            found, after = run(packed, backbone, x[:rows], threads)
            np.testing.assert_array_equal(found[0], wanted[0], f"{threads} threads, {rows} rows")
            for leaf, values in states.items():
                np.testing.assert_array_equal(after[leaf][0], values[0], f"{leaf}, {threads} threads, {rows} rows")
