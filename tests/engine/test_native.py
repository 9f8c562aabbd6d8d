"""The native kernels against `step`, in every instruction set of this machine."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.engine import zoo
from unrolled import backbones
from unrolled.core import state as states
from unrolled.core.draws import Draws
from unrolled.core.errors import RunError, UsageError
from unrolled.engine import runtime
from unrolled.engine.lowering import lower_backbone
from unrolled.engine.lowering.states import from_arrays, to_arrays
from unrolled.engine.runtime import Packed, Session

if not runtime.available():
    pytest.skip("the native kernels were not built: a C++ compiler is needed", allow_module_level=True)

SETS = runtime.instruction_sets()
LIMIT = 1e-4  # times the largest value, and at least 1


def deviation(found: np.ndarray, wanted: torch.Tensor) -> float:
    """Largest difference, over the largest value or 1."""
    expected = wanted.numpy().astype(np.float64)
    return float(np.abs(found - expected).max(initial=0) / max(1.0, np.abs(expected).max(initial=0)))


def forced(session: Session, x: torch.Tensor, rows: list[int] | None = None) -> np.ndarray:
    """What the rows of a session give for a sequence of vectors."""
    rows = list(range(len(x))) if rows is None else rows
    found = session.run(rows, [x.shape[1]] * len(x), control=x.numpy(), outputs=True)
    assert found.outputs is not None and (found.counts == x.shape[1]).all()
    return found.outputs


def started(backbone: backbones.Backbone, rows: int, **settings: object) -> Session:
    """A session of a backbone in float32 whose rows are in its first state."""
    session = Session(Packed(lower_backbone(backbone), **settings), rows)  # pyright: ignore[reportArgumentType]
    session.set_state(range(rows), to_arrays(backbone.init_state(rows)))
    return session


@pytest.mark.parametrize("instructions", SETS)
@pytest.mark.parametrize("name", zoo.LOWERED)
@torch.no_grad()
def test_ten_thousand_steps(name: str, instructions: str):
    torch.manual_seed(0)
    backbone = backbones.ALL[name]().eval()
    steps = 10_000 if backbone.position_limit is None else backbone.position_limit
    x = torch.randn(1, steps, backbone.input_width)
    y, state = backbone.parallel(x, backbone.init_state(1))
    session = started(backbone, 1, instructions=instructions)
    assert deviation(forced(session, x), y) < LIMIT
    for key, leaf in to_arrays(state).items():
        assert deviation(session.get_state([0])[key], torch.as_tensor(leaf)) < LIMIT


@pytest.mark.parametrize("instructions", SETS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(plan=zoo.hybrids, split=st.integers(1, 11), seed=st.integers(0, 99))
@torch.no_grad()
def test_a_zoo_of_hybrids_hands_its_state_over_in_both_directions(
    plan: zoo.Plan, split: int, seed: int, instructions: str
):
    torch.manual_seed(seed)
    model = zoo.make(plan).eval()
    x = torch.randn(2, 12, model.input_width)
    whole, last = model.parallel(x, model.init_state(2))
    first, middle = model.parallel(x[:, :split], model.init_state(2))
    session = started(model, 2, instructions=instructions)
    assert deviation(forced(session, x[:, :split]), first) < LIMIT
    onwards, _ = model.parallel(x[:, split:], from_arrays(middle, session.get_state([0, 1])))  # native, then torch
    assert deviation(onwards.numpy(), whole[:, split:]) < LIMIT
    session.set_state([1, 0], to_arrays(middle))  # torch, then native, and in other slots
    assert deviation(forced(session, x[:, split:], [1, 0]), whole[:, split:]) < LIMIT
    for key, leaf in to_arrays(last).items():
        assert deviation(session.get_state([1, 0])[key], torch.as_tensor(leaf)) < LIMIT


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(plan=zoo.hybrids, seed=st.integers(0, 99))
@torch.no_grad()
def test_hybrids_are_followed_for_hundreds_of_steps(plan: zoo.Plan, seed: int):
    torch.manual_seed(seed)
    model = zoo.make(plan).eval()
    x, state, wanted = torch.randn(1, model.position_limit or 400, model.input_width), model.init_state(1), []
    for symbol in x[0]:
        y, state = model.step(symbol[None], state)
        wanted.append(y)
    session = started(model, 1)
    assert deviation(forced(session, x)[0], torch.cat(wanted)) < LIMIT
    for key, leaf in to_arrays(state).items():
        assert deviation(session.get_state([0])[key], torch.as_tensor(leaf)) < LIMIT


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("instructions", SETS)
@pytest.mark.parametrize("name", zoo.LOWERED)
@torch.no_grad()
def test_a_row_is_the_same_whatever_shares_its_batch(name: str, instructions: str, precision: runtime.Precision):
    torch.manual_seed(1)
    backbone = backbones.ALL[name]().eval()
    packed = Packed(lower_backbone(backbone), precision, instructions)
    x = torch.randn(17, 9, backbone.input_width)
    alone = Session(packed, 1)
    singles = []
    for row in x:
        alone.set_state([0], to_arrays(backbone.init_state(1)))
        singles.append(forced(alone, row[None])[0])
    for threads in (1, 2):
        together = Session(packed, 20, threads)
        together.set_state(range(3, 20), to_arrays(backbone.init_state(17)))
        steps = np.arange(17) % 9 + 1  # rows leave one after another
        found = together.run(range(3, 20), steps, control=x.numpy(), outputs=True)
        assert found.outputs is not None and (found.counts == steps).all()
        for one, many, count in zip(singles, found.outputs, steps, strict=True):
            np.testing.assert_array_equal(one[:count], many[:count])


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("name", ["tiers", "tiers_lstm"])
@torch.no_grad()
def test_rows_stand_anywhere_in_their_frames(name: str, precision: runtime.Precision):
    """Each row is ahead of the one before it by a step when they go on together."""
    torch.manual_seed(4)
    backbone = backbones.ALL[name]().eval()
    packed = Packed(lower_backbone(backbone), precision)
    x = torch.randn(9, 30, backbone.input_width)
    wanted = []
    for row in x:
        alone = Session(packed, 1)
        alone.set_state([0], to_arrays(backbone.init_state(1)))
        wanted.append(forced(alone, row[None])[0])
    for threads in (1, 2):
        session = Session(packed, 9, threads)
        session.set_state(range(9), to_arrays(backbone.init_state(9)))
        session.run(range(9), np.arange(9), control=x[:, :8].numpy())
        rest = torch.stack([row[ahead : ahead + 20] for ahead, row in enumerate(x)])
        for ahead, found in enumerate(forced(session, rest)):
            np.testing.assert_array_equal(found, wanted[ahead][ahead : ahead + 20])


@pytest.mark.parametrize("instructions", SETS)
def test_whole_numbers_are_the_same_in_every_set(instructions: str):
    torch.manual_seed(2)
    linear = backbones.Stateless(torch.nn.Linear(37, 70), 37, 70)
    x = torch.randn(3, 5, 37)
    found = [forced(started(linear, 3, precision="int8", instructions=name), x) for name in (SETS[0], instructions)]
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("precision", "limit"), [("bfloat16", 4e-3), ("int8", 1.5e-2)])
@pytest.mark.parametrize("width", [1, 2, 3, 5, 16, 33, 64, 129])
def test_reduced_precision_stays_near(width: int, precision: runtime.Precision, limit: float):
    torch.manual_seed(3)
    linear = backbones.Stateless(torch.nn.Linear(width, 2 * width + 1), width, 2 * width + 1)
    x = torch.randn(4, 3, width)
    assert deviation(forced(started(linear, 4, precision=precision), x), linear.parallel(x, ())[0].detach()) < limit


def test_draws_are_those_of_the_one_generator():
    """A program whose symbols are all equally likely shows the draws themselves."""
    from unrolled.engine.operations import Buffer, Operand, Operation
    from unrolled.engine.program import Program

    size = 1 << 12
    logits = Operand("logits", 0, size)
    program = Program({"logits": Buffer("register", (size,))}, {}, (), (Operation("zero", logits),), logits, size, 0, 1)
    session = Session(Packed(program), 2)
    streams, positions = np.array([7, 2**32 - 1]), np.array([5, 2**40])
    draws = runtime.Draws(runtime.NEUTRAL, 2**63 + 11, streams, positions, np.zeros(size, np.uint8))
    found = session.run([0, 1], [50, 50], draws=draws)
    for row in range(2):
        place = positions[row] + np.arange(50)
        uniform = Draws(2**63 + 11, np.full(50, streams[row]), place).uniform()
        np.testing.assert_array_equal(found.symbols[row], np.floor(uniform * size))
    np.testing.assert_allclose(found.log_probabilities, -np.log(size), rtol=1e-12)


def test_what_cannot_be_run_is_refused():
    session = started(backbones.GRU(3, 4), 2)
    packed = session.packed
    with pytest.raises(UsageError, match="of 0 rows"):
        Session(packed, 0)
    with pytest.raises(UsageError, match="threads"):
        Session(packed, 1, 10_000)
    with pytest.raises(UsageError, match="instructions 'mmx'"):
        Packed(packed.program, "float32", "mmx")
    with pytest.raises(ValueError, match="different"):
        session.run([0, 0], [1, 1])
    with pytest.raises(ValueError, match="control"):
        session.run([0], [1], control=np.zeros((1, 1, 2), np.float32))
    with pytest.raises(RunError, match=r"shape \(1, 4\)"):
        session.set_state([0], {"state.hidden": np.zeros((1, 4), np.float32)})


def test_rows_beyond_the_memory_are_refused_before_any_is_taken(monkeypatch: pytest.MonkeyPatch):
    packed = started(backbones.GRU(3, 4), 1).packed
    monkeypatch.setattr(runtime, "machine_bytes", lambda: 4 * 4 * packed.program.row_numbers)
    Session(packed, 3)

    def native() -> Any:
        raise AssertionError("memory was taken")

    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(runtime, "native", native)
    for rows in (4, 10**30):
        with pytest.raises(RunError, match=r"^[^\n]+ more than 75% of this machine's [^\n]+$"):
            Session(packed, rows)
    monkeypatch.setattr(runtime, "native", lambda: SimpleNamespace(Session=full))
    with pytest.raises(RunError, match=r"^3 rows [^\n]+ more than is free: [^\n]+$"):
        Session(packed, 3)


def test_a_session_leaves_states_that_it_was_given_alone():
    backbone = backbones.ALL["hybrid"]()
    session, given_state = started(backbone, 1), to_arrays(backbone.init_state(1))
    before = {name: leaf.copy() for name, leaf in given_state.items()}
    session.set_state([0], given_state)
    forced(session, torch.randn(1, 5, 3 if backbone.input_width == 3 else backbone.input_width))
    taken = session.get_state([0])
    forced(session, torch.randn(1, 5, backbone.input_width))
    assert all((before[name] == leaf).all() for name, leaf in given_state.items())
    assert any((taken[name] != leaf).any() for name, leaf in session.get_state([0]).items())
    assert list(taken) == [f"state.{name}" for name, _ in states.leaves(backbone.init_state(1))]
