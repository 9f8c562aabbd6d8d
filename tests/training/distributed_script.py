"""Train for some steps, alone or under torchrun, and write down losses and weights.

Usage: distributed_script.py FOLDER NAME FROM STEPS, where FROM is the folder of checkpoints to go on from, or "-".
"""

import json
import sys
from pathlib import Path

import torch
from training_fakes import Chunks, tiny

from unrolled.core.errors import TrainingError
from unrolled.training.checkpoints import latest_checkpoint, pack_tensors
from unrolled.training.distributed import join_group, leave_group
from unrolled.training.evaluation import evaluate_batches
from unrolled.training.loop import train
from unrolled.training.progress import begin, resume, save
from unrolled.training.recipe import Recipe


def run(place: Path, name: str, source: str, steps: int) -> None:
    """One training."""
    group = join_group()
    recipe = Recipe(steps=steps, warmup=2, learning_rate=0.01, rows=4, length=6, schedule="constant", evaluate_every=4)
    sampler, model = Chunks(), tiny(seed=group.rank, dropout=0.0)  # only the first's weights count
    progress = begin(model, recipe)
    if source != "-":
        checkpoint, _ = latest_checkpoint(place / source)
        assert checkpoint is not None
        progress = resume(checkpoint, model, recipe, sampler.batch(0), group)
        progress.steps = steps
    losses = []
    batches = [sampler.batch(number) for number in range(2)]
    for update in train(
        model, sampler, recipe, progress, seed=1, evaluate=lambda its: evaluate_batches(its, batches), group=group
    ):
        losses.append([update.loss, update.norm, update.symbols, update.score.nats if update.score else 0.0])
    save(place / name, model, progress, group=group)
    failures = []
    try:
        group.by_first(refuse)
    except TrainingError as error:
        failures.append(str(error))
    facts = {"losses": losses, "failures": failures, "best": progress.best}
    (place / f"{name}{group.rank}.json").write_text(json.dumps(facts))
    (place / f"{name}{group.rank}.safetensors").write_bytes(pack_tensors(dict(model.state_dict())))
    leave_group(group)


def refuse() -> None:
    """What the first process cannot do."""
    raise TrainingError("disk full")


if __name__ == "__main__":
    torch.set_num_threads(1)
    run(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))
