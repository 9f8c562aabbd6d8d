"""Everything about a training run that changes from update to update, and its way into and out of checkpoints."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from unrolled.core import state as states
from unrolled.core.contracts import Batch, Checkpoint
from unrolled.core.draws import Draws
from unrolled.core.errors import RunError
from unrolled.core.state import State
from unrolled.training.checkpoints import first_line, save_checkpoint
from unrolled.training.distributed import ALONE, Group
from unrolled.training.evaluation import Score
from unrolled.training.optimisers import Optimiser, optimiser
from unrolled.training.recipe import Recipe


@dataclass
class Progress:
    """Where a run stands after `step` updates of `steps`; the weights themselves are the model's.

    `carried` is the state at which the next batch goes on, None where it starts anew. `evaluations` are
    (step, nats, standard error); `saved` is the newest checkpoint.
    """

    optimiser: Optimiser
    steps: int
    step: int = 0
    carried: State | None = None
    evaluations: list[tuple[int, float, float]] = field(default_factory=list)
    saved: Path | None = None

    @property
    def best(self) -> tuple[int, float] | None:
        """Step and nats of the best evaluation so far."""
        good = [(nats, step) for step, nats, _ in self.evaluations if math.isfinite(nats)]
        return (min(good)[1], min(good)[0]) if good else None

    @property
    def stale(self) -> int:
        """Evaluations since the best one."""
        best = self.best
        return sum(step > best[0] for step, _, _ in self.evaluations) if best else 0

    def judge(self, score: Score) -> bool:
        """Note an evaluation; true if it is the best so far."""
        self.evaluations.append((self.step, score.nats, score.stderr))
        return self.best is not None and self.best[0] == self.step

    def trees(self, model: nn.Module, group: Group = ALONE) -> dict[str, dict[str, torch.Tensor]]:
        """The named tensors that a checkpoint of this moment holds; all processes of a group must ask together."""
        trees = {"model": dict(model.state_dict()), "optimiser": self.optimiser.tensors()}
        if self.carried is None:
            return trees
        return trees | {"carried": dict(states.leaves(group.all_rows(self.carried)))}

    def scalars(self) -> dict[str, Any]:
        """The numbers that a checkpoint of this moment holds; a number that is not finite is written as null."""
        rows = [[step, *(v if math.isfinite(v) else None for v in values)] for step, *values in self.evaluations]
        return {"step": self.step, "steps": self.steps, "evaluations": rows}


def begin(model: nn.Module, recipe: Recipe) -> Progress:
    """The progress of a run that has not made any update."""
    return Progress(optimiser(model, recipe), recipe.steps)


def save(
    folder: Path, model: nn.Module, progress: Progress, extra: dict[str, Any] | None = None, group: Group = ALONE
) -> Path:
    """A durable checkpoint of this moment; `extra` is JSON of the caller's that `resume` leaves alone.

    The processes of a group must save together; the first one writes.
    Raises: TrainingError if it cannot be written; the checkpoints before it are untouched.
    """
    scalars = progress.scalars() | {"extra": extra or {}}
    trees = progress.trees(model, group)
    progress.saved = Path(group.by_first(lambda: str(save_checkpoint(folder, progress.step, trees, scalars))))
    return progress.saved


def resume(checkpoint: Checkpoint, model: nn.Module, recipe: Recipe, batch: Batch, group: Group = ALONE) -> Progress:
    """Put the weights of a checkpoint into `model` and go on where it was saved.

    `batch` is any batch of the run's sampler, of all rows: it shows the structure of the carried state.
    Raises: RunError if the checkpoint is of another model.
    """
    try:
        model.load_state_dict(checkpoint.trees["model"])
        step, steps = int(checkpoint.scalars["step"]), int(checkpoint.scalars["steps"])
        evaluations = [
            (int(at), math.nan if nats is None else float(nats), math.nan if stderr is None else float(stderr))
            for at, nats, stderr in checkpoint.scalars["evaluations"]
        ]
        progress = Progress(optimiser(model, recipe), steps, step, None, evaluations, checkpoint.path)
        progress.optimiser.load(checkpoint.trees["optimiser"])
        if "carried" in checkpoint.trees:
            progress.carried = group.own_rows(carried_state(checkpoint.trees["carried"], model, batch))
    except (KeyError, ValueError, TypeError, OverflowError, RuntimeError) as error:
        raise RunError(f"{checkpoint.path} is not of this model ({first_line(error)}): use its own run") from error
    return progress


@torch.no_grad()
def carried_state(tensors: dict[str, torch.Tensor], model: Any, batch: Batch) -> State:
    """The carried state made of named tensors, in the structure that `model` gives a state."""
    device = next(model.parameters()).device
    rows = torch.arange(len(batch.restart))
    batch = states.map_state(lambda leaf: leaf.to(device), batch)
    _, like, _ = model(batch, None, Draws(0, rows, torch.zeros_like(rows)))
    found = states.unflatten(like, {name: tensor.to(device) for name, tensor in tensors.items()})
    if any(a.shape != b.shape or a.dtype != b.dtype for a, b in zip_leaves(found, like)):
        raise ValueError("its carried state has other shapes: rows and sizes must be those of the run")
    return found


def zip_leaves(state: State, other: State) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The tensors that stand at the same place in two states."""
    return [(a, b) for (_, a), (_, b) in zip(states.leaves(state), states.leaves(other), strict=True)]
