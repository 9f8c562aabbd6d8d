"""The laws of lowering: a step program computes what the model's own step computes, outputs and states."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from tests.engine import zoo
from tests.laws import worlds
from unrolled.backbones import ALL, LSTM, Conditioned, Residual, Stack, Stateless
from unrolled.core import state as states
from unrolled.core.protocol import Backbone
from unrolled.engine import reference
from unrolled.engine.lowering import NotLowered, builder, from_arrays, lower, lower_backbone, to_arrays
from unrolled.engine.program import Program
from unrolled.heads.categorical import Categorical
from unrolled.models.sequence import OneHot, SequenceModel
from unrolled.systems import system_names

TOLERANCE = 1e-10
AGES = [0, 2, 7]
few = settings(max_examples=6, deadline=None, derandomize=True, database=None)


def deviation(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference, relative where numbers are above 1."""
    return float(np.max(np.abs(found - expected) / np.maximum(1, np.abs(expected)), initial=0))


def state_deviation(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> float:
    assert list(found) == list(expected)
    assert all(found[name].shape == leaf.shape for name, leaf in expected.items())
    return max((deviation(found[name], leaf) for name, leaf in expected.items()), default=0.0)


@torch.no_grad()
def check(backbone: Backbone[Any], ages: list[int], time: int, handovers: set[int]) -> None:
    """Steps by torch and by the reference agree; at `handovers` each goes on from the state of the other."""
    program, state, x = lower_backbone(backbone), worlds.aged(backbone, ages), worlds.inputs(backbone, len(ages), time)
    arrays = to_arrays(state)
    assert {name: leaf.shape for name, leaf in arrays.items()} == {
        name: leaf.shape for name, leaf in program.first_state(len(ages)).items()
    }
    for place in range(time):
        if place in handovers:
            arrays, state = to_arrays(state), from_arrays(state, arrays)
        expected, state = backbone.step(x[:, place], state)
        found, arrays = reference.step(program, arrays, None, x[:, place].numpy(), np.float64)
        assert deviation(found, expected.numpy()) < TOLERANCE
    assert state_deviation(arrays, to_arrays(state)) < TOLERANCE


@pytest.fixture(scope="module", params=zoo.LOWERED)
def backbone(request: pytest.FixtureRequest) -> Backbone[Any]:
    return zoo.representable(ALL[request.param]())


@few
@given(ages=st.lists(st.integers(0, 9), min_size=1, max_size=3), handovers=st.sets(st.integers(0, 5)))
def test_backbones_are_lowered(backbone: Backbone[Any], ages: list[int], handovers: set[int]):
    check(backbone, ages, 6, handovers)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(zoo.hybrids, st.lists(st.integers(0, 9), min_size=1, max_size=2), st.sets(st.integers(0, 4)))
def test_hybrids_are_lowered(plan: zoo.Plan, ages: list[int], handovers: set[int]):
    check(zoo.representable(zoo.make(plan)), ages, 5, handovers)


def test_float32_stays_close(backbone: Backbone[Any]):
    """In float32 the reference drifts no further than rounding explains."""
    backbone, program = backbone.float(), lower_backbone(backbone)
    try:
        x, state = worlds.inputs(backbone, 1, 30).float(), backbone.init_state(1)
        arrays = program.first_state(1)
        with torch.no_grad():
            for place in range(30):
                expected, state = backbone.step(x[:, place], state)
                found, arrays = reference.step(program, arrays, None, x[:, place].numpy())
                assert found.dtype == np.float32
                assert deviation(found, expected.numpy()) < 1e-4
    finally:
        backbone.double()


def test_the_first_state_is_that_of_the_backbone(backbone: Backbone[Any]):
    """A learned start included."""
    assert state_deviation(lower_backbone(backbone).first_state(2), to_arrays(backbone.init_state(2))) < TOLERANCE


def check_model(model: SequenceModel, fields: tuple[int, ...]) -> Program:
    """Logits and states of rows of unequal ages agree."""
    program = lower(model, "hash")
    context = model.context(torch.tensor([fields], dtype=torch.int64))
    first = model.init_state(1, context)
    assert state_deviation(program.first_state(1, fields), to_arrays(first)) < TOLERANCE
    generator = torch.Generator().manual_seed(0)
    symbols = torch.randint(0, program.symbols, (7, 2), generator=generator)
    with torch.no_grad():
        _, older = model.step(symbols[0, :1], None, first)
        state = states.concat([first, older])
        arrays = to_arrays(state)
        for symbol in symbols[1:]:
            features, state = model.step(symbol, None, state)
            found, arrays = reference.step(program, arrays, symbol.numpy(), None, np.float64)
            assert deviation(found, model.head.logits(features).numpy()) < TOLERANCE
    assert state_deviation(arrays, to_arrays(state)) < TOLERANCE
    return program


@pytest.mark.parametrize("fields", [(), (2, 1), (0, 3)])
@pytest.mark.parametrize("name", zoo.SYSTEMS)
def test_every_system_is_lowered(name: str, fields: tuple[int, ...]):
    program = check_model(zoo.system_model(name, (4,) * len(fields)), fields)
    assert len(program.fields) == len(fields)
    assert program.model_sha256 == "hash"


def test_no_system_is_forgotten():
    assert {system for system, _ in zoo.SYSTEMS.values()} == set(system_names())


@pytest.mark.parametrize("name", ["char-rnn embedded", "word-rnn", "char-rnn lstm"])
def test_large_tables_are_not_folded(name: str, monkeypatch: pytest.MonkeyPatch):
    """Then the embedding is looked up and multiplied; a one-hot's table is the matrix itself."""
    folded = len(lower(zoo.system_model(name, (4,))).step)
    monkeypatch.setattr(builder, "MOST_FOLDED", 100)
    program = check_model(zoo.system_model(name, (4,)), (2,))
    assert [operation.kind for operation in program.step].count("lookup") == 1
    assert len(program.step) == folded + (name != "char-rnn lstm")


def test_embedding_and_shift_cost_nothing_per_step():
    """A table, one sum with what the prologue kept, the recurrent product, the cell, the logits."""
    program = lower(zoo.system_model("char-rnn lstm", (4,)))
    assert [operation.kind for operation in program.step] == ["lookup", "add", "linear_add", "lstm", "linear"]
    assert [operation.kind for operation in program.prologue] == ["linear"]


@pytest.mark.parametrize("name", ["gpt llama", "gpt gpt-2"])
def test_tied_weights_are_kept_once(name: str):
    model = zoo.system_model(name)
    program = lower(model)
    (lookup,) = [operation for operation in program.step if operation.kind == "lookup"]
    assert program.step[-1].weights == lookup.weights
    assert sum(weight.size for weight in program.weights.values()) == sum(p.numel() for p in model.parameters())


def test_registers_serve_again():
    deep = Stack(*(Residual(Stack(Stateless(nn.LayerNorm(4), 4), LSTM(4, 4))) for _ in range(20)))
    program = lower_backbone(deep)
    assert sum(buffer.role == "register" for buffer in program.buffers.values()) <= 4


def test_a_program_holds_no_memory_of_torch():
    model = zoo.system_model("gpt llama").float()
    program = lower(model)
    before = {name: weight.copy() for name, weight in program.weights.items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7.0)
    assert all((program.weights[name] == weight).all() for name, weight in before.items())


def test_states_are_copies():
    backbone = zoo.representable(LSTM(4, 4))
    state = backbone.init_state(1)
    arrays = to_arrays(state)
    back = from_arrays(state, arrays)
    for leaf in arrays.values():
        leaf += 1
    assert not state.hidden.any() and not back.hidden.any()


class Shouting(LSTM):
    """A known type with changed behaviour."""

    def step(self, x: Any, state: Any) -> Any:
        output, state = super().step(x, state)
        return 2 * output, state


class LoudHead(Categorical):
    """A head with changed behaviour."""


def sequence(embed: nn.Module, backbone: Backbone[Any], head: Categorical) -> SequenceModel:
    return SequenceModel(embed, backbone, head, begin=0, end=1)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("Shouting", sequence(OneHot(5), Stack(Shouting(5, 4)), Categorical(4, 5))),
        ("Softplus", sequence(OneHot(5), Stateless(nn.Sequential(nn.Softplus()), 5), Categorical(5, 5))),
        ("LoudHead", sequence(OneHot(5), LSTM(5, 4), LoudHead(4, 5))),
        ("Embedding", sequence(nn.Embedding(5, 4, max_norm=1.0), LSTM(4, 4), Categorical(4, 5))),
        ("EmbeddingBag", sequence(nn.EmbeddingBag(5, 4), LSTM(4, 4), Categorical(4, 5))),
    ],
)
def test_what_has_no_lowering_says_so(name: str, model: SequenceModel):
    with pytest.raises(NotLowered, match=name) as problem:
        lower(model)
    assert name in problem.value.module
    assert "\n" not in str(problem.value)


def test_fields_need_one_part_that_reads_them():
    model = zoo.system_model("char-rnn lstm", (4,))
    conditioned: Any = model.backbone
    model.backbone = conditioned.inner
    with pytest.raises(NotLowered, match="0 conditioned parts"):
        lower(model)


def test_conditions_within_conditions_are_lowered():
    inner = Conditioned(LSTM(4, 4), worlds.VECTOR_WIDTH)
    check(zoo.representable(Conditioned(inner, worlds.VECTOR_WIDTH)), AGES, 4, {2})
