"""The one training loop: a generator that makes one update and yields what it saw, again and again.

Nothing is hidden in it: the weights are the model's, everything else that changes is the `Progress`, batches are a
pure function of the step, and the generators of torch are seeded anew for every update. Hence a checkpoint taken
between any two updates resumes bit for bit.
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import nn

from unrolled.core import state as states
from unrolled.core.draws import Draws, derived_seed
from unrolled.core.errors import TrainingError
from unrolled.core.protocol import Batch
from unrolled.core.shapes import Tensor
from unrolled.training.evaluation import Score, to_device
from unrolled.training.progress import Progress
from unrolled.training.recipe import Recipe, schedule


@runtime_checkable
class Sampler(Protocol):
    """Batches as a pure function of the step number."""

    def batch(self, step: int) -> Batch:
        """The batch of update `step`, counted from 0, on the CPU."""
        ...


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
) -> Iterator[Update]:
    """Update `model` until `progress.steps` updates are made or patience ends, yielding after each.

    Whenever this yields, `progress` and the model may be saved, and `progress.steps` may be set to another total.
    Raises: TrainingError at a loss or gradient that is not a number, with the weights of before that update.
    """
    device = next(model.parameters()).device
    batch = sampler.batch(progress.step)
    while progress.step < progress.steps and not exhausted(recipe, progress):
        start = time.perf_counter()
        rate = schedule(recipe, progress.step, progress.steps)
        torch.manual_seed(derived_seed(seed, progress.step))
        model.train()
        entered = to_device(batch, device)
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            loss, state, metrics = model(entered, progress.carried, draws_of(batch, seed, progress.step))
        progress.optimiser.zero_grad()
        loss.backward()
        values, norm = checked(model, loss, metrics, progress, recipe.learning_rate * rate)
        clip(model, norm, recipe.clip)
        progress.optimiser.step(rate)
        symbols = int(batch.mask.sum())
        progress.step += 1
        batch = sampler.batch(progress.step)
        # what the next batch does not read is not kept: a state whose rows all restart
        progress.carried = None if bool(batch.restart.all()) else states.detach(state)
        seconds = time.perf_counter() - start
        update = Update(progress.step, values.pop("loss"), values, norm, rate, symbols, seconds)
        if evaluate is not None and due(progress.step, recipe.evaluate_every, progress.steps):
            score = evaluate(model)
            update = update._replace(score=score, improved=progress.judge(score))
        yield update


def exhausted(recipe: Recipe, progress: Progress) -> bool:
    """Whether `patience` evaluations have brought nothing better."""
    return 0 < recipe.patience <= progress.stale


def due(step: int, every: int, steps: int) -> bool:
    """Whether something that happens every so many updates, and after the last one, happens after update `step`."""
    return step == steps or (every > 0 and step % every == 0)


def draws_of(batch: Batch, seed: int, step: int) -> Draws:
    """The draws of one update: one stream per row."""
    rows = torch.arange(len(batch.restart))
    return Draws(seed, rows, torch.full_like(rows, step))


def checked(
    model: nn.Module, loss: Tensor, metrics: dict[str, Tensor], progress: Progress, rate: float
) -> tuple[dict[str, float], float]:
    """The loss and metrics as numbers, and the norm of the gradient.

    Raises: TrainingError if loss or norm is not finite.
    """
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    named = {**metrics, "loss": loss.detach(), "norm": norm}
    # one transfer from the device for all of them
    numbers = torch.stack([value.detach().to(norm) for value in named.values()]).tolist()
    values = dict(zip(named, numbers, strict=True))
    length = values.pop("norm")
    if not (math.isfinite(values["loss"]) and math.isfinite(length)):
        raise TrainingError(not_a_number(values["loss"], length, progress, rate))
    return values, length


def not_a_number(loss: float, norm: float, progress: Progress, rate: float) -> str:
    """The message for an update that would have spoilt the weights."""
    what = f"the loss is {loss}" if not math.isfinite(loss) else f"the norm of the gradient is {norm} (loss {loss:.4g})"
    good = f"last good checkpoint: {progress.saved}" if progress.saved else "no checkpoint yet"
    return f"update {progress.step + 1}: {what} at learning rate {rate:.3g}; {good}; try a lower learning rate or clip"


def clip(model: nn.Module, norm: float, most: float) -> None:
    """Scale the gradient down to a norm of `most`; 0 leaves it alone."""
    if 0 < most < norm:
        nn.utils.clip_grads_with_norm_(model.parameters(), most, torch.tensor(norm))
