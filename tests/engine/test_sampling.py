"""The native sampling rules against those of torch, on logits that a program passes through."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unrolled.core.draws import Draws
from unrolled.core.errors import RunError
from unrolled.engine import runtime
from unrolled.engine.operations import Buffer, Operand, Operation
from unrolled.engine.program import Program
from unrolled.generation.rules import LIMITS, Rules
from unrolled.generation.sampling import choose, probabilities

if not runtime.available():
    pytest.skip("the native kernels were not built: a C++ compiler is needed", allow_module_level=True)

BOUNDARY = 1e-5  # draws nearer than this to the border between two symbols may fall on either side


def passing(size: int) -> runtime.Session:
    """A session whose logits are its control."""
    given_logits, logits = Operand("control", 0, size), Operand("logits", 0, size)
    buffers = {"control": Buffer("control", (size,)), "logits": Buffer("register", (size,))}
    program = Program(buffers, {}, (), (Operation("copy", logits, (given_logits,)),), logits, size, 0, 1)
    return runtime.Session(runtime.Packed(program), 1)


def native(logits: np.ndarray, rules: Rules, seed: int, forbidden: np.ndarray, seen: np.ndarray | None) -> runtime.Rows:
    """One symbol for each row of logits, at positions 0, 1, ... of one stream."""
    numbers = tuple(float(getattr(rules, name)) for name, *_ in LIMITS)
    zero = np.zeros(1, np.int64)
    draws = runtime.Draws(numbers, seed, zero, zero, forbidden.astype(np.uint8), seen)
    return passing(logits.shape[1]).run([0], [len(logits)], control=logits[None], draws=draws)


rule_sets = st.builds(
    Rules,
    temperature=st.sampled_from([0.0, 0.3, 1.0, 1.7]),
    top_k=st.sampled_from([0, 1, 3, 1000]),
    top_p=st.sampled_from([1.0, 0.9, 0.3, 1e-9]),
    min_p=st.sampled_from([0.0, 0.1, 1.0]),
    typical=st.sampled_from([1.0, 0.8, 0.2]),
    repetition_penalty=st.sampled_from([1.0, 1.5, 0.7]),
)


@settings(max_examples=200, deadline=None)
@given(rules=rule_sets, size=st.sampled_from([2, 5, 16, 65, 300]), seed=st.integers(0, 2**40), ties=st.booleans())
def test_every_mixture_of_rules_draws_what_torch_draws(rules: Rules, size: int, seed: int, ties: bool):
    generator = np.random.default_rng(seed)
    logits = (generator.normal(size=(20, size)) * 3).astype(np.float32)
    logits = np.round(logits) if ties else logits
    forbidden, seen = generator.random(size) < 0.2, generator.random(size) < 0.5
    forbidden[generator.integers(size)] = False
    marks = seen[None].astype(np.uint8) if rules.repetition_penalty != 1 else None
    found = native(logits, rules, seed, forbidden, marks)
    uniform = Draws(seed, np.zeros(20, np.int64), np.arange(20)).uniform()
    now = torch.as_tensor(seen)[None]
    for row in range(20):
        expected = probabilities(torch.as_tensor(logits[row : row + 1]), rules, now, torch.as_tensor(forbidden))
        wanted, symbol = int(choose(expected, torch.as_tensor(uniform[row : row + 1]))), int(found.symbols[0, row])
        if symbol != wanted:
            border = expected.cumsum(1)[0] / expected.sum()
            assert (border - uniform[row]).abs().min() < BOUNDARY
        own = torch.as_tensor(logits[row]).double().log_softmax(0)
        assert found.log_probabilities[0, row] == pytest.approx(float(own[symbol]), abs=1e-12)
        now = now.index_fill(1, torch.tensor([symbol]), True)
        if symbol != wanted:
            return  # what follows has seen another symbol


def test_a_forbidden_symbol_that_is_far_more_probable_leaves_the_others_their_shares():
    logits = np.zeros((2000, 4), np.float32)
    logits[:, 0] = 5000.0
    forbidden = np.array([True, False, False, False])
    for temperature in (0.5, 1.0):
        found = native(logits, Rules(temperature=temperature), 1, forbidden, None)
        assert np.bincount(found.symbols[0], minlength=4)[1:].min() > 500


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_no_distribution_are_refused(value: float):
    logits = np.zeros((1, 3), np.float32)
    logits[0, 1] = value
    with pytest.raises(RunError, match="not-a-number"):
        native(logits, Rules(), 0, np.zeros(3, bool), None)
