"""Past taps multiplied ahead of time, and the schedule of two threads, against the whole sequence at once in torch."""

import os
from typing import Any

import numpy as np
import pytest
import torch

from unrolled.backbones import Convolution
from unrolled.core import state as states
from unrolled.core.protocol import Context
from unrolled.engine import runtime
from unrolled.engine.lowering import lower_backbone
from unrolled.engine.lowering.states import from_arrays, to_arrays
from unrolled.engine.runtime import Packed, Session

if not runtime.available():
    pytest.skip("the native kernels were not built: a C++ compiler is needed", allow_module_level=True)

LIMIT = 1e-4  # times the largest value, and at least 1
THREADS = [threads for threads in (1, 2) if threads <= (os.cpu_count() or 1)]
FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "kernel of 3": {"kernel": 3},
    "conditioned": {"vector_width": 3, "control_width": 2},
}


def made(form: str, seed: int) -> tuple[Convolution, torch.Tensor, Any]:
    """A stack with skips worth a second thread, inputs over three receptive fields of two rows, and a first state."""
    torch.manual_seed(seed)
    settings = {"dilations": (1, 2, 18, 5), "gate_width": 24, "skip_width": 600, **FORMS[form]}
    backbone = Convolution(5, 20, **settings).eval()
    vector = torch.randn(2, 3) if "vector_width" in settings else None
    time = 3 * (backbone.receptive_field or 0)
    return backbone, torch.randn(2, time, 5), backbone.init_state(2, Context(None, None, vector))


def run(session: Session, row: int, x: torch.Tensor) -> np.ndarray:
    found = session.run([row], [len(x)], control=x[None].numpy(), outputs=True)
    assert found.outputs is not None and found.counts[0] == len(x)
    return found.outputs[0]


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_states_come_and_go_at_any_age(form: str, threads: int):
    backbone, x, state = made(form, 0)
    wanted, last = backbone.parallel(x, state)
    packed = Packed(lower_backbone(backbone))
    session, ages, time = Session(packed, 2, threads), [0, 0], x.shape[1]
    session.set_state([0, 1], to_arrays(state))
    scale = max(1.0, float(wanted.abs().max()))
    for turn, row in enumerate([0, 1, 1, 0, 1, 0, 0, 1] * 4):  # rows of different ages in one session
        age = ages[row]
        steps = time - age if turn >= 30 else min(1 + turn * 5 % 23, time - age)
        found = run(session, row, x[row, age : age + steps])
        assert np.abs(found - wanted[row, age : age + steps].numpy()).max(initial=0) < LIMIT * scale
        ages[row] += steps
        if turn % 3 == 0:  # out, through torch for one symbol, and in again
            one = from_arrays(states.take(state, torch.tensor([row])), session.get_state([row]))
            if ages[row] < time:
                _, one = backbone.step(x[row, ages[row]][None], one)
                ages[row] += 1
            session.set_state([row], to_arrays(one))
    assert ages == [time, time]
    for key, leaf in to_arrays(last).items():
        np.testing.assert_allclose(session.get_state([0, 1])[key], leaf, atol=LIMIT * scale)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_company_and_threads_change_no_bit(form: str, precision: runtime.Precision):
    backbone, x, state = made(form, 1)
    packed = Packed(lower_backbone(backbone), precision)
    alone = Session(packed, 1)
    alone.set_state([0], to_arrays(states.take(state, torch.tensor([0]))))
    wanted = run(alone, 0, x[0])
    for threads in THREADS:
        for rows in (1, 3):
            session = Session(packed, rows, threads)
            for row in range(rows):
                session.set_state([row], to_arrays(states.take(state, torch.tensor([min(row, 1)]))))
            if rows > 1:  # of another age
                run(session, 1, x[1, :7])
            control = x[[0, 1, 1][:rows]].numpy()
            found = session.run(range(rows), [x.shape[1], 9, 30][:rows], control=control, outputs=True)
            assert found.outputs is not None
            np.testing.assert_array_equal(found.outputs[0], wanted)


@pytest.mark.parametrize("threads", THREADS)
@torch.no_grad()
def test_new_context_in_the_middle_is_heard_at_once(threads: int):
    backbone, x, state = made("conditioned", 2)
    packed = Packed(lower_backbone(backbone))
    session, half = Session(packed, 2, threads), x.shape[1] // 2
    session.set_state([0, 1], to_arrays(state))
    run(session, 0, x[0, :half])
    _, middle = backbone.parallel(x[:, :half], state)
    vector = torch.randn(2, 3)
    wanted, _ = backbone.parallel(x[:, half:], backbone.condition(middle, Context(None, None, vector)))
    current = from_arrays(states.take(state, torch.tensor([0])), session.get_state([0]))
    session.set_state([0], to_arrays(backbone.condition(current, Context(None, None, vector[:1]))))
    found = run(session, 0, x[0, half:])
    assert np.abs(found - wanted[0].numpy()).max() < LIMIT * max(1.0, float(wanted.abs().max()))
