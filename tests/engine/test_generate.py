"""Generation by the step engine gives what generation by torch gives, step for step."""

import os
import signal
import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.engine.standins import StandIn, packed
from unrolled.backbones import GRU, LSTM
from unrolled.backbones.combinators import Conditioned
from unrolled.backbones.transformer import gpt2
from unrolled.core.errors import RunError, UsageError
from unrolled.engine import runtime
from unrolled.engine.lowering import lower
from unrolled.generation import native
from unrolled.generation.rules import Rules
from unrolled.generation.stream import generate
from unrolled.heads.categorical import Categorical
from unrolled.models.sequence import FieldEmbedding, OneHot, SequenceModel

SIZE = 9
PROMPTS = [[], [5, 0, 1], [2], [1, 1, 1, 4, 3, 0, 2], [3, 3]]
RULES = [Rules(), Rules(temperature=0.0), Rules(temperature=0.7, top_p=0.8, min_p=0.02, repetition_penalty=1.3)]
ENGINES = ["stand-in", pytest.param("native", marks=pytest.mark.skipif(not runtime.available(), reason="not built"))]


def build(name, limit=6):
    """A model with loud random weights, so that what it draws depends on all that it has read."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        fields = None
        if name == "positions":
            embed, backbone = nn.Embedding(SIZE, 8), gpt2(8, layers=1, heads=2, window=limit, form="exact")
        elif name == "fields":
            embed, backbone, fields = nn.Embedding(SIZE, 8), Conditioned(GRU(8, 8), 4), FieldEmbedding((3, 4), 4)
            tables: Any = fields.tables
            for table in tables:
                nn.init.normal_(table.weight)
        else:
            embed, backbone = OneHot(SIZE), LSTM(SIZE, 8)
        head = Categorical(backbone.output_width, SIZE)
        nn.init.normal_(head.project.weight)
        model = SequenceModel(embed, backbone, head, begin=SIZE - 2, end=SIZE - 1, fields=fields)
        return model.eval().requires_grad_(False)


def session(model, rows, engine="stand-in") -> Any:
    program = lower(model)
    if engine == "native":
        return runtime.Session(runtime.Packed(program), rows)
    return StandIn(packed(program), rows)


def listed(steps):
    """Steps as lists."""
    return [[np.asarray(part).tolist() for part in step] for step in steps]


def compare(model, prompts, engine="stand-in", fields=(), **options):
    settings: Any = {"length": 30, "rules": Rules(), "seed": 4, "streams": range(3, 3 + len(prompts)), **options}
    context = model.context(torch.tensor([fields] * len(prompts))) if fields else None
    notes = [], []
    expected = listed(generate(model, prompts, context=context, note=notes[0].append, **settings))
    made = native.generate(
        session(model, len(prompts), engine), prompts, fields=fields, note=notes[1].append, **settings
    )
    found = listed(made)
    assert notes[0] == notes[1]
    assert [step[:1] + step[2:] for step in found] == [step[:1] + step[2:] for step in expected]
    for mine, theirs in zip(found, expected, strict=True):
        assert mine[1] == pytest.approx(theirs[1], abs=1e-4)
    return found


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("rules", RULES, ids=str)
def test_a_ragged_batch_draws_the_same_symbols(rules, engine):
    found = compare(build("lstm"), PROMPTS, engine, rules=rules)
    assert rules.temperature == 0 or sum(found[-1][3]) > 0 or any(map(any, (step[3] for step in found)))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("limit", [2, 5, 6])
@pytest.mark.parametrize("rules", RULES[1:], ids=str)
def test_a_table_of_positions_is_read_again_at_the_same_steps(rules, limit, engine):
    compare(build("positions", limit), PROMPTS, engine, rules=rules)
    compare(build("positions", limit), PROMPTS, engine, rules=rules, stop_at_end=False, length=20)


@pytest.mark.parametrize("engine", ENGINES)
def test_fields_condition(engine):
    model = build("fields")
    assert compare(model, PROMPTS, engine, fields=(1, 3)) != compare(model, PROMPTS, engine, fields=(2, 0))


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_forbidden_is_never_drawn(engine):
    found = compare(build("lstm"), PROMPTS, engine, stop_at_end=False, forbidden=[2, 3])
    assert len(found) == 30 and not {2, 3, SIZE - 2, SIZE - 1} & {symbol for step in found for symbol in step[0]}


def test_the_first_symbol_comes_alone_and_calls_grow_up_to_a_full_window(monkeypatch):
    monkeypatch.setattr(native, "CALL_SECONDS", 1e9)
    free, bound = session(build("lstm"), 1), session(build("positions", 20), 2)
    settings: Any = {"rules": Rules(), "seed": 0, "stop_at_end": False}
    assert len(list(native.generate(free, [[]], length=100, **settings))) == 100
    assert free.calls == [1, 8, 64, 27]
    assert len(list(native.generate(bound, [[], [0] * 18], length=40, **settings))) == 40
    assert bound.calls == [1, 2, 10, 7, 3, 7, 3, 7]  # windows are full before steps 3, 13, 20, 23, 30, 33, 40


def test_calls_stay_short(monkeypatch):
    monkeypatch.setattr(native, "CALL_SECONDS", 0.0)
    slow = session(build("lstm"), 1)
    list(native.generate(slow, [[]], length=5, rules=Rules(), seed=0, stop_at_end=False))
    assert slow.calls == [1] * 5


def test_an_interruption_comes_after_what_was_drawn(monkeypatch):
    monkeypatch.setattr(native, "CALL_SECONDS", 1e9)
    model, found = build("lstm"), []
    made = session(model, 2)
    made.interrupt_after = 1
    settings: Any = {"length": 100, "rules": Rules(), "seed": 0, "stop_at_end": False}
    with pytest.raises(KeyboardInterrupt):
        for step in native.generate(made, [[], [1, 2]], **settings):
            found.append(step)
    expected = listed(generate(model, [[], [1, 2]], **settings))[: 1 + 8 // 2]
    assert [step[0] for step in listed(found)] == [step[0] for step in expected]


@pytest.mark.skipif(not runtime.available(), reason="not built")
def test_a_signal_in_the_middle_of_a_call_ends_it(monkeypatch):
    monkeypatch.setattr(native, "CALL_SECONDS", 1e9)
    monkeypatch.setattr(native, "GROWTH", 4 * 10**6)
    monkeypatch.setattr(native, "MOST_STEPS", 4 * 10**6)
    settings: Any = {"length": 4 * 10**6, "rules": Rules(), "seed": 0, "stop_at_end": False}
    steps = native.generate(session(build("lstm"), 2, "native"), [[], [1]], **settings)
    found = [next(steps)]
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        found += steps
    again = native.generate(session(build("lstm"), 2), [[], [1]], **settings | {"length": 20})
    assert 20 < len(found) < 4 * 10**6 and [step[0] for step in listed(found[:20])] == [
        step[0] for step in listed(again)
    ]


def test_no_prompts_and_no_length_give_nothing_and_bad_rules_are_refused():
    made = session(build("lstm"), 1)
    assert not list(native.generate(made, [], length=3, rules=Rules(), seed=0))
    assert not list(native.generate(made, [[]], length=0, rules=Rules(), seed=0))
    with pytest.raises(UsageError, match="temperature"):
        list(native.generate(made, [[]], length=3, rules=Rules(temperature=-1.0), seed=0))


@pytest.mark.skipif(not runtime.available(), reason="not built")
def test_damaged_weights_are_refused():
    model = build("lstm")
    head: Any = model.head
    head.project.weight.fill_(float("nan"))
    with pytest.raises(RunError, match="damaged"):
        list(native.generate(session(model, 1, "native"), [[]], length=3, rules=Rules(), seed=0))
