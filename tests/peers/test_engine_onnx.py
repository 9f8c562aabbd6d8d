"""The native kernels against ONNX Runtime's LSTM and GRU operators with the same weights, state fed back."""

from typing import Any

import numpy as np
import pytest
import torch

from bench.generation_peers import recurrent_node
from unrolled.backbones import GRU, LSTM
from unrolled.engine import runtime
from unrolled.engine.lowering import lower_backbone, to_arrays
from unrolled.engine.runtime import Packed, Session

onnx: Any = pytest.importorskip("onnx", reason="the package onnx (extra peers) is not installed")
onnxruntime: Any = pytest.importorskip("onnxruntime", reason="the package onnxruntime (extra peers) is not installed")
if not runtime.available():
    pytest.skip("the native kernels were not built: a C++ compiler is needed", allow_module_level=True)

STEPS, INPUTS = 200, 12
# Gates of ONNX in the order of torch: input, output, forget, new; update, reset, new.
ORDERS = {"LSTM": (LSTM, [0, 3, 1, 2]), "GRU": (GRU, [1, 0, 2])}


def operator(kind: str, kernel: Any) -> Any:
    """A session of one step of the operator with the weights of `kernel`."""
    first, second, *biases = (weight.detach().numpy() for weight in kernel.all_weights[0])

    def ordered(weight: np.ndarray) -> np.ndarray:
        return np.concatenate([np.split(weight, len(ORDERS[kind][1]))[gate] for gate in ORDERS[kind][1]])

    bias = np.concatenate([ordered(bias) for bias in biases])
    model = recurrent_node(onnx, kind, (ordered(first)[None], ordered(second)[None], bias[None]))
    onnx.checker.check_model(model)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("instructions", runtime.instruction_sets())
@pytest.mark.parametrize("width", [7, 64])
@pytest.mark.parametrize("kind", ORDERS)
@torch.no_grad()
def test_two_hundred_steps(kind: str, width: int, instructions: str):
    torch.manual_seed(11)
    backbone: Any = ORDERS[kind][0](INPUTS, width)
    x = torch.randn(1, STEPS, INPUTS).numpy()
    theirs = operator(kind, backbone.kernel)
    state = {name: np.zeros((1, 1, width), np.float32) for name in ("h", "c")[: 2 if kind == "LSTM" else 1]}
    expected = []
    for vector in x[0]:
        after = theirs.run(None, {"x": vector[None, None], **state})
        state = dict(zip(state, after, strict=True))
        expected.append(after[0][0, 0])
    session = Session(Packed(lower_backbone(backbone), instructions=instructions), 1)
    session.set_state([0], to_arrays(backbone.init_state(1)))
    found = session.run([0], [STEPS], control=x, outputs=True).outputs
    assert found is not None and np.std(expected) > 0.05
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-4)
    for mine, reference in zip(session.get_state([0]).values(), state.values(), strict=True):
        np.testing.assert_allclose(mine, reference, rtol=0, atol=1e-4)
