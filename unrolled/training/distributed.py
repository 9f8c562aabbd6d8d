"""Data-parallel training in several processes started by torchrun; one process alone is the group of one.

Every process takes its rows of the same global batch, and gradients are those of the mean over all predictions of that
batch, however they are spread over the processes. The first process alone writes and evaluates.
"""

import gc
import json
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from unrolled.core.errors import TrainingError, UnrolledError
from unrolled.core.shapes import Tensor
from unrolled.core.state import State, map_state


class Group(NamedTuple):
    """The place of this process among the `world` that train together."""

    rank: int = 0
    world: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes, evaluates and talks."""
        return self.rank == 0

    def shard(self, sampler: Any) -> Any:
        """The sampler of this process's rows."""
        return sampler if self.world == 1 else sampler.shard(self.rank, self.world)

    def wrap(self, model: nn.Module) -> nn.Module:
        """What is called in training: gradients are averaged over the processes in its backward pass."""
        return model if self.world == 1 else DistributedDataParallel(model)

    def total(self, values: list[float]) -> list[float]:
        """The sums of each value over the processes."""
        if self.world == 1:
            return values
        sums = torch.tensor(values, dtype=torch.float64, device=self.device())
        distributed.all_reduce(sums)
        return sums.tolist()

    def agreed(self, value: float) -> float:
        """The value of the first process: for what each would decide by its own clock."""
        return self.total([value if self.is_first else 0.0])[0]

    def by_first(self, action: Callable[[], Any]) -> Any:
        """What `action` gives in the first process, for all; others wait for it. It must be JSON.

        Raises: TrainingError everywhere if it raises in the first.
        """
        if self.world == 1:
            return action()
        text = ""
        if self.is_first:
            try:
                text = json.dumps({"result": action()})
            except UnrolledError as error:
                text = json.dumps({"error": str(error)})
        outcome = json.loads(self.told(text))
        if "error" in outcome:
            raise TrainingError(outcome["error"])
        return outcome["result"]

    def told(self, text: str) -> str:
        """The text of the first process."""
        size = int(self.agreed(len(text.encode())))
        letters = torch.zeros(size, dtype=torch.uint8, device=self.device())
        if self.is_first:
            letters.copy_(torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8))
        distributed.broadcast(letters, src=0)
        return bytes(letters.tolist()).decode()

    def own_rows(self, state: State) -> State:
        """The rows of this process out of a state of all rows."""
        return map_state(lambda leaf: leaf[self.rank :: self.world].clone(), state)

    def all_rows(self, state: State) -> State:
        """The state of all rows, from the parts of all processes."""

        def join(leaf: Tensor) -> Tensor:
            parts = [torch.empty_like(leaf) for _ in range(self.world)]
            distributed.all_gather(parts, leaf.contiguous())
            return torch.stack(parts, 1).flatten(0, 1)  # row r of process p is row r * world + p

        return state if self.world == 1 else map_state(join, state)

    def device(self) -> torch.device:
        """Where tensors must be to be sent."""
        return torch.device("cuda" if distributed.get_backend() == "nccl" else "cpu")


ALONE = Group()


def join_group() -> Group:
    """Join the processes that torchrun has started; `ALONE` where it has not started any."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1 or "RANK" not in os.environ:
        return ALONE
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return Group(distributed.get_rank(), world)


def leave_group(group: Group) -> None:
    """Part from the other processes, at the end."""
    if group.world > 1:
        distributed.destroy_process_group()
        # the wrapped model holds the group in cycles, and threads of gloo that outlive Python abort the process
        gc.collect()
