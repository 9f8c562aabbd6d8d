"""The one training loop: a generator that makes one update and yields what it saw, again and again.

Nothing is hidden in it: the weights are the model's, everything else that changes is the `Progress`, batches are a
pure function of the step, and the generators of torch are seeded anew for every update. Hence a checkpoint taken
between any two updates resumes bit for bit.
"""

import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import nn

from unrolled.core import state as states
from unrolled.core.contracts import Batch, Sampler
from unrolled.core.draws import Draws, derived_seed
from unrolled.core.errors import TrainingError
from unrolled.core.shapes import Tensor
from unrolled.core.state import State
from unrolled.training.distributed import ALONE, Group
from unrolled.training.evaluation import Score, to_device
from unrolled.training.progress import Progress
from unrolled.training.recipe import Recipe, schedule


class Update(NamedTuple):
    """What one update saw: `step` updates have been made, this one included; `loss` is from before it.

    `norm` is the gradient's before clipping, `rate` what the peak learning rates were multiplied by, `symbols` the
    predictions that counted, `seconds` without evaluation. `score` is there if the model was evaluated after the
    update, and `improved` says that it is the best so far.
    """

    step: int
    loss: float
    metrics: dict[str, float]
    norm: float
    rate: float
    symbols: int
    seconds: float
    score: Score | None = None
    improved: bool = False


def train(
    model: nn.Module,
    sampler: Sampler,
    recipe: Recipe,
    progress: Progress,
    *,
    seed: int,
    evaluate: Callable[[nn.Module], Score] | None = None,
    group: Group = ALONE,
) -> Iterator[Update]:
    """Update `model` until `progress.steps` updates are made or patience ends, yielding after each.

    Whenever this yields, `progress` and the model may be saved, and `progress.steps` may be set to another total. In a
    `group`, `sampler` gives the rows of all its processes, and what is yielded is the same in all but for `seconds`.
    Raises: TrainingError at a loss or gradient that is not a number, with the weights of before that update.
    """
    runner, sampler = group.wrap(model), group.shard(sampler)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    batch = sampler.batch(progress.step)
    (symbols,) = group.total([float(batch.mask.sum())])
    while progress.step < progress.steps and not exhausted(recipe, progress):
        start = time.perf_counter()
        rate = schedule(recipe, progress.step, progress.steps)
        # of the predictions of all processes, so that a mean over these is a mean over all
        share = float(batch.mask.sum()) / max(symbols, 1.0)
        loss, state, metrics = differentiate(runner, batch, recipe, progress, seed, group, share)
        following = sampler.batch(progress.step + 1)
        values, norm = measured(parameters, loss, metrics)
        ahead = [float(following.mask.sum()), float(not following.restart.all())]
        *sums, symbols_ahead, carries = group.total([value * share for value in values.values()] + ahead)
        values = dict(zip(values, sums, strict=True))
        refuse_not_a_number(values["loss"], norm, progress, recipe.learning_rate * rate)
        clip(parameters, norm, recipe.clip)
        progress.optimiser.step(rate)
        progress.step += 1
        progress.carried = states.detach(state) if carries else None  # what no row goes on from is not kept
        seconds = time.perf_counter() - start
        update = Update(progress.step, values.pop("loss"), values, norm, rate, int(symbols), seconds)
        batch, symbols = following, symbols_ahead
        if evaluate is not None and due(progress.step, recipe.evaluate_every, progress.steps):
            score = Score(*group.by_first(partial(evaluate, model)))
            update = update._replace(score=score, improved=progress.judge(score))
        yield update


def differentiate(
    runner: nn.Module, batch: Batch, recipe: Recipe, progress: Progress, seed: int, group: Group, share: float
) -> tuple[Tensor, State, dict[str, Tensor]]:
    """Leave the gradient in the parameters; the loss, the state to carry and metrics."""
    device = next(runner.parameters()).device
    seed_generators(derived_seed(seed, progress.step, group.rank), device)
    if not runner.training:  # an evaluation may have come between
        runner.train()
    rows = torch.arange(len(batch.restart)) * group.world + group.rank
    draws = Draws(seed, rows, torch.full_like(rows, progress.step))
    with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
        loss, state, metrics = runner(to_device(batch, device), progress.carried, draws)
    progress.optimiser.zero_grad()
    (loss * (share * group.world)).backward()
    return loss, state, metrics


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed the generators that dropout draws from; `torch.manual_seed` seeds those of every device, far slower."""
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


def exhausted(recipe: Recipe, progress: Progress) -> bool:
    """Whether `patience` evaluations have brought nothing better."""
    return 0 < recipe.patience <= progress.stale


def due(step: int, every: int, steps: int) -> bool:
    """Whether something that happens every so many updates, and after the last one, happens after update `step`."""
    return step == steps or (every > 0 and step % every == 0)


def measured(
    parameters: list[nn.Parameter], loss: Tensor, metrics: dict[str, Tensor]
) -> tuple[dict[str, float], float]:
    """The loss and metrics as numbers, and the norm of the gradient."""
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    named = {**metrics, "loss": loss, "norm": norm}
    # one transfer from the device for all of them
    numbers = torch.stack([value.detach().to(norm) for value in named.values()]).tolist()
    values = dict(zip(named, numbers, strict=True))
    return values, values.pop("norm")


def refuse_not_a_number(loss: float, norm: float, progress: Progress, rate: float) -> None:
    """Stop before an update that would spoil the weights.

    Raises: TrainingError if loss or norm is not finite.
    """
    if math.isfinite(loss) and math.isfinite(norm):
        return
    what = f"the loss is {loss}" if not math.isfinite(loss) else f"the norm of the gradient is {norm} (loss {loss:.4g})"
    good = f"last good checkpoint: {progress.saved}" if progress.saved else "no checkpoint yet"
    raise TrainingError(
        f"update {progress.step + 1}: {what} at learning rate {rate:.3g}; {good}; try a lower learning rate or clip"
    )


def clip(parameters: list[nn.Parameter], norm: float, most: float) -> None:
    """Scale the gradient down to a norm of `most`; 0 leaves it alone."""
    if 0 < most < norm:
        nn.utils.clip_grads_with_norm_(parameters, most, torch.tensor(norm))
