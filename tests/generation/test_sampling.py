"""The sampling rules: their definitions, and that draws agree with probabilities."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from unrolled.core.draws import Draws
from unrolled.core.errors import UsageError
from unrolled.generation.rules import Rules
from unrolled.generation.sampling import choose, nucleus, probabilities, typical_set

SYMBOLS = 50


def random_logits(rows: int = 40) -> torch.Tensor:
    return 3 * torch.randn(rows, SYMBOLS, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def test_neutral_rules_are_the_models_own_distribution():
    logits = random_logits()
    assert torch.equal(probabilities(logits, Rules()), logits.softmax(1))
    assert Rules().changed() == {}


def test_greedy_takes_the_first_of_equal_maxima_and_top_k_keeps_exactly_k():
    logits = torch.tensor([[0.0, 2.0, 1.0, 2.0, 2.0, -1.0]])
    assert probabilities(logits, Rules(temperature=0.0)).tolist() == [[0, 1, 0, 0, 0, 0]]
    assert probabilities(logits, Rules(top_k=2)).tolist() == [[0, 0.5, 0, 0.5, 0, 0]]
    assert (probabilities(torch.zeros(1, 1000), Rules(top_k=10)) > 0).nonzero()[:, 1].tolist() == list(range(10))


def test_the_fewest_symbols_that_hold_the_mass_are_kept_and_no_more():
    probability = torch.tensor([[0.25, 0.5, 0.125, 0.125]], dtype=torch.float64)
    for mass, kept in ((0.5, [1]), (0.51, [0, 1]), (0.75, [0, 1]), (0.875, [0, 1, 2]), (0.9, [0, 1, 2, 3])):
        assert nucleus(probability, mass)[0].nonzero().squeeze(1).tolist() == kept
    for mass, kept in ((0.25, [0]), (0.26, [0, 1]), (0.75, [0, 1])):  # the entropy is 1.75 bits
        assert typical_set(probability, mass)[0].nonzero().squeeze(1).tolist() == kept


def test_forbidden_symbols_have_no_probability():
    forbidden = torch.zeros(SYMBOLS, dtype=torch.bool)
    logits = random_logits()
    forbidden[logits[0].argmax()] = True
    for rules in (Rules(), Rules(temperature=0.0), Rules(top_k=1), Rules(repetition_penalty=5.0)):
        result = probabilities(logits, rules, torch.ones_like(logits), forbidden)
        assert not result[:, forbidden].any()
        torch.testing.assert_close(result.sum(1), torch.ones(len(logits), dtype=torch.float64))


ANY_RULES = some.builds(
    Rules,
    temperature=some.one_of(some.just(0.0), some.floats(1e-6, 1e6)),
    top_k=some.integers(0, 12),
    top_p=some.floats(1e-9, 1),
    min_p=some.floats(0, 1),
    typical=some.floats(1e-9, 1),
    repetition_penalty=some.floats(0.001, 1000),
)
LOGIT = some.one_of(some.floats(-100, 100, width=32), some.just(-math.inf), some.just(0.0), some.just(3e38))


@settings(max_examples=300, deadline=None)
@given(some.lists(LOGIT, min_size=1, max_size=9).filter(lambda row: max(row) > -math.inf), ANY_RULES, some.data())
def test_any_rules_give_a_distribution_that_can_be_drawn_from(row, rules, data):
    seen = torch.tensor([data.draw(some.lists(some.booleans(), min_size=len(row), max_size=len(row)))])
    uniform = torch.tensor([data.draw(some.floats(0, 1 - 2**-53))], dtype=torch.float64)
    result = probabilities(torch.tensor([row]), rules.validate(), seen)
    assert torch.isfinite(result).all() and (result >= 0).all()
    assert result.sum().item() == pytest.approx(1, abs=1e-12)
    assert result[0, choose(result, uniform)].item() > 0
    assert not rules.top_k or (result > 0).sum() <= rules.top_k


def test_draws_agree_with_the_probabilities():
    """Chi-square with a fixed seed: 200,000 draws over the symbols that survive, 99.9 % bound."""
    logits, count = random_logits(1), 200_000
    rules = Rules(temperature=1.5, top_k=30, top_p=0.97)
    expected = probabilities(logits, rules)
    uniform = Draws(5, torch.zeros(count, dtype=torch.int64), torch.arange(count)).uniform()
    drawn = choose(expected.expand(count, -1), uniform).bincount(minlength=SYMBOLS).double()
    kept = expected[0] > 0
    assert not drawn[~kept].any()
    degrees = int(kept.sum()) - 1
    statistic = ((drawn - count * expected[0])[kept] ** 2 / (count * expected[0][kept])).sum().item()
    bound = degrees * (1 - 2 / (9 * degrees) + 3.09 * math.sqrt(2 / (9 * degrees))) ** 3  # Wilson-Hilferty
    assert degrees > 5 and statistic < bound


def test_choice_inverts_the_cumulative_distribution():
    probability = torch.tensor([[0.0, 0.25, 0.0, 0.5, 0.25, 0.0]], dtype=torch.float64)
    for uniform, symbol in ((0.0, 1), (0.2499, 1), (0.25, 3), (0.7499, 3), (0.75, 4), (1 - 2**-53, 4), (1.0, 4)):
        assert choose(probability, torch.tensor([uniform])).item() == symbol


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("top_k", -1),
        ("top_k", 1.5),
        ("top_p", 0),
        ("top_p", 1.01),
        ("min_p", -0.01),
        ("min_p", 2),
        ("typical", 0),
        ("repetition_penalty", 0),
        ("repetition_penalty", "much"),
    ],
)
def test_settings_that_cannot_be_used_are_named(name, value):
    rules = Rules()
    object.__setattr__(rules, name, value)  # values that only a file or a careless caller can bring
    with pytest.raises(UsageError) as caught:
        rules.validate()
    message = str(caught.value)
    assert message.startswith(f"{name.replace('_', '-')} {value} ") and ": pass" in message and "\n" not in message
