"""Laws of heads, for every head of `unrolled.heads.ALL`: probabilities sum to one, `sample` and `logits` agree."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from unrolled.core.draws import Draws
from unrolled.heads import ALL, SIZE, WIDTH

Made = tuple[Any, torch.Tensor, torch.Tensor]
laws = pytest.mark.parametrize("make", ALL.values(), ids=ALL.keys())


def made(make: Callable[[], Any]) -> Made:
    """A head with random weights, features of one row, and the log probability of each symbol after them."""
    generator = torch.Generator().manual_seed(0)
    head = make().double()
    for parameter in head.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    features = torch.randn(1, WIDTH, generator=generator, dtype=torch.float64)
    every = torch.arange(SIZE)[None]
    log_prob = head.log_prob(features[:, None].expand(1, SIZE, WIDTH), torch.zeros_like(every), every)
    return head, features, log_prob[0].detach()


@laws
def test_probabilities_sum_to_one(make: Callable[[], Any]) -> None:
    _, _, log_prob = made(make)
    assert abs(log_prob.exp().sum().item() - 1) < 1e-12


@laws
def test_logits_agree_with_log_prob(make: Callable[[], Any]) -> None:
    head, features, log_prob = made(make)
    torch.testing.assert_close(head.logits(features)[0].log_softmax(0), log_prob, rtol=0, atol=1e-12)
    rows = features + torch.arange(6, dtype=torch.float64).view(2, 3, 1)
    each = torch.stack([head.logits(row[None])[0] for row in rows.flatten(0, 1)]).view(2, 3, SIZE)
    torch.testing.assert_close(head.logits(rows), each, rtol=0, atol=1e-12)


@laws
def test_sample_agrees_with_log_prob(make: Callable[[], Any]) -> None:
    head, features, log_prob = made(make)
    count = 20_000
    draws = Draws(3, torch.arange(count), torch.zeros(count, dtype=torch.int64))
    symbols = head.sample(features.expand(count, -1), torch.zeros(count, dtype=torch.int64), draws)
    found = np.bincount(symbols.numpy(), minlength=SIZE)
    assert stats.chisquare(found, log_prob.exp().numpy() * count).pvalue > 1e-3


@laws
def test_the_loss_is_the_mean_of_log_prob_over_the_mask(make: Callable[[], Any]) -> None:
    head, features, _ = made(make)
    features = features[:, None].expand(2, 3, WIDTH)
    target = torch.tensor([[0, 1, 2], [3, 4, 5]])
    mask = torch.tensor([[True, False, True], [False, False, True]])
    expected = -head.log_prob(features, target, target)[mask].mean()
    assert torch.allclose(head.loss(features, target, target, mask), expected)
    assert head.loss(features, target, target, torch.zeros_like(mask)) == 0
