"""A score is the mean over what counts, with an honest standard error, and leaves the model as it was."""

import math

import pytest
import torch
from torch import nn
from training_fakes import Chunks, tiny

from unrolled.core.contracts import Batch
from unrolled.training.evaluation import evaluate_batches, summarise


def test_mean_is_over_masked_positions_with_the_state_carried() -> None:
    model, batches = tiny(dropout=0.5), [Chunks().batch(number) for number in range(5)]
    score = evaluate_batches(model, batches, protocol="carried")
    model.eval()
    state, total, count = None, 0.0, 0
    for batch in batches:
        losses, state = model.losses(batch, state)
        total += losses[batch.mask].sum().item()
        count += int(batch.mask.sum())
    assert score.nats == pytest.approx(total / count, rel=1e-6)
    assert (score.predictions, score.protocol, score.split) == (count, "carried", "validation")


@pytest.mark.parametrize("training", [True, False])
def test_mode_is_restored_and_dropout_is_off(training: bool) -> None:
    model = tiny(dropout=0.5).train(training)
    scores = [evaluate_batches(model, [Chunks().batch(0)]).nats for _ in range(2)]
    assert scores[0] == scores[1] and model.training is training
    assert all(parameter.grad is None for parameter in model.parameters())


class Broken(nn.Module):
    """A model that cannot be evaluated."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def losses(self, batch: Batch, state: None) -> None:
        raise RuntimeError("broken")


def test_mode_is_restored_after_a_failure() -> None:
    model = Broken()
    with pytest.raises(RuntimeError, match="broken"):
        evaluate_batches(model, [Chunks().batch(0)])
    assert model.training


def test_nothing_to_evaluate_is_not_a_number() -> None:
    score = evaluate_batches(tiny(), [])
    assert math.isnan(score.nats) and math.isnan(score.stderr) and score.predictions == 0
    hidden = Chunks().batch(0)
    assert evaluate_batches(tiny(), [hidden._replace(mask=torch.zeros_like(hidden.mask))]).predictions == 0


def test_standard_error_covers_the_truth_as_often_as_it_says() -> None:
    generator = torch.Generator().manual_seed(0)
    inside = 0
    for _ in range(400):
        counts = torch.randint(5, 50, (60,), generator=generator)
        sums = counts * (2.0 + 0.4 * torch.randn(60, generator=generator, dtype=torch.float64))
        score = summarise(sums, counts, "windows", "validation")
        inside += abs(score.nats - 2.0) < 1.96 * score.stderr
    assert 0.90 < inside / 400 < 0.98
    assert math.isnan(summarise(torch.tensor([6.0]), torch.tensor([3]), "", "").stderr)
