"""What a model scores on a set of batches."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch

from unrolled.core.contracts import Batch
from unrolled.core.state import State, map_state


class Score(NamedTuple):
    """Mean nats per symbol over `predictions` symbols, with its standard error (NaN if it cannot be told)."""

    nats: float
    predictions: int
    stderr: float
    protocol: str = ""
    split: str = "validation"


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The same batch on another device."""
    return batch if device.type == "cpu" else map_state(lambda leaf: leaf.to(device, non_blocking=True), batch)


@torch.inference_mode()
def evaluate_batches(
    model: Any, batches: Iterable[Batch], *, protocol: str = "", split: str = "validation", precision: str = "float32"
) -> Score:
    """Mean nats over the masked positions of batches that are read in order with the state carried.

    The standard error is taken over rows of batches: over windows where every row is a window, over blocks of one
    stream where state is carried. The model is put back into the mode in which it was.
    """
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    state, sums, counts = None, [], []
    try:
        for batch in batches:
            batch = to_device(batch, device)
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
                losses, state = model.losses(batch, carried_into(batch, state))
            # numbers, as small tensors that stay would keep the heap from being used again and let it grow
            sums += torch.where(batch.mask, losses, 0).double().sum(1).tolist()
            counts += batch.mask.sum(1).tolist()
    finally:
        model.train(was_training)
    if not sums:
        return Score(math.nan, 0, math.nan, protocol, split)
    return summarise(torch.tensor(sums, dtype=torch.float64), torch.tensor(counts), protocol, split)


def carried_into(batch: Batch, state: State | None) -> State | None:
    """The state that a batch goes on from; None if all its rows restart, since it may then have fewer rows."""
    return None if bool(batch.restart.all()) else state


def summarise(sums: torch.Tensor, counts: torch.Tensor, protocol: str, split: str) -> Score:
    """The score of blocks with these sums of nats over so many predictions; ratio estimator of the standard error."""
    sums, counts = sums[counts > 0], counts[counts > 0].double()
    blocks, total = len(sums), counts.sum().item()
    if not blocks:
        return Score(math.nan, 0, math.nan, protocol, split)
    mean = (sums.sum() / total).item()
    spread = (sums - mean * counts).square().sum().item()
    stderr = math.sqrt(spread * blocks / (blocks - 1)) / total if blocks > 1 else math.nan
    return Score(mean, int(total), stderr, protocol, split)
