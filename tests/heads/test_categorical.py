"""Laws of heads: probabilities sum to one, and `sample` agrees with `log_prob`."""

import numpy as np
import torch
from scipy import stats

from unrolled.core.draws import Draws
from unrolled.heads.categorical import Categorical


def make(width: int = 5, size: int = 7, seed: int = 0) -> tuple[Categorical, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    head = Categorical(width, size).double()
    for parameter in head.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return head, torch.randn(1, width, generator=generator, dtype=torch.float64)


def test_probabilities_sum_to_one():
    head, features = make()
    every = torch.arange(7)[None]
    log_prob = head.log_prob(features[:, None].expand(1, 7, 5), every, every)
    assert abs(log_prob.exp().sum().item() - 1) < 1e-12


def test_sample_agrees_with_log_prob():
    head, features = make()
    count = 20_000
    symbols = head.sample(
        features.expand(count, -1),
        torch.zeros(count, dtype=torch.int64),
        Draws(3, torch.arange(count), torch.zeros(count, dtype=torch.int64)),
    )
    expected = head.logits(features).softmax(-1)[0].detach().numpy() * count
    assert stats.chisquare(np.bincount(symbols.numpy(), minlength=7), expected).pvalue > 1e-3


def test_loss_is_the_mean_over_the_mask():
    head, features = make()
    features = features[:, None].expand(2, 3, 5)
    target = torch.tensor([[0, 1, 2], [3, 4, 5]])
    mask = torch.tensor([[True, False, True], [False, False, True]])
    expected = -head.log_prob(features, target, target)[mask].mean()
    assert torch.allclose(head.loss(features, target, target, mask), expected)
    assert head.loss(features, target, target, torch.zeros_like(mask)) == 0
