"""The mixture of logistics where its numbers are hard, against the formula in many digits."""

import math
from fractions import Fraction

import pytest
import torch
from scipy import stats

from unrolled.core.draws import Draws
from unrolled.heads.logistics import Logistics


def head_of(levels: int, *components: tuple[float, float, float], dtype: torch.dtype = torch.float32) -> Logistics:
    """A head that gives these (weight, mean, scale) whatever it reads."""
    head = Logistics(1, levels, mixtures=len(components)).to(dtype)
    weights, means, scales = zip(*components, strict=True)
    numbers = [*map(math.log, weights), *means, *map(math.log, scales)]
    with torch.no_grad():
        head.project.weight.zero_()
        head.project.bias.copy_(torch.tensor(numbers, dtype=torch.float64))
    return head


def log_prob(head: Logistics, levels: list[int]) -> torch.Tensor:
    target = torch.tensor([levels])
    features = head.project.weight.new_zeros(1, len(levels), 1)
    return head.log_prob(features, target, target)[0].detach()


@pytest.mark.parametrize("levels", [2, 256, 65536])
def test_the_formula(levels: int):
    """Masses as differences of the distribution function, in float64, where that suffices."""
    components = [(0.3, -0.4, 0.1), (0.7, 0.2, 0.03)]
    places = sorted({0, 1, levels // 3, levels // 2, levels - 2, levels - 1})
    expected = []
    for place in places:
        edges = [-math.inf if place == 0 else place * 2 / levels - 1]
        edges.append(math.inf if place == levels - 1 else (place + 1) * 2 / levels - 1)
        mass = sum(
            w * (stats.logistic.cdf(edges[1], m, s) - stats.logistic.cdf(edges[0], m, s)) for w, m, s in components
        )
        expected.append(math.log(mass))
    found = log_prob(head_of(levels, *components), places)
    torch.testing.assert_close(found.double(), torch.tensor(expected, dtype=torch.float64), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("levels", [256, 65536])
def test_float32_loses_nothing_far_from_the_mean(levels: int):
    """Where differences of float32 sigmoids are 0, the density times the width of a level is right."""
    found = log_prob(head_of(levels, (1.0, -0.9, 0.01)), [levels * 7 // 8])
    edge = Fraction(levels * 7 // 8 * 2, levels) - 1
    distance = float(edge + Fraction(9, 10)) / 0.01
    expected = -distance + math.log(-math.expm1(-2 / levels / 0.01))
    assert float(found[0]) == pytest.approx(expected, abs=1e-3)


def test_gradients_are_finite_at_extremes():
    torch.manual_seed(0)
    head = Logistics(1, 65536, mixtures=2)
    features = torch.tensor([[[1e4], [-1e4], [30.0], [0.0]]], requires_grad=True)
    target = torch.tensor([[0, 65535, 12, 65535]])
    loss = head.loss(features, target, target, torch.ones_like(target, dtype=torch.bool))
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in (features, *head.parameters()))


def test_probabilities_of_fine_levels_sum_to_one_in_float32():
    head = head_of(65536, (0.5, 0.3, 1e-4), (0.3, -0.7, 1e-9), (0.2, 0.0, 3.0))
    assert float(log_prob(head, list(range(65536))).double().exp().sum()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_logits_of_fine_levels(dtype: torch.dtype):
    """As `log_prob` says, down to the least number that there is."""
    head = head_of(65536, (0.5, 0.3, 1e-4), (0.3, -0.7, 1e-9), (0.2, 0.9, 0.02), dtype=dtype)
    found, expected = head.logits(head.project.weight.new_zeros(1, 1))[0], log_prob(head, list(range(65536)))
    reached = expected > math.log(torch.finfo(dtype).tiny) + 1
    assert reached.sum() > 65536 // 2
    torch.testing.assert_close(found[reached], expected[reached], rtol=1e-4 if dtype == torch.float32 else 1e-9, atol=0)
    assert (found[~reached] <= expected[~reached] + 1).all() and not found.isnan().any()


def test_symbols_outside_the_levels_never_come():
    head = Logistics(3, 8, mixtures=2, outside=2)
    features = torch.randn(1, 2, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    logits = head.logits(features)
    assert logits.shape == (1, 2, 10)
    assert (logits[..., 8:] == -math.inf).all() and torch.isfinite(logits[..., :8]).all()
    target, mask = torch.tensor([[9, 3]]), torch.tensor([[False, True]])
    assert head.losses(features, target)[0, 0] == math.inf
    loss = head.loss(features, target, target, mask)  # a symbol that does not count spoils nothing
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in (features, *head.parameters()))


def test_a_scale_below_a_level_lies_within_it():
    head = head_of(256, (1.0, 0.5 / 128, 1e-30))
    assert float(log_prob(head, [128])[0]) == pytest.approx(0, abs=1e-6)


def test_draws_fall_into_the_levels_that_they_hit():
    head = head_of(8, (0.25, -0.9, 0.01), (0.75, 0.6, 0.01), dtype=torch.float64)
    draws = Draws(5, torch.arange(400), torch.zeros(400, dtype=torch.int64))
    symbols = head.sample(torch.zeros(400, 1, dtype=torch.float64), torch.zeros(400, dtype=torch.int64), draws)
    assert torch.equal(symbols == 0, draws.uniform(0) < 0.25)
    assert set(symbols[symbols > 0].tolist()) == {6}
    wide = head_of(8, (1.0, 0.0, 2e4))
    symbols = wide.sample(torch.zeros(400, 1), torch.zeros(400, dtype=torch.int64), draws)
    assert set(symbols.tolist()) == {0, 7}
    assert torch.equal(symbols == 7, draws.uniform(1) > 0.5)


def test_one_level_is_refused():
    with pytest.raises(ValueError, match="1 levels"):
        Logistics(4, 1)
